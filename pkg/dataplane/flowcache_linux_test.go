package dataplane

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/fullnat"
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

// Flows go on while nobody runs the session table, and the next one takes them over.
func TestCachedFlowsGoOnWithoutTheirProcess(t *testing.T) {
	for _, cfg := range []FlowCacheConfig{
		{Mode: FlowCacheForce, Hook: "tcx"}, {Mode: FlowCacheForce, Hook: "clsact"}, {Mode: FlowCacheAuto},
		{Mode: FlowCacheOff},
	} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d workers", cfg, workers), func(t *testing.T) {
				first := cfg
				if cfg.Mode == FlowCacheOff {
					first.Mode = FlowCacheAuto
				}
				r, plane, enis := newRealEnds(t)
				dir := t.TempDir()
				open := func(cache FlowCacheConfig) (w *RingWorkers, done chan error) {
					kept, err := OpenKept(dir)
					require.NoError(t, err)
					plane.do(t, func() (err error) {
						w, err = OpenWorkers(RingConfig{FlowCache: cache}, EngineConfig{Kept: kept}, workers)
						return err
					})
					require.NoError(t, w.SetENIs(enis))
					require.NoError(t, w.Configure(oneEndpoint()))
					done = make(chan error, 1)
					go func() { done <- w.Run(context.Background()) }()
					return w, done
				}
				w, done := open(first)
				l := listenTCP(t, r.provider, backend)
				defer l.Close()
				conn := dialTCP(t, r.consumer, endpoint)
				server, err := l.Accept()
				require.NoError(t, err)
				defer server.Close()
				var received atomic.Int64
				ended := make(chan error, 1)
				go func() {
					for buf := make([]byte, 1<<16); ; {
						n, err := server.Read(buf)
						received.Add(int64(n))
						if err != nil {
							ended <- err
							return
						}
					}
				}()
				stop, sent := make(chan struct{}), make(chan int64)
				go func() {
					total := int64(0)
					for block := make([]byte, 1<<18); ; {
						select {
						case <-stop:
							conn.Close()
							sent <- total
							return
						default:
						}
						n, _ := conn.Write(block)
						total += int64(n)
						time.Sleep(time.Millisecond)
					}
				}()
				passes := func(w *RingWorkers) func() bool {
					before := w.FlowCache().Frames
					return func() bool { return w.FlowCache().Frames > before+1000 }
				}
				require.Eventually(t, passes(w), 10*time.Second, time.Millisecond)
				require.NoError(t, w.Leave())
				require.NoError(t, <-done)

				more := func() func() bool {
					before := received.Load()
					return func() bool { return received.Load() > before+(8<<20) }
				}
				require.Eventually(t, more(), 10*time.Second, time.Millisecond, "while nobody is there")
				// What asks for a decision is lost now, and keeps nothing else from passing.
				setTTL(t, conn, 1)
				last := int64(-1)
				require.Eventually(t, func() bool {
					now := received.Load()
					stands := now == last
					last = now
					return stands
				}, 10*time.Second, 20*time.Millisecond, "segments without a hop left pass")
				setTTL(t, conn, 64)
				require.Eventually(t, more(), 10*time.Second, time.Millisecond, "after what was lost")
				w, done = open(cfg)
				require.Equal(t, fullnat.Resumed{Sessions: 1}, w.Resumed())
				if cfg.Mode != FlowCacheOff {
					require.Eventually(t, passes(w), 10*time.Second, time.Millisecond, "the next cache")
				}
				require.Eventually(t, more(), 10*time.Second, time.Millisecond)
				close(stop)
				total := <-sent
				require.ErrorIs(t, <-ended, io.EOF)
				require.Equal(t, total, received.Load())
				require.NoError(t, w.Close())
				require.NoError(t, <-done)
				plane.do(t, func() error {
					require.Empty(t, attachedPrograms(t), "something is left at the devices")
					return nil
				})
			})
		}
	}
}

// setTTL changes the TTL of what a connection sends from now on, a byte from 1 to 255.
func setTTL(t *testing.T, conn net.Conn, ttl int) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	var refused error
	require.NoError(t, raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl)
	}))
	require.NoError(t, refused)
}

// attachedPrograms are those at the devices of the namespace of this thread.
func attachedPrograms(t *testing.T) (ids []ebpf.ProgramID) {
	links, err := netlink.LinkList()
	require.NoError(t, err)
	for _, l := range links {
		there, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			for _, p := range there.Programs {
				ids = append(ids, p.ID)
			}
		}
		filters, _ := netlink.FilterList(l, netlink.HANDLE_MIN_INGRESS)
		for _, f := range filters {
			if f, ok := f.(*netlink.BpfFilter); ok {
				ids = append(ids, ebpf.ProgramID(f.Id))
			}
		}
	}
	return ids
}
