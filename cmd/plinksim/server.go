package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newServer() *cobra.Command {
	return group("server", "Register, deregister and weigh the servers of server groups",
		`Change which servers a server group has (targets of a target group at AWS) while
the lab runs. Changes are kept beside the topology file, until the
lab is taken down, or its checks start.`,
		newServerList())
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
				return printJSON(cmd.OutOrStdout(), status.ServerGroups{Head: status.NewHead(), ServerGroups: groups})
			}
			printServers(cmd.OutOrStdout(), status.Lab{ServerGroups: groups})
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}

var serverOperations = []operation{
	{
		verb: topology.VerbServerRegister, path: "server register",
		args: "GROUP INSTANCE:PORT", keys: "server_group server",
		short: "Let a server take sessions of a group",
		long: `Put a server into a server group. It takes sessions after its first successful
health check.`,
		example: "  sudo plinksim server register web web-3:80 --weight 50",
		flags:   []flag{{"weight", "weight", "its share of the sessions, 0 to 100; 100 where it is missing"}},
	},
	{
		verb: topology.VerbServerDeregister, path: "server deregister",
		args: "GROUP SERVER", keys: "server_group server",
		short: "Take a server out of a group",
		long: `Take a server, INSTANCE or INSTANCE:PORT, out of a server group. It takes no new
sessions; what becomes of those that it has, deregistration: of the group says.`,
		example: "  sudo plinksim server deregister web web-3",
	},
	{
		verb: topology.VerbServerWeight, path: "server weight",
		args: "GROUP SERVER WEIGHT", keys: "server_group server weight",
		short: "Change a server's share of the sessions",
		long: `Change the weight of a server, INSTANCE or INSTANCE:PORT, of a server group. With
0 it takes no new sessions, and those that it has go on.`,
		example: "  sudo plinksim server weight web web-3 0",
	},
}
