package topofile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/topology"
)

// ofAWS is the small topology as one of AWS.
var ofAWS = strings.Replace(small, "cloud: alibaba", "cloud: aws", 1)

func TestCloudMessages(t *testing.T) {
	var catalogue strings.Builder
	catalogue.WriteString("What is said about topologies that one cloud takes and another does not: the fault, then the text.\n")
	const listener = "listeners: [{protocol: tcp, port: 80, server_group: rs1}"
	for _, tt := range []struct {
		name, base, old, new string
		problems             int // 0 means 1
	}{
		{name: "private DNS in a VPC without DNS hostnames", base: ofAWS, old: "vpc: vpc1, subnets: [h1]", new: "private_dns: true, vpc: vpc1, subnets: [h1]"},
		{name: "private DNS in a VPC without a resolver", base: strings.Replace(ofAWS, "    account: a\n", "    account: a\n    dns_hostnames: true\n    dns_support: false\n", 1),
			old: "vpc: vpc1, subnets: [h1]", new: "private_dns: true, vpc: vpc1, subnets: [h1]"},
		{name: "DNS attributes of a VPC of alibaba", base: small, old: "    account: a\n", new: "    account: a\n    dns_support: false\n    dns_hostnames: true\n", problems: 2},
		{name: "upstreams of a VPC without a resolver", base: ofAWS, old: "    account: a\n", new: "    account: a\n    dns_support: false\n    dns_upstreams: [10.0.0.10]\n"},
		{name: "two services of aws offer one load balancer", base: ofAWS, old: "endpoints:", new: "  svc2: {resources: [nlb1]}\nendpoints:"},
		{name: "a load balancer of a service of aws has 51 listeners", base: ofAWS, old: listener, new: manyListeners(50) + "{protocol: tcp, port: 80, server_group: rs1}"},
		{name: "tcp and udp on one port at aws", base: strings.Replace(ofAWS, "server_groups:", "server_groups:\n  u: {vpc: vpc2, protocol: udp, servers: [{instance: ecs2, port: 80}]}", 1),
			old: "server_group: rs1}]", new: "server_group: rs1}, {protocol: udp, port: 80, server_group: u}]"},
		{name: "a listener for both at alibaba", base: strings.Replace(small, "rs1: {vpc: vpc2,", "rs1: {vpc: vpc2, protocol: tcp_udp,", 1), old: "protocol: tcp, port: 80", new: "protocol: tcp_udp, port: 80"},
		{name: "a listener for both with a group for one", base: ofAWS, old: "protocol: tcp, port: 80", new: "protocol: tcp_udp, port: 80"},
		{name: "an endpoint leads to another region", base: ofAWS, old: "service: svc1, vpc", new: "service_region: eu-west-9, service: svc1, vpc"},
		{name: "an endpoint of a resource", base: ofAWS, old: "service: svc1, vpc", new: "type: resource, service: svc1, vpc"},
		{name: "an endpoint of a Gateway Load Balancer", base: ofAWS, old: "service: svc1, vpc", new: "type: gateway_load_balancer, service: svc1, vpc"},
		{name: "a Gateway Load Balancer", base: ofAWS, old: "type: nlb, ", new: "type: gwlb, "},
		{name: "a load balancer of alibaba has security groups", base: small, old: "type: nlb, ", new: "type: nlb, security_groups: [web], "},
		{name: "a load balancer's group is of another VPC", base: ofAWS, old: "type: nlb, ", new: "type: nlb, security_groups: [web], "},
		{name: "nothing is there to be enforced", base: ofAWS, old: "type: nlb, ", new: "type: nlb, enforce_security_groups_on_private_link: off, "},
		{name: "enforcement is true", base: ofAWS, old: "type: nlb, ", new: "type: nlb, security_groups: [default], enforce_security_groups_on_private_link: true, "},
		{name: "a rule names a group of another VPC", base: ofAWS, old: "source: 0.0.0.0/0", new: "source: [10.0.0.0/16, web, webb]"},
		{name: "a rule names nothing", base: ofAWS, old: "source: 0.0.0.0/0", new: "source: []"},
		{name: "a block of a list has host bits", base: ofAWS, old: "source: 0.0.0.0/0", new: "source: [10.0.0.0/16, 10.1.2.3/16]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(tt.base, tt.old), "the row must say clearly what it replaces")
			addProblems(t, &catalogue, tt.name, strings.Replace(tt.base, tt.old, tt.new, 1), max(tt.problems, 1))
		})
	}
	golden.Equal(t, "testdata/messages-clouds.txt", catalogue.String())
}

func manyListeners(n int) string {
	var b strings.Builder
	b.WriteString("listeners: [")
	for i := range n {
		fmt.Fprintf(&b, "{protocol: tcp, port: %d, server_group: rs1}, ", 1000+i)
	}
	return b.String()
}

func TestFiftyListenersBehindAServiceOfAWSAreFine(t *testing.T) {
	_, err := Parse("topology.yaml", []byte(strings.Replace(ofAWS, "listeners: [", manyListeners(49), 1)))
	require.NoError(t, err)
	_, err = Parse("topology.yaml", []byte(strings.Replace(small, "listeners: [", manyListeners(80), 1)))
	require.NoError(t, err, "nobody counts them at alibaba")
}

func TestTwoServicesOfAlibabaMayOfferOneLoadBalancer(t *testing.T) {
	_, err := Parse("topology.yaml", []byte(strings.Replace(small, "endpoints:", "  svc2: {resources: [nlb1]}\nendpoints:", 1)))
	require.NoError(t, err)
	_, err = Parse("topology.yaml", []byte(strings.Replace(ofAWS, "endpoints:", "  svc2: {resources: [nlb1], exists: false}\nendpoints:", 1)))
	require.NoError(t, err, "at aws, once the first is deleted")
}

func TestAVPCWithoutDNSSupportHasNoResolver(t *testing.T) {
	plan, err := Parse("topology.yaml", []byte(strings.Replace(ofAWS, "    account: a\n", "    account: a\n    dns_support: false\n", 1)))
	require.NoError(t, err)
	require.Empty(t, plan.VPCs[0].Resolvers)
	require.NotEmpty(t, plan.VPCs[1].Resolvers)
}

func TestAGroupStandsForItsMembers(t *testing.T) {
	plan, err := Parse("topology.yaml", []byte(strings.Replace(ofAWS, "web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}",
		"web: {ingress: [{protocol: tcp, ports: 80, source: [default, 192.0.2.0/24, web]}]}", 1)))
	require.NoError(t, err)
	var peers []string
	for _, r := range plan.Groups(&plan.VPCs[0], []string{"web"})[0].Ingress {
		peers = append(peers, r.Peer.String())
	}
	ep1 := plan.Endpoints[0].Zones[0].ENI.IP.String() + "/32"
	require.Equal(t, []string{"10.0.0.10/32", "192.0.2.0/24", ep1}, peers, "ecs1 names no group")

	byID := strings.Replace(ofAWS, "source: 0.0.0.0/0", "source: "+plan.VPCs[0].SecurityGroups[1].ID, 1)
	plan, err = Parse("topology.yaml", []byte(byID))
	require.NoError(t, err)
	require.Equal(t, "default", plan.VPCs[0].SecurityGroups[0].Ingress[0].Group)

	nobody, err := Parse("topology.yaml", []byte(strings.Replace(small, "source: 0.0.0.0/0", "source: web", 1)))
	require.NoError(t, err)
	require.Len(t, nobody.VPCs[0].SecurityGroups, 1, "no default group at alibaba")
	require.Empty(t, nobody.VPCs[0].Instances[0].SecurityGroups)
}

func TestTheDefaultGroupOfAFileHasItsRules(t *testing.T) {
	plan, err := Parse("topology.yaml", []byte(strings.Replace(ofAWS, "      web: {", "      default: {ingress: []}\n      web: {", 1)))
	require.NoError(t, err)
	require.Len(t, plan.VPCs[0].SecurityGroups, 2)
	require.Empty(t, plan.VPCs[0].SecurityGroups[0].Ingress)
	require.Equal(t, []string{"default"}, plan.VPCs[0].Instances[0].SecurityGroups)
}

func TestAListenerForBothProtocolsIsOneToItsUser(t *testing.T) {
	plan, err := Parse("topology.yaml", []byte(strings.NewReplacer("rs1: {vpc: vpc2,", "rs1: {vpc: vpc2, protocol: tcp_udp,",
		"protocol: tcp, port: 80", "protocol: tcp_udp, port: 80, idle_timeout: 400s").Replace(ofAWS)))
	require.NoError(t, err)
	lb := &plan.LoadBalancers[0]
	require.Equal(t, []topology.Listener{
		{Protocol: topology.TCP, Port: 80, ServerGroup: "rs1", IdleTimeout: 400 * time.Second, Joint: true},
		{Protocol: topology.UDP, Port: 80, ServerGroup: "rs1", IdleTimeout: 120 * time.Second, Joint: true},
	}, lb.Listeners)
	require.Equal(t, 1, lb.CountListeners())
	group := plan.ServerGroups[0]
	require.Equal(t, topology.TCP, group.HealthCheck.Protocol)
	require.True(t, group.Deregistration.Terminate, "as that of a group for udp")
}

func TestATargetGroupOfAWSSaysWhoTheConsumerIs(t *testing.T) {
	plan, err := Parse("topology.yaml", []byte(strings.Replace(ofAWS, "rs1: {vpc: vpc2,", "rs1: {vpc: vpc2, proxy_protocol: on_first_ack,", 1)))
	require.NoError(t, err)
	require.Equal(t, topology.OnFirstAck, plan.LoadBalancers[0].Listeners[0].ProxyProtocol)
	_, err = Parse("topology.yaml", []byte(strings.Replace(small, "rs1: {vpc: vpc2,", "rs1: {vpc: vpc2, proxy_protocol: on_first_ack,", 1)))
	require.ErrorContains(t, err, "at alibaba proxy_protocol is of listeners")
}

func TestADescriptionAtAWSIsAnyText(t *testing.T) {
	for _, text := range []string{"x", "https://example.com"} {
		described := func(base string) string {
			return strings.Replace(base, "resources: [nlb1]", "resources: [nlb1], description: "+text, 1)
		}
		_, err := Parse("topology.yaml", []byte(described(ofAWS)))
		require.NoError(t, err)
		_, err = Parse("topology.yaml", []byte(described(small)))
		require.Error(t, err)
	}
}
