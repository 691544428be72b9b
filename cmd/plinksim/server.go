package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newServer() *cobra.Command {
	return group("server", "Register, deregister and weigh the servers of server groups",
		`Change which servers a server group has (targets of a target group at AWS) while
the lab runs. Changes are kept beside the topology file, until the
lab is taken down, or its checks start.`,
		newServerList(), newServerRegister(), newServerDeregister(), newServerWeight())
}

func newServerList() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "list [GROUP]",
		Short: "Show the servers of a group, or of all, with their sessions and their health",
		Args:  takes(cobra.MaximumNArgs(1), "at most one server group"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			now, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			groups := now.ServerGroups
			if len(args) == 1 {
				groups = slices.DeleteFunc(groups, func(g status.ServerGroup) bool { return g.Name != args[0] })
				if len(groups) == 0 {
					return fmt.Errorf("server group %q does not exist", args[0])
				}
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), groups)
			}
			printServers(cmd.OutOrStdout(), status.Lab{ServerGroups: groups})
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}

func newServerRegister() *cobra.Command {
	return operation{
		use: "register GROUP INSTANCE:PORT", short: "Let a server take sessions of a group",
		long: `Put a server into a server group. It takes sessions after its first successful
health check.`,
		example: "  sudo plinksim server register web web-3:80 --weight 50",
		verb:    "server-register", least: 2, most: 2, want: "a server group and INSTANCE:PORT", read: readServer,
		flags: func(cmd *cobra.Command, o *topology.Operation) {
			cmd.Flags().Var(&optional[int]{&o.Weight, parseWeight}, "weight", "its share of the sessions, 0 to 100; 100 where it is missing")
		},
		complete: []func(status.Lab, []string) []string{allServerGroups},
	}.command()
}

func newServerDeregister() *cobra.Command {
	return operation{
		use: "deregister GROUP SERVER", short: "Take a server out of a group",
		long: `Take a server, INSTANCE or INSTANCE:PORT, out of a server group. It takes no new
sessions; what becomes of those that it has, deregistration: of the group says.`,
		example: "  sudo plinksim server deregister web web-3",
		verb:    "server-deregister", least: 2, most: 2, want: "a server group and a server of it", read: readServer,
		complete: []func(status.Lab, []string) []string{allServerGroups, serversOf},
	}.command()
}

func newServerWeight() *cobra.Command {
	return operation{
		use: "weight GROUP SERVER WEIGHT", short: "Change a server's share of the sessions",
		long: `Change the weight of a server, INSTANCE or INSTANCE:PORT, of a server group. With
0 it takes no new sessions, and those that it has go on.`,
		example: "  sudo plinksim server weight web web-3 0",
		verb:    "server-weight", least: 3, most: 3, want: "a server group, a server of it and a weight",
		read: func(o *topology.Operation, args []string) error {
			o.ServerGroup, o.Server = args[0], args[1]
			weight, err := parseWeight(args[2])
			o.Weight = &weight
			return err
		},
		complete: []func(status.Lab, []string) []string{allServerGroups, serversOf},
	}.command()
}

func readServer(o *topology.Operation, args []string) error {
	o.ServerGroup, o.Server = args[0], args[1]
	return nil
}

func allServerGroups(s status.Lab, _ []string) (names []string) {
	for _, g := range s.ServerGroups {
		names = append(names, g.Name)
	}
	return names
}

// serversOf are those of the group that is the first argument.
func serversOf(s status.Lab, args []string) (names []string) {
	for _, g := range s.ServerGroups {
		if g.Name == args[0] {
			for _, server := range g.Servers {
				_, name, _ := strings.Cut(server.Instance, "/")
				names = append(names, fmt.Sprintf("%s:%d", name, server.Address.Port()))
			}
		}
	}
	return names
}

func parseWeight(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}
