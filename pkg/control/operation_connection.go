package control

import (
	"fmt"
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

func (p *Plane) acceptLocked(o topology.Operation) ([]Event, *Error) {
	s, c, err := p.providersLocked(&o)
	if err != nil {
		return nil, err
	}
	if _, ok := c.next(Accept); !ok {
		return nil, wrongState(c, Accept)
	}
	if err := checkBandwidth(o.Bandwidth, c.name()); err != nil {
		return nil, err
	}
	for _, r := range o.Resources {
		if c.zone(r.Zone) == nil {
			return nil, p.noZone(c, r.Zone)
		}
		if err := offers(s, r); err != nil {
			return nil, err
		}
	}
	for _, z := range c.Zones {
		if err := p.reachableLocked(c, s, z.Zone); err != nil {
			return nil, err
		}
	}
	for _, r := range o.Resources {
		c.zone(r.Zone).LoadBalancer = r.LoadBalancer
	}
	if o.Bandwidth != nil {
		c.limit = o.Bandwidth
	}
	e := p.moveLocked(c, Accept, o.As)
	c.pin(p.plan.Name, s)
	return []Event{e}, nil
}

func (p *Plane) rejectLocked(o topology.Operation) ([]Event, *Error) {
	_, c, err := p.providersLocked(&o)
	if err != nil {
		return nil, err
	}
	if _, ok := c.next(Reject); !ok {
		return nil, wrongState(c, Reject)
	}
	return []Event{p.moveLocked(c, Reject, o.As)}, nil
}

func (p *Plane) bandwidthLocked(o topology.Operation) ([]Event, *Error) {
	_, c, err := p.providersLocked(&o)
	if err != nil {
		return nil, err
	}
	if o.Bandwidth == nil {
		return nil, invalid("connection", c.name(), "name one in Mbit/s, or none", "%s gets no bandwidth", c)
	}
	if err := checkBandwidth(o.Bandwidth, c.name()); err != nil {
		return nil, err
	}
	if _, ok := c.next(Bandwidth); !ok {
		return nil, wrongState(c, Bandwidth)
	}
	c.limit, c.Bandwidth = o.Bandwidth, *o.Bandwidth
	since := c.Since
	e := p.moveLocked(c, Bandwidth, o.As)
	c.Since = since // it was connected all the time
	return []Event{e}, nil
}

// connectedZoneLocked is a zone that its provider wants to change, which is
// possible only while the connection stands.
func (p *Plane) connectedZoneLocked(o *topology.Operation, verb Verb) (*topology.EndpointService, *connection, *Zone, *Error) {
	s, c, err := p.providersLocked(o)
	if err != nil {
		return nil, nil, nil, err
	}
	z := c.zone(o.Zone)
	switch {
	case z == nil:
		return nil, nil, nil, p.noZone(c, o.Zone)
	case c.State != Connected:
		return nil, nil, nil, &Error{
			Code: topology.WrongState, Kind: "connection", Name: c.name(),
			Text: fmt.Sprintf("zone %q of %s cannot be %s while the connection is %s", z.Zone, c, pastTense[verb], c.Status),
			Hint: fmt.Sprintf("the connection must be %s", c.word(Connected)),
		}
	case zoneLife.next[z.State][verb] == "":
		return nil, nil, nil, wrongZoneState(c, z, verb)
	}
	return s, c, z, nil
}

func (p *Plane) zoneEnableLocked(o topology.Operation) ([]Event, *Error) {
	s, c, z, err := p.connectedZoneLocked(&o, ZoneEnable)
	if err != nil {
		return nil, err
	}
	if err := p.reachableLocked(c, s, z.Zone); err != nil {
		return nil, err
	}
	e := p.moveZoneLocked(c, z, ZoneEnable, o.As, "enabled")
	c.pin(p.plan.Name, s)
	return []Event{e}, nil
}

func (p *Plane) zoneDisableLocked(o topology.Operation) ([]Event, *Error) {
	_, c, z, err := p.connectedZoneLocked(&o, ZoneDisable)
	if err != nil {
		return nil, err
	}
	return []Event{p.moveZoneLocked(c, z, ZoneDisable, o.As, "disabled")}, nil
}

// replaceLocked gives a zone another resource. Alibaba Cloud puts a new ENI
// beside the old one and lets clients find it by its name; here the ENI stays,
// and its new sessions go elsewhere. An NLB cannot be replaced (PrivateLink,
// "Use cases of service resource scheduling").
func (p *Plane) replaceLocked(o topology.Operation) ([]Event, *Error) {
	verb := Replace
	if o.Force {
		verb = Force
	}
	s, c, z, err := p.connectedZoneLocked(&o, verb)
	if err != nil {
		return nil, err
	}
	if balancer, err := p.plan.LoadBalancer(z.LoadBalancer); err == nil && balancer.Type == topology.NLB && p.plan.Profile.KeepNLB {
		e := &Error{
			Code: topology.Unsupported, Kind: "zone", Name: c.name() + "@" + z.Zone, Hint: "disable the zone instead",
			Text: fmt.Sprintf("load balancer %q is an nlb, and %s replaces all load balancers but those", z.LoadBalancer, p.plan.Cloud),
		}
		return nil, e.remedied(topology.Operation{
			Verb: topology.VerbZoneDisable, Service: s.Name, Endpoint: c.Endpoint, Zone: z.Zone,
		})
	}
	to := o.Resource
	if to == "" {
		if to = c.allocate(p.plan.Name, s, z.Zone, z.LoadBalancer); to == "" {
			return nil, invalid("zone", c.name()+"@"+z.Zone, "attach one",
				"endpoint service %q has no other load balancer in zone %q", s.Name, z.Zone).remedied(attaching(s, z.Zone))
		}
	}
	if to == z.LoadBalancer {
		return nil, invalid("zone", c.name()+"@"+z.Zone, "there is nothing to do", "zone %q of %s goes to load balancer %q already", z.Zone, c, to)
	}
	if err := offers(s, topology.Resource{LoadBalancer: to, Zone: z.Zone}); err != nil {
		return nil, err
	}
	from := z.LoadBalancer
	z.LoadBalancer, z.Replaced = to, from
	e := p.moveZoneLocked(c, z, verb, o.As, "")
	e.Text = fmt.Sprintf("account %q moved zone %q of %s from load balancer %q to %q", o.As, z.Zone, c, from, to)
	return []Event{e}, nil
}

func (p *Plane) releaseLocked(o topology.Operation) ([]Event, *Error) {
	_, c, z, err := p.connectedZoneLocked(&o, Release)
	if err != nil {
		return nil, err
	}
	old := z.Replaced
	e := p.moveZoneLocked(c, z, Release, o.As, "")
	e.Text = fmt.Sprintf("account %q released load balancer %q, which zone %q of %s had before", o.As, old, z.Zone, c)
	return []Event{e}, nil
}

// Drained says that no session goes through the resource that a zone had
// before any more. Where the zone has changed meanwhile, it does nothing.
func (p *Plane) Drained(service, endpoint, zone, replaced string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.findLocked(service, endpoint)
	if c == nil {
		return
	}
	z := c.zone(zone)
	if z == nil || z.State != Migrated || z.Replaced != replaced {
		return
	}
	e := p.moveZoneLocked(c, z, Release, "", "")
	e.Text = fmt.Sprintf("the last session through load balancer %q, which zone %q of %s had before, has ended", replaced, zone, c)
	p.commitLocked(e)
}

func (p *Plane) noZone(c *connection, name string) *Error {
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

// reachableLocked says whether a zone has something to connect to. The NAT
// gateway of a service for reverse endpoints is there for all zones.
func (p *Plane) reachableLocked(c *connection, s *topology.EndpointService, zone string) *Error {
	if s.Reverse || c.allocate(p.plan.Name, s, zone, "") != "" {
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
