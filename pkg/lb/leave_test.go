package lb_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// running is a group with a checker and what it told to cut, in a bubble.
type running struct {
	*lb.Group
	host  *host
	cuts  []string // with a ? where they are doubts
	start time.Time
	stop  func()
}

func run(t *testing.T, config topology.ServerGroup) *running {
	r := &running{Group: lb.NewGroup(config), host: &host{errs: map[string]error{}}, start: time.Now()}
	r.check(t)
	synctest.Wait()
	return r
}

func (r *running) check(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	r.stop = func() { cancel(); <-done }
	note := func(word string) func(s netip.AddrPort) {
		return func(s netip.AddrPort) {
			r.cuts = append(r.cuts, fmt.Sprintf("%s at %s%s", s.Addr(), time.Since(r.start), word))
		}
	}
	c := &lb.Checker{Group: r.Group, Dial: r.host.dial, Cut: note(""), Doubt: note("?")}
	go func() { defer close(done); c.Run(ctx) }()
}

func (r *running) update(t *testing.T, config topology.ServerGroup) {
	r.stop()
	r.Update(config, time.Now())
	r.check(t)
	synctest.Wait()
}

// words are the states of all servers as AWS says them.
func (r *running) words() (out []string) {
	for _, h := range r.Health() {
		state, _ := h.Words("aws", "nlb")
		out = append(out, state)
	}
	return out
}

func TestASessionOutlivesItsServersDeregistration(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rule  topology.Leaving
		cuts  []string
		after []string // states when the delay is over
	}{
		{"to be removed after the delay", topology.Leaving{Delay: 300 * time.Second, Terminate: true},
			[]string{"192.168.24.1 at 5m0s"}, []string{"healthy", "unused"}},
		{"to go on until it ends", topology.Leaving{Delay: 300 * time.Second}, nil, []string{"healthy", "unused"}},
		{"to be removed at once", topology.Leaving{Terminate: true}, []string{"192.168.24.1 at 0s"},
			[]string{"healthy", "unused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				two := groupOf("rr", "tcp", 1, 1)
				two.Deregistration = tt.rule
				r := run(t, two)
				defer func() { r.stop() }()
				p := r.Picker("")
				require.Equal(t, "ab", pickNames(p, 2))
				one := two
				one.Servers = two.Servers[:1]
				r.update(t, one)
				require.Equal(t, "aa", pickNames(p, 2), "no new sessions")
				if tt.rule.Delay > 0 {
					require.Equal(t, []string{"healthy", "draining"}, r.words())
				}
				time.Sleep(301 * time.Second)
				synctest.Wait()
				require.Equal(t, tt.cuts, r.cuts)
				require.Equal(t, tt.after, r.words(), "while a session is left, one sees whose")
				require.True(t, p.Ended(address(1)))
				require.Equal(t, []string{"healthy"}, r.words())
			})
		})
	}
}

func TestAServerThatComesBackIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		two := groupOf("wlc", "tcp", 1, 1)
		two.Deregistration = topology.Leaving{Delay: time.Minute, Terminate: true}
		r := run(t, two)
		defer func() { r.stop() }()
		p := r.Picker("")
		pickNames(p, 4)
		one := two
		one.Servers = two.Servers[:1]
		r.update(t, one)
		pickNames(p, 2)
		time.Sleep(30 * time.Second)
		r.update(t, two)
		require.Equal(t, "bb", pickNames(p, 2), "its old sessions count: 4 and 2")
		time.Sleep(time.Hour)
		require.Empty(t, r.cuts)
		for range 4 {
			require.True(t, p.Ended(address(1)))
		}
		require.Equal(t, 0, r.Health()[1].Sessions)
	})
}

func TestWhatBecomesOfSessionsOfUnhealthyServers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		rule     topology.Leaving
		failOpen bool
		all      bool // fail
		cuts     []string
		state    string
	}{
		// Checks at 2 s, 4 s and 6 s fail.
		{"they are removed at once", topology.Leaving{Terminate: true}, false, false, []string{"192.168.24.0 at 6s"},
			"unhealthy"},
		{"they are removed after a delay", topology.Leaving{Delay: 20 * time.Second, Terminate: true}, false, false,
			[]string{"192.168.24.0 at 26s"}, "unhealthy"},
		{"they go on", topology.Leaving{}, false, false, nil, "unhealthy"},
		{"those of the last go on where the group opens", topology.Leaving{Terminate: true}, true, true,
			[]string{"192.168.24.1 at 6s?"}, "unhealthy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := groupOf("rr", "tcp", 1, 1)
				config.Unhealthy, config.FailOpen = tt.rule, tt.failOpen
				r := run(t, config)
				defer func() { r.stop() }()
				pickNames(r.Picker(""), 4)
				if tt.all {
					r.host.set("192.168.24.1:80", syscall.ECONNREFUSED)
					time.Sleep(20 * time.Second)
				}
				r.host.set("192.168.24.0:80", syscall.ECONNREFUSED)
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, tt.cuts, r.cuts)
				require.Equal(t, tt.state, r.words()[0])
			})
		})
	}
}

func TestSessionsEndByWhatIsSoWhenAPacketComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := groupOf("rr", "tcp", 1, 1)
		config.Unhealthy, config.FailOpen = topology.Leaving{Terminate: true}, true
		r := run(t, config)
		defer func() { r.stop() }()
		p := r.Picker("")
		pickNames(p, 4)
		lost := func(server int) bool {
			lost, given := p.Lost(address(server))
			require.True(t, given)
			return lost
		}
		require.False(t, lost(0))
		r.host.set("192.168.24.0:80", syscall.ECONNREFUSED)
		time.Sleep(21 * time.Second) // checks are at even seconds
		require.True(t, lost(0), "the other one serves")
		require.False(t, lost(1))
		r.host.set("192.168.24.1:80", syscall.ECONNREFUSED)
		time.Sleep(20 * time.Second)
		require.False(t, lost(0), "all have failed, so all serve")
		require.False(t, lost(1))
		r.host.set("192.168.24.1:80", nil)
		time.Sleep(20 * time.Second)
		require.True(t, lost(0), "one serves again")
		require.False(t, lost(1))
		_, given := p.Lost(netip.MustParseAddrPort("192.0.2.1:80"))
		require.False(t, given)
		synctest.Wait()
		require.Equal(t, []string{"192.168.24.0 at 6s?", "192.168.24.0 at 46s?"}, r.cuts)
	})
}

func TestAServerThatRecoversInTimeKeepsItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := groupOf("rr", "tcp", 1, 1)
		config.Unhealthy = topology.Leaving{Delay: time.Minute, Terminate: true}
		r := run(t, config)
		defer func() { r.stop() }()
		r.host.set("192.168.24.0:80", errors.New("no route"))
		time.Sleep(30 * time.Second)
		require.Equal(t, []string{"unhealthy.draining", "healthy"}, r.words())
		r.host.set("192.168.24.0:80", nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"healthy", "healthy"}, r.words())
		require.Empty(t, r.cuts)
	})
}
