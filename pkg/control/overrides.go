package control

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Live overrides are what operations changed since the file, value by value: a
// value without one is as the file says, also when the file changes. A nil
// pointer and a missing key are values without an override.

// service is what the plane holds of an endpoint service beside the plan.
type service struct {
	object
	Description  *string         `json:"description,omitempty"`
	AutoAccept   *bool           `json:"auto_accept,omitempty"`
	ZoneAffinity *bool           `json:"zone_affinity,omitempty"`
	Bandwidth    *int            `json:"bandwidth,omitempty"`
	Whitelist    map[string]bool `json:"whitelist,omitempty"` // whether an account is on it
	Resources    map[string]bool `json:"resources,omitempty"` // whether clb1@zone is attached
}

// endpoint is what the plane holds of an endpoint beside the plan.
type endpoint struct {
	object
	Description    *string         `json:"description,omitempty"`
	ZoneAffinity   *bool           `json:"zone_affinity,omitempty"`
	PrivateDNS     *bool           `json:"private_dns,omitempty"`
	Zones          map[string]bool `json:"zones,omitempty"`           // whether it is in a zone of the plan
	SecurityGroups map[string]bool `json:"security_groups,omitempty"` // whether it is a member
}

// object is what services and endpoints have in common.
type object struct {
	Owner    string    `json:"owner"` // the account, by which another object of the same name is told
	Exists   *bool     `json:"exists,omitempty"`
	State    State     `json:"state"`
	Modified time.Time `json:"modified"`
	revision uint64    // of the newest change to it
}

func (s service) clone() *service {
	s.Whitelist, s.Resources = maps.Clone(s.Whitelist), maps.Clone(s.Resources)
	return &s
}

func (e endpoint) clone() *endpoint {
	e.Zones, e.SecurityGroups = maps.Clone(e.Zones), maps.Clone(e.SecurityGroups)
	return &e
}

// set notes that something is, or is not, in a list that the plan has.
func set(m *map[string]bool, key string, in bool) {
	if *m == nil {
		*m = map[string]bool{}
	}
	(*m)[key] = in
}

// merged is the service as it is now. The plan's own is left alone.
func (s *service) merged(plan *topology.Plan, planned topology.EndpointService) topology.EndpointService {
	override(&planned.Description, s.Description)
	override(&planned.AutoAccept, s.AutoAccept)
	override(&planned.ZoneAffinity, s.ZoneAffinity)
	override(&planned.Bandwidth, s.Bandwidth)
	planned.Whitelist = merge(planned.Whitelist, s.Whitelist)
	planned.Resources = s.resources(plan, planned.Resources)
	if planned.ResourceType() == "" && len(planned.Resources) > 0 {
		balancer, err := plan.LoadBalancer(planned.Resources[0].LoadBalancer)
		if err == nil { // the first one says what the service is for
			planned.Type = balancer.Type
		}
	}
	planned.Absent = !s.exists(planned.Absent)
	return planned
}

func (s *service) resources(plan *topology.Plan, planned []topology.Resource) []topology.Resource {
	if len(s.Resources) == 0 {
		return planned
	}
	known := map[string]topology.Resource{}
	var names []string
	for _, r := range planned {
		known[r.String()] = r
		names = append(names, r.String())
	}
	var out []topology.Resource
	for _, name := range merge(names, s.Resources) {
		r, ok := known[name]
		if !ok {
			r, _ = plan.Resource(name) // fit has left what there is
		}
		out = append(out, r)
	}
	return out
}

// merged is the endpoint as it is now.
func (e *endpoint) merged(planned topology.Endpoint) topology.Endpoint {
	override(&planned.Description, e.Description)
	override(&planned.ZoneAffinity, e.ZoneAffinity)
	override(&planned.PrivateDNS, e.PrivateDNS)
	planned.SecurityGroups = merge(planned.SecurityGroups, e.SecurityGroups)
	if len(e.Zones) > 0 {
		planned.Zones = slices.DeleteFunc(slices.Clone(planned.Zones), func(z topology.EndpointZone) bool {
			in, changed := e.Zones[z.Zone]
			return changed && !in
		})
	}
	planned.Absent = !e.exists(planned.Absent)
	return planned
}

func (o *object) exists(absent bool) bool {
	if o.Exists != nil {
		return *o.Exists
	}
	return !absent
}

// followFile lets an object be there or not where no operation has said so and the
// file says something new.
func (o *object) followFile(absent bool, now time.Time) {
	switch there := o.exists(absent); {
	case there && o.State == Gone:
		o.State, o.Modified = Active, now
	case !there && o.State != Gone:
		o.State, o.Modified = Gone, now
	}
}

func (o *object) wasDeleted() bool { return o.State == Gone && o.Exists != nil && !*o.Exists }

// ptr is a pointer to a value.
func ptr[T any](v T) *T { return &v }

func override[T any](into *T, changed *T) {
	if changed != nil {
		*into = *changed
	}
}

// merge is a list without what was taken out of it, and with what was put in
// at the end; the list itself where nothing was.
func merge(planned []string, changed map[string]bool) []string {
	if len(changed) == 0 {
		return planned
	}
	var out []string
	for _, item := range planned {
		if in, known := changed[item]; !known || in {
			out = append(out, item)
		}
	}
	for _, item := range slices.Sorted(maps.Keys(changed)) {
		if changed[item] && !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// fit drops what a plan makes impossible: accounts, load balancers, groups and
// zones that it has not.
func (s *service) fit(plan *topology.Plan) {
	maps.DeleteFunc(s.Whitelist, func(name string, _ bool) bool {
		_, err := plan.Account(name)
		return err != nil && name != topology.Everybody
	})
	maps.DeleteFunc(s.Resources, func(text string, _ bool) bool {
		_, err := plan.Resource(text)
		return err != nil
	})
}

func (e *endpoint) fit(plan *topology.Plan, planned topology.Endpoint) {
	if len(e.Zones)+len(e.SecurityGroups) == 0 {
		return
	}
	maps.DeleteFunc(e.Zones, func(name string, _ bool) bool {
		_, err := planned.Zone(name)
		return err != nil
	})
	vpc, err := plan.VPC(planned.VPC)
	maps.DeleteFunc(e.SecurityGroups, func(name string, _ bool) bool {
		if err != nil {
			return true
		}
		_, missing := vpc.SecurityGroup(name)
		return missing != nil
	})
}

// overrides are those of all objects of a plan.
type overrides struct {
	services  map[string]*service
	endpoints map[string]*endpoint
	gateways  map[string]*gateway
	groups    map[string]*serverGroup // those of which anything was changed
}

func newOverrides() overrides {
	return overrides{services: map[string]*service{}, endpoints: map[string]*endpoint{},
		gateways: map[string]*gateway{}, groups: map[string]*serverGroup{}}
}

// fitted is a copy of what still belongs to a changed plan, with a record for
// every object of it.
func (l overrides) fitted(plan *topology.Plan, cloud topology.Cloud, now time.Time) overrides {
	out := newOverrides()
	for _, planned := range plan.Services {
		s := l.services[planned.Name]
		if s == nil || s.Owner != planned.Account || cloud != plan.Cloud {
			s = &service{object: newObject(planned.Account, planned.Absent, now)}
		}
		s = s.clone()
		s.fit(plan)
		s.followFile(planned.Absent, now)
		out.services[planned.Name] = s
	}
	for _, planned := range plan.Endpoints {
		e := l.endpoints[planned.Name]
		owner := planned.Account + "/" + planned.VPC
		if e == nil || e.Owner != owner || cloud != plan.Cloud {
			e = &endpoint{object: newObject(owner, planned.Absent, now)}
		}
		e = e.clone()
		e.fit(plan, planned)
		e.followFile(planned.Absent, now)
		out.endpoints[planned.Name] = e
	}
	out.gateways = l.fittedGateways(plan, cloud, now)
	for _, planned := range plan.ServerGroups {
		if g := l.groups[planned.Name]; g != nil && g.VPC == planned.VPC && cloud == plan.Cloud {
			out.groups[planned.Name] = g.fitted(plan, &planned)
		}
	}
	return out
}

func newObject(owner string, absent bool, now time.Time) object {
	o := object{Owner: owner, State: Active, Modified: now}
	if absent {
		o.State = Gone
	}
	return o
}

// merged is the plan as it is now: the services, endpoints and NAT gateways that
// exist, with what was changed of them, and the servers that groups have.
// Everything else is the plan's.
func (l overrides) merged(plan *topology.Plan) *topology.Plan {
	out := *plan
	out.Services = make([]topology.EndpointService, 0, len(plan.Services))
	for _, planned := range plan.Services {
		if s := l.services[planned.Name].merged(plan, planned); !s.Absent {
			out.Services = append(out.Services, s)
		}
	}
	out.Endpoints = make([]topology.Endpoint, 0, len(plan.Endpoints))
	for _, planned := range plan.Endpoints {
		if e := l.endpoints[planned.Name].merged(planned); !e.Absent {
			out.Endpoints = append(out.Endpoints, e)
		}
	}
	out.NATGateways = make([]topology.NATGateway, 0, len(plan.NATGateways))
	for _, planned := range plan.NATGateways {
		if g := l.gateways[planned.Name]; g.there() {
			out.NATGateways = append(out.NATGateways, g.merged(planned))
		}
	}
	out.ServerGroups = make([]topology.ServerGroup, 0, len(plan.ServerGroups))
	for _, planned := range plan.ServerGroups {
		out.ServerGroups = append(out.ServerGroups, l.groups[planned.Name].merged(plan, planned))
	}
	return &out
}

// changed reports whether anything is changed but that the service exists.
func (s *service) changed() bool {
	return s.Description != nil || s.AutoAccept != nil || s.ZoneAffinity != nil || s.Bandwidth != nil ||
		len(s.Whitelist)+len(s.Resources) > 0
}

// changed reports whether anything is changed but that the endpoint exists.
func (e *endpoint) changed() bool {
	return e.Description != nil || e.ZoneAffinity != nil || e.PrivateDNS != nil ||
		len(e.Zones)+len(e.SecurityGroups) > 0
}

// changed reports whether there are any overrides.
func (l overrides) changed() bool {
	if len(l.groups) > 0 {
		return true
	}
	for _, s := range l.services {
		if s.Exists != nil || s.changed() {
			return true
		}
	}
	for _, e := range l.endpoints {
		if e.Exists != nil || e.changed() {
			return true
		}
	}
	for _, g := range l.gateways {
		if g.changed() {
			return true
		}
	}
	return false
}

// withholdZones keeps back the zones that load balancers of services have gained,
// where a service offers them only after it is changed, and tells of it.
func (st *state) withholdZones(plan *topology.Plan, next overrides) (events []Event) {
	if !plan.Profile.WholeLoadBalancers || st.plan.Cloud != plan.Cloud {
		return nil
	}
	for _, planned := range plan.Services {
		before, held := findService(st.plan, planned.Name), next.services[planned.Name]
		if before == nil || before.Account != planned.Account || held.State == Gone {
			continue
		}
		for _, r := range planned.Resources {
			if _, known := held.Resources[r.String()]; known || !before.Offers(r.LoadBalancer) ||
				slices.Contains(before.Resources, r) {
				continue
			}
			set(&held.Resources, r.String(), false)
			word := Word(plan.Cloud, KindService, held.State)
			events = append(events, objectEvent(KindService, planned.Name, Change, "", word, word,
				fmt.Sprintf("load balancer %q is in zone %q now, which endpoint service %q offers when it is next changed",
					r.LoadBalancer, r.Zone, planned.Name)))
		}
	}
	return events
}

// offerZones offers the load balancers of a service in all of their zones, where
// some were withheld, and gives these.
func (s *service) offerZones(plan *topology.Plan, now *topology.EndpointService) (more []topology.Resource) {
	if !plan.Profile.WholeLoadBalancers {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Resources)) {
		if r, err := plan.Resource(name); err == nil && !s.Resources[name] && now.Offers(r.LoadBalancer) {
			set(&s.Resources, name, true)
			more = append(more, r)
		}
	}
	return more
}
