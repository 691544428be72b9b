package control

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/topology"
)

// serviceQuota refuses one service more than an account may have.
func (st rules) serviceQuota(account string) *Error {
	n := 0
	for _, s := range st.merged.Services {
		if s.Account == account {
			n++
		}
	}
	return overQuota("endpoint service", fmt.Sprintf("account %q", account), "endpoint services", n,
		st.plan.Quotas.ServicesPerAccount, "services_per_account")
}

// endpointQuota refuses one endpoint more than a VPC may have.
func (st rules) endpointQuota(vpc string) *Error {
	n := 0
	for _, e := range st.merged.Endpoints {
		if e.VPC == vpc {
			n++
		}
	}
	return overQuota("endpoint", fmt.Sprintf("vpc %q", vpc), "endpoints", n, st.plan.Quotas.EndpointsPerVPC,
		"endpoints_per_vpc")
}

// resourceQuota refuses more resources than a service may have.
func (st rules) resourceQuota(s *topology.EndpointService, add []topology.Resource) *Error {
	who := fmt.Sprintf("endpoint service %q", s.Name)
	all := append(s.Resources[:len(s.Resources):len(s.Resources)], add...)
	if err := overQuota("endpoint service", who, "load balancers", len(all)-1, st.plan.Quotas.ResourcesPerService,
		"resources_per_service"); err != nil {
		return err
	}
	perZone := map[string]int{}
	for _, r := range all {
		perZone[r.Zone]++
		if err := overQuota("endpoint service", who, "load balancers in zone "+r.Zone, perZone[r.Zone]-1,
			st.plan.Quotas.ResourcesPerZone, "resources_per_zone"); err != nil {
			return err
		}
	}
	return nil
}

// overQuota says whether one more than has is too many; a limit of 0 is none.
func overQuota(kind, who, what string, has, limit int, setting string) *Error {
	if limit == 0 || has < limit {
		return nil
	}
	return &Error{Code: topology.Quota, Kind: kind,
		Text: fmt.Sprintf("%s has %d %s, and may not have more", who, has, what),
		Hint: fmt.Sprintf("delete one, or write quotas: {%s: %d} in the topology file", setting, limit+1)}
}
