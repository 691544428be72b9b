package topofile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
)

// subnetBuilder builds the subnets of VPCs.
type subnetBuilder struct{ *draft }

func (b subnetBuilder) subnet(vpc *topology.VPC, e *entry[rawSubnet]) {
	who := fmt.Sprintf("subnet %q", e.Name)
	cidr := b.network(who, "cidr", e.Value.CIDR)
	subnet := topology.Subnet{
		Name: e.Name,
		ID:   b.ids.Subnet(vpc.Name + "/" + e.Name),
		Zone: e.Value.Zone.V,
		CIDR: cidr,
		Tags: e.Value.Tags.V,
	}
	if e.Value.Zone.given() {
		b.zone(who, e.Value.Zone)
	}
	if cidr.IsValid() {
		b.block(who, e.Value.CIDR.Node, vpc, cidr)
		subnet.Gateway = derive.Nth(cidr, b.can.Gateway)
	}
	b.ipv6(who, vpc, &subnet, e.Value.IPv6CIDR)
	vpc.Subnets = append(vpc.Subnets, subnet)
}

// zone notes a zone that cannot be part of a domain name, and warns of one
// that seems to be in another region.
func (b subnetBuilder) zone(who string, zone value[string]) {
	b.name(zone.Node, who, topology.MaxZone)
	if b.can.RegionalZone && b.plan.Region != "" && !strings.HasPrefix(zone.V, b.plan.Region) {
		b.warn(zone.Node, "zones of a region begin with its name",
			"%s: zone %s does not look like one of region %s", who, zone.V, b.plan.Region)
	}
}

// block applies the cloud's rules for a subnet's addresses.
func (b subnetBuilder) block(who string, node *yaml.Node, vpc *topology.VPC, cidr netip.Prefix) {
	b.mask(who, node, cidr, b.can.Limits.SubnetWidest, b.can.Limits.SubnetNarrowest)
	if vpc.CIDR.IsValid() && !holds(vpc, cidr) {
		b.problem(node, fmt.Sprintf("give the subnet a part of %s, or the vpc a block that holds %s", vpc.Blocks(), cidr),
			"%s: cidr %s is not inside vpc %q (%s)", who, cidr, vpc.Name, vpc.Blocks())
	}
	for _, other := range vpc.Subnets {
		if other.CIDR.IsValid() && other.CIDR.Overlaps(cidr) {
			b.problem(node, "subnets of one vpc must not overlap",
				"%s: cidr %s overlaps subnet %q (%s)", who, cidr, other.Name, other.CIDR)
			return
		}
	}
}

// holds says whether one of the VPC's blocks has all addresses of a subnet.
func holds(vpc *topology.VPC, cidr netip.Prefix) bool {
	return slices.ContainsFunc(vpc.CIDRs(), func(block netip.Prefix) bool {
		return block.IsValid() && derive.Contains(block, cidr)
	})
}

// ipv6 checks the IPv6 block of a subnet and gives it a gateway.
func (b subnetBuilder) ipv6(who string, vpc *topology.VPC, subnet *topology.Subnet, v value[ipv6Block]) {
	block := b.network(who, "ipv6_cidr", prefix(v))
	switch {
	case !block.IsValid():
		return
	case !vpc.IPv6CIDR.IsValid():
		if b.wroteIPv6(vpc.Name) {
			return // something was said about it
		}
		b.problem(v.Node,
			fmt.Sprintf("write ipv6_cidr: %s in vpc %s", netip.PrefixFrom(block.Addr(), 56).Masked(), vpc.Name),
			"%s has an ipv6_cidr, and vpc %q has none", who, vpc.Name)
		return
	case block.Bits() != subnetIPv6:
		b.problem(v.Node, "use a mask of /64", "%s: ipv6_cidr %s has a mask that no subnet has", who, block)
		return
	case !derive.Contains(vpc.IPv6CIDR, block):
		b.problem(v.Node, fmt.Sprintf("give the subnet a part of %s", vpc.IPv6CIDR),
			"%s: ipv6_cidr %s is not inside vpc %q (%s)", who, block, vpc.Name, vpc.IPv6CIDR)
		return
	}
	for _, other := range vpc.Subnets {
		if other.IPv6CIDR == block {
			b.problem(v.Node, "subnets of one vpc must not overlap",
				"%s: ipv6_cidr %s is that of subnet %q", who, block, other.Name)
			return
		}
	}
	subnet.IPv6CIDR, subnet.IPv6Gateway = block, at(block, 1)
}

func (b subnetBuilder) wroteIPv6(vpc string) bool {
	for _, e := range b.raw.VPCs.Entries {
		if e.Name == vpc {
			return e.Value.IPv6CIDR.given() || e.Value.IPv6CIDR.Bad
		}
	}
	return false
}
