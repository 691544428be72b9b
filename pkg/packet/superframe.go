package packet

import "encoding/binary"

// Segments are the packets that a superframe stands for: TCP segments, or
// datagrams of one flow (virtio 1.2, 5.1.6.2). They are built one by one, in
// any order, from the superframe, which must stay as it is meanwhile.
type Segments struct {
	data    []byte
	l4, end int // of the superframe
	headers int // bytes that every segment begins with
	size    int // payload of every segment but the last
	kind    Kind
	// damage is by how much the checksum of the superframe was wrong, as
	// a difference, so that the segments are wrong too.
	damage uint16
	// unchecked is a datagram without a checksum.
	unchecked bool
}

// SegmentsOf looks at the superframe p in f. It returns false for every other
// frame, and for the kind that is cut into IP fragments (GSOUDP), which Linux
// does not send any more.
func SegmentsOf(f *Frame, p *Packet) (s Segments, ok bool) {
	if !f.IsSuperframe(p) || f.Offload.GSOType == GSOUDP || p.Kind != TCP && p.Kind != UDP {
		return s, false
	}
	s = Segments{
		data: f.Data, l4: int(p.L4), end: int(p.End), headers: int(p.Payload),
		size: int(f.Offload.GSOSize), kind: p.Kind,
	}
	if !isPartial(f, p) {
		s.measureDamage()
	}
	return s, true
}

// measureDamage finds out what a checksum that is no partial one is worth.
func (s *Segments) measureDamage() {
	field := s.data[s.l4+s.checksum():]
	if s.kind == UDP && binary.BigEndian.Uint16(field) == 0 {
		s.unchecked = true
		return
	}
	all := uint32(s.pseudoSum(s.end-s.l4)) + uint32(Sum(s.data[s.l4:s.end]))
	s.damage = ^Fold(all)
}

// Len is how many there are, at least two.
func (s *Segments) Len() int { return (s.payload() + s.size - 1) / s.size }

// Size is how many bytes the frame of segment i has.
func (s *Segments) Size(i int) int {
	return s.headers + min(s.size, s.payload()-i*s.size)
}

func (s *Segments) payload() int { return s.end - s.headers }

// Build writes segment i to frame, which has Size(i) bytes and shares none with
// the superframe, complete with all checksums. The IPv4 identification counts
// up from that of the superframe, sequence numbers follow the payload, and of
// the flags FIN and PSH are in the last segment only, CWR in the first (RFC
// 3168, 6.1.2).
func (s *Segments) Build(i int, frame []byte) {
	at := s.headers + i*s.size
	copy(frame, s.data[:s.headers])
	copy(frame[s.headers:], s.data[at:at+len(frame)-s.headers])
	s.putLengths(frame, i)
	l4 := frame[s.l4:]
	if s.kind == UDP {
		binary.BigEndian.PutUint16(l4[udpLength:], uint16(len(l4)))
	} else {
		s.putTCP(l4, i)
	}
	s.putChecksum(frame)
}

// putLengths does the IP header. Its checksum follows the change, and so one
// that is wrong stays wrong.
func (s *Segments) putLengths(frame []byte, i int) {
	h := frame[L3:s.l4]
	if h[ipv4Version]>>4 == 6 {
		binary.BigEndian.PutUint16(h[ipv6Length:], uint16(len(frame)-L3-ipv6HeaderLen))
		return
	}
	before := binary.BigEndian.Uint32(h[ipv4Length:])
	after := uint32(len(frame)-L3)<<16 | uint32(uint16(before)+uint16(i))
	binary.BigEndian.PutUint32(h[ipv4Length:], after)
	field := h[ipv4Checksum:]
	binary.BigEndian.PutUint16(field, Update(binary.BigEndian.Uint16(field), Difference(before, after)))
}

func (s *Segments) putTCP(l4 []byte, i int) {
	offset := i * s.size
	binary.BigEndian.PutUint32(l4[tcpSeq:], binary.BigEndian.Uint32(l4[tcpSeq:])+uint32(offset))
	flags := &l4[tcpFlags]
	if i > 0 {
		*flags &^= FlagCWR
	}
	if i < s.Len()-1 {
		*flags &^= FlagFIN | FlagPSH
	}
	if *flags&FlagURG == 0 {
		return
	}
	// The pointer counts from the sequence number (RFC 9293, 3.8.5).
	urgent := int(binary.BigEndian.Uint16(l4[tcpUrgent:])) - offset
	if urgent < 0 {
		*flags &^= FlagURG
	}
	binary.BigEndian.PutUint16(l4[tcpUrgent:], uint16(max(urgent, 0)))
}

func (s *Segments) putChecksum(frame []byte) {
	l4 := frame[s.l4:]
	field := l4[s.checksum():]
	if s.unchecked {
		return
	}
	binary.BigEndian.PutUint16(field, 0)
	sum := ^Fold(uint32(s.pseudoSum(len(l4))) + uint32(Sum(l4)) + uint32(s.damage))
	if sum == 0 && s.kind == UDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
}

// checksum is where the field is in the L4 header.
func (s *Segments) checksum() int {
	if s.kind == UDP {
		return udpChecksum
	}
	return tcpChecksum
}

// pseudoSum is that of a segment with so many bytes from the L4 header on.
func (s *Segments) pseudoSum(length int) uint16 {
	addrs, protocol := s.data[L3+ipv4Source:L3+ipv4HeaderLen], uint32(ProtocolTCP)
	if s.data[L3+ipv6Class]>>4 == 6 {
		addrs = s.data[L3+ipv6Source : L3+ipv6HeaderLen]
	}
	if s.kind == UDP {
		protocol = ProtocolUDP
	}
	return Fold(uint32(Sum(addrs)) + protocol + uint32(length))
}
