package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

func newCheck() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "check [LAB]",
		Short: "Run the checks of a lab's topology file",
		Long: `Run the verification steps that the topology file lists, in their order, and
print a table of what was expected and what came. First everything is put back
to what the file says, and connections that need acceptance wait again, so that
the checks give the same result each time. The exit code is 1 when a check failed.`,
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return check(cmd, client, on.output == "json")
		},
	}
	on.addFlags(cmd)
	return cmd
}

// check prints each result when it is there.
func check(cmd *cobra.Command, client *api.Client, asJSON bool) error {
	out := cmd.OutOrStdout()
	results := []status.Check{}
	failed := 0
	err := client.Check(cmd.Context(), func(r status.Check) error {
		results = append(results, r)
		if !r.Passed {
			failed++
		}
		if !asJSON {
			printCheck(out, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(out, map[string]any{"schema": status.Schema, "checks": results}); err != nil {
			return err
		}
	} else if len(results) == 0 {
		fmt.Fprintln(out, "the topology file of the lab has no checks")
	} else {
		fmt.Fprintf(out, "\n%d passed, %d failed\n", len(results)-failed, failed)
	}
	if failed > 0 {
		return exitCode(1)
	}
	return nil
}

func printCheck(w io.Writer, r status.Check) {
	if r.Number == 1 {
		fmt.Fprintf(w, "%-5s %-4s %-46s %-30s %s\n", "", "", "CHECK", "EXPECTED", "CAME")
	}
	mark := "ok"
	if !r.Passed {
		mark = "FAIL"
	}
	fmt.Fprintf(w, "%2d/%-2d %-4s %-46s %-30s %s\n", r.Number, r.Of, mark, r.Name, r.Expect, r.Got)
	if !r.Passed {
		fmt.Fprintf(w, "      %s\n", r.Does)
	}
}
