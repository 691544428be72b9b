package dataplane

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
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

// Packets pay for the programs only while something is cached, and a stream goes on
// when they come and go.
func TestTheProgramsComeWithBulkAndGoAfterIt(t *testing.T) {
	for _, hook := range []string{"tcx", "clsact"} {
		t.Run(hook, func(t *testing.T) {
			r := newCachedEndpoint(t, FlowCacheConfig{Mode: FlowCacheAuto, Hook: hook, linger: 50 * time.Millisecond})
			l := listenTCP(t, r.provider, backend)
			defer l.Close()
			conn := dialTCP(t, r.consumer, endpoint)
			server, err := l.Accept()
			require.NoError(t, err)
			defer server.Close()
			received := make(chan int64)
			go func() {
				n, _ := io.Copy(io.Discard, server)
				received <- n
			}()
			want := int64(0)
			send := func(size int, pause time.Duration) {
				n, err := conn.Write(make([]byte, size))
				require.NoError(t, err)
				want += int64(n)
				time.Sleep(pause)
			}
			for range 20 {
				send(1000, time.Millisecond)
			}
			require.Empty(t, r.ring.flowCacheStats().Hook, "little is not bulk")
			for round := range 3 {
				require.Eventually(t, func() bool {
					send(256<<10, time.Millisecond)
					return r.ring.flowCacheStats().Sessions == 1
				}, 10*time.Second, time.Microsecond, "round %d: there is bulk", round)
				require.Equal(t, hook, r.ring.flowCacheStats().Hook)
				before := r.engine.Stats().Table.Cache.Frames
				require.Eventually(t, func() bool {
					send(256<<10, time.Millisecond)
					return r.engine.Stats().Table.Cache.Frames > before+100
				}, 10*time.Second, time.Microsecond, "round %d: the kernel forwards it", round)
				require.Eventually(t, func() bool {
					send(1000, 10*time.Millisecond)
					return r.ring.flowCacheStats().Hook == ""
				}, 10*time.Second, time.Microsecond, "round %d: there is no bulk any more", round)
			}
			require.NoError(t, conn.Close())
			require.Equal(t, want, <-received)
			require.Empty(t, r.ring.flowCacheStats().Problem)
		})
	}
}

// What must see all packets does so from the moment on in which it is switched on,
// and nothing of a stream is lost.
func TestPacketsComeBackAtOnceWhenSomethingIsSwitchedOn(t *testing.T) {
	r := newCachedEndpoint(t, FlowCacheConfig{Mode: FlowCacheForce})
	shaped := oneEndpoint()
	shaped.Shaping.Links = []ShapedLink{{
		Name: "ep1", ENIs: []packet.ENI{endpointENI}, ToProvider: topology.Impairment{Bandwidth: 100e9},
	}}
	switches := []func() (off func(), err error){
		func() (func(), error) {
			c, err := r.engine.Capture(CaptureConfig{
				ENIs: []packet.ENI{nodeENI}, Name: func(packet.ENI) string { return "clb1" }, Queue: 1,
			})
			return func() { c.Close() }, err
		},
		func() (func(), error) {
			return func() { _ = r.engine.Configure(oneEndpoint()) }, r.engine.Configure(shaped)
		},
	}
	forwarded := func() uint64 { return r.engine.Stats().Table.Cache.Frames }
	stop, done := make(chan struct{}), make(chan error, 1)
	var took []time.Duration
	go func() {
		done <- func() error {
			for n := 0; len(took) < 100; n++ {
				for before := forwarded(); forwarded() == before; time.Sleep(time.Millisecond) {
					select {
					case <-stop:
						return nil
					default:
					}
				}
				began := time.Now()
				off, err := switches[n%len(switches)]()
				if err != nil {
					return err
				}
				for now, before := forwarded(), uint64(0); now != before; now = forwarded() {
					took = append(took[:n], time.Since(began))
					before = now
					time.Sleep(200 * time.Microsecond)
				}
				still := forwarded()
				time.Sleep(2 * time.Millisecond)
				if now := forwarded(); now != still {
					return fmt.Errorf("switch %d: the cache forwarded %d frames afterwards", n, now-still)
				}
				off()
			}
			return nil
		}()
	}()
	l := listenTCP(t, r.provider, backend)
	defer l.Close()
	conn := dialTCP(t, r.consumer, endpoint)
	got, want := send(t, conn, l, 256<<20)
	close(stop)
	require.NoError(t, <-done)
	require.Equal(t, want, got)
	require.Greater(t, len(took), 10)
	slices.Sort(took)
	t.Logf("%d times: median %s, worst %s", len(took), took[len(took)/2], took[len(took)-1])
	require.Less(t, took[len(took)/2], 10*time.Millisecond)
	require.Positive(t, r.engine.Stats().Driver.SuperframesRead, "userspace has had its part of the stream")
}

func TestWithoutTheKernelsHelpAllGoesThroughUserspace(t *testing.T) {
	r := newCachedEndpoint(t, FlowCacheConfig{Mode: FlowCacheForce, Hook: "none"})
	require.Equal(t, "refused, as a test wants it", r.ring.flowCacheStats().Problem)
	l := listenTCP(t, r.provider, backend)
	defer l.Close()
	got, want := send(t, dialTCP(t, r.consumer, endpoint), l, 1<<20)
	require.Equal(t, want, got)
	require.Zero(t, r.engine.Stats().Table.Cache)
}
