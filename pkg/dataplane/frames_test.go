package dataplane

import (
	"encoding/binary"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
)

const (
	ethernetLen = 14
	ipv4Len     = 20
	tcpLen      = 20
	protoTCP    = 6
	protoUDP    = 17
)

// ipv4Frame is an Ethernet frame with an IPv4 header around l4, from the MAC
// of src to the MAC of dst.
func ipv4Frame(src, dst netip.Addr, protocol byte, l4 []byte) []byte {
	data := make([]byte, ethernetLen+ipv4Len, ethernetLen+ipv4Len+len(l4))
	from, to := packet.MACOf(src), packet.MACOf(dst)
	copy(data, to[:])
	copy(data[6:], from[:])
	binary.BigEndian.PutUint16(data[12:], 0x0800)
	ip := data[ethernetLen:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Len+len(l4)))
	binary.BigEndian.PutUint16(ip[6:], 0x4000) // don't fragment
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip[:ipv4Len]))
	return append(data, l4...)
}

// udpFrame has a right checksum.
func udpFrame(src, dst netip.AddrPort, payload []byte) []byte {
	udp := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	udp = append(udp, payload...)
	binary.BigEndian.PutUint16(udp[6:], ^sum(pseudo(src.Addr(), dst.Addr(), protoUDP, len(udp)), udp))
	return ipv4Frame(src.Addr(), dst.Addr(), protoUDP, udp)
}

// tcpFrame has a right checksum.
func tcpFrame(src, dst netip.AddrPort, flags byte, payload []byte) []byte {
	tcp := tcpSegment(src, dst, flags, payload)
	binary.BigEndian.PutUint16(tcp[16:], ^sum(pseudo(src.Addr(), dst.Addr(), protoTCP, len(tcp)), tcp))
	return ipv4Frame(src.Addr(), dst.Addr(), protoTCP, tcp)
}

// tcpSuperframe is what a kernel sends that leaves segmenting and checksums
// to the device.
func tcpSuperframe(src, dst netip.AddrPort, gsoSize uint16, payload []byte) packet.Frame {
	tcp := tcpSegment(src, dst, 0x10, payload)
	binary.BigEndian.PutUint16(tcp[16:], sum(pseudo(src.Addr(), dst.Addr(), protoTCP, len(tcp)), nil))
	return packet.Frame{
		Data: ipv4Frame(src.Addr(), dst.Addr(), protoTCP, tcp),
		Offload: packet.Offload{
			NeedsCsum: true, CsumStart: ethernetLen + ipv4Len, CsumOffset: 16,
			GSOType: packet.GSOTCPv4, GSOSize: gsoSize, HdrLen: ethernetLen + ipv4Len + tcpLen,
		},
	}
}

func tcpSegment(src, dst netip.AddrPort, flags byte, payload []byte) []byte {
	tcp := make([]byte, tcpLen, tcpLen+len(payload))
	binary.BigEndian.PutUint16(tcp, src.Port())
	binary.BigEndian.PutUint16(tcp[2:], dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], 1000)
	tcp[12], tcp[13] = tcpLen/4<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	return append(tcp, payload...)
}

// arpRequest asks who has target.
func arpRequest(asker, target netip.Addr) []byte {
	mac := packet.MACOf(asker)
	data := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	data = append(data, mac[:]...)
	data = append(data, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	data = append(data, mac[:]...)
	data = append(data, asker.AsSlice()...)
	data = append(data, 0, 0, 0, 0, 0, 0)
	return append(data, target.AsSlice()...)
}

func pseudo(src, dst netip.Addr, protocol byte, length int) uint32 {
	return uint32(sum(0, src.AsSlice())) + uint32(sum(0, dst.AsSlice())) + uint32(protocol) + uint32(length)
}

// sum is the ones' complement sum of RFC 1071, not complemented.
func sum(from uint32, data []byte) uint16 {
	for i, b := range data {
		if i%2 == 0 {
			from += uint32(b) << 8
		} else {
			from += uint32(b)
		}
		from = from&0xffff + from>>16
	}
	from = from&0xffff + from>>16
	return uint16(from)
}
