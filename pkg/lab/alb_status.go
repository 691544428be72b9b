package lab

import (
	"github.com/plinksim/plinksim/pkg/alb"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// ProxyStats is what one listener of one node has counted.
type ProxyStats struct {
	Name string
	alb.Stats
}

func (p *proxies) stats(plan *topology.Plan) []ProxyStats {
	var out []ProxyStats
	for _, spec := range proxiesOf(plan) {
		if running := p.running.get(spec.key()); running != nil {
			out = append(out, ProxyStats{spec.name(), running.listener.Stats()})
		}
	}
	return out
}

func (p *proxies) status(plan *topology.Plan) []status.Proxy {
	out := []status.Proxy{}
	for _, spec := range proxiesOf(plan) {
		running := p.running.get(spec.key())
		if running == nil {
			continue
		}
		s := running.listener.Stats()
		row := status.Proxy{
			Name: spec.name(), Address: spec.address(), Connections: s.Accepted, Open: s.Open,
			Requests: s.Requests, Failures: s.Failures, BytesReceived: s.BytesReceived, BytesSent: s.BytesSent,
			Servers: []status.ProxyServer{},
		}
		for _, b := range s.Backends {
			row.Servers = append(row.Servers, status.ProxyServer{
				Group: b.Group, Address: b.Server, Requests: b.Requests, ConnectErrors: b.ConnectErrors,
				Errors: b.Errors, Active: b.Active,
			})
		}
		out = append(out, row)
	}
	return out
}
