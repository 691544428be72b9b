package test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// The server is in zone a, and the consumer asks the node in zone b.
const acrossZones = `
name: across
cloud: aws
region: us-east-1
accounts: [a]
vpcs:
  p:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: us-east-1a, cidr: 10.0.1.0/24}, b: {zone: us-east-1b, cidr: 10.0.2.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances: {web: {subnet: a, services: [{http: 80}]}}
  c:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: us-east-1a, cidr: 10.0.1.0/24}, b: {zone: us-east-1b, cidr: 10.0.2.0/24}}
    instances: {client: {subnet: a}}
server_groups:
  tg: {vpc: p, GROUP health_check: {interval: 1s, timeout: 1s}, servers: [{instance: web, port: 80}]}
load_balancers:
  nlb: {type: nlb, vpc: p, subnets: [a, b], BALANCER listeners: [{protocol: tcp, port: 80, server_group: tg}]}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: c, subnets: [a, b]}}
checks:
  - {name: zone a, from: client, get: "http://${ep@us-east-1a}/", timeout: 1s, expect: {bodies: [web]}}
  - {name: zone b, from: client, get: "http://${ep@us-east-1b}/", timeout: 1s, expect: {EXPECT}}
  - {name: in the endpoint's name, from: client, resolve: "${ep}", expect: {addresses: [ADDRESSES]}}
`

func TestWhatATargetGroupSaysOfZonesGoesBeforeItsLoadBalancer(t *testing.T) {
	plinktest.Require(t)
	const one, both = `"${ep@us-east-1a.ip}"`, `"${ep@us-east-1a.ip}", "${ep@us-east-1b.ip}"`
	for _, tt := range []struct{ name, group, balancer, expect, addresses string }{
		{"nothing is said: a node keeps to its zone", "", "", "error: timeout", one},
		{"the load balancer says that it does not", "", "cross_zone: true,", "bodies: [web]", both},
		{"the group says that it does not", "cross_zone: true,", "", "bodies: [web]", both},
		{"the group says that it does", "cross_zone: false,", "cross_zone: true,", "error: timeout", one},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := plinktest.UpText(t, strings.NewReplacer("GROUP", tt.group, "BALANCER", tt.balancer,
				"EXPECT", tt.expect, "ADDRESSES", tt.addresses).Replace(acrossZones))
			require.NoError(t, l.Running().Check(t.Context(), func(r status.Check) {
				require.True(t, r.Passed, "%s: %s", r.Name, r.Got)
			}))
		})
	}
}
