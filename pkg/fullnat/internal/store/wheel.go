package store

// Wheel has a list of sessions for every second of the next quarter of an
// hour: those that should be looked at then, first come, first served, so that
// their NAT ports come back in the order in which they ended. Packets do not
// touch it. A session of which the deadline has moved meanwhile is put into a
// later list when its turn comes, so each is looked at about once in its timeout,
// and none stays longer than a second after its deadline. Deadlines beyond the
// last list wait in the last one.
type Wheel struct {
	Heads, tails [WheelSlots]SessionID
	Cursor       int64 // the second that is looked at next
}

// WheelSlots is how many seconds have a list.
const WheelSlots = 1024

// endFlag marks a session's prev or next as a slot of the wheel: it is the first
// or last of its list.
const endFlag = 1 << 31

// Init makes it empty.
func (w *Wheel) Init() {
	for i := range w.Heads {
		w.Heads[i], w.tails[i] = None, None
	}
}

// Link puts a session into the list of a second.
func (w *Wheel) Link(all *Sessions, id SessionID, second int64) {
	second = min(max(second, w.Cursor), w.Cursor+WheelSlots-1)
	slot := SessionID(second % WheelSlots)
	s, last := all.At(id), w.tails[slot]
	s.prev, s.next = last, endFlag|slot
	if last == None {
		s.prev, w.Heads[slot] = endFlag|slot, id
	} else {
		all.At(last).next = id
	}
	w.tails[slot] = id
}

// After is the session behind another one in its list, nil behind the last.
func (w *Wheel) After(all *Sessions, s *Session) *Session {
	if s.next&endFlag != 0 {
		return nil
	}
	return all.At(s.next)
}

// Unlink takes a session out of its list.
func (w *Wheel) Unlink(all *Sessions, id SessionID) {
	s := all.At(id)
	first, last := s.prev&endFlag != 0, s.next&endFlag != 0
	switch {
	case first && last:
		w.Heads[s.prev&^endFlag], w.tails[s.next&^endFlag] = None, None
	case first:
		w.Heads[s.prev&^endFlag] = s.next
		all.At(s.next).prev = s.prev
	case last:
		w.tails[s.next&^endFlag] = s.prev
		all.At(s.prev).next = s.next
	default:
		all.At(s.prev).next = s.next
		all.At(s.next).prev = s.prev
	}
}

// Move puts a session into the list of another second.
func (w *Wheel) Move(all *Sessions, id SessionID, second int64) {
	w.Unlink(all, id)
	w.Link(all, id, second)
}

// CatchUp skips seconds so long gone that no list belongs to them any more.
func (w *Wheel) CatchUp(second int64) {
	w.Cursor = max(w.Cursor, second-WheelSlots+1)
}
