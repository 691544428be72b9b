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

// Filter is a filter with the parameter that has a value of it in requests, and what that is.
type Filter struct {
	Name, Parameter string
	Kind            wire.Kind
}

// FiltersOf are the filters of a listing.
func FiltersOf(key string) (out []Filter) {
	r := rows()[key]
	for _, name := range slices.Sorted(maps.Keys(r.listing.filters)) {
		m := r.Op.Input.Member(name)
		f := Filter{name, m.Request, m.Shape.Kind}
		if f.Kind == wire.List {
			f.Parameter, f.Kind = m.Request+".1", m.Shape.Element.Kind
		}
		out = append(out, f)
	}
	return out
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

// Required are the parameters that operations need, as requests write them, by "SERVICE OPERATION".
func Required() map[string][]string {
	out := map[string][]string{}
	for key, r := range rows() {
		for _, m := range r.Op.Input.Members {
			if m.Required && m.Name != "RegionId" {
				name := m.Request
				if m.Shape.Kind == wire.List {
					name += ".1"
				}
				out[key] = append(out[key], name)
			}
		}
	}
	return out
}
