package packet

import "encoding/binary"

// Types of ICMP errors that quote the packet that caused them (RFC 792).
const (
	ICMPUnreachable      = 3
	ICMPTimeExceeded     = 11
	ICMPParameterProblem = 12
)

// IsICMPError says whether p is an ICMP error, a message that quotes a packet
// and must never be answered by another error.
func (p *Packet) IsICMPError() bool {
	if p.Kind != ICMP {
		return false
	}
	switch p.ICMPType {
	case ICMPUnreachable, ICMPTimeExceeded, ICMPParameterProblem:
		return true
	}
	return false
}

// ParseQuote fills q with the TCP or UDP packet or the echo that the ICMP error p quotes;
// its offsets are those in data, and its End is where the quotation ends,
// which is usually before the packet did. It returns false where a session
// cannot be found from the quotation, and where the checksum of the message
// or of the quoted IPv4 header is wrong (RFC 5508, REQ-3). The checksum of
// the quoted TCP or UDP header is not looked at: its payload is not there.
//
// The addresses of a quoted IPv6 packet are read by QuotedEnds.
func ParseQuote(data []byte, p, q *Packet) bool {
	if !IntactL4(data, p) {
		return false
	}
	if p.IPv6 {
		return parseIPv6Quote(data, p, q)
	}
	quote := data[p.Payload:p.End]
	if len(quote) < ipv4HeaderLen {
		return false
	}
	headerLen := int(quote[ipv4Version]&0x0f) * 4
	// RFC 792 promises 64 bits behind the header, and they hold the ports.
	if quote[ipv4Version]>>4 != 4 || headerLen < ipv4HeaderLen || len(quote) < headerLen+8 {
		return false
	}
	if Sum(quote[:headerLen]) != 0xffff {
		return false
	}
	if binary.BigEndian.Uint16(quote[ipv4Fragment:])&fragmentOffset != 0 {
		return false
	}
	*q = Packet{
		Protocol: quote[ipv4Protocol], TTL: quote[ipv4TTL],
		L4:      p.Payload + uint16(headerLen),
		Payload: p.Payload + uint16(headerLen) + 8,
		End:     uint32(p.Payload) + uint32(quoteEnd(data, p, quote, headerLen)),
		Src:     binary.BigEndian.Uint32(quote[ipv4Source:]),
		Dst:     binary.BigEndian.Uint32(quote[ipv4Target:]),
		SrcPort: binary.BigEndian.Uint16(quote[headerLen:]),
		DstPort: binary.BigEndian.Uint16(quote[headerLen+2:]),
	}
	switch q.Protocol {
	case ProtocolTCP:
		q.Kind = TCP
	case ProtocolUDP:
		q.Kind = UDP
	case ProtocolICMP:
		q.Kind = ICMP
		q.ICMPType, q.ICMPCode = quote[headerLen], quote[headerLen+1]
		q.SrcPort, q.DstPort = echoPorts(quote[headerLen], quote[headerLen:])
		return q.IsEcho()
	default:
		return false
	}
	return true
}

// QuotedEnds reads the addresses of the IPv6 packet that the error p in data
// quotes.
func QuotedEnds(data []byte, p *Packet) Ends { return endsOf(data[p.Payload:]) }

func parseIPv6Quote(data []byte, p, q *Packet) bool {
	quote := data[p.Payload:p.End]
	if len(quote) < ipv6HeaderLen || quote[ipv6Class]>>4 != 6 {
		return false
	}
	*q = Packet{IPv6: true, TTL: quote[ipv6HopLimit]}
	if q.walk(data[:p.End], int(p.Payload)+ipv6HeaderLen, quote[ipv6NextHeader]) != plainChain {
		return false
	}
	if q.FragHeader != 0 && binary.BigEndian.Uint16(data[q.FragHeader+fragOffset:])>>3 != 0 {
		return false
	}
	// RFC 4443 promises as much as fits: 64 bits are little of it.
	headerLen := int(q.L4 - p.Payload)
	if len(quote) < headerLen+8 {
		return false
	}
	end := min(len(quote), ipv6HeaderLen+int(binary.BigEndian.Uint16(quote[ipv6Length:])))
	// RFC 4884, 4: where the extensions start, in units of eight bytes. In a
	// message that reports an MTU the byte is a part of it.
	if units := int(data[p.L4+icmpv6QuotedLength]); units > 0 && data[p.L4+icmpType] != icmpv6TooBig {
		end = min(end, units*8)
	}
	q.Payload = q.L4 + 8
	q.End = uint32(p.Payload) + uint32(max(end, headerLen+8))
	l4 := data[q.L4:]
	q.SrcPort, q.DstPort = portsOf(l4)
	switch q.Protocol {
	case ProtocolTCP:
		q.Kind = TCP
	case ProtocolUDP:
		q.Kind = UDP
	case ProtocolICMP:
		q.Kind = ICMP
		q.ICMPType, q.ICMPCode = asICMPv4(l4[icmpType], l4[icmpCode])
		q.SrcPort, q.DstPort = echoPorts(q.ICMPType, l4)
		return q.IsEcho()
	default:
		return false
	}
	return true
}

// quoteEnd is where the quoted packet ends in quote. Behind it there may be
// padding and extensions: the length attribute of RFC 4884, 4 says where they
// start at the latest, and the packet's own length ends it before the padding.
// The length attribute is a byte in the middle of the word that is 0 or the
// pointer or the MTU otherwise.
func quoteEnd(data []byte, p *Packet, quote []byte, headerLen int) int {
	end := len(quote)
	if words := int(data[p.L4+icmpQuotedLength]); words > 0 {
		end = min(end, words*4)
	}
	end = min(end, int(binary.BigEndian.Uint16(quote[ipv4Length:])))
	return max(end, headerLen+8)
}

// ApplyError edits the ICMP error p that quotes q: r is the translation of
// packets that go where the error goes, so the quoted packet went the other
// way. The outer source becomes r.Src also where a router on the path speaks,
// for whom the receiver's side has no address (RFC 5508, REQ-5). Type, code
// and MTU stay.
func (r *Rewrite) ApplyError(data []byte, p, q *Packet) {
	outer := NewRewrite(&Packet{Src: p.Src, Dst: p.Dst}, r.Src, r.Dst, 0, 0)
	outer.applyIPv4(data, p)

	changed := r.applyQuote(data, p, q)
	field := data[p.L4+icmpChecksum : p.L4+icmpChecksum+2]
	binary.BigEndian.PutUint16(field, Update(binary.BigEndian.Uint16(field), changed))
}

// applyQuote edits the quoted packet and returns by how much the sum of its
// bytes changed. A header of which the checksum follows the change sums up to
// what it was, so the addresses alone make no difference; they count again
// where they are part of the quoted TCP or UDP checksum.
func (r *Rewrite) applyQuote(data []byte, p, q *Packet) uint32 {
	h := data[p.Payload:q.L4]
	addrs := Difference(q.Src, r.Dst) + Difference(q.Dst, r.Src)
	checksum := binary.BigEndian.Uint16(h[ipv4Checksum:])
	binary.BigEndian.PutUint16(h[ipv4Checksum:], Update(checksum, addrs))
	binary.BigEndian.PutUint32(h[ipv4Source:], r.Dst)
	binary.BigEndian.PutUint32(h[ipv4Target:], r.Src)

	l4 := data[q.L4:q.End]
	if q.Kind == ICMP {
		putEchoPorts(l4, r.DstPort, r.SrcPort)
		// The quoted checksum follows the identifier, and the sum of both is
		// what it was.
		return 0
	}
	ports := Difference(
		uint32(q.SrcPort)<<16|uint32(q.DstPort),
		uint32(r.DstPort)<<16|uint32(r.SrcPort))
	binary.BigEndian.PutUint32(l4[l4Ports:], uint32(r.DstPort)<<16|uint32(r.SrcPort))
	return ports + updateQuotedChecksum(l4, q.Kind, addrs+ports)
}

// updateQuotedChecksum lets the quoted checksum follow, where the quotation
// reaches it, and returns by how much it changed.
func updateQuotedChecksum(l4 []byte, kind Kind, difference uint32) uint32 {
	at := tcpChecksum
	if kind == UDP {
		at = udpChecksum
	}
	if len(l4) < at+2 {
		return 0
	}
	old := binary.BigEndian.Uint16(l4[at:])
	if kind == UDP && old == 0 {
		return 0
	}
	updated := Update(old, difference)
	if kind == UDP && updated == 0 {
		updated = 0xffff
	}
	binary.BigEndian.PutUint16(l4[at:], updated)
	return uint32(^old) + uint32(updated)
}
