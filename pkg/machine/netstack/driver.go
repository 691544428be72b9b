package netstack

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/packet"
)

// driver implements dataplane.Driver with a port for every ENI on the switch of
// its subnet. It waits on channels alone.
type driver struct {
	ready chan struct{} // holds a token while a Read shall look again

	mu     sync.Mutex
	ports  map[packet.ENI]*eniPort
	queue  []packet.Frame
	woken  bool
	closed bool
	stats  dataplane.DriverStats
}

// longestQueue bounds what waits to be read.
const longestQueue = 4096

var errDriverClosed = fmt.Errorf("in-process driver: %w", os.ErrClosed)

func newDriver() *driver {
	return &driver{ready: make(chan struct{}, 1), ports: map[packet.ENI]*eniPort{}}
}

// eniPort is an ENI on the switch of its subnet.
type eniPort struct {
	driver *driver
	eni    packet.ENI
	bridge *bridge
	mtu    int
}

// connect makes these the driver's ports. One that was there already stays.
func (d *driver) connect(ports []*eniPort) {
	d.mu.Lock()
	before := d.ports
	d.ports = map[packet.ENI]*eniPort{}
	var added []*eniPort
	for _, p := range ports {
		if was := before[p.eni]; was != nil && *was == *p {
			d.ports[p.eni] = was
			delete(before, p.eni)
			continue
		}
		d.ports[p.eni] = p
		added = append(added, p)
	}
	d.mu.Unlock()
	// Not while mu is held: a bridge that forwards has its lock and wants ours.
	for _, p := range before {
		p.bridge.unplug(p)
	}
	for _, p := range added {
		p.bridge.plug(p)
	}
}

// receive implements port.
func (p *eniPort) receive(frame packet.Frame) {
	d := p.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.queue) >= longestQueue {
		d.stats.RingDrops++
		return
	}
	frame.ENI = p.eni
	d.queue = append(d.queue, frame)
	signal(d.ready)
}

// Read implements dataplane.Driver.
func (d *driver) Read(frames []packet.Frame) (int, error) {
	for {
		n, done, err := d.take(frames)
		if done || err != nil {
			return n, err
		}
		<-d.ready
	}
}

func (d *driver) take(frames []packet.Frame) (n int, done bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		signal(d.ready) // for a second reader
		return 0, true, errDriverClosed
	}
	n = copy(frames, d.queue)
	d.queue = slices.Delete(d.queue, 0, n)
	for _, f := range frames[:n] {
		d.stats.FramesRead++
		d.stats.BytesRead += uint64(len(f.Data))
		if f.Offload.GSOSize > 0 {
			d.stats.SuperframesRead++
		}
	}
	if n > 0 {
		return n, true, nil
	}
	done, d.woken = d.woken, false
	return 0, done, nil
}

// Write implements dataplane.Driver.
func (d *driver) Write(frames []packet.Frame) (int, error) {
	for _, f := range frames {
		p, err := d.account(f)
		if err != nil {
			return 0, err
		}
		if p != nil {
			f.Data = slices.Clone(f.Data) // the engine uses its memory again
			p.bridge.forward(p, f)
		}
	}
	return len(frames), nil
}

// account counts a frame and finds its port, nil where it cannot be sent.
func (d *driver) account(f packet.Frame) (*eniPort, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errDriverClosed
	}
	p := d.ports[f.ENI]
	if p == nil || !fits(&f, p.mtu) {
		d.stats.SendErrors++
		return nil, nil
	}
	d.stats.FramesWritten++
	d.stats.BytesWritten += uint64(len(f.Data))
	return p, nil
}

// fits says whether the packets of a frame are not longer than an MTU.
func fits(f *packet.Frame, mtu int) bool {
	if len(f.Data) <= packet.L3+mtu {
		return true
	}
	var p packet.Packet
	return packet.Parse(f.Data, &p) != packet.Malformed && f.IsSuperframe(&p) && f.LongestPacket(&p) <= mtu
}

// Wake implements dataplane.Driver.
func (d *driver) Wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.woken = true
	signal(d.ready)
}

// Stats implements dataplane.Driver.
func (d *driver) Stats() dataplane.DriverStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Close implements dataplane.Driver.
func (d *driver) Close() error {
	d.mu.Lock()
	d.closed, d.queue = true, nil
	signal(d.ready)
	d.mu.Unlock()
	d.connect(nil)
	return nil
}

// signal leaves a token in c, unless one is there already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
