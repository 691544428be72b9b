package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// tenants is a topology of five VPCs that have the same addresses, down to the
// instances': two tenants that share a provider, each of which has one of
// his own.
func tenants() string {
	var vpcs, groups, balancers, services, endpoints strings.Builder
	for _, name := range []string{"tenant1", "tenant2", "shared", "own1", "own2"} {
		fmt.Fprintf(&vpcs, "  %s: {cidr: 10.0.0.0/16, subnets: {s: {zone: eu-central-1b, cidr: 10.0.0.0/24}}, instances: {%s-vm: {subnet: s, ip: 10.0.0.10}}}\n", name, name)
	}
	for _, name := range []string{"shared", "own1", "own2"} {
		fmt.Fprintf(&groups, "  %s: {vpc: %s, servers: [{instance: %s-vm, port: 7}], health_check: {protocol: none}}\n", name, name, name)
		fmt.Fprintf(&balancers, "  lb-%s: {type: clb, vpc: %s, subnets: {s: {ip: 10.0.0.20}}, listeners: [{protocol: tcp, port: 7, server_group: %s}]}\n", name, name, name)
		fmt.Fprintf(&services, "  %s: {resources: [lb-%s], auto_accept: true, bandwidth: none}\n", name, name)
	}
	for _, n := range []string{"1", "2"} {
		fmt.Fprintf(&endpoints, "  to-shared%s: {service: shared, vpc: tenant%s, subnets: {s: {ip: 10.0.0.31}}}\n", n, n)
		fmt.Fprintf(&endpoints, "  to-own%s: {service: own%s, vpc: tenant%s, subnets: {s: {ip: 10.0.0.32}}}\n", n, n, n)
	}
	return "name: tenants\ncloud: alibaba\nregion: eu-central-1\nvpcs:\n" + vpcs.String() + "server_groups:\n" + groups.String() +
		"load_balancers:\n" + balancers.String() + "endpoint_services:\n" + services.String() + "endpoints:\n" + endpoints.String()
}

// TestTenantsWithIdenticalAddressesNeverSeeEachOthersBytes holds 10,000
// connections open at a time, from two instances with one address, out of so
// few ports that nearly all are the same five-tuple twice, and looks at every
// byte and its sender.
func TestTenantsWithIdenticalAddressesNeverSeeEachOthersBytes(t *testing.T) {
	const perTenant = 5000
	l := plinktest.UpText(t, tenants())
	for _, provider := range []string{"shared", "own1", "own2"} {
		echoProcess(t, l.Instance(provider+"-vm"), provider)
	}
	instances := []*plinktest.Instance{l.Instance("tenant1-vm"), l.Instance("tenant2-vm")}
	for _, instance := range instances {
		ports := fmt.Sprintf("net.ipv4.ip_local_port_range=20000 %d", 20000+perTenant/2+99)
		out, err := instance.Command(t.Context(), "sysctl", "-w", ports).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var conns [2 * perTenant]net.Conn
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	// Connection i is tenant i%2's, in turn to the shared provider and its own.
	provider := func(i int) string { return []string{"shared", "shared", "own1", "own2"}[i%4] }
	eachOf(t, len(conns), func(i int) (err error) {
		conns[i], err = instances[i%2].DialContext(ctx, "tcp", []string{"10.0.0.31:7", "10.0.0.32:7"}[i%4/2])
		return err
	})
	requireSameTuples(t, l, perTenant)
	for round := range uint64(2) {
		eachOf(t, len(conns), func(i int) error { return echoes(conns[i], provider(i), uint64(i), round) })
	}
}

// requireSameTuples checks that all sessions are there at a time, and that the
// test is as hard as it says: nearly all tenants' flows look the same.
func requireSameTuples(t *testing.T, l *plinktest.Lab, perTenant int) {
	t.Helper()
	sessions := l.Sessions()
	require.Len(t, sessions, 2*perTenant)
	flows := map[[2]netip.AddrPort]int{}
	for _, s := range sessions {
		flows[[2]netip.AddrPort{s.Consumer, s.Endpoint}]++
	}
	twice := 0
	for _, n := range flows {
		if n == 2 {
			twice++
		}
	}
	require.Greater(t, twice, perTenant*9/10)
}
