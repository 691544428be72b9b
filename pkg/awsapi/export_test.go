package awsapi

import (
	"maps"
	"slices"

	"github.com/plinksim/plinksim/internal/apitest"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Listed are the operations that list objects with filters, and their filters.
func Listed() map[string][]string {
	out := map[string][]string{}
	for key, r := range rows() {
		if r.listing != nil && len(r.listing.filters) > 0 {
			out[key] = slices.Sorted(maps.Keys(r.listing.filters))
		}
	}
	return out
}

// FilterValues are the values that an account's objects have for a filter, and how many
// objects there are.
func FilterValues(s *Server, account, key, filter string, values wire.Values) (found []string, objects int) {
	r := rows()[key]
	plan := s.CurrentPlan()
	c := &call{Call: &cloudapi.Call{Server: s.Server, Plan: plan, Service: r.Op.Service, Values: values},
		api: s}
	for i := range plan.Accounts {
		if plan.Accounts[i].Name == account {
			c.Account = &plan.Accounts[i]
		}
	}
	all, _, err := r.listing.everything(c)
	if err != nil {
		panic(err)
	}
	for _, m := range all {
		found = append(found, texts(m, r.listing.filters[filter])...)
	}
	return found, len(all)
}

// AnswerOf is the element of an answer that has the objects, and whether it is in a set.
func AnswerOf(key string) string {
	r := rows()[key]
	return r.Op.Output.Member(r.listing.answer).Answer
}

// UsedParameters are the parameters that operations use, by "SERVICE OPERATION": how
// requests write them, with lists as N.
func UsedParameters() map[string][]string {
	out := map[string][]string{}
	for key, r := range rows() {
		if r.Op.Input == nil || r.listing != nil {
			continue
		}
		before := ""
		if r.Op.Service.Protocol == wire.AWSQuery {
			before = ".member"
		}
		out[key] = apitest.Used(r.Op.Input, r.Input, before)
	}
	return out
}
