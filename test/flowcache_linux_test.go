package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// cachedTopology is of a connection that carries 1,024 Mbit/s at most.
const cachedTopology = `name: cached
cloud: alibaba
region: eu-central-1
vpcs:
  consumer:
    cidr: 10.1.0.0/16
    subnets: {s: {zone: eu-central-1b, cidr: 10.1.0.0/24}}
    security_groups:
      open: {ingress: [{protocol: all, source: 0.0.0.0/0}]}
      more: {ingress: [{protocol: tcp, source: 10.1.0.0/16}]}
    instances: {client: {subnet: s}}
  provider:
    cidr: 10.2.0.0/16
    subnets: {s: {zone: eu-central-1b, cidr: 10.2.0.0/24}}
    instances: {server: {subnet: s, services: [{echo: 7}]}, other: {subnet: s, services: [{echo: 7}]}}
server_groups:
  sink: {vpc: provider, protocol: tcp, health_check: {protocol: none}, servers: [{instance: server, port: 9}]}
  echo: {vpc: provider, protocol: tcp, servers: [{instance: server, port: 7}, {instance: other, port: 7}]}
load_balancers:
  clb1:
    type: clb
    vpc: provider
    subnets: [s]
    listeners: [{protocol: tcp, port: 9, server_group: sink}, {protocol: tcp, port: 7, server_group: echo}]
endpoint_services:
  svc1: {resources: [clb1], auto_accept: true, bandwidth: 1024}
endpoints:
  ep1: {service: svc1, vpc: consumer, subnets: [s], security_groups: [open]}
`

// cachedLab is a lab with a flow cache, and a stream through it as fast as it may be.
type cachedLab struct {
	*lab.Lab
	t        *testing.T
	client   *lab.Client
	conn     *net.TCPConn
	received atomic.Int64
}

func newCachedLab(t *testing.T) *cachedLab {
	plan, err := topofile.Parse("topology.yaml", []byte(cachedTopology))
	require.NoError(t, err)
	t.Setenv(labdir.RootVariable, t.TempDir())
	dir := labdir.Of(plan.Name)
	lock, err := dir.Lock()
	require.NoError(t, err)
	t.Cleanup(lock.Release)
	machine := kernel.New(dir)
	machine.FlowCache = dataplane.FlowCacheConfig{Mode: dataplane.FlowCacheAuto}
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: machine, Store: dir})
	require.NoError(t, err)
	c := &cachedLab{Lab: l, t: t}
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	c.client, err = l.Client("client")
	require.NoError(t, err)
	server, err := l.Client("server")
	require.NoError(t, err)
	sink, err := server.Listen(t.Context(), "tcp", ":9")
	require.NoError(t, err)
	t.Cleanup(func() { sink.Close() })
	go func() {
		conn, err := sink.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for buf := make([]byte, 1<<18); ; {
			n, err := conn.Read(buf)
			c.received.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	conn, err := c.client.DialContext(t.Context(), "tcp", c.endpoint(9))
	require.NoError(t, err)
	c.conn = conn.(*net.TCPConn)
	var sending sync.WaitGroup
	sending.Go(func() {
		for block := make([]byte, 1<<18); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		sending.Wait()
	})
	require.Eventually(t, c.isCarried, 20*time.Second, time.Millisecond, "the stream is bulk")
	return c
}

func (c *cachedLab) endpoint(port int) string {
	return fmt.Sprintf("%s:%d", c.Plan().Endpoints[0].Zones[0].ENI.IP, port)
}

func (c *cachedLab) frames() uint64 { return c.Status().Dataplane.FlowCache.Frames }

// isCarried says whether the kernel forwards the stream.
func (c *cachedLab) isCarried() bool {
	before := c.frames()
	time.Sleep(3 * time.Millisecond)
	return c.frames() > before
}

// loss is what a stream has lost, and how much of that is no fault of what forwards it.
type loss struct {
	segments int    // that the sender has sent again, and the receiver did not have
	crowded  uint64 // frames that had no place in a queue, as a busy machine did not come to read them
}

func (l loss) since(before loss) loss {
	return loss{l.segments - before.segments, l.crowded - before.crowded}
}
func (l loss) and(other loss) loss {
	return loss{l.segments + other.segments, l.crowded + other.crowded}
}

// lost is what the stream has lost so far.
func (c *cachedLab) lost() (l loss) {
	raw, err := c.conn.SyscallConn()
	require.NoError(c.t, err)
	var info *unix.TCPInfo
	require.NoError(c.t, raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}))
	require.NoError(c.t, err)
	l.segments = int(info.Total_retrans) - int(info.Dsack_dups) // which came twice, only late (RFC 2883)
	d := c.Status().Dataplane
	l.crowded = d.RingDrops + d.CopyDrops + d.Crowded
	// The second figure of a line is what one CPU dropped as its backlog was full.
	text, err := os.ReadFile("/proc/net/softnet_stat")
	require.NoError(c.t, err)
	for line := range strings.Lines(string(text)) {
		var processed, dropped uint64
		_, err := fmt.Sscanf(line, "%x %x", &processed, &dropped)
		require.NoError(c.t, err, line)
		l.crowded += dropped
	}
	return l
}

func (c *cachedLab) do(o topology.Operation) error {
	_, err := c.Do(c.t.Context(), o, 10*time.Second)
	return err
}

// toggle is something that is switched on and off.
type toggle struct {
	name    string
	on, off func() error
	// stops: as long as it is on, no packet of the connection may pass by the table.
	stops bool
}

func (c *cachedLab) changes() []toggle {
	var capture *lab.CaptureStream
	group := func(verb topology.Verb) func() error {
		return func() error { return c.do(topology.Operation{Verb: verb, Endpoint: "ep1", SecurityGroup: "more"}) }
	}
	server := func(verb topology.Verb) func() error {
		return func() error { return c.do(topology.Operation{Verb: verb, ServerGroup: "echo", Server: "other:7"}) }
	}
	return []toggle{
		{"a capture", func() (err error) {
			capture, err = c.Capture(status.CaptureOptions{Port: 1})
			return err
		}, func() error {
			capture.Close()
			return nil
		}, true},
		{"a fault", func() error {
			return c.SetFault(status.FaultChange{Endpoint: "ep1", Set: map[string]string{"delay": "100us"}})
		}, func() error { return c.ClearFaults("ep1") }, true},
		{"a security group", group(topology.VerbGroupAdd), group(topology.VerbGroupRemove), false},
		{"a drain", server(topology.VerbServerDeregister), server(topology.VerbServerRegister), false},
	}
}

// switchAll switches everything on and off once, and returns how long the cache went on after
// what it may not go on after.
func (c *cachedLab) switchAll() (inForce []time.Duration) {
	for _, ch := range c.changes() {
		require.NoError(c.t, ch.on(), ch.name)
		if ch.stops {
			inForce = append(inForce, c.standsStill(ch.name))
		}
		require.NoError(c.t, ch.off(), ch.name)
		require.Eventually(c.t, c.isCarried, 10*time.Second, time.Millisecond, "the kernel carries the stream after %s", ch.name)
	}
	return inForce
}

// A connection with a bandwidth is carried by the kernel, at its rate, and everything
// that must see its packets sees them at once, without a segment that is lost. Windows
// in which something is switched alternate with such in which nothing is. One in which
// the machine was too busy to read frames says nothing of either, and is tried again.
func TestSwitchingDoesNotDisturbAStreamInTheFlowCache(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	times := 5
	if os.Getenv("PLINKSIM_LONG") == "1" {
		times = 50
	}
	c := newCachedLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	var answers atomic.Int64
	failed := make(chan error, 50)
	for range 50 {
		loops.Go(func() {
			if err := askUntil(ctx, c.client, c.endpoint(7), &answers); err != nil {
				failed <- err
			}
		})
	}

	var switching, control loss
	var inForce []time.Duration
	var window time.Duration
	var bytes int64
	judged, tried := 0, 0
	for ; judged < times && tried < 4*times; tried++ {
		start, before, received := time.Now(), c.lost(), c.received.Load()
		delays := c.switchAll()
		took := time.Since(start)
		window += took
		bytes += c.received.Load() - received
		between := c.lost()
		time.Sleep(took)
		on, off := between.since(before), c.lost().since(between)
		if on.crowded == 0 {
			switching, control, inForce = switching.and(on), control.and(off), append(inForce, delays...)
			judged++
		}
	}
	cancel()
	loops.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	require.Equal(t, times, judged, "the machine is too busy to say whose fault a loss is")
	rate := float64(bytes) * 8 / window.Seconds() / 1e6
	slices.Sort(inForce)
	median, worst := inForce[len(inForce)/2], inForce[len(inForce)-1]
	t.Logf("%d changes in %s at %.0f Mbit/s with %d requests: in %d windows of %d %d segments lost, %d in windows without; "+
		"in force after %s (median), %s (worst)", tried*4, window.Round(time.Millisecond), rate, answers.Load(), judged, tried,
		switching.segments, control.segments, median, worst)
	require.LessOrEqual(t, switching.segments, control.segments)
	require.Less(t, median, 10*time.Millisecond)
	require.Less(t, worst, 100*time.Millisecond)
	require.Less(t, rate, 1.5*1024, "while one bucket takes over from another, both have credit")
	require.Positive(t, answers.Load())
}

// standsStill is how long at least the cache goes on after something was switched on: what it
// forwarded between two looks it may have forwarded right after the first of them.
func (c *cachedLab) standsStill(name string) time.Duration {
	start := time.Now()
	var last, looked time.Duration
	for before := c.frames(); ; {
		look := time.Since(start)
		now := c.frames()
		if now == before {
			break
		}
		before, last, looked = now, looked, look
	}
	still := c.frames()
	time.Sleep(5 * time.Millisecond)
	require.Equal(c.t, still, c.frames(), "the cache forwarded frames during %s", name)
	return last
}

// askUntil sends requests over one connection and expects each back.
func askUntil(ctx context.Context, client *lab.Client, address string, answers *atomic.Int64) error {
	conn, err := client.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for ask, got := []byte("question"), make([]byte, 8); ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Write(ask); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		answers.Add(1)
	}
	return nil
}
