package fullnat

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// counting lets a lab's link count what it gave out and has not got back.
func counting(t *testing.T, l *lab) map[netip.AddrPort]int {
	t.Helper()
	out := map[netip.AddrPort]int{}
	l.config.Links[0].Pick = func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { out[l.target]++; return l.target, true }
	l.config.Links[0].Ended = func(target netip.AddrPort) { out[target]-- }
	l.configure(t)
	return out
}

// configure puts the config in force anew.
func (l *lab) configure(t *testing.T) {
	cfg := *l.config
	cfg.Links = append([]Link(nil), cfg.Links...)
	require.NoError(t, l.table.Configure(&cfg, 0))
}

func TestEveryTargetIsToldToHaveEndedOnce(t *testing.T) {
	one, two := netip.MustParseAddrPort("192.168.0.1:80"), netip.MustParseAddrPort("192.168.0.2:80")
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, l *lab)
	}{
		{"when its session was silent for too long", func(t *testing.T, l *lab) { drain(l.table, time.Hour) }},
		{"when its link is gone", func(t *testing.T, l *lab) {
			l.config.Links = nil
			l.configure(t)
			drain(l.table, 0)
		}},
		{"when its connection is not connected any more", func(t *testing.T, l *lab) {
			l.config.Links[0].Connected = false
			l.configure(t)
			drain(l.table, 0)
		}},
		{"when its sessions are cut", func(t *testing.T, l *lab) {
			cutAll(l, func(string, netip.AddrPort) Fate { return Ends })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, 100)
			sessions := counting(t, l)
			for n := range 10 {
				l.target = one
				if n >= 7 {
					l.target = two
				}
				l.open(t, n, 0)
			}
			require.Equal(t, map[netip.AddrPort]int{one: 7, two: 3}, sessions)
			tt.end(t, l)
			require.Equal(t, map[netip.AddrPort]int{one: 0, two: 0}, sessions)
		})
	}
	t.Run("when its session could not start", func(t *testing.T) {
		l := newLab(t, 100)
		l.config.PortsPerTarget = 1
		sessions := counting(t, l)
		l.open(t, 0, 0)
		v, _ := l.send(1, packet.FlagSYN, 0)
		require.Equal(t, NoNATPort, v)
		l.target = netip.MustParseAddrPort("127.0.0.1:80")
		v, _ = l.send(2, packet.FlagSYN, 0)
		require.Equal(t, NoBackend, v)
		require.Equal(t, map[netip.AddrPort]int{one: 1, l.target: 0}, sessions)
	})
}

// cutAll cuts in steps as small as they can be.
func cutAll(l *lab, fate func(string, netip.AddrPort) Fate) (found int) {
	for walk := (Walk{}); !walk.Done(); {
		var n int
		n, walk = l.table.Cut(walk, 1, 0, fate)
		found += n
	}
	return found
}

func TestCutRemovesTheSessionsOfOneTarget(t *testing.T) {
	l := newLab(t, 1000)
	one, two := netip.MustParseAddrPort("192.168.0.1:80"), netip.MustParseAddrPort("192.168.0.2:80")
	for n := range 100 {
		l.target = one
		if n%3 == 0 {
			l.target = two
		}
		l.open(t, n, 0)
	}
	require.Equal(t, 34, cutAll(l, ofTarget("web", two, Ends)))
	for n := range 100 {
		want := Forwarded
		if n%3 == 0 {
			want = NoSession
		}
		v, _ := l.send(n, packet.FlagACK, 0)
		require.Equal(t, want, v, "consumer %d", n)
	}
	require.Equal(t, 66, l.table.Stats().Sessions)
	require.Zero(t, cutAll(l, ofTarget("other", one, Ends)))
}

// ofTarget is the fate of the sessions of a link's target.
func ofTarget(link string, target netip.AddrPort, fate Fate) func(string, netip.AddrPort) Fate {
	return func(l string, t netip.AddrPort) Fate {
		if l == link && t == target {
			return fate
		}
		return Stays
	}
}

func TestADoubtedSessionIsJudgedWhenItsNextPacketComes(t *testing.T) {
	l := newLab(t, 100)
	asked, lost := 0, false
	l.config.Links[0].Lost = func(target netip.AddrPort) bool {
		require.Equal(t, l.target, target)
		asked++
		return lost
	}
	l.configure(t)
	l.open(t, 0, 0)
	doubt := ofTarget("web", l.target, Doubted)
	require.Equal(t, 1, cutAll(l, doubt))
	require.Zero(t, asked, "no packet has come")
	for range 3 {
		v, _ := l.send(0, packet.FlagACK, 0)
		require.Equal(t, Forwarded, v)
	}
	require.Equal(t, 1, asked, "then nobody doubts it any more")
	require.Equal(t, 1, cutAll(l, doubt))
	lost = true
	require.Equal(t, 1, l.table.Stats().Sessions)
	v, _ := l.send(0, packet.FlagACK, 0)
	require.Equal(t, NoSession, v)
	require.Zero(t, l.table.Stats().Sessions)
	l.open(t, 0, 0)
	v, _ = l.send(0, packet.FlagACK, 0)
	require.Equal(t, Forwarded, v)
}
