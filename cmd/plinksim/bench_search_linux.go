package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/bench"
)

func newBenchSearch() *cobra.Command {
	var b benchRun
	var l loadFlags
	var trial time.Duration
	var resolution, loss float64
	var tries int
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Search the highest rate without loss, by bisection (RFC 2544, RFC 8219)",
		Long: `Search the throughput: the highest rate of UDP frames at which none is lost. The
search begins with as many frames as the senders can send, and halves the
interval in which the throughput is until it is small. Each trial offers one
rate for a time. It passes when the loss is within --loss and the senders kept
the rate: the kernel's NAT works in its sender's time, and makes it late
before it loses a frame.

RFC 2544 wants trials of 60 seconds; that is "--trial 60s". A rate that fails is
tried again (--tries), as a machine that does something else for a moment loses
frames at any rate. All trials are in the file of --json.`,
		Example: "  sudo plinksim bench search\n" +
			"  sudo plinksim bench search --frames 64,512,1518,imix --trial 10s --report throughput.html\n" +
			"  sudo plinksim bench search --loss 0.001 --flows 100k --path core,kernel",
		Args: takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loads, err := l.loads(nil)
			if err != nil {
				return &usageError{err}
			}
			for _, load := range loads {
				b.options.Searches = append(b.options.Searches,
					bench.Search{Load: load, Trial: trial, Resolution: resolution, Loss: loss, Tries: tries})
			}
			return b.run(cmd)
		},
	}
	l.flags(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&trial, "trial", time.Second, "how long a trial is, 50ms to 1m")
	flags.Float64Var(&resolution, "resolution", 0.02, "how exact the rate is to be, as a share of it")
	flags.Float64Var(&loss, "loss", 0, "the share of the frames that may be lost, 0.001 is one of a thousand")
	flags.IntVar(&tries, "tries", 2, "how often a rate is tried until it passes")
	b.flags(cmd)
	return cmd
}
