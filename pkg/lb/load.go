package lb

import (
	"container/heap"
)

// place is a server's place in the heap of one pool.
type place struct {
	server *server
	weight int64
	rank   int // in the order of the file
	at     int // in the heap
	owner  *choice
}

// leastLoaded has the server first that has the fewest sessions for its
// weight; of equal ones the heavier, then the one that is first in the file.
type leastLoaded []*place

func (h leastLoaded) Len() int { return len(h) }

func (h leastLoaded) Less(i, j int) bool { return h[i].before(h[j]) }

func (p *place) before(o *place) bool {
	mine, others := int64(p.server.sessions)*o.weight, int64(o.server.sessions)*p.weight
	switch {
	case mine != others:
		return mine < others
	case p.weight != o.weight:
		return p.weight > o.weight
	}
	return p.rank < o.rank
}

func (h leastLoaded) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push and Pop are never called: a heap keeps its servers until another takes
// its place.
func (h *leastLoaded) Push(any) { panic("lb: a heap of servers does not grow") }
func (h *leastLoaded) Pop() any { panic("lb: a heap of servers does not shrink") }

// count adds n sessions to a server, wherever that matters. The group's turn
// is held.
func (s *server) count(n int) {
	s.sessions += n
	for _, p := range s.places {
		heap.Fix(&p.owner.heap, p.at)
	}
}
