package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

const joint = `name: joint
cloud: aws
region: r
accounts: [a]
vpcs:
  v:
    cidr: 10.1.0.0/16
    subnets: {s: {zone: ra, cidr: 10.1.0.0/24}}
    instances: {client: {subnet: s}}
  p:
    cidr: 10.2.0.0/16
    subnets: {s: {zone: ra, cidr: 10.2.0.0/24}}
    security_groups: {dns: {ingress: [{protocol: all, source: 10.2.0.0/16}]}}
    instances: {server: {subnet: s, security_groups: [dns], services: [{echo: 53}]}}
server_groups: {dns: {vpc: p, protocol: tcp_udp, health_check: {interval: 5s, timeout: 2s}, servers: [{instance: server, port: 53}]}}
load_balancers: {nlb: {type: nlb, vpc: p, subnets: [s], listeners: [{protocol: tcp_udp, port: 53, server_group: dns}]}}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: v, subnets: [s]}}
`

// A DNS server behind an NLB of AWS has both protocols on its port.
func TestOneListenerTakesTCPAndUDP(t *testing.T) {
	plinktest.Require(t)
	l := plinktest.UpText(t, joint)
	for _, network := range []string{"tcp", "udp"} {
		conn, err := l.Instance("client").DialContext(t.Context(), network, l.Name("ep.ip")+":53")
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = conn.Write([]byte(network))
		require.NoError(t, err)
		answer := make([]byte, 8)
		n, err := conn.Read(answer)
		require.NoError(t, err)
		require.Equal(t, network, string(answer[:n]))
		require.NoError(t, conn.Close())
	}
	require.Len(t, l.Status().LoadBalancers[0].Listeners, 1)
	require.Equal(t, "tcp_udp", l.Status().LoadBalancers[0].Listeners[0].Protocol)
	require.True(t, l.Status().ServerGroups[0].Servers[0].Healthy)
}
