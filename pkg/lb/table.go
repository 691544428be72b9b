package lb

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
)

// tableSize is the number of entries of a hash table: a prime, as the
// permutations need, and a hundred times as many as a group has servers.
const tableSize = 65537

// newTable fills a hash table by Maglev hashing (Eisenbud and others, "Maglev:
// A Fast and Reliable Software Network Load Balancer", NSDI 2016, section
// 3.4): servers take turns in claiming the first entry in their own
// permutation that is still free, the heavier ones more often. Each gets its
// share to within a few entries, and when a server comes or goes few others'
// entries change hands.
func newTable(servers []*server, weights []int) []uint16 {
	if len(servers) == 0 {
		return nil
	}
	const free = ^uint16(0)
	table := make([]uint16, tableSize)
	for i := range table {
		table[i] = free
	}
	heaviest := 0
	at, skip := make([]uint32, len(servers)), make([]uint32, len(servers))
	for i, s := range servers {
		heaviest = max(heaviest, weights[i])
		h := hashEnd(s.addr)
		at[i] = uint32(mix(h, 1) % tableSize)
		skip[i] = uint32(mix(h, 2)%(tableSize-1)) + 1
	}
	credit := make([]int, len(servers))
	for filled := 0; ; {
		for i := range servers {
			if credit[i] += weights[i]; credit[i] < heaviest {
				continue
			}
			credit[i] -= heaviest
			for table[at[i]] != free {
				at[i] = (at[i] + skip[i]) % tableSize
			}
			table[at[i]] = uint16(i)
			if filled++; filled == tableSize {
				return table
			}
		}
	}
}

// hashSource and hashFlow have no key: the same flow has the same server in
// every run, and whoever chooses addresses to overload a server of a lab
// overloads his own.
func hashSource(f packet.FiveTuple) uint64 { return hashAddr(f.Src.Addr()) }

func hashFlow(f packet.FiveTuple, seq uint32) uint64 {
	h := mix(hashEnd(f.Src), hashEnd(f.Dst))
	if seq != 0 {
		h = mix(h, uint64(seq))
	}
	return h
}

func hashEnd(a netip.AddrPort) uint64 { return mix(hashAddr(a.Addr()), uint64(a.Port())) }

func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

// mix folds two numbers into one, each bit of which depends on all of theirs
// (the multiply and fold of wyhash, with its constants).
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	h := hi ^ lo
	hi, lo = bits.Mul64(h^0x8ebc6af09c88c6e3, 0x589965cc75374cc3)
	return hi ^ lo
}
