package fullnat

import (
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
)

// key is the five-tuple of a packet as it arrives, and the ENI it arrives on:
// VPCs overlap, and without the ENI two tenants would share a session. rest is
// never 0, since no protocol number of ours is.
type key struct {
	addrs uint64 // source, destination
	rest  uint64 // source port, destination port, ENI, protocol
}

func newKey(eni packet.ENI, protocol uint8, src, dst uint32, srcPort, dstPort uint16) key {
	return key{
		addrs: uint64(src)<<32 | uint64(dst),
		rest:  uint64(srcPort)<<48 | uint64(dstPort)<<32 | uint64(eni)<<8 | uint64(protocol),
	}
}

func (k key) protocol() uint8 { return uint8(k.rest) }

func (k key) ends() (src, dst netip.AddrPort) {
	return addrPort(uint32(k.addrs>>32), uint16(k.rest>>48)), addrPort(uint32(k.addrs), uint16(k.rest>>32))
}

// flow is one direction of a session: all that an established packet needs,
// in one cache line.
type flow struct {
	key       key
	rewrite   packet.Rewrite
	hop       uint32
	session   uint32
	last      uint32 // tick of the last packet that refreshed the session
	direction direction
	state     state // the session's
	_         [2]byte
	packets   uint64
	bytes     uint64
}

var _ [64]byte = [unsafe.Sizeof(flow{})]byte{}

// flows finds flows by key: open addressing, linear probing, at most three
// slots of five in use. What is removed leaves no trace, as those behind it
// move up; therefore a slot's number is good until the next removal only, and
// sessions are told of moves.
type flows struct {
	memory[flow]
	secret [4]uint64
}

func (f *flows) init(sessions int, random *rand.Rand) error {
	for i := range f.secret {
		f.secret[i] = random.Uint64()
	}
	// Some slots more, so that a search in a very small table ends as well.
	return f.memory.init(2*sessions*5/3 + 8)
}

// home is where the search for k starts. It folds two 128-bit products with a
// secret key: who does not know the key cannot choose flows that share a home.
func (f *flows) home(k key) uint32 {
	high, low := bits.Mul64(k.addrs^f.secret[0], k.rest^f.secret[1])
	high, low = bits.Mul64(high^low^f.secret[2], f.secret[3]|1)
	slot, _ := bits.Mul64(high^low, uint64(len(f.all)))
	return uint32(slot)
}

// prefetch starts loading the slot, so that a later find need not wait.
func (f *flows) prefetch(slot uint32) { prefetch(unsafe.Pointer(&f.all[slot])) }

func (f *flows) at(slot uint32) *flow { return &f.all[slot] }

// find returns the flow with k, or nil. home is home(k).
func (f *flows) find(k key, home uint32) *flow {
	all := f.all
	for i := int(home); ; i++ {
		if i >= len(all) {
			i = 0
		}
		if e := &all[i]; e.key == k {
			return e
		} else if e.key.rest == 0 {
			return nil
		}
	}
}

func (f *flows) has(k key) bool { return f.find(k, f.home(k)) != nil }

// insert takes the first empty slot for k, which must not be in the table.
func (f *flows) insert(k key) (e *flow, slot uint32) {
	slot = f.home(k)
	for f.all[slot].key.rest != 0 {
		slot = f.after(slot)
	}
	e = &f.all[slot]
	e.key = k
	return e, slot
}

// remove empties a slot and closes the gap: a flow behind it moves up if its
// home is not between the gap and itself.
func (f *flows) remove(slot uint32, moved func(e *flow, to uint32)) {
	gap := slot
	for i := f.after(gap); f.all[i].key.rest != 0; i = f.after(i) {
		if f.distance(f.home(f.all[i].key), i) < f.distance(gap, i) {
			continue
		}
		f.all[gap] = f.all[i]
		moved(&f.all[gap], gap)
		gap = i
	}
	f.all[gap] = flow{}
}

func (f *flows) after(slot uint32) uint32 {
	if slot++; int(slot) == len(f.all) {
		return 0
	}
	return slot
}

func (f *flows) distance(from, to uint32) uint32 {
	if to >= from {
		return to - from
	}
	return to + uint32(len(f.all)) - from
}
