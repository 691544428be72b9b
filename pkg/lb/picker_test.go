package lb_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

var schedulers = []topology.Scheduler{"rr", "wrr", "wlc", "sch", "tch"}

// leastLoadedTwin says plainly what wlc is: look at all servers, take the one
// with the fewest sessions for its weight, of equal ones the heavier, then the
// first.
type leastLoadedTwin struct {
	weights, sessions []int
	down              []bool
}

func (w *leastLoadedTwin) pick() int {
	best := -1
	for i := range w.weights {
		if w.weights[i] == 0 || w.down[i] {
			continue
		}
		if best < 0 || w.sessions[i]*w.weights[best] < w.sessions[best]*w.weights[i] ||
			w.sessions[i]*w.weights[best] == w.sessions[best]*w.weights[i] && w.weights[i] > w.weights[best] {
			best = i
		}
	}
	return best
}

// TestLeastLoadedIsItsTwin drives a group and its twin with the same sessions
// that begin and end, servers that fail and recover, and weights that change.
func TestLeastLoadedIsItsTwin(t *testing.T) { rapid.Check(t, leastLoadedAgainstTwin) }

func FuzzLeastLoaded(f *testing.F) { f.Fuzz(rapid.MakeFuzz(leastLoadedAgainstTwin)) }

func leastLoadedAgainstTwin(t *rapid.T) {
	weights := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 8).Draw(t, "weights")
	g := lb.NewGroup(groupOf("wlc", "tcp", weights...))
	for i := range weights {
		g.Report(address(i), nil, epoch)
	}
	twin := &leastLoadedTwin{weights: weights, sessions: make([]int, len(weights)), down: make([]bool, len(weights))}
	pickers := []*lb.Picker{g.Picker(""), g.Picker("")}
	type session struct {
		picker *lb.Picker
		server int
	}
	var open []session
	for range rapid.IntRange(1, 200).Draw(t, "steps") {
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			i := rapid.IntRange(0, len(weights)-1).Draw(t, "server")
			var result error
			if twin.down[i] = !twin.down[i]; twin.down[i] {
				result = errors.New("down")
			}
			for range 3 {
				g.Report(address(i), result, epoch)
			}
		case 1:
			i := rapid.IntRange(0, len(weights)-1).Draw(t, "server")
			twin.weights[i] = rapid.IntRange(0, 5).Draw(t, "weight")
			g.Update(groupOf("wlc", "tcp", twin.weights...), epoch)
		case 2, 3, 4:
			if len(open) == 0 {
				continue
			}
			i := rapid.IntRange(0, len(open)-1).Draw(t, "session")
			require.True(t, open[i].picker.Ended(address(open[i].server)))
			twin.sessions[open[i].server]--
			open = append(open[:i], open[i+1:]...)
		default:
			p := rapid.SampledFrom(pickers).Draw(t, "picker")
			addr, ok := p.Pick(flow(0), 0)
			want := twin.pick()
			require.Equal(t, want >= 0, ok)
			if ok {
				require.Equal(t, address(want), addr)
				twin.sessions[want]++
				open = append(open, session{p, want})
			}
		}
	}
	for i, h := range g.Health() {
		require.Equal(t, twin.sessions[i], h.Sessions)
	}
	require.Equal(t, len(open), pickers[0].Sessions()+pickers[1].Sessions())
}

// picks is how often each server is picked for n flows.
func picks(p *lb.Picker, n int) map[netip.AddrPort]int {
	out := map[netip.AddrPort]int{}
	for i := range n {
		addr, _ := p.Pick(flow(i), 0)
		out[addr]++
	}
	return out
}

func TestHashesShareByWeight(t *testing.T) {
	const n = 200_000
	for _, scheduler := range []topology.Scheduler{"sch", "tch"} {
		t.Run(string(scheduler), func(t *testing.T) {
			weights := []int{100, 50, 10, 100, 1}
			got := picks(lb.NewGroup(groupOf(scheduler, "none", weights...)).Picker(""), n)
			for i, w := range weights {
				share := float64(n*w) / 261
				require.InEpsilon(t, share, got[address(i)], 0.1, "server %d with weight %d", i, w)
			}
		})
	}
}

func TestHashesKeepToTheirServer(t *testing.T) {
	for _, scheduler := range []topology.Scheduler{"sch", "tch"} {
		t.Run(string(scheduler), func(t *testing.T) {
			before := lb.NewGroup(groupOf(scheduler, "tcp", 1, 1, 1, 1, 1))
			for i := range 5 {
				before.Report(address(i), nil, epoch)
			}
			p := before.Picker("")
			first := map[int]netip.AddrPort{}
			for i := range 50_000 {
				first[i], _ = p.Pick(flow(i), 0)
			}
			require.Equal(t, first[7], must(before.Picker("").Pick(flow(7), 0)), "another picker agrees")
			other := lb.NewGroup(groupOf(scheduler, "none", 1, 1, 1, 1, 1))
			require.Equal(t, first[7], must(other.Picker("").Pick(flow(7), 0)),
				"and another group: a replay gives the same")

			for range 3 {
				before.Report(address(2), errors.New("down"), epoch)
			}
			moved, orphans := 0, 0
			for i, was := range first {
				now := must(p.Pick(flow(i), 0))
				require.NotEqual(t, address(2), now)
				switch {
				case was == address(2):
					orphans++
				case now != was:
					moved++
				}
			}
			require.InEpsilon(t, 10_000, orphans, 0.1)
			require.Less(t, moved, 50_000/20, "few flows of servers that stay change hands")
			for range 3 {
				before.Report(address(2), nil, epoch)
			}
			for i, was := range first {
				require.Equal(t, was, must(p.Pick(flow(i), 0)), "all is as it was when the server is back")
			}
		})
	}
}

func must(addr netip.AddrPort, _ bool) netip.AddrPort { return addr }

func TestWhatAHashLooksAt(t *testing.T) {
	many := groupOf("sch", "none", make([]int, 50)...)
	for i := range many.Servers {
		many.Servers[i].Weight = 1
	}
	source := lb.NewGroup(many).Picker("")
	many.Scheduler = "tch"
	flows := lb.NewGroup(many).Picker("")
	same, base := 0, flow(1)
	for port := range uint16(1000) {
		f := packet.FiveTuple{Src: netip.AddrPortFrom(base.Src.Addr(), port), Dst: base.Dst}
		require.Equal(t, must(source.Pick(base, 0)), must(source.Pick(f, 0)),
			"a source address has one server, whatever its port")
		if must(flows.Pick(f, 0)) == must(flows.Pick(base, 0)) {
			same++
		}
	}
	require.Less(t, same, 100, "every port of it may have another")
	same = 0
	for seq := uint32(1); seq <= 1000; seq++ {
		require.Equal(t, must(source.Pick(base, 0)), must(source.Pick(base, seq)))
		require.Equal(t, must(flows.Pick(base, seq)), must(flows.Pick(base, seq)), "a SYN that comes again")
		if must(flows.Pick(base, seq)) == must(flows.Pick(base, 0)) {
			same++
		}
	}
	require.Less(t, same, 100, "so may every connection from the same port")
}

func TestSessionsAreCounted(t *testing.T) {
	for _, scheduler := range schedulers {
		t.Run(string(scheduler), func(t *testing.T) {
			g := lb.NewGroup(groupOf(scheduler, "none", 1))
			p, q := g.Picker(""), g.Picker("")
			p.Pick(flow(0), 0)
			p.Pick(flow(1), 0)
			q.Pick(flow(2), 0)
			require.Equal(t, 3, g.Health()[0].Sessions)
			require.True(t, q.Ended(address(0)))
			require.False(t, q.Ended(address(0)), "it gave out one")
			require.False(t, p.Ended(address(9)), "it never gave that")
			require.Equal(t, 2, g.Health()[0].Sessions)
		})
	}
}

func TestWeightZeroDrains(t *testing.T) {
	for _, scheduler := range schedulers {
		t.Run(string(scheduler), func(t *testing.T) {
			g := lb.NewGroup(groupOf(scheduler, "none", 1, 1))
			p := g.Picker("")
			picks(p, 100)
			before := g.Health()[0].Sessions
			require.Positive(t, before)
			g.Update(groupOf(scheduler, "none", 0, 1), epoch)
			require.NotContains(t, picks(p, 100), address(0))
			require.Equal(t, before, g.Health()[0].Sessions, "its sessions go on")
		})
	}
}

func TestAGroupThatOpensWhenItFails(t *testing.T) {
	config := groupOf("wrr", "tcp", 1, 1, 0)
	config.FailOpen = true
	config.Servers[0].Zone, config.Servers[1].Zone, config.Servers[2].Zone = "h", "i", "i"
	g := lb.NewGroup(config)
	all, h, i := g.Picker(""), g.Picker("h"), g.Picker("i")
	fail := func(server int) {
		for range 3 {
			g.Report(address(server), errors.New("down"), epoch)
		}
	}
	require.Equal(t, "-", pickNames(all, 1), "nobody was judged yet")
	g.Report(address(0), nil, epoch)
	fail(1)
	fail(2)
	require.Equal(t, "aa", pickNames(all, 2), "while one is healthy, the others get nothing")
	require.Equal(t, "bb", pickNames(i, 2), "a zone in which none is opens alone, and not to weight 0")
	fail(0)
	require.Equal(t, "abab", pickNames(all, 4))
	require.Equal(t, "aa", pickNames(h, 2))
	config.FailOpen = false
	g.Update(config, epoch)
	require.Equal(t, "-", pickNames(all, 1))
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, scheduler := range schedulers {
		t.Run(string(scheduler), func(t *testing.T) {
			p := lb.NewGroup(groupOf(scheduler, "none", 100, 50, 1)).Picker("")
			picks(p, 1000)
			i := 0
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				addr, _ := p.Pick(flow(i%1000), 0)
				p.Ended(addr)
				i++
			}))
		})
	}
}

func TestSlowStart(t *testing.T) {
	for _, scheduler := range []topology.Scheduler{"wrr", "wlc"} {
		t.Run(string(scheduler), func(t *testing.T) {
			config := groupOf(scheduler, "tcp", 100, 100)
			config.SlowStart = 100 * time.Second
			g := lb.NewGroup(config)
			p := g.Picker("")
			share := func(now time.Time) int {
				g.Update(config, now)
				before := g.Health()
				for i := range 1000 {
					p.Pick(flow(i), 0)
				}
				after := g.Health()
				n := after[1].Sessions - before[1].Sessions
				for i := range after {
					for range after[i].Sessions {
						p.Ended(address(i))
					}
				}
				return n
			}
			g.Report(address(0), nil, epoch)
			require.Equal(t, 0, share(epoch), "the first is alone")
			g.Report(address(1), nil, epoch)
			require.InDelta(t, 500, share(epoch), 5, "servers that a group begins with start at once")
			for range 3 {
				g.Report(address(1), errors.New("down"), epoch)
			}
			require.Equal(t, 0, share(epoch))
			for range 3 {
				g.Report(address(1), nil, epoch)
			}
			require.InDelta(t, 1000*1/101, share(epoch), 5, "a server that joins has a weight of 1")
			require.InDelta(t, 1000*50/150, share(epoch.Add(50*time.Second)), 5, "that grows")
			require.InDelta(t, 500, share(epoch.Add(100*time.Second)), 5, "to its whole")
		})
	}
}

func BenchmarkPick(b *testing.B) {
	for _, scheduler := range schedulers {
		for _, n := range []int{1, 10, 200} {
			b.Run(fmt.Sprintf("scheduler=%s/servers=%d", scheduler, n), func(b *testing.B) {
				weights := make([]int, n)
				for i := range weights {
					weights[i] = 1 + i%100
				}
				p := lb.NewGroup(groupOf(scheduler, "none", weights...)).Picker("")
				picks(p, 10_000)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					addr, _ := p.Pick(flow(i), 0)
					p.Ended(addr)
					i++
				}
			})
		}
	}
}

// BenchmarkChange is what a change of health costs, which no pick waits for.
func BenchmarkChange(b *testing.B) {
	for _, scheduler := range schedulers {
		b.Run(fmt.Sprintf("scheduler=%s/servers=200", scheduler), func(b *testing.B) {
			weights := make([]int, 200)
			for i := range weights {
				weights[i] = 1 + i%100
			}
			config := groupOf(scheduler, "none", weights...)
			g := lb.NewGroup(config)
			g.Picker("")
			b.ReportAllocs()
			for b.Loop() {
				g.Update(config, epoch)
			}
		})
	}
}
