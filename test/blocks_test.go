package test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// The consumer's and the provider's VPCs have two blocks each, and one of both is
// the same.
const blocks = `
name: blocks
cloud: CLOUD
region: us-east-1
accounts: [a]
vpcs:
  consumer:
    cidr: 10.0.0.0/16
    secondary_cidrs: [10.1.0.0/16]
    subnets: {first: {zone: us-east-1a, cidr: 10.0.1.0/24}, second: {zone: us-east-1b, cidr: 10.1.1.0/24}}
    security_groups: {open: {ingress: [{protocol: all, source: [0.0.0.0/0]}]}}
    instances:
      one: {subnet: first, ip: 10.0.1.10, security_groups: [open], services: [{http: 80, body: "one {client}"}]}
      two: {subnet: second, ip: 10.1.1.10, security_groups: [open], services: [{http: 80, body: "two {client}"}]}
  provider:
    cidr: 172.16.0.0/16
    secondary_cidrs: [10.1.0.0/16]
    subnets: {first: {zone: us-east-1a, cidr: 172.16.1.0/24}, second: {zone: us-east-1b, cidr: 10.1.1.0/24}}
    security_groups: {open: {ingress: [{protocol: all, source: [0.0.0.0/0]}]}}
    instances: {server: {subnet: second, ip: 10.1.1.10, security_groups: [open], services: [{http: 80, body: server}]}}
server_groups:
  tg: {vpc: provider, health_check: {interval: 1s, timeout: 1s}, servers: [{ip: 10.1.1.10, port: 80}]}
load_balancers:
  nlb: {type: nlb, vpc: provider, cross_zone: true, subnets: [first, second], listeners: [{protocol: tcp, port: 80, server_group: tg}]}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: consumer, subnets: {first: {ip: 10.0.1.50}, second: {ip: 10.1.1.50}}, security_groups: [open]}}
checks:
  - {name: from the second block to the first, from: two, get: "http://10.0.1.50/", times: 3, timeout: 5s, expect: {bodies: [server]}}
  - {name: from the first block to the second, from: one, get: "http://10.1.1.50/", times: 3, timeout: 5s, expect: {bodies: [server]}}
  - {name: by name from the second block, from: two, get: "http://${ep}/", times: 3, timeout: 5s, expect: {bodies: [server]}}
  - {name: an instance of the first block, from: two, get: "http://10.0.1.10/", timeout: 5s, expect: {bodies: [one 10.1.1.10]}}
  - {name: an instance of the second block, from: one, get: "http://10.1.1.10/", timeout: 5s, expect: {bodies: [two 10.0.1.10]}}
`

func TestSubnetsOfSeveralBlocks(t *testing.T) {
	t.Parallel()
	for _, cloud := range []string{"aws", "alibaba", "rfc"} {
		for machine, options := range map[string][]plinktest.Option{"kernel": nil, "process": {plinktest.InProcess()}} {
			t.Run(cloud+"/"+machine, func(t *testing.T) {
				if options == nil {
					plinktest.Require(t)
				}
				l := plinktest.UpText(t, strings.Replace(blocks, "CLOUD", cloud, 1), options...)
				passAll(t, l)
				way := l.Explain("one", "10.1.1.77:80")
				require.False(t, way.Passes)
				last := way.Ways[0].Stations[len(way.Ways[0].Stations)-1]
				require.Contains(t, last.Text, "nobody in VPC consumer has the address", "it is in a block of the VPC")
			})
		}
	}
}

func passAll(t *testing.T, l *plinktest.Lab) {
	t.Helper()
	require.NoError(t, l.Running().Check(t.Context(), func(r status.Check) {
		require.True(t, r.Passed, "%s: %s", r.Name, r.Got)
	}))
}

// Blocks are associated and disassociated while the lab runs.
func TestAPeeringLeadsToAllBlocks(t *testing.T) {
	t.Parallel()
	plinktest.Require(t)
	const more, instance = "    secondary_cidrs: [10.3.0.0/16]\n", ", far: {subnet: b, ip: 10.3.1.10, services: [{http: 80, body: \"far {client}\"}]}"
	const subnet = ", b: {zone: us-east-1a, cidr: 10.3.1.0/24}"
	text := func(more, subnet, instance string) string {
		return strings.NewReplacer("MORE\n", more, "SUBNET", subnet, "INSTANCE", instance).Replace(`
name: peered-blocks
cloud: aws
region: us-east-1
accounts: [a]
vpcs:
  left:
    cidr: 10.0.0.0/16
    secondary_cidrs: [10.1.0.0/16]
    subnets: {a: {zone: us-east-1a, cidr: 10.1.1.0/24}}
    instances: {client: {subnet: a, ip: 10.1.1.10}}
  right:
    cidr: 10.2.0.0/16
MORE
    subnets: {a: {zone: us-east-1a, cidr: 10.2.1.0/24}SUBNET}
    security_groups: {default: {ingress: [{protocol: tcp, ports: 80, source: [10.1.0.0/16]}]}}
    instances: {near: {subnet: a, ip: 10.2.1.10, services: [{http: 80, body: "near {client}"}]}INSTANCE}
peerings: {p: {vpcs: [left, right]}}
`)
	}
	l := plinktest.UpText(t, text("", "", ""))
	for _, has := range []bool{false, true, false} {
		if has {
			_, err := l.Running().Apply(t.Context(), parse(t, text(more, subnet, instance)), quiet)
			require.NoError(t, err)
			body, err := get(t, l.Instance("client"), "http://10.3.1.10/")
			require.NoError(t, err)
			require.Equal(t, "far 10.1.1.10", body)
		} else {
			_, err := l.Running().Apply(t.Context(), parse(t, text("", "", "")), quiet)
			require.NoError(t, err)
		}
		body, err := get(t, l.Instance("client"), "http://10.2.1.10/")
		require.NoError(t, err)
		require.Equal(t, "near 10.1.1.10", body)
		way := l.Explain("client", "10.3.1.10:80")
		require.Equal(t, has, way.Passes)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := l.Instance("client").DialContext(ctx, "tcp", "10.3.1.10:80")
	require.Error(t, err, "the block is gone, and so is the route")
	require.Nil(t, conn)
}
