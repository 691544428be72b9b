package fullnat

import (
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// timeout is how many ticks of silence s outlives in its state.
func (b *book) timeout(s *store.Session) store.Tick {
	l := b.links.at(s.Link)
	switch {
	case s.State == store.Established:
		return l.idle
	case l.timers[s.State] > 0:
		return l.timers[s.State]
	}
	return b.timers[s.State]
}

// idle is how many ticks ago a packet last refreshed s.
func (b *book) idle(s *store.Session) store.Tick {
	if there := b.flows.At(s.Slots[store.ToProvider]); there.Flags&store.Cached != 0 {
		b.pullOf(there.Session)
	}
	return min(
		b.clock.Now-b.flows.At(s.Slots[store.ToProvider]).Last,
		b.clock.Now-b.flows.At(s.Slots[store.ToConsumer]).Last)
}

func (b *book) timedOut(s *store.Session) bool { return b.idle(s) >= b.timeout(s) }

// enter brings a session into a state, and its deadline with it.
func (b *book) enter(id store.SessionID, next store.State) {
	s := b.sessions.At(id)
	switch {
	case next == store.Closed && s.Ends&store.Unconfirmed != 0: // it stays where it is
	case !next.IsHalfOpen():
		b.leaveHalfOpen(s)
	case !s.State.IsHalfOpen():
		b.enterHalfOpen(id)
	}
	if next != store.Established {
		b.uncache(id)
	}
	s.State = next
	for _, slot := range s.Slots {
		e := b.flows.At(slot)
		e.SetState(next)
		e.Last = b.clock.Now
	}
	b.wheel.Move(&b.sessions, id, b.deadline(s))
}

// remove forgets a session at once; its NAT port goes to the end of the queue.
func (b *book) remove(id store.SessionID) {
	b.uncache(id)
	b.ledger.Strike(id)
	s := b.sessions.At(id)
	there := b.flows.At(s.Slots[store.ToProvider])
	b.ended(b.links.at(s.Link), end{there.Rewrite.Dst, there.Rewrite.DstPort})
	b.forgetIdentity(id)
	if there.Flags&store.HasIPv6 != 0 {
		b.addrs.Release(there.Key.Src(), there.Key.Dst(), there.Rewrite.Src, there.Rewrite.Dst)
	}
	b.giveBackPort(s, there.Rewrite.SrcPort)
	for d := range s.Slots {
		b.hops.Release(b.flows.At(s.Slots[d]).Hop)
		b.wraps.Forget(b.flows.At(s.Slots[d]))
		// The first removal may move the other flow, which updates s.slots.
		b.flows.Remove(s.Slots[d], b.moved)
	}
	b.wheel.Unlink(&b.sessions, id)
	b.links.leave(s.Link)
	b.sessions.Drop(id)
}

// giveBackPort ends a session's use of its port. A target that was told of the end
// before anybody had confirmed the session does not keep it in TIME-WAIT.
func (b *book) giveBackPort(s *store.Session, port uint16) {
	unknown := s.Ends&store.Unconfirmed != 0
	b.leaveHalfOpen(s) // while the pool is there
	if unknown {
		b.ports.GiveBackRested(s.Pool, port, b.clock.Now, b.routes.rest)
		return
	}
	b.ports.GiveBack(s.Pool, port, b.clock.Now-b.idle(s), b.clock.Now)
}

func (b *book) moved(e *store.Flow, to store.Slot) {
	b.sessions.At(e.Session).Slots[e.Direction()] = to
}

// enterHalfOpen notes a session that becomes half-open. There must be room.
func (b *book) enterHalfOpen(id store.SessionID) {
	s := b.sessions.At(id)
	l := b.links.at(s.Link)
	s.Extra = uint32(b.half.Add(id, &l.half, &b.ports.At(s.Pool).HalfOpen))
	b.links.weigh(l)
}

func (b *book) leaveHalfOpen(s *store.Session) {
	if !s.State.IsHalfOpen() && s.Ends&store.Unconfirmed == 0 {
		return
	}
	if s.Extra != 0 {
		b.half.Drop(store.HalfOpenID(s.Extra), &b.links.at(s.Link).half, &b.ports.At(s.Pool).HalfOpen)
	}
	s.Extra = 0
	s.Ends &^= store.Unconfirmed
}

// makeRoom removes half-open sessions until one more session of the link has
// its place, which it must be known to get.
func (b *book) makeRoom(l *link, kind packet.Kind) {
	if b.sessions.Full() || !b.flows.HasRoom() {
		b.evict(b.links.firstToGo(&b.half))
	}
	if kind != packet.TCP {
		return
	}
	if limit := l.Behaviour.MaxHalfOpen; limit > 0 {
		for l.half.Len >= limit {
			b.evict(l.half.Oldest)
		}
	}
	if b.half.Full() {
		b.evict(b.links.firstToGo(&b.half))
	}
}

// firstToGo is the half-open session that gives way when the table is full: the
// oldest of the link that has most of them, so that a flood through one endpoint
// costs the others nothing.
func (l *links) firstToGo(half *store.HalfOpens) store.HalfOpenID {
	if l.heaviest != nil && l.heaviest.half.Len > 0 {
		return l.heaviest.half.Oldest
	}
	return half.Table.Oldest
}

// evict removes a session. Pointers to flows are void after it.
func (b *book) evict(n store.HalfOpenID) {
	id := b.half.All[n].Session
	b.links.at(b.sessions.At(id).Link).stats.Evicted++
	b.remove(id)
}
