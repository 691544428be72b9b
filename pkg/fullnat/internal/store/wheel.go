package store

// Wheel has a list of sessions for every second of the next quarter of an
// hour: those that should be looked at then. Packets do not touch it. A
// session of which the deadline has moved meanwhile is put into a later list
// when its turn comes, so each is looked at about once in its timeout, and
// none stays longer than a second after its deadline. Deadlines beyond the
// last list wait in the last one.
type Wheel struct {
	Heads  [WheelSlots]SessionID
	Cursor int64 // the second that is looked at next
}

// WheelSlots is how many seconds have a list.
const WheelSlots = 1024

// headFlag marks a session's prev as a slot of the wheel.
const headFlag = 1 << 31

// Init makes it empty.
func (w *Wheel) Init() {
	for i := range w.Heads {
		w.Heads[i] = None
	}
}

// Link puts a session into the list of a second.
func (w *Wheel) Link(all *Sessions, id SessionID, second int64) {
	second = min(max(second, w.Cursor), w.Cursor+WheelSlots-1)
	slot := SessionID(second % WheelSlots)
	s := all.At(id)
	s.prev, s.next = headFlag|slot, w.Heads[slot]
	if s.next != None {
		all.At(s.next).prev = id
	}
	w.Heads[slot] = id
}

// Unlink takes a session out of its list.
func (w *Wheel) Unlink(all *Sessions, id SessionID) {
	s := all.At(id)
	if s.prev&headFlag != 0 {
		w.Heads[s.prev&^headFlag] = s.next
	} else {
		all.At(s.prev).next = s.next
	}
	if s.next != None {
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
