package store

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCountsGoOnWhereTheyWrap(t *testing.T) {
	var w Wraps
	var e Flow
	e.SetDirection(ToConsumer)
	random := rand.New(rand.NewPCG(1, 2))
	packets, bytes := uint64(0), uint64(0)
	for range 3*mostPackets + 7 {
		length := 1<<17 - 1 - random.Uint32N(100)
		w.Count(&e, length)
		packets, bytes = packets+1, bytes+uint64(length)
	}
	gotPackets, gotBytes := w.Of(&e)
	require.Equal(t, packets, gotPackets)
	require.Equal(t, bytes, gotBytes)
	require.Len(t, w, 1)
	w.Forget(&e)
	require.Empty(t, w, "a flow that ends leaves nothing behind")
}
