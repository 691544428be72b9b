package packet

import "encoding/binary"

// Rewrite is the translation of one direction of a flow, with what it does to
// checksums worked out. It fits every packet with the five-tuple that it was
// made for, and no other. It has no pointer and 16 bytes.
type Rewrite struct {
	Dst, Src         uint32 // in this order a processor reads them at once
	DstPort, SrcPort uint16
	header           uint16 // difference that addresses and one from the TTL make
	all              uint16 // difference that addresses and ports make
}

// The TTL is the high half of its word, so one less is 0x0100 less, which in
// ones-complement is oneHop more. backHop takes it back where the addresses
// alone count: in a pseudo-header.
const (
	oneHop  = 0xffff - 0x0100
	backHop = 0x0100
)

// NewRewrite gives packets with p's five-tuple new addresses and ports.
func NewRewrite(p *Packet, src, dst uint32, srcPort, dstPort uint16) Rewrite {
	addrs := Difference(p.Src, src) + Difference(p.Dst, dst)
	ports := Difference(
		uint32(p.SrcPort)<<16|uint32(p.DstPort),
		uint32(srcPort)<<16|uint32(dstPort))
	return Rewrite{
		Src: src, Dst: dst, SrcPort: srcPort, DstPort: dstPort,
		header: Fold(addrs + oneHop), all: Fold(addrs + ports),
	}
}

// Apply edits the TCP or UDP packet or the ICMP echo p that Parse found in f:
// addresses, ports, one from the TTL, and both checksums. The TTL must be at
// least 1. Of a fragmented datagram, p is the first fragment as ParseFirst left it.
func (r *Rewrite) Apply(f *Frame, p *Packet) {
	r.applyIPv4(f.Data, p)
	l4 := f.Data[p.L4:p.End]
	if p.Kind == ICMP {
		putEchoPorts(l4, r.SrcPort, r.DstPort)
		return
	}
	binary.BigEndian.PutUint32(l4[l4Ports:], uint32(r.SrcPort)<<16|uint32(r.DstPort))
	partial := f.Offload.NeedsCsum && f.Offload.CsumStart == p.L4
	if p.Kind == TCP {
		r.applyTCP(l4[tcpChecksum:tcpChecksum+2], partial)
	} else {
		r.applyUDP(l4[udpChecksum:udpChecksum+2], partial)
	}
}

func (r *Rewrite) applyIPv4(data []byte, p *Packet) {
	h := data[L3 : L3+ipv4HeaderLen]
	checksum := binary.BigEndian.Uint16(h[ipv4Checksum:])
	h[ipv4TTL] = p.TTL - 1
	binary.BigEndian.PutUint16(h[ipv4Checksum:], Update(checksum, uint32(r.header)))
	binary.BigEndian.PutUint32(h[ipv4Source:], r.Src)
	binary.BigEndian.PutUint32(h[ipv4Target:], r.Dst)
}

func (r *Rewrite) applyTCP(field []byte, partial bool) {
	checksum := binary.BigEndian.Uint16(field)
	if partial {
		// The sender adds ports and payload later, as they are then.
		checksum = UpdatePartial(checksum, uint32(r.header)+backHop)
	} else {
		checksum = Update(checksum, uint32(r.all))
	}
	binary.BigEndian.PutUint16(field, checksum)
}

// applyUDP looks at partial before it looks at the value: 0 means "no
// checksum" (RFC 768) only in a field that is complete.
func (r *Rewrite) applyUDP(field []byte, partial bool) {
	checksum := binary.BigEndian.Uint16(field)
	switch {
	case partial:
		checksum = UpdatePartial(checksum, uint32(r.header)+backHop)
	case checksum == 0:
		return
	default:
		if checksum = Update(checksum, uint32(r.all)); checksum == 0 {
			checksum = 0xffff
		}
	}
	binary.BigEndian.PutUint16(field, checksum)
}
