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
