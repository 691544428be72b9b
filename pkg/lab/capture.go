package lab

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// CaptureStream is a capture that has begun.
type CaptureStream struct {
	capture *dataplane.Capture
	enis    []*topology.ENI
	place   map[packet.ENI]int
	left    int // packets until it ends; -1 is for ever
	dropped []uint64
}

// Capture starts to copy what comes and goes at ENIs. The caller closes what
// it returns.
func (l *Lab) Capture(opts status.CaptureOptions) (*CaptureStream, error) {
	plan := l.Plan()
	enis := plan.ENIs()
	if len(opts.ENIs) > 0 {
		enis = nil
		for _, ref := range opts.ENIs {
			eni, err := plan.ENI(ref)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(enis, eni) {
				enis = append(enis, eni)
			}
		}
	}
	s := &CaptureStream{enis: enis, place: map[packet.ENI]int{}, left: opts.Count, dropped: make([]uint64, len(enis))}
	if opts.Count == 0 {
		s.left = -1
	}
	cfg := dataplane.CaptureConfig{Host: opts.Host, Port: opts.Port}
	numbers, names := l.numbers.all(), l.numbers.names(plan)
	for i, eni := range enis {
		number := numbers[eni.Device]
		s.place[number] = i
		cfg.ENIs = append(cfg.ENIs, number)
	}
	cfg.Name = func(eni packet.ENI) string { return names[eni] }
	var err error
	s.capture, err = l.engine.Capture(cfg)
	return s, err
}

// Close ends the capture.
func (s *CaptureStream) Close() { s.capture.Close() }

// Write writes pcapng to w until ctx ends, the lab does, or there are as many
// packets as were asked for; none of them is an error. It calls flush when
// there is nothing more to write for now.
func (s *CaptureStream) Write(ctx context.Context, w io.Writer, flush func()) error {
	out, err := pcap.NewNgWriter(w, "plinksim")
	if err != nil {
		return err
	}
	for _, eni := range s.enis {
		if _, err := out.AddInterface(eni.Name, eni.ID+" "+eni.IP.String()+" in "+eni.VPC); err != nil {
			return err
		}
	}
	for ; s.left != 0; s.left-- {
		if !s.capture.Waiting() {
			flush()
		}
		f, err := s.capture.Next(ctx)
		if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
			break
		}
		if err != nil {
			return err
		}
		if err := s.write(out, &f); err != nil {
			return err
		}
	}
	flush()
	return nil
}

// write adds a frame, and before it what is missing, if more is than before:
// a capture that is cut off still says so.
func (s *CaptureStream) write(out *pcap.NgWriter, f *dataplane.Captured) error {
	i := s.place[f.ENI]
	if seen, dropped := s.capture.Counts(i); dropped != s.dropped[i] {
		s.dropped[i] = dropped
		if err := out.WriteStatistics(i, time.Now().UnixNano(), seen, dropped); err != nil {
			return err
		}
	}
	return out.Write(i, &f.Packet)
}
