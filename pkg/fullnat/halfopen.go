package fullnat

import (
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
)

// halfOpens are the TCP sessions that the consumer has not confirmed with an
// ACK: all that a flood of SYNs with forged sources can make. They are listed
// by age, all together and by link, so that the oldest can give way to a new
// one (RFC 4987, 3.4): under a flood an honest consumer then has as long as
// the limit lasts to answer, and before it the table was full for minutes.
type halfOpens struct {
	memory[halfOpen]        // number 0 is nobody's
	reached          uint32 // the highest number given out since nobody was half-open
	touched          uint32 // numbers from the next on have no memory
	free             uint32
	table            halfOpenList
}

type halfOpen struct {
	session uint32
	near    [2]neighbours // in the table's list and the link's
}

type neighbours struct{ older, newer uint32 }

// halfOpenList is a list by age. Number 0 is the end.
type halfOpenList struct {
	oldest, newest uint32
	len            int
}

const (
	ofTable = iota
	ofLink
)

func (h *halfOpens) init(limit int) error { return h.memory.init(limit+1, onTouch) }

func (h *halfOpens) full() bool { return h.table.len == len(h.all)-1 }

// add must not be called while full.
func (h *halfOpens) add(session uint32, l *halfOpenList) (n uint32) {
	if n = h.free; n != 0 {
		h.free = h.all[n].near[ofTable].newer
	} else {
		h.reached++
		h.touched = max(h.touched, h.reached)
		n = h.reached
	}
	h.all[n] = halfOpen{session: session}
	h.append(&h.table, ofTable, n)
	h.append(l, ofLink, n)
	return n
}

func (h *halfOpens) drop(n uint32, l *halfOpenList) {
	h.cut(&h.table, ofTable, n)
	h.cut(l, ofLink, n)
	h.all[n] = halfOpen{near: [2]neighbours{ofTable: {newer: h.free}}}
	h.free = n
	if h.table.len == 0 {
		h.reached, h.free = 0, 0
	}
}

// trim returns a huge page of memory if nobody is half-open, and says whether
// it did. What is less than one stays.
func (h *halfOpens) trim() bool {
	const perPiece = hugePage / uint32(unsafe.Sizeof(halfOpen{}))
	if h.table.len > 0 || h.touched < perPiece {
		return false
	}
	h.release(int(h.touched-perPiece)+1, int(h.touched)+1)
	h.touched -= perPiece
	return true
}

func (h *halfOpens) append(l *halfOpenList, of int, n uint32) {
	h.all[n].near[of].older = l.newest
	if l.newest != 0 {
		h.all[l.newest].near[of].newer = n
	} else {
		l.oldest = n
	}
	l.newest = n
	l.len++
}

func (h *halfOpens) cut(l *halfOpenList, of int, n uint32) {
	near := h.all[n].near[of]
	if near.older != 0 {
		h.all[near.older].near[of].newer = near.newer
	} else {
		l.oldest = near.newer
	}
	if near.newer != 0 {
		h.all[near.newer].near[of].older = near.older
	} else {
		l.newest = near.older
	}
	l.len--
}

func (s state) isHalfOpen() bool { return s == synSent || s == synReceived }

// enterHalfOpen notes a session that becomes half-open. There must be room.
func (t *Table) enterHalfOpen(id uint32) {
	s := t.sessions.at(id)
	s.extra = t.half.add(id, &t.links.at(s.link).half)
}

func (t *Table) leaveHalfOpen(s *session) {
	if s.state.isHalfOpen() && s.extra != 0 {
		t.half.drop(s.extra, &t.links.at(s.link).half)
		s.extra = 0
	}
}

// makeRoom removes half-open sessions until one more session of the link has
// its place, which it must be known to get.
func (t *Table) makeRoom(l *link, kind packet.Kind) {
	if t.sessions.full() || !t.flows.hasRoom() {
		t.evict(t.half.table.oldest)
	}
	if kind != packet.TCP {
		return
	}
	if limit := l.Behaviour.MaxHalfOpen; limit > 0 {
		for l.half.len >= limit {
			t.evict(l.half.oldest)
		}
	}
	if t.half.full() {
		t.evict(t.half.table.oldest)
	}
}

// evict removes a session. Pointers to flows are void after it.
func (t *Table) evict(n uint32) {
	id := t.half.all[n].session
	t.links.at(t.sessions.at(id).link).stats.Evicted++
	t.remove(id)
}
