package store

import (
	"math/bits"
	"math/rand/v2"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Key is the five-tuple of a packet as it arrives, and the ENI it arrives on:
// VPCs overlap, and without the ENI two tenants would share a session. rest is
// never 0, since no protocol number of ours is.
type Key struct {
	addrs uint64 // source, destination
	Rest  uint64 // source port, destination port, ENI, protocol
}

// NewKey is the key of a packet with these ends that arrives on eni.
func NewKey(eni packet.ENI, protocol uint8, src, dst uint32, srcPort, dstPort uint16) Key {
	return Key{
		addrs: uint64(src)<<32 | uint64(dst),
		Rest:  uint64(srcPort)<<48 | uint64(dstPort)<<32 | uint64(eni)<<8 | uint64(protocol),
	}
}

// PlainKey is that of a TCP packet as packet.ReadPlain gives it.
func PlainKey(eni packet.ENI, addrs uint64, ports uint32) Key {
	return Key{addrs, uint64(ports)<<32 | uint64(eni)<<8 | packet.ProtocolTCP}
}

// Protocol is the IANA number.
func (k Key) Protocol() uint8 { return uint8(k.Rest) }

// ENI is where the packet arrives.
func (k Key) ENI() packet.ENI { return packet.ENI(k.Rest >> 8) }

// Src is the number of the source address.
func (k Key) Src() uint32 { return uint32(k.addrs >> 32) }

// SrcPort is the source port.
func (k Key) SrcPort() uint16 { return uint16(k.Rest >> 48) }

// DstPort is the destination port.
func (k Key) DstPort() uint16 { return uint16(k.Rest >> 32) }

// Dst is the number of the destination address.
func (k Key) Dst() uint32 { return uint32(k.addrs) }

// Arena is an array of flows that finds them by key: open addressing, linear
// probing. What is removed leaves no trace, as those behind it move up.
type Arena struct {
	memory[Flow]
	Secret secret
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

func (a *Arena) init(name string, sessions int, secret secret, backing Backing) error {
	a.Secret = secret
	return a.memory.init(name, slotsFor(sessions), backing)
}

// Home is where the search for k starts. It folds two 128-bit products with a
// secret key: who does not know the key cannot choose flows that share a home.
func (a *Arena) Home(k Key) Slot {
	high, low := bits.Mul64(k.addrs^a.Secret[0], k.Rest^a.Secret[1])
	high, low = bits.Mul64(high^low^a.Secret[2], a.Secret[3]|1)
	slot, _ := bits.Mul64(high^low, uint64(len(a.All)))
	return Slot(slot)
}

// Prefetch starts loading slots and the one behind each, so that a later find
// need not wait.
func (a *Arena) Prefetch(slots []Slot) {
	prefetch(unsafe.Pointer(unsafe.SliceData(a.All)), unsafe.SliceData(slots), len(slots))
}

// Find returns the flow with k, or nil. home is home(k). In a full arena two
// flows of five are behind their home, and no processor foresees which: so the
// first step is computed, not a branch. If the home is empty, k is not there, and
// to look behind it does no harm.
func (a *Arena) Find(k Key, home Slot) *Flow {
	all := a.All
	first := &all[home].Key
	differs := first.addrs ^ k.addrs | first.Rest ^ k.Rest
	for i := int(home) + int((differs|-differs)>>63); ; i++ {
		if i >= len(all) {
			i = 0
		}
		if e := &all[i]; e.Key == k {
			return e
		} else if e.Key.Rest == 0 {
			return nil
		}
	}
}

// insert takes the first empty slot for k, which must not be there, and says
// how many it had to pass.
func (a *Arena) insert(k Key) (slot Slot, passed int) {
	slot = a.Home(k)
	for a.All[slot].Key.Rest != 0 {
		slot = a.after(slot)
		passed++
	}
	a.All[slot].Key = k
	return slot, passed
}

// remove empties a slot and closes the gap: a flow behind it moves up if its
// home is not between the gap and itself.
func (a *Arena) remove(slot Slot, moved func(e *Flow, to Slot)) {
	gap := slot
	for i := a.after(gap); a.All[i].Key.Rest != 0; i = a.after(i) {
		if a.Distance(a.Home(a.All[i].Key), i) < a.Distance(gap, i) {
			continue
		}
		a.All[gap] = a.All[i]
		moved(&a.All[gap], gap)
		gap = i
	}
	a.All[gap] = Flow{}
}

func (a *Arena) after(slot Slot) Slot {
	if slot++; int(slot) == len(a.All) {
		return 0
	}
	return slot
}

// Distance is how many slots to is behind from.
func (a *Arena) Distance(from, to Slot) Slot {
	if to >= from {
		return to - from
	}
	return to + Slot(len(a.All)) - from
}
