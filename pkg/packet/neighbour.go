package packet

import (
	"encoding/binary"
	"net/netip"
)

// Layout of neighbour discovery (RFC 4861, 4.3 and 4.4), from the frame's start.
const (
	ndType   = L3 + ipv6HeaderLen
	ndFlags  = ndType + 4
	ndTarget = ndType + 8
	ndEnd    = ndTarget + 16

	ndSolicitation  = 135
	ndAdvertisement = 136
	ndHopLimit      = 255
	ndSolicited     = 0x40
	ndOverride      = 0x20

	optionSourceMAC = 1
	optionTargetMAC = 2
)

// AdvertisementSize is how many bytes the frame of a neighbour advertisement
// has.
const AdvertisementSize = ndEnd + 8

// IsNeighbourSolicitation says whether data is an Ethernet frame in which
// somebody asks who has an IPv6 address, well formed or not.
func IsNeighbourSolicitation(data []byte) bool {
	return isICMPv6(data) && data[ndType] == ndSolicitation
}

// isICMPv6 leaves out messages behind extension headers: neighbour discovery
// has none (RFC 6980, 5 forbids even fragments).
func isICMPv6(data []byte) bool {
	return len(data) > ndType && binary.BigEndian.Uint16(data[etherType:]) == EtherTypeIPv6 &&
		data[L3+ipv6NextHeader] == ProtocolICMPv6
}

// AsksNeighbour says whether data asks who has an address, by ARP or by
// neighbour discovery, well formed or not, or is ARP of any kind.
func AsksNeighbour(data []byte) bool { return IsARP(data) || IsNeighbourSolicitation(data) }

// IsNeighbourTraffic says whether data is ARP or neighbour discovery: what
// neighbours tell each other about addresses, and no packet for anybody else.
func IsNeighbourTraffic(data []byte) bool {
	const first, last = 133, 137 // RFC 4861, 4: from router solicitation to redirect
	return IsARP(data) || isICMPv6(data) && data[ndType] >= first && data[ndType] <= last
}

// Advertise answers a neighbour solicitation for an address that owner knows:
// it fills frame, which has AdvertisementSize bytes and shares none with data.
// It returns false, and leaves frame alone, for everything else: what nobody
// asked for, addresses of others, and what RFC 4861, 7.1.1 calls invalid. owner
// says which MAC an address is reached at.
//
// A node that asks without an address of its own wants to use the one that it asks for
// (RFC 4862, 5.4). That one is taken, which all nodes are told (RFC 4861,
// 7.2.4).
func Advertise(frame, data []byte, owner func(addr netip.Addr) (MAC, bool)) bool {
	if !IsNeighbourSolicitation(data) || !isValidSolicitation(data) {
		return false
	}
	target := [16]byte(data[ndTarget:ndEnd])
	mac, ok := owner(netip.AddrFrom16(target))
	if !ok {
		return false
	}
	flags := byte(ndSolicited | ndOverride)
	ends := Ends{Src: target, Dst: [16]byte(data[L3+ipv6Source:])}
	to := MAC(data[etherSource:etherType])
	if ends.Dst == ([16]byte{}) {
		flags = ndOverride
		ends.Dst = [16]byte{0: 0xff, 1: 0x02, 15: 1} // ff02::1, all nodes
		to = MAC{0x33, 0x33, 0, 0, 0, 1}             // RFC 2464, 7
	}
	copy(frame, to[:])
	copy(frame[etherSource:], mac[:])
	putIPv6(frame, ProtocolICMPv6, &ends)
	frame[L3+ipv6HopLimit] = ndHopLimit
	l4 := frame[ndType:]
	clear(l4)
	l4[0], l4[4] = ndAdvertisement, flags
	copy(frame[ndTarget:], target[:])
	frame[ndEnd], frame[ndEnd+1] = optionTargetMAC, 1
	copy(frame[ndEnd+2:], mac[:])
	sum := uint32(IPv6PseudoSum(&ends, ProtocolICMPv6, uint32(len(l4)))) + uint32(Sum(l4))
	binary.BigEndian.PutUint16(l4[icmpChecksum:], ^Fold(sum))
	return true
}

// isValidSolicitation holds a solicitation to RFC 4861, 7.1.1.
func isValidSolicitation(data []byte) bool {
	end := L3 + ipv6HeaderLen + int(binary.BigEndian.Uint16(data[L3+ipv6Length:]))
	if end < ndEnd || end > len(data) || data[L3+ipv6Class]>>4 != 6 || data[L3+ipv6HopLimit] != ndHopLimit ||
		data[ndType+1] != 0 || data[ndTarget] == 0xff {
		return false
	}
	ends := IPv6Ends(data)
	l4 := data[ndType:end]
	if Fold(uint32(IPv6PseudoSum(&ends, ProtocolICMPv6, uint32(len(l4))))+uint32(Sum(l4))) != 0xffff {
		return false
	}
	probes := ends.Src == [16]byte{}
	if solicitedNode := [13]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}; probes && [13]byte(ends.Dst[:]) != solicitedNode {
		return false
	}
	for options := data[ndEnd:end]; len(options) > 0; {
		if len(options) < 8 || options[1] == 0 || int(options[1])*8 > len(options) ||
			probes && options[0] == optionSourceMAC {
			return false
		}
		options = options[int(options[1])*8:]
	}
	return true
}
