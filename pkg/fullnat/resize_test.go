package fullnat

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// sameHome are consumers whose flows to the lab's endpoint start their search
// in the same few slots, for who knows the secret of the table.
func (l *lab) sameHome(count int) (consumers []uint32) {
	for addr := uint32(0x0b000000); len(consumers) < count; addr++ {
		k := store.NewKey(1, packet.ProtocolTCP, addr, store.IPv4Number(l.config.Links[0].Match.Addr()), 5000, 80)
		if l.table.flows.Home(k) < 4 {
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
	forward(l.table, frames[:], verdicts[:], now)
	return verdicts[0]
}

func TestWhoKnowsTheSecretOfTheTable(t *testing.T) {
	l := newLab(t, 100_000)
	consumers := l.sameHome(store.LongestProbe + 100)
	secret := l.table.flows.Secret
	for _, addr := range consumers {
		before := l.table.flows.Work
		require.Equal(t, Forwarded, l.sendFrom(addr, packet.FlagSYN, 0))
		requireLittleWork(t, before, l.table.flows.Work, 1, 0)
	}
	require.EqualValues(t, 1, l.table.Stats().Rekeys, "one search was too long, and then all flows moved")
	for l.table.flows.Phase != store.Settled {
		before := l.table.flows.Work
		l.table.Expire(0, 256)
		requireLittleWork(t, before, l.table.flows.Work, 0, 256)
	}
	require.NotEqual(t, secret, l.table.flows.Secret)
	for _, addr := range consumers {
		require.Equal(t, Forwarded, l.sendFrom(addr, packet.FlagSYN, 0))
		k := store.NewKey(1, packet.ProtocolTCP, addr, store.IPv4Number(l.config.Links[0].Match.Addr()), 5000, 80)
		slot := l.table.sessions.At(l.table.flows.Find(k, l.table.flows.Home(k)).Session).Slots[store.ToProvider]
		require.Less(t, l.table.flows.Distance(l.table.flows.Home(k), slot&^store.HalfFlag), uint32(20))
	}
	require.Len(t, l.table.Sessions(nil, 0), len(consumers))
	for _, addr := range l.sameHome(store.LongestProbe) {
		if addr%2 == 0 { // what one guesses about half of them
			require.Equal(t, Forwarded, l.sendFrom(addr, packet.FlagSYN, 0))
		}
	}
	require.EqualValues(t, 1, l.table.Stats().Rekeys)
}

// requireLittleWork holds what was done for a burst of packets that open
// sessions, or in Expire with a budget, against what that may take.
func requireLittleWork(t testing.TB, before, after store.ResizeWork, opened, budget int) {
	steps := opened*store.StepsPerSession + budget
	require.LessOrEqual(t, after.Moved-before.Moved, steps)
	require.LessOrEqual(t, after.Touched-before.Touched, steps)
	require.LessOrEqual(t, after.Looked-before.Looked, steps*store.SlotsPerStep)
	require.LessOrEqual(t, after.Released-before.Released, store.HugePage, "at most one piece")
}

// A packet never waits for the table to grow, to shrink or to forget: what is
// done between two bursts is counted, as time would depend on the machine.
// BenchmarkLongestBurst tells the time.
func TestAMillionSessionsExpireAndTheirMemoryGoesBack(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	sessions := 1_000_000
	if testing.Short() {
		sessions = 200_000
	}
	const budget, burst = 256, 64
	t.Setenv(testenv.FlowCacheVariable, "") // its model has memory of its own
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
		before := l.table.flows.Work
		end := min(n+burst, sessions)
		for i := n; i < end; i++ {
			l.targetForBenchmark(i)
			v, port := l.send(i, packet.FlagSYN, 0)
			require.Equal(t, Forwarded, v)
			require.Equal(t, Forwarded, l.answer(port, "SA", 0))
			l.send(i, packet.FlagACK, 0)
		}
		requireLittleWork(t, before, l.table.flows.Work, end-n, 0)
		before = l.table.flows.Work
		l.table.Expire(0, budget)
		requireLittleWork(t, before, l.table.flows.Work, 0, budget)
	}
	require.Equal(t, sessions, l.table.Stats().Sessions)
	require.Zero(t, l.table.Stats().Rekeys, "no search was long by chance")
	tableFull, _ := memory()
	require.LessOrEqual(t, tableFull/sessions, 256, "bytes of a session")

	now := 15 * time.Minute
	for calls := 0; ; calls++ {
		before, used := l.table.flows.Work, l.table.sessions.Used
		more := l.table.Expire(now, budget)
		requireLittleWork(t, before, l.table.flows.Work, 0, budget)
		require.LessOrEqual(t, used-l.table.sessions.Used, budget)
		if !more {
			break
		}
		if calls%1000 == 0 {
			require.Equal(t, NoSession, l.answer(2000, "A", now), "packets are judged meanwhile")
		}
	}
	drain(l.table, now+store.PoolRest)
	require.Zero(t, l.table.Stats().Sessions)
	table, heap := memory()
	require.LessOrEqual(t, table, tableBefore+2*store.HugePage)
	require.LessOrEqual(t, heap, heapBefore+1<<20)
	t.Logf("table: %d KiB with one session, %d KiB with %d, %d KiB after", tableBefore>>10, tableFull>>10, sessions, table>>10)

	v, _ = l.send(0, packet.FlagSYN, now+store.PoolRest)
	require.Equal(t, Forwarded, v)
}
