package fullnat

import "github.com/plinksim/plinksim/pkg/packet"

// isFirst says whether a segment may open a session.
func isFirst(flags uint8) bool {
	return flags&(packet.FlagSYN|packet.FlagACK|packet.FlagFIN|packet.FlagRST) == packet.FlagSYN
}

// maxWindow is how far a segment can be ahead of its predecessors: the largest
// window (RFC 7323, 2.3).
const maxWindow = 1 << 30

// follow notes how far the sender has come with a segment that ends before
// the sequence number end. What is older, and what no window reaches, is not
// progress.
func (e *flow) follow(end uint32) {
	if ahead := end - e.next; ahead-1 < maxWindow {
		e.next = end
	}
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
func (t *Table) track(e *flow, f *packet.Frame, p *packet.Packet) ruling {
	if p.Kind != packet.TCP {
		e.last = t.clock.now
		return pass
	}
	syn := p.Flags&(packet.FlagSYN|packet.FlagACK) == packet.FlagSYN
	over := e.state == closing || e.state == closed
	switch {
	case syn && over && e.direction == toConsumer:
		return refuse
	case isFirst(p.Flags) && over:
		return reopen
	case p.Flags&packet.FlagRST != 0 && !t.believes(e, f, p):
		return pass
	}
	next := t.next(e, f, p)
	t.note(e, f, p)
	if next != e.state {
		t.enter(e.session, next)
	} else if e.state != closed || t.repeats(e, p) {
		e.last = t.clock.now
	}
	return pass
}

// repeats says whether a segment behind both FINs brings something again,
// which is a sign that the other end does not have it yet: a connection is
// over when both ends are silent (RFC 7857, 2.1).
func (t *Table) repeats(e *flow, p *packet.Packet) bool {
	return t.sessions.at(e.session).fins == bothFINs && p.Flags&packet.FlagRST == 0 &&
		(p.PayloadLength() > 0 || p.Flags&packet.FlagFIN != 0)
}

// bothFINs are the fins of a session when both ends have closed.
const bothFINs = 1<<toProvider | 1<<toConsumer

// note keeps what later RSTs are judged by.
func (t *Table) note(e *flow, f *packet.Frame, p *packet.Packet) {
	end := p.Seq(f.Data) + p.SegmentLength()
	switch {
	case p.Flags&packet.FlagSYN == 0:
		if p.Flags&packet.FlagRST == 0 {
			e.follow(end)
		}
	case e.state.isHalfOpen():
		// Where the numbers begin. Whoever gives up and tries again before
		// anybody has answered may begin with others.
		e.next = end
	case e.state == established && isFirst(p.Flags) && e.direction == toProvider:
		t.sessions.at(e.session).extra = end
	}
}

// believes says whether a RST ends the connection. Before it is established,
// and once it is being closed, any does: there is little to lose, and the
// numbers are not certain. Afterwards it must have the number that follows
// what its sender has sent; Linux has the same rule, as
// torvalds/linux:tools/testing/selftests/net/netfilter/packetdrill/conntrack_rst_invalid.pkt
// and conntrack_inexact_rst.pkt show.
func (t *Table) believes(e *flow, f *packet.Frame, p *packet.Packet) bool {
	return e.state != established || p.Seq(f.Data) == e.next || t.refusesSYN(e, f, p)
}

// refusesSYN says whether the provider answers a SYN that came within the
// established session, of which it knows nothing any more.
func (t *Table) refusesSYN(e *flow, f *packet.Frame, p *packet.Packet) bool {
	return p.Flags&packet.FlagACK != 0 && t.challenged(e, f, p)
}

// challenged says whether p acknowledges the SYN that came last within the
// established session.
func (t *Table) challenged(e *flow, f *packet.Frame, p *packet.Packet) bool {
	again := t.sessions.at(e.session).extra
	return e.state == established && e.direction == toConsumer && again != 0 && p.Ack(f.Data) == again
}

// next is the state after p.
func (t *Table) next(e *flow, f *packet.Frame, p *packet.Packet) state {
	s := t.sessions.at(e.session)
	switch {
	case p.Flags&packet.FlagRST != 0:
		return closed
	case p.Flags&packet.FlagFIN != 0:
		s.fins |= 1 << e.direction
	case p.Flags&packet.FlagSYN != 0 && e.direction == toConsumer:
		return t.afterAnswer(e, f, p)
	case e.state == synReceived && e.direction == toProvider && p.Flags&(packet.FlagACK|packet.FlagSYN) == packet.FlagACK:
		return established
	}
	switch {
	case s.fins == bothFINs:
		return closed
	case s.fins != 0 && e.state != closed:
		return closing
	case e.state == closed && p.PayloadLength() > 0:
		return s.revived()
	}
	return e.state
}

// afterAnswer is the state after a SYN or SYN-ACK from the provider. Where
// SYNs cross, nobody has to confirm anything (RFC 5382, REQ-2). A SYN-ACK for
// the SYN within an established session starts it from the beginning: the
// provider knew the old one no longer.
func (t *Table) afterAnswer(e *flow, f *packet.Frame, p *packet.Packet) state {
	switch {
	case e.state == synSent && p.Flags&packet.FlagACK == 0:
		return established
	case e.state == synSent:
		return synReceived
	case p.Flags&packet.FlagACK != 0 && t.challenged(e, f, p) && !t.half.full():
		t.flows.at(t.sessions.at(e.session).slots[toProvider]).next = p.Ack(f.Data)
		e.next = p.Seq(f.Data) + p.SegmentLength()
		return synReceived
	}
	return e.state
}

// revived is the state of a session that a RST closed and that goes on.
func (s *session) revived() state {
	if s.fins != 0 {
		return closing
	}
	return established
}
