// Package memo remembers what was made of some input, so that a large whole is made
// again at the cost of what has changed.
//
// What is remembered depends on the input alone: give make nothing else to look at.
// Inputs are compared bit by bit, which is fast and enough where they share slices and
// pointers, and then by their method Same, or by reflect.DeepEqual where they have none.
// What they share, and the result, must not be changed any more.
package memo

import (
	"reflect"
	"unsafe"
)

// Of remembers results by key. The zero value is empty. One goroutine uses it at a
// time.
type Of[In, Out any] struct {
	entries map[string]*entry[In, Out]
	round   uint64
	asked   int // for how many keys in this round
}

type entry[In, Out any] struct {
	in    In
	out   Out
	round uint64 // in which it was asked for last
}

// Begin begins to make the whole again. What is not asked for until the next Begin is
// forgotten then.
func (m *Of[In, Out]) Begin() {
	if m.asked < len(m.entries) {
		for key, e := range m.entries {
			if e.round != m.round {
				delete(m.entries, key)
			}
		}
	}
	m.round, m.asked = m.round+1, 0
}

// Get is what make makes of in, from now or from before.
func (m *Of[In, Out]) Get(key string, in In, make func(In) Out) Out {
	e := m.entries[key]
	if e == nil {
		e = &entry[In, Out]{in: in, out: make(in)}
		if m.entries == nil {
			m.entries = map[string]*entry[In, Out]{}
		}
		m.entries[key] = e
	} else if !Identical(&e.in, &in) {
		if !same(&e.in, &in) {
			e.out = make(in)
		}
		e.in = in // the next time the bits are enough
	}
	if e.round != m.round {
		e.round = m.round
		m.asked++
	}
	return e.out
}

// same looks at what values have in them.
func same[T any](a, b *T) bool {
	if a, ok := any(a).(interface{ Same(*T) bool }); ok {
		return a.Same(b)
	}
	return reflect.DeepEqual(*a, *b)
}

// Identical says whether two values have the same bits: plain values are equal then, and
// strings, slices, maps and pointers are the same ones. Equal values need not be identical.
func Identical[T any](a, b *T) bool {
	size := unsafe.Sizeof(*a)
	return string(unsafe.Slice((*byte)(unsafe.Pointer(a)), size)) == string(unsafe.Slice((*byte)(unsafe.Pointer(b)), size))
}
