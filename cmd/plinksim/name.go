package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newName() *cobra.Command {
	var labName string
	cmd := &cobra.Command{
		Use:   "name REFERENCE",
		Short: "Print the domain name or the address of an endpoint, for scripts",
		Long: `Print what a reference stands for, as the checks of a topology file write it
between ${ and }.

  ep1                      the domain name of endpoint ep1
  ep1@eu-central-1b        its name in one zone
  ep1.ip                   the address of its ENI in its first zone
  ep1@eu-central-1b.ip     the address of its ENI in that zone`,
		Example: "  curl_url=http://$(plinksim name ep1)/",
		Args:    takes(cobra.ExactArgs(1), "one reference"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return references(cmd.Context(), labName), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			_, plan, err := labPlan(cmd.Context(), labName)
			if err != nil {
				return err
			}
			text, err := plan.Lookup(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), text)
			return nil
		},
	}
	addLab(cmd, &labName)
	return cmd
}

func references(ctx context.Context, labName string) []string {
	_, plan, err := labPlan(ctx, labName)
	if err != nil {
		return nil
	}
	var refs []string
	for _, ep := range plan.Endpoints {
		refs = append(refs, ep.Name, ep.Name+".ip")
		for _, zone := range ep.Zones {
			refs = append(refs, ep.Name+"@"+zone.Zone, ep.Name+"@"+zone.Zone+".ip")
		}
	}
	return refs
}
