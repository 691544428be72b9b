package fullnat

import (
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
)

// deadline is the first whole second at which s has timed out if nothing
// refreshes it.
func (t *Table) deadline(s *store.Session) int64 {
	const perSecond = int64(time.Second / store.TickLength)
	ticks := t.clock.Ticks + int64(t.timeout(s)) - int64(t.idle(s))
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
func (t *Table) expireStep() bool {
	second := t.clock.Second()
	t.wheel.CatchUp(second)
	if t.wheel.Cursor > second {
		return false
	}
	id := t.wheel.Heads[t.wheel.Cursor%store.WheelSlots]
	if id == store.None {
		t.wheel.Cursor++
		return true
	}
	if s := t.sessions.At(id); t.timedOut(s) {
		t.remove(id)
	} else {
		t.wheel.Move(&t.sessions, id, t.deadline(s))
	}
	return true
}

// sweepStep looks for sessions of links that are gone, one number at a time.
func (t *Table) sweepStep() bool {
	if t.links.orphans == 0 {
		return false
	}
	id := t.links.sweep
	if id >= t.sessions.Reached {
		t.links.sweep = 0
		return true
	}
	t.links.sweep++
	if s := t.sessions.At(id); s.State != store.Free && !t.links.at(s.Link).live {
		t.remove(id)
	}
	return true
}

// stepsPerPage is how many steps take the time of getting a page, where the
// system has to find one.
const stepsPerPage = 8

// shrinkStep does a little of giving memory back, or of taking other memory.
func (t *Table) shrinkStep(budget *int) bool {
	if t.flows.Phase == store.Preparing {
		*budget -= stepsPerPage - 1
	}
	return t.flows.Tidy(t.moved) || t.sessions.Trim() || t.half.Trim()
}

// forgetPool is one step of forgetting pools.
func (t *Table) forgetPool() bool {
	gone, more := t.ports.Forget(t.clock.Now)
	if gone != nil {
		t.addrs.Release(gone.Key.Local, gone.Key.Target)
	}
	return more
}
