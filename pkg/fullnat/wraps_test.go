package fullnat

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

func TestPacketCountersGoOnBehind32Bits(t *testing.T) {
	l := newLab(t, 10)
	l.open(t, 1, 0)
	for i := range l.table.flows.All {
		if e := &l.table.flows.All[i]; e.Key.Rest != 0 && e.Direction == store.ToProvider {
			e.Packets = math.MaxUint32
		}
	}
	l.send(1, packet.FlagACK, 0)
	l.send(1, packet.FlagACK, 0)
	require.EqualValues(t, 1<<32+1, l.table.Sessions(nil, 0)[0].PacketsToProvider)
	require.EqualValues(t, 1, l.table.Sessions(nil, 0)[0].PacketsToConsumer)

	drain(l.table, time.Hour)
	require.Empty(t, l.table.wraps, "a session that ends leaves nothing behind")
}
