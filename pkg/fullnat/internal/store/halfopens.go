package store

import "unsafe"

// HalfOpens are the TCP sessions that the consumer has not confirmed with an
// ACK, and those of them that were reset before it could: all that a flood of
// SYNs with forged sources can make. They are listed by age, all together, by link
// and by pool of NAT ports, so that the oldest can give way to a new one (RFC 4987,
// 3.4): under a flood an honest consumer then has as long as the limit lasts to
// answer, and before it the table was full for minutes.
type HalfOpens struct {
	memory[HalfOpen]            // number 0 is nobody's
	reached          HalfOpenID // the highest number given out since nobody was half-open
	touched          HalfOpenID // numbers from the next on have no memory
	free             HalfOpenID
	Table            HalfOpenList
}

// HalfOpen is the place of a session in the lists.
type HalfOpen struct {
	Session SessionID
	near    [3]neighbours // in the table's list, the link's and the pool's
}

type neighbours struct{ older, newer HalfOpenID }

// HalfOpenList is a list by age. Number 0 is the end.
type HalfOpenList struct {
	Oldest, newest HalfOpenID
	Len            int
}

const (
	ofTable = iota
	ofLink
	ofPool
)

// Init makes room for limit sessions.
func (h *HalfOpens) Init(limit int) error { return h.memory.init("halfopens", limit+1, Backing{}) }

// Full says whether there is no place left.
func (h *HalfOpens) Full() bool { return h.Table.Len == len(h.All)-1 }

// Add must not be called while full.
func (h *HalfOpens) Add(session SessionID, link, pool *HalfOpenList) (n HalfOpenID) {
	if n = h.free; n != 0 {
		h.free = h.All[n].near[ofTable].newer
	} else {
		h.reached++
		h.touched = max(h.touched, h.reached)
		n = h.reached
	}
	h.All[n] = HalfOpen{Session: session}
	h.append(&h.Table, ofTable, n)
	h.append(link, ofLink, n)
	h.append(pool, ofPool, n)
	return n
}

// Drop takes a place out of the lists.
func (h *HalfOpens) Drop(n HalfOpenID, link, pool *HalfOpenList) {
	h.cut(&h.Table, ofTable, n)
	h.cut(link, ofLink, n)
	h.cut(pool, ofPool, n)
	h.All[n] = HalfOpen{near: [3]neighbours{ofTable: {newer: h.free}}}
	h.free = n
	if h.Table.Len == 0 {
		h.reached, h.free = 0, 0
	}
}

// NextInPool is the next younger one of the same pool of NAT ports, 0 behind the last.
func (h *HalfOpens) NextInPool(n HalfOpenID) HalfOpenID { return h.All[n].near[ofPool].newer }

// Trim returns a huge page of memory if nobody is half-open, and says whether
// it did. What is less than one stays.
func (h *HalfOpens) Trim() bool {
	const perChunk = HugePage / HalfOpenID(unsafe.Sizeof(HalfOpen{}))
	if h.Table.Len > 0 || h.touched < perChunk {
		return false
	}
	h.release(int(h.touched-perChunk)+1, int(h.touched)+1)
	h.touched -= perChunk
	return true
}

func (h *HalfOpens) append(l *HalfOpenList, of int, n HalfOpenID) {
	h.All[n].near[of].older = l.newest
	if l.newest != 0 {
		h.All[l.newest].near[of].newer = n
	} else {
		l.Oldest = n
	}
	l.newest = n
	l.Len++
}

func (h *HalfOpens) cut(l *HalfOpenList, of int, n HalfOpenID) {
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

// IsHalfOpen says whether the consumer has yet to confirm the session.
func (s State) IsHalfOpen() bool { return s == SynSent || s == SynReceived }
