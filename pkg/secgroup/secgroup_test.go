package secgroup_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/secgroup"
	"github.com/plinksim/plinksim/pkg/topology"
)

// rule reads "allow tcp 80-90 10.0.0.0/8" with the priority in front: "1 allow …".
func rule(t testing.TB, text string) topology.Rule {
	var (
		r           = topology.Rule{LastPort: 65535}
		action, net string
	)
	fields := strings.Fields(text)
	if len(fields) == 5 {
		n, _ := fmt.Sscanf(fields[3], "%d-%d", &r.FirstPort, &r.LastPort)
		require.NotZero(t, n)
		if n == 1 {
			r.LastPort = r.FirstPort
		}
		fields = append(fields[:3], fields[4])
	}
	_, err := fmt.Sscan(strings.Join(fields, " "), &r.Priority, &action, &r.Protocol, &net)
	require.NoError(t, err)
	r.Deny = action == "deny"
	r.Peer = netip.MustParsePrefix(net)
	return r
}

func group(t testing.TB, name string, ingress ...string) topology.SecurityGroup {
	g := topology.SecurityGroup{Name: name}
	for _, text := range ingress {
		g.Ingress = append(g.Ingress, rule(t, text))
	}
	return g
}

// flow reads "tcp 10.0.1.10:40000 > 10.0.1.200:5432".
func flow(t testing.TB, text string) packet.FiveTuple {
	fields := strings.Fields(text)
	require.Len(t, fields, 4)
	number := map[string]uint8{"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132}
	return packet.FiveTuple{
		Protocol: number[fields[0]],
		Src:      netip.MustParseAddrPort(fields[1]),
		Dst:      netip.MustParseAddrPort(fields[3]),
	}
}

const web = "tcp 10.0.1.10:40000 > 10.0.1.200:80"

func TestIngress(t *testing.T) {
	for _, tt := range []struct {
		name   string
		groups []topology.SecurityGroup
		flow   string
		want   bool
		reason string
	}{
		{"no group filters nothing", nil, web, true, "no security group filters it"},
		{"a group without rules denies", []topology.SecurityGroup{group(t, "web")}, web, false,
			`no rule of security group "web" allows it`},
		{"a rule allows", []topology.SecurityGroup{group(t, "web", "1 allow tcp 80 10.0.0.0/16")}, web, true,
			`security group "web": allow tcp 80 from 10.0.0.0/16 (priority 1)`},
		{"the source is outside", []topology.SecurityGroup{group(t, "web", "1 allow tcp 80 10.1.0.0/16")}, web, false,
			`no rule of security group "web" allows it`},
		{"the port is another", []topology.SecurityGroup{group(t, "web", "1 allow tcp 443 10.0.0.0/16")}, web, false,
			`no rule of security group "web" allows it`},
		{"the port is the first of the range", []topology.SecurityGroup{group(t, "web",
			"1 allow tcp 80-90 10.0.0.0/16")}, web, true,
			`security group "web": allow tcp 80-90 from 10.0.0.0/16 (priority 1)`},
		{"the port is the last of the range", []topology.SecurityGroup{group(t, "web",
			"1 allow tcp 70-80 10.0.0.0/16")}, web, true,
			`security group "web": allow tcp 70-80 from 10.0.0.0/16 (priority 1)`},
		{"the port is behind the range", []topology.SecurityGroup{group(t, "web", "1 allow tcp 70-79 10.0.0.0/16")},
			web, false,
			`no rule of security group "web" allows it`},
		{"the source's port does not count", []topology.SecurityGroup{group(t, "web", "1 allow tcp 40000 10.0.0.0/16")},
			web, false,
			`no rule of security group "web" allows it`},
		{"the protocol is another", []topology.SecurityGroup{group(t, "web", "1 allow udp 80 10.0.0.0/16")}, web, false,
			`no rule of security group "web" allows it`},
		{"a rule for all protocols allows any", []topology.SecurityGroup{group(t, "web", "1 allow all 0.0.0.0/0")},
			"sctp 10.0.1.10:1 > 10.0.1.200:2", true, `security group "web": allow all from 0.0.0.0/0 (priority 1)`},
		{"icmp has no ports", []topology.SecurityGroup{group(t, "web", "1 allow icmp 0.0.0.0/0")},
			"icmp 10.0.1.10:77 > 10.0.1.200:77", true, `security group "web": allow icmp from 0.0.0.0/0 (priority 1)`},
		{"icmp means both versions", []topology.SecurityGroup{group(t, "web", "1 allow icmp ::/0")},
			"icmpv6 [2001:db8::1]:0 > [2001:db8::2]:0", true, `security group "web": allow icmp from ::/0 (priority 1)`},
		{"an IPv4 source in IPv6 form is the same source", []topology.SecurityGroup{group(t, "web",
			"1 allow tcp 80 10.0.0.0/16")},
			"tcp [::ffff:10.0.1.10]:40000 > 10.0.1.200:80", true, `security group "web": allow tcp 80 from 10.0.0.0/16 (priority 1)`},
		{"the lower priority number decides", []topology.SecurityGroup{group(t, "web", "2 deny tcp 80 10.0.0.0/16",
			"1 allow tcp 80 10.0.0.0/16")}, web, true,
			`security group "web": allow tcp 80 from 10.0.0.0/16 (priority 1)`},
		{"deny wins where the priority is equal", []topology.SecurityGroup{group(t, "web", "1 allow tcp 80 10.0.0.0/16",
			"1 deny all 10.0.0.0/8")}, web, false,
			`security group "web": deny all from 10.0.0.0/8 (priority 1)`},
		{"a longer prefix is no argument", []topology.SecurityGroup{group(t, "web", "1 deny tcp 0.0.0.0/0",
			"2 allow tcp 80 10.0.1.10/32")}, web, false,
			`security group "web": deny tcp from 0.0.0.0/0 (priority 1)`},
		{"one of several groups allows", []topology.SecurityGroup{group(t, "ssh", "1 allow tcp 22 0.0.0.0/0"),
			group(t, "web", "1 allow tcp 80 0.0.0.0/0")}, web, true,
			`security group "web": allow tcp 80 from 0.0.0.0/0 (priority 1)`},
		{"the rules of several groups are one list", []topology.SecurityGroup{group(t, "web",
			"2 allow tcp 80 0.0.0.0/0"), group(t, "block", "1 deny tcp 80 10.0.1.10/32")}, web, false,
			`security group "block": deny tcp 80 from 10.0.1.10/32 (priority 1)`},
		{"none of several groups allows", []topology.SecurityGroup{group(t, "ssh"), group(t, "web")}, web, false,
			`no rule of security group "ssh", "web" allows it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := secgroup.Compile(tt.groups).Ingress(flow(t, tt.flow))
			require.Equal(t, tt.want, d.Allowed)
			require.Equal(t, tt.reason, d.Reason())
		})
	}
}

func TestEgress(t *testing.T) {
	some := []topology.Rule{rule(t, "1 allow tcp 80 10.0.1.0/24")}
	for _, tt := range []struct {
		name   string
		egress [][]topology.Rule // of each group
		flow   string
		want   bool
		reason string
	}{
		{"no group filters nothing", nil, web, true, "no security group filters it"},
		{"a group that says nothing of egress lets all out", [][]topology.Rule{nil}, web, true,
			`security group "g0": allow all to 0.0.0.0/0 (default)`},
		{"an empty list lets nothing out", [][]topology.Rule{{}}, web, false,
			`no rule of security group "g0" allows it`},
		{"the destination is the peer", [][]topology.Rule{some}, web, true,
			`security group "g0": allow tcp 80 to 10.0.1.0/24 (priority 1)`},
		{"another destination is denied", [][]topology.Rule{some}, "tcp 10.0.1.10:40000 > 10.0.2.200:80", false,
			`no rule of security group "g0" allows it`},
		{"a rule of one group comes before the default of another",
			[][]topology.Rule{nil, {rule(t, "100 deny tcp 80 0.0.0.0/0")}}, web, false,
			`security group "g1": deny tcp 80 to 0.0.0.0/0 (priority 100)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var groups []topology.SecurityGroup
			for i, egress := range tt.egress {
				groups = append(groups, topology.SecurityGroup{Name: fmt.Sprintf("g%d", i), Egress: egress})
			}
			d := secgroup.Compile(groups).Egress(flow(t, tt.flow))
			require.Equal(t, tt.want, d.Allowed)
			require.Equal(t, tt.reason, d.Reason())
		})
	}
}

func TestZeroSetFiltersNothing(t *testing.T) {
	var s secgroup.Set
	require.True(t, s.Ingress(flow(t, web)).Allowed)
	require.True(t, s.Egress(flow(t, web)).Allowed)
}

// TestIngressAgainstTheDefinition asks every rule, keeps those that match, and
// takes the verdict from the best of them: no order, no early end.
func TestIngressAgainstTheDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		peer := func() netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 1).Draw(rt, "b")), 0,
				byte(rapid.IntRange(0, 3).Draw(rt, "d"))})
		}
		var groups []topology.SecurityGroup
		for i := range rapid.IntRange(0, 3).Draw(rt, "groups") {
			g := topology.SecurityGroup{Name: fmt.Sprint(i)}
			for range rapid.IntRange(0, 4).Draw(rt, "rules") {
				r := topology.Rule{
					Deny:      rapid.Bool().Draw(rt, "deny"),
					Priority:  rapid.IntRange(1, 3).Draw(rt, "priority"),
					Protocol:  rapid.SampledFrom([]topology.Protocol{"tcp", "udp", "icmp", "all"}).Draw(rt, "protocol"),
					FirstPort: uint16(rapid.IntRange(0, 3).Draw(rt, "first")),
					Peer:      netip.PrefixFrom(peer(), rapid.SampledFrom([]int{8, 16, 31, 32}).Draw(rt, "bits")),
				}
				r.LastPort = r.FirstPort + uint16(rapid.IntRange(0, 2).Draw(rt, "span"))
				g.Ingress = append(g.Ingress, r)
			}
			groups = append(groups, g)
		}
		f := packet.FiveTuple{
			Protocol: rapid.SampledFrom([]uint8{1, 6, 17}).Draw(rt, "protocol"),
			Src:      netip.AddrPortFrom(peer(), 1),
			Dst:      netip.AddrPortFrom(peer(), uint16(rapid.IntRange(0, 5).Draw(rt, "port"))),
		}
		require.Equal(rt, allowedByDefinition(groups, f), secgroup.Compile(groups).Ingress(f).Allowed)
	})
}

func allowedByDefinition(groups []topology.SecurityGroup, f packet.FiveTuple) bool {
	if len(groups) == 0 {
		return true
	}
	name := map[uint8]topology.Protocol{1: "icmp", 6: "tcp", 17: "udp"}[f.Protocol]
	allow, deny := 1<<30, 1<<30 // the best priority of each kind that matches
	for _, g := range groups {
		for _, r := range g.Ingress {
			port := name == "icmp" || f.Dst.Port() >= r.FirstPort && f.Dst.Port() <= r.LastPort
			if !r.Peer.Contains(f.Src.Addr()) || !port || r.Protocol != "all" && r.Protocol != name {
				continue
			}
			if r.Deny {
				deny = min(deny, r.Priority)
			} else {
				allow = min(allow, r.Priority)
			}
		}
	}
	return allow < deny
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	s := secgroup.Compile([]topology.SecurityGroup{group(t, "web", "1 allow tcp 22 0.0.0.0/0",
		"1 allow tcp 80 10.0.0.0/16")})
	allowed, denied := flow(t, web), flow(t, "udp 10.0.1.10:1 > 10.0.1.200:80")
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if !s.Ingress(allowed).Allowed || s.Ingress(denied).Allowed {
			t.Fatal("the decision changed")
		}
	}))
}

func BenchmarkIngress(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			texts := make([]string, n)
			for i := range texts {
				texts[i] = fmt.Sprintf("1 allow tcp %d 10.0.0.0/16", 1000+i)
			}
			texts[n-1] = "1 allow tcp 80 10.0.0.0/16"
			s, f := secgroup.Compile([]topology.SecurityGroup{group(b, "web", texts...)}), flow(b, web)
			b.ReportAllocs()
			for b.Loop() {
				s.Ingress(f)
			}
		})
	}
}
