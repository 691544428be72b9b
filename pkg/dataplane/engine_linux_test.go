package dataplane

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

// realEndpoint is oneEndpoint with a kernel at both ends: the consumer and the
// backend have the same address, each in a namespace of its own.
type realEndpoint struct {
	consumer, provider *namespace
	engine             *Engine
	ring               *Ring
}

func newRealEndpoint(t testing.TB) realEndpoint {
	t.Helper()
	return newCachedEndpoint(t, FlowCacheConfig{})
}

// newCachedEndpoint is newRealEndpoint with a flow cache.
func newCachedEndpoint(t testing.TB, cache FlowCacheConfig) realEndpoint {
	t.Helper()
	r, plane, enis := newRealEnds(t)
	r.ring = plane.openRing(t, RingConfig{ENIs: enis, FlowCache: cache})
	var err error
	r.engine, err = NewEngine(EngineConfig{Driver: r.ring})
	require.NoError(t, err)
	require.NoError(t, r.engine.Configure(oneEndpoint()))
	done := make(chan error, 1)
	go func() { done <- r.engine.Run(context.Background()) }()
	t.Cleanup(func() {
		require.NoError(t, r.engine.Close())
		require.NoError(t, <-done)
	})
	return r
}

// newRealEnds is a realEndpoint without anything between its ends, and the
// namespace where that belongs.
func newRealEnds(t testing.TB) (r realEndpoint, plane *namespace, enis map[int]packet.ENI) {
	t.Helper()
	plane, r = newNamespace(t), realEndpoint{consumer: newNamespace(t), provider: newNamespace(t)}
	a, _ := plane.veth(t, "eni1", r.consumer, "eth0")
	b, _ := plane.veth(t, "eni2", r.provider, "eth0")
	for _, n := range []*namespace{r.consumer, r.provider} {
		n.address(t, "eth0", "10.0.1.10/16")
		// Whoever owns an address has the MAC that follows from it.
		link, err := n.handle.LinkByName("eth0")
		require.NoError(t, err)
		mac := packet.MACOf(consumer.Addr())
		require.NoError(t, n.handle.LinkSetHardwareAddr(link, net.HardwareAddr(mac[:])))
		n.up(t, "lo")
	}
	return r, plane, map[int]packet.ENI{a: endpointENI, b: nodeENI}
}

func TestEngineCarriesADownloadBetweenTwoKernels(t *testing.T) {
	r := newRealEndpoint(t)
	l := listenTCP(t, r.provider, backend)
	defer l.Close()
	conn := dialTCP(t, r.consumer, endpoint)
	require.Equal(t, endpoint, conn.RemoteAddr().(*net.TCPAddr).AddrPort())
	const size = 64 << 20
	got, want := send(t, conn, l, size)
	require.Equal(t, want, got)

	stats := r.engine.Stats()
	require.Greater(t, stats.Table.Links[0].Superframes, uint64(size/65536/2), "%+v", stats.Driver)
	require.Zero(t, stats.Driver.RingDrops)
	require.Zero(t, stats.Driver.CopyDrops)
	require.Zero(t, stats.Driver.SendErrors)
	require.GreaterOrEqual(t, stats.ARP.Answered, uint64(2), "for the endpoint's address and for the NAT IP")
	require.EqualValues(t, 1, stats.Table.Links[0].SessionsOpened)
	t.Logf("%+v", stats.Driver)
}

func TestEngineCarriesManyConnectionsOneAfterTheOther(t *testing.T) {
	r := newRealEndpoint(t)
	l := listenTCP(t, r.provider, backend)
	defer l.Close()
	for i := range 50 {
		conn := dialTCP(t, r.consumer, endpoint)
		require.NoError(t, l.SetDeadline(time.Now().Add(10*time.Second)))
		peer, err := l.AcceptTCP()
		require.NoError(t, err)
		require.Equal(t, natIP, peer.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		want := fmt.Sprintf("answer %d", i)
		_, err = peer.Write([]byte(want))
		require.NoError(t, err)
		require.NoError(t, peer.Close())
		var got [32]byte
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		n, err := conn.Read(got[:])
		require.NoError(t, err)
		require.Equal(t, want, string(got[:n]))
		require.NoError(t, conn.Close())
	}
}

func TestEngineLetsAProviderOpenNothing(t *testing.T) {
	r := newRealEndpoint(t)
	var err error
	r.provider.do(t, func() error {
		d := net.Dialer{Timeout: 300 * time.Millisecond}
		_, err = d.Dial("tcp4", netip.AddrPortFrom(natIP, 5432).String())
		return nil
	})
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), "%v", err)
	require.Zero(t, r.engine.Stats().Driver.FramesWritten-r.engine.Stats().ARP.Answered)
}

// The devices stay, so what restarts goes on where its predecessor ended.
func TestRingLeavesItsDevicesAlone(t *testing.T) {
	e := newENIs(t)
	before, err := e.plane.handle.LinkList()
	require.NoError(t, err)
	require.NoError(t, e.plane.openRing(t, RingConfig{ENIs: e.index}).Close())
	after, err := e.plane.handle.LinkList()
	require.NoError(t, err)
	require.Equal(t, names(before), names(after))
	for _, link := range after[1:] {
		require.Zero(t, link.Attrs().Promisc, "%s", link.Attrs().Name)
	}
}

func names(links []netlink.Link) (names []string) {
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}
