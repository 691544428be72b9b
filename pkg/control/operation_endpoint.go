package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// endpointOperations are those on endpoints.
type endpointOperations struct{ rules }

var endpointVerbs = map[Verb]operation{
	topology.VerbEndpointCreate: on(endpointOperations.create),
	topology.VerbEndpointDelete: on(endpointOperations.delete),
	topology.VerbEndpointSet:    on(endpointOperations.set),
	topology.VerbZoneAdd:        on(endpointOperations.zoneAdd),
	topology.VerbZoneRemove:     on(endpointOperations.zoneRemove),
	topology.VerbGroupAdd:       on(endpointOperations.groupAdd),
	topology.VerbGroupRemove:    on(endpointOperations.groupRemove),
}

func (op endpointOperations) show(o topology.Operation) ([]Event, *Error) {
	e, err := op.merged.Endpoint(o.Endpoint)
	if err != nil {
		return nil, unknownEndpoint(op.merged, o.As, o.Endpoint)
	}
	who := "every account"
	if o.As != "" {
		who = fmt.Sprintf("account %q", o.As)
		if s := findService(op.merged, e.Service); e.Account != o.As && (s == nil || s.Account != o.As) {
			return nil, notOwner(o.As, "endpoint", e.Name, e.Account)
		}
	}
	return []Event{{Kind: KindEndpoint, Name: e.Name, Text: fmt.Sprintf("%s sees endpoint %q", who, e.Name)}}, nil
}

func (op endpointOperations) create(o topology.Operation) ([]Event, *Error) {
	planned, missing := op.plan.Endpoint(o.Endpoint)
	if missing != nil {
		return nil, notDeclared("endpoint", o.Endpoint, "say what it shall be").remedied(
			topology.Operation{Verb: topology.VerbEndpointCreate, Endpoint: o.Endpoint})
	}
	if o.As == "" {
		o.As = planned.Account
	}
	held := op.live.endpoints[planned.Name]
	switch {
	case o.As != planned.Account:
		return nil, notOwner(o.As, "endpoint", planned.Name, planned.Account)
	case held.State != Gone:
		return nil, already("endpoint", planned.Name, "endpoint %q exists already", planned.Name)
	}
	s := findService(op.merged, planned.Service)
	switch {
	case s == nil:
		return nil, unknownService(op.merged, o.As, planned.Service)
	case !s.Sees(planned.Account):
		return nil, notWhitelisted(s, planned.Account)
	}
	for _, z := range planned.Zones {
		if err := zoneOffered(planned, s, z.Zone); err != nil {
			return nil, err
		}
	}
	if planned.PrivateDNS {
		if err := op.privateDNS(planned, s.AutoAccept); err != nil {
			return nil, err
		}
	}
	if err := op.endpointQuota(planned.VPC); err != nil {
		return nil, err
	}
	*held = endpoint{object: held.object}
	held.Exists = ptr(true)
	event := op.creating(&held.object, KindEndpoint, planned.Name, o.As)
	more, err := op.adopt(op.plan, op.live)
	if err != nil {
		panic("an endpoint was checked and is refused: " + err.Text)
	}
	return append([]Event{event}, more...), nil
}

// zoneOffered says whether the service has something to connect to in a zone.
func zoneOffered(e *topology.Endpoint, s *topology.EndpointService, zone string) *Error {
	var zones []string
	if s.Reverse {
		return nil
	}
	for _, r := range s.Resources {
		if r.Zone == zone {
			return nil
		}
		if !slices.Contains(zones, r.Zone) {
			zones = append(zones, r.Zone)
		}
	}
	hint := fmt.Sprintf("%q has no load balancers", s.Name)
	if len(zones) > 0 {
		hint = fmt.Sprintf("%q is in %s", s.Name, strings.Join(zones, " and "))
	}
	return invalid("endpoint", e.Name, hint, "endpoint %q asks for zone %q, which endpoint service %q does not offer",
		e.Name, zone, s.Name)
}

// delete asks for what the clouds ask for. Alibaba Cloud: make
// sure that all zones of the endpoint have been deleted (PrivateLink API
// 2020-04-15, DeleteVpcEndpoint). AWS asks for nothing (DeleteVpcEndpoints).
func (op endpointOperations) delete(o topology.Operation) ([]Event, *Error) {
	e, held, c, err := op.ownEndpoint(&o)
	if err != nil {
		return nil, err
	}
	if op.plan.Profile.ZonesGoFirst && len(e.Zones) > 0 {
		remove := topology.Operation{Verb: topology.VerbZoneRemove, Endpoint: e.Name, Zone: e.Zones[0].Zone}
		return nil, inUse("endpoint", e.Name, "remove its zones first",
			"endpoint %q cannot be deleted: it is still in zone %s", e.Name, zoneNames(e.Zones)).remedied(remove)
	}
	if _, ok := c.next(Delete); !ok {
		return nil, wrongState(c, Delete)
	}
	if err := op.rests(&held.object, KindEndpoint, e.Name, Delete); err != nil {
		return nil, err
	}
	for i := range c.Zones {
		c.Zones[i].enter(c.cloud, Deleting)
	}
	event := op.deleting(&held.object, KindEndpoint, e.Name, o.As)
	gone := op.move(c, Delete, o.As)
	gone.Text = fmt.Sprintf("%s ends with its endpoint", c)
	return []Event{event, gone}, nil
}

func zoneNames(zones []topology.EndpointZone) string {
	var out []string
	for _, z := range zones {
		out = append(out, z.Zone)
	}
	return strings.Join(out, " and ")
}

func (op endpointOperations) set(o topology.Operation) ([]Event, *Error) {
	e, held, _, err := op.ownEndpoint(&o)
	if err != nil {
		return nil, err
	}
	var did []string
	if o.Description != nil {
		if err := checkDescription(op.plan.Profile, "endpoint", e.Name, o.Description); err != nil {
			return nil, err
		}
		did = append(did, fmt.Sprintf("description %q", *o.Description))
	}
	if o.ZoneAffinity != nil {
		did = append(did, "zone affinity "+onOff(*o.ZoneAffinity))
	}
	if o.PrivateDNS != nil {
		c := op.find(e.Service, e.Name)
		if err := op.privateDNS(e, c != nil && c.State.Open()); *o.PrivateDNS && err != nil {
			return nil, err
		}
		did = append(did, "private DNS "+onOff(*o.PrivateDNS))
	}
	if len(did) == 0 {
		return nil, invalid("endpoint", e.Name, "name a description, zone affinity or private DNS",
			"nothing of endpoint %q is to be changed", e.Name)
	}
	take(&held.Description, o.Description)
	take(&held.ZoneAffinity, o.ZoneAffinity)
	take(&held.PrivateDNS, o.PrivateDNS)
	text := fmt.Sprintf("account %q changed endpoint %q: %s", o.As, e.Name, strings.Join(did, ", "))
	return []Event{op.change(&held.object, KindEndpoint, e.Name, o.As, text)}, nil
}

// take notes what was given.
func take[T any](into **T, given *T) {
	if given != nil {
		*into = given
	}
}

// privateDNS refuses what EC2's CreateVpcEndpoint and ModifyVpcEndpoint refuse, in
// their words, all of them as InvalidParameter: where the owner of the service
// accepts connections it takes two steps.
func (op endpointOperations) privateDNS(e *topology.Endpoint, accepted bool) *Error {
	service := findService(op.merged, e.Service)
	if service == nil {
		return nil
	}
	name := service.PrivateName
	vpc, err := op.plan.VPC(e.VPC)
	switch {
	case err == nil && !vpc.PrivateDNS():
		return invalid("endpoint", e.Name, "write dns_hostnames: true in the VPC, and no dns_support: false",
			"enabling private DNS requires both enableDnsSupport and enableDnsHostnames of VPC %q to be true", vpc.Name)
	case name == nil:
		return invalid("endpoint", e.Name, "give the service a private_dns_name",
			"private DNS can't be enabled because endpoint service %q does not provide a private DNS name",
			service.Name)
	case name.State != topology.Verified:
		return invalid("endpoint", e.Name, fmt.Sprintf("give a public zone the TXT record %s with the text %s",
			name.TXTName, name.TXTValue),
			"private DNS can't be enabled because endpoint service %q has not verified the private DNS name",
			service.Name)
	case !accepted:
		return &Error{
			Code: topology.WrongState, Kind: "endpoint", Name: e.Name, Word: "InvalidParameter",
			Hint: "leave it out, and enable it after the acceptance",
			Text: fmt.Sprintf("private DNS can only be enabled after the endpoint connection is accepted by the"+
				" owner of endpoint service %q", service.Name),
		}
	}
	for _, other := range op.merged.Endpoints {
		s := findService(op.merged, other.Service)
		if other.Name != e.Name && other.VPC == e.VPC && other.PrivateDNS && !other.Absent && s != nil &&
			s.PrivateName != nil && s.PrivateName.Domain() == name.Domain() {
			err := inUse("endpoint", e.Name, fmt.Sprintf("disable it for endpoint %q first", other.Name),
				"private DNS cannot be enabled because there is already a conflicting DNS domain for %s in the VPC %s",
				name.Domain(), e.VPC)
			err.Word = "InvalidParameter"
			return err
		}
	}
	return nil
}

func (op endpointOperations) zoneAdd(o topology.Operation) ([]Event, *Error) {
	e, held, c, err := op.ownEndpoint(&o)
	if err != nil {
		return nil, err
	}
	planned, _ := op.plan.Endpoint(e.Name)
	if _, missing := planned.Zone(o.Zone); missing != nil {
		refused := unknown("zone", o.Zone, splitNames(planned.Zones))
		refused.Text = fmt.Sprintf("the topology file has no subnet in zone %q for endpoint %q", o.Zone, e.Name)
		refused.Hint = "add it to the endpoint's subnets in the file, and apply the file"
		return nil, refused
	}
	if c.zone(o.Zone) != nil {
		return nil, already("endpoint", e.Name, "endpoint %q is in zone %q already", e.Name, o.Zone)
	}
	if s := findService(op.merged, e.Service); s == nil {
		return nil, unknownService(op.merged, o.As, e.Service)
	} else if err := zoneOffered(e, s, o.Zone); err != nil {
		return nil, err
	}
	delete(held.Zones, o.Zone)
	text := fmt.Sprintf("account %q put endpoint %q into zone %q", o.As, e.Name, o.Zone)
	event := op.change(&held.object, KindEndpoint, e.Name, o.As, text)
	more, err := op.adopt(op.plan, op.live)
	if err != nil {
		panic("a zone was checked and is refused: " + err.Text)
	}
	return append([]Event{event}, more...), nil
}

func splitNames(zones []topology.EndpointZone) (out []string) {
	for _, z := range zones {
		out = append(out, z.Zone)
	}
	return out
}

func (op endpointOperations) zoneRemove(o topology.Operation) ([]Event, *Error) {
	e, held, c, err := op.ownEndpoint(&o)
	if err != nil {
		return nil, err
	}
	z := c.zone(o.Zone)
	if z == nil {
		return nil, noZone(c, o.Zone)
	}
	if _, ok := zoneLife.next[z.State][Delete]; !ok {
		return nil, wrongZoneState(c, z, Delete)
	}
	event := op.moveZone(c, z, Delete, o.As, "")
	event.Text = fmt.Sprintf("account %q takes endpoint %q out of zone %q", o.As, e.Name, o.Zone)
	op.enter(&held.object, objectLife.next[held.State][Change])
	return []Event{event}, nil
}

func (op endpointOperations) groupAdd(o topology.Operation) ([]Event, *Error) {
	e, held, _, err := op.ownEndpoint(&o)
	if err != nil {
		return nil, err
	}
	vpc, missing := op.plan.VPC(e.VPC)
	if missing == nil {
		_, missing = vpc.SecurityGroup(o.SecurityGroup)
	}
	if missing != nil {
		return nil, notInPlan(missing)
	}
	if slices.Contains(e.SecurityGroups, o.SecurityGroup) {
		return nil, already("endpoint", e.Name, "endpoint %q is in security group %q already", e.Name, o.SecurityGroup)
	}
	if err := overQuota("endpoint", fmt.Sprintf("endpoint %q", e.Name), "security groups", len(e.SecurityGroups),
		op.plan.Quotas.GroupsPerEndpoint, "groups_per_endpoint"); err != nil {
		return nil, err
	}
	set(&held.SecurityGroups, o.SecurityGroup, true)
	text := fmt.Sprintf("account %q put endpoint %q into security group %q", o.As, e.Name, o.SecurityGroup)
	return []Event{op.change(&held.object, KindEndpoint, e.Name, o.As, text)}, nil
}

func (op endpointOperations) groupRemove(o topology.Operation) ([]Event, *Error) {
	e, held, _, err := op.ownEndpoint(&o)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(e.SecurityGroups, o.SecurityGroup) {
		refused := unknown("security group", o.SecurityGroup, e.SecurityGroups)
		refused.Text = fmt.Sprintf("endpoint %q is not in security group %q", e.Name, o.SecurityGroup)
		if len(e.SecurityGroups) == 0 {
			refused.Hint = "it is in none"
		}
		return nil, refused
	}
	if op.plan.Profile.DefaultGroup && len(e.SecurityGroups) == 1 {
		return nil, invalid("endpoint", e.Name, "put it into another one first",
			"security group %q is the only one of endpoint %q, and at %s it needs one", o.SecurityGroup, e.Name,
			op.plan.Cloud)
	}
	set(&held.SecurityGroups, o.SecurityGroup, false)
	text := fmt.Sprintf("account %q took endpoint %q out of security group %q", o.As, e.Name, o.SecurityGroup)
	return []Event{op.change(&held.object, KindEndpoint, e.Name, o.As, text)}, nil
}
