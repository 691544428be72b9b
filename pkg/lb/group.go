// Package lb balances: it picks the server of a server group that takes a new
// session, and judges which servers are healthy.
//
// A Group is the shared state of one server group. The data plane asks a
// Picker, one for each way through it, and never waits for anybody: a picker
// reads an immutable list that is replaced as a whole whenever health or
// configuration changes. A Checker probes the servers and tells the group what
// it saw; whoever has another way to know may call Group.Report instead.
//
//	group := lb.NewGroup(plan.ServerGroups[0])
//	go (&lb.Checker{Group: group, Dial: provider.DialContext}).Run(ctx)
//	server, ok := group.Picker(nil).Pick()
package lb

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Group is the state of one server group. Its methods may be called from any
// goroutine.
type Group struct {
	candidates atomic.Pointer[list]

	mu      sync.Mutex
	config  topology.ServerGroup
	servers []*server     // in the order of the file
	judged  chan struct{} // closed while no server is Initial
}

// server is a server with its health, guarded by the group's mutex.
type server struct {
	topology.Server
	health
}

// list is what pickers choose from: the servers that may take a session. It is
// never changed.
type list struct {
	servers []topology.Server
	weights []int
}

// NewGroup makes the state of a server group in which no server was checked
// yet: none takes a session, unless the group has no health check.
func NewGroup(config topology.ServerGroup) *Group {
	g := &Group{judged: make(chan struct{})}
	g.Update(config)
	return g
}

// Update takes over a changed server group. Servers that stay (the same
// address and port) keep their health, unless the way they are checked
// changed. Pickers stay valid. Whoever runs a Checker starts it anew.
func (g *Group) Update(config topology.ServerGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.servers
	if config.HealthCheck != g.config.HealthCheck {
		before = nil
	}
	g.config = config
	g.servers = make([]*server, len(config.Servers))
	for i, s := range config.Servers {
		g.servers[i] = &server{Server: s, health: newHealth(config.HealthCheck)}
		if old := find(before, addrPort(s)); old != nil {
			g.servers[i].health = old.health
		}
	}
	g.publishLocked()
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
	before = s.state
	if s.judge(g.config.HealthCheck, result, now) {
		g.publishLocked()
	}
	return before, s.copy()
}

// Health is a copy of what is known of every server, in the order of the file.
func (g *Group) Health() []ServerHealth {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]ServerHealth, len(g.servers))
	for i, s := range g.servers {
		out[i] = s.copy()
	}
	return out
}

// Config is what the group was last updated with. Its lists are shared and not
// to be changed.
func (g *Group) Config() topology.ServerGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.config
}

func (g *Group) publishLocked() {
	l := &list{}
	for _, s := range g.servers {
		if !s.takes() || s.Weight <= 0 {
			continue
		}
		weight := s.Weight
		if g.config.Scheduler == "rr" {
			weight = 1
		}
		l.servers = append(l.servers, s.Server)
		l.weights = append(l.weights, weight)
	}
	g.candidates.Store(l)
	g.announceLocked()
}

// announceLocked opens or closes judged.
func (g *Group) announceLocked() {
	initial := slices.ContainsFunc(g.servers, func(s *server) bool { return s.state == Initial })
	select {
	case <-g.judged:
		if initial {
			g.judged = make(chan struct{})
		}
	default:
		if !initial {
			close(g.judged)
		}
	}
}

// Judged is closed when every server that the group has now was judged: none
// is Initial.
func (g *Group) Judged() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.judged
}

func (s *server) copy() ServerHealth {
	return ServerHealth{
		Server: addrPort(s.Server), Instance: s.Instance, Weight: s.Weight,
		State: s.state, Healthy: s.takes(), Since: s.since, Cause: s.cause, Reason: s.reason, Checks: s.checks, Failures: s.failures,
	}
}

func find(servers []*server, addr netip.AddrPort) *server {
	i := slices.IndexFunc(servers, func(s *server) bool { return addrPort(s.Server) == addr })
	if i < 0 {
		return nil
	}
	return servers[i]
}

func addrPort(s topology.Server) netip.AddrPort { return netip.AddrPortFrom(s.IP, s.Port) }
