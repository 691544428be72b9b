package dataplane

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// startWorkers runs two workers on memory drivers, which steer nothing.
func startWorkers(t *testing.T, shaping Shaping) (*Workers, [2]*Memory) {
	t.Helper()
	m := [2]*Memory{NewMemory(), NewMemory()}
	w, err := newWorkers(EngineConfig{Tick: time.Hour}, []Driver{m[0], m[1]}, nil)
	require.NoError(t, err)
	cfg := oneEndpoint()
	cfg.Shaping = shaping
	require.NoError(t, w.Configure(cfg))
	done := make(chan error, 1)
	go func() { done <- w.Run(context.Background()) }()
	t.Cleanup(func() {
		require.NoError(t, w.Close())
		require.NoError(t, <-done)
	})
	return w, m
}

// sentBy is what both workers have sent once everything is at rest.
func sentBy(m [2]*Memory) (all []packet.Frame) {
	synctest.Wait()
	return append(m[0].Sent(), m[1].Sent()...)
}

func client(port int) netip.AddrPort { return netip.AddrPortFrom(consumer.Addr(), uint16(port)) }

func TestAFrameReachesTheWorkerWhoseSessionItIsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := startWorkers(t, Shaping{})
		const sessions = 40
		for i := range sessions {
			for worker := range 2 { // whoever gets it
				m[worker].Inject(packet.Frame{ENI: endpointENI,
					Data: udpFrame(client(40000+i), endpoint, []byte("hello"))})
			}
		}
		there := sentBy(m)
		require.Len(t, there, 2*sessions)
		for i, f := range there {
			local, _ := parse(t, f)
			m[i%2].Inject(packet.Frame{ENI: nodeENI, Data: udpFrame(backend, local, []byte("welcome"))})
		}
		require.Len(t, sentBy(m), 2*sessions)

		require.Len(t, w.Sessions(), sessions, "none is in both")
		stats := w.Stats()
		require.EqualValues(t, 4*sessions, stats.Table.Verdicts[fullnat.Forwarded])
		require.EqualValues(t, sessions, stats.Table.Links[1].SessionsOpened)
		require.EqualValues(t, 4*sessions, stats.Driver.FramesRead)
		require.Equal(t, []ENIStats{
			{ENI: endpointENI, FramesReceived: 2 * sessions, BytesReceived: 2 * sessions * 47, FramesSent: 2 * sessions,
				BytesSent: 2 * sessions * 49},
			{ENI: nodeENI, FramesReceived: 2 * sessions, BytesReceived: 2 * sessions * 49, FramesSent: 2 * sessions,
				BytesSent: 2 * sessions * 47},
		}, stats.ENIs)
		use := w.PortUse(10)
		require.Len(t, use, 1)
		require.Equal(t, sessions, use[0].InUse)
		require.Equal(t, 55000, use[0].Limit)
		each := w.Each()
		require.Equal(t, sessions, each[0].Sessions+each[1].Sessions)
		require.EqualValues(t, 2*sessions, each[0].HandedOver+each[1].HandedOver)
	})
}

func TestFragmentsOfADatagramGoToItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := startWorkers(t, Shaping{})
		for i := range 16 {
			whole := udpFrame(client(40000+i), endpoint, make([]byte, 100))
			whole[ethernetLen+6] = 0 // it may be fragmented
			whole[ethernetLen+4] = byte(i)
			var p packet.Packet
			packet.Parse(whole, &p)
			var all []packet.Frame
			last := packet.Split(whole, &p, 68, func(size int) []byte {
				all = append(all, packet.Frame{ENI: endpointENI, Data: make([]byte, size)})
				return all[len(all)-1].Data
			})
			all = append(all, packet.Frame{ENI: endpointENI, Data: last})
			require.Len(t, all, 3)
			m[0].Inject(all...)
			require.Len(t, sentBy(m), 3, "datagram %d", i)
		}
		each := w.Each()
		require.NotZero(t, each[0].Sessions)
		require.NotZero(t, each[1].Sessions)
	})
}

// A bandwidth is that of a connection, however many workers carry it.
func TestABandwidthIsSharedByTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 1_000_000 // bit/s: 125 frames of 1,000 bytes in a second
		w, m := startWorkers(t, theLink(topology.Impairment{Bandwidth: rate}, topology.Impairment{}))
		payload := make([]byte, 1000-ethernetLen-ipv4Len-8)
		begin := time.Now()
		passed := 0
		for time.Since(begin) < time.Second {
			for i := range 4 {
				m[i%2].Inject(packet.Frame{ENI: endpointENI, Data: udpFrame(client(40000+i), endpoint, payload)})
			}
			time.Sleep(10 * time.Millisecond)
			passed += len(sentBy(m))
		}
		require.InDelta(t, 125, passed, 5)
		stats := w.Stats().Shaped.Links[0].ToProvider
		require.EqualValues(t, passed, stats.Passed)
		require.NotZero(t, stats.QueueFull)
		each := w.Each()
		require.NotZero(t, each[0].Sessions, "both carry some")
		require.NotZero(t, each[1].Sessions)
	})
}

func TestACaptureSeesAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := startWorkers(t, Shaping{})
		c, err := w.Capture(CaptureConfig{ENIs: []packet.ENI{endpointENI},
			Name: func(packet.ENI) string { return "ep" }})
		require.NoError(t, err)
		for i := range 20 {
			m[0].Inject(packet.Frame{ENI: endpointENI, Data: udpFrame(client(40000+i), endpoint, nil)})
		}
		sentBy(m)
		for range 20 {
			_, err := c.Next(t.Context())
			require.NoError(t, err)
		}
		seen, dropped := c.Counts(0)
		require.EqualValues(t, 20, seen)
		require.Zero(t, dropped)
		c.Close()
		c.Close()
		_, err = c.Next(t.Context())
		require.ErrorIs(t, err, errCaptureEnded)
		for _, e := range w.engines {
			require.Nil(t, e.tap)
		}
	})
}

func TestAFullInboxDropsAndCounts(t *testing.T) {
	var b inbox
	f := packet.Frame{ENI: 1, Data: []byte{1, 2, 3}}
	for range maxInbox {
		require.True(t, b.put(&f))
	}
	require.False(t, b.put(&f))
	frames := make([]packet.Frame, Burst)
	require.Equal(t, Burst, b.take(frames))
	require.Equal(t, f, frames[Burst-1])
	require.True(t, b.put(&f))
}
