package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// flowsTwin is flows as a map. slots is what sessions know: where each flow is.
type flowsTwin struct {
	t     testing.TB
	flows Flows
	slots map[SessionID]Slot // by flow.session
	keys  []Key
}

func newFlowsTwin(t testing.TB, sessions int, longest int) *flowsTwin {
	w := &flowsTwin{t: t, slots: map[SessionID]Slot{}}
	require.NoError(t, w.flows.Init(sessions, 16, longest, rand.New(rand.NewPCG(1, 0)), Backing{}))
	t.Cleanup(func() { require.NoError(t, w.flows.Close()) })
	return w
}

func (w *flowsTwin) moved(e *Flow, to Slot) { w.slots[e.Session] = to }

// add is what opening a session does, as far as flows see it.
func (w *flowsTwin) add(id SessionID) {
	k := NewKey(1, 6, uint32(id), uint32(id)*7, uint16(id), 80)
	w.flows.Swap()
	if w.flows.Has(k) || !w.flows.MakeRoom(w.moved) {
		return
	}
	e, slot := w.flows.Insert(k)
	e.Session = id
	w.slots[id] = slot
	w.keys = append(w.keys, k)
}

func (w *flowsTwin) drop(n int) {
	k := w.keys[n%len(w.keys)]
	id := w.flows.Find(k, w.flows.Home(k)).Session
	w.flows.Remove(w.slots[id], w.moved)
	delete(w.slots, id)
	w.keys = slices.DeleteFunc(w.keys, func(other Key) bool { return other == k })
}

func (w *flowsTwin) check() {
	require.Equal(w.t, len(w.keys), w.flows.used)
	for _, k := range w.keys {
		e := w.flows.Find(k, w.flows.Home(k))
		require.NotNil(w.t, e)
		require.Same(w.t, e, w.flows.At(w.slots[e.Session]))
	}
	full := 0
	for _, all := range [][]Flow{w.flows.Arena.All, w.flows.Other.All} {
		for i := range all {
			if all[i].Key.Rest != 0 {
				full++
			}
		}
	}
	require.Equal(w.t, len(w.keys), full, "nothing is left behind")
}

// step: flows come, go, or move on; also many at a time.
func (w *flowsTwin) step(n byte) {
	switch {
	case n < 120 && len(w.keys) < 2*w.flows.sizes[len(w.flows.sizes)-1]-2:
		w.add(SessionID(n) + SessionID(len(w.keys))*120)
	case n < 200 && len(w.keys) > 0:
		w.drop(int(n))
	case n < 250:
		w.flows.Tidy(w.moved)
	default:
		for range 1000 {
			w.flows.Tidy(w.moved)
		}
	}
}

// FuzzFlows moves flows to larger, smaller and other arenas while they come
// and go, and looks for each of them after every step.
func FuzzFlows(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\xfa\xc8\xc8\x80\x81"), uint8(3))
	f.Fuzz(func(t *testing.T, steps []byte, longest uint8) {
		w := newFlowsTwin(t, 70, int(longest))
		for _, n := range steps[:min(len(steps), 2000)] {
			w.step(n)
			w.check()
		}
	})
}

func TestFlowsAreFoundWhileTheyMove(t *testing.T) {
	for _, tt := range []struct {
		name    string
		longest int
	}{
		{"to larger and smaller arenas", LongestProbe},
		{"to others of the same size as well, for ever", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(2, 0))
			w := newFlowsTwin(t, 300, tt.longest)
			sizes := map[int]bool{}
			for phase := range 6 {
				for range 2000 {
					n := byte(random.IntN(251))
					if comes := random.IntN(4) > 0; comes == (phase%2 == 0) && n < 200 {
						n %= 120
					} else if n < 120 {
						n += 80
					}
					w.step(n)
					sizes[w.flows.size] = true
				}
				w.check()
			}
			require.Len(t, sizes, len(w.flows.sizes), "all sizes were in use")
			require.Equal(t, tt.longest == 1, w.flows.Rekeys > 0)
		})
	}
}

func TestFlowsMoveOnWithoutExpire(t *testing.T) {
	w := newFlowsTwin(t, 100_000, LongestProbe)
	for id := SessionID(1); len(w.keys) < 200_000; id += 2 {
		w.flows.Swap()
		require.True(t, w.flows.MakeRoom(w.moved))
		for _, id := range []SessionID{id, id + 1} {
			k := NewKey(1, 6, uint32(id), uint32(id)*7, uint16(id), 80)
			e, slot := w.flows.Insert(k)
			e.Session = id
			w.slots[id] = slot
			w.keys = append(w.keys, k)
		}
		require.LessOrEqual(t, 10*w.flows.used, 13*len(w.flows.Arena.All), "room for those that come")
	}
	w.check()
}
