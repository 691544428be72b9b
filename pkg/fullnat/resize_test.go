package fullnat

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// flowsTwin is flows as a map. slots is what sessions know: where each flow is.
type flowsTwin struct {
	t     testing.TB
	flows flows
	slots map[uint32]uint32 // by flow.session
	keys  []key
}

func newFlowsTwin(t testing.TB, sessions int, longest uint32) *flowsTwin {
	w := &flowsTwin{t: t, slots: map[uint32]uint32{}}
	require.NoError(t, w.flows.init(sessions, 16, longest, rand.New(rand.NewPCG(1, 0)), onTouch))
	t.Cleanup(func() { require.NoError(t, w.flows.close()) })
	return w
}

func (w *flowsTwin) moved(e *flow, to uint32) { w.slots[e.session] = to }

// add is what opening a session does, as far as flows see it.
func (w *flowsTwin) add(id uint32) {
	k := newKey(1, 6, id, id*7, uint16(id), 80)
	w.flows.swap()
	if w.flows.has(k) || !w.flows.makeRoom(w.moved) {
		return
	}
	e, slot := w.flows.insert(k)
	e.session = id
	w.slots[id] = slot
	w.keys = append(w.keys, k)
}

func (w *flowsTwin) drop(n int) {
	k := w.keys[n%len(w.keys)]
	id := w.flows.find(k, w.flows.home(k)).session
	w.flows.remove(w.slots[id], w.moved)
	delete(w.slots, id)
	w.keys = slices.DeleteFunc(w.keys, func(other key) bool { return other == k })
}

func (w *flowsTwin) check() {
	require.Equal(w.t, len(w.keys), w.flows.used)
	for _, k := range w.keys {
		e := w.flows.find(k, w.flows.home(k))
		require.NotNil(w.t, e)
		require.Same(w.t, e, w.flows.at(w.slots[e.session]))
	}
	full := 0
	for _, all := range [][]flow{w.flows.arena.all, w.flows.other.all} {
		for i := range all {
			if all[i].key.rest != 0 {
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
		w.add(uint32(n) + uint32(len(w.keys))*120)
	case n < 200 && len(w.keys) > 0:
		w.drop(int(n))
	case n < 250:
		w.flows.tidy(w.moved)
	default:
		for range 1000 {
			w.flows.tidy(w.moved)
		}
	}
}

// FuzzFlows moves flows to larger, smaller and other arenas while they come
// and go, and looks for each of them after every step.
func FuzzFlows(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\xfa\xc8\xc8\x80\x81"), uint8(3))
	f.Fuzz(func(t *testing.T, steps []byte, longest uint8) {
		w := newFlowsTwin(t, 70, uint32(longest))
		for _, n := range steps[:min(len(steps), 2000)] {
			w.step(n)
			w.check()
		}
	})
}

func TestFlowsAreFoundWhileTheyMove(t *testing.T) {
	for _, tt := range []struct {
		name    string
		longest uint32
	}{
		{"to larger and smaller arenas", longestProbe},
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
			require.Equal(t, tt.longest == 1, w.flows.rekeys > 0)
		})
	}
}

func TestFlowsMoveOnWithoutExpire(t *testing.T) {
	w := newFlowsTwin(t, 100_000, longestProbe)
	for id := uint32(1); len(w.keys) < 200_000; id += 2 {
		w.flows.swap()
		require.True(t, w.flows.makeRoom(w.moved))
		for _, id := range []uint32{id, id + 1} {
			k := newKey(1, 6, id, id*7, uint16(id), 80)
			e, slot := w.flows.insert(k)
			e.session = id
			w.slots[id] = slot
			w.keys = append(w.keys, k)
		}
		require.LessOrEqual(t, 10*w.flows.used, 13*len(w.flows.arena.all), "room for those that come")
	}
	w.check()
}

// sameHome are consumers whose flows to the lab's endpoint start their search
// in the same few slots, for who knows the secret of the table.
func (l *lab) sameHome(count int) (consumers []uint32) {
	for addr := uint32(0x0b000000); len(consumers) < count; addr++ {
		k := newKey(1, packet.ProtocolTCP, addr, number(l.config.Links[0].Match.Addr()), 5000, 80)
		if l.table.flows.home(k) < 4 {
			consumers = append(consumers, addr)
		}
	}
	return consumers
}

func (l *lab) sendFrom(addr uint32, flags byte, now time.Duration) Verdict {
	copy(l.frame.Data, l.pristine)
	binary.BigEndian.PutUint32(l.frame.Data[26:], addr)
	binary.BigEndian.PutUint16(l.frame.Data[34:], 5000)
	l.frame.Data[47] = flags
	l.frame.ENI = 1
	frames, verdicts := [1]packet.Frame{l.frame}, [1]Verdict{}
	l.table.Forward(frames[:], verdicts[:], now)
	return verdicts[0]
}

func TestWhoKnowsTheSecretOfTheTable(t *testing.T) {
	l := newLab(t, 100_000)
	consumers := l.sameHome(longestProbe + 100)
	secret := l.table.flows.secret
	for _, addr := range consumers {
		before := l.table.flows.work
		require.Equal(t, Forwarded, l.sendFrom(addr, packet.FlagSYN, 0))
		requireLittleWork(t, before, l.table.flows.work, 1, 0)
	}
	require.EqualValues(t, 1, l.table.Stats().Rekeys, "one search was too long, and then all flows moved")
	for l.table.flows.phase != settled {
		before := l.table.flows.work
		l.table.Expire(0, 256)
		requireLittleWork(t, before, l.table.flows.work, 0, 256)
	}
	require.NotEqual(t, secret, l.table.flows.secret)
	for _, addr := range consumers {
		require.Equal(t, Forwarded, l.sendFrom(addr, packet.FlagSYN, 0))
		k := newKey(1, packet.ProtocolTCP, addr, number(l.config.Links[0].Match.Addr()), 5000, 80)
		slot := l.table.sessions.at(l.table.flows.find(k, l.table.flows.home(k)).session).slots[toProvider]
		require.Less(t, l.table.flows.distance(l.table.flows.home(k), slot&^halfFlag), uint32(20))
	}
	require.Len(t, l.table.Sessions(nil, 0), len(consumers))
	for _, addr := range l.sameHome(longestProbe) {
		if addr%2 == 0 { // what one guesses about half of them
			require.Equal(t, Forwarded, l.sendFrom(addr, packet.FlagSYN, 0))
		}
	}
	require.EqualValues(t, 1, l.table.Stats().Rekeys)
}

// requireLittleWork holds what was done for a burst of packets that open
// sessions, or in Expire with a budget, against what that may take.
func requireLittleWork(t testing.TB, before, after resizeWork, opened, budget int) {
	steps := opened*stepsPerSession + budget
	require.LessOrEqual(t, after.moved-before.moved, steps)
	require.LessOrEqual(t, after.touched-before.touched, steps)
	require.LessOrEqual(t, after.looked-before.looked, steps*slotsPerStep)
	require.LessOrEqual(t, after.released-before.released, hugePage, "at most one piece")
}

// A packet never waits for the table to grow, to shrink or to forget: what is
// done between two bursts is counted, as time would depend on the machine.
// BenchmarkLongestBurst tells the time.
func TestAMillionSessionsExpireAndTheirMemoryGoesBack(t *testing.T) {
	sessions := 1_000_000
	if testing.Short() {
		sessions = 200_000
	}
	const budget, burst = 256, 64
	l := newLab(t, sessions)
	memory := func() (table int, heap uint64) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return residentBytes(t, l.table), m.HeapAlloc
	}
	v, _ := l.send(0, packet.FlagSYN, 0)
	require.Equal(t, Forwarded, v)
	tableBefore, heapBefore := memory()

	for n := 1; n < sessions; n += burst {
		before := l.table.flows.work
		end := min(n+burst, sessions)
		for i := n; i < end; i++ {
			l.targetForBenchmark(i)
			v, port := l.send(i, packet.FlagSYN, 0)
			require.Equal(t, Forwarded, v)
			require.Equal(t, Forwarded, l.answer(port, "SA", 0))
			l.send(i, packet.FlagACK, 0)
		}
		requireLittleWork(t, before, l.table.flows.work, end-n, 0)
		before = l.table.flows.work
		l.table.Expire(0, budget)
		requireLittleWork(t, before, l.table.flows.work, 0, budget)
	}
	require.Equal(t, sessions, l.table.Stats().Sessions)
	require.Zero(t, l.table.Stats().Rekeys, "no search was long by chance")
	tableFull, _ := memory()
	require.LessOrEqual(t, tableFull/sessions, 256, "bytes of a session")

	now := 15 * time.Minute
	for calls := 0; ; calls++ {
		before, used := l.table.flows.work, l.table.sessions.used
		more := l.table.Expire(now, budget)
		requireLittleWork(t, before, l.table.flows.work, 0, budget)
		require.LessOrEqual(t, used-l.table.sessions.used, budget)
		if !more {
			break
		}
		if calls%1000 == 0 {
			require.Equal(t, NoSession, l.answer(2000, "A", now), "packets are judged meanwhile")
		}
	}
	drain(l.table, now+poolRest)
	require.Zero(t, l.table.Stats().Sessions)
	table, heap := memory()
	require.LessOrEqual(t, table, tableBefore+2*hugePage)
	require.LessOrEqual(t, heap, heapBefore+1<<20)
	t.Logf("table: %d KiB with one session, %d KiB with %d, %d KiB after", tableBefore>>10, tableFull>>10, sessions, table>>10)

	v, _ = l.send(0, packet.FlagSYN, now+poolRest)
	require.Equal(t, Forwarded, v)
}
