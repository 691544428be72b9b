package packet

import "encoding/binary"

// Crossing from one version of IP to the other is RFC 7915 without its rules
// for addresses. A packet that crosses gets a new header; IPv4 options and the headers
// that extend one of IPv6 stay behind.

// fragmentable is the longest IPv4 packet made of one of IPv6 that routers may
// fragment (RFC 7915, 5.1): what every IPv6 link carries is reported to nobody
// as too long.
const fragmentable = MinIPv6MTU - ipv6HeaderLen + ipv4HeaderLen

// CrossedLength is how long an IP packet of length bytes with p's header is
// when it has crossed, without a fragment header.
func CrossedLength(p *Packet, length int) int {
	if p.IPv6 {
		return length - int(p.L4-L3) + ipv4HeaderLen
	}
	return length - int(p.L4-L3) + ipv6HeaderLen
}

// MayBeFragmentedAsIPv4 says whether the IPv6 packet p, of which the longest
// that it stands for has length bytes as IPv4, may be fragmented then. One that
// its sender has fragmented may be.
func MayBeFragmentedAsIPv4(p *Packet, length int) bool {
	return p.FragHeader != 0 || length <= fragmentable
}

// ApplyToIPv4 makes the IPv6 packet p in f one of IPv4, with the addresses,
// ports and checksums of r, for which it is a packet of the flow that r
// translates. p follows. id is its identification, and mayFragment says whether
// routers may fragment it. f.Data becomes shorter, at its start. Of a datagram
// in fragments, p is as ParseFirst left it or a later fragment.
func (r *Rewrite) ApplyToIPv4(f *Frame, p *Packet, id uint16, mayFragment bool) {
	pseudo := pseudoSumOf(f.Data, p)
	class := trafficClass(f.Data[L3:])
	frag := p.Frag
	if mayFragment {
		frag &^= dontFragment
	}
	protocol, ttl := p.Protocol, p.TTL-1
	shift := int(p.L4) - L3 - ipv4HeaderLen
	copy(f.Data[shift:], f.Data[:L3])
	moveForward(f, p, shift)

	putIPv4(f.Data[:p.End], class, protocol, r.Src, r.Dst)
	h := f.Data[L3:]
	putHeaderWord(h, ipv4ID, id)
	putHeaderWord(h, ipv4Fragment, frag)
	putHeaderWord(h, ipv4TTL, uint16(ttl)<<8|uint16(protocol))
	binary.BigEndian.PutUint16(f.Data[etherType:], EtherTypeIPv4)
	p.IPv6, p.FragHeader, p.Frag, p.TTL = false, 0, frag, ttl
	if f.Offload.GSOType&^GSOECN == GSOTCPv6 {
		f.Offload.GSOType = f.Offload.GSOType&GSOECN | GSOTCPv4
	}
	r.applyL4(f, p, uint32(^Fold(pseudo)))
}

// moveForward takes n bytes from the start of f.
func moveForward(f *Frame, p *Packet, n int) {
	f.Data = f.Data[n:]
	p.L4, p.Payload, p.End = uint16(int(p.L4)-n), uint16(int(p.Payload)-n), uint32(int(p.End)-n)
	if f.Offload.NeedsCsum {
		f.Offload.CsumStart = uint16(int(f.Offload.CsumStart) - n)
	}
	if f.Offload.HdrLen > 0 {
		f.Offload.HdrLen = uint16(int(f.Offload.HdrLen) - n)
	}
}

// IPv6SizeOf is how many bytes the frame of the IPv4 packet p has as one of
// IPv6, with a fragment header or without.
func IPv6SizeOf(p *Packet, fragment bool) int {
	size := int(p.End-uint32(p.L4)) + L3 + ipv6HeaderLen
	if fragment {
		size += fragHeaderLen
	}
	return size
}

// ApplyToIPv6 makes the IPv4 packet p in f one of IPv6, in the same way. ends
// are r's addresses. The frame is made in room, which has IPv6SizeOf(p,
// fragment) bytes and shares none with f.Data: with a fragment header, and id
// in it, or without.
//
// A UDP datagram without a checksum gets one, as IPv6 has none without (RFC
// 7915, 4.5). A fragmented one cannot: LacksChecksum tells.
func (r *Rewrite) ApplyToIPv6(f *Frame, p *Packet, ends *Ends, room []byte, fragment bool, id uint32) {
	if LacksChecksum(f, p) {
		sum := ^Fold(pseudoSumOf(f.Data, p) + uint32(Sum(f.Data[p.L4:p.End])))
		if sum == 0 {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(f.Data[p.L4+udpChecksum:], sum)
	}
	shift := int(p.L4) - (len(room) - int(p.End-uint32(p.L4)))
	copy(room, f.Data[:L3])
	copy(room[int(p.L4)-shift:], f.Data[p.L4:p.End])
	class, ttl, protocol := f.Data[L3+ipv4TOS], p.TTL-1, protocolOf(p.Protocol)
	f.Data = room
	p.L4, p.Payload, p.End = uint16(int(p.L4)-shift), uint16(int(p.Payload)-shift), uint32(int(p.End)-shift)
	if f.Offload.NeedsCsum {
		f.Offload.CsumStart = p.L4
	}
	if f.Offload.HdrLen > 0 {
		f.Offload.HdrLen = uint16(int(f.Offload.HdrLen) - shift)
	}
	if f.Offload.GSOType&^GSOECN == GSOTCPv4 {
		f.Offload.GSOType = f.Offload.GSOType&GSOECN | GSOTCPv6
	}

	next := protocol
	if fragment {
		next = headerFragment
	}
	putIPv6(room, next, ends)
	h := room[L3:]
	setTrafficClass(h, class)
	h[ipv6HopLimit] = ttl
	if fragment {
		p.FragHeader = L3 + ipv6HeaderLen
		header := h[ipv6HeaderLen : ipv6HeaderLen+fragHeaderLen]
		header[fragNextHeader], header[fragNextHeader+1] = protocol, 0
		putFragWord(h[:ipv6HeaderLen+fragHeaderLen], p.Frag)
		binary.BigEndian.PutUint32(header[fragID:], id)
	}
	p.IPv6, p.TTL, p.Frag = true, ttl, p.Frag|dontFragment
	r.applyL4(f, p, pseudoSumOf(f.Data, p))
}

// LacksChecksum says whether the packet p in f is a UDP datagram, or the first
// fragment of one, that its sender has sent without a checksum.
func LacksChecksum(f *Frame, p *Packet) bool {
	return p.Kind == UDP && !isPartial(f, p) && binary.BigEndian.Uint16(f.Data[p.L4+udpChecksum:]) == 0
}

func trafficClass(h []byte) uint8 { return h[ipv6Class]<<4 | h[ipv6Class+1]>>4 }

func setTrafficClass(h []byte, class uint8) {
	h[ipv6Class], h[ipv6Class+1] = 6<<4|class>>4, class<<4
}

// CrossedError is what becomes of the ICMP error p in data in the other ICMP:
// its type, its code and the word behind the checksum (RFC 7915, 4.2 and 5.2);
// false where the other has nothing like it.
func CrossedError(data []byte, p *Packet) (kind, code uint8, rest uint32, ok bool) {
	if mtu, reports := ReportedMTU(data, p); reports {
		if p.IPv6 {
			const shorter = ipv6HeaderLen - ipv4HeaderLen
			return p.ICMPType, p.ICMPCode, min(max(mtu, shorter)-shorter, 0xffff), true
		}
		kind, code = asICMPv6(p.ICMPType, p.ICMPCode)
		return kind, code, max(mtu+ipv6HeaderLen-ipv4HeaderLen, MinIPv6MTU), true
	}
	kind, code = p.ICMPType, p.ICMPCode
	if !p.IPv6 {
		kind, code = asICMPv6(kind, code)
	}
	switch {
	case kind == icmpOther || p.IPv6 && data[p.L4+icmpType] == icmpv6ParameterProblem && data[p.L4+icmpCode] > 1:
		return 0, 0, 0, false
	case p.IPv6 && kind == ICMPParameterProblem:
		at := binary.BigEndian.Uint32(data[p.L4+icmpRest:])
		if at >= uint32(len(pointersToIPv4)) || pointersToIPv4[at] < 0 {
			return 0, 0, 0, false
		}
		return kind, code, uint32(pointersToIPv4[at]) << 24, true
	case !p.IPv6 && kind == icmpv6ParameterProblem && code == 1:
		return kind, code, ipv6NextHeader, true
	case !p.IPv6 && kind == icmpv6ParameterProblem:
		at := int(data[p.L4+icmpRest])
		if at >= len(pointersToIPv6) || pointersToIPv6[at] < 0 {
			return 0, 0, 0, false
		}
		return kind, code, uint32(pointersToIPv6[at]), true
	}
	return kind, code, 0, true
}

// Fields of one header that are fields of the other, -1 where there is none
// (RFC 7915, figures 3 and 6).
var (
	pointersToIPv6 = [20]int8{0, 1, 4, 4, -1, -1, -1, -1, 7, 6, -1, -1, 8, 8, 8, 8, 24, 24, 24, 24}
	pointersToIPv4 = [40]int8{
		0, 1, -1, -1, 2, 2, 9, 8,
		12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
		16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
	}
)

// CrossedErrorSize is how many bytes the frame of the error p that quotes q has
// when it has crossed. As an ICMPv6 error it quotes no more than what every
// link carries.
func CrossedErrorSize(p, q *Packet) int {
	quoted := int(q.End - uint32(q.L4))
	if p.IPv6 {
		return L3 + ipv4HeaderLen + icmpHeaderLen + ipv4HeaderLen + quoted
	}
	return L3 + min(ipv6HeaderLen+icmpHeaderLen+ipv6HeaderLen+quoted, MinIPv6MTU)
}

// ApplyErrorAcross is ApplyError for an error of one ICMP that becomes one of
// the other, which CrossedError says that it can. ends are the addresses that
// it gets as one of IPv6. It is made in room, which has CrossedErrorSize bytes;
// f, p and q follow. Extensions (RFC 4884) stay behind.
func (r *Rewrite) ApplyErrorAcross(f *Frame, p, q *Packet, ends *Ends, room []byte) {
	data := f.Data
	kind, code, rest, _ := CrossedError(data, p)
	copy(room, data[:L3])
	ttl := p.TTL - 1
	var quoted uint32 // what becomes of the pseudo-header of the quoted packet
	if p.IPv6 {
		before := QuotedEnds(data, p)
		pseudo := IPv6PseudoSum(&before, protocolOf(q.Protocol), uint32(quotedLength(data, p, q)))
		quoted = uint32(^pseudo) // IPv4 has none for ICMP
		if q.Kind != ICMP {
			length := uint16(quotedLength(data, p, q))
			quoted += uint32(PseudoSum(r.Dst, r.Src, q.Protocol, length))
		}
		putIPv4(room, trafficClass(data[L3:]), ProtocolICMP, r.Src, r.Dst)
		binary.BigEndian.PutUint16(room[etherType:], EtherTypeIPv4)
		putHeaderWord(room[L3:], ipv4TTL, uint16(ttl)<<8|ProtocolICMP)
		r.putQuoteIPv4(room[L3+ipv4HeaderLen+icmpHeaderLen:], data, p, q)
		p.L4 = L3 + ipv4HeaderLen
	} else {
		length := quotedLength(data, p, q)
		quoted = uint32(IPv6PseudoSum(&Ends{Src: ends.Dst, Dst: ends.Src}, protocolOf(q.Protocol), uint32(length)))
		if q.Kind != ICMP {
			quoted += uint32(^PseudoSum(q.Src, q.Dst, q.Protocol, uint16(length)))
		}
		putIPv6(room, ProtocolICMPv6, ends)
		setTrafficClass(room[L3:], data[L3+ipv4TOS])
		room[L3+ipv6HopLimit] = ttl
		putQuoteIPv6(room[L3+ipv6HeaderLen+icmpHeaderLen:], ends, data, p, q)
		p.L4 = L3 + ipv6HeaderLen
	}
	pseudo := uint32(0)
	p.IPv6 = !p.IPv6
	p.Payload, p.End, p.TTL = p.L4+icmpHeaderLen, uint32(len(room)), ttl
	p.ICMPType, p.ICMPCode = kind, code
	if p.IPv6 {
		p.ICMPType, p.ICMPCode = asICMPv4(kind, code)
		pseudo = uint32(IPv6PseudoSum(ends, ProtocolICMPv6, uint32(len(room))-uint32(p.L4)))
	}
	q.IPv6 = p.IPv6
	r.applyQuotedL4(room[q.L4:q.End], q, uint32(Fold(quoted)))
	l4 := room[p.L4:]
	l4[icmpType], l4[icmpCode] = kind, code
	binary.BigEndian.PutUint16(l4[icmpChecksum:], 0)
	binary.BigEndian.PutUint32(l4[icmpRest:], rest)
	binary.BigEndian.PutUint16(l4[icmpChecksum:], ^Fold(pseudo+uint32(Sum(l4))))
	f.Data = room
}

// quotedLength is how many bytes the packet that p quotes had behind its IP
// header, says that header.
func quotedLength(data []byte, p, q *Packet) int {
	h := data[p.Payload:]
	if p.IPv6 {
		return int(binary.BigEndian.Uint16(h[ipv6Length:])) + ipv6HeaderLen - int(q.L4-p.Payload)
	}
	return int(binary.BigEndian.Uint16(h[ipv4Length:])) - int(q.L4-p.Payload)
}

// putQuoteIPv4 writes the quotation of an IPv6 packet as one of IPv4.
func (r *Rewrite) putQuoteIPv4(quote, data []byte, p, q *Packet) {
	before := data[p.Payload:]
	length := quotedLength(data, p, q) + ipv4HeaderLen
	h := quote[:ipv4HeaderLen]
	clear(h)
	h[ipv4Version], h[ipv4TOS] = ipv4Plain, trafficClass(before)
	h[ipv4TTL], h[ipv4Protocol] = before[ipv6HopLimit], q.Protocol
	binary.BigEndian.PutUint16(h[ipv4Length:], uint16(length))
	binary.BigEndian.PutUint16(h[ipv4Fragment:], dontFragment)
	binary.BigEndian.PutUint32(h[ipv4Source:], r.Dst)
	binary.BigEndian.PutUint32(h[ipv4Target:], r.Src)
	binary.BigEndian.PutUint16(h[ipv4Checksum:], ^Sum(h))
	q.moveQuote(L3+ipv4HeaderLen+icmpHeaderLen+ipv4HeaderLen, copy(quote[ipv4HeaderLen:], data[q.L4:q.End]))
}

// putQuoteIPv6 is the reverse.
func putQuoteIPv6(quote []byte, ends *Ends, data []byte, p, q *Packet) {
	before := data[p.Payload:]
	h := quote[:ipv6HeaderLen]
	clear(h)
	setTrafficClass(h, before[ipv4TOS])
	binary.BigEndian.PutUint16(h[ipv6Length:], uint16(quotedLength(data, p, q)))
	h[ipv6NextHeader], h[ipv6HopLimit] = protocolOf(q.Protocol), before[ipv4TTL]
	putEnds(h, &Ends{Src: ends.Dst, Dst: ends.Src})
	q.moveQuote(L3+ipv6HeaderLen+icmpHeaderLen+ipv6HeaderLen, copy(quote[ipv6HeaderLen:], data[q.L4:q.End]))
}

// moveQuote notes that the L4 header of a quoted packet is somewhere else.
func (p *Packet) moveQuote(l4 uint16, length int) {
	p.L4, p.Payload, p.End, p.FragHeader = l4, l4+8, uint32(l4)+uint32(length), 0
}
