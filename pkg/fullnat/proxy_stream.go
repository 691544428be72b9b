package fullnat

import (
	"encoding/binary"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// The PROXY protocol header is part of the provider's stream, but nobody's in
// the consumer's: the table sends it, and sends it again until it has been
// acknowledged. It goes before the first bytes of the consumer, in one segment
// with them if that fits, each time that they come; else in a segment of its
// own, which is sent again by time. From then on, all of the consumer's
// numbers are shifted, and all that the provider acknowledges is shifted back.

// fromConsumer edits a TCP segment to the provider.
func (t *Table) fromConsumer(f *packet.Frame, p *packet.Packet, e *store.Flow, c *identityState) {
	if c.progress == noHeader {
		return
	}
	if p.Flags&packet.FlagSYN != 0 {
		c.beginAgain(f, p, e)
		withoutData(f, p)
		return
	}
	if c.progress == waiting {
		if !c.starts(f, p) {
			return
		}
		c.progress = unconfirmed
		t.identities.resend.arm(e.Session, c, 0, t.clock.Now)
		t.insertHeader(f, p, e, c)
		return
	}
	if c.progress == unconfirmed && p.Flags&packet.FlagRST == 0 {
		if p.Seq(f.Data) == c.at && takesSpace(p) {
			t.insertHeader(f, p, e, c)
			return
		}
		c.remember(f, p)
	}
	packet.SetSeq(f, p, c.forProvider(p.Seq(f.Data)))
}

func takesSpace(p *packet.Packet) bool { return p.SegmentLength() > 0 }

// starts says whether the header goes with this segment. A FIN without data
// has the header before it as well, since connections without a header are
// refused.
func (c *identityState) starts(f *packet.Frame, p *packet.Packet) bool {
	ahead := int32(p.Seq(f.Data) - c.at)
	switch {
	case ahead < 0 || p.Flags&packet.FlagRST != 0:
		return false
	case takesSpace(p):
		return true
	}
	return c.early && p.Flags&packet.FlagACK != 0
}

// insertHeader brings the header before a segment: into it, or where that does
// not fit, or where the segment is not the first, alone.
func (t *Table) insertHeader(f *packet.Frame, p *packet.Packet, e *store.Flow, c *identityState) {
	c.remember(f, p)
	if p.Seq(f.Data) == c.at && p.PayloadLength() > 0 && c.fits(f, p, e) {
		header := c.header[:c.length]
		packet.InsertPayload(f, p, t.identities.longer.room(int(p.End)+len(header)), header)
		c.sent = t.clock.Now
		return
	}
	t.sendHeader(e, c)
	packet.SetSeq(f, p, c.forProvider(p.Seq(f.Data)))
}

// fits says whether the provider takes the segment with the header in it. The
// segments of a superframe are cut anew.
func (c *identityState) fits(f *packet.Frame, p *packet.Packet, e *store.Flow) bool {
	longer := lengthOut(e, p, p.Length()) + int(c.length)
	if p.MoreFragments() {
		return false // nor do the offsets of those that follow move
	}
	return longer <= int(c.room) || f.IsSuperframe(p) && max(longer, p.Length()+int(c.length)) <= maxPacket
}

// maxPacket is the longest IPv4 packet (RFC 791, 3.1). One of IPv6 may have that
// many bytes behind its header (RFC 8200, 3).
const maxPacket = 0xffff

// beginAgain looks at a SYN of the consumer. Until the provider has answered,
// the last one counts; afterwards the provider says whether it does.
func (c *identityState) beginAgain(f *packet.Frame, p *packet.Packet, e *store.Flow) {
	c.again = p.Seq(f.Data) + 1
	if c.progress == waiting && !c.answered {
		c.at = c.again
	}
}

// withoutData takes from a SYN what could reach the provider's program before
// the header does: its data, which then comes again after the handshake, and
// the request to deliver data (RFC 7413, 4.1.1).
func withoutData(f *packet.Frame, p *packet.Packet) {
	if p.PayloadLength() > 0 {
		packet.CutPayload(f, p)
	}
	if o, ok := p.FindOption(f.Data, packet.OptionFastOpen); ok {
		blank(f, p, o)
	}
}

// blank replaces an option by no-operations.
func blank(f *packet.Frame, p *packet.Packet, o packet.Option) {
	var nops [40]byte
	for i := range o.Length {
		nops[i] = packet.OptionNop
	}
	packet.Overwrite(f, p, o.At, nops[:o.Length])
}

// fromProvider edits a TCP segment to the consumer.
func (t *Table) fromProvider(f *packet.Frame, p *packet.Packet, e *store.Flow, c *identityState, l *link) {
	if p.Flags&packet.FlagSYN != 0 {
		c.learn(f, p, l)
	}
	if c.progress <= waiting || p.Flags&packet.FlagACK == 0 {
		return
	}
	theirs := p.Ack(f.Data)
	c.confirm(theirs)
	ack := c.forConsumer(theirs)
	if ack != theirs {
		packet.SetAck(f, p, ack)
	}
	if int(p.Payload-p.L4) > packet.TCPHeaderLen {
		lost := c.progress == unconfirmed && hasSACK(f, p)
		c.sackForConsumer(f, p, ack)
		if lost {
			t.hurryHeader(e, c)
		}
	}
}

// learn takes from the provider's SYN-ACK where its numbers begin and how much
// it takes at once, and leaves room for TOA.
func (c *identityState) learn(f *packet.Frame, p *packet.Packet, l *link) {
	if p.Flags&packet.FlagACK != 0 && c.progress > waiting && c.again != c.at && p.Ack(f.Data) == c.again {
		// The provider did not know the old connection any more.
		c.progress, c.at, c.toa = waiting, c.again, l.Identity != nil && l.Identity.TOA
	}
	c.theirs, c.answered = p.Seq(f.Data)+1, true
	mss, _, ok := p.MSS(f.Data)
	if !ok {
		mss = defaultMSS
	}
	c.room = l.roomToProvider(mss, p.IPv6)
	if !c.toa {
		return
	}
	c.room -= min(c.room, c.optionSize)
	if ok && mss > c.optionSize {
		packet.ClampMSS(f, p, mss-c.optionSize)
	}
}

// confirm looks at what the provider acknowledges. 2^30 bytes later no segment
// with an old number can still be in flight.
func (c *identityState) confirm(ack uint32) {
	beyond := int32(ack - c.at - c.length)
	if c.progress == unconfirmed && beyond >= 0 {
		c.progress = confirmed
	}
	if c.progress == confirmed && beyond >= 1<<30 {
		c.progress = longConfirmed
	}
}

func hasSACK(f *packet.Frame, p *packet.Packet) bool {
	_, ok := p.FindOption(f.Data, packet.OptionSACK)
	return ok
}

// remember keeps what the table must say if it sends the header alone.
func (c *identityState) remember(f *packet.Frame, p *packet.Packet) {
	c.ack, c.window = p.Ack(f.Data), p.Window(f.Data)
	if o, ok := p.FindOption(f.Data, packet.OptionTimestamps); ok && o.Length == 10 {
		option := f.Data[int(p.L4)+o.At:]
		c.stamped = true
		c.value, c.echo = binary.BigEndian.Uint32(option[2:]), binary.BigEndian.Uint32(option[6:])
	}
}

// sendHeader sends the header in a segment of its own. Where timestamps are in
// use, it needs them to be accepted (RFC 7323, 3.2).
func (t *Table) sendHeader(e *store.Flow, c *identityState) {
	hop := &t.hops.All[e.Hop]
	var options [12]byte
	d := packet.Data{
		Segment: packet.Segment{
			Envelope: t.envelope(e),
			SrcPort:  e.Rewrite.SrcPort, DstPort: e.Rewrite.DstPort,
			Seq: c.at, Ack: c.ack, Flags: packet.FlagACK | packet.FlagPSH,
		},
		Window:  c.window,
		Payload: c.header[:c.length],
	}
	if c.stamped {
		d.Options = append(options[:0], packet.OptionNop, packet.OptionNop, packet.OptionTimestamps, 10)
		d.Options = binary.BigEndian.AppendUint32(d.Options, c.value)
		d.Options = binary.BigEndian.AppendUint32(d.Options, c.echo)
	}
	c.sent = t.clock.Now
	if frame := t.pending.addFrom(t.links.at(hop.Link).Ingress, hop.ENI, d.Size()); frame != nil {
		d.Build(frame)
	}
}

// prefixDatagram brings the header before the first datagram of a UDP session,
// and is done: into the datagram, or where that does not fit, alone.
func (t *Table) prefixDatagram(f *packet.Frame, p *packet.Packet, e *store.Flow, c *identityState) {
	header := c.header[:c.length]
	c.progress = noHeader
	if e.Direction() != store.ToProvider {
		return
	}
	fits := lengthOut(e, p, p.Length())+len(header) <= t.mtuOf(e) && p.Length()+len(header) <= maxPacket
	if fits && f.Offload.GSOSize == 0 && !p.MoreFragments() {
		packet.InsertPayload(f, p, t.identities.longer.room(int(p.End)+len(header)), header)
		return
	}
	hop := &t.hops.All[e.Hop]
	envelope := t.envelope(e)
	if frame := t.pending.add(hop.ENI, packet.DatagramSize(&envelope, len(header))); frame != nil {
		packet.BuildDatagram(frame, &envelope, e.Rewrite.SrcPort, e.Rewrite.DstPort, header)
	}
}

// envelope is what goes before the L4 header of the packets that the table
// makes for a flow.
func (b *book) envelope(e *store.Flow) packet.Envelope {
	hop := &b.hops.All[e.Hop]
	envelope := packet.Envelope{SrcMAC: hop.Src, DstMAC: hop.Dst, Src: e.Rewrite.Src, Dst: e.Rewrite.Dst}
	if store.IsIPv6(e.Rewrite.Src) {
		envelope.IPv6, envelope.Ends = true, b.addrs.Ends(&e.Rewrite)
	}
	return envelope
}

// mtuOf is the MTU that a flow leaves through.
func (b *book) mtuOf(e *store.Flow) int {
	return int(b.links.at(b.hops.All[e.Hop].Link).mtu[store.ToProvider])
}
