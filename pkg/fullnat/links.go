package fullnat

import (
	"errors"
	"fmt"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// link is a Link in force. It is live until the Config no longer has a
// connected Link of that name between the same ENIs; then its sessions are
// orphans: no packet uses them any more, and Expire removes them in its own
// time. If the name comes back, that is another link.
type link struct {
	Link
	number   store.LinkID
	live     bool
	sessions int
	half     store.HalfOpenList // of its sessions
	stats    *linkStats         // handed on to the next link of the name

	idle            store.Tick                  // ticks
	timers          [store.NumStates]store.Tick // ticks; 0: the table's
	mtu             [2]uint32                   // of the interface that packets leave by, by direction
	mss             uint16                      // that fits both interfaces
	match           uint32
	numbers         []uint32    // of IPv6 addresses that it holds
	round           uint64      // of the newest configuration that has it
	local           [2][]uint32 // by the version of IP: see version
	nextLocal       [2]int
	ingress, egress *Interface
	mark            uint64       // tells it from all others, in every process
	toProviderHop   store.HopKey // without the neighbour's MAC
	toConsumerHop   store.HopKey
}

// links numbers links. A number is good while a session uses it.
type links struct {
	all     []*link
	free    []store.LinkID
	byName  map[string]*link
	order   []*link         // as in the Config
	round   uint64          // of configurations that were compiled
	orphans int             // sessions of links that are not live
	sweep   store.SessionID // the session that the search for orphans looks at next
	// heaviest is the link with the most half-open sessions, or one that had
	// them until now: it is another one when that gets one more.
	heaviest *link
}

// weigh is told of a link that got a half-open session.
func (l *links) weigh(link *link) {
	if l.heaviest == nil || link.half.Len > l.heaviest.half.Len {
		l.heaviest = link
	}
}

func (l *links) at(n store.LinkID) *link { return l.all[n] }

func (l *links) add(link *link) {
	if last := len(l.free) - 1; last >= 0 {
		link.number, l.free = l.free[last], l.free[:last]
		l.all[link.number] = link
		return
	}
	link.number = store.LinkID(len(l.all))
	l.all = append(l.all, link)
}

// succeed puts a link in the place of the one whose sessions it has.
func (l *links) succeed(link, old *link) {
	link.stats, link.number, link.sessions, link.half = old.stats, old.number, old.sessions, old.half
	l.all[link.number] = link
	if l.heaviest == old {
		l.heaviest = link
	}
}

func (l *links) retire(link *link) {
	link.live = false
	l.orphans += link.sessions
	l.sweep = 0
	l.releaseIfUnused(link)
}

// leave is told of every session that ends.
func (l *links) leave(n store.LinkID) {
	link := l.all[n]
	link.sessions--
	if !link.live {
		l.orphans--
		l.releaseIfUnused(link)
	}
}

func (l *links) releaseIfUnused(link *link) {
	if !link.live && link.sessions == 0 {
		l.all[link.number] = nil
		if l.heaviest == link {
			l.heaviest = nil
		}
		l.free = append(l.free, link.number)
	}
}

// follow makes the links those of a configuration.
func (l *links) follow(c *compiler) {
	if l.byName == nil {
		l.byName = make(map[string]*link, len(c.order))
	}
	for _, old := range c.gone {
		delete(l.byName, old.Name)
	}
	for _, fresh := range c.fresh {
		l.byName[fresh.Name] = fresh
	}
	l.order = c.order
}

// routes finds the link for an address, port and protocol of an ENI, and
// knows which addresses are ours. It follows from Config to Config what differs.
type routes struct {
	links map[match]*link
	owned map[address]users
	limit int        // NAT ports per NAT IP and target
	rest  store.Tick // ticks that a NAT port is out of use at least
}

// users count what the links have an address for.
type users struct {
	matched, natIP uint32
	resets         uint32 // NAT IP where stray segments are answered
}

// follow lets packets find the links of a configuration and no others. An error has all
// that is wrong, and changes nothing; the links that were made hold no addresses then.
func (r *routes) follow(c *compiler) error {
	if r.links == nil {
		r.links, r.owned = make(map[match]*link, len(c.order)), make(map[address]users, 2*len(c.order))
	}
	for _, l := range c.gone {
		r.remove(l)
	}
	for _, l := range c.fresh {
		if other := r.add(l); other != nil {
			c.errorf("link %q matches %s on ENI %d, and so does link %q", l.Name, l.Match, l.Ingress, other.Name)
		}
	}
	if len(c.errs) == 0 {
		r.limit, r.rest = c.limit, c.rest
		return nil
	}
	for _, l := range c.fresh {
		r.remove(l)
		c.addrs.Release(l.numbers...)
	}
	for _, l := range c.gone {
		r.add(l)
	}
	return errors.Join(c.errs...)
}

// add lets packets find a link, unless they find another one already.
func (r *routes) add(l *link) (other *link) {
	r.count(l, 1)
	if l.Draining {
		return nil
	}
	m := l.key()
	if other = r.links[m]; other == nil {
		r.links[m] = l
	}
	return other
}

func (r *routes) remove(l *link) {
	r.count(l, ^uint32(0))
	if m := l.key(); r.links[m] == l {
		delete(r.links, m)
	}
}

// count adds n to the users of the addresses of a link; all bits take one away.
func (r *routes) count(l *link, n uint32) {
	use := func(a address, more users) {
		u := r.owned[a]
		u.matched, u.natIP, u.resets = u.matched+n*more.matched, u.natIP+n*more.natIP, u.resets+n*more.resets
		if u == (users{}) {
			delete(r.owned, a)
		} else {
			r.owned[a] = u
		}
	}
	as := users{natIP: 1}
	if l.Behaviour.ResetStray {
		as.resets = 1
	}
	for _, locals := range l.local {
		for _, local := range locals {
			use(address{local, l.Egress}, as)
		}
	}
	use(address{l.match, l.Ingress}, users{matched: 1})
}

// key is what packets match.
func (l *link) key() match {
	m := match{address{l.match, l.Ingress}, l.Match.Port(), l.Protocol}
	if l.Protocol == packet.ProtocolICMP {
		m.port = 0
	}
	return m
}

type address struct {
	addr uint32
	eni  packet.ENI
}

type match struct {
	address
	port     uint16
	protocol uint8
}

// version is 0 for the number of an IPv4 address and 1 for one of IPv6.
func version(number uint32) int {
	if store.IsIPv6(number) {
		return 1
	}
	return 0
}

// owner says what an address is for. One that is both is matched.
type owner uint8

const (
	nobody  owner = iota
	natIP         // NAT IP of a link
	matched       // some link matches it
)

func (r *routes) ownerOf(eni packet.ENI, addr uint32) owner {
	switch u := r.owned[address{addr, eni}]; {
	case u.matched > 0:
		return matched
	case u.natIP > 0:
		return natIP
	}
	return nobody
}

// linkStats counts what a link does. What follows from sent is filled in when
// somebody asks.
type linkStats struct {
	LinkStats
	sent [2]sent // by direction
}

// sent counts frames and the bytes of their packets.
type sent struct{ frames, bytes uint64 }

func (s *sent) add(bytes uint64) {
	s.frames++
	s.bytes += bytes
}

// snapshot is a copy of what l has done so far.
func (l *link) snapshot() LinkStats {
	s := l.stats.LinkStats
	there, back := l.stats.sent[store.ToProvider], l.stats.sent[store.ToConsumer]
	s.Sessions, s.HalfOpen = l.sessions, l.half.Len
	s.PacketsToProvider, s.BytesToProvider = there.frames, there.bytes
	s.PacketsToConsumer, s.BytesToConsumer = back.frames, back.bytes
	s.Verdicts[Forwarded] = there.frames + back.frames
	s.Segments += there.frames + back.frames
	return s
}

// Behaviour is what a cloud does with the packets of a link that it does not
// forward, and how long and how many sessions it keeps. The zero value drops
// in silence, has the table's timers and no limits.
type Behaviour struct {
	// ResetStray answers TCP segments that no session knows and that cannot
	// open one with a RST (RFC 9293, 3.10.7.1): on the link's address and
	// port, and on its NAT IPs. Who sends after a session was idle for too
	// long is answered too, for then no session knows the segment. That is
	// what AWS states: User Guide for Network Load Balancers, "Connection
	// idle timeout".
	ResetStray bool
	// ReportTTL answers packets that may not be forwarded once more with ICMP
	// time exceeded (RFC 1812, 5.3.1), from the address that they were sent
	// to: it is the one address here that their sender can surely route to.
	ReportTTL bool
	// ReportExhaustion answers the packet of which the session has no NAT
	// port, no place in the table or none in the link with ICMP
	// communication administratively prohibited (RFC 5508, REQ-8).
	ReportExhaustion bool
	// ReportTooBig answers packets that are longer than the MTU where they
	// would leave, and not to be fragmented, with ICMP fragmentation needed
	// and that MTU (RFC 1191, 4). Without it the path MTU is a black hole.
	ReportTooBig bool
	// ClampMSS lowers the MSS that SYNs announce to what fits the MTU of both
	// interfaces, so that TCP needs no such answer.
	ClampMSS bool

	// Timers are the link's own; a zero field means the table's.
	Timers Timers
	// MaxSessions limits the sessions of the link: RFC 6888, REQ-4. What is
	// beyond gets LinkFull. 0 is no limit.
	MaxSessions int
	// MaxHalfOpen limits the TCP sessions of the link that the consumer has
	// not confirmed. One more takes the place of the oldest. 0 is no limit.
	MaxHalfOpen int
}

func (b *Behaviour) check() (timers [store.NumStates]store.Tick, err error) {
	timers, err = b.Timers.ticks(Timers{})
	if b.MaxSessions < 0 {
		err = errors.Join(err, fmt.Errorf("its limit is %d sessions: want 1 or more, or 0 for none", b.MaxSessions))
	}
	if b.MaxHalfOpen < 0 {
		err = errors.Join(err, fmt.Errorf("its limit is %d half-open sessions: want 1 or more, or 0 for none",
			b.MaxHalfOpen))
	}
	return timers, err
}
