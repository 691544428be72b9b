package store

import "unsafe"

// MaxSessions keeps slot numbers, two flows at three of five, in 31 bits, and
// leaves one bit of them to flows and one bit of a session's number to the
// wheel.
const MaxSessions = 1 << 29

// Session is what the two flows of a session share and established packets do
// not need.
type Session struct {
	Slots      [2]Slot   // where the flows are, by direction
	prev, next SessionID // neighbours in a slot of the wheel, or in the free list
	Link       LinkID
	Pool       PoolID
	State      State
	Fins       uint8 // bit n: a FIN went in direction n
	_          [2]byte
	Extra      uint32 // half-open: its number there; established: see Table.challenge
}

var _ [32]byte = [unsafe.Sizeof(Session{})]byte{}

// Sessions gives out numbers for sessions, the last returned first: what is
// in use stays together in few pages.
type Sessions struct {
	memory[Session]
	Used    int
	Reached SessionID // numbers from here on are not given out, nor in the free list
	Touched SessionID // elements from here on have no memory
	free    SessionID // head of the list of returned ones
}

// Init makes room for n sessions.
func (s *Sessions) Init(n int, backing backing) error {
	s.free = None
	if backing == Reserved {
		s.Touched = SessionID(n)
	}
	return s.memory.init(n, backing)
}

// At is the session with a number.
func (s *Sessions) At(id SessionID) *Session { return &s.All[id] }

// Full says whether there is no number left.
func (s *Sessions) Full() bool { return s.Used == len(s.All) }

// Add must not be called while full.
func (s *Sessions) Add() (id SessionID) {
	s.Used++
	if s.free == None {
		s.Reached++
		s.Touched = max(s.Touched, s.Reached)
		return s.Reached - 1
	}
	id = s.free
	s.unlinkFree(id)
	return id
}

// Drop takes a number back.
func (s *Sessions) Drop(id SessionID) {
	s.Used--
	s.All[id] = Session{prev: None, next: s.free}
	if s.free != None {
		s.All[s.free].prev = id
	}
	s.free = id
}

func (s *Sessions) unlinkFree(id SessionID) {
	e := &s.All[id]
	if e.prev == None {
		s.free = e.next
	} else {
		s.All[e.prev].next = e.next
	}
	if e.next != None {
		s.All[e.next].prev = e.prev
	}
}

// Trim forgets the last number if it is free, or returns a huge page of
// memory that is behind all numbers, and says whether it did.
func (s *Sessions) Trim() bool {
	if last := s.Reached - 1; s.Reached > 0 && s.All[last].State == Free {
		s.unlinkFree(last)
		s.All[last] = Session{}
		s.Reached--
		return true
	}
	const perChunk = HugePage / SessionID(unsafe.Sizeof(Session{}))
	if s.Touched <= perChunk || s.backing == Reserved {
		return false
	}
	// Half a chunk of distance, so that sessions that come and go do not make
	// memory come and go with them.
	from := (s.Touched - 1) / perChunk * perChunk
	if s.Reached+perChunk/2 > from {
		return false
	}
	s.release(int(from), int(s.Touched))
	s.Touched = from
	return true
}

// State is how far a session is. UDP is established from its first packet.
type State uint8

const (
	Free        State = iota // no session
	SynSent                  // a SYN went to the provider
	SynReceived              // a SYN-ACK went to the consumer
	Established              // the consumer has confirmed it, or SYNs crossed
	Closing                  // a FIN went one way
	Closed                   // FINs went both ways, or a RST went any way
	NumStates
)

// Direction is where a packet goes, seen from the session that carries it.
type Direction uint8

const (
	ToProvider Direction = iota
	ToConsumer
)
