package aliapi

import (
	"maps"
	"slices"

	"github.com/plinksim/plinksim/internal/apitest"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// UsedParameters are the parameters that operations use, but for those that list objects, by
// "SERVICE OPERATION": how requests write them, with lists as N.
func UsedParameters() map[string][]string {
	out := map[string][]string{}
	for key, r := range rows() {
		if r.Op.Input != nil && r.listing == nil {
			out[key] = apitest.Used(r.Op.Input, r.Input, "")
		}
	}
	return out
}

// Listed are the operations that list objects, by "SERVICE OPERATION": where their answers have
// the objects.
func Listed() map[string]string {
	out := map[string]string{}
	for key, r := range rows() {
		if r.listing != nil {
			out[key] = r.listing.answer
		}
	}
	return out
}

// FiltersOf are the filters of a listing, and the parameters that it reads beside them.
func FiltersOf(key string) (filters, also []string) {
	l := rows()[key].listing
	return slices.Sorted(maps.Keys(l.filters)), l.also
}

// FilterValues are the values that an account's objects have for a filter, and how many
// objects there are.
func FilterValues(s *Server, account, key, filter string, values wire.Values) (found []string, objects int) {
	r := rows()[key]
	plan := s.CurrentPlan()
	c := &call{Call: &cloudapi.Call{Server: s.Server, Plan: plan, Service: r.Op.Service, Action: r.Op.Name, Values: values}}
	for i := range plan.Accounts {
		if plan.Accounts[i].Name == account {
			c.Account = &plan.Accounts[i]
		}
	}
	all, err := r.listing.all(c)
	if err != nil {
		return nil, 0
	}
	for _, m := range all {
		found = append(found, cloudapi.Texts(m, r.listing.filters[filter].member)...)
	}
	return found, len(all)
}

// CanBeDry are the operations that have the parameter DryRun.
func CanBeDry(key string) bool {
	r := rows()[key]
	return r != nil && r.Op.Input != nil && r.Op.Input.Member("DryRun") != nil
}
