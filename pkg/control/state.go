package control

import (
	"maps"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// state is what there is at one revision: the plan, what was changed since, and
// the connections. It is plain data with a clock, without a lock: the Plane has
// one, and a test needs none.
type state struct {
	now         func() time.Time
	plan        *topology.Plan // what the file says
	live        overrides      // what was changed since
	merged      *topology.Plan // both together
	connections []*connection  // in the order of the plan's endpoints
	revision    uint64         // of the newest change
}

func newState(now func() time.Time) *state {
	return &state{now: now, plan: &topology.Plan{}, merged: &topology.Plan{}, live: newOverrides()}
}

// fitting is a plan with the live overrides that fit it, beside the state.
type fitting struct {
	plan, merged *topology.Plan
	live         overrides
	withheld     []Event // of the zones that withholdZones keeps back
	fits         bool    // refuses has looked at it and found nothing

	services, before, planned map[string]*topology.EndpointService // of merged, of the state's plan, of plan
	held                      map[ends]*connection
}

func (st *state) fit(plan *topology.Plan, live overrides) *fitting {
	merged := live.merged(plan)
	return &fitting{
		plan: plan, merged: merged, live: live,
		services: servicesOf(merged), before: servicesOf(st.plan), planned: servicesOf(plan), held: byEnds(st.connections),
	}
}

// kept is the connection that an endpoint of the merged plan already has, nil where it
// is new or where one of its ends became another object: that is what the files say of
// its service.
func (f *fitting) kept(e *topology.Endpoint) *connection {
	c, before, service := f.held[ends{e.Service, e.Name}], f.before[e.Service], f.planned[e.Service]
	if c == nil || before == nil || service == nil || c.cloud != f.plan.Cloud ||
		c.vpc != e.VPC || c.Account != e.Account || before.Account != service.Account {
		return nil
	}
	return c
}

// adopt makes a plan with its overrides the state's, and the connections those
// of its endpoints. An error changes nothing.
func (st *state) adopt(plan *topology.Plan, next overrides) ([]Event, *Error) {
	return st.takeOver(st.fit(plan, next))
}

// takeOver is adopt of what was fitted to the state as it is.
func (st *state) takeOver(f *fitting) ([]Event, *Error) {
	if err := st.refuses(f); err != nil {
		return nil, err
	}
	var (
		connections []*connection
		events      []Event
	)
	for i := range f.merged.Endpoints {
		endpoint := &f.merged.Endpoints[i]
		service := f.services[endpoint.Service]
		c := f.kept(endpoint)
		if c != nil {
			c = c.clone()
		}
		c, made := st.next(f.plan, c, service, endpoint)
		if service != nil {
			c.pin(f.plan.Name, service)
		}
		connections, events = append(connections, c), append(events, made...)
	}
	kept := byEnds(connections)
	for _, c := range st.connections {
		if now := kept[c.ends()]; now == nil || !c.same(now) {
			events = append(events, c.event(Delete, "", c.Status, ""))
		}
	}
	st.plan, st.live, st.connections = f.plan, f.live, connections
	st.merged = f.merged
	st.overlayConnections()
	return events, nil
}

// refuses says why a plan with its overrides cannot be the state's.
func (st *state) refuses(f *fitting) *Error {
	if f.fits {
		return nil
	}
	if f.plan != st.plan {
		if err := offeredTwice(f.merged); err != nil {
			return err
		}
	}
	for i := range f.merged.Endpoints {
		e := &f.merged.Endpoints[i]
		service := f.services[e.Service]
		switch {
		case f.kept(e) != nil:
		case service == nil:
			return unknownService(f.merged, "", e.Service)
		case !service.Sees(e.Account):
			return notWhitelisted(service, e.Account)
		}
	}
	f.fits = true
	return nil
}

// offeredTwice refuses a load balancer of several services where it may be of one alone. A
// file that is right may say that of a lab in which operations created or attached things.
func offeredTwice(merged *topology.Plan) *Error {
	if !merged.Profile.OneService {
		return nil
	}
	of := make(map[string]string, len(merged.Services))
	for i := range merged.Services {
		s := &merged.Services[i]
		for _, r := range s.Resources {
			if other := of[r.LoadBalancer]; r.LoadBalancer != "" && other != "" && other != s.Name {
				return inUse("load balancer", r.LoadBalancer, "detach it there first",
					"load balancer %q is offered by endpoint service %q, and at %s by one alone", r.LoadBalancer, other, merged.Cloud)
			}
			of[r.LoadBalancer] = s.Name
		}
	}
	return nil
}

// attachedStays refuses a plan without something that an operation attached to a service
// of it.
func (st *state) attachedStays(plan *topology.Plan) *Error {
	for i := range plan.Services {
		planned := &plan.Services[i]
		held := st.live.services[planned.Name]
		if held == nil || !held.exists(planned.Absent) || held.Owner != planned.Account || st.plan.Cloud != plan.Cloud {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(held.Resources)) {
			r, err := st.plan.Resource(name)
			if err != nil || !held.Resources[name] {
				continue
			}
			was, err := st.plan.Offer(r.LoadBalancer)
			if _, missing := plan.Offer(r.LoadBalancer); err != nil || missing == nil {
				continue
			}
			return inUse(was.Kind, was.Name, "detach it first", "%s %q is offered by endpoint service %q",
				was.Kind, was.Name, planned.Name).remedied(detaching(planned, was.Name))
		}
	}
	return nil
}

// overlay puts the live overrides on the plan again, after one of them changed.
func (st *state) overlay() {
	st.merged = st.live.merged(st.plan)
	st.overlayConnections()
}

func (st *state) overlayConnections() {
	services := servicesOf(st.merged)
	var connections map[ends]*connection
	for i := range st.merged.Endpoints {
		e := &st.merged.Endpoints[i]
		var c *connection
		if i < len(st.connections) && st.connections[i].ends() == (ends{e.Service, e.Name}) {
			c = st.connections[i] // as a rule they are in the order of the endpoints
		} else {
			if connections == nil {
				connections = byEnds(st.connections)
			}
			c = connections[ends{e.Service, e.Name}]
		}
		if c == nil {
			continue
		}
		if service := services[e.Service]; service != nil {
			st.inherit(c, service, e)
		}
		if c.limit != nil {
			c.Bandwidth = *c.limit
			limit(&e.Impairments, *c.limit)
		}
	}
}

// inherit gives a connection the bandwidth of its service, and its
// endpoint the zone affinity, unless it has one of its own.
func (st *state) inherit(c *connection, service *topology.EndpointService, e *topology.Endpoint) {
	c.Bandwidth = service.Bandwidth
	if on := st.live.services[service.Name].ZoneAffinity; on != nil && !e.OwnAffinity &&
		st.live.endpoints[e.Name].ZoneAffinity == nil {
		e.ZoneAffinity = *on
	}
	if st.live.services[service.Name].Bandwidth != nil {
		limit(&e.Impairments, service.Bandwidth)
	}
}

func limit(i *topology.Impairments, mbit int) {
	i.ToProvider.Bandwidth = int64(mbit) * 1e6
	i.ToConsumer.Bandwidth = int64(mbit) * 1e6
}

// next brings a kept connection up to date or starts a new one where
// kept is nil.
func (st *state) next(plan *topology.Plan, kept *connection, service *topology.EndpointService,
	endpoint *topology.Endpoint) (*connection, []Event) {
	if kept != nil {
		events := kept.setZones(endpoint)
		if len(events) > 0 {
			kept.revision, kept.Modified = st.revision+1, st.now()
		}
		return kept, events
	}
	c := newConnection(plan, endpoint, st.now())
	c.setZones(endpoint) // part of the creation: no events of their own
	events := []Event{c.event(Create, endpoint.Account, "", c.Status)}
	c.revision = st.revision + 1
	if service.AutoAccept {
		events = append(events, st.move(c, Accept, ""))
	}
	return c, events
}

// same reports whether o is a later copy of c, not a new connection of the
// same name.
func (c *connection) same(o *connection) bool {
	return c.ends() == o.ends() && c.vpc == o.vpc && c.Account == o.Account && c.cloud == o.cloud
}

// snapshot is a copy of what there is.
func (st *state) snapshot() Snapshot {
	s := Snapshot{Revision: st.revision, Plan: st.merged, Connections: copies(st.connections)}
	s.Services = slices.Grow(s.Services, len(st.merged.Services))
	for i := range st.merged.Services {
		name := st.merged.Services[i].Name
		s.Services = append(s.Services, st.live.services[name].view(name, st.plan.Cloud, KindService))
	}
	s.Endpoints = slices.Grow(s.Endpoints, len(st.merged.Endpoints))
	for i := range st.merged.Endpoints {
		name := st.merged.Endpoints[i].Name
		s.Endpoints = append(s.Endpoints, st.live.endpoints[name].view(name, st.plan.Cloud, KindEndpoint))
	}
	s.NATGateways = st.gatewayViews()
	return s
}

// reset puts everything back to what the plan says, and says whether anything
// was different.
func (st *state) reset() (events []Event, changed bool) {
	changed = st.live.changed()
	events, err := st.adopt(st.plan, newOverrides().fitted(st.plan, st.plan.Cloud, st.now()))
	if err != nil {
		panic("a plan that was adopted once is refused now: " + err.Text)
	}
	for _, c := range st.connections {
		events = append(events, st.resetConnection(c)...)
	}
	st.overlay()
	return events, changed || len(events) > 0
}

func (st *state) resetConnection(c *connection) (events []Event) {
	service := findService(st.merged, c.Service)
	asPlanned := c.limit == nil
	for _, z := range c.Zones {
		asPlanned = asPlanned && z.State == c.State && z.Replaced == "" &&
			(z.LoadBalancer == "" || z.LoadBalancer == c.allocate(st.plan.Name, service, z.Zone, ""))
	}
	if c.State == Wait && asPlanned || service.AutoAccept && c.State.Open() && asPlanned {
		return nil
	}
	c.limit = nil
	from := c.Status
	c.enter(Wait)
	for i := range c.Zones {
		c.Zones[i].enter(c.cloud, Wait)
		c.Zones[i].LoadBalancer = ""
	}
	c.Since, c.Modified, c.revision = st.now(), st.now(), st.revision+1
	events = append(events, c.event(Reset, "", from, c.Status))
	if service.AutoAccept {
		events = append(events, st.move(c, Accept, ""))
		c.pin(st.plan.Name, service)
	}
	return events
}

// ends are the service and the endpoint of a connection.
type ends struct{ service, endpoint string }

func (c *connection) ends() ends { return ends{c.Service, c.Endpoint} }

func byEnds(all []*connection) map[ends]*connection {
	out := make(map[ends]*connection, len(all))
	for _, c := range all {
		out[c.ends()] = c
	}
	return out
}

func servicesOf(plan *topology.Plan) map[string]*topology.EndpointService {
	out := make(map[string]*topology.EndpointService, len(plan.Services))
	for i := range plan.Services {
		out[plan.Services[i].Name] = &plan.Services[i]
	}
	return out
}

func (st *state) find(service, endpoint string) *connection {
	for _, c := range st.connections {
		if c.Service == service && c.Endpoint == endpoint {
			return c
		}
	}
	return nil
}

func findService(plan *topology.Plan, name string) *topology.EndpointService {
	for i := range plan.Services {
		if plan.Services[i].Name == name {
			return &plan.Services[i]
		}
	}
	return nil
}

func (o *object) view(name string, cloud topology.Cloud, kind Kind) Object {
	return Object{Name: name, State: o.State, Status: Word(cloud, kind, o.State), Modified: o.Modified}
}

// gatewayViews is the view of every gateway that is there.
func (st *state) gatewayViews() []NATGateway {
	var out []NATGateway
	for i := range st.plan.NATGateways {
		planned := &st.plan.NATGateways[i]
		g := st.live.gateways[planned.Name]
		if g.State == Gone {
			continue
		}
		view := NATGateway{Object: g.view(planned.Name, st.plan.Cloud, KindGateway), Planned: planned}
		for _, ip := range g.ips(planned) {
			if held := g.NATIPs[ip.IP.String()]; held.State != Gone {
				view.NATIPs = append(view.NATIPs, NATIP{held.view(ip.IP.String(), st.plan.Cloud, KindNATIP), ip})
			}
		}
		for _, e := range g.entries(planned) {
			if held := g.Entries[e.Name]; held.State != Gone {
				view.Entries = append(view.Entries, FullNATEntry{held.view(e.Name, st.plan.Cloud, KindEntry), e})
			}
		}
		out = append(out, view)
	}
	return out
}
