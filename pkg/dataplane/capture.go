package dataplane

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
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
	// values choose all.
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
		e.tap = &tap{others: map[side]side{}}
	}
	e.tap.captures = append(e.tap.captures, c)
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
	host := !c.cfg.Host.IsValid() || s.src.Addr() == c.cfg.Host || s.dst.Addr() == c.cfg.Host
	port := c.cfg.Port == 0 || s.src.Port() == c.cfg.Port || s.dst.Port() == c.cfg.Port
	return host && port
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

// side is a frame on one side of the translation.
type side struct {
	eni      packet.ENI
	protocol uint8
	src, dst netip.AddrPort
}

func sideOf(eni packet.ENI, data []byte) side {
	var p packet.Packet
	switch packet.Parse(data, &p) {
	case packet.Malformed, packet.NotIP, packet.ARP:
		return side{}
	}
	src, dst := p.Addrs(data)
	return side{eni, p.Protocol, netip.AddrPortFrom(src, p.SrcPort), netip.AddrPortFrom(dst, p.DstPort)}
}

func (s side) String() string {
	switch s.protocol {
	case packet.ProtocolTCP:
		return fmt.Sprintf("tcp %s > %s", s.src, s.dst)
	case packet.ProtocolUDP:
		return fmt.Sprintf("udp %s > %s", s.src, s.dst)
	case packet.ProtocolICMP:
		return fmt.Sprintf("icmp %s > %s", s.src.Addr(), s.dst.Addr())
	}
	return fmt.Sprintf("protocol %d %s > %s", s.protocol, s.src.Addr(), s.dst.Addr())
}

// tap is where an engine's captures see its frames. The engine's mutex guards
// it.
type tap struct {
	captures []*Capture
	arrived  []Captured // of the burst that is being judged
	sides    []side     // of those
	// others are the other sides of what has been forwarded and may leave
	// later, if the link delays it.
	others map[side]side
}

// arrive copies what came, before anything is edited.
func (t *tap) arrive(frames []packet.Frame) {
	now := time.Now().UnixNano()
	t.arrived, t.sides = t.arrived[:0], t.sides[:0]
	for i := range frames {
		t.arrived = append(t.arrived, copied(&frames[i], now, pcap.Received))
		t.sides = append(t.sides, sideOf(frames[i].ENI, frames[i].Data))
	}
}

// tellVerdicts says what became of the frames that arrived and asked for no neighbour.
func (t *tap) tellVerdicts(frames []packet.Frame, verdicts []fullnat.Verdict) {
	for i, n := 0, 0; i < len(t.arrived); i++ {
		f, other := t.arrived[i], side{}
		if !packet.AsksNeighbour(f.Data) {
			if verdicts[n] == fullnat.Forwarded {
				other = sideOf(frames[n].ENI, frames[n].Data)
				t.remember(other, t.sides[i])
			} else {
				f.Comment = "dropped: " + verdicts[n].String()
			}
			n++
		}
		t.offer(f, t.sides[i], other)
	}
}

func (t *tap) remember(there, here side) {
	if len(t.others) == maxOtherSides {
		clear(t.others)
	}
	t.others[there] = here
}

// leave copies what is sent.
func (t *tap) leave(frames []packet.Frame) {
	now := time.Now().UnixNano()
	for i := range frames {
		here := sideOf(frames[i].ENI, frames[i].Data)
		t.offer(copied(&frames[i], now, pcap.Sent), here, t.others[here])
	}
}

func (t *tap) offer(f Captured, here, other side) {
	for _, c := range t.captures {
		c.offer(f, here, other)
	}
}

func (t *tap) remove(c *Capture) {
	if t == nil {
		return
	}
	for i := range t.captures {
		if t.captures[i] == c {
			t.captures = append(t.captures[:i:i], t.captures[i+1:]...)
			c.end.Do(func() { close(c.ended) })
			return
		}
	}
}

// end closes all captures.
func (t *tap) end() {
	for t != nil && len(t.captures) > 0 {
		t.remove(t.captures[0])
	}
}

func copied(f *packet.Frame, now int64, direction pcap.Direction) Captured {
	c := copyOf(*f)
	if c.Offload.NeedsCsum {
		complete(&c)
	}
	return Captured{c.ENI, pcap.Packet{Time: now, Data: c.Data, Direction: direction}}
}
