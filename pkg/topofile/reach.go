package topofile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// reachBuilder warns of what security groups shut out altogether: a server that no
// load balancer reaches, and an endpoint that no instance of its VPC reaches. Such a
// group is often one that nobody has named, the default group at AWS.
type reachBuilder struct {
	*draft
	groups map[string][]topology.SecurityGroup // of a VPC and their names, as Plan.Groups gives them
	shuts  map[string]*door                    // what shuts an endpoint, by its VPC, service and groups; nil: nothing
}

func (b reachBuilder) build() {
	b.groups, b.shuts = map[string][]topology.SecurityGroup{}, map[string]*door{}
	for e, g := range pairs(b.raw.ServerGroups.Entries, b.plan.ServerGroups) {
		for i, s := range g.Servers {
			in, err := b.plan.Instance(s.Instance)
			if s.Instance == "" || g.IPv6 || err != nil || len(in.SecurityGroups) == 0 {
				continue
			}
			node := e.Key
			if items := e.Value.Servers.Items; len(items) == len(g.Servers) && items[i].Node != nil {
				node = items[i].Node
			}
			b.server(node, g, s, in)
		}
	}
	for e, ep := range pairs(b.raw.Endpoints.Entries, b.plan.Endpoints) {
		if !ep.Reverse && len(ep.SecurityGroups) > 0 {
			b.endpoint(e.Key, ep)
		}
	}
}

// door is what comes to somebody in a VPC.
type door struct {
	vpc      *topology.VPC
	groups   []string // of the interface that it comes to
	protocol topology.Protocol
	port     uint16
}

// admits says whether some rule lets it in from one of the sources. Rules that deny
// are not asked: who writes one knows what it shuts out.
func (b reachBuilder) admits(d door, sources []netip.Addr) bool {
	if slices.ContainsFunc(sources, d.vpc.BalancerBlock().Contains) {
		return true // no group stops what comes from there
	}
	key := topology.JoinPath(append([]string{d.vpc.Name}, d.groups...)...)
	groups, known := b.groups[key]
	if !known {
		groups = b.plan.Groups(d.vpc, d.groups)
		b.groups[key] = groups
	}
	for _, g := range groups {
		for _, r := range g.Ingress {
			if r.Deny || r.Protocol != topology.AllProtocols && r.Protocol != d.protocol ||
				d.port < r.FirstPort || d.port > r.LastPort {
				continue
			}
			if slices.ContainsFunc(sources, r.Peer.Contains) {
				return true
			}
		}
	}
	return false
}

// server warns of one that no load balancer of its group reaches.
func (b reachBuilder) server(node *yaml.Node, g *topology.ServerGroup, s topology.Server, in *topology.Instance) {
	for i := range b.plan.LoadBalancers {
		lb := &b.plan.LoadBalancers[i]
		for _, l := range lb.Listeners {
			if !slices.Contains(l.Groups(), g.Name) {
				continue
			}
			sources, blocks := b.sourcesOf(lb)
			d := door{b.plan.MustVPC(in.VPC), in.SecurityGroups, l.Protocol.Transport(), s.Port}
			if !b.admits(d, sources) {
				b.shut(node, d, blocks, fmt.Sprintf("server group %q: load balancer %q does not reach instance %q",
					g.Name, lb.Name, in.Name))
				return
			}
			probe := b.plan.MustVPC(g.VPC).HealthSource
			d.protocol, d.port = g.HealthCheck.Protocol.Transport(), cmp.Or(g.HealthCheck.Port, s.Port)
			if g.HealthCheck.Protocol != topology.NoProtocol && lb.Type != topology.ALB &&
				!b.admits(d, []netip.Addr{probe}) {
				b.shut(node, d, []string{netip.PrefixFrom(probe, probe.BitLen()).String()}, fmt.Sprintf(
					"server group %q: health checks from %s do not reach instance %q", g.Name, probe, in.Name))
				return
			}
		}
	}
}

// sourcesOf are the addresses from which servers see a load balancer, and the blocks
// of its subnets.
func (b reachBuilder) sourcesOf(lb *topology.LoadBalancer) (sources []netip.Addr, blocks []string) {
	for _, n := range lb.Nodes {
		sources = append(sources, n.Local...)
		if n.Proxy != nil {
			sources = append(sources, n.Proxy.IP)
		}
		blocks = append(blocks, b.plan.MustVPC(lb.VPC).MustSubnet(n.Subnet).CIDR.String())
	}
	return sources, blocks
}

// endpoint warns of one that no instance of its VPC reaches.
func (b reachBuilder) endpoint(node *yaml.Node, ep *topology.Endpoint) {
	service, err := b.plan.Service(ep.Service)
	vpc := b.plan.MustVPC(ep.VPC)
	if err != nil || len(vpc.Instances) == 0 {
		return
	}
	key := topology.JoinPath(append([]string{vpc.Name, service.Name}, ep.SecurityGroups...)...)
	shut, known := b.shuts[key]
	if !known {
		shut = b.shutBy(ep, service, vpc)
		b.shuts[key] = shut
	}
	if shut != nil {
		b.shut(node, *shut, []string{vpc.CIDR.String()},
			fmt.Sprintf("endpoint %q: no instance of vpc %q reaches it", ep.Name, vpc.Name))
	}
}

// shutBy is the first listener behind an endpoint where none lets in any instance of the
// endpoint's VPC, nil where one does, or there is none.
func (b reachBuilder) shutBy(ep *topology.Endpoint, service *topology.EndpointService, vpc *topology.VPC) (shut *door) {
	var sources []netip.Addr
	for _, in := range vpc.Instances {
		sources = append(sources, in.IP)
		if in.IPv6.IsValid() {
			sources = append(sources, in.IPv6)
		}
	}
	for i := range b.plan.LoadBalancers {
		if !service.Offers(b.plan.LoadBalancers[i].Name) {
			continue
		}
		for _, l := range b.plan.LoadBalancers[i].Listeners {
			d := door{vpc, ep.SecurityGroups, l.Protocol.Transport(), l.Port}
			if b.admits(d, sources) {
				return nil
			}
			if shut == nil {
				shut = &d
			}
		}
	}
	return shut
}

// shut warns of a door that is shut, with the rule that opens it.
func (b reachBuilder) shut(node *yaml.Node, d door, blocks []string, what string) {
	slices.Sort(blocks)
	source := strings.Join(slices.Compact(blocks), ", ")
	if strings.Contains(source, ",") {
		source = "[" + source + "]"
	}
	b.warn(node, fmt.Sprintf("write in ingress of security group %q of vpc %q: {protocol: %s, ports: %d, source: %s}",
		d.groups[0], d.vpc.Name, d.protocol, d.port, source),
		"%s: no rule of security group %s lets in %s %d", what, strings.Join(d.groups, ", "), d.protocol, d.port)
}
