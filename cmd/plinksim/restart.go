package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

func newRestart() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "restart INSTANCE",
		Short: "End the services of an instance and start them again",
		Long: `End the services of an instance, the programs of "command:" with all that they
have started, and the built-in ones, and start them again. Their connections end;
sessions through endpoints find a server that knows nothing of them. Addresses
and interfaces stay: "plinksim instance stop" and "start" switch the instance off
and on. "plinksim up FILE" starts only what has ended by itself.`,
		Example: "  sudo plinksim restart db\n  sudo plinksim restart vpc2/db",
		Args:    takes(cobra.ExactArgs(1), "an instance"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return instanceNames(cmd.Context(), on.lab), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			services, err := client.Restart(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), api.Restarted{Schema: status.Schema, Services: services})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "instance %s: started again: %s\n", args[0], strings.Join(services, ", "))
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}
