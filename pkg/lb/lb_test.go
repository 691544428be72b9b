package lb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 24, byte(i)}), 80)
}

// flow is one of many that a client may begin.
func flow(i int) packet.FiveTuple {
	return packet.FiveTuple{
		Src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(20000+i)),
		Dst: netip.MustParseAddrPort("10.0.0.77:80"),
	}
}

// groupOf has a server for each weight.
func groupOf(scheduler topology.Scheduler, check topology.Protocol, weights ...int) topology.ServerGroup {
	g := topology.ServerGroup{
		Name: "rs1", Scheduler: scheduler, Protocol: "tcp",
		HealthCheck: topology.HealthCheck{Protocol: check, Interval: 2 * time.Second, Timeout: 5 * time.Second,
			Healthy: 3, Unhealthy: 3},
	}
	for i, w := range weights {
		g.Servers = append(g.Servers, topology.Server{
			Instance: fmt.Sprintf("vpc2/ecs%d", i), IP: address(i).Addr(), Port: 80, Weight: w,
		})
	}
	return g
}

func pickNames(p *lb.Picker, n int) string {
	out := ""
	for i := range n {
		addr, ok := p.Pick(flow(i), 0)
		if !ok {
			return out + "-"
		}
		out += string(rune('a' + addr.Addr().As4()[3]))
	}
	return out
}

func TestPick(t *testing.T) {
	for _, tt := range []struct {
		name      string
		scheduler topology.Scheduler
		weights   []int
		want      string
	}{
		{"no server", "wrr", nil, "-"},
		{"one server gets everything", "wrr", []int{100}, "aaaa"},
		{"equal weights take turns", "wrr", []int{100, 100}, "abab"},
		{"a heavy server is spread over the round", "wrr", []int{5, 1, 1}, "aabacaaaabacaa"},
		{"weight 0 gets no session", "wrr", []int{1, 0, 1}, "acac"},
		{"every weight 0 is no server", "wrr", []int{0, 0}, "-"},
		{"round robin ignores weights", "rr", []int{100, 1}, "abab"},
		{"round robin leaves out weight 0", "rr", []int{100, 0}, "aaaa"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := lb.NewGroup(groupOf(tt.scheduler, "none", tt.weights...)).Picker("")
			require.Equal(t, tt.want, pickNames(p, len(tt.want)))
		})
	}
}

func TestPickKeepsToTheZone(t *testing.T) {
	config := groupOf("wrr", "none", 1, 1, 1)
	for i, zone := range []string{"h", "i", "h"} {
		config.Servers[i].Zone = zone
	}
	g := lb.NewGroup(config)
	require.Equal(t, "acac", pickNames(g.Picker("h"), 4))
	require.Equal(t, "bb", pickNames(g.Picker("i"), 2))
	require.Equal(t, "-", pickNames(g.Picker("j"), 1))
	require.Equal(t, "abcabc", pickNames(g.Picker(""), 6), "every picker has its own turn")
}

// TestPickSharesByWeight compares every round with the naive way to say it: a
// server of weight w is w times in a list of which each entry is used once. It
// also holds the order to be smooth: no server is ever more than one session
// ahead of its share.
func TestPickSharesByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 100), 1, 8).Draw(t, "weights")
		p := lb.NewGroup(groupOf("wrr", "none", weights...)).Picker("")
		var naive []netip.AddrPort
		for i, w := range weights {
			for range w {
				naive = append(naive, address(i))
			}
		}
		got := map[netip.AddrPort]int{}
		for n := 1; n <= len(naive); n++ {
			addr, ok := p.Pick(flow(n), 0)
			require.True(t, ok)
			got[addr]++
			share := float64(n*weights[addr.Addr().As4()[3]]) / float64(len(naive))
			require.Less(t, float64(got[addr]), share+float64(len(weights)))
		}
		want := map[netip.AddrPort]int{}
		for _, addr := range naive {
			want[addr]++
		}
		require.Equal(t, want, got)
	})
}

func TestPickWhileHealthChanges(t *testing.T) {
	g := lb.NewGroup(groupOf("wrr", "tcp", 1, 1))
	p := g.Picker("")
	g.Report(address(0), nil, epoch)
	var reporter sync.WaitGroup
	reporter.Go(func() {
		for i := range 3000 {
			var result error
			if i%6 < 3 {
				result = errors.New("down")
			}
			g.Report(address(1), result, epoch)
		}
	})
	for range 100_000 {
		if addr, ok := p.Pick(flow(0), 0); !ok || !p.Ended(addr) {
			t.Fatal("the first server is healthy all the time")
		}
	}
	reporter.Wait()
}

func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		name    string
		results string // + passed, - failed
		states  string // after each: i initial, H healthy, U unhealthy
	}{
		{"the first success is enough", "+", "H"},
		{"the first failures are not the end", "--", "ii"},
		{"the third in a row is", "---", "iiU"},
		{"nor are more of them, until the first success", "----+", "iiUUH"},
		{"a healthy server survives two failures", "+--+--", "HHHHHH"},
		{"three failures in a row end it", "+---", "HHHU"},
		{"a server that was healthy needs three successes in a row", "+---++-+++", "HHHUUUUUUH"},
		{"and then three failures again", "+---+++---", "HHHUUUHHHU"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := lb.NewGroup(groupOf("wrr", "tcp", 1))
			require.Equal(t, "not checked yet", g.Health()[0].Reason)
			before := byte('i')
			for i := range tt.results {
				var result error
				if tt.results[i] == '-' {
					result = errors.New("connection refused")
				}
				changed := g.Report(address(0), result, epoch.Add(time.Duration(i)*time.Second))
				h := g.Health()[0]
				want := map[byte]lb.State{'i': lb.Initial, 'H': lb.Healthy, 'U': lb.Unhealthy}[tt.states[i]]
				require.Equal(t, want, h.State, "after result %d", i+1)
				require.Equal(t, want == lb.Healthy, h.Healthy, "after result %d", i+1)
				require.Equal(t, tt.states[i] != before, changed, "after result %d", i+1)
				require.EqualValues(t, i+1, h.Checks)
				_, ok := g.Picker("").Pick(flow(0), 0)
				require.Equal(t, h.Healthy, ok, "only healthy servers are picked")
				if changed {
					require.Equal(t, epoch.Add(time.Duration(i)*time.Second), h.Since)
				}
				if !h.Healthy {
					require.Equal(t, "connection refused", h.Reason)
				}
				before = tt.states[i]
			}
		})
	}
}

func TestChangedTellsOfStatesAndOfTheGroup(t *testing.T) {
	g := lb.NewGroup(groupOf("wrr", "tcp", 1))
	isClosed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	changed := g.Changed()
	g.Report(address(0), errors.New("down"), epoch)
	require.False(t, isClosed(changed), "still initial")
	g.Report(address(0), nil, epoch)
	require.True(t, isClosed(changed))
	changed = g.Changed()
	g.Update(groupOf("wrr", "tcp", 1, 1), epoch)
	require.True(t, isClosed(changed))
}

func TestReportOfAServerThatIsGone(t *testing.T) {
	g := lb.NewGroup(groupOf("wrr", "tcp", 1))
	require.False(t, g.Report(address(9), nil, epoch))
}

func TestUpdate(t *testing.T) {
	g := lb.NewGroup(groupOf("wrr", "tcp", 1, 1))
	p := g.Picker("")
	g.Report(address(0), nil, epoch)
	g.Report(address(1), nil, epoch)
	require.Equal(t, "ab", pickNames(p, 2))

	g.Update(groupOf("wrr", "tcp", 1, 3, 1), epoch)
	require.Equal(t, "babbbabb", pickNames(p, 8), "new weights count at once, and a new server has to be checked first")
	require.True(t, g.Health()[0].Healthy)
	require.False(t, g.Health()[2].Healthy)

	changed := groupOf("wrr", "tcp", 1, 3, 1)
	changed.HealthCheck.Port = 81
	g.Update(changed, epoch)
	require.Equal(t, "-", pickNames(p, 1), "what another check found says nothing about this one")
}

// host answers probes as a table says, and keeps count.
type host struct {
	mu     sync.Mutex
	errs   map[string]error // by address; no entry: accepts
	dialed []string
	resets int
}

func (h *host) set(address string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs[address] = err
}

func (h *host) dial(ctx context.Context, network, address string) (net.Conn, error) {
	h.mu.Lock()
	h.dialed = append(h.dialed, network+" "+address)
	err := h.errs[address]
	h.mu.Unlock()
	switch {
	case errors.Is(err, errSilent):
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	case err != nil:
		return nil, &net.OpError{Op: "dial", Err: err}
	}
	return &conn{host: h}, nil
}

var errSilent = errors.New("silent")

type conn struct {
	net.Conn
	host   *host
	linger int
	set    bool
}

func (c *conn) SetLinger(sec int) error { c.linger, c.set = sec, true; return nil }

func (c *conn) Close() error {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if c.set && c.linger == 0 {
		c.host.resets++
	}
	return nil
}

func TestChecker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := lb.NewGroup(groupOf("wrr", "tcp", 1, 1))
		h := &host{errs: map[string]error{"192.168.24.1:80": syscall.ECONNREFUSED}}
		changes := make(chan lb.ServerHealth, 10)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		c := &lb.Checker{Group: group, Dial: h.dial, Changed: func(_ lb.State, s lb.ServerHealth) { changes <- s }}
		start := time.Now()
		go func() { defer close(done); c.Run(ctx) }()
		synctest.Wait()
		require.ElementsMatch(t, []string{"tcp 192.168.24.0:80", "tcp 192.168.24.1:80"}, h.dialed,
			"everybody is checked at once")
		first := <-changes
		require.Equal(t, "vpc2/ecs0", first.Instance)
		require.True(t, first.Healthy)
		require.Equal(t, start, first.Since)
		h.mu.Lock()
		require.Equal(t, 1, h.resets, "a probe ends with a reset")
		h.mu.Unlock()
		require.Equal(t, "connection refused", group.Health()[1].Reason)

		second := <-changes
		require.Equal(t, "vpc2/ecs1", second.Instance)
		require.Equal(t, lb.Unhealthy, second.State)
		require.Equal(t, 2*time.Second, time.Since(start),
			"who was never healthy is probed every second until that is known")

		synctest.Wait() // for the probe of the other server that starts now as well
		h.set("192.168.24.0:80", errSilent)
		third := <-changes
		require.Equal(t, "vpc2/ecs0", third.Instance)
		require.Equal(t, "no answer within 5s", third.Reason)
		// Probes start at 4 s, then whenever the one before has ended and a tick is there.
		require.Equal(t, 19*time.Second, time.Since(start))

		h.set("192.168.24.1:80", nil)
		fourth := <-changes
		require.Equal(t, "vpc2/ecs1", fourth.Instance)
		require.True(t, fourth.Healthy)

		cancel()
		<-done
		checks := group.Health()[0].Checks
		time.Sleep(time.Minute)
		require.Equal(t, checks, group.Health()[0].Checks, "a stopped checker checks nothing")
	})
}

// A zone that nothing reached is probed at once when it is back, and soon again where its server
// was never healthy, however long the interval is.
func TestAServerIsProbedAtOnceWhenItsZoneIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := groupOf("wrr", "tcp", 1, 1)
		config.HealthCheck.Interval = time.Minute
		config.Servers[0].Zone, config.Servers[1].Zone = "h", "i"
		group := lb.NewGroup(config)
		away := map[string]string{"i": "host b does not answer"}
		group.SetAway(away, time.Now())
		h := &host{errs: map[string]error{"192.168.24.1:80": syscall.ECONNREFUSED}}
		told := 0
		go (&lb.Checker{Group: group, Dial: h.dial, Changed: func(_ lb.State, s lb.ServerHealth) { told++ }}).Run(t.Context())
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		require.Equal(t, 1, told, "of the server that is there; a zone that is not to be had is no news of each check")
		group.SetAway(nil, time.Now())
		time.Sleep(time.Second / 2)
		require.False(t, group.Health()[1].Healthy)
		h.set("192.168.24.1:80", nil)
		time.Sleep(time.Second)
		require.True(t, group.Health()[1].Healthy, "of a program that was coming up")

		// Of a server that was healthy, thresholds hold.
		group.SetAway(away, time.Now())
		h.set("192.168.24.1:80", syscall.ECONNREFUSED)
		time.Sleep(10 * time.Minute)
		h.set("192.168.24.1:80", nil)
		group.SetAway(nil, time.Now())
		time.Sleep(time.Second)
		require.False(t, group.Health()[1].Healthy)
		time.Sleep(time.Duration(config.HealthCheck.Healthy-1) * time.Minute)
		require.True(t, group.Health()[1].Healthy, "the first of them was at once")
	})
}

func TestCheckerUsesThePortOfTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := groupOf("wrr", "tcp", 1)
		config.HealthCheck.Port = 8080
		h := &host{}
		ctx, cancel := context.WithCancel(t.Context())
		go (&lb.Checker{Group: lb.NewGroup(config), Dial: h.dial}).Run(ctx)
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.Equal(t, []string{"tcp 192.168.24.0:8080"}, h.dialed)
	})
}

func TestCheckerOfAGroupWithoutCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		(&lb.Checker{Group: lb.NewGroup(groupOf("wrr", "none", 1)), Dial: h.dial}).Run(ctx)
		require.Empty(t, h.dialed)
	})
}

func TestCheckerOnRealSockets(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := netip.MustParseAddrPort(ln.Addr().String())
	config := topology.ServerGroup{
		Servers: []topology.Server{{IP: at.Addr(), Port: at.Port(), Weight: 1}},
		HealthCheck: topology.HealthCheck{Protocol: "tcp", Interval: 10 * time.Millisecond, Timeout: 5 * time.Second,
			Unhealthy: 2},
	}
	changes := make(chan lb.ServerHealth)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	c := &lb.Checker{Group: lb.NewGroup(config), Dial: (&net.Dialer{}).DialContext,
		Changed: func(_ lb.State, s lb.ServerHealth) { changes <- s }}
	go func() { defer close(done); c.Run(ctx) }()
	require.True(t, (<-changes).Healthy)
	require.NoError(t, ln.Close())
	down := <-changes
	require.False(t, down.Healthy)
	require.Equal(t, "connection refused", down.Reason)
	cancel()
	<-done
}

func TestServersThatAreAway(t *testing.T) {
	for _, tt := range []struct {
		name     string
		check    topology.Protocol
		failOpen bool
		healthy  []bool // by server: of zones h, i, i
		want     []int  // the servers that take sessions
	}{
		{"they take none while others do", "tcp", false, []bool{true, true, true}, []int{0}},
		{"nor where nothing is checked", topology.NoProtocol, false, nil, []int{0}},
		{"nor where the group opens when it fails", "tcp", true, []bool{false, true, true}, []int{0}},
		{"and nobody takes their place", "tcp", false, []bool{false, true, true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := groupOf("rr", "tcp", 1, 1, 1)
			config.FailOpen = tt.failOpen
			config.HealthCheck = topology.HealthCheck{Protocol: tt.check, Healthy: 1, Unhealthy: 1}
			for i, zone := range []string{"h", "i", "i"} {
				config.Servers[i].Zone = zone
			}
			g := lb.NewGroup(config)
			picker := g.Picker("")
			for i, healthy := range tt.healthy {
				var result error
				if !healthy {
					result = errors.New("no answer")
				}
				g.Report(address(i), result, epoch)
			}
			picked := func() (who []int) {
				for i := range 3 {
					for range 6 {
						if server, ok := picker.Pick(packet.FiveTuple{}, 0); ok && server == address(i) && !slices.Contains(who, i) {
							who = append(who, i)
						}
					}
				}
				return who
			}
			before := picked()
			g.SetAway(map[string]string{"i": "host b does not answer"}, epoch)
			require.Equal(t, tt.want, picked())
			h := g.Health()[1]
			require.True(t, h.Away)
			require.False(t, h.Healthy)
			require.Equal(t, lb.Unhealthy, h.State)
			require.Equal(t, "host b does not answer", h.Reason)
			g.Update(config, epoch)
			require.Equal(t, tt.want, picked(), "the same group of a changed file")
			g.SetAway(nil, epoch)
			require.Equal(t, before, picked(), "what was known of them holds again")
			require.False(t, g.Health()[1].Away)
		})
	}
}
