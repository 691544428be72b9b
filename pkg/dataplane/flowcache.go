package dataplane

import (
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// FlowCacheConfig says whether the kernel forwards packets of established
// sessions itself: see package flowcache.
type FlowCacheConfig struct {
	Mode FlowCacheMode
	// Hook is where its classifier is attached: "tcx", "clsact", or the best that
	// the kernel has where it is "".
	Hook string
	// Sessions is how many it has room for; 0 is what is usual.
	Sessions int
}

// FlowCacheMode says which sessions are cached.
type FlowCacheMode string

const (
	// FlowCacheOff is the zero value: all packets go through userspace.
	FlowCacheOff FlowCacheMode = ""
	// FlowCacheAuto caches sessions that last and carry much.
	FlowCacheAuto FlowCacheMode = "auto"
	// FlowCacheForce caches every session that can be. It is for tests.
	FlowCacheForce FlowCacheMode = "force"
)

// FlowCacheStats says what a data plane's flow cache does.
type FlowCacheStats struct {
	Mode FlowCacheMode
	// Hook is where the classifier is: "tcx" or "clsact"; "" where it is nowhere.
	Hook string
	// Problem says why there is no cache although one was wanted, or where it
	// does not work.
	Problem  string
	Sessions int    // that have a place in it now
	Room     int    // how many there may be
	Added    uint64 // sessions that ever had a place
	Refused  uint64 // for want of room
	Frames   uint64 // that it has forwarded
	Bytes    uint64 // of their IP packets
}

// cachingDriver is a Driver of which a flow cache takes frames before it.
type cachingDriver interface {
	// flowCache is nil where there is none. all says whether every session is
	// to be cached.
	flowCache() (cache fullnat.FlowCache, all bool)
	// isEmpty says whether no frame waits to be read.
	isEmpty() bool
}

// useCache lets the table use the driver's flow cache, if it has one. In another
// time than the kernel's there is none.
func (e *Engine) useCache(driver Driver, ownClock bool) {
	d, ok := driver.(cachingDriver)
	if !ok || ownClock {
		return
	}
	cache, all := d.flowCache()
	if cache == nil {
		return
	}
	e.isEmpty = d.isEmpty
	e.table.Cache(fullnat.CacheOptions{To: cache, All: all, Barred: e.barred, Passed: e.enis.passed})
}

// barred says whether frames between two interfaces must come to the engine.
func (e *Engine) barred(ingress, egress packet.ENI) bool {
	return e.arrivals.anyMAC || e.tap.wants(ingress) || e.tap.wants(egress) || e.shaper.bars(ingress, egress)
}

// wants says whether something captures at an interface.
func (t *tap) wants(eni packet.ENI) bool {
	if t == nil {
		return false
	}
	for _, c := range t.captures {
		if c.isAt(eni) {
			return true
		}
	}
	return false
}

func (c *Capture) isAt(eni packet.ENI) bool {
	_, wanted := c.place[eni]
	return wanted
}

// bars says whether something happens to frames between two interfaces.
func (s *shapedLinks) bars(ingress, egress packet.ENI) bool {
	if !s.active.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, eni := range [...]packet.ENI{ingress, egress} {
		if s.faults[eni] != NoFault {
			return true
		}
		if l := s.byENI[eni]; l != nil && (l.toProvider.busy() || l.toConsumer.busy()) {
			return true
		}
	}
	return false
}

// passed counts frames that did not come to the engine.
func (s *eniStats) passed(from, to packet.ENI, frames, bytes uint64) {
	const ethernetHeader = 14
	bytes += frames * ethernetHeader
	e := s.at(from)
	e.FramesReceived += frames
	e.BytesReceived += bytes
	e = s.at(to)
	e.FramesSent += frames
	e.BytesSent += bytes
}

// flowCache implements cachingDriver, if the driver below does.
func (h *handover) flowCache() (cache fullnat.FlowCache, all bool) {
	if d, ok := h.Driver.(cachingDriver); ok {
		return d.flowCache()
	}
	return nil, false
}

// isEmpty implements cachingDriver.
func (h *handover) isEmpty() bool {
	h.inbox.mu.Lock()
	defer h.inbox.mu.Unlock()
	return len(h.inbox.frames) == 0 && h.Driver.(cachingDriver).isEmpty()
}
