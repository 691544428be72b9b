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
func (d *Data) Size() int { return d.Envelope.size() + tcpHeaderLen + len(d.Options) + len(d.Payload) }

// Build writes d to frame, which has d.Size bytes, complete with all checksums.
func (d *Data) Build(frame []byte) {
	d.put(frame, ProtocolTCP)
	l4 := frame[d.Envelope.size():]
	clear(l4[:tcpHeaderLen])
	binary.BigEndian.PutUint16(l4[tcpSourcePort:], d.SrcPort)
	binary.BigEndian.PutUint16(l4[tcpTargetPort:], d.DstPort)
	binary.BigEndian.PutUint32(l4[tcpSeq:], d.Seq)
	binary.BigEndian.PutUint32(l4[tcpAck:], d.Ack)
	l4[tcpOffset], l4[tcpFlags] = uint8(tcpHeaderLen+len(d.Options))/4<<4, d.Flags
	binary.BigEndian.PutUint16(l4[tcpWindow:], d.Window)
	copy(l4[tcpHeaderLen:], d.Options)
	copy(l4[tcpHeaderLen+len(d.Options):], d.Payload)
	binary.BigEndian.PutUint16(l4[tcpChecksum:], d.checksum(l4, ProtocolTCP))
}

// BuildDatagram writes a UDP datagram with a payload to frame, complete with
// all checksums. frame has DatagramSize bytes.
func BuildDatagram(frame []byte, e *Envelope, srcPort, dstPort uint16, payload []byte) {
	e.put(frame, ProtocolUDP)
	l4 := frame[e.size():]
	binary.BigEndian.PutUint16(l4[tcpSourcePort:], srcPort)
	binary.BigEndian.PutUint16(l4[tcpTargetPort:], dstPort)
	binary.BigEndian.PutUint16(l4[udpLength:], uint16(len(l4)))
	binary.BigEndian.PutUint16(l4[udpChecksum:], 0)
	copy(l4[udpHeaderLen:], payload)
	sum := e.checksum(l4, ProtocolUDP)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[udpChecksum:], sum)
}

// DatagramSize is how many bytes the frame of a UDP datagram has.
func DatagramSize(e *Envelope, payload int) int { return e.size() + udpHeaderLen + payload }
