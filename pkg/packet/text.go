package packet

import (
	"fmt"
	"net/netip"
	"strings"
)

// Text is a frame as people read it: "tcp 10.0.0.1:40000 > 10.0.0.2:80 SA 0 bytes".
// Unlike the rest of the package it allocates.
func Text(frame []byte) string {
	var p Packet
	kind := Parse(frame, &p)
	switch kind {
	case ARP:
		return "arp"
	case NotIP, Malformed:
		return fmt.Sprintf("%d bytes that are not an IP packet", len(frame))
	}
	src, dst := p.Addrs(frame)
	ends := func(protocol string) string {
		return fmt.Sprintf("%s %s > %s", protocol, netip.AddrPortFrom(src, p.SrcPort),
			netip.AddrPortFrom(dst, p.DstPort))
	}
	switch kind {
	case TCP:
		return fmt.Sprintf("%s %s %d bytes", ends("tcp"), FlagText(p.Flags), p.PayloadLength())
	case UDP:
		return fmt.Sprintf("%s %d bytes", ends("udp"), p.PayloadLength())
	case ICMP:
		name := "icmp"
		if p.IPv6 {
			name = "icmp6"
		}
		return fmt.Sprintf("%s %s > %s type %d code %d", name, src, dst, frame[p.L4], frame[p.L4+1])
	case Fragment:
		end := p.FragmentOffset() + int(p.End) - int(p.L4)
		return fmt.Sprintf("fragment %s > %s protocol %d, id %d, bytes %d to %d",
			src, dst, p.Protocol, p.ID(frame), p.FragmentOffset(), end)
	}
	return fmt.Sprintf("ip %s > %s protocol %d, %d bytes", src, dst, p.Protocol, p.Length())
}

// FlagText is the flags of TCP as letters, in the order SFRPA; "-" for none.
func FlagText(flags uint8) string {
	var b strings.Builder
	for _, f := range []struct {
		bit  uint8
		name byte
	}{{FlagSYN, 'S'}, {FlagFIN, 'F'}, {FlagRST, 'R'}, {FlagPSH, 'P'}, {FlagACK, 'A'}} {
		if flags&f.bit != 0 {
			b.WriteByte(f.name)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}
