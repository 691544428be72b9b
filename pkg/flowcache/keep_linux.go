package flowcache

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/packet"
)

// The programs cost every packet, whether it is one of a cached flow or not: a
// filter and a classifier that find nothing are a tenth of the way of a small
// packet. So the classifier is attached to a device when the first session that
// arrives there is worth it, and the filter with the first of them. Both go when
// nothing has been cached there for a while.
//
// The order is what keeps each packet in one place. Attach: the classifier, which
// lets everything be as long as the hash is empty, then the filter, and then flows
// enter. Detach: flows have left, for longer than any packet is between the two,
// then the filter goes, and then the classifier.

// device is one on which an ENI is. Session tables count the flows that they have
// there; everything else is the Cache's.
type device struct {
	index    uint32
	flows    atomic.Int32 // that arrive here and are cached, or are about to be
	attached atomic.Bool  // flows may enter
	wanted   atomic.Bool  // a table has asked for the programs
	refused  atomic.Bool  // the kernel does not let them be attached
	peer     atomic.Bool  // one end of a pair of which the other is in another namespace
	queued   atomic.Bool  // what leaves goes through a queueing discipline

	classifier attachment // nil where there is none; with Cache.mu
	unused     int        // how often in a row no flow was here; with Cache.mu
}

// device is where an ENI is, nil where the cache does not know.
func (c *Cache) device(eni packet.ENI) *device { return (*c.places.Load())[eni] }

// enter counts a session at the devices where its flows arrive, if the programs are
// there. Otherwise they will be.
func (c *Cache) enter(devices *[2]*device) bool {
	// Counted first: who detaches the programs says so first, and counts then.
	ready := true
	for _, d := range devices {
		d.flows.Add(1)
		ready = d.attached.Load() && ready
	}
	if ready {
		return true
	}
	leave(devices)
	for _, d := range devices {
		if d.refused.Load() {
			return false
		}
	}
	for _, d := range devices {
		if !d.attached.Load() {
			d.wanted.Store(true)
		}
	}
	select {
	case c.wanted <- struct{}{}:
	default: // it is known
	}
	return false
}

// leave is the opposite of enter.
func leave(devices *[2]*device) {
	for _, d := range devices {
		d.flows.Add(-1)
	}
}

// Serve tells the cache of the packet socket of a session table. Where flows are
// cached it sees only what the cache does not take. Call it before the socket is
// bound: one without the filter would get packets that the cache forwards too.
func (c *Cache) Serve(socket int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	filter := c.objects.RingFilter
	switch {
	case c.left != nil:
		filter = c.left.filter
	case c.atOnce:
		c.filtered = true
	}
	if c.filtered || c.left != nil {
		if err := attachFilter(socket, filter); err != nil {
			return err
		}
	}
	c.sockets[socket] = struct{}{}
	return nil
}

// Forget ends what Serve began. Call it before the socket is closed.
func (c *Cache) Forget(socket int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sockets, socket)
}

func attachFilter(socket int, filter *ebpf.Program) error {
	err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, filter.FD())
	if err != nil {
		return fmt.Errorf("attach the flow cache's filter: %w", err)
	}
	return nil
}

// unfilter lets the sockets see all packets again.
func (c *Cache) unfilter() {
	if !c.filtered {
		return
	}
	for socket := range c.sockets {
		_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	c.filtered = false
	quiesce()
}

// quiesce waits until no packet is where the kernel had it when it was called: for
// an RCU grace period, as membarrier(2) does with MEMBARRIER_CMD_GLOBAL. Where the
// kernel refuses, what its callers have waited for before is enough in practice.
func quiesce() {
	const global = 1
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0)
}

// Queued says that frames that leave by an ENI must go through its device's queueing
// discipline. The gates of its links are to be shut afterwards.
func (c *Cache) Queued(eni packet.ENI) {
	if d := c.device(eni); d != nil {
		d.queued.Store(true)
	}
}

// SetENIs says where ENIs are, by interface index.
func (c *Cache) SetENIs(enis map[int]packet.ENI) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	var gone []*device
	for index, d := range c.devices {
		if _, stays := enis[index]; !stays {
			gone = append(gone, d)
			delete(c.devices, index)
		}
	}
	c.detach(gone)
	places := make(map[packet.ENI]*device, len(enis))
	for index, eni := range enis {
		d := c.devices[index]
		if d == nil {
			d = &device{index: uint32(index)}
			d.wanted.Store(c.atOnce)
			c.devices[index] = d
		}
		places[eni] = d
	}
	before := *c.places.Swap(&places)
	for eni, d := range before {
		if places[eni] != d {
			c.shutAll()
			break
		}
	}
	if c.atOnce {
		c.attachWanted()
	}
	return c.problem
}

// keep attaches and detaches the programs until the cache is closed.
func (c *Cache) keep() {
	defer close(c.kept)
	look := time.NewTicker(time.Hour)
	defer look.Stop()
	for looking := false; ; {
		select {
		case <-c.quit:
			return
		case <-c.wanted:
			c.mu.Lock()
			c.attachWanted()
			c.mu.Unlock()
			if !looking && !c.atOnce {
				looking = true
				look.Reset(c.linger / lingerLooks)
			}
		case <-look.C:
			c.mu.Lock()
			inUse := c.detachUnused()
			c.mu.Unlock()
			if !inUse {
				looking = false
				look.Reset(time.Hour)
			}
		}
	}
}

// lingerLooks is how often a device is looked at before its programs go.
const lingerLooks = 10

// attachWanted puts the programs where tables have asked for them.
func (c *Cache) attachWanted() {
	if c.closed || c.left != nil {
		return // there are others still
	}
	var devices []*device
	for _, d := range c.devices {
		if d.wanted.Swap(false) && d.classifier == nil && !d.refused.Load() {
			devices = append(devices, d)
		}
	}
	if len(devices) == 0 {
		return
	}
	var attached []*device
	err := c.inNamespace(func() error {
		peers, err := pairs()
		if err != nil {
			return err
		}
		for _, d := range devices {
			classifier, failed := c.attach(int(d.index))
			if failed != nil {
				d.refused.Store(true)
				err = fmt.Errorf("interface %d: %w", d.index, failed)
				continue
			}
			d.classifier, d.unused = classifier, 0
			d.peer.Store(peers[int(d.index)])
			attached = append(attached, d)
		}
		return err
	})
	if err == nil && !c.filtered && len(attached) > 0 {
		c.filtered = true
		for socket := range c.sockets {
			if err = attachFilter(socket, c.objects.RingFilter); err != nil {
				c.unfilter()
				break
			}
		}
		quiesce()
	}
	if err != nil {
		c.problem = err
	}
	if !c.filtered {
		for _, d := range attached {
			d.refused.Store(true)
		}
		c.detach(attached)
		return
	}
	for _, d := range attached {
		d.attached.Store(true)
	}
}

// detachUnused takes the programs from where nothing is cached any more, and says
// whether they are left anywhere.
func (c *Cache) detachUnused() (inUse bool) {
	var gone []*device
	for _, d := range c.devices {
		if d.classifier == nil {
			continue
		}
		if d.unused++; d.flows.Load() > 0 {
			d.unused = 0
		}
		if d.unused >= lingerLooks {
			d.attached.Store(false)
			if d.flows.Load() == 0 {
				gone = append(gone, d)
				continue
			}
			d.attached.Store(true) // somebody came at the last moment
		}
		inUse = true
	}
	if !inUse {
		c.unfilter()
	}
	c.detach(gone)
	return inUse
}

// detach takes the classifier from devices. Where a device is gone, it went with it.
func (c *Cache) detach(devices []*device) {
	var there []attachment
	for _, d := range devices {
		d.attached.Store(false)
		if d.classifier != nil {
			there = append(there, d.classifier)
			d.classifier = nil
		}
	}
	if len(there) == 0 {
		return
	}
	c.inNamespaceDo(func() {
		for _, a := range there {
			_ = a.detach()
		}
	})
}

// pairs are the devices of the namespace that are one end of a pair with the other
// in another namespace.
func pairs() (map[int]bool, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the devices of ENIs: %w", err)
	}
	out := map[int]bool{}
	for _, l := range links {
		out[l.Attrs().Index] = l.Type() == "veth" && l.Attrs().NetNsID >= 0
	}
	return out, nil
}

// Attached says where the classifier is: "tcx", "clsact", or "" where no session is
// cached and none was lately.
func (c *Cache) Attached() Hook {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.devices {
		if d.classifier != nil {
			return c.hook
		}
	}
	return ""
}
