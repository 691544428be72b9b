package store

// Wraps is how often the packet counters of flows have wrapped, for the few that
// did: it lets every flow have one of 32 bits.
type Wraps map[wrapKey]uint32

type wrapKey struct {
	session   SessionID
	direction Direction
}

// Count counts a packet of a flow.
func (w *Wraps) Count(e *Flow, bytes uint64) {
	e.Bytes += bytes
	if e.Packets++; e.Packets == 0 {
		w.carry(e)
	}
}

// carry is kept out of line: it runs once in 2^32 packets and must not make
// Count larger.
//
//go:noinline
func (w *Wraps) carry(e *Flow) {
	if *w == nil {
		*w = Wraps{}
	}
	(*w)[wrapKey{e.Session, e.Direction}]++
}

// Packets is how many packets went over e.
func (w Wraps) Packets(e *Flow) uint64 {
	return uint64(w[wrapKey{e.Session, e.Direction}])<<32 + uint64(e.Packets)
}

// Forget is told of a flow that ends.
func (w Wraps) Forget(e *Flow) {
	if len(w) > 0 {
		delete(w, wrapKey{e.Session, e.Direction})
	}
}
