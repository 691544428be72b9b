package compile

import (
	"slices"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Planner is Plan that remembers what it decided before: what it costs follows what has
// changed since, and what has not changed is the same to the bit, so that a session
// table finds it again. The zero value remembers nothing. One goroutine uses it at a time.
type Planner struct {
	profile topology.Profile

	vpcs      memo.Numbered[topology.VPC]
	services  memo.Numbered[topology.EndpointService]
	balancers memo.Numbered[topology.LoadBalancer]
	servers   memo.Numbered[topology.ServerGroup]
	groups    groupSets
	numbers   Numbers

	ofEndpoints parts[topology.Endpoint]
	ofBalancers parts[topology.LoadBalancer]
	sizes       sizes
	facts       []uint64 // memory for those of the part that is looked at

	carriers map[*topology.LoadBalancer][]uint64 // the balancerFact of those that were asked for in this round
}

// part is what an endpoint or a load balancer adds to the configuration.
type part struct {
	enis  []fullnat.Interface
	owned []dataplane.Owned
	links []fullnat.Link
}

// sizes are how long the lists of a whole configuration were.
type sizes struct{ enis, owned, links int }

// room is for what an edit may add without a copy of the lists.
const room = 16

func (c *compiler) add(p *part) {
	c.nat.ENIs = append(c.nat.ENIs, p.enis...)
	c.nat.Links = append(c.nat.Links, p.links...)
	c.owned = append(c.owned, p.owned...)
}

// parts are those of before, by the name of whose they are.
type parts[T any] struct {
	byName map[string]*knownPart[T]
	order  []*knownPart[T] // of the configuration before
	next   []*knownPart[T] // of the one that is made
}

// knownPart is a part of an object with all that it depends on: values as their numbers, and
// numbers.
type knownPart[T any] struct {
	part
	name  string
	of    T
	stamp uint64 // of of
	zones []control.Zone
	facts []uint64
	picks picks
}

// picks are the choosers that the links of a part have.
type picks []picked

// picked is what chooses the targets of a link.
type picked struct {
	link, group, zone string
	chooser           Chooser
}

func (p *parts[T]) begin() {
	p.order, p.next = p.next, make([]*knownPart[T], 0, len(p.next)+room)
}

// end forgets the parts that the configuration does not have.
func (p *parts[T]) end() {
	if len(p.next) == len(p.byName) {
		return
	}
	clear(p.byName)
	for _, k := range p.next {
		p.byName[k.name] = k
	}
}

// find is the part of before of an object, with the value that this has now.
func (p *parts[T]) find(name string, of *T) (known *knownPart[T], same bool) {
	if i := len(p.next); i < len(p.order) && p.order[i].name == name {
		known = p.order[i] // as a rule they are where they were
	} else if known = p.byName[name]; known == nil {
		known = &knownPart[T]{name: name, of: *of, stamp: memo.Stamp()}
		if p.byName == nil {
			p.byName = map[string]*knownPart[T]{}
		}
		p.byName[name] = known
		p.next = append(p.next, known)
		return known, false
	}
	p.next = append(p.next, known)
	if same = memo.Unchanged(&known.of, of); !same {
		known.stamp = memo.Stamp()
	}
	known.of = *of // the next time the bits are enough
	return known, same
}

// follow makes the part again where something that it depends on is not as it was.
func (k *knownPart[T]) follow(facts []uint64, pick Pick, make func(Pick) part) {
	if k.facts != nil && slices.Equal(k.facts, facts) && k.picks.again(pick) {
		return
	}
	k.facts, k.picks = slices.Clone(facts), nil
	k.part = make(func(link, group, zone string) Chooser {
		c := pick(link, group, zone)
		k.picks = append(k.picks, picked{link, group, zone, c})
		return c
	})
}

// again says whether the links of a part get the choosers that they have.
func (all picks) again(pick Pick) bool {
	for i := range all {
		p := &all[i]
		if c := pick(p.link, p.group, p.zone); !memo.Identical(&c, &p.chooser) {
			return false
		}
	}
	return true
}

// Plan is Plan.
func (m *Planner) Plan(plan *topology.Plan, state control.Snapshot, numbers Numbers, pick Pick) Desired {
	if !memo.Identical(&m.profile, &plan.Profile) {
		*m = Planner{profile: plan.Profile}
	}
	d := m.follow(plan, numbers)
	c := compiler{
		profile: &plan.Profile, plan: plan, index: m, connections: connectionsOf(state),
		numbers: numbers, pick: pick, groups: &m.groups,
		nat: &fullnat.Config{
			PortsPerTarget: plan.Profile.NATPorts,
			ENIs:           make([]fullnat.Interface, 0, m.sizes.enis+room), Links: make([]fullnat.Link, 0, m.sizes.links+room),
		},
		owned: make([]dataplane.Owned, 0, m.sizes.owned+room),
	}
	for i := range plan.Endpoints {
		ep := &plan.Endpoints[i]
		zones := c.connections.of(i, ep).Zones
		known, same := m.ofEndpoints.find(ep.Name, ep)
		if !same || !d.keepsEndpoint(ep, zones) || !slices.Equal(known.zones, zones) || !known.picks.again(pick) {
			known.follow(m.endpointFacts(&c, ep, known.stamp, zones), pick, func(pick Pick) part {
				return c.apart(pick, func(c *compiler) { c.endpoint(*ep, zones) })
			})
			known.zones = zones
		}
		c.add(&known.part)
	}
	for i := range plan.LoadBalancers {
		balancer := &plan.LoadBalancers[i]
		known, same := m.ofBalancers.find(balancer.Name, balancer)
		if !same || d.all || d.balancers[balancer.Name] || !known.picks.again(pick) {
			known.follow(m.balancerFacts(&c, balancer), pick, func(pick Pick) part {
				return c.apart(pick, func(c *compiler) {
					for j := range balancer.Nodes {
						c.eni(balancer.Nodes[j].ENI, balancer.Nodes[j].Local)
						c.inside(balancer, &balancer.Nodes[j])
					}
				})
			})
		}
		c.add(&known.part)
	}
	m.ofEndpoints.end()
	m.ofBalancers.end()
	for _, gw := range plan.NATGateways {
		c.gateway(gw)
	}
	m.sizes = sizes{len(c.nat.ENIs), len(c.owned), len(c.nat.Links)}
	return Desired{Dataplane: dataplane.Config{NAT: c.nat, Owned: c.owned}, Hosts: HostNames(plan)}
}

// differing are the objects on which parts may depend that are not what they were, or
// of which that is not known without a look.
type differing struct {
	all                       bool
	vpcs, services, balancers map[string]bool
}

// follow makes the Planner that of a plan.
func (m *Planner) follow(plan *topology.Plan, numbers Numbers) (d differing) {
	d.all = !memo.Identical(&m.numbers, &numbers)
	d.vpcs = namesOf(m.vpcs.Follow(plan.VPCs, func(v *topology.VPC) string { return v.Name }))
	d.services = namesOf(m.services.Follow(plan.Services, func(s *topology.EndpointService) string { return s.Name }))
	d.balancers = namesOf(m.balancers.Follow(plan.LoadBalancers, func(l *topology.LoadBalancer) string { return l.Name }))
	servers := namesOf(m.servers.Follow(plan.ServerGroups, func(g *topology.ServerGroup) string { return g.Name }))
	for i := range plan.LoadBalancers {
		l := &plan.LoadBalancers[i]
		if len(l.SecurityGroups) > 0 || d.vpcs[l.VPC] || len(servers) > 0 && slices.ContainsFunc(l.Listeners,
			func(l topology.Listener) bool { return servers[l.ServerGroup] }) {
			d.balancers[l.Name] = true // whoever is in its security groups
		}
	}
	for i := range plan.Services {
		s := &plan.Services[i]
		if len(d.balancers) > 0 && slices.ContainsFunc(s.Resources, func(r topology.Resource) bool { return d.balancers[r.LoadBalancer] }) {
			d.services[s.Name] = true
		}
	}
	m.numbers = numbers
	m.groups.begin()
	m.ofEndpoints.begin()
	m.ofBalancers.begin()
	m.carriers = make(map[*topology.LoadBalancer][]uint64, len(m.carriers))
	return d
}

// indexOf finds the objects of a plan.
func indexOf(plan *topology.Plan) *Planner {
	m := &Planner{}
	m.follow(plan, nil)
	return m
}

func namesOf(all []string) map[string]bool {
	out := make(map[string]bool, len(all))
	for _, name := range all {
		out[name] = true
	}
	return out
}

// keepsEndpoint says whether all that the part of an endpoint depends on is as it was but for
// itself, its connection and choosers.
func (d *differing) keepsEndpoint(ep *topology.Endpoint, zones []control.Zone) bool {
	if d.all || len(ep.SecurityGroups) > 0 || d.vpcs[ep.VPC] || d.services[ep.Service] {
		return false
	}
	return len(d.balancers) == 0 || !slices.ContainsFunc(zones, func(z control.Zone) bool {
		return d.balancers[z.LoadBalancer] || d.balancers[z.Replaced]
	})
}

// vpc is the VPC of a name, nil where there is none; the others are alike.
func (m *Planner) vpc(name string) *topology.VPC                 { return m.vpcs.Get(name) }
func (m *Planner) service(name string) *topology.EndpointService { return m.services.Get(name) }
func (m *Planner) balancer(name string) *topology.LoadBalancer   { return m.balancers.Get(name) }
func (m *Planner) serverGroup(name string) *topology.ServerGroup { return m.servers.Get(name) }

// apart makes a part of a configuration. What is made keeps nothing of the compiler.
func (c *compiler) apart(pick Pick, make func(*compiler)) part {
	own := *c
	own.pick, own.nat, own.owned = pick, &fullnat.Config{}, nil
	make(&own)
	return part{own.nat.ENIs, own.owned, own.nat.Links}
}

// endpointFacts are all that the part of an endpoint depends on, but for choosers.
func (m *Planner) endpointFacts(c *compiler, ep *topology.Endpoint, stamp uint64, zones []control.Zone) []uint64 {
	m.facts = append(m.facts[:0], stamp, m.vpcs.Of(ep.VPC), m.services.Of(ep.Service))
	if len(ep.SecurityGroups) > 0 {
		m.facts = append(m.facts, c.groupsOf(ep.VPC, ep.SecurityGroups).stamp)
	}
	for i := range ep.Zones {
		zone := &ep.Zones[i]
		state := zoneIn(zones, zone.Zone)
		m.facts = append(m.facts, uint64(c.numbers[zone.ENI.Device]), fact(state.State.Open()), fact(state.Replaced != ""))
		m.carrierFacts(c, ep.Service, zone.Zone, state.LoadBalancer)
		if state.Replaced != "" {
			m.carrierFacts(c, ep.Service, zone.Zone, state.Replaced)
		}
	}
	return m.facts
}

// carrierFacts add what the links to the node that carries a zone depend on.
func (m *Planner) carrierFacts(c *compiler, service, zone, pinned string) {
	balancer, node := c.resource(service, zone, pinned)
	if node == nil {
		m.facts = append(m.facts, 0)
		return
	}
	m.balancerFact(c, balancer)
	m.facts = append(m.facts, uint64(c.numbers[node.ENI.Device]))
}

// balancerFacts are all that the part of a load balancer depends on, but for choosers.
func (m *Planner) balancerFacts(c *compiler, balancer *topology.LoadBalancer) []uint64 {
	m.facts = m.facts[:0]
	m.balancerFact(c, balancer)
	for i := range balancer.Nodes {
		m.facts = append(m.facts, uint64(c.numbers[balancer.Nodes[i].ENI.Device]))
	}
	return m.facts
}

// balancerFact adds what depends on a load balancer alone, of which many endpoints ask.
func (m *Planner) balancerFact(c *compiler, balancer *topology.LoadBalancer) {
	if known, ok := m.carriers[balancer]; ok {
		m.facts = append(m.facts, known...)
		return
	}
	first := len(m.facts)
	m.facts = append(m.facts, m.balancers.Of(balancer.Name), m.vpcs.Of(balancer.VPC))
	for i := range balancer.Listeners {
		if number := m.servers.Of(balancer.Listeners[i].ServerGroup); number != 0 {
			m.facts = append(m.facts, number)
		}
	}
	if len(balancer.SecurityGroups) > 0 {
		m.facts = append(m.facts, c.groupsOf(balancer.VPC, balancer.SecurityGroups).stamp)
	}
	m.carriers[balancer] = slices.Clone(m.facts[first:])
}

func fact(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
