package status

import "net/netip"

// Proxy counts what one listener did on one node of an alb.
type Proxy struct {
	Name          string            `json:"name"` // alb1@zone http/80
	Address       netip.AddrPort    `json:"address"`
	Connections   uint64            `json:"connections"`
	Open          int64             `json:"open_connections"`
	Requests      map[int]uint64    `json:"requests"` // answered, by status; 101 is an upgrade
	Failures      map[string]uint64 `json:"failures"` // answers of the load balancer's own, by reason
	BytesReceived uint64            `json:"body_bytes_received"`
	BytesSent     uint64            `json:"body_bytes_sent"`
	Servers       []ProxyServer     `json:"servers"` // those that were ever asked
}

// ProxyServer counts the requests to one server.
type ProxyServer struct {
	Group         string         `json:"group"`
	Address       netip.AddrPort `json:"address"`
	Requests      map[int]uint64 `json:"requests"` // answered, by status
	ConnectErrors uint64         `json:"connect_errors"`
	Errors        uint64         `json:"errors"` // no answer in time, or none that is HTTP
	Active        int64          `json:"active"`
}
