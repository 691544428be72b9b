package fullnat

import (
	"encoding/binary"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// TOA ("TCP option address") tells a consumer's address and port to servers
// with a kernel module for it. The option has the kind 254, which RFC 4727
// gives to experiments, and is in every segment to the provider that is no SYN
// and no RST until the consumer has acknowledged the provider's first byte: by
// then it cannot have been lost. iqiyi/dpvs:src/ipvs/ip_vs_proto_tcp.c. An IPv6
// address makes the option 20 bytes long, and has the kind 253.
const (
	toaKind     = packet.OptionExperiment2
	toaKindIPv6 = packet.OptionExperiment1
	toaLen      = 8
	toaLenIPv6  = 20
)

// toaSize is how long the option for the consumer is that sends p.
func toaSize(p *packet.Packet) uint16 {
	if p.IPv6 {
		return toaLenIPv6
	}
	return toaLen
}

// maxTCPHeader is what a TCP header can say of its own length (RFC 9293, 3.1).
const maxTCPHeader = 60

// address writes the option into a segment to the provider, if it is time for
// it and there is room.
func (t *Table) address(f *packet.Frame, p *packet.Packet, e *store.Flow, c *identityState, l *link) {
	if !c.toa || p.Flags&(packet.FlagSYN|packet.FlagRST) != 0 || p.Flags&packet.FlagACK == 0 {
		return
	}
	if !c.answered {
		return
	}
	if p.Ack(f.Data) != c.theirs {
		c.toa = int32(p.Ack(f.Data)-c.theirs) < 0
		return
	}
	size := int(c.optionSize)
	if int(p.Payload-p.L4)+size > maxTCPHeader || lengthOut(e, p, f.LongestPacket(p))+size > t.mtuOf(e) ||
		max(p.Length(), lengthOut(e, p, p.Length()))+size > maxPacket || p.MoreFragments() {
		l.stats.WithoutTOA++
		return
	}
	option := [toaLenIPv6]byte{toaKind, byte(size)}
	src, _ := t.ends(e.Key)
	binary.BigEndian.PutUint16(option[2:], src.Port())
	if p.IPv6 {
		option[0] = toaKindIPv6
	}
	copy(option[4:], src.Addr().AsSlice())
	packet.InsertOption(f, p, t.identities.longer.room(int(p.End)+size), option[:size])
}

// scrub takes options from a segment to the provider that only a load balancer
// may write: a consumer could claim any address with them. It is done for all
// links, since the server cannot see whether its load balancer writes TOA.
func scrub(f *packet.Frame, p *packet.Packet) {
	if onlyTimestamps(f.Data[p.L4+packet.TCPHeaderLen : p.Payload]) {
		return
	}
	o, ok := p.NextOption(f.Data, packet.TCPHeaderLen)
	for ; ok; o, ok = p.NextOption(f.Data, o.At+o.Length) {
		if o.Kind == packet.OptionExperiment1 || o.Kind == packet.OptionExperiment2 {
			blank(f, p, o)
		}
	}
}

func hasTCPOptions(p *packet.Packet) bool {
	return p.Kind == packet.TCP && p.Payload-p.L4 > packet.TCPHeaderLen
}

// onlyTimestamps knows the options of nearly all segments that have some.
func onlyTimestamps(options []byte) bool {
	const nopNopTimestamps10 = 0x0101080a
	return len(options) == 12 && binary.BigEndian.Uint32(options) == nopNopTimestamps10
}
