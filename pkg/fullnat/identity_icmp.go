package fullnat

import (
	"encoding/binary"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// quoteIdentified lets the ICMP error p, which has been translated and goes with
// e, quote the numbers that its receiver knows: who gets one with others takes
// it for a forgery (RFC 5927, 4.1), and a path MTU would never be found. q is
// what p quotes, and mtu what it reported as it came, or 0.
func (t *Table) quoteIdentified(data []byte, p, q *packet.Packet, e *store.Flow, mtu uint32) {
	if q.Kind != packet.TCP {
		return
	}
	c := t.identities.at(e.Session)
	if e.Direction() == store.ToConsumer {
		seq := binary.BigEndian.Uint32(data[q.L4+4:])
		c.shrink(data, p, seq, mtu)
		packet.SetQuotedSeq(data, p, q, c.forConsumer(seq))
		return
	}
	const flags = 13
	if q.QuotesAck() && data[int(q.L4)+flags]&packet.FlagACK != 0 {
		packet.SetQuotedAck(data, p, q, c.forProvider(binary.BigEndian.Uint32(data[q.L4+8:])))
	}
}

// shrink looks at the path MTU that an error to the consumer reports. A first
// segment that only the header has made too long comes without it next time,
// and the consumer must leave room for TOA (nothing else makes its segments
// longer).
func (c *identityState) shrink(data []byte, p *packet.Packet, seq, mtu uint32) {
	if c.progress == unconfirmed && seq == c.at && mtu >= minMTU {
		c.room = uint16(min(uint32(c.room), mtu))
	}
	option := uint32(c.optionSize)
	if known, ok := packet.ReportedMTU(data, p); ok && c.toa && known >= minMTU+option {
		packet.SetReportedMTU(data, p, known-option)
	}
}

// minMTU is what every link carries (RFC 791, 3.2).
const minMTU = 68
