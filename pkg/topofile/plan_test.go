package topofile

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

func parsed(t testing.TB, text string) *topology.Plan {
	t.Helper()
	plan, err := Parse("topology.yaml", []byte(text))
	require.NoError(t, err)
	return plan
}

// with is the small topology with something replaced.
func with(t testing.TB, old, new string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(small, old), old)
	return strings.Replace(small, old, new, 1)
}

func TestTheFirstDocumentIsPlannedAsItSays(t *testing.T) {
	plan, err := Load(topologies + "/alibaba-clb.yaml")
	require.NoError(t, err)

	ecs1, err := plan.Instance("ecs1")
	require.NoError(t, err)
	require.Equal(t, "10.0.0.182", ecs1.IP.String())
	require.Equal(t, "02:00:0a:00:00:b6", ecs1.MAC.String())
	require.Equal(t, "vpc1.ecs1", ecs1.Namespace)
	require.Equal(t, "ecs1.vpc1.internal", ecs1.DNSName)
	require.Equal(t, "eu-central-1b", ecs1.Zone)

	vpc2, err := plan.VPC("vpc2")
	require.NoError(t, err)
	require.Equal(t, "192.168.24.253", vpc2.Subnets[0].Gateway.String())
	require.Equal(t, "br-vsw2", vpc2.Subnets[0].Bridge)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")}, vpc2.Resolvers)

	clb1, err := plan.LoadBalancer("clb1")
	require.NoError(t, err)
	require.Equal(t, 900*time.Second, clb1.Listeners[0].IdleTimeout)
	require.Len(t, clb1.Nodes, 1)
	node := clb1.Nodes[0]
	require.Equal(t, "clb1-b", node.ENI.Device)
	require.True(t, plan.Profile.SharedBlock.Contains(node.Local[0]))
	require.False(t, plan.Profile.CloudBlock.Contains(node.Local[0]))
	require.True(t, plan.Profile.SharedBlock.Contains(vpc2.HealthSource))
	require.NotEqual(t, node.Local[0], vpc2.HealthSource)

	rs1, err := plan.ServerGroup("rs1")
	require.NoError(t, err)
	require.Equal(t, []topology.Server{
		{Instance: "vpc2/ecs2", Zone: "eu-central-1b", IP: netip.MustParseAddr("192.168.24.200"), Port: 80, Weight: 100},
		{Instance: "vpc2/ecs3", Zone: "eu-central-1b", IP: netip.MustParseAddr("192.168.24.2"), Port: 80, Weight: 100},
	}, rs1.Servers)
	require.Equal(t, topology.HealthCheck{Protocol: "tcp", Interval: 2 * time.Second, Timeout: 5 * time.Second, Healthy: 3, Unhealthy: 3}, rs1.HealthCheck)

	svc1, err := plan.Service("svc1")
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, svc1.Whitelist)
	require.Equal(t, []topology.Resource{{LoadBalancer: "clb1", Zone: "eu-central-1b"}}, svc1.Resources)
	require.False(t, svc1.AutoAccept)
	require.True(t, svc1.ZoneAffinity)

	ep1, err := plan.Endpoint("ep1")
	require.NoError(t, err)
	require.Equal(t, "a", ep1.Account)
	require.Equal(t, "ep1@eu-central-1b", ep1.Zones[0].ENI.Name)
	require.Equal(t, "ep1-b", ep1.Zones[0].ENI.Port)
	require.True(t, netip.MustParsePrefix("10.0.0.0/24").Contains(ep1.Zones[0].ENI.IP))

	require.Equal(t, "vpc1/ecs1", plan.Checks[0].From)
	require.Equal(t, "http://"+ep1.Domain+"/", plan.Checks[0].Get)
	require.Equal(t, time.Second, plan.Checks[0].Timeout)
	require.Equal(t, "timeout", plan.Checks[0].Expect.Error)
	require.Equal(t, &topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1"}, plan.Checks[1].Do)
	require.Equal(t, []string{ep1.Zones[0].ENI.IP.String()}, plan.Checks[5].Expect.Addresses)
}

func TestNamesAndIDsHaveTheFormOfTheCloud(t *testing.T) {
	const (
		ali = `[0-9a-z]{17}`
		hex = `[0-9a-f]{17}`
	)
	for cloud, want := range map[string]map[string]string{
		"alibaba": {
			"account":  `1[0-9]{15}`,
			"vpc":      `vpc-bp1` + ali,
			"subnet":   `vsw-bp1` + ali,
			"group":    `sg-bp1` + ali,
			"instance": `i-bp1` + ali,
			"balancer": `nlb-bp1` + ali,
			"servers":  `sgp-bp1` + ali,
			"service":  `epsrv-bp1` + ali,
			"name":     `com\.aliyuncs\.privatelink\.cn-hangzhou\.epsrv-bp1` + ali,
			"endpoint": `ep-bp1i[0-9a-f]{16}`,
			"domain":   `ep-bp1i[0-9a-f]{16}\.epsrv-bp1` + ali + `\.cn-hangzhou\.privatelink\.aliyuncs\.com`,
			"zone":     `ep-bp1i[0-9a-f]{16}-cn-hangzhou-h\.epsrv-bp1` + ali + `\.cn-hangzhou\.privatelink\.aliyuncs\.com`,
			"eni":      `eni-bp1` + ali,
		},
		"aws": {
			"account":  `[1-9][0-9]{11}`,
			"vpc":      `vpc-` + hex,
			"subnet":   `subnet-` + hex,
			"group":    `sg-` + hex,
			"instance": `i-` + hex,
			"balancer": `net/nlb1/[0-9a-f]{16}`,
			"servers":  `targetgroup/rs1/[0-9a-f]{16}`,
			"service":  `vpce-svc-` + hex,
			"name":     `com\.amazonaws\.vpce\.cn-hangzhou\.vpce-svc-` + hex,
			"endpoint": `vpce-` + hex,
			"domain":   `vpce-` + hex + `-[0-9a-z]{8}\.vpce-svc-` + hex + `\.cn-hangzhou\.vpce\.amazonaws\.com`,
			"zone":     `vpce-` + hex + `-[0-9a-z]{8}-cn-hangzhou-h\.vpce-svc-` + hex + `\.cn-hangzhou\.vpce\.amazonaws\.com`,
			"eni":      `eni-` + hex,
		},
	} {
		t.Run(cloud, func(t *testing.T) {
			plan := parsed(t, with(t, "cloud: alibaba", "cloud: "+cloud))
			got := map[string]string{
				"account":  plan.Accounts[0].ID,
				"vpc":      plan.VPCs[0].ID,
				"subnet":   plan.VPCs[0].Subnets[0].ID,
				"group":    plan.VPCs[0].SecurityGroups[0].ID,
				"instance": plan.VPCs[0].Instances[0].ID,
				"balancer": plan.LoadBalancers[0].ID,
				"servers":  plan.ServerGroups[0].ID,
				"service":  plan.Services[0].ID,
				"name":     plan.Services[0].ServiceName,
				"endpoint": plan.Endpoints[0].ID,
				"domain":   plan.Endpoints[0].Domain,
				"zone":     plan.Endpoints[0].Zones[0].Domain,
				"eni":      plan.Endpoints[0].Zones[0].ENI.ID,
			}
			for object, form := range want {
				require.Regexp(t, regexp.MustCompile("^"+form+"$"), got[object], object)
			}
			require.True(t, strings.HasSuffix(got["domain"], plan.Services[0].Domain))
		})
	}
}

func TestAnNLBShowsItsServersItsOwnAddress(t *testing.T) {
	for _, cloud := range []string{"alibaba", "aws", "rfc"} {
		node := parsed(t, with(t, "cloud: alibaba", "cloud: "+cloud)).LoadBalancers[0].Nodes[0]
		require.Equal(t, []netip.Addr{node.ENI.IP}, node.Local, cloud)
	}
}

func TestAddressesOfAWS(t *testing.T) {
	vpc := parsed(t, with(t, "cloud: alibaba", "cloud: aws")).VPCs[0]
	require.Equal(t, "10.0.0.1", vpc.Subnets[0].Gateway.String())
	require.Equal(t, "10.0.0.1", vpc.HealthSource.String())
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("169.254.169.253")}, vpc.Resolvers)
}

func TestAGivenAddressIsTaken(t *testing.T) {
	plan := parsed(t, with(t, "subnets: [h1], security", "subnets: {h1: {ip: 10.0.0.99}}, security"))
	require.Equal(t, "10.0.0.99", plan.Endpoints[0].Zones[0].ENI.IP.String())
}

func TestAnotherObjectMovesNothing(t *testing.T) {
	before := parsed(t, small)
	text := with(t, "  ep1: {", "  ep0: {service: svc1, vpc: vpc1, subnets: [h1]}\n  ep1: {")
	text = strings.Replace(text, "      ecs1: {", "      ecs0: {subnet: h1}\n      ecs1: {", 1)
	after := parsed(t, text)
	require.Equal(t, before.Endpoints[0], after.Endpoints[1])
	require.Equal(t, before.LoadBalancers, after.LoadBalancers)
	require.Equal(t, before.VPCs[0].Instances[0], after.VPCs[0].Instances[1])
	require.Equal(t, before.VPCs[1], after.VPCs[1])
}

func TestNoTwoHaveOneAddressOrDevice(t *testing.T) {
	var many strings.Builder
	for _, name := range []string{"web-server-with-long-name-1", "web-server-with-long-name-2", "lo", "all", "default", "br-h1", "ep1-h"} {
		many.WriteString("      " + name + ": {subnet: h1}\n")
	}
	plan := parsed(t, with(t, "      ecs1: {", many.String()+"      ecs1: {"))
	vpc := plan.VPCs[0]
	addrs, ports := map[netip.Addr]bool{}, map[string]bool{"lo": true, "all": true, "default": true}
	once := func(addr netip.Addr, port string) {
		require.False(t, addrs[addr], addr)
		require.False(t, ports[port], port)
		require.LessOrEqual(t, len(port), 15)
		addrs[addr], ports[port] = true, true
	}
	for _, s := range vpc.Subnets {
		once(s.Gateway, s.Bridge)
	}
	for _, in := range vpc.Instances {
		once(in.IP, in.Port)
	}
	once(plan.Endpoints[0].Zones[0].ENI.IP, plan.Endpoints[0].Zones[0].ENI.Port)
	require.True(t, ports["br-h1"])
	require.True(t, ports["ecs1"])
}

func TestWhatTheFileLeavesOut(t *testing.T) {
	plan := parsed(t, `
name: least
cloud: aws
region: eu-west-1
vpcs:
  v: {cidr: 10.0.0.0/16, subnets: {s: {zone: eu-west-1a, cidr: 10.0.0.0/24}}, security_groups: {g: {}, h: {egress: []}}}
`)
	require.Equal(t, "default", plan.Accounts[0].Name)
	require.Equal(t, "default", plan.VPCs[0].Account)
	require.Nil(t, plan.VPCs[0].SecurityGroups[0].Egress, "a group without the key lets everything out")
	require.NotNil(t, plan.VPCs[0].SecurityGroups[1].Egress, "a group with an empty list lets nothing out")
	require.Empty(t, plan.Checks)
}

func TestAnchorsAndMerges(t *testing.T) {
	plan := parsed(t, `
name: merged
cloud: alibaba
region: cn-hangzhou
x-web: &web {subnet: h, services: [{http: 80}]}
x-more: &more {services: [{http: 81}], security_groups: [g]}
vpcs:
  v:
    cidr: 10.0.0.0/16
    subnets: {h: {zone: cn-hangzhou-h, cidr: 10.0.0.0/24}}
    security_groups: {g: {}}
    instances:
      one: *web
      two: {<<: *web, ip: 10.0.0.9}
      three: {<<: [*web, *more]}
      four: {<<: *web, services: [{http: 82}]}
`)
	in := plan.VPCs[0].Instances
	require.Equal(t, "one", in[0].Services[0].Body, "a body that is left out is the instance's name")
	require.Equal(t, "10.0.0.9", in[1].IP.String())
	require.Equal(t, uint16(80), in[2].Services[0].Port, "of two merged keys the first counts")
	require.Equal(t, []string{"g"}, in[2].SecurityGroups)
	require.Equal(t, uint16(82), in[3].Services[0].Port, "a key of its own counts more than a merged one")
}

func TestPortsAndCommands(t *testing.T) {
	text := with(t, "ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]",
		`ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}, {protocol: udp, ports: "8000-8080", source: 10.0.0.0/8, action: deny, priority: 3}, {protocol: icmp, source: 0.0.0.0/0}], egress: [{protocol: all, destination: 10.0.0.0/8}]`)
	text = strings.Replace(text, "services: [{http: 80}]}\n      ecs3", `services: [{command: [nginx, -g, "daemon off;"]}, {command: mysqld --user=root}, {udp: 53, body: hello}, {tcp: 53}, {echo: 7}]}`+"\n      ecs3", 1)
	plan := parsed(t, text)
	any4 := netip.MustParsePrefix("0.0.0.0/0")
	ten := netip.MustParsePrefix("10.0.0.0/8")
	group := plan.VPCs[0].SecurityGroups[0]
	require.Equal(t, []topology.Rule{
		{Priority: 1, Protocol: "tcp", FirstPort: 80, LastPort: 80, Peer: any4},
		{Priority: 3, Protocol: "udp", FirstPort: 8000, LastPort: 8080, Peer: ten, Deny: true},
		{Priority: 1, Protocol: "icmp", LastPort: 65535, Peer: any4},
	}, group.Ingress)
	require.Equal(t, []topology.Rule{{Priority: 1, Protocol: "all", LastPort: 65535, Peer: ten}}, group.Egress)
	require.Equal(t, []topology.InstanceService{
		{Kind: "command", Argv: []string{"nginx", "-g", "daemon off;"}},
		{Kind: "command", Argv: []string{"mysqld", "--user=root"}},
		{Kind: "udp", Port: 53, Body: "hello"},
		{Kind: "tcp", Port: 53, Body: "ecs2"},
		{Kind: "echo", Port: 7},
	}, plan.VPCs[1].Instances[0].Services)
}

func TestReferences(t *testing.T) {
	text := with(t, "subnets: [h2]", "subnets: [h2, i2]")
	text = strings.Replace(text, "subnets: [h1], security", "subnets: [h1, i1], security", 1)
	text = strings.Replace(text, "      ecs2: {", "      ecs1: {subnet: h2}\n      ecs2: {", 1)
	text = strings.Replace(text, "from: ecs1, get", "from: vpc1/ecs1, get", 1)
	plan := parsed(t, text)
	ep := plan.Endpoints[0]
	for ref, want := range map[string]string{
		"ep1":                   ep.Domain,
		"ep1.ip":                ep.Zones[0].ENI.IP.String(),
		"ep1@cn-hangzhou-i":     ep.Zones[1].Domain,
		"ep1@cn-hangzhou-i.ip":  ep.Zones[1].ENI.IP.String(),
		"nlb1.ip":               plan.LoadBalancers[0].Nodes[0].ENI.IP.String(),
		"nlb1@cn-hangzhou-i.ip": plan.LoadBalancers[0].Nodes[1].ENI.IP.String(),
		"ecs2":                  "ecs2.vpc2.internal",
		"ecs2.ip":               "192.168.0.20",
		"vpc1/ecs1.ip":          "10.0.0.10",
	} {
		got, err := plan.Lookup(ref)
		require.NoError(t, err)
		require.Equal(t, want, got, ref)
	}
	for ref, want := range map[string]string{
		"ep2":                   `there is no endpoint, load balancer or instance "ep2": did you mean "ep1"?`,
		"ep1@cn-hangzhou-j":     `there is no zone "cn-hangzhou-j": did you mean "cn-hangzhou-h"?`,
		"ecs1":                  `there are several instances "ecs1": write vpc1/ecs1 or vpc2/ecs1`,
		"vpc3/ecs1":             `there is no endpoint, load balancer or instance "vpc3/ecs1": did you mean "vpc1/ecs1"?`,
		"nlb1":                  `load balancer "nlb1" has no domain name: write nlb1.ip`,
		"ecs2@cn-hangzhou-h":    `instance "ecs2" is in one place: write ecs2`,
		"":                      `there is no endpoint, load balancer or instance "": known: ep1, nlb1, ecs1, ecs1, ecs2, ecs3`,
		"nlb1@cn-hangzhou-x.ip": `there is no zone "cn-hangzhou-x": did you mean "cn-hangzhou-h"?`,
	} {
		_, err := plan.Lookup(ref)
		require.EqualError(t, err, want, ref)
	}
	got, err := plan.Expand("http://${ep1}:80/?a=${ecs2.ip}&b=$c{}")
	require.NoError(t, err)
	require.Equal(t, "http://"+ep.Domain+":80/?a=192.168.0.20&b=$c{}", got)
	_, err = plan.Expand("a ${ep1} b ${ep9}")
	require.EqualError(t, err, `${ep9}: there is no endpoint, load balancer or instance "ep9": did you mean "ep1"?`)
	var missing *topology.NotFoundError
	require.ErrorAs(t, err, &missing)
}

func TestLookupsSayWhatThereIs(t *testing.T) {
	plan := parsed(t, small)
	for name, lookup := range map[string]func() error{
		`there is no account "x": known: a, b`:                     func() error { _, err := plan.Account("x"); return err },
		`there is no vpc "vpc3": did you mean "vpc1"?`:             func() error { _, err := plan.VPC("vpc3"); return err },
		`there is no instance "esc3": did you mean "ecs3"?`:        func() error { _, err := plan.Instance("esc3"); return err },
		`there is no server group "": known: rs1`:                  func() error { _, err := plan.ServerGroup(""); return err },
		`there is no endpoint service "svc": did you mean "svc1"?`: func() error { _, err := plan.Service("svc"); return err },
	} {
		err := lookup()
		require.EqualError(t, err, name)
		var missing *topology.NotFoundError
		require.True(t, errors.As(err, &missing))
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"a vpc is wider than usual", "cidr: 10.0.0.0/16", "cidr: 10.0.0.0/8", `topology.yaml:8:11: vpc "vpc1": cidr 10.0.0.0/8 is wider than usual`},
		{"a zone seems to be elsewhere", "zone: cn-hangzhou-i, cidr: 10.0.1.0/24", "zone: cn-beijing-i, cidr: 10.0.1.0/24", `topology.yaml:11:18: subnet "i1": zone cn-beijing-i does not look like one of region cn-hangzhou`},
		{"an idle timeout is shorter than the cloud's", "server_group: rs1}", "server_group: rs1, idle_timeout: 2s}", `topology.yaml:28:118: load balancer "nlb1": idle_timeout 2s is outside what alibaba takes, 10s to 15m`},
		{"no server takes sessions", "[{instance: ecs2, port: 80}, {instance: ecs3, port: 80}]", "[{instance: ecs2, port: 80, weight: 0}]", `topology.yaml:26:29: server group "rs1": no server takes new sessions`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan := parsed(t, with(t, tt.old, tt.new))
			require.Len(t, plan.Warnings, 1)
			require.EqualError(t, plan.Warnings[0], tt.want)
		})
	}
}

func TestAnAliasBombIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-s: &s [" + strings.Repeat("{http: 1},", 300) + "]\nx-i: &i {")
	for i := range 300 {
		b.WriteString("i" + strings.Repeat("x", i%20) + string(rune('a'+i/20)) + ": {subnet: s, services: *s},")
	}
	b.WriteString("}\nvpcs:\n")
	for i := range 300 {
		b.WriteString("  v" + strings.Repeat("x", i%20) + string(rune('a'+i/20)) + ": {cidr: 10.0.0.0/16, subnets: {s: {zone: z, cidr: 10.0.0.0/24}}, instances: *i}\n")
	}
	_, err := Parse("bomb.yaml", []byte(b.String()))
	require.ErrorContains(t, err, "unfolds to more than")
}

// FuzzTopology holds that no text makes Parse panic, that every refusal says
// why and where, and that a text that is accepted always gives the same Plan.
func FuzzTopology(f *testing.F) {
	files := append(shipped(f), topologies+"/alibaba-clb-as-printed.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(small))
	f.Add([]byte("&a [*a]"))
	f.Add([]byte("x: &a {<<: *a}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := Parse("fuzz.yaml", text)
		if err != nil {
			var problems Problems
			require.ErrorAs(t, err, &problems)
			require.NotEmpty(t, problems)
			for _, p := range problems {
				require.NotEmpty(t, p.Message)
				require.NotEmpty(t, p.String())
			}
			return
		}
		second, err := Parse("fuzz.yaml", text)
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

// TestAPlanHasAllThatItNames follows every name of every topology: a Must
// look-up of what is not there panics.
func TestAPlanHasAllThatItNames(t *testing.T) {
	for _, file := range shipped(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p, err := Load(file)
			require.NoError(t, err)
			for _, eni := range p.ENIs() {
				require.Equal(t, eni.Zone, p.MustVPC(eni.VPC).MustSubnet(eni.Subnet).Zone)
			}
			for i := range p.VPCs {
				for _, in := range p.VPCs[i].Instances {
					require.Equal(t, p.VPCs[i].Name, in.VPC)
					require.Equal(t, in.Zone, p.VPCs[i].MustSubnet(in.Subnet).Zone)
					require.Len(t, p.Groups(&p.VPCs[i], in.SecurityGroups), len(in.SecurityGroups))
				}
			}
			for _, group := range p.ServerGroups {
				p.MustVPC(group.VPC)
				for _, server := range group.Servers {
					if server.Instance != "" {
						require.Equal(t, group.VPC, p.MustInstance(server.Instance).VPC)
					}
				}
			}
			for _, lb := range p.LoadBalancers {
				for _, listener := range lb.Listeners {
					for _, group := range listener.Groups() {
						require.Equal(t, lb.VPC, p.MustServerGroup(group).VPC)
					}
				}
			}
			for _, ep := range p.Endpoints {
				require.Len(t, p.Groups(p.MustVPC(ep.VPC), ep.SecurityGroups), len(ep.SecurityGroups))
				_, err := p.Service(ep.Service)
				require.NoError(t, err)
			}
			for _, gw := range p.NATGateways {
				for _, entry := range gw.Entries {
					ep, err := p.Endpoint(entry.Endpoint)
					require.NoError(t, err)
					require.Equal(t, ep.Name+"@"+entry.Zone, ep.MustZone(entry.Zone).ENI.Name)
				}
			}
			require.PanicsWithValue(t, `topology: a plan has all that it names: there is no vpc "none": known: `+
				spell.List(spell.Names(p.VPCs, func(v *topology.VPC) string { return v.Name })), func() { p.MustVPC("none") })
		})
	}
}
