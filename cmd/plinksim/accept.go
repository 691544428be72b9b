package main

import (
	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newAccept() *cobra.Command { return accept("accept").command() }

func newReject() *cobra.Command { return reject("reject").command() }

// accept is the operation that two commands do: path is how one calls it.
func accept(path string) operation {
	return operation{
		use: "accept SERVICE ENDPOINT", short: "Let an endpoint connect to an endpoint service",
		long: `Accept an endpoint's connection as the owner of the endpoint service, and wait
until it is connected. In the Alibaba Cloud console the action is called Allow.
Each zone of the endpoint gets one of the service's load balancers in that zone,
at random and for good, or the one that --resource names.`,
		example: "  sudo plinksim " + path + " svc1 ep1\n  sudo plinksim " + path + " svc1 ep1 --bandwidth 200 --resource clb2@eu-central-1b",
		verb:    "accept", least: 2, most: 2, want: "an endpoint service and an endpoint", read: readConnection,
		flags: func(cmd *cobra.Command, o *topology.Operation) {
			bandwidthFlag(cmd, o, "Mbit/s in each direction, or none; the service's where it is missing")
			cmd.Flags().Var(&resources{o}, "resource", "the load balancer of a zone, as LOAD_BALANCER@ZONE; one for each zone")
		},
		complete: []func(status.Lab, []string) []string{allServices, endpointsOf},
	}
}

func reject(path string) operation {
	return operation{
		use: "reject SERVICE ENDPOINT", short: "Refuse or end an endpoint's connection",
		long: `Reject an endpoint's connection as the owner of the endpoint service, and wait
until nothing passes any more: sessions that are open end. It can be accepted
again. In the Alibaba Cloud console the action is called Deny.`,
		example: "  sudo plinksim " + path + " svc1 ep1",
		verb:    "reject", least: 2, most: 2, want: "an endpoint service and an endpoint", read: readConnection,
		complete: []func(status.Lab, []string) []string{allServices, endpointsOf},
	}
}
