package topology

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFreeNATPortIsFoundWhereOneIsLeft(t *testing.T) {
	require.Equal(t, uint16(4000), FreeNATPort("x", func(p uint16) bool { return p != 4000 }))
	require.Zero(t, FreeNATPort("x", func(uint16) bool { return true }))
	free := func(uint16) bool { return false }
	require.Equal(t, FreeNATPort("x", free), FreeNATPort("x", free), "the same key, the same port")
	require.NotEqual(t, FreeNATPort("x", free), FreeNATPort("y", free))
}
