package lab

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/alb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// ProxyStatus counts what one listener did on one node of an alb.
type ProxyStatus struct {
	Name          string              `json:"name"` // alb1@zone http/80
	Address       netip.AddrPort      `json:"address"`
	Connections   uint64              `json:"connections"`
	Open          int64               `json:"open_connections"`
	Requests      map[int]uint64      `json:"requests"` // answered, by status; 101 is an upgrade
	Failures      map[string]uint64   `json:"failures"` // answers of the load balancer's own, by reason
	BytesReceived uint64              `json:"body_bytes_received"`
	BytesSent     uint64              `json:"body_bytes_sent"`
	Servers       []ProxyServerStatus `json:"servers"` // those that were ever asked
}

// ProxyServerStatus counts the requests to one server.
type ProxyServerStatus struct {
	Group         string         `json:"group"`
	Address       netip.AddrPort `json:"address"`
	Requests      map[int]uint64 `json:"requests"` // answered, by status
	ConnectErrors uint64         `json:"connect_errors"`
	Errors        uint64         `json:"errors"` // no answer in time, or none that is HTTP
	Active        int64          `json:"active"`
}

// ProxyStats is what one listener of one node has counted.
type ProxyStats struct {
	Name string
	alb.Stats
}

func (l *Lab) proxyStats(plan *topology.Plan) []ProxyStats {
	var out []ProxyStats
	for _, spec := range proxiesOf(plan) {
		if running := l.proxy(spec.key()); running != nil {
			out = append(out, ProxyStats{spec.name(), running.listener.Stats()})
		}
	}
	return out
}

func (l *Lab) proxyStatus(plan *topology.Plan) []ProxyStatus {
	out := []ProxyStatus{}
	for _, spec := range proxiesOf(plan) {
		running := l.proxy(spec.key())
		if running == nil {
			continue
		}
		s := running.listener.Stats()
		status := ProxyStatus{
			Name: spec.name(), Address: spec.address(), Connections: s.Accepted, Open: s.Open,
			Requests: s.Requests, Failures: s.Failures, BytesReceived: s.BytesReceived, BytesSent: s.BytesSent,
			Servers: []ProxyServerStatus{},
		}
		for _, b := range s.Backends {
			status.Servers = append(status.Servers, ProxyServerStatus{
				Group: b.Group, Address: b.Server, Requests: b.Requests, ConnectErrors: b.ConnectErrors, Errors: b.Errors, Active: b.Active,
			})
		}
		out = append(out, status)
	}
	return out
}
