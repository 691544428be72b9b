package topology

import (
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Host is a machine that runs what a topology has in some zones.
type Host struct {
	Name    string
	Address netip.Addr // in the underlay
	Zones   []string   // each zone of the topology is on one host
}

// Underlay is the network between hosts. It carries each VPC in a VXLAN of its own.
type Underlay struct {
	MTU  int    // the longest IP packet that it carries
	Port uint16 // the UDP port of VXLAN on every host
}

// VXLANOverhead is what VXLAN adds to an IP packet of a VPC, in bytes: an Ethernet
// header, and headers of VXLAN, UDP and the underlay's IP (RFC 7348, 5).
func VXLANOverhead(underlay netip.Addr) int {
	if underlay.Is6() {
		return 14 + 8 + 8 + 40
	}
	return 14 + 8 + 8 + 20
}

// TransitDevice is the name of a VPC's VXLAN device. No user can give it to anything else.
const TransitDevice = "_vxlan"

// Transit is how a VPC on one host reaches what it has on the others: a VXLAN device in
// its namespace, with one neighbour for each other host. Nothing is learned, and nothing
// is flooded.
type Transit struct {
	VNI    int
	Device string
	Local  netip.Addr // this host, in the underlay
	Port   uint16
	IP     netip.Addr // of the device; hosts have different ones
	MAC    packet.MAC
	Source netip.Addr // what the router itself sends from: a gateway, IP where it has none here
	// IPv6Source is the same by IPv6, where the VPC has any; invalid where it has no gateway here.
	IPv6Source netip.Addr
	Peers      []TransitPeer
}

// TransitPeer is the same VPC on another host.
type TransitPeer struct {
	Host    string
	Address netip.Addr // in the underlay
	IP      netip.Addr
	IPv6    netip.Addr // of its device, a link-local one; invalid where the VPC has no IPv6
	MAC     packet.MAC
	Routes  []netip.Prefix // what is there: subnets, NAT IPs, the source of health checks
}

// Host finds a host by name. The error is a *NotFoundError.
func (p *Plan) Host(name string) (*Host, error) {
	return find("host", name, p.Hosts, func(h *Host) string { return h.Name })
}

// NamesOfHosts are the names of the hosts, in the order of the file.
func (p *Plan) NamesOfHosts() []string {
	return spell.Names(p.Hosts, func(h *Host) string { return h.Name })
}

// HostOf is the host of a zone, nil where no host has it.
func (p *Plan) HostOf(zone string) *Host {
	for i := range p.Hosts {
		if slices.Contains(p.Hosts[i].Zones, zone) {
			return &p.Hosts[i]
		}
	}
	return nil
}

// On is the slice of a plan that lies on one of its hosts: what is in the zones of the
// host, and each VPC as a router that reaches the rest. Names, services, accounts and
// server groups are everywhere. The error is a *NotFoundError.
func (p *Plan) On(name string) (*Plan, error) {
	host, err := p.Host(name)
	if err != nil {
		return nil, err
	}
	at := slices.Index(p.NamesOfHosts(), name)
	here := func(zone string) bool { return slices.Contains(host.Zones, zone) }
	out := *p
	out.OnHost = name
	out.VPCs = slices.Clone(p.VPCs)
	blind := map[string][2]bool{} // VPCs that nothing is probed from by IPv4, and by IPv6
	for i := range out.VPCs {
		vpc := &out.VPCs[i]
		vpc.Transit = p.transit(&p.VPCs[i], at)
		vpc.HealthSource = p.VPCs[i].HealthSources[at]
		vpc.Subnets = kept(vpc.Subnets, func(s *Subnet) bool { return here(s.Zone) })
		blind[vpc.Name] = [2]bool{!vpc.HealthSource.IsValid(), !vpc.IPv6HealthSource().IsValid()}
		vpc.Instances = kept(vpc.Instances, func(in *Instance) bool { return here(in.Zone) })
		vpc.SecurityGroups = withMembers(&p.VPCs[i], p)
	}
	out.ServerGroups = slices.Clone(p.ServerGroups)
	for i := range out.ServerGroups {
		g := &out.ServerGroups[i]
		if by := blind[g.VPC]; !g.IPv6 && by[0] || g.IPv6 && by[1] {
			g.HealthCheck.Protocol = NoProtocol
		}
	}
	out.LoadBalancers = slices.Clone(p.LoadBalancers)
	for i := range out.LoadBalancers {
		b := &out.LoadBalancers[i]
		b.Nodes = kept(b.Nodes, func(n *Node) bool { return here(n.Zone) })
	}
	out.NATGateways = kept(p.NATGateways, func(g *NATGateway) bool { return here(g.ENI.Zone) })
	out.Endpoints = slices.Clone(p.Endpoints)
	for i := range out.Endpoints {
		e := &out.Endpoints[i]
		e.Zones = kept(e.Zones, func(z *EndpointZone) bool { return here(z.Zone) })
	}
	return &out, nil
}

func kept[T any](all []T, keep func(*T) bool) (out []T) {
	for i := range all {
		if keep(&all[i]) {
			out = append(out, all[i])
		}
	}
	return out
}

// withMembers are the security groups of a VPC with a rule for each member, on whichever host
// that is, where a rule names a group.
func withMembers(vpc *VPC, p *Plan) []SecurityGroup {
	groups := p.Groups(vpc, spell.Names(vpc.SecurityGroups, func(g *SecurityGroup) string { return g.Name }))
	for i := range groups {
		groups[i].Ingress, groups[i].Egress = ungrouped(groups[i].Ingress), ungrouped(groups[i].Egress)
	}
	return groups
}

// ungrouped are rules that have their peers already.
func ungrouped(rules []Rule) []Rule {
	out := slices.Clone(rules)
	for i := range out {
		out[i].Group = ""
	}
	return out
}

// transit is that of a VPC of the whole plan on a host.
func (p *Plan) transit(vpc *VPC, at int) *Transit {
	t := &Transit{
		VNI: vpc.VNI, Device: TransitDevice, Local: p.Hosts[at].Address, Port: p.Underlay.Port, IP: transitIP(at),
	}
	t.MAC, t.Source = packet.MACOf(t.IP), t.IP
	for i := range vpc.Subnets {
		if slices.Contains(p.Hosts[at].Zones, vpc.Subnets[i].Zone) {
			t.Source = vpc.Subnets[i].Gateway
			break
		}
	}
	t.IPv6Source = p.ipv6Prober(vpc, &p.Hosts[at])
	for i := range p.Hosts {
		if i == at {
			continue
		}
		peer := TransitPeer{
			Host: p.Hosts[i].Name, Address: p.Hosts[i].Address, IP: transitIP(i),
			Routes: p.routesTo(vpc, &p.Hosts[i], vpc.HealthSources[i]),
		}
		peer.MAC = packet.MACOf(peer.IP)
		if vpc.IPv6CIDR.IsValid() {
			peer.IPv6 = transitIPv6(i)
		}
		t.Peers = append(t.Peers, peer)
	}
	return t
}

// routesTo are what a VPC has on a host.
func (p *Plan) routesTo(vpc *VPC, host *Host, probes netip.Addr) (routes []netip.Prefix) {
	for i := range vpc.Subnets {
		if sub := &vpc.Subnets[i]; slices.Contains(host.Zones, sub.Zone) {
			routes = append(routes, sub.CIDR)
			if sub.IPv6CIDR.IsValid() {
				routes = append(routes, sub.IPv6CIDR)
			}
			routes = append(routes, p.NATBlocks(vpc, sub)...)
		}
	}
	if probes.IsValid() && !slices.ContainsFunc(routes, func(r netip.Prefix) bool { return r.Contains(probes) }) {
		routes = append(routes, netip.PrefixFrom(probes, probes.BitLen()))
	}
	return routes
}

// MaxHosts is how many hosts a topology can have.
const MaxHosts = 250

// transitIP is the address of VXLAN devices on a host. It is of 169.254.239.0/24, which no
// VPC has.
func transitIP(at int) netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 239, byte(at + 1)}) }

// transitIPv6 is the link-local address that VXLAN devices of a host have for the others (RFC 4291, 2.5.6). The
// number of the host is in it, as it is in transitIP.
func transitIPv6(at int) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 13: 239, 15: byte(at + 1)})
}

// ipv6Prober is where health checks by IPv6 come from on a host: the first gateway there. It is not valid where the
// VPC has none there.
func (p *Plan) ipv6Prober(vpc *VPC, host *Host) netip.Addr {
	for i := range vpc.Subnets {
		sub := &vpc.Subnets[i]
		if slices.Contains(host.Zones, sub.Zone) && sub.IPv6Gateway.IsValid() {
			return sub.IPv6Gateway
		}
	}
	return netip.Addr{}
}

// IPv6Probers are the addresses from which health checks of a VPC come by IPv6, on all hosts.
func (p *Plan) IPv6Probers(vpc *VPC) (all []netip.Addr) {
	if len(p.Hosts) == 0 {
		return []netip.Addr{vpc.IPv6HealthSource()}
	}
	for i := range p.Hosts {
		if source := p.ipv6Prober(vpc, &p.Hosts[i]); source.IsValid() {
			all = append(all, source)
		}
	}
	return all
}

// Probers are the addresses from which health checks come, on all hosts.
func (v *VPC) Probers() (all []netip.Addr) {
	for _, source := range append([]netip.Addr{v.HealthSource}, v.HealthSources...) {
		if source.IsValid() && !slices.Contains(all, source) {
			all = append(all, source)
		}
	}
	return all
}
