package topology

import (
	"reflect"
	"slices"

	"github.com/plinksim/plinksim/internal/memo"
)

// Part is what a plan has in one VPC. What stands in other VPCs does not matter to
// the network in it, except for the VPCs that it has peerings with.
type Part struct {
	VPC           *VPC
	Peerings      []*Peering
	Peers         []*VPC
	LoadBalancers []*LoadBalancer
	NATGateways   []*NATGateway
	Endpoints     []*Endpoint
}

// Equal says whether both make the same network, to which listeners do not matter. That
// is fast where their plans share what they have in common.
func (p *Part) Equal(o *Part) bool {
	return equal(p.VPC, o.VPC) && slices.EqualFunc(p.Peerings, o.Peerings, equal[Peering]) &&
		slices.EqualFunc(p.Peers, o.Peers, equal[VPC]) &&
		slices.EqualFunc(p.LoadBalancers, o.LoadBalancers, equalNodes) &&
		slices.EqualFunc(p.NATGateways, o.NATGateways, equal[NATGateway]) &&
		slices.EqualFunc(p.Endpoints, o.Endpoints, equal[Endpoint])
}

func equal[T any](a, b *T) bool {
	return a == b || memo.Identical(a, b) || reflect.DeepEqual(a, b)
}

// equalNodes says whether two load balancers are equal but for their listeners.
func equalNodes(a, b *LoadBalancer) bool {
	if a == b || memo.Identical(a, b) {
		return true
	}
	x, y := *a, *b
	x.Listeners, y.Listeners = nil, nil
	return reflect.DeepEqual(x, y)
}

// DifferingVPCs are those in which the parts of two plans may differ. What it costs follows
// what differs where plans share the rest.
func DifferingVPCs(old, plan *Plan) map[string]bool {
	out := map[string]bool{}
	differing(out, old.VPCs, plan.VPCs, func(v *VPC) string { return v.Name }, func(v *VPC) string { return v.Name })
	differing(out, old.LoadBalancers, plan.LoadBalancers, func(l *LoadBalancer) string { return l.Name },
		func(l *LoadBalancer) string { return l.VPC })
	differing(out, old.NATGateways, plan.NATGateways, func(g *NATGateway) string { return g.Name },
		func(g *NATGateway) string { return g.VPC })
	differing(out, old.Endpoints, plan.Endpoints, func(e *Endpoint) string { return e.Name },
		func(e *Endpoint) string { return e.VPC })
	for _, end := range []int{0, 1} {
		differing(out, old.Peerings, plan.Peerings, func(p *Peering) string { return p.Name },
			func(p *Peering) string { return p.VPCs[end] })
	}
	for _, p := range slices.Concat(old.Peerings, plan.Peerings) {
		if out[p.VPCs[0]] || out[p.VPCs[1]] { // a part has the VPCs of its peers
			out[p.VPCs[0]], out[p.VPCs[1]] = true, true
		}
	}
	return out
}

func differing[T any](out map[string]bool, old, now []T, name, vpc func(*T) string) {
	gone, fresh := memo.Differing(old, now, name)
	for _, o := range append(gone, fresh...) {
		out[vpc(o)] = true
	}
}

// Parts are those of some VPCs, in the order of the file; nil is all.
func (p *Plan) Parts(vpcs map[string]bool) []*Part {
	var out []*Part
	of := map[string]*Part{}
	for i := range p.VPCs {
		if name := p.VPCs[i].Name; vpcs == nil || vpcs[name] {
			of[name] = &Part{VPC: &p.VPCs[i]}
			out = append(out, of[name])
		}
	}
	for i := range p.Peerings {
		for j, name := range p.Peerings[i].VPCs {
			if part := of[name]; part != nil {
				part.Peerings = append(part.Peerings, &p.Peerings[i])
				part.Peers = append(part.Peers, p.MustVPC(p.Peerings[i].VPCs[1-j]))
			}
		}
	}
	for i := range p.LoadBalancers {
		if part := of[p.LoadBalancers[i].VPC]; part != nil {
			part.LoadBalancers = append(part.LoadBalancers, &p.LoadBalancers[i])
		}
	}
	for i := range p.NATGateways {
		if part := of[p.NATGateways[i].VPC]; part != nil {
			part.NATGateways = append(part.NATGateways, &p.NATGateways[i])
		}
	}
	for i := range p.Endpoints {
		if part := of[p.Endpoints[i].VPC]; part != nil {
			part.Endpoints = append(part.Endpoints, &p.Endpoints[i])
		}
	}
	return out
}

// ENIs are those in the VPC, in the order of Plan.ENIs.
func (p *Part) ENIs() []*ENI {
	var out []*ENI
	for _, e := range p.Endpoints {
		for i := range e.Zones {
			out = append(out, &e.Zones[i].ENI)
		}
	}
	for _, l := range p.LoadBalancers {
		for i := range l.Nodes {
			out = append(out, &l.Nodes[i].ENI)
		}
	}
	for _, g := range p.NATGateways {
		out = append(out, &g.ENI)
	}
	return out
}
