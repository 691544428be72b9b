package fullnat

import (
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

// track follows the machine of RFC 6146, 3.5.2.2, as RFC 7857, 2 amends it,
// with one more state: after the SYN-ACK a session is half-open until the
// consumer confirms it, for a forged SYN gets as far as that. It is closed
// once FINs went both ways or a RST went any way.
//
// Anybody can forge a RST or a SYN. Within an established session a RST counts
// only with the number that the receiver waits for (RFC 5961, 3.2), and even
// then it removes nothing: data that comes after it brings the session back.
// A SYN passes, for the other end to challenge (RFC 5961, 4.2), and what comes
// of it is seen from the answers. Where the session is being closed, the
// consumer's SYN opens the next one, with a backend and NAT port of its own.
// A closed session refuses a SYN from the provider, who could otherwise open a
// connection to the consumer through it.
//
// Packets refresh the session until it is closed, which a RST is the first to
// make it (RFC 7857, 7.1). Behind both FINs only what comes again does.
func (t *Table) track(e *store.Flow, f *packet.Frame, p *packet.Packet) ruling {
	if p.Kind != packet.TCP {
		e.Last = t.clock.Now
		return pass
	}
	syn := p.Flags&(packet.FlagSYN|packet.FlagACK) == packet.FlagSYN
	over := e.State == store.Closing || e.State == store.Closed
	switch {
	case syn && over && e.Direction == store.ToConsumer:
		return refuse
	case isFirst(p.Flags) && over:
		return reopen
	case p.Flags&packet.FlagRST != 0 && !t.believes(e, f, p):
		return pass
	}
	next := t.next(e, f, p)
	t.note(e, f, p)
	if next != e.State {
		t.enter(e.Session, next)
	} else if e.State != store.Closed || t.repeats(e, p) {
		e.Last = t.clock.Now
	}
	return pass
}

// repeats says whether a segment behind both FINs brings something again,
// which is a sign that the other end does not have it yet: a connection is
// over when both ends are silent (RFC 7857, 2.1).
func (t *Table) repeats(e *store.Flow, p *packet.Packet) bool {
	return t.sessions.At(e.Session).Fins == bothFINs && p.Flags&packet.FlagRST == 0 &&
		(p.PayloadLength() > 0 || p.Flags&packet.FlagFIN != 0)
}

// bothFINs are the fins of a session when both ends have closed.
const bothFINs = 1<<store.ToProvider | 1<<store.ToConsumer

// note keeps what later RSTs are judged by.
func (t *Table) note(e *store.Flow, f *packet.Frame, p *packet.Packet) {
	end := p.Seq(f.Data) + p.SegmentLength()
	switch {
	case p.Flags&packet.FlagSYN == 0:
		if p.Flags&packet.FlagRST == 0 {
			e.Follow(end)
		}
	case e.State.IsHalfOpen():
		// Where the numbers begin. Whoever gives up and tries again before
		// anybody has answered may begin with others.
		e.Next = end
	case e.State == store.Established && isFirst(p.Flags) && e.Direction == store.ToProvider:
		t.sessions.At(e.Session).Extra = end
	}
}

// believes says whether a RST ends the connection. Before it is established,
// and once it is being closed, any does: there is little to lose, and the
// numbers are not certain. Afterwards it must have the number that follows
// what its sender has sent; Linux has the same rule, as
// torvalds/linux:tools/testing/selftests/net/netfilter/packetdrill/conntrack_rst_invalid.pkt
// and conntrack_inexact_rst.pkt show.
func (t *Table) believes(e *store.Flow, f *packet.Frame, p *packet.Packet) bool {
	return e.State != store.Established || p.Seq(f.Data) == e.Next || t.refusesSYN(e, f, p)
}

// refusesSYN says whether the provider answers a SYN that came within the
// established session, of which it knows nothing any more.
func (t *Table) refusesSYN(e *store.Flow, f *packet.Frame, p *packet.Packet) bool {
	return p.Flags&packet.FlagACK != 0 && t.challenged(e, f, p)
}

// challenged says whether p acknowledges the SYN that came last within the
// established session.
func (t *Table) challenged(e *store.Flow, f *packet.Frame, p *packet.Packet) bool {
	again := t.sessions.At(e.Session).Extra
	return e.State == store.Established && e.Direction == store.ToConsumer && again != 0 && p.Ack(f.Data) == again
}

// next is the state after p.
func (t *Table) next(e *store.Flow, f *packet.Frame, p *packet.Packet) store.State {
	s := t.sessions.At(e.Session)
	switch {
	case p.Flags&packet.FlagRST != 0:
		return store.Closed
	case p.Flags&packet.FlagFIN != 0:
		s.Fins |= 1 << e.Direction
	case p.Flags&packet.FlagSYN != 0 && e.Direction == store.ToConsumer:
		return t.afterAnswer(e, f, p)
	case e.State == store.SynReceived && e.Direction == store.ToProvider && p.Flags&(packet.FlagACK|packet.FlagSYN) == packet.FlagACK:
		return store.Established
	}
	switch {
	case s.Fins == bothFINs:
		return store.Closed
	case s.Fins != 0 && e.State != store.Closed:
		return store.Closing
	case e.State == store.Closed && p.PayloadLength() > 0:
		return revived(s)
	}
	return e.State
}

// afterAnswer is the state after a SYN or SYN-ACK from the provider. Where
// SYNs cross, nobody has to confirm anything (RFC 5382, REQ-2). A SYN-ACK for
// the SYN within an established session starts it from the beginning: the
// provider knew the old one no longer.
func (t *Table) afterAnswer(e *store.Flow, f *packet.Frame, p *packet.Packet) store.State {
	switch {
	case e.State == store.SynSent && p.Flags&packet.FlagACK == 0:
		return store.Established
	case e.State == store.SynSent:
		return store.SynReceived
	case p.Flags&packet.FlagACK != 0 && t.challenged(e, f, p) && !t.half.Full():
		t.flows.At(t.sessions.At(e.Session).Slots[store.ToProvider]).Next = p.Ack(f.Data)
		e.Next = p.Seq(f.Data) + p.SegmentLength()
		return store.SynReceived
	}
	return e.State
}

// revived is the state of a session that a RST closed and that goes on.
func revived(s *store.Session) store.State {
	if s.Fins != 0 {
		return store.Closing
	}
	return store.Established
}
