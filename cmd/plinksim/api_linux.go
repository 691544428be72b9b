package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

// checkCloudAPI says before a lab is built that clients of its cloud cannot be answered.
// A lab that runs may answer there already.
func checkCloudAPI(dir labdir.Dir, plan *topology.Plan, address string) error {
	if address == "" {
		return nil
	}
	if clientsOf(plan.Cloud) == nil {
		return withHint(fmt.Errorf("--api: no clients can drive a lab of cloud %s", plan.Cloud),
			"leave --api out, or write cloud: aws or cloud: alibaba")
	}
	return mayListen(dir, api.ListenCloud, address)
}

// serveCloudAPI asks a running lab to answer the clients of its cloud, where that is
// wanted.
func serveCloudAPI(cmd *cobra.Command, lab labdir.Dir, address string) error {
	if address == "" {
		return nil
	}
	told, err := api.NewClient(lab).ServeCloud(cmd.Context(), address)
	if err != nil {
		return withHint(err, "the lab is up; \"up\" again with another --api address")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: clients of %s: http://%s; eval \"$(plinksim api env)\"\n",
		clientsOf(topology.Cloud(told.Cloud)).name, told.Address)
	return nil
}
