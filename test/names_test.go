package test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/plinktest"
)

// zones is an endpoint in two zones, with an instance and a server in each.
// Servers are checked often, so that a test need not wait.
const zones = `
name: zones
cloud: CLOUD
region: cn-hangzhou
accounts: [a]
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {h1: {zone: cn-hangzhou-h, cidr: 10.0.1.0/24}, i1: {zone: cn-hangzhou-i, cidr: 10.0.2.0/24}}
    instances: {ecs-h: {subnet: h1, ip: 10.0.1.10}, ecs-i: {subnet: i1, ip: 10.0.2.10}}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: {h2: {zone: cn-hangzhou-h, cidr: 10.0.1.0/24}, i2: {zone: cn-hangzhou-i, cidr: 10.0.2.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances:
      web-h: {subnet: h2, ip: 10.0.1.10, services: [{http: 80}]}
      web-i: {subnet: i2, ip: 10.0.2.10, services: [{http: 80}]}
server_groups:
  web:
    vpc: vpc2
    health_check: {interval: 50ms, timeout: 300ms, healthy: 2, unhealthy: 2}
    servers: [{instance: web-h, port: 80}, {instance: web-i, port: 80}]
load_balancers:
  nlb1: {type: nlb, vpc: vpc2, subnets: [h2, i2], listeners: [{protocol: tcp, port: 80, server_group: web}]}
endpoint_services:
  svc1: {resources: [nlb1], auto_accept: true AFFINITY}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: {h1: {ip: 10.0.1.200}, i1: {ip: 10.0.2.200}}}
`

func zonesOf(cloud string, affinity bool) string {
	text := ""
	if affinity {
		text = ", zone_affinity: true"
	}
	return strings.NewReplacer("CLOUD", cloud, "AFFINITY", text).Replace(zones)
}

// awaitEvent is the first event of a kind, name and new state after since.
func awaitEvent(t *testing.T, l *plinktest.Lab, since uint64, kind control.Kind, name, to string) control.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for e := range l.Running().Plane().Subscribe(ctx, since) {
		if e.Kind == kind && e.Name == name && e.To == to {
			return e
		}
	}
	t.Fatalf("no event came that %s %s is %s", kind, name, to)
	return control.Event{}
}

// unplug takes the cable of an instance out, or puts it in again.
func unplug(t *testing.T, l *plinktest.Lab, ref string, out bool) {
	t.Helper()
	instance, err := l.Plan().Instance(ref)
	require.NoError(t, err)
	vpc, err := l.Plan().VPC(instance.VPC)
	require.NoError(t, err)
	require.NoError(t, l.Namespace(vpc.Namespace).Do(func() error {
		link, err := netlink.LinkByName(instance.Port)
		if err != nil {
			return err
		}
		if out {
			return netlink.LinkSetDown(link)
		}
		return netlink.LinkSetUp(link)
	}))
}

// The verdict of the health check and the answers are one second apart at
// most, and a client that asks again after that loses no request.
func TestAFailingZoneLeavesTheAnswersAndComesBack(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, zonesOf("aws", false))
	for _, server := range []string{"web/vpc2/web-h", "web/vpc2/web-i"} {
		awaitEvent(t, l, 0, "server", server, "healthy")
	}
	ask := func() []string {
		addrs, err := l.Instance("ecs-h").Resolver().LookupHost(t.Context(), l.Name("ep1"))
		require.NoError(t, err)
		return addrs
	}
	require.Eventually(t, func() bool { return len(ask()) == 2 }, 5*time.Second, 10*time.Millisecond)

	before := lastSeq(l)
	unplug(t, l, "web-h", true)
	verdict := awaitEvent(t, l, before, "server", "web/vpc2/web-h", "unhealthy")
	gone := awaitEvent(t, l, before, "name", "ep1@cn-hangzhou-h", "left")
	require.Equal(t, "10.0.1.200 (cn-hangzhou-h) of endpoint \"ep1\" left the answers: load balancer nlb1 has no healthy server in zone cn-hangzhou-h for tcp/80", gone.Text)
	require.Less(t, gone.Time.Sub(verdict.Time), time.Second)
	for range 30 {
		require.Equal(t, []string{"10.0.2.200"}, ask())
		body, err := get(t, l.Instance("ecs-h"), "http://"+l.Name("ep1")+"/")
		require.NoError(t, err)
		require.Equal(t, "web-i", body)
	}

	before = lastSeq(l)
	unplug(t, l, "web-h", false)
	verdict = awaitEvent(t, l, before, "server", "web/vpc2/web-h", "healthy")
	back := awaitEvent(t, l, before, "name", "ep1@cn-hangzhou-h", "in")
	require.Less(t, back.Time.Sub(verdict.Time), time.Second)
	require.ElementsMatch(t, []string{"10.0.1.200", "10.0.2.200"}, ask())
}

func lastSeq(l *plinktest.Lab) (seq uint64) {
	for _, e := range l.Events() {
		seq = e.Seq
	}
	return seq
}

// The VPCs have the same addresses, and instances of the same name and
// address. Names of instances are the VPC's own; the name of an endpoint is
// everybody's, and leads to something in one VPC alone.
func TestTheSameNamesInTwoVPCsAreTwoThings(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, strings.NewReplacer(
		"web-h", "ecs-h", "web-i", "ecs-i",
		"{subnet: i2, ip: 10.0.2.10", "{subnet: i2, ip: 10.0.2.20",
	).Replace(zonesOf("aws", false)))
	lookup := func(from, name string) string {
		addrs, err := l.Instance(from).Resolver().LookupHost(t.Context(), name)
		if err != nil {
			return err.Error()
		}
		slices.Sort(addrs)
		return strings.Join(addrs, ", ")
	}
	require.Equal(t, "10.0.2.10", lookup("vpc1/ecs-i", "ecs-i.vpc1.internal."))
	require.Equal(t, "10.0.2.20", lookup("vpc2/ecs-i", "ecs-i.vpc2.internal."))
	out, err := l.Instance("vpc1/ecs-h").Command(t.Context(), "getent", "hosts", "ecs-i").Output()
	require.NoError(t, err)
	require.Equal(t, "10.0.2.10 ecs-i.vpc1.internal", strings.Join(strings.Fields(string(out)), " "), "the short name is the VPC's own")
	out, err = l.Instance("vpc2/ecs-h").Command(t.Context(), "getent", "hosts", "ecs-i").Output()
	require.NoError(t, err)
	require.Equal(t, "10.0.2.20 ecs-i.vpc2.internal", strings.Join(strings.Fields(string(out)), " "))

	require.Eventually(t, func() bool { return lookup("vpc1/ecs-h", l.Name("ep1")+".") == "10.0.1.200, 10.0.2.200" }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, "10.0.1.200, 10.0.2.200", lookup("vpc2/ecs-h", l.Name("ep1")+"."))
	_, err = get(t, l.Instance("vpc1/ecs-h"), "http://"+l.Name("ep1")+"/")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = l.Instance("vpc2/ecs-h").DialContext(ctx, "tcp", l.Name("ep1")+":80")
	require.Error(t, err, "the same addresses are nobody's here")
}

// An upstream is an instance that runs a DNS server; there is no route to any
// other.
func TestForeignNamesGoToAnUpstreamInTheVPC(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, strings.Replace(zonesOf("alibaba", true), "  vpc1:\n", "  vpc1:\n    dns_upstreams: [10.0.2.10]\n", 1))
	view, err := dns.NewView(dns.Config{
		Zones: []string{"example.org"}, TTL: time.Minute,
		Names: []dns.Name{{FQDN: "www.example.org", Addrs: []dns.Address{{IP: netip.MustParseAddr("192.0.2.1"), Up: true}}}},
	})
	require.NoError(t, err)
	server := &dns.Server{}
	server.SetView(view)
	pc, err := l.Instance("ecs-i").Namespace().ListenPacket(t.Context(), "udp", "10.0.2.10:53")
	require.NoError(t, err)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- server.Serve(ctx, pc, nil) }()
	defer func() { stop(); require.NoError(t, <-done) }()

	dig := func(from, name string) string {
		out, err := l.Instance(from).Command(t.Context(), "dig", "+noall", "+comments", "+answer", name).Output()
		require.NoError(t, err)
		return string(out)
	}
	require.Contains(t, dig("ecs-h", "www.example.org"), "192.0.2.1")
	require.Contains(t, dig("ecs-h", "www.example.org"), "192.0.2.1")
	require.EqualValues(t, 1, server.Stats().UDP, "the second answer is from the cache")
	require.Contains(t, dig("ecs-h", "no.example.org"), "NXDOMAIN")
	require.Contains(t, dig("ecs-i", "www.example.net"), "REFUSED", "the upstream's own questions are not sent back to it")
	require.Contains(t, dig("vpc2/web-h", "www.example.org"), "REFUSED", "another VPC has no upstream")
	a, err := l.Running().Query(t.Context(), "ecs-h", "www.example.org", "")
	require.NoError(t, err)
	require.Equal(t, "cache", a.Source)
}
