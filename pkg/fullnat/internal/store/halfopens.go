package store

import "unsafe"

// HalfOpens are the TCP sessions that the consumer has not confirmed with an
// ACK: all that a flood of SYNs with forged sources can make. They are listed
// by age, all together and by link, so that the oldest can give way to a new
// one (RFC 4987, 3.4): under a flood an honest consumer then has as long as
// the limit lasts to answer, and before it the table was full for minutes.
type HalfOpens struct {
	memory[HalfOpen]        // number 0 is nobody's
	reached          uint32 // the highest number given out since nobody was half-open
	touched          uint32 // numbers from the next on have no memory
	free             uint32
	Table            HalfOpenList
}

type HalfOpen struct {
	Session uint32
	near    [2]neighbours // in the table's list and the link's
}

type neighbours struct{ older, newer uint32 }

// HalfOpenList is a list by age. Number 0 is the end.
type HalfOpenList struct {
	Oldest, newest uint32
	Len            int
}

const (
	ofTable = iota
	ofLink
)

func (h *HalfOpens) Init(limit int) error { return h.memory.init(limit+1, OnTouch) }

func (h *HalfOpens) Full() bool { return h.Table.Len == len(h.All)-1 }

// Add must not be called while full.
func (h *HalfOpens) Add(session uint32, l *HalfOpenList) (n uint32) {
	if n = h.free; n != 0 {
		h.free = h.All[n].near[ofTable].newer
	} else {
		h.reached++
		h.touched = max(h.touched, h.reached)
		n = h.reached
	}
	h.All[n] = HalfOpen{Session: session}
	h.append(&h.Table, ofTable, n)
	h.append(l, ofLink, n)
	return n
}

func (h *HalfOpens) Drop(n uint32, l *HalfOpenList) {
	h.cut(&h.Table, ofTable, n)
	h.cut(l, ofLink, n)
	h.All[n] = HalfOpen{near: [2]neighbours{ofTable: {newer: h.free}}}
	h.free = n
	if h.Table.Len == 0 {
		h.reached, h.free = 0, 0
	}
}

// Trim returns a huge page of memory if nobody is half-open, and says whether
// it did. What is less than one stays.
func (h *HalfOpens) Trim() bool {
	const perPiece = HugePage / uint32(unsafe.Sizeof(HalfOpen{}))
	if h.Table.Len > 0 || h.touched < perPiece {
		return false
	}
	h.release(int(h.touched-perPiece)+1, int(h.touched)+1)
	h.touched -= perPiece
	return true
}

func (h *HalfOpens) append(l *HalfOpenList, of int, n uint32) {
	h.All[n].near[of].older = l.newest
	if l.newest != 0 {
		h.All[l.newest].near[of].newer = n
	} else {
		l.Oldest = n
	}
	l.newest = n
	l.Len++
}

func (h *HalfOpens) cut(l *HalfOpenList, of int, n uint32) {
	near := h.All[n].near[of]
	if near.older != 0 {
		h.All[near.older].near[of].newer = near.newer
	} else {
		l.Oldest = near.newer
	}
	if near.newer != 0 {
		h.All[near.newer].near[of].older = near.older
	} else {
		l.newest = near.older
	}
	l.Len--
}

func (s State) IsHalfOpen() bool { return s == SynSent || s == SynReceived }
