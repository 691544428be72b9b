package topology

import (
	"net/netip"
	"slices"
)

// OwnAddresses are those of a VPC itself, beside its gateways: where its DNS server
// and the cloud's other servers answer, and where its health checks come from.
func (p *Plan) OwnAddresses(v *VPC) []netip.Addr {
	addrs := slices.Clone(v.Resolvers)
	for _, addr := range []netip.Addr{v.HealthSource, p.Profile.Metadata, p.Profile.CloudAPI} {
		if addr.IsValid() && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// NATBlocks are the NAT IPs of the load balancer nodes and the NAT CIDRs of the
// gateways in a subnet, without those that its own CIDR leads to anyway: the VPC
// and the instances of the subnet have a route to them. An ALB's servers see its
// proxy, and no NAT IP.
func (p *Plan) NATBlocks(vpc *VPC, sub *Subnet) []netip.Prefix {
	var blocks []netip.Prefix
	add := func(eni *ENI, block netip.Prefix) {
		onLink := sub.CIDR.Overlaps(block) || sub.IPv6CIDR.Overlaps(block)
		if eni.VPC == vpc.Name && eni.Subnet == sub.Name && !onLink && !slices.Contains(blocks, block) {
			blocks = append(blocks, block)
		}
	}
	for i := range p.LoadBalancers {
		if p.LoadBalancers[i].VPC != vpc.Name {
			continue
		}
		for j := range p.LoadBalancers[i].Nodes {
			node := &p.LoadBalancers[i].Nodes[j]
			if node.Proxy != nil {
				continue
			}
			for _, local := range node.Local {
				add(&node.ENI, netip.PrefixFrom(local, local.BitLen()))
			}
		}
	}
	for i := range p.NATGateways {
		add(&p.NATGateways[i].ENI, p.NATGateways[i].CIDR)
	}
	return blocks
}

// Consumers are the addresses from which the node of an ALB sees consumers come,
// without those that the CIDR of its subnet leads to anyway: its proxy has a route
// to them.
func (n *Node) Consumers(sub *Subnet) []netip.Prefix {
	var blocks []netip.Prefix
	for _, local := range n.Local {
		if !sub.CIDR.Contains(local) {
			blocks = append(blocks, netip.PrefixFrom(local, local.BitLen()))
		}
	}
	return blocks
}
