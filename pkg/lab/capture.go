package lab

import (
	"context"
	"errors"
	"fmt"
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
	plan := l.here.of(l.Plan())
	enis := plan.ENIs()
	if len(opts.ENIs) > 0 {
		enis = nil
		for _, ref := range opts.ENIs {
			eni, err := plan.ENI(ref)
			if other, known := l.Plan().ENI(ref); err != nil && known == nil {
				err = fmt.Errorf("%s is on host %q: capture it there", other.Name, l.here.elsewhere(l.Plan(), other.Zone))
			}
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

// Next is the next packet, with the name of its ENI. The error is io.EOF when ctx
// has ended, the lab has, or there were as many packets as were asked for.
func (s *CaptureStream) Next(ctx context.Context) (pcap.Packet, error) {
	f, err := s.next(ctx)
	if err != nil {
		return pcap.Packet{}, err
	}
	f.Interface = s.enis[s.place[f.ENI]].Name
	return f.Packet, nil
}

func (s *CaptureStream) next(ctx context.Context) (dataplane.Captured, error) {
	if s.left == 0 {
		return dataplane.Captured{}, io.EOF
	}
	s.left--
	f, err := s.capture.Next(ctx)
	if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
		return f, io.EOF
	}
	return f, err
}

// Write writes pcapng to w until Next has no more. It calls flush when there is
// nothing more to write for now.
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
	for {
		if !s.capture.Waiting() {
			flush()
		}
		f, err := s.next(ctx)
		if errors.Is(err, io.EOF) {
			flush()
			return nil
		}
		if err == nil {
			err = s.write(out, &f)
		}
		if err != nil {
			return err
		}
	}
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
