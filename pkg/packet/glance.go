package packet

import "encoding/binary"

// IsSYN says at a glance whether data is the TCP segment that opens a connection: see GlanceTCP.
func IsSYN(data []byte) bool { return GlanceTCP(data)&(FlagSYN|FlagACK) == FlagSYN }

// GlanceTCP are the flags of a TCP segment, well formed or not, and 0 where data is none.
// Behind extension headers of IPv6 it sees none, nor in fragments but the first.
func GlanceTCP(data []byte) (flags uint8) {
	if len(data) < L3+ipv4HeaderLen+tcpHeaderLen {
		return 0
	}
	h := data[L3:]
	var protocol uint8
	at := 0
	switch EtherTypeOf(data) {
	case EtherTypeIPv4:
		protocol, at = h[ipv4Protocol], int(h[ipv4Version]&0x0f)*4
		if binary.BigEndian.Uint16(h[ipv4Fragment:])&0x1fff != 0 {
			return 0
		}
	case EtherTypeIPv6:
		protocol, at = h[ipv6NextHeader], ipv6HeaderLen
	}
	if protocol != ProtocolTCP || at+tcpFlags >= len(h) {
		return 0
	}
	return h[at+tcpFlags]
}

// SourceHash is a number that depends on the source address of the frame data alone,
// as good in its upper bits as in its lower ones. It is 0 where there is none.
func SourceHash(data []byte) uint32 {
	const goldenRatio = 0x9e3779b97f4a7c15
	if len(data) < L3+ipv4HeaderLen {
		return 0
	}
	h := data[L3:]
	switch EtherTypeOf(data) {
	case EtherTypeIPv4:
		return uint32(uint64(binary.BigEndian.Uint32(h[ipv4Source:])) * goldenRatio >> 32)
	case EtherTypeIPv6:
		if len(h) >= ipv6HeaderLen {
			upper, lower := binary.BigEndian.Uint64(h[ipv6Source:]), binary.BigEndian.Uint64(h[ipv6Source+8:])
			return uint32((upper*goldenRatio ^ lower) * goldenRatio >> 32)
		}
	}
	return 0
}
