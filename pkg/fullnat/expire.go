package fullnat

import (
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
)

// deadline is the first whole second at which s has timed out if nothing
// refreshes it.
func (b *book) deadline(s *store.Session) int64 {
	const perSecond = int64(time.Second / store.TickLength)
	ticks := b.clock.Ticks + int64(b.timeout(s)) - int64(b.idle(s))
	return (ticks + perSecond - 1) / perSecond
}

// Expire removes sessions that have timed out at now and those of links that
// are gone, and forgets ports that have rested and datagrams that stay incomplete. It does at most budget steps,
// each a microsecond or less, and says whether more is due. Packets see a
// session end exactly in time, whenever Expire is called; what waits for it
// is memory and the NAT port.
func (t *Table) Expire(now time.Duration, budget int) (more bool) {
	t.clock.Advance(now)
	for ; budget > 0; budget-- {
		if !t.expireStep() && !t.sweepStep() && !t.resendStep() && !t.forgetFragments() &&
			!t.forgetPool() && !t.shrinkStep(&budget) {
			return false
		}
	}
	return true
}

// expireStep looks at one session of the wheel, or goes on by one second.
func (b *book) expireStep() bool {
	second := b.clock.Second()
	b.wheel.CatchUp(second)
	if b.wheel.Cursor > second {
		return false
	}
	id := b.wheel.Heads[b.wheel.Cursor%store.WheelSlots]
	if id == store.None {
		b.wheel.Cursor++
		return true
	}
	s := b.sessions.At(id)
	// The flows of a list's oldest sessions are in no cache, and what is loaded
	// for one session hides behind the work for the one before it.
	if next := b.wheel.After(&b.sessions, s); next != nil {
		b.flows.LoadAhead(next.Slots)
	}
	if b.timedOut(s) {
		b.remove(id)
	} else {
		b.wheel.Move(&b.sessions, id, b.deadline(s))
	}
	return true
}

// sweepStep looks for sessions of links that are gone, one number at a time.
func (b *book) sweepStep() bool {
	if b.links.orphans == 0 {
		return false
	}
	id := b.links.sweep
	if id >= b.sessions.Reached {
		b.links.sweep = 0
		return true
	}
	b.links.sweep++
	if s := b.sessions.At(id); s.State != store.Free && !b.links.at(s.Link).live {
		b.remove(id)
	}
	return true
}

// stepsPerPage is how many steps take the time of getting a page, where the
// system has to find one.
const stepsPerPage = 8

// shrinkStep does a little of giving memory back, or of taking other memory.
func (b *book) shrinkStep(budget *int) bool {
	if b.flows.Phase == store.Preparing {
		*budget -= stepsPerPage - 1
	}
	return b.flows.Tidy(b.moved) || b.sessions.Trim() || b.half.Trim() ||
		b.ledger.Trim(&b.sessions)
}

// forgetPool is one step of forgetting pools.
func (b *book) forgetPool() bool {
	gone, more := b.ports.Forget(b.clock.Now)
	if gone != nil {
		b.addrs.Release(gone.Key.Local, gone.Key.Target)
	}
	return more
}
