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

// Equal says whether both have the same. That is fast where their plans share what they
// have in common.
func (p *Part) Equal(o *Part) bool {
	return equal(p.VPC, o.VPC) && slices.EqualFunc(p.Peerings, o.Peerings, equal[Peering]) &&
		slices.EqualFunc(p.Peers, o.Peers, equal[VPC]) &&
		slices.EqualFunc(p.LoadBalancers, o.LoadBalancers, equal[LoadBalancer]) &&
		slices.EqualFunc(p.NATGateways, o.NATGateways, equal[NATGateway]) &&
		slices.EqualFunc(p.Endpoints, o.Endpoints, equal[Endpoint])
}

func equal[T any](a, b *T) bool {
	return a == b || memo.Identical(a, b) || reflect.DeepEqual(a, b)
}

// Parts are those of all VPCs, in the order of the file.
func (p *Plan) Parts() []*Part {
	out, of := make([]*Part, len(p.VPCs)), make(map[string]*Part, len(p.VPCs))
	for i := range p.VPCs {
		out[i] = &Part{VPC: &p.VPCs[i]}
		of[p.VPCs[i].Name] = out[i]
	}
	for i := range p.Peerings {
		for j, name := range p.Peerings[i].VPCs {
			part := of[name]
			part.Peerings = append(part.Peerings, &p.Peerings[i])
			part.Peers = append(part.Peers, of[p.Peerings[i].VPCs[1-j]].VPC)
		}
	}
	for i := range p.LoadBalancers {
		part := of[p.LoadBalancers[i].VPC]
		part.LoadBalancers = append(part.LoadBalancers, &p.LoadBalancers[i])
	}
	for i := range p.NATGateways {
		part := of[p.NATGateways[i].VPC]
		part.NATGateways = append(part.NATGateways, &p.NATGateways[i])
	}
	for i := range p.Endpoints {
		part := of[p.Endpoints[i].VPC]
		part.Endpoints = append(part.Endpoints, &p.Endpoints[i])
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
