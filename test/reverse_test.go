package test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topology"
)

// reverse is a provider with a NAT gateway and a user with a server that has
// security groups: the endpoint's and the server's own.
func reverse(endpoint, server, gateway string) string {
	return fmt.Sprintf(`
name: reverse
cloud: alibaba
region: cn-beijing
vpcs:
  provider:
    cidr: 172.16.0.0/16
    subnets:
      vsw: {zone: cn-beijing-h, cidr: 172.16.0.0/24}
      other: {zone: cn-beijing-h, cidr: 172.16.1.0/24}
    instances:
      ecs: {subnet: vsw, ip: 172.16.0.9}
      far: {subnet: other, ip: 172.16.1.9}
  user:
    cidr: 192.168.0.0/16
    subnets: {vsw: {zone: cn-beijing-h, cidr: 192.168.0.0/24}}
    security_groups:
      endpoint: {%s}
      mysql: {ingress: [%s]}
    instances:
      db: {subnet: vsw, ip: 192.168.0.86, security_groups: [mysql], services: [{tcp: 3306, body: "db greets {client}"}, {udp: 53, body: "db answers {client}"}]}
nat_gateways:
  ngw: {type: FullNat, vpc: provider, subnet: vsw, %s}
endpoint_services:
  svc: {resources: [ngw], auto_accept: true}
endpoints:
  ep: {service: svc, vpc: user, subnets: {vsw: {ip: 192.168.0.50}}, security_groups: [endpoint]}
`, endpoint, server, gateway)
}

const (
	open    = "ingress: [{protocol: all, source: 0.0.0.0/0}]"
	mysql   = "{protocol: tcp, ports: 3306, source: 192.168.0.50/32}"
	entries = "nat_ips: [172.16.0.5], full_nat: {db: {nat_ip: 172.16.0.5, nat_port: 13306, endpoint: ep, access_ip: 192.168.0.86, access_port: 3306}}"
)

// greeting is the first line that comes from an address, or the error.
func greeting(t *testing.T, from *plinktest.Instance, address string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := from.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

func TestWhatLetsReverseAccessPass(t *testing.T) {
	for _, tt := range []struct {
		name    string
		text    string
		from    string
		address string
		want    string // "" is a timeout
		verdict string // that is counted
	}{
		{"the groups let it pass", reverse(open, mysql, entries), "ecs", "172.16.0.5:13306", "db greets 192.168.0.50", "Forwarded"},
		{"an instance of another subnet goes over the router", reverse(open, mysql, entries), "far", "172.16.0.5:13306", "db greets 192.168.0.50", "Forwarded"},
		{"the server's group is without the port", reverse(open, "{protocol: tcp, ports: 3307, source: 0.0.0.0/0}", entries), "ecs", "172.16.0.5:13306", "", "Forwarded"},
		{"the server's group does not know the endpoint's address", reverse(open, "{protocol: tcp, ports: 3306, source: 172.16.0.0/16}", entries), "ecs", "172.16.0.5:13306", "", "Forwarded"},
		{"the endpoint's group is closed", reverse("ingress: []", mysql, entries), "ecs", "172.16.0.5:13306", "", "Denied"},
		{"the endpoint's group is without the server's port", reverse("ingress: [{protocol: tcp, ports: 13306, source: 0.0.0.0/0}]", mysql, entries), "ecs", "172.16.0.5:13306", "", "Denied"},
		{"the endpoint's group lets the server's port in", reverse("ingress: [{protocol: tcp, ports: 3306, source: 172.16.0.9/32}]", mysql, entries), "ecs", "172.16.0.5:13306", "db greets 192.168.0.50", "Forwarded"},
		{"the endpoint's egress rules play no part", reverse(open+", egress: []", mysql, entries), "ecs", "172.16.0.5:13306", "db greets 192.168.0.50", "Forwarded"},
		{"a port without an entry", reverse(open, mysql, entries), "ecs", "172.16.0.5:3306", "", "NoListener"},
		{"NAT IPs outside of the VPC are routed to the gateway", reverse(open, mysql, "nat_cidr: 10.9.0.0/24, "+strings.ReplaceAll(entries, "172.16.0.5", "10.9.0.200")), "far", "10.9.0.200:13306", "db greets 192.168.0.50", "Forwarded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := plinktest.UpText(t, tt.text)
			got, err := greeting(t, l.Instance(tt.from), tt.address)
			require.Equal(t, tt.want, got)
			if tt.want == "" {
				requireTimeout(t, err)
			}
			require.NotZero(t, l.Status().Dataplane.Verdicts[tt.verdict], "%v", l.Status().Dataplane.Verdicts)
		})
	}
}

// What the user's server sends goes to the provider, in counters and sessions.
func TestReverseAccessCarriesDatagramsAndCountsTheirDirections(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, reverse(open, "{protocol: udp, ports: 53, source: 0.0.0.0/0}",
		"nat_ips: [172.16.0.5], full_nat: {dns: {nat_ip: 172.16.0.5, nat_port: 53, protocol: udp, endpoint: ep, access_ip: 192.168.0.86, access_port: 53}}"))
	conn, err := l.Instance("ecs").DialContext(t.Context(), "udp", "172.16.0.5:53")
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*time.Second)))
	_, err = conn.Write([]byte("?"))
	require.NoError(t, err)
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	require.NoError(t, err)
	const answer = "db answers 192.168.0.50\n"
	require.Equal(t, answer, string(buf[:n]))

	const headers = 20 + 8 // IPv4 and UDP
	session := l.Sessions()[0]
	require.Equal(t, "172.16.0.5:53", session.Endpoint.String())
	require.Equal(t, "192.168.0.50", session.NAT.Addr().String())
	require.Equal(t, "192.168.0.86:53", session.Target.String())
	require.EqualValues(t, headers+1, session.BytesToConsumer)
	require.EqualValues(t, headers+len(answer), session.BytesToProvider)
	for _, link := range []uint64{l.Status().Links[0].BytesToProvider, l.Running().Metrics().Engine.Table.Links[0].BytesToProvider} {
		require.Equal(t, session.BytesToProvider, link)
	}
}

// An entry that leads elsewhere leaves the connections alone that are there,
// and its deletion ends those to both.
func TestAChangedEntryLeavesOpenConnectionsAlone(t *testing.T) {
	t.Parallel()
	text := reverse(open, "{protocol: all, source: 0.0.0.0/0}",
		"nat_ips: [172.16.0.5], full_nat: {db: {nat_ip: 172.16.0.5, nat_port: 7, endpoint: ep, access_ip: 192.168.0.86, access_port: 7}}")
	text = strings.Replace(text, "      db: {", "      db2: {subnet: vsw, ip: 192.168.0.87, services: [{echo: 7}]}\n      db: {", 1)
	text = strings.Replace(text, "{tcp: 3306, body", "{echo: 7}, {tcp: 3306, body", 1)
	l := plinktest.UpText(t, text)
	dial := func() net.Conn {
		conn, err := l.Instance("ecs").DialContext(t.Context(), "tcp", "172.16.0.5:7")
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	answers := func(conn net.Conn) error {
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Second)))
		_, err := conn.Write([]byte("hello"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 5))
		return err
	}
	targets := func() (out []string) {
		for _, s := range l.Sessions() {
			out = append(out, s.Target.String())
		}
		return out
	}
	before := dial()
	require.NoError(t, answers(before))
	l.Do(topology.Operation{Verb: "entry-modify", NATGateway: "ngw", Entry: "db", AccessIP: netip.MustParseAddr("192.168.0.87")})
	after := dial()
	require.NoError(t, answers(after))
	require.NoError(t, answers(before))
	require.ElementsMatch(t, []string{"192.168.0.86:7", "192.168.0.87:7"}, targets())

	l.Do(topology.Operation{Verb: "entry-delete", NATGateway: "ngw", Entry: "db"})
	requireTimeout(t, answers(before))
	requireTimeout(t, answers(after))
	require.Empty(t, targets())
}

// twoCustomers have VPCs, servers and ENIs with the same addresses, and share a
// NAT IP of their provider.
const twoCustomers = `
name: two-customers
cloud: alibaba
region: cn-beijing
vpcs:
  provider: {cidr: 172.16.0.0/16, subnets: {vsw: {zone: cn-beijing-h, cidr: 172.16.0.0/24}}, instances: {ecs: {subnet: vsw, ip: 172.16.0.9}}}
  blue: &customer {cidr: 172.16.0.0/16, subnets: {vsw: {zone: cn-beijing-h, cidr: 172.16.0.0/24}}, instances: {db: {subnet: vsw, ip: 172.16.0.86}}}
  red: *customer
nat_gateways:
  ngw:
    type: FullNat
    vpc: provider
    subnet: vsw
    nat_ips: [172.16.0.5]
    full_nat:
      blue: {nat_ip: 172.16.0.5, nat_port: 7, endpoint: blue, access_ip: 172.16.0.86, access_port: 7}
      red: {nat_ip: 172.16.0.5, nat_port: 1007, endpoint: red, access_ip: 172.16.0.86, access_port: 7}
endpoint_services:
  svc: {resources: [ngw], auto_accept: true}
endpoints:
  blue: {service: svc, vpc: blue, subnets: {vsw: {ip: 172.16.0.50}}}
  red: {service: svc, vpc: red, subnets: {vsw: {ip: 172.16.0.50}}}
`

// 5,000 connections to each of two customers at once: every byte that is sent
// comes back from where it went, with the name of the server, and none from
// the other.
func TestTwoCustomersWithTheSameAddressesNeverMix(t *testing.T) {
	t.Parallel()
	const each = 5000
	l := plinktest.UpText(t, twoCustomers)
	customers := []string{"blue", "red"}
	for _, name := range customers {
		echoProcess(t, l.Instance(name+"/db"), name)
	}
	provider := l.Instance("ecs")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	var conns [2 * each]net.Conn
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	address := []string{"172.16.0.5:7", "172.16.0.5:1007"}
	eachOf(t, len(conns), func(i int) error {
		conn, err := provider.DialContext(ctx, "tcp", address[i%2])
		conns[i] = conn
		return err
	})
	require.Equal(t, len(conns), l.Status().Dataplane.Sessions, "all of them are open at once")
	for round := range uint64(2) {
		eachOf(t, len(conns), func(i int) error { return echoes(conns[i], customers[i%2], uint64(i), round) })
	}
	links := map[string]int{}
	for _, s := range l.Sessions() {
		links[s.Link]++
	}
	require.Equal(t, map[string]int{"ngw/blue": each, "ngw/red": each}, links)
}

// echoName makes a run of the test binary an echo server, see TestMain: the
// ends of 10,000 connections are more files than one process may open.
const echoName = "PLINKTEST_ECHO"

// serveEcho answers on port 7 with a name and then with what it gets.
func serveEcho(name string) {
	listener, err := net.Listen("tcp", ":7")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("listening")
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Println(err)
			return
		}
		go func() {
			defer conn.Close()
			io.WriteString(conn, name+"\n")
			io.Copy(conn, conn)
		}()
	}
}

// echoProcess runs serveEcho on an instance until the test ends.
func echoProcess(t *testing.T, on *plinktest.Instance, name string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := on.Command(t.Context(), self)
	cmd.Env = append(os.Environ(), echoName+"="+name)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Wait() }) // it is killed when the test's context ends
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "listening\n", line)
}

// echoes sends what no other connection sends and wants it back, the first time
// after the server's name.
func echoes(conn net.Conn, server string, i, round uint64) error {
	sent := make([]byte, 1200)
	for at := 0; at < len(sent); at += 16 {
		binary.BigEndian.PutUint64(sent[at:], i<<32|round)
		binary.BigEndian.PutUint64(sent[at+8:], uint64(at))
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	if round == 0 {
		name := make([]byte, len(server)+1)
		if _, err := io.ReadFull(conn, name); err != nil || string(name) != server+"\n" {
			return fmt.Errorf("connection %d to %s is greeted by %q: %w", i, server, name, err)
		}
	}
	came := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, came); err != nil {
		return err
	}
	if string(came) != string(sent) {
		return fmt.Errorf("connection %d got the bytes of connection %d", i, binary.BigEndian.Uint64(came)>>32)
	}
	return nil
}

// eachOf runs f for 0 to n-1, some at a time, and fails with the first error.
func eachOf(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wait sync.WaitGroup
	turn, errs := make(chan struct{}, 64), make(chan error, n)
	for i := range n {
		turn <- struct{}{}
		wait.Go(func() {
			defer func() { <-turn }()
			if err := f(i); err != nil {
				errs <- fmt.Errorf("%d: %w", i, err)
			}
		})
	}
	wait.Wait()
	close(errs)
	require.NoError(t, <-errs)
}
