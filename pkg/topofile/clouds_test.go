package topofile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
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
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(tt.base, tt.old), "the row must say clearly what it replaces")
			_, err := Parse("topology.yaml", []byte(strings.Replace(tt.base, tt.old, tt.new, 1)))
			var problems Problems
			require.ErrorAs(t, err, &problems)
			require.Len(t, problems, max(tt.problems, 1), "%s", err)
			fmt.Fprintf(&catalogue, "\n== %s\n", tt.name)
			for _, p := range problems {
				fmt.Fprintln(&catalogue, p.String())
			}
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
