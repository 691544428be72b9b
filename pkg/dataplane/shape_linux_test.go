package dataplane

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// A real download through a link of 100 Mbit/s, which an operation carries a mebibyte
// of. What it should take is 84 ms.
func BenchmarkDownloadAt100Megabits(b *testing.B) {
	const mebibyte = 1 << 20
	r := newRealEndpoint(b)
	l := listenTCP(b, r.provider, backend)
	defer l.Close()
	slow := topology.Impairment{Bandwidth: 100e6}
	withShaping(b, r.engine, theLink(slow, slow))
	conn := dialTCP(b, r.consumer, endpoint)
	defer conn.Close()
	peer, err := l.AcceptTCP()
	require.NoError(b, err)
	done := make(chan error, 1)
	go func() {
		block := make([]byte, mebibyte)
		for range b.N {
			if _, err := peer.Write(block); err != nil {
				done <- err
				return
			}
		}
		done <- peer.Close()
	}()
	b.SetBytes(mebibyte)
	b.ResetTimer()
	_, err = io.Copy(io.Discard, conn)
	b.StopTimer()
	require.NoError(b, err)
	require.NoError(b, <-done)
	require.NotZero(b, r.engine.Stats().Driver.SuperframesRead, "they count as what they are cut into")
}

// echoUDP answers every datagram at the backend.
func echoUDP(t *testing.T, r realEndpoint) {
	t.Helper()
	var pc *net.UDPConn
	r.provider.do(t, func() (err error) {
		pc, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(backend))
		return err
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b [2048]byte
		for {
			n, from, err := pc.ReadFromUDPAddrPort(b[:])
			if err != nil {
				return
			}
			_, _ = pc.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
}

func dialUDP(t *testing.T, r realEndpoint) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	r.consumer.do(t, func() (err error) {
		conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(endpoint))
		return err
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a datagram and returns how long its answer took; false if none
// came in time.
func ask(t *testing.T, conn *net.UDPConn, wait time.Duration) (time.Duration, bool) {
	t.Helper()
	begin := time.Now()
	_, err := conn.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(begin.Add(wait)))
	var b [64]byte
	_, err = conn.Read(b[:])
	return time.Since(begin), err == nil
}

func TestADelayIsFeltByRealPackets(t *testing.T) {
	r := newRealEndpoint(t)
	echoUDP(t, r)
	conn := dialUDP(t, r)
	// The shortest is what it takes on a machine that is busy elsewhere, too.
	shortest := func() time.Duration {
		least := time.Hour
		for range 15 {
			d, ok := ask(t, conn, 5*time.Second)
			require.True(t, ok)
			least = min(least, d)
		}
		return least
	}
	ask(t, conn, time.Second) // neighbours get to know each other
	before := shortest()
	withShaping(t, r.engine, theLink(topology.Impairment{Delay: 20 * time.Millisecond},
		topology.Impairment{Delay: 10 * time.Millisecond}))
	after := shortest()
	t.Logf("round trip %s, with 30 ms of delay %s: %s more", before, after, after-before)
	require.Greater(t, after-before, 29500*time.Microsecond)
	require.Less(t, after-before, 40*time.Millisecond)
}

func TestLossIsFeltByRealPackets(t *testing.T) {
	r := newRealEndpoint(t)
	echoUDP(t, r)
	conn := dialUDP(t, r)
	_, ok := ask(t, conn, 5*time.Second)
	require.True(t, ok)
	withShaping(t, r.engine, theLink(topology.Impairment{Loss: 0.2}, topology.Impairment{}))
	var answers atomic.Int64
	go func() {
		var b [64]byte
		for {
			if _, err := conn.Read(b[:]); err != nil {
				return
			}
			answers.Add(1)
		}
	}()
	// Few at a time, so that no other buffer loses any on a busy machine.
	const sent, few = 2000, 20
	require.NoError(t, conn.SetReadDeadline(time.Time{}))
	toProvider := func() ShapedStats { return r.engine.Stats().Shaped.Links[0].ToProvider }
	already := toProvider().Passed
	for i := 0; i < sent; i += few {
		for range few {
			_, err := conn.Write([]byte("hello"))
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool {
			now := toProvider()
			return now.Passed+now.Lost == already+uint64(i+few) && uint64(answers.Load()) == now.Passed-already
		}, 10*time.Second, 100*time.Microsecond, "each was lost, or answered")
	}
	require.InDelta(t, sent*0.2, toProvider().Lost, 90)
}

// What is damaged is dropped by the receiver's kernel and sent again: the
// bytes that arrive are right, with superframes and without.
func TestCorruptionIsSeenByARealKernel(t *testing.T) {
	r := newRealEndpoint(t)
	l := listenTCP(t, r.provider, backend)
	defer l.Close()
	withShaping(t, r.engine, theLink(topology.Impairment{Corrupt: 0.01}, topology.Impairment{Corrupt: 0.01}))
	conn := dialTCP(t, r.consumer, endpoint)
	got, want := send(t, conn, l, 16<<20)
	require.Equal(t, want, got)
	stats := r.engine.Stats()
	require.NotZero(t, stats.Shaped.Links[0].ToProvider.Corrupted)
	require.Zero(t, stats.Driver.SendErrors)
}

func TestReorderedAndDuplicatedPacketsStillMakeAStream(t *testing.T) {
	r := newRealEndpoint(t)
	l := listenTCP(t, r.provider, backend)
	defer l.Close()
	bad := topology.Impairment{Reorder: 0.02, Duplicate: 0.02, Delay: time.Millisecond, Jitter: time.Millisecond}
	withShaping(t, r.engine, theLink(bad, bad))
	conn := dialTCP(t, r.consumer, endpoint)
	got, want := send(t, conn, l, 8<<20)
	require.Equal(t, want, got)
	stats := r.engine.Stats().Shaped.Links[0].ToProvider
	require.NotZero(t, stats.Reordered)
	require.NotZero(t, stats.Duplicated)
}

func TestAConnectionOutlivesAnInterfaceThatIsDownForAMoment(t *testing.T) {
	r := newRealEndpoint(t)
	echoUDP(t, r)
	conn := dialUDP(t, r)
	for _, fault := range []Fault{Down, Blackhole} {
		_, ok := ask(t, conn, 5*time.Second)
		require.True(t, ok)
		withShaping(t, r.engine, Shaping{Faults: map[packet.ENI]Fault{endpointENI: fault}})
		_, ok = ask(t, conn, 100*time.Millisecond)
		require.False(t, ok)
		withShaping(t, r.engine, Shaping{})
	}
	_, ok := ask(t, conn, 5*time.Second)
	require.True(t, ok)
	stats := r.engine.Stats()
	require.NotZero(t, stats.Shaped.Down)
	require.NotZero(t, stats.Shaped.Blackholed)
	require.EqualValues(t, 1, stats.Table.Sessions)
}
