package topofile

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// fullNATBuilder builds the FullNAT entries of all gateways.
type fullNATBuilder struct{ *draft }

func (b fullNATBuilder) build() {
	for i := range b.raw.NATGateways.Entries {
		e, gw := &b.raw.NATGateways.Entries[i], &b.plan.NATGateways[i]
		for j := range e.Value.FullNAT.Entries {
			b.entry(&e.Value.FullNAT.Entries[j], gw)
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

func (b fullNATBuilder) entry(e *entry[rawFullNATEntry], gw *topology.NATGateway) {
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
func (b fullNATBuilder) natSide(
	who string, e *entry[rawFullNATEntry], gw *topology.NATGateway, out *topology.FullNATEntry,
) {
	v := &e.Value
	if v.NATIP.given() && !b.bad["NAT gateway "+gw.Name] && !gw.HasIP(v.NATIP.V) {
		var known []string
		for _, ip := range gw.IPs() {
			known = append(known, ip.String())
		}
		b.problem(v.NATIP.Node, fmt.Sprintf("add it to nat_ips; there is %s", spell.List(known)),
			"%s: %s is not a NAT IP of NAT gateway %q", who, v.NATIP.V, gw.Name)
	}
	if v.NATIP.given() && v.NATPort.given() && !v.Protocol.Bad {
		if other := gw.EntryAt(out.NATIP, out.NATPort, out.Protocol); other != nil {
			b.problem(v.NATPort.Node, "give one of them another nat_ip or nat_port",
				"%s: %s port %d of %s already is that of FullNAT entry %q",
				who, out.Protocol, out.NATPort, out.NATIP, other.Name)
		}
	}
	if !v.Domain.given() {
		return
	}
	if !topology.IsHostName(v.Domain.V) {
		b.problem(v.Domain.Node, "write a domain name such as mysql1.com",
			"%s: %q is not a domain name", who, v.Domain.V)
	}
	for i := range b.plan.NATGateways {
		for _, other := range b.plan.NATGateways[i].Entries {
			if b.plan.NATGateways[i].VPC == gw.VPC && other.Domain == out.Domain && other.NATIP != out.NATIP &&
				v.NATIP.given() {
				b.problem(v.Domain.Node, "give one of them another domain, or both the same nat_ip",
					"%s: %s already leads to %s, by FullNAT entry %q", who, out.Domain, other.NATIP, other.Name)
			}
		}
	}
}

// reverseEndpoint finds the endpoint that an entry leads through: one of a
// service that offers the gateway, in one zone.
func (b fullNATBuilder) reverseEndpoint(
	who string, ref value[string], gw *topology.NATGateway, out *topology.FullNATEntry,
) *topology.Endpoint {
	name, zone, zoned := strings.Cut(ref.V, "@")
	ref.V = name
	ep := refer(b.draft, who, ref, b.plan.Endpoint)
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
	hint := "write " + spell.Either(spell.Names(ep.Zones, func(z *topology.EndpointZone) string { return z.ENI.Name }))
	if !zoned && len(ep.Zones) > 1 {
		b.problem(ref.Node, hint, "%s: endpoint %q has several ENIs", who, ep.Name)
		return nil
	}
	if !zoned {
		zone = ep.Zones[0].Zone
	}
	if _, err := ep.Zone(zone); err != nil {
		b.problem(ref.Node, hint, "%s: endpoint %q is not in zone %s", who, ep.Name, zone)
		return nil
	}
	out.Zone = zone
	return ep
}

// accessSide checks where an entry leads to: an address of the endpoint's VPC.
func (b fullNATBuilder) accessSide(who string, ip value[netip.Addr], ep *topology.Endpoint) {
	vpc, err := b.plan.VPC(ep.VPC)
	if err != nil || !ip.given() || !vpc.CIDR.IsValid() {
		return
	}
	if vpc.SubnetOf(ip.V) == nil {
		b.problem(ip.Node, fmt.Sprintf("write an address of a subnet of vpc %q", vpc.Name),
			"%s: access_ip %s is in no subnet of vpc %q (%s), where endpoint %q is",
			who, ip.V, vpc.Name, vpc.Blocks(), ep.Name)
		return
	}
	for _, in := range vpc.Instances {
		if in.IP == ip.V {
			return
		}
	}
	b.warn(ip.Node, "give an instance this ip", "%s: no instance of vpc %q has the ip %s", who, vpc.Name, ip.V)
}
