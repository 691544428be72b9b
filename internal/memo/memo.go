// Package memo remembers what was made of some input, so that a large whole is made
// again at the cost of what has changed.
//
// What is remembered depends on the input alone: give make nothing else to look at.
// Inputs are compared by reflect.DeepEqual, which is fast where they share slices and
// pointers; then both, input and result, must not be changed any more.
package memo

import "reflect"

// Of remembers results by key. The zero value is empty. One goroutine uses it at a
// time.
type Of[In, Out any] struct {
	before, now map[string]*entry[In, Out]
}

type entry[In, Out any] struct {
	in  In
	out Out
}

// Begin begins to make the whole again. What is not asked for until the next Begin is
// forgotten then.
func (m *Of[In, Out]) Begin() {
	m.before, m.now = m.now, make(map[string]*entry[In, Out], len(m.now))
}

// Get is what make makes of in, from now or from before.
func (m *Of[In, Out]) Get(key string, in In, make func(In) Out) Out {
	e := m.before[key]
	if e == nil || !reflect.DeepEqual(e.in, in) {
		e = &entry[In, Out]{in, make(in)}
	}
	m.now[key] = e
	return e.out
}
