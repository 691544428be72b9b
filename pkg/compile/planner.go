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

	vpcs      memo.Stamps[topology.VPC]
	services  memo.Stamps[topology.EndpointService]
	balancers memo.Stamps[topology.LoadBalancer]
	servers   memo.Stamps[topology.ServerGroup]
	endpoints memo.Stamps[topology.Endpoint]
	groups    groupSets

	ofEndpoints, ofBalancers parts
	sizes                    sizes
	facts                    []uint64 // memory for those of the part that is looked at

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
type parts struct {
	byName map[string]*knownPart
	round  uint64
	asked  int
}

// knownPart is a part with all that it depends on: values as their stamps, and numbers.
type knownPart struct {
	part
	facts []uint64
	picks []picked
	round uint64
}

// picked is what chooses the targets of a link.
type picked struct {
	link, group, zone string
	chooser           Chooser
}

func (p *parts) begin() {
	if p.asked < len(p.byName) {
		for name, k := range p.byName {
			if k.round != p.round {
				delete(p.byName, name)
			}
		}
	}
	p.round, p.asked = p.round+1, 0
}

// get is the part of before where all that it depends on is as it was.
func (p *parts) get(name string, facts []uint64, pick Pick, make func(Pick) part) *part {
	known := p.byName[name]
	if known == nil || !slices.Equal(known.facts, facts) || !known.picksAgain(pick) {
		known = &knownPart{facts: slices.Clone(facts)}
		known.part = make(func(link, group, zone string) Chooser {
			c := pick(link, group, zone)
			known.picks = append(known.picks, picked{link, group, zone, c})
			return c
		})
		if p.byName == nil {
			p.byName = map[string]*knownPart{}
		}
		p.byName[name] = known
	}
	known.round = p.round
	p.asked++
	return &known.part
}

// picksAgain says whether the links of a part get the choosers that they have.
func (k *knownPart) picksAgain(pick Pick) bool {
	for i := range k.picks {
		p := &k.picks[i]
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
	m.begin()
	c := compiler{
		profile: &plan.Profile, plan: plan, index: plan.Index(), connections: connectionsOf(state),
		numbers: numbers, pick: pick, groups: &m.groups,
		nat: &fullnat.Config{
			PortsPerTarget: plan.Profile.NATPorts,
			ENIs:           make([]fullnat.Interface, 0, m.sizes.enis+room), Links: make([]fullnat.Link, 0, m.sizes.links+room),
		},
		owned: make([]dataplane.Owned, 0, m.sizes.owned+room),
	}
	for i := range plan.Endpoints {
		ep := &plan.Endpoints[i]
		c.add(m.ofEndpoints.get(ep.Name, m.endpointFacts(&c, ep), pick, func(pick Pick) part {
			return c.apart(pick, func(c *compiler) { c.endpoint(*ep) })
		}))
	}
	for i := range plan.LoadBalancers {
		balancer := &plan.LoadBalancers[i]
		c.add(m.ofBalancers.get(balancer.Name, m.balancerFacts(&c, balancer), pick, func(pick Pick) part {
			return c.apart(pick, func(c *compiler) {
				for j := range balancer.Nodes {
					c.eni(balancer.Nodes[j].ENI, balancer.Nodes[j].Local)
					c.inside(balancer, &balancer.Nodes[j])
				}
			})
		}))
	}
	for _, gw := range plan.NATGateways {
		c.gateway(gw)
	}
	m.sizes = sizes{len(c.nat.ENIs), len(c.owned), len(c.nat.Links)}
	return Desired{Dataplane: dataplane.Config{NAT: c.nat, Owned: c.owned}, Hosts: HostNames(plan)}
}

func (m *Planner) begin() {
	m.vpcs.Begin()
	m.services.Begin()
	m.balancers.Begin()
	m.servers.Begin()
	m.endpoints.Begin()
	m.groups.begin()
	m.ofEndpoints.begin()
	m.ofBalancers.begin()
	m.carriers = make(map[*topology.LoadBalancer][]uint64, len(m.carriers))
}

// apart makes a part of a configuration. What is made keeps nothing of the compiler.
func (c *compiler) apart(pick Pick, make func(*compiler)) part {
	own := *c
	own.pick, own.nat, own.owned = pick, &fullnat.Config{}, nil
	make(&own)
	return part{own.nat.ENIs, own.owned, own.nat.Links}
}

// endpointFacts are all that the part of an endpoint depends on, but for choosers.
func (m *Planner) endpointFacts(c *compiler, ep *topology.Endpoint) []uint64 {
	m.facts = append(m.facts[:0], m.endpoints.Of(ep.Name, ep), m.vpcFact(c, ep.VPC), m.serviceFact(c, ep.Service))
	if len(ep.SecurityGroups) > 0 {
		m.facts = append(m.facts, c.groupsOf(ep.VPC, ep.SecurityGroups).stamp)
	}
	connection := c.connections.of(ep)
	for i := range ep.Zones {
		zone := &ep.Zones[i]
		state := zoneOf(connection, zone.Zone)
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
	m.facts = append(m.facts, m.balancers.Of(balancer.Name, balancer), m.vpcFact(c, balancer.VPC))
	for i := range balancer.Listeners {
		if group := c.index.ServerGroups[balancer.Listeners[i].ServerGroup]; group != nil {
			m.facts = append(m.facts, m.servers.Of(group.Name, group))
		}
	}
	if len(balancer.SecurityGroups) > 0 {
		m.facts = append(m.facts, c.groupsOf(balancer.VPC, balancer.SecurityGroups).stamp)
	}
	m.carriers[balancer] = slices.Clone(m.facts[first:])
}

func (m *Planner) vpcFact(c *compiler, name string) uint64 {
	if vpc := c.index.VPCs[name]; vpc != nil {
		return m.vpcs.Of(name, vpc)
	}
	return 0
}

func (m *Planner) serviceFact(c *compiler, name string) uint64 {
	if service := c.index.Services[name]; service != nil {
		return m.services.Of(name, service)
	}
	return 0
}

func fact(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
