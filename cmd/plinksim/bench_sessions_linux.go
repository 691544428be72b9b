package main

import (
	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/bench"
)

func newBenchSessions() *cobra.Command {
	var b benchRun
	var numbers []string
	var outstanding int
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "Open many TCP sessions at the same time, and use all of them (RFC 3511)",
		Long: `Open a number of TCP sessions through each topology as fast as they go, send
requests on all of them in turn while all are open, and close them: how many
open in a second, how long that takes, whether all of them can be used, and how
fast requests are answered then. Several numbers are a curve.

Both ends are made of frames: a client that remembers a few bytes for each
session and a server that remembers nothing, so that up to a million sessions
need neither sockets nor ports of their kernels. --seconds is how long requests
are sent, and each session has one at least.`,
		Example: "  sudo plinksim bench sessions --sessions 1k,10k,100k\n" +
			"  sudo plinksim bench sessions --sessions 200k --outstanding 512 --path core,kernel",
		Args: takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := counts("--sessions", numbers)
			if err != nil {
				return &usageError{err}
			}
			b.options.Sessions = bench.SessionSweep(all, outstanding)
			return b.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&numbers, "sessions", []string{"1k", "10k", "100k"}, "how many sessions are open at the same time, 1 to 1M")
	flags.IntVar(&outstanding, "outstanding", 64, "how many of them wait for an answer at a time")
	b.window(cmd)
	b.flags(cmd)
	return cmd
}
