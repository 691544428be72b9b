package store

import (
	"math/bits"
	"math/rand/v2"
)

// IDs counts the IDs of packets that leave and that somebody may cut or
// has cut. Behind one NAT IP are many senders, each with a count of its own:
// two fragments with the same ID, addresses and protocol would be put together
// into a datagram that nobody sent (RFC 6864, 5.3.1; RFC 7857, 10). Atomic
// packets keep theirs, for it means nothing (RFC 6864, 4.1).
//
// Pairs of addresses share counters, which is as good: what counts is that a
// number does not come back to a pair too soon. An ICMP error that quotes such
// a packet quotes the new ID; senders look at the ports.
type IDs struct {
	secret uint64
	next   [numIDs]uint32 // of which IPv4 has the low half
}

const numIDs = 1024

// Init draws the numbers that are counted from.
func (c *IDs) Init(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1)) // apart from what draws ports
	c.secret = random.Uint64() | 1
	for i := range c.next {
		c.next[i] = random.Uint32()
	}
}

// Take is the first of n numbers for packets from src to dst.
func (c *IDs) Take(src, dst uint32, protocol uint8, n int) (id uint32) {
	high, low := bits.Mul64((uint64(src)<<32|uint64(dst))^uint64(protocol)<<24, c.secret)
	next := &c.next[(high^low)%numIDs]
	id = *next
	*next += uint32(n)
	return id
}
