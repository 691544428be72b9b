package fullnat

import (
	"net/netip"

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
	t.addrs.release(target.addr)
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
		t.ports.giveBack(source.pool, source.port, t.clock.now-t.way.rest, t.clock.now)
		t.ended(l, target)
		return t.refuse(f, p, l, TableFull)
	}
	w.key = newKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	e := t.start(f, l, w, source, target)
	t.addrs.release(p.Src)
	t.convey(e.session, l, f, p)
	return t.send(f, w, e, l)
}

// roomFor says whether the link may have one session more.
func (t *Table) roomFor(l *link) Verdict {
	switch {
	case l.Behaviour.MaxSessions > 0 && l.sessions >= l.Behaviour.MaxSessions:
		return LinkFull
	case (t.sessions.full() || !t.flows.makeRoom(t.moved)) && t.half.table.len == 0:
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
	return packet.FiveTuple{Src: t.addrs.withPort(p.Src, p.SrcPort), Dst: t.addrs.withPort(p.Dst, p.DstPort), Protocol: p.Protocol}
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
	n, ok := t.addrs.acquire(addr)
	switch {
	case !ok:
		return end{}, TableFull
	case len(l.local[version(n)]) == 0:
		t.addrs.release(n)
		return end{}, NoBackend
	case kind == packet.ICMP:
		return end{addr: n}, Forwarded
	}
	return end{n, picked.Port()}, Forwarded
}

// ended tells whoever picked a target that its session is no more.
func (t *Table) ended(l *link, target end) {
	if l.Ended != nil {
		l.Ended(t.addrs.withPort(target.addr, target.port))
	}
}

// portTries bounds the search for another port where the pool's next one is of
// no use: if a NAT IP is also an address that consumers send to, a consumer's
// five-tuple may look just like the reply.
const portTries = 8

// takePort takes a NAT port towards target from the link's NAT IPs in turn,
// for the flow with key first.
func (t *Table) takePort(l *link, first key, target end) (source natPort, ok bool) {
	locals, next := l.local[version(target.addr)], &l.nextLocal[version(target.addr)]
	for range locals {
		*next = (*next + 1) % len(locals)
		source.addr = locals[*next]
		source.pool = t.poolFor(poolKey{
			local: source.addr, target: target.addr, port: target.port,
			eni: l.Egress, protocol: l.Protocol,
		})
		for range portTries {
			t.ports.asked++
			source.port, ok = t.ports.at(source.pool).take(t.shard.share(t.way.limit), t.clock.now, t.way.rest)
			if !ok {
				break
			}
			if reply := l.replyKey(source, target); reply != first && !t.flows.has(reply) && !t.steersAway(l, source.end) {
				return source, true
			}
			// Nobody used it: it needs no rest.
			t.ports.giveBack(source.pool, source.port, t.clock.now-t.way.rest, t.clock.now)
		}
	}
	return natPort{}, false
}

// natPort is the end of a session that the target sees, and whose it is.
type natPort struct {
	end
	pool uint32
}

func (l *link) replyKey(source natPort, target end) key {
	return newKey(l.Egress, l.Protocol, target.addr, source.addr, target.port, source.port)
}

// start enters a session and returns its flow to the provider.
func (t *Table) start(f *packet.Frame, l *link, w *work, source natPort, target end) *flow {
	p := &w.packet
	t.makeRoom(l, p.Kind)
	id := t.sessions.add()
	s := t.sessions.at(id)
	s.link, s.pool = l.number, source.pool
	s.state = established
	if p.Kind == packet.TCP {
		s.state = synSent
	}
	reply := packet.Packet{Src: target.addr, Dst: source.addr, SrcPort: target.port, DstPort: source.port}
	there := t.addFlow(id, toProvider, w.key,
		t.newRewrite(p, source.addr, target.addr, source.port, target.port),
		l.hopToProvider(t.addrs.of(target.addr)))
	back := t.addFlow(id, toConsumer, l.replyKey(source, target),
		t.newRewrite(&reply, p.Dst, p.Src, p.DstPort, p.SrcPort),
		l.hopToConsumer(t.addrs.of(p.Src)))
	if isIPv6(p.Src) || isIPv6(target.addr) {
		there.flags |= hasIPv6
		back.flags |= hasIPv6
		for _, n := range [...]uint32{p.Src, p.Dst, source.addr, target.addr} {
			t.addrs.hold(n)
		}
	}
	t.wheel.link(&t.sessions, id, t.deadline(s))
	if s.state == synSent {
		t.enterHalfOpen(id)
		there.next = p.Seq(f.Data) + p.SegmentLength()
	}
	l.sessions++
	l.stats.SessionsOpened++
	return there
}

func (t *Table) addFlow(id uint32, d direction, k key, r packet.Rewrite, h hopKey) *flow {
	s := t.sessions.at(id)
	e, slot := t.flows.insert(k)
	s.slots[d] = slot
	e.rewrite, e.hop, e.session, e.direction, e.state = r, t.hops.acquire(h), id, d, s.state
	e.last = t.clock.now
	return e
}

func (l *link) hopToProvider(target netip.Addr) hopKey {
	h := l.toProviderHop
	h.dst = l.egress.NextHop(target)
	return h
}

func (l *link) hopToConsumer(consumer netip.Addr) hopKey {
	h := l.toConsumerHop
	h.dst = l.ingress.NextHop(consumer)
	return h
}
