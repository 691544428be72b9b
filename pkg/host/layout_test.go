package host

import (
	"net/netip"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestScriptIsWhatTheGoldenFileSays(t *testing.T) {
	plan := twoVPCs()
	web := topology.SecurityGroup{Name: "web", Ingress: []topology.Rule{
		rule("tcp", 80, 80, "10.10.0.0/16"),
		rule("icmp", 0, 65535, "0.0.0.0/0"),
	}}
	strict := topology.SecurityGroup{
		Name:    "strict",
		Ingress: []topology.Rule{{Deny: true, Priority: 1, Protocol: "tcp", FirstPort: 1, LastPort: 1023, Peer: rule("all", 0, 0, "10.10.2.9/32").Peer}},
		Egress:  []topology.Rule{rule("udp", 0, 65535, "10.10.3.0/24")},
	}
	vpc := &plan.VPCs[1]
	vpc.SecurityGroups = []topology.SecurityGroup{web, strict}
	vpc.Instances[0].SecurityGroups = []string{"web"}
	vpc.Instances[1].SecurityGroups = []string{"strict"}

	got := Script(plan)
	golden.Equal(t, "testdata/two-vpcs.txt", got)
	require.Equal(t, got, Script(plan), "a plan always gives the same script")
}

func TestStepsAreAllDifferent(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Steps(twoVPCs()) {
		require.False(t, seen[s.String()], s.String())
		seen[s.String()] = true
	}
}

func TestSecurityGroupsOfAnInstanceAreJoined(t *testing.T) {
	allow := func(priority int) topology.Rule { return topology.Rule{Priority: priority, Protocol: "tcp"} }
	deny := func(priority int) topology.Rule {
		return topology.Rule{Priority: priority, Protocol: "tcp", Deny: true}
	}
	everything := topology.Rule{Protocol: "all", LastPort: 65535}
	for _, tt := range []struct {
		name          string
		groups        []topology.SecurityGroup
		ingress       []topology.Rule
		egress        []topology.Rule
		filtersEgress bool
	}{
		{
			"rules are ordered by priority over all groups",
			[]topology.SecurityGroup{{Ingress: []topology.Rule{allow(3), allow(1)}}, {Ingress: []topology.Rule{deny(2)}}},
			[]topology.Rule{allow(1), deny(2), allow(3)}, nil, false,
		},
		{
			"of the same priority those that deny come first",
			[]topology.SecurityGroup{{Ingress: []topology.Rule{allow(1), deny(1)}}},
			[]topology.Rule{deny(1), allow(1)}, nil, false,
		},
		{
			"an egress list without rules lets nothing out",
			[]topology.SecurityGroup{{Egress: []topology.Rule{}}}, nil, nil, true,
		},
		{
			"a group without an egress list opens what the others do not deny",
			[]topology.SecurityGroup{{Egress: []topology.Rule{deny(9)}}, {}}, nil, []topology.Rule{deny(9), everything}, true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vpc := &topology.VPC{}
			inst := &topology.Instance{}
			for i, g := range tt.groups {
				g.Name = string(rune('a' + i))
				vpc.SecurityGroups = append(vpc.SecurityGroups, g)
				inst.SecurityGroups = append(inst.SecurityGroups, g.Name)
			}
			vpc.SecurityGroups = append(vpc.SecurityGroups, topology.SecurityGroup{Name: "of another", Ingress: []topology.Rule{allow(1)}})
			f := firewallOf(&topology.Plan{}, vpc, inst.SecurityGroups)
			require.Equal(t, tt.ingress, f.Ingress)
			require.Equal(t, tt.egress, f.Egress)
			require.Equal(t, tt.filtersEgress, f.FiltersEgress)
		})
	}
}

// What a rule says of the members of a group is in the kernel once, and not for each.
func TestMembersOfAGroupAreSets(t *testing.T) {
	rule := topology.Rule{Priority: 1, Protocol: topology.TCP, FirstPort: 80, LastPort: 80, Group: "web"}
	member := func(addr netip.Addr) topology.Rule {
		r := rule
		r.Peer = host(addr)
		return r
	}
	var rules []topology.Rule
	addr := netip.MustParseAddr("10.0.0.0")
	for n := range 4001 {
		rules = append(rules, member(addr))
		if n < 2 {
			rules = append(rules, member(netip.MustParseAddr("2001:db8::1")), member(netip.MustParseAddr("2001:db8::2")))
		}
		addr = addr.Next()
	}
	rule.Group, rule.FirstPort, rule.LastPort = "db", 81, 81
	rules = append(rules, member(addr), topology.Rule{Priority: 2, Protocol: topology.AllProtocols, LastPort: 65535, Deny: true})
	chain := ingressSide.chainOf(rules, func(*chain) {})
	var texts []string
	members := 0
	for _, r := range chain.rules[2:] {
		for _, e := range r.exprs {
			if a, ok := e.(among); ok {
				members += len(a.all)
			}
		}
		texts = append(texts, regexp.MustCompile(`\{.*\}`).ReplaceAllString(r.text, "{}"))
	}
	require.Equal(t, []string{
		"ip saddr {} tcp dport 80 accept", "ip saddr {} tcp dport 80 accept", "ip saddr 10.0.15.160 tcp dport 80 accept",
		"ip6 saddr {} tcp dport 80 accept", "ip saddr 10.0.15.161 tcp dport 81 accept",
		`counter name "ingress_drops" drop`, `counter name "ingress_drops" drop`,
	}, texts)
	require.Equal(t, 4004, members)
}
