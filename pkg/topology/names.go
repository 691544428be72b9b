package topology

import (
	"net/netip"
	"slices"
)

// HostName is a name that programs find in the hosts file of an instance.
type HostName struct {
	IP   netip.Addr
	Name string
}

// HostNames are those of a plan in the hosts files of a VPC: the domains of
// the FullNAT entries of its gateways. One name comes once.
func (p *Plan) HostNames(vpc string) []HostName {
	var out []HostName
	for _, gw := range p.NATGateways {
		if gw.VPC != vpc {
			continue
		}
		for _, e := range gw.Entries {
			name := HostName{e.NATIP, e.Domain}
			if e.Domain != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// ShortName is the instance's name alone where no other VPC has one of that
// name, else VPC/NAME: what commands take.
func (p *Plan) ShortName(instance Instance) string {
	if found, err := p.Instance(instance.Name); err == nil && found.VPC == instance.VPC {
		return instance.Name
	}
	return instance.VPC + "/" + instance.Name
}

// ShortNames is ShortName for those who want many.
func (p *Plan) ShortNames() func(Instance) string {
	known := map[string]int{}
	for i := range p.VPCs {
		for j := range p.VPCs[i].Instances {
			in := &p.VPCs[i].Instances[j]
			if known[in.Name]++; in.ID != in.Name {
				known[in.ID]++
			}
		}
	}
	return func(in Instance) string {
		if known[in.Name] == 1 {
			return in.Name
		}
		return in.Ref()
	}
}
