package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// serviceOperations are those on endpoint services.
type serviceOperations struct{ rules }

var serviceVerbs = map[Verb]operation{
	topology.VerbServiceSet:      on(serviceOperations.set),
	topology.VerbServiceCreate:   on(serviceOperations.create),
	topology.VerbServiceDelete:   on(serviceOperations.delete),
	topology.VerbWhitelistAdd:    on(serviceOperations.whitelistAdd),
	topology.VerbWhitelistRemove: on(serviceOperations.whitelistRemove),
	topology.VerbAttach:          on(serviceOperations.attach),
	topology.VerbDetach:          on(serviceOperations.detach),
}

func (op serviceOperations) show(o topology.Operation) ([]Event, *Error) {
	s := findService(op.merged, o.Service)
	switch {
	case s == nil:
		return nil, unknownService(op.merged, o.As, o.Service)
	case o.As != "" && !s.Sees(o.As):
		return nil, notWhitelisted(s, o.As)
	}
	who := "everybody on its whitelist"
	if o.As != "" {
		who = fmt.Sprintf("account %q", o.As)
	}
	return []Event{{Kind: KindService, Name: s.Name,
		Text: fmt.Sprintf("%s sees endpoint service %q", who, s.Name)}}, nil
}

func (op serviceOperations) set(o topology.Operation) ([]Event, *Error) {
	s, held, err := op.ownService(&o)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(op.plan.Profile, "endpoint service", s.Name, o.Description); err != nil {
		return nil, err
	}
	if err := checkBandwidth(o.Bandwidth, s, s.Name); err != nil {
		return nil, err
	}
	var did []string
	if o.Description != nil {
		held.Description = o.Description
		did = append(did, fmt.Sprintf("description %q", *o.Description))
	}
	if o.AutoAccept != nil {
		held.AutoAccept = o.AutoAccept
		did = append(did, "auto accept "+onOff(*o.AutoAccept))
	}
	if o.ZoneAffinity != nil {
		held.ZoneAffinity = o.ZoneAffinity
		did = append(did, "zone affinity "+onOff(*o.ZoneAffinity))
	}
	if o.Bandwidth != nil {
		op.keepBandwidths(s)
		held.Bandwidth = o.Bandwidth
		did = append(did, "bandwidth of new connections "+limitText(*o.Bandwidth))
	}
	if more := held.offerZones(op.plan, s); len(more) > 0 {
		did = append(did, "it offers "+resourceList(more))
	}
	if len(did) == 0 {
		return nil, invalid("endpoint service", s.Name,
			"name a description, auto accept, zone affinity or a bandwidth",
			"nothing of endpoint service %q is to be changed", s.Name)
	}
	text := fmt.Sprintf("account %q changed endpoint service %q: %s", o.As, s.Name, strings.Join(did, ", "))
	return []Event{op.change(&held.object, KindService, s.Name, o.As, text)}, nil
}

// keepBandwidths lets connections keep what they have: a service's
// bandwidth is for new ones.
func (op serviceOperations) keepBandwidths(s *topology.EndpointService) {
	for _, c := range op.connections {
		if c.Service == s.Name && c.limit == nil && c.State.Open() {
			kept := c.Bandwidth
			c.limit = &kept
		}
	}
}

func onOff(v bool) string {
	if v {
		return "on"
	}
	return "off"
}

func checkDescription(profile topology.Profile, kind, name string, text *string) *Error {
	if text == nil {
		return nil
	}
	if err := profile.CheckDescription(*text); err != nil {
		return invalid(kind, name, "choose another one", "%s %q: %v", kind, name, err)
	}
	return nil
}

func (op serviceOperations) whitelistAdd(o topology.Operation) ([]Event, *Error) {
	s, held, err := op.ownService(&o)
	if err == nil && o.Account != topology.Everybody {
		err = op.account(o.Account)
	}
	if err != nil {
		return nil, err
	}
	if slices.Contains(s.Whitelist, o.Account) {
		return nil, already("endpoint service", s.Name,
			"account %q is on the whitelist of endpoint service %q already", o.Account, s.Name)
	}
	set(&held.Whitelist, o.Account, true)
	text := fmt.Sprintf("account %q put account %q on the whitelist of endpoint service %q", o.As, o.Account, s.Name)
	return []Event{op.change(&held.object, KindService, s.Name, o.As, text)}, nil
}

// whitelistRemove leaves the connections alone that are there: the
// whitelist counts when an endpoint is created (AWS PrivateLink guide,
// "Configure an endpoint service", manage permissions).
func (op serviceOperations) whitelistRemove(o topology.Operation) ([]Event, *Error) {
	s, held, err := op.ownService(&o)
	switch {
	case err != nil:
		return nil, err
	case o.Account == s.Account:
		return nil, invalid("endpoint service", s.Name, "name another account",
			"account %q owns endpoint service %q and stays on its whitelist", o.Account, s.Name)
	case !slices.Contains(s.Whitelist, o.Account):
		return nil, &Error{Code: topology.NotFound, Kind: "account", Name: o.Account, Known: s.Whitelist,
			Text: fmt.Sprintf("account %q is not on the whitelist of endpoint service %q", o.Account, s.Name),
			Hint: "on it is " + quoted(s.Whitelist)}
	}
	set(&held.Whitelist, o.Account, false)
	text := fmt.Sprintf("account %q took account %q off the whitelist of endpoint service %q", o.As, o.Account, s.Name)
	return []Event{op.change(&held.object, KindService, s.Name, o.As, text)}, nil
}

func (op serviceOperations) attach(o topology.Operation) ([]Event, *Error) {
	s, held, err := op.ownService(&o)
	if err != nil {
		return nil, err
	}
	add, err := op.attachable(s, o.Resource, o.Zone)
	if err != nil {
		return nil, err
	}
	if err := op.resourceQuota(s, add); err != nil {
		return nil, err
	}
	for _, r := range add {
		set(&held.Resources, r.String(), true)
	}
	text := fmt.Sprintf("account %q attached %s to endpoint service %q", o.As, resourceList(add), s.Name)
	return []Event{op.change(&held.object, KindService, s.Name, o.As, text)}, nil
}

// attachable are the resources that a service gets: a load balancer of
// its owner, of the type of the others, in a zone or in all of its own.
func (op serviceOperations) attachable(s *topology.EndpointService, name, zone string) ([]topology.Resource, *Error) {
	if s.Reverse {
		if g, missing := op.merged.NATGateway(name); missing == nil {
			return op.attachableGateway(s, g, zone)
		}
	}
	balancer, missing := op.plan.LoadBalancer(name)
	switch {
	case missing != nil:
		return nil, notInPlan(missing)
	case s.Reverse:
		return nil, invalid("load balancer", name, "make a service for load balancers",
			"endpoint service %q is for reverse endpoints, and load balancer %q is not", s.Name, name)
	}
	if vpc := op.plan.MustVPC(balancer.VPC); vpc.Account != s.Account {
		return nil, invalid("load balancer", name, "a service offers what its owner has",
			"load balancer %q belongs to account %q, and endpoint service %q to %q",
			name, vpc.Account, s.Name, s.Account)
	}
	if err := op.offerable(s, balancer); err != nil {
		return nil, err
	}
	if s.Type != "" && s.Type != balancer.Type {
		return nil, invalid("load balancer", name, "make a service for each type",
			"load balancer %q is of type %s, and endpoint service %q offers %s",
			name, balancer.Type, s.Name, s.Type)
	}
	var zones, add = []string{}, []topology.Resource{}
	for _, node := range balancer.Nodes {
		zones = append(zones, node.Zone)
		r := topology.Resource{LoadBalancer: name, Zone: node.Zone}
		if (zone == "" || zone == node.Zone) && !slices.Contains(s.Resources, r) {
			add = append(add, r)
		}
	}
	switch {
	case zone != "" && !slices.Contains(zones, zone):
		e := unknown("zone", zone, zones)
		e.Text = fmt.Sprintf("load balancer %q is not in zone %q", name, zone)
		return nil, e
	case len(add) == 0:
		return nil, already("endpoint service", s.Name, "load balancer %q is attached to endpoint service %q already",
			name, s.Name)
	}
	return add, nil
}

// offerable refuses a load balancer that is another service's, where it may have
// one alone, and one with more listeners than a service can offer.
func (op serviceOperations) offerable(s *topology.EndpointService, balancer *topology.LoadBalancer) *Error {
	can := op.plan.Profile
	if most := can.ListenersOffered; most > 0 && balancer.CountListeners() > most {
		return invalid("load balancer", balancer.Name, fmt.Sprintf("keep at most %d", most),
			"load balancer %q has %d listeners, and an endpoint service of %s takes %d", balancer.Name,
			balancer.CountListeners(), op.plan.Cloud, most)
	}
	for _, other := range op.merged.Services {
		if can.OneService && other.Name != s.Name && other.Offers(balancer.Name) {
			return inUse("load balancer", balancer.Name, "detach it there first",
				"load balancer %q is offered by endpoint service %q, and at %s by one alone", balancer.Name,
				other.Name, op.plan.Cloud).remedied(detaching(&other, balancer.Name))
		}
	}
	return nil
}

// attachableGateway is the resource that a service for reverse endpoints
// gets.
func (op serviceOperations) attachableGateway(s *topology.EndpointService, g *topology.NATGateway,
	zone string) ([]topology.Resource, *Error) {
	switch {
	case g.Account != s.Account:
		return nil, invalid(KindGateway.noun(), g.Name, "a service offers what its owner has",
			"NAT gateway %q belongs to account %q, and endpoint service %q to %q", g.Name, g.Account, s.Name, s.Account)
	case zone != "" && zone != g.ENI.Zone:
		e := unknown("zone", zone, []string{g.ENI.Zone})
		e.Text = fmt.Sprintf("NAT gateway %q is not in zone %q", g.Name, zone)
		return nil, e
	case s.OffersGateway(g.Name):
		return nil, &Error{Code: topology.WrongState, Kind: "endpoint service", Name: s.Name,
			Text: fmt.Sprintf("NAT gateway %q is attached to endpoint service %q already", g.Name, s.Name),
			Hint: "there is nothing to do"}
	}
	return []topology.Resource{{NATGateway: g.Name, Zone: g.ENI.Zone}}, nil
}

func (op serviceOperations) detach(o topology.Operation) ([]Event, *Error) {
	s, held, err := op.ownService(&o)
	if err != nil {
		return nil, err
	}
	var remove []topology.Resource
	for _, r := range s.Resources {
		if r.LoadBalancer+r.NATGateway == o.Resource && (o.Zone == "" || o.Zone == r.Zone) {
			remove = append(remove, r)
		}
	}
	if len(remove) == 0 {
		var known []string
		for _, r := range s.Resources {
			known = append(known, r.String())
		}
		e := unknown("resource", o.Resource, known)
		kind := "load balancer"
		if s.Reverse {
			kind = KindGateway.noun()
		}
		e.Text = fmt.Sprintf("%s %q is not attached to endpoint service %q", kind, o.Resource, s.Name)
		if o.Zone != "" {
			e.Text += fmt.Sprintf(" in zone %q", o.Zone)
		}
		if len(known) == 0 {
			e.Hint = fmt.Sprintf("it has no %ss", kind)
		}
		return nil, e
	}
	for _, r := range remove {
		if c := op.user(s.Name, r); c != nil {
			hint, remedies := "reject it first", []topology.Operation{rejecting(c)}
			if !s.Reverse && op.plan.Profile.TuneConnections {
				hint = "move it to another, or reject it"
				remedies = append([]topology.Operation{{
					Verb: topology.VerbReplace, Service: s.Name, Endpoint: c.Endpoint, Zone: r.Zone,
				}}, remedies...)
			}
			return nil, inUse("endpoint service", s.Name, hint,
				"endpoint service %q cannot give up %s: endpoint %q is connected to it",
				s.Name, r, c.Endpoint).remedied(remedies...)
		}
	}
	for _, r := range remove {
		set(&held.Resources, r.String(), false)
	}
	text := fmt.Sprintf("account %q detached %s from endpoint service %q", o.As, resourceList(remove), s.Name)
	return []Event{op.change(&held.object, KindService, s.Name, o.As, text)}, nil
}

// detaching takes a load balancer or a NAT gateway from a service.
func detaching(s *topology.EndpointService, resource string) topology.Operation {
	return topology.Operation{Verb: topology.VerbDetach, Service: s.Name, Resource: resource}
}

// user is a connection that carries traffic through a resource, or nil.
func (op serviceOperations) user(service string, r topology.Resource) *connection {
	i := slices.IndexFunc(op.connections, func(c *connection) bool { return c.Service == service && c.uses(r) })
	if i < 0 {
		return nil
	}
	return op.connections[i]
}

// uses reports whether traffic goes through a resource: a load balancer in a
// zone, or the NAT gateway that all zones have.
func (c *connection) uses(r topology.Resource) bool {
	if r.NATGateway != "" {
		return c.State.Open()
	}
	z := c.zone(r.Zone)
	return z != nil && (z.State.Open() && z.LoadBalancer == r.LoadBalancer || z.Replaced == r.LoadBalancer)
}

func resourceList(resources []topology.Resource) string {
	var out []string
	for _, r := range resources {
		out = append(out, r.String())
	}
	return strings.Join(out, " and ")
}

func (op serviceOperations) create(o topology.Operation) ([]Event, *Error) {
	planned := findService(op.plan, o.Service)
	if planned == nil {
		return nil, notDeclared("endpoint service", o.Service, "say what it shall be").remedied(
			topology.Operation{Verb: topology.VerbServiceCreate, Service: o.Service})
	}
	if o.As == "" {
		o.As = planned.Account
	}
	held := op.live.services[planned.Name]
	switch {
	case o.As != planned.Account:
		return nil, notOwner(o.As, "endpoint service", planned.Name, planned.Account)
	case held.State != Gone:
		return nil, already("endpoint service", planned.Name, "endpoint service %q exists already", planned.Name)
	}
	for _, r := range planned.Resources {
		balancer, missing := op.plan.LoadBalancer(r.LoadBalancer)
		if missing != nil {
			continue
		}
		if err := op.offerable(planned, balancer); err != nil {
			return nil, err
		}
	}
	if err := op.serviceQuota(planned.Account); err != nil {
		return nil, err
	}
	*held = service{object: held.object}
	held.Exists = ptr(true)
	event := op.creating(&held.object, KindService, planned.Name, o.As)
	more, err := op.adopt(op.plan, op.live)
	if err != nil {
		panic("creating a service made the rest invalid: " + err.Text)
	}
	return append([]Event{event}, more...), nil
}

func notDeclared(kind, name, hint string) *Error {
	return &Error{Code: topology.NotFound, Kind: kind, Name: name,
		Text: fmt.Sprintf("the topology file has no %s %q", kind, name), Hint: hint}
}

// delete holds to what the clouds ask for first. Alibaba Cloud:
// every endpoint disconnected and every resource removed (PrivateLink API
// 2020-04-15, DeleteVpcEndpointService). AWS: no connection available or
// waiting (DeleteVpcEndpointServiceConfigurations).
func (op serviceOperations) delete(o topology.Operation) ([]Event, *Error) {
	s, held, err := op.ownService(&o)
	if err != nil {
		return nil, err
	}
	var left []*connection
	for _, c := range op.connections {
		if c.Service != s.Name {
			continue
		}
		if _, ok := connectionLife.next[c.State][ServiceDelete]; !ok ||
			op.plan.Profile.WaitingKeepsService && c.State == Wait {
			return nil, inUse("endpoint service", s.Name, "reject it first",
				"endpoint service %q cannot be deleted: %s is %s", s.Name, c, c.Status).remedied(rejecting(c))
		}
		left = append(left, c)
	}
	if op.plan.Profile.ResourcesGoFirst && len(s.Resources) > 0 {
		r := s.Resources[0]
		e := &Error{
			Code: topology.WrongState, Kind: "endpoint service", Name: s.Name, Hint: "detach them first",
			Text: fmt.Sprintf("endpoint service %q cannot be deleted: it still has %s", s.Name,
				resourceList(s.Resources)),
		}
		return nil, e.remedied(detaching(s, r.LoadBalancer+r.NATGateway))
	}
	if err := op.rests(&held.object, KindService, s.Name, Delete); err != nil {
		return nil, err
	}
	events := []Event{op.deleting(&held.object, KindService, s.Name, o.As)}
	for _, c := range left {
		for i := range c.Zones {
			c.Zones[i].LoadBalancer = ""
		}
		e := op.move(c, ServiceDelete, o.As)
		e.Text = fmt.Sprintf("%s has lost its service", c)
		events = append(events, e)
	}
	return events, nil
}
