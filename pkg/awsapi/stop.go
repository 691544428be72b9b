package awsapi

import "github.com/plinksim/plinksim/pkg/topology"

func isStopped(*topology.Instance) bool { return false }
