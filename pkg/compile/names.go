package compile

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Health is what the answers of the resolvers depend on beside the plan and
// the control plane.
type Health struct {
	Servers func(group string) []lb.ServerHealth // empty of a group that does not run
	// ZonesDown are those that no name leads to, and why.
	ZonesDown map[string]string
	// ZonesLost are those of ZonesDown on hosts that cannot be reached, and why.
	ZonesLost map[string]string
	// Cloud are names of the cloud's own servers, for which every resolver has answers.
	Cloud []dns.Name
}

// nameServer is what SOA and NS records call the resolver of a VPC.
const nameServer = "ns.internal"

// NameSet is what the resolvers of a lab should answer. The names of endpoints and
// public zones are the same in every VPC; the names of instances and private zones are
// known in their own VPCs alone, and hide what is public below their domains.
type NameSet struct {
	Public dns.Config
	VPCs   map[string]dns.Config
	// Answered are the zones that are connected, with whether the names of their
	// endpoints lead to them.
	Answered []Answered
}

// View is what the resolver of a VPC answers from.
func (s NameSet) View(vpc string) (*dns.View, error) {
	public, err := dns.NewPublic(s.Public, nil)
	if err != nil {
		return nil, err
	}
	return dns.NewViewWith(public, s.VPCs[vpc])
}

// Names decides what every VPC's resolver should answer. It is pure, as Plan is.
func Names(plan *topology.Plan, state control.Snapshot, health Health) NameSet {
	return new(Namer).Names(plan, state, health)
}

// Namer is Names that remembers what it decided before: what it costs follows what
// has changed since. The zero value remembers nothing. One goroutine uses it at a
// time.
type Namer struct {
	balancers memo.Numbered[topology.LoadBalancer] // to find them
	servers   memo.Numbered[topology.ServerGroup]
	endpoints memo.Of[endpointName, []dns.Name]
	zones     memo.Of[publicZone, []dns.Name]
	vpcs      memo.Of[vpcNames, dns.Config]
}

// Names is Names.
func (m *Namer) Names(plan *topology.Plan, state control.Snapshot, health Health) NameSet {
	m.endpoints.Begin()
	m.zones.Begin()
	m.vpcs.Begin()
	m.balancers.Follow(plan.LoadBalancers, func(l *topology.LoadBalancer) string { return l.Name })
	m.servers.Follow(plan.ServerGroups, func(g *topology.ServerGroup) string { return g.Name })
	n := namer{plan: plan, index: m, health: health}
	connections := connectionsOf(state)
	out := NameSet{
		Public:   dns.Config{TTL: plan.Profile.NameTTL, Host: nameServer, Zones: n.publicDomains()},
		VPCs:     make(map[string]dns.Config, len(plan.VPCs)),
		Answered: make([]Answered, 0, len(plan.Endpoints)),
	}
	out.Public.Names = make([]dns.Name, 0, 2*len(plan.Endpoints))
	services := map[string]int{}
	for i := range plan.Services {
		services[plan.Services[i].Name] = i
	}
	in := map[string][]namedEndpoint{} // a VPC
	for i := range plan.Endpoints {
		ep := &plan.Endpoints[i]
		connection := connections.of(i, ep)
		name := n.endpointName(ep, connection)
		named := namedEndpoint{names: m.endpoints.Get(ep.Name, name, endpointName.names)}
		out.Public.Names = append(out.Public.Names, named.names...)
		out.Answered = append(out.Answered, answered(ep, connection, name.zones)...)
		if at, ok := services[ep.Service]; ok {
			service := &plan.Services[at]
			named.service = serviceName{at, service.Domain, service.ZoneAffinity}
			named.private = privateNameOf(ep, service, *connection)
		}
		in[ep.VPC] = append(in[ep.VPC], named)
	}
	for i := range plan.DNSZones {
		if zone := &plan.DNSZones[i]; zone.Public {
			names := m.zones.Get(zone.Name, publicZone{zone, out.Public.Zones}, publicZone.names)
			out.Public.Names = append(out.Public.Names, names...)
		}
	}
	var own []dns.Name
	for i := range plan.LoadBalancers {
		own = append(own, n.balancerNames(&plan.LoadBalancers[i])...)
	}
	out.Public.Names = append(out.Public.Names, cloudNames(append(own, health.Cloud...), out.Public.Names)...)
	for i := range plan.VPCs {
		vpc := &plan.VPCs[i]
		own := vpcNames{
			vpc: vpc, ttl: plan.Profile.NameTTL, serviceNames: plan.Profile.ServiceNames, endpoints: in[vpc.Name],
		}
		if vpc.PrivateDNS() {
			own.hostDomain = plan.InstanceDomain()
		}
		for j := range plan.DNSZones {
			if slices.Contains(plan.DNSZones[j].VPCs, vpc.Name) {
				own.zones = append(own.zones, &plan.DNSZones[j])
			}
		}
		out.VPCs[vpc.Name] = m.vpcs.Get(vpc.Name, own, vpcNames.config)
	}
	return out
}

// cloudNames are those of the cloud's servers that no public zone of the file has.
func cloudNames(names, others []dns.Name) (out []dns.Name) {
	if len(names) == 0 {
		return nil
	}
	taken := make(map[string]bool, len(others))
	for i := range others {
		taken[others[i].FQDN] = true
	}
	for _, name := range names {
		if !taken[name.FQDN] {
			out = append(out, name)
		}
	}
	return out
}

type namer struct {
	plan   *topology.Plan
	index  *Namer // finds objects of plan by name
	health Health

	unhealthyNodes map[string][]unhealthyNode // by load balancer
	anyHealthyIn   map[groupIn]bool
}

// balancerNames are the name of a load balancer, which leads to the nodes that have
// somewhere to go, and those of its zones, which lead there in any case.
func (n *namer) balancerNames(l *topology.LoadBalancer) []dns.Name {
	if l.Domain == "" {
		return nil
	}
	all := dns.Name{FQDN: l.Domain}
	var zones []dns.Name
	for i := range l.Nodes {
		node := &l.Nodes[i]
		addr := dns.Address{IP: node.IP(), Zone: node.Zone}
		if addr.Why = n.health.ZonesDown[node.Zone]; addr.Why == "" {
			addr.Why = n.unhealthy(l.Name, node.Zone)
			addr.Unhealthy = addr.Why != ""
		}
		addr.Up = addr.Why == ""
		addrs := []dns.Address{addr}
		if node.ENI.IPv6.IsValid() {
			addr.IP = node.ENI.IPv6
			addrs = append(addrs, addr)
		}
		all.Addrs = append(all.Addrs, addrs...)
		if name := l.ZoneDomain(node.Zone); name != "" {
			zones = append(zones, dns.Name{FQDN: name, Addrs: addrs})
		}
	}
	return append([]dns.Name{all}, zones...)
}

// vpcNames is all that the names of a VPC's own depend on.
type vpcNames struct {
	vpc          *topology.VPC
	ttl          time.Duration
	serviceNames bool
	endpoints    []namedEndpoint
	zones        []*topology.DNSZone
	hostDomain   string // of the names of instances' addresses; "": they have none
}

// Same says whether both depend on the same.
func (n *vpcNames) Same(o *vpcNames) bool {
	return (n.vpc == o.vpc || memo.Identical(n.vpc, o.vpc) || reflect.DeepEqual(n.vpc, o.vpc)) &&
		n.ttl == o.ttl && n.serviceNames == o.serviceNames && reflect.DeepEqual(n.zones, o.zones) &&
		slices.EqualFunc(n.endpoints, o.endpoints, func(a, b namedEndpoint) bool {
			return memo.Identical(&a, &b) || reflect.DeepEqual(a, b)
		})
}

// namedEndpoint is an endpoint with its names, that of the endpoint as a whole first,
// its service, and the private name that it has in its VPC, "" where it has none.
type namedEndpoint struct {
	names   []dns.Name
	service serviceName
	private string
}

// serviceName is what names have of a service. The domain is "" where the service is gone.
type serviceName struct {
	number   int // its place in the file
	domain   string
	affinity bool
}

func (n vpcNames) config() dns.Config {
	cfg := dns.Config{TTL: n.ttl, Host: nameServer}
	for _, subnet := range n.vpc.Subnets {
		cfg.Subnets = append(cfg.Subnets, dns.Subnet{Prefix: subnet.CIDR, Zone: subnet.Zone})
	}
	own := dns.Name{FQDN: nameServer}
	for _, addr := range n.vpc.Resolvers {
		own.Addrs = append(own.Addrs, dns.Address{IP: addr, Up: true})
	}
	cfg.Names = append(cfg.Names, own)
	for _, instance := range n.vpc.Instances {
		cfg.Names = append(cfg.Names, dns.Name{
			FQDN:  instance.DNSName,
			Addrs: instanceAddrs(&instance),
		})
	}
	if len(n.vpc.Instances) > 0 {
		cfg.Zones = append(cfg.Zones, parent(n.vpc.Instances[0].DNSName))
	}
	if n.hostDomain != "" {
		cfg.Zones = append(cfg.Zones, n.hostDomain)
		for i := range n.vpc.Instances {
			in := &n.vpc.Instances[i]
			addrs := []dns.Address{{IP: in.IP, Zone: in.Zone, Up: true}}
			cfg.Names = append(cfg.Names, dns.Name{FQDN: topology.IPName(in.IP, n.hostDomain), Addrs: addrs, Alias: true})
		}
	}
	cfg.Hides = n.domains()
	cfg.Zones = append(cfg.Zones, cfg.Hides...)
	if n.serviceNames {
		cfg.Names = append(cfg.Names, n.namesOfServices(cfg.Hides)...)
	}
	cfg.Names = append(cfg.Names, n.privateNames()...)
	for _, zone := range n.zones {
		for _, r := range zone.Records {
			// A zone has no say below another one that is closer.
			if closest(r.Name, cfg.Hides) == zone.Domain {
				cfg.Names = append(cfg.Names, record(zone, r))
			}
		}
	}
	return cfg
}

func instanceAddrs(in *topology.Instance) []dns.Address {
	addrs := []dns.Address{{IP: in.IP, Zone: in.Zone, Up: true}}
	if in.IPv6.IsValid() {
		addrs = append(addrs, dns.Address{IP: in.IPv6, Zone: in.Zone, Up: true})
	}
	return addrs
}

// domains are those that a VPC has for itself.
func (n vpcNames) domains() (domains []string) {
	for _, zone := range n.zones {
		domains = append(domains, zone.Domain)
	}
	for _, ep := range n.endpoints {
		if ep.private != "" {
			domains = append(domains, (&topology.PrivateName{Name: ep.private}).Domain())
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

// publicZone is a zone with all public domains.
type publicZone struct {
	zone    *topology.DNSZone
	domains []string
}

func (p publicZone) names() (names []dns.Name) {
	for _, r := range p.zone.Records {
		if closest(r.Name, p.domains) == p.zone.Domain {
			names = append(names, record(p.zone, r))
		}
	}
	return names
}

func record(zone *topology.DNSZone, r topology.Record) dns.Name {
	name := dns.Name{FQDN: r.Name, TTL: zone.TTL, CNAME: r.CNAME, TXT: r.TXT, Alias: true}
	for _, addr := range r.Addrs {
		name.Addrs = append(name.Addrs, dns.Address{IP: addr, Up: true})
	}
	for _, s := range r.SRV {
		name.SRV = append(name.SRV, dns.SRV(s))
	}
	return name
}

// namesOfServices lead from a service's own name to the endpoints that a VPC has
// of it: "the endpoint service's domain name resolves to the endpoint's IP
// address" (PrivateLink API 2020-04-15, GetVpcEndpointServiceAttribute,
// ZoneAffinityEnabled). At AWS it only is what names of endpoints end with.
func (n vpcNames) namesOfServices(private []string) (names []dns.Name) {
	at := map[int]int{} // where a service's name is
	var numbers []int
	for _, ep := range n.endpoints {
		service := ep.service
		if service.domain == "" {
			continue
		}
		i, known := at[service.number]
		if !known {
			i = len(names)
			at[service.number] = i
			numbers = append(numbers, service.number)
			names = append(names, dns.Name{FQDN: service.domain, Affinity: service.affinity, Alias: true})
		}
		names[i].Addrs = append(names[i].Addrs, ep.names[0].Addrs...)
	}
	slices.Sort(numbers) // in the order of the file
	var out []dns.Name
	for _, number := range numbers {
		if name := names[at[number]]; len(name.Addrs) > 0 && closest(name.FQDN, private) == "" {
			out = append(out, name)
		}
	}
	return out
}

// privateNames are those of the endpoints in a VPC. Amazon speaks of a CNAME
// in a hidden private zone ("Manage DNS names for VPC endpoint services"); a
// zone itself cannot be one (RFC 1034, 3.6.2), so the addresses stand there.
func (n vpcNames) privateNames() (names []dns.Name) {
	for _, ep := range n.endpoints {
		if ep.private != "" {
			names = append(names, dns.Name{FQDN: ep.private, Addrs: ep.names[0].Addrs, Alias: true})
		}
	}
	return names
}

// privateNameOf is the one that an endpoint has in its VPC, "" where it has
// none: it can be had "only after the endpoint connection is accepted", as EC2
// says to who tries before.
func privateNameOf(ep *topology.Endpoint, svc *topology.EndpointService, c control.Connection) string {
	if !ep.PrivateDNS || svc.PrivateName == nil || svc.PrivateName.State != topology.Verified || !c.State.Open() {
		return ""
	}
	return svc.PrivateName.Name
}

// endpointName is all that the names of an endpoint depend on.
type endpointName struct {
	endpoint *topology.Endpoint
	zones    []dns.Address // one for each of its zones
}

// Same says whether both depend on the same.
func (e *endpointName) Same(o *endpointName) bool {
	return slices.Equal(e.zones, o.zones) &&
		(e.endpoint == o.endpoint || memo.Identical(e.endpoint, o.endpoint) || reflect.DeepEqual(e.endpoint, o.endpoint))
}

func (n *namer) endpointName(ep *topology.Endpoint, c *control.Connection) endpointName {
	in := endpointName{endpoint: ep, zones: make([]dns.Address, 0, len(ep.Zones))}
	for i := range ep.Zones {
		zone := &ep.Zones[i]
		in.zones = append(in.zones, n.address(zone, zoneIn(c.Zones, zone.Zone)))
	}
	return in
}

func (e endpointName) names() []dns.Name {
	all := dns.Name{FQDN: e.endpoint.Domain, Affinity: e.endpoint.ZoneAffinity}
	var names []dns.Name
	for i, zone := range e.endpoint.Zones {
		addr := e.zones[i]
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
func (n *namer) address(zone *topology.EndpointZone, state control.Zone) dns.Address {
	addr := dns.Address{IP: zone.ENI.IP, Zone: zone.Zone}
	switch {
	case !state.State.Open(): // what connects is carried by the time that names are published
		addr.Why = fmt.Sprintf("its connection is %s in this zone", state.Status)
	case n.health.ZonesDown[zone.Zone] != "":
		addr.Why = n.health.ZonesDown[zone.Zone]
	default:
		addr.Why = n.unhealthy(state.LoadBalancer, zone.Zone)
		addr.Unhealthy = addr.Why != ""
	}
	addr.Up = addr.Why == ""
	return addr
}

// unhealthy is unhealthyNode, once for each node.
func (n *namer) unhealthy(balancer, zone string) string {
	known := n.unhealthyNodes[balancer]
	for i := range known {
		if known[i].zone == zone {
			return known[i].why
		}
	}
	if n.unhealthyNodes == nil {
		n.unhealthyNodes = make(map[string][]unhealthyNode, len(n.plan.LoadBalancers))
	}
	why := n.unhealthyNode(balancer, zone)
	n.unhealthyNodes[balancer] = append(known, unhealthyNode{zone, why})
	return why
}

// unhealthyNode is why the node in a zone has nowhere to go, "" where it has.
type unhealthyNode struct{ zone, why string }

// unhealthyNode says why the node of a load balancer has nowhere to go, "" where
// it has. One server group without a healthy server is enough (User Guide for
// Network Load Balancers, "Target group health": if any target group is
// unhealthy in a zone, the zone's address is removed from DNS). For Alibaba
// Cloud there is no public word.
func (n *namer) unhealthyNode(balancerName, zone string) string {
	balancer := n.index.balancers.Get(balancerName)
	if balancer == nil {
		return ""
	}
	for _, listener := range balancer.Listeners {
		for _, name := range listener.Groups() {
			group := n.index.servers.Get(name)
			if group == nil {
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

// groupIn is a group with a zone, "" is all.
type groupIn struct{ group, zone string }

// anyHealthy says whether a group has a healthy server in a zone, "" is all.
func (n *namer) anyHealthy(group *topology.ServerGroup, zone string) bool {
	key := groupIn{group.Name, zone}
	if one, known := n.anyHealthyIn[key]; known {
		return one
	}
	healthy := map[netip.AddrPort]bool{}
	for _, h := range n.health.Servers(group.Name) {
		healthy[h.Server] = h.Healthy
	}
	one := slices.ContainsFunc(group.Servers, func(s topology.Server) bool {
		return s.Weight > 0 && s.In(zone) && healthy[netip.AddrPortFrom(s.IP, s.Port)]
	})
	if n.anyHealthyIn == nil {
		n.anyHealthyIn = make(map[groupIn]bool, len(n.plan.ServerGroups))
	}
	n.anyHealthyIn[key] = one
	return one
}

func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// Answered is one address of an endpoint's name: that of a zone.
type Answered struct {
	Endpoint string
	Zone     *topology.EndpointZone
	Up       bool   // it is in the answers
	Why      string // it is not
}

func answered(ep *topology.Endpoint, c *control.Connection, addrs []dns.Address) (out []Answered) {
	for i := range ep.Zones {
		zone := &ep.Zones[i]
		if zoneIn(c.Zones, zone.Zone).State.Open() {
			out = append(out, Answered{ep.Name, zone, addrs[i].Up, addrs[i].Why})
		}
	}
	return out
}
