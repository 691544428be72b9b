package lb

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Picker chooses servers of one group in turn. It belongs to one goroutine.
type Picker struct {
	group    *Group
	eligible func(topology.Server) bool

	from    *list // what targets was made of
	targets []target
	total   int // of the weights
}

type target struct {
	addr    netip.AddrPort
	weight  int
	current int // grows by weight at each pick, and shrinks by total when picked
}

// Picker makes a picker with a turn of its own. It chooses among the servers
// for which eligible is true, all of them where eligible is nil: that is how a
// node keeps to the servers of its zone.
func (g *Group) Picker(eligible func(topology.Server) bool) *Picker {
	return &Picker{group: g, eligible: eligible}
}

// Pick gives the server for the next session: weighted round robin over the
// healthy servers with a weight above 0. It is false where there is none. It
// does not allocate while the group stays as it is.
//
// The order is smooth: a server with weight 5 among two with weight 1 gets
// a a b a c a a and not five sessions in a row. It is the order that nginx
// uses (ngx_http_upstream_round_robin.c).
func (p *Picker) Pick() (netip.AddrPort, bool) {
	if now := p.group.candidates.Load(); now != p.from {
		p.take(now)
	}
	if len(p.targets) == 0 {
		return netip.AddrPort{}, false
	}
	best := 0
	for i := range p.targets {
		p.targets[i].current += p.targets[i].weight
		if p.targets[i].current > p.targets[best].current {
			best = i
		}
	}
	p.targets[best].current -= p.total
	return p.targets[best].addr, true
}

// take starts over with a new list. The turn of servers that stay is kept
// where it still means something: with the same servers and weights.
func (p *Picker) take(l *list) {
	before := p.targets
	p.from, p.targets, p.total = l, nil, 0
	for i, s := range l.servers {
		if p.eligible != nil && !p.eligible(s) {
			continue
		}
		p.targets = append(p.targets, target{addr: addrPort(s), weight: l.weights[i]})
		p.total += l.weights[i]
	}
	if sameTargets(before, p.targets) {
		p.targets = before
	}
}

func sameTargets(a, b []target) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].addr != b[i].addr || a[i].weight != b[i].weight {
			return false
		}
	}
	return true
}
