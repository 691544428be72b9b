// Package lb balances: it picks the server of a server group that takes a new
// session, and judges which servers are healthy.
//
// A Group is the shared state of one server group. The data plane asks a
// Picker, one for each way through it, and tells it which sessions have ended.
// A Checker probes the servers and tells the group what it saw; whoever has
// another way to know may call Group.Report instead. What is costly to work
// out, the order of turns or a hash table, is made when health or
// configuration change, so that a pick takes constant time, with wlc the
// logarithm of the number of servers, and waits for nobody but other picks.
//
//	group := lb.NewGroup(plan.ServerGroups[0])
//	go (&lb.Checker{Group: group, Dial: provider.DialContext}).Run(ctx)
//	picker := group.Picker("")
//	server, ok := picker.Pick(packet.FiveTuple{Src: client, Dst: endpoint}, seq)
//	…
//	picker.Ended(server)
package lb

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Group is the state of one server group. Its methods may be called from any
// goroutine.
type Group struct {
	mu      sync.Mutex
	config  topology.ServerGroup
	servers []*server         // in the order of the file
	leaving []*server         // not in the file any more, and not yet forgotten
	wake    chan struct{}     // closed at the next change of a state or of the group
	now     time.Time         // the latest that anybody said
	pools   map[string]*pool  // by zone, "" is all of them; made when somebody asks
	away    map[string]string // why no server of a zone is to be had, by zone
	moved   chan struct{}     // closed at the next change of away

	// turn is held for a pick, and by publishLocked only to swap what picks
	// look at. Whoever wants both takes mu first.
	turn sync.Mutex
}

// server is a server with its health and its sessions. It stays the same while
// it is in the group, so that sessions know where to be counted.
type server struct {
	addr netip.AddrPort
	topology.Server
	health
	away    string    // why it is not to be had, whatever its health is; "": it is
	first   bool      // it has been there from the start, and was not healthy yet
	warm    time.Time // when its slow start began; zero: it has its whole weight
	cutAt   time.Time // from when on it should have no sessions; zero: it may
	left    time.Time // when it was removed from the group
	removed bool

	sessions int      // guarded by turn
	places   []*place // in the heaps of wlc, guarded by turn
}

// NewGroup makes the state of a server group in which no server was checked
// yet: none takes a session, unless the group has no health check.
func NewGroup(config topology.ServerGroup) *Group {
	g := &Group{wake: make(chan struct{}), moved: make(chan struct{}), pools: map[string]*pool{}}
	g.Update(config, time.Time{})
	return g
}

// Update takes over a changed server group. Servers that stay (the same
// address and port) keep their health, unless the way they are checked
// changed, and their sessions. Servers that are gone take no new sessions; what
// becomes of the old ones, Deregistration says. Pickers stay valid. Whoever
// runs a Checker starts it again.
func (g *Group) Update(config topology.ServerGroup, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	same := config.HealthCheck == g.config.HealthCheck
	before := append(g.servers, g.leaving...)
	g.config, g.servers, g.leaving = config, nil, nil
	for _, c := range config.Servers {
		s := find(before, addrPort(c))
		if s == nil {
			s = &server{addr: addrPort(c), health: newHealth(config.HealthCheck), first: len(before) == 0}
		} else if !same || s.removed {
			s.health = newHealth(config.HealthCheck)
		}
		if s.removed {
			s.removed, s.cutAt = false, time.Time{}
		}
		s.Server = c
		g.servers = append(g.servers, s)
	}
	for _, s := range before {
		if find(g.servers, s.addr) == nil {
			g.leaveLocked(s, now)
		}
	}
	g.publishLocked(now)
}

// Report tells the group how a check of a server ended: nil is a success.
// changed is true where that changed the server's state. A server that is not
// in the group, because it was removed while it was checked, is ignored.
func (g *Group) Report(server netip.AddrPort, result error, now time.Time) (changed bool) {
	before, health := g.report(server, result, now)
	return health.State != before
}

// report also says what the server's state was. Of a server that is not in the
// group it says nothing.
func (g *Group) report(addr netip.AddrPort, result error, now time.Time) (before State, after ServerHealth) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := find(g.servers, addr)
	if s == nil {
		return before, after
	}
	if before = s.state; s.away != "" {
		before = Unhealthy
	}
	if s.judge(g.config.HealthCheck, result, now) {
		g.turnedLocked(s, now)
		g.publishLocked(now)
	}
	return before, s.copy(g.sessionsOf(s), g.now)
}

// Health is a copy of what is known of every server, in the order of the file,
// and then of those that are not in it any more and still have sessions, or
// whose time to have some is not over.
func (g *Group) Health() []ServerHealth {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []ServerHealth
	for _, s := range g.servers {
		out = append(out, s.copy(g.sessionsOf(s), g.now))
	}
	for _, s := range g.leaving {
		if h := s.copy(g.sessionsOf(s), g.now); h.Sessions > 0 || h.Draining {
			out = append(out, h)
		}
	}
	return out
}

func (g *Group) sessionsOf(s *server) int {
	g.turn.Lock()
	defer g.turn.Unlock()
	return s.sessions
}

// Config is what the group was last updated with. Its lists are shared and not
// to be changed.
func (g *Group) Config() topology.ServerGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.config
}

// SetAway says why the servers of some zones are not to be had, by zone: they take no
// sessions, whatever their health is and also where the group opens when it fails. Checks
// go on, what they find holds when a zone is to be had again, and then each of its servers is
// probed at once. The map is not to be
// changed.
func (g *Group) SetAway(why map[string]string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !maps.Equal(g.away, why) {
		g.away = why
		g.publishLocked(now)
		close(g.moved)
		g.moved = make(chan struct{})
	}
}

// awayChanged is closed when SetAway says something new.
func (g *Group) awayChanged() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.moved
}

// served says whether a server was healthy before.
func (g *Group) served(addr netip.AddrPort) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := find(g.servers, addr)
	return s != nil && s.health.served
}

// takes says whether a server takes sessions.
func (s *server) takes() bool { return s.away == "" && s.health.takes() }

// publishLocked makes what picks look at again, and swaps it in.
func (g *Group) publishLocked(now time.Time) {
	g.now = now
	for _, s := range g.servers {
		s.away = g.away[s.Zone]
	}
	close(g.wake)
	g.wake = make(chan struct{})
	for _, p := range g.pools {
		p.next = newChoice(g.config, g.candidatesLocked(p.zone), now) // the long part
	}
	g.turn.Lock()
	defer g.turn.Unlock()
	for _, s := range append(slices.Clone(g.servers), g.leaving...) {
		s.places = s.places[:0]
	}
	for _, p := range g.pools {
		p.choice, p.next = p.next, nil
		p.choice.enterHeap()
	}
}

// candidatesLocked are the servers of a zone, "" is all, that take sessions: those
// that are healthy, or, where the group opens when it fails, all of them if
// none is and each was judged.
func (g *Group) candidatesLocked(zone string) []*server {
	var all, healthy []*server
	judged := true
	for _, s := range g.servers {
		if s.Weight <= 0 || !s.In(zone) || s.away != "" {
			continue
		}
		all = append(all, s)
		if s.takes() {
			healthy = append(healthy, s)
		}
		judged = judged && s.state != Initial
	}
	if len(healthy) == 0 && g.config.FailOpen && judged {
		return all
	}
	return healthy
}

// Changed is closed at the next change of a server's state, or of the group.
func (g *Group) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wake
}

func (s *server) copy(sessions int, now time.Time) ServerHealth {
	h := ServerHealth{
		Server: s.addr, Instance: s.Name(), Weight: s.Weight, Sessions: sessions, Draining: s.cutAt.After(now),
		State: s.state, Healthy: s.takes(), Since: s.since,
		Cause: s.cause, Reason: s.reason, Checks: s.checks, Failures: s.failures,
	}
	if s.away != "" {
		h.State, h.Away, h.Cause, h.Reason = Unhealthy, true, ConnectTimeout, s.away
	}
	if s.removed {
		h.State, h.Healthy, h.Away, h.Since, h.Cause, h.Reason = Removed, false, false, s.left, NoCause, ""
	}
	return h
}

func find(servers []*server, addr netip.AddrPort) *server {
	i := slices.IndexFunc(servers, func(s *server) bool { return s.addr == addr })
	if i < 0 {
		return nil
	}
	return servers[i]
}

func addrPort(s topology.Server) netip.AddrPort { return netip.AddrPortFrom(s.IP, s.Port) }
