package dataplane

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/flowcache"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// sharedCache is the flow cache of all rings of a data plane. It is there even if
// the kernel refuses it, and then says why.
type sharedCache struct {
	cfg     FlowCacheConfig
	cache   *flowcache.Cache // nil where the kernel refuses it
	problem string           // why
	users   atomic.Int32
}

func openSharedCache(cfg FlowCacheConfig, workers int) *sharedCache {
	if cfg.Mode == FlowCacheOff || cfg.Mode == "" {
		return nil
	}
	s := &sharedCache{cfg: cfg}
	if cfg.Hook == "none" {
		s.problem = "refused, as a test wants it"
		return s
	}
	var err error
	s.cache, err = flowcache.Open(flowcache.Config{
		Sessions: cfg.Sessions, Workers: workers,
		Hook: flowcache.Hook(cfg.Hook), AtOnce: cfg.Mode == FlowCacheForce, Linger: cfg.linger,
	})
	if err != nil {
		s.problem = err.Error()
	}
	return s
}

// isThere says whether the kernel has it.
func (s *sharedCache) isThere() bool { return s != nil && s.cache != nil }

// stats is what people may know; the counters of frames are the engines'.
func (s *sharedCache) stats() FlowCacheStats {
	if s == nil {
		return FlowCacheStats{Mode: FlowCacheOff}
	}
	out := FlowCacheStats{Mode: s.cfg.Mode, Problem: s.problem}
	if s.cache != nil {
		st := s.cache.Stats()
		out.Hook = string(s.cache.Attached())
		if st.Problem != nil {
			out.Problem = st.Problem.Error()
		}
		out.Sessions, out.Room, out.Added, out.Refused = st.Sessions, st.Room, uint64(st.Added), uint64(st.Refused)
	}
	return out
}

// ringCache is one ring's use of it. A nil one does nothing.
type ringCache struct {
	shared *sharedCache
	worker int
}

// openRingCache is nil where no cache is wanted, or the kernel refuses it.
func openRingCache(cfg *RingConfig) *ringCache {
	shared := cfg.shared
	if shared == nil {
		shared = openSharedCache(cfg.FlowCache, 1)
	}
	if shared == nil {
		return nil
	}
	shared.users.Add(1)
	return &ringCache{shared, cfg.worker}
}

// attach comes before the socket is bound.
func (c *ringCache) attach(socket int, enis map[int]packet.ENI) error {
	if c == nil || c.shared.cache == nil {
		return nil
	}
	if err := c.shared.cache.Serve(socket); err != nil {
		return err
	}
	c.setENIs(enis)
	return nil
}

// setENIs is that of the cache, once for all rings.
func (c *ringCache) setENIs(enis map[int]packet.ENI) {
	if c != nil && c.shared.cache != nil && c.worker == 0 {
		_ = c.shared.cache.SetENIs(enis) // stats tells of problems
	}
}

// forget comes before the socket is closed.
func (c *ringCache) forget(socket int) {
	if c != nil && c.shared.cache != nil {
		c.shared.cache.Forget(socket)
	}
}

// close comes after that.
func (c *ringCache) close() error {
	if c == nil || c.shared.users.Add(-1) > 0 || c.shared.cache == nil {
		return nil
	}
	return c.shared.cache.Close()
}

// flowCache implements cachingDriver.
func (r *Ring) flowCache() (cache fullnat.FlowCache, all bool) {
	if r.cache == nil || r.cache.shared.cache == nil {
		return nil, false
	}
	return r.cache.shared.cache.Worker(r.cache.worker), r.cache.shared.cfg.Mode == FlowCacheForce
}

// leaveCached implements cachingDriver.
func (r *Ring) leaveCached() {
	if r.cache != nil && r.cache.shared.cache != nil {
		r.cache.shared.cache.Leave()
	}
}

// settle is for when the sessions of an earlier process have been taken over.
func (s *sharedCache) settle() {
	if s != nil && s.cache != nil {
		s.cache.Settle()
	}
}

// isEmpty implements cachingDriver. It is for the goroutine that reads.
func (r *Ring) isEmpty() bool {
	return r.crowd.isEmpty() && atomic.LoadUint32(&r.slots.head().Status)&unix.TP_STATUS_USER == 0
}

// FlowCache says what the ring's flow cache does.
func (r *Ring) flowCacheStats() FlowCacheStats {
	if r.cache == nil {
		return FlowCacheStats{}
	}
	return r.cache.shared.stats()
}
