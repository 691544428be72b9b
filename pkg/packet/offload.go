package packet

import "encoding/binary"

// Any says whether o asks the device for anything.
func (o *Offload) Any() bool { return o.NeedsCsum || o.GSOType != GSONone || o.GSOSize != 0 }

// Fits says whether o can be true of the packet p: a checksum to be finished
// is that of the L4 header, a type of segmentation is that of the protocol and
// IP version and has a size, and ECN is a matter of TCP (virtio 1.2, 5.1.6.2).
// What does not fit must not be handed to a device. A fragment has nothing
// that a device could do for it.
func (o *Offload) Fits(p *Packet) bool {
	if o.NeedsCsum && !o.fitsChecksum(p) {
		return false
	}
	if o.GSOType == GSONone {
		return o.GSOSize == 0
	}
	switch o.GSOType {
	case GSOTCPv4, GSOTCPv4 | GSOECN:
		return p.Kind == TCP && !p.IPv6 && o.GSOSize > 0
	case GSOTCPv6, GSOTCPv6 | GSOECN:
		return p.Kind == TCP && p.IPv6 && o.GSOSize > 0
	case GSOUDP, GSOUDPL4:
		return p.Kind == UDP && o.GSOSize > 0
	}
	return false
}

func (o *Offload) fitsChecksum(p *Packet) bool {
	switch p.Kind {
	case TCP:
		return o.CsumStart == p.L4 && o.CsumOffset == tcpChecksum
	case UDP:
		return o.CsumStart == p.L4 && o.CsumOffset == udpChecksum
	}
	return false
}

// IsSuperframe says whether the frame f stands for more than one packet. One
// whose payload fits a segment does not, whatever its type says.
func (f *Frame) IsSuperframe(p *Packet) bool {
	return f.Offload.GSOType != GSONone && f.Offload.GSOSize > 0 && p.PayloadLength() > int(f.Offload.GSOSize)
}

// LongestPacket is the length of the longest IP packet that f stands for: what
// an MTU is compared with. HdrLen has no say in it.
func (f *Frame) LongestPacket(p *Packet) int {
	if !f.IsSuperframe(p) {
		return p.Length()
	}
	size := int(f.Offload.GSOSize)
	if f.Offload.GSOType == GSOUDP {
		// Fragments, of which only the first has a UDP header, counted by Linux
		// within the size (net/ipv4/ip_output.c).
		return int(p.L4) - L3 + size
	}
	return int(p.Payload) - L3 + size
}

// FinishChecksum computes the checksum of the TCP or UDP packet p that its
// sender left to the device, and takes that out of f.Offload.
func FinishChecksum(f *Frame, p *Packet) {
	if !f.Offload.NeedsCsum {
		return
	}
	l4 := f.Data[p.L4:p.End]
	sum := ^Sum(l4) // the field holds the sum of the pseudo-header
	if p.Kind == UDP && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[f.Offload.CsumOffset:], sum)
	f.Offload = Offload{}
}
