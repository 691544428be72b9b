package flowcache

import (
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/flowcache/slot"
)

// Worker is the part of a Cache that belongs to one session table. It implements
// fullnat.FlowCache, and belongs to the goroutine of the table, but for Stats.
type Worker struct {
	cache *Cache
	gates []uint64
	first uint32 // the number of its first gate
	free  []uint32
	// devices are where the flows of slots arrive, by number. Only those are in it
	// that were ever given out, the lowest first.
	devices []*device
	lowest  uint32 // the number of the first of them

	used, refused, added atomic.Int64
}

// Stats counts what a cache holds and did.
type Stats struct {
	Sessions int   // now
	Room     int   // how many there may be
	Added    int64 // ever
	Refused  int64 // for want of room
	Problem  error // why the programs could not be attached somewhere, the last time
}

// Stats adds up what the workers of the cache have.
func (c *Cache) Stats() Stats {
	s := Stats{Room: int(c.objects.Slots.MaxEntries()) / 2}
	for _, w := range c.workers {
		s.Sessions += int(w.used.Load())
		s.Added += w.added.Load()
		s.Refused += w.refused.Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Problem = c.problem
	return s
}

func newWorker(c *Cache, n, slots int) *Worker {
	w := &Worker{cache: c, first: uint32(n * gatesPerWorker), free: make([]uint32, slots)}
	w.gates = c.gates[w.first : w.first+gatesPerWorker]
	w.lowest = uint32(n * slots)
	for i := range w.free {
		w.free[i] = uint32((n+1)*slots - 1 - i) // the lowest is given out first
	}
	return w
}

// Slot is the memory of a number that Add gave.
func (w *Worker) Slot(number uint32) *slot.Slot { return &w.cache.slots[number] }

// Gate is the number and the generation of a link's gate, nil where the link has
// too high a number for one.
func (w *Worker) Gate(link uint32) (number uint16, generation *uint64) {
	if link >= uint32(len(w.gates)) || w.first+link > 0xffff {
		return 0, nil
	}
	return uint16(w.first + link), &w.gates[link]
}

func (w *Worker) shutAll() {
	for i := range w.gates {
		atomic.AddUint64(&w.gates[i], 1)
	}
}

// Now is the time that the programs write into slots, in milliseconds.
func (w *Worker) Now() uint32 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &t) != nil {
		return 0 // every Linux has this clock
	}
	return uint32(t.Nano() / 1e6)
}

// Place says where packets of a flow leave, false where the cache does not know
// its ENIs.
func (w *Worker) Place(s *slot.Slot, f *slot.Flow) bool {
	arrives, leaves := w.cache.device(f.ENI), w.cache.device(f.Leaves)
	if arrives == nil || leaves == nil {
		return false
	}
	s.Device, s.Peer = leaves.index, 0
	if leaves.peer.Load() && !leaves.queued.Load() {
		s.Peer = 1
	}
	return true
}

// Add gives the flows of a session slots, which are not in use before the table
// says so. It refuses where there is no room, and for the first sessions of an ENI,
// until the programs are attached for it.
func (w *Worker) Add(flows *[2]slot.Flow) (numbers [2]uint32, keys [2]slot.Key, ok bool) {
	if len(w.free) < 2 {
		w.refused.Add(1)
		return numbers, keys, false
	}
	devices := [2]*device{w.cache.device(flows[0].ENI), w.cache.device(flows[1].ENI)}
	if devices[0] == nil || devices[1] == nil || !w.cache.enter(&devices) {
		return numbers, keys, false
	}
	for d := range flows {
		f := &flows[d]
		keys[d] = keyOf(f, devices[d].index)
		numbers[d] = w.free[len(w.free)-1-d]
		s := w.Slot(numbers[d])
		*s = slot.Slot{Handled: 1}
		f.Translate(s)
		if !w.Place(s, f) {
			leave(&devices)
			return numbers, keys, false
		}
	}
	for d := range keys {
		if err := w.cache.objects.Numbers.Put(&keys[d], numbers[d]); err != nil {
			if d > 0 {
				_ = w.cache.objects.Numbers.Delete(&keys[0])
			}
			leave(&devices)
			w.refused.Add(1)
			return numbers, keys, false
		}
	}
	for d, n := range numbers {
		for int(n-w.lowest) >= len(w.devices) {
			w.devices = append(w.devices, nil)
		}
		w.devices[n-w.lowest] = devices[d]
	}
	w.free = w.free[:len(w.free)-2]
	w.used.Add(1)
	w.added.Add(1)
	return numbers, keys, true
}

// Remove takes the flows of a session out: afterwards no packet finds its slots.
// They are given out again after Release.
func (w *Worker) Remove(keys *[2]slot.Key) {
	for d := range keys {
		_ = w.cache.objects.Numbers.Delete(&keys[d]) // it is there: Add has put it
	}
	w.used.Add(-1)
}

// Release takes the numbers of a session back that was removed.
func (w *Worker) Release(numbers [2]uint32) {
	leave(&[2]*device{w.devices[numbers[0]-w.lowest], w.devices[numbers[1]-w.lowest]})
	w.free = append(w.free, numbers[1], numbers[0])
}

func keyOf(f *slot.Flow, device uint32) (k slot.Key) {
	binary.BigEndian.PutUint32(k.Src[:], f.Src)
	binary.BigEndian.PutUint32(k.Dst[:], f.Dst)
	binary.BigEndian.PutUint16(k.SrcPort[:], f.SrcPort)
	binary.BigEndian.PutUint16(k.DstPort[:], f.DstPort)
	k.Device = device<<8 | uint32(f.Protocol)
	return k
}
