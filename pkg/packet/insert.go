package packet

import (
	"encoding/binary"
	"math/bits"
)

// InsertPayload writes bytes before the payload of the TCP or UDP packet p of
// f. The longer frame is made in room, which has p.End + len(bytes) bytes and
// shares none with f.Data; Ethernet padding is left behind. All lengths and
// checksums follow, an urgent pointer too, and p. The packet must not
// become longer than 65,535 bytes.
func InsertPayload(f *Frame, p *Packet, room, bytes []byte) {
	insert(f, p, room, p.Payload, bytes)
	if p.Kind == UDP {
		return
	}
	if p.Flags&FlagURG != 0 {
		urgent := min(int(binary.BigEndian.Uint16(f.Data[p.L4+tcpUrgent:]))+len(bytes), 0xffff)
		Overwrite(f, p, tcpUrgent, []byte{byte(urgent >> 8), byte(urgent)})
	}
}

// InsertOption writes a TCP option before the others. It has a multiple of
// four bytes, and the header must not become longer than 60. Room is what it
// is for InsertPayload.
func InsertOption(f *Frame, p *Packet, room, option []byte) {
	insert(f, p, room, p.L4+tcpHeaderLen, option)
	length := f.Data[p.L4+tcpOffset] + uint8(len(option)/4)<<4
	Overwrite(f, p, tcpOffset, []byte{length})
	p.Payload += uint16(len(option))
	if f.Offload.HdrLen > 0 {
		f.Offload.HdrLen += uint16(len(option))
	}
}

// insert moves what is behind at, which is at an even distance from the
// header, and writes bytes there.
func insert(f *Frame, p *Packet, room []byte, at uint16, bytes []byte) {
	behind := f.Data[at:p.End]
	difference := uint32(Sum(bytes))
	if len(bytes)%2 == 1 {
		// What is behind changes places within the words.
		sum := Sum(behind)
		difference += uint32(^sum) + uint32(bits.ReverseBytes16(sum))
	}
	n := copy(room, f.Data[:at])
	n += copy(room[n:], bytes)
	copy(room[n:], behind)
	f.Data = room
	resize(f, p, len(bytes), difference)
}

// CutPayload removes the payload of the TCP segment p in f, and Ethernet
// padding with it.
func CutPayload(f *Frame, p *Packet) {
	payload := f.Data[p.Payload:p.End]
	f.Data = f.Data[:p.Payload]
	f.Offload.GSOType, f.Offload.GSOSize = GSONone, 0
	resize(f, p, -len(payload), uint32(^Sum(payload)))
}

// resize lets the lengths follow a packet that has become longer by more
// bytes, or shorter, and the checksums, for which the payload or header alone
// makes a difference.
func resize(f *Frame, p *Packet, more int, difference uint32) {
	longer := lengthen(f.Data[L3:], p, more)
	p.End = uint32(int(p.End) + more)

	at := p.L4 + tcpChecksum
	if p.Kind == UDP {
		at = p.L4 + udpChecksum
		length := f.Data[p.L4+udpLength:]
		binary.BigEndian.PutUint16(length, uint16(int(binary.BigEndian.Uint16(length))+more))
	}
	field := f.Data[at : at+2]
	checksum := binary.BigEndian.Uint16(field)
	switch {
	case isPartial(f, p):
		// The length is in the pseudo-header; the rest is looked at later.
		checksum = UpdatePartial(checksum, longer)
	case p.Kind == UDP && checksum == 0:
	case p.Kind == UDP:
		// The length counts in the pseudo-header and in the header.
		if checksum = Update(checksum, difference+2*longer); checksum == 0 {
			checksum = 0xffff
		}
	default:
		checksum = Update(checksum, difference+longer)
	}
	binary.BigEndian.PutUint16(field, checksum)
}

// lengthen edits the length in an IP header that is followed by more bytes,
// and returns the difference that this makes to a sum.
func lengthen(h []byte, p *Packet, more int) (difference uint32) {
	at := 2
	if p.IPv6 {
		at = ipv6Length
	}
	before := binary.BigEndian.Uint16(h[at:])
	after := uint16(int(before) + more)
	difference = Difference(uint32(before), uint32(after))
	binary.BigEndian.PutUint16(h[at:], after)
	if !p.IPv6 {
		binary.BigEndian.PutUint16(h[ipv4Checksum:], Update(binary.BigEndian.Uint16(h[ipv4Checksum:]), difference))
	}
	return difference
}
