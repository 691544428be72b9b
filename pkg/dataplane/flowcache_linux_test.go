package dataplane

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFlowCacheCarriesADownload(t *testing.T) {
	for _, hook := range []string{"tcx", "clsact"} {
		t.Run(hook, func(t *testing.T) {
			r := newCachedEndpoint(t, FlowCacheConfig{Mode: FlowCacheForce, Hook: hook})
			l := listenTCP(t, r.provider, backend)
			defer l.Close()
			conn := dialTCP(t, r.consumer, endpoint)
			const size = 64 << 20
			got, want := send(t, conn, l, size)
			require.Equal(t, want, got)

			cache := r.ring.flowCacheStats()
			require.Empty(t, cache.Problem)
			require.Equal(t, hook, cache.Hook)
			require.EqualValues(t, 1, cache.Added)
			stats := r.engine.Stats()
			t.Logf("%+v", stats.Driver)
			require.Less(t, stats.Driver.BytesRead, uint64(size/2), "the cache takes most of it")
			link := stats.Table.Links[0]
			require.Greater(t, link.BytesToProvider, uint64(size), "what the cache forwarded is counted")
			require.EqualValues(t, link.PacketsToProvider+link.PacketsToConsumer, stats.Table.Verdicts[0])
			for _, eni := range stats.ENIs {
				t.Logf("%+v", eni)
			}
		})
	}
}
