package topofile

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

func TestReverseAccessIsPlannedAsItsDocumentSays(t *testing.T) {
	plan, err := Load(topologies + "/alibaba-reverse.yaml")
	require.NoError(t, err)
	require.Empty(t, plan.Warnings)

	gw, err := plan.NATGateway("ngw1")
	require.NoError(t, err)
	require.Regexp(t, `^ngw-2ze[0-9a-z]{17}$`, gw.ID)
	require.Regexp(t, `^fulltb-2ze[0-9a-z]{17}$`, gw.TableID)
	require.Equal(t, "provider", gw.Account)
	require.Equal(t, "ngw1@cn-beijing-h", gw.ENI.Name)
	require.Equal(t, "172.16.0.0/24", gw.CIDR.String())
	require.True(t, gw.CIDR.Contains(gw.ENI.IP))
	require.Equal(t, gw.ENI.IP, gw.IPs()[0], "its own address is the default NAT IP")
	require.Equal(t, "172.16.0.5", gw.NATIPs[1].IP.String())
	require.Regexp(t, `^vpcnatip-2ze`, gw.NATIPs[1].ID)

	entry := gw.Entries[1]
	require.Regexp(t, `^fullnat-2ze`, entry.ID)
	entry.ID = ""
	require.Equal(t, topology.FullNATEntry{
		Name: "mysql2", NATIP: netip.MustParseAddr("172.16.0.7"), NATPort: 3306, Protocol: "tcp",
		Endpoint: "ep1", Zone: "cn-beijing-h", AccessIP: netip.MustParseAddr("192.168.0.87"), AccessPort: 3306, Domain: "mysql2.com",
	}, entry)

	service, err := plan.Service("reverse")
	require.NoError(t, err)
	require.True(t, service.Reverse)
	require.Equal(t, "provider", service.Account)
	require.Equal(t, "ngw1@cn-beijing-h", service.Resources[0].String())

	ep, err := plan.Endpoint("ep1")
	require.NoError(t, err)
	require.True(t, ep.Reverse)
	require.Regexp(t, `^ep-2zer[0-9a-f]{16}$`, ep.ID)

	ip, err := plan.Lookup("ngw1.ip")
	require.NoError(t, err)
	require.Equal(t, gw.ENI.IP.String(), ip)
	_, err = plan.Lookup("ngw1")
	require.ErrorContains(t, err, "write ngw1.ip")
}

func TestNATGateways(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new string
		want     func(t *testing.T, plan *topology.Plan)
	}{
		{"a NAT CIDR of one's own is outside of the vpc", "nat_ips: [172.16.0.5, 172.16.0.7]\n    full_nat:\n      db1: {nat_ip: 172.16.0.5",
			"nat_cidr: 10.9.0.0/24\n    nat_ips: [10.9.0.0, 10.9.0.255]\n    full_nat:\n      db1: {nat_ip: 10.9.0.255",
			func(t *testing.T, plan *topology.Plan) {
				require.Equal(t, "10.9.0.0/24", plan.NATGateways[0].CIDR.String())
				require.Equal(t, "10.9.0.255", plan.NATGateways[0].Entries[0].NATIP.String())
			}},
		{"an entry without a port gets one that is free", "nat_port: 3306, ", "",
			func(t *testing.T, plan *topology.Plan) {
				require.GreaterOrEqual(t, plan.NATGateways[0].Entries[0].NATPort, uint16(1024))
			}},
		{"tcp and udp share a port", "domain: db1.com}", "domain: db1.com}\n" +
			"      db2: {nat_ip: 172.16.0.5, nat_port: 3306, protocol: udp, endpoint: ep1, access_ip: 192.168.0.86, access_port: 3306, domain: db1.com}",
			func(t *testing.T, plan *topology.Plan) {
				require.Equal(t, topology.UDP, plan.NATGateways[0].Entries[1].Protocol)
			}},
		{"an entry may name the gateway's own address", "nat_ips: [172.16.0.5, 172.16.0.7]", "ip: 172.16.0.5",
			func(t *testing.T, plan *topology.Plan) {
				require.True(t, plan.NATGateways[0].HasIP(plan.NATGateways[0].Entries[0].NATIP))
			}},
		{"an entry chooses among the endpoint's zones", "endpoint: ep1,", "endpoint: ep1@cn-beijing-h,",
			func(t *testing.T, plan *topology.Plan) {
				require.Equal(t, "cn-beijing-h", plan.NATGateways[0].Entries[0].Zone)
			}},
		{"a reverse endpoint may be in another zone than its gateway", "subnets: [h2]", "subnets: [i2]",
			func(t *testing.T, plan *topology.Plan) {
				require.Equal(t, "cn-beijing-i", plan.NATGateways[0].Entries[0].Zone)
			}},
		{"an address that no instance has is warned of", "access_ip: 192.168.0.86", "access_ip: 192.168.1.99",
			func(t *testing.T, plan *topology.Plan) {
				require.Len(t, plan.Warnings, 1)
				require.Contains(t, plan.Warnings[0].Message, `no instance of vpc "vpc2" has the ip 192.168.1.99`)
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(smallReverse, tt.old))
			tt.want(t, parsed(t, strings.Replace(smallReverse, tt.old, tt.new, 1)))
		})
	}
}
