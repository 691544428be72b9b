package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/replay"
	"github.com/plinksim/plinksim/pkg/status"
)

func newReplay() *cobra.Command {
	var in []string
	var maxSessions int
	opts := replay.Options{}
	cmd := &cobra.Command{
		Use:   "replay FILE --in ENI=PACKETS... --out DIR",
		Short: "Send packets from pcap files through a topology's NAT, in virtual time",
		Long: `Send packets from pcap or pcapng files, gzip or not, through the NAT of a
topology, without root and without the kernel. The packets' own times are the clock, so that an
idle hour in the file takes no time.

--in says which packets an ENI receives, and may be given several times; the
packets of all files are merged by time. An ENI is called NAME@ZONE as in
"status", NAME being an endpoint or a load balancer, or NAME alone where it is
in one zone. What leaves each ENI is written to DIR/ENI.pcap. The verdicts,
links and sessions are printed as JSON.

Every connection is connected, unless --not-connected names it, and every
server is healthy. Servers send only the packets that are in the file of their
load balancer. The same files and the same seed give the same output, byte by
byte.

An ENI takes packets that are for its MAC, 02:00 and the four bytes of its IPv4
address. Packets that were captured elsewhere have other MACs: --any-mac.`,
		Example: "  plinksim replay lab.yaml --in ep1=consumer.pcap --in clb1=provider.pcapng --out replayed",
		Args:    takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := readInputs(in, &opts); err != nil {
				return &usageError{err}
			}
			if err := checkMaxSessions(maxSessions); err != nil {
				return err
			}
			plan, err := load(args[0])
			if err != nil {
				return err
			}
			plan.MaxSessions = cmp.Or(maxSessions, plan.MaxSessions)
			summary, err := replay.Run(cmd.Context(), plan, opts)
			var bad *pcap.Error
			if !errors.As(err, &bad) && err != nil {
				return err
			}
			warnOutOfOrder(cmd.ErrOrStderr(), summary)
			if bad == nil {
				return printJSON(cmd.OutOrStdout(), summary)
			}
			if summary.Schema != "" { // some packets were good
				err = errors.Join(err, printJSON(cmd.OutOrStdout(), summary))
			}
			return withHint(err, "packets are read from pcap and pcapng files, captured whole (tcpdump -s 0 -w FILE)")
		},
	}
	cmd.Flags().StringArrayVar(&in, "in", nil,
		"ENI=PACKETS: the ENI receives the packets of that file; may be given several times")
	cmd.Flags().StringVar(&opts.Dir, "out", "",
		"directory for what leaves the ENIs; it is created if it does not exist")
	cmd.Flags().Uint64Var(&opts.Seed, "seed", 1, "chooses the NAT ports, 1 or more")
	addMaxSessions(cmd, &maxSessions)
	cmd.Flags().StringArrayVar(&opts.NotConnected, "not-connected", nil,
		"SERVICE/ENDPOINT: a connection that its provider has not accepted; may be given several times")
	cmd.Flags().BoolVar(&opts.AnyMAC, "any-mac", false, "take packets whatever MAC they are for")
	return cmd
}

func warnOutOfOrder(stderr io.Writer, summary status.Replay) {
	for _, in := range summary.Inputs {
		if in.OutOfOrder > 0 {
			fmt.Fprintf(stderr, "plinksim: warning: %s: out of order, and sent at the time of the latest before: %s "+
				"(reordercap %[1]s SORTED sorts them)\n", in.File, spell.Count(in.OutOfOrder, "packet"))
		}
	}
}

func readInputs(in []string, opts *replay.Options) error {
	switch {
	case len(in) == 0:
		return errors.New("replay needs packets: add --in ENI=PACKETS")
	case opts.Dir == "":
		return errors.New("replay needs a directory for its output: add --out DIR")
	case opts.Seed == 0:
		return errors.New("--seed 0: want 1 or more")
	}
	for _, text := range in {
		eni, file, ok := strings.Cut(text, "=")
		if !ok || eni == "" || file == "" {
			return fmt.Errorf("--in %q: want ENI=PACKETS, for example ep1=consumer.pcap", text)
		}
		opts.Inputs = append(opts.Inputs, replay.Input{ENI: eni, File: file})
	}
	return nil
}

// addMaxSessions is the flag that goes before max_sessions of a topology.
func addMaxSessions(cmd *cobra.Command, n *int) {
	cmd.Flags().IntVar(n, "max-sessions", 0,
		"how many sessions there may be at a time; max_sessions of the file, or 262144, where it is 0")
}

func checkMaxSessions(n int) error {
	if n == 0 {
		return nil
	}
	if err := fullnat.CheckMaxSessions(n); err != nil {
		return &usageError{fmt.Errorf("--max-sessions: %w", err)}
	}
	return nil
}
