package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/topology"
)

// addHost is the flag that says which host of a topology over several this machine is.
func addHost(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "host", "", "which of the hosts of the file this machine is, where it has some")
}

// addTLS is the flag that says where the certificate of the host is.
func addTLS(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "tls", "", "with --host: the directory of its certificate, of \"plinksim hosts certificates\": "+
		"the daemons of the hosts ask each other")
}

// credentials are what a host shows to others, nil where it has no directory for that.
func credentials(plan *topology.Plan, host, dir string) (*peer.Credentials, error) {
	switch {
	case dir == "":
		return nil, nil
	case host == "":
		return nil, &usageError{errors.New("--tls is for a host of a topology over several: give --host, too")}
	}
	of, err := plan.Host(host)
	if err != nil {
		return nil, err
	}
	return peer.Load(dir, of, time.Now())
}

// checkHost says why a plan cannot be on a host, "" is none.
func checkHost(cmd *cobra.Command, plan *topology.Plan, host string) error {
	switch {
	case len(plan.Hosts) == 0 && host != "":
		return &usageError{errors.New("--host: the topology has no hosts, and is one lab on this machine")}
	case len(plan.Hosts) > 0 && host == "":
		return withHint(fmt.Errorf("the topology is spread over the hosts %s", spell.List(plan.NamesOfHosts())),
			"\"%s FILE --host %s\" is for the machine that is host %[2]s", cmd.CommandPath(), plan.Hosts[0].Name)
	case host == "":
		return nil
	}
	_, err := plan.Host(host)
	return err
}

// sliceOn is what of a plan is on a host, all where it has none.
func sliceOn(cmd *cobra.Command, plan *topology.Plan, host string) (*topology.Plan, error) {
	if err := checkHost(cmd, plan, host); err != nil || host == "" {
		return plan, err
	}
	return plan.On(host)
}
