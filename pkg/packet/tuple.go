package packet

import "net/netip"

// FiveTuple names one direction of a session by what the headers of its packets
// say. For an ICMP echo the ports hold the identifier, as in Packet.
type FiveTuple struct {
	Protocol uint8 // ProtocolTCP, ProtocolUDP, ProtocolICMP
	Src, Dst netip.AddrPort
}
