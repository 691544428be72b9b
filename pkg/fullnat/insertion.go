package fullnat

import (
	"encoding/binary"

	"github.com/plinksim/plinksim/pkg/packet"
)

// insertion is a place in the consumer's stream where the provider sees more
// bytes than the consumer sent. Numbers are compared as RFC 9293, 3.4 does.
type insertion struct {
	at     uint32 // the consumer's number of the first byte behind
	length uint32
}

// forProvider is the provider's number of a byte of the consumer.
func (i *insertion) forProvider(seq uint32) uint32 {
	if int32(seq-i.at) < 0 {
		return seq
	}
	return seq + i.length
}

// forConsumer is the consumer's number of a place in the stream that the
// provider sees. What the provider has of the inserted bytes means nothing to
// the consumer: all their places are the one before the first byte behind.
func (i *insertion) forConsumer(seq uint32) uint32 {
	switch {
	case int32(seq-i.at) <= 0:
		return seq
	case int32(seq-i.at-i.length) < 0:
		return i.at
	}
	return seq - i.length
}

// forProvider and forConsumer of an identityState look at its progress first.
func (c *identityState) forProvider(seq uint32) uint32 {
	switch c.progress {
	case unconfirmed:
		return c.insertion.forProvider(seq)
	case confirmed, longConfirmed:
		// Also what probes a byte before the first: a byte long gone.
		return seq + c.length
	}
	return seq
}

func (c *identityState) forConsumer(seq uint32) uint32 {
	switch c.progress {
	case unconfirmed, confirmed:
		return c.insertion.forConsumer(seq)
	case longConfirmed:
		return seq - c.length
	}
	return seq
}

// straddles says whether a segment begins before the inserted bytes and ends
// behind them. No stack sends one, and it could not be translated. A SYN in
// fragments does, too: its data stay with it.
func (c *identityState) straddles(f *packet.Frame, p *packet.Packet) bool {
	switch {
	case c.progress == noHeader:
		return false
	case p.Flags&packet.FlagSYN != 0:
		return p.MoreFragments()
	case c.progress != waiting && c.progress != unconfirmed || p.Flags&packet.FlagRST != 0:
		return false
	}
	seq := p.Seq(f.Data)
	return int32(seq-c.at) < 0 && int32(seq+uint32(p.PayloadLength())-c.at) > 0
}

// sackForConsumer translates the edges of the selective acknowledgments (RFC
// 2018, 3; RFC 2883 for those that report duplicates) in a segment from the
// provider. ack is its acknowledgment number as the consumer sees it.
func (c *identityState) sackForConsumer(f *packet.Frame, p *packet.Packet, ack uint32) {
	o, ok := p.FindOption(f.Data, packet.OptionSACK)
	if !ok || (o.Length-2)%sackBlock != 0 {
		return
	}
	var edited [40]byte
	option := append(edited[:0], packet.OptionSACK, 0)
	blocks := f.Data[int(p.L4)+o.At+2 : int(p.L4)+o.At+o.Length]
	for ; len(blocks) > 0; blocks = blocks[sackBlock:] {
		left := c.forConsumer(binary.BigEndian.Uint32(blocks))
		right := c.forConsumer(binary.BigEndian.Uint32(blocks[4:]))
		if !tellsConsumer(left, right, ack) {
			continue
		}
		option = binary.BigEndian.AppendUint32(option, left)
		option = binary.BigEndian.AppendUint32(option, right)
	}
	if option[1] = byte(len(option)); len(option) == 2 {
		option = option[:0]
	}
	for len(option) < o.Length {
		option = append(option, packet.OptionNop)
	}
	packet.Overwrite(f, p, o.At, option)
}

const sackBlock = 8

// tellsConsumer says whether a block is of use: one within the inserted bytes
// is empty now, and one that begins where the acknowledgment ends would say
// that nothing is missing, while what is missing are the inserted bytes. Then
// the consumer would not send its first bytes again.
func tellsConsumer(left, right, ack uint32) bool {
	return left != right && (left != ack || int32(right-ack) < 0)
}
