package topofile

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

type rawQuotas struct {
	ServicesPerAccount  value[int] `yaml:"services_per_account" doc:"endpoint services of an account" range:"0..100000"`
	EndpointsPerVPC     value[int] `yaml:"endpoints_per_vpc" doc:"endpoints in a VPC" range:"0..100000"`
	ResourcesPerService value[int] `yaml:"resources_per_service" doc:"load balancers of a service," range:"0..100000"`
	_                   more       `doc:"counted once for each zone"`
	ResourcesPerZone    value[int] `yaml:"resources_per_zone" doc:"load balancers of a service in" range:"0..100000"`
	_                   more       `doc:"one zone"`
	GroupsPerEndpoint   value[int] `yaml:"groups_per_endpoint" doc:"security groups of an endpoint" range:"0..100000"`
}

// quotaBuilder reads quotas, and notes what is beyond them.
type quotaBuilder struct{ *draft }

func (b quotaBuilder) read() {
	q, raw := b.can.Quotas, b.raw.Quotas
	b.plan.Quotas = topology.Quotas{
		ServicesPerAccount:  raw.ServicesPerAccount.or(q.ServicesPerAccount),
		EndpointsPerVPC:     raw.EndpointsPerVPC.or(q.EndpointsPerVPC),
		ResourcesPerService: raw.ResourcesPerService.or(q.ResourcesPerService),
		ResourcesPerZone:    raw.ResourcesPerZone.or(q.ResourcesPerZone),
		GroupsPerEndpoint:   raw.GroupsPerEndpoint.or(q.GroupsPerEndpoint),
	}
}

// build notes the first object that is one too many.
func (b quotaBuilder) build() {
	q, services, endpoints := b.plan.Quotas, map[string]int{}, map[string]int{}
	for i, s := range b.plan.Services {
		who, node := fmt.Sprintf("endpoint service %q", s.Name), b.raw.Services.Entries[i].Key
		zones := map[string]int{}
		for _, r := range s.Resources {
			zones[r.Zone]++
			b.within(node, who, "has its "+ordinal(zones[r.Zone])+" load balancer in zone "+r.Zone, zones[r.Zone],
				q.ResourcesPerZone, "resources_per_zone")
		}
		if n := len(s.Resources); n > q.ResourcesPerService {
			b.within(node, who, fmt.Sprintf("has %d load balancers", n), q.ResourcesPerService+1,
				q.ResourcesPerService, "resources_per_service")
		}
		if !s.Absent {
			services[s.Account]++
			b.within(node, who, fmt.Sprintf("is the %s of account %q", ordinal(services[s.Account]), s.Account),
				services[s.Account], q.ServicesPerAccount, "services_per_account")
		}
	}
	for i, e := range b.plan.Endpoints {
		if !e.Absent {
			endpoints[e.VPC]++
			node, who := b.raw.Endpoints.Entries[i].Key, fmt.Sprintf("endpoint %q", e.Name)
			b.within(node, who, fmt.Sprintf("is the %s of vpc %q", ordinal(endpoints[e.VPC]), e.VPC),
				endpoints[e.VPC], q.EndpointsPerVPC, "endpoints_per_vpc")
		}
	}
}

func (b quotaBuilder) within(node *yaml.Node, who, is string, n, limit int, key string) {
	if limit > 0 && n == limit+1 {
		b.problem(node, fmt.Sprintf("write quotas: {%s: %d} where yours is higher", key, n),
			"%s %s, and the quota is %d", who, is, limit)
	}
}

func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
