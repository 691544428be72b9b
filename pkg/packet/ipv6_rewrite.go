package packet

import "encoding/binary"

// NewRewriteBetween is NewRewrite where an address of the packet or of the
// translation is one of IPv6. addresses is the difference that they make to
// the sum of a pseudo-header: SumDifference of sources and of destinations.
func NewRewriteBetween(p *Packet, src, dst uint32, srcPort, dstPort uint16, addresses uint32) Rewrite {
	addrs := uint32(Fold(addresses))
	ports := Difference(
		uint32(p.SrcPort)<<16|uint32(p.DstPort),
		uint32(srcPort)<<16|uint32(dstPort))
	return Rewrite{
		Src: src, Dst: dst, SrcPort: srcPort, DstPort: dstPort,
		header: Fold(addrs + oneHop), all: Fold(addrs + ports),
	}
}

// SumDifference is what replacing from by to adds to a sum. Their lengths are
// even.
func SumDifference(from, to []byte) uint32 { return uint32(^Sum(from)) + uint32(Sum(to)) }

// ApplyIPv6 is Apply for an IPv6 packet that stays one. ends are the addresses
// that it gets.
func (r *Rewrite) ApplyIPv6(f *Frame, p *Packet, ends *Ends) {
	h := f.Data[L3 : L3+ipv6HeaderLen]
	h[ipv6HopLimit] = p.TTL - 1
	putEnds(h, ends)
	r.applyL4(f, p, uint32(r.header)+backHop)
}

// applyL4 edits the L4 header of a packet, and nothing of a later fragment.
// icmp is what becomes of the pseudo-header of ICMP, which IPv4 has not.
func (r *Rewrite) applyL4(f *Frame, p *Packet, icmp uint32) {
	l4 := f.Data[p.L4:p.End]
	partial := isPartial(f, p)
	switch p.Kind {
	case TCP:
		binary.BigEndian.PutUint32(l4[l4Ports:], uint32(r.SrcPort)<<16|uint32(r.DstPort))
		r.applyTCP(l4[tcpChecksum:tcpChecksum+2], partial)
	case UDP:
		binary.BigEndian.PutUint32(l4[l4Ports:], uint32(r.SrcPort)<<16|uint32(r.DstPort))
		r.applyUDP(l4[udpChecksum:udpChecksum+2], partial)
	case ICMP:
		r.applyEcho(l4, p, icmp)
	}
}

// applyEcho edits an echo that the rewrite may have brought from one IP to the
// other, with the type that it has there.
func (r *Rewrite) applyEcho(l4 []byte, p *Packet, pseudo uint32) {
	identifier, kind := r.SrcPort, p.ICMPType
	if kind == ICMPEchoReply {
		identifier = r.DstPort
	}
	if p.IPv6 {
		kind, _ = asICMPv6(kind, 0)
	}
	changed := pseudo + SumDifference(l4[icmpType:icmpChecksum], []byte{kind, 0})
	changed += Difference(uint32(binary.BigEndian.Uint16(l4[icmpRest:])), uint32(identifier))
	l4[icmpType] = kind
	binary.BigEndian.PutUint16(l4[icmpRest:], identifier)
	checksum := Update(binary.BigEndian.Uint16(l4[icmpChecksum:]), changed)
	if checksum == 0 && !p.IPv6 && allZero(l4) {
		checksum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[icmpChecksum:], checksum)
}

// ApplyErrorIPv6 is ApplyError for an ICMPv6 error that stays one. ends are
// the addresses that it gets: r's.
func (r *Rewrite) ApplyErrorIPv6(data []byte, p, q *Packet, ends *Ends) {
	outer, inner := data[L3:L3+ipv6HeaderLen], data[p.Payload:p.Payload+ipv6HeaderLen]
	before := endsOf(outer)
	quoted := endsOf(inner)
	outer[ipv6HopLimit] = p.TTL - 1
	putEnds(outer, ends)
	putEnds(inner, &Ends{Src: ends.Dst, Dst: ends.Src})

	addrs := SumDifference(quoted.Src[:], ends.Dst[:]) + SumDifference(quoted.Dst[:], ends.Src[:])
	changed := SumDifference(before.Src[:], ends.Src[:]) + SumDifference(before.Dst[:], ends.Dst[:])
	changed += uint32(Fold(addrs)) + r.applyQuotedL4(data[q.L4:q.End], q, addrs)
	field := data[p.L4+icmpChecksum : p.L4+icmpChecksum+2]
	binary.BigEndian.PutUint16(field, Update(binary.BigEndian.Uint16(field), uint32(Fold(changed))))
}

// applyQuotedL4 edits the ports or the identifier of a quoted packet of which
// the addresses change a pseudo-header by addrs, and returns by how much the
// sum of the bytes changed.
func (r *Rewrite) applyQuotedL4(l4 []byte, q *Packet, addrs uint32) uint32 {
	if q.Kind == ICMP {
		before := uint32(Sum(l4))
		reply := Rewrite{SrcPort: r.DstPort, DstPort: r.SrcPort}
		reply.applyEcho(l4, q, addrs)
		return uint32(^Fold(before)) + uint32(Sum(l4))
	}
	ports := Difference(
		uint32(q.SrcPort)<<16|uint32(q.DstPort),
		uint32(r.DstPort)<<16|uint32(r.SrcPort))
	binary.BigEndian.PutUint32(l4[l4Ports:], uint32(r.DstPort)<<16|uint32(r.SrcPort))
	return ports + updateQuotedChecksum(l4, q.Kind, uint32(Fold(addrs))+ports)
}
