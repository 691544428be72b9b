package main

import (
	"errors"
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
	var quick, compare bool
	var b benchRun
	var instances, endpoints []string
	cmd := &cobra.Command{
		Use:   "bench [FILE]",
		Short: "Measure the data plane against the kernel's NAT on this machine, or what a topology carries",
		Long: `Without a file, build the same topology four times: through plinksim's data plane (core), the
same with its flow cache (cache), through a router that does SNAT and DNAT with
nftables (kernel), and through one that only forwards, which is the limit
(forward). "null" in --path is the kernel's NAT once more: its ratio to the first
is what chance does. Run the same loads through them in turn: bulk TCP, small UDP packets
of one and two senders, request/response, short connections, and 100,000 packets
per second that must all arrive. The generators are part of this program.
Everything is removed afterwards.

Six rounds and more give intervals that have the median with 95 % confidence.
--compare holds two files of --json against each other, and says which
differences are more than chance.

With a file, measure what its own topology carries, with the bandwidths,
impairments and security groups that it has: uploads and downloads, requests,
short connections and small UDP packets. They go from an instance to each endpoint,
at the endpoint's address in the instance's zone, to its first TCP and
its first UDP port, and all servers behind it answer. --instance and --endpoint name
others. The file is built twice, without (core) and with the flow cache (cache), as labs of
their own: a lab that is up from it is not touched. Generators take the place of the
programs on its instances, so there are no health checks; endpoint
connections are accepted.

The commands below measure with frames of all sizes and up to a million flows.

The figures depend on what else the machine does: --quiet 30s waits before
each measurement until the machine is idle, at most 30 seconds.`,
		Example: "  sudo plinksim bench --quick\n" +
			"  sudo plinksim bench --rounds 9 --json bench.json --report bench.html\n" +
			"  plinksim bench --compare before.json after.json\n" +
			"  sudo plinksim bench --quick lab.yaml\n" +
			"  sudo plinksim bench lab.yaml --instance vpc1/ecs1 --endpoint ep1:443 --path core\n" +
			"  sudo plinksim bench alibaba-clb --only download   # a topology that plinksim has",
		Args: func(cmd *cobra.Command, args []string) error {
			if compare {
				return takes(cobra.ExactArgs(2), "two files of --json")(cmd, args)
			}
			return takes(cobra.MaximumNArgs(1), "at most one topology file")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if compare {
				if err := checkOutput(b.output); err != nil {
					return err
				}
				return compareBench(cmd.OutOrStdout(), args[0], args[1])
			}
			if err := b.use(args, instances, endpoints); err != nil {
				return err
			}
			if quick {
				if !cmd.Flags().Changed("rounds") {
					b.options.Rounds = 3
				}
				if !cmd.Flags().Changed("seconds") {
					b.options.Seconds = 0.3
				}
			}
			return b.run(cmd)
		},
	}
	b.flags(cmd)
	b.window(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&quick, "quick", false, "3 rounds of 0.3 s: a look in less than a minute")
	flags.StringVar(&b.only, "only", "", "run the loads whose name this regular expression matches")
	flags.StringSliceVar(&instances, "instance", nil,
		"of a file: the instances that load, as VPC/NAME; one in each endpoint's VPC where it is missing")
	flags.StringSliceVar(&endpoints, "endpoint", nil,
		"of a file: the endpoints to measure, ep1 or ep1:443; all where it is missing")
	flags.BoolVar(&compare, "compare", false, "measure nothing: compare the two files that are given")
	cmd.AddCommand(newBenchLoad(), newBenchSearch(), newBenchSessions())
	return cmd
}

// use measures the topology of a file, if there is one.
func (b *benchRun) use(args, instances, endpoints []string) error {
	if len(args) == 0 {
		if len(instances)+len(endpoints) > 0 {
			return &usageError{errors.New("--instance and --endpoint are for a topology file")}
		}
		return nil
	}
	plan, err := load(args[0])
	if err != nil {
		return err
	}
	if b.options.Own, err = bench.NewOwn(plan, instances, endpoints); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}

// benchRun is what all commands of bench have in common.
type benchRun struct {
	options                            bench.Options
	only, jsonFile, reportFile, output string
	from                               []string
}

func (b *benchRun) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&b.options.Rounds, "rounds", 5, "how often each load runs through each topology")
	flags.DurationVar(&b.options.Quiet, "quiet", 0,
		"wait at most so long before each measurement, until the machine is idle")
	flags.IntVar(&b.options.Workers, "workers", 1, "threads that carry the data plane's packets: 1, 2, 4, ...")
	flags.StringSliceVar(&b.options.Paths, "path", nil, "some of core, cache, kernel, forward and null; all but the last where it is missing")
	flags.StringVar(&b.jsonFile, "json", "", "write everything that was measured to this file")
	flags.StringVar(&b.reportFile, "report", "",
		"write a report to this file: .html with plots, .svg the plots alone, .md tables, .csv all values")
	flags.StringSliceVar(&b.from, "from", nil,
		"measure nothing: use the figures of earlier --json files, which may be parts of a measurement")
	addOutput(cmd, &b.output)
}

// window adds the flag of commands that measure for a time.
func (b *benchRun) window(cmd *cobra.Command) {
	cmd.Flags().Float64Var(&b.options.Seconds, "seconds", 2, "how long each load runs")
}

// run measures, or reads what was measured, and writes it.
func (b *benchRun) run(cmd *cobra.Command) error {
	if err := checkOutput(b.output); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	if len(b.from) > 0 {
		var parts []*bench.Report
		for _, name := range b.from {
			part, err := readBench(name)
			if err != nil {
				return err
			}
			parts = append(parts, part)
		}
		report, err := bench.Merge(parts...)
		if err != nil {
			return err
		}
		return b.write(cmd.OutOrStdout(), report)
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
	b.options.Progress = benchProgress(progress)
	progress.say(fmt.Sprintf("this takes about %s", took(b.options.Estimate().Round(time.Second))))
	report, err := bench.Run(cmd.Context(), b.options)
	progress.end()
	if err != nil {
		return err
	}
	return b.write(cmd.OutOrStdout(), report)
}

// check completes the options, so that a wrong one is found at once and not after
// minutes.
func (b *benchRun) check() error {
	if b.only != "" {
		match, err := regexp.Compile(b.only)
		if err != nil {
			return &usageError{fmt.Errorf("--only: %w", err)}
		}
		b.options.Only = match
	}
	if b.reportFile != "" && reportWriter(&bench.Report{}, b.reportFile) == nil {
		return &usageError{fmt.Errorf("--report %q: want a name that ends in .html, .svg, .md or .csv", b.reportFile)}
	}
	if err := b.options.Check(); err != nil {
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

func (b *benchRun) write(stdout io.Writer, report *bench.Report) error {
	if b.jsonFile != "" {
		if err := writeTo(b.jsonFile, report.WriteJSON); err != nil {
			return err
		}
	}
	if b.reportFile != "" {
		if err := writeTo(b.reportFile, reportWriter(report, b.reportFile)); err != nil {
			return err
		}
	}
	if b.output == "json" {
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
