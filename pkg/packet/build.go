package packet

import "encoding/binary"

// Codes of the ICMP errors that a translator sends (RFC 792; RFC 1812, 5.2.7.1
// for the last one).
const (
	ICMPCodeTTLInTransit   = 0  // of ICMPTimeExceeded
	ICMPCodeFragNeeded     = 4  // of ICMPUnreachable
	ICMPCodeAdmProhibited  = 13 // of ICMPUnreachable
	icmpSourceQuench       = 4
	icmpRedirect           = 5
	icmpRouterAdvert       = 9
	icmpRouterSolicitation = 10
)

// What is sent by whoever builds a packet here. The TTL is the one that IANA
// recommends (IP parameters, "IP Time to Live"). Packets are atomic in the
// sense of RFC 6864, 4: with Don't Fragment set their IPv4 ID means nothing,
// and so nobody has to count it.
const (
	builtTTL      = 64
	dontFragment  = 0x4000
	icmpErrorSize = 576 // bytes of the longest ICMP error (RFC 1812, 4.3.2.3)
)

// internetworkControl is the precedence of ICMP errors (RFC 1812, 4.3.2.5).
const internetworkControl = 6 << 5

// ICMPError is an ICMP message about a packet, to be sent to where the packet
// came from. It is written as one of IPv4, and about an IPv6 packet it is sent
// as the ICMPv6 message that says the same. It comes from the address that the
// packet was sent to: that is one that its sender can surely route to.
type ICMPError struct {
	Type, Code uint8
	// Rest is the word behind the checksum: for ICMPCodeFragNeeded the MTU of
	// the next hop in its lower half (RFC 1191, 4), else 0.
	Rest uint32
}

// MayReport says whether an ICMP error may be sent about the packet p in data
// (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7): never about another error, about a
// fragment that is not the first, nor about what was sent to more than one
// host. p has any Kind that comes with an IP header, and its source is one
// host, or Parse would have called it Malformed.
func MayReport(data []byte, p *Packet) bool {
	switch p.Kind {
	case Malformed, NotIP, ARP:
		return false
	}
	if isGroup := data[etherTarget]&1 != 0; isGroup {
		return false
	}
	if p.IPv6 {
		return mayBeReportedIPv6(data, p)
	}
	if class := p.Dst >> 28; class >= 0xe { // multicast, reserved and broadcast
		return false
	}
	if binary.BigEndian.Uint16(data[L3+ipv4Fragment:])&fragmentOffset != 0 {
		return false
	}
	return p.Protocol != ProtocolICMP || mayBeReportedICMP(data, p)
}

// mayBeReportedICMP looks at the type itself: a first fragment has no
// ICMPType, and may end before it.
func mayBeReportedICMP(data []byte, p *Packet) bool {
	if int(p.End) <= int(p.L4) {
		return false
	}
	switch data[p.L4+icmpType] {
	case ICMPUnreachable, ICMPTimeExceeded, ICMPParameterProblem,
		icmpSourceQuench, icmpRedirect, icmpRouterAdvert, icmpRouterSolicitation:
		return false
	}
	return true
}

// ICMPErrorSize is how many bytes the frame of an ICMP error about p has. It
// quotes as much as fits in 576 bytes, which RFC 1812, 4.3.2.3 recommends, and
// of IPv6 as much as every link carries (RFC 4443, 2.4).
func ICMPErrorSize(p *Packet) int {
	if p.IPv6 {
		return L3 + min(ipv6HeaderLen+icmpHeaderLen+p.Length(), MinIPv6MTU)
	}
	return L3 + min(ipv4HeaderLen+icmpHeaderLen+p.Length(), icmpErrorSize)
}

// Build writes the error about the packet p in data to frame, which has
// ICMPErrorSize bytes and shares none with data, complete with all checksums.
// It goes back to the Ethernet address that the packet came from. The packet
// is quoted as it is: call Build before anything is translated. If the sender
// left a checksum to the device (Offload.NeedsCsum), then so it is quoted;
// nobody can check one under a quotation that has been cut.
func (e ICMPError) Build(frame, data []byte, p *Packet) {
	if p.IPv6 {
		e.buildIPv6(frame, data, p)
		return
	}
	putEthernet(frame, data)
	putIPv4(frame, internetworkControl, ProtocolICMP, p.Dst, p.Src)
	l4 := frame[L3+ipv4HeaderLen:]
	l4[icmpType], l4[icmpCode] = e.Type, e.Code
	binary.BigEndian.PutUint16(l4[icmpChecksum:], 0)
	binary.BigEndian.PutUint32(l4[icmpRest:], e.Rest)
	copy(l4[icmpHeaderLen:], data[L3:p.End])
	binary.BigEndian.PutUint16(l4[icmpChecksum:], ^Sum(l4))
}

// Bytes of the frame of a RST.
const (
	ResetSize     = L3 + ipv4HeaderLen + tcpHeaderLen
	ResetSizeIPv6 = L3 + ipv6HeaderLen + tcpHeaderLen
)

// ResetSizeFor is how many bytes the frame of a RST that answers p has.
func ResetSizeFor(p *Packet) int {
	if p.IPv6 {
		return ResetSizeIPv6
	}
	return ResetSize
}

// BuildReset writes the RST that a host would answer the TCP segment p in data
// with if it knew nothing of the connection (RFC 9293, 3.10.7.1): its sequence
// number is what the sender waits for. frame has ResetSizeFor(p) bytes and shares
// none with data. A RST is never answered: then frame is as it was, and the
// result is false.
func BuildReset(frame, data []byte, p *Packet) bool {
	if p.Kind != TCP || p.Flags&FlagRST != 0 {
		return false
	}
	var seq, ack uint32
	flags := uint8(FlagRST)
	if p.Flags&FlagACK != 0 {
		seq = p.Ack(data)
	} else {
		flags |= FlagACK
		ack = p.Seq(data) + p.SegmentLength()
	}
	s := Segment{
		Envelope: Envelope{Src: p.Dst, Dst: p.Src},
		SrcPort:  p.DstPort, DstPort: p.SrcPort,
		Seq: seq, Ack: ack, Flags: flags,
	}
	copy(s.DstMAC[:], data[etherSource:etherType])
	copy(s.SrcMAC[:], data[etherTarget:etherSource])
	if p.IPv6 {
		ends := IPv6Ends(data)
		s.IPv6, s.Ends = true, Ends{Src: ends.Dst, Dst: ends.Src}
	}
	s.Build(frame)
	return true
}

// Envelope is what goes before the L4 header of a packet that is built.
type Envelope struct {
	SrcMAC, DstMAC MAC
	Src, Dst       uint32
	IPv6           bool
	Ends           Ends // instead of Src and Dst, for IPv6
}

// size is how many bytes it has.
func (e *Envelope) size() int {
	if e.IPv6 {
		return L3 + ipv6HeaderLen
	}
	return L3 + ipv4HeaderLen
}

// put writes e for a packet that fills frame.
func (e *Envelope) put(frame []byte, protocol uint8) {
	copy(frame[etherTarget:etherSource], e.DstMAC[:])
	copy(frame[etherSource:etherType], e.SrcMAC[:])
	if e.IPv6 {
		putIPv6(frame, protocol, &e.Ends)
		return
	}
	binary.BigEndian.PutUint16(frame[etherType:], EtherTypeIPv4)
	putIPv4(frame, 0, protocol, e.Src, e.Dst)
}

// checksum is that of an L4 header and payload in e, in which its field is 0.
func (e *Envelope) checksum(l4 []byte, protocol uint8) uint16 {
	var pseudo uint16
	if e.IPv6 {
		pseudo = IPv6PseudoSum(&e.Ends, protocol, uint32(len(l4)))
	} else {
		pseudo = PseudoSum(e.Src, e.Dst, protocol, uint16(len(l4)))
	}
	return ^Fold(uint32(pseudo) + uint32(Sum(l4)))
}

// Segment is a TCP segment without options, payload and window.
type Segment struct {
	Envelope
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
}

// Build writes s to frame, complete with all checksums. frame has ResetSize
// bytes, or ResetSizeIPv6.
func (s *Segment) Build(frame []byte) {
	(&Data{Segment: *s}).Build(frame)
}

// IntactTCP says whether the checksums of the TCP segment p in f are right, as
// far as they are there: nobody must answer what was damaged. It
// reads the whole segment.
func IntactTCP(f *Frame, p *Packet) bool {
	return IntactHeader(f.Data, p) && (isPartial(f, p) || IntactL4(f.Data, p))
}

// putEthernet addresses frame to where data came from.
func putEthernet(frame, data []byte) {
	copy(frame[etherTarget:etherSource], data[etherSource:etherType])
	copy(frame[etherSource:etherType], data[etherTarget:etherSource])
	binary.BigEndian.PutUint16(frame[etherType:], EtherTypeIPv4)
}

// putIPv4 writes the header of a packet that fills frame.
func putIPv4(frame []byte, tos, protocol uint8, src, dst uint32) {
	h := frame[L3 : L3+ipv4HeaderLen]
	clear(h)
	h[ipv4Version], h[ipv4TOS], h[ipv4TTL], h[ipv4Protocol] = ipv4Plain, tos, builtTTL, protocol
	binary.BigEndian.PutUint16(h[ipv4Length:], uint16(len(frame)-L3))
	binary.BigEndian.PutUint16(h[ipv4Fragment:], dontFragment)
	binary.BigEndian.PutUint32(h[ipv4Source:], src)
	binary.BigEndian.PutUint32(h[ipv4Target:], dst)
	binary.BigEndian.PutUint16(h[ipv4Checksum:], ^Sum(h))
}
