package topofile

import (
	"fmt"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// loadBalancerBuilder builds load balancers with a node in each of their zones.
type loadBalancerBuilder struct{ *addresses }

func (b loadBalancerBuilder) build() {
	each(b.draft, "load balancer", b.raw.LoadBalancers.Entries, b.balancer)
}

func (b loadBalancerBuilder) balancer(e *entry[rawLoadBalancer]) {
	who := fmt.Sprintf("load balancer %q", e.Name)
	lb := topology.LoadBalancer{
		Name: e.Name,
		ID:   b.ids.LoadBalancer(e.Name, topology.LoadBalancerType(e.Value.Type.V)),
		Type: topology.LoadBalancerType(e.Value.Type.V),
		VPC:  e.Value.VPC.V,
		Tags: e.Value.Tags.V,

		SecondaryIPs: e.Value.SecondaryIPs.V,
	}
	lb.Domain = b.ids.BalancerDomain(lb.ID)
	// Application Load Balancer API 2020-06-16, CreateServerGroup,
	// CrossZoneEnabled; at AWS an ALB's is always on.
	lb.CrossZone = e.Value.CrossZone.or(lb.Type == topology.ALB)
	if lb.Type == topology.CLB && !b.can.CLB {
		b.problem(e.Value.Type.Node, "write type: nlb", "%s: cloud %s has no clb", who, b.plan.Cloud)
	}
	if lb.Type != topology.NLB && e.Value.IPAddressType.V == "dualstack" {
		b.problem(e.Value.IPAddressType.Node, "use an nlb",
			"%s is of type %s, and only an nlb is dualstack", who, lb.Type)
	}
	if raw := e.Value.SecondaryIPs; raw.V > 0 && (lb.Type != topology.NLB || !b.can.SecondaryIPs) {
		b.problem(raw.Node, "remove it", "%s: an %s at %s has no secondary addresses", who, lb.Type, b.plan.Cloud)
	}
	if vpc := refer(b.draft, who, e.Value.VPC, b.plan.VPC); vpc != nil {
		if e.Value.Subnets.Node != nil && e.Value.Subnets.nowhere() {
			b.problem(e.Key, "name a subnet of vpc "+vpc.Name, "%s is in no subnet", who)
		}
		places := b.placed(who, vpc, e.Value.Subnets)
		lb.DualStack = b.dualStack(who, e.Value.IPAddressType, e.Value.Subnets, places)
		for _, p := range places {
			lb.Nodes = append(lb.Nodes, topology.Node{
				Zone:   p.subnet.Zone,
				Subnet: p.subnet.Name,
				ENI:    b.eni("node", e.Name, vpc, p),
			})
			if lb.Type == topology.ALB {
				proxyNode(&lb, &lb.Nodes[len(lb.Nodes)-1])
			}
		}
		if items := e.Value.Subnets.Items; lb.Type == topology.CLB && len(items) > 1 {
			b.problem(items[1].Subnet.Node, "keep one subnet, or write type: nlb",
				"%s: a clb is in one zone, and this is its second subnet", who)
		}
		b.zones(who, e, &lb)
		b.filters(who, e, vpc, &lb)
	}
	for _, raw := range e.Value.Listeners.Items {
		listenerBuilder{b.draft}.listener(who, &lb, raw)
	}
	if n := e.Value.Listeners.Node; n != nil && len(e.Value.Listeners.Items) == 0 && n.Kind != yaml.MappingNode {
		b.warn(n, "add one: {protocol: tcp, port: 80, server_group: ...}",
			"%s has no listeners and accepts nothing", who)
	}
	b.plan.LoadBalancers = append(b.plan.LoadBalancers, lb)
}

// zones holds an alb to its least number of zones.
func (b loadBalancerBuilder) zones(who string, e *entry[rawLoadBalancer], lb *topology.LoadBalancer) {
	least := b.can.HTTP.Limits.Zones
	if n := len(e.Value.Subnets.Items); lb.Type != topology.ALB || n == 0 || n >= least || len(lb.Nodes) < n {
		return
	}
	b.problem(e.Value.Subnets.Node, "add a subnet in another zone",
		"%s: an alb is in at least two zones, and this one is in %s alone", who, lb.Nodes[0].Zone)
}

// filters are the security groups of a load balancer.
func (b loadBalancerBuilder) filters(
	who string, e *entry[rawLoadBalancer], vpc *topology.VPC, lb *topology.LoadBalancer,
) {
	groups, enforce := e.Value.SecurityGroups, e.Value.Enforce
	switch {
	case groups.Node != nil && !b.can.BalancerGroups:
		b.problem(groups.Node, "remove them, or use cloud: aws",
			"%s: a lab has security groups of load balancers for those of aws alone", who)
	case enforce.given() && lb.Type == topology.ALB:
		b.problem(enforce.Node, "remove it, or write it in the nlb that leads to the alb",
			"%s is an alb, and endpoints lead to nlbs alone", who)
	case enforce.given() && len(groups.Items) == 0:
		b.problem(enforce.Node, "add security_groups, or remove it", "%s has no security groups to enforce", who)
	default:
		lb.SecurityGroups = b.groups(who, vpc, groups)
		lb.EndpointsFree = enforce.V == "off"
	}
}

// choose decides the addresses of all nodes.
func (b loadBalancerBuilder) choose() {
	for e, lb := range pairs(b.raw.LoadBalancers.Entries, b.plan.LoadBalancers) {
		vpc := b.plan.MustVPC(lb.VPC)
		for i := range lb.Nodes {
			b.node(lb, &lb.Nodes[i], vpc, e.Key)
		}
	}
}

// proxyNode makes an alb's node of one whose ENI has the address that the user
// gave, if any: that is the proxy's.
func proxyNode(lb *topology.LoadBalancer, node *topology.Node) {
	node.Proxy = &topology.Proxy{IP: node.ENI.IP, Namespace: lb.VPC + "." + node.ENI.Name, Device: "eth0"}
	node.ENI.IP = netip.Addr{}
}

// proxy gives an alb's node its addresses. Sessions that come through
// an endpoint reach the proxy from the ENI's address. It cannot be the
// consumer's, which may exist in the provider's VPC too, and no public document
// says what it is: Alibaba Cloud lets only an NLB tell who the consumer is ("Get
// real client information"). It is taken from the block that CLB has it from.
func (b loadBalancerBuilder) proxy(lb *topology.LoadBalancer, node *topology.Node, vpc *topology.VPC, key *yaml.Node) {
	node.Proxy.IP = b.chosen(vpc, node.Subnet, node.Proxy.IP, "load balancer", lb.Name+"/"+node.Zone, key)
	node.Proxy.MAC = packet.MACOf(node.Proxy.IP)
	if b.can.SharedBlock.IsValid() {
		node.ENI.IP = b.fromShared(vpc, "nat/"+lb.Name+"/"+node.Zone)
	} else {
		node.ENI.IP = b.chosen(vpc, node.Subnet, netip.Addr{}, "load balancer", lb.Name+"/"+node.Zone+"/nat", key)
	}
	node.ENI.MAC = packet.MACOf(node.ENI.IP)
	node.Local = []netip.Addr{node.ENI.IP}
}

// certificateNames are what the certificates that the lab makes are for: the
// names and addresses by which clients reach the listener.
func (b loadBalancerBuilder) certificateNames() {
	for i := range b.plan.LoadBalancers {
		lb := &b.plan.LoadBalancers[i]
		for _, l := range lb.Listeners {
			if l.Protocol == topology.HTTPS && len(l.HTTP.Certificates) == 0 {
				l.HTTP.CertificateNames = b.namesOf(lb, l)
			}
		}
	}
}

// leadsTo says whether an alb is a server behind a load balancer.
func (b loadBalancerBuilder) leadsTo(balancer, alb string) bool {
	lb, err := b.plan.LoadBalancer(balancer)
	return err == nil && slices.ContainsFunc(lb.Listeners, func(l topology.Listener) bool {
		group, err := b.plan.ServerGroup(l.ServerGroup)
		return err == nil &&
			slices.ContainsFunc(group.Servers, func(s topology.Server) bool { return s.Balancer == alb })
	})
}

func (b loadBalancerBuilder) namesOf(lb *topology.LoadBalancer, l topology.Listener) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, ep := range b.plan.Endpoints {
		service, err := b.plan.Service(ep.Service)
		if err != nil || !slices.ContainsFunc(service.Resources, func(r topology.Resource) bool {
			return r.LoadBalancer == lb.Name || b.leadsTo(r.LoadBalancer, lb.Name)
		}) {
			continue
		}
		add(ep.Domain)
		if p := service.PrivateName; p != nil {
			add(p.Name)
		}
		for _, zone := range ep.Zones {
			add(zone.Domain)
			add(zone.ENI.IP.String())
		}
	}
	for i := range lb.Nodes {
		add(lb.Nodes[i].IP().String())
	}
	for _, rule := range l.HTTP.Rules {
		for _, host := range rule.Hosts {
			if isHostPattern(host) {
				add(host)
			}
		}
	}
	return names
}

// local is the address that a node's servers see sessions come from. An NLB
// uses its own. For the CLB of Alibaba Cloud no public document says what
// servers see behind an endpoint; it cannot be an address of the consumer,
// which may exist in the provider's VPC too. It is taken from the block from
// which the same load balancer's health checks come.
func (b loadBalancerBuilder) local(lb *topology.LoadBalancer, node *topology.Node, vpc *topology.VPC) netip.Addr {
	if lb.Type != topology.CLB || !b.can.SharedBlock.IsValid() {
		return node.ENI.IP
	}
	return b.fromShared(vpc, "nat/"+lb.Name+"/"+node.Zone)
}

func (b loadBalancerBuilder) node(lb *topology.LoadBalancer, node *topology.Node, vpc *topology.VPC, key *yaml.Node) {
	if node.Proxy != nil {
		b.proxy(lb, node, vpc, key)
		return
	}
	b.complete(&node.ENI, vpc, "load balancer", lb.Name, key)
	node.Local = []netip.Addr{b.local(lb, node, vpc)}
	if lb.DualStack {
		b.completeIPv6(&node.ENI, vpc)
		node.Local = append(node.Local, node.ENI.IPv6)
	}
	for i := range lb.SecondaryIPs {
		name := fmt.Sprintf("%s/%s/secondary/%d", lb.Name, node.Zone, i)
		node.Local = append(node.Local, b.chosen(vpc, node.Subnet, netip.Addr{}, "load balancer", name, key))
	}
}
