package test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// guarded is a service of AWS whose NLB has a security group. The client and the
// endpoint's ENI are in subnets of their own.
const guarded = `name: NAME
cloud: aws
region: r
accounts: [consumer, provider]
vpcs:
  consumer:
    account: consumer
    cidr: 10.1.0.0/16
    subnets: {clients: {zone: ra, cidr: 10.1.0.0/24}, endpoints: {zone: ra, cidr: 10.1.9.0/24}}
    instances: {client: {subnet: clients, ip: 10.1.0.10}}
  provider:
    account: provider
    cidr: 10.2.0.0/16
    subnets: {s: {zone: ra, cidr: 10.2.0.0/24}}
    security_groups:
      balancer: {ingress: [{protocol: tcp, ports: 80, source: [SOURCE, 192.0.2.0/24]}]}
      servers: {ingress: [{protocol: tcp, ports: 8000-8100, source: balancer}]}
    instances: {server: {subnet: s, ip: 10.2.0.20, security_groups: [servers], services: [{http: 8080}]}}
server_groups: {web: {vpc: provider, health_check: {interval: 5s, timeout: 2s}, servers: [{instance: server, port: 8080}]}}
load_balancers:
  nlb:
    type: nlb
    vpc: provider
    subnets: {s: {ip: 10.2.0.9}}
    security_groups: [balancer]
    enforce_security_groups_on_private_link: ENFORCE
    listeners: [{protocol: tcp, port: 80, server_group: web}]
endpoint_services: {svc: {resources: [nlb], auto_accept: true, whitelist: [consumer]}}
endpoints: {ep: {service: svc, vpc: consumer, subnets: {endpoints: {ip: 10.1.9.77}}}}
checks: [{name: the client asks, from: client, get: "http://10.1.9.77/", timeout: 2s, expect: {EXPECT}}]
`

// What comes through an endpoint is judged by the client's address, and not by
// that of the endpoint's ENI, unless the enforcement is off.
func TestTheGroupsOfAnNLBJudgeTheClientAndNotTheEndpoint(t *testing.T) {
	plinktest.Require(t)
	for _, tt := range []struct {
		name, source, enforce string
		passes                bool
	}{
		{"guard-eni-on", "10.1.9.0/24", "on", false},
		{"guard-eni-off", "10.1.9.0/24", "off", true},
		{"guard-client-on", "10.1.0.0/24", "on", true},
		{"guard-client-off", "10.1.0.0/24", "off", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // the labs are side by side
			expect := "bodies: [server]"
			if !tt.passes {
				expect = "error: timeout"
			}
			l := plinktest.UpText(t, strings.NewReplacer("NAME", tt.name, "SOURCE", tt.source, "ENFORCE", tt.enforce,
				"EXPECT", expect).Replace(guarded))
			passes(t, l)
			e := l.Explain("client", "ep:80")
			require.Equal(t, tt.passes, e.Passes, "%+v", e)
		})
	}
}

// fronted has an ALB with security groups: what comes to it is judged by them, what it
// sends too, and its servers name its group.
const fronted = `name: fronted
cloud: aws
region: r
accounts: [a]
vpcs:
  v:
    cidr: 10.2.0.0/16
    subnets: {s: {zone: ra, cidr: 10.2.0.0/24}, t: {zone: rb, cidr: 10.2.1.0/24}}
    security_groups:
      clients: {}
      strangers: {}
      front: {ingress: [{protocol: tcp, ports: 80, source: clients}, {protocol: tcp, ports: 80, source: 10.2.0.9/32}]}
      narrow: {ingress: [{protocol: tcp, ports: 80, source: clients}], egress: [{protocol: tcp, ports: 81, destination: servers}]}
      servers: {ingress: [{protocol: tcp, ports: 80, source: front}, {protocol: tcp, ports: 80, source: narrow}]}
    instances:
      client: {subnet: s, ip: 10.2.0.10, security_groups: [clients]}
      stranger: {subnet: s, ip: 10.2.0.11, security_groups: [strangers]}
      server: {subnet: s, ip: 10.2.0.20, security_groups: [servers], services: [{http: 80}]}
server_groups:
  web: {vpc: v, protocol: http, health_check: {interval: 5s, timeout: 2s}, servers: [{instance: server, port: 80}]}
  alb: {vpc: v, health_check: {interval: 5s, timeout: 2s}, servers: [{load_balancer: alb, port: 80}]}
load_balancers:
  alb: {type: alb, vpc: v, subnets: {s: {ip: 10.2.0.30}, t: {ip: 10.2.1.30}}, security_groups: [front], listeners: [{protocol: http, port: 80, server_group: web}]}
  narrow: {type: alb, vpc: v, subnets: {s: {ip: 10.2.0.40}, t: {ip: 10.2.1.40}}, security_groups: [narrow], listeners: [{protocol: http, port: 80, server_group: web}]}
  nlb: {type: nlb, vpc: v, subnets: {s: {ip: 10.2.0.9}}, listeners: [{protocol: tcp, port: 80, server_group: alb}]}
checks:
  - {name: its group lets clients in, from: client, get: "http://10.2.0.30/", expect: {bodies: [server]}}
  - {name: at every node, from: client, get: "http://10.2.1.30/", expect: {bodies: [server]}}
  - {name: and nobody else, from: stranger, get: "http://10.2.0.30/", timeout: 1s, expect: {error: timeout}}
  - {name: but for the NLB before it, from: stranger, get: "http://10.2.0.9/", expect: {bodies: [server]}}
  - {name: servers let in its group and nobody else, from: client, get: "http://10.2.0.20/", timeout: 1s, expect: {error: timeout}}
  - {name: what it may send is judged too, from: client, get: "http://10.2.0.40/", timeout: 15s, expect: {status: 504}}
`

func TestTheGroupsOfAnALBJudgeWhatItGetsAndSends(t *testing.T) {
	t.Parallel() // it waits for time limits, most of the time
	l := plinktest.UpText(t, fronted)
	passes(t, l)
	for _, tt := range []struct {
		from, to string
		passes   bool
	}{
		{"client", "10.2.0.30:80", true}, {"stranger", "10.2.0.30:80", false}, {"stranger", "10.2.0.9:80", true},
		{"client", "10.2.0.20:80", false}, {"client", "10.2.0.40:80", false},
	} {
		e := l.Explain(tt.from, tt.to)
		require.Equal(t, tt.passes, e.Passes, "%s to %s: %+v", tt.from, tt.to, e)
	}
}

func passes(t *testing.T, l *plinktest.Lab) {
	t.Helper()
	require.NoError(t, l.Running().Check(t.Context(), func(r status.Check) {
		require.True(t, r.Passed, "%s: %s", r.Name, r.Got)
	}))
}

const defaults = `name: defaults
cloud: aws
region: r
accounts: [a]
vpcs:
  v:
    cidr: 10.1.0.0/16
    subnets: {s: {zone: ra, cidr: 10.1.0.0/24}}
    security_groups:
      other: {}
      careful: {egress: [{protocol: tcp, ports: 80, destination: doors}]}
      doors: {ingress: [{protocol: tcp, source: careful}]}
    instances:
      one: {subnet: s, ip: 10.1.0.10, services: [{http: 80}]}
      two: {subnet: s, ip: 10.1.0.11}
      stranger: {subnet: s, ip: 10.1.0.12, security_groups: [other]}
      careful: {subnet: s, ip: 10.1.0.13, security_groups: [careful]}
  p:
    cidr: 10.2.0.0/16
    subnets: {s: {zone: ra, cidr: 10.2.0.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: 80, source: 10.2.0.0/16}]}}
    instances: {server: {subnet: s, ip: 10.2.0.20, security_groups: [web], services: [{http: 80}]}}
server_groups: {web: {vpc: p, health_check: {interval: 5s, timeout: 2s}, servers: [{instance: server, port: 80}]}}
load_balancers: {nlb: {type: nlb, vpc: p, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: web}]}}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: v, subnets: {s: {ip: 10.1.0.77}}}}
checks:
  - {name: the default group admits its members, from: two, get: "http://10.1.0.10/", expect: {bodies: [one]}}
  - {name: and nobody else, from: stranger, get: "http://10.1.0.10/", timeout: 1s, expect: {error: timeout}}
  - {name: an endpoint without groups is in it too, from: two, get: "http://10.1.0.77/", expect: {bodies: [server]}}
  - {name: so that others do not reach it, from: stranger, get: "http://10.1.0.77/", timeout: 1s, expect: {error: timeout}}
  - {name: who may go through doors alone finds none, from: careful, get: "http://10.1.0.77/", timeout: 1s, expect: {error: any}}
  - {name: until the endpoint is one, do: {verb: group-add, endpoint: ep, security_group: doors}}
  - {name: then both sides let it pass, from: careful, get: "http://10.1.0.77/", expect: {bodies: [server]}}
  - {name: a group that an endpoint leaves, do: {verb: group-remove, endpoint: ep, security_group: doors}}
  - {name: is closed again, from: careful, get: "http://10.1.0.77/", timeout: 1s, expect: {error: any}}
`

// Members of a group are who is in it now: instances, and the ENIs of endpoints.
func TestWhatNamesNoGroupIsInTheDefaultGroupAndRulesFollowTheMembers(t *testing.T) {
	t.Parallel()
	plinktest.Require(t)
	l := plinktest.UpText(t, defaults)
	passes(t, l)
	require.Equal(t, topology.DefaultGroup, l.Plan().VPCs[0].Instances[0].SecurityGroups[0])
}
