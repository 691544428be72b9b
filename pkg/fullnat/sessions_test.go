package fullnat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func TestASessionIsFoundByWhatItsTargetSees(t *testing.T) {
	w := newTown(t, 210)
	egress := map[string]packet.ENI{}
	for _, l := range townLinks {
		egress[l.name] = l.egress
	}
	sessions := w.table.Sessions(nil, w.now)
	require.Len(t, sessions, 210)
	for _, s := range sessions {
		seen := packet.FiveTuple{Protocol: s.Protocol, Src: s.Local, Dst: s.Target}
		if s.Protocol != packet.ProtocolICMP {
			found, ok := w.table.SessionTo(egress[s.Link], seen, w.now)
			require.True(t, ok, s.Link)
			require.Equal(t, s, found)
		}
		_, ok := w.table.SessionTo(9, seen, w.now)
		require.False(t, ok, "no ENI has it")
		seen.Src, seen.Dst = seen.Dst, seen.Src
		_, ok = w.table.SessionTo(egress[s.Link], seen, w.now)
		require.False(t, ok, "the target sees the other direction")
	}
	for _, s := range sessions {
		seen := packet.FiveTuple{Protocol: s.Protocol, Src: s.Local, Dst: s.Target}
		_, ok := w.table.SessionTo(egress[s.Link], seen, w.now+2*time.Hour)
		require.False(t, ok, "it is over")
	}
}
