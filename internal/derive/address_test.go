package derive

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNthAndPositionAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "base")))
		block := netip.PrefixFrom(base, rapid.IntRange(8, 30).Draw(t, "bits")).Masked()
		n := rapid.IntRange(0, Size(block)-1).Draw(t, "n")
		require.True(t, block.Contains(Nth(block, n)))
		require.Equal(t, n, Position(block, Nth(block, n)))
		require.Equal(t, Nth(block, n), Nth(block, n-Size(block)), "counted from behind")
	})
}

func TestChooseUsesEveryAddressOnceAndNoReservedOne(t *testing.T) {
	block := netip.MustParsePrefix("10.0.0.16/28")
	taken := map[netip.Addr]bool{}
	is := func(a netip.Addr) bool { return taken[a] }
	for i := range 16 - 1 - 3 {
		addr, ok := Address(block, 1, 3, string(rune('a'+i)), is)
		require.True(t, ok)
		require.False(t, taken[addr])
		taken[addr] = true
		at := Position(block, addr)
		require.True(t, at >= 1 && at < 13, addr)
	}
	_, ok := Address(block, 1, 3, "one more", is)
	require.False(t, ok)
	_, ok = Address(netip.MustParsePrefix("10.0.0.0/30"), 1, 3, "no room at all", is)
	require.False(t, ok)
}
