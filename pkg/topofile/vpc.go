package topofile

import (
	"fmt"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// vpcBuilder builds VPCs with all that is in them. Addresses of different VPCs
// are never compared: that they may overlap is what endpoints are for.
type vpcBuilder struct{ *addresses }

func (b vpcBuilder) build() {
	if b.raw.VPCs.Node != nil && len(b.raw.VPCs.Entries) == 0 && b.raw.VPCs.Node.Kind != yaml.SequenceNode {
		b.warn(b.raw.VPCs.Node, "add one: vpc1: {cidr: 10.0.0.0/16, subnets: {...}}", "there are no vpcs")
	}
	// Instances last, so that a hint can name subnets of VPCs further down.
	each(b.draft, "vpc", b.raw.VPCs.Entries, b.vpc)
	for e, vpc := range pairs(b.raw.VPCs.Entries, b.plan.VPCs) {
		each(b.draft, "instance "+vpc.Name+"/", e.Value.Instances.Entries, func(in *entry[rawInstance]) {
			instanceBuilder(b).instance(vpc, in)
		})
	}
}

func (b vpcBuilder) vpc(e *entry[rawVPC]) {
	who := fmt.Sprintf("vpc %q", e.Name)
	cidr := b.network(who, "cidr", e.Value.CIDR)
	vpc := topology.VPC{
		Name:      e.Name,
		ID:        b.ids.ID("vpc", e.Name),
		Account:   b.owner(who, e.Value.Account, e.Key),
		CIDR:      cidr,
		Namespace: e.Name,
		MTU:       e.Value.MTU.or(b.can.MTU),
		Tags:      e.Value.Tags.V,
	}
	vpc.IPv6CIDR = b.ipv6(who, e.Value.IPv6CIDR)
	if cidr.IsValid() {
		if e.Value.DNSSupport.or(true) {
			vpc.Resolvers = b.can.ResolversOf(cidr)
		}
		if !b.block(who, e.Value.CIDR.Node, cidr) {
			// What is inside the block need not be moved twice.
			vpc.CIDR = netip.Prefix{}
		}
	}
	if !b.secondary(who, &vpc, e.Value.SecondaryCIDRs) || !vpc.CIDR.IsValid() {
		vpc.CIDR, vpc.SecondaryCIDRs = netip.Prefix{}, nil
	}
	b.carriesIPv6(who, vpc.IPv6CIDR, e.Value.MTU)
	b.dnsAttributes(who, &vpc, &e.Value)
	b.upstreams(who, &vpc, e.Value.DNSUpstreams)
	if len(e.Value.Subnets.Entries) == 0 && e.Value.CIDR.given() {
		b.warn(e.Key, "add one: vsw1: {zone: "+b.plan.Region+"a, cidr: 10.0.0.0/24}", "%s has no subnets", who)
	}
	each(b.draft, "subnet "+e.Name+"/", e.Value.Subnets.Entries, func(s *entry[rawSubnet]) {
		subnetBuilder{b.draft}.subnet(&vpc, s)
	})
	each(b.draft, "security group "+e.Name+"/", e.Value.SecurityGroups.Entries, func(g *entry[rawSecurityGroup]) {
		securityGroupBuilder{b.draft}.securityGroup(&vpc, g)
	})
	securityGroupBuilder{b.draft}.complete(&vpc, e.Value.SecurityGroups.Entries)
	b.plan.VPCs = append(b.plan.VPCs, vpc)
}

// dnsAttributes are what clouds that have private DNS names ask for before a VPC
// gets them.
func (b vpcBuilder) dnsAttributes(who string, vpc *topology.VPC, raw *rawVPC) {
	vpc.DNSHostnames = raw.DNSHostnames.V
	for _, key := range []struct {
		name string
		v    value[bool]
	}{{"dns_support", raw.DNSSupport}, {"dns_hostnames", raw.DNSHostnames}} {
		if key.v.given() && !b.can.PrivateDNS {
			b.problem(key.v.Node, "remove it", "%s: VPCs of %s have no %s", who, b.plan.Cloud, key.name)
		}
	}
	if n := raw.DNSUpstreams.Node; n != nil && !raw.DNSSupport.or(true) {
		b.problem(n, "remove one of them", "%s has dns_upstreams, and no resolver that asks them", who)
	}
}

// block applies the cloud's rules for a VPC's addresses.
func (b vpcBuilder) block(who string, node *yaml.Node, cidr netip.Prefix) bool {
	for _, f := range b.can.Limits.Forbidden {
		if f.Overlaps(cidr) {
			b.problem(node, "use a block of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
				"%s: cidr %s overlaps %s, which a vpc cannot have", who, cidr, f)
			return false
		}
	}
	if !b.mask(who, node, cidr, b.can.Limits.VPCWidest, b.can.Limits.VPCNarrowest) {
		return false
	}
	if cidr.Bits() < b.can.Limits.VPCUsual {
		b.warn(node,
			fmt.Sprintf("a mask from /%d to /%d is what %s recommends", b.can.Limits.VPCUsual,
				b.can.Limits.VPCNarrowest, b.plan.Cloud),
			"%s: cidr %s is wider than usual", who, cidr)
	}
	return true
}

// secondary applies the cloud's rules for the further blocks of a VPC. False
// means that something was said of one of them.
func (b vpcBuilder) secondary(who string, vpc *topology.VPC, blocks sequence[value[netip.Prefix]]) bool {
	if most := b.can.Limits.SecondaryCIDRs; most > 0 && len(blocks.Items) > most {
		b.problem(blocks.Node, fmt.Sprintf("leave %d", most),
			"%s has %d secondary_cidrs, and a vpc of %s can have %d", who, len(blocks.Items), b.plan.Cloud, most)
		return false
	}
	good := true
	for _, v := range blocks.Items {
		cidr := b.network(who, "secondary_cidrs", v)
		switch other := slices.IndexFunc(vpc.CIDRs(), cidr.Overlaps); {
		case !cidr.IsValid(), !b.block(who, v.Node, cidr):
			good = false
		case other >= 0:
			b.problem(v.Node, "blocks of one vpc must not overlap",
				"%s: secondary_cidrs: %s overlaps its block %s", who, cidr, vpc.CIDRs()[other])
			good = false
		default:
			vpc.SecondaryCIDRs = append(vpc.SecondaryCIDRs, cidr)
		}
	}
	return good
}

// ipv6 checks the IPv6 block of a VPC.
func (b vpcBuilder) ipv6(who string, v value[ipv6Block]) netip.Prefix {
	block := b.network(who, "ipv6_cidr", prefix(v))
	if !block.IsValid() {
		return block
	}
	usable := false
	for _, u := range usableIPv6 {
		usable = usable || derive.Contains(u, block)
	}
	switch {
	case !usable:
		b.problem(v.Node, "use a block of 2000::/3 or fc00::/7, such as 2001:db8:1::/56",
			"%s: ipv6_cidr %s is not for networks", who, block)
	case block.Bits() < widestIPv6 || block.Bits() > narrowestIPv6:
		b.problem(v.Node, fmt.Sprintf("use a mask from /%d to /%d, such as /56", widestIPv6, narrowestIPv6),
			"%s: ipv6_cidr %s has a mask that no vpc has", who, block)
	default:
		return block
	}
	return netip.Prefix{}
}

// upstreams are of the VPC: there is no way out of it, but one may be an
// endpoint's address, and the server another VPC's.
func (b vpcBuilder) upstreams(who string, vpc *topology.VPC, refs sequence[value[netip.Addr]]) {
	for _, v := range refs.Items {
		switch {
		case !v.given():
		case slices.Contains(vpc.Resolvers, v.V):
			b.problem(v.Node, "name an instance that runs a DNS server",
				"%s: dns_upstreams: %s is the resolver itself", who, v.V)
		case vpc.CIDR.IsValid() && !vpc.Contains(v.V):
			b.problem(v.Node,
				"no VPC has a way out of the lab: name an instance that runs a DNS server, or an endpoint's address",
				"%s: dns_upstreams: %s is not in it (%s)", who, v.V, vpc.Blocks())
		default:
			vpc.Upstreams = append(vpc.Upstreams, v.V)
		}
	}
}

// healthSource is an address of the shared block at Alibaba Cloud (CLB FAQ,
// "health checks"), the first subnet's gateway elsewhere.
func (b vpcBuilder) healthSource(vpc *topology.VPC) netip.Addr {
	switch {
	case b.can.SharedBlock.IsValid():
		return b.fromShared(vpc, "health/"+vpc.Name)
	case len(vpc.Subnets) == 0:
		return netip.Addr{} // there is nothing to probe
	}
	return vpc.Subnets[0].Gateway
}

// carriesIPv6 notes an MTU that is too small for a VPC with IPv6.
func (b vpcBuilder) carriesIPv6(who string, block netip.Prefix, mtu value[int]) {
	if block.IsValid() && mtu.given() && mtu.V < packet.MinIPv6MTU {
		b.problem(mtu.Node, "write 1280 or more, or leave out ipv6_cidr",
			"%s has an mtu of %d, and every link with IPv6 carries packets of %d bytes", who, mtu.V, packet.MinIPv6MTU)
	}
}
