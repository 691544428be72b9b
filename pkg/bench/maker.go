package bench

import (
	"encoding/binary"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
)

// A load of many flows is made of whole frames, as a tester at the wire makes them: no
// socket for each flow limits it, and both ends know of every frame when it was due,
// when it came, and which one it was.

// The flows of a load go to several ports of the endpoint, as each target of a NAT IP
// has NAT ports of its own.
const (
	firstFlowPort = 20000 // of the endpoint and of the server
	flowPorts     = 20
	firstSource   = 10000 // of the clients
	sourcePorts   = 50_000
	// MaxFlows is how many flows and sessions a load may have.
	MaxFlows = flowPorts * sourcePorts
)

// flow is one direction of a session as a sender sends it.
type flow struct {
	from, to         [4]byte
	fromPort, toPort uint16
	mac              packet.MAC // of the next hop
}

// clientFlow is the flow with a number, of a client.
func clientFlow(from, to netip.Addr, mac packet.MAC, number int) flow {
	return flow{from: from.As4(), to: to.As4(), mac: mac,
		fromPort: uint16(firstSource + number/flowPorts), toPort: uint16(firstFlowPort + number%flowPorts)}
}

// mark is what every frame of a load has in its payload, in network order.
type mark struct {
	due    int64  // when it was to be sent, in nanoseconds since 1970
	number uint64 // of the sender's frames; 48 bits
	run    uint16 // so that late frames of a measurement are not taken for the next one's
	sender byte
	flags  byte
}

const (
	markSize = 18 // what the smallest frame has room for

	counted = 1 << 0 // it is part of the measurement, and not of the warm-up
	opening = 1 << 1 // it only opens a session
)

func (m *mark) put(b []byte) {
	_ = b[markSize-1]
	binary.BigEndian.PutUint64(b, uint64(m.due))
	binary.BigEndian.PutUint64(b[8:], m.number<<16|uint64(m.run))
	b[16], b[17] = m.sender, m.flags
}

func markOf(b []byte) (m mark) {
	_ = b[markSize-1]
	m.due = int64(binary.BigEndian.Uint64(b))
	m.number, m.run = binary.BigEndian.Uint64(b[8:])>>16, binary.BigEndian.Uint16(b[14:])
	m.sender, m.flags = b[16], b[17]
	return m
}

// maker makes the frames of a device. What it makes has complete checksums.
type maker struct {
	mac packet.MAC // of the device
}

const (
	ipAt, l4At   = 14, 34
	payloadAt    = l4At + 8
	protoUDP     = 17
	protoTCP     = 6
	dontFragment = 0x40
	timeToLive   = 64
)

// udp writes a datagram's frame into b and returns it. size has the frame check
// sequence, which the frame has not.
func (k *maker) udp(b []byte, f *flow, size int, m *mark) []byte {
	b = b[:size-frameCheck]
	payload := len(b) - payloadAt
	k.ip(b, f, protoUDP)
	u := b[l4At:]
	binary.BigEndian.PutUint16(u, f.fromPort)
	binary.BigEndian.PutUint16(u[2:], f.toPort)
	binary.BigEndian.PutUint16(u[4:], uint16(8+payload))
	u[6], u[7] = 0, 0
	m.put(u[8:])
	// The rest of the payload is zeros and has no part in the sum.
	c := checksum(f, protoUDP, 8+payload, u[:8+markSize])
	if c == 0 {
		c = 0xffff // RFC 768
	}
	binary.BigEndian.PutUint16(u[6:], c)
	return b
}

// ip writes the headers of Ethernet and IPv4.
func (k *maker) ip(b []byte, f *flow, proto byte) {
	copy(b, f.mac[:])
	copy(b[6:], k.mac[:])
	b[12], b[13] = 0x08, 0x00
	h := b[ipAt:l4At]
	h[0], h[1] = 0x45, 0
	binary.BigEndian.PutUint16(h[2:], uint16(len(b)-ipAt))
	h[4], h[5], h[6], h[7] = 0, 0, dontFragment, 0
	h[8], h[9], h[10], h[11] = timeToLive, proto, 0, 0
	copy(h[12:], f.from[:])
	copy(h[16:], f.to[:])
	binary.BigEndian.PutUint16(h[10:], fold(sum(0, h)))
}

// checksum is that of a segment or datagram with its pseudo header (RFC 768, RFC 9293).
func checksum(f *flow, proto byte, length int, l4 []byte) uint16 {
	s := sum(uint32(proto)+uint32(length), f.from[:])
	return fold(sum(sum(s, f.to[:]), l4))
}

// sum adds bytes (RFC 1071). An odd one is the last.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	s = s>>16 + s&0xffff
	return ^uint16(s>>16 + s)
}

// The flags of TCP (RFC 9293, 3.1).
const (
	tcpFIN = 1 << iota
	tcpSYN
	tcpRST
	tcpPSH
	tcpACK
)

// segment is what is in a TCP header beside the ports.
type segment struct {
	flags    byte
	seq, ack uint32
}

const tcpHeader = 20

// tcp writes a segment's frame into b and returns it.
func (k *maker) tcp(b []byte, f *flow, s segment, payload []byte) []byte {
	b = b[:l4At+tcpHeader+len(payload)]
	k.ip(b, f, protoTCP)
	t := b[l4At:]
	binary.BigEndian.PutUint16(t, f.fromPort)
	binary.BigEndian.PutUint16(t[2:], f.toPort)
	binary.BigEndian.PutUint32(t[4:], s.seq)
	binary.BigEndian.PutUint32(t[8:], s.ack)
	t[12], t[13] = tcpHeader/4<<4, s.flags
	binary.BigEndian.PutUint16(t[14:], 65535) // window
	t[16], t[17], t[18], t[19] = 0, 0, 0, 0
	copy(t[tcpHeader:], payload)
	binary.BigEndian.PutUint16(t[16:], checksum(f, protoTCP, len(t), t))
	return b
}

// segmentOf reads the header of a segment.
func segmentOf(l4 []byte) segment {
	return segment{l4[13], binary.BigEndian.Uint32(l4[4:]), binary.BigEndian.Uint32(l4[8:])}
}
