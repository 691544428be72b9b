package fullnat

import "time"

// wheel has a list of sessions for every second of the next quarter of an
// hour: those that should be looked at then. Packets do not touch it. A
// session of which the deadline has moved meanwhile is put into a later list
// when its turn comes, so each is looked at about once in its timeout, and
// none stays longer than a second after its deadline. Deadlines beyond the
// last list wait in the last one.
type wheel struct {
	heads  [wheelSlots]uint32
	cursor int64 // the second that is looked at next
}

const wheelSlots = 1024

// headFlag marks a session's prev as a slot of the wheel.
const headFlag = 1 << 31

func (w *wheel) init() {
	for i := range w.heads {
		w.heads[i] = none
	}
}

// link puts a session into the list of a second.
func (w *wheel) link(all *sessions, id uint32, second int64) {
	second = min(max(second, w.cursor), w.cursor+wheelSlots-1)
	slot := uint32(second % wheelSlots)
	s := all.at(id)
	s.prev, s.next = headFlag|slot, w.heads[slot]
	if s.next != none {
		all.at(s.next).prev = id
	}
	w.heads[slot] = id
}

func (w *wheel) unlink(all *sessions, id uint32) {
	s := all.at(id)
	if s.prev&headFlag != 0 {
		w.heads[s.prev&^headFlag] = s.next
	} else {
		all.at(s.prev).next = s.next
	}
	if s.next != none {
		all.at(s.next).prev = s.prev
	}
}

func (w *wheel) move(all *sessions, id uint32, second int64) {
	w.unlink(all, id)
	w.link(all, id, second)
}

// catchUp skips seconds so long gone that no list belongs to them any more.
func (w *wheel) catchUp(second int64) {
	w.cursor = max(w.cursor, second-wheelSlots+1)
}

// deadline is the first whole second at which s has timed out if nothing
// refreshes it.
func (t *Table) deadline(s *session) int64 {
	const perSecond = int64(time.Second / tick)
	ticks := t.clock.ticks + int64(t.timeout(s)) - int64(t.idle(s))
	return (ticks + perSecond - 1) / perSecond
}

// Expire removes sessions that have timed out at now and those of links that
// are gone, and forgets ports that have rested and datagrams that stay incomplete. It does at most budget steps,
// each a microsecond or less, and says whether more is due. Packets see a
// session end exactly in time, whenever Expire is called; what waits for it
// is memory and the NAT port.
func (t *Table) Expire(now time.Duration, budget int) (more bool) {
	t.clock.advance(now)
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
	second := t.clock.second()
	t.wheel.catchUp(second)
	if t.wheel.cursor > second {
		return false
	}
	id := t.wheel.heads[t.wheel.cursor%wheelSlots]
	if id == none {
		t.wheel.cursor++
		return true
	}
	if s := t.sessions.at(id); t.timedOut(s) {
		t.remove(id)
	} else {
		t.wheel.move(&t.sessions, id, t.deadline(s))
	}
	return true
}

// sweepStep looks for sessions of links that are gone, one number at a time.
func (t *Table) sweepStep() bool {
	if t.links.orphans == 0 {
		return false
	}
	id := t.links.sweep
	if id >= t.sessions.reached {
		t.links.sweep = 0
		return true
	}
	t.links.sweep++
	if s := t.sessions.at(id); s.state != free && !t.links.at(s.link).live {
		t.remove(id)
	}
	return true
}

// stepsPerPage is how many steps take the time of getting a page, where the
// system has to find one.
const stepsPerPage = 8

// shrinkStep does a little of giving memory back, or of taking other memory.
func (t *Table) shrinkStep(budget *int) bool {
	if t.flows.phase == preparing {
		*budget -= stepsPerPage - 1
	}
	return t.flows.tidy(t.moved) || t.sessions.trim() || t.half.trim()
}
