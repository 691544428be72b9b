package fullnat

import (
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
)

// maxSessions keeps slot numbers, two flows at three of five, in 31 bits, and
// leaves one bit of them to flows and one bit of a session's number to the
// wheel.
const maxSessions = 1 << 29

// session is what the two flows of a session share and established packets do
// not need.
type session struct {
	slots      [2]uint32 // where the flows are, by direction
	prev, next uint32    // neighbours in a slot of the wheel, or in the free list
	link       uint32
	pool       uint32
	state      state
	fins       uint8 // bit n: a FIN went in direction n
	_          [2]byte
	extra      uint32 // half-open: its number there; established: see Table.challenge
}

var _ [32]byte = [unsafe.Sizeof(session{})]byte{}

// none is the number of no session, link, hop or pool.
const none = ^uint32(0)

// sessions gives out numbers for sessions, the last returned first: what is
// in use stays together in few pages.
type sessions struct {
	memory[session]
	used    int
	reached uint32 // numbers from here on are not given out, nor in the free list
	touched uint32 // elements from here on have no memory
	free    uint32 // head of the list of returned ones
}

func (s *sessions) init(n int, backing backing) error {
	s.free = none
	if backing == reserved {
		s.touched = uint32(n)
	}
	return s.memory.init(n, backing)
}

func (s *sessions) at(id uint32) *session { return &s.all[id] }

func (s *sessions) full() bool { return s.used == len(s.all) }

// add must not be called while full.
func (s *sessions) add() (id uint32) {
	s.used++
	if s.free == none {
		s.reached++
		s.touched = max(s.touched, s.reached)
		return s.reached - 1
	}
	id = s.free
	s.unlinkFree(id)
	return id
}

func (s *sessions) drop(id uint32) {
	s.used--
	s.all[id] = session{prev: none, next: s.free}
	if s.free != none {
		s.all[s.free].prev = id
	}
	s.free = id
}

func (s *sessions) unlinkFree(id uint32) {
	e := &s.all[id]
	if e.prev == none {
		s.free = e.next
	} else {
		s.all[e.prev].next = e.next
	}
	if e.next != none {
		s.all[e.next].prev = e.prev
	}
}

// trim forgets the last number if it is free, or returns a huge page of
// memory that is behind all numbers, and says whether it did.
func (s *sessions) trim() bool {
	if last := s.reached - 1; s.reached > 0 && s.all[last].state == free {
		s.unlinkFree(last)
		s.all[last] = session{}
		s.reached--
		return true
	}
	const perPiece = hugePage / uint32(unsafe.Sizeof(session{}))
	if s.touched <= perPiece || s.backing == reserved {
		return false
	}
	// Half a piece of distance, so that sessions that come and go do not make
	// memory come and go with them.
	from := (s.touched - 1) / perPiece * perPiece
	if s.reached+perPiece/2 > from {
		return false
	}
	s.release(int(from), int(s.touched))
	s.touched = from
	return true
}

// state is how far a session is. UDP is established from its first packet.
type state uint8

const (
	free        state = iota // no session
	synSent                  // a SYN went to the provider
	synReceived              // a SYN-ACK went to the consumer
	established              // the consumer has confirmed it, or SYNs crossed
	closing                  // a FIN went one way
	closed                   // FINs went both ways, or a RST went any way
	numStates
)

var stateNames = [numStates]string{"free", "syn-sent", "syn-received", "established", "closing", "closed"}

func (s state) nameFor(protocol uint8) string {
	if protocol != packet.ProtocolTCP {
		return "open"
	}
	return stateNames[s]
}

// timeout is how many ticks of silence s outlives in its state.
func (t *Table) timeout(s *session) uint32 {
	l := t.links.at(s.link)
	switch {
	case s.state == established:
		return l.idle
	case l.timers[s.state] > 0:
		return l.timers[s.state]
	}
	return t.timers[s.state]
}

// idle is how many ticks ago a packet last refreshed s.
func (t *Table) idle(s *session) uint32 {
	return min(
		t.clock.now-t.flows.at(s.slots[toProvider]).last,
		t.clock.now-t.flows.at(s.slots[toConsumer]).last)
}

func (t *Table) timedOut(s *session) bool { return t.idle(s) >= t.timeout(s) }

// enter brings a session into a state, and its deadline with it.
func (t *Table) enter(id uint32, next state) {
	s := t.sessions.at(id)
	if !next.isHalfOpen() {
		t.leaveHalfOpen(s)
	} else if !s.state.isHalfOpen() {
		t.enterHalfOpen(id)
	}
	s.state = next
	for _, slot := range s.slots {
		e := t.flows.at(slot)
		e.state, e.last = next, t.clock.now
	}
	t.wheel.move(&t.sessions, id, t.deadline(s))
}

// remove forgets a session at once; its NAT port goes to the end of the queue.
func (t *Table) remove(id uint32) {
	s := t.sessions.at(id)
	there := t.flows.at(s.slots[toProvider])
	t.ended(t.links.at(s.link), end{there.rewrite.Dst, there.rewrite.DstPort})
	t.forgetConveyance(id)
	if there.flags&hasIPv6 != 0 {
		t.addrs.release(there.key.src(), there.key.dst(), there.rewrite.Src, there.rewrite.Dst)
	}
	t.ports.giveBack(s.pool, t.flows.at(s.slots[toProvider]).rewrite.SrcPort, t.clock.now-t.idle(s), t.clock.now)
	for d := range s.slots {
		t.hops.release(t.flows.at(s.slots[d]).hop)
		t.laps.forget(t.flows.at(s.slots[d]))
		// The first removal may move the other flow, which updates s.slots.
		t.flows.remove(s.slots[d], t.moved)
	}
	t.leaveHalfOpen(s)
	t.wheel.unlink(&t.sessions, id)
	t.links.leave(s.link)
	t.sessions.drop(id)
}

func (t *Table) moved(e *flow, to uint32) {
	t.sessions.at(e.session).slots[e.direction] = to
}
