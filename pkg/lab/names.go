package lab

import (
	"fmt"
	"maps"
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

// CompileNames decides what every VPC's resolver should answer. The names of
// endpoints are public and the same in every VPC; the names of instances are
// known in their own VPC alone. It is pure, as Compile is.
func CompileNames(plan *topology.Plan, state control.Snapshot, health Health) map[string]dns.Config {
	n := namer{plan: plan, state: state, health: health}
	var public []dns.Name
	for _, ep := range plan.Endpoints {
		public = append(public, n.endpoint(ep)...)
	}
	out := map[string]dns.Config{}
	for _, vpc := range plan.VPCs {
		out[vpc.Name] = n.resolver(vpc, public)
	}
	return out
}

type namer struct {
	plan   *topology.Plan
	state  control.Snapshot
	health Health
}

func (n *namer) resolver(vpc topology.VPC, public []dns.Name) dns.Config {
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
			Addrs: []dns.Address{{IP: instance.IP, Zone: instance.Zone, Up: true}},
		})
	}
	// After the VPC's own: where an address is known twice, because another
	// VPC has it too, it is the instance here that a reverse look-up means.
	cfg.Names = append(cfg.Names, public...)
	for _, svc := range n.plan.Services {
		cfg.Zones = append(cfg.Zones, svc.Domain)
	}
	if len(vpc.Instances) > 0 {
		cfg.Zones = append(cfg.Zones, parent(vpc.Instances[0].DNSName))
	}
	return cfg
}

func (n *namer) endpoint(ep topology.Endpoint) []dns.Name {
	connection, _ := n.state.Connection(ep.Service, ep.Name)
	affinity := false
	if svc, err := n.plan.Service(ep.Service); err == nil {
		affinity = svc.ZoneAffinity
	}
	all := dns.Name{FQDN: ep.Domain, Affinity: affinity}
	var names []dns.Name
	for _, zone := range ep.Zones {
		addr := n.address(zone, zoneOf(connection, zone.Zone))
		all.Addrs = append(all.Addrs, addr)
		// A zone's own name always leads there: whoever uses it wants this zone.
		names = append(names, dns.Name{FQDN: zone.Domain, Addrs: []dns.Address{addr}})
	}
	return append([]dns.Name{all}, names...)
}

// address is the ENI of a zone, and whether the endpoint's name leads to it.
func (n *namer) address(zone topology.EndpointZone, state control.Zone) dns.Address {
	addr := dns.Address{IP: zone.ENI.IP, Zone: zone.Zone}
	switch {
	case state.State != control.Connected:
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
	eligible, where := inZone(n.plan, zone), " in zone "+zone
	if balancer.CrossZone || balancer.Type == "clb" {
		eligible, where = func(topology.Server) bool { return true }, ""
	}
	for _, listener := range balancer.Listeners {
		if !n.anyHealthy(listener.ServerGroup, eligible) {
			return fmt.Sprintf("load balancer %s has no healthy server%s for %s/%d", balancer.Name, where, listener.Protocol, listener.Port)
		}
	}
	return ""
}

func (n *namer) anyHealthy(name string, eligible func(topology.Server) bool) bool {
	group, err := n.plan.ServerGroup(name)
	if err != nil {
		return true
	}
	healthy := map[netip.AddrPort]bool{}
	for _, h := range n.health.Servers(name) {
		healthy[h.Server] = h.Healthy
	}
	return slices.ContainsFunc(group.Servers, func(s topology.Server) bool {
		return s.Weight > 0 && eligible(s) && healthy[netip.AddrPortFrom(s.IP, s.Port)]
	})
}

func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// publishNames gives every resolver its view, and tells of the zones that left
// the answers or came back while they were connected. The caller holds change.
func (l *Lab) publishNames(plan *topology.Plan, state control.Snapshot) error {
	l.mu.Lock()
	health := l.healthLocked()
	resolvers := maps.Clone(l.resolvers)
	l.mu.Unlock()
	configs := CompileNames(plan, state, health)
	for _, vpc := range plan.VPCs {
		view, err := dns.NewView(configs[vpc.Name])
		if err != nil {
			return fmt.Errorf("vpc %q: configure its resolver: %w", vpc.Name, err)
		}
		resolvers[resolverKey(vpc)].server.SetView(view)
	}
	l.tellNames(plan, state, health)
	return nil
}

// healthLocked is a copy of what is known now.
func (l *Lab) healthLocked() Health {
	servers := map[string][]lb.ServerHealth{}
	for name, running := range l.groups {
		servers[name] = running.group.Health()
	}
	return Health{
		Servers:   func(group string) []lb.ServerHealth { return servers[group] },
		ZonesDown: maps.Clone(l.faults.zones),
	}
}

// answerState is where a zone of an endpoint stands with the answers.
type answerState int

const (
	neverIn answerState = iota // and what was never in cannot leave
	in
	left
)

// tellNames comes after the views: from an event on, no answer contradicts it.
func (l *Lab) tellNames(plan *topology.Plan, state control.Snapshot, health Health) {
	n := namer{plan: plan, state: state, health: health}
	next := map[string]answerState{}
	for _, ep := range plan.Endpoints {
		connection, _ := state.Connection(ep.Service, ep.Name)
		for _, zone := range ep.Zones {
			z := zoneOf(connection, zone.Zone)
			if z.State != control.Connected {
				continue // the connection has events of its own
			}
			name, addr := zone.ENI.Name, n.address(zone, z)
			was := l.answers[name]
			switch {
			case addr.Up:
				next[name] = in
				if was == left {
					l.nameEvent(ep, zone, "return", "left", "in", "is back in the answers")
				}
			case was == neverIn:
			default:
				next[name] = left
				if was == in {
					l.nameEvent(ep, zone, "leave", "in", "left", "left the answers: "+addr.Why)
				}
			}
		}
	}
	l.answers = next
}

func (l *Lab) nameEvent(ep topology.Endpoint, zone topology.EndpointZone, verb control.Verb, from, to, what string) {
	l.plane.Observe(control.Event{
		Kind: "name", Name: zone.ENI.Name, Verb: verb, From: from, To: to,
		Text: fmt.Sprintf("%s (%s) of endpoint %q %s", zone.ENI.IP, zone.Zone, ep.Name, what),
	})
}
