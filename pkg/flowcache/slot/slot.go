// Package slot is the memory in which a session table and a flow cache tell each
// other of flows.
//
// The table owns the sessions. It fills in slots and says when packets may be
// forwarded by them; the cache forwards, and counts what it did in the same
// memory. Neither asks the other. The structs here and those of
// flowcache/flowcache.bpf.c are the same, and a test compares them.
package slot

import (
	"encoding/binary"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Slot is one flow. The first cache line is the table's, and the cache only reads
// it; the second is the cache's. Fields that are shared while packets pass are
// to be read and written with the functions of sync/atomic.
//
// Packets of the flow that are not for the cache go to the table, in the order in
// which they came: until the table has sent all that Missed counts, what follows
// goes the same route.
type Slot struct {
	// As a packet leaves. Addresses, ports and MACs are as in the packet.
	Src, Dst         [4]byte
	SrcPort, DstPort [2]byte
	Addrs, Ports     uint32 // what they change in a checksum, as native words
	Header           uint16 // the same for the IP header, with one from the TTL
	MTU              uint16
	Gate             uint16 // the number of the flow's gate
	Reach, Offer     uint8  // TCP: what a segment's numbers are judged by, as in the session table
	Generation       uint32 // of the gate; with another one the gate is shut for this flow
	Handled          uint32 // of Missed, how many the table has sent on
	Idle             uint32 // ms of silence that a packet may come after
	Device           uint32 // interface index; where a packet leaves
	MACs             [12]byte
	Arrives          [6]byte // the MAC that packets come to
	Scale            uint8   // TCP
	Peer             uint8   // 1: the device is one of a pair, and the other end is in another namespace

	Missed uint32 // packets that went to the table
	Last   uint32 // ms of the monotonic clock, of the last packet
	Next   uint32 // TCP: the sequence number behind the last byte that came
	Ack    uint32 // TCP: the highest number that was acknowledged
	Lately uint32 // TCP: the upper half of the last window field
	_      uint32
	Count  Count
	_      uint64
}

// Count is what has passed by a slot since it was given out.
type Count struct {
	Frames, Bytes uint64 // bytes of IP packets; a superframe is one
	Superframes   uint64
	Segments      uint64 // of superframes, but the first of each
}

// Minus is what came after before.
func (c Count) Minus(before Count) Count {
	return Count{
		c.Frames - before.Frames, c.Bytes - before.Bytes,
		c.Superframes - before.Superframes, c.Segments - before.Segments,
	}
}

var _ [128]byte = [unsafe.Sizeof(Slot{})]byte{}

// Flow is one direction of a session, as a table describes it for a cache.
// Addresses and ports are numbers.
type Flow struct {
	Protocol         uint8
	ENI              packet.ENI // where its packets arrive
	Src, Dst         uint32
	SrcPort, DstPort uint16
	Leaves           packet.ENI
	NewSrc, NewDst   uint32
	NewSrcPort       uint16
	NewDstPort       uint16
}

// Key finds a flow: the five-tuple as it arrives, as in the packet, and where.
type Key struct {
	Src, Dst         [4]byte
	SrcPort, DstPort [2]byte
	Device           uint32 // interface index, and the protocol in the low byte
}

// Translate fills in what a packet of f leaves with.
func (f *Flow) Translate(s *Slot) {
	order, native := binary.BigEndian, binary.NativeEndian
	var before struct {
		src, dst [4]byte
		ports    [4]byte
	}
	order.PutUint32(before.src[:], f.Src)
	order.PutUint32(before.dst[:], f.Dst)
	order.PutUint16(before.ports[:], f.SrcPort)
	order.PutUint16(before.ports[2:], f.DstPort)
	order.PutUint32(s.Src[:], f.NewSrc)
	order.PutUint32(s.Dst[:], f.NewDst)
	order.PutUint16(s.SrcPort[:], f.NewSrcPort)
	order.PutUint16(s.DstPort[:], f.NewDstPort)
	after := [4]byte{s.SrcPort[0], s.SrcPort[1], s.DstPort[0], s.DstPort[1]}

	s.Addrs = add(
		difference(native.Uint32(before.src[:]), native.Uint32(s.Src[:])),
		difference(native.Uint32(before.dst[:]), native.Uint32(s.Dst[:])))
	s.Ports = difference(native.Uint32(before.ports[:]), native.Uint32(after[:]))
	// The TTL is the first byte of its word.
	hop := difference(uint32(native.Uint16([]byte{1, 0})), 0)
	s.Header = packet.Fold(add(s.Addrs, hop))
}

// add and difference are sums of ones-complement of 32 bits, which are those of 16
// bits before they are folded (RFC 1071, 2).
func add(a, b uint32) uint32 {
	sum := uint64(a) + uint64(b)
	return uint32(sum) + uint32(sum>>32)
}

func difference(from, to uint32) uint32 { return add(^from, to) }
