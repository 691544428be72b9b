package dataplane

import (
	"context"
	"encoding/binary"
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
		w, err = OpenWorkers(withFlowCache(t, cfg), EngineConfig{}, n)
		return err
	})
	return w
}

// withIPv6 is oneEndpoint with the same again over IPv6.
func withIPv6() (cfg Config, endpoint, natIP netip.Addr) {
	cfg = oneEndpoint()
	endpoint, natIP = netip.MustParseAddr("2001:db8:1::200"), netip.MustParseAddr("2001:db8:9::11")
	for _, l := range cfg.NAT.Links {
		l.Name += " over IPv6"
		l.Match, l.Local = netip.AddrPortFrom(endpoint, l.Match.Port()), []netip.Addr{natIP}
		cfg.NAT.Links = append(cfg.NAT.Links, l)
	}
	return cfg, endpoint, natIP
}

// ipv6Frame carries the ports of an L4 header, which is all that steering
// looks at.
func ipv6Frame(src, dst netip.AddrPort, protocol byte) []byte {
	data := make([]byte, ethernetLen+40+20)
	binary.BigEndian.PutUint16(data[12:], packet.EtherTypeIPv6)
	h := data[ethernetLen:]
	h[0], h[5], h[6], h[7] = 0x60, 20, protocol, 64
	copy(h[8:], src.Addr().AsSlice())
	copy(h[24:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[40:], src.Port())
	binary.BigEndian.PutUint16(h[42:], dst.Port())
	if protocol == protoUDP {
		binary.BigEndian.PutUint16(h[44:], 20)
	} else {
		h[52] = tcpLen / 4 << 4
	}
	return data
}

// The kernel's program and the table's own choice are the same.
func TestTheKernelSteersAsTheShardsAre(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	workers := openWorkers(t, e.plane, RingConfig{ENIs: e.index}, 4)
	defer func() { require.NoError(t, workers.Close()) }()
	cfg, endpoint6, natIP6 := withIPv6()
	require.NoError(t, workers.Configure(cfg))
	steering, err := fullnat.NewSteering(cfg.NAT, 4)
	require.NoError(t, err)

	random := rand.New(rand.NewPCG(1, 1))
	port := func() uint16 { return uint16(1024 + random.IntN(60000)) }
	var seen [4]int
	for i := range 400 {
		protocol := []byte{protoTCP, protoUDP}[i%2]
		host := byte(1 + random.IntN(200))
		src, dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, host}), port()), endpoint
		eni := endpointENI
		if i%4 < 2 {
			eni, src, dst = nodeENI, backend, netip.AddrPortFrom(natIP, port())
		}
		f := packet.Frame{ENI: eni, Data: udpFrame(src, dst, []byte("hello"))}
		switch {
		case i%8 < 4:
			six := netip.MustParseAddr("2001:db8:1::10").As16()
			six[5], six[10], six[15] = byte(random.IntN(256)), byte(random.IntN(256)), host
			src, dst = netip.AddrPortFrom(netip.AddrFrom16(six), src.Port()), netip.AddrPortFrom(endpoint6, dst.Port())
			if eni == nodeENI {
				dst = netip.AddrPortFrom(natIP6, dst.Port())
			}
			f.Data = ipv6Frame(src, dst, protocol)
		case protocol == protoTCP:
			f.Data = tcpFrame(src, dst, syn, []byte("hello"))
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
		require.Equal(t, steering.Shard(&f), got, "frame %d from %s to %s", i, src, dst)
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

	// Datagrams in several fragments, in both directions, of sessions of both workers.
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
