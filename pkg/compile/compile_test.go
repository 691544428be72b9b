package compile_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const topologies = "../../testdata/topologies"

var morning = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// Each golden file is what the data plane and the resolvers are told for one
// topology, before and after its providers have accepted.
func TestCompile(t *testing.T) {
	for _, name := range []string{"alibaba-clb", "alibaba-clb-overlap", "two-zones", "alibaba-reverse", "alibaba-alb-zonal", "aws-dualstack"} {
		t.Run(name, func(t *testing.T) {
			dir := topologies
			if _, err := os.Stat(filepath.Join("testdata", name+".yaml")); err == nil {
				dir = "testdata"
			}
			plan, err := topofile.Load(filepath.Join(dir, name+".yaml"))
			require.NoError(t, err)
			got := "The provider has not decided yet.\n\n" + desired(t, plan, false) +
				"\nThe provider has accepted, and everything is connected.\n\n" + desired(t, plan, true)
			golden.Equal(t, filepath.Join("testdata", "compile", name+".txt"), got)
		})
	}
}

// desired writes down what Compile decides.
func desired(t *testing.T, plan *topology.Plan, accepted bool) string {
	t.Helper()
	plane, err := control.NewPlane(plan, func() time.Time { return morning })
	require.NoError(t, err)
	if accepted {
		for _, ep := range plan.Endpoints {
			if service, err := plan.Service(ep.Service); err == nil && !service.AutoAccept {
				_, err := plane.Do(topology.Operation{Verb: "accept", Service: ep.Service, Endpoint: ep.Name})
				require.NoError(t, err)
			}
		}
		plane.Report(plane.Revision())
	}
	c := compiled{plan: plan, names: map[packet.ENI]string{}, groups: map[string]string{}}
	numbers := compile.Numbers{}
	for _, eni := range plan.ENIs() {
		numbers[eni.Device] = packet.ENI(len(numbers) + 1)
		c.names[numbers[eni.Device]] = eni.Name
	}
	c.Desired = compile.Plan(plan, plane.State(), numbers, c.pick)
	c.dns = compile.Names(plan, plane.State(), allHealthy(plan))
	var b strings.Builder
	c.interfaces(&b)
	c.links(&b)
	c.resolvers(&b)
	return b.String()
}

// compiled is a Desired with the names that its numbers and functions stand
// for.
type compiled struct {
	compile.Desired
	dns    compile.NameSet
	plan   *topology.Plan
	names  map[packet.ENI]string
	groups map[string]string // what a link picks from
}

func (c *compiled) pick(link, group, zone string) compile.Chooser {
	sg, err := c.plan.ServerGroup(group)
	if err != nil {
		panic(err)
	}
	var servers []string
	for _, s := range sg.Servers {
		if zone == "" || s.Zone == zone {
			servers = append(servers, s.Name())
		}
	}
	c.groups[link] = fmt.Sprintf("%s (%s)", group, strings.Join(servers, ", "))
	return compile.Chooser{}
}

func allHealthy(plan *topology.Plan) compile.Health {
	return compile.Health{Servers: func(group string) (health []lb.ServerHealth) {
		sg, _ := plan.ServerGroup(group)
		for _, s := range sg.Servers {
			health = append(health, lb.ServerHealth{Server: netip.AddrPortFrom(s.IP, s.Port), Healthy: true})
		}
		return health
	}}
}

func (c *compiled) interfaces(b *strings.Builder) {
	for i, eni := range c.Dataplane.NAT.ENIs {
		owned := c.Dataplane.Owned[i]
		fmt.Fprintf(b, "eni %s: sends as %s, frames of %d, answers ARP for %s\n", c.names[eni.ENI], eni.MAC, eni.MTU, join(owned.Addrs))
		beside := owned.Addrs[0].Next()
		fmt.Fprintf(b, "  next hop of %s %s, of 8.8.8.8 %s\n", beside, eni.NextHop(beside), eni.NextHop(netip.MustParseAddr("8.8.8.8")))
	}
}

func (c *compiled) links(b *strings.Builder) {
	for _, link := range c.Dataplane.NAT.Links {
		state := "closed"
		if link.Connected {
			state = "connected"
		}
		fmt.Fprintf(b, "link %q: %s\n", link.Name, state)
		fmt.Fprintf(b, "  from %s, to protocol %d %s\n", c.names[link.Ingress], link.Protocol, link.Match)
		fmt.Fprintf(b, "  by %s, as %s, to %s\n", c.names[link.Egress], join(link.Local), c.target(link))
		fmt.Fprintf(b, "  idle for %s; admits %s", link.Idle, admitted(link))
		if link.MTU > 0 {
			fmt.Fprintf(b, "; packets of %d bytes", link.MTU)
		}
		b.WriteString("\n")
	}
}

// target is the server group that a link picks from, or the one server that
// it leads to.
func (c *compiled) target(link fullnat.Link) string {
	if group := c.groups[link.Name]; group != "" {
		return "a server of " + group
	}
	server, ok := link.Pick(packet.FiveTuple{}, 0)
	if !ok {
		return "nobody"
	}
	return server.String()
}

// admitted tries a client of each of two networks.
func admitted(link fullnat.Link) string {
	var who []string
	for _, client := range []string{"10.0.0.182:40000", "172.16.0.1:40000"} {
		src := netip.MustParseAddrPort(client)
		if link.Admit == nil || link.Admit(packet.FiveTuple{Src: src, Dst: link.Match, Protocol: link.Protocol}) {
			who = append(who, src.Addr().String())
		}
	}
	return strings.Join(who, ", ")
}

func (c *compiled) resolvers(b *strings.Builder) {
	fmt.Fprintf(b, "resolvers of all VPCs\n")
	resolver(b, c.dns.Public)
	for _, vpc := range c.plan.VPCs {
		cfg := c.dns.VPCs[vpc.Name]
		fmt.Fprintf(b, "resolver of %s, TTL %s\n", vpc.Name, cfg.TTL)
		for _, subnet := range cfg.Subnets {
			fmt.Fprintf(b, "  %s asks from %s\n", subnet.Prefix, subnet.Zone)
		}
		resolver(b, cfg)
		for _, name := range c.Hosts[vpc.Name] {
			fmt.Fprintf(b, "  hosts files have %s for %s\n", name.IP, name.Name)
		}
	}
}

func resolver(b *strings.Builder, cfg dns.Config) {
	for _, name := range cfg.Names {
		fmt.Fprintf(b, "  %s", name.FQDN)
		if name.Affinity {
			b.WriteString(", the asker's zone first")
		}
		for _, a := range name.Addrs {
			up := "down: " + a.Why
			if a.Up {
				up = "up"
			}
			where := ""
			if a.Zone != "" {
				where = " in " + a.Zone
			}
			fmt.Fprintf(b, "; %s%s is %s", a.IP, where, up)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "  know all of %s\n", strings.Join(cfg.Zones, ", "))
}

func join(addrs []netip.Addr) string {
	text := make([]string, len(addrs))
	for i, a := range addrs {
		text[i] = a.String()
	}
	return strings.Join(text, ", ")
}

// User Guide for Network Load Balancers, "What is a Network Load Balancer?": the
// sequence number is in the hash of a TCP flow.
func TestOnlyAtAWSDoTheGroupsHearTheSequenceNumber(t *testing.T) {
	for file, want := range map[string]uint32{"aws-nlb.yaml": 7, "alibaba-clb.yaml": 0} {
		plan, err := topofile.Load("../../testdata/topologies/" + file)
		require.NoError(t, err)
		numbers := compile.Numbers{}
		for _, eni := range plan.ENIs() {
			numbers[eni.Device] = packet.ENI(len(numbers) + 1)
		}
		var heard []uint32
		plane, err := control.NewPlane(plan, func() time.Time { return morning })
		require.NoError(t, err)
		desired := compile.Plan(plan, plane.State(), numbers, func(_, _, _ string) compile.Chooser {
			return compile.Chooser{Pick: func(_ packet.FiveTuple, seq uint32) (netip.AddrPort, bool) {
				heard = append(heard, seq)
				return netip.AddrPort{}, false
			}}
		})
		require.NotEmpty(t, desired.Dataplane.NAT.Links, file)
		for _, link := range desired.Dataplane.NAT.Links {
			link.Pick(packet.FiveTuple{}, 7)
		}
		require.NotEmpty(t, heard)
		for _, seq := range heard {
			require.Equal(t, want, seq, file)
		}
	}
}

func TestHalfClosedSessionsLiveAsLongAsTheListenerSays(t *testing.T) {
	for cloud, want := range map[string]time.Duration{"cloud: alibaba": 10 * time.Minute, "cloud: rfc": 4 * time.Minute} {
		plan, err := topofile.Parse("idle.yaml", []byte(strings.Replace(`
name: idle
cloud: alibaba
region: eu-central-1
accounts: [a]
vpcs:
  here: {cidr: 10.0.0.0/16, subnets: {h: {zone: eu-central-1b, cidr: 10.0.1.0/24}}}
  there: {cidr: 10.1.0.0/16, subnets: {t: {zone: eu-central-1b, cidr: 10.1.1.0/24}}, instances: {web: {subnet: t}}}
server_groups:
  web: {vpc: there, servers: [{instance: web, port: 80}]}
load_balancers:
  nlb: {type: nlb, vpc: there, subnets: [t], listeners: [{protocol: tcp, port: 80, server_group: web, idle_timeout: 600s}]}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: here, subnets: [h]}}
`, "cloud: alibaba", cloud, 1)))
		require.NoError(t, err)
		plane, err := control.NewPlane(plan, func() time.Time { return morning })
		require.NoError(t, err)
		numbers := compile.Numbers{}
		for _, eni := range plan.ENIs() {
			numbers[eni.Device] = packet.ENI(len(numbers) + 1)
		}
		links := compile.Plan(plan, plane.State(), numbers, func(_, _, _ string) compile.Chooser { return compile.Chooser{} }).Dataplane.NAT.Links
		require.NotEmpty(t, links)
		require.Equal(t, want, links[0].Behaviour.Timers.Closing, cloud)
	}
}

func TestAListenerWithTOATellsServersInAnOption(t *testing.T) {
	text, err := os.ReadFile("../../testdata/topologies/aws-nlb.yaml")
	require.NoError(t, err)
	with := strings.Replace(string(text), "protocol: tcp, port: 80, server_group", "protocol: tcp, port: 80, toa: true, server_group", 1)
	plan, err := topofile.Parse("toa.yaml", []byte(with))
	require.NoError(t, err)
	plane, err := control.NewPlane(plan, func() time.Time { return morning })
	require.NoError(t, err)
	numbers := compile.Numbers{}
	for _, eni := range plan.ENIs() {
		numbers[eni.Device] = packet.ENI(len(numbers) + 1)
	}
	for _, link := range compile.Plan(plan, plane.State(), numbers, func(_, _, _ string) compile.Chooser {
		return compile.Chooser{}
	}).Dataplane.NAT.Links {
		require.True(t, link.Identity.TOA, link.Name)
		require.Equal(t, fullnat.NoHeader, link.Identity.Header, link.Name)
	}
	_, err = topofile.Parse("toa.yaml", []byte(strings.Replace(with, "protocol: tcp, port: 80, toa", "protocol: udp, port: 80, toa", 1)))
	require.ErrorContains(t, err, "has a listener of udp, and toa is a TCP option")
}

func TestServersAnswerPingsAndAreNotCountedForThem(t *testing.T) {
	text, err := os.ReadFile("../../testdata/topologies/aws-dualstack.yaml")
	require.NoError(t, err)
	plan, err := topofile.Parse("ping.yaml", text)
	require.NoError(t, err)
	require.False(t, plan.Endpoints[0].AnswerPing, "AWS does not answer")
	plan.Endpoints[0].AnswerPing = true
	plan.LoadBalancers[0].Listeners[0].TOA = true
	plane, err := control.NewPlane(plan, func() time.Time { return morning })
	require.NoError(t, err)
	numbers := compile.Numbers{}
	for _, eni := range plan.ENIs() {
		numbers[eni.Device] = packet.ENI(len(numbers) + 1)
	}
	server := netip.MustParseAddrPort("10.0.0.9:80")
	picked, ended := 0, 0
	chooser := compile.Chooser{
		Pick:  func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { picked++; return server, picked == 1 },
		Ended: func(got netip.AddrPort) { require.Equal(t, server, got); ended++ },
		Lost:  func(netip.AddrPort) bool { return true },
	}
	var links []fullnat.Link
	for _, link := range compile.Plan(plan, plane.State(), numbers, func(_, _, _ string) compile.Chooser {
		return chooser
	}).Dataplane.NAT.Links {
		if link.Protocol == packet.ProtocolICMP {
			links = append(links, link)
		}
	}
	require.Len(t, links, 2*len(plan.Endpoints[0].Zones), "one for each address")
	for _, link := range links {
		picked, ended = 0, 0
		require.Equal(t, time.Minute, link.Idle)
		require.Nil(t, link.Ended)
		require.Nil(t, link.Lost)
		require.Nil(t, link.Identity, "an echo has no TCP options")
		got, ok := link.Pick(packet.FiveTuple{}, 0)
		require.True(t, ok)
		require.Equal(t, server, got)
		_, ok = link.Pick(packet.FiveTuple{}, 0)
		require.False(t, ok)
		require.Equal(t, 1, ended, "given back, and once")
	}
}
