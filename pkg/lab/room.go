package lab

import (
	"container/heap"
	"context"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Opener is a Machine with a limit of what a process can have open.
type Opener interface {
	// Descriptors is how many files and sockets this process can have open.
	Descriptors() int
}

// room is how many connections the built-in services and the albs of a lab can have
// open at a time. The rest of the process's descriptors are for the other ends of
// those, for connections that wait, for the lab's API and for its resolvers.
//
// Room is shared by listener and endpoint, and what those have by source. As long as
// there is some, anybody gets it. When there is none, a connection of somebody who has
// less takes the place of the newest one of whoever has most; all others wait, and
// where too many wait, the newest of whoever waits with most is refused. What a connection
// costs grows with the logarithm of their number.
type room struct {
	size, places int // for those that are open, and those that wait
	log          *slog.Logger
	// origin is the endpoint and the address of the client of a connection in a VPC that
	// comes from a NAT IP; nil: nobody knows.
	origin func(vpc string, from, to netip.AddrPort) (endpoint string, client netip.Addr)

	mu     sync.Mutex
	all    share
	queue  []*guest // those that wait, the oldest first
	warned time.Time
}

// newRoom is the room of a process. Where a machine does not limit what is open there
// is no limit.
func newRoom(machine Machine, log *slog.Logger) *room {
	opener, ok := machine.(Opener)
	if !ok {
		return &room{size: math.MaxInt, log: log}
	}
	size := max(1, opener.Descriptors()/3)
	return &room{size: size, places: min(max(1, size/2), 256), log: log}
}

// party is whose a connection is.
type party struct {
	listener *patientListener
	endpoint string     // through which it came, "" where it came through none
	source   netip.Addr // the client's address
}

// partyOf says whose a connection is that a listener has accepted.
func (r *room) partyOf(l *patientListener, conn net.Conn) party {
	from, to := addrPortOf(conn.RemoteAddr()), addrPortOf(conn.LocalAddr())
	p := party{listener: l, source: from.Addr()}
	if r.origin != nil {
		if endpoint, client := r.origin(l.vpc, from, to); client.IsValid() {
			p.endpoint, p.source = endpoint, client
		}
	}
	return p
}

func addrPortOf(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// originsIn asks the data plane of a lab for the client behind a NAT IP: all clients of a
// load balancer come from the same.
func originsIn(l *Lab) func(vpc string, from, to netip.AddrPort) (string, netip.Addr) {
	return func(vpc string, from, to netip.AddrPort) (string, netip.Addr) {
		eni := ownerOf(l.Plan(), vpc, from.Addr())
		if eni == nil {
			return "", netip.Addr{}
		}
		seen := packet.FiveTuple{Protocol: packet.ProtocolTCP, Src: from, Dst: to}
		s, ok := l.engine.SessionTo(l.numbers.all()[eni.Device], seen)
		if !ok {
			return "", netip.Addr{}
		}
		return compile.BeginOf(s.Link), s.Consumer.Addr()
	}
}

// ownerOf is the ENI whose NAT IP an address of a VPC is; nil where it is none.
func ownerOf(plan *topology.Plan, vpc string, addr netip.Addr) *topology.ENI {
	if plan == nil {
		return nil
	}
	for i := range plan.LoadBalancers {
		lb := &plan.LoadBalancers[i]
		for n := range lb.Nodes {
			if lb.VPC == vpc && slices.Contains(lb.Nodes[n].Local, addr) {
				return &lb.Nodes[n].ENI
			}
		}
	}
	for i := range plan.Endpoints {
		ep := &plan.Endpoints[i]
		for z := range ep.Zones {
			if ep.VPC == vpc && ep.Reverse && ep.Zones[z].ENI.IP == addr {
				return &ep.Zones[z].ENI
			}
		}
	}
	return nil
}

// through is where the sources of a listener are told apart.
func (p party) through() party { return party{listener: p.listener, endpoint: p.endpoint} }

// share is what somebody has of the room. Those of listeners and endpoints are parts of
// the whole, and those of sources parts of these.
type share struct {
	of          *share
	name        party
	open, waits int
	newest      *guest // of a source
	parts       map[party]*share
	heaviest    shares // those parts, as a heap: the one with most is the first
	at          int    // the index in of.heaviest
}

// shares implements heap.Interface.
type shares []*share

func (s shares) Len() int           { return len(s) }
func (s shares) Less(i, j int) bool { return s[i].open > s[j].open }
func (s shares) Swap(i, j int)      { s[i], s[j] = s[j], s[i]; s[i].at, s[j].at = i, j }

// Push implements heap.Interface.
func (s *shares) Push(x any) {
	x.(*share).at = len(*s)
	*s = append(*s, x.(*share))
}

// Pop implements heap.Interface.
func (s *shares) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// part is a part of s, which is made where there is none.
func (s *share) part(name party) *share {
	p := s.parts[name]
	if p == nil {
		p = &share{of: s, name: name}
		if s.parts == nil {
			s.parts = map[party]*share{}
		}
		s.parts[name] = p
		heap.Push(&s.heaviest, p)
	}
	return p
}

// add counts connections that are open, or wait, from s up to the whole. A part that has
// none is forgotten.
func (s *share) add(open, waits int) {
	for ; s != nil; s = s.of {
		s.open += open
		s.waits += waits
		switch {
		case s.of == nil:
		case s.open == 0 && s.waits == 0:
			heap.Remove(&s.of.heaviest, s.at)
			delete(s.of.parts, s.name)
		case open != 0:
			heap.Fix(&s.of.heaviest, s.at)
		}
	}
}

// guest is a connection that has room, or waits for it.
type guest struct {
	conn         net.Conn
	share        *share // of its source; nil where it has no room any more
	newer, older *guest // of the same source, of those that are open
	admitted     chan bool
}

// come gives a connection room, or says that it has to wait for some.
func (r *room) come(conn net.Conn, p party) (g *guest, wait bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.all.part(p.through()).part(p)
	g = &guest{conn: conn, share: s, admitted: make(chan bool, 1)}
	if r.all.open < r.size {
		r.openLocked(g)
		return g, false
	}
	if v := r.all.victim(s); v != nil {
		r.closeLocked(v)
		cut(v.conn)
		r.warnLocked("a connection ends for one of a client with fewer: there are no descriptors for both", v)
		r.openLocked(g)
		return g, false
	}
	s.add(0, 1)
	r.queue = append(r.queue, g)
	if len(r.queue) > r.places {
		r.refuseLocked()
	}
	return g, true
}

// await returns when a connection that waits has room, or false when it is refused or
// ctx ends.
func (r *room) await(ctx context.Context, g *guest) bool {
	select {
	case admitted := <-g.admitted:
		return admitted
	case <-ctx.Done():
		r.leave(g)
		return false
	}
}

// victim is the newest connection of whoever has most, if somebody has more than s
// would have with another one.
func (s *share) victim(newcomer *share) *guest {
	if len(s.heaviest) == 0 {
		return nil
	}
	path := newcomer
	for path.of != s {
		path = path.of
	}
	heaviest := s.heaviest[0]
	if heaviest.open > path.open+1 {
		for len(heaviest.heaviest) > 0 {
			heaviest = heaviest.heaviest[0]
		}
		return heaviest.newest
	}
	if path == newcomer {
		return nil
	}
	return path.victim(newcomer)
}

// refuseLocked ends the waiting of the newest connection of whoever waits with most.
func (r *room) refuseLocked() {
	most := 0
	for i, g := range r.queue {
		m := r.queue[most].share
		if s := g.share; s.of.waits > m.of.waits || s.of.waits == m.of.waits && s.waits >= m.waits {
			most = i
		}
	}
	g := r.queue[most]
	r.queue = slices.Delete(r.queue, most, most+1)
	g.share.add(0, -1)
	g.share = nil
	r.warnLocked("a connection is refused: there are no descriptors for it, and too many wait", g)
	g.admitted <- false
}

// openLocked gives a connection room.
func (r *room) openLocked(g *guest) {
	g.older = g.share.newest
	if g.older != nil {
		g.older.newer = g
	}
	g.share.newest = g
	g.share.add(1, 0)
}

// closeLocked takes it away again.
func (r *room) closeLocked(g *guest) {
	if g.newer != nil {
		g.newer.older = g.older
	} else {
		g.share.newest = g.older
	}
	if g.older != nil {
		g.older.newer = g.newer
	}
	g.share.add(-1, 0)
	g.share = nil
}

// leave gives the room of a connection, or its place among those that wait, to others.
// It may be called more than once.
func (r *room) leave(g *guest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.share == nil {
		return
	}
	if i := slices.Index(r.queue, g); i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
		g.share.add(0, -1)
		g.share = nil
		return
	}
	r.closeLocked(g)
	if len(r.queue) == 0 {
		return
	}
	least := 0
	for i, g := range r.queue {
		m := r.queue[least].share
		if s := g.share; s.of.open < m.of.open || s.of == m.of && s.open < m.open {
			least = i
		}
	}
	next := r.queue[least]
	r.queue = slices.Delete(r.queue, least, least+1)
	r.openLocked(next)
	next.share.add(0, -1)
	next.admitted <- true
}

// warnLocked says once a second at most that somebody lost a connection.
func (r *room) warnLocked(text string, g *guest) {
	if now := time.Now(); now.Sub(r.warned) > time.Second {
		r.warned = now
		r.log.Warn(text, "client", g.conn.RemoteAddr(), "server", g.conn.LocalAddr())
	}
}

// cut ends a connection with a RST, so that the client knows at once.
func cut(conn net.Conn) {
	if c, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0)
	}
	conn.Close()
}
