package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newDiff() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "diff FILE", Short: "Print what \"up\" would change in the running lab",
		Long: `Print what "up" with this file would change in the lab of its name: + comes, - goes,
~ changes, in the words of the file. Edits that were made while the lab runs stay and are
not different; "plinksim edit list" prints them. Where the lab is not up, all comes.`,
		Example: "  sudo plinksim diff lab.yaml",
		Args:    takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			plan, err := load(args[0])
			if err != nil {
				return err
			}
			changes, err := differences(cmd.Context(), plan)
			if err != nil {
				return err
			}
			return showChanges(cmd, output, changes)
		},
	}
	addOutput(cmd, &output)
	return cmd
}

// differences are what "up" would change.
func differences(ctx context.Context, plan *topology.Plan) ([]topology.Change, error) {
	names, err := labdir.Names()
	if err != nil {
		return nil, err
	}
	client := api.NewClient(labdir.Of(plan.Name))
	if slices.Contains(names, plan.Name) && client.Answers(ctx) {
		return client.Diff(ctx, plan.File, plan.Source)
	}
	return topofile.Differences(nil, plan)
}

func newExport() *cobra.Command {
	on := target{output: "table"}
	cmd := &cobra.Command{
		Use: "export [LAB]", Short: "Print a running lab as it is now, as a topology file",
		Long: `Print a running lab as it is now, as a topology file: the file of the lab with what was
edited and with what operations changed. "up" with it makes the same lab. What no file can
say, such as that an owner accepted a connection, is on standard error. Faults are not in it.`,
		Example: "  sudo plinksim export >lab.yaml", Args: takes(cobra.MaximumNArgs(1), "one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			client, err := on.client(cmd.Context(), name)
			if err != nil {
				return err
			}
			exported, err := client.Export(cmd.Context())
			if err != nil {
				return err
			}
			for _, note := range exported.Notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: not in the file: %s\n", note)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), exported.Text)
			return err
		},
	}
	addLab(cmd, &on.lab)
	return cmd
}
