package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newConnection() *cobra.Command {
	return group("connection", "Manage the connections of endpoints as their providers do",
		`Manage the connections that endpoints have to endpoint services, as the services'
owners do in a cloud's console.`,
		newConnectionList(),
		group("connection zone", "Switch zones of a connection off and on",
			`Switch single zones of a connection off and on. A zone that is off takes nothing,
and the endpoint's name leads to the others.`),
	)
}

var connectionOperations = []operation{
	{
		verb: topology.VerbAccept, path: "connection accept", also: "accept",
		args: "SERVICE ENDPOINT", keys: "service endpoint",
		short: "Let an endpoint connect to an endpoint service",
		long: `Accept an endpoint's connection as the owner of the endpoint service, and wait
until it is connected. In the Alibaba Cloud console the action is called Allow.
Each zone of the endpoint gets one of the service's load balancers in that zone,
at random and for good, or the one that --resource names.`,
		example: `  sudo plinksim accept svc1 ep1
  sudo plinksim connection accept svc1 ep1 --bandwidth 200 --resource clb2@eu-central-1b`,
		flags: []flag{
			{"bandwidth", "bandwidth", "Mbit/s in each direction, or none; the service's where it is missing"},
			{"resource", "resources", "the load balancer of a zone, as LOAD_BALANCER@ZONE; one for each zone"},
		},
	},
	{
		verb: topology.VerbReject, path: "connection reject", also: "reject",
		args: "SERVICE ENDPOINT", keys: "service endpoint",
		short: "Refuse or end an endpoint's connection",
		long: `Reject an endpoint's connection as the owner of the endpoint service, and wait
until nothing passes any more: sessions that are open end. It can be accepted
again. In the Alibaba Cloud console the action is called Deny.`,
		example: "  sudo plinksim reject svc1 ep1\n  sudo plinksim connection reject svc1 ep1",
	},
	{
		verb: topology.VerbBandwidth, path: "connection bandwidth",
		args: "SERVICE ENDPOINT MBIT", keys: "service endpoint bandwidth",
		short: "Change the bandwidth of a connection",
		long: `Change how much passes through a connection, in Mbit/s for each direction; none
is no limit. It is in force at once, also for sessions that are there.`,
		example: "  sudo plinksim connection bandwidth svc1 ep1 200",
	},
	{
		verb: topology.VerbZoneEnable, path: "connection zone enable",
		args: "SERVICE ENDPOINT ZONE", keys: "service endpoint zone",
		short:   "Connect a zone that was disabled",
		example: "  sudo plinksim connection zone enable svc1 ep1 eu-central-1b",
	},
	{
		verb: topology.VerbZoneDisable, path: "connection zone disable",
		args: "SERVICE ENDPOINT ZONE", keys: "service endpoint zone",
		short:   "Disconnect a zone; sessions through it end",
		example: "  sudo plinksim connection zone disable svc1 ep1 eu-central-1b",
	},
	{
		verb: topology.VerbReplace, path: "connection replace",
		args: "SERVICE ENDPOINT ZONE [LOAD_BALANCER]", keys: "service endpoint zone resource",
		short: "Give a zone of a connection another load balancer",
		long: `Give a zone of a connection another load balancer of the service, the one that is
named or any. New sessions go there at once. Those that are there go on through
the old one until they end; then it is released, or "connection release" ends them.
With --force they end now.

In the cloud the zone gets a second ENI meanwhile, and its name leads there. Here
its ENI and address stay.`,
		example: "  sudo plinksim connection replace svc1 ep1 eu-central-1b clb2",
		flags:   []flag{{"force", "force", "end the sessions through the old one now"}},
	},
	{
		verb: topology.VerbRelease, path: "connection release",
		args: "SERVICE ENDPOINT ZONE", keys: "service endpoint zone",
		short:   "End the sessions through the load balancer that a zone had before",
		example: "  sudo plinksim connection release svc1 ep1 eu-central-1b",
	},
}

func newConnectionList() *cobra.Command {
	return listing{
		use: "list [SERVICE]", short: "List connections, of one service or of all",
		long: `List the connections of endpoints to a service, as the console shows them to its
owner. The actions are those of "connection" that are possible now.`,
		most: 1, want: "at most one endpoint service", complete: allServices, ask: showService,
		show: func(cmd *cobra.Command, s status.Lab, seen view) error {
			service := ""
			if len(seen.args) > 0 {
				found, err := findServiceStatus(s, seen.as, seen.args[0])
				if err != nil {
					return err
				}
				service = found.Name
			}
			connections := connectionsOf(s, service)
			if seen.json {
				return printJSON(cmd.OutOrStdout(), status.Connections{Head: status.NewHead(), Connections: connections})
			}
			printConnections(cmd.OutOrStdout(), connections, seen.as)
			none(cmd, len(connections), "connections", seen.as)
			return nil
		},
	}.command()
}

// connectionsOf are the endpoints of a service, or all where it is "".
func connectionsOf(s status.Lab, service string) []status.Endpoint {
	out := []status.Endpoint{}
	for _, ep := range s.Endpoints {
		if service == "" || ep.Service == service {
			out = append(out, ep)
		}
	}
	return out
}

func printConnections(w io.Writer, connections []status.Endpoint, as string) {
	t := newTable(w, "SERVICE", "ENDPOINT", extra("ENDPOINT ID"), extra("ENDPOINT VPC"), "ENDPOINT OWNER",
		extra("CONNECTION MODIFICATION TIME"), "STATUS", extra("CONNECTION BANDWIDTH"), "ACTIONS")
	for _, c := range connections {
		owner := fmt.Sprintf("%s (%s)", c.Account, c.AccountID)
		if c.Account == as {
			owner = "current account"
		}
		t.row(c.Service, c.Name, c.ID, c.VPCID, owner, stamp(c.Modified), c.State, bandwidthText(c.Bandwidth),
			dash(strings.Join(c.Actions, ", ")))
		for _, z := range c.Zones {
			if z.State != c.State && len(c.Zones) > 1 || z.Replaced != "" {
				text := z.State
				if z.Replaced != "" {
					text += fmt.Sprintf(" to %s, old sessions %s", z.LoadBalancer, z.Replaced)
				}
				t.row("", "  "+z.Zone, z.ENI, "", "", "", text, "", "")
			}
		}
	}
	t.flush()
}
