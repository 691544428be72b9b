package store

import "github.com/plinksim/plinksim/pkg/packet"

// hop is how frames of a direction of a link leave: sessions with the same
// neighbour share one.
type hop struct {
	HopKey
	macs  [12]byte // dst and src as a frame begins
	users int
}

// MACs are those that a frame begins with.
func (h *hop) MACs() [12]byte { return h.macs }

// HopKey is what makes two hops different.
type HopKey struct {
	Link      LinkID
	ENI       packet.ENI
	Dst, Src  packet.MAC
	Direction Direction
}

// Hops numbers hops. A number is good while a session uses it.
type Hops struct {
	All    []hop
	free   []HopID
	Number map[HopKey]HopID
}

// Init makes it empty.
func (h *Hops) Init() { h.Number = map[HopKey]HopID{} }

// Acquire is the number of a hop, which has one more user.
func (h *Hops) Acquire(k HopKey) HopID {
	n, ok := h.Number[k]
	if !ok {
		n = h.add(k)
	}
	h.All[n].users++
	return n
}

func (h *Hops) add(k HopKey) (n HopID) {
	if last := len(h.free) - 1; last >= 0 {
		n, h.free = h.free[last], h.free[:last]
	} else {
		n = HopID(len(h.All))
		h.All = append(h.All, hop{})
	}
	h.All[n] = hop{HopKey: k, macs: [12]byte(append(k.Dst[:], k.Src[:]...))}
	h.Number[k] = n
	return n
}

// Release takes back one use of a hop.
func (h *Hops) Release(n HopID) {
	hop := &h.All[n]
	if hop.users--; hop.users == 0 {
		delete(h.Number, hop.HopKey)
		h.free = append(h.free, n)
	}
}

// Address sends a frame to the neighbour.
func (h *hop) Address(f *packet.Frame) {
	*(*[12]byte)(f.Data) = h.macs
	f.ENI = h.ENI
}
