package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newEndpoint() *cobra.Command {
	return group("endpoint", "Manage endpoints as their consumers do",
		`Manage the endpoints of a running lab as their consumers do in a cloud's console.
Changes are kept beside the topology file: they stay when the daemon is started
again and when "up" applies a changed file. "check" puts everything back.`,
		listing{
			use: "list", short: "List endpoints",
			long: "List endpoints; with --as those of an account, and those connected to its services.",
			want: "no arguments",
			show: func(cmd *cobra.Command, s status.Lab, seen view) error {
				if seen.json {
					return printJSON(cmd.OutOrStdout(), status.Endpoints{Head: status.NewHead(), Endpoints: s.Endpoints})
				}
				printEndpointList(cmd.OutOrStdout(), s.Cloud, s.Endpoints)
				none(cmd, len(s.Endpoints), "endpoints", seen.as)
				return nil
			},
		}.command(),
		listing{
			use: "show ENDPOINT", short: "Show one endpoint with its zones",
			least: 1, most: 1, want: "one endpoint", complete: allEndpoints,
			ask: func(args []string) topology.Operation {
				return topology.Operation{Verb: topology.VerbEndpointShow, Endpoint: args[0]}
			},
			show: func(cmd *cobra.Command, s status.Lab, seen view) error {
				ep, err := findEndpointStatus(s, seen.as, seen.args[0])
				if err != nil {
					return err
				}
				if seen.json {
					return printJSON(cmd.OutOrStdout(), status.OneEndpoint{Head: status.NewHead(), Endpoint: *ep})
				}
				printEndpoint(cmd.OutOrStdout(), s.Cloud, *ep)
				return nil
			},
		}.command(),
		group("endpoint zone", "Put an endpoint into zones, or take it out",
			`Put an endpoint into the zones for which the topology file gives it a subnet, or
take it out of them. A zone that joins a connected endpoint is connected at once.`),
		group("endpoint group", "Put an endpoint into security groups, or take it out",
			`Put an endpoint into security groups of its VPC, or take it out. New sessions are
judged by the new groups; those that are there go on, as groups are asked when a
session begins. An endpoint in no group takes everything; at AWS it is in one at least.`),
	)
}

var endpointOperations = []operation{
	{
		verb: topology.VerbEndpointCreate, path: "endpoint create", args: "ENDPOINT", keys: "endpoint",
		short: "Create an endpoint",
		long: `Create an endpoint: by its name alone one that the topology file has with exists:
false, or one that was deleted; otherwise one in the VPC and the subnets that are
named. Its account, that of the VPC, must be on the whitelist of the service.`,
		example: `  sudo plinksim endpoint create ep1
  sudo plinksim endpoint create ep2 --service svc1 --vpc vpc1 --subnet vsw1 --group web`,
		flags: []flag{
			{"service", "service", "the endpoint service that it leads to"},
			{"vpc", "vpc", "the VPC that it is in"},
			{"subnet", "subnets", "a subnet for each of its zones"},
			{"group", "security_groups", "a security group of its VPC; without one, its default group at AWS, and elsewhere nothing is filtered"},
			{"private-dns", "private_dns", "its VPC knows it by the private DNS name of its service"},
			description,
		},
	},
	{
		verb: topology.VerbEndpointDelete, path: "endpoint delete", args: "ENDPOINT", keys: "endpoint",
		short: "Delete an endpoint, and its connection with it",
		long: `Delete an endpoint. Sessions through it end. Alibaba Cloud wants its zones
removed before; AWS does not.`,
		example: "  sudo plinksim endpoint zone remove ep1 eu-central-1b\n  sudo plinksim endpoint delete ep1",
	},
	{
		verb: topology.VerbEndpointSet, path: "endpoint set", args: "ENDPOINT", keys: "endpoint",
		short: "Change the description, zone affinity or private DNS of an endpoint",
		long: `Change an endpoint. A zone affinity of its own goes before that of its service.
With private DNS its VPC knows it by the private DNS name of its service; where
the service's owner accepts connections, it can be enabled only after that.`,
		example: `  sudo plinksim endpoint set ep1 --description "orders of the shop"
  sudo plinksim endpoint set ep1 --zone-affinity=false
  sudo plinksim endpoint set ep1 --private-dns`,
		flags: []flag{
			description,
			{"zone-affinity", "zone_affinity", "its name leads to the asker's zone first"},
			{"private-dns", "private_dns", "its VPC knows it by the private DNS name of its service"},
		},
	},
	{
		verb: topology.VerbZoneAdd, path: "endpoint zone add", args: "ENDPOINT ZONE", keys: "endpoint zone",
		short:   "Put an endpoint into a zone that it was taken out of",
		example: "  sudo plinksim endpoint zone add ep1 eu-central-1b",
	},
	{
		verb: topology.VerbZoneRemove, path: "endpoint zone remove", args: "ENDPOINT ZONE", keys: "endpoint zone",
		short:   "Take an endpoint out of a zone; sessions through it end",
		example: "  sudo plinksim endpoint zone remove ep1 eu-central-1b",
	},
	{
		verb: topology.VerbGroupAdd, path: "endpoint group add",
		args: "ENDPOINT SECURITY_GROUP", keys: "endpoint security_group",
		short:   "Put an endpoint into a security group",
		example: "  sudo plinksim endpoint group add ep1 web",
	},
	{
		verb: topology.VerbGroupRemove, path: "endpoint group remove",
		args: "ENDPOINT SECURITY_GROUP", keys: "endpoint security_group",
		short:   "Take an endpoint out of a security group",
		example: "  sudo plinksim endpoint group remove ep1 web",
	},
}

func findEndpointStatus(s status.Lab, as, name string) (*status.Endpoint, error) {
	for i := range s.Endpoints {
		if named(name, s.Endpoints[i].Name, s.Endpoints[i].ID) {
			return &s.Endpoints[i], nil
		}
	}
	if as != "" {
		return nil, fmt.Errorf("endpoint %q does not exist to account %q", name, as)
	}
	return nil, fmt.Errorf("endpoint %q does not exist", name)
}

func printEndpointList(w io.Writer, cloud string, endpoints []status.Endpoint) {
	one := topology.Cloud(cloud).Profile().OneEndpointState
	header := []any{"ENDPOINT", extra("ENDPOINT ID"), "OWNER", "VPC", "SERVICE", "STATUS"}
	if !one {
		header = append(header, "CONNECTION")
	}
	t := newTable(w, append(header, "ZONES", extra("SECURITY GROUPS"))...)
	for _, ep := range endpoints {
		var zones []string
		for _, z := range ep.Zones {
			zones = append(zones, z.Zone)
		}
		row := []any{ep.Name, ep.ID, ep.Account, ep.VPC, ep.Service, ep.EndpointState}
		if !one {
			row = append(row, ep.State)
		}
		t.row(append(row, dash(strings.Join(zones, ",")), dash(strings.Join(ep.SecurityGroups, ",")))...)
	}
	t.flush()
}

func printEndpoint(w io.Writer, cloud string, ep status.Endpoint) {
	t := newTable(w)
	t.row("endpoint:", ep.Name)
	t.row("id:", ep.ID)
	t.row("domain:", ep.Domain)
	t.row("owner:", ep.Account)
	t.row("vpc:", fmt.Sprintf("%s (%s)", ep.VPC, ep.VPCID))
	t.row("service:", ep.Service)
	if topology.Cloud(cloud).Profile().OneEndpointState {
		t.row("status:", fmt.Sprintf("%s since %s", ep.EndpointState, stamp(ep.Since)))
	} else {
		t.row("status:", ep.EndpointState)
		t.row("connection:", fmt.Sprintf("%s since %s", ep.State, stamp(ep.Since)))
	}
	t.row("bandwidth:", bandwidthText(ep.Bandwidth))
	t.row("security groups:", dash(strings.Join(ep.SecurityGroups, ", ")))
	t.row("description:", dash(ep.Description))
	t.flush()
	section(w, func(w io.Writer) { printZones(w, ep.Zones) })
}

// printZones leaves out load balancers, which consumers do not see, where there
// are none.
func printZones(w io.Writer, zones []status.Zone) {
	shown := slices.ContainsFunc(zones, func(z status.Zone) bool { return z.LoadBalancer != "" })
	header := []any{"ZONE", "STATUS", extra("SUBNET"), extra("ENI"), "ADDRESS"}
	if shown {
		header = append(header, "LOAD BALANCER")
	}
	t := newTable(w, append(header, "NAME")...)
	for _, z := range zones {
		row := []any{z.Zone, z.State, z.Subnet, z.ENI, z.IP}
		if shown {
			balancer := dash(z.LoadBalancer)
			if z.Replaced != "" {
				balancer += ", old sessions " + z.Replaced
			}
			row = append(row, balancer)
		}
		t.row(append(row, z.Domain)...)
	}
	t.flush()
}
