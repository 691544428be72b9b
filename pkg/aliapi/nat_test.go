package aliapi_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// managedFile is a provider with a client, and a user with a database: both have the same
// addresses.
const managedFile = `
name: managed
cloud: alibaba
region: cn-hangzhou
accounts: [provider, user]
vpcs:
  provider:
    account: provider
    cidr: 172.16.0.0/16
    subnets: {h: {zone: cn-hangzhou-h, cidr: 172.16.0.0/24}}
    instances: {reverse: {subnet: h, ip: 172.16.0.9}}
  user:
    account: user
    cidr: 172.16.0.0/16
    subnets: {h: {zone: cn-hangzhou-h, cidr: 172.16.0.0/24}}
    security_groups:
      open: {ingress: [{protocol: all, source: 0.0.0.0/0}]}
    instances: {mysql: {subnet: h, ip: 172.16.0.86, services: [{tcp: 3306, body: greeting of mysql}]}}
`

// The program of the document "managed reverse VPC connection" (aliyun/ros-templates,
// compute-nest-best-practice) makes a gateway; a reverse endpoint and an entry lead through it.
func TestAFullNATEntryLeadsToADatabase(t *testing.T) {
	c := up(t, managedFile)
	p, u := c.as("provider"), c.as("user")
	plan := c.lab.Plan()
	vpc := func(name string) string { return plan.MustVPC(name).ID }
	vsw := func(name string) string { return plan.MustVPC(name).Subnets[0].ID }
	made := p.do("vpc", "CreateNatGateway", "VpcId", vpc("provider"), "Name", "test", "VSwitchId", vsw("provider"),
		"NatType", "Enhanced", "InstanceChargeType", "PostPaid", "NetworkType", "intranet", "PrivateLinkEnabled", "true",
		"PrivateLinkMode", "Fullnat", "Tag.1.Key", "a", "Tag.1.Value", "b", "Description", "of the document")
	gateway, table := made.at("NatGatewayId"), made.at("FullNatTableIds.FullNatTableId.0")
	require.Regexp(t, "^ngw-bp1", gateway)
	require.Regexp(t, "^fulltb-", table)
	attributes := p.do("vpc", "GetNatGatewayAttribute", "NatGatewayId", gateway)
	require.Equal(t, []string{"FullNat", "Available", "0", table}, []string{attributes.at("PrivateLinkMode"),
		attributes.at("Status"), attributes.at("FullNatTable.FullNatEntryCount"),
		attributes.at("FullNatTable.FullNatTableId")})

	service := p.link("CreateVpcEndpointService", "ServiceResourceType", "vpcNat", "AutoAcceptEnabled", "true",
		"Resource.1.ResourceType", "vpcNat", "Resource.1.ResourceId", gateway, "Resource.1.ZoneId", "cn-hangzhou-h",
	).at("ServiceId")
	p.link("AddUserToVpcEndpointService", "ServiceId", service, "UserARN", "acs:ram:*::*")
	endpoint := u.link("CreateVpcEndpoint", "EndpointType", "Reverse", "VpcId", vpc("user"), "ServiceId", service,
		"SecurityGroupId.1", plan.MustVPC("user").SecurityGroups[0].ID).at("EndpointId")
	u.link("AddZoneToVpcEndpoint", "EndpointId", endpoint, "ZoneId", "cn-hangzhou-h", "VSwitchId", vsw("user"))
	eni := u.link("ListVpcEndpointZones", "EndpointId", endpoint).at("Zones.0.EniId")

	ip := p.do("vpc", "CreateNatIp", "NatGatewayId", gateway, "NatIpCidr", "172.16.0.0/24", "NatIpName", "mysql1",
		"NatIp", "172.16.0.5", "NatIpDescription", "for mysql")
	require.Equal(t, "172.16.0.5", ip.at("NatIp"))
	other := p.do("vpc", "CreateNatIp", "NatGatewayId", gateway).at("NatIpId")
	entry := p.do("vpc", "CreateFullNatEntry", "FullNatTableId", table, "NetworkInterfaceId", eni, "NatIp", "172.16.0.5",
		"NatIpPort", "3306", "AccessIp", "172.16.0.86", "AccessPort", "3306", "IpProtocol", "TCP", "FullNatEntryName",
		"mysql1", "FullNatEntryDescription", "to mysql").at("FullNatEntryId")
	listed := p.do("vpc", "ListFullNatEntries", "FullNatTableId", table)
	require.Equal(t, []string{entry, "Available", "mysql1", "3306", eni, "Endpoint"}, []string{
		listed.at("FullNatEntries.0.FullNatEntryId"), listed.at("FullNatEntries.0.FullNatEntryStatus"),
		listed.at("FullNatEntries.0.FullNatEntryName"), listed.at("FullNatEntries.0.NatIpPort"),
		listed.at("FullNatEntries.0.NetworkInterfaceId"), listed.at("FullNatEntries.0.NetworkInterfaceType")})

	greeting := func(address string) string {
		client, err := c.lab.Client("reverse")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := client.DialContext(ctx, "tcp", address)
		if err != nil {
			return ""
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		b := make([]byte, 64)
		n, _ := conn.Read(b)
		return strings.TrimSpace(string(b[:n]))
	}
	require.Equal(t, "greeting of mysql", greeting(net.JoinHostPort("172.16.0.5", "3306")))
	// What is sent again as it is changes nothing; another port moves the entry.
	p.do("vpc", "ModifyFullNatEntryAttribute", "FullNatTableId", table, "FullNatEntryId", entry, "NatIp", "172.16.0.5",
		"NatIpPort", "3307", "AccessIp", "172.16.0.86", "AccessPort", "3306", "IpProtocol", "TCP", "NetworkInterfaceId", eni)
	require.Equal(t, "greeting of mysql", greeting("172.16.0.5:3307"))

	// Refusals, and the end in the order that the cloud forces.
	for _, row := range []struct {
		code, action string
		parameters   []string
	}{
		{"DependencyViolation.NatIp", "DeleteNatIp", []string{"NatIpId", ip.at("NatIpId")}},
		{"DependencyViolation.FullNatEntry", "DeleteNatGateway", []string{"NatGatewayId", gateway}},
		{"UnsupportedOperation", "CreateNatGateway", []string{"VpcId", vpc("provider"), "VSwitchId", vsw("provider"),
			"NatType", "Enhanced", "NetworkType", "internet"}},
		{"InvalidNatGatewayId.NotFound", "GetNatGatewayAttribute", []string{"NatGatewayId", "ngw-x"}},
		{"ResourceNotFound.FullNatEntry", "DeleteFullNatEntry", []string{"FullNatTableId", table, "FullNatEntryId", "x"}},
		{"InvalidNetworkInterfaceId.NotFound", "CreateFullNatEntry", []string{"FullNatTableId", table,
			"NetworkInterfaceId", "eni-x", "NatIp", "172.16.0.5", "AccessIp", "172.16.0.86", "AccessPort", "1",
			"IpProtocol", "TCP"}},
		{"UnsupportedOperation", "CreateFullNatEntry", []string{"FullNatTableId", table, "NetworkInterfaceId", eni,
			"NatIp", "172.16.0.5", "AccessDomain", "db.example", "AccessPort", "1", "IpProtocol", "TCP"}},
	} {
		require.Equal(t, row.code, p.code("vpc", row.action, row.parameters...), row.action)
	}
	p.do("vpc", "DeleteFullNatEntry", "FullNatTableId", table, "FullNatEntryId", entry)
	require.Empty(t, greeting("172.16.0.5:3307"))
	p.do("vpc", "DeleteNatIp", "NatIpId", ip.at("NatIpId"))
	p.do("vpc", "DeleteNatIp", "NatIpId", other)
	require.Equal(t, "DependencyViolation.VpcEndpointService", p.code("vpc", "DeleteNatGateway", "NatGatewayId", gateway))
	u.link("RemoveZoneFromVpcEndpoint", "EndpointId", endpoint, "ZoneId", "cn-hangzhou-h")
	u.link("DeleteVpcEndpoint", "EndpointId", endpoint)
	p.link("DetachResourceFromVpcEndpointService", "ServiceId", service, "ResourceType", "vpcNat", "ResourceId", gateway,
		"ZoneId", "cn-hangzhou-h")
	p.link("DeleteVpcEndpointService", "ServiceId", service)
	p.do("vpc", "DeleteNatGateway", "NatGatewayId", gateway)
	require.Empty(t, p.do("vpc", "DescribeNatGateways").at("NatGateways.NatGateway.0.NatGatewayId"))
	require.Empty(t, c.lab.Edits(), "nothing is left of what was made")
}

func TestVPCsAndVSwitches(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	made := p.do("vpc", "CreateVpc", "CidrBlock", "10.0.0.0/8", "VpcName", "main", "Description", "the first",
		"ResourceGroupId", "rg-1", "Tag.1.Key", "a", "Tag.1.Value", "b", "ClientToken", "t")
	vpc := made.at("VpcId")
	require.Equal(t, "Available", p.do("vpc", "DescribeVpcAttribute", "VpcId", vpc).at("Status"))
	listed := p.do("vpc", "DescribeVpcs", "VpcId", vpc+",vpc-x", "Tag.1.Key", "a")
	require.Equal(t, []string{"main", "the first", "rg-1", made.at("VRouterId"), made.at("RouteTableId"), "1", "10"},
		[]string{listed.at("Vpcs.Vpc.0.VpcName"), listed.at("Vpcs.Vpc.0.Description"),
			listed.at("Vpcs.Vpc.0.ResourceGroupId"), listed.at("Vpcs.Vpc.0.VRouterId"),
			listed.at("Vpcs.Vpc.0.RouterTableIds.RouterTableIds.0"), listed.at("PageNumber"), listed.at("PageSize")})
	vsw := p.do("vpc", "CreateVSwitch", "VpcId", vpc, "ZoneId", "eu-central-1b", "CidrBlock", "10.1.0.0/24", "VSwitchName",
		"b").at("VSwitchId")
	p.do("vpc", "ModifyVSwitchAttribute", "VSwitchId", vsw, "VSwitchName", "bb", "Description", "x")
	one := p.do("vpc", "DescribeVSwitchAttributes", "VSwitchId", vsw)
	require.Equal(t, []string{"bb", "x", "252"}, []string{one.at("VSwitchName"), one.at("Description"),
		one.at("AvailableIpAddressCount")})
	for i := range 3 {
		p.do("vpc", "CreateVSwitch", "VpcId", vpc, "ZoneId", "eu-central-1c", "CidrBlock",
			"10.2."+string(rune('0'+i))+".0/24")
	}
	second := p.do("vpc", "DescribeVSwitches", "VpcId", vpc, "PageSize", "2", "PageNumber", "2")
	require.Len(t, second.texts("VSwitches.VSwitch", "VSwitchId"), 2)
	require.Equal(t, "4", second.at("TotalCount"))
	require.Equal(t, []string{vsw}, p.do("vpc", "DescribeVSwitches", "ZoneId", "eu-central-1b").
		texts("VSwitches.VSwitch", "VSwitchId"))
	require.Equal(t, made.at("RouteTableId"), p.do("vpc", "DescribeRouteTableList", "VpcId", vpc).
		at("RouterTableList.RouterTableListType.0.RouteTableId"))
	for _, row := range []struct {
		code, action string
		parameters   []string
	}{
		{"InvalidCidrBlock.Malformed", "CreateVpc", []string{"CidrBlock", "100.64.0.0/16"}},
		{"InvalidCidrBlock.Malformed", "CreateVSwitch", []string{"VpcId", vpc, "ZoneId", "eu-central-1b", "CidrBlock",
			"192.168.0.0/24"}},
		{"InvalidCidrBlock.Overlapped", "CreateVSwitch", []string{"VpcId", vpc, "ZoneId", "eu-central-1b", "CidrBlock",
			"10.1.0.128/25"}},
		{"DependencyViolation.VSwitch", "DeleteVpc", []string{"VpcId", vpc}},
		{"InvalidVpcID.NotFound", "DescribeVpcAttribute", []string{"VpcId", "vpc-x"}},
		{"UnsupportedOperation", "CreateVpc", []string{"EnableIpv6", "true"}},
	} {
		require.Equal(t, row.code, p.code("vpc", row.action, row.parameters...), row.action)
	}
	p.do("vpc", "AssociateVpcCidrBlock", "VpcId", vpc, "SecondaryCidrBlock", "192.168.0.0/16")
	require.Equal(t, `["192.168.0.0/16"]`, p.do("vpc", "DescribeVpcs").
		at("Vpcs.Vpc.0.SecondaryCidrBlocks.SecondaryCidrBlock"))
	p.do("vpc", "UnassociateVpcCidrBlock", "VpcId", vpc, "SecondaryCidrBlock", "192.168.0.0/16")
	for _, id := range p.do("vpc", "DescribeVSwitches").texts("VSwitches.VSwitch", "VSwitchId") {
		p.do("vpc", "DeleteVSwitch", "VSwitchId", id)
	}
	p.do("vpc", "DeleteVpc", "VpcId", vpc)
	require.Empty(t, c.lab.Edits())
}
