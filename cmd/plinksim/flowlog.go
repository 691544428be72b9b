package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/flowlog"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newFlowLog() *cobra.Command {
	var labName, format string
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "flow-log [ENI...]",
		Short: "Write flow logs of ENIs, in the format of the lab's cloud",
		Long: `Write flow log records of ENIs, all of the lab's where none is named, until
ctrl-C: for each interval, interface, direction and five-tuple one line.

  aws      the fields of VPC flow logs, version 2 to 5, in the order of AWS's
           documentation, after a first line with their names
  alibaba  one JSON object a line, with the fields that Simple Log Service gets

An interface without traffic in an interval has a record with NODATA, and where
packets came faster than they could be counted, SKIPDATA. A packet that the lab
dropped is a REJECT, whatever the reason; "plinksim capture" shows the reason.
While it runs, packets go through userspace as they do for a capture.`,
		Example: "  sudo plinksim flow-log ep1 --interval 10s\n" +
			"  sudo plinksim flow-log >>flows.log",
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval < time.Second {
				return &usageError{fmt.Errorf("--interval %s: want 1s or more", interval)}
			}
			on := target{lab: labName, output: "table"}
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			now, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			_, plan, err := labPlan(cmd.Context(), now.Lab)
			if err != nil {
				return err
			}
			w, err := newFlowWriter(cmd.OutOrStdout(), cmd.ErrOrStderr(), plan, args, format)
			if err != nil {
				return err
			}
			waitFor("packets")
			return client.Capture(cmd.Context(), status.CaptureOptions{ENIs: args}, func(stream io.Reader) error {
				fmt.Fprintln(cmd.ErrOrStderr(), "plinksim: writing flow logs; ctrl-C ends it")
				return w.follow(cmd.Context(), stream, interval)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "aws or alibaba; that of the lab's cloud where it is missing, aws for rfc")
	cmd.Flags().DurationVar(&interval, "interval", time.Minute, "how long packets are gathered; the clouds have 1m and 10m")
	cmd.RegisterFlagCompletionFunc("format",
		cobra.FixedCompletions(flowLogFormats(), cobra.ShellCompDirectiveNoFileComp))
	addLab(cmd, &labName)
	return cmd
}

// flowWriter writes the records of a capture, interval by interval.
type flowWriter struct {
	out, stderr io.Writer
	line        func(flowlog.Record) string

	mu      sync.Mutex
	log     *flowlog.Log
	missing uint64
}

func newFlowWriter(out, stderr io.Writer, plan *topology.Plan, enis []string, format string) (*flowWriter, error) {
	of, ok := flowlog.FormatOf(format, plan)
	if !ok {
		return nil, &usageError{fmt.Errorf("--format %q: want %s", format, strings.Join(flowLogFormats(), " or "))}
	}
	log, err := flowlog.New(plan, enis, time.Now())
	if err != nil {
		return nil, err
	}
	if of.Header != "" {
		if _, err := fmt.Fprintln(out, of.Header); err != nil {
			return nil, err
		}
	}
	return &flowWriter{out: out, stderr: stderr, log: log, line: func(r flowlog.Record) string { return of.Line(log, r) }}, nil
}

func flowLogFormats() (names []string) {
	for _, f := range flowlog.Formats {
		names = append(names, f.Name)
	}
	return names
}

// follow reads a capture until it ends, and writes what has come after each
// interval and at the end.
func (w *flowWriter) follow(ctx context.Context, stream io.Reader, interval time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- w.read(stream) }()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if err := w.cut(now); err != nil {
				return err
			}
		case err := <-ended:
			if ctx.Err() != nil {
				err = nil // the stream was cut where it was
			}
			return errors.Join(err, w.cut(time.Now()))
		}
	}
}

func (w *flowWriter) read(stream io.Reader) error {
	return eachPacket(stream, w.stderr, func(r *pcap.Reader, p *pcap.Packet) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log.Add(p)
		if dropped := r.Dropped(); dropped != w.missing {
			w.missing = dropped
			w.log.Skip()
		}
		return nil
	})
}

func (w *flowWriter) cut(now time.Time) error {
	w.mu.Lock()
	records := w.log.Cut(now)
	w.mu.Unlock()
	for _, r := range records {
		if _, err := fmt.Fprintln(w.out, w.line(r)); err != nil {
			return err
		}
	}
	return nil
}
