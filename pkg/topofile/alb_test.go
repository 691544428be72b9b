package topofile

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/topology"
)

// layer7 is a topology with an alb and without a fault.
const layer7 = `name: layer7
cloud: alibaba
region: cn-hangzhou
accounts: [a]
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets:
      h1: {zone: cn-hangzhou-h, cidr: 10.0.0.0/24}
    instances:
      ecs1: {subnet: h1, ip: 10.0.0.10}
  vpc2:
    cidr: 192.168.0.0/16
    subnets:
      h2: {zone: cn-hangzhou-h, cidr: 192.168.0.0/24}
      i2: {zone: cn-hangzhou-i, cidr: 192.168.1.0/24}
    instances:
      ecs2: {subnet: h2, ip: 192.168.0.20, services: [{http: 80}]}
      ecs3: {subnet: i2, ip: 192.168.1.30, services: [{http: 80}]}
server_groups:
  rs1: {vpc: vpc2, protocol: http, servers: [{instance: ecs2, port: 80}, {instance: ecs3, port: 80}]}
  rs2: {vpc: vpc2, protocol: https, servers: [{instance: ecs3, port: 443}]}
  rs3: {vpc: vpc2, protocol: tcp, servers: [{instance: ecs3, port: 80}]}
load_balancers:
  alb1:
    type: alb
    vpc: vpc2
    subnets: {h2: {ip: 192.168.0.100}, i2: {}}
    listeners:
      - {protocol: http, port: 80, server_group: rs1}
      - protocol: https
        port: 443
        server_group: rs2
        rules:
          - {priority: 20, hosts: ["*.shop.example", Shop.Example], server_group: rs1}
          - {priority: 10, paths: [/old/*], redirect: {status: 308, path: /new}}
          - {priority: 30, hosts: ["s?op.example"], paths: ["*.php"], fixed_response: {status: 410}}
endpoint_services:
  svc1: {resources: [alb1]}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [h1]}
`

func TestALBMessages(t *testing.T) {
	var catalogue strings.Builder
	catalogue.WriteString("What is said about faults of layer 7 load balancers: the fault, then the text.\n")
	const httpListener = "{protocol: http, port: 80, server_group: rs1"
	const rule = "{priority: 20, "
	for _, tt := range []struct {
		name     string
		old, new string
		aws      bool
		problems int // 0 means 1
	}{
		{name: "an alb is in one zone", old: "{h2: {ip: 192.168.0.100}, i2: {}}", new: "[h2]"},
		{name: "an alb is in two subnets of one zone", old: "i2: {zone: cn-hangzhou-i", new: "i2: {zone: cn-hangzhou-h"},
		{name: "an alb's node takes an instance's address", old: "192.168.0.100", new: "192.168.0.20"},
		{name: "an alb listens on tcp", old: httpListener, new: "{protocol: tcp, port: 80, server_group: rs3"},
		{name: "two listeners have one port", old: httpListener, new: "{protocol: http, port: 443, server_group: rs1"},
		{name: "a listener leads to a group of layer 4", old: httpListener, new: "{protocol: http, port: 80, server_group: rs3"},
		{name: "an http listener leads to an https group", old: httpListener, new: "{protocol: http, port: 80, server_group: rs2"},
		{name: "an http listener has a certificate", old: httpListener, new: httpListener + ", certificates: [{certificate: a.pem, key: a.key}]"},
		{name: "a certificate has no key", old: "port: 443\n", new: "port: 443\n        certificates: [{certificate: a.pem}]\n"},
		{name: "a header is not known", old: httpListener, new: httpListener + ", forwarded: [proto, prot]"},
		{name: "a header is named twice", old: httpListener, new: httpListener + ", forwarded: [port, port]"},
		{name: "a request timeout is too short", old: httpListener, new: httpListener + ", request_timeout: 10ms"},
		{name: "two rules have one priority", old: rule, new: "{priority: 10, "},
		{name: "a rule's priority is too high", old: rule, new: "{priority: 20000, "},
		{name: "a rule is for everything", old: `hosts: ["*.shop.example", Shop.Example], `, new: ""},
		{name: "a rule is for no host", old: `["*.shop.example", Shop.Example]`, new: "[]"},
		{name: "a rule's host is a URL", old: "Shop.Example", new: "https://shop.example"},
		{name: "a rule's path has no slash", old: "/old/*", new: "old/*"},
		{name: "a rule's header is Host", old: `paths: ["*.php"]`, new: "headers: [{name: host, values: [a]}]"},
		{name: "a rule's method is small", old: `paths: ["*.php"]`, new: "methods: [get]"},
		{name: "a rule's source is an address", old: `paths: ["*.php"]`, new: "sources: [10.0.0.1]"},
		{name: "a rule asks for no query", old: `paths: ["*.php"]`, new: "query: []"},
		{name: "a split is empty", old: "fixed_response: {status: 410}", new: "split: []"},
		{name: "a split names a group twice", old: "fixed_response: {status: 410}", new: "split: [{server_group: rs1, weight: 1}, {server_group: rs1, weight: 2}]"},
		{name: "a split names a group that is not there", old: "fixed_response: {status: 410}", new: "split: [{server_group: rs7, weight: 1}]"},
		{name: "a weight is too high", old: "fixed_response: {status: 410}", new: "split: [{server_group: rs1, weight: 1000}]"},
		{name: "a listener does nothing", old: httpListener, new: "{protocol: http, port: 80"},
		{name: "a listener does two things", old: httpListener, new: httpListener + ", redirect: {protocol: https}"},
		{name: "a certificate is for names and in files", old: "port: 443\n", new: "port: 443\n        certificates: [{names: [a.example], key: a.key}]\n"},
		{name: "a certificate is for a pattern", old: "port: 443\n", new: "port: 443\n        certificates: [{names: ['w*.example']}]\n"},
		{name: "a rule does nothing", old: ", fixed_response: {status: 410}", new: ""},
		{name: "a rule does two things", old: "redirect: {status: 308, path: /new}", new: "redirect: {path: /new}, server_group: rs1"},
		{name: "a rule leads to an unknown group", old: "server_group: rs1}\n          - {priority: 10", new: "server_group: rs9}\n          - {priority: 10"},
		{name: "a redirect leads nowhere else", old: "{status: 308, path: /new}", new: "{status: 308}"},
		{name: "a redirect is none", old: "status: 308", new: "status: 305"},
		{name: "a redirect's path has no slash", old: "path: /new", new: "path: new"},
		{name: "a fixed response is a redirect", old: "status: 410", new: "status: 301"},
		{name: "a group of layer 4 has persistence", old: "rs3: {vpc: vpc2, protocol: tcp", new: "rs3: {vpc: vpc2, protocol: tcp, persistence: {mode: insert}"},
		{name: "an inserted cookie has a name", old: "rs1: {vpc: vpc2", new: "rs1: {vpc: vpc2, persistence: {cookie: mine}"},
		{name: "a cookie to rewrite has none", old: "rs1: {vpc: vpc2", new: "rs1: {vpc: vpc2, persistence: {mode: rewrite}"},
		{name: "a cookie to rewrite has a timeout", old: "rs1: {vpc: vpc2", new: "rs1: {vpc: vpc2, persistence: {mode: rewrite, cookie: session, timeout: 1h}"},
		{name: "a cookie lives too long", old: "rs1: {vpc: vpc2", new: "rs1: {vpc: vpc2, persistence: {timeout: 25h}"},
		{name: "persistence is within zones", old: "rs2: {vpc: vpc2, protocol: https", new: "rs2: {vpc: vpc2, persistence: {mode: insert}, protocol: https", problems: 1},
		{name: "aws offers no alb", aws: true},
		{name: "aws rewrites no cookie", aws: true, old: "rs1: {vpc: vpc2", new: "rs1: {vpc: vpc2, persistence: {mode: rewrite, cookie: session}", problems: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.old != "" {
				require.Equal(t, 1, strings.Count(layer7, tt.old), "the row must say clearly what it replaces")
			}
			text := strings.Replace(layer7, tt.old, tt.new, 1)
			if tt.aws {
				text = strings.Replace(text, "cloud: alibaba", "cloud: aws", 1)
			}
			if strings.Contains(tt.name, "within zones") {
				text = strings.Replace(text, "type: alb", "type: alb\n    cross_zone: false", 1)
			}
			addProblems(t, &catalogue, tt.name, text, max(tt.problems, 1))
		})
	}
	if !t.Failed() {
		golden.Equal(t, "testdata/messages-alb.txt", catalogue.String())
	}
}

func TestALongFixedResponseIsRefused(t *testing.T) {
	for bytes, want := range map[int]string{1024: "", 1025: "has 1025 bytes, and 1024 are possible"} {
		_, err := Parse("topology.yaml", []byte(strings.Replace(layer7, "status: 410", "status: 410, body: "+strings.Repeat("x", bytes), 1)))
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
}

func TestALBPlan(t *testing.T) {
	plan, err := Parse("layer7.yaml", []byte(layer7))
	require.NoError(t, err)
	require.Empty(t, plan.Warnings)
	lb := plan.LoadBalancers[0]
	require.True(t, strings.HasPrefix(lb.ID, "alb-bp1"))
	require.True(t, strings.HasPrefix(plan.ServerGroups[0].ID, "sgp-bp1"))
	require.True(t, lb.CrossZone, "an alb's nodes pick servers of every zone")

	node := lb.Nodes[0]
	require.Equal(t, "192.168.0.100", node.IP().String())
	require.Equal(t, "vpc2.alb1@cn-hangzhou-h", node.Proxy.Namespace)
	require.True(t, plan.Profile.SharedBlock.Contains(node.ENI.IP), "sessions of consumers come from the shared block, and not from %s", node.ENI.IP)
	require.Equal(t, node.Local[0], node.ENI.IP)
	require.NotEqual(t, node.ENI.MAC, node.Proxy.MAC)
	require.True(t, plan.VPCs[1].Subnets[1].CIDR.Contains(lb.Nodes[1].IP()), "the other node's address is chosen")

	http, https := lb.Listeners[0], lb.Listeners[1]
	require.Equal(t, 15*time.Second, http.IdleTimeout)
	require.Equal(t, time.Minute, http.HTTP.RequestTimeout)
	require.Empty(t, http.HTTP.CertificateNames)
	require.Equal(t, []string{"*.shop.example", "shop.example"}, https.HTTP.Rules[1].Hosts, "rules in the order of their priorities, hosts in lower case")
	ep := plan.Endpoints[0]
	require.Equal(t, []string{
		ep.Domain, ep.Zones[0].Domain, ep.Zones[0].ENI.IP.String(), "192.168.0.100", lb.Nodes[1].IP().String(), "*.shop.example", "shop.example",
	}, https.HTTP.CertificateNames)

	for _, ref := range []string{"alb1.ip", "alb1@cn-hangzhou-h.ip"} {
		text, err := plan.Lookup(ref)
		require.NoError(t, err)
		require.Equal(t, "192.168.0.100", text)
	}
}

func TestPersistenceOfTheClouds(t *testing.T) {
	text := strings.Replace(layer7, "rs1: {vpc: vpc2", "rs1: {vpc: vpc2, persistence: {mode: insert}", 1)
	plan, err := Parse("layer7.yaml", []byte(text))
	require.NoError(t, err)
	require.Equal(t, &topology.Persistence{Mode: "insert", Cookie: "SERVERID", Timeout: 1000 * time.Second}, plan.ServerGroups[0].Persistence)
	require.False(t, plan.ServerGroups[0].Keepalive)

	// An alb that no service offers may be at aws too.
	text, _, _ = strings.Cut(text, "endpoint_services:")
	plan, err = Parse("layer7.yaml", []byte(strings.Replace(text, "cloud: alibaba", "cloud: aws", 1)))
	require.NoError(t, err)
	require.Equal(t, &topology.Persistence{Mode: "insert", Cookie: "AWSALB", Timeout: 24 * time.Hour, Renew: true}, plan.ServerGroups[0].Persistence)
	require.True(t, plan.ServerGroups[0].Keepalive)
	require.Equal(t, []string{"proto", "port"}, plan.LoadBalancers[0].Listeners[0].HTTP.Forwarded)
	require.True(t, strings.HasPrefix(plan.LoadBalancers[0].ID, "app/alb1/"))
	require.True(t, plan.VPCs[1].Subnets[0].CIDR.Contains(plan.LoadBalancers[0].Nodes[0].ENI.IP))
}
