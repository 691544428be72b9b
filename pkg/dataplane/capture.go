package dataplane

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
)

// CaptureConfig says which frames are wanted.
type CaptureConfig struct {
	ENIs []packet.ENI
	// Name is what an ENI is called in comments; ENIs that are not captured
	// are asked for too.
	Name func(packet.ENI) string
	// Host and Port choose the frames in which they occur, as source or
	// destination, on this or on the other side of the translation. The zero
	// values choose all. An ICMP error has the ports of the packet that it quotes,
	// a fragment those of its datagram, and any as long as they are not known.
	Host netip.Addr
	Port uint16
	// Queue is how many frames may wait for a slow reader; 0 means 4,096.
	Queue int
}

const (
	defaultCaptureQueue = 4096
	maxCaptureBytes     = 32 << 20 // what waits, of one capture
	maxOtherSides       = 1 << 16  // what the comments of one engine need
)

// Captured is a copy of a frame as the ENI's side of the wire sees it:
// checksums that are left to a device are finished, and superframes are whole.
type Captured struct {
	ENI packet.ENI
	pcap.Packet
}

// Capture is what comes and goes at some ENIs while it is open. Next is for
// one goroutine.
type Capture struct {
	engines []*Engine
	cfg     CaptureConfig
	place   map[packet.ENI]int // in cfg.ENIs
	queue   chan Captured
	bytes   atomic.Int64 // that wait
	counts  []captureCounts
	end     sync.Once
	ended   chan struct{}
}

type captureCounts struct{ seen, dropped atomic.Uint64 }

var errCaptureEnded = fmt.Errorf("capture: %w", os.ErrClosed)

// Capture starts to copy frames. It costs the engine a copy of each; without
// one, a look at a pointer for each burst.
func (e *Engine) Capture(cfg CaptureConfig) (*Capture, error) {
	return newCapture(cfg, e)
}

func newCapture(cfg CaptureConfig, engines ...*Engine) (*Capture, error) {
	if cfg.Queue == 0 {
		cfg.Queue = defaultCaptureQueue
	}
	c := &Capture{
		engines: engines, cfg: cfg, place: map[packet.ENI]int{},
		queue: make(chan Captured, cfg.Queue), counts: make([]captureCounts, len(cfg.ENIs)), ended: make(chan struct{}),
	}
	for i, eni := range cfg.ENIs {
		c.place[eni] = i
	}
	for _, e := range engines {
		if err := e.tapFor(c); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func (e *Engine) tapFor(c *Capture) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errEngineClosed
	}
	if e.tap == nil {
		e.tap = newTap()
	}
	e.tap.captures = append(e.tap.captures, c)
	e.table.Divert(c.isAt)
	return nil
}

// Next waits for a frame. It returns an error when ctx ends, and one that is
// os.ErrClosed when the capture or the engine was closed.
func (c *Capture) Next(ctx context.Context) (Captured, error) {
	select {
	case f := <-c.queue:
		c.bytes.Add(-int64(len(f.Data)))
		return f, nil
	default:
	}
	select {
	case f := <-c.queue:
		c.bytes.Add(-int64(len(f.Data)))
		return f, nil
	case <-c.ended:
		return Captured{}, errCaptureEnded
	case <-ctx.Done():
		return Captured{}, ctx.Err()
	}
}

// Waiting says whether Next would return at once.
func (c *Capture) Waiting() bool { return len(c.queue) > 0 }

// Counts is how many frames of an ENI, by its place in CaptureConfig.ENIs, were
// wanted, and how many of them were dropped because nobody read fast enough.
func (c *Capture) Counts(place int) (seen, dropped uint64) {
	return c.counts[place].seen.Load(), c.counts[place].dropped.Load()
}

// Close ends the capture. A second Close does nothing.
func (c *Capture) Close() {
	for _, e := range c.engines {
		e.untap(c)
	}
}

func (e *Engine) untap(c *Capture) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tap.remove(c)
	if e.tap != nil && len(e.tap.captures) == 0 {
		e.tap = nil
	}
}

func (c *Capture) offer(f Captured, here, other side) {
	i, wanted := c.place[f.ENI]
	if !wanted || !(c.matches(here) || c.matches(other)) {
		return
	}
	c.counts[i].seen.Add(1)
	if c.bytes.Load()+int64(len(f.Data)) > maxCaptureBytes {
		c.counts[i].dropped.Add(1)
		return
	}
	f.Interface = c.cfg.Name(f.ENI)
	f.Comment = c.comment(f, other)
	c.bytes.Add(int64(len(f.Data)))
	select {
	case c.queue <- f:
	default:
		c.bytes.Add(-int64(len(f.Data)))
		c.counts[i].dropped.Add(1)
	}
}

func (c *Capture) matches(s side) bool {
	host := !c.cfg.Host.IsValid() || s.Src.Addr() == c.cfg.Host || s.Dst.Addr() == c.cfg.Host
	return host && (c.cfg.Port == 0 || s.hasPort(c.cfg.Port))
}

// comment tells what stands on no wire: what became of a frame, or what it was.
func (c *Capture) comment(f Captured, other side) string {
	switch {
	case other.eni == 0:
		return f.Comment
	case f.Direction == pcap.Received:
		return fmt.Sprintf("leaves %s as %s", c.cfg.Name(other.eni), other)
	}
	return fmt.Sprintf("came to %s as %s", c.cfg.Name(other.eni), other)
}
