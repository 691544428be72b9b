package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

// addCloudAPI adds the flags of how a lab answers the clients of its cloud.
func addCloudAPI(cmd *cobra.Command, wanted *api.CloudAPI) {
	cmd.Flags().StringVar(&wanted.Address, "api", "",
		"also answer the clients of AWS at a loopback HOST:PORT; without a file, for an empty lab at AWS")
	cmd.Flags().BoolVar(&wanted.InVPCs, "api-in-vpcs", false,
		"with --api: programs on instances find it under its real names, and their metadata and keys")
	cmd.Flags().BoolVar(&wanted.Exec, "api-exec", false,
		"with --api: run the user data that clients give instances, as root of this machine")
}

// checkCloudAPI says before a lab is built that clients of its cloud cannot be answered.
// A lab that runs may answer there already.
func checkCloudAPI(dir labdir.Dir, plan *topology.Plan, wanted api.CloudAPI) error {
	if wanted.Address == "" {
		if wanted.InVPCs || wanted.Exec {
			return &usageError{errors.New("--api-in-vpcs and --api-exec say how --api answers: name an address with --api")}
		}
		return nil
	}
	if clientsOf(plan.Cloud) == nil {
		return withHint(fmt.Errorf("--api: no clients can drive a lab of cloud %s", plan.Cloud),
			"leave --api out, or write cloud: aws or cloud: alibaba")
	}
	if (wanted.InVPCs || wanted.Exec) && !plan.Profile.CloudAPI.IsValid() {
		return withHint(fmt.Errorf("--api-in-vpcs and --api-exec: a lab of cloud %s has neither", plan.Cloud),
			"leave them out, or write cloud: aws")
	}
	return mayListen(dir, api.ListenCloud, wanted.Address)
}

// serveCloudAPI asks a running lab to answer the clients of its cloud, where that is
// wanted.
func serveCloudAPI(cmd *cobra.Command, lab labdir.Dir, wanted api.CloudAPI) error {
	if wanted.Address == "" {
		return nil
	}
	told, err := api.NewClient(lab).ServeCloud(cmd.Context(), wanted)
	if err != nil {
		return withHint(err, "the lab is up; \"up\" again with another --api address")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: clients of %s: http://%s; eval \"$(plinksim api env)\"\n",
		clientsOf(topology.Cloud(told.Cloud)).name, told.Address)
	return nil
}
