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

func byName[T any](all []T, nameOf func(*T) string) map[string]*T {
	out := make(map[string]*T, len(all))
	for i := range all {
		out[nameOf(&all[i])] = &all[i]
	}
	return out
}
