package dataplane

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/packet"
)

// A million sessions are in the kernel's cache at the same time. Each is counted on its own, those
// that the kernel alone has seen packets of stay, and the others end in time.
func TestAMillionCachedSessions(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTime(t)
	testenv.NeedNoRace(t)
	const sessions, idle = 1 << 20, time.Minute
	c := newManyCached(t, sessions, idle)
	before := heapInUse()
	c.send("open", false, func(int) bool { return true })
	require.Eventually(t, func() bool { return c.ring.flowCacheStats().Sessions == sessions },
		10*time.Second, 10*time.Millisecond, "all are to be cached")
	t.Logf("a cached session takes %d bytes of the daemon's heap", (heapInUse()-before)/sessions)

	time.Sleep(time.Second) // until the table has let the cache go on with them
	since := time.Now()
	c.send("the second packet", true, func(int) bool { return true })
	require.EqualValues(t, sessions, c.engine.Stats().Table.Cache.Frames, "the kernel has all of them")
	c.check(time.Since(since), func(i int) (packets uint64, there bool) { return 2, true })

	// Only what the kernel counts keeps half of them.
	time.Sleep(max(0, 25*time.Second-time.Since(since)))
	middle := time.Now()
	c.send("the third packet of half of them", true, func(i int) bool { return i%2 == 1 })
	took := time.Since(middle)
	require.Less(t, took, 20*time.Second)
	time.Sleep(time.Until(middle.Add(idle - 10*time.Second))) // to look at a million takes seconds
	c.check(idle, func(i int) (packets uint64, there bool) { return 3, i%2 == 1 })
	require.Equal(t, sessions/2, c.ring.flowCacheStats().Sessions)
	link := c.engine.Stats().Table.Links[0]
	require.EqualValues(t, sessions*2+sessions/2, link.PacketsToProvider)

	time.Sleep(time.Until(middle.Add(took + idle + time.Second)))
	require.Eventually(t, func() bool { return c.engine.Stats().Table.Sessions == 0 },
		20*time.Second, 100*time.Millisecond)
	require.Zero(t, c.ring.flowCacheStats().Sessions)
}

// manyCached are clients with many UDP sessions through an engine that caches each of them.
type manyCached struct {
	*planeNAT
	t        *testing.T
	sessions int
	sentAll  uint64
}

func newManyCached(t *testing.T, sessions int, idle time.Duration) *manyCached {
	c := &manyCached{t: t, sessions: sessions}
	c.planeNAT = newPlaneNATOf(t, FlowCacheConfig{Mode: FlowCacheForce, Sessions: sessions}, sessions)
	cfg := diffLinks()
	for i := range cfg.ENIs {
		cfg.ENIs[i].MAC = c.macs[cfg.ENIs[i].ENI]
	}
	cfg.Links = cfg.Links[2:]
	cfg.Links[0].Idle = idle
	// As many targets as their NAT ports are enough for.
	cfg.Links[0].Pick = func(f packet.FiveTuple, _ uint32) (netip.AddrPort, bool) {
		client := f.Src.Addr().As4()
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, client[3] % 32, 10}), 53), true
	}
	require.NoError(t, c.engine.Configure(Config{NAT: cfg}))
	return c
}

const portsOfClient = 1 << 12

// send sends a datagram of each session that is wanted, and waits until all are counted.
func (c *manyCached) send(what string, cached bool, wanted func(i int) bool) {
	began := time.Now()
	payload := []byte{0}
	mac := c.macs[diffConsumer]
	var batch []packet.Frame
	flush := func() {
		n, err := c.far.Write(batch)
		require.NoError(c.t, err)
		require.Equal(c.t, len(batch), n)
		c.sentAll += uint64(n)
		batch = batch[:0]
		if cached {
			return // the kernel has done it in the sender's time
		}
		// No more than has room on the way to the ring (net.core.netdev_max_backlog).
		for deadline := time.Now().Add(10 * time.Second); c.ring.Stats().FramesRead+512 < c.sentAll; runtime.Gosched() {
			read := c.ring.Stats().FramesRead
			require.False(c.t, time.Now().After(deadline), "%s: %d of %d frames came", what, read, c.sentAll)
		}
	}
	for i := range c.sessions {
		if !wanted(i) {
			continue
		}
		data := udpFrame(sessionClient(i), netip.AddrPortFrom(diffENI, 53), payload)
		copy(data, mac[:])
		if batch = append(batch, packet.Frame{ENI: diffConsumer, Data: data}); len(batch) == Burst {
			flush()
		}
	}
	flush()
	var stats EngineStats
	defer func() {
		if c.t.Failed() {
			c.t.Logf("of %d frames: %+v, %d in the kernel", c.sentAll, stats.Driver, stats.Table.Cache.Frames)
		}
	}()
	require.Eventually(c.t, func() bool {
		stats = c.engine.Stats()
		return stats.Driver.FramesRead+stats.Table.Cache.Frames >= c.sentAll // the kernel has words of its own
	}, 20*time.Second, 100*time.Millisecond, what)
	c.t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
}

func sessionClient(i int) netip.AddrPort {
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], 0x0a400000+uint32(i/portsOfClient))
	return netip.AddrPortFrom(netip.AddrFrom4(addr), uint16(1024+i%portsOfClient))
}

func sessionOf(client netip.AddrPort) int {
	addr := client.Addr().As4()
	return int(binary.BigEndian.Uint32(addr[:])-0x0a400000)*portsOfClient + int(client.Port()) - 1024
}

// check holds all sessions against what they should be.
func (c *manyCached) check(idle time.Duration, want func(i int) (packets uint64, there bool)) {
	seen := make([]bool, c.sessions)
	for _, s := range c.engine.Sessions() {
		i := sessionOf(s.Consumer)
		packets, there := want(i)
		// The assertions of testify would take longer than the sessions live.
		if !there || seen[i] || s.PacketsToProvider != packets || s.BytesToProvider != packets*29 || s.Idle > idle+5*time.Second {
			c.t.Fatalf("session %d (there: %t, before: %t, packets: %d): %+v", i, there, seen[i], packets, s)
		}
		seen[i] = true
	}
	for i := range seen {
		if _, there := want(i); there && !seen[i] {
			c.t.Fatalf("session %d is missing", i)
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
