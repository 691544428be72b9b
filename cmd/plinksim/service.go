package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newService() *cobra.Command {
	return group("service", "Manage endpoint services as their providers do",
		`Manage the endpoint services of a running lab as their providers do in a cloud's
console. Changes are kept beside the topology file: they stay when the daemon is
started again and when "up" applies a changed file. "check" puts everything back.

An account that may not see a service is told that it does not exist: try --as
ACCOUNT.`,
		listing{
			use: "list", short: "List endpoint services",
			long: `List endpoint services; with --as those that an account sees, which are its own
and those that have it on their whitelist.`,
			want: "no arguments",
			show: func(cmd *cobra.Command, s status.Lab, seen view) error {
				if seen.json {
					return printJSON(cmd.OutOrStdout(), status.EndpointServices{Head: status.NewHead(), Services: s.Services})
				}
				printServiceList(cmd.OutOrStdout(), s.Cloud, s.Services)
				none(cmd, len(s.Services), "endpoint services", seen.as)
				return nil
			},
		}.command(),
		newServiceShow(),
		group("service whitelist", "Say which accounts see and use a service",
			`Say which accounts see and use an endpoint service (allowed principals at AWS).
The owner always does. "*" stands for everybody.`,
			newWhitelistList()),
	)
}

var serviceOperations = []operation{
	{
		verb: topology.VerbServiceSet, path: "service set", args: "SERVICE", keys: "service",
		short: "Change the description, auto accept, zone affinity or bandwidth of a service",
		long: `Change attributes of an endpoint service. What is not named stays as it is. The
bandwidth is for connections that are accepted later; auto accept for endpoints
that are created later.`,
		example: `  sudo plinksim service set svc1 --auto-accept
  sudo plinksim service set svc1 --bandwidth 200 --description "orders, for tests"
  sudo plinksim service set svc1 --auto-accept=false`,
		flags: []flag{
			description,
			{"auto-accept", "auto_accept", "connect endpoints without asking"},
			{"zone-affinity", "zone_affinity", "an endpoint's name leads to the asker's zone first"},
			{"bandwidth", "bandwidth", "Mbit/s of connections that are accepted later, or none"},
		},
	},
	{
		verb: topology.VerbServiceCreate, path: "service create", args: "SERVICE", keys: "service",
		short: "Create a service",
		long: `Create an endpoint service: by its name alone one that the topology file has with
exists: false, or one that was deleted; otherwise one that offers the load balancers
that are named, in all of their zones. Their account is its owner.`,
		example: `  sudo plinksim service create svc1
  sudo plinksim service create svc2 --resource clb1 --description "orders"`,
		flags: []flag{{"resource", "load_balancers", "a load balancer that it offers"}, description},
	},
	{
		verb: topology.VerbServiceDelete, path: "service delete", args: "SERVICE", keys: "service",
		short: "Delete a service",
		long: `Delete an endpoint service. Alibaba Cloud wants every connection disconnected and
every load balancer detached before; AWS wants no connection that is available or
waits. Endpoints that are left have lost their service for good.`,
		example: "  sudo plinksim service delete svc1",
	},
	{
		verb: topology.VerbAttach, path: "service attach", args: "SERVICE LOAD_BALANCER", keys: "service resource",
		short: "Offer a load balancer, in one of its zones or in all",
		long: `Attach a load balancer of the service's owner to the service, in one zone or in
all of the load balancer's. Connections that are there stay where they are.`,
		example: `  sudo plinksim service attach svc1 clb2
  sudo plinksim service attach svc1 nlb2 --zone eu-central-1b`,
		flags: []flag{oneZone},
	},
	{
		verb: topology.VerbDetach, path: "service detach", args: "SERVICE LOAD_BALANCER", keys: "service resource",
		short: "Stop offering a load balancer",
		long: `Detach a load balancer from the service, in one zone or in all. One that a
connection uses stays: move the connection to another first.`,
		example: `  sudo plinksim connection replace svc1 ep1 eu-central-1b clb2
  sudo plinksim service detach svc1 clb1`,
		flags: []flag{oneZone},
	},
	{
		verb: topology.VerbWhitelistAdd, path: "service whitelist add",
		args: "SERVICE ACCOUNT...", keys: "service account",
		short:   "Let accounts see and use a service",
		long:    "Put accounts on the whitelist of a service.",
		example: "  sudo plinksim service whitelist add svc1 customer",
	},
	{
		verb: topology.VerbWhitelistRemove, path: "service whitelist remove",
		args: "SERVICE ACCOUNT...", keys: "service account",
		short: "Take accounts off the whitelist",
		long: `Take accounts off the whitelist of a service. They do not see it any more and
cannot create endpoints. Connections that they have stay as they are: reject them
to end them.`,
		example: "  sudo plinksim service whitelist remove svc1 customer",
	},
}

var (
	description = flag{"description", "description", "a text for people, \"\" for none"}
	oneZone     = flag{"zone", "zone", "only in this zone; in all of the load balancer's where it is missing"}
)

func newWhitelistList() *cobra.Command {
	return listing{
		use: "list SERVICE", short: "List the accounts that see a service",
		long:  "List the accounts on the whitelist of a service. Only the owner of the service sees them.",
		least: 1, most: 1, want: "one endpoint service", complete: allServices, ask: showService,
		show: func(cmd *cobra.Command, s status.Lab, seen view) error {
			svc, err := findServiceStatus(s, seen.as, seen.args[0])
			if err != nil {
				return err
			}
			if seen.json {
				return printJSON(cmd.OutOrStdout(), status.Whitelist{Head: status.NewHead(), Whitelist: svc.Whitelist})
			}
			for _, account := range svc.Whitelist {
				fmt.Fprintln(cmd.OutOrStdout(), account)
			}
			return nil
		},
	}.command()
}

func showService(args []string) topology.Operation {
	return topology.Operation{Verb: topology.VerbServiceShow, Service: args[0]}
}

func newServiceShow() *cobra.Command {
	return listing{
		use: "show SERVICE", short: "Show one endpoint service with its connections",
		least: 1, most: 1, want: "one endpoint service", complete: allServices, ask: showService,
		show: func(cmd *cobra.Command, s status.Lab, seen view) error {
			svc, err := findServiceStatus(s, seen.as, seen.args[0])
			if err != nil {
				return err
			}
			if seen.json {
				return printJSON(cmd.OutOrStdout(),
					status.OneEndpointService{Head: status.NewHead(), EndpointService: *svc})
			}
			printService(cmd.OutOrStdout(), s.Cloud, *svc)
			connections := connectionsOf(s, svc.Name)
			section(cmd.OutOrStdout(), func(w io.Writer) { printConnections(w, connections, seen.as) })
			return nil
		},
	}.command()
}

func findServiceStatus(s status.Lab, as, name string) (*status.EndpointService, error) {
	for i := range s.Services {
		if named(name, s.Services[i].Name, s.Services[i].ID, s.Services[i].ServiceName) {
			return &s.Services[i], nil
		}
	}
	if as != "" {
		return nil, fmt.Errorf("endpoint service %q does not exist to account %q", name, as)
	}
	return nil, fmt.Errorf("endpoint service %q does not exist", name)
}

func printServiceList(w io.Writer, cloud string, services []status.EndpointService) {
	affinity := topology.Cloud(cloud).Profile().ZoneAffinity
	header := []any{"SERVICE", extra("SERVICE ID"), "OWNER", "STATUS", extra("ZONES"), "RESOURCES", "AUTO ACCEPT"}
	if affinity {
		header = append(header, extra("ZONE AFFINITY"))
	}
	t := newTable(w, append(header, "CONNECTIONS", extra("DESCRIPTION"))...)
	for _, s := range services {
		row := []any{s.Name, s.ID, s.Account, s.State, dash(strings.Join(s.Zones, ",")),
			dash(strings.Join(s.Resources, ",")), yesNo(s.AutoAccept)}
		if affinity {
			row = append(row, yesNo(s.ZoneAffinity))
		}
		t.row(append(row, s.Connections, dash(s.Description))...)
	}
	t.flush()
}

func printService(w io.Writer, cloud string, s status.EndpointService) {
	t := newTable(w)
	t.row("service:", s.Name)
	t.row("id:", s.ID)
	t.row("service name:", s.ServiceName)
	t.row("domain:", s.Domain)
	t.row("owner:", s.Account)
	t.row("status:", s.State)
	t.row("description:", dash(s.Description))
	t.row("zones:", dash(strings.Join(s.Zones, ", ")))
	if len(s.Resources) > 0 {
		t.row("resources:", strings.Join(s.Resources, ", "))
	}
	t.row("auto accept:", yesNo(s.AutoAccept))
	if topology.Cloud(cloud).Profile().ZoneAffinity {
		t.row("zone affinity:", yesNo(s.ZoneAffinity))
	}
	t.row("payer:", s.Payer)
	t.row("bandwidth:", bandwidthText(s.Bandwidth)+" for each new connection")
	if len(s.Whitelist) > 0 {
		t.row("whitelist:", strings.Join(s.Whitelist, ", "))
	}
	t.row("modified:", stamp(s.Modified))
	t.flush()
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
