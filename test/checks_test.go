package test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

const everyCheck = `
name: checks
cloud: aws
region: eu-west-1
vpcs:
  data:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: eu-west-1a, cidr: 10.0.1.0/24}, b: {zone: eu-west-1b, cidr: 10.0.2.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: 10.0.0.0/16}]}}
    instances:
      db: {subnet: a, ip: 10.0.1.20, services: [{echo: 82}, {http: 80, body: page}]}
  shop:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: eu-west-1a, cidr: 10.0.1.0/24}}
    instances: {web: {subnet: a, ip: 10.0.1.10}}
server_groups:
  tcp: {vpc: data, servers: [{instance: db, port: 82}]}
  udp: {vpc: data, protocol: udp, health_check: {protocol: tcp, port: 82}, servers: [{instance: db, port: 82}]}
  web: {vpc: data, protocol: http, servers: [{instance: db, port: 80}]}
load_balancers:
  nlb:
    type: nlb
    vpc: data
    subnets: [a]
    listeners:
      - {protocol: tcp, port: 82, server_group: tcp}
      - {protocol: udp, port: 83, server_group: udp}
  alb:
    type: alb
    vpc: data
    subnets: [a, b]
    listeners: [{protocol: https, port: 443, server_group: web, rules: [{priority: 1, hosts: [shop.example], server_group: web}]}]
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: shop, subnets: [a]}}
checks:
  - {name: a line is echoed, from: web, connect: "${ep}:82", send: hello, expect: {bodies: [hello]}}
  - {name: a datagram is echoed, from: web, udp: "${ep}:83", send: hello, expect: {bodies: [hello]}}
  - {name: a port without a listener does not answer, from: web, udp: "${ep}:84", send: hello, timeout: 300ms, expect: {error: timeout}}
  - {name: silence of less than 350 s is allowed, from: web, connect: "${ep}:82", send: hello, idle: 100s, expect: {bodies: [hello]}}
  - {name: silence of more than 350 s is the end, from: web, connect: "${ep}:82", send: hello, idle: 400s, expect: {error: reset}}
  - {name: silence of datagrams opens another session, from: web, udp: "${ep}:83", send: hello, idle: 121s, expect: {bodies: [hello]}}
  - {name: ten at a time are served in time, from: web, connect: "${ep}:82", send: hello, times: 40, parallel: 10, expect: {bodies: [hello], within: 2s}}
  - {name: a name of the certificate, from: db, connect: "${alb.ip}:443", server_name: shop.example}
  - {name: another name, from: db, connect: "${alb.ip}:443", server_name: other.example, expect: {error: certificate}}
  - {name: a page by a name of the certificate, from: db, get: "https://${alb.ip}/", server_name: shop.example, expect: {bodies: [page]}}
  - {name: a page by another name, from: db, get: "https://${alb.ip}/", server_name: other.example, expect: {error: certificate}}
  - {name: it cannot be that late, from: web, connect: "${ep}:82", send: hello, expect: {after: 5s}}
`

// Every kind of step that sends packets, in a lab of each machine. The times of the
// cloud pass by the lab's scale.
func TestEveryKindOfCheck(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		l := plinktest.UpText(t, everyCheck, machine, plinktest.TimeScale(100))
		var wrong []string
		var last status.Check
		require.NoError(t, l.Running().Check(t.Context(), func(c status.Check) {
			if last = c; !c.Passed {
				wrong = append(wrong, c.Name+": "+c.Got)
			}
		}))
		require.Len(t, wrong, 1, "%s", strings.Join(wrong, "\n"))
		require.Contains(t, wrong[0], "it cannot be that late: after ")
		require.Equal(t, "an answer, after 5s at least", last.Expect)
	})
}
