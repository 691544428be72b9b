package packet

import "encoding/binary"

// L3 is where the header of an IP packet starts: behind an Ethernet header
// without a VLAN tag.
const L3 = 14

// Fields of an Ethernet header (IEEE 802.3, 3.1.1), from its start as those of all
// headers below.
const (
	etherTarget = 0
	etherSource = 6
	etherType   = 12
)

// Fields of an IPv4 header (RFC 791, 3.1).
const (
	ipv4Version  = 0 // and, in the lower half of the byte, the length of the header in words
	ipv4TOS      = 1
	ipv4Length   = 2 // of the packet
	ipv4ID       = 4
	ipv4Fragment = 6 // flags and the offset of the fragment
	ipv4TTL      = 8
	ipv4Protocol = 9
	ipv4Checksum = 10
	ipv4Source   = 12
	ipv4Target   = 16

	ipv4HeaderLen = 20 // without options
	ipv4Plain     = 4<<4 | ipv4HeaderLen/4
)

// Fields of an IPv6 header (RFC 8200, 3), and those of the header of a fragment
// (RFC 8200, 4.5).
const (
	ipv6Class      = 0 // version, traffic class and flow label
	ipv6Length     = 4 // of the payload
	ipv6NextHeader = 6
	ipv6HopLimit   = 7
	ipv6Source     = 8
	ipv6Target     = 24

	ipv6HeaderLen = 40

	fragNextHeader = 0
	fragOffset     = 2
	fragID         = 4

	fragHeaderLen = 8
)

// Fields of a TCP header (RFC 9293, 3.1).
const (
	tcpSourcePort = 0
	tcpTargetPort = 2
	tcpSeq        = 4
	tcpAck        = 8
	tcpOffset     = 12 // the length of the header in words, in the upper half of the byte
	tcpFlags      = 13
	tcpWindow     = 14
	tcpChecksum   = 16
	tcpUrgent     = 18

	tcpHeaderLen = 20 // without options
)

// Fields of a UDP header (RFC 768). Ports stand where TCP has them.
const (
	udpLength   = 4
	udpChecksum = 6

	udpHeaderLen = 8
)

// Ports of TCP and UDP are one word.
const l4Ports = tcpSourcePort

// Fields of an ICMP message of either version (RFC 792; RFC 4443, 2.1).
const (
	icmpType     = 0
	icmpCode     = 1
	icmpChecksum = 2
	icmpRest     = 4 // the word whose meaning depends on the type

	icmpHeaderLen = 8
)

// What the word icmpRest of an error may hold.
const (
	icmpv6QuotedLength = icmpRest     // in units of eight bytes (RFC 4884, 4.2)
	icmpQuotedLength   = icmpRest + 1 // in words (RFC 4884, 4.1)
	icmpMTU            = icmpRest + 2 // of the next hop (RFC 1191, 4)
)

// EtherTypeOf is the type of the frame data, which has L3 bytes at least.
func EtherTypeOf(data []byte) uint16 { return binary.BigEndian.Uint16(data[etherType:]) }

// HeadIPv4 reads what a host looks at first in the IPv4 packet of the frame data:
// whether the checksum of the header is right, and the source. It is false where
// there is no whole header, of which Parse says that it is malformed.
func HeadIPv4(data []byte) (src uint32, intact, ok bool) {
	if len(data) < L3+ipv4HeaderLen {
		return 0, false, false
	}
	h := data[L3:]
	if h[ipv4Version] == ipv4Plain { // as nearly all are
		first, second := binary.BigEndian.Uint64(h), binary.BigEndian.Uint64(h[ipv4TTL:])
		sum := first>>32 + first&0xffffffff + second>>32 + second&0xffffffff
		sum += uint64(binary.BigEndian.Uint32(h[ipv4Target:]))
		return uint32(second), Fold(uint32(sum>>32+sum&0xffffffff)) == 0xffff, true
	}
	length := int(h[ipv4Version]&0x0f) * 4
	if h[ipv4Version]>>4 != 4 || length < ipv4HeaderLen || length > len(h) {
		return 0, false, false
	}
	return binary.BigEndian.Uint32(h[ipv4Source:]), Sum(h[:length]) == 0xffff, true
}
