package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Health is what the answers of the resolvers depend on beside the plan and
// the control plane.
type Health struct {
	Servers   func(group string) []lb.ServerHealth // empty of a group that does not run
	ZonesDown map[string]bool
}

// nameServer is what SOA and NS records call the resolver of a VPC.
const nameServer = "ns.internal"

// Names decides what every VPC's resolver should answer. The names of
// endpoints and public zones are the same in every VPC; the names of instances
// and private zones are known in their own VPCs alone, and hide what is public
// below their domains. It is pure, as Plan is.
func Names(plan *topology.Plan, state control.Snapshot, health Health) map[string]dns.Config {
	n := namer{plan: plan, state: state, health: health}
	for _, ep := range plan.Endpoints {
		n.endpoints = append(n.endpoints, n.endpoint(ep)...)
	}
	out := map[string]dns.Config{}
	for _, vpc := range plan.VPCs {
		out[vpc.Name] = n.resolver(vpc)
	}
	return out
}

type namer struct {
	plan   *topology.Plan
	state  control.Snapshot
	health Health

	endpoints []dns.Name
}

func (n *namer) resolver(vpc topology.VPC) dns.Config {
	cfg := dns.Config{TTL: n.plan.Profile.NameTTL, Host: nameServer}
	for _, subnet := range vpc.Subnets {
		cfg.Subnets = append(cfg.Subnets, dns.Subnet{Prefix: subnet.CIDR, Zone: subnet.Zone})
	}
	own := dns.Name{FQDN: nameServer}
	for _, addr := range vpc.Resolvers {
		own.Addrs = append(own.Addrs, dns.Address{IP: addr, Up: true})
	}
	cfg.Names = append(cfg.Names, own)
	for _, instance := range vpc.Instances {
		cfg.Names = append(cfg.Names, dns.Name{
			FQDN:  instance.DNSName,
			Addrs: instanceAddrs(&instance),
		})
	}
	if len(vpc.Instances) > 0 {
		cfg.Zones = append(cfg.Zones, parent(vpc.Instances[0].DNSName))
	}
	// After the VPC's own: where an address is known twice, because another
	// VPC has it too, it is the instance here that a reverse look-up means.
	n.addZones(&cfg, vpc.Name)
	return cfg
}

func instanceAddrs(in *topology.Instance) []dns.Address {
	addrs := []dns.Address{{IP: in.IP, Zone: in.Zone, Up: true}}
	if in.IPv6.IsValid() {
		addrs = append(addrs, dns.Address{IP: in.IPv6, Zone: in.Zone, Up: true})
	}
	return addrs
}

// addZones adds what is not of the VPC's own making.
func (n *namer) addZones(cfg *dns.Config, vpc string) {
	private := n.privateDomains(vpc)
	hidden := func(name string) bool {
		return slices.ContainsFunc(private, func(domain string) bool { return topology.Within(name, domain) })
	}
	public := slices.DeleteFunc(n.publicDomains(), hidden)
	cfg.Zones = append(cfg.Zones, private...)
	cfg.Zones = append(cfg.Zones, public...)
	for _, name := range n.endpoints {
		if !hidden(name.FQDN) {
			cfg.Names = append(cfg.Names, name)
		}
	}
	if n.plan.Profile.ServiceNames {
		cfg.Names = append(cfg.Names, n.serviceNames(vpc, hidden)...)
	}
	cfg.Names = append(cfg.Names, n.privateNames(vpc)...)
	for _, zone := range n.plan.DNSZones {
		domains := public
		if slices.Contains(zone.VPCs, vpc) {
			domains = private
		} else if !zone.Public {
			continue
		}
		for _, r := range zone.Records {
			// A zone has no say below another one that is closer.
			if closest(r.Name, domains) == zone.Domain && !(zone.Public && hidden(r.Name)) {
				cfg.Names = append(cfg.Names, n.record(zone, r))
			}
		}
	}
}

// privateDomains are the domains that a VPC has for itself.
func (n *namer) privateDomains(vpc string) (domains []string) {
	for _, zone := range n.plan.DNSZones {
		if slices.Contains(zone.VPCs, vpc) {
			domains = append(domains, zone.Domain)
		}
	}
	for _, ep := range n.plan.Endpoints {
		if p := n.privateName(ep); p != nil && ep.VPC == vpc {
			domains = append(domains, p.Domain())
		}
	}
	return domains
}

func (n *namer) publicDomains() (domains []string) {
	for _, svc := range n.plan.Services {
		domains = append(domains, svc.Domain)
	}
	for _, zone := range n.plan.DNSZones {
		if zone.Public && !slices.Contains(domains, zone.Domain) {
			domains = append(domains, zone.Domain)
		}
	}
	return domains
}

func closest(name string, domains []string) (found string) {
	for _, domain := range domains {
		if topology.Within(name, domain) && len(domain) > len(found) {
			found = domain
		}
	}
	return found
}

func (n *namer) record(zone topology.DNSZone, r topology.Record) dns.Name {
	name := dns.Name{FQDN: r.Name, TTL: zone.TTL, CNAME: r.CNAME, TXT: r.TXT, Alias: true}
	for _, addr := range r.Addrs {
		name.Addrs = append(name.Addrs, dns.Address{IP: addr, Up: true})
	}
	for _, s := range r.SRV {
		name.SRV = append(name.SRV, dns.SRV(s))
	}
	return name
}

// serviceNames lead from a service's own name to the endpoints that a VPC has
// of it: "the endpoint service's domain name resolves to the endpoint's IP
// address" (PrivateLink API 2020-04-15, GetVpcEndpointServiceAttribute,
// ZoneAffinityEnabled). At AWS it only is what names of endpoints end with.
func (n *namer) serviceNames(vpc string, hidden func(string) bool) (names []dns.Name) {
	for _, svc := range n.plan.Services {
		name := dns.Name{FQDN: svc.Domain, Affinity: svc.ZoneAffinity, Alias: true}
		for _, ep := range n.plan.Endpoints {
			if ep.VPC == vpc && ep.Service == svc.Name {
				name.Addrs = append(name.Addrs, n.endpoint(ep)[0].Addrs...)
			}
		}
		if len(name.Addrs) > 0 && !hidden(name.FQDN) {
			names = append(names, name)
		}
	}
	return names
}

// privateNames are those of the endpoints in a VPC. Amazon speaks of a CNAME
// in a hidden private zone ("Manage DNS names for VPC endpoint services"); a
// zone itself cannot be one (RFC 1034, 3.6.2), so the addresses stand there.
func (n *namer) privateNames(vpc string) (names []dns.Name) {
	for _, ep := range n.plan.Endpoints {
		p := n.privateName(ep)
		if p == nil || ep.VPC != vpc {
			continue
		}
		all := n.endpoint(ep)[0]
		names = append(names, dns.Name{FQDN: p.Name, Addrs: all.Addrs, Alias: true})
	}
	return names
}

// privateName is the one that an endpoint has in its VPC, nil where it has
// none: it can be had "only after the endpoint connection is accepted", as EC2
// says to who tries before.
func (n *namer) privateName(ep topology.Endpoint) *topology.PrivateName {
	if !ep.PrivateDNS {
		return nil
	}
	svc, err := n.plan.Service(ep.Service)
	connection, _ := n.state.Connection(ep.Service, ep.Name)
	if err != nil || svc.PrivateName == nil || svc.PrivateName.State != topology.Verified || !connection.State.Open() {
		return nil
	}
	return svc.PrivateName
}

func (n *namer) endpoint(ep topology.Endpoint) []dns.Name {
	connection, _ := n.state.Connection(ep.Service, ep.Name)
	all := dns.Name{FQDN: ep.Domain, Affinity: ep.ZoneAffinity}
	var names []dns.Name
	for _, zone := range ep.Zones {
		addr := n.address(zone, zoneOf(connection, zone.Zone))
		addrs := []dns.Address{addr}
		if zone.ENI.IPv6.IsValid() {
			addr.IP = zone.ENI.IPv6
			addrs = append(addrs, addr)
		}
		all.Addrs = append(all.Addrs, addrs...)
		// A zone's own name always leads there: a client that uses it wants this zone.
		names = append(names, dns.Name{FQDN: zone.Domain, Addrs: addrs})
	}
	return append([]dns.Name{all}, names...)
}

// address is the ENI of a zone, and whether the endpoint's name leads to it.
func (n *namer) address(zone topology.EndpointZone, state control.Zone) dns.Address {
	addr := dns.Address{IP: zone.ENI.IP, Zone: zone.Zone}
	switch {
	case !state.State.Open(): // what connects is carried by the time that names are published
		addr.Why = fmt.Sprintf("its connection is %s in this zone", state.Status)
	case n.health.ZonesDown[zone.Zone]:
		addr.Why = fmt.Sprintf("zone %s is down", zone.Zone)
	default:
		addr.Why = n.unhealthy(state.LoadBalancer, zone.Zone)
		addr.Unhealthy = addr.Why != ""
	}
	addr.Up = addr.Why == ""
	return addr
}

// unhealthy says why the node of a load balancer has nowhere to go, "" where
// it has. One server group without a healthy server is enough (User Guide for
// Network Load Balancers, "Target group health": if any target group is
// unhealthy in a zone, the zone's address is removed from DNS). For Alibaba
// Cloud there is no public word.
func (n *namer) unhealthy(balancerName, zone string) string {
	balancer, err := n.plan.LoadBalancer(balancerName)
	if err != nil {
		return ""
	}
	for _, listener := range balancer.Listeners {
		for _, name := range listener.Groups() {
			group, err := n.plan.ServerGroup(name)
			if err != nil {
				continue
			}
			of, where := ServersOf(balancer, group, zone), ""
			if of != "" {
				where = " in zone " + of
			}
			if !n.anyHealthy(group, of) {
				return fmt.Sprintf("load balancer %s has no healthy server%s for %s/%d", balancer.Name, where, listener.Protocol, listener.Port)
			}
		}
	}
	return ""
}

// anyHealthy says whether a group has a healthy server in a zone, "" is all.
func (n *namer) anyHealthy(group *topology.ServerGroup, zone string) bool {
	healthy := map[netip.AddrPort]bool{}
	for _, h := range n.health.Servers(group.Name) {
		healthy[h.Server] = h.Healthy
	}
	return slices.ContainsFunc(group.Servers, func(s topology.Server) bool {
		return s.Weight > 0 && s.In(zone) && healthy[netip.AddrPortFrom(s.IP, s.Port)]
	})
}

func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// Answered is one address of an endpoint's name: that of a zone.
type Answered struct {
	Endpoint topology.Endpoint
	Zone     topology.EndpointZone
	Up       bool   // it is in the answers
	Why      string // it is not
}

// AnsweredZones are the zones that are connected, with whether the names of
// their endpoints lead to them.
func AnsweredZones(plan *topology.Plan, state control.Snapshot, health Health) (out []Answered) {
	n := namer{plan: plan, state: state, health: health}
	for _, ep := range plan.Endpoints {
		connection, _ := state.Connection(ep.Service, ep.Name)
		for _, zone := range ep.Zones {
			if z := zoneOf(connection, zone.Zone); z.State.Open() {
				addr := n.address(zone, z)
				out = append(out, Answered{ep, zone, addr.Up, addr.Why})
			}
		}
	}
	return out
}
