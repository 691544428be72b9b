package topofile

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// checked is the health check of the small topology's group, with something
// added to the group and another cloud or load balancer.
func checked(t *testing.T, cloud, balancer, group string) topology.HealthCheck {
	t.Helper()
	text := strings.Replace(small, "cloud: alibaba", "cloud: "+cloud, 1)
	text = strings.Replace(text, "type: nlb", "type: "+balancer, 1)
	text = strings.Replace(text, "rs1: {vpc: vpc2,", "rs1: {vpc: vpc2, "+group, 1)
	if strings.Contains(group, "protocol: udp,") {
		text = strings.Replace(text, "listeners: [{protocol: tcp", "listeners: [{protocol: udp", 1)
	}
	return parsed(t, text).ServerGroups[0].HealthCheck
}

func TestHealthChecksAreThoseOfTheCloud(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name, cloud, balancer, group string
		want                         topology.HealthCheck
	}{
		{"a clb connects", "alibaba", "clb", "",
			topology.HealthCheck{Protocol: "tcp", Interval: 2 * s, Timeout: 5 * s, Healthy: 3, Unhealthy: 3}},
		{"an nlb connects less often", "alibaba", "nlb", "",
			topology.HealthCheck{Protocol: "tcp", Interval: 5 * s, Timeout: 5 * s, Healthy: 2, Unhealthy: 2}},
		{"aws connects every 30 seconds", "aws", "nlb", "",
			topology.HealthCheck{Protocol: "tcp", Interval: 30 * s, Timeout: 10 * s, Healthy: 5, Unhealthy: 2}},
		{"a clb asks for the head of a page", "alibaba", "clb", "health_check: {protocol: http},",
			topology.HealthCheck{Protocol: "http", Interval: 2 * s, Timeout: 5 * s, Healthy: 3, Unhealthy: 3, Method: "HEAD", Path: "/", Codes: "200-399"}},
		{"aws asks for a page and waits less", "aws", "nlb", "health_check: {protocol: http, path: /health},",
			topology.HealthCheck{Protocol: "http", Interval: 30 * s, Timeout: 6 * s, Healthy: 5, Unhealthy: 2, Method: "GET", Path: "/health", Codes: "200-399", UserAgent: "ELB-HealthChecker/2.0"}},
		{"what the file says counts", "alibaba", "nlb", "health_check: {protocol: http, port: 81, interval: 1s, timeout: 2s, healthy: 4, unhealthy: 5, method: HEAD, host: www.example.com, codes: [http_2xx, 301, 401-403]},",
			topology.HealthCheck{Protocol: "http", Port: 81, Interval: s, Timeout: 2 * s, Healthy: 4, Unhealthy: 5, Method: "HEAD", Path: "/", Host: "www.example.com", Codes: "200-299,301,401-403"}},
		{"codes may stand in one line", "alibaba", "nlb", "health_check: {protocol: http, codes: '200, 2xx,304'},",
			topology.HealthCheck{Protocol: "http", Interval: 5 * s, Timeout: 5 * s, Healthy: 2, Unhealthy: 2, Method: "GET", Path: "/", Codes: "200,200-299,304"}},
		{"a single code is a number", "alibaba", "nlb", "health_check: {protocol: http, codes: 204},",
			topology.HealthCheck{Protocol: "http", Interval: 5 * s, Timeout: 5 * s, Healthy: 2, Unhealthy: 2, Method: "GET", Path: "/", Codes: "204"}},
		{"a clb sends datagrams to udp servers", "alibaba", "clb", "protocol: udp,",
			topology.HealthCheck{Protocol: "udp", Interval: 5 * s, Timeout: 10 * s, Healthy: 3, Unhealthy: 3}},
		{"a datagram may have a question and an answer", "alibaba", "nlb", "protocol: udp, health_check: {request: ping, response: pong},",
			topology.HealthCheck{Protocol: "udp", Interval: 5 * s, Timeout: 5 * s, Healthy: 2, Unhealthy: 2, Request: "ping", Response: "pong"}},
		{"aws connects to udp servers", "aws", "nlb", "protocol: udp,",
			topology.HealthCheck{Protocol: "tcp", Interval: 30 * s, Timeout: 10 * s, Healthy: 5, Unhealthy: 2}},
		{"udp servers may be probed by tcp", "alibaba", "nlb", "protocol: udp, health_check: {protocol: tcp, port: 22},",
			topology.HealthCheck{Protocol: "tcp", Port: 22, Interval: 5 * s, Timeout: 5 * s, Healthy: 2, Unhealthy: 2}},
		{"without a check there is nothing to say", "alibaba", "nlb", "health_check: {protocol: none},", topology.HealthCheck{Protocol: "none"}},
		{"rfc asks for a page", "rfc", "nlb", "health_check: {protocol: http},",
			topology.HealthCheck{Protocol: "http", Interval: 2 * s, Timeout: 5 * s, Healthy: 3, Unhealthy: 3, Method: "GET", Path: "/", Codes: "200-399"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, checked(t, tt.cloud, tt.balancer, tt.group))
		})
	}
}

func TestHealthChecksOfAWSSpeakPROXYWhereSessionsDo(t *testing.T) {
	text := strings.Replace(small, "server_group: rs1}", "server_group: rs1, proxy_protocol: on_first_ack}", 1)
	require.False(t, parsed(t, text).ServerGroups[0].HealthCheck.ProxyHeader)
	text = strings.Replace(text, "cloud: alibaba", "cloud: aws", 1)
	require.True(t, parsed(t, text).ServerGroups[0].HealthCheck.ProxyHeader)
}

func TestHealthChecksThatTheCloudWouldRefuseAreUsedWithAWarning(t *testing.T) {
	plan := parsed(t, with(t, "rs1: {vpc: vpc2,", "rs1: {vpc: vpc2, health_check: {interval: 100ms, timeout: 500ms, healthy: 1, unhealthy: 1},"))
	var said []string
	for _, w := range plan.Warnings {
		said = append(said, w.Message)
	}
	require.Equal(t, []string{
		`server group "rs1": health check interval 100ms is outside what alibaba takes, 1s to 50s`,
	}, said[:1])
	require.Len(t, said, 4)
}
