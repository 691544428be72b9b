package fullnat

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func TestPendingKeepsFramesUntilTheyAreTakenAndNoLonger(t *testing.T) {
	var table Table
	require.Empty(t, table.Pending())
	for i := range 100 {
		copy(table.pending.add(3, 1000), []byte{byte(i)})
	}
	frames := table.Pending()
	require.Len(t, frames, 100)
	for i, f := range frames {
		require.EqualValues(t, 3, f.ENI)
		require.Len(t, f.Data, 1000)
		require.EqualValues(t, i, f.Data[0])
	}
	require.Empty(t, table.Pending())
	require.Equal(t, make([]byte, 60), table.pending.add(1, 60), "memory that is used again is cleared")
	require.Len(t, table.Pending(), 1)
}

func TestPendingRefusesMoreThanItsBounds(t *testing.T) {
	var table Table
	for range maxPendingFrames {
		require.NotNil(t, table.pending.add(1, 60))
	}
	require.True(t, table.pending.add(1, 60) == nil)
	require.Len(t, table.Pending(), maxPendingFrames)
	for range maxPendingBytes / 65000 {
		require.True(t, table.pending.add(1, 65000) != nil)
	}
	require.True(t, table.pending.add(1, 65000) == nil)
	require.EqualValues(t, 2, table.pending.refused)
}

func TestPendingKnowsWhatEachFrameBelongsTo(t *testing.T) {
	var table Table
	for range 2 {
		table.pending.came = 7
		table.pending.add(7, 60)
		table.pending.addFrom(8, 9, 60)
		table.pending.came = 5
		table.pending.add(9, 60)
		require.Len(t, table.Pending(), 3)
		require.Equal(t, []packet.ENI{7, 8, 5}, table.PendingSources())
	}
}
