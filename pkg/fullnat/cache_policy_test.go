package fullnat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// newChoosyLab is a lab with a modelCache that gets what is worth it.
func newChoosyLab(t testing.TB) (l *lab, m *modelCache) {
	l = newLab(t, 100_000)
	m = cached(l.table)
	m.table.cache.All, m.table.cache.watched = false, store.WatchBytes
	return l, m
}

func TestSessionsThatEndSoonAreNotCached(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	l, m := newChoosyLab(t)
	for n := range 20_000 {
		now := time.Duration(n) * 10 * time.Microsecond
		l.open(t, n, now)
		for range 4 {
			l.send(n, packet.FlagACK, now)
		}
		l.send(n, packet.FlagRST, now)
	}
	require.Zero(t, l.table.Stats().Cache)
	require.Empty(t, m.slots)
}

func TestASessionThatCarriesMuchIsCached(t *testing.T) {
	for _, tt := range []struct {
		name string
		pace time.Duration // between segments of 10,000 bytes
		want bool
	}{
		{"100 Mbit/s", 800 * time.Microsecond, true},
		{"10 Mbit/s", 8 * time.Millisecond, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialogues(t, Behaviour{}, 1)
			d.ends[0].window, d.ends[1].window = 65535, 65535
			m := cached(d.table)
			m.table.cache.All, m.table.cache.watched = false, store.WatchBytes
			d.begin(0)
			d.ends[0].window, d.ends[1].window = 65535, 65535
			d.open("established")
			send := func(packets int) {
				for range packets {
					d.now += tt.pace
					d.send(store.ToProvider, "A", 10_000)
					d.hear(store.ToConsumer)
					d.send(store.ToConsumer, "A", 0)
				}
			}
			send(200)
			require.Equal(t, tt.want, d.table.Stats().Cache.Sessions == 1)
			require.Equal(t, tt.want, m.hits > 0)

			// When it carries little, it gives its place back.
			d.now += 10 * time.Second
			for range 40 {
				d.now += 100 * time.Millisecond
				d.send(store.ToProvider, "A", 1)
				m.table.Settle(func() bool { return true })
			}
			require.Zero(t, d.table.Stats().Cache.Sessions)
		})
	}
}

func TestSmallPacketsAreCachedWhereSeveralSendThem(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	for _, tt := range []struct {
		name  string
		other int // the second session: 1 is of the same client, and 1<<15 of another one
		pace  time.Duration
		want  int
	}{
		{"one sender", 1, time.Microsecond, 0},
		{"two", 1 << 15, time.Microsecond, 2},
		{"two slow ones", 1 << 15, 100 * time.Microsecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := newChoosyLab(t)
			l.open(t, 0, 0)
			l.open(t, tt.other, 0)
			now := time.Duration(0)
			send := func(packets int, sessions ...int) {
				for range packets {
					for _, n := range sessions {
						now += tt.pace
						l.send(n, packet.FlagACK, now)
					}
				}
			}
			send(200_000, 0, tt.other)
			require.Equal(t, tt.want, l.table.Stats().Cache.Sessions)
			send(2_000_000/int(1+tt.pace/time.Microsecond), 0)
			now += 3 * time.Second
			for range 30 {
				now += 100 * time.Millisecond
				send(1, 0)
			}
			require.Zero(t, l.table.Stats().Cache.Sessions, "one who is alone is faster through userspace")
		})
	}
}

// BenchmarkCacheOfNone is what a flow cache costs those that do not use it: plain
// segments of 10,000 sessions, and sessions that open and end.
func BenchmarkCacheOfNone(b *testing.B) {
	for _, cache := range []string{"off", "auto"} {
		b.Run("packets/cache="+cache, func(b *testing.B) {
			l := newLabWith(b, Options{MaxSessions: 10_000, Seed: 1, Reserve: true})
			l.openForBenchmark(b, 10_000)
			l.choose(cache)
			const burst = 64
			t := newTraffic(l, burst)
			random := uint64(1)
			for b.Loop() {
				for i := range t.frames {
					random = random*6364136223846793005 + 1442695040888963407
					t.set(i, uint32(random>>33*10_000>>31), packet.FlagACK)
				}
				l.table.Forward(t.frames, t.verdicts, time.Second)
				l.table.Settle(func() bool { return true })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/packet")
		})
		b.Run("sessions/cache="+cache, func(b *testing.B) {
			l := newLab(b, 10_000)
			l.choose(cache)
			n, now := 0, time.Duration(0)
			for b.Loop() {
				now += 10 * time.Microsecond
				_, port := l.send(n%10_000, packet.FlagSYN, now)
				l.answer(port, "SA", now)
				l.send(n%10_000, packet.FlagACK, now)
				l.answer(port, "A", now)
				l.send(n%10_000, packet.FlagRST, now)
				l.table.Settle(func() bool { return true })
				l.table.Expire(now, 16)
				n++
			}
			require.Zero(b, l.table.Stats().Cache)
		})
	}
}

// choose gives the table a cache for what is worth it.
func (l *lab) choose(cache string) {
	if cache == "auto" {
		cached(l.table)
		models.Delete(l.table) // the benchmark calls the table itself
		l.table.cache.All, l.table.cache.watched = false, store.WatchBytes
	}
}
