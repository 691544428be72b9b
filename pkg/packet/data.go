package packet

import "encoding/binary"

// Data is a TCP segment with a payload.
type Data struct {
	Segment
	Window  uint16 // as in the header, not scaled
	Options []byte // a multiple of four bytes, at most 40
	Payload []byte
}

// Size is how many bytes the frame of d has.
func (d *Data) Size() int { return ResetSize + len(d.Options) + len(d.Payload) }

// Build writes d to frame, which has d.Size bytes, complete with all checksums.
func (d *Data) Build(frame []byte) {
	d.Segment.Build(frame[:ResetSize])
	putIPv4(frame, 0, ProtocolTCP, d.Src, d.Dst)
	l4 := frame[L3+ipv4HeaderLen:]
	l4[tcpOffset] += uint8(len(d.Options)/4) << 4
	binary.BigEndian.PutUint16(l4[tcpWindow:], d.Window)
	copy(l4[tcpHeaderLen:], d.Options)
	copy(l4[tcpHeaderLen+len(d.Options):], d.Payload)
	binary.BigEndian.PutUint16(l4[tcpChecksum:], 0)
	sum := uint32(PseudoSum(d.Src, d.Dst, ProtocolTCP, uint16(len(l4)))) + uint32(Sum(l4))
	binary.BigEndian.PutUint16(l4[tcpChecksum:], ^Fold(sum))
}

// BuildDatagram writes a UDP datagram from src to dst, with a payload, to
// frame, complete with all checksums. frame has DatagramSize bytes.
func BuildDatagram(frame []byte, srcMAC, dstMAC MAC, src, dst uint32, srcPort, dstPort uint16, payload []byte) {
	copy(frame[0:6], dstMAC[:])
	copy(frame[6:12], srcMAC[:])
	binary.BigEndian.PutUint16(frame[12:], EtherTypeIPv4)
	putIPv4(frame, 0, ProtocolUDP, src, dst)
	l4 := frame[L3+ipv4HeaderLen:]
	binary.BigEndian.PutUint16(l4[0:], srcPort)
	binary.BigEndian.PutUint16(l4[2:], dstPort)
	binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	binary.BigEndian.PutUint16(l4[udpChecksum:], 0)
	copy(l4[udpHeaderLen:], payload)
	sum := ^Fold(uint32(PseudoSum(src, dst, ProtocolUDP, uint16(len(l4)))) + uint32(Sum(l4)))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[udpChecksum:], sum)
}

// DatagramSize is how many bytes the frame of a UDP datagram has.
func DatagramSize(payload int) int { return L3 + ipv4HeaderLen + udpHeaderLen + payload }
