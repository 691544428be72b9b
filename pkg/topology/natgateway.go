package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/internal/spell"
)

// FreeNATPort chooses a port of a NAT IP for an entry that names none: the
// cloud takes a random one that is free (VPC API 2016-04-28,
// CreateFullNatEntry, NatIpPort), plinksim the first free one from a place
// that depends on the key alone. 0 where all are taken.
func FreeNATPort(key string, taken func(uint16) bool) uint16 {
	const first = 1024 // below are the well-known ports
	start := int(derive.Hash(key) % (65536 - first))
	for i := range 65536 - first {
		if port := uint16(first + (start+i)%(65536-first)); !taken(port) {
			return port
		}
	}
	return 0
}

// FreeNATIP chooses a NAT IP for a gateway of the plan: the first free one from
// a place that the number of those that it has decides. False where there is
// none.
func (p *Plan) FreeNATIP(g *NATGateway, taken func(netip.Addr) bool) (netip.Addr, bool) {
	low, top := g.reserve(p)
	return derive.Address(g.CIDR, low, top, fmt.Sprintf("%s/nat/%s/%d", p.Name, g.Name, len(g.NATIPs)),
		func(addr netip.Addr) bool {
			return p.addressOf(g.VPC, addr) != "" || taken(addr)
		})
}

// reserve is how many addresses at both ends of the NAT CIDR are kept: those
// of a subnet, none of a block of one's own.
func (g *NATGateway) reserve(p *Plan) (low, top int) {
	if vpc, err := p.VPC(g.VPC); err == nil && vpc.SubnetOf(g.CIDR.Addr()) != nil {
		return p.Profile.LowReserve, p.Profile.TopReserve
	}
	return 0, 0
}

// CheckNATIP says why a gateway of the plan cannot get a NAT IP: it is not in
// its NAT CIDR, it is reserved there, or something else has it.
func (p *Plan) CheckNATIP(g *NATGateway, addr netip.Addr) error {
	low, top := g.reserve(p)
	if !g.CIDR.Contains(addr) {
		return fmt.Errorf("%s is not in the NAT CIDR of NAT gateway %q (%s)", addr, g.Name, g.CIDR)
	}
	if at := derive.Position(g.CIDR, addr); at < low || at >= derive.Size(g.CIDR)-top {
		return fmt.Errorf("%s is reserved in %s", addr, g.CIDR)
	}
	if owner := p.addressOf(g.VPC, addr); owner != "" {
		return fmt.Errorf("%s is already that of %s", addr, owner)
	}
	for i := range p.NATGateways {
		if other := &p.NATGateways[i]; other.VPC == g.VPC && other.Name != g.Name && other.HasIP(addr) {
			return fmt.Errorf("%s is already that of NAT gateway %q", addr, other.Name)
		}
	}
	return nil
}

// addressOf names what has an address in a VPC, NAT IPs left out; "" where
// nothing has.
func (p *Plan) addressOf(name string, addr netip.Addr) string {
	vpc, err := p.VPC(name)
	if err != nil {
		return ""
	}
	for i := range vpc.Subnets {
		if vpc.Subnets[i].Gateway == addr {
			return fmt.Sprintf("the gateway of subnet %q", vpc.Subnets[i].Name)
		}
	}
	for i := range vpc.Instances {
		if vpc.Instances[i].IP == addr {
			return fmt.Sprintf("instance %q", vpc.Instances[i].Name)
		}
	}
	for _, eni := range p.ENIs() {
		if eni.VPC == name && eni.IP == addr {
			return fmt.Sprintf("ENI %q", eni.Name)
		}
	}
	for _, lb := range p.LoadBalancers {
		for i := range lb.Nodes {
			if n := &lb.Nodes[i]; lb.VPC == name && (n.IP() == addr || slices.Contains(n.Local, addr)) {
				return fmt.Sprintf("load balancer %q", lb.Name)
			}
		}
	}
	return ""
}

// EntryAt is the entry of the gateway that has an address, a port and a
// protocol, or nil.
func (g *NATGateway) EntryAt(ip netip.Addr, port uint16, protocol Protocol) *FullNATEntry {
	for i := range g.Entries {
		if e := &g.Entries[i]; e.NATIP == ip && e.NATPort == port && e.Protocol == protocol {
			return e
		}
	}
	return nil
}

// HasIP says whether addr is a NAT IP of the gateway, its own address among
// them.
func (g *NATGateway) HasIP(addr netip.Addr) bool { return slices.Contains(g.IPs(), addr) }

// IPs are the gateway's NAT IPs, its own address first.
func (g *NATGateway) IPs() []netip.Addr {
	var out []netip.Addr
	for _, ip := range g.NATIPs {
		if ip.IP.IsValid() { // the own one of an unfinished plan may not be
			out = append(out, ip.IP)
		}
	}
	return out
}

// OffersGateway says whether a NAT gateway is a resource of the service.
func (s *EndpointService) OffersGateway(name string) bool {
	return slices.ContainsFunc(s.Resources, func(r Resource) bool { return r.NATGateway == name })
}

// GatewayResource is the resource type of services that offer NAT gateways.
const GatewayResource = "nat_gateway"

// ResourceType is the type of all that the service can offer, as files name it: that of
// load balancers, or GatewayResource; "" where it has never offered anything.
func (s *EndpointService) ResourceType() string {
	if s.Reverse {
		return GatewayResource
	}
	return string(s.Type)
}

// ResourceType is that of a service which offers it, "" where it is not known.
func (o *Offer) ResourceType() string {
	if o.Kind == "NAT gateway" {
		return GatewayResource
	}
	return string(o.Type)
}

// Offers says whether a load balancer is a resource of the service.
func (s *EndpointService) Offers(balancer string) bool {
	return slices.ContainsFunc(s.Resources, func(r Resource) bool { return balancer != "" && r.LoadBalancer == balancer })
}

// Offer is what a service has as a resource: a load balancer or a NAT gateway.
type Offer struct {
	Name, VPC string
	Kind      string // load balancer or NAT gateway
	Type      LoadBalancerType
	Phrase    string // in a sentence: a clb, a NAT gateway; "" where it is not known
	Resources []Resource
}

// Offer finds what a service can offer by its name. The error is a
// *NotFoundError.
func (p *Plan) Offer(name string) (*Offer, error) {
	if lb, err := p.LoadBalancer(name); err == nil {
		out := &Offer{Name: name, VPC: lb.VPC, Kind: "load balancer", Type: lb.Type}
		switch lb.Type {
		case CLB:
			out.Phrase = "a clb"
		case NLB, ALB:
			out.Phrase = "an " + string(lb.Type)
		}
		for _, node := range lb.Nodes {
			out.Resources = append(out.Resources, Resource{LoadBalancer: name, Zone: node.Zone})
		}
		return out, nil
	}
	gw, err := p.NATGateway(name)
	if err == nil {
		out := &Offer{Name: name, VPC: gw.VPC, Kind: "NAT gateway", Phrase: "a NAT gateway"}
		if gw.ENI.Zone != "" {
			out.Resources = []Resource{{NATGateway: name, Zone: gw.ENI.Zone}}
		}
		return out, nil
	}
	if len(p.NATGateways) == 0 {
		_, err := p.LoadBalancer(name)
		return nil, err
	}
	known := spell.Names(p.LoadBalancers, func(l *LoadBalancer) string { return l.Name })
	known = append(known, spell.Names(p.NATGateways, func(g *NATGateway) string { return g.Name })...)
	return nil, &NotFoundError{"load balancer or NAT gateway", name, known}
}
