package control

import (
	"fmt"
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// connectionOperations are those on connections.
type connectionOperations struct{ rules }

var connectionVerbs = map[Verb]operation{
	topology.VerbAccept:      on(connectionOperations.accept),
	topology.VerbReject:      on(connectionOperations.reject),
	topology.VerbBandwidth:   on(connectionOperations.bandwidth),
	topology.VerbZoneEnable:  on(connectionOperations.zoneEnable),
	topology.VerbZoneDisable: on(connectionOperations.zoneDisable),
	topology.VerbReplace:     on(connectionOperations.replace),
	topology.VerbRelease:     on(connectionOperations.release),
}

func (op connectionOperations) accept(o topology.Operation) ([]Event, *Error) {
	s, c, err := op.ownConnection(&o)
	if err != nil {
		return nil, err
	}
	if _, ok := c.next(Accept); !ok {
		return nil, wrongState(c, Accept)
	}
	if err := checkBandwidth(o.Bandwidth, s, c.name()); err != nil {
		return nil, err
	}
	for _, r := range o.Resources {
		if c.zone(r.Zone) == nil {
			return nil, noZone(c, r.Zone)
		}
		if err := offers(s, r); err != nil {
			return nil, err
		}
	}
	for _, z := range c.Zones {
		if err := op.reachable(c, s, z.Zone); err != nil {
			return nil, err
		}
	}
	for _, r := range o.Resources {
		c.zone(r.Zone).LoadBalancer = r.LoadBalancer
	}
	if o.Bandwidth != nil {
		c.limit = o.Bandwidth
	}
	e := op.move(c, Accept, o.As)
	c.pin(op.plan.Name, s)
	return []Event{e}, nil
}

func (op connectionOperations) reject(o topology.Operation) ([]Event, *Error) {
	_, c, err := op.ownConnection(&o)
	if err != nil {
		return nil, err
	}
	if _, ok := c.next(Reject); !ok {
		return nil, wrongState(c, Reject)
	}
	return []Event{op.move(c, Reject, o.As)}, nil
}

func (op connectionOperations) bandwidth(o topology.Operation) ([]Event, *Error) {
	s, c, err := op.ownConnection(&o)
	if err != nil {
		return nil, err
	}
	if o.Bandwidth == nil {
		return nil, invalid("connection", c.name(), "name one in Mbit/s, or none", "%s gets no bandwidth", c)
	}
	if err := checkBandwidth(o.Bandwidth, s, c.name()); err != nil {
		return nil, err
	}
	if _, ok := c.next(Bandwidth); !ok {
		return nil, wrongState(c, Bandwidth)
	}
	c.limit, c.Bandwidth = o.Bandwidth, *o.Bandwidth
	since := c.Since
	e := op.move(c, Bandwidth, o.As)
	c.Since = since // it was connected all the time
	return []Event{e}, nil
}

// connectedZone is a zone that its provider wants to change, which is
// possible only while the connection stands.
func (op connectionOperations) connectedZone(o *topology.Operation, verb Verb) (*topology.EndpointService,
	*connection, *Zone, *Error) {
	s, c, err := op.ownConnection(o)
	if err != nil {
		return nil, nil, nil, err
	}
	z := c.zone(o.Zone)
	switch {
	case z == nil:
		return nil, nil, nil, noZone(c, o.Zone)
	case c.State != Connected:
		return nil, nil, nil, &Error{
			Code: topology.WrongState, Kind: "connection", Name: c.name(),
			Text: fmt.Sprintf("zone %q of %s cannot be %s while the connection is %s", z.Zone, c, pastTense[verb],
				c.Status),
			Hint: fmt.Sprintf("the connection must be %s", c.word(Connected)),
		}
	case zoneLife.next[z.State][verb] == "":
		return nil, nil, nil, wrongZoneState(c, z, verb)
	}
	return s, c, z, nil
}

func (op connectionOperations) zoneEnable(o topology.Operation) ([]Event, *Error) {
	s, c, z, err := op.connectedZone(&o, ZoneEnable)
	if err != nil {
		return nil, err
	}
	if err := op.reachable(c, s, z.Zone); err != nil {
		return nil, err
	}
	e := op.moveZone(c, z, ZoneEnable, o.As, "enabled")
	c.pin(op.plan.Name, s)
	return []Event{e}, nil
}

func (op connectionOperations) zoneDisable(o topology.Operation) ([]Event, *Error) {
	_, c, z, err := op.connectedZone(&o, ZoneDisable)
	if err != nil {
		return nil, err
	}
	return []Event{op.moveZone(c, z, ZoneDisable, o.As, "disabled")}, nil
}

// replace gives a zone another resource. Alibaba Cloud puts a new ENI
// beside the old one and lets clients find it by its name; here the ENI stays,
// and its new sessions go elsewhere. An NLB cannot be replaced (PrivateLink,
// "Use cases of service resource scheduling").
func (op connectionOperations) replace(o topology.Operation) ([]Event, *Error) {
	verb := Replace
	if o.Force {
		verb = Force
	}
	s, c, z, err := op.connectedZone(&o, verb)
	if err != nil {
		return nil, err
	}
	if balancer, err := op.plan.LoadBalancer(z.LoadBalancer); err == nil && balancer.Type == topology.NLB &&
		op.plan.Profile.KeepNLB {
		e := &Error{
			Code: topology.Unsupported, Kind: "zone", Name: c.name() + "@" + z.Zone, Hint: "disable the zone instead",
			Text: fmt.Sprintf("load balancer %q is an nlb, and %s replaces all load balancers but those",
				z.LoadBalancer, op.plan.Cloud),
		}
		return nil, e.remedied(topology.Operation{
			Verb: topology.VerbZoneDisable, Service: s.Name, Endpoint: c.Endpoint, Zone: z.Zone,
		})
	}
	to := o.Resource
	if to == "" {
		if to = c.allocate(op.plan.Name, s, z.Zone, z.LoadBalancer); to == "" {
			return nil, invalid("zone", c.name()+"@"+z.Zone, "attach one",
				"endpoint service %q has no other load balancer in zone %q", s.Name, z.Zone).remedied(attaching(s,
				z.Zone))
		}
	}
	if to == z.LoadBalancer {
		return nil, invalid("zone", c.name()+"@"+z.Zone, "there is nothing to do",
			"zone %q of %s goes to load balancer %q already", z.Zone, c, to)
	}
	if err := offers(s, topology.Resource{LoadBalancer: to, Zone: z.Zone}); err != nil {
		return nil, err
	}
	from := z.LoadBalancer
	z.LoadBalancer, z.Replaced = to, from
	e := op.moveZone(c, z, verb, o.As, "")
	e.Text = fmt.Sprintf("account %q moved zone %q of %s from load balancer %q to %q", o.As, z.Zone, c, from, to)
	return []Event{e}, nil
}

func (op connectionOperations) release(o topology.Operation) ([]Event, *Error) {
	_, c, z, err := op.connectedZone(&o, Release)
	if err != nil {
		return nil, err
	}
	old := z.Replaced
	e := op.moveZone(c, z, Release, o.As, "")
	e.Text = fmt.Sprintf("account %q released load balancer %q, which zone %q of %s had before", o.As, old, z.Zone, c)
	return []Event{e}, nil
}

// Drained says that no session goes through the resource that a zone had
// before any more. Where the zone has changed meanwhile, it does nothing.
func (p *Plane) Drained(service, endpoint, zone, replaced string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.state.find(service, endpoint)
	if c == nil {
		return
	}
	z := c.zone(zone)
	if z == nil || z.State != Migrated || z.Replaced != replaced {
		return
	}
	e := p.state.moveZone(c, z, Release, "", "")
	e.Text = fmt.Sprintf("the last session through load balancer %q, which zone %q of %s had before, has ended",
		replaced, zone, c)
	p.commitLocked(e)
}

func noZone(c *connection, name string) *Error {
	var known []string
	for _, z := range c.Zones {
		known = append(known, z.Zone)
	}
	e := unknown("zone", name, known)
	e.Text = fmt.Sprintf("endpoint %q is not in zone %q", c.Endpoint, name)
	if len(known) == 0 {
		e.Hint = "it is in no zone"
	}
	return e
}

// offers says whether a service has a resource.
func offers(s *topology.EndpointService, r topology.Resource) *Error {
	if slices.Contains(s.Resources, r) {
		return nil
	}
	var known []string
	for _, other := range s.Resources {
		if other.Zone == r.Zone {
			known = append(known, other.LoadBalancer)
		}
	}
	e := unknown("resource", r.String(), known)
	e.Text = fmt.Sprintf("endpoint service %q has no load balancer %q in zone %q", s.Name, r.LoadBalancer, r.Zone)
	if len(known) == 0 {
		e.Hint = "it has none there"
	}
	return e
}

// reachable says whether a zone has something to connect to. The NAT
// gateway of a service for reverse endpoints is there for all zones.
func (op connectionOperations) reachable(c *connection, s *topology.EndpointService, zone string) *Error {
	if s.Reverse || c.allocate(op.plan.Name, s, zone, "") != "" {
		return nil
	}
	return invalid("endpoint service", s.Name, "attach one",
		"endpoint service %q has no load balancer in zone %q", s.Name, zone).remedied(attaching(s, zone))
}

// attaching gives a service a load balancer in a zone, which the user chooses.
func attaching(s *topology.EndpointService, zone string) topology.Operation {
	return topology.Operation{Verb: topology.VerbAttach, Service: s.Name, Zone: zone}
}

// rejecting ends a connection.
func rejecting(c *connection) topology.Operation {
	return topology.Operation{Verb: Reject, Service: c.Service, Endpoint: c.Endpoint}
}
