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
	Ends       Ends
	Scales     Scales // that the SYNs offered
	Again      Scales // and what the consumer's offers that came within the session
	// Extra is a half-open session's number there. Afterwards it is what
	// acknowledges the SYN that came last within the session.
	Extra uint32
}

// Ends is how a TCP session ends.
type Ends uint8

const (
	// FinThere and FinBack: a FIN went in that direction.
	FinThere Ends = 1 << ToProvider
	FinBack  Ends = 1 << ToConsumer
	// BothFins is both of them.
	BothFins = FinThere | FinBack
	// Reset: a RST went in one of them.
	Reset Ends = 1 << 2
	// Refused: it did before anybody had answered the SYN.
	Refused Ends = 1 << 3
	// Unconfirmed: a RST went before the consumer had confirmed the session, which
	// is still among the half-open ones: Extra is its number there.
	Unconfirmed Ends = 1 << 4
	// AllEnds is what the session knows of its end, wherever it is listed.
	AllEnds = BothFins | Reset | Refused
)

// Fin is the FIN of a direction.
func Fin(d Direction) Ends { return 1 << d }

// Scales are the window scales that both SYNs offer, four bits each: 0 where
// there is none, else one more than the scale.
type Scales uint8

// With is s with what the SYN in direction d offers.
func (s Scales) With(d Direction, offer uint8) Scales {
	return s&^(15<<(4*d)) | Scales(offer&15)<<(4*d)
}

// Of is what the SYN in direction d offers.
func (s Scales) Of(d Direction) uint8 { return uint8(s>>(4*d)) & 15 }

// Agreed are the scales in use: without both offers there are none (RFC 7323,
// 1.3).
func (s Scales) Agreed() (there, back uint8) {
	if there, back = s.Of(ToProvider), s.Of(ToConsumer); there == 0 || back == 0 {
		return 0, 0
	}
	return there - 1, back - 1
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

// SessionsRegion is the name of the sessions' memory.
const SessionsRegion = "sessions"

// Init makes room for n sessions.
func (s *Sessions) Init(n int, backing Backing) error {
	s.free = None
	if backing.Reserved {
		s.Touched = SessionID(n)
	}
	return s.memory.init(SessionsRegion, n, backing)
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
	if s.Touched <= perChunk || s.backing.Reserved {
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
