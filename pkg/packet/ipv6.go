package packet

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers of IPv6 (IANA, "IPv6 Extension Header Types").
const (
	// ProtocolICMPv6 is what a frame says where Packet.Protocol is ProtocolICMP.
	ProtocolICMPv6 = 58

	headerHopByHop    = 0
	headerRouting     = 43
	headerFragment    = 44
	headerDestination = 60
)

// MinIPv6MTU is what every link carries that carries IPv6 (RFC 8200, 5).
const MinIPv6MTU = 1280

// maxExtensions is how many extension headers are looked at. RFC 8504, 5.3
// lets a node limit them; nothing that is in use has more than four.
const maxExtensions = 8

// Ends are the addresses of an IPv6 packet.
type Ends struct{ Src, Dst [16]byte }

// IPv6Ends reads the addresses of the IPv6 packet in data.
func IPv6Ends(data []byte) Ends { return endsOf(data[L3:]) }

func endsOf(h []byte) Ends {
	return Ends{Src: [16]byte(h[ipv6Source:]), Dst: [16]byte(h[ipv6Target:])}
}

// parseIPv6 reads the header and those that extend it. Routers need not look
// at what is in them, but for the way that a sender chose: see OptionsOf.
func parseIPv6(data []byte, p *Packet) Kind {
	if len(data) < L3+ipv6HeaderLen {
		return Malformed
	}
	h := data[L3 : L3+ipv6HeaderLen]
	end := L3 + ipv6HeaderLen + int(binary.BigEndian.Uint16(h[ipv6Length:]))
	// What is for a group does not leave its link or its site: neighbours may
	// send that from addresses that only they know, or none.
	mayBeSource := mayBeIPv6Source((*[16]byte)(h[ipv6Source:])) || h[ipv6Target] == 0xff
	if h[ipv6Class]>>4 != 6 || end > len(data) || !mayBeSource {
		return Malformed
	}
	*p = Packet{IPv6: true, TTL: h[ipv6HopLimit], Frag: PlainFrag, End: uint32(end)}
	if kind := p.walk(data[:end], L3+ipv6HeaderLen, h[ipv6NextHeader]); kind != plainChain {
		return kind
	}
	if p.FragHeader != 0 {
		word := binary.BigEndian.Uint16(data[p.FragHeader+fragOffset:])
		p.Frag |= word >> 3
		if word&1 != 0 {
			p.Frag |= moreFragments
		}
		// One that is all of its datagram is no fragment (RFC 6946, 4).
		if !p.Atomic() {
			return Fragment
		}
	}
	return parseL4(data, p)
}

// plainChain is no kind of a packet: headers were read, and one is left.
const plainChain = Kind(255)

// walk follows the extension headers from the offset at on, to where what is
// not one of them starts. What is behind a fragment header belongs to the
// datagram, of which this may be any fragment. A datagram that begins with
// another extension header is nothing that could be translated.
func (p *Packet) walk(data []byte, at int, next uint8) Kind {
	for n := range maxExtensions + 1 {
		switch next {
		case headerHopByHop, headerRouting, headerDestination, headerFragment:
			if next == headerHopByHop && n > 0 || at+fragHeaderLen > len(data) {
				return Malformed
			}
			if p.FragHeader != 0 {
				return OtherProtocol
			}
		default:
			p.L4, p.Payload, p.Protocol = uint16(at), uint16(at), protocolOf(next)
			return plainChain
		}
		size := fragHeaderLen
		if next == headerFragment {
			p.FragHeader = uint16(at)
		} else {
			size = (int(data[at+1]) + 1) * 8
		}
		next, at = data[at], at+size
		if at > len(data) {
			return Malformed
		}
		p.L4, p.Payload = uint16(at), uint16(at)
	}
	return OtherProtocol
}

// protocolOf makes one number of what means the same, and none of ICMP in an
// IPv6 packet.
func protocolOf(next uint8) uint8 {
	switch next {
	case ProtocolICMPv6:
		return ProtocolICMP
	case ProtocolICMP:
		return ProtocolICMPv6
	}
	return next
}

// mayBeIPv6Source refuses what no router forwards: no address, loopback and
// multicast (RFC 4291, 2.5.2, 2.5.3 and 2.7), link-local addresses (2.5.6),
// and IPv4 addresses written as IPv6 (RFC 4942, 2.2), which are for programs.
func mayBeIPv6Source(addr *[16]byte) bool {
	high, low := binary.BigEndian.Uint64(addr[:8]), binary.BigEndian.Uint64(addr[8:])
	switch {
	case high == 0:
		return low > 1 && low>>32 != 0xffff
	case addr[0] == 0xff:
		return false
	}
	return addr[0] != 0xfe || addr[1]&0xc0 != 0x80
}

// IsHost says whether addr may be that of a host which others send to through a
// router: what Parse accepts as a source.
func IsHost(addr netip.Addr) bool {
	switch {
	case addr.Is4():
		a := addr.As4()
		return MayBeSource(binary.BigEndian.Uint32(a[:]))
	case !addr.IsValid() || addr.Zone() != "":
		return false
	}
	a := addr.As16()
	return mayBeIPv6Source(&a)
}

// routesBySender says whether a routing header of the packet p in data names
// routers that the packet has still to visit (RFC 8200, 4.4).
func routesBySender(data []byte, p *Packet) bool {
	next, at := data[L3+ipv6NextHeader], L3+ipv6HeaderLen
	for at < int(p.L4) {
		size := fragHeaderLen
		if next != headerFragment {
			size = (int(data[at+1]) + 1) * 8
		}
		if next == headerRouting && data[at+3] > 0 {
			return true
		}
		next, at = data[at], at+size
	}
	return false
}

// IPv6PseudoSum is PseudoSum for addresses of IPv6 (RFC 8200, 8.1). protocol
// is the number in the frame, ProtocolICMPv6 for ICMPv6.
func IPv6PseudoSum(ends *Ends, protocol uint8, length uint32) uint16 {
	return Fold(uint32(Sum(ends.Src[:])) + uint32(Sum(ends.Dst[:])) + uint32(protocol) + halves(length))
}

// Addrs are the addresses of the IP packet p in data, of either version.
func (p *Packet) Addrs(data []byte) (src, dst netip.Addr) {
	return p.AddrsAt(data, L3)
}

// AddrsAt is Addrs for a header at another place of data: the Payload of an ICMP
// error for the packet p that it quotes.
func (p *Packet) AddrsAt(data []byte, at int) (src, dst netip.Addr) {
	h := data[at:]
	if p.IPv6 {
		ends := endsOf(h)
		return netip.AddrFrom16(ends.Src), netip.AddrFrom16(ends.Dst)
	}
	return netip.AddrFrom4([4]byte(h[ipv4Source:])), netip.AddrFrom4([4]byte(h[ipv4Target:]))
}

// PseudoSumIn is the sum of the pseudo-header of the packet p in data, of
// either version: what the checksum field holds that a device is to finish.
func PseudoSumIn(data []byte, p *Packet) uint16 { return Fold(pseudoSumOf(data, p)) }

// pseudoSumOf is the sum of the pseudo-header of the packet p in data. ICMP
// has none.
func pseudoSumOf(data []byte, p *Packet) uint32 {
	length := p.End - uint32(p.L4)
	switch {
	case p.IPv6:
		ends := IPv6Ends(data)
		return uint32(IPv6PseudoSum(&ends, protocolOf(p.Protocol), length))
	case p.Protocol == ProtocolICMP:
		return 0
	}
	return uint32(PseudoSum(p.Src, p.Dst, p.Protocol, uint16(length)))
}

// IntactL4 says whether the L4 checksum of the packet p in data, complete and
// of any protocol that Parse reads, is right.
func IntactL4(data []byte, p *Packet) bool {
	return Fold(pseudoSumOf(data, p)+uint32(Sum(data[p.L4:p.End]))) == 0xffff
}
