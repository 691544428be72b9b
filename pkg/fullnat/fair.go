package fullnat

import (
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Whoever sends SYNs and confirms none could have all NAT ports towards a target
// within a second, and everybody else none for minutes. So a session that nobody
// has confirmed gives its port to a consumer who has fewer of them: to one of
// another endpoint that has fewer, at once, and to another one of the same
// endpoint when it had time enough to be confirmed. Who has most gets nobody's.

// confirmTime is how long a handshake may take before another consumer of the
// same endpoint may have its port: longer than the first retransmission of a SYN
// (RFC 6298, 2.1).
const confirmTime = store.Tick(1500 * time.Millisecond / store.TickLength)

// takeOver takes the port of an unconfirmed session of one of the link's NAT IPs
// towards target, for the flow with key first, if one gives way. The target
// is told that the session is over, so that it takes the next one from the same
// port for a new one.
func (t *Table) takeOver(l *link, first store.Key, target end) (source natPort, ok bool) {
	for _, local := range l.local[version(target.addr)] {
		source.addr, source.pool = local, t.poolOf(l, local, target)
		if n := t.firstToYield(source.pool, l, first); n != 0 {
			t.resetTarget(t.half.All[n].Session)
			t.evict(n)
			source.port = t.ports.At(source.pool).TakeRested()
			if l.replyKey(source, target) != first {
				return source, true
			}
			t.ports.GiveBackRested(source.pool, source.port, t.clock.Now, t.routes.rest)
		}
	}
	return natPort{}, false
}

// yieldTries is how many of the oldest unconfirmed sessions are asked to give way. The
// oldest may be of somebody who waits as patiently as the one who asks.
const yieldTries = 8

// firstToYield is the unconfirmed session of a pool that gives way to one of the link
// l with the key first: the oldest of the link that has most of them, if it is there.
// It is 0 where none does.
func (t *Table) firstToYield(pool store.PoolID, l *link, first store.Key) store.HalfOpenID {
	if most := t.links.heaviest; most != nil && most != l {
		n := most.half.Oldest
		if n != 0 && t.sessions.At(t.half.All[n].Session).Pool == pool && t.givesWay(n, l, first) {
			return n
		}
	}
	n := t.ports.At(pool).HalfOpen.Oldest
	for range yieldTries {
		if n == 0 || t.givesWay(n, l, first) {
			return n
		}
		n = t.half.NextInPool(n)
	}
	return 0
}

// givesWay says whether an unconfirmed session gives its place to one of the link
// l with the key first.
func (t *Table) givesWay(n store.HalfOpenID, l *link, first store.Key) bool {
	s := t.sessions.At(t.half.All[n].Session)
	if s.Link != l.number {
		return t.links.at(s.Link).half.Len > l.half.Len
	}
	there := t.flows.At(s.Slots[store.ToProvider])
	return there.Key.Src() != first.Src() && t.idle(s) >= confirmTime
}

// resetTarget sends the target of an unconfirmed session a RST with the number
// that it waits for, unless one went there already.
func (t *Table) resetTarget(id store.SessionID) {
	s := t.sessions.At(id)
	if !s.State.IsHalfOpen() {
		return
	}
	s.Ends |= store.Unconfirmed
	e := t.flows.At(s.Slots[store.ToProvider])
	hop := &t.hops.All[e.Hop]
	d := packet.Data{Segment: packet.Segment{
		Envelope: t.envelope(e), SrcPort: e.Rewrite.SrcPort, DstPort: e.Rewrite.DstPort,
		Seq: e.Next, Flags: packet.FlagRST,
	}}
	if frame := t.pending.addFrom(t.links.at(s.Link).Ingress, hop.ENI, d.Size()); frame != nil {
		d.Build(frame)
	}
}
