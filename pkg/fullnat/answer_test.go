package fullnat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func TestAnswersAreLimited(t *testing.T) {
	newTable := func(t *testing.T) *lab {
		l := newLab(t, 10)
		b := &l.config.Links[0].Behaviour
		b.ReportTTL, b.ResetStray = true, true
		require.NoError(t, l.table.Configure(l.config, 0))
		return l
	}
	t.Run("nat 31: ICMP errors", func(t *testing.T) {
		l := newTable(t)
		l.pristine[packet.L3+8] = 1 // TTL
		for n := range 10 * icmpBurst {
			v, _ := l.send(n, packet.FlagSYN, 0)
			require.Equal(t, TTLExpired, v, "what is dropped does not depend on who is told")
		}
		require.Equal(t, Answers{ICMP: icmpBurst, Limited: 9 * icmpBurst}, l.table.Stats().Answers)
		require.Len(t, l.table.Pending(), icmpBurst)
		// A thousand in a second: one in a millisecond.
		for n := range 10 {
			l.send(n, packet.FlagSYN, time.Millisecond)
		}
		require.Len(t, l.table.Pending(), 1)
	})
	t.Run("nat 18: RSTs, of which a flood needs no more memory than others", func(t *testing.T) {
		l := newTable(t)
		for n := range 2 * resetBurst {
			v, _ := l.send(n, packet.FlagRST|packet.FlagACK, 0)
			require.Equal(t, NoSession, v)
		}
		require.Zero(t, l.table.Stats().Answers)
		frame := message{protocol: "tcp", ttl: 64, flags: "A", src: l.target, dst: l.config.Links[0].Match}.frame(1)
		for range 2 * resetBurst {
			forward(l.table, []packet.Frame{frame}, make([]Verdict, 1), 0)
		}
		require.Equal(t, Answers{Resets: resetBurst, Limited: resetBurst}, l.table.Stats().Answers)
		require.Len(t, l.table.Pending(), resetBurst)
	})
}

func TestBucket(t *testing.T) {
	var b bucket
	b.init(10, 3)
	take := func(ticks int64) (n int) {
		for b.take(ticks) {
			n++
		}
		return n
	}
	require.Equal(t, 3, take(0), "it is full at first")
	require.Equal(t, 0, take(99))
	require.Equal(t, 1, take(100), "what 99 left counts")
	require.Equal(t, 2, take(300))
	require.Equal(t, 3, take(1<<62), "a pause of any length fills it and no more")
}

func TestLinksRefuseImpossibleBehaviour(t *testing.T) {
	for _, tt := range []struct {
		name string
		is   Behaviour
		want string
	}{
		{"a negative timer", Behaviour{Timers: Timers{Opening: -time.Second}}, `link "web": the opening timer is -1s: want more than 0 and at most 576h0m0s`},
		{"a negative limit", Behaviour{MaxSessions: -1}, `link "web": its limit is -1 sessions: want 1 or more, or 0 for none`},
		{"a negative limit of half-open sessions", Behaviour{MaxHalfOpen: -1}, `link "web": its limit is -1 half-open sessions: want 1 or more, or 0 for none`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, 10)
			l.config.Links[0].Behaviour = tt.is
			require.EqualError(t, l.table.Configure(l.config, 0), tt.want)
		})
	}
}
