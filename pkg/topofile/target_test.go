package topofile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestTargetsAreInstancesAddressesAndALBs(t *testing.T) {
	plan, err := Load("../../testdata/topologies/aws-nlb-alb.yaml")
	require.NoError(t, err)
	say := func(group string) (out []string) {
		g, err := plan.ServerGroup(group)
		require.NoError(t, err)
		for _, s := range g.Servers {
			in := "none"
			if found := plan.InstanceOf(g, s); found != nil {
				in = found.Ref()
			}
			out = append(out, fmt.Sprintf("%s %s in %s, instance %s", s.Name(), s.Zone, g.HealthCheck.Protocol, in))
		}
		return out
	}
	require.Equal(t, []string{
		"provider/shop-a us-east-1a in http, instance provider/shop-a", "provider/shop-b us-east-1b in http, instance provider/shop-b",
	}, say("shop"))
	require.Equal(t, []string{"10.0.2.20 us-east-1b in http, instance provider/api"}, say("api"))
	require.Equal(t, []string{
		"alb1@us-east-1a us-east-1a in http, instance none", "alb1@us-east-1b us-east-1b in http, instance none",
	}, say("http"), "an alb has a node in each of its zones, and is probed by http")
	alb, err := plan.LoadBalancer("alb1")
	require.NoError(t, err)
	http, err := plan.ServerGroup("http")
	require.NoError(t, err)
	require.Equal(t, []topology.Server{
		{Balancer: "alb1", Zone: "us-east-1a", IP: alb.Nodes[0].Proxy.IP, Port: 80, Weight: 100},
		{Balancer: "alb1", Zone: "us-east-1b", IP: alb.Nodes[1].Proxy.IP, Port: 80, Weight: 100},
	}, http.Servers)
	require.Contains(t, alb.Listeners[1].HTTP.CertificateNames, plan.Endpoints[0].Domain, "clients reach it by the endpoint's name")
}

func TestTargetMessages(t *testing.T) {
	text, err := os.ReadFile("../../testdata/topologies/aws-nlb-alb.yaml")
	require.NoError(t, err)
	var catalogue strings.Builder
	catalogue.WriteString("What is said about faults of the servers of groups: the fault, then the text.\n")
	const http, api = "servers: [{load_balancer: alb1, port: 80}]", "servers: [{ip: 10.0.2.20, port: 8081}]"
	for _, tt := range []struct {
		name, old, new string
		crossZone      bool
		problems       int // 0 means 1
	}{
		{name: "a server that is nothing", old: api, new: "servers: [{port: 8081}]"},
		{name: "a server that is two things", old: api, new: "servers: [{ip: 10.0.2.20, instance: api, port: 8081}]"},
		{name: "an address of no subnet", old: api, new: "servers: [{ip: 10.9.0.1, port: 8081}]"},
		{name: "an address twice", old: api, new: "servers: [{ip: 10.0.2.20, port: 8081}, {ip: 10.0.2.20, port: 8081}]"},
		{name: "an address in a group for IPv6", old: api, new: "ip_address_type: ipv6, " + api},
		{name: "an alb that is not there", old: http, new: "servers: [{load_balancer: alb, port: 80}]"},
		{name: "an nlb as a server", old: http, new: "servers: [{load_balancer: nlb1, port: 80}]"},
		{name: "an alb beside another server", old: http, new: "servers: [{load_balancer: alb1, port: 80}, {instance: api, port: 8081}]"},
		{name: "an alb without a listener on the port", old: http, new: "servers: [{load_balancer: alb1, port: 8080}]"},
		{name: "an alb in a udp group", old: http, new: "protocol: udp, " + http, problems: 2},
		{name: "an alb that is probed by tcp", old: "http: {vpc: provider, health_check: {", new: "http: {vpc: provider, health_check: {protocol: tcp, "},
		{name: "an alb as an alb's server", old: api, new: "servers: [{load_balancer: alb1, port: 80}]"},
		{name: "an alb behind a listener that tells who the consumer is", old: "{protocol: tcp, port: 80, server_group: http}",
			new: "{protocol: tcp, port: 80, server_group: http, proxy_protocol: on_first_ack}"},
		{name: "an alb of another vpc", old: "    vpc: provider\n    subnets: [private-a, private-b]\n    listeners:\n      - {protocol: http",
			new: "    vpc: consumer\n    subnets: [private-a, private-b]\n    listeners:\n      - {protocol: http", problems: 5},
		{name: "a group of alibaba's nlb with a cross-zone setting", old: "cloud: aws\nregion: us-east-1\naccounts: [provider, consumer]",
			new: "cloud: alibaba\nregion: us-east-1\naccounts: [provider, consumer]", crossZone: true, problems: 3},
		{name: "a peering of one vpc", old: "server_groups:\n", new: "peerings: {p: {vpcs: [provider]}}\nserver_groups:\n"},
		{name: "a peering with itself", old: "server_groups:\n", new: "peerings: {p: {vpcs: [provider, provider]}}\nserver_groups:\n"},
		{name: "a peering of VPCs that overlap", old: "server_groups:\n", new: "peerings: {p: {vpcs: [provider, consumer]}}\nserver_groups:\n"},
		{name: "a peering with a vpc that is not there", old: "server_groups:\n", new: "peerings: {p: {vpcs: [provider, konsumer]}}\nserver_groups:\n"},
		{name: "secondary addresses of an alb", old: "    type: alb\n", new: "    type: alb\n    secondary_ips: 1\n"},
		{name: "more secondary addresses than there are", old: "    type: nlb\n", new: "    type: nlb\n    secondary_ips: 8\n"},
		{name: "an alb behind an nlb of alibaba", old: "cloud: aws\nregion: us-east-1", new: "cloud: alibaba\nregion: us-east-1", problems: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(string(text), tt.old), "the row must say clearly what it replaces")
			changed := strings.Replace(string(text), tt.old, tt.new, 1)
			if tt.crossZone {
				changed = strings.Replace(changed, "http: {vpc", "http: {cross_zone: false, vpc", 1)
			}
			addProblems(t, &catalogue, tt.name, changed, max(tt.problems, 1))
		})
	}
	if !t.Failed() {
		golden.Equal(t, "testdata/messages-target.txt", catalogue.String())
	}
}
