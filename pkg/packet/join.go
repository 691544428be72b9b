package packet

import (
	"bytes"
	"encoding/binary"
)

// Joint is what a run of datagrams has in common that may travel as one
// superframe: the inverse of Segments. Their payloads follow each other behind
// one header, and whoever receives the superframe cuts it at the same places.
type Joint struct {
	first   []byte
	headers int // bytes
	size    int // payload of every datagram but the last
	payload int // of all so far
	ended   bool
}

// maxJoined is how many datagrams a superframe may stand for: Linux takes no
// more since it has them (UDP_MAX_SEGMENTS, include/linux/udp.h), and none may
// need more bytes than an IP packet can have.
const maxJoined = 64

// Begin starts a run with f, and says whether another may follow it. Only a
// datagram whose checksum was left to the device can begin one: then no sum
// exists that could be wrong and would be made right. So it is with what
// programs of this machine send.
func (j *Joint) Begin(f *Frame) bool {
	headers := joinable(f)
	if headers == 0 || len(f.Data) == headers {
		return false
	}
	*j = Joint{first: f.Data, headers: headers, size: len(f.Data) - headers, payload: len(f.Data) - headers}
	return true
}

// Add says whether f is the next of the run, and counts it in: it has the same
// headers but for identification and lengths, and it is as long as the first
// one, or shorter and the last.
func (j *Joint) Add(f *Frame) bool {
	size := len(f.Data) - j.headers
	if j.ended || size <= 0 || size > j.size || j.payload+size > 65535-j.headers+L3 || j.payload >= maxJoined*j.size ||
		joinable(f) != j.headers || !alike(j.first, f.Data, j.headers) {
		return false
	}
	j.payload += size
	j.ended = size < j.size
	return true
}

// Headers is how many bytes of headers a datagram of the run begins with.
func (j *Joint) Headers() int { return j.headers }

// Finish writes the headers of the superframe to header, which has Headers
// bytes. The payloads belong behind it.
func (j *Joint) Finish(header []byte) Offload {
	copy(header, j.first)
	more := j.payload - j.size
	h, l4 := header[L3:], header[j.headers-udpHeaderLen:]
	if h[ipv4Version]>>4 == 6 {
		binary.BigEndian.PutUint16(h[ipv6Length:], binary.BigEndian.Uint16(h[ipv6Length:])+uint16(more))
	} else {
		before := binary.BigEndian.Uint16(h[ipv4Length:])
		binary.BigEndian.PutUint16(h[ipv4Length:], before+uint16(more))
		field := h[ipv4Checksum:]
		longer := Difference(uint32(before), uint32(before)+uint32(more))
		binary.BigEndian.PutUint16(field, Update(binary.BigEndian.Uint16(field), longer))
	}
	before := uint32(binary.BigEndian.Uint16(l4[udpLength:]))
	binary.BigEndian.PutUint16(l4[udpLength:], uint16(before)+uint16(more))
	// The length is in the pseudo-header, too.
	field := l4[udpChecksum:]
	longer := Difference(before, before+uint32(more))
	binary.BigEndian.PutUint16(field, UpdatePartial(binary.BigEndian.Uint16(field), longer))
	return Offload{
		NeedsCsum: true, CsumStart: uint16(j.headers - udpHeaderLen), CsumOffset: udpChecksum,
		GSOType: GSOUDPL4, GSOSize: uint16(j.size), HdrLen: uint16(j.headers),
	}
}

// joinable is the length of the headers of a datagram that may be joined with
// others, and 0 of all other frames. Of IPv4 that is one without options
// that must not be fragmented: its identification means nothing (RFC 6864, 4.1)
// and so need not be the one that it had.
func joinable(f *Frame) int {
	const (
		v4 = L3 + ipv4HeaderLen + udpHeaderLen
		v6 = L3 + ipv6HeaderLen + udpHeaderLen
	)
	d, o := f.Data, &f.Offload
	if !o.NeedsCsum || o.GSOType != GSONone || o.CsumOffset != udpChecksum || len(d) < v4 {
		return 0
	}
	word := func(at int) int { return int(binary.BigEndian.Uint16(d[at:])) }
	switch word(etherType) {
	case EtherTypeIPv4:
		h := d[L3 : L3+ipv4HeaderLen]
		if o.CsumStart != v4-udpHeaderLen || h[ipv4Version] != ipv4Plain || h[ipv4Protocol] != ProtocolUDP ||
			word(L3+ipv4Fragment) != dontFragment || word(L3+ipv4Length) != len(d)-L3 ||
			word(v4-udpHeaderLen+udpLength) != len(d)-v4+udpHeaderLen || Sum(h) != 0xffff {
			return 0
		}
		return v4
	case EtherTypeIPv6:
		if o.CsumStart != v6-udpHeaderLen || len(d) < v6 || d[L3+ipv6Class]>>4 != 6 ||
			d[L3+ipv6NextHeader] != ProtocolUDP || word(L3+ipv6Length) != len(d)-L3-ipv6HeaderLen ||
			word(v6-udpHeaderLen+udpLength) != len(d)-v6+udpHeaderLen {
			return 0
		}
		return v6
	}
	return 0
}

// alike compares headers that joinable has looked at, but for what it checked.
func alike(a, b []byte, headers int) bool {
	l4 := headers - udpHeaderLen
	if !bytes.Equal(a[:L3+ipv4Length], b[:L3+ipv4Length]) || !bytes.Equal(a[l4:l4+udpLength], b[l4:l4+udpLength]) {
		return false
	}
	same := false
	if headers == L3+ipv4HeaderLen+udpHeaderLen {
		same = a[L3+ipv4TTL] == b[L3+ipv4TTL] && bytes.Equal(a[L3+ipv4Source:l4], b[L3+ipv4Source:l4])
	} else {
		same = bytes.Equal(a[L3+2:L3+ipv6Length], b[L3+2:L3+ipv6Length]) &&
			bytes.Equal(a[L3+ipv6NextHeader:l4], b[L3+ipv6NextHeader:l4])
	}
	// The partial checksums are the same once the lengths are.
	longer := Difference(uint32(len(b)), uint32(len(a)))
	sum := func(d []byte) uint16 { return binary.BigEndian.Uint16(d[l4+udpChecksum:]) }
	return same && (sum(a) == sum(b) ||
		len(a) != len(b) && sum(a)%0xffff == UpdatePartial(sum(b), longer)%0xffff)
}
