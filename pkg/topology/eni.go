package topology

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/internal/spell"
)

// ENIs are all that the lab has: those of endpoints, then those of load
// balancers, then those of NAT gateways, in the order of the file.
func (p *Plan) ENIs() []*ENI {
	var out []*ENI
	for i := range p.Endpoints {
		for j := range p.Endpoints[i].Zones {
			out = append(out, &p.Endpoints[i].Zones[j].ENI)
		}
	}
	for i := range p.LoadBalancers {
		for j := range p.LoadBalancers[i].Nodes {
			out = append(out, &p.LoadBalancers[i].Nodes[j].ENI)
		}
	}
	for i := range p.NATGateways {
		out = append(out, &p.NATGateways[i].ENI)
	}
	return out
}

// ENI finds an ENI by its name, NAME@ZONE, or by the name of its endpoint,
// load balancer or NAT gateway where that has only one. The error is a *NotFoundError, or
// says between which ENIs to choose.
func (p *Plan) ENI(ref string) (*ENI, error) {
	all := p.ENIs()
	var found []*ENI
	for _, eni := range all {
		if eni.Name == ref {
			return eni, nil
		}
		if name, _, _ := strings.Cut(eni.Name, "@"); name == ref {
			found = append(found, eni)
		}
	}
	nameOf := func(e **ENI) string { return (*e).Name }
	switch len(found) {
	case 0:
		return nil, &NotFoundError{Kind: "ENI", Name: ref, Known: spell.Names(all, nameOf)}
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q has several ENIs: write %s", ref, strings.Join(spell.Names(found, nameOf), " or "))
}
