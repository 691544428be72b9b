package fullnat

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

func TestNATPortsRunOutOnAllNATIPs(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	const each = store.DefaultPortsPerTarget
	locals := []netip.Addr{netip.MustParseAddr("10.0.9.11"), netip.MustParseAddr("10.0.9.12"), netip.MustParseAddr("10.0.9.13")}
	all := each * len(locals)
	l := newLab(t, all+1000)
	l.config.Links[0].Local = locals
	require.NoError(t, l.table.Configure(l.config, 0))

	type natEnd struct {
		addr uint32
		port uint16
	}
	seen := make(map[natEnd]bool, all)
	most := uint64(0)
	for n := range all {
		before := l.table.ports.Asked
		v, port := l.send(n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v, "session %d", n)
		most = max(most, l.table.ports.Asked-before)
		end := natEnd{binary.BigEndian.Uint32(l.frame.Data[26:]), port}
		require.False(t, seen[end], "%s:%d twice", l.table.addrs.Addr(end.addr), port)
		seen[end] = true
	}
	t.Run("nat 4, nat 64: every NAT IP has 55,000 ports to a target", func(t *testing.T) {
		used := map[uint32]int{}
		for end := range seen {
			used[end.addr]++
		}
		for _, addr := range locals {
			require.Equal(t, each, used[store.IPv4Number(addr)])
		}
	})
	t.Run("nat 7: a session asks one NAT IP for one port, however few are left", func(t *testing.T) {
		require.EqualValues(t, 1, most)
	})
	t.Run("nat 7: a refusal asks each NAT IP once, and takes nothing", func(t *testing.T) {
		for n := range 1000 {
			before, pools := l.table.ports.Asked, len(l.table.ports.All)
			v, _ := l.send(all+n, packet.FlagSYN, 0)
			require.Equal(t, NoNATPort, v)
			require.EqualValues(t, len(locals), l.table.ports.Asked-before)
			require.Len(t, l.table.ports.All, pools)
		}
		require.Equal(t, all, l.table.Stats().Sessions)
		require.EqualValues(t, 1000, l.table.Stats().Links[0].Verdicts[NoNATPort])
	})
	t.Run("nat 7: another target is open at the same cost", func(t *testing.T) {
		l.target = netip.MustParseAddrPort("192.168.0.2:80")
		before := l.table.ports.Asked
		v, _ := l.send(all+1, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v)
		require.EqualValues(t, 1, l.table.ports.Asked-before)
	})
}

func TestNATPortsRest(t *testing.T) {
	// With every port of the target taken and given back, each next one has
	// been used before.
	spent := func(t *testing.T, rest time.Duration) *lab {
		l := newLab(t, 10)
		l.config.PortRest = rest
		require.NoError(t, l.table.Configure(l.config, 0))
		l.open(t, 0, 0)
		pool := l.table.ports.At(0)
		for pool.Touched < store.NumNATPorts {
			pool.Touched++
		}
		return l
	}
	for _, tt := range []struct {
		name        string
		rest, after time.Duration // of the last packet
		want        Verdict
	}{
		{"nat 9: a port rests for a minute after the last packet", 0, time.Minute - store.TickLength, NoNATPort},
		{"nat 9: after a minute it is used again", 0, time.Minute, Forwarded},
		{"nat 9: the rest is a setting", 90 * time.Second, 90*time.Second - store.TickLength, NoNATPort},
		{"nat 9: and ends as it says", 90 * time.Second, 90 * time.Second, Forwarded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := spent(t, tt.rest)
			// A RST closes the session; the consumer's next SYN ends it at once. Before
			// anybody had confirmed it the port would need no rest.
			v, _ := l.send(0, packet.FlagRST, time.Second)
			require.Equal(t, Forwarded, v)
			now := time.Second + DefaultTimers.Closed - store.TickLength
			if tt.after < DefaultTimers.Closed {
				now = time.Second + tt.after
			}
			v, _ = l.send(0, packet.FlagSYN, now)
			if tt.after < DefaultTimers.Closed {
				require.Equal(t, tt.want, v)
				return
			}
			require.Equal(t, NoNATPort, v)
			v, _ = l.send(0, packet.FlagSYN, time.Second+tt.after)
			require.Equal(t, tt.want, v)
		})
	}
	t.Run("nat 9: ports of sessions that end in one second come back in their order", func(t *testing.T) {
		l := newLab(t, 10)
		var ports []uint16
		for n := range 5 {
			_, port := l.send(n, packet.FlagSYN, time.Duration(n)*store.TickLength)
			ports = append(ports, port)
		}
		drain(l.table, DefaultTimers.Opening+time.Second)
		pool := l.table.ports.At(0)
		pool.Touched = store.NumNATPorts
		for n := range 5 {
			_, port := l.send(10+n, packet.FlagSYN, DefaultTimers.Opening+time.Minute)
			require.Equal(t, ports[n], port)
		}
	})
	t.Run("nat 9: who was silent for longer has rested when it ends", func(t *testing.T) {
		l := spent(t, 0)
		idle := l.config.Links[0].Idle
		drain(l.table, idle)
		v, _ := l.send(1, packet.FlagSYN, idle)
		require.Equal(t, Forwarded, v)
	})
	t.Run("a rest that outlives the pool is refused", func(t *testing.T) {
		l := newLab(t, 10)
		l.config.PortRest = time.Hour
		require.EqualError(t, l.table.Configure(l.config, 0), "NAT ports rest for 1h0m0s: want at most 4m0s, or 0 for 1m0s")
	})
}

func TestNATPortsAreRandomAndReproducible(t *testing.T) {
	first := func(t *testing.T, seed uint64, target, local string) uint16 {
		l := newLab(t, 10)
		table, err := New(Options{MaxSessions: 10, Seed: seed})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, table.Close()) })
		l.table, l.target = table, netip.MustParseAddrPort(target)
		l.config.Links[0].Local = []netip.Addr{netip.MustParseAddr(local)}
		require.NoError(t, table.Configure(l.config, 0))
		_, port := l.send(0, packet.FlagSYN, 0)
		return port
	}
	const target, local = "192.168.0.1:80", "10.0.9.11"
	usual := first(t, 1, target, local)
	t.Run("nat 3, nat 6: the same seed gives the same ports", func(t *testing.T) {
		require.Equal(t, usual, first(t, 1, target, local))
	})
	t.Run("nat 6: another seed gives others", func(t *testing.T) {
		require.NotEqual(t, usual, first(t, 2, target, local))
	})
	t.Run("nat 6: without a seed nobody can foresee them", func(t *testing.T) {
		ports := map[uint16]bool{}
		for range 20 {
			ports[first(t, 0, target, local)] = true
		}
		require.Greater(t, len(ports), 10)
	})
	t.Run("nat 6: each target's begin elsewhere", func(t *testing.T) {
		l := newLab(t, 100)
		ports := map[uint16]bool{}
		for n := range 20 {
			l.target = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 0, byte(n)}), 80)
			_, port := l.send(n, packet.FlagSYN, 0)
			ports[port] = true
		}
		require.Greater(t, len(ports), 15)
	})
}

func TestNATPortsAreNeverThoseOfSystems(t *testing.T) {
	for _, from := range []uint16{0, 1, 1023, 1024, 65535} {
		l := newLab(t, 10)
		m := message{protocol: "tcp", ttl: 64, flags: "S", dst: l.config.Links[0].Match,
			src: netip.AddrPortFrom(netip.MustParseAddr("10.0.1.10"), from)}
		frames := []packet.Frame{m.frame(1)}
		var verdicts [1]Verdict
		forward(l.table, frames, verdicts[:], 0)
		require.Equal(t, Forwarded, verdicts[0])
		left, exact := read(frames[0])
		require.True(t, exact)
		require.GreaterOrEqual(t, left.src.Port(), uint16(1024), "nat 5: whatever the consumer's port is")
	}
	t.Run("nat 5: nor does the pool wrap around to them", func(t *testing.T) {
		pool := &store.PortPool{Shard: store.Shard{Number: 0, Of: 1}, Start: store.NumNATPorts - 2}
		for _, want := range []uint16{65534, 65535, 1024, 1025} {
			port, ok := pool.Take(10, 0, 0)
			require.True(t, ok)
			require.Equal(t, want, port)
		}
	})
}
