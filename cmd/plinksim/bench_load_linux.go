package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/bench"
)

func newBenchLoad() *cobra.Command {
	var b benchRun
	var l loadFlags
	var rates []string
	var pcapFile string
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Offer UDP frames of any sizes, flows and rates: what arrives, and when",
		Long: `Offer UDP traffic to each topology, made of whole frames: of one size or a mix
of sizes, on up to a million flows, from one or several instances, to the
provider, to the consumer or in both directions. Without --rates the senders
send as fast as they can.

At a rate, each frame has a time at which it is due. The latency is from then
until the frame is at the receiver's device, so a sender that is held up does
not hide it. Frames that a sender could not send are lost. Several rates are a
curve of latency under load; several sizes or numbers of flows are curves, too.

Sizes are those of Ethernet frames with their four bytes of check sequence
(RFC 2544). imix is seven frames of 64 bytes, four of 570 and one of 1518;
other mixes are written as RFC 6985 says, with a letter for each frame
(a 64, b 128, c 256, d 512, e 1024, f 1280, g 1518), and own sizes as capital
letters: aaAg:A=570.

--pcap writes the frames of one load for other programs (tcpreplay, trafgen,
Wireshark, "plinksim replay"): those of --seconds at its rate, or all sizes on all
flows once, and at most a million.`,
		Example: "  sudo plinksim bench load --frames 64,128,256,512,1024,1280,1518,imix\n" +
			"  sudo plinksim bench load --rates 10k,50k,100k,150k,200k --report latency.html\n" +
			"  sudo plinksim bench load --flows 1,100,10k,100k --senders 2 --path core,kernel\n" +
			"  plinksim bench load --frames imix --flows 1k --rates 10k --pcap load.pcap",
		Args: takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			load, err := l.loads(rates)
			if err != nil {
				return &usageError{err}
			}
			if pcapFile != "" {
				return writeLoad(pcapFile, load, b.options.Seconds)
			}
			b.options.Loads = load
			return b.run(cmd)
		},
	}
	l.flags(cmd)
	cmd.Flags().StringSliceVar(&rates, "rates", nil,
		"frames a second in each direction, as 50000 or 50k; as many as go where it is missing")
	cmd.Flags().StringVar(&pcapFile, "pcap", "",
		"measure nothing: write the frames that the senders send to the provider to this file")
	b.window(cmd)
	b.flags(cmd)
	return cmd
}

// writeLoad writes a packet file of the one load that the flags say.
func writeLoad(name string, loads []bench.Load, seconds float64) error {
	if len(loads) != 1 {
		return &usageError{fmt.Errorf("--pcap writes one load, and these are %d: give one size, number of flows and rate",
			len(loads))}
	}
	if err := (bench.Options{Loads: loads, Seconds: seconds}).Check(); err != nil {
		return &usageError{err}
	}
	during := time.Duration(seconds * float64(time.Second))
	return writeTo(name, func(w io.Writer) error { return loads[0].WritePcap(w, during) })
}

// loadFlags are those of loads that are made of whole frames.
type loadFlags struct {
	frames, flows []string
	senders       int
	direction     string
}

func (l *loadFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&l.frames, "frames", []string{"64"}, "sizes of frames, 64 to 1518, imix, or letters of RFC 6985")
	flags.StringSliceVar(&l.flows, "flows", []string{"1"}, "five-tuples that are used in turn, 1 to 1M")
	flags.IntVar(&l.senders, "senders", 1, "instances of the consumer that send, 1 to 16")
	flags.StringVar(&l.direction, "direction", string(bench.ToProvider), strings.Join(bench.Directions, ", "))
}

// loads are all combinations of what the flags say.
func (l *loadFlags) loads(rates []string) ([]bench.Load, error) {
	var frames []bench.Frames
	for _, text := range l.frames {
		f, err := bench.ParseFrames(text)
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
	flows, err := counts("--flows", l.flows)
	if err != nil {
		return nil, err
	}
	perSecond, err := counts("--rates", rates)
	if err != nil {
		return nil, err
	}
	if len(perSecond) == 0 {
		perSecond = []int{0}
	}
	if !slices.Contains(bench.Directions, l.direction) {
		return nil, fmt.Errorf("--direction %q: want %s", l.direction, strings.Join(bench.Directions, ", "))
	}
	return bench.Loads(frames, flows, l.senders, bench.Direction(l.direction), perSecond), nil
}

// counts reads numbers that may be in thousands or millions: 50k, 1M.
func counts(flag string, texts []string) ([]int, error) {
	var all []int
	for _, text := range texts {
		digits, unit := text, 1
		switch {
		case strings.HasSuffix(text, "k"):
			digits, unit = strings.TrimSuffix(text, "k"), 1000
		case strings.HasSuffix(text, "M"):
			digits, unit = strings.TrimSuffix(text, "M"), 1_000_000
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > 1_000_000_000/unit {
			return nil, fmt.Errorf("%s %q: want a number, for example 500, 50k or 1M", flag, text)
		}
		all = append(all, n*unit)
	}
	return all, nil
}
