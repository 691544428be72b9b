package lab

import (
	"slices"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// SeenBy is what an account sees of the services and endpoints of a lab: the
// services that are its own or that it is whitelisted for, its own endpoints,
// and those that are connected to its services. Whitelists are their owners'
// business. Everything else of the status is left out.
func (s Status) SeenBy(account string) Status {
	seen := Status{Schema: s.Schema, Lab: s.Lab, Cloud: s.Cloud, Region: s.Region, Services: []ServiceStatus{}, Endpoints: []EndpointStatus{}, Problems: []string{}}
	own := map[string]bool{}
	for _, svc := range s.Services {
		own[svc.Name] = svc.Account == account
		switch {
		case own[svc.Name]:
			seen.Services = append(seen.Services, svc)
		case slices.Contains(svc.Whitelist, account), slices.Contains(svc.Whitelist, topology.Everybody):
			svc.Whitelist = []string{}
			seen.Services = append(seen.Services, svc)
		}
	}
	for _, ep := range s.Endpoints {
		if ep.Account == account || own[ep.Service] {
			seen.Endpoints = append(seen.Endpoints, ep)
		}
	}
	return seen
}

// StatusFor is Status as an account sees it, or all of it where account is "".
func (l *Lab) StatusFor(account string) (Status, error) {
	status := l.Status()
	if account == "" {
		return status, nil
	}
	if _, err := l.Plan().Account(account); err != nil {
		return Status{}, control.UnknownAccount(l.Plan(), account)
	}
	return status.SeenBy(account), nil
}
