package packet

import "encoding/binary"

// IANA protocol numbers.
const (
	ProtocolICMP = 1
	ProtocolTCP  = 6
	ProtocolUDP  = 17
)

// Flags of a TCP header (RFC 9293, 3.1).
const (
	FlagFIN = 0x01
	FlagSYN = 0x02
	FlagRST = 0x04
	FlagPSH = 0x08
	FlagACK = 0x10
	FlagURG = 0x20
	FlagECE = 0x40
	FlagCWR = 0x80
)

// EtherTypes (IEEE 802 numbers at IANA).
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeIPv6 = 0x86dd
)

// Kind says what a frame carries, as far as translating it is concerned.
type Kind uint8

// Only TCP, UDP and ICMP have an L4 header that Parse has checked.
const (
	Malformed Kind = iota // lengths or addresses that contradict the frame or each other
	NotIP                 // neither IP nor ARP: VLAN tags, 802.3 and the rest
	ARP
	TCP
	UDP
	ICMP
	Fragment      // a fragment of an IP packet, the first included
	OtherProtocol // IP that carries something else
)

// Packet is what Parse learns of a frame. Addresses and ports are in host
// order.
type Packet struct {
	Kind     Kind
	Protocol uint8 // IANA number; ProtocolICMP for ICMPv6 too
	TTL      uint8 // or hop limit
	Flags    uint8 // of the TCP header

	// ICMPType and ICMPCode are those of an ICMP message. For ICMPv6 they are
	// those of the ICMP message that says the same (RFC 7915, 5.2), or 255.
	ICMPType, ICMPCode uint8

	// Frag is the word of the IPv4 header with Don't Fragment, More Fragments
	// and the offset: see Atomic, MayBeFragmented and FragmentOffset. For IPv6,
	// which routers do not fragment, it is what that word would be.
	Frag uint16

	L4      uint16 // offset of the L4 header in the frame
	Payload uint16 // offset of the L4 payload in the frame
	End     uint32 // offset of the first byte behind the IP packet; Ethernet padding follows

	// Src and Dst are IPv4 addresses. Those of IPv6 do not fit: IPv6Ends reads
	// them, and Parse leaves 0 here for whoever numbers them.
	Src, Dst uint32
	// SrcPort and DstPort of an ICMP echo are the identifier at the side that
	// asks and 0 at the side that answers (RFC 5508, 3.1: the identifier is
	// what a NAT takes for the port). Other ICMP messages have none.
	SrcPort, DstPort uint16

	IPv6       bool
	FragHeader uint16 // offset of the IPv6 fragment header in the frame; 0: there is none
}

// Length is how many bytes the IP packet has, its header included.
func (p *Packet) Length() int { return int(p.End) - L3 }

// PayloadLength is how many bytes follow the L4 header.
func (p *Packet) PayloadLength() int { return int(p.End) - int(p.Payload) }

// Parse fills p from a frame and returns p.Kind. It accepts any data. For the
// kinds without IPv4 (Malformed, NotIP, ARP) the rest of p means nothing.
func Parse(data []byte, p *Packet) Kind {
	p.Kind = parse(data, p)
	return p.Kind
}

func parse(data []byte, p *Packet) Kind {
	if len(data) < L3 {
		return Malformed
	}
	switch binary.BigEndian.Uint16(data[etherType:]) {
	case EtherTypeIPv4:
		return parseIPv4(data, p)
	case EtherTypeIPv6:
		return parseIPv6(data, p)
	case EtherTypeARP:
		return ARP
	}
	return NotIP
}

func parseIPv4(data []byte, p *Packet) Kind {
	if len(data) < L3+ipv4HeaderLen {
		return Malformed
	}
	h := data[L3 : L3+ipv4HeaderLen]
	headerLen := int(h[ipv4Version]&0x0f) * 4
	length := int(binary.BigEndian.Uint16(h[ipv4Length:]))
	if h[ipv4Version]>>4 != 4 || headerLen < ipv4HeaderLen || length < headerLen || length > len(data)-L3 {
		return Malformed
	}
	p.TTL, p.Protocol = h[ipv4TTL], h[ipv4Protocol]
	p.Src, p.Dst = binary.BigEndian.Uint32(h[ipv4Source:]), binary.BigEndian.Uint32(h[ipv4Target:])
	p.L4, p.End = uint16(L3+headerLen), uint32(L3+length)
	p.Payload = p.L4
	p.Flags, p.ICMPType, p.ICMPCode, p.SrcPort, p.DstPort = 0, 0, 0, 0, 0
	p.IPv6, p.FragHeader = false, 0
	if !MayBeSource(p.Src) || p.Dst >= firstReserved && p.Dst != broadcast {
		return Malformed
	}
	p.Frag = binary.BigEndian.Uint16(h[ipv4Fragment:])
	if p.Frag&(moreFragments|fragmentOffset) != 0 {
		return Fragment
	}
	return parseL4(data, p)
}

func parseL4(data []byte, p *Packet) Kind {
	l4 := data[p.L4:p.End]
	switch p.Protocol {
	case ProtocolTCP:
		return parseTCP(l4, p)
	case ProtocolUDP:
		return parseUDP(l4, p)
	case ProtocolICMP:
		return parseICMP(l4, p)
	}
	return OtherProtocol
}

// Reserved IPv4 addresses: 240.0.0.0/4, which nobody was ever given (RFC 1112,
// 4), and the last of them, which is everybody (RFC 919, 7).
const (
	firstReserved = 0xf0 << 24
	broadcast     = 0xffffffff
)

// MayBeSource refuses what RFC 1812, 5.3.7 forbids a router to forward packets
// from: 0.0.0.0/8, loopback, multicast, reserved addresses and broadcast.
func MayBeSource(addr uint32) bool {
	const first = 1 << 24
	return addr-first < firstGroup-first && addr>>24 != 127
}

func parseTCP(l4 []byte, p *Packet) Kind {
	if len(l4) < tcpHeaderLen {
		return Malformed
	}
	headerLen := int(l4[tcpOffset]>>4) * 4
	if headerLen < tcpHeaderLen || headerLen > len(l4) {
		return Malformed
	}
	p.SrcPort, p.DstPort = portsOf(l4)
	p.Flags = l4[tcpFlags]
	p.Payload = p.L4 + uint16(headerLen)
	return TCP
}

func portsOf(l4 []byte) (src, dst uint16) {
	return binary.BigEndian.Uint16(l4[tcpSourcePort:]), binary.BigEndian.Uint16(l4[tcpTargetPort:])
}

func parseUDP(l4 []byte, p *Packet) Kind {
	if len(l4) < udpHeaderLen {
		return Malformed
	}
	length := int(binary.BigEndian.Uint16(l4[udpLength:]))
	if length < udpHeaderLen || length > len(l4) {
		return Malformed
	}
	p.SrcPort, p.DstPort = portsOf(l4)
	p.Payload = p.L4 + udpHeaderLen
	return UDP
}

func parseICMP(l4 []byte, p *Packet) Kind {
	if len(l4) < icmpHeaderLen {
		return Malformed
	}
	p.ICMPType, p.ICMPCode = l4[icmpType], l4[icmpCode]
	if p.IPv6 {
		p.ICMPType, p.ICMPCode = asICMPv4(l4[icmpType], l4[icmpCode])
	}
	p.Payload = p.L4 + icmpHeaderLen
	p.SrcPort, p.DstPort = echoPorts(p.ICMPType, l4)
	return ICMP
}
