package status

import (
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// SeenBy is what an account sees of the services and endpoints of a lab: the
// services that are its own or that it is whitelisted for, its own endpoints,
// and those that are connected to its services. Whitelists, load balancers, how a
// private name is verified, and what can be done to a connection are for the owner
// of the service. Everything else of the status is left out.
func (s Lab) SeenBy(account string) Lab {
	seen := Lab{Schema: s.Schema, Lab: s.Lab, Cloud: s.Cloud, Region: s.Region, Services: []EndpointService{},
		TimeScale: s.TimeScale, Endpoints: []Endpoint{}, ENIFaults: []ENIFault{}, Timers: []Timer{}, Problems: []string{}}
	own := map[string]bool{}
	for _, svc := range s.Services {
		own[svc.Name] = svc.Account == account
		switch {
		case own[svc.Name]:
			seen.Services = append(seen.Services, svc)
		case slices.Contains(svc.Whitelist, account), slices.Contains(svc.Whitelist, topology.Everybody):
			svc.Whitelist, svc.Resources, svc.Connections = []string{}, []string{}, s.connections(svc.Name, account)
			if svc.PrivateName != nil {
				svc.PrivateName = &PrivateName{Name: svc.PrivateName.Name, State: svc.PrivateName.State}
			}
			seen.Services = append(seen.Services, svc)
		}
	}
	for _, ep := range s.Endpoints {
		if ep.Account == account && !own[ep.Service] {
			ep.Actions, ep.Zones = []string{}, slices.Clone(ep.Zones)
			for i := range ep.Zones {
				ep.Zones[i].LoadBalancer, ep.Zones[i].Replaced = "", ""
			}
		}
		if ep.Account == account || own[ep.Service] {
			seen.Endpoints = append(seen.Endpoints, ep)
		}
	}
	return seen
}

// connections are how many an account has with a service.
func (s Lab) connections(service, account string) (n int) {
	for _, ep := range s.Endpoints {
		if ep.Service == service && ep.Account == account {
			n++
		}
	}
	return n
}
