package topofile

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// idBuilder sees to it that an identifier stands for one object: a name that has the
// form of an identifier is one, and identifiers are taken for names.
type idBuilder struct {
	*draft
	all []identified
}

// identified is an object that has a name and an identifier.
type identified struct {
	who, name, id string
	key           *yaml.Node // its name in the file
}

func (b idBuilder) build() {
	for e, vpc := range pairs(b.raw.VPCs.Entries, b.plan.VPCs) {
		identify(&b, "vpc", "", []entry[rawVPC]{*e}, []topology.VPC{*vpc},
			func(v *topology.VPC) (string, string) { return v.Name, v.ID })
		identify(&b, "subnet", vpc.Name, e.Value.Subnets.Entries, vpc.Subnets,
			func(s *topology.Subnet) (string, string) { return s.Name, s.ID })
		identify(&b, "security group", vpc.Name, e.Value.SecurityGroups.Entries, vpc.SecurityGroups,
			func(g *topology.SecurityGroup) (string, string) { return g.Name, g.ID })
		identify(&b, "instance", vpc.Name, e.Value.Instances.Entries, vpc.Instances,
			func(i *topology.Instance) (string, string) { return i.Name, i.ID })
	}
	identify(&b, "server group", "", b.raw.ServerGroups.Entries, b.plan.ServerGroups,
		func(g *topology.ServerGroup) (string, string) { return g.Name, g.ID })
	identify(&b, "load balancer", "", b.raw.LoadBalancers.Entries, b.plan.LoadBalancers,
		func(l *topology.LoadBalancer) (string, string) { return l.Name, l.ID })
	identify(&b, "NAT gateway", "", b.raw.NATGateways.Entries, b.plan.NATGateways,
		func(g *topology.NATGateway) (string, string) { return g.Name, g.ID })
	identify(&b, "endpoint service", "", b.raw.Services.Entries, b.plan.Services,
		func(s *topology.EndpointService) (string, string) { return s.Name, s.ID })
	identify(&b, "endpoint", "", b.raw.Endpoints.Entries, b.plan.Endpoints,
		func(e *topology.Endpoint) (string, string) { return e.Name, e.ID })
	b.compare()
}

// identify notes the objects of a kind.
func identify[R, P any](b *idBuilder, kind, vpc string, raw []entry[R], planned []P, of func(*P) (name, id string)) {
	for e, p := range pairs(raw, planned) {
		name, id := of(p)
		who := fmt.Sprintf("%s %q", kind, name)
		if vpc != "" {
			who += fmt.Sprintf(" of vpc %q", vpc)
		}
		b.all = append(b.all, identified{who, name, id, e.Key})
	}
}

func (b idBuilder) compare() {
	owners := make(map[string]int, len(b.all)) // by identifier
	for i, o := range b.all {
		if other, taken := owners[o.id]; taken {
			b.problem(o.key, "give one of them another name",
				"%s and %s have the same identifier", b.all[other].who, o.who)
			continue
		}
		owners[o.id] = i
	}
	for _, o := range b.all {
		if other, taken := owners[o.name]; taken && b.all[other].id != o.id {
			b.problem(o.key, "give it another name", "%s has the identifier of %s as its name", o.who, b.all[other].who)
		}
	}
}

// leastID is the length of the shortest identifiers: i- and 17 digits.
const leastID = 19

// mayShareIDs says whether an identifier may stand for several objects of a plan. Only
// names that are as long as one can be another's, so most plans need no table.
func mayShareIDs(p *topology.Plan) bool {
	long := map[string]bool{}
	eachID(p, func(name, _ string) bool {
		if len(name) >= leastID {
			long[name] = true
		}
		return true
	})
	if len(long) == 0 {
		return false
	}
	seen := map[string]bool{}
	return !eachID(p, func(name, id string) bool {
		shared := seen[id] || long[id] && id != name
		seen[id] = true
		return !shared
	})
}

// eachID gives the name and the identifier of every object until give says no.
func eachID(p *topology.Plan, give func(name, id string) bool) bool {
	more := true
	for i := range p.VPCs {
		v := &p.VPCs[i]
		more = more && give(v.Name, v.ID)
		for j := range v.Subnets {
			more = more && give(v.Subnets[j].Name, v.Subnets[j].ID)
		}
		for j := range v.SecurityGroups {
			more = more && give(v.SecurityGroups[j].Name, v.SecurityGroups[j].ID)
		}
		for j := range v.Instances {
			more = more && give(v.Instances[j].Name, v.Instances[j].ID)
		}
	}
	for i := range p.ServerGroups {
		more = more && give(p.ServerGroups[i].Name, p.ServerGroups[i].ID)
	}
	for i := range p.LoadBalancers {
		more = more && give(p.LoadBalancers[i].Name, p.LoadBalancers[i].ID)
	}
	for i := range p.NATGateways {
		more = more && give(p.NATGateways[i].Name, p.NATGateways[i].ID)
	}
	for i := range p.Services {
		more = more && give(p.Services[i].Name, p.Services[i].ID)
	}
	for i := range p.Endpoints {
		more = more && give(p.Endpoints[i].Name, p.Endpoints[i].ID)
	}
	return more
}
