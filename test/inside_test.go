package test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// A load balancer that clients of its own VPC use: from its subnet, from
// another one, and from its own servers.
const inside = `
name: inside
cloud: CLOUD
region: us-east-1
accounts: [a]
vpcs:
  p:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: us-east-1a, cidr: 10.0.1.0/24}, b: {zone: us-east-1b, cidr: 10.0.2.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances:
      web: {subnet: a, ip: 10.0.1.10, services: [{http: 80}, {http: 81}]}
      other: {subnet: a, ip: 10.0.1.11}
      far: {subnet: b, ip: 10.0.2.10}
server_groups:
  tg: {vpc: p, health_check: {interval: 1s, timeout: 1s}, servers: [{instance: web, port: 80}]}
  by-address: {vpc: p, health_check: {interval: 1s, timeout: 1s}, servers: [{ip: 10.0.1.10, port: 81}]}
load_balancers:
  lb: {type: TYPE, vpc: p, subnets: [a], listeners: [{protocol: tcp, port: 80, server_group: tg}, {protocol: tcp, port: 81, server_group: by-address}]}
checks:
  - {name: from its subnet, from: other, get: "http://${lb.ip}/", timeout: 1s, expect: {bodies: [web]}}
  - {name: from another subnet, from: far, get: "http://${lb.ip}/", times: 5, timeout: 1s, expect: {bodies: [web]}}
  - {name: from its own server, from: web, get: "http://${lb.ip}/", timeout: 1s, expect: {ITSELF}}
  - {name: from its own server by address, from: web, get: "http://${lb.ip}:81/", timeout: 1s, expect: {ADDRESS}}
  - {name: no listener, from: other, connect: "${lb.ip}:82", timeout: 1s, expect: {error: timeout}}
`

func TestALoadBalancerServesItsOwnVPC(t *testing.T) {
	t.Parallel()
	plinktest.Require(t)
	const web, silence = "bodies: [web]", "error: timeout"
	for _, tt := range []struct{ cloud, kind, itself, address string }{
		{"aws", "nlb", silence, web}, // client IP preservation is on for instances, off for addresses
		{"alibaba", "nlb", silence, silence},
		{"alibaba", "clb", silence, silence},
		{"rfc", "nlb", web, web}, // RFC 4787, REQ-9
	} {
		t.Run(tt.cloud+" "+tt.kind, func(t *testing.T) {
			l := plinktest.UpText(t, strings.NewReplacer("CLOUD", tt.cloud, "TYPE", tt.kind, "ITSELF", tt.itself,
				"ADDRESS", tt.address).Replace(inside))
			require.NoError(t, l.Running().Check(t.Context(), func(r status.Check) {
				require.True(t, r.Passed, "%s: %s", r.Name, r.Got)
			}))
			way := l.Explain("web", "lb.ip:80")
			require.Equal(t, tt.itself == web, way.Passes, "explain says the same")
		})
	}
}

func TestSecondaryAddressesOfAnNLB(t *testing.T) {
	plinktest.Require(t)
	l := plinktest.UpText(t, strings.NewReplacer("CLOUD", "aws", "TYPE", "nlb", "ITSELF", "error: any", "ADDRESS", "error: any",
		"{http: 80}", `{http: 80, body: "{client}"}`, "subnets: [a], listeners", "subnets: [a], secondary_ips: 3, listeners").Replace(inside))
	balancer := l.Plan().MustLoadBalancer("lb")
	want := map[string]bool{}
	for _, addr := range balancer.Nodes[0].Local {
		want[addr.String()] = true
	}
	require.Len(t, want, 4)
	seen := map[string]bool{}
	for range 8 {
		resp, err := l.Instance("other").HTTP().Get("http://" + l.Name("lb.ip") + "/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		seen[strings.TrimSpace(string(body))] = true
	}
	require.Equal(t, want, seen, "servers see sessions from each of them")
}
