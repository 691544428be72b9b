package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newServer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Register, deregister and weigh the servers of server groups",
		Long: `Change which servers a server group has (targets of a target group at AWS) while
the lab runs. What is changed lies over the topology file and lasts until the
lab is taken down, or its checks begin anew.`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newServerList(), newServerRegister(), newServerDeregister(), newServerWeight())
	return cmd
}

func newServerList() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "list [GROUP]",
		Short: "Show the servers of a group, or of all, with their sessions and their health",
		Args:  takes(cobra.MaximumNArgs(1), "at most one server group"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client("")
			if err != nil {
				return err
			}
			status, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			groups := status.ServerGroups
			if len(args) == 1 {
				groups = slices.DeleteFunc(groups, func(g lab.ServerGroupStatus) bool { return g.Name != args[0] })
				if len(groups) == 0 {
					return fmt.Errorf("server group %q does not exist", args[0])
				}
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), groups)
			}
			printServers(cmd.OutOrStdout(), lab.Status{ServerGroups: groups})
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}

func newServerRegister() *cobra.Command {
	var weight int
	cmd := newServerOperation(serverOperation{
		verb: "server-register", use: "register GROUP INSTANCE:PORT", takes: "a server group and INSTANCE:PORT", count: 2,
		short: "Let a server take sessions of a group",
		long: `Put a server into a server group. It takes sessions after its first successful
health check.`,
		finish: func(cmd *cobra.Command, _ []string, o *topology.Operation) error {
			if cmd.Flags().Changed("weight") {
				o.Weight = &weight
			}
			return nil
		},
	})
	cmd.Flags().IntVar(&weight, "weight", 100, "its share of the sessions, 0 to 100")
	return cmd
}

func newServerDeregister() *cobra.Command {
	return newServerOperation(serverOperation{
		verb: "server-deregister", use: "deregister GROUP SERVER", takes: "a server group and a server of it", count: 2,
		short: "Take a server out of a group",
		long: `Take a server, INSTANCE or INSTANCE:PORT, out of a server group. It takes no new
sessions; what becomes of those that it has, deregistration: of the group says.`,
	})
}

func newServerWeight() *cobra.Command {
	return newServerOperation(serverOperation{
		verb: "server-weight", use: "weight GROUP SERVER WEIGHT", takes: "a server group, a server of it and a weight", count: 3,
		short: "Change a server's share of the sessions",
		long: `Change the weight of a server, INSTANCE or INSTANCE:PORT, of a server group. With
0 it takes no new sessions, and those that it has go on.`,
		finish: func(_ *cobra.Command, args []string, o *topology.Operation) error {
			weight, err := strconv.Atoi(args[2])
			if err != nil {
				return &usageError{fmt.Errorf("server weight: %q is not a whole number", args[2])}
			}
			o.Weight = &weight
			return nil
		},
	})
}

type serverOperation struct {
	verb, use, takes, short, long string
	count                         int // of arguments
	finish                        func(*cobra.Command, []string, *topology.Operation) error
}

func newServerOperation(s serverOperation) *cobra.Command {
	var on target
	var as string
	cmd := &cobra.Command{
		Use: s.use, Short: s.short, Long: s.long,
		Args: takes(cobra.ExactArgs(s.count), s.takes),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := topology.Operation{Verb: s.verb, As: as, ServerGroup: args[0], Server: args[1]}
			if s.finish != nil {
				if err := s.finish(cmd, args, &o); err != nil {
					return err
				}
			}
			client, err := on.client("")
			if err != nil {
				return err
			}
			event, err := client.Do(cmd.Context(), api.Call{Operation: o, WaitSeconds: 10})
			if err != nil {
				return err
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), event)
			}
			fmt.Fprintln(cmd.OutOrStdout(), event.Text)
			return nil
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "the account that does it; the group's owner where it is missing")
	on.addFlags(cmd)
	return cmd
}
