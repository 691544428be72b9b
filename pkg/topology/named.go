package topology

import (
	"slices"
	"strings"
)

// ids are the names of objects by their identifiers, and those of services by
// their service names too. Identifiers of all kinds differ.
func (p *Plan) ids() map[string]string {
	out := map[string]string{}
	for _, a := range p.Accounts {
		out[a.ID] = a.Name
	}
	for _, v := range p.VPCs {
		out[v.ID] = v.Name
		for _, s := range v.Subnets {
			out[s.ID] = s.Name
		}
		for _, g := range v.SecurityGroups {
			out[g.ID] = g.Name
		}
		for _, i := range v.Instances {
			out[i.ID] = i.Name
		}
	}
	for _, g := range p.ServerGroups {
		out[g.ID] = g.Name
	}
	for _, l := range p.LoadBalancers {
		out[l.ID] = l.Name
	}
	for _, g := range p.NATGateways {
		out[g.ID] = g.Name
		for _, e := range g.Entries {
			out[e.ID] = e.Name
		}
	}
	for _, s := range p.Services {
		out[s.ID], out[s.ServiceName] = s.Name, s.Name
	}
	for _, e := range p.Endpoints {
		out[e.ID] = e.Name
	}
	return out
}

// NamedEdits are edits with names in their paths where those have identifiers.
func (p *Plan) NamedEdits(edits []Edit) []Edit {
	ids := p.ids()
	out := slices.Clone(edits)
	for i := range out {
		parts := SplitPath(out[i].Path)
		for j, part := range parts {
			if name, ok := ids[part]; ok {
				parts[j] = name
			}
		}
		out[i].Path = JoinPath(parts...)
	}
	return out
}

// nameOf is the name of the object that has an identifier, or the text itself.
func (p *Plan) nameOf(text string) string {
	if name, ok := p.ids()[text]; ok {
		return name
	}
	return text
}

// Named is an operation with names where it has identifiers, service names or
// the numbers of accounts.
func (p *Plan) Named(o Operation) Operation {
	ids := p.ids()
	name := func(text string) string {
		if found, ok := ids[text]; ok {
			return found
		}
		return text
	}
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
