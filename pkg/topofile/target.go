package topofile

import (
	"fmt"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// target is what a server of a group is: an instance, an address, or an alb.
// It is nil where something is wrong with it, and of an alb, whose nodes are
// known later.
func (b serverGroupBuilder) target(
	who string, group *topology.ServerGroup, vpc *topology.VPC, raw rawServer,
) *topology.Server {
	server := topology.Server{Port: uint16(raw.Port.V), Weight: raw.Weight.or(100)}
	if !b.oneTarget(who, raw) || vpc == nil {
		return nil
	}
	switch {
	case raw.Instance.given():
		in := b.instance(who, vpc, raw.Instance)
		if in == nil {
			return nil
		}
		server.Instance, server.Zone = in.Ref(), in.Zone
		if subnet, err := vpc.Subnet(in.Subnet); err == nil && group.IPv6 && !subnet.IPv6CIDR.IsValid() {
			b.problem(raw.Instance.Node, "write an ipv6_cidr in subnet "+subnet.Name,
				"%s: server %s has no IPv6 address", who, raw.Instance.V)
		}
	case raw.IP.given():
		zone, ok := b.place(who, group, vpc, raw.IP)
		if !ok {
			return nil
		}
		server.IP, server.Zone = raw.IP.V, zone
	default:
		return nil
	}
	return &server
}

// oneTarget holds a server to one of the ways to name it.
func (b serverGroupBuilder) oneTarget(who string, raw rawServer) bool {
	if raw.Node == nil || raw.Node.Kind != yaml.MappingNode || raw.Instance.Bad || raw.IP.Bad || raw.LoadBalancer.Bad {
		return false
	}
	var named []string
	for _, key := range []struct {
		name string
		node *yaml.Node
	}{{"instance", raw.Instance.Node}, {"ip", raw.IP.Node}, {"load_balancer", raw.LoadBalancer.Node}} {
		if key.node != nil {
			named = append(named, key.name)
		}
	}
	if len(named) == 1 {
		return true
	}
	what := "does not say what it is"
	if len(named) > 1 {
		what = "is named in several ways: " + spell.List(named)
	}
	b.problem(raw.Node, "write one of instance, ip and load_balancer", "%s: a server %s", who, what)
	return false
}

// place finds the zone of a server that is named by its address, which may be of
// something that is not in the file. One in a VPC that has a peering with the
// group's is in no zone: User Guide for Network Load Balancers, "Register
// targets", and Network Load Balancer API 2022-04-30, CreateServerGroup, type Ip.
func (b serverGroupBuilder) place(who string, group *topology.ServerGroup, vpc *topology.VPC, ip value[netip.Addr]) (
	zone string, ok bool,
) {
	if group.IPv6 {
		b.problem(ip.Node, "name its instance",
			"%s: a server with an ip has an IPv4 address, and the group is for ipv6", who)
		return "", false
	}
	if subnet := vpc.SubnetOf(ip.V); subnet != nil {
		return subnet.Zone, true
	}
	for _, peer := range b.plan.Peers(vpc.Name) {
		if peer.SubnetOf(ip.V) == nil {
			continue
		}
		if b.balancerOf[group.Name] == topology.CLB {
			b.problem(ip.Node, "use an nlb",
				"%s: server %s is in vpc %q, and a clb has servers of its own vpc", who, ip.V, peer.Name)
			return "", false
		}
		return "", true
	}
	b.problem(ip.Node, "write an address of vpc "+vpc.Name+", or of one that has a peering with it",
		"%s: server %s is in no subnet of vpc %q", who, ip.V, vpc.Name)
	return "", false
}

// targetALBs gives the groups whose target is an alb its nodes as servers. The
// rules are those of the User Guide for Network Load Balancers, "Use an
// Application Load Balancer as a target of a Network Load Balancer".
func (b serverGroupBuilder) targetALBs() {
	for e, group := range pairs(b.raw.ServerGroups.Entries, b.plan.ServerGroups) {
		for _, raw := range e.Value.Servers.Items {
			if raw.LoadBalancer.given() {
				b.targetALB(group, e.Value, raw)
			}
		}
	}
}

func (b serverGroupBuilder) targetALB(group *topology.ServerGroup, all rawServerGroup, raw rawServer) {
	who := fmt.Sprintf("server group %q", group.Name)
	balancer := refer(b.draft, who, raw.LoadBalancer, b.plan.LoadBalancer)
	if balancer == nil {
		return
	}
	name := balancer.Name
	if !b.can.ALBTargets {
		b.problem(raw.LoadBalancer.Node, "name instances",
			"%s: load balancer %q is its server, and %s has no such groups", who, name, b.plan.Cloud)
		return
	}
	if user := b.balancerOf[group.Name]; user != "" && user != topology.NLB {
		b.problem(raw.LoadBalancer.Node, "name instances",
			"%s: load balancer %q is its server, which only a group of an nlb can have", who, name)
		return
	}
	if balancer.Type != topology.ALB {
		b.problem(raw.LoadBalancer.Node, "name an alb",
			"%s: load balancer %q is a server and of type %s, and an alb can be one", who, name, balancer.Type)
		return
	}
	if len(all.Servers.Items) > 1 {
		b.problem(all.Servers.Node, "keep the alb alone",
			"%s: an alb is one of several servers, and must be the only one", who)
	}
	if group.Protocol != topology.TCP {
		b.problem(all.Protocol.Node, "write protocol: tcp",
			"%s: its server is an alb, and its protocol %s", who, group.Protocol)
	}
	if balancer.VPC != group.VPC {
		b.problem(raw.LoadBalancer.Node, "use an alb of vpc "+group.VPC,
			"%s is in vpc %q, and load balancer %q in vpc %q", who, group.VPC, name, balancer.VPC)
	}
	if group.HealthCheck.Protocol != topology.HTTP {
		b.problem(all.HealthCheck.Protocol.Node, "write protocol: http",
			"%s: its server is an alb, which is probed by http", who)
	}
	if !slices.ContainsFunc(balancer.Listeners,
		func(l topology.Listener) bool { return l.Port == uint16(raw.Port.V) }) {
		b.problem(raw.Port.Node, "write the port of one of its listeners",
			"%s: load balancer %q has no listener on port %d", who, name, raw.Port.V)
	}
	if b.tellsConsumer(group.Name) {
		b.problem(raw.LoadBalancer.Node, "remove proxy_protocol from the listener",
			"%s: an alb cannot read the PROXY protocol headers that a listener sends it", who)
	}
	for i := range balancer.Nodes {
		group.Servers = append(group.Servers, topology.Server{
			Balancer: name, Zone: balancer.Nodes[i].Zone, Port: uint16(raw.Port.V), Weight: raw.Weight.or(100),
		})
	}
}

// tellsConsumer says whether a listener that leads to a group puts a header
// before what the consumer sends.
func (b serverGroupBuilder) tellsConsumer(group string) bool {
	return slices.ContainsFunc(b.plan.LoadBalancers, func(lb topology.LoadBalancer) bool {
		return slices.ContainsFunc(lb.Listeners, func(l topology.Listener) bool {
			return l.ServerGroup == group && l.ProxyProtocol != ""
		})
	})
}

// hasALB says whether the server of a group is an alb.
func hasALB(raw rawServerGroup) bool {
	return slices.ContainsFunc(raw.Servers.Items, func(s rawServer) bool { return s.LoadBalancer.given() })
}
