package fullnat

import "github.com/plinksim/plinksim/pkg/packet"

// hop is how frames of a direction of a link leave: sessions with the same
// neighbour share one.
type hop struct {
	hopKey
	macs  [12]byte // dst and src as a frame begins
	users int
}

type hopKey struct {
	link      uint32
	eni       packet.ENI
	dst, src  packet.MAC
	direction direction
}

// hops numbers hops. A number is good while a session uses it.
type hops struct {
	all    []hop
	free   []uint32
	number map[hopKey]uint32
}

func (h *hops) init() { h.number = map[hopKey]uint32{} }

func (h *hops) acquire(k hopKey) uint32 {
	n, ok := h.number[k]
	if !ok {
		n = h.add(k)
	}
	h.all[n].users++
	return n
}

func (h *hops) add(k hopKey) (n uint32) {
	if last := len(h.free) - 1; last >= 0 {
		n, h.free = h.free[last], h.free[:last]
	} else {
		n = uint32(len(h.all))
		h.all = append(h.all, hop{})
	}
	h.all[n] = hop{hopKey: k, macs: [12]byte(append(k.dst[:], k.src[:]...))}
	h.number[k] = n
	return n
}

func (h *hops) release(n uint32) {
	hop := &h.all[n]
	if hop.users--; hop.users == 0 {
		delete(h.number, hop.hopKey)
		h.free = append(h.free, n)
	}
}

// address sends a frame to the neighbour.
func (h *hop) address(f *packet.Frame) {
	*(*[12]byte)(f.Data) = h.macs
	f.ENI = h.eni
}
