// Package control is the control plane of a lab: endpoint services, endpoints
// and the connections between them, who may do what, and in which state
// everything is. It speaks to no kernel and to no network.
//
// A Plane is made from a plan and told what users want. Whoever runs the data
// plane waits on Changed, reads State, makes it so, and says with Report which
// revision is in force; that is what moves a connection from Connecting to
// Connected. So a state is never ahead of the packets:
//
//	for range plane.Changed() {
//		state := plane.State()
//		configure(compile(plan, state))
//		plane.Report(state.Revision)
//	}
//
// What accounts can do is a table of operations (see Do), the states and verbs
// are tables (see TransitionTables), the clouds' words are a view of them (see
// Word), and every change is an Event.
package control

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Plane is the control plane of one lab. Its methods are what a cloud's API
// can do, the caller's account first; each either changes the state and emits
// an Event, or returns an *Error and changes nothing. All of them may be
// called from any goroutine; those that take a context may wait.
type Plane struct {
	now     func() time.Time
	changed chan struct{}

	mu          sync.Mutex
	plan        *topology.Plan // what the file says
	live        live           // what was changed since
	over        *topology.Plan // both together
	connections []*connection  // in the order of the plan's endpoints
	revision    uint64         // of the newest change
	applied     uint64         // the newest revision that was reported
	history     []Event
	lastSeq     uint64
	signal      chan struct{} // closed and replaced when anything above changes
}

// NewPlane makes the control plane of a plan's services and endpoints. Every
// connection waits for its provider, or is connecting where the service
// accepts by itself. now is the clock of events.
func NewPlane(plan *topology.Plan, now func() time.Time) (*Plane, error) {
	p := &Plane{
		now:     now,
		changed: make(chan struct{}, 1),
		plan:    &topology.Plan{},
		over:    &topology.Plan{},
		live:    newLive(),
		signal:  make(chan struct{}),
	}
	if err := p.Apply(plan); err != nil {
		return nil, err
	}
	return p, nil
}

// Apply takes over a changed plan. A connection whose service and endpoint are
// the same objects as before keeps its state, a new one starts, and one whose
// service or endpoint is gone goes too. What was changed while the lab runs
// stays changed where the plan still has the object. Auto accept and whitelist
// count when a connection is made and leave those alone that are there.
func (p *Plane) Apply(plan *topology.Plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	events, err := p.adoptLocked(plan, p.live.fitted(plan, p.plan.Cloud, p.now()))
	if err != nil {
		return err.in(plan.Cloud)
	}
	p.commitLocked(events...)
	return nil
}

// adoptLocked makes a plan, and what lies over it, the plane's, and the
// connections those of its endpoints. An error changes nothing.
func (p *Plane) adoptLocked(plan *topology.Plan, next live) ([]Event, *Error) {
	var (
		over        = next.over(plan)
		connections []*connection
		events      []Event
	)
	for i := range over.Endpoints {
		endpoint := &over.Endpoints[i]
		service := findService(over, endpoint.Service)
		c := p.keptLocked(plan, endpoint)
		switch {
		case c == nil && service == nil:
			return nil, unknownService(over, "", endpoint.Service)
		case c == nil && !service.Sees(endpoint.Account):
			return nil, notWhitelisted(service, endpoint.Account)
		}
		c, made := p.nextLocked(plan, c, service, endpoint)
		if service != nil {
			c.pin(plan.Name, service)
		}
		connections, events = append(connections, c), append(events, made...)
	}
	for _, c := range p.connections {
		if !slices.ContainsFunc(connections, c.same) {
			events = append(events, c.event(Delete, "", c.Status, ""))
		}
	}
	p.plan, p.live, p.connections = plan, next, connections
	p.overlayLocked()
	return events, nil
}

// overlayLocked brings the plan as it is now up to date.
func (p *Plane) overlayLocked() {
	p.over = p.live.over(p.plan)
	for i := range p.over.Endpoints {
		e := &p.over.Endpoints[i]
		c := p.findLocked(e.Service, e.Name)
		if c == nil {
			continue
		}
		if service := findService(p.over, e.Service); service != nil {
			p.inheritLocked(c, service, e)
		}
		if c.limit != nil {
			c.Bandwidth = *c.limit
			limit(&e.Impairments, *c.limit)
		}
	}
}

// inheritLocked gives a connection the bandwidth of its service, and its
// endpoint the zone affinity, unless it has one of its own.
func (p *Plane) inheritLocked(c *connection, service *topology.EndpointService, e *topology.Endpoint) {
	c.Bandwidth = service.Bandwidth
	if on := p.live.services[service.Name].ZoneAffinity; on != nil && !e.OwnAffinity && p.live.endpoints[e.Name].ZoneAffinity == nil {
		e.ZoneAffinity = *on
	}
	if p.live.services[service.Name].Bandwidth != nil {
		limit(&e.Impairments, service.Bandwidth)
	}
}

func limit(i *topology.Impairments, mbit int) {
	i.ToProvider.Bandwidth = int64(mbit) * 1e6
	i.ToConsumer.Bandwidth = int64(mbit) * 1e6
}

// keptLocked copies the connection that an endpoint already has, nil where it
// is new or where one of its ends became another object.
func (p *Plane) keptLocked(plan *topology.Plan, endpoint *topology.Endpoint) *connection {
	c := p.findLocked(endpoint.Service, endpoint.Name)
	before, service := findService(p.plan, endpoint.Service), findService(plan, endpoint.Service)
	if c == nil || before == nil || service == nil || c.cloud != plan.Cloud ||
		c.vpc != endpoint.VPC || c.Account != endpoint.Account || before.Account != service.Account {
		return nil
	}
	return c.clone()
}

// nextLocked brings a kept connection up to date or starts a new one where
// kept is nil.
func (p *Plane) nextLocked(plan *topology.Plan, kept *connection, service *topology.EndpointService, endpoint *topology.Endpoint) (*connection, []Event) {
	if kept != nil {
		events := kept.setZones(endpoint)
		if len(events) > 0 {
			kept.revision, kept.Modified = p.revision+1, p.now()
		}
		return kept, events
	}
	c := newConnection(plan, endpoint, p.now())
	c.setZones(endpoint) // part of the creation: no events of their own
	events := []Event{c.event(Create, endpoint.Account, "", c.Status)}
	c.revision = p.revision + 1
	if service.AutoAccept {
		events = append(events, p.moveLocked(c, Accept, ""))
	}
	return c, events
}

// same reports whether o is a later copy of c, not a new connection of the
// same name.
func (c *connection) same(o *connection) bool {
	return c.name() == o.name() && c.vpc == o.vpc && c.Account == o.Account && c.cloud == o.cloud
}

// Reset puts everything back to where the plan has it and no provider has
// decided, and returns the revision at which that is so: see WaitApplied.
// Connections whose services accept by themselves are accepted again where
// they were not connected any more.
func (p *Plane) Reset() (revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := p.live.changed()
	events, err := p.adoptLocked(p.plan, newLive().fitted(p.plan, p.plan.Cloud, p.now()))
	if err != nil {
		panic("a plan that was taken over once cannot be refused: " + err.Text)
	}
	for _, c := range p.connections {
		events = append(events, p.resetLocked(c)...)
	}
	if changed || len(events) > 0 {
		p.overlayLocked()
		p.commitLocked(events...)
	}
	return p.revision
}

func (p *Plane) resetLocked(c *connection) (events []Event) {
	service := findService(p.over, c.Service)
	asPlanned := c.limit == nil
	for _, z := range c.Zones {
		asPlanned = asPlanned && z.State == c.State && z.Replaced == "" && (z.LoadBalancer == "" || z.LoadBalancer == c.allocate(p.plan.Name, service, z.Zone, ""))
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
	c.Since, c.Modified, c.revision = p.now(), p.now(), p.revision+1
	events = append(events, c.event(Reset, "", from, c.Status))
	if service.AutoAccept {
		events = append(events, p.moveLocked(c, Accept, ""))
		c.pin(p.plan.Name, service)
	}
	return events
}

// State is a copy of every connection with its zones.
func (p *Plane) State() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Snapshot{Revision: p.revision, Plan: p.over, Connections: make([]Connection, len(p.connections))}
	for i, c := range p.connections {
		s.Connections[i] = c.copy()
	}
	for _, svc := range p.over.Services {
		s.Services = append(s.Services, p.live.services[svc.Name].view(svc.Name, p.plan.Cloud, KindService))
	}
	for _, ep := range p.over.Endpoints {
		s.Endpoints = append(s.Endpoints, p.live.endpoints[ep.Name].view(ep.Name, p.plan.Cloud, KindEndpoint))
	}
	s.NATGateways = p.gatewaysLocked()
	return s
}

func (o *object) view(name string, cloud topology.Cloud, kind Kind) Object {
	return Object{Name: name, State: o.State, Status: Word(cloud, kind, o.State), Modified: o.Modified}
}

// Plan is the plan as it is now: see Snapshot.
func (p *Plane) Plan() *topology.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// Revision is the number of the newest change; it only grows.
func (p *Plane) Revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revision
}

// Changed gets a value when the state has changed. Several changes may be one
// value, and it is there at once for a new plane. It is for one reader.
func (p *Plane) Changed() <-chan struct{} { return p.changed }

// Report says that the data plane does what the state of revision asks for:
// what was connecting by then is connected, what was disconnecting is
// disconnected, what was being deleted is gone. If anything moved, that is a
// change with a revision of its own, and reporting that one moves nothing.
func (p *Plane) Report(revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = max(p.applied, min(revision, p.revision))
	var events []Event
	due := map[*connection]bool{}
	for _, c := range p.connections {
		due[c] = c.revision <= revision
	}
	for _, c := range p.connections {
		if due[c] {
			events = append(events, p.settledLocked(c)...)
		}
	}
	events = append(events, p.settledObjectsLocked(revision, due)...)
	if len(events) > 0 {
		p.commitLocked(events...)
		return
	}
	p.signalLocked()
}

// settledLocked moves a connection and its zones to where they rest.
func (p *Plane) settledLocked(c *connection) (events []Event) {
	if c.State == Deleting {
		return nil // it goes with its endpoint
	}
	if _, ok := c.next(Report); ok {
		return []Event{p.moveLocked(c, Report, "")}
	}
	for i := range c.Zones {
		z := &c.Zones[i]
		to, ok := zoneLife.next[z.State][Report]
		if !ok || to == Gone {
			continue
		}
		from := z.Status
		z.enter(c.cloud, to)
		c.Modified, c.revision = p.now(), p.revision+1
		events = append(events, c.zoneEvent(Report, *z, from, z.Status))
	}
	return events
}

// settledObjectsLocked moves services and endpoints to where they rest, and
// forgets those that are gone.
func (p *Plane) settledObjectsLocked(revision uint64, due map[*connection]bool) (events []Event) {
	events = p.settledGatewaysLocked(revision)
	gone := false
	for _, planned := range p.plan.Services {
		s := p.live.services[planned.Name]
		events = append(events, p.settleLocked(&s.object, revision, KindService, planned.Name, &gone)...)
	}
	for _, planned := range p.plan.Endpoints {
		e := p.live.endpoints[planned.Name]
		events = append(events, p.settleLocked(&e.object, revision, KindEndpoint, planned.Name, &gone)...)
		if c := p.findLocked(planned.Service, planned.Name); c != nil && due[c] {
			for _, z := range c.Zones {
				if z.State == Deleting {
					set(&e.Zones, z.Zone, false)
					gone = true
				}
			}
		}
	}
	if !gone {
		return events
	}
	left, err := p.adoptLocked(p.plan, p.live)
	if err != nil {
		panic("what is left when something goes was there before: " + err.Text)
	}
	return append(events, left...)
}

func (p *Plane) settleLocked(o *object, revision uint64, kind Kind, name string, gone *bool) []Event {
	to, ok := objectLife.next[o.State][Report]
	if !ok || o.revision > revision {
		return nil
	}
	from := Word(p.plan.Cloud, kind, o.State)
	p.enterLocked(o, to)
	if to == Gone {
		o.Exists, *gone = new(bool), true
	}
	word := Word(p.plan.Cloud, kind, to)
	if from == word {
		return nil
	}
	text := fmt.Sprintf("%s %q is %s", kind.noun(), name, word)
	if to == Gone {
		text = fmt.Sprintf("%s %q is gone", kind.noun(), name)
	}
	return []Event{objectEvent(kind, name, Report, "", from, word, text)}
}

func (p *Plane) enterLocked(o *object, s State) {
	o.State, o.Modified, o.revision = s, p.now(), p.revision+1
}

// rests reports whether c is where somebody waits for it to be. To a cloud
// with one word for both, a connection that waits is disconnected too.
func (c *connection) rests(want State) bool {
	if c.State == Wait && want == Disconnected {
		return c.word(Wait) == c.word(Disconnected)
	}
	return c.State == want
}

// WaitApplied returns when revision, or a later one, was reported.
func (p *Plane) WaitApplied(ctx context.Context, revision uint64) error {
	for {
		applied, signal := p.appliedAndSignal()
		if applied >= revision {
			return nil
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return fmt.Errorf("the data plane is still at revision %d and not at %d: %w", applied, revision, context.Cause(ctx))
		}
	}
}

func (p *Plane) appliedAndSignal() (uint64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied, p.signal
}

func (p *Plane) findLocked(service, endpoint string) *connection {
	for _, c := range p.connections {
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

// moveLocked does what the caller found to be allowed and gives the event.
func (p *Plane) moveLocked(c *connection, verb Verb, account string) Event {
	from := c.Status
	c.enter(connectionLife.next[c.State][verb])
	c.follow(verb)
	c.Since, c.Modified, c.revision = p.now(), p.now(), p.revision+1
	return c.event(verb, account, from, c.Status)
}

// commitLocked makes what was changed a revision and tells everybody. It
// returns the first event as the history has it.
func (p *Plane) commitLocked(events ...Event) (first Event) {
	p.revision++
	for i, e := range events {
		e = p.recordLocked(e)
		if i == 0 {
			first = e
		}
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
	p.signalLocked()
	return first
}

func (p *Plane) signalLocked() {
	close(p.signal)
	p.signal = make(chan struct{})
}
