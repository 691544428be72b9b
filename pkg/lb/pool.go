package lb

import (
	"container/heap"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// pool is what the pickers of one zone, or of all zones, choose from.
type pool struct {
	zone   string
	choice *choice // guarded by the group's turn
	next   *choice // what publishLocked is about to swap in, guarded by mu
}

// choice is the state of a pool between two changes. Only the heap changes,
// while the group's turn is held.
type choice struct {
	scheduler topology.Scheduler
	servers   []*server
	weights   []int
	order     []uint16 // rr and wrr: whose turn it is, again and again
	table     []uint16 // sch and tch: by hash
	heap      leastLoaded
}

func newChoice(config topology.ServerGroup, servers []*server, now time.Time) *choice {
	c := &choice{scheduler: config.Scheduler, servers: servers, weights: make([]int, len(servers))}
	for i, s := range servers {
		c.weights[i] = s.weightAt(now, config.SlowStart)
	}
	switch c.scheduler {
	case topology.RoundRobin:
		for i := range servers {
			c.order = append(c.order, uint16(i))
		}
	case topology.SourceHash, topology.FlowHash:
		c.table = newTable(servers, c.weights)
	case topology.WeightedLeast:
		for i, s := range servers {
			c.heap = append(c.heap, &place{server: s, weight: int64(c.weights[i]), rank: i, owner: c})
		}
	default:
		c.order = smoothOrder(c.weights)
	}
	return c
}

// enterHeap orders the heap by the sessions that servers have now, and lets
// them know their places in it.
func (c *choice) enterHeap() {
	for i, p := range c.heap {
		p.at = i
		p.server.places = append(p.server.places, p)
	}
	heap.Init(&c.heap)
}
