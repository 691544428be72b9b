package derive

import (
	"encoding/binary"
	"net/netip"
)

// Nth is an address of a block, counted from its first, or from behind its
// last where n is negative: -1 is the last.
func Nth(block netip.Prefix, n int) netip.Addr {
	if n < 0 {
		n += Size(block)
	}
	base := block.Masked().Addr().As4()
	var out [4]byte
	binary.BigEndian.PutUint32(out[:], binary.BigEndian.Uint32(base[:])+uint32(n))
	return netip.AddrFrom4(out)
}

// Size is how many addresses a block has.
func Size(block netip.Prefix) int { return 1 << (32 - block.Bits()) }

// Position is where an address stands in a block, from 0.
func Position(block netip.Prefix, addr netip.Addr) int {
	base, a := block.Masked().Addr().As4(), addr.As4()
	return int(binary.BigEndian.Uint32(a[:]) - binary.BigEndian.Uint32(base[:]))
}

// Contains says whether all of inner is in outer.
func Contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// Address takes an address between the first low and the last top ones of a
// block for a key. The hash of the key says where to look, and the next free
// address is taken, so an object keeps its address when others come and go,
// unless two want the same one. It returns false where the block is full.
func Address(block netip.Prefix, low, top int, key string, taken func(netip.Addr) bool) (netip.Addr, bool) {
	n := Size(block) - low - top
	if n <= 0 {
		return netip.Addr{}, false
	}
	start := int(Hash(key) % uint64(n))
	for i := range n {
		if addr := Nth(block, low+(start+i)%n); !taken(addr) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}
