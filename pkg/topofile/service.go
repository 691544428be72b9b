package topofile

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

func (b *builder) services() {
	for i := range b.raw.Services.Entries {
		e := &b.raw.Services.Entries[i]
		b.object("endpoint service", e.Name, func() { b.service(e) })
	}
}

func (b *builder) service(e *entry[rawEndpointService]) {
	who := fmt.Sprintf("endpoint service %q", e.Name)
	id := b.ids.Service(e.Name)
	s := topology.EndpointService{
		Name:         e.Name,
		ID:           id,
		ServiceName:  b.ids.ServiceName(id),
		Domain:       b.ids.ServiceDomain(id),
		AutoAccept:   e.Value.AutoAccept.V,
		ZoneAffinity: e.Value.ZoneAffinity.V,
		Bandwidth:    int(e.Value.Bandwidth.or(megabits(b.can.Bandwidth))),
		Description:  b.description(who, e.Value.Description),
		Payer:        e.Value.Payer.or("consumer"),
		Absent:       !e.Value.Exists.or(true),
	}
	if s.ZoneAffinity && !b.can.ZoneAffinity {
		b.problem(e.Value.ZoneAffinity.Node, "remove it, and use the zone's name where the zone matters", "%s: names of %s endpoints have no zone affinity", who, b.plan.Cloud)
	}
	s.PrivateName = b.privateName(who, e.Value.PrivateDNSName, e.Name)
	offers := b.offered(who, e.Value.Resources)
	s.Account = b.serviceOwner(who, e, offers)
	for _, o := range offers {
		s.Resources = append(s.Resources, o.Resources...)
		s.Reverse = s.Reverse || o.Kind == "NAT gateway"
	}
	s.Whitelist = b.whitelist(who, s.Account, e.Value.Whitelist)
	b.plan.Services = append(b.plan.Services, s)
}

// offered are the load balancers of a service, or its NAT gateways: one at
// least, each once, all of one type.
func (b *builder) offered(who string, refs sequence[value[string]]) []*topology.Offer {
	var out []*topology.Offer
	if refs.Node != nil && len(refs.Items) == 0 && (isNull(refs.Node) || refs.Node.Kind == yaml.SequenceNode) {
		b.problem(refs.Node, "name a load balancer", "%s has no resources", who)
	}
	for _, ref := range refs.Items {
		o := refer(b, who, ref, b.plan.Offer)
		switch {
		case o == nil:
		case slices.ContainsFunc(out, func(other *topology.Offer) bool { return other.Name == o.Name }):
			b.problem(ref.Node, "remove it: a "+o.Kind+" is offered in all of its zones", "%s: %s %q is named twice", who, o.Kind, o.Name)
		case len(out) > 0 && o.Phrase != out[0].Phrase && o.Phrase != "" && out[0].Phrase != "":
			b.problem(ref.Node, "make a service for each type", "%s: %q is %s, and %q %s", who, o.Name, o.Phrase, out[0].Name, out[0].Phrase)
		case o.Type == topology.ALB && !b.can.OfferALB:
			// AWS PrivateLink guide, "Create a service powered by AWS PrivateLink".
			b.problem(ref.Node, "offer an nlb", "%s: load balancer %q is an alb, and at %s a service offers nlbs", who, o.Name, b.plan.Cloud)
		default:
			out = append(out, o)
		}
	}
	return out
}

// serviceOwner is the account that owns the resources, which must be one.
func (b *builder) serviceOwner(who string, e *entry[rawEndpointService], offers []*topology.Offer) string {
	var owner string
	if e.Value.Account.given() {
		if a := refer(b, who, e.Value.Account, b.plan.Account); a != nil {
			owner = a.Name
		}
	}
	for i, o := range offers {
		vpc, err := b.plan.VPC(o.VPC)
		if err != nil || vpc.Account == "" {
			continue
		}
		if owner == "" {
			owner = vpc.Account
		}
		if vpc.Account != owner {
			b.problem(e.Value.Resources.Items[i].Node, "a service offers what its owner has", "%s of account %q offers %s %q, which belongs to account %q", who, owner, o.Kind, o.Name, vpc.Account)
		}
	}
	return owner
}

// whitelist is the owner and whom the owner names. PrivateLink API 2020-04-15:
// the owner's account is added by itself.
func (b *builder) whitelist(who, owner string, refs sequence[value[string]]) []string {
	var out []string
	if owner != "" {
		out = append(out, owner)
	}
	named := map[string]bool{}
	for _, ref := range refs.Items {
		if ref.V != topology.Everybody && refer(b, who, ref, b.plan.Account) == nil {
			continue
		}
		if named[ref.V] {
			b.problem(ref.Node, "remove it", "%s: account %q is whitelisted twice", who, ref.V)
		}
		named[ref.V] = true
		if !slices.Contains(out, ref.V) {
			out = append(out, ref.V)
		}
	}
	return out
}

func (b *builder) description(who string, v value[string]) string {
	if err := topology.CheckDescription(v.V); err != nil && v.given() {
		b.problem(v.Node, "", "%s: %v", who, err)
	}
	return v.V
}

func (b *builder) endpoints() {
	for i := range b.raw.Endpoints.Entries {
		e := &b.raw.Endpoints.Entries[i]
		b.object("endpoint", e.Name, func() { b.endpoint(e) })
	}
}

func (b *builder) endpoint(e *entry[rawEndpoint]) {
	who := fmt.Sprintf("endpoint %q", e.Name)
	ep := topology.Endpoint{
		Name: e.Name, VPC: e.Value.VPC.V, Service: e.Value.Service.V,
		Description: b.description(who, e.Value.Description), Absent: !e.Value.Exists.or(true),
	}
	if o, err := b.plan.Offer(e.Name); err == nil {
		// Both would have an ENI NAME@ZONE.
		b.problem(e.Key, "give one of them another name", "%s has the name of a %s", who, o.Kind)
	}
	vpc := refer(b, who, e.Value.VPC, b.plan.VPC)
	if vpc != nil {
		ep.Account = vpc.Account
	}
	service := b.visible(who, ep, e.Value.Service)
	ep.Reverse = service != nil && service.Reverse
	id := b.ids.Endpoint(e.Name, ep.Reverse)
	ep.ID = id
	if service != nil {
		ep.Domain = b.ids.EndpointDomain(id, service.ID)
		ep.ZoneAffinity = e.Value.ZoneAffinity.or(service.ZoneAffinity)
	}
	ep.PrivateDNS, ep.OwnAffinity = e.Value.PrivateDNS.V, e.Value.ZoneAffinity.given()
	if ep.ZoneAffinity && e.Value.ZoneAffinity.given() && !b.can.ZoneAffinity {
		b.problem(e.Value.ZoneAffinity.Node, "remove it, and use the zone's name where the zone matters", "%s: names of %s endpoints have no zone affinity", who, b.plan.Cloud)
	}
	if vpc != nil {
		places := b.placed(who, e.Key, vpc, e.Value.Subnets)
		ep.DualStack = b.dualStack(who, e.Value.IPAddressType, e.Value.Subnets, places)
		if ep.DualStack && service != nil {
			b.sameType(who, e.Value.IPAddressType, service)
		}
		for _, p := range places {
			zone := topology.EndpointZone{Zone: p.subnet.Zone, Subnet: p.subnet.Name, ENI: b.eni("endpoint", e.Name, vpc, p)}
			if service != nil {
				zone.Domain = b.ids.ZoneDomain(id, zone.Zone, service.ID)
				b.offers(who, e.Value.Subnets, p, service)
			}
			ep.Zones = append(ep.Zones, zone)
		}
		ep.SecurityGroups = b.groups(who, vpc, e.Value.SecurityGroups)
		b.countGroups(who, e.Value.SecurityGroups)
	}
	bandwidth := b.can.Bandwidth
	if service != nil {
		bandwidth = service.Bandwidth
	}
	ep.Impairments = b.impairments(who, e.Value.Impairments, bandwidth)
	b.plan.Endpoints = append(b.plan.Endpoints, ep)
}

func (b *builder) countGroups(who string, refs sequence[value[string]]) {
	if most := b.plan.Quotas.GroupsPerEndpoint; most > 0 && len(refs.Items) > most {
		b.problem(refs.Node, fmt.Sprintf("keep at most %d, or write quotas: {groups_per_endpoint: %d} where yours is higher", most, len(refs.Items)), "%s has %d security groups", who, len(refs.Items))
	}
}

// visible is the service of an endpoint. For an account that is not on its
// whitelist the service is not there at all; what matters is the whitelist at
// the time when the endpoint is created.
func (b *builder) visible(who string, ep topology.Endpoint, ref value[string]) *topology.EndpointService {
	account := ep.Account
	service := refer(b, who, ref, b.plan.Service)
	if service == nil || ep.Absent || b.bad["endpoint service "+service.Name] {
		return service
	}
	if service.Absent {
		b.problem(ref.Node, fmt.Sprintf("write exists: false in %s, too", ep.Name), "%s leads to endpoint service %q, which does not exist yet", who, ref.V)
		return service
	}
	if account != "" && !service.Sees(account) {
		b.problem(ref.Node, fmt.Sprintf("let account %q use it: whitelist: [%s] in %s", account, account, service.Name),
			"%s: account %q sees no endpoint service %q", who, account, ref.V)
	}
	return service
}

// offers notes a zone in which the service has nothing to connect to. A
// reverse endpoint may be in any zone: the example of the Terraform provider
// aliyun/alicloud for alicloud_n_a_t_gateway_full_nat has its endpoint in
// another zone than its gateway.
func (b *builder) offers(who string, want placements, p place, service *topology.EndpointService) {
	if b.bad["endpoint service "+service.Name] || p.subnet.Zone == "" || service.Reverse {
		return
	}
	var zones []string
	for _, r := range service.Resources {
		if r.Zone == p.subnet.Zone {
			return
		}
		if b.bad["load balancer "+r.LoadBalancer] {
			return
		}
		if !slices.Contains(zones, r.Zone) {
			zones = append(zones, r.Zone)
		}
	}
	if len(zones) == 0 {
		return
	}
	node := want.Node
	for _, item := range want.Items {
		if item.Subnet.V == p.subnet.Name {
			node = item.Subnet.Node
		}
	}
	b.problem(node, fmt.Sprintf("%q is in %s; use a subnet there, or give its load balancer a subnet in %s", service.Name, spell.List(zones), p.subnet.Zone),
		"%s asks for zone %s, which endpoint service %q does not offer", who, p.subnet.Zone, service.Name)
}
