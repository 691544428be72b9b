package fullnat

import "github.com/plinksim/plinksim/pkg/packet"

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

// track follows the machine of RFC 6146, 3.5.2.2, as RFC 7857, 2 amends it:
// established once SYNs went both ways, closed once FINs went both ways or a
// RST went any way.
//
// Sequence numbers are not looked at, so a RST may be forged. Therefore it
// passes but removes nothing, and data that comes after it brings the session
// back. A SYN within an established session passes as well, for the other end
// to answer as it likes (RFC 5961, 4); but where the session is being closed,
// the consumer's SYN opens the next one, with a backend and NAT port of its
// own. A closed session refuses a SYN from the provider, who could otherwise
// open a connection to the consumer through it.
//
// Packets refresh the session until it is closed, which a RST is the first to
// make it (RFC 7857, 2.3).
func (t *Table) track(e *flow, p *packet.Packet) ruling {
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
	}
	if next := t.next(e, p); next != e.state {
		t.enter(e.session, next)
	} else if e.state != closed {
		e.last = t.clock.now
	}
	return pass
}

// next is the state after p.
func (t *Table) next(e *flow, p *packet.Packet) state {
	s := t.sessions.at(e.session)
	switch {
	case p.Flags&packet.FlagRST != 0:
		return closed
	case p.Flags&packet.FlagFIN != 0:
		s.fins |= 1 << e.direction
	case e.state == synSent && p.Flags&packet.FlagSYN != 0 && e.direction == toConsumer:
		return established
	}
	const both = 1<<toProvider | 1<<toConsumer
	switch {
	case s.fins == both:
		return closed
	case s.fins != 0 && e.state != closed:
		return closing
	case e.state == closed && p.PayloadLength() > 0:
		return s.revived()
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
