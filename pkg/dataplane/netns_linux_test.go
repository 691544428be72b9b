package dataplane

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/plinksim/plinksim/internal/testenv"
)

// namespace is a network namespace without a name: it goes away with the
// last thing in it.
type namespace struct {
	ns     netns.NsHandle
	handle *netlink.Handle
}

// newNamespace makes a namespace in which no device speaks IPv6.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	testenv.NeedRoot(t)
	n := &namespace{}
	onThread(t, func() error {
		origin, err := netns.Get()
		if err != nil {
			return err
		}
		defer origin.Close()
		if n.ns, err = netns.New(); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil &&
			!os.IsNotExist(err) {
			return err
		}
		return netns.Set(origin)
	})
	var err error
	n.handle, err = netlink.NewHandleAt(n.ns)
	require.NoError(t, err)
	t.Cleanup(func() {
		n.handle.Close()
		require.NoError(t, n.ns.Close())
	})
	return n
}

// do runs f on a thread that is in the namespace.
func (n *namespace) do(t testing.TB, f func() error) {
	t.Helper()
	onThread(t, func() error {
		origin, err := netns.Get()
		if err != nil {
			return err
		}
		defer origin.Close()
		if err := netns.Set(n.ns); err != nil {
			return err
		}
		if err := f(); err != nil {
			_ = netns.Set(origin)
			return err
		}
		return netns.Set(origin)
	})
}

// onThread runs f locked to a thread that ends with it if f fails, because it
// may then be in the wrong namespace.
func onThread(t testing.TB, f func() error) {
	t.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := f()
		if err == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	require.NoError(t, <-result)
}

// veth makes a pair of devices, here in n and there in peer, and takes both
// up. It returns their interface indexes.
func (n *namespace) veth(t testing.TB, here string, peer *namespace, there string) (int, int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = here
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerNamespace = there, netlink.NsFd(peer.ns)
	require.NoError(t, n.handle.LinkAdd(pair))
	hereIndex, thereIndex := n.up(t, here), peer.up(t, there)
	n.awaitCarrier(t, here)
	peer.awaitCarrier(t, there)
	return hereIndex, thereIndex
}

// awaitCarrier waits until the kernel has noticed that the other end of a pair
// is up. It does so in its own time, and until then drops what is sent without
// a word (linux: net/core/link_watch.c, noop_qdisc).
func (n *namespace) awaitCarrier(t testing.TB, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		link, err := n.handle.LinkByName(name)
		return err == nil && link.Attrs().OperState == netlink.OperUp
	}, 10*time.Second, time.Millisecond, "%s has no carrier", name)
}

func (n *namespace) up(t testing.TB, name string) int {
	t.Helper()
	link, err := n.handle.LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, n.handle.LinkSetUp(link))
	return link.Attrs().Index
}

func (n *namespace) address(t testing.TB, name, cidr string) {
	t.Helper()
	link, err := n.handle.LinkByName(name)
	require.NoError(t, err)
	addr, err := netlink.ParseAddr(cidr)
	require.NoError(t, err)
	require.NoError(t, n.handle.AddrAdd(link, addr))
}

// withFlowCache is cfg with the flow cache that the environment asks for.
func withFlowCache(t testing.TB, cfg RingConfig) RingConfig {
	if text := os.Getenv(testenv.FlowCacheVariable); text != "" && cfg.FlowCache.Mode == "" {
		var err error
		cfg.FlowCache, err = ParseFlowCache(text)
		require.NoError(t, err)
	}
	return cfg
}

// openRing opens a ring in the namespace, with a flow cache where the environment
// says so.
func (n *namespace) openRing(t testing.TB, cfg RingConfig) *Ring {
	t.Helper()
	cfg = withFlowCache(t, cfg)
	var ring *Ring
	n.do(t, func() (err error) {
		ring, err = OpenRing(cfg)
		return err
	})
	return ring
}
