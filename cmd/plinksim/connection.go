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
	both := []func(status.Lab, []string) []string{allServices, endpointsOf}
	zoned := []func(status.Lab, []string) []string{allServices, endpointsOf, zonesOf}
	return group("connection", "Manage the connections of endpoints as their providers do",
		`Manage the connections that endpoints have to endpoint services, as the services'
owners do in a cloud's console.`,
		newConnectionList(),
		accept("connection accept").command(),
		reject("connection reject").command(),
		operation{
			use: "bandwidth SERVICE ENDPOINT MBIT", short: "Change the bandwidth of a connection",
			long: `Change how much passes through a connection, in Mbit/s for each direction; none
is no limit. It is in force at once, also for sessions that are there.`,
			example: "  sudo plinksim connection bandwidth svc1 ep1 200",
			verb:    "bandwidth", least: 3, most: 3, want: "an endpoint service, an endpoint and a bandwidth in Mbit/s",
			read: func(o *topology.Operation, args []string) error {
				mbit, err := parseMbit(args[2])
				o.Service, o.Endpoint, o.Bandwidth = args[0], args[1], &mbit
				return err
			},
			complete: both,
		}.command(),
		group("zone", "Switch zones of a connection off and on", "Switch single zones of a connection off and on. A zone that is off takes nothing,\nand the endpoint's name leads to the others.",
			operation{
				use: "enable SERVICE ENDPOINT ZONE", short: "Connect a zone that was disabled",
				example: "  sudo plinksim connection zone enable svc1 ep1 eu-central-1b",
				verb:    "zone-enable", least: 3, most: 3, want: "an endpoint service, an endpoint and a zone", read: readConnectionZone, complete: zoned,
			}.command(),
			operation{
				use: "disable SERVICE ENDPOINT ZONE", short: "Disconnect a zone; sessions through it end",
				example: "  sudo plinksim connection zone disable svc1 ep1 eu-central-1b",
				verb:    "zone-disable", least: 3, most: 3, want: "an endpoint service, an endpoint and a zone", read: readConnectionZone, complete: zoned,
			}.command(),
		),
		operation{
			use: "replace SERVICE ENDPOINT ZONE [LOAD_BALANCER]", short: "Give a zone of a connection another load balancer",
			long: `Give a zone of a connection another load balancer of the service, the one that is
named or any. New sessions go there at once. Those that are there go on through
the old one until they end; then it is released, or "connection release" ends them.
With --force they end now.

In the cloud the zone gets a second ENI meanwhile, and its name leads there. Here
its ENI and address stay.`,
			example: "  sudo plinksim connection replace svc1 ep1 eu-central-1b clb2",
			verb:    "replace", least: 3, most: 4, want: "an endpoint service, an endpoint, a zone and perhaps a load balancer",
			read: func(o *topology.Operation, args []string) error {
				if len(args) > 3 {
					o.Resource = args[3]
				}
				return readConnectionZone(o, args)
			},
			flags: func(cmd *cobra.Command, o *topology.Operation) {
				cmd.Flags().BoolVar(&o.Force, "force", false, "end the sessions through the old one now")
			},
			complete: append(zoned[:3:3], allLoadBalancers),
		}.command(),
		operation{
			use: "release SERVICE ENDPOINT ZONE", short: "End the sessions through the load balancer that a zone had before",
			example: "  sudo plinksim connection release svc1 ep1 eu-central-1b",
			verb:    "release", least: 3, most: 3, want: "an endpoint service, an endpoint and a zone", read: readConnectionZone, complete: zoned,
		}.command(),
	)
}

func readConnection(o *topology.Operation, args []string) error {
	o.Service, o.Endpoint = args[0], args[1]
	return nil
}

func readConnectionZone(o *topology.Operation, args []string) error {
	o.Service, o.Endpoint, o.Zone = args[0], args[1], args[2]
	return nil
}

// resources is a flag that may be given several times.
type resources struct{ o *topology.Operation }

func (r *resources) Set(text string) error {
	resource, err := topology.ParseResource(text)
	if err == nil {
		r.o.Resources = append(r.o.Resources, resource)
	}
	return err
}

func (r *resources) String() string { return "" }
func (r *resources) Type() string   { return "resource" }

func newConnectionList() *cobra.Command {
	return listing{
		use: "list [SERVICE]", short: "List connections, of one service or of all",
		long: `List the connections of endpoints to a service, as the console shows them to its
owner. The actions are those of "connection" that are possible now.`,
		most: 1, want: "at most one endpoint service", complete: allServices,
		show: func(cmd *cobra.Command, s status.Lab, seen view) error {
			if len(seen.args) > 0 {
				if _, err := findServiceStatus(s, seen.as, seen.args[0]); err != nil {
					return err
				}
			}
			connections := connectionsOf(s, first(seen.args))
			if seen.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"schema": status.Schema, "connections": connections})
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
	t := newTable(w, "SERVICE", "ENDPOINT", "ENDPOINT ID", "ENDPOINT VPC", "ENDPOINT OWNER", "CONNECTION MODIFICATION TIME", "STATUS", "CONNECTION BANDWIDTH", "ACTIONS")
	for _, c := range connections {
		owner := fmt.Sprintf("%s (%s)", c.Account, c.AccountID)
		if c.Account == as {
			owner = "current account"
		}
		t.row(c.Service, c.Name, c.ID, c.VPCID, owner, stamp(c.Modified), c.State, bandwidthText(c.Bandwidth), dash(strings.Join(c.Actions, ", ")))
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
