package dataplane

import (
	"fmt"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// FlowCacheConfig says whether the kernel forwards packets of established
// sessions itself: see package flowcache.
type FlowCacheConfig struct {
	Mode FlowCacheMode
	// Hook is where its classifier is attached: "tcx", "clsact", or the best that
	// the kernel has where it is "". "none" is for tests of what is done where the
	// kernel refuses.
	Hook string
	// Sessions is how many it has room for; 0 is what is usual.
	Sessions int

	linger time.Duration // how long the programs stay where nothing is cached; 0 is what is usual
}

// FlowCacheMode says which sessions are cached.
type FlowCacheMode string

const (
	// FlowCacheOff lets all packets go through userspace, as the zero value does.
	FlowCacheOff FlowCacheMode = "off"
	// FlowCacheAuto caches sessions that last and carry much.
	FlowCacheAuto FlowCacheMode = "auto"
	// FlowCacheForce caches every session that can be. It is for tests.
	FlowCacheForce FlowCacheMode = "force"
)

// ParseFlowCache reads what a command line says: auto or off. For tests there is
// also force, and a hook behind a colon: force:clsact.
func ParseFlowCache(text string) (cfg FlowCacheConfig, err error) {
	mode, hook, _ := strings.Cut(text, ":")
	cfg = FlowCacheConfig{Mode: FlowCacheMode(mode), Hook: hook}
	switch cfg.Mode {
	case FlowCacheAuto, FlowCacheOff, FlowCacheForce:
	default:
		return cfg, fmt.Errorf("a flow cache that is %q: want auto or off", text)
	}
	switch hook {
	case "", "tcx", "clsact", "none":
		return cfg, nil
	}
	return cfg, fmt.Errorf("a flow cache that is %q: attach it by tcx or clsact", text)
}

// String is what ParseFlowCache reads.
func (c FlowCacheConfig) String() string {
	if c.Hook != "" {
		return string(c.Mode) + ":" + c.Hook
	}
	return string(c.Mode)
}

// FlowCacheStats says what a data plane's flow cache does.
type FlowCacheStats struct {
	Mode FlowCacheMode
	// Hook is where the classifier is: "tcx" or "clsact"; "" where it is nowhere, as
	// nothing is cached.
	Hook string
	// Problem says why there is no cache although one was wanted, or where it
	// does not work.
	Problem  string
	Sessions int    // that have a place in it now
	Room     int    // how many there may be; 0 where there is no cache
	Added    uint64 // sessions that ever had a place
	Refused  uint64 // for want of room
	Frames   uint64 // that it has forwarded, a superframe as one
	Bytes    uint64 // of their IP packets
}

// FlowCache says what the flow cache does, the zero value where there can be none.
func (w *Workers) FlowCache() FlowCacheStats {
	if w.flowCache == nil {
		return FlowCacheStats{}
	}
	out := w.flowCache()
	for _, e := range w.engines {
		s := e.Stats().Table.Cache
		out.Frames += s.Frames
		out.Bytes += s.Bytes
	}
	return out
}

// cachingDriver is a Driver of which a flow cache takes frames before it.
type cachingDriver interface {
	// flowCache is nil where there is none. all says whether every session is
	// to be cached.
	flowCache() (cache fullnat.FlowCache, all bool)
	// isEmpty says whether no frame waits to be read.
	isEmpty() bool
	// leaveCached makes Close leave the flows in the cache, for another process.
	leaveCached()
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
	e.table.Cache(fullnat.CacheOptions{To: cache, All: all, Barred: e.barred, Passed: e.passed})
}

// passed counts frames that did not come to the engine.
func (e *Engine) passed(from, to packet.ENI, frames, bytes uint64) {
	e.enis.passed(from, to, frames, bytes)
	e.shaper.passed(from, to, frames)
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
		if l := s.byENI[eni]; l != nil && (l.toProvider.bars() || l.toConsumer.bars()) {
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

// leaveCached implements cachingDriver, if the driver below does.
func (h *handover) leaveCached() {
	if d, ok := h.Driver.(cachingDriver); ok {
		d.leaveCached()
	}
}
