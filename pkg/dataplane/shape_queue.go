package dataplane

import (
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// dueFrame is a frame that waits.
type dueFrame struct {
	due       time.Duration
	number    uint64 // frames that are due together leave in the order of arrival
	direction *direction
	inLine    bool // no frame behind it may overtake it
	frame     packet.Frame
}

func (d *dueFrame) before(other *dueFrame) bool {
	if d.due != other.due {
		return d.due < other.due
	}
	return d.number < other.number
}

// dueQueue is a binary heap of frames by the time at which they are due.
type dueQueue struct {
	heap   []dueFrame
	pushed uint64
}

func (q *dueQueue) push(d dueFrame) {
	d.number = q.pushed
	q.pushed++
	q.heap = append(q.heap, d)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !q.heap[i].before(&q.heap[parent]) {
			break
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

// first is when the earliest frame is due; false where there is none.
func (q *dueQueue) first() (time.Duration, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].due, true
}

func (q *dueQueue) ready(now time.Duration) bool {
	return len(q.heap) > 0 && q.heap[0].due <= now
}

// pop takes the earliest frame. There must be one.
func (q *dueQueue) pop() dueFrame {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = dueFrame{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if right := child + 1; right < last && q.heap[right].before(&q.heap[child]) {
			child = right
		}
		if !q.heap[child].before(&q.heap[i]) {
			break
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
	return top
}
