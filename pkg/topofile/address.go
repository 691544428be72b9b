package topofile

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// addresses knows which addresses of each VPC are taken and by what. It checks
// those that the file gives and chooses the others.
type addresses struct {
	*draft
	taken map[string]map[netip.Addr]string // by VPC: what has an address
}

// choose decides every address that the file leaves open, after all that it
// gives are taken.
func (b *addresses) choose() {
	for e, vpc := range pairs(b.raw.VPCs.Entries, b.plan.VPCs) {
		for i := range vpc.Subnets {
			vpc.Subnets[i].MAC = packet.MACOf(vpc.Subnets[i].Gateway)
		}
		instanceBuilder{b}.choose(vpc, e.Value.Instances.Entries)
	}
	loadBalancerBuilder{b}.choose()
	natGatewayBuilder{b}.choose()
	endpointBuilder{b}.choose()
	for i := range b.plan.VPCs {
		b.plan.VPCs[i].HealthSource = vpcBuilder{b}.healthSource(&b.plan.VPCs[i])
	}
	hostBuilder{b}.choose()
	serverGroupBuilder{b.draft}.choose()
}

// chosen is the address that something has in a subnet, or one that is free.
func (b *addresses) chosen(
	vpc *topology.VPC, subnet string, given netip.Addr, kind, name string, key *yaml.Node,
) netip.Addr {
	if given.IsValid() {
		return given
	}
	s := vpc.MustSubnet(subnet)
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
func (b *addresses) complete(eni *topology.ENI, vpc *topology.VPC, kind, owner string, key *yaml.Node) {
	eni.IP = b.chosen(vpc, eni.Subnet, eni.IP, kind, owner+"/"+eni.Zone, key)
	eni.MAC = packet.MACOf(eni.IP)
}

// completeIPv6 gives an ENI its IPv6 address.
func (b *addresses) completeIPv6(eni *topology.ENI, vpc *topology.VPC) {
	eni.IPv6 = b.chosenIPv6(vpc, vpc.MustSubnet(eni.Subnet), eni.IPv6, eni.IP, eni.Name)
}

func (b *addresses) fromShared(vpc *topology.VPC, key string) netip.Addr {
	taken := func(a netip.Addr) bool { return b.can.CloudBlock.Contains(a) || b.taken[vpc.Name][a] != "" }
	// The block has millions of addresses, and a file not as many nodes.
	addr, _ := derive.Address(b.can.SharedBlock, 1, 1, b.plan.Name+"/"+key, taken)
	b.take(vpc.Name, addr, key)
	return addr
}

// address checks an address that a user gave to something in a subnet, and
// takes it.
func (b *addresses) address(who string, ip value[netip.Addr], vpc *topology.VPC, subnet *topology.Subnet) {
	if !ip.given() {
		return
	}
	addr := ip.V
	switch {
	case vpc.CIDR.IsValid() && !vpc.Contains(addr):
		b.problem(ip.Node, b.whereIs(addr, vpc, subnet),
			"%s: ip %s is not in vpc %q (%s)", who, addr, vpc.Name, vpc.Blocks())
		return
	case subnet == nil || !subnet.CIDR.IsValid():
		return
	case !subnet.CIDR.Contains(addr):
		b.problem(ip.Node, b.whereIs(addr, vpc, subnet),
			"%s: ip %s is not in subnet %q (%s)", who, addr, subnet.Name, subnet.CIDR)
		return
	case addr == subnet.Gateway:
		b.problem(ip.Node, b.usable(subnet), "%s: ip %s is the gateway of subnet %q", who, addr, subnet.Name)
		return
	case b.reserved(subnet, addr):
		b.problem(ip.Node, b.usable(subnet),
			"%s: ip %s is reserved in subnet %q (%s)", who, addr, subnet.Name, subnet.CIDR)
		return
	}
	if other := b.taken[vpc.Name][addr]; other != "" {
		b.problem(ip.Node, "give one of them another address, or none: then one is chosen",
			"%s: ip %s is already that of %s", who, addr, other)
		return
	}
	b.take(vpc.Name, addr, who)
}

func (b *addresses) take(vpc string, addr netip.Addr, who string) {
	if b.taken[vpc] == nil {
		b.taken[vpc] = map[netip.Addr]string{}
	}
	b.taken[vpc][addr] = who
}

// reserved says whether the cloud keeps an address of the subnet for itself.
func (b *addresses) reserved(subnet *topology.Subnet, addr netip.Addr) bool {
	at := derive.Position(subnet.CIDR, addr)
	return at < b.can.LowReserve || at >= derive.Size(subnet.CIDR)-b.can.TopReserve
}

func (b *addresses) usable(subnet *topology.Subnet) string {
	first, last := derive.Nth(subnet.CIDR, b.can.LowReserve), derive.Nth(subnet.CIDR, -1-b.can.TopReserve)
	return fmt.Sprintf("%s to %s can be used", first, last)
}

// whereIs helps with an address that is outside: it names the subnet that the
// address is in, if there is one, and the addresses that would do.
func (b *addresses) whereIs(addr netip.Addr, vpc *topology.VPC, subnet *topology.Subnet) string {
	var hint string
	if subnet != nil && subnet.CIDR.IsValid() && holds(vpc, subnet.CIDR) {
		hint = fmt.Sprintf("in subnet %q, %s", subnet.Name, b.usable(subnet))
	}
	for i := range b.plan.VPCs {
		for _, s := range b.plan.VPCs[i].Subnets {
			if s.CIDR.IsValid() && s.CIDR.Contains(addr) {
				where := fmt.Sprintf("%s is in subnet %q of vpc %q", addr, s.Name, b.plan.VPCs[i].Name)
				if hint == "" {
					return where
				}
				return where + "; " + hint
			}
		}
	}
	return hint
}

// reservedIPv6 is how many addresses at the start of a subnet are kept, the
// gateway among them: Amazon VPC user guide, "Subnet CIDR blocks", the first
// four and the last one.
const reservedIPv6 = 4

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
func (b *addresses) givenIPv6(who string, v value[ipv6Addr], vpc *topology.VPC, subnet *topology.Subnet) netip.Addr {
	addr := netip.Addr(v.V)
	switch {
	case !v.given() || subnet == nil:
		return netip.Addr{}
	case !subnet.IPv6CIDR.IsValid():
		b.problem(v.Node, "write an ipv6_cidr in the subnet",
			"%s: ipv6 %s is in subnet %q, which has no ipv6_cidr", who, addr, subnet.Name)
		return netip.Addr{}
	case !subnet.IPv6CIDR.Contains(addr):
		b.problem(v.Node, usableIPv6In(subnet),
			"%s: ipv6 %s is not in subnet %q (%s)", who, addr, subnet.Name, subnet.IPv6CIDR)
		return netip.Addr{}
	case addr.Less(at(subnet.IPv6CIDR, reservedIPv6)) || addr == at(subnet.IPv6CIDR, ^uint64(0)):
		b.problem(v.Node, usableIPv6In(subnet),
			"%s: ipv6 %s is reserved in subnet %q (%s)", who, addr, subnet.Name, subnet.IPv6CIDR)
		return netip.Addr{}
	}
	if other := b.taken[vpc.Name][addr]; other != "" {
		b.problem(v.Node, "give one of them another address, or none: then one is chosen",
			"%s: ipv6 %s is already that of %s", who, addr, other)
		return netip.Addr{}
	}
	b.take(vpc.Name, addr, who)
	return addr
}

func usableIPv6In(subnet *topology.Subnet) string {
	first, last := at(subnet.IPv6CIDR, reservedIPv6), at(subnet.IPv6CIDR, ^uint64(1))
	return fmt.Sprintf("%s to %s can be used", first, last)
}

// chosenIPv6 is the IPv6 address that something has, or one that ends with its
// IPv4 address, which is unique in the subnet.
func (b *addresses) chosenIPv6(
	vpc *topology.VPC, subnet *topology.Subnet, given, ip netip.Addr, who string,
) netip.Addr {
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

func (v value[T]) at() (*yaml.Node, bool) { return v.Node, v.Bad }

func (s sequence[T]) at() (*yaml.Node, bool) { return s.Node, false }
