package memo

import "sync/atomic"

// Stamps numbers values: one keeps its number for as long as it is the same from round to
// round, and no other value of this process has it. So numbers stand for values where
// much depends on many of them. The zero value is empty. One goroutine uses it at a time.
type Stamps[T any] struct{ of Of[T, uint64] }

var lastStamp atomic.Uint64

// Begin is that of Of.
func (s *Stamps[T]) Begin() { s.of.Begin() }

// Of is the number of a value, which is found by its key again. It is not 0.
func (s *Stamps[T]) Of(key string, value *T) uint64 { return s.of.Get(key, *value, newStamp[T]) }

func newStamp[T any](T) uint64 { return lastStamp.Add(1) }
