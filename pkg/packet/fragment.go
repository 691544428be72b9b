package packet

import "encoding/binary"

// ParseFirst reads the L4 header of p, the first fragment of a datagram, and
// gives p the Kind that the datagram has. A first fragment that does not hold
// the whole L4 header comes back as Malformed: nothing sends such, except to
// get past filters that look at ports and flags (RFC 1858, 3).
func ParseFirst(data []byte, p *Packet) Kind {
	p.Kind = parseFirst(data, p)
	return p.Kind
}

func parseFirst(data []byte, p *Packet) Kind {
	if p.Protocol != ProtocolUDP {
		return parseL4(data, p)
	}
	l4 := data[p.L4:p.End]
	// The length is that of the whole datagram.
	if len(l4) < udpHeaderLen || int(binary.BigEndian.Uint16(l4[udpLength:])) < len(l4) {
		return Malformed
	}
	p.SrcPort, p.DstPort = portsOf(l4)
	p.Payload = p.L4 + udpHeaderLen
	return UDP
}

// ApplyFragment edits a fragment that is not the first one of its datagram:
// addresses and one from the TTL. The checksum of the datagram is in the first.
func (r *Rewrite) ApplyFragment(data []byte, p *Packet) { r.applyIPv4(data, p) }

// IntactHeader says whether the checksum of the IPv4 header of p is right.
// Code that writes a new header asks first, so that nothing that was damaged comes
// out as good. A header of IPv6 has no checksum.
func IntactHeader(data []byte, p *Packet) bool { return p.IPv6 || Sum(data[L3:p.L4]) == 0xffff }

// CanSplit says whether packets with p's header can be cut for an MTU: eight
// bytes must fit behind the header. RFC 791, 3.2 wants every link to carry 68.
// Of IPv6, only packets with a fragment header can be cut.
func CanSplit(p *Packet, mtu int) bool {
	return mtu >= int(p.L4)-L3+8 && (!p.IPv6 || p.FragHeader != 0)
}

// Split cuts the packet p in data, which may itself be a fragment, into
// fragments of at most mtu bytes with Ethernet headers like that of data. All
// but the last are written to memory that room is asked for, in their order;
// nil means that one is lost. The last one is made in data itself and
// returned. The packet must be longer than mtu, CanSplit true, and no checksum
// left to the device.
//
// The options that say so are in every fragment, the others in the first one
// only (RFC 791, 3.1).
func Split(data []byte, p *Packet, mtu int, room func(size int) []byte) (last []byte) {
	header := data[L3:p.L4]
	payload := data[p.L4:p.End]
	offset := p.FragmentOffset()
	first := (mtu - len(header)) &^ 7
	writeFragment(room(L3+len(header)+first), data, header, payload[:first], fragWord(p, offset, true))
	if !p.IPv6 {
		var buffer [60]byte
		header = laterHeader(buffer[:0], header)
	}
	payload, offset = payload[first:], offset+first
	each := (mtu - len(header)) &^ 7
	for len(header)+len(payload) > mtu {
		writeFragment(room(L3+len(header)+each), data, header, payload[:each], fragWord(p, offset, true))
		payload, offset = payload[each:], offset+each
	}
	last = data[:L3+len(header)+len(payload)]
	copy(last[L3+len(header):], payload)
	writeFragment(last, data, header, nil, fragWord(p, offset, p.MoreFragments()))
	return last
}

func fragWord(p *Packet, offset int, more bool) uint16 {
	word := p.Frag&^(moreFragments|fragmentOffset) | uint16(offset/8)
	if more {
		word |= moreFragments
	}
	return word
}

// writeFragment fills frame, which has the right size, and leaves what is in
// the place of the payload where there is none.
func writeFragment(frame, data, header, payload []byte, frag uint16) {
	if frame == nil {
		return
	}
	copy(frame, data[:L3])
	h := frame[L3 : L3+len(header)]
	copy(h, header)
	copy(frame[L3+len(header):], payload)
	if h[ipv4Version]>>4 == 6 {
		binary.BigEndian.PutUint16(h[ipv6Length:], uint16(len(frame)-L3-ipv6HeaderLen))
		putFragWord(h, frag)
		return
	}
	h[ipv4Version] = 4<<4 | uint8(len(header)/4)
	binary.BigEndian.PutUint16(h[ipv4Length:], uint16(len(frame)-L3))
	binary.BigEndian.PutUint16(h[ipv4Fragment:], frag)
	binary.BigEndian.PutUint16(h[ipv4Checksum:], 0)
	binary.BigEndian.PutUint16(h[ipv4Checksum:], ^Sum(h))
}

// putFragWord writes what there is of the word of an IPv4 fragment in an IPv6
// header that ends with a fragment header.
func putFragWord(h []byte, frag uint16) {
	word := frag & fragmentOffset << 3
	if frag&moreFragments != 0 {
		word |= 1
	}
	binary.BigEndian.PutUint16(h[len(h)-fragHeaderLen+fragOffset:], word)
}

// laterHeader appends to buffer what stays of header in fragments that are not
// the first. It stops at an option with a wrong length.
func laterHeader(buffer, header []byte) []byte {
	buffer = append(buffer, header[:ipv4HeaderLen]...)
	for options := header[ipv4HeaderLen:]; len(options) > 0; {
		size := optionSize(options)
		if size == 0 || options[0] == optionEnd {
			break
		}
		if options[0]&copied != 0 {
			buffer = append(buffer, options[:size]...)
		}
		options = options[size:]
	}
	for len(buffer)%4 != 0 {
		buffer = append(buffer, optionEnd)
	}
	return buffer
}
