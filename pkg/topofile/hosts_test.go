package topofile

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

// onTwoHosts is the small topology with hosts, from which tests take something away.
const onTwoHosts = "hosts:\n" +
	"  a: {address: 198.18.0.1, zones: [cn-hangzhou-h]}\n" +
	"  b: {address: 198.18.0.2, zones: [cn-hangzhou-i]}\n" +
	"underlay: {mtu: 1550}\n" +
	"checks:"

func spreadOut(t *testing.T, hosts string) string {
	t.Helper()
	return strings.Replace(small, "checks:", hosts, 1)
}

func TestAVPCHasANumberAndASourceOfHealthChecksOnEachHost(t *testing.T) {
	whole, err := Parse("small.yaml", []byte(small))
	require.NoError(t, err)
	plan, err := Parse("small.yaml", []byte(spreadOut(t, onTwoHosts)))
	require.NoError(t, err)
	require.Empty(t, plan.Warnings)
	require.Equal(t, uint16(14789), plan.Underlay.Port, "where the file does not say it")
	require.NotEqual(t, plan.VPCs[0].VNI, plan.VPCs[1].VNI)
	for i, vpc := range plan.VPCs {
		require.Equal(t, whole.VPCs[i].HealthSource, vpc.HealthSource, "that of one machine")
		require.Equal(t, vpc.HealthSource, vpc.HealthSources[0])
		require.NotEqual(t, vpc.HealthSources[0], vpc.HealthSources[1])
		require.NotZero(t, vpc.VNI)
		require.Less(t, vpc.VNI, 1<<24)
	}
	a, err := plan.On("a")
	require.NoError(t, err)
	transit := a.VPCs[1].Transit
	require.Equal(t, netip.MustParseAddr("192.168.0.253"), transit.Source)
	require.Len(t, transit.Peers, 1)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"),
		netip.PrefixFrom(plan.VPCs[1].HealthSources[1], 32)}, transit.Peers[0].Routes)
	_, err = plan.On("c")
	require.EqualError(t, err, `there is no host "c": known: a, b`)
}

// By IPv6 health checks come from the first gateway of each host: a group that names a load balancer lets all
// of them in, and a host without a gateway probes nothing by IPv6.
func TestIPv6GoesFromHostToHost(t *testing.T) {
	source, err := os.ReadFile("../../testdata/topologies/aws-dualstack.yaml")
	require.NoError(t, err)
	text := string(source) + "hosts:\n  a: {address: 198.18.0.1, zones: [eu-central-1a]}\n" +
		"  b: {address: 198.18.0.2, zones: [eu-central-1b]}\nunderlay: {mtu: 9051}\n"
	plan, err := Parse("aws-dualstack.yaml", []byte(text))
	require.NoError(t, err)
	for i, host := range plan.Hosts {
		slice, err := plan.On(host.Name)
		require.NoError(t, err)
		vpc, other := slice.VPCs[1], plan.VPCs[1].Subnets[1-i]
		require.Equal(t, plan.VPCs[1].Subnets[i].IPv6Gateway, vpc.IPv6HealthSource())
		require.Equal(t, vpc.IPv6HealthSource(), vpc.Transit.IPv6Source)
		require.Equal(t, []netip.Prefix{other.CIDR, other.IPv6CIDR}, vpc.Transit.Peers[0].Routes)
		require.True(t, vpc.Transit.Peers[0].IPv6.IsLinkLocalUnicast())
	}
	require.Equal(t, []netip.Addr{plan.VPCs[1].Subnets[0].IPv6Gateway, plan.VPCs[1].Subnets[1].IPv6Gateway},
		plan.IPv6Probers(&plan.VPCs[1]))

	text = strings.ReplaceAll(text, `b: {zone: eu-central-1b, cidr: 10.0.1.0/24, ipv6_cidr: "2001:db8:1:1::/64"}`, `b: {zone: eu-central-1b, cidr: 10.0.1.0/24}`)
	text = strings.Replace(text, `subnet: b, ip: 10.0.1.20, ipv6: "2001:db8:1:1::20"`, `subnet: a, ipv6: "2001:db8:1::20"`, 1)
	text = text[:strings.Index(text, "checks:")] + text[strings.Index(text, "hosts:\n  a:"):]
	plan, err = Parse("aws-dualstack.yaml", []byte(text))
	require.NoError(t, err)
	b, err := plan.On("b")
	require.NoError(t, err)
	require.False(t, b.VPCs[1].Transit.IPv6Source.IsValid())
	require.EqualValues(t, "tcp", b.ServerGroups[0].HealthCheck.Protocol)
	require.EqualValues(t, "none", b.ServerGroups[1].HealthCheck.Protocol)
}

// Where a cloud probes from a gateway, a VPC without a subnet on a host probes nothing there.
func TestAHostWithoutASubnetOfAVPCProbesNothingThere(t *testing.T) {
	text := strings.NewReplacer("cloud: alibaba", "cloud: aws", "cn-hangzhou", "us-east-1", "mtu: 1550", "mtu: 9051").Replace(spreadOut(t, onTwoHosts))
	text = strings.Replace(text, "      i1: {zone: us-east-1-i, cidr: 10.0.1.0/24}\n", "", 1)
	text = strings.Replace(text, "server_groups:\n", "server_groups:\n  rs0: {vpc: vpc1, servers: [{instance: ecs1, port: 80}]}\n", 1)
	plan, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	b, err := plan.On("b")
	require.NoError(t, err)
	require.False(t, b.VPCs[0].HealthSource.IsValid())
	require.EqualValues(t, "none", b.ServerGroups[0].HealthCheck.Protocol)
	require.EqualValues(t, "tcp", b.ServerGroups[1].HealthCheck.Protocol)
	require.EqualValues(t, "tcp", plan.ServerGroups[0].HealthCheck.Protocol, "the whole is what it was")
}

func TestOneBandwidthOnSeveralHostsIsSaid(t *testing.T) {
	text := strings.NewReplacer("subnets: [h2]", "subnets: [h2, i2]", "subnets: [h1]", "subnets: [h1, i1]",
		"whitelist: [a]", "bandwidth: 200, whitelist: [a]").Replace(spreadOut(t, onTwoHosts))
	plan, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	require.Len(t, plan.Warnings, 1)
	require.Contains(t, plan.Warnings[0].Message, `endpoint "ep1" has one bandwidth for all its zones`)
}

func TestMessagesAboutHosts(t *testing.T) {
	var catalogue strings.Builder
	catalogue.WriteString("What is said about faults in the hosts of a topology: the fault, then the text.\n")
	for _, tt := range []struct {
		name     string
		old, new string // what is replaced in onTwoHosts
		problems int    // 0 means 1
	}{
		{name: "an underlay without hosts", old: onTwoHosts, new: "underlay: {mtu: 1600}\nchecks:"},
		{name: "no hosts", old: onTwoHosts, new: "hosts: {}\nchecks:"},
		{name: "a zone is on no host", old: "  b: {address: 198.18.0.2, zones: [cn-hangzhou-i]}\n", new: ""},
		{name: "a zone is on two hosts", old: "zones: [cn-hangzhou-i]", new: "zones: [cn-hangzhou-i, cn-hangzhou-h]"},
		{name: "a zone is named twice", old: "zones: [cn-hangzhou-i]", new: "zones: [cn-hangzhou-i, cn-hangzhou-i]"},
		{name: "two hosts have one address", old: "198.18.0.2", new: "198.18.0.1"},
		{name: "addresses of both versions", old: "198.18.0.2", new: `"2001:db8::2"`},
		{name: "an address that is invalid", old: "198.18.0.2", new: "host-b"},
		{name: "an address that nobody reaches", old: "198.18.0.2", new: "127.0.0.1"},
		{name: "a host without an address", old: "address: 198.18.0.2, ", new: ""},
		{name: "packets that do not fit", old: "mtu: 1550", new: "mtu: 1500", problems: 2},
		{name: "packets that do not fit where the mtu is not given", old: "underlay: {mtu: 1550}\n", new: "", problems: 2},
		{name: "packets that do not fit over IPv6", old: onTwoHosts, new: strings.NewReplacer("198.18.0.1", `"2001:db8::1"`,
			"198.18.0.2", `"2001:db8::2"`).Replace(onTwoHosts), problems: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(onTwoHosts, tt.old), "the row must say clearly what it replaces")
			addProblems(t, &catalogue, tt.name, spreadOut(t, strings.Replace(onTwoHosts, tt.old, tt.new, 1)), max(tt.problems, 1))
		})
	}
	reverse := strings.NewReplacer("subnets: [h2]}", "subnets: [i2]}",
		"endpoint_services:", "hosts:\n  a: {address: 198.18.0.1, zones: [cn-beijing-h]}\n"+
			"  b: {address: 198.18.0.2, zones: [cn-beijing-i]}\nunderlay: {mtu: 1600}\nendpoint_services:").Replace(smallReverse)
	addProblems(t, &catalogue, "a reverse endpoint on another host than its gateway", reverse, 1)
	if !t.Failed() {
		golden.Equal(t, "testdata/messages-hosts.txt", catalogue.String())
	}
}
