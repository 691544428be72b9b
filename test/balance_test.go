package test

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// Two servers in zone a and one in zone b. What they do is on port 7, and
// whether they are well on port 81.
const balanced = `
name: balanced
cloud: aws
region: eu-central-1
vpcs:
  here:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: eu-central-1a, cidr: 10.0.0.0/24}, b: {zone: eu-central-1b, cidr: 10.0.1.0/24}}
    instances: {client: {subnet: a}}
  there:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: eu-central-1a, cidr: 10.0.0.0/24}, b: {zone: eu-central-1b, cidr: 10.0.1.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances:
      s1: {subnet: a, services: [{echo: 7}, {tcp: 8}, {http: 81, body: s1}]}
      s2: {subnet: a, services: [{echo: 7}, {tcp: 8}, {http: 81, body: s2}]}
      s3: {subnet: b, services: [{echo: 7}, {tcp: 8}, {http: 81, body: s3}]}
server_groups:
  echo:
    vpc: there
    scheduler: wlc
    servers: [{instance: s1, port: 7}, {instance: s2, port: 7}, {instance: s3, port: 7}]
    health_check: {protocol: http, port: 81, interval: 50ms, timeout: 2s, unhealthy: 2}
  hello:
    vpc: there
    scheduler: rr
    servers: [{instance: s1, port: 8}, {instance: s2, port: 8}, {instance: s3, port: 8}]
load_balancers:
  nlb: {type: nlb, vpc: there, subnets: [a, b], listeners: [{protocol: tcp, port: 7, server_group: echo}, {protocol: tcp, port: 8, server_group: hello}]}
endpoint_services:
  svc: {resources: [nlb], auto_accept: true}
endpoints:
  ep: {service: svc, vpc: here, subnets: [a, b]}
`

// change applies the balanced topology with something replaced.
func change(t *testing.T, l *plinktest.Lab, replacements ...string) {
	t.Helper()
	text := balanced
	for i := 0; i < len(replacements); i += 2 {
		require.Contains(t, text, replacements[i])
		text = strings.ReplaceAll(text, replacements[i], replacements[i+1])
	}
	_, err := l.Running().Apply(t.Context(), parse(t, text), quiet)
	require.NoError(t, err)
}

// heldEchoes are open connections by the server that they lead to.
type heldEchoes map[string][]net.Conn

func openEchoes(t *testing.T, l *plinktest.Lab, n int) heldEchoes {
	t.Helper()
	byLocal := map[string]net.Conn{}
	for range n {
		conn, err := l.Instance("client").DialContext(t.Context(), "tcp", l.Name("ep@eu-central-1a")+":7")
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, says(conn, "hello"))
		byLocal[conn.LocalAddr().String()] = conn
	}
	names := map[string]string{}
	for _, s := range servers(l, "echo") {
		names[s.Address.String()] = s.Instance[len("there/"):]
	}
	out := heldEchoes{}
	for _, s := range l.Sessions() {
		if conn := byLocal[s.Consumer.String()]; conn != nil {
			out[names[s.Target.String()]] = append(out[names[s.Target.String()]], conn)
		}
	}
	return out
}

// says checks that an echo is heard.
func says(conn net.Conn, text string) error {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return err
	}
	buf := make([]byte, len(text))
	_, err := conn.Read(buf)
	return err
}

func requireAlive(t *testing.T, conns []net.Conn) {
	t.Helper()
	for _, conn := range conns {
		require.NoError(t, says(conn, "still there"))
	}
}

func requireReset(t *testing.T, conns []net.Conn) {
	t.Helper()
	for _, conn := range conns {
		require.ErrorIs(t, says(conn, "anybody"), syscall.ECONNRESET)
	}
}

func servers(l *plinktest.Lab, group string) []status.Server {
	for _, g := range l.Status().ServerGroups {
		if g.Name == group {
			return g.Servers
		}
	}
	return nil
}

// requireState waits until health checks have come to a state.
func requireState(t *testing.T, l *plinktest.Lab, states ...string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var got []string
		for _, s := range servers(l, "echo") {
			got = append(got, s.State)
		}
		require.Equal(c, states, got)
	}, 10*time.Second, 10*time.Millisecond)
}

func TestSessionsOfAServerThatIsTakenOutGoOnOrAreReset(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, rule string }{
		{"they go on, as the cloud does it", ""},
		{"they are reset", "    deregistration: {delay: 0s, terminate: true}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := plinktest.UpText(t, balanced)
			open := openEchoes(t, l, 6)
			require.Len(t, open["s1"], 3, "the fewest connections for its weight, in its own zone")
			require.Len(t, open["s2"], 3)
			change(t, l, "    scheduler: wlc\n", "    scheduler: wlc\n"+tt.rule, "{instance: s2, port: 7}, ", "")
			requireAlive(t, open["s1"])
			if tt.rule == "" {
				requireState(t, l, "healthy", "healthy", "draining")
				require.Equal(t, 3, servers(l, "echo")[2].Sessions)
				requireAlive(t, open["s2"])
			} else {
				requireReset(t, open["s2"])
				requireState(t, l, "healthy", "healthy")
			}
			require.Len(t, openEchoes(t, l, 2)["s1"], 2, "new ones go to those that stay")
			require.Equal(t, 5, servers(l, "echo")[0].Sessions)
			for _, conn := range open["s1"] {
				conn.Close()
			}
		})
	}
}

func TestSessionsOfAnUnhealthyServerAreResetUntilNoneIsHealthy(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, balanced)
	open := openEchoes(t, l, 4)
	change(t, l, ", {http: 81, body: s1}", "")
	requireState(t, l, "unhealthy", "healthy", "healthy")
	requireReset(t, open["s1"])
	requireAlive(t, open["s2"])
	require.Len(t, openEchoes(t, l, 2)["s2"], 2)

	change(t, l, ", {http: 81, body: s1}", "", ", {http: 81, body: s2}", "")
	requireState(t, l, "unhealthy", "unhealthy", "healthy")
	requireAlive(t, open["s2"])
	again := openEchoes(t, l, 4)
	require.NotEmpty(t, again["s1"], "the zone is open: every server takes sessions again")

	change(t, l, ", {http: 81, body: s2}", "")
	requireState(t, l, "healthy", "unhealthy", "healthy")
	requireAlive(t, again["s1"])
	requireReset(t, open["s2"])
}

// One after the other, as the checks are not at one time: when the first has
// failed, the second still serves.
func TestIdleSessionsGoOnWhereAllServersHaveFailedByTheirNextPacket(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, balanced)
	open := openEchoes(t, l, 4)
	require.Len(t, open["s1"], 2)
	change(t, l, ", {http: 81, body: s1}", "", ", {http: 81, body: s2}", "")
	requireState(t, l, "unhealthy", "unhealthy", "healthy")
	requireAlive(t, open["s1"])
	requireAlive(t, open["s2"])
}

func TestANodeKeepsToItsZoneUnlessItIsToldOtherwise(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, balanced)
	greetings := func(zone string) map[string]int {
		out := map[string]int{}
		for range 12 {
			conn, err := l.Instance("client").DialContext(t.Context(), "tcp", l.Name("ep@"+zone)+":8")
			require.NoError(t, err)
			buf := make([]byte, 10)
			n, err := conn.Read(buf)
			require.NoError(t, err)
			conn.Close()
			out[strings.TrimSpace(string(buf[:n]))]++
		}
		return out
	}
	require.Equal(t, map[string]int{"s1": 6, "s2": 6}, greetings("eu-central-1a"))
	require.Equal(t, map[string]int{"s3": 12}, greetings("eu-central-1b"))
	change(t, l, "type: nlb,", "type: nlb, cross_zone: true,")
	require.Equal(t, map[string]int{"s1": 4, "s2": 4, "s3": 4}, greetings("eu-central-1a"))
	require.Equal(t, map[string]int{"s1": 4, "s2": 4, "s3": 4}, greetings("eu-central-1b"))
}
