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
	if !next.IsHalfOpen() {
		b.leaveHalfOpen(s)
	} else if !s.State.IsHalfOpen() {
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
	b.ports.GiveBack(s.Pool, b.flows.At(s.Slots[store.ToProvider]).Rewrite.SrcPort, b.clock.Now-b.idle(s), b.clock.Now)
	for d := range s.Slots {
		b.hops.Release(b.flows.At(s.Slots[d]).Hop)
		b.wraps.Forget(b.flows.At(s.Slots[d]))
		// The first removal may move the other flow, which updates s.slots.
		b.flows.Remove(s.Slots[d], b.moved)
	}
	b.leaveHalfOpen(s)
	b.wheel.Unlink(&b.sessions, id)
	b.links.leave(s.Link)
	b.sessions.Drop(id)
}

func (b *book) moved(e *store.Flow, to store.Slot) {
	b.sessions.At(e.Session).Slots[e.Direction()] = to
}

// enterHalfOpen notes a session that becomes half-open. There must be room.
func (b *book) enterHalfOpen(id store.SessionID) {
	s := b.sessions.At(id)
	s.Extra = uint32(b.half.Add(id, &b.links.at(s.Link).half))
}

func (b *book) leaveHalfOpen(s *store.Session) {
	if s.State.IsHalfOpen() && s.Extra != 0 {
		b.half.Drop(store.HalfOpenID(s.Extra), &b.links.at(s.Link).half)
		s.Extra = 0
	}
}

// makeRoom removes half-open sessions until one more session of the link has
// its place, which it must be known to get.
func (b *book) makeRoom(l *link, kind packet.Kind) {
	if b.sessions.Full() || !b.flows.HasRoom() {
		b.evict(b.half.Table.Oldest)
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
		b.evict(b.half.Table.Oldest)
	}
}

// evict removes a session. Pointers to flows are void after it.
func (b *book) evict(n store.HalfOpenID) {
	id := b.half.All[n].Session
	b.links.at(b.sessions.At(id).Link).stats.Evicted++
	b.remove(id)
}
