package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/doctor"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/rootless"
)

func newDoctor() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine allows labs to do, what is missing, and how to get it",
		Long: `Look at this machine as the user who runs the command: user namespaces and
capabilities, the parts of the kernel that labs use, limits, and what else runs
here. What can be tried is tried, in a small lab that is removed.

The exit code is 0 where labs in network namespaces can run, and 1 where only
those in the process of a Go test can.`,
		Example: "  plinksim doctor\n  sudo plinksim doctor -o json",
		Args:    takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			report := doctor.Examine(cmd.Context())
			if output == "json" {
				if err := printJSON(cmd.OutOrStdout(), report); err != nil {
					return err
				}
			} else {
				printReport(cmd.OutOrStdout(), report)
			}
			if report.Labs.Kernel == "" {
				return exitCode(1)
			}
			return nil
		},
	}
	addOutput(cmd, &output)
	return cmd
}

func printReport(w io.Writer, r doctor.Report) {
	fmt.Fprintf(w, "%s, as %s\n\n", r.Machine, r.User)
	for _, c := range r.Checks {
		fmt.Fprintf(w, "%-10s %s: %s\n", c.State, c.Name, c.Found)
		for _, more := range []struct{ word, text string }{{"so", c.Means}, {"do", c.Remedy}} {
			if more.text != "" {
				fmt.Fprintf(w, "%-10s   %s: %s\n", "", more.word, more.text)
			}
		}
	}
	switch r.Labs.Kernel {
	case "":
		fmt.Fprintln(w, "\nno lab can run in network namespaces; in the process of a Go test labs can (plinktest.InProcess)")
	case "root":
		fmt.Fprintln(w, "\nlabs can run, as root")
	default:
		fmt.Fprintf(w, "\nlabs can run, in a %s: no sudo is needed\n", r.Labs.Kernel)
	}
}

// tryForDoctor is what doctor.TryCommand does.
func tryForDoctor() int {
	rootless.Arrive(true)
	if json.NewEncoder(os.Stdout).Encode(doctor.Try()) != nil {
		return 1
	}
	return 0
}

// toDoctor adds to what the machine does not allow who knows more.
func toDoctor(err error) error {
	if !errors.As(err, new(*host.Denied)) && !errors.As(err, new(*rootless.Refused)) {
		return err
	}
	return withHint(err, "%s; \"plinksim doctor\" says what else is missing", hintOf(err))
}
