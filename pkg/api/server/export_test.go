package server

import (
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/lab"
)

// Leading is what the APIs of clouds change a lab by.
func Leading(p *Peers, l *lab.Lab) cloudapi.Changer { return leading{p, l} }
