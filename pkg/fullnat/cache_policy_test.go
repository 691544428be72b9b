package fullnat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
