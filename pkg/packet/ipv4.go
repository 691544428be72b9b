package packet

import "encoding/binary"

// The word of an IPv4 header that is Packet.Frag (RFC 791, 3.1). dontFragment
// is in build.go.
const (
	moreFragments  = 0x2000
	fragmentOffset = 0x1fff // in units of eight bytes
)

// PlainFrag is the Frag of nearly all packets: whole, and not to be
// fragmented. Such a packet is atomic (RFC 6864, 4), and its ID means nothing.
const PlainFrag = dontFragment

// Atomic says whether p is whole and stays so (RFC 6864, 4).
func (p *Packet) Atomic() bool {
	return p.Frag&(dontFragment|moreFragments|fragmentOffset) == dontFragment
}

// MayBeFragmented says whether a router may cut p.
func (p *Packet) MayBeFragmented() bool { return p.Frag&dontFragment == 0 }

// FragmentOffset is where the payload of the fragment p starts in that of its
// datagram, in bytes.
func (p *Packet) FragmentOffset() int { return int(p.Frag&fragmentOffset) * 8 }

// MoreFragments says whether other fragments follow p in its datagram.
func (p *Packet) MoreFragments() bool { return p.Frag&moreFragments != 0 }

// HasOptions says whether the IPv4 header of p carries options. IPv6 packets
// count as if they did: their headers are not where those of most packets are.
func (p *Packet) HasOptions() bool { return p.L4 > L3+ipv4HeaderLen }

// ID is the identification of the packet p in data, which has 16 bits in IPv4,
// and 32 in a fragment header of IPv6. A packet of IPv6 without one has none.
func (p *Packet) ID(data []byte) uint32 {
	switch {
	case !p.IPv6:
		return uint32(binary.BigEndian.Uint16(data[L3+ipv4ID:]))
	case p.FragHeader != 0:
		return binary.BigEndian.Uint32(data[p.FragHeader+fragID:])
	}
	return 0
}

// SetID gives the packet p in data another identification, as far as it has
// one.
func (p *Packet) SetID(data []byte, id uint32) {
	switch {
	case !p.IPv6:
		putHeaderWord(data[L3:], ipv4ID, uint16(id))
	case p.FragHeader != 0:
		binary.BigEndian.PutUint32(data[p.FragHeader+fragID:], id)
	}
}

// putHeaderWord sets a word of an IPv4 header, and the checksum follows.
func putHeaderWord(h []byte, at int, value uint16) {
	changed := uint32(^binary.BigEndian.Uint16(h[at:])) + uint32(value)
	binary.BigEndian.PutUint16(h[at:], value)
	checksum := binary.BigEndian.Uint16(h[ipv4Checksum:])
	binary.BigEndian.PutUint16(h[ipv4Checksum:], Update(checksum, changed))
}

// IPOptions says what the options of an IPv4 header mean to a router.
type IPOptions uint8

const (
	PlainOptions     IPOptions = iota // nothing: they go on as they are
	SourceRoute                       // the sender wants to name the routers
	MalformedOptions                  // lengths that contradict each other or the header
)

// Kinds of IPv4 options (RFC 791, 3.1). copied is the bit of those that stand
// in every fragment.
const (
	optionEnd   = 0
	optionNop   = 1
	looseSource = 131
	strictRoute = 137
	copied      = 0x80
)

// OptionsOf reads the options of the IPv4 packet p in data, or the extension
// headers of an IPv6 packet. RFC 7126, 4.3 and 4.4 say why packets with a source
// route are not to be forwarded, RFC 7915, 5.1 why those with a routing header.
func OptionsOf(data []byte, p *Packet) IPOptions {
	found := PlainOptions
	if p.IPv6 {
		if routesBySender(data, p) {
			return SourceRoute
		}
		return PlainOptions
	}
	options := data[L3+ipv4HeaderLen : p.L4]
	for len(options) > 0 {
		size := optionSize(options)
		if size == 0 {
			return MalformedOptions
		}
		switch options[0] {
		case optionEnd:
			return found
		case looseSource, strictRoute:
			found = SourceRoute
		}
		options = options[size:]
	}
	return found
}

// optionSize is how many bytes the first of some IPv4 or TCP options has, or 0
// where it says so wrongly. The two count alike (RFC 791, 3.1; RFC 9293, 3.1).
func optionSize(options []byte) int {
	if options[0] == optionEnd || options[0] == optionNop {
		return 1
	}
	if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
		return 0
	}
	return int(options[1])
}
