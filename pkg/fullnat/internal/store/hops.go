package store

import "github.com/plinksim/plinksim/pkg/packet"

// hop is how frames of a direction of a link leave: sessions with the same
// neighbour share one.
type hop struct {
	HopKey
	macs  [12]byte // dst and src as a frame begins
	users int
}

type HopKey struct {
	Link      uint32
	ENI       packet.ENI
	Dst, Src  packet.MAC
	Direction Direction
}

// Hops numbers hops. A number is good while a session uses it.
type Hops struct {
	All    []hop
	free   []uint32
	Number map[HopKey]uint32
}

func (h *Hops) Init() { h.Number = map[HopKey]uint32{} }

func (h *Hops) Acquire(k HopKey) uint32 {
	n, ok := h.Number[k]
	if !ok {
		n = h.add(k)
	}
	h.All[n].users++
	return n
}

func (h *Hops) add(k HopKey) (n uint32) {
	if last := len(h.free) - 1; last >= 0 {
		n, h.free = h.free[last], h.free[:last]
	} else {
		n = uint32(len(h.All))
		h.All = append(h.All, hop{})
	}
	h.All[n] = hop{HopKey: k, macs: [12]byte(append(k.Dst[:], k.Src[:]...))}
	h.Number[k] = n
	return n
}

func (h *Hops) Release(n uint32) {
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
