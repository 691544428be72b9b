package fullnat

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// open judges a packet that no session knows. If it may start one, it is the
// first packet of it.
func (t *Table) open(f *packet.Frame, w *work) Verdict {
	l, v := t.linkFor(f.ENI, &w.packet)
	if l == nil {
		return t.refuseUnmatched(f, &w.packet, v)
	}
	if v := t.admit(l, &w.packet); v != Forwarded {
		return t.refuse(f, &w.packet, l, v)
	}
	if v := t.roomFor(l); v != Forwarded {
		return t.refuse(f, &w.packet, l, v)
	}
	if v := l.mayConvey(f, &w.packet); v != Forwarded {
		return l.count(v)
	}
	target, v := t.pick(l, &w.packet)
	if v != Forwarded {
		return t.refuse(f, &w.packet, l, v)
	}
	v = t.openTo(f, w, l, target)
	t.addrs.Release(target.addr)
	return v
}

// openTo starts a session with a target.
func (t *Table) openTo(f *packet.Frame, w *work, l *link, target end) Verdict {
	p := &w.packet
	source, ok := t.takePort(l, w.key, target)
	if !ok {
		t.ended(l, target)
		return t.refuse(f, p, l, NoNATPort)
	}
	if !t.settle(p) {
		t.ports.GiveBack(source.pool, source.port, t.clock.Now-t.way.rest, t.clock.Now)
		t.ended(l, target)
		return t.refuse(f, p, l, TableFull)
	}
	w.key = store.NewKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	e := t.start(f, l, w, source, target)
	t.addrs.Release(p.Src)
	t.convey(e.Session, l, f, p)
	return t.send(f, w, e, l)
}

// roomFor says whether the link may have one session more.
func (t *Table) roomFor(l *link) Verdict {
	switch {
	case l.Behaviour.MaxSessions > 0 && l.sessions >= l.Behaviour.MaxSessions:
		return LinkFull
	case (t.sessions.Full() || !t.flows.MakeRoom(t.moved)) && t.half.Table.Len == 0:
		return TableFull
	}
	return Forwarded
}

// linkFor finds the link that a packet from eni uses, or says why there is
// none.
func (t *Table) linkFor(eni packet.ENI, p *packet.Packet) (*link, Verdict) {
	m := match{address{p.Dst, eni}, p.DstPort, p.Protocol}
	if l := t.way.links[m]; l != nil {
		return l, Forwarded
	}
	switch owner := t.way.ownerOf(eni, p.Dst); {
	case owner == nobody:
		return nil, NotOurs
	case p.Kind == packet.ICMP:
		return nil, unmatchedEcho(p)
	case owner == natIP:
		return nil, NoSession
	}
	return nil, NoListener
}

// admit says whether the link takes a new session, as far as it can be said
// without a target.
func (t *Table) admit(l *link, p *packet.Packet) Verdict {
	switch {
	case !l.Connected:
		return NotConnected
	case p.Kind == packet.TCP && !isFirst(p.Flags), p.Kind == packet.ICMP && !p.IsEchoRequest():
		return NoSession
	case p.TTL <= 1:
		return TTLExpired
	case l.Admit != nil && !l.Admit(t.tupleOf(p)):
		return Denied
	}
	return Forwarded
}

func (t *Table) tupleOf(p *packet.Packet) packet.FiveTuple {
	return packet.FiveTuple{
		Src: t.addrs.WithPort(p.Src, p.SrcPort), Dst: t.addrs.WithPort(p.Dst, p.DstPort), Protocol: p.Protocol,
	}
}

// end is one end of a flow.
type end struct {
	addr uint32
	port uint16
}

// pick asks the link for a target, of which the number is to be released.
func (t *Table) pick(l *link, p *packet.Packet) (target end, v Verdict) {
	picked, ok := l.Pick(t.tupleOf(p))
	if !ok {
		return end{}, NoBackend
	}
	if target, v = t.usable(l, p.Kind, picked); v != Forwarded && l.Ended != nil {
		l.Ended(picked)
	}
	return target, v
}

// usable is a picked target, unless no packet can be sent to it, or come from
// it.
func (t *Table) usable(l *link, kind packet.Kind, picked netip.AddrPort) (target end, v Verdict) {
	addr := picked.Addr().Unmap()
	if !packet.IsHost(addr) || picked.Port() == 0 && kind != packet.ICMP {
		return end{}, NoBackend
	}
	n, ok := t.addrs.Acquire(addr)
	switch {
	case !ok:
		return end{}, TableFull
	case len(l.local[version(n)]) == 0:
		t.addrs.Release(n)
		return end{}, NoBackend
	case kind == packet.ICMP:
		return end{addr: n}, Forwarded
	}
	return end{n, picked.Port()}, Forwarded
}

// ended tells whoever picked a target that its session is no more.
func (t *Table) ended(l *link, target end) {
	if l.Ended != nil {
		l.Ended(t.addrs.WithPort(target.addr, target.port))
	}
}

// portTries bounds the search for another port where the pool's next one is of
// no use: if a NAT IP is also an address that consumers send to, a consumer's
// five-tuple may look just like the reply.
const portTries = 8

// takePort takes a NAT port towards target from the link's NAT IPs in turn,
// for the flow with key first.
func (t *Table) takePort(l *link, first store.Key, target end) (source natPort, ok bool) {
	locals, next := l.local[version(target.addr)], &l.nextLocal[version(target.addr)]
	for range locals {
		*next = (*next + 1) % len(locals)
		source.addr = locals[*next]
		source.pool = t.poolFor(store.PoolKey{
			Local: source.addr, Target: target.addr, Port: target.port,
			ENI: l.Egress, Protocol: l.Protocol,
		})
		for range portTries {
			t.ports.Asked++
			source.port, ok = t.ports.At(source.pool).Take(t.shard.Share(t.way.limit), t.clock.Now, t.way.rest)
			if !ok {
				break
			}
			if reply := l.replyKey(source, target); reply != first && !t.flows.Has(reply) && !t.steersAway(l, source.end) {
				return source, true
			}
			// Nobody used it: it needs no rest.
			t.ports.GiveBack(source.pool, source.port, t.clock.Now-t.way.rest, t.clock.Now)
		}
	}
	return natPort{}, false
}

// natPort is the end of a session that the target sees, and whose it is.
type natPort struct {
	end
	pool uint32
}

func (l *link) replyKey(source natPort, target end) store.Key {
	return store.NewKey(l.Egress, l.Protocol, target.addr, source.addr, target.port, source.port)
}

// start enters a session and returns its flow to the provider.
func (t *Table) start(f *packet.Frame, l *link, w *work, source natPort, target end) *store.Flow {
	p := &w.packet
	t.makeRoom(l, p.Kind)
	id := t.sessions.Add()
	s := t.sessions.At(id)
	s.Link, s.Pool = l.number, source.pool
	s.State = store.Established
	if p.Kind == packet.TCP {
		s.State = store.SynSent
	}
	reply := packet.Packet{Src: target.addr, Dst: source.addr, SrcPort: target.port, DstPort: source.port}
	there := t.addFlow(id, store.ToProvider, w.key,
		t.newRewrite(p, source.addr, target.addr, source.port, target.port),
		l.hopToProvider(t.addrs.Addr(target.addr)))
	back := t.addFlow(id, store.ToConsumer, l.replyKey(source, target),
		t.newRewrite(&reply, p.Dst, p.Src, p.DstPort, p.SrcPort),
		l.hopToConsumer(t.addrs.Addr(p.Src)))
	if store.IsIPv6(p.Src) || store.IsIPv6(target.addr) {
		there.Flags |= hasIPv6
		back.Flags |= hasIPv6
		for _, n := range [...]uint32{p.Src, p.Dst, source.addr, target.addr} {
			t.addrs.Hold(n)
		}
	}
	t.wheel.Link(&t.sessions, id, t.deadline(s))
	if s.State == store.SynSent {
		t.enterHalfOpen(id)
		there.Next = p.Seq(f.Data) + p.SegmentLength()
	}
	l.sessions++
	l.stats.SessionsOpened++
	return there
}

func (t *Table) addFlow(id uint32, d store.Direction, k store.Key, r packet.Rewrite, h store.HopKey) *store.Flow {
	s := t.sessions.At(id)
	e, slot := t.flows.Insert(k)
	s.Slots[d] = slot
	e.Rewrite, e.Hop, e.Session, e.Direction, e.State = r, t.hops.Acquire(h), id, d, s.State
	e.Last = t.clock.Now
	return e
}

func (l *link) hopToProvider(target netip.Addr) store.HopKey {
	h := l.toProviderHop
	h.Dst = l.egress.NextHop(target)
	return h
}

func (l *link) hopToConsumer(consumer netip.Addr) store.HopKey {
	h := l.toConsumerHop
	h.Dst = l.ingress.NextHop(consumer)
	return h
}

// poolFor is the pool for k, which has numbers of addresses for as long as it
// is remembered.
func (t *Table) poolFor(k store.PoolKey) uint32 {
	if n, ok := t.ports.Number[k]; ok {
		return n
	}
	t.addrs.Hold(k.Local)
	t.addrs.Hold(k.Target)
	return t.ports.Pool(k, t.random, t.clock.Now)
}

// steersAway says whether replies to a NAT port would be taken for packets
// that open a session, by those who cannot see the sessions.
func (t *Table) steersAway(l *link, source end) bool {
	return t.shard.Of > 1 && t.way.links[match{address{source.addr, l.Egress}, source.port, l.Protocol}] != nil
}
