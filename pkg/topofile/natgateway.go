package topofile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// natGateways builds the gateways without their entries, which refer to
// endpoints, which refer to services, which offer gateways.
func (b *builder) natGateways() {
	for i := range b.raw.NATGateways.Entries {
		e := &b.raw.NATGateways.Entries[i]
		b.object("NAT gateway", e.Name, func() { b.natGateway(e) })
	}
}

func (b *builder) natGateway(e *entry[rawNATGateway]) {
	who := fmt.Sprintf("NAT gateway %q", e.Name)
	gw := topology.NATGateway{
		Name:    e.Name,
		ID:      b.ids.ID("ngw", e.Name),
		TableID: b.ids.ID("fulltb", e.Name),
		Type:    e.Value.Type.V,
		VPC:     e.Value.VPC.V,
		Subnet:  e.Value.Subnet.V,
	}
	if !b.can.FullNAT {
		b.problem(e.Key, "write cloud: alibaba", "%s: cloud %s has no NAT gateways of type FullNat", who, b.plan.Cloud)
	}
	if _, err := b.plan.LoadBalancer(e.Name); err == nil {
		// A service would not know which of them it offers.
		b.problem(e.Key, "give one of them another name", "%s has the name of a load balancer", who)
	}
	vpc := refer(b, who, e.Value.VPC, b.plan.VPC)
	if vpc == nil {
		b.plan.NATGateways = append(b.plan.NATGateways, gw)
		return
	}
	gw.Account = vpc.Account
	if subnet := refer(b, who, e.Value.Subnet, vpc.Subnet); subnet != nil {
		b.address(who, e.Value.IP, vpc, subnet)
		gw.ENI = b.eni("nat", e.Name, vpc, place{subnet: subnet, ip: e.Value.IP.V})
		gw.CIDR = b.natCIDR(who, e.Value.NATCIDR, vpc, subnet)
		gw.NATIPs = []topology.NATIP{{ID: b.ids.ID("vpcnatip", e.Name), IP: e.Value.IP.V}}
		for _, ip := range e.Value.NATIPs.Items {
			b.natIP(who, ip, &gw, vpc, subnet)
		}
	}
	b.plan.NATGateways = append(b.plan.NATGateways, gw)
}

// natBlocks are where a NAT CIDR of one's own may be: Alibaba Cloud VPC API
// 2016-04-28, CreateNatIpCidr.
var natBlocks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// natCIDR is the block of the gateway's NAT IPs: that of its subnet, or one
// outside of the VPC.
func (b *builder) natCIDR(who string, v value[netip.Prefix], vpc *topology.VPC, subnet *topology.Subnet) netip.Prefix {
	if !v.given() {
		return subnet.CIDR
	}
	cidr := b.network(who, "nat_cidr", v)
	switch {
	case cidr == subnet.CIDR, !subnet.CIDR.IsValid(), !vpc.CIDR.IsValid():
	case cidr.Overlaps(vpc.CIDR):
		b.problem(v.Node, fmt.Sprintf("leave it out for that of the subnet, %s, or write a block outside of the vpc", subnet.CIDR),
			"%s: nat_cidr %s overlaps vpc %q (%s)", who, cidr, vpc.Name, vpc.CIDR)
	case cidr.Bits() < 16 || !slices.ContainsFunc(natBlocks, func(n netip.Prefix) bool { return derive.Contains(n, cidr) }):
		b.problem(v.Node, "use a block of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 with a mask from /16 to /32",
			"%s cannot have the nat_cidr %s", who, cidr)
	}
	for _, other := range b.plan.NATGateways {
		if other.VPC == vpc.Name && other.CIDR.IsValid() && cidr != subnet.CIDR && cidr.Overlaps(other.CIDR) {
			b.problem(v.Node, "the VPC has one route to it: give one of them another block", "%s: nat_cidr %s overlaps that of NAT gateway %q (%s)", who, cidr, other.Name, other.CIDR)
		}
	}
	return cidr
}

func (b *builder) natIP(who string, ip value[netip.Addr], gw *topology.NATGateway, vpc *topology.VPC, subnet *topology.Subnet) {
	if !ip.given() || !gw.CIDR.IsValid() {
		return
	}
	switch other := b.taken[vpc.Name][ip.V]; {
	case !gw.CIDR.Contains(ip.V):
		b.problem(ip.Node, fmt.Sprintf("write an address of %s", gw.CIDR), "%s: nat ip %s is not in its NAT CIDR %s", who, ip.V, gw.CIDR)
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

// fullNAT builds the entries of all gateways.
func (b *builder) fullNAT() {
	for i := range b.raw.NATGateways.Entries {
		e, gw := &b.raw.NATGateways.Entries[i], &b.plan.NATGateways[i]
		for j := range e.Value.FullNAT.Entries {
			b.fullNATEntry(&e.Value.FullNAT.Entries[j], gw)
		}
		// A port that the file names comes before one that is chosen.
		for j := range gw.Entries {
			entry := &gw.Entries[j]
			if entry.NATPort == 0 && !e.Value.FullNAT.Entries[j].Value.NATPort.Bad {
				entry.NATPort = topology.FreeNATPort(b.plan.Name+"/"+gw.Name+"/"+entry.Name, func(port uint16) bool {
					return gw.EntryAt(entry.NATIP, port, entry.Protocol) != nil
				})
			}
		}
	}
}

func (b *builder) fullNATEntry(e *entry[rawFullNATEntry], gw *topology.NATGateway) {
	who := fmt.Sprintf("FullNAT entry %q", e.Name)
	out := topology.FullNATEntry{
		Name:       e.Name,
		ID:         b.ids.ID("fullnat", gw.Name+"/"+e.Name),
		NATIP:      e.Value.NATIP.V,
		NATPort:    uint16(e.Value.NATPort.V),
		Protocol:   topology.Protocol(e.Value.Protocol.or(string(topology.TCP))),
		AccessIP:   e.Value.AccessIP.V,
		AccessPort: uint16(e.Value.AccessPort.V),
		Domain:     e.Value.Domain.V,
	}
	b.natSide(who, e, gw, &out)
	if ep := b.reverseEndpoint(who, e.Value.Endpoint, gw, &out); ep != nil {
		b.accessSide(who, e.Value.AccessIP, ep)
	}
	gw.Entries = append(gw.Entries, out)
}

// natSide checks where the provider's instances connect to.
func (b *builder) natSide(who string, e *entry[rawFullNATEntry], gw *topology.NATGateway, out *topology.FullNATEntry) {
	v := &e.Value
	if v.NATIP.given() && !b.bad["NAT gateway "+gw.Name] && !gw.HasIP(v.NATIP.V) {
		var known []string
		for _, ip := range gw.IPs() {
			known = append(known, ip.String())
		}
		b.problem(v.NATIP.Node, fmt.Sprintf("add it to nat_ips; there is %s", spell.List(known)), "%s: %s is not a NAT IP of NAT gateway %q", who, v.NATIP.V, gw.Name)
	}
	if v.NATIP.given() && v.NATPort.given() && !v.Protocol.Bad {
		if other := gw.EntryAt(out.NATIP, out.NATPort, out.Protocol); other != nil {
			b.problem(v.NATPort.Node, "give one of them another nat_ip or nat_port",
				"%s: %s port %d of %s already is that of FullNAT entry %q", who, out.Protocol, out.NATPort, out.NATIP, other.Name)
		}
	}
	if !v.Domain.given() {
		return
	}
	if !topology.IsHostName(v.Domain.V) {
		b.problem(v.Domain.Node, "write a domain name such as mysql1.com", "%s: %q is not a domain name", who, v.Domain.V)
	}
	for i := range b.plan.NATGateways {
		for _, other := range b.plan.NATGateways[i].Entries {
			if b.plan.NATGateways[i].VPC == gw.VPC && other.Domain == out.Domain && other.NATIP != out.NATIP && v.NATIP.given() {
				b.problem(v.Domain.Node, "give one of them another domain, or both the same nat_ip",
					"%s: %s already leads to %s, by FullNAT entry %q", who, out.Domain, other.NATIP, other.Name)
			}
		}
	}
}

// reverseEndpoint finds the endpoint that an entry leads through: one of a
// service that offers the gateway, in one zone.
func (b *builder) reverseEndpoint(who string, ref value[string], gw *topology.NATGateway, out *topology.FullNATEntry) *topology.Endpoint {
	name, zone, zoned := strings.Cut(ref.V, "@")
	ref.V = name
	ep := refer(b, who, ref, b.plan.Endpoint)
	if ep == nil {
		return nil
	}
	out.Endpoint = name
	if b.bad["endpoint "+ep.Name] || b.bad["NAT gateway "+gw.Name] || len(ep.Zones) == 0 {
		return nil
	}
	service, err := b.plan.Service(ep.Service)
	if err != nil || b.bad["endpoint service "+service.Name] {
		return nil
	}
	if !service.OffersGateway(gw.Name) {
		b.problem(ref.Node, fmt.Sprintf("name an endpoint of a service with resources: [%s]", gw.Name),
			"%s: endpoint %q leads to endpoint service %q, not to NAT gateway %q", who, ep.Name, service.Name, gw.Name)
		return nil
	}
	if !zoned && len(ep.Zones) > 1 {
		b.problem(ref.Node, "write "+spell.Either(spell.Names(ep.Zones, func(z *topology.EndpointZone) string { return z.ENI.Name })), "%s: endpoint %q has several ENIs", who, ep.Name)
		return nil
	}
	if !zoned {
		zone = ep.Zones[0].Zone
	}
	if _, err := ep.Zone(zone); err != nil {
		b.problem(ref.Node, "write "+spell.Either(spell.Names(ep.Zones, func(z *topology.EndpointZone) string { return z.ENI.Name })), "%s: endpoint %q is not in zone %s", who, ep.Name, zone)
		return nil
	}
	out.Zone = zone
	return ep
}

// accessSide checks where an entry leads to: an address of the endpoint's VPC.
func (b *builder) accessSide(who string, ip value[netip.Addr], ep *topology.Endpoint) {
	vpc, err := b.plan.VPC(ep.VPC)
	if err != nil || !ip.given() || !vpc.CIDR.IsValid() {
		return
	}
	if vpc.SubnetOf(ip.V) == nil {
		b.problem(ip.Node, fmt.Sprintf("write an address of a subnet of vpc %q", vpc.Name), "%s: access_ip %s is in no subnet of vpc %q (%s), where endpoint %q is", who, ip.V, vpc.Name, vpc.CIDR, ep.Name)
		return
	}
	for _, in := range vpc.Instances {
		if in.IP == ip.V {
			return
		}
	}
	b.warn(ip.Node, "give an instance this ip", "%s: no instance of vpc %q has the ip %s", who, vpc.Name, ip.V)
}
