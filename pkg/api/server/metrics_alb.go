package server

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plinksim/plinksim/pkg/lab"
)

var (
	descProxyAccepted = desc("alb_connections_total", "Connections that a listener of an alb's node accepted.",
		"listener")
	descProxyOpen = desc("alb_open_connections", "Connections of clients that are open, upgraded ones included.",
		"listener")
	descProxyRequests = desc("alb_requests_total", "Requests by the status that the client was told.",
		"listener", "status")
	descProxyFailures = desc("alb_failures_total",
		"Requests that the load balancer answered itself because of a failure, by what went wrong.", "listener", "reason")
	descProxyBytes = desc("alb_body_bytes_total",
		"Bytes of the bodies that a listener received from clients or sent to them.", "listener", "direction")

	descProxyServerRequests = desc("alb_server_requests_total",
		"Requests by the status that the server answered.", "listener", "server_group", "address", "status")
	descProxyServerErrors = desc("alb_server_errors_total",
		"Requests that a server did not answer: it could not be connected to, or gave no HTTP answer in time.", "listener", "server_group", "address", "reason")
	descProxyServerActive = desc("alb_server_active_requests",
		"Requests on their way to a server, upgraded connections included.", "listener", "server_group", "address")
)

func (e emitter) proxies(m lab.Metrics) {
	for _, p := range m.Proxies {
		e.count(descProxyAccepted, p.Accepted, p.Name)
		e.gauge(descProxyOpen, float64(p.Open), p.Name)
		e.statuses(descProxyRequests, p.Requests, p.Name)
		for reason, n := range p.Failures {
			e.count(descProxyFailures, n, p.Name, reason)
		}
		e.count(descProxyBytes, p.BytesReceived, p.Name, "received")
		e.count(descProxyBytes, p.BytesSent, p.Name, "sent")
		for _, b := range p.Backends {
			labels := []string{p.Name, b.Group, b.Server.String()}
			e.statuses(descProxyServerRequests, b.Requests, labels...)
			e.count(descProxyServerErrors, b.ConnectErrors, append(labels, "connect")...)
			e.count(descProxyServerErrors, b.Errors, append(labels, "answer")...)
			e.gauge(descProxyServerActive, float64(b.Active), labels...)
		}
	}
}

func (e emitter) statuses(d *prometheus.Desc, counts map[int]uint64, labels ...string) {
	for status, n := range counts {
		e.count(d, n, append(labels, strconv.Itoa(status))...)
	}
}
