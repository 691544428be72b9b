package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

func newCheck() *cobra.Command {
	var on target
	var run checkRun
	cmd := &cobra.Command{
		Use:   "check [LAB]",
		Short: "Run the checks of a lab's topology file",
		Long: `Run the verification steps that the topology file lists, in their order, and
print a table of what was expected and what came. First everything is put back
to what the file says, and connections that need acceptance wait again, so that
the checks give the same result each time. The exit code is 1 when a check failed.

With --only, the checks whose name a regular expression matches are run, and the
steps before them that change something, for example accept a connection.
--junit writes the results for a CI system as well.

With --file the checks are those of another file, of which nothing else is read, and
edits stay: "plinksim edit list" prints them.`,
		Example: "  sudo plinksim check\n" +
			"  sudo plinksim check --only 'both servers' --fail-fast\n" +
			"  sudo plinksim check --file alibaba-clb.yaml\n" +
			"  sudo plinksim check --junit results.xml",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := regexp.Compile(run.only); err != nil {
				return &usageError{fmt.Errorf("--only: %w", err)}
			}
			client, err := on.client(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return run.check(cmd, client, on.output == "json")
		},
	}
	cmd.Flags().StringVar(&run.only, "only", "", "run the checks whose name this regular expression matches")
	cmd.Flags().BoolVar(&run.failFast, "fail-fast", false, "end at the first check that fails")
	cmd.Flags().StringVar(&run.file, "file", "", "run the checks of this file on the lab as it is")
	cmd.Flags().StringVar(&run.junit, "junit", "", "also write the results to this file, as JUnit's XML")
	on.addFlags(cmd)
	return cmd
}

// checkRun is how checks are run, and where else their results go.
type checkRun struct {
	only     string
	failFast bool
	file     string // of the checks, "" for the lab's
	junit    string // a file
}

// check prints each result when it is there.
func (run checkRun) check(cmd *cobra.Command, client *api.Client, asJSON bool) (err error) {
	out := cmd.OutOrStdout()
	results := []status.Check{}
	failed, skipped := 0, 0
	call := api.CheckCall{Only: run.only, FailFast: run.failFast}
	if run.file != "" {
		if call.File, err = os.ReadFile(run.file); err != nil {
			return err
		}
		if len(call.File) == 0 {
			return fmt.Errorf("%s: the file is empty", run.file)
		}
	}
	if run.junit != "" {
		// Before the checks, which take their time: a file that cannot be
		// written is told first.
		f, openErr := os.Create(run.junit)
		if openErr != nil {
			return openErr
		}
		defer func() {
			err = errors.Join(writeJUnit(f, client.Lab(), results), f.Close(), err)
		}()
	}
	err = client.Check(cmd.Context(), call, func(r status.Check) error {
		results = append(results, r)
		switch {
		case r.Skipped:
			skipped++
		case !r.Passed:
			failed++
		}
		if !asJSON {
			printCheck(screenOf(out), r, len(results) == 1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(out, status.Checks{Head: status.NewHead(), Checks: results}); err != nil {
			return err
		}
	} else if len(results) == 0 {
		fmt.Fprintln(out, "the topology file of the lab has no checks")
	} else {
		fmt.Fprintf(out, "\n%d passed, %d failed", len(results)-failed-skipped, failed)
		if skipped > 0 {
			fmt.Fprintf(out, ", %d not run on this host", skipped)
		}
		fmt.Fprintln(out)
	}
	if failed > 0 {
		return exitCode(1)
	}
	return nil
}

// checkColumns is the least width that has room for what was expected beside
// what came. On less, what was expected is shown of a check that failed.
const checkColumns = 120

// printCheck prints results as they come, so that the widths of columns are
// chosen beforehand.
func printCheck(w *screen, r status.Check, header bool) {
	mark := w.paint("ok  ", green)
	if !r.Passed {
		mark = w.paint("FAIL", red)
	}
	if r.Skipped {
		mark, r.Passed = "skip", true // which is shown as briefly
	}
	if w.columns == 0 || w.columns >= checkColumns {
		if header {
			fmt.Fprintf(w, "%-5s %-4s %-46s %-30s %s\n", "", "", "CHECK", "EXPECTED", "CAME")
		}
		name, expect, came := r.Name, r.Expect, r.Got
		if w.columns > 0 && r.Passed {
			name, expect, came = shortened(name, 46), shortened(expect, 30), shortened(came, w.columns-89)
		}
		fmt.Fprintf(w, "%2d/%-2d %s %-46s %-30s %s\n", r.Number, r.Of, mark, name, expect, came)
		if !r.Passed {
			fmt.Fprintf(w, "      %s\n", r.Does)
		}
		return
	}
	name := max(20, w.columns/2)
	if header {
		fmt.Fprintf(w, "%-5s %-4s %-*s %s\n", "", "", name, "CHECK", "CAME")
	}
	if r.Passed {
		fmt.Fprintf(w, "%2d/%-2d %s %-*s %s\n", r.Number, r.Of, mark, name, shortened(r.Name, name),
			shortened(r.Got, max(10, w.columns-name-12)))
		return
	}
	fmt.Fprintf(w, "%2d/%-2d %s %s\n", r.Number, r.Of, mark, r.Name)
	fmt.Fprintf(w, "           expected: %s\n           came: %s\n           %s\n", r.Expect, r.Got, r.Does)
}
