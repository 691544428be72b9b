package packet

import "encoding/binary"

// Types of ICMPv6 messages (RFC 4443).
const (
	icmpv6Unreachable      = 1
	icmpv6TooBig           = 2
	icmpv6TimeExceeded     = 3
	icmpv6ParameterProblem = 4
	icmpv6EchoRequest      = 128
	icmpv6EchoReply        = 129
	icmpv6Redirect         = 137
)

// icmpOther stands for messages of one ICMP that the other does not have.
const icmpOther = 255

// asICMPv4 is the type and code of the ICMP message that says what an ICMPv6
// message says, or icmpOther (RFC 7915, 5.2).
func asICMPv4(kind, code uint8) (uint8, uint8) {
	switch kind {
	case icmpv6EchoRequest:
		return ICMPEchoRequest, code
	case icmpv6EchoReply:
		return ICMPEchoReply, code
	case icmpv6Unreachable:
		switch code {
		case 1: // prohibited
			return ICMPUnreachable, 10
		case 4: // no such port
			return ICMPUnreachable, 3
		}
		return ICMPUnreachable, 1
	case icmpv6TooBig:
		return ICMPUnreachable, ICMPCodeFragNeeded
	case icmpv6TimeExceeded:
		return ICMPTimeExceeded, code
	case icmpv6ParameterProblem:
		if code == 1 { // unknown next header
			return ICMPUnreachable, 2
		}
		return ICMPParameterProblem, code
	}
	return icmpOther, icmpOther
}

// asICMPv6 is the reverse (RFC 7915, 4.2).
func asICMPv6(kind, code uint8) (uint8, uint8) {
	switch kind {
	case ICMPEchoRequest:
		return icmpv6EchoRequest, code
	case ICMPEchoReply:
		return icmpv6EchoReply, code
	case ICMPUnreachable:
		switch code {
		case 2: // no such protocol
			return icmpv6ParameterProblem, 1
		case 3: // no such port
			return icmpv6Unreachable, 4
		case ICMPCodeFragNeeded:
			return icmpv6TooBig, 0
		case 9, 10, ICMPCodeAdmProhibited, 15:
			return icmpv6Unreachable, 1
		case 14: // precedence, which IPv6 has not
			return icmpOther, icmpOther
		}
		return icmpv6Unreachable, 0
	case ICMPTimeExceeded:
		return icmpv6TimeExceeded, code
	case ICMPParameterProblem:
		if code == 1 { // a missing option
			return icmpOther, icmpOther
		}
		return icmpv6ParameterProblem, 0
	}
	return icmpOther, icmpOther
}

// mayBeReportedIPv6 is MayReport for IPv6 (RFC 4443, 2.4): redirects and
// neighbour discovery count as messages that nobody answers.
func mayBeReportedIPv6(data []byte, p *Packet) bool {
	if data[L3+ipv6Target] == 0xff || p.FragmentOffset() != 0 {
		return false
	}
	if p.Protocol != ProtocolICMP {
		return true
	}
	if int(p.End) <= int(p.L4) {
		return false
	}
	kind := data[p.L4+icmpType]
	return kind == icmpv6EchoRequest || kind == icmpv6EchoReply
}

// buildIPv6 is ICMPError.Build about an IPv6 packet.
func (e ICMPError) buildIPv6(frame, data []byte, p *Packet) {
	ends := IPv6Ends(data)
	ends.Src, ends.Dst = ends.Dst, ends.Src
	putEthernet(frame, data)
	putIPv6(frame, ProtocolICMPv6, &ends)
	l4 := frame[L3+ipv6HeaderLen:]
	l4[icmpType], l4[icmpCode] = asICMPv6(e.Type, e.Code)
	binary.BigEndian.PutUint16(l4[icmpChecksum:], 0)
	binary.BigEndian.PutUint32(l4[icmpRest:], e.Rest)
	copy(l4[icmpHeaderLen:], data[L3:p.End])
	sum := uint32(IPv6PseudoSum(&ends, ProtocolICMPv6, uint32(len(l4)))) + uint32(Sum(l4))
	binary.BigEndian.PutUint16(l4[icmpChecksum:], ^Fold(sum))
}

// putIPv6 writes the header of a packet that fills frame.
func putIPv6(frame []byte, protocol uint8, ends *Ends) {
	binary.BigEndian.PutUint16(frame[etherType:], EtherTypeIPv6)
	h := frame[L3 : L3+ipv6HeaderLen]
	clear(h)
	h[ipv6Class], h[ipv6NextHeader], h[ipv6HopLimit] = 6<<4, protocol, builtTTL
	binary.BigEndian.PutUint16(h[ipv6Length:], uint16(len(frame)-L3-ipv6HeaderLen))
	putEnds(h, ends)
}

func putEnds(h []byte, ends *Ends) {
	copy(h[ipv6Source:], ends.Src[:])
	copy(h[ipv6Target:], ends.Dst[:])
}

// ReportedMTU is the MTU that the ICMP error p in data reports, and false
// where it reports none: frag needed (RFC 1191, 4) or packet too big (RFC
// 4443, 3.2).
func ReportedMTU(data []byte, p *Packet) (mtu uint32, ok bool) {
	if p.ICMPType != ICMPUnreachable || p.ICMPCode != ICMPCodeFragNeeded {
		return 0, false
	}
	if p.IPv6 {
		return binary.BigEndian.Uint32(data[p.L4+icmpRest:]), true
	}
	return uint32(binary.BigEndian.Uint16(data[p.L4+icmpMTU:])), true
}

// SetReportedMTU gives an ICMP error that reports an MTU another one. Its
// checksum follows.
func SetReportedMTU(data []byte, p *Packet, mtu uint32) {
	before, _ := ReportedMTU(data, p)
	if p.IPv6 {
		binary.BigEndian.PutUint32(data[p.L4+icmpRest:], mtu)
	} else {
		binary.BigEndian.PutUint16(data[p.L4+icmpMTU:], uint16(mtu))
	}
	field := data[p.L4+icmpChecksum:]
	binary.BigEndian.PutUint16(field, Update(binary.BigEndian.Uint16(field), Difference(before, mtu)))
}
