package test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// A consumer and a provider; more is added by replacing a marked line.
const pair = `
name: pair
cloud: CLOUD
region: eu-central-1
accounts: [a]
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {vsw1: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    instances: {ecs1: {subnet: vsw1, ip: 10.0.0.10}}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: {vsw2: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances: {ecs2: {subnet: vsw2, ip: 10.0.0.10, services: [{http: 80, body: old}]}}
server_groups:
  rs1: {vpc: vpc2, protocol: tcp, servers: [{instance: ecs2, port: 80, weight: 100}]}
load_balancers:
  lb1: {type: nlb, vpc: vpc2, subnets: [vsw2], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
endpoint_services:
  svc1: {resources: [lb1], auto_accept: false}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1]}
`

func pairOf(replacements ...string) string {
	return strings.NewReplacer(append(replacements, "CLOUD", "alibaba")...).Replace(pair)
}

func parse(t *testing.T, text string) *topology.Plan {
	t.Helper()
	plan, err := topofile.Parse("topology.yaml", []byte(text))
	require.NoError(t, err)
	return plan
}

func quiet(int, int, string) {}

// requireBody asks until the body comes: health checks of a changed group may
// need a moment.
func requireBody(t *testing.T, l *plinktest.Lab, want string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		body, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
		require.NoError(c, err)
		require.Equal(c, want, body)
	}, 10*time.Second, 20*time.Millisecond)
}

// A port that is taken is found out when half of the change is made. All of
// it is taken back, what was accepted included.
func TestAChangeThatFailsHalfWayIsTakenBack(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, pairOf())
	l.Accept("svc1", "ep1")
	requireBody(t, l, "old")
	taken, err := l.Instance("ecs2").Listen(t.Context(), "tcp", ":81")
	require.NoError(t, err)
	defer taken.Close()

	next := parse(t, pairOf(
		"body: old}]", "body: new}, {tcp: 81, body: taken}]",
		"    instances: {ecs1: {subnet: vsw1, ip: 10.0.0.10}}", "    instances: {ecs1: {subnet: vsw1, ip: 10.0.0.11}, ecs3: {subnet: vsw1, ip: 10.0.0.12}}",
		"  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1]}", "  ep2: {service: svc1, vpc: vpc1, subnets: [vsw1]}"))
	changed, err := l.Running().Apply(t.Context(), next, quiet)
	require.ErrorContains(t, err, `instance "ecs2": service tcp 81: listen tcp :81: bind: address already in use`)
	require.False(t, changed)

	require.Equal(t, "Connected", l.Status().Endpoints[0].State)
	requireBody(t, l, "old")
	_, err = l.Plan().Instance("ecs3")
	require.Error(t, err)

	taken.Close()
	changed, err = l.Running().Apply(t.Context(), next, quiet)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, "ep2", l.Status().Endpoints[0].Name)
}

// A change that is interrupted, at whatever step, is taken back, too: what was
// in a namespace that had gone meanwhile is there again.
func TestAChangeThatIsInterruptedIsTakenBack(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, pairOf())
	l.Accept("svc1", "ep1")
	next := parse(t, pairOf("vpc2", "vpc3", "ecs2", "ecs4"))
	for quarter := range 4 {
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := l.Running().Apply(ctx, next, func(done, total int, _ string) {
			if done == 1+quarter*total/4 {
				cancel(errors.New("enough"))
			}
		})
		cancel(nil)
		require.ErrorContains(t, err, "enough")
		requireBody(t, l, "old")
	}
}

func TestALabIsClosedWhileItChanges(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, pairOf())
	next := parse(t, pairOf("vpc2", "vpc3", "ecs2", "ecs4"))
	begun, closed := make(chan struct{}), make(chan error)
	go func() {
		<-begun
		closed <- l.Running().Close(context.Background())
	}()
	first := true
	_, err := l.Running().Apply(t.Context(), next, func(int, int, string) {
		if first {
			close(begun)
			first = false
		}
	})
	require.NoError(t, <-closed)
	if err != nil { // the change may have been quicker
		t.Log(err)
	}
	_, err = l.Running().Apply(t.Context(), parse(t, pairOf("old", "other")), quiet)
	require.ErrorContains(t, err, "just being taken down")
	require.NoError(t, l.Running().Close(context.Background()), "a second time does nothing")
}

// In a VPC of AWS the resolver's address follows from the VPC's.
func TestAResolverFollowsItsAddress(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, pairOf("CLOUD", "aws"))
	look := func() []string {
		found, err := l.Instance("ecs1").Resolver().LookupHost(t.Context(), "ecs1.vpc1.internal")
		require.NoError(t, err)
		return found
	}
	require.Equal(t, []string{"10.0.0.10"}, look())
	next := parse(t, pairOf("CLOUD", "aws",
		"  vpc1:\n    cidr: 10.0.0.0/16", "  vpc1:\n    cidr: 10.1.0.0/16",
		"{vsw1: {zone: eu-central-1b, cidr: 10.0.0.0/24}}", "{vsw1: {zone: eu-central-1b, cidr: 10.1.0.0/24}}",
		"{ecs1: {subnet: vsw1, ip: 10.0.0.10}}", "{ecs1: {subnet: vsw1, ip: 10.1.0.10}}"))
	require.Equal(t, netip.MustParseAddr("10.1.0.2"), next.VPCs[0].Resolvers[0])
	_, err := l.Running().Apply(t.Context(), next, quiet)
	require.NoError(t, err)
	require.Equal(t, []string{"10.1.0.10"}, look())
}

func TestChecksDoNotRunTwiceAtOnceAndSayWhenTheyAreInterrupted(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, pairOf()+`
checks:
  - {name: begun, accept: {service: svc1, endpoint: ep1}}
  - {name: silent, from: ecs1, get: "http://10.0.0.99/", timeout: 30s, expect: {error: timeout}}
`)
	ctx, cancel := context.WithCancelCause(t.Context())
	begun, first := make(chan string, 2), make(chan error)
	go func() { first <- l.Running().Check(ctx, func(r status.Check) { begun <- r.Name }) }()
	require.Equal(t, "begun", <-begun)
	err := l.Running().Check(t.Context(), func(status.Check) {})
	require.ErrorContains(t, err, "running already")
	cancel(errors.New("the lab was taken down meanwhile"))
	require.ErrorContains(t, <-first, "taken down meanwhile")
	require.Empty(t, begun, "a check that was interrupted has no result")
}
