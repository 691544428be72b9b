package topofile

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
)

// natGatewayBuilder builds NAT gateways without their entries, which refer to
// endpoints, which refer to services, which offer gateways.
type natGatewayBuilder struct{ *addresses }

func (b natGatewayBuilder) build() {
	each(b.draft, "NAT gateway", b.raw.NATGateways.Entries, b.gateway)
}

func (b natGatewayBuilder) gateway(e *entry[rawNATGateway]) {
	who := fmt.Sprintf("NAT gateway %q", e.Name)
	gw := topology.NATGateway{
		Name:    e.Name,
		ID:      b.ids.ID("ngw", e.Name),
		TableID: b.ids.ID("fulltb", e.Name),
		Type:    e.Value.Type.V,
		VPC:     e.Value.VPC.V,
		Tags:    e.Value.Tags.V,
		Subnet:  e.Value.Subnet.V,
	}
	if !b.can.FullNAT {
		b.problem(e.Key, "write cloud: alibaba", "%s: cloud %s has no NAT gateways of type FullNat", who, b.plan.Cloud)
	}
	if _, err := b.plan.LoadBalancer(e.Name); err == nil {
		// A service would not know which of them it offers.
		b.problem(e.Key, "give one of them another name", "%s has the name of a load balancer", who)
	}
	vpc := refer(b.draft, who, e.Value.VPC, b.plan.VPC)
	if vpc == nil {
		b.plan.NATGateways = append(b.plan.NATGateways, gw)
		return
	}
	gw.Account = vpc.Account
	if subnet := refer(b.draft, who, e.Value.Subnet, vpc.Subnet); subnet != nil {
		b.address(who, e.Value.IP, vpc, subnet)
		gw.ENI = b.eni("nat", e.Name, vpc, place{subnet: subnet, ip: e.Value.IP.V})
		gw.CIDR = b.cidr(who, e.Value.NATCIDR, vpc, subnet)
		gw.NATIPs = []topology.NATIP{{ID: b.ids.ID("vpcnatip", e.Name), IP: e.Value.IP.V}}
		for _, ip := range e.Value.NATIPs.Items {
			b.ip(who, ip, &gw, vpc, subnet)
		}
	}
	b.plan.NATGateways = append(b.plan.NATGateways, gw)
}

// cidr is the block of the gateway's NAT IPs: that of its subnet, or one
// outside of the VPC.
func (b natGatewayBuilder) cidr(
	who string, v value[netip.Prefix], vpc *topology.VPC, subnet *topology.Subnet,
) netip.Prefix {
	if !v.given() {
		return subnet.CIDR
	}
	cidr := b.network(who, "nat_cidr", v)
	switch {
	case cidr == subnet.CIDR, !subnet.CIDR.IsValid(), !vpc.CIDR.IsValid():
	case vpc.Overlaps(cidr):
		b.problem(v.Node,
			fmt.Sprintf("leave it out for that of the subnet, %s, or write a block outside of the vpc", subnet.CIDR),
			"%s: nat_cidr %s overlaps vpc %q (%s)", who, cidr, vpc.Name, vpc.Blocks())
	case cidr.Bits() < 16 ||
		!slices.ContainsFunc(natBlocks, func(n netip.Prefix) bool { return derive.Contains(n, cidr) }):
		b.problem(v.Node, "use a block of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 with a mask from /16 to /32",
			"%s cannot have the nat_cidr %s", who, cidr)
	}
	for _, other := range b.plan.NATGateways {
		if other.VPC == vpc.Name && other.CIDR.IsValid() && cidr != subnet.CIDR && cidr.Overlaps(other.CIDR) {
			b.problem(v.Node, "the VPC has one route to it: give one of them another block",
				"%s: nat_cidr %s overlaps that of NAT gateway %q (%s)", who, cidr, other.Name, other.CIDR)
		}
	}
	return cidr
}

func (b natGatewayBuilder) ip(
	who string, ip value[netip.Addr], gw *topology.NATGateway, vpc *topology.VPC, subnet *topology.Subnet,
) {
	if !ip.given() || !gw.CIDR.IsValid() {
		return
	}
	switch other := b.taken[vpc.Name][ip.V]; {
	case !gw.CIDR.Contains(ip.V):
		b.problem(ip.Node, fmt.Sprintf("write an address of %s", gw.CIDR),
			"%s: nat ip %s is not in its NAT CIDR %s", who, ip.V, gw.CIDR)
		return
	case gw.CIDR == subnet.CIDR:
		b.address(who, ip, vpc, subnet)
	case other != "":
		b.problem(ip.Node, "give one of them another address", "%s: nat ip %s is already that of %s", who, ip.V, other)
	default:
		b.take(vpc.Name, ip.V, who)
	}
	gw.NATIPs = append(gw.NATIPs, topology.NATIP{ID: b.ids.ID("vpcnatip", gw.Name+"/"+ip.V.String()), IP: ip.V})
}

// choose decides the addresses of all gateways.
func (b natGatewayBuilder) choose() {
	for e, gw := range pairs(b.raw.NATGateways.Entries, b.plan.NATGateways) {
		vpc := b.plan.MustVPC(gw.VPC)
		b.complete(&gw.ENI, vpc, "NAT gateway", gw.Name, e.Key)
		gw.NATIPs[0].IP = gw.ENI.IP
	}
}

// natBlocks are where a NAT CIDR of one's own may be: Alibaba Cloud VPC API
// 2016-04-28, CreateNatIpCidr.
var natBlocks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}
