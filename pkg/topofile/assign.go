package topofile

import (
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// addresses chooses every address that the file leaves open, after all that it
// gives are taken.
func (b *builder) addresses() {
	for i := range b.plan.VPCs {
		vpc := &b.plan.VPCs[i]
		for j := range vpc.Subnets {
			vpc.Subnets[j].MAC = packet.MACOf(vpc.Subnets[j].Gateway)
		}
		for j := range vpc.Instances {
			in := &vpc.Instances[j]
			in.IP = b.chosen(vpc, in.Subnet, in.IP, "instance", in.Ref(), b.raw.VPCs.Entries[i].Value.Instances.Entries[j].Key)
			in.MAC = packet.MACOf(in.IP)
			if subnet, err := vpc.Subnet(in.Subnet); err == nil {
				in.IPv6 = b.chosenIPv6(vpc, subnet, in.IPv6, in.IP, "instance "+in.Ref())
			}
		}
	}
	for i := range b.plan.LoadBalancers {
		lb := &b.plan.LoadBalancers[i]
		vpc, _ := b.plan.VPC(lb.VPC)
		for j := range lb.Nodes {
			node := &lb.Nodes[j]
			if node.Proxy != nil {
				b.proxyAddresses(lb, node, vpc, b.raw.LoadBalancers.Entries[i].Key)
				continue
			}
			b.complete(&node.ENI, vpc, "load balancer", lb.Name, b.raw.LoadBalancers.Entries[i].Key)
			node.Local = []netip.Addr{b.local(lb, node, vpc)}
			if lb.DualStack {
				b.completeIPv6(&node.ENI, vpc)
				node.Local = append(node.Local, node.ENI.IPv6)
			}
		}
	}
	for i := range b.plan.NATGateways {
		gw := &b.plan.NATGateways[i]
		vpc, _ := b.plan.VPC(gw.VPC)
		b.complete(&gw.ENI, vpc, "NAT gateway", gw.Name, b.raw.NATGateways.Entries[i].Key)
		gw.NATIPs[0].IP = gw.ENI.IP
	}
	for i := range b.plan.Endpoints {
		ep := &b.plan.Endpoints[i]
		vpc, _ := b.plan.VPC(ep.VPC)
		for j := range ep.Zones {
			b.complete(&ep.Zones[j].ENI, vpc, "endpoint", ep.Name, b.raw.Endpoints.Entries[i].Key)
			if ep.DualStack {
				b.completeIPv6(&ep.Zones[j].ENI, vpc)
			}
		}
	}
	for i := range b.plan.VPCs {
		b.plan.VPCs[i].HealthSource = b.healthSource(&b.plan.VPCs[i])
	}
	for i := range b.plan.ServerGroups {
		for j := range b.plan.ServerGroups[i].Servers {
			server := &b.plan.ServerGroups[i].Servers[j]
			if in, err := b.plan.Instance(server.Instance); err == nil {
				server.IP = in.IP
				if b.plan.ServerGroups[i].IPv6 {
					server.IP = in.IPv6
				}
			}
		}
	}
}

// chosen is the address that something has in a subnet, or one that is free.
func (b *builder) chosen(vpc *topology.VPC, subnet string, given netip.Addr, kind, name string, key *yaml.Node) netip.Addr {
	if given.IsValid() {
		return given
	}
	s, _ := vpc.Subnet(subnet)
	taken := func(a netip.Addr) bool { return b.taken[vpc.Name][a] != "" || a == s.Gateway }
	addr, ok := derive.Address(s.CIDR, b.can.LowReserve, b.can.TopReserve, b.plan.Name+"/"+kind+"/"+name, taken)
	if !ok {
		b.problem(key, "use a larger subnet", "%s %q: subnet %q (%s) has no free address", kind, name, s.Name, s.CIDR)
		return s.Gateway
	}
	b.take(vpc.Name, addr, kind+" "+name)
	return addr
}

// complete gives an ENI its addresses.
func (b *builder) complete(eni *topology.ENI, vpc *topology.VPC, kind, owner string, key *yaml.Node) {
	eni.IP = b.chosen(vpc, eni.Subnet, eni.IP, kind, owner+"/"+eni.Zone, key)
	eni.MAC = packet.MACOf(eni.IP)
}

// completeIPv6 gives an ENI its IPv6 address.
func (b *builder) completeIPv6(eni *topology.ENI, vpc *topology.VPC) {
	subnet, _ := vpc.Subnet(eni.Subnet)
	eni.IPv6 = b.chosenIPv6(vpc, subnet, eni.IPv6, eni.IP, eni.Name)
}

// local is the address that a node's servers see sessions come from. An NLB
// uses its own. For the CLB of Alibaba Cloud no public document says what
// servers see behind an endpoint; it cannot be an address of the consumer,
// which may exist in the provider's VPC too. It is taken from the block from
// which the same load balancer's health checks come.
func (b *builder) local(lb *topology.LoadBalancer, node *topology.Node, vpc *topology.VPC) netip.Addr {
	if lb.Type != topology.CLB || !b.can.SharedBlock.IsValid() {
		return node.ENI.IP
	}
	return b.fromShared(vpc, "nat/"+lb.Name+"/"+node.Zone)
}

// healthSource is an address of the shared block at Alibaba Cloud (CLB FAQ,
// "health checks"), the first subnet's gateway elsewhere.
func (b *builder) healthSource(vpc *topology.VPC) netip.Addr {
	if !b.can.SharedBlock.IsValid() {
		return vpc.Subnets[0].Gateway
	}
	return b.fromShared(vpc, "health/"+vpc.Name)
}

func (b *builder) fromShared(vpc *topology.VPC, key string) netip.Addr {
	taken := func(a netip.Addr) bool { return b.can.CloudBlock.Contains(a) || b.taken[vpc.Name][a] != "" }
	// The block has millions of addresses, and a file not as many nodes.
	addr, _ := derive.Address(b.can.SharedBlock, 1, 1, b.plan.Name+"/"+key, taken)
	b.take(vpc.Name, addr, key)
	return addr
}

// devices names every interface: bridges and the ends on them in each VPC's
// namespace, and the far ends of ENIs in the data plane's.
func (b *builder) devices() {
	dataplane := newDevices()
	inVPC := map[string]devices{}
	for i := range b.plan.VPCs {
		vpc := &b.plan.VPCs[i]
		here := newDevices()
		inVPC[vpc.Name] = here
		for j := range vpc.Subnets {
			vpc.Subnets[j].Bridge = here.name("br-" + vpc.Subnets[j].Name)
		}
		for j := range vpc.Instances {
			vpc.Instances[j].Port = here.name(vpc.Instances[j].Name)
		}
	}
	name := func(eni *topology.ENI, owner string) {
		wish := owner + "-" + b.shortZone(eni.Zone)
		eni.Device = dataplane.name(wish)
		eni.Port = inVPC[eni.VPC].name(wish)
	}
	for i := range b.plan.LoadBalancers {
		lb := &b.plan.LoadBalancers[i]
		for j := range lb.Nodes {
			name(&lb.Nodes[j].ENI, lb.Name)
			if proxy := lb.Nodes[j].Proxy; proxy != nil {
				proxy.Port = inVPC[lb.VPC].name(lb.Name + "-" + b.shortZone(lb.Nodes[j].Zone) + "-node")
			}
		}
	}
	for i := range b.plan.NATGateways {
		name(&b.plan.NATGateways[i].ENI, b.plan.NATGateways[i].Name)
	}
	for i := range b.plan.Endpoints {
		ep := &b.plan.Endpoints[i]
		for j := range ep.Zones {
			name(&ep.Zones[j].ENI, ep.Name)
		}
	}
}

// shortZone is what tells a zone from others of the region: b for
// eu-central-1b.
func (b *builder) shortZone(zone string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(zone, b.plan.Region), "-")
	if rest == "" {
		return zone
	}
	return rest
}
