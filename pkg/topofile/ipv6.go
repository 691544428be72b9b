package topofile

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
)

// ipv6Addr, ipv6Block and anyBlock are read as what they say; netip.Addr and
// netip.Prefix are of IPv4 in a file.
type (
	ipv6Addr  netip.Addr
	ipv6Block netip.Prefix
	anyBlock  netip.Prefix
)

func parseIPv6Addr(text string, v *ipv6Addr) (hint string, err error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
		return "write an address such as 2001:db8:1::10", fmt.Errorf("is %q, not an IPv6 address", text)
	}
	*v = ipv6Addr(addr)
	return "", nil
}

func parseIPv6Block(text string, v *ipv6Block) (hint string, err error) {
	block, err := netip.ParsePrefix(text)
	if err != nil || !block.Addr().Is6() || block.Addr().Is4In6() {
		return "write an address, a slash and a mask, such as 2001:db8:1::/64", fmt.Errorf("is %q, not an IPv6 CIDR block", text)
	}
	*v = ipv6Block(block)
	return "", nil
}

func parseAnyBlock(text string, v *anyBlock) (hint string, err error) {
	if block, err := netip.ParsePrefix(text); err == nil && block.Addr().Is6() && !block.Addr().Is4In6() {
		*v = anyBlock(block)
		return "", nil
	}
	return parsePrefix(text, (*netip.Prefix)(v))
}

// prefix is a value that can be read as a block of either version.
func prefix[T ipv6Block | anyBlock](v value[T]) value[netip.Prefix] {
	return value[netip.Prefix]{V: netip.Prefix(v.V), Node: v.Node, Bad: v.Bad}
}

// Addresses that networks use: global ones (RFC 4291, 2.5.4) and unique local
// ones (RFC 4193, 3.1).
var usableIPv6 = []netip.Prefix{netip.MustParsePrefix("2000::/3"), netip.MustParsePrefix("fc00::/7")}

// Masks of IPv6 blocks. Amazon VPC user guide, "VPC CIDR blocks": /44 to /60 for
// a VPC; at Alibaba Cloud a VPC has /56 (VPC API 2016-04-28, CreateVpc). A subnet
// has /64 at AWS and Alibaba Cloud.
const (
	widestIPv6    = 44
	narrowestIPv6 = 60
	subnetIPv6    = 64
)

// reservedIPv6 is how many addresses at the start of a subnet nobody gets, the
// gateway among them: Amazon VPC user guide, "Subnet CIDR blocks", the first
// four and the last one.
const reservedIPv6 = 4

// vpcIPv6 checks the IPv6 block of a VPC.
func (b *builder) vpcIPv6(who string, v value[ipv6Block]) netip.Prefix {
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
		b.problem(v.Node, "use a block of 2000::/3 or fc00::/7, such as 2001:db8:1::/56", "%s: ipv6_cidr %s is not for networks", who, block)
	case block.Bits() < widestIPv6 || block.Bits() > narrowestIPv6:
		b.problem(v.Node, fmt.Sprintf("use a mask from /%d to /%d, such as /56", widestIPv6, narrowestIPv6), "%s: ipv6_cidr %s has a mask that no vpc has", who, block)
	default:
		return block
	}
	return netip.Prefix{}
}

// subnetIPv6 checks the IPv6 block of a subnet and gives it a gateway.
func (b *builder) subnetIPv6(who string, vpc *topology.VPC, subnet *topology.Subnet, v value[ipv6Block]) {
	block := b.network(who, "ipv6_cidr", prefix(v))
	switch {
	case !block.IsValid():
		return
	case !vpc.IPv6CIDR.IsValid():
		if b.wroteIPv6(vpc.Name) {
			return // something was said about it
		}
		b.problem(v.Node, fmt.Sprintf("write ipv6_cidr: %s in vpc %s", netip.PrefixFrom(block.Addr(), 56).Masked(), vpc.Name), "%s has an ipv6_cidr, and vpc %q has none", who, vpc.Name)
		return
	case block.Bits() != subnetIPv6:
		b.problem(v.Node, "use a mask of /64", "%s: ipv6_cidr %s has a mask that no subnet has", who, block)
		return
	case !derive.Contains(vpc.IPv6CIDR, block):
		b.problem(v.Node, fmt.Sprintf("give the subnet a part of %s", vpc.IPv6CIDR), "%s: ipv6_cidr %s is not inside vpc %q (%s)", who, block, vpc.Name, vpc.IPv6CIDR)
		return
	}
	for _, other := range vpc.Subnets {
		if other.IPv6CIDR == block {
			b.problem(v.Node, "subnets of one vpc must not overlap", "%s: ipv6_cidr %s is that of subnet %q", who, block, other.Name)
			return
		}
	}
	subnet.IPv6CIDR, subnet.IPv6Gateway = block, at(block, 1)
}

func (b *builder) wroteIPv6(vpc string) bool {
	for _, e := range b.raw.VPCs.Entries {
		if e.Name == vpc {
			return e.Value.IPv6CIDR.given() || e.Value.IPv6CIDR.Bad
		}
	}
	return false
}

// at is the address of a /64 with a number.
func at(block netip.Prefix, n uint64) netip.Addr {
	a := block.Masked().Addr().As16()
	for i := 15; i >= 8; i-- {
		a[i], n = byte(n), n>>8
	}
	return netip.AddrFrom16(a)
}

// givenIPv6 checks an IPv6 address that a user gave to something in a subnet,
// and takes it.
func (b *builder) givenIPv6(who string, v value[ipv6Addr], vpc *topology.VPC, subnet *topology.Subnet) netip.Addr {
	addr := netip.Addr(v.V)
	switch {
	case !v.given() || subnet == nil:
		return netip.Addr{}
	case !subnet.IPv6CIDR.IsValid():
		b.problem(v.Node, "write an ipv6_cidr in the subnet", "%s: ipv6 %s is in subnet %q, which has no ipv6_cidr", who, addr, subnet.Name)
		return netip.Addr{}
	case !subnet.IPv6CIDR.Contains(addr):
		b.problem(v.Node, fmt.Sprintf("%s to %s can be used", at(subnet.IPv6CIDR, reservedIPv6), at(subnet.IPv6CIDR, ^uint64(1))), "%s: ipv6 %s is not in subnet %q (%s)", who, addr, subnet.Name, subnet.IPv6CIDR)
		return netip.Addr{}
	case addr.Less(at(subnet.IPv6CIDR, reservedIPv6)) || addr == at(subnet.IPv6CIDR, ^uint64(0)):
		b.problem(v.Node, fmt.Sprintf("%s to %s can be used", at(subnet.IPv6CIDR, reservedIPv6), at(subnet.IPv6CIDR, ^uint64(1))), "%s: ipv6 %s is reserved in subnet %q (%s)", who, addr, subnet.Name, subnet.IPv6CIDR)
		return netip.Addr{}
	}
	if other := b.taken[vpc.Name][addr]; other != "" {
		b.problem(v.Node, "give one of them another address, or none: then one is chosen", "%s: ipv6 %s is already that of %s", who, addr, other)
		return netip.Addr{}
	}
	b.take(vpc.Name, addr, who)
	return addr
}

// chosenIPv6 is the IPv6 address that something has, or one that ends with its
// IPv4 address, which nobody else has in the subnet.
func (b *builder) chosenIPv6(vpc *topology.VPC, subnet *topology.Subnet, given, ip netip.Addr, who string) netip.Addr {
	if given.IsValid() || !subnet.IPv6CIDR.IsValid() {
		return given
	}
	four := ip.As4()
	n := uint64(four[0])<<24 | uint64(four[1])<<16 | uint64(four[2])<<8 | uint64(four[3])
	addr := at(subnet.IPv6CIDR, n)
	for b.taken[vpc.Name][addr] != "" {
		n += 1 << 32
		addr = at(subnet.IPv6CIDR, n)
	}
	b.take(vpc.Name, addr, who)
	return addr
}

// dualStack says whether something that is in these places has IPv6 addresses
// beside those of IPv4, and notes a place that has none to give, and an address
// that nobody wants.
func (b *builder) dualStack(who string, kind value[string], want placements, places []place) bool {
	if kind.V != "dualstack" {
		for _, p := range want.Items {
			if p.IPv6.given() && !kind.Bad {
				b.problem(p.IPv6.Node, "remove it, or write ip_address_type: dualstack", "%s has an ipv6 and is not dualstack", who)
			}
		}
		return false
	}
	for _, p := range places {
		if !p.subnet.IPv6CIDR.IsValid() && p.subnet.CIDR.IsValid() {
			b.problem(kind.Node, "write an ipv6_cidr in the subnet", "%s is dualstack, and subnet %q has no ipv6_cidr", who, p.subnet.Name)
		}
	}
	return true
}

// reachable notes servers that a load balancer has no NAT IP to reach.
func (b *builder) reachable(who string, lb *topology.LoadBalancer, l topology.Listener, group *topology.ServerGroup, node *yaml.Node) {
	switch {
	case group.IPv6 && !lb.DualStack:
		b.problem(node, "write ip_address_type: dualstack in it", "%s leads to server group %q, whose servers have IPv6, and is not dualstack", who, group.Name)
	case lb.DualStack && l.Protocol == topology.UDP && !group.IPv6 && b.can.IPv6ServersOfUDP:
		b.problem(node, "use a server group with ip_address_type: ipv6", "%s is dualstack, and a udp listener of it needs servers with IPv6", who)
	}
}

// sameType notes an endpoint that is dualstack where its service is not: AWS
// PrivateLink guide, "Create a service powered by AWS PrivateLink", wants
// load balancers that are.
func (b *builder) sameType(who string, kind value[string], service *topology.EndpointService) {
	if service.Reverse {
		b.problem(kind.Node, "remove it", "%s is a reverse endpoint, and those have IPv4 alone", who)
		return
	}
	for _, r := range service.Resources {
		lb, err := b.plan.LoadBalancer(r.LoadBalancer)
		if err == nil && !lb.DualStack && !b.bad["load balancer "+lb.Name] {
			b.problem(kind.Node, fmt.Sprintf("write ip_address_type: dualstack in load balancer %s, or leave it out here", lb.Name), "%s is dualstack, and load balancer %q of endpoint service %q is not", who, lb.Name, service.Name)
			return
		}
	}
}
