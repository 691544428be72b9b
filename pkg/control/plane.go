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
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Plane is the control plane of one lab. Its methods are what a cloud's API
// can do, the caller's account first; each either changes the state and emits
// an Event, or returns an *Error and changes nothing. All of them may be
// called from any goroutine; those that take a context may wait.
type Plane struct {
	changed chan struct{}

	mu      sync.Mutex
	state   *state
	allowed *fitting // what Allows made last, nil where the state may have changed since
	history history
	texts   savedTexts
	applied uint64        // the newest revision that was reported
	signal  chan struct{} // closed and replaced when anything above changes
}

// NewPlane makes the control plane of a plan's services and endpoints. Every
// connection waits for its provider, or is connecting where the service
// accepts by itself. now is the clock of events.
func NewPlane(plan *topology.Plan, now func() time.Time) (*Plane, error) {
	p := &Plane{changed: make(chan struct{}, 1), state: newState(now), signal: make(chan struct{})}
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
	f := p.fitLocked(plan)
	p.allowed = nil // it is the state's now, and that changes
	events, err := p.state.takeOver(f)
	if err != nil {
		return err.In(plan.Cloud, "")
	}
	p.commitLocked(append(events, f.withheld...)...)
	return nil
}

// fitLocked is a changed plan with the live overrides that fit it: what Allows has made of
// it already where nothing has changed since.
func (p *Plane) fitLocked(plan *topology.Plan) *fitting {
	if f := p.allowed; f != nil && f.plan == plan {
		return f
	}
	next := p.state.live.fitted(plan, p.state.plan.Cloud, p.state.now())
	withheld := p.state.withholdZones(plan, next)
	f := p.state.fit(plan, next)
	f.withheld = withheld
	return f
}

// Allows says why a changed plan is refused, before anything is made of it: for what Apply
// would say, and where it lacks what an operation attached to a service that stays.
// Nobody sees in the file that this is offered, and Apply drops it.
func (p *Plane) Allows(plan *topology.Plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.state.attachedStays(plan)
	if err == nil {
		p.allowed = p.fitLocked(plan)
		err = p.state.refuses(p.allowed)
	}
	if err == nil {
		return nil
	}
	return err.In(plan.Cloud, "")
}

// Reset puts everything back to where the plan has it and no provider has
// decided, and returns the revision at which that is so: see WaitApplied.
// Connections whose services accept by themselves are accepted again where
// they were not connected any more.
func (p *Plane) Reset() (revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = nil
	if events, changed := p.state.reset(); changed {
		p.commitLocked(events...)
	}
	return p.state.revision
}

// State is a copy of every connection with its zones.
func (p *Plane) State() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.snapshot()
}

// Plan is the plan as it is now: see Snapshot.
func (p *Plane) Plan() *topology.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.merged
}

// Deleted are the services and endpoints that operations have deleted, and that the
// plan still has.
func (p *Plane) Deleted() (services, endpoints []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, planned := range p.state.plan.Services {
		if p.state.live.services[planned.Name].wasDeleted() {
			services = append(services, planned.Name)
		}
	}
	for _, planned := range p.state.plan.Endpoints {
		if p.state.live.endpoints[planned.Name].wasDeleted() {
			endpoints = append(endpoints, planned.Name)
		}
	}
	return services, endpoints
}

// Revision is the number of the newest change; it only grows.
func (p *Plane) Revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.revision
}

// Changed gets a value when the state has changed. Several changes may be one
// value, and it is there at once for a new plane. It is for one reader.
func (p *Plane) Changed() <-chan struct{} { return p.changed }

// Report says that the data plane does what the state of revision asks for:
// what was connecting by then is connected, what was disconnecting is
// disconnected, what was being deleted is gone. If anything moved, that is a
// change with a revision of its own, and reporting that one moves nothing. It returns
// the newest revision that is in force: that one is where all that moved is carried
// as it was before.
func (p *Plane) Report(revision uint64) (inForce uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = max(p.applied, min(revision, p.state.revision))
	p.allowed = nil
	events, again := p.state.settle(revision)
	if len(events) == 0 {
		p.signalLocked()
		return p.applied
	}
	newest := p.applied == p.state.revision // nothing else has changed meanwhile
	p.commitLocked(events...)
	if newest && !again {
		p.applied = p.state.revision
	}
	return p.applied
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
			return fmt.Errorf("the data plane is still at revision %d and not at %d: %w", applied, revision,
				context.Cause(ctx))
		}
	}
}

func (p *Plane) appliedAndSignal() (uint64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied, p.signal
}

// commitLocked makes what was changed a revision and tells everybody. It
// returns the first event as the history has it.
func (p *Plane) commitLocked(events ...Event) (first Event) {
	p.state.revision++
	p.allowed = nil
	for i, e := range events {
		e = p.history.record(e, p.state.now)
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
