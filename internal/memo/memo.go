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
	asked   int               // for how many keys in this round
	order   []*entry[In, Out] // those of this round, and then those of the one before, as they were asked for
}

type entry[In, Out any] struct {
	key   string
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
	clear(m.order[m.asked:])
	m.order, m.round, m.asked = m.order[:m.asked], m.round+1, 0
}

// Get is what make makes of in, from now or from before.
func (m *Of[In, Out]) Get(key string, in In, make func(In) Out) Out {
	e := m.find(key)
	if e == nil {
		e = &entry[In, Out]{key: key, in: in, out: make(in)}
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
		if m.asked < len(m.order) {
			m.order[m.asked] = e
		} else {
			m.order = append(m.order, e)
		}
		m.asked++
	}
	return e.out
}

// find is what is remembered under a key, nil where nothing is. As a rule keys are asked for
// in the order of the round before.
func (m *Of[In, Out]) find(key string) *entry[In, Out] {
	if m.asked < len(m.order) && m.order[m.asked].key == key {
		return m.order[m.asked]
	}
	return m.entries[key]
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
