package topofile

import (
	"fmt"
	"slices"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// endpointBuilder builds endpoints with an ENI in each of their zones.
type endpointBuilder struct{ *addresses }

func (b endpointBuilder) build() {
	each(b.draft, "endpoint", b.raw.Endpoints.Entries, b.endpoint)
}

func (b endpointBuilder) endpoint(e *entry[rawEndpoint]) {
	who := fmt.Sprintf("endpoint %q", e.Name)
	ep := topology.Endpoint{
		Name: e.Name, VPC: e.Value.VPC.V, Service: e.Value.Service.V,
		Description: b.description(who, e.Value.Description), Absent: !e.Value.Exists.or(true),
		Tags: e.Value.Tags.V,
	}
	if o, err := b.plan.Offer(e.Name); err == nil {
		// Both would have an ENI NAME@ZONE.
		b.problem(e.Key, "give one of them another name", "%s has the name of a %s", who, o.Kind)
	}
	if r := e.Value.ServiceRegion; r.given() && r.V != b.plan.Region {
		b.problem(r.Node, "write "+b.plan.Region+", or leave it out",
			"%s leads to region %q, and cross-region endpoints are not supported", who, r.V)
	}
	vpc := refer(b.draft, who, e.Value.VPC, b.plan.VPC)
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
		b.problem(e.Value.ZoneAffinity.Node, "remove it, and use the zone's name where the zone matters",
			"%s: names of %s endpoints have no zone affinity", who, b.plan.Cloud)
	}
	if vpc != nil {
		if e.Value.Subnets.nowhere() {
			// PrivateLink API 2020-04-15, CreateVpcEndpoint: Zone may be left out.
			b.warn(e.Key, "name a subnet of vpc "+vpc.Name, "%s is in no subnet", who)
		}
		places := b.placed(who, vpc, e.Value.Subnets)
		ep.DualStack = b.dualStack(who, e.Value.IPAddressType, e.Value.Subnets, places)
		if ep.DualStack && service != nil {
			b.sameType(who, e.Value.IPAddressType, service)
		}
		for _, p := range places {
			zone := topology.EndpointZone{Zone: p.subnet.Zone, Subnet: p.subnet.Name,
				ENI: b.eni("endpoint", e.Name, vpc, p)}
			if service != nil {
				zone.Domain = b.ids.ZoneDomain(id, zone.Zone, service.ID)
				b.offers(who, e.Value.Subnets, p, service)
			}
			ep.Zones = append(ep.Zones, zone)
		}
		ep.SecurityGroups = b.membership(who, vpc, e.Value.SecurityGroups)
		b.countGroups(who, e.Value.SecurityGroups)
	}
	ep.MTU = e.Value.MTU.or(b.can.EndpointMTU)
	ep.AnswerPing = e.Value.AnswerPing.V
	if ep.AnswerPing && ep.Reverse {
		b.problem(e.Value.AnswerPing.Node, "remove it", "%s is a reverse endpoint, and nobody connects to those", who)
	}
	bandwidth := 0
	if service != nil {
		bandwidth = service.Bandwidth
	}
	ep.Impairments = b.impairments(who, e.Value.Impairments, bandwidth)
	b.plan.Endpoints = append(b.plan.Endpoints, ep)
}

// visible is the service of an endpoint. For an account that is not on its
// whitelist the service is not there at all; what matters is the whitelist at
// the time when the endpoint is created.
func (b endpointBuilder) visible(who string, ep topology.Endpoint, ref value[string]) *topology.EndpointService {
	account := ep.Account
	service := refer(b.draft, who, ref, b.plan.Service)
	if service == nil || ep.Absent || b.bad["endpoint service "+service.Name] {
		return service
	}
	if service.Absent {
		b.problem(ref.Node, fmt.Sprintf("write exists: false in %s, too", ep.Name),
			"%s leads to endpoint service %q, which does not exist yet", who, ref.V)
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
func (b endpointBuilder) offers(who string, want placements, p place, service *topology.EndpointService) {
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
	b.problem(node,
		fmt.Sprintf("%q is in %s; use a subnet there, or give its load balancer a subnet in %s", service.Name,
			spell.List(zones), p.subnet.Zone),
		"%s asks for zone %s, which endpoint service %q does not offer", who, p.subnet.Zone, service.Name)
}

// sameType notes an endpoint that is dualstack where its service is not: AWS
// PrivateLink guide, "Create a service powered by AWS PrivateLink", wants
// load balancers that are.
func (b endpointBuilder) sameType(who string, kind value[string], service *topology.EndpointService) {
	if service.Reverse {
		b.problem(kind.Node, "remove it", "%s is a reverse endpoint, and those have IPv4 alone", who)
		return
	}
	for _, r := range service.Resources {
		lb, err := b.plan.LoadBalancer(r.LoadBalancer)
		if err == nil && !lb.DualStack && !b.bad["load balancer "+lb.Name] {
			b.problem(kind.Node,
				fmt.Sprintf("write ip_address_type: dualstack in load balancer %s, or leave it out here", lb.Name),
				"%s is dualstack, and load balancer %q of endpoint service %q is not", who, lb.Name, service.Name)
			return
		}
	}
}

func (b endpointBuilder) countGroups(who string, refs sequence[value[string]]) {
	if most := b.plan.Quotas.GroupsPerEndpoint; most > 0 && len(refs.Items) > most {
		b.problem(refs.Node,
			fmt.Sprintf("keep at most %d, or write quotas: {groups_per_endpoint: %d} where yours is higher", most,
				len(refs.Items)),
			"%s has %d security groups", who, len(refs.Items))
	}
}

// impairments are those of an endpoint: what is said of a direction, else what
// is said of both, else the bandwidth of the service.
func (b endpointBuilder) impairments(who string, raw rawImpairments, bandwidth int) (out topology.Impairments) {
	out.Seed = uint64(raw.Seed.V)
	both := raw.oneWay().over(topology.Impairment{Bandwidth: int64(bandwidth) * 1e6})
	for _, way := range []struct {
		name string
		raw  *rawOneWay
		into *topology.Impairment
	}{{"to the provider", raw.ToProvider, &out.ToProvider}, {"to the consumer", raw.ToConsumer, &out.ToConsumer}} {
		*way.into = both
		node := raw.Node
		if way.raw != nil {
			*way.into = way.raw.over(both)
			node = way.raw.Node
		} else if way.into == &out.ToConsumer && raw.ToProvider == nil {
			continue // the same again
		}
		if err := way.into.Check(); err != nil && node != nil {
			b.problem(node, "", "%s: %s, %v", who, way.name, err)
		}
	}
	return out
}

// choose decides the addresses of all ENIs.
func (b endpointBuilder) choose() {
	for e, ep := range pairs(b.raw.Endpoints.Entries, b.plan.Endpoints) {
		vpc := b.plan.MustVPC(ep.VPC)
		for i := range ep.Zones {
			b.complete(&ep.Zones[i].ENI, vpc, "endpoint", ep.Name, e.Key)
			if ep.DualStack {
				b.completeIPv6(&ep.Zones[i].ENI, vpc)
			}
		}
	}
}
