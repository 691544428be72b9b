package packet

import "encoding/binary"

// Types of ICMP messages that ask and answer (RFC 792).
const (
	ICMPEchoReply   = 0
	ICMPEchoRequest = 8
)

// IsEcho says whether p is an ICMP echo request or reply.
func (p *Packet) IsEcho() bool {
	return p.Kind == ICMP && p.ICMPCode == 0 && (p.ICMPType == ICMPEchoRequest || p.ICMPType == ICMPEchoReply)
}

// IsEchoRequest says whether p asks for an ICMP echo reply.
func (p *Packet) IsEchoRequest() bool { return p.IsEcho() && p.ICMPType == ICMPEchoRequest }

// echoPorts gives the identifier of an echo to the side that asked.
func echoPorts(icmpType uint8, l4 []byte) (src, dst uint16) {
	identifier := binary.BigEndian.Uint16(l4[icmpRest:])
	switch icmpType {
	case ICMPEchoRequest:
		return identifier, 0
	case ICMPEchoReply:
		return 0, identifier
	}
	return 0, 0
}

// putEchoPorts edits the identifier of an echo that starts at l4, and its
// checksum, which covers no addresses.
func putEchoPorts(l4 []byte, src, dst uint16) {
	identifier := src
	if l4[icmpType] == ICMPEchoReply {
		identifier = dst
	}
	changed := uint32(^binary.BigEndian.Uint16(l4[icmpRest:])) + uint32(identifier)
	binary.BigEndian.PutUint16(l4[icmpRest:], identifier)
	checksum := Update(binary.BigEndian.Uint16(l4[icmpChecksum:]), changed)
	if checksum == 0 && allZero(l4) {
		// A reply can be all zeros, and then only the other zero is right.
		checksum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[icmpChecksum:], checksum)
}

// allZero looks at an ICMP message but for its checksum.
func allZero(l4 []byte) bool {
	for i, b := range l4 {
		if b != 0 && i != icmpChecksum && i != icmpChecksum+1 {
			return false
		}
	}
	return true
}
