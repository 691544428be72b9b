package topology

import (
	"slices"
	"strings"
)

// NameOf is the name of the object that has an identifier, of services also by their
// service names; false where no object has it. Identifiers of all kinds differ.
func (p *Plan) NameOf(id string) (string, bool) {
	for i := range p.Accounts {
		if p.Accounts[i].ID == id {
			return p.Accounts[i].Name, true
		}
	}
	for i := range p.VPCs {
		if name, ok := p.VPCs[i].named(id); ok {
			return name, true
		}
	}
	for i := range p.ServerGroups {
		if p.ServerGroups[i].ID == id {
			return p.ServerGroups[i].Name, true
		}
	}
	for i := range p.LoadBalancers {
		if p.LoadBalancers[i].ID == id {
			return p.LoadBalancers[i].Name, true
		}
	}
	for i := range p.NATGateways {
		g := &p.NATGateways[i]
		if g.ID == id {
			return g.Name, true
		}
		for j := range g.Entries {
			if g.Entries[j].ID == id {
				return g.Entries[j].Name, true
			}
		}
	}
	for i := range p.Services {
		if s := &p.Services[i]; s.ID == id || s.ServiceName == id {
			return s.Name, true
		}
	}
	for i := range p.Endpoints {
		if p.Endpoints[i].ID == id {
			return p.Endpoints[i].Name, true
		}
	}
	return "", false
}

func (v *VPC) named(id string) (string, bool) {
	if v.ID == id {
		return v.Name, true
	}
	for i := range v.Subnets {
		if v.Subnets[i].ID == id {
			return v.Subnets[i].Name, true
		}
	}
	for i := range v.SecurityGroups {
		if v.SecurityGroups[i].ID == id {
			return v.SecurityGroups[i].Name, true
		}
	}
	for i := range v.Instances {
		if v.Instances[i].ID == id {
			return v.Instances[i].Name, true
		}
	}
	return "", false
}

// nameOf is the name of the object that has an identifier, or the text itself.
func (p *Plan) nameOf(text string) string {
	if name, ok := p.NameOf(text); ok {
		return name
	}
	return text
}

// Named is an operation with names where it has identifiers, service names or
// the numbers of accounts.
func (p *Plan) Named(o Operation) Operation {
	name := p.nameOf
	all := func(texts []string) []string {
		out := slices.Clone(texts)
		for i := range out {
			out[i] = name(out[i])
		}
		return out
	}
	for _, field := range []*string{
		&o.As, &o.Service, &o.Endpoint, &o.Account, &o.SecurityGroup, &o.NATGateway, &o.Entry, &o.ServerGroup, &o.VPC,
	} {
		*field = name(*field)
	}
	if balancer, zone, zoned := strings.Cut(o.Resource, "@"); zoned {
		o.Resource = name(balancer) + "@" + zone
	} else {
		o.Resource = name(balancer)
	}
	if at := strings.LastIndex(o.Server, ":"); at >= 0 {
		o.Server = name(o.Server[:at]) + o.Server[at:]
	}
	o.Subnets, o.SecurityGroups, o.LoadBalancers = all(o.Subnets), all(o.SecurityGroups), all(o.LoadBalancers)
	o.Resources = slices.Clone(o.Resources)
	for i, r := range o.Resources {
		o.Resources[i].LoadBalancer, o.Resources[i].NATGateway = name(r.LoadBalancer), name(r.NATGateway)
	}
	return o
}
