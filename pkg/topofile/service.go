package topofile

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// serviceBuilder builds endpoint services.
type serviceBuilder struct{ *draft }

func (b serviceBuilder) build() {
	each(b.draft, "endpoint service", b.raw.Services.Entries, b.service)
}

func (b serviceBuilder) service(e *entry[rawEndpointService]) {
	who := fmt.Sprintf("endpoint service %q", e.Name)
	id := b.ids.Service(e.Name)
	s := topology.EndpointService{
		Name:         e.Name,
		ID:           id,
		ServiceName:  b.ids.ServiceName(id),
		Domain:       b.ids.ServiceDomain(id),
		AutoAccept:   e.Value.AutoAccept.V,
		Tags:         e.Value.Tags.V,
		ZoneAffinity: e.Value.ZoneAffinity.V,
		Description:  b.description(who, e.Value.Description),
		Payer:        e.Value.Payer.or("consumer"),
		Absent:       !e.Value.Exists.or(true),
	}
	if s.ZoneAffinity && !b.can.ZoneAffinity {
		b.problem(e.Value.ZoneAffinity.Node, "remove it, and use the zone's name where the zone matters",
			"%s: names of %s endpoints have no zone affinity", who, b.plan.Cloud)
	}
	s.PrivateName = privateNameBuilder(b).privateName(who, e.Value.PrivateDNSName, e.Name)
	offers := b.offered(who, e.Key, e.Value.Resources)
	s.Account = b.ownerOf(who, e, offers)
	if kind := e.Value.ResourceType.V; kind == topology.GatewayResource {
		s.Reverse = true
	} else {
		s.Type = topology.LoadBalancerType(kind)
	}
	b.resourceType(who, e.Value.ResourceType, offers)
	for _, o := range offers {
		s.Resources = append(s.Resources, o.Resources...)
		s.Reverse = s.Reverse || o.Kind == "NAT gateway"
		s.Type = o.Type
	}
	s.Bandwidth = int(e.Value.Bandwidth.or(megabits(b.can.BandwidthOf(s.Type))))
	if len(offers) > 0 {
		b.bandwidth(who, s.Type, e.Value.Bandwidth)
	}
	b.alone(who, &s, e.Value.Resources)
	s.Whitelist = b.whitelist(who, s.Account, e.Value.Whitelist)
	b.plan.Services = append(b.plan.Services, s)
}

// bandwidth holds the bandwidth of a service's connections to the bounds of its load
// balancers' type.
func (b serviceBuilder) bandwidth(who string, t topology.LoadBalancerType, v value[megabits]) {
	if most := t.MaxMegabits(); v.given() && int(v.V) > most {
		b.problem(v.Node, fmt.Sprintf("write a number from %d to %d, or none", topology.MinMegabits, most),
			"%s: a connection to a %s has at most %d Mbit/s", who, cmp.Or(t, "NAT gateway"), most)
	}
}

// offered are the load balancers of a service, or its NAT gateways: each once,
// all of one type.
func (b serviceBuilder) offered(who string, key *yaml.Node, refs sequence[value[string]]) []*topology.Offer {
	var out []*topology.Offer
	if refs.isEmpty() {
		b.warn(key, "name a load balancer", "%s has no resources", who)
	}
	for _, ref := range refs.Items {
		o := refer(b.draft, who, ref, b.plan.Offer)
		switch {
		case o == nil:
		case slices.ContainsFunc(out, func(other *topology.Offer) bool { return other.Name == o.Name }):
			b.problem(ref.Node, "remove it: a "+o.Kind+" is offered in all of its zones",
				"%s: %s %q is named twice", who, o.Kind, o.Name)
		case len(out) > 0 && o.Phrase != out[0].Phrase && o.Phrase != "" && out[0].Phrase != "":
			b.problem(ref.Node, "make a service for each type",
				"%s: %q is %s, and %q %s", who, o.Name, o.Phrase, out[0].Name, out[0].Phrase)
		case o.Type == topology.ALB && !b.can.OfferALB:
			// AWS PrivateLink guide, "Create a service powered by AWS PrivateLink".
			b.problem(ref.Node, "offer an nlb",
				"%s: load balancer %q is an alb, and at %s a service offers nlbs", who, o.Name, b.plan.Cloud)
		default:
			b.offerable(who, ref.Node, o)
			out = append(out, o)
		}
	}
	return out
}

// resourceType notes what a service offers of another type than its own, and a type
// that its cloud does not offer.
func (b serviceBuilder) resourceType(who string, kind value[string], offers []*topology.Offer) {
	for _, o := range offers {
		if kind.given() && o.ResourceType() != "" && o.ResourceType() != kind.V {
			b.problem(kind.Node, "make a service for each type, or remove the key",
				"%s is for resources of type %s, and %q is %s", who, kind.V, o.Name, o.Phrase)
		}
	}
	if kind.V == string(topology.ALB) && !b.can.OfferALB && len(offers) == 0 {
		b.problem(kind.Node, "offer an nlb", "%s: at %s a service offers nlbs", who, b.plan.Cloud)
	}
}

// offerable notes a load balancer that a service cannot offer: one with too many
// listeners.
func (b serviceBuilder) offerable(who string, node *yaml.Node, o *topology.Offer) {
	most := b.can.ListenersOffered
	lb, err := b.plan.LoadBalancer(o.Name)
	if err == nil && most > 0 && lb.CountListeners() > most {
		b.problem(node, fmt.Sprintf("keep at most %d, or use several load balancers", most),
			"%s: load balancer %q has %d listeners, and an endpoint service of %s takes %d",
			who, o.Name, lb.CountListeners(), b.plan.Cloud, most)
	}
}

// alone notes a load balancer that is offered by several services where it may be
// of one alone. A service that does not exist yet is asked when it is created.
func (b serviceBuilder) alone(who string, s *topology.EndpointService, refs sequence[value[string]]) {
	if !b.can.OneService || s.Absent {
		return
	}
	for _, ref := range refs.Items {
		for _, other := range b.plan.Services {
			if !other.Absent && other.Offers(ref.V) {
				b.problem(ref.Node, fmt.Sprintf("make another load balancer for one of them, or add it to %q", other.Name),
					"%s: load balancer %q is offered by endpoint service %q, and at %s by one alone",
					who, ref.V, other.Name, b.plan.Cloud)
			}
		}
	}
}

// ownerOf is the account that owns the resources, which must be one.
func (b serviceBuilder) ownerOf(who string, e *entry[rawEndpointService], offers []*topology.Offer) string {
	var owner string
	if e.Value.Account.given() {
		if a := refer(b.draft, who, e.Value.Account, b.plan.Account); a != nil {
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
			b.problem(e.Value.Resources.Items[i].Node, "a service offers what its owner has",
				"%s of account %q offers %s %q, which belongs to account %q", who, owner, o.Kind, o.Name, vpc.Account)
		}
	}
	if owner == "" && e.Value.Resources.isEmpty() {
		return b.owner(who, e.Value.Account, e.Key)
	}
	return owner
}

// whitelist is the owner and whom the owner names. PrivateLink API 2020-04-15:
// the owner's account is added by itself.
func (b serviceBuilder) whitelist(who, owner string, refs sequence[value[string]]) []string {
	var out []string
	if owner != "" {
		out = append(out, owner)
	}
	named := map[string]bool{}
	for _, ref := range refs.Items {
		if ref.V != topology.Everybody && refer(b.draft, who, ref, b.plan.Account) == nil {
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
