package topology

import (
	"net/netip"
	"slices"
)

// DefaultGroup is the name of the security group that every VPC of AWS has.
const DefaultGroup = "default"

// Groups are security groups of a VPC, in the order of the VPC's, with a rule for
// each member where a rule names a group: members are the plan's, also those that
// an operation has put there.
func (p *Plan) Groups(vpc *VPC, names []string) []SecurityGroup {
	var out []SecurityGroup
	for _, g := range vpc.SecurityGroups {
		if slices.Contains(names, g.Name) {
			g.Ingress, g.Egress = p.expanded(vpc, g.Ingress), p.expanded(vpc, g.Egress)
			out = append(out, g)
		}
	}
	return out
}

func (p *Plan) expanded(vpc *VPC, rules []Rule) []Rule {
	if !slices.ContainsFunc(rules, func(r Rule) bool { return r.Group != "" }) {
		return rules
	}
	out := []Rule{}
	for _, r := range rules {
		if r.Group == "" {
			out = append(out, r)
			continue
		}
		for _, addr := range p.Members(vpc, r.Group) {
			r.Peer = netip.PrefixFrom(addr, addr.BitLen())
			out = append(out, r)
		}
	}
	return out
}

// Members are the addresses of what is in a security group of a VPC: instances,
// the ENIs of endpoints, and the nodes of load balancers, with the address from
// which those of layer 4 probe their servers.
func (p *Plan) Members(vpc *VPC, group string) (out []netip.Addr) {
	seen := map[netip.Addr]bool{}
	add := func(addrs ...netip.Addr) {
		for _, a := range addrs {
			if a.IsValid() && !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	for i := range vpc.Instances {
		in := &vpc.Instances[i]
		if slices.Contains(in.SecurityGroups, group) {
			add(in.IP, in.IPv6)
		}
	}
	for i := range p.Endpoints {
		ep := &p.Endpoints[i]
		if ep.VPC != vpc.Name || ep.Absent || !slices.Contains(ep.SecurityGroups, group) {
			continue
		}
		for j := range ep.Zones {
			add(ep.Zones[j].ENI.IP, ep.Zones[j].ENI.IPv6)
		}
	}
	for i := range p.LoadBalancers {
		lb := &p.LoadBalancers[i]
		if lb.VPC != vpc.Name || !slices.Contains(lb.SecurityGroups, group) {
			continue
		}
		if lb.Type == ALB {
			for j := range lb.Nodes {
				add(lb.Nodes[j].IP())
			}
			continue
		}
		add(vpc.Probers()...)
		if lb.DualStack {
			add(p.IPv6Probers(vpc)...)
		}
		for _, n := range lb.Nodes {
			add(n.Local...)
		}
	}
	return out
}

// WithMembers is the plan with the groups, and the presence, that endpoints have in
// another plan of the same file, so that its groups have the members of now.
func (p *Plan) WithMembers(now *Plan) *Plan {
	out, groups := *p, make(map[string][]string, len(now.Endpoints))
	for i := range now.Endpoints {
		groups[now.Endpoints[i].Name] = now.Endpoints[i].SecurityGroups
	}
	out.Endpoints = slices.Clone(p.Endpoints)
	for i := range out.Endpoints {
		out.Endpoints[i].SecurityGroups = groups[out.Endpoints[i].Name]
	}
	return &out
}

// NamesGroups says whether a rule of the plan names a security group.
func (p *Plan) NamesGroups() bool {
	named := func(r Rule) bool { return r.Group != "" }
	for i := range p.VPCs {
		for _, g := range p.VPCs[i].SecurityGroups {
			if slices.ContainsFunc(g.Ingress, named) || slices.ContainsFunc(g.Egress, named) {
				return true
			}
		}
	}
	return false
}
