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

func (k key) src() uint32 { return uint32(k.addrs >> 32) }

func (k key) dst() uint32 { return uint32(k.addrs) }

func (t *Table) ends(k key) (src, dst netip.AddrPort) {
	return t.addrs.withPort(k.src(), uint16(k.rest>>48)), t.addrs.withPort(k.dst(), uint16(k.rest>>32))
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
	flags     uint8
	_         [1]byte
	next      uint32 // TCP: the sequence number behind the last byte that came
	packets   uint32 // what is beyond is in Table.laps
	bytes     uint64
}

var _ [64]byte = [unsafe.Sizeof(flow{})]byte{}

// arena is an array of flows that finds them by key: open addressing, linear
// probing. What is removed leaves no trace, as those behind it move up.
type arena struct {
	memory[flow]
	secret secret
}

// secret is the key of the hash that says where flows are.
type secret [4]uint64

func newSecret(random *rand.Rand) (s secret) {
	for i := range s {
		s[i] = random.Uint64()
	}
	return s
}

// slotsFor is how many slots a number of sessions get: two flows at three
// slots of five, the fullest at which the longest search of millions is still
// short. Some slots more, so that a search in a very small arena ends as well.
func slotsFor(sessions int) int { return 2*sessions*5/3 + 8 }

func (a *arena) init(sessions int, secret secret, backing backing) error {
	a.secret = secret
	return a.memory.init(slotsFor(sessions), backing)
}

// home is where the search for k starts. It folds two 128-bit products with a
// secret key: who does not know the key cannot choose flows that share a home.
func (a *arena) home(k key) uint32 {
	high, low := bits.Mul64(k.addrs^a.secret[0], k.rest^a.secret[1])
	high, low = bits.Mul64(high^low^a.secret[2], a.secret[3]|1)
	slot, _ := bits.Mul64(high^low, uint64(len(a.all)))
	return uint32(slot)
}

// prefetch starts loading slots and the one behind each, so that a later find
// need not wait.
func (a *arena) prefetch(slots []uint32) {
	prefetch(unsafe.Pointer(unsafe.SliceData(a.all)), unsafe.SliceData(slots), len(slots))
}

// find returns the flow with k, or nil. home is home(k). In a full arena two
// flows of five are behind their home, and no processor foresees which: so the
// first step is computed, not a branch. If the home is empty, k is nowhere, and
// to look behind it does no harm.
func (a *arena) find(k key, home uint32) *flow {
	all := a.all
	first := &all[home].key
	differs := first.addrs ^ k.addrs | first.rest ^ k.rest
	for i := int(home) + int((differs|-differs)>>63); ; i++ {
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

// insert takes the first empty slot for k, which must not be there, and says
// how many it had to pass.
func (a *arena) insert(k key) (slot, passed uint32) {
	slot = a.home(k)
	for a.all[slot].key.rest != 0 {
		slot = a.after(slot)
		passed++
	}
	a.all[slot].key = k
	return slot, passed
}

// remove empties a slot and closes the gap: a flow behind it moves up if its
// home is not between the gap and itself.
func (a *arena) remove(slot uint32, moved func(e *flow, to uint32)) {
	gap := slot
	for i := a.after(gap); a.all[i].key.rest != 0; i = a.after(i) {
		if a.distance(a.home(a.all[i].key), i) < a.distance(gap, i) {
			continue
		}
		a.all[gap] = a.all[i]
		moved(&a.all[gap], gap)
		gap = i
	}
	a.all[gap] = flow{}
}

func (a *arena) after(slot uint32) uint32 {
	if slot++; int(slot) == len(a.all) {
		return 0
	}
	return slot
}

func (a *arena) distance(from, to uint32) uint32 {
	if to >= from {
		return to - from
	}
	return to + uint32(len(a.all)) - from
}
