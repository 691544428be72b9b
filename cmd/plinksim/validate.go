package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Aliases: []string{"lint"},
		Short: "Check a topology file and show every problem at once",
		Args:  takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := load(args[0])
			if err != nil {
				return err
			}
			for _, warning := range plan.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: %s\n", warning.String())
			}
			instances := 0
			for _, vpc := range plan.VPCs {
				instances += len(vpc.Instances)
			}
			fmt.Fprintf(cmd.OutOrStdout(),
				"%s is valid: lab %s, %d VPCs, %d instances, %d endpoint services, %d endpoints, %d checks\n",
				args[0], plan.Name, len(plan.VPCs), instances, len(plan.Services), len(plan.Endpoints),
				len(plan.Checks))
			return nil
		},
	}
}
