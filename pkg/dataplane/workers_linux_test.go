package dataplane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

func openWorkers(t *testing.T, ns *namespace, cfg RingConfig, n int) *RingWorkers {
	t.Helper()
	var w *RingWorkers
	ns.do(t, func() (err error) {
		w, err = OpenWorkers(cfg, EngineConfig{}, n)
		return err
	})
	return w
}

// The kernel's program and the table's own choice are the same.
func TestTheKernelSteersAsTheShardsAre(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	workers := openWorkers(t, e.plane, RingConfig{ENIs: e.index}, 4)
	defer func() { require.NoError(t, workers.Close()) }()
	require.NoError(t, workers.Configure(oneEndpoint()))
	steering, err := fullnat.NewSteering(oneEndpoint().NAT, 4)
	require.NoError(t, err)

	random := rand.New(rand.NewPCG(1, 1))
	port := func() uint16 { return uint16(1024 + random.IntN(60000)) }
	var seen [4]int
	for i := range 400 {
		frame := tcpFrame
		if i%2 == 0 {
			frame = func(src, dst netip.AddrPort, _ byte, payload []byte) []byte { return udpFrame(src, dst, payload) }
		}
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(1 + random.IntN(200))}), port())
		f := packet.Frame{ENI: endpointENI, Data: frame(client, endpoint, syn, []byte("hello"))}
		if i%4 < 2 {
			f = packet.Frame{ENI: nodeENI, Data: frame(backend, netip.AddrPortFrom(natIP, port()), synAck, []byte("hello"))}
		}
		_, err := far.Write([]packet.Frame{f})
		require.NoError(t, err)
		got := -1
		require.Eventually(t, func() bool {
			for n, ring := range workers.rings {
				var frames [1]packet.Frame
				ring.Wake()
				if read, err := ring.Read(frames[:]); err == nil && read == 1 {
					require.Equal(t, f.Data, frames[0].Data)
					got = n
				}
			}
			return got >= 0
		}, 10*time.Second, time.Millisecond)
		require.Equal(t, steering.Shard(&f), got, "frame %d", i)
		seen[got]++
	}
	for n, count := range seen {
		require.InDelta(t, 100, count, 40, "worker %d", n)
	}
}

func TestSeveralWorkersCarryWhatOneDoes(t *testing.T) {
	r, plane, enis := newRealEnds(t)
	workers := openWorkers(t, plane, RingConfig{ENIs: enis}, 2)
	require.NoError(t, workers.Configure(oneEndpoint()))
	done := make(chan error, 1)
	go func() { done <- workers.Run(context.Background()) }()
	defer func() {
		require.NoError(t, workers.Close())
		require.NoError(t, <-done)
	}()
	l := listenTCP(t, r.provider, backend)
	defer l.Close()
	for range 16 {
		conn := dialTCP(t, r.consumer, endpoint)
		got, want := send(t, conn, l, 1<<20)
		require.Equal(t, want, got)
	}
	each := workers.Each()
	require.Equal(t, 16, each[0].Sessions+each[1].Sessions)
	require.NotZero(t, each[0].Sessions, "both have some")
	require.NotZero(t, each[1].Sessions)
	require.Zero(t, each[0].HandedOver+each[1].HandedOver, "the kernel knows where TCP belongs")
	require.Len(t, workers.Sessions(), 16)
	require.EqualValues(t, 16, workers.Stats().Table.Links[0].SessionsOpened)

	// Datagrams in several pieces, both ways, of sessions of both workers.
	echoUDP(t, r)
	for range 8 {
		conn := dialUDP(t, r)
		for _, size := range []int{4, 4000, 4} {
			sent := make([]byte, size)
			_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(sent)
			_, err := conn.Write(sent)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
			got := make([]byte, 5000)
			n, err := conn.Read(got)
			require.NoError(t, err, "a datagram of %d bytes", size)
			require.Equal(t, sent[:min(size, 2048)], got[:n])
		}
	}
	require.Zero(t, workers.Stats().Table.Verdicts[fullnat.NoSession])
}

func TestAsManyWorkersAsThereCanBe(t *testing.T) {
	for n, ok := range map[int]bool{0: false, 1: true, 2: true, 3: false, 64: true, 128: false, -2: false} {
		err := CheckWorkers(n)
		require.Equal(t, ok, err == nil, "%d", n)
		if !ok {
			require.EqualError(t, err, fmt.Sprintf("%d workers: want 1, 2, 4, ... up to 64", n))
		}
	}
}
