package packet

import "encoding/binary"

// plain is the headers of a plain segment: TCP that may be forwarded within a
// connection, with nothing unusual. IPv4 has no options and forbids fragments;
// TCP has no SYN, FIN or RST, and no options but timestamps behind it. Nearly
// all segments are such, all fields have their places in them, and so they are
// read and edited with a third of the instructions that others need.
type plain = [plainL4 + tcpHeaderLen]byte

const plainL4 = L3 + ipv4HeaderLen

// Words of a plain segment, and the bits of them that make it one. What is not
// looked at are the ToS, the length, the ID, and the flags that remain.
const (
	plainType, plainTypeMask   = EtherTypeIPv4<<16 | ipv4Plain<<8, 0xffff_ff00
	plainWhole, plainWholeMask = PlainFrag<<16 | ProtocolTCP, 0xffff_00ff
	plainTTL                   = 0xfe << 8 // one of these bits: at least 2
	plainFlags, plainFlagsMask = tcpHeaderLen / 4 << 12, 0xf000 | FlagSYN | FlagFIN | FlagRST

	stampedLen   = tcpHeaderLen + 12
	stampedFlags = stampedLen / 4 << 12
	stampedFirst = OptionNop<<24 | OptionNop<<16 | OptionTimestamps<<8 | 10 // RFC 7323, appendix A
)

// firstGroup is the first address that is not one host's: multicast and
// reserved ones follow (RFC 1112, 4; RFC 6890, 2.2.2).
const firstGroup = 0xe0 << 24

// ReadPlain says whether data is a plain segment, and returns its addresses
// and ports, the source above the destination. There may be no packets from
// 0.0.0.0/8 and 127.0.0.0/8: that it leaves to Parse, once for every flow.
func ReadPlain(data []byte) (addrs uint64, ports uint32, ok bool) {
	if len(data) < len(plain{}) {
		return 0, 0, false
	}
	h := (*plain)(data)
	whole := binary.BigEndian.Uint64(h[L3+ipv4Length:]) // length, ID, Frag, TTL, protocol
	if length := int(whole >> 48); length < len(plain{})-L3 || length > len(data)-L3 ||
		binary.BigEndian.Uint32(h[etherType:])&plainTypeMask != plainType ||
		whole&plainWholeMask != plainWhole || whole&plainTTL == 0 {
		return 0, 0, false
	} else if flags := binary.BigEndian.Uint16(h[plainL4+tcpOffset:]) & plainFlagsMask; flags != plainFlags &&
		(flags != stampedFlags || length < ipv4HeaderLen+stampedLen ||
			binary.BigEndian.Uint32(data[len(plain{}):]) != stampedFirst) {
		return 0, 0, false
	}
	addrs = binary.BigEndian.Uint64(h[L3+ipv4Source:])
	return addrs, binary.BigEndian.Uint32(h[plainL4+l4Ports:]), addrs < firstGroup<<32 && uint32(addrs) < firstGroup
}

// PlainNumbers are how many bytes the IP packet of a plain segment has, and the
// sequence number behind it above the one that it acknowledges.
func PlainNumbers(data []byte) (length uint32, numbers uint64) {
	h := (*plain)(data)
	length = uint32(binary.BigEndian.Uint16(h[L3+ipv4Length:]))
	headers := ipv4HeaderLen + uint32(h[plainL4+tcpOffset]>>4)*4
	return length, binary.BigEndian.Uint64(h[plainL4+tcpSeq:]) + uint64(length-headers)<<32
}

// PlainWindow is the window field of a plain segment.
func PlainWindow(data []byte) uint16 {
	return binary.BigEndian.Uint16((*plain)(data)[plainL4+tcpWindow:])
}

// PlainOffer is the upper half of the window field of a plain segment.
func PlainOffer(data []byte) uint8 { return (*plain)(data)[plainL4+tcpWindow] }

// ApplyPlain is Apply for a frame without Offload of which ReadPlain says that
// it is plain.
func (r *Rewrite) ApplyPlain(data []byte) {
	h := (*plain)(data)
	hop := binary.BigEndian.Uint32(h[L3+ipv4TTL:]) // TTL, protocol, checksum
	hop = hop&0xffff0000 - 1<<24 | uint32(add(uint16(hop), r.header))
	sum := add(binary.BigEndian.Uint16(h[plainL4+tcpChecksum:]), r.all)
	binary.BigEndian.PutUint32(h[L3+ipv4TTL:], hop)
	binary.BigEndian.PutUint64(h[L3+ipv4Source:], uint64(r.Src)<<32|uint64(r.Dst))
	binary.BigEndian.PutUint32(h[plainL4+l4Ports:], uint32(r.SrcPort)<<16|uint32(r.DstPort))
	binary.BigEndian.PutUint16(h[plainL4+tcpChecksum:], sum)
}

// add is Update for a difference that is folded: one carry is all there is.
func add(checksum, difference uint16) uint16 {
	sum := uint32(^checksum) + uint32(difference)
	return ^uint16(sum + sum>>16)
}
