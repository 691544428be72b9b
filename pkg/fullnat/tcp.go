package fullnat

import (
	"cmp"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// isFirst says whether a segment may open a session.
func isFirst(flags uint8) bool {
	return flags&(packet.FlagSYN|packet.FlagACK|packet.FlagFIN|packet.FlagRST) == packet.FlagSYN
}

// ruling is what a session makes of a packet.
type ruling uint8

const (
	pass   ruling = iota
	reopen        // the old session is over, and this is the first packet of a new one
	refuse        // not within this session
)

// tracked is a TCP segment within a connection.
type tracked struct {
	flags    uint8
	payload  int
	seq, end uint32 // its first sequence number, and the one behind its last
	ack      uint32 // as the receiver of own's packets counts, who may not know of a PROXY header
	rawAck   uint32 // as it is in the segment
	window   uint32 // not scaled
	offer    uint8  // of a window scale, see store.Scales

	session    *store.Session
	id         store.SessionID
	direction  store.Direction
	own, other *store.Flow // the flow of the segment, and the one of the answers
}

func (b *book) segmentOf(e *store.Flow, f *packet.Frame, p *packet.Packet) tracked {
	s := b.sessions.At(e.Session)
	g := tracked{
		flags: p.Flags, payload: p.PayloadLength(), seq: p.Seq(f.Data), ack: e.Ack, rawAck: p.Ack(f.Data),
		window: uint32(p.Window(f.Data)), session: s, id: e.Session, direction: e.Direction(),
		own: e, other: b.flows.At(s.Slots[1-e.Direction()]),
	}
	g.end = g.seq + p.SegmentLength()
	store.Offers(g.own, g.other)
	if p.Flags&packet.FlagACK != 0 {
		g.ack = g.rawAck
		if e.Flags&store.Identifies != 0 && g.direction == store.ToConsumer {
			g.ack = b.identities.at(e.Session).forConsumer(g.ack)
		}
	}
	if p.Flags&packet.FlagSYN != 0 {
		g.offer = scaleOffer(f, p)
	}
	return g
}

// scaleOffer is what a SYN offers, as store.Scales keeps it.
func scaleOffer(f *packet.Frame, p *packet.Packet) uint8 {
	if scale, ok := p.WindowScale(f.Data); ok {
		return scale + 1
	}
	return 0
}

// track follows the machine of RFC 6146, 3.5.2.2, as RFC 7857, 2 amends it,
// with one more state: after the SYN-ACK a session is half-open until the
// consumer confirms it, for a forged SYN gets as far as that. It is closed
// once FINs went both ways or a RST went any way.
//
// Anybody can forge a segment. Every one passes, but only one with the numbers
// that its sender would give it changes the session or refreshes it: what
// answers a SYN must acknowledge it, data and FINs must be in the window of the
// other end, as torvalds/linux:net/netfilter/nf_conntrack_proto_tcp.c:tcp_in_window
// judges them, and a RST must have the very number that its receiver waits for
// (RFC 5961, 3.2). Even then it removes nothing: data that comes after it brings
// the session back, and so does data from behind a FIN.
//
// A SYN within the session passes, for the other end to challenge (RFC 5961,
// 4.2), and what comes of it is seen from the answers; also while the session
// is being closed, when data may still flow the other way. Once it is over the
// consumer's SYN opens the next one, with a backend and NAT port of its own.
// This is what tcp_conntracks of the file above says for the states from
// ESTABLISHED to TIME_WAIT. The provider's SYN is refused from the first FIN
// on: he could otherwise open a connection to the consumer.
func (b *book) track(e *store.Flow, f *packet.Frame, p *packet.Packet) ruling {
	if p.Kind != packet.TCP {
		e.Last = b.clock.Now
		return pass
	}
	g := b.segmentOf(e, f, p)
	switch {
	case g.flags&packet.FlagRST != 0:
		b.trackRST(&g)
	case g.flags&packet.FlagSYN != 0:
		return b.trackSYN(&g)
	case e.State() == store.SynReceived:
		b.trackHandshake(&g)
	case e.State() != store.SynSent:
		b.trackStream(&g)
	}
	return pass
}

// isOver says whether the connection is, so that nobody sends in it any more:
// after a RST, or when both FINs are acknowledged, as before TIME-WAIT.
func (g *tracked) isOver() bool {
	ends := g.session.Ends
	acknowledged := int32(g.own.Ack-g.other.Next) >= 0 && int32(g.other.Ack-g.own.Next) >= 0
	return g.own.State() == store.Closed && (ends&store.Reset != 0 || acknowledged)
}

// trackSYN looks at a SYN or SYN-ACK.
func (b *book) trackSYN(g *tracked) ruling {
	state := g.own.State()
	switch {
	case g.direction == store.ToConsumer && g.flags&packet.FlagACK == 0:
		if state == store.Closing || state == store.Closed {
			return refuse
		}
	case g.direction == store.ToConsumer:
		b.trackSYNACK(g)
	case !isFirst(g.flags):
		if state == store.SynReceived {
			b.trackHandshake(g) // SYNs have crossed, and each end answers (RFC 5382, REQ-2)
		}
	case g.isOver():
		return reopen
	case state == store.SynSent:
		g.retry()
		g.own.Last = b.clock.Now
	case state == store.SynReceived:
		if g.end == g.own.Next {
			g.own.Last = b.clock.Now
		}
	default:
		g.session.Extra, g.session.Again = g.end, store.Scales(0).With(store.ToProvider, g.offer)
	}
	return pass
}

// retry notes another SYN of the consumer that nobody has answered. Who gives
// up and tries again may begin with other numbers. As the last one may be
// forged, the first counts as well, in Ack, which nothing else uses yet.
func (g *tracked) retry() {
	if g.end != g.own.Next && g.own.Ack == 0 {
		g.own.Ack = g.own.Next
	}
	g.own.Next = g.end
	g.own.Offer(g.window, g.other)
	s := g.session
	s.Scales = s.Scales.With(store.ToProvider, max(s.Scales.Of(store.ToProvider), g.offer))
}

// slack is how much data a SYN may have (RFC 7413, 4.1.1), of which an answer
// acknowledges any part.
const slack = 1460

// acknowledgesSYN says whether a provider's segment answers the SYN that
// opened the session.
func (g *tracked) acknowledgesSYN() bool {
	first := g.other.Ack != 0 && g.rawAck == g.other.Ack && g.own.State() == store.SynSent
	return g.flags&packet.FlagACK != 0 && (first || g.other.Next-g.rawAck <= slack)
}

// trackSYNACK looks at the provider's answer to a SYN. One for a SYN within an
// established session starts it from the beginning: the provider knew the old
// one no longer.
func (b *book) trackSYNACK(g *tracked) {
	s, there, back := g.session, g.other, g.own
	switch {
	case g.own.State() == store.SynSent && g.acknowledgesSYN():
		if there.Next-g.rawAck > slack {
			there.Next = g.rawAck
		}
		b.begin(g)
	case g.own.State() == store.SynReceived && g.acknowledgesSYN():
		// Who answers SYNs with cookies may begin with other numbers each time
		// (RFC 4987, 3.6). What the first began with is in the other flow's Ack.
		back.Next, back.Last = g.end, b.clock.Now
	case g.acceptsAgain() && !b.half.Full():
		s.Scales, s.Ends = s.Again, 0
		there.Begin(g.rawAck, 1<<16-1)
		b.begin(g)
	}
}

// begin notes the numbers that the provider begins with, and that the session
// waits for the consumer's confirmation.
func (b *book) begin(g *tracked) {
	s, there, back := g.session, g.other, g.own
	back.Begin(g.end, g.window)
	there.Ack, back.Ack = g.seq, there.Next
	s.Scales = s.Scales.With(store.ToConsumer, g.offer)
	scaleThere, scaleBack := s.Scales.Agreed()
	store.Agree(there, back, scaleThere, scaleBack)
	b.enter(g.id, store.SynReceived)
}

// acceptsAgain says whether the provider answers the SYN that came last within
// the session.
func (g *tracked) acceptsAgain() bool {
	return !g.own.State().IsHalfOpen() && g.session.Ends&store.Unconfirmed == 0 && g.direction == store.ToConsumer && g.flags&packet.FlagACK != 0 &&
		g.session.Extra != 0 && g.rawAck == g.session.Extra
}

// trackRST looks at a RST. It does not refresh a closed session (RFC 7857, 7.1).
func (b *book) trackRST(g *tracked) {
	if !g.believed() {
		return
	}
	g.session.Ends |= store.Reset
	if g.own.State().IsHalfOpen() {
		g.session.Ends |= store.Unconfirmed
	}
	if g.own.State() == store.SynSent {
		g.session.Ends |= store.Refused
	}
	if g.own.State() != store.Closed {
		b.enter(g.id, store.Closed)
	}
}

// believed says whether a RST ends the connection: it answers a SYN of which its
// sender knows nothing, or has the number that follows what its sender has
// sent, or the one that its receiver waits for, which is another where data is
// lost. The last two are also those of
// torvalds/linux:tools/testing/selftests/net/netfilter/packetdrill/conntrack_rst_invalid.pkt
// and conntrack_inexact_rst.pkt. Some systems do not count their FIN
// (torvalds/linux:net/ipv4/tcp_input.c:tcp_reset_check).
func (g *tracked) believed() bool {
	own, other := g.own, g.other
	if own.State() == store.SynSent {
		if g.direction == store.ToConsumer {
			return g.acknowledgesSYN()
		}
		return g.seq == cmp.Or(own.Ack, own.Next) // of the first SYN: another may be forged
	}
	fin := g.session.Ends&store.Fin(g.direction) != 0
	return g.seq == own.Next || g.seq == other.Ack || fin && g.seq+1 == own.Next || g.acceptsAgain()
}

// trackHandshake looks at a segment behind the provider's SYN-ACK.
func (b *book) trackHandshake(g *tracked) {
	own, other := g.own, g.other
	if g.direction == store.ToConsumer {
		if own.Accepts(g.end, g.ack, other) {
			b.progress(g)
			own.Last = b.clock.Now
		}
		return
	}
	// own.Ack is what the provider's first SYN-ACK began with, and other.Next
	// what the last one did.
	first, last := g.ack-own.Ack-1 <= slack, other.Next-g.ack <= slack
	if g.flags&packet.FlagACK == 0 || !first && !last || !own.Accepts(g.end, own.Ack, other) {
		return
	}
	if !last {
		other.Next = g.ack
	}
	own.Ack = g.ack
	b.progress(g)
	b.enter(g.id, stateFor(g.session.Ends))
}

// trackStream looks at a segment of an established connection or a later one.
func (b *book) trackStream(g *tracked) {
	own := g.own
	if !g.expected() {
		b.unexpected++
		return
	}
	b.progress(g)
	if next := stateFor(g.session.Ends); next != own.State() {
		b.enter(g.id, next)
	} else if next != store.Closed || g.repeats() {
		own.Last = b.clock.Now
	}
}

// expected says whether the segment belongs to the stream. That of an established
// connection may be judged by its own flow alone, as translatePlain does. No FIN
// comes before data that has come.
func (g *tracked) expected() bool {
	own, fin := g.own, g.flags&packet.FlagFIN != 0
	if g.session.Ends&store.Refused != 0 || fin && int32(g.end-own.Next) < 0 {
		return false
	}
	ordinary := own.State() == store.Established && !fin
	return own.Accepts(g.end, g.ack, g.other) || ordinary && own.Expects(g.end, g.ack, 0)
}

// progress notes what an expected segment says. Data from behind a FIN says
// that its sender has not sent that FIN, and data behind a RST that the
// connection goes on.
func (b *book) progress(g *tracked) {
	s, own := g.session, g.own
	switch fin := store.Fin(g.direction); {
	case g.flags&packet.FlagFIN != 0:
		s.Ends |= fin
	case int32(g.end-own.Next) > 0:
		s.Ends &^= fin
	}
	if g.payload > 0 {
		s.Ends &^= store.Reset
		if s.Ends&store.Unconfirmed != 0 {
			b.leaveHalfOpen(s)
		}
	}
	own.Advance(g.end, g.ack)
	own.Offer(g.window, g.other)
}

// stateFor is the state of a connection that was established.
func stateFor(ends store.Ends) store.State {
	switch {
	case ends&store.Reset != 0 || ends&store.BothFins == store.BothFins:
		return store.Closed
	case ends&store.BothFins != 0:
		return store.Closing
	}
	return store.Established
}

// repeats says whether a segment behind both FINs brings something again,
// which is a sign that the other end does not have it yet: a connection is
// over when both ends are silent (RFC 7857, 2.1).
func (g *tracked) repeats() bool {
	return g.session.Ends == store.BothFins && (g.payload > 0 || g.flags&packet.FlagFIN != 0)
}
