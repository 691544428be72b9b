package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topology"
)

// twoBalancers is a service with two load balancers in one zone. Each leads to
// a server of its own.
const twoBalancers = `
name: replace
cloud: alibaba
region: eu-central-1
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {vsw1: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    security_groups:
      web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}
      none: {ingress: []}
    instances: {ecs1: {subnet: vsw1, ip: 10.0.0.10}}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: {vsw2: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    instances: {ecs2: {subnet: vsw2, ip: 10.0.0.10}, ecs3: {subnet: vsw2, ip: 10.0.0.11}}
server_groups:
  rs2: {vpc: vpc2, health_check: {protocol: none}, servers: [{instance: ecs2, port: 80}]}
  rs3: {vpc: vpc2, health_check: {protocol: none}, servers: [{instance: ecs3, port: 80}]}
load_balancers:
  clb2: {type: clb, vpc: vpc2, subnets: [vsw2], listeners: [{protocol: tcp, port: 80, server_group: rs2}]}
  clb3: {type: clb, vpc: vpc2, subnets: [vsw2], listeners: [{protocol: tcp, port: 80, server_group: rs3}]}
endpoint_services:
  svc1: {resources: [clb2, clb3]}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1], security_groups: [web]}
`

const downloads = 100

// A load balancer is replaced under 100 running downloads: none is cut, all
// bytes are right, and later clients are served by the new one. When the
// last download has ended, the old load balancer is released.
func TestAGracefulReplacementCutsNoDownload(t *testing.T) {
	l := plinktest.UpText(t, twoBalancers)
	l.Do(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1", Resources: []topology.Resource{{LoadBalancer: "clb2", Zone: "eu-central-1b"}}})
	end := make(chan struct{})
	stream(t, l, "ecs2", 20*time.Millisecond, end)
	stream(t, l, "ecs3", 20*time.Millisecond, end)

	client, address := l.Instance("ecs1"), l.Name("ep1.ip")+":80"
	running := make([]*download, downloads)
	for i := range running {
		running[i] = begin(t, client, address)
		require.Equal(t, "ecs2", running[i].server)
	}
	progress(t, running)

	l.Do(replacement("clb3", false))
	zone := zoneOfReplaced(l)
	require.Equal(t, control.Migrated, zone.State)
	require.Equal(t, "clb3", zone.LoadBalancer)
	require.Equal(t, "clb2", zone.Replaced)
	later := begin(t, client, address)
	require.Equal(t, "ecs3", later.server, "a new session goes to the new load balancer")
	progress(t, append(running, later))
	require.Equal(t, control.Migrated, zoneOfReplaced(l).State, "sessions still go through the old one")

	close(end)
	for _, d := range append(running, later) {
		<-d.ended
		require.NoError(t, d.err)
	}
	require.Eventually(t, func() bool { return zoneOfReplaced(l).State == control.Connected }, 30*time.Second, 50*time.Millisecond,
		"the old load balancer is released when nothing goes through it")
	require.Empty(t, zoneOfReplaced(l).Replaced)
}

// By force, the sessions that are there end with the old load balancer.
func TestAForcedReplacementEndsSessions(t *testing.T) {
	l := plinktest.UpText(t, twoBalancers)
	l.Do(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1", Resources: []topology.Resource{{LoadBalancer: "clb2", Zone: "eu-central-1b"}}})
	end := make(chan struct{})
	defer close(end)
	stream(t, l, "ecs2", 20*time.Millisecond, end)
	stream(t, l, "ecs3", 20*time.Millisecond, end)
	client, address := l.Instance("ecs1"), l.Name("ep1.ip")+":80"
	d := begin(t, client, address)
	progress(t, []*download{d})

	l.Do(replacement("clb3", true))
	require.Equal(t, control.Connected, zoneOfReplaced(l).State)
	for _, s := range l.Sessions() {
		require.NotEqual(t, netip.MustParseAddrPort("10.0.0.10:80"), s.Target)
	}
	require.Equal(t, "ecs3", begin(t, client, address).server)
}

// A bandwidth counts for the sessions that are there: their packets begin to
// wait, and stop when the limit is gone.
func TestABandwidthIsInForceAtOnce(t *testing.T) {
	l := plinktest.UpText(t, twoBalancers)
	none, little := 0, topology.MinMegabits
	l.Do(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1", Bandwidth: &none})
	end := make(chan struct{})
	defer close(end)
	stream(t, l, "ecs2", 10*time.Microsecond, end)
	stream(t, l, "ecs3", 10*time.Microsecond, end)
	d := []*download{begin(t, l.Instance("ecs1"), l.Name("ep1.ip")+":80")}
	progress(t, d)
	require.Zero(t, waited(l))

	l.Do(topology.Operation{Verb: "bandwidth", Service: "svc1", Endpoint: "ep1", Bandwidth: &little})
	require.Eventually(t, func() bool { return waited(l) > 0 }, 30*time.Second, 10*time.Millisecond)
	progress(t, d)
	l.Do(topology.Operation{Verb: "bandwidth", Service: "svc1", Endpoint: "ep1", Bandwidth: &none})
	for before := uint64(0); waited(l) != before; { // what waits behind others still does
		before = waited(l)
		progress(t, d)
	}
}

// Security groups are asked when a session begins: one that is there goes on
// when they change, and a new one is judged by the groups of now.
func TestSecurityGroupsChangeForNewSessions(t *testing.T) {
	l := plinktest.UpText(t, twoBalancers)
	l.Accept("svc1", "ep1")
	end := make(chan struct{})
	defer close(end)
	stream(t, l, "ecs2", 20*time.Millisecond, end)
	stream(t, l, "ecs3", 20*time.Millisecond, end)
	client, address := l.Instance("ecs1"), l.Name("ep1.ip")+":80"
	d := []*download{begin(t, client, address)}

	l.Do(topology.Operation{Verb: "group-add", Endpoint: "ep1", SecurityGroup: "none"})
	l.Do(topology.Operation{Verb: "group-remove", Endpoint: "ep1", SecurityGroup: "web"})
	progress(t, d)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := client.DialContext(ctx, "tcp", address)
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout(), "it is dropped, not refused: %v", err)

	l.Do(topology.Operation{Verb: "group-add", Endpoint: "ep1", SecurityGroup: "web"})
	begin(t, client, address)
	progress(t, d)
}

// waited is how many packets to the consumer have waited for bandwidth.
func waited(l *plinktest.Lab) uint64 { return l.Running().Faults().Links[0].ToConsumer.Frames.Delayed }

func replacement(by string, force bool) topology.Operation {
	return topology.Operation{Verb: "replace", Service: "svc1", Endpoint: "ep1", Zone: "eu-central-1b", Resource: by, Force: force}
}

func zoneOfReplaced(l *plinktest.Lab) control.Zone {
	c, _ := l.Running().Plane().State().Connection("svc1", "ep1")
	return c.Zones[0]
}

// stream lets an instance send its name to every client, and then a block
// of bytes in each pace until end is closed.
func stream(t *testing.T, l *plinktest.Lab, instance string, pace time.Duration, end <-chan struct{}) {
	ln, err := l.Instance(instance).Listen(t.Context(), "tcp", ":80")
	require.NoError(t, err)
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			serving.Go(func() {
				defer stop()
				defer conn.Close()
				send(conn, instance, pace, end)
			})
		}
	})
}

func send(w io.Writer, instance string, pace time.Duration, end <-chan struct{}) {
	fmt.Fprintln(w, instance)
	block := make([]byte, 4<<10)
	next := time.NewTicker(pace)
	defer next.Stop()
	for sent := 0; ; sent += len(block) {
		select {
		case <-end:
			return
		case <-next.C:
		}
		for i := range block {
			block[i] = byte((sent + i) % 251)
		}
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// download is one that goes on until its server ends it.
type download struct {
	server string
	bytes  atomic.Int64
	ended  chan struct{}
	err    error // once ended
}

func begin(t *testing.T, client *plinktest.Instance, address string) *download {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := client.DialContext(ctx, "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	in := bufio.NewReader(conn)
	name, err := in.ReadString('\n')
	require.NoError(t, err)
	d := &download{server: strings.TrimSpace(name), ended: make(chan struct{})}
	go d.read(conn, in)
	return d
}

func (d *download) read(conn net.Conn, in io.Reader) {
	defer close(d.ended)
	defer conn.Close()
	block := make([]byte, 16<<10)
	for {
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := in.Read(block)
		for i, b := range block[:n] {
			if want := byte((d.bytes.Load() + int64(i)) % 251); b != want {
				d.err = fmt.Errorf("byte %d is %d, not %d", d.bytes.Load()+int64(i), b, want)
				return
			}
		}
		d.bytes.Add(int64(n))
		if err != nil {
			if !errors.Is(err, io.EOF) {
				d.err = err
			}
			return
		}
	}
}

// progress returns when every download has got more than it has now.
func progress(t *testing.T, running []*download) {
	t.Helper()
	before := make([]int64, len(running))
	for i, d := range running {
		before[i] = d.bytes.Load()
	}
	require.Eventually(t, func() bool {
		for i, d := range running {
			if d.bytes.Load() <= before[i] {
				return false
			}
		}
		return true
	}, 30*time.Second, 20*time.Millisecond, "every download goes on")
}
