package topofile

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// inLine is a value that stands in a line.
func inLine[T any](v T, line int) value[T] {
	return value[T]{V: v, Node: &yaml.Node{Kind: yaml.ScalarNode, Line: line, Column: 1}}
}

// A builder of one kind of objects needs no file: a draft will do, with what the
// others would have planned.
func TestABuilderWorksAlone(t *testing.T) {
	d := newDraft(newSource("lab.yaml", nil), &rawTopology{Cloud: inLine("alibaba", 1)})
	gateway := &topology.NATGateway{Name: "ngw1", NATIPs: []topology.NATIP{{IP: netip.MustParseAddr("10.0.0.5")}}}
	raw := rawFullNATEntry{
		NATIP: inLine(netip.MustParseAddr("10.0.0.6"), 7), NATPort: inLine(80, 8), Endpoint: inLine("ep1", 9),
		AccessIP: inLine(netip.MustParseAddr("192.168.0.9"), 10), AccessPort: inLine(8080, 11),
	}
	fullNATBuilder{d}.entry(&entry[rawFullNATEntry]{Name: "web", Value: raw}, gateway)
	require.Len(t, d.problems, 2)
	require.Equal(t, `FullNAT entry "web": 10.0.0.6 is not a NAT IP of NAT gateway "ngw1"`, d.problems[0].message)
	require.Equal(t, "add it to nat_ips; there is 10.0.0.5", d.problems[0].hint)
	require.Equal(t, 7, d.problems[0].node.Line)
	require.Equal(t, `FullNAT entry "web": there is no endpoint "ep1"`, d.problems[1].message)
	require.Equal(t, uint16(80), gateway.Entries[0].NATPort, "it is in the plan with its problems")
	require.Equal(t, topology.TCP, gateway.Entries[0].Protocol)
}

// Entries and what is planned of them go together, with problems or without.
func TestEveryEntryIsPlanned(t *testing.T) {
	d := newDraft(newSource("lab.yaml", nil), &rawTopology{})
	raw := []entry[rawSecurityGroup]{{Name: "good"}, {Name: "bad", Value: rawSecurityGroup{Ingress: sequence[rawIngressRule]{
		Items: []rawIngressRule{{Protocol: inLine("icmp", 3), Ports: inLine(ports{80, 80}, 4)}},
	}}}}
	vpc := topology.VPC{Name: "vpc1"}
	each(d, "security group vpc1/", raw, func(e *entry[rawSecurityGroup]) {
		securityGroupBuilder{d}.securityGroup(&vpc, e)
	})
	require.Equal(t, map[string]bool{"security group vpc1/good": false, "security group vpc1/bad": true}, d.bad)
	for e, group := range pairs(raw, vpc.SecurityGroups) {
		require.Equal(t, e.Name, group.Name)
	}
}
