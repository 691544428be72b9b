package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/bench"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/rootless"
)

func newBench() *cobra.Command {
	var quick bool
	var only, from, jsonFile, reportFile, output string
	var compare bool
	var options bench.Options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the data plane against the kernel's NAT on this machine",
		Long: `Build the same topology four times: through plinksim's data plane (core), the
same with its flow cache (cache), through a router that does SNAT and DNAT with
nftables (kernel), and through one that only forwards, which is the limit
(forward). Run the same loads through them in turn: bulk TCP, small UDP packets
of one and two senders, request/response, short connections, and 100,000 packets
per second that must all arrive. The generators are part of this program.
Everything is removed afterwards.

Six rounds and more give intervals that have the median with 95 % confidence.
--compare holds two files of --json against each other, and says which
differences are more than chance.

The figures depend on what else the machine does: --quiet 30s waits before
each measurement until the machine is idle, at most 30 seconds.`,
		Example: "  sudo plinksim bench --quick\n" +
			"  sudo plinksim bench --rounds 9 --json bench.json --report bench.html\n" +
			"  plinksim bench --compare before.json after.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if compare {
				return takes(cobra.ExactArgs(2), "two files of --json")(cmd, args)
			}
			return takes(cobra.NoArgs, "no arguments")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if compare {
				return compareBench(cmd.OutOrStdout(), args[0], args[1])
			}
			if err := checkBench(cmd, quick, only, reportFile, &options); err != nil {
				return err
			}
			if from != "" {
				report, err := readBench(from)
				if err != nil {
					return err
				}
				return writeBench(cmd.OutOrStdout(), report, output, jsonFile, reportFile)
			}
			if err := needRights("bench", host.SysAdmin, host.NetAdmin, host.NetRaw, host.NetBindService); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				os.Setenv(labdir.RootVariable, labdir.Root())
				code, err := rootless.Again()
				if err != nil {
					return err
				}
				return exitCode(code)
			}
			progress := newProgress(cmd.ErrOrStderr())
			defer progress.end()
			options.Progress = benchProgress(progress)
			progress.say(fmt.Sprintf("this takes about %s", took(options.Estimate().Round(time.Second))))
			report, err := bench.Run(cmd.Context(), options)
			progress.end()
			if err != nil {
				return err
			}
			return writeBench(cmd.OutOrStdout(), report, output, jsonFile, reportFile)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&quick, "quick", false, "3 rounds of 0.3 s: a look in less than a minute")
	flags.IntVar(&options.Rounds, "rounds", 5, "how often each load runs through each topology")
	flags.Float64Var(&options.Seconds, "seconds", 2, "how long each load runs")
	flags.DurationVar(&options.Quiet, "quiet", 0,
		"wait at most so long before each measurement, until the machine is idle")
	flags.StringVar(&only, "only", "", "run the loads whose name this regular expression matches")
	flags.IntVar(&options.Workers, "workers", 1, "threads that carry the data plane's packets: 1, 2, 4, ...")
	flags.StringSliceVar(&options.Paths, "path", nil, "core, cache, kernel or forward; all where it is missing")
	flags.BoolVar(&compare, "compare", false, "measure nothing: compare the two files that are given")
	flags.StringVar(&jsonFile, "json", "", "write everything that was measured to this file")
	flags.StringVar(&reportFile, "report", "",
		"write a report to this file: .html with plots, .svg the plots alone, .md tables, .csv all values")
	flags.StringVar(&from, "from", "", "measure nothing: use the figures of an earlier --json file")
	addOutput(cmd, &output)
	return cmd
}

// checkBench completes the options, so that a wrong one is found at once and
// not after minutes.
func checkBench(cmd *cobra.Command, quick bool, only, reportFile string, o *bench.Options) error {
	if quick {
		if !cmd.Flags().Changed("rounds") {
			o.Rounds = 3
		}
		if !cmd.Flags().Changed("seconds") {
			o.Seconds = 0.3
		}
	}
	if only != "" {
		match, err := regexp.Compile(only)
		if err != nil {
			return &usageError{fmt.Errorf("--only: %w", err)}
		}
		o.Only = match
	}
	if reportFile != "" && reportWriter(&bench.Report{}, reportFile) == nil {
		return &usageError{fmt.Errorf("--report %q: want a name that ends in .html, .svg, .md or .csv", reportFile)}
	}
	if err := o.Check(); err != nil {
		return &usageError{err}
	}
	return nil
}

// benchProgress keeps the lines apart where there is no terminal: one for
// each round is enough there.
func benchProgress(p *progress) func(done, total int, what string) {
	round := ""
	return func(done, total int, what string) {
		if p.terminal {
			p.show(done, total, what)
			return
		}
		now, _, _ := strings.Cut(what, ", ")
		if now != round {
			round = now
			p.say(what)
		}
	}
}

func writeBench(stdout io.Writer, report *bench.Report, output, jsonFile, reportFile string) error {
	if jsonFile != "" {
		if err := writeTo(jsonFile, report.WriteJSON); err != nil {
			return err
		}
	}
	if reportFile != "" {
		if err := writeTo(reportFile, reportWriter(report, reportFile)); err != nil {
			return err
		}
	}
	if output == "json" {
		return report.WriteJSON(stdout)
	}
	return report.WriteTable(stdout)
}

// reportWriter is what writes the form that a file's name asks for, nil where
// there is no such form.
func reportWriter(report *bench.Report, name string) func(io.Writer) error {
	switch filepath.Ext(name) {
	case ".html":
		return report.WriteHTML
	case ".svg":
		return report.WriteSVG
	case ".md":
		return report.WriteMarkdown
	case ".csv":
		return report.WriteCSV
	}
	return nil
}

// readBench reads what --json wrote.
func readBench(name string) (*bench.Report, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	report, err := bench.ReadJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no report of a benchmark: %w", name, err)
	}
	return report, nil
}

func compareBench(stdout io.Writer, before, after string) error {
	old, err := readBench(before)
	if err != nil {
		return err
	}
	now, err := readBench(after)
	if err != nil {
		return err
	}
	return bench.WriteComparison(stdout, old, now)
}

func writeTo(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
