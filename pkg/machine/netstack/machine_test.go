package netstack_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shop = `
name: shop
cloud: aws
region: eu-west-1
accounts: [a]
vpcs:
  shop:
    cidr: 10.0.0.0/16
    subnets:
      s1: {zone: eu-west-1a, cidr: 10.0.1.0/24}
      s2: {zone: eu-west-1b, cidr: 10.0.2.0/24}
    security_groups:
      default: {ingress: [{protocol: all, source: 0.0.0.0/0}]}
      closed: {ingress: [{protocol: tcp, ports: 80, source: 10.0.1.0/24}]}
    instances:
      web: {subnet: s1, ip: 10.0.1.10}
      app: {subnet: s1, ip: 10.0.1.11}
      far: {subnet: s2, ip: 10.0.2.10}
      shut: {subnet: s2, ip: 10.0.2.11, security_groups: [closed]}
  data:
    cidr: 10.0.0.0/16
    subnets: {d1: {zone: eu-west-1a, cidr: 10.0.1.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances: {db: {subnet: d1, ip: 10.0.1.10, services: [{echo: 5432}]}}
server_groups:
  db: {vpc: data, protocol: tcp, servers: [{instance: db, port: 5432}]}
load_balancers:
  nlb: {type: nlb, vpc: data, subnets: [d1], listeners: [{protocol: tcp, port: 5432, server_group: db}]}
endpoint_services:
  svc: {resources: [nlb], auto_accept: true}
endpoints:
  ep: {service: svc, vpc: shop, subnets: [s1]}
`

func parse(t testing.TB, text string) *topology.Plan {
	t.Helper()
	plan, err := topofile.Parse("topology.yaml", []byte(text))
	require.NoError(t, err)
	return plan
}

// machine is one that a plan was put on, without a lab.
func machine(t testing.TB, plan *topology.Plan) *netstack.Machine {
	t.Helper()
	m := netstack.New()
	require.NoError(t, m.Change(t.Context(), nil, plan, quietly))
	t.Cleanup(func() { require.NoError(t, m.Remove(context.Background())) })
	return m
}

func quietly(int, int, string) {}

func spaceOf(t testing.TB, m *netstack.Machine, plan *topology.Plan, instance string) lab.Space {
	t.Helper()
	in, err := plan.Instance(instance)
	require.NoError(t, err)
	s, err := m.Space(in.Namespace)
	require.NoError(t, err)
	return s
}

// bubble runs a test in real time and in a bubble.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Run("real", test)
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, test) })
}

// echo sends a line and reads it back.
func echo(conn net.Conn) error {
	if _, err := fmt.Fprintln(conn, "select 1"); err != nil {
		return err
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && got != "select 1\n" {
		err = fmt.Errorf("read %q", got)
	}
	return err
}

func up(t testing.TB, plan *topology.Plan) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: netstack.New()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	return l
}

func dial(t testing.TB, l *lab.Lab, instance, ref, port string) net.Conn {
	t.Helper()
	client, err := l.Client(instance)
	require.NoError(t, err)
	name, err := l.Plan().Lookup(ref)
	require.NoError(t, err)
	conn, err := client.DialContext(t.Context(), "tcp", net.JoinHostPort(name, port))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// The promise of the package: the same test with and without a bubble.
func TestARequestPassesThroughAnEndpoint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := up(t, parse(t, shop))
		require.NoError(t, echo(dial(t, l, "web", "ep", "5432")))
	})
}

// At AWS a connection that is idle for 350 s is forgotten, and the next packet is
// answered by a RST. If stacks were not paused this would hang.
func TestTheIdleTimeoutOfAnNLB(t *testing.T) {
	plan, times := parse(t, shop), 20
	if os.Getenv("PLINKSIM_LONG") == "1" {
		times = 1000
	}
	for range times {
		synctest.Test(t, func(t *testing.T) {
			l := up(t, plan)
			start := time.Now()
			conn := dial(t, l, "web", "ep", "5432")
			require.NoError(t, echo(conn))
			time.Sleep(349 * time.Second)
			require.NoError(t, echo(conn), "a second before")
			time.Sleep(351 * time.Second)
			require.ErrorIs(t, echo(conn), syscall.ECONNRESET)
			require.InDelta(t, 700, time.Since(start).Seconds(), 1)
		})
	}
}

func TestAChangeLeavesAloneWhatItDoesNotTouch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := up(t, parse(t, shop))
		conn := dial(t, l, "web", "ep", "5432")
		require.NoError(t, echo(conn))
		change := func(from, to string) {
			require.Contains(t, shop, from)
			changed, err := l.Apply(t.Context(), parse(t, strings.Replace(shop, from, to, 1)), quietly)
			require.NoError(t, err)
			require.True(t, changed)
			require.NoError(t, echo(conn), "the connection goes on")
		}
		far := "      far: {subnet: s2, ip: 10.0.2.10}\n"
		change(far, far+"      new: {subnet: s2, ip: 10.0.2.20, services: [{http: 80, body: new}]}\n")
		client, err := l.Client("web")
		require.NoError(t, err)
		resp, err := client.HTTP().Get("http://10.0.2.20/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "new\n", string(body))

		change(far, far) // and away again
		change("s2: {zone: eu-west-1b, cidr: 10.0.2.0/24}",
			"s2: {zone: eu-west-1b, cidr: 10.0.2.0/24}\n      s3: {zone: eu-west-1b, cidr: 10.0.3.0/24}")
		change("endpoints:\n", "endpoints:\n  ep2: {service: svc, vpc: shop, subnets: [s1]}\n")
		require.NoError(t, echo(dial(t, l, "far", "ep2", "5432")), "the new ENI is plugged in")
	})
}

func TestAnInstanceThatMovesHasItsNewAddressOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // ARP takes its time to find nobody
		before := parse(t, shop)
		after := parse(t, strings.Replace(shop, "far: {subnet: s2, ip: 10.0.2.10}", "far: {subnet: s1, ip: 10.0.1.77}", 1))
		m := machine(t, before)
		require.NoError(t, m.Change(t.Context(), before, after, quietly))
		ln, err := spaceOf(t, m, after, "far").Listen(t.Context(), "tcp", ":80")
		require.NoError(t, err)
		defer ln.Close()
		web := spaceOf(t, m, after, "web")
		conn, err := web.DialContext(t.Context(), "tcp", "10.0.1.77:80")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		_, err = web.DialContext(t.Context(), "tcp", "10.0.2.10:80")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
	})
}

func TestAChangeThatFailsChangesNothing(t *testing.T) {
	plan := parse(t, shop)
	m := machine(t, plan)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.Change(ctx, plan, parse(t, strings.Replace(shop, "ip: 10.0.1.11", "ip: 10.0.1.12", 1)), quietly), context.Canceled)
	ln, err := spaceOf(t, m, plan, "app").Listen(t.Context(), "tcp", "10.0.1.11:80")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
}

// Sockets of a stack that is gone fail, and hang nobody.
func TestARemovedMachineEndsWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plan := parse(t, shop)
		m := machine(t, plan)
		space := spaceOf(t, m, plan, "web")
		ln, err := space.Listen(t.Context(), "tcp", ":80")
		require.NoError(t, err)
		pc, err := space.ListenPacket(t.Context(), "udp", ":80")
		require.NoError(t, err)
		conn, err := space.DialContext(t.Context(), "tcp", "10.0.1.10:80")
		require.NoError(t, err)
		ended := make(chan error)
		go func() { _, err := ln.Accept(); ln.Accept(); ended <- err }()
		go func() { _, _, err := pc.ReadFrom(make([]byte, 10)); ended <- err }()
		go func() { _, err := conn.Read(make([]byte, 10)); ended <- err }()
		time.Sleep(10 * time.Millisecond)
		require.NoError(t, m.Remove(t.Context()))
		for range 3 {
			<-ended
		}
		_, err = space.DialContext(t.Context(), "tcp", "10.0.1.10:80")
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = m.Space("web")
		require.ErrorContains(t, err, "no network stack")
	})
}

func TestProgramsDoNotRun(t *testing.T) {
	text := strings.Replace(shop, "services: [{echo: 5432}]", "services: [{command: [sleep, 9]}]", 1)
	_, err := lab.Start(t.Context(), lab.Config{Plan: parse(t, text), Machine: netstack.New()})
	require.ErrorContains(t, err, `instance "db": service command "sleep"`)
	require.ErrorContains(t, err, "runs no programs")
}

// A thousand instances take no more than a moment.
func TestManyInstances(t *testing.T) {
	var b strings.Builder
	b.WriteString("name: big\ncloud: aws\nregion: eu-west-1\naccounts: [a]\nvpcs:\n")
	for v := range 20 {
		fmt.Fprintf(&b, "  v%d:\n    cidr: 10.0.0.0/16\n    subnets: {s: {zone: eu-west-1a, cidr: 10.0.1.0/24}}\n    instances:\n", v)
		for i := range 10 {
			fmt.Fprintf(&b, "      i%d-%d: {subnet: s, services: [{http: 80}]}\n", v, i)
		}
	}
	l := up(t, parse(t, b.String()))
	client, err := l.Client("i7-1")
	require.NoError(t, err)
	at, err := l.Plan().Lookup("i7-9.ip")
	require.NoError(t, err)
	resp, err := client.HTTP().Get("http://" + at + "/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// The router says why a packet goes no further.
func TestTheRouterReports(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plan := parse(t, shop)
		web := spaceOf(t, machine(t, plan), plan, "web")
		for address, want := range map[string]error{
			"10.9.0.1:80":  syscall.ENETUNREACH,  // in no VPC
			"10.0.77.1:80": syscall.ENETUNREACH,  // in no subnet
			"10.0.1.77:80": syscall.EHOSTUNREACH, // nobody answers in the own one
		} {
			if testing.Short() && want == syscall.EHOSTUNREACH {
				continue
			}
			_, err := web.DialContext(t.Context(), "tcp", address)
			require.ErrorIs(t, err, want, address)
		}
	})
}
