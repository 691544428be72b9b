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
// The states and verbs are one table (see TransitionTable), the clouds' words
// are a view of it (see Word), and every change is an Event.
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
	plan        *topology.Plan
	connections []*connection // in the order of the plan's endpoints
	revision    uint64        // of the newest change
	applied     uint64        // the newest revision that was reported
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
		signal:  make(chan struct{}),
	}
	if err := p.Apply(plan); err != nil {
		return nil, err
	}
	return p, nil
}

// Apply takes over a changed plan. A connection whose service and endpoint are
// the same objects as before keeps its state, a new one starts, and one whose
// service or endpoint is gone goes too. Auto accept and whitelist count when a
// connection is made and leave those alone that are there.
func (p *Plane) Apply(plan *topology.Plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var (
		next   []*connection
		events []Event
	)
	for i := range plan.Endpoints {
		endpoint := &plan.Endpoints[i]
		service := findService(plan, endpoint.Service)
		if service == nil {
			return unknownService(plan, endpoint.Service)
		}
		c := p.keptLocked(plan, service, endpoint)
		if c == nil && !slices.Contains(service.Whitelist, endpoint.Account) && service.Account != endpoint.Account {
			return notWhitelisted(service, endpoint)
		}
		c, made := p.nextLocked(plan, c, service, endpoint)
		next, events = append(next, c), append(events, made...)
	}
	for _, c := range next {
		c.pin(findService(plan, c.Service), next)
	}
	for _, c := range p.connections {
		if !slices.ContainsFunc(next, c.same) {
			events = append(events, c.event(Delete, "", c.Status, ""))
		}
	}
	p.plan, p.connections = plan, next
	p.commitLocked(events...)
	return nil
}

// keptLocked copies the connection that an endpoint already has, nil where it
// is new or where one of its ends became another object.
func (p *Plane) keptLocked(plan *topology.Plan, service *topology.EndpointService, endpoint *topology.Endpoint) *connection {
	c := p.findLocked(service.Name, endpoint.Name)
	before := findService(p.plan, service.Name)
	if c == nil || before == nil || c.cloud != plan.Cloud ||
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
			kept.revision = p.revision + 1
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

// Accept lets an endpoint connect. account is the caller; "" stands for the
// service's owner.
func (p *Plane) Accept(account, service, endpoint string) error {
	return p.decide(account, service, endpoint, Accept)
}

// Reject refuses a connection that waits or ends one that is there. account is
// the caller; "" stands for the service's owner.
func (p *Plane) Reject(account, service, endpoint string) error {
	return p.decide(account, service, endpoint, Reject)
}

func (p *Plane) decide(account, service, endpoint string, verb Verb) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, c, err := p.lookupLocked(service, endpoint)
	if err != nil {
		return err
	}
	if account == "" {
		account = s.Account
	}
	if !slices.ContainsFunc(p.plan.Accounts, func(a topology.Account) bool { return a.Name == account }) {
		return unknownAccount(p.plan, account)
	}
	if account != s.Account {
		return notOwner(account, s, verb)
	}
	if _, ok := c.next(verb); !ok {
		return wrongState(c, verb)
	}
	e := p.moveLocked(c, verb, account)
	c.pin(s, p.connections)
	p.commitLocked(e)
	return nil
}

// ResetAcceptance puts every connection whose service does not accept by
// itself back to where its provider has not decided, and returns the revision
// at which that is so: see WaitApplied.
func (p *Plane) ResetAcceptance() (revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []Event
	for _, c := range p.connections {
		if _, ok := c.next(Reset); ok && !findService(p.plan, c.Service).AutoAccept {
			events = append(events, p.moveLocked(c, Reset, ""))
		}
	}
	if len(events) > 0 {
		p.commitLocked(events...)
	}
	return p.revision
}

// State is a copy of every connection with its zones.
func (p *Plane) State() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Snapshot{Revision: p.revision, Connections: make([]Connection, len(p.connections))}
	for i, c := range p.connections {
		s.Connections[i] = c.copy()
	}
	return s
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
// disconnected. If anything moved, that is a change with a revision of its
// own, and reporting that one moves nothing.
func (p *Plane) Report(revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = max(p.applied, min(revision, p.revision))
	var events []Event
	changed := false
	for _, c := range p.connections {
		if c.revision > revision {
			continue
		}
		if _, ok := c.next(Report); ok {
			events, changed = append(events, p.moveLocked(c, Report, "")), true
		} else if c.follow(Report) {
			c.revision, changed = p.revision+1, true
		}
	}
	if changed {
		p.commitLocked(events...)
		return
	}
	p.signalLocked()
}

// Wait returns when the connection is in the wanted state; one that was never
// accepted counts as Disconnected where the cloud calls it so. When ctx ends
// first, the error says what it was waiting for and where the connection is.
func (p *Plane) Wait(ctx context.Context, service, endpoint string, want State) error {
	for {
		c, signal, err := p.lookAt(service, endpoint)
		if err != nil {
			return err
		}
		if c.rests(want) {
			return nil
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return fmt.Errorf("%s is still %s and not %s%s: %w", c, c.Status, c.word(want), c.whyWaiting(), context.Cause(ctx))
		}
	}
}

func (p *Plane) lookAt(service, endpoint string) (*connection, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, c, err := p.lookupLocked(service, endpoint)
	if err != nil {
		return nil, nil, err
	}
	return c.clone(), p.signal, nil
}

// rests reports whether c is where somebody waits for it to be. To a cloud
// with one word for both, a connection that waits is disconnected too.
func (c *connection) rests(want State) bool {
	if c.State == Wait && want == Disconnected {
		return c.word(Wait) == c.word(Disconnected)
	}
	return c.State == want
}

func (c *connection) whyWaiting() string {
	switch c.State {
	case Wait:
		return ", because its provider has not accepted it"
	case Disconnected:
		return ", because its provider rejected it"
	case Connecting, Disconnecting:
		return ", because the data plane has not taken it over"
	}
	return ""
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

// lookupLocked finds what a caller named, or says which name is wrong.
func (p *Plane) lookupLocked(service, endpoint string) (*topology.EndpointService, *connection, error) {
	s := findService(p.plan, service)
	if s == nil {
		return nil, nil, unknownService(p.plan, service)
	}
	i := slices.IndexFunc(p.plan.Endpoints, func(e topology.Endpoint) bool { return e.Name == endpoint })
	if i < 0 {
		return nil, nil, unknownEndpoint(p.plan, endpoint)
	}
	c := p.findLocked(service, endpoint)
	if c == nil {
		return nil, nil, notConnectable(s, &p.plan.Endpoints[i])
	}
	return s, c, nil
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
	c.enter(transitions[c.State][verb])
	c.follow(verb)
	c.Since, c.revision = p.now(), p.revision+1
	return c.event(verb, account, from, c.Status)
}

// commitLocked makes what was changed a revision and tells everybody.
func (p *Plane) commitLocked(events ...Event) {
	p.revision++
	for _, e := range events {
		p.recordLocked(e)
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
	p.signalLocked()
}

func (p *Plane) signalLocked() {
	close(p.signal)
	p.signal = make(chan struct{})
}
