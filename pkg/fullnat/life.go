package fullnat

import (
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// timeout is how many ticks of silence s outlives in its state.
func (t *Table) timeout(s *store.Session) uint32 {
	l := t.links.at(s.Link)
	switch {
	case s.State == store.Established:
		return l.idle
	case l.timers[s.State] > 0:
		return l.timers[s.State]
	}
	return t.timers[s.State]
}

// idle is how many ticks ago a packet last refreshed s.
func (t *Table) idle(s *store.Session) uint32 {
	return min(
		t.clock.Now-t.flows.At(s.Slots[store.ToProvider]).Last,
		t.clock.Now-t.flows.At(s.Slots[store.ToConsumer]).Last)
}

func (t *Table) timedOut(s *store.Session) bool { return t.idle(s) >= t.timeout(s) }

// enter brings a session into a state, and its deadline with it.
func (t *Table) enter(id uint32, next store.State) {
	s := t.sessions.At(id)
	if !next.IsHalfOpen() {
		t.leaveHalfOpen(s)
	} else if !s.State.IsHalfOpen() {
		t.enterHalfOpen(id)
	}
	s.State = next
	for _, slot := range s.Slots {
		e := t.flows.At(slot)
		e.State, e.Last = next, t.clock.Now
	}
	t.wheel.Move(&t.sessions, id, t.deadline(s))
}

// remove forgets a session at once; its NAT port goes to the end of the queue.
func (t *Table) remove(id uint32) {
	s := t.sessions.At(id)
	there := t.flows.At(s.Slots[store.ToProvider])
	t.ended(t.links.at(s.Link), end{there.Rewrite.Dst, there.Rewrite.DstPort})
	t.forgetConveyance(id)
	if there.Flags&hasIPv6 != 0 {
		t.addrs.Release(there.Key.Src(), there.Key.Dst(), there.Rewrite.Src, there.Rewrite.Dst)
	}
	t.ports.GiveBack(s.Pool, t.flows.At(s.Slots[store.ToProvider]).Rewrite.SrcPort, t.clock.Now-t.idle(s), t.clock.Now)
	for d := range s.Slots {
		t.hops.Release(t.flows.At(s.Slots[d]).Hop)
		t.wraps.Forget(t.flows.At(s.Slots[d]))
		// The first removal may move the other flow, which updates s.slots.
		t.flows.Remove(s.Slots[d], t.moved)
	}
	t.leaveHalfOpen(s)
	t.wheel.Unlink(&t.sessions, id)
	t.links.leave(s.Link)
	t.sessions.Drop(id)
}

func (t *Table) moved(e *store.Flow, to uint32) {
	t.sessions.At(e.Session).Slots[e.Direction] = to
}

// enterHalfOpen notes a session that becomes half-open. There must be room.
func (t *Table) enterHalfOpen(id uint32) {
	s := t.sessions.At(id)
	s.Extra = t.half.Add(id, &t.links.at(s.Link).half)
}

func (t *Table) leaveHalfOpen(s *store.Session) {
	if s.State.IsHalfOpen() && s.Extra != 0 {
		t.half.Drop(s.Extra, &t.links.at(s.Link).half)
		s.Extra = 0
	}
}

// makeRoom removes half-open sessions until one more session of the link has
// its place, which it must be known to get.
func (t *Table) makeRoom(l *link, kind packet.Kind) {
	if t.sessions.Full() || !t.flows.HasRoom() {
		t.evict(t.half.Table.Oldest)
	}
	if kind != packet.TCP {
		return
	}
	if limit := l.Behaviour.MaxHalfOpen; limit > 0 {
		for l.half.Len >= limit {
			t.evict(l.half.Oldest)
		}
	}
	if t.half.Full() {
		t.evict(t.half.Table.Oldest)
	}
}

// evict removes a session. Pointers to flows are void after it.
func (t *Table) evict(n uint32) {
	id := t.half.All[n].Session
	t.links.at(t.sessions.At(id).Link).stats.Evicted++
	t.remove(id)
}
