package lab_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// slowly runs a topology whose states on the way last for a moment.
func slowly(t *testing.T, text string) *lab.Lab {
	t.Helper()
	plan, err := topofile.Parse("slow.yaml", []byte(text))
	require.NoError(t, err)
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine(), Transition: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	return l
}

// states is what a poller sees at one time: each object with its state.
func states(s status.Lab) (seen []string) {
	see := func(kind, name, state string) { seen = append(seen, kind+" "+name+" "+state) }
	for _, svc := range s.Services {
		see("service", svc.Name, svc.State)
	}
	for _, ep := range s.Endpoints {
		see("endpoint", ep.Name, ep.EndpointState)
		see("connection", ep.Name, ep.State)
		for _, z := range ep.Zones {
			see("zone", ep.Name+"@"+z.Zone, z.State)
		}
	}
	for _, gw := range s.NATGateways {
		see("gateway", gw.Name, gw.State)
		for _, ip := range gw.NATIPs {
			see("nat-ip", ip.IP.String(), ip.State)
		}
		for _, e := range gw.Entries {
			see("entry", e.Name, e.State)
		}
	}
	return seen
}

// watch gathers what a poller sees until the returned function is called.
func watch(l *lab.Lab) (stop func() []string) {
	done, seen := make(chan struct{}), make(chan []string)
	go func() {
		all := map[string]bool{}
		for {
			for _, s := range states(l.Status()) {
				all[s] = true
			}
			select {
			case <-done:
				seen <- slices.Sorted(maps.Keys(all))
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() []string { close(done); return <-seen }
}

type sighting struct {
	do   topology.Operation
	sees []string
}

const slowAlibaba = `
name: slow
cloud: alibaba
region: r
accounts: [a, b]
vpcs:
  vpc1: {account: a, cidr: 10.0.0.0/16, subnets: {v1: {zone: ra, cidr: 10.0.0.0/24}}, security_groups: {web: {}}}
  vpc2: {account: b, cidr: 10.0.0.0/16, subnets: {v2: {zone: ra, cidr: 10.0.0.0/24}}, instances: {ecs: {subnet: v2}}}
server_groups: {rs: {vpc: vpc2, servers: [{instance: ecs, port: 80}]}}
load_balancers:
  clb1: {type: clb, vpc: vpc2, subnets: [v2], listeners: [{protocol: tcp, port: 80, server_group: rs}]}
  clb2: {type: clb, vpc: vpc2, subnets: [v2], listeners: [{protocol: tcp, port: 80, server_group: rs}]}
nat_gateways:
  ngw:
    {type: FullNat, vpc: vpc2, subnet: v2, nat_ips: [10.0.0.50]}
endpoint_services:
  svc: {resources: [clb1, clb2], exists: false}
  rev: {resources: [ngw], auto_accept: true, whitelist: [a]}
endpoints:
  ep: {service: svc, vpc: vpc1, subnets: [v1], exists: false}
  back: {service: rev, vpc: vpc1, subnets: [v1]}
`

const slowAWS = `
name: slow
cloud: aws
region: r
accounts: [a, b]
vpcs:
  vpc1: {account: a, cidr: 10.0.0.0/16, subnets: {v1: {zone: ra, cidr: 10.0.0.0/24}, w1: {zone: rb, cidr: 10.0.1.0/24}}, security_groups: {web: {}}}
  vpc2: {account: b, cidr: 10.0.0.0/16, subnets: {v2: {zone: ra, cidr: 10.0.0.0/24}, w2: {zone: rb, cidr: 10.0.1.0/24}}, instances: {ecs: {subnet: v2}}}
server_groups: {rs: {vpc: vpc2, servers: [{instance: ecs, port: 80}]}}
load_balancers:
  nlb1: {type: nlb, vpc: vpc2, subnets: [v2, w2], listeners: [{protocol: tcp, port: 80, server_group: rs}]}
  nlb2: {type: nlb, vpc: vpc2, subnets: [v2], listeners: [{protocol: tcp, port: 80, server_group: rs}]}
endpoint_services:
  svc: {resources: [nlb1], exists: false}
endpoints:
  ep: {service: svc, vpc: vpc1, subnets: [v1, w1], exists: false}
`

// A client that polls sees each state on the way of each operation, as in the
// cloud, where they last for seconds to minutes.
func TestAPollerSeesEachStateOnTheWayOfEachOperation(t *testing.T) {
	mbit, text, yes := 200, "a description", true
	service := func(verb topology.Verb) topology.Operation { return topology.Operation{Verb: verb, Service: "svc"} }
	endpoint := func(verb topology.Verb) topology.Operation { return topology.Operation{Verb: verb, Endpoint: "ep"} }
	connection := func(verb topology.Verb) topology.Operation {
		return topology.Operation{Verb: verb, Service: "svc", Endpoint: "ep"}
	}
	with := func(o topology.Operation, change func(*topology.Operation)) topology.Operation { change(&o); return o }
	gateway := func(verb topology.Verb) topology.Operation { return topology.Operation{Verb: verb, NATGateway: "ngw"} }
	zone := func(o *topology.Operation) { o.Zone = "ra" }
	natIP := func(o *topology.Operation) { o.NATIP = netip.MustParseAddr("10.0.0.51") }
	entry := func(o *topology.Operation) {
		natIP(o)
		o.Entry, o.Endpoint, o.AccessIP, o.AccessPort = "e1", "back", netip.MustParseAddr("10.0.0.9"), 80
	}
	for cloud, tt := range map[string]struct {
		file string
		do   []sighting
	}{
		"alibaba": {slowAlibaba, []sighting{
			{service(topology.VerbServiceCreate), []string{"service svc Creating", "service svc Active"}},
			{with(service(topology.VerbServiceSet), func(o *topology.Operation) { o.Description = &text }), []string{"service svc Pending", "service svc Active"}},
			{with(service(topology.VerbWhitelistAdd), func(o *topology.Operation) { o.Account = "a" }), []string{"service svc Pending"}},
			{with(service(topology.VerbWhitelistRemove), func(o *topology.Operation) { o.Account = "a" }), []string{"service svc Pending"}},
			{with(service(topology.VerbWhitelistAdd), func(o *topology.Operation) { o.Account = "a" }), []string{"service svc Pending"}},
			{with(service(topology.VerbDetach), func(o *topology.Operation) { o.Resource = "clb2" }), []string{"service svc Pending"}},
			{with(service(topology.VerbAttach), func(o *topology.Operation) { o.Resource = "clb2" }), []string{"service svc Pending"}},
			{endpoint(topology.VerbEndpointCreate), []string{"endpoint ep Creating", "endpoint ep Active", "connection ep Disconnected", "zone ep@ra Wait"}},
			{with(endpoint(topology.VerbEndpointSet), func(o *topology.Operation) { o.Description = &text }), []string{"endpoint ep Pending", "endpoint ep Active"}},
			{with(endpoint(topology.VerbGroupAdd), func(o *topology.Operation) { o.SecurityGroup = "web" }), []string{"endpoint ep Pending"}},
			{with(endpoint(topology.VerbGroupRemove), func(o *topology.Operation) { o.SecurityGroup = "web" }), []string{"endpoint ep Pending"}},
			{with(connection(topology.VerbAccept), func(o *topology.Operation) { o.Resources = []topology.Resource{{LoadBalancer: "clb1", Zone: "ra"}} }),
				[]string{"connection ep Connecting", "zone ep@ra Connecting", "connection ep Connected", "zone ep@ra Connected"}},
			{with(connection(topology.VerbBandwidth), func(o *topology.Operation) { o.Bandwidth = &mbit }), []string{"connection ep Pending", "connection ep Connected"}},
			{with(connection(topology.VerbZoneDisable), zone), []string{"zone ep@ra Disconnecting", "zone ep@ra Disconnected"}},
			{with(connection(topology.VerbZoneEnable), zone), []string{"zone ep@ra Connecting", "zone ep@ra Connected"}},
			{with(connection(topology.VerbReplace), zone), []string{"zone ep@ra Migrating", "zone ep@ra Migrated"}},
			{connection(topology.VerbReject), []string{"connection ep Disconnecting", "zone ep@ra Disconnecting", "connection ep Disconnected", "zone ep@ra Disconnected"}},
			{with(endpoint(topology.VerbZoneRemove), zone), []string{"zone ep@ra Deleting", "endpoint ep Pending"}},
			{with(endpoint(topology.VerbZoneAdd), zone), []string{"endpoint ep Pending", "zone ep@ra Wait"}},
			{with(endpoint(topology.VerbZoneRemove), zone), []string{"zone ep@ra Deleting"}},
			{endpoint(topology.VerbEndpointDelete), []string{"endpoint ep Deleting", "connection ep Deleting"}},
			{with(service(topology.VerbDetach), func(o *topology.Operation) { o.Resource = "clb1" }), []string{"service svc Pending"}},
			{with(service(topology.VerbDetach), func(o *topology.Operation) { o.Resource = "clb2" }), []string{"service svc Pending"}},
			{service(topology.VerbServiceDelete), []string{"service svc Deleting"}},
			{with(gateway(topology.VerbNATIPCreate), natIP), []string{"nat-ip 10.0.0.51 Creating", "nat-ip 10.0.0.51 Available"}},
			{with(gateway(topology.VerbEntryCreate), entry), []string{"entry e1 Creating", "entry e1 Available"}},
			{with(gateway(topology.VerbEntryModify), func(o *topology.Operation) { o.Entry, o.AccessPort = "e1", 81 }), []string{"entry e1 Modifying", "entry e1 Available"}},
			{with(gateway(topology.VerbEntryDelete), func(o *topology.Operation) { o.Entry = "e1" }), []string{"entry e1 Deleting"}},
			{with(gateway(topology.VerbNATIPDelete), natIP), []string{"nat-ip 10.0.0.51 Deleting"}},
			{topology.Operation{Verb: topology.VerbReject, Service: "rev", Endpoint: "back"}, []string{"connection back Disconnecting"}},
			{topology.Operation{Verb: topology.VerbDetach, Service: "rev", Resource: "ngw"}, []string{"service rev Pending"}},
			{with(gateway(topology.VerbNATIPDelete), func(o *topology.Operation) { o.NATIP = netip.MustParseAddr("10.0.0.50") }), []string{"nat-ip 10.0.0.50 Deleting"}},
			{gateway(topology.VerbGatewayDelete), []string{"gateway ngw Deleting"}},
			{gateway(topology.VerbGatewayCreate), []string{"gateway ngw Creating", "gateway ngw Available"}},
		}},
		"aws": {slowAWS, []sighting{
			{service(topology.VerbServiceCreate), []string{"service svc Pending", "service svc Available"}},
			{with(service(topology.VerbWhitelistAdd), func(o *topology.Operation) { o.Account = "a" }), []string{"service svc Available"}},
			{endpoint(topology.VerbEndpointCreate), []string{"endpoint ep pendingAcceptance", "connection ep pendingAcceptance", "zone ep@ra pendingAcceptance"}},
			{connection(topology.VerbAccept), []string{"endpoint ep pending", "connection ep pending", "zone ep@ra pending", "endpoint ep available", "connection ep available"}},
			{with(endpoint(topology.VerbEndpointSet), func(o *topology.Operation) { o.Description = &text }), []string{"endpoint ep pending", "endpoint ep available"}},
			{with(endpoint(topology.VerbGroupAdd), func(o *topology.Operation) { o.SecurityGroup = "web" }), []string{"endpoint ep pending", "endpoint ep available"}},
			{with(endpoint(topology.VerbGroupRemove), func(o *topology.Operation) { o.SecurityGroup = "web" }), []string{"endpoint ep pending", "endpoint ep available"}},
			{with(endpoint(topology.VerbZoneRemove), zone), []string{"endpoint ep pending", "zone ep@ra deleting", "endpoint ep available"}},
			{with(endpoint(topology.VerbZoneAdd), zone), []string{"endpoint ep pending", "zone ep@ra pending", "zone ep@ra available"}},
			{connection(topology.VerbReject), []string{"endpoint ep rejected", "connection ep rejected"}},
			{with(service(topology.VerbServiceSet), func(o *topology.Operation) { o.AutoAccept = &yes }), []string{"service svc Available"}},
			{endpoint(topology.VerbEndpointDelete), []string{"endpoint ep deleting"}},
			{endpoint(topology.VerbEndpointCreate), []string{"endpoint ep pending", "endpoint ep available"}},
			{endpoint(topology.VerbEndpointDelete), []string{"endpoint ep deleting"}},
			{service(topology.VerbServiceDelete), []string{"service svc Deleting"}},
		}},
	} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			// In a bubble the poller polls in time, whatever else the machine does.
			synctest.Test(t, func(t *testing.T) {
				l := slowly(t, tt.file)
				for _, s := range tt.do {
					stop := watch(l)
					_, err := l.Do(t.Context(), s.do, 10*time.Second)
					time.Sleep(20 * time.Millisecond) // for a last look
					seen := stop()
					require.NoError(t, err, "%s", s.do)
					for _, want := range s.sees {
						require.Contains(t, seen, want, "%s", s.do)
					}
				}
			})
		})
	}
}

func TestTransitionsTakeNoTimeUnlessTheFileSaysSo(t *testing.T) {
	plan, err := topofile.Parse("slow.yaml", []byte(slowAWS))
	require.NoError(t, err)
	require.Zero(t, plan.Transition)
	plan, err = topofile.Parse("slow.yaml", []byte(slowAWS+"transition: 300ms\n"))
	require.NoError(t, err)
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	start := time.Now()
	_, err = l.Do(t.Context(), topology.Operation{Verb: topology.VerbServiceCreate, Service: "svc"}, 10*time.Second)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond, "what waits, waits for the cloud's state")
}
