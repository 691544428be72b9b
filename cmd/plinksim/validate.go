package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
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
			fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: lab %s, %s, %s, %s, %s, %s\n", args[0], plan.Name,
				spell.Count(len(plan.VPCs), "VPC"), spell.Count(instances, "instance"),
				spell.Count(len(plan.Services), "endpoint service"), spell.Count(len(plan.Endpoints), "endpoint"),
				spell.Count(len(plan.Checks), "check"))
			return nil
		},
	}
}
