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
	if v := l.mayIdentify(f, &w.packet); v != Forwarded {
		return l.count(v)
	}
	target, v := t.pick(l, f, &w.packet)
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
	if v := t.firstFits(f, p, l, target); v != Forwarded {
		t.ended(l, target)
		return v
	}
	source, ok := t.takePort(l, w.key, target)
	if !ok && p.Kind == packet.TCP {
		source, ok = t.takeOver(l, w.key, target)
	}
	if !ok {
		t.ended(l, target)
		return t.refuse(f, p, l, NoNATPort)
	}
	if !t.settle(p) {
		t.ports.GiveBack(source.pool, source.port, t.clock.Now-t.routes.rest, t.clock.Now)
		t.ended(l, target)
		return t.refuse(f, p, l, TableFull)
	}
	w.key = store.NewKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	e := t.start(f, l, w, source, target)
	t.addrs.Release(p.Src)
	t.beginIdentity(e.Session, l, f, p)
	t.record(e.Session, l)
	return t.send(f, w, e, l)
}

// firstFits refuses the first packet of a session that cannot leave, so that
// nothing is left of it.
func (t *Table) firstFits(f *packet.Frame, p *packet.Packet, l *link, target end) Verdict {
	mtu := l.mtu[store.ToProvider]
	if uint32(p.Length())+ipv6Header-ipv4Header <= mtu {
		return Forwarded
	}
	local := l.local[version(target.addr)][0]
	e := store.Flow{Rewrite: t.newRewrite(p, local, target.addr, 0, target.port)}
	if store.IsIPv6(p.Src) || store.IsIPv6(target.addr) {
		e.Flags |= store.HasIPv6
	}
	if _, v := fitOut(f, p, &e, int(mtu)); v != Forwarded {
		return t.refuseFit(f, p, &e, l, v)
	}
	return Forwarded
}

// roomFor says whether the link may have one session more.
func (b *book) roomFor(l *link) Verdict {
	switch {
	case l.Behaviour.MaxSessions > 0 && l.sessions >= l.Behaviour.MaxSessions:
		return LinkFull
	case (b.sessions.Full() || !b.flows.MakeRoom(b.moved)) && b.half.Table.Len == 0:
		return TableFull
	}
	return Forwarded
}

// linkFor finds the link that a packet from eni uses, or says why there is
// none.
func (b *book) linkFor(eni packet.ENI, p *packet.Packet) (*link, Verdict) {
	m := match{address{p.Dst, eni}, p.DstPort, p.Protocol}
	if l := b.routes.links[m]; l != nil {
		return l, Forwarded
	}
	switch owner := b.routes.ownerOf(eni, p.Dst); {
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
func (b *book) admit(l *link, p *packet.Packet) Verdict {
	switch {
	case !l.Connected:
		return NotConnected
	case p.Kind == packet.TCP && !isFirst(p.Flags), p.Kind == packet.ICMP && !p.IsEchoRequest():
		return NoSession
	case p.TTL <= 1:
		return TTLExpired
	case l.Admit != nil && !l.Admit(b.tupleOf(p)):
		return Denied
	}
	return Forwarded
}

func (b *book) tupleOf(p *packet.Packet) packet.FiveTuple {
	return packet.FiveTuple{
		Src: b.addrs.WithPort(p.Src, p.SrcPort), Dst: b.addrs.WithPort(p.Dst, p.DstPort), Protocol: p.Protocol,
	}
}

// end is one end of a flow.
type end struct {
	addr uint32
	port uint16
}

// pick asks the link for a target, of which the number is to be released.
func (b *book) pick(l *link, f *packet.Frame, p *packet.Packet) (target end, v Verdict) {
	seq := uint32(0)
	if p.Kind == packet.TCP {
		seq = p.Seq(f.Data)
	}
	picked, ok := l.Pick(b.tupleOf(p), seq)
	if !ok {
		return end{}, NoBackend
	}
	if target, v = b.checkTarget(l, p.Kind, picked); v != Forwarded && l.Ended != nil {
		l.Ended(picked)
	}
	return target, v
}

// checkTarget checks a picked target and returns its number, or NoBackend where
// no packet can be sent to it or come from it.
func (b *book) checkTarget(l *link, kind packet.Kind, picked netip.AddrPort) (target end, v Verdict) {
	addr := picked.Addr().Unmap()
	if !packet.IsHost(addr) || picked.Port() == 0 && kind != packet.ICMP {
		return end{}, NoBackend
	}
	n, ok := b.addrs.Acquire(addr)
	switch {
	case !ok:
		return end{}, TableFull
	case len(l.local[version(n)]) == 0:
		b.addrs.Release(n)
		return end{}, NoBackend
	case kind == packet.ICMP:
		return end{addr: n}, Forwarded
	}
	return end{n, picked.Port()}, Forwarded
}

// ended tells whoever picked a target that its session is no more.
func (b *book) ended(l *link, target end) {
	if l.Ended != nil {
		l.Ended(b.addrs.WithPort(target.addr, target.port))
	}
}

// portTries bounds the search for another port where the pool's next one is of
// no use: if a NAT IP is also an address that consumers send to, a consumer's
// five-tuple may look just like the reply.
const portTries = 8

// takePort takes a NAT port towards target from the link's NAT IPs in turn,
// for the flow with key first.
func (b *book) takePort(l *link, first store.Key, target end) (source natPort, ok bool) {
	locals, next := l.local[version(target.addr)], &l.nextLocal[version(target.addr)]
	for range locals {
		*next = (*next + 1) % len(locals)
		source.addr = locals[*next]
		source.pool = b.poolOf(l, source.addr, target)
		for range portTries {
			b.ports.Asked++
			source.port, ok = b.ports.At(source.pool).Take(b.shard.Share(b.routes.limit), b.clock.Now, b.routes.rest)
			if !ok {
				break
			}
			reply := l.replyKey(source, target)
			if reply != first && !b.flows.Has(reply) && !b.steersAway(l, source.end) {
				return source, true
			}
			// Nobody used it: it needs no rest.
			b.ports.GiveBack(source.pool, source.port, b.clock.Now-b.routes.rest, b.clock.Now)
		}
	}
	return natPort{}, false
}

// natPort is the end of a session that the target sees, and whose it is.
type natPort struct {
	end
	pool store.PoolID
}

func (l *link) replyKey(source natPort, target end) store.Key {
	return store.NewKey(l.Egress, l.Protocol, target.addr, source.addr, target.port, source.port)
}

// start enters a session and returns its flow to the provider.
func (b *book) start(f *packet.Frame, l *link, w *work, source natPort, target end) *store.Flow {
	p := &w.packet
	b.makeRoom(l, p.Kind)
	state := store.Established
	if p.Kind == packet.TCP {
		state = store.SynSent
	}
	id := b.enroll(l, state, w.key, p, source, target)
	s := b.sessions.At(id)
	there := b.flows.At(s.Slots[store.ToProvider])
	b.wheel.Link(&b.sessions, id, b.deadline(s))
	if state == store.SynSent {
		b.enterHalfOpen(id)
		there.Begin(p.Seq(f.Data)+p.SegmentLength(), uint32(p.Window(f.Data)))
		s.Scales = s.Scales.With(store.ToProvider, scaleOffer(f, p))
	}
	l.stats.SessionsOpened++
	return there
}

// enroll gives a session a number and its two flows, of which first is the key
// of the packets to the provider, with p's ends. There must be room.
func (b *book) enroll(
	l *link, state store.State, first store.Key, p *packet.Packet, source natPort, target end,
) store.SessionID {
	id := b.sessions.Add()
	s := b.sessions.At(id)
	s.Link, s.Pool, s.State = l.number, source.pool, state
	reply := packet.Packet{Src: target.addr, Dst: source.addr, SrcPort: target.port, DstPort: source.port}
	there := b.addFlow(id, store.ToProvider, first,
		b.newRewrite(p, source.addr, target.addr, source.port, target.port),
		l.hopToProvider(b.addrs.Addr(target.addr)))
	back := b.addFlow(id, store.ToConsumer, l.replyKey(source, target),
		b.newRewrite(&reply, p.Dst, p.Src, p.DstPort, p.SrcPort),
		l.hopToConsumer(b.addrs.Addr(p.Src)))
	if store.IsIPv6(p.Src) || store.IsIPv6(target.addr) {
		there.Flags |= store.HasIPv6
		back.Flags |= store.HasIPv6
		for _, n := range [...]uint32{p.Src, p.Dst, source.addr, target.addr} {
			b.addrs.Hold(n)
		}
	}
	l.sessions++
	return id
}

func (b *book) addFlow(
	id store.SessionID, d store.Direction, k store.Key, r packet.Rewrite, h store.HopKey,
) *store.Flow {
	s := b.sessions.At(id)
	e, slot := b.flows.Insert(k)
	s.Slots[d] = slot
	e.Rewrite, e.Hop, e.Session = r, b.hops.Acquire(h), id
	e.SetDirection(d)
	e.SetState(s.State)
	e.Last = b.clock.Now
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

// poolOf is the pool of a link's NAT IP for a target.
func (b *book) poolOf(l *link, local uint32, target end) store.PoolID {
	return b.poolFor(store.PoolKey{
		Local: local, Target: target.addr, Port: target.port, ENI: l.Egress, Protocol: l.Protocol,
	})
}

// poolFor is the pool for k, which has numbers of addresses for as long as it
// is remembered.
func (b *book) poolFor(k store.PoolKey) store.PoolID {
	if n, ok := b.ports.Number[k]; ok {
		return n
	}
	b.addrs.Hold(k.Local)
	b.addrs.Hold(k.Target)
	return b.ports.Pool(k, b.random, b.clock.Now)
}

// steersAway says whether replies to a NAT port would be taken for packets
// that open a session, by those who cannot see the sessions.
func (b *book) steersAway(l *link, source end) bool {
	return b.shard.Of > 1 && b.routes.links[match{address{source.addr, l.Egress}, source.port, l.Protocol}] != nil
}
