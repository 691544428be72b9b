package store

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddrs(t *testing.T) {
	t.Run("nat 57: an address keeps its number while somebody uses it", func(t *testing.T) {
		var a Addrs
		a.Init()
		one, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
		first, _ := a.Acquire(one)
		second, _ := a.Acquire(other)
		require.NotEqual(t, first, second)
		again, _ := a.Acquire(one)
		require.Equal(t, first, again)
		a.Hold(first)
		a.Release(first, first)
		require.Equal(t, one, a.Addr(first))
		a.Release(first)
		key := one.As16()
		require.Equal(t, Unknown, a.Find(&key))
		reused, _ := a.Acquire(netip.MustParseAddr("2001:db8::3"))
		require.Equal(t, first, reused)
		require.Equal(t, other, a.Addr(second))
		a.Release(reused, second)
		require.Len(t, a.All, 1, "what nobody uses any more takes no memory")
	})
	t.Run("an IPv4 address is its own number", func(t *testing.T) {
		var a Addrs
		a.Init()
		n, ok := a.Acquire(netip.MustParseAddr("10.0.1.10"))
		require.True(t, ok)
		require.EqualValues(t, 0x0a00010a, n)
		require.Equal(t, netip.MustParseAddr("10.0.1.10"), a.Addr(n))
		require.Empty(t, a.Number)
	})
}
