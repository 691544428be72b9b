package lb

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Picker chooses servers of one group for the sessions of one way through the
// data plane. Its methods may be called from any goroutine.
type Picker struct {
	group *Group
	pool  *pool

	// Guarded by the group's turn.
	from  *choice // what turn belongs to
	turn  int     // in its order
	given map[netip.AddrPort]*given
}

// given counts the sessions that a picker has given to a server and that have
// not ended.
type given struct {
	server *server
	n      int
}

// Picker makes a picker with a turn of its own. It chooses among the servers
// of a zone, among all of them where zone is "": that is how a node keeps to
// its own zone.
func (g *Group) Picker(zone string) *Picker {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.pools[zone]
	if p == nil {
		p = &pool{zone: zone, choice: newChoice(g.config, g.candidatesLocked(zone), g.now)}
		g.pools[zone] = p
		g.turn.Lock()
		p.choice.enterHeap()
		g.turn.Unlock()
	}
	return &Picker{group: g, pool: p, given: map[netip.AddrPort]*given{}}
}

// Pick gives the server for the session that a flow begins, with a TCP sequence
// number or 0: among the servers
// that take sessions and have a weight above 0, the one that the group's
// scheduler says. It is false where there is none. Each server that was
// given is to be returned to Ended, once.
//
// A pick takes constant time, with wlc the logarithm of the number of servers,
// and does not allocate but for a server's first session.
func (p *Picker) Pick(f packet.FiveTuple, seq uint32) (netip.AddrPort, bool) {
	p.group.turn.Lock()
	defer p.group.turn.Unlock()
	c := p.pool.choice
	if len(c.servers) == 0 {
		return netip.AddrPort{}, false
	}
	s := p.choose(c, f, seq)
	p.countLocked(s)
	return s.addr, true
}

// countLocked notes a session of a server that the picker gives it.
func (p *Picker) countLocked(s *server) {
	s.count(1)
	g := p.given[s.addr]
	if g == nil {
		g = &given{server: s}
		p.given[s.addr] = g
	}
	g.n++
}

// Resume counts a session with a server as if Pick had given it: another process
// has. It does nothing where the server is not of the group.
func (p *Picker) Resume(server netip.AddrPort) {
	p.group.mu.Lock()
	defer p.group.mu.Unlock()
	s := find(p.group.servers, server)
	if s == nil {
		s = find(p.group.leaving, server)
	}
	if s == nil {
		return
	}
	p.group.turn.Lock()
	defer p.group.turn.Unlock()
	p.countLocked(s)
}

func (p *Picker) choose(c *choice, f packet.FiveTuple, seq uint32) *server {
	switch c.scheduler {
	case topology.WeightedLeast:
		return c.heap[0].server
	case topology.SourceHash:
		return c.servers[c.table[hashSource(f)%tableSize]]
	case topology.FlowHash:
		return c.servers[c.table[hashFlow(f, seq)%tableSize]]
	}
	if c != p.from {
		p.takeTurn(c)
	}
	s := c.servers[c.order[p.turn]]
	if p.turn++; p.turn == len(c.order) {
		p.turn = 0
	}
	return s
}

// takeTurn starts over with a new order. The turn is kept where it still
// means something: with the same servers and weights.
func (p *Picker) takeTurn(c *choice) {
	if p.from == nil || !p.from.sameOrder(c) {
		p.turn = 0
	}
	p.from = c
}

func (c *choice) sameOrder(o *choice) bool {
	if c.scheduler != o.scheduler || len(c.order) != len(o.order) || len(c.servers) != len(o.servers) {
		return false
	}
	for i := range c.servers {
		if c.servers[i] != o.servers[i] || c.weights[i] != o.weights[i] {
			return false
		}
	}
	return true
}

// Ended takes back a server whose session has ended, or could not begin. It is
// false where the picker gave no session to that server that has not ended.
func (p *Picker) Ended(server netip.AddrPort) bool {
	p.group.turn.Lock()
	defer p.group.turn.Unlock()
	g := p.given[server]
	if g == nil || g.n == 0 {
		return false
	}
	g.n--
	g.server.count(-1)
	return true
}

// Lost says whether sessions that the picker gave to a server are to end now,
// because it has failed and others serve. It is not given where the picker has
// none.
func (p *Picker) Lost(server netip.AddrPort) (lost, given bool) {
	p.group.mu.Lock()
	defer p.group.mu.Unlock()
	p.group.turn.Lock()
	g := p.given[server]
	given = g != nil && g.n > 0
	p.group.turn.Unlock()
	return given && p.group.lostLocked(g.server), given
}

// Sessions is how many sessions the picker has given that have not ended.
func (p *Picker) Sessions() int {
	p.group.turn.Lock()
	defer p.group.turn.Unlock()
	n := 0
	for _, g := range p.given {
		n += g.n
	}
	return n
}
