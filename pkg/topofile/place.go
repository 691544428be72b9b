package topofile

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/topology"
)

// place is a subnet to put an ENI in, and its address if one was given.
type place struct {
	subnet   *topology.Subnet
	ip, ipv6 netip.Addr
}

// placed finds the subnets that someone wants to be in: each once, and no two
// in one zone.
func (b *addresses) placed(who string, vpc *topology.VPC, want placements) []place {
	var out []place
	for _, p := range want.Items {
		subnet := refer(b.draft, who, p.Subnet, vpc.Subnet)
		if subnet == nil {
			continue
		}
		if clash := sameZone(out, subnet); clash != "" {
			b.problemOf("zones", p.Subnet.Node, "name one subnet for each zone",
				"%s: subnets %q and %q are both in zone %s", who, clash, subnet.Name, subnet.Zone)
			continue
		}
		b.address(who, p.IP, vpc, subnet)
		out = append(out, place{subnet, p.IP.V, b.givenIPv6(who, p.IPv6, vpc, subnet)})
	}
	return out
}

// nowhere says whether no subnet is named, be it wrong.
func (p placements) nowhere() bool {
	return len(p.Items) == 0 && (p.Node == nil || isNull(p.Node) || len(p.Node.Content) == 0)
}

func sameZone(places []place, subnet *topology.Subnet) string {
	for _, p := range places {
		if p.subnet.Zone == subnet.Zone && subnet.Zone != "" {
			return p.subnet.Name
		}
	}
	return ""
}

// eni is an interface whose address may not be known yet.
func (b *addresses) eni(kind, owner string, vpc *topology.VPC, p place) topology.ENI {
	return topology.ENI{
		Name:   owner + "@" + p.subnet.Zone,
		ID:     b.ids.ID("eni", kind+"/"+owner+"/"+p.subnet.Zone),
		VPC:    vpc.Name,
		Subnet: p.subnet.Name,
		Zone:   p.subnet.Zone,
		IP:     p.ip,
		IPv6:   p.ipv6,
	}
}

// dualStack says whether something that is in these places has IPv6 addresses
// beside those of IPv4, and notes a place that has none to give, and an address
// that nobody wants.
func (b *addresses) dualStack(who string, kind value[string], want placements, places []place) bool {
	if kind.V != "dualstack" {
		for _, p := range want.Items {
			if p.IPv6.given() && !kind.Bad {
				b.problem(p.IPv6.Node, "remove it, or write ip_address_type: dualstack",
					"%s has an ipv6 and is not dualstack", who)
			}
		}
		return false
	}
	for _, p := range places {
		if !p.subnet.IPv6CIDR.IsValid() && p.subnet.CIDR.IsValid() {
			b.problem(kind.Node, "write an ipv6_cidr in the subnet",
				"%s is dualstack, and subnet %q has no ipv6_cidr", who, p.subnet.Name)
		}
	}
	return true
}
