package dataplane

import (
	"net/netip"
	"testing"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/stretchr/testify/require"
)

// One stream of TCP between two kernels, the ring between them. An operation
// is a mebibyte.
func BenchmarkRingBulk(b *testing.B) {
	plane, client, server := newNamespace(b), newNamespace(b), newNamespace(b)
	first, _ := plane.veth(b, "eni1", client, "eth0")
	second, _ := plane.veth(b, "eni2", server, "eth0")
	client.address(b, "eth0", "192.0.2.1/24")
	server.address(b, "eth0", "192.0.2.2/24")
	ring := plane.openRing(b, RingConfig{ENIs: map[int]packet.ENI{first: 1, second: 2}})
	defer cable(b, ring)()
	l := listenTCP(b, server, netip.MustParseAddrPort("192.0.2.2:2000"))
	defer l.Close()
	conn := dialTCP(b, client, netip.MustParseAddrPort("192.0.2.2:2000"))
	defer conn.Close()
	peer, err := l.AcceptTCP()
	require.NoError(b, err)
	done := make(chan error, 1)
	const mebibyte = 1 << 20
	go func() {
		defer peer.Close()
		block := make([]byte, mebibyte)
		for left := b.N * mebibyte; left > 0; {
			n, err := peer.Read(block)
			if err != nil {
				done <- err
				return
			}
			left -= n
		}
		done <- nil
	}()
	block := make([]byte, mebibyte)
	b.SetBytes(mebibyte)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		_, err := conn.Write(block)
		require.NoError(b, err)
	}
	require.NoError(b, <-done)
	b.StopTimer()
	b.ReportMetric(float64(b.N)*mebibyte*8/1e9/b.Elapsed().Seconds(), "Gbit/s")
	b.ReportMetric(float64(ring.Stats().SuperframesRead)/float64(ring.Stats().FramesRead), "superframes/frame")
}

// 64-byte frames from one ENI to the other, as fast as one sender can. An
// operation is a frame that was delivered.
func BenchmarkRingSmall(b *testing.B) {
	e := newENIs(b)
	far := e.far.openRing(b, RingConfig{ENIs: map[int]packet.ENI{}})
	defer far.Close()
	require.NoError(b, far.SetENIs(e.farIndex))
	ring := e.plane.openRing(b, RingConfig{ENIs: e.index})
	defer cable(b, ring)()
	batch := make([]packet.Frame, Burst)
	for i := range batch {
		batch[i] = packet.Frame{ENI: 1, Data: udpFrame(left, right, make([]byte, 22))}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for ring.Stats().FramesWritten < uint64(b.N) {
		_, err := far.Write(batch)
		require.NoError(b, err)
	}
	b.StopTimer()
	stats := ring.Stats()
	b.ReportMetric(float64(stats.FramesWritten)/1e3/b.Elapsed().Seconds(), "kpps")
	b.ReportMetric(float64(stats.RingDrops)/float64(stats.FramesRead+stats.RingDrops), "ring-drops/frame")
}
