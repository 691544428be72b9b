package memo

import "sync/atomic"

// Stamps numbers values: one keeps its number for as long as it is the same from round to
// round, and no other value of this process has it. So numbers stand for values where
// much depends on many of them. The zero value is empty. One goroutine uses it at a time.
type Stamps[T any] struct {
	entries map[string]*stamped[T]
	round   uint64
	asked   int // for how many keys in this round
}

type stamped[T any] struct {
	value  T
	number uint64
	round  uint64 // in which it was asked for last
}

var lastStamp atomic.Uint64

// Stamp is a number that no other value of this process has. It is not 0.
func Stamp() uint64 { return lastStamp.Add(1) }

// Begin begins a round. A value that is not asked for until the next Begin is forgotten
// then.
func (s *Stamps[T]) Begin() {
	if s.asked < len(s.entries) {
		for key, e := range s.entries {
			if e.round != s.round {
				delete(s.entries, key)
			}
		}
	}
	s.round, s.asked = s.round+1, 0
}

// Of is the number of a value, which is found by its key again. It is not 0. A key has one
// value in a round.
func (s *Stamps[T]) Of(key string, value *T) uint64 {
	e := s.entries[key]
	switch {
	case e == nil:
		e = &stamped[T]{value: *value, number: Stamp()}
		if s.entries == nil {
			s.entries = map[string]*stamped[T]{}
		}
		s.entries[key] = e
	case e.round == s.round:
		return e.number
	case !Identical(&e.value, value):
		if !same(&e.value, value) {
			e.number = Stamp()
		}
		e.value = *value // the next time the bits are enough
	}
	e.round = s.round
	s.asked++
	return e.number
}
