package fullnat

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

func TestHalfOpenSessionsGiveWayWhenTheTableIsFull(t *testing.T) {
	l := newLab(t, 100)
	for n := range 60 {
		l.open(t, n, 0)
	}
	t.Run("nat 21: a flood of SYNs finds room as long as it lasts", func(t *testing.T) {
		for n := range 1000 {
			v, _ := l.send(1000+n, packet.FlagSYN, 0)
			require.Equal(t, Forwarded, v)
		}
		stats := l.table.Stats()
		require.Equal(t, 100, stats.Sessions)
		require.Equal(t, 40, stats.HalfOpen)
		require.Equal(t, 40, stats.Links[0].HalfOpen)
		require.EqualValues(t, 960, stats.Links[0].Evicted)
	})
	t.Run("nat 21: those that are confirmed stay", func(t *testing.T) {
		for n := range 60 {
			v, _ := l.send(n, packet.FlagACK, 0)
			require.Equal(t, Forwarded, v)
		}
	})
	t.Run("nat 21: an honest consumer gets in during the flood", func(t *testing.T) {
		_, port := l.send(100, packet.FlagSYN, 0)
		for n := range 39 {
			l.send(2000+n, packet.FlagSYN, 0)
		}
		require.Equal(t, Forwarded, l.answer(port, "SA", 0))
		v, _ := l.send(100, packet.FlagACK, 0)
		require.Equal(t, Forwarded, v)
		for n := range 1000 {
			l.send(3000+n, packet.FlagSYN, 0)
		}
		v, _ = l.send(100, packet.FlagACK, 0)
		require.Equal(t, Forwarded, v)
	})
	t.Run("nat 21: all that it took comes back", func(t *testing.T) {
		drain(l.table, DefaultTimers.Opening)
		require.Zero(t, l.table.Stats().HalfOpen)
		require.Zero(t, l.table.Stats().Links[0].HalfOpen)
		require.Equal(t, 61, l.table.Stats().Sessions)
		require.Equal(t, store.HalfOpenList{}, l.table.half.Table)
	})
}

func TestHalfOpenSessionsGiveTheirMemoryBack(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	const sessions = 300_000
	l := newLab(t, sessions)
	for round := range 2 {
		now := time.Duration(round) * time.Hour
		for n := range sessions {
			l.targetForBenchmark(n)
			v, _ := l.send(n, packet.FlagSYN, now)
			require.Equal(t, Forwarded, v)
		}
		require.Greater(t, resident(t, l.table.half.Mapped), sessions*int(unsafe.Sizeof(store.HalfOpen{})))
		drain(l.table, now+DefaultTimers.Opening)
		require.Less(t, resident(t, l.table.half.Mapped), 2*store.HugePage, "round %d", round)
	}
}

func TestHalfOpenLimitOfTheTable(t *testing.T) {
	table, err := New(Options{MaxSessions: 100, MaxHalfOpen: 3, Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	l := newLab(t, 100)
	l.table = table
	require.NoError(t, table.Configure(l.config, 0))
	for n := range 10 {
		v, _ := l.send(n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v, "nat 21")
	}
	require.Equal(t, 3, table.Stats().HalfOpen)
	require.Equal(t, 3, table.Stats().Sessions)
	_, err = New(Options{MaxHalfOpen: -1})
	require.EqualError(t, err, "a limit of -1 half-open sessions: want 1 to 536870912, or 0 for as many as sessions")
}
