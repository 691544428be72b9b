package test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// The provider's load balancers have servers in its own VPC and, by their
// addresses, in another one with which it has a peering.
const peered = `
name: peered
cloud: CLOUD
region: us-east-1
accounts: [a]
vpcs:
  provider:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: us-east-1a, cidr: 10.0.1.0/24}, b: {zone: us-east-1b, cidr: 10.0.2.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances: {near: {subnet: a, ip: 10.0.1.10, services: [{http: 80}]}}
  backend:
    cidr: 10.1.0.0/16
    subnets: {c: {zone: us-east-1c, cidr: 10.1.1.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: 80, source: 10.0.0.0/16}]}}
    instances: {far: {subnet: c, ip: 10.1.1.10, services: [{http: 80}], security_groups: [web]}}
  further:
    cidr: 10.2.0.0/16
    subnets: {c: {zone: us-east-1c, cidr: 10.2.1.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances: {out: {subnet: c, ip: 10.2.1.10, services: [{http: 80}]}}
  consumer:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: us-east-1a, cidr: 10.0.1.0/24}, b: {zone: us-east-1b, cidr: 10.0.2.0/24}}
    instances: {client: {subnet: a, ip: 10.0.1.20}}
peerings:
  back: {vpcs: [provider, backend]}
  beyond: {vpcs: [backend, further]}
server_groups:
  tg: {vpc: provider, scheduler: rr, health_check: {interval: 1s, timeout: 1s}, servers: [{instance: near, port: 80}, {ip: 10.1.1.10, port: 80}]}
  away: {vpc: provider, health_check: {interval: 1s, timeout: 1s}, servers: [{ip: 10.1.1.10, port: 80}]}
load_balancers:
  nlb: {type: nlb, vpc: provider, subnets: [a, b], listeners: [{protocol: tcp, port: 80, server_group: tg}, {protocol: tcp, port: 81, server_group: away}]}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: consumer, subnets: [a, b]}}
checks:
  - {name: both servers answer in their zone's node, from: client, get: "http://${ep@us-east-1a}/", times: 10, timeout: 2s, expect: {bodies: [near, far]}}
  - {name: the one elsewhere is in no zone, from: client, get: "http://${ep@us-east-1b}:81/", times: 5, timeout: 2s, expect: {bodies: [far]}}
  - {name: the VPCs reach each other, from: near, get: "http://10.1.1.10/", timeout: 1s, expect: {bodies: [far]}}
  - {name: and back, from: far, get: "http://10.0.1.10/", timeout: 1s, expect: {bodies: [near]}}
  - {name: a security group judges, from: near, connect: "10.1.1.10:81", timeout: 1s, expect: {error: any}}
  - {name: a peering leads no further, from: near, get: "http://10.2.1.10/", timeout: 1s, expect: {error: any}}
  - {name: nor does the consumer see it, from: client, get: "http://10.1.1.10/", timeout: 1s, expect: {error: any}}
`

func TestServersInAVPCWithAPeering(t *testing.T) {
	t.Parallel()
	plinktest.Require(t)
	for _, cloud := range []string{"aws", "alibaba", "rfc"} {
		t.Run(cloud, func(t *testing.T) {
			l := plinktest.UpText(t, strings.Replace(peered, "CLOUD", cloud, 1))
			require.NoError(t, l.Running().Check(t.Context(), func(r status.Check) {
				require.True(t, r.Passed, "%s: %s", r.Name, r.Got)
			}))
			for to, passes := range map[string]bool{"10.1.1.10:80": true, "10.1.1.10:81": false, "10.2.1.10:80": false} {
				way := l.Explain("near", to)
				require.Equal(t, passes, way.Passes, "explain near %s", to)
			}
		})
	}
}
