package store

// Count is how many packets and bytes went over a flow, the packets in the high
// bits. Where those wrap, both go to Wraps: until then the bytes have room, as
// none has more than 2^17.
type Count uint64

const (
	bytesBits = 42
	onePacket = 1 << bytesBits
	allBytes  = onePacket - 1
	// mostPackets is how many packets a Count holds.
	mostPackets = 1 << (64 - bytesBits)
)

// Wraps is what does not fit the counts of flows, for the few that have so much.
type Wraps map[wrapKey]wrapped

type wrapKey struct {
	session   SessionID
	direction Direction
}

type wrapped struct{ packets, bytes uint64 }

// Count counts a packet of a flow.
func (w *Wraps) Count(e *Flow, length uint32) {
	e.Count += onePacket + Count(length)
	if e.Count < onePacket {
		w.carry(e)
	}
}

// Add counts many packets at once.
func (w *Wraps) Add(e *Flow, packets, bytes uint64) {
	if uint64(e.Count>>bytesBits)+packets < mostPackets && uint64(e.Count&allBytes)+bytes <= allBytes {
		e.Count += Count(packets<<bytesBits | bytes)
		return
	}
	if *w == nil {
		*w = Wraps{}
	}
	k := wrapKey{e.Session, e.Direction()}
	n := (*w)[k]
	(*w)[k] = wrapped{n.packets + packets, n.bytes + bytes}
}

// Packets is how many are in the high bits.
func (c Count) Packets() uint64 { return uint64(c >> bytesBits) }

// Bits of a Count: one of WatchBytes changes with every 256 KiB, one of
// WatchPackets with every 64 packets.
const (
	WatchBytes   Count = 1 << 18
	WatchPackets Count = 1 << (bytesBits + 6)
)

// carry is kept out of line: it runs once in 2^22 packets and must not make
// Count larger.
//
//go:noinline
func (w *Wraps) carry(e *Flow) {
	if *w == nil {
		*w = Wraps{}
	}
	k := wrapKey{e.Session, e.Direction()}
	n := (*w)[k]
	(*w)[k] = wrapped{n.packets + mostPackets, n.bytes + uint64(e.Count)}
	e.Count = 0
}

// Of is how many packets and bytes went over e.
func (w Wraps) Of(e *Flow) (packets, bytes uint64) {
	n := w[wrapKey{e.Session, e.Direction()}]
	return n.packets + uint64(e.Count>>bytesBits), n.bytes + uint64(e.Count&allBytes)
}

// Forget is told of a flow that ends.
func (w Wraps) Forget(e *Flow) {
	if len(w) > 0 {
		delete(w, wrapKey{e.Session, e.Direction()})
	}
}
