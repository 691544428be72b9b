package topology

// Index has objects of a plan by name, for whoever looks up many.
type Index struct {
	VPCs          map[string]*VPC
	ServerGroups  map[string]*ServerGroup
	LoadBalancers map[string]*LoadBalancer
	Services      map[string]*EndpointService
	Endpoints     map[string]*Endpoint
}

// Index makes the index of a plan.
func (p *Plan) Index() Index {
	return Index{
		VPCs:          byName(p.VPCs, func(v *VPC) string { return v.Name }),
		ServerGroups:  byName(p.ServerGroups, func(g *ServerGroup) string { return g.Name }),
		LoadBalancers: byName(p.LoadBalancers, func(l *LoadBalancer) string { return l.Name }),
		Services:      byName(p.Services, func(s *EndpointService) string { return s.Name }),
		Endpoints:     byName(p.Endpoints, func(e *Endpoint) string { return e.Name }),
	}
}

// Of is the index of a plan that shares lists with the one that x is of: their maps are the
// same ones, and nobody changes them.
func (x Index) Of(now, was *Plan) Index {
	return Index{
		VPCs:          again(x.VPCs, now.VPCs, was.VPCs, func(v *VPC) string { return v.Name }),
		ServerGroups:  again(x.ServerGroups, now.ServerGroups, was.ServerGroups, func(g *ServerGroup) string { return g.Name }),
		LoadBalancers: again(x.LoadBalancers, now.LoadBalancers, was.LoadBalancers, func(l *LoadBalancer) string { return l.Name }),
		Services:      again(x.Services, now.Services, was.Services, func(s *EndpointService) string { return s.Name }),
		Endpoints:     again(x.Endpoints, now.Endpoints, was.Endpoints, func(e *Endpoint) string { return e.Name }),
	}
}

func again[T any](known map[string]*T, now, was []T, nameOf func(*T) string) map[string]*T {
	if len(now) == len(was) && (len(now) == 0 || &now[0] == &was[0]) {
		return known
	}
	return byName(now, nameOf)
}

func byName[T any](all []T, nameOf func(*T) string) map[string]*T {
	out := make(map[string]*T, len(all))
	for i := range all {
		out[nameOf(&all[i])] = &all[i]
	}
	return out
}
