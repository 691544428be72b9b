package aliapi_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/aliapi"
)

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// walk is a lab in which calls are made, the same calls each time.
type walk struct {
	*cloud
	p, c *client
}

// before is asked before each call of a walk is sent.
type before = func(c *client, service, action string, parameters url.Values)

// walks are by the file of the lab that they are in, all operations with all of their parameters.
var walks = map[string]struct {
	file string
	walk func(w *walk)
}{
	"networks":  {empty, (*walk).networks},
	"groups":    {groupsFile, (*walk).groups},
	"instances": {groupsFile, (*walk).instances},
	"services":  {shopFile, (*walk).services},
	"endpoints": {shopFile, (*walk).endpoints},
	"gateways":  {managedFile, (*walk).gateways},
	"CLB":       {sitesFile, (*walk).ofCLB},
	"NLB":       {sitesFile, (*walk).ofNLB},
	"ALB":       {sitesFile, (*walk).ofALB},
	"rules":     {sitesFile, (*walk).rules},
}

// walkOf makes the calls of a walk.
func walkOf(t *testing.T, name string, look before) *walk {
	w := &walk{cloud: up(t, walks[name].file, func(cfg *aliapi.Config) { cfg.Now = func() time.Time { return day } })}
	w.before = look
	w.p = w.as("provider")
	for _, other := range w.server.Keys() {
		if other.Account != "provider" {
			w.c = w.as(other.Account)
		}
	}
	walks[name].walk(w)
	return w
}

// flat are pairs of parameters behind a prefix.
func flat(prefix string, pairs ...string) (out []string) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, prefix+pairs[i], pairs[i+1])
	}
	return out
}

// with are parameters one behind another.
func with(parts ...[]string) (out []string) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

var aTag = []string{"Tag.1.Key", "team", "Tag.1.Value", "web"}

// tags gives an object tags and takes them away.
func (w *walk) tags(by *client, service, untag, kind, id string) {
	of := []string{"ResourceType", kind, "ResourceId.1", id}
	by.do(service, "TagResources", append(of, "Tag.1.Key", "a", "Tag.1.Value", "b")...)
	by.do(service, "TagResources", append(of, "Tag.1.Key", "c")...)
	by.do(service, untag, append(of, "TagKey.1", "a")...)
	by.do(service, untag, append(of, "All", "true")...)
}

func (w *walk) networks() {
	p := w.p
	vpc := p.do("vpc", "CreateVpc", append(aTag, "CidrBlock", "10.0.0.0/8", "VpcName", "main", "Description", "the first",
		"ResourceGroupId", "rg-1")...).at("VpcId")
	p.do("vpc", "CreateVpc")
	p.do("vpc", "ModifyVpcAttribute", "VpcId", vpc, "VpcName", "other", "Description", "another")
	p.do("vpc", "DescribeVpcAttribute", "VpcId", vpc)
	p.do("vpc", "AssociateVpcCidrBlock", "VpcId", vpc, "SecondaryCidrBlock", "192.168.0.0/16")
	p.do("vpc", "UnassociateVpcCidrBlock", "VpcId", vpc, "SecondaryCidrBlock", "192.168.0.0/16")
	vsw := p.do("vpc", "CreateVSwitch", append(aTag, "VpcId", vpc, "ZoneId", "eu-central-1b", "CidrBlock", "10.1.0.0/24",
		"VSwitchName", "b", "Description", "of b")...).at("VSwitchId")
	p.do("vpc", "ModifyVSwitchAttribute", "VSwitchId", vsw, "VSwitchName", "bb", "Description", "x")
	p.do("vpc", "DescribeVSwitchAttributes", "VSwitchId", vsw)
	w.tags(p, "vpc", "UnTagResources", "VPC", vpc)
	p.do("vpc", "DeleteVSwitch", "VSwitchId", vsw)
	p.do("vpc", "DeleteVpc", "VpcId", vpc)
	for _, service := range []string{"vpc", "ecs", "slb", "nlb", "alb", "privatelink"} {
		p.do(service, "DescribeRegions")
		p.do(service, "DescribeZones")
	}
	p.do("sts", "GetCallerIdentity")
	p.do("sts", "AssumeRole", "RoleArn", "acs:ram::"+w.c.number+":role/deploy", "RoleSessionName", "ci", "DurationSeconds",
		"900")
	p.link("OpenPrivateLinkService")
	p.link("CheckProductOpen")
}

// groupsFile has a network in which instances and security groups can be made.
const groupsFile = `
name: groups
cloud: alibaba
region: eu-central-1
accounts: [provider, consumer]
vpcs:
  main:
    account: provider
    cidr: 10.0.0.0/8
    subnets: {b: {zone: eu-central-1b, cidr: 10.1.0.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}, other: {}}
`

// in are the identifiers of the network of groupsFile.
func (w *walk) in() (vpc, vsw, web, other string) {
	v := w.lab.Plan().MustVPC("main")
	return v.ID, v.Subnets[0].ID, v.SecurityGroups[0].ID, v.SecurityGroups[1].ID
}

func (w *walk) groups() {
	p := w.p
	vpc, _, web, other := w.in()
	group := p.do("ecs", "CreateSecurityGroup", append(aTag, "VpcId", vpc, "SecurityGroupName", "new", "Description",
		"a group", "SecurityGroupType", "normal", "ResourceGroupId", "rg-1")...).at("SecurityGroupId")
	p.do("ecs", "ModifySecurityGroupAttribute", "SecurityGroupId", group, "SecurityGroupName", "newer", "Description", "its")
	for _, direction := range []struct{ suffix, peer string }{{"", "Source"}, {"Egress", "Dest"}} {
		rule := []string{"IpProtocol", "tcp", "PortRange", "22/23", "Policy", "accept", "Priority", "5", "Description", "ssh"}
		for _, peer := range [][]string{{direction.peer + "CidrIp", "10.9.0.0/16"},
			{"Ipv6" + direction.peer + "CidrIp", "2001:db8::/32"}, {direction.peer + "GroupId", other}} {
			of := []string{"SecurityGroupId", group}
			p.do("ecs", "AuthorizeSecurityGroup"+direction.suffix, with(of, rule, peer)...)
			p.do("ecs", "RevokeSecurityGroup"+direction.suffix, with(of, rule, peer)...)
			p.do("ecs", "AuthorizeSecurityGroup"+direction.suffix, with(of, flat("Permissions.1.", with(rule, peer)...))...)
			p.do("ecs", "DescribeSecurityGroupAttribute", "SecurityGroupId", group, "Direction", "ingress")
			p.do("ecs", "RevokeSecurityGroup"+direction.suffix, with(of, flat("Permissions.1.", with(rule, peer)...))...)
		}
	}
	w.tags(p, "ecs", "UntagResources", "securitygroup", group)
	p.do("ecs", "DeleteSecurityGroup", "SecurityGroupId", group)
	p.do("ecs", "DescribeSecurityGroupAttribute", "SecurityGroupId", web, "Direction", "ingress")
}

func (w *walk) instances() {
	p := w.p
	_, vsw, web, other := w.in()
	run := func(more ...string) []string {
		return append(more, "ImageId", "plinksim_http", "VSwitchId", vsw, "SecurityGroupId", web)
	}
	first := func(a answer) string { return a.at("InstanceIdSets.InstanceIdSet.0") }
	one := first(p.do("ecs", "RunInstances", append(run("InstanceType", "ecs.g7.large", "InstanceName", "one", "Description",
		"the first", "ZoneId", "eu-central-1b", "PrivateIpAddress", "10.1.0.9", "UserData",
		"I3BsaW5rc2ltCi0ge2h0dHA6IDgwODAsIGJvZHk6IGhlbGxvfQo=", "ResourceGroupId", "rg-1", "DeletionProtection", "true"),
		aTag...)...))
	two := p.do("ecs", "RunInstances", "ImageId", "plinksim_echo", "VSwitchId", vsw, "SecurityGroupIds.1", web, "Amount",
		"2").at("InstanceIdSets.InstanceIdSet.1")
	p.do("ecs", "DescribeUserData", "InstanceId", one)
	p.do("ecs", "ModifyInstanceAttribute", "InstanceId", one, "InstanceName", "uno", "Description", "renamed",
		"SecurityGroupIds.1", other)
	p.do("ecs", "ModifyInstanceAttribute", "InstanceId", one, "DeletionProtection", "false")
	p.do("ecs", "JoinSecurityGroup", "InstanceId", one, "SecurityGroupId", web)
	p.do("ecs", "LeaveSecurityGroup", "InstanceId", one, "SecurityGroupId", web)
	p.do("ecs", "StopInstance", "InstanceId", one)
	p.do("ecs", "StartInstance", "InstanceId", one)
	p.do("ecs", "StopInstances", "InstanceId.1", one)
	p.do("ecs", "StartInstances", "InstanceId.1", one)
	w.tags(p, "ecs", "UntagResources", "instance", one)
	p.do("ecs", "DeleteInstance", "InstanceId", one, "Force", "true")
	p.do("ecs", "DeleteInstances", "InstanceId.1", two, "Force", "true")
}

// offers makes a service with a CLB of the shop in zone b, for the consumer.
func (w *walk) offers(more ...string) (s *shop) {
	s = &shop{cloud: w.cloud, p: w.p, c: w.c}
	s.vpc, s.group = s.id("vpc1/"), s.id("vpc1/ep")
	s.service = w.p.link("CreateVpcEndpointService", append(more, flat("Resource.1.", "ResourceType", "slb", "ResourceId",
		s.id("clb1"), "ZoneId", "eu-central-1b")...)...).at("ServiceId")
	w.p.link("AddUserToVpcEndpointService", "ServiceId", s.service, "UserId", w.c.number)
	return s
}

func (w *walk) services() {
	p := w.p
	s := w.offers(append(aTag, "ServiceResourceType", "slb", "AutoAcceptEnabled", "true", "ZoneAffinityEnabled", "true",
		"Payer", "Endpoint", "ServiceDescription", "the shop", "AddressIpVersion", "IPv4", "ServiceSupportIPv6", "false",
		"ResourceGroupId", "rg-1")...)
	of := []string{"ServiceId", s.service}
	p.link("GetVpcEndpointServiceAttribute", of...)
	p.link("UpdateVpcEndpointServiceAttribute", append(of, "ServiceDescription", "another", "AutoAcceptEnabled", "false",
		"ZoneAffinityEnabled", "false", "ConnectBandwidth", "1024", "AddressIpVersion", "IPv4", "ServiceSupportIPv6",
		"false")...)
	clb2 := append(of, "ResourceType", "slb", "ResourceId", s.id("clb2"), "ZoneId", "eu-central-1b")
	p.link("AttachResourceToVpcEndpointService", clb2...)
	p.link("UpdateVpcEndpointServiceResourceAttribute", append(clb2, "AutoAllocatedEnabled", "true")...)
	p.link("DetachResourceFromVpcEndpointService", clb2...)
	p.link("AddUserToVpcEndpointService", append(of, "UserARN", "acs:ram:*::*")...)
	p.link("RemoveUserFromVpcEndpointService", append(of, "UserARN", "acs:ram:*::*")...)
	p.link("RemoveUserFromVpcEndpointService", append(of, "UserId", w.c.number)...)
	p.link("ChangeResourceGroup", "ResourceId", s.service, "ResourceGroupId", "rg-2")
	w.tags(p, "privatelink", "UntagResources", "vpcendpointservice", s.service)
	p.link("DetachResourceFromVpcEndpointService", append(of, "ResourceType", "slb", "ResourceId", s.id("clb1"), "ZoneId",
		"eu-central-1b")...)
	p.link("DeleteVpcEndpointService", of...)
}

// openPolicy lets everybody do everything.
const openPolicy = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Principal":"*","Resource":"*"}]}`

func (w *walk) endpoints() {
	p, c := w.p, w.c
	s := w.offers()
	made := c.link("CreateVpcEndpoint", with(aTag, flat("Zone.1.", "ZoneId", "eu-central-1b", "VSwitchId", s.id("vpc1/b"),
		"ip", "192.168.24.99"), []string{"VpcId", s.vpc, "ServiceId", s.service, "EndpointType", "Interface", "EndpointName",
		"ep1", "EndpointDescription", "to the shop", "SecurityGroupId.1", s.group, "ZoneAffinityEnabled", "true",
		"ProtectedEnabled", "false", "ZonePrivateIpAddressCount", "1", "PolicyDocument", openPolicy, "AddressIpVersion",
		"IPv4", "ServiceRegionId", "eu-central-1", "ResourceGroupId", "rg-1"})...)
	of := []string{"EndpointId", made.at("EndpointId")}
	both := append(of, "ServiceId", s.service)
	zone := append(both, "ZoneId", "eu-central-1b")
	name := made.at("ServiceName")
	second := c.link("CreateVpcEndpoint", "VpcId", s.vpc, "ServiceName", name).at("EndpointId")
	c.send("privatelink", "CreateVpcEndpoint", append(flat("Zone.1.", "VSwitchId", s.id("vpc1/b"), "Ipv6Address",
		"2001:db8::7"), "VpcId", s.vpc, "ServiceName", name)...) // which is refused
	c.link("GetVpcEndpointAttribute", of...)
	c.link("UpdateVpcEndpointAttribute", append(of, "EndpointName", "another", "EndpointDescription", "other",
		"ZoneAffinityEnabled", "false", "PolicyDocument", openPolicy, "AddressIpVersion", "IPv4")...)
	c.link("AttachSecurityGroupToVpcEndpoint", append(of, "SecurityGroupId", s.id("vpc1/shut"))...)
	c.link("DetachSecurityGroupFromVpcEndpoint", append(of, "SecurityGroupId", s.id("vpc1/shut"))...)

	p.link("AttachResourceToVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
		s.id("clb2"), "ZoneId", "eu-central-1b")
	p.link("AttachResourceToVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
		s.id("clb3"), "ZoneId", "eu-central-1c")
	p.link("UpdateVpcEndpointZoneConnectionResourceAttribute", append(zone, "ResourceAllocateMode", "Manual", "ResourceId",
		s.id("clb2"), "ResourceType", "slb")...)
	p.link("EnableVpcEndpointConnection", append(both, "Bandwidth", "300", "TrafficControlMode", "BandwidthLimit")...)
	p.link("UpdateVpcEndpointConnectionAttribute", append(both, "Bandwidth", "400", "TrafficControlMode",
		"BandwidthLimit")...)
	w.holds("ecs1", "192.168.24.99:80")
	p.link("UpdateVpcEndpointZoneConnectionResourceAttribute", append(zone, "ResourceReplaceMode", "Graceful", "ResourceId",
		s.id("clb1"), "ResourceType", "slb", "ResourceAllocateMode", "Manual")...)
	p.link("DisableVpcEndpointZoneConnection", append(zone, "ReplacedResource", "true")...)
	p.link("DisableVpcEndpointZoneConnection", zone...)
	p.link("EnableVpcEndpointZoneConnection", zone...)
	inC := append(of, "ZoneId", "eu-central-1c", "VSwitchId", s.id("vpc1/c"))
	c.send("privatelink", "AddZoneToVpcEndpoint", append(inC, "Ipv6Address", "2001:db8::7")...) // which is refused
	c.link("AddZoneToVpcEndpoint", append(inC, "ip", "192.168.25.77")...)
	c.link("RemoveZoneFromVpcEndpoint", append(of, "ZoneId", "eu-central-1c")...)
	p.link("DisableVpcEndpointConnection", both...)
	w.tags(c, "privatelink", "UntagResources", "vpcendpoint", of[1])
	c.link("RemoveZoneFromVpcEndpoint", append(of, "ZoneId", "eu-central-1b")...)
	c.link("DeleteVpcEndpoint", "EndpointId", second)
}

func (w *walk) gateways() {
	p, u := w.p, w.c
	plan := w.lab.Plan()
	vpc := func(name string) string { return plan.MustVPC(name).ID }
	vsw := func(name string) string { return plan.MustVPC(name).Subnets[0].ID }
	in := []string{"VpcId", vpc("provider"), "VSwitchId", vsw("provider"), "NetworkType", "intranet"}
	made := p.do("vpc", "CreateNatGateway", with(in, aTag, []string{"Name", "test", "Description", "of the document",
		"NatType", "Enhanced", "PrivateLinkEnabled", "true", "PrivateLinkMode", "Fullnat", "SecurityProtectionEnabled",
		"false"})...)
	second := p.do("vpc", "CreateNatGateway", append(in, "AccessMode.ModeValue", "route")...).at("NatGatewayId")
	gateway, table := made.at("NatGatewayId"), made.at("FullNatTableIds.FullNatTableId.0")
	p.do("vpc", "GetNatGatewayAttribute", "NatGatewayId", gateway)
	p.do("vpc", "ModifyNatGatewayAttribute", "NatGatewayId", gateway, "Name", "renamed", "Description", "another")
	w.tags(p, "vpc", "UnTagResources", "NATGATEWAY", gateway)
	service := p.link("CreateVpcEndpointService", "ServiceResourceType", "vpcNat", "AutoAcceptEnabled", "true",
		"Resource.1.ResourceType", "vpcNat", "Resource.1.ResourceId", gateway, "Resource.1.ZoneId", "cn-hangzhou-h",
	).at("ServiceId")
	p.link("AddUserToVpcEndpointService", "ServiceId", service, "UserARN", "acs:ram:*::*")
	endpoint := u.link("CreateVpcEndpoint", "EndpointType", "Reverse", "VpcId", vpc("user"), "ServiceId", service,
		"SecurityGroupId.1", plan.MustVPC("user").SecurityGroups[0].ID, "Zone.1.ZoneId", "cn-hangzhou-h",
		"Zone.1.VSwitchId", vsw("user")).at("EndpointId")
	eni := u.link("ListVpcEndpointZones", "EndpointId", endpoint).at("Zones.0.EniId")
	ip := p.do("vpc", "CreateNatIp", "NatGatewayId", gateway, "NatIpCidr", "172.16.0.0/24", "NatIpName", "mysql1", "NatIp",
		"172.16.0.5", "NatIpDescription", "for mysql").at("NatIpId")
	p.do("vpc", "ModifyNatIpAttribute", "NatIpId", ip, "NatIpName", "renamed", "NatIpDescription", "another")
	entry := func(natPort string) []string {
		return []string{"FullNatTableId", table, "NetworkInterfaceId", eni, "NatIp", "172.16.0.5", "NatIpPort", natPort,
			"AccessIp", "172.16.0.86", "AccessPort", "3306", "IpProtocol", "TCP", "FullNatEntryName", "mysql" + natPort,
			"FullNatEntryDescription", "to mysql, by " + natPort}
	}
	id := p.do("vpc", "CreateFullNatEntry", entry("3306")...).at("FullNatEntryId")
	p.do("vpc", "ModifyFullNatEntryAttribute", append(entry("3307"), "FullNatEntryId", id)...)
	p.do("vpc", "DeleteFullNatEntry", "FullNatTableId", table, "FullNatEntryId", id)
	p.do("vpc", "DeleteNatIp", "NatIpId", ip)
	p.do("vpc", "DeleteNatGateway", "NatGatewayId", second)
}

// site are the identifiers of the provider's network of sitesFile.
func (w *walk) site() *sites {
	return &sites{cloud: w.cloud, p: w.p, c: w.c, vpc: w.lab.Plan().MustVPC("vpc2").ID}
}

func (w *walk) ofCLB() {
	p, s := w.p, w.site()
	clb := p.do("slb", "CreateLoadBalancer", append(aTag, "LoadBalancerName", "clb1", "AddressType", "intranet",
		"AddressIPVersion", "ipv4", "VpcId", s.vpc, "VSwitchId", s.vsw("h"), "Address", "192.168.3.99", "ResourceGroupId",
		"rg-1")...).at("LoadBalancerId")
	of := []string{"LoadBalancerId", clb}
	p.do("slb", "SetLoadBalancerName", append(of, "LoadBalancerName", "renamed")...)
	p.do("slb", "DescribeLoadBalancerAttribute", of...)
	servers := func(weight int) string {
		return fmt.Sprintf(`[{"ServerId":%q,"Port":80,"Weight":"%d"}]`, s.instance("shop"), weight)
	}
	group := p.do("slb", "CreateVServerGroup", append(of, "VServerGroupName", "rs1", "BackendServers", servers(100))...).
		at("VServerGroupId")
	ofGroup := []string{"VServerGroupId", group}
	p.do("slb", "SetVServerGroupAttribute", append(ofGroup, "VServerGroupName", "rs2", "BackendServers", servers(7))...)
	p.do("slb", "RemoveVServerGroupBackendServers", append(ofGroup, "BackendServers", servers(7))...)
	p.do("slb", "AddVServerGroupBackendServers", append(ofGroup, "BackendServers", servers(8))...)
	p.do("slb", "DescribeVServerGroupAttribute", ofGroup...)
	p.do("slb", "DescribeVServerGroups", of...)
	udp := p.do("slb", "CreateVServerGroup", append(of, "VServerGroupName", "names", "BackendServers", servers(100))...).
		at("VServerGroupId")
	check := []string{"Scheduler", "wrr", "HealthCheckSwitch", "on", "HealthCheckConnectPort", "81",
		"HealthCheckConnectTimeout", "3", "healthCheckInterval", "7", "HealthyThreshold", "4", "UnhealthyThreshold", "5"}
	tcp := append(of, "ListenerPort", "80")
	p.do("slb", "CreateLoadBalancerTCPListener", with(tcp, ofGroup, check, []string{"Description", "front",
		"EstablishedTimeout", "500", "HealthCheckType", "http", "HealthCheckDomain", "up.example", "HealthCheckURI", "/up",
		"HealthCheckHttpCode", "http_2xx", "HealthCheckMethod", "get"})...)
	p.do("slb", "CreateLoadBalancerUDPListener", with(of, check, []string{"ListenerPort", "53", "VServerGroupId", udp,
		"Description", "names"})...)
	for _, protocol := range []string{"tcp", "udp"} {
		one := append(of, "ListenerPort", map[string]string{"tcp": "80", "udp": "53"}[protocol], "ListenerProtocol", protocol)
		p.do("slb", "StartLoadBalancerListener", one...)
		p.do("slb", "DescribeLoadBalancer"+map[string]string{"tcp": "TCP", "udp": "UDP"}[protocol]+"ListenerAttribute",
			one[:4]...)
		p.do("slb", "StopLoadBalancerListener", one...)
		p.do("slb", "DeleteLoadBalancerListener", one...)
	}
	w.tags(p, "slb", "UntagResources", "instance", clb)
	p.do("slb", "DeleteVServerGroup", ofGroup...)
	p.do("slb", "DeleteLoadBalancer", of...)
}

// servers of a group without a health check, which a call would wait for, come, get other
// weights and go, by instance and by address.
func (w *walk) servers(service string) {
	s := w.site()
	group := w.p.do(service, "CreateServerGroup", "ServerGroupName", "servers", "VpcId", s.vpc,
		"HealthCheckConfig.HealthCheckEnabled", "false").at("ServerGroupId")
	for _, one := range [][]string{
		{"ServerId", s.instance("shop"), "ServerType", "Ecs", "Port", "80"},
		{"ServerId", "192.168.3.50", "ServerIp", "192.168.3.50", "ServerType", "Ip", "Port", "80"},
	} {
		server := append(flat("Servers.1.", one...), "ServerGroupId", group)
		w.p.do(service, "AddServersToServerGroup", append(server, "Servers.1.Weight", "50")...)
		w.p.do(service, "UpdateServerGroupServersAttribute", append(server, "Servers.1.Weight", "60")...)
		w.p.do(service, "RemoveServersFromServerGroup", server...)
	}
}

func (w *walk) ofNLB() {
	p, s := w.p, w.site()
	made := p.do("nlb", "CreateLoadBalancer", with(zones(s, "h"), aTag, []string{"LoadBalancerName", "nlb1",
		"LoadBalancerType", "Network", "AddressType", "Intranet", "AddressIpVersion", "ipv4", "VpcId", s.vpc,
		"ResourceGroupId", "rg-1", "ZoneMappings.1.PrivateIPv4Address", "192.168.3.99"})...)
	of := []string{"LoadBalancerId", made.at("LoadbalancerId")}
	p.do("nlb", "GetJobStatus", "JobId", made.at("JobId"))
	p.do("nlb", "GetLoadBalancerAttribute", of...)
	p.do("nlb", "UpdateLoadBalancerAttribute", append(of, "LoadBalancerName", "renamed", "CrossZoneEnabled", "true")...)
	p.do("nlb", "UpdateLoadBalancerZones", with(of, zones(s, "h", "i"), []string{"ZoneMappings.2.PrivateIPv4Address",
		"192.168.5.99"})...)
	check := flat("HealthCheckConfig.", "HealthCheckEnabled", "true", "HealthCheckType", "HTTP", "HealthCheckConnectPort",
		"81", "HealthCheckConnectTimeout", "3", "HealthCheckInterval", "7", "HealthyThreshold", "4", "UnhealthyThreshold", "5",
		"HealthCheckDomain", "up.example", "HealthCheckUrl", "/up", "HttpCheckMethod", "GET", "HealthCheckHttpCode.1",
		"http_2xx")
	settings := with(check, []string{"Scheduler", "wrr", "ConnectionDrainEnabled", "true", "ConnectionDrainTimeout", "60"})
	group := p.do("nlb", "CreateServerGroup", with(settings, aTag, []string{"ServerGroupName", "sg1", "ServerGroupType",
		"Instance", "VpcId", s.vpc, "Protocol", "TCP", "ResourceGroupId", "rg-1"})...).at("ServerGroupId")
	other := p.do("nlb", "CreateServerGroup", "ServerGroupName", "sg2", "VpcId", s.vpc).at("ServerGroupId")
	p.do("nlb", "UpdateServerGroupAttribute", with(settings, []string{"ServerGroupId", other, "ServerGroupName",
		"renamed"})...)
	w.servers("nlb")
	heard := p.do("nlb", "CreateListener", with(of, aTag, []string{"ListenerProtocol", "TCP", "ListenerPort", "80",
		"ServerGroupId", group, "ListenerDescription", "front", "IdleTimeout", "100", "ProxyProtocolEnabled", "true"})...).
		at("ListenerId")
	p.do("nlb", "UpdateListenerAttribute", "ListenerId", heard, "ServerGroupId", other, "IdleTimeout", "200",
		"ProxyProtocolEnabled", "false", "ListenerDescription", "another")
	p.do("nlb", "GetListenerAttribute", "ListenerId", heard)
	p.do("nlb", "StopListener", "ListenerId", heard)
	p.do("nlb", "StartListener", "ListenerId", heard)
	p.do("nlb", "StopListener", "ListenerId", heard)
	w.tags(p, "nlb", "UntagResources", "loadbalancer", of[1])
	p.do("nlb", "DeleteListener", "ListenerId", heard)
	p.do("nlb", "DeleteServerGroup", "ServerGroupId", group)
	p.do("nlb", "DeleteLoadBalancer", of...)
}

// ofHTTP are settings of a server group of an ALB.
var ofHTTP = with(
	flat("HealthCheckConfig.", "HealthCheckEnabled", "true", "HealthCheckProtocol", "HTTP", "HealthCheckConnectPort", "81",
		"HealthCheckTimeout", "3", "HealthCheckInterval", "7", "HealthyThreshold", "4", "UnhealthyThreshold", "5",
		"HealthCheckHost", "up.example", "HealthCheckPath", "/up", "HealthCheckMethod", "GET"),
	flat("StickySessionConfig.", "StickySessionEnabled", "true"),
	flat("ConnectionDrainConfig.", "ConnectionDrainEnabled", "true", "ConnectionDrainTimeout", "60"),
	flat("SlowStartConfig.", "SlowStartEnabled", "true", "SlowStartDuration", "40"),
	[]string{"Scheduler", "Wrr", "CrossZoneEnabled", "true", "UpstreamKeepaliveEnabled", "true"})

var (
	byInsert  = flat("StickySessionConfig.", "StickySessionType", "Insert", "CookieTimeout", "500")
	byRewrite = flat("StickySessionConfig.", "StickySessionType", "Server", "Cookie", "sid")
)

func (w *walk) ofALB() {
	p, s := w.p, w.site()
	alb := p.do("alb", "CreateLoadBalancer", with(zones(s, "h", "i"), aTag, []string{"LoadBalancerName", "alb1",
		"AddressType", "Intranet", "AddressIpVersion", "IPv4", "VpcId", s.vpc, "ResourceGroupId", "rg-1",
		"ZoneMappings.1.IntranetAddress", "192.168.3.99"})...).at("LoadBalancerId")
	of := []string{"LoadBalancerId", alb}
	p.do("alb", "GetLoadBalancerAttribute", of...)
	p.do("alb", "UpdateLoadBalancerAttribute", append(of, "LoadBalancerName", "renamed")...)
	p.do("alb", "UpdateLoadBalancerZones", with(of, zones(s, "h", "j"), []string{"ZoneMappings.2.IntranetAddress",
		"192.168.6.99"})...)
	httpCode, code := "HealthCheckConfig.HealthCheckHttpCodes.1", "HealthCheckConfig.HealthCheckCodes.1"
	group := p.do("alb", "CreateServerGroup", with(ofHTTP, byInsert, aTag, []string{httpCode, "http_2xx",
		"ServerGroupName", "sg1", "ServerGroupType", "Instance", "VpcId", s.vpc, "Protocol", "HTTP", "ResourceGroupId",
		"rg-1"})...).at("ServerGroupId")
	other := p.do("alb", "CreateServerGroup", with(ofHTTP, byRewrite, []string{code, "http_3xx", "ServerGroupName", "sg2",
		"VpcId", s.vpc})...).at("ServerGroupId")
	p.do("alb", "UpdateServerGroupAttribute", with(ofHTTP, byRewrite, []string{httpCode, "http_4xx", "ServerGroupId", group,
		"ServerGroupName", "renamed"})...)
	p.do("alb", "UpdateServerGroupAttribute", with(ofHTTP, byInsert, []string{code, "http_4xx", "ServerGroupId", other})...)
	w.servers("alb")
	forwarded := flat("XForwardedForConfig.", "XForwardedForEnabled", "true", "XForwardedForProtoEnabled", "true",
		"XForwardedForSLBPortEnabled", "true", "XForwardedForSLBIdEnabled", "true", "XForwardedForClientSrcPortEnabled",
		"true")
	to := func(group string) []string {
		return flat("DefaultActions.1.", "Type", "ForwardGroup", "ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", group)
	}
	heard := p.do("alb", "CreateListener", with(of, aTag, forwarded, to(group), []string{"ListenerProtocol", "HTTP",
		"ListenerPort", "80", "ListenerDescription", "front", "IdleTimeout", "20", "RequestTimeout", "30"})...).
		at("ListenerId")
	p.do("alb", "GetListenerAttribute", "ListenerId", heard)
	p.do("alb", "UpdateListenerAttribute", with(forwarded, to(other), []string{"ListenerId", heard, "ListenerDescription",
		"another", "IdleTimeout", "30", "RequestTimeout", "40"})...)
	p.do("alb", "StopListener", "ListenerId", heard)
	p.do("alb", "StartListener", "ListenerId", heard)
	w.tags(p, "alb", "UnTagResources", "listener", heard)
	p.do("alb", "DeleteListener", "ListenerId", heard)
	p.do("alb", "DeleteServerGroup", "ServerGroupId", group)
	p.do("alb", "DeleteLoadBalancer", of...)
}

func (w *walk) rules() {
	p, s := w.p, w.site()
	alb := p.do("alb", "CreateLoadBalancer", with(zones(s, "h", "i"), []string{"AddressType", "Intranet", "VpcId",
		s.vpc})...).at("LoadBalancerId")
	group := func(name string) string {
		return p.do("alb", "CreateServerGroup", "ServerGroupName", name, "VpcId", s.vpc).at("ServerGroupId")
	}
	one, two := group("one"), group("two")
	heard := p.do("alb", "CreateListener", with(flat("DefaultActions.1.", "Type", "ForwardGroup",
		"ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", one), []string{"LoadBalancerId", alb, "ListenerProtocol",
		"HTTP", "ListenerPort", "80"})...).at("ListenerId")
	var first string
	for i, row := range []struct{ condition, action []string }{
		{[]string{"Type", "Host", "HostConfig.Values.1", "a.example"}, []string{"Type", "ForwardGroup",
			"ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", two}},
		{[]string{"Type", "Header", "HeaderConfig.Key", "X-A", "HeaderConfig.Values.1", "a"}, []string{"Type", "ForwardGroup",
			"ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", one,
			"ForwardGroupConfig.ServerGroupTuples.1.Weight", "20", "ForwardGroupConfig.ServerGroupTuples.2.ServerGroupId", two,
			"ForwardGroupConfig.ServerGroupTuples.2.Weight", "30", "ForwardGroupConfig.ServerGroupStickySession.Enabled",
			"false"}},
		{[]string{"Type", "QueryString", "QueryStringConfig.Values.1.Key", "a", "QueryStringConfig.Values.1.Value", "b"},
			[]string{"Type", "FixedResponse", "FixedResponseConfig.HttpCode", "404"}},
		{[]string{"Type", "Method", "MethodConfig.Values.1", "PUT"},
			[]string{"Type", "FixedResponse", "FixedResponseConfig.HttpCode", "404"}},
		{[]string{"Type", "SourceIp", "SourceIpConfig.Values.1", "10.0.0.0/16"},
			[]string{"Type", "FixedResponse", "FixedResponseConfig.HttpCode", "404"}},
		{[]string{"Type", "Path", "PathConfig.Values.1", "/a"}, []string{"Type", "FixedResponse",
			"FixedResponseConfig.HttpCode", "404", "FixedResponseConfig.Content", "no", "FixedResponseConfig.ContentType",
			"text/html"}},
		{[]string{"Type", "Path", "PathConfig.Values.1", "/b"}, []string{"Type", "Redirect", "RedirectConfig.HttpCode", "302",
			"RedirectConfig.Host", "b.example", "RedirectConfig.Path", "/b", "RedirectConfig.Port", "8443",
			"RedirectConfig.Protocol", "HTTPS", "RedirectConfig.Query", "q=1"}},
	} {
		rule := with(flat("RuleConditions.1.", row.condition...), flat("RuleActions.1.", row.action...))
		made := p.do("alb", "CreateRule", with(rule, aTag, []string{"ListenerId", heard, "RuleName", fmt.Sprint("rule", i),
			"Priority", fmt.Sprint(10 + i), "Direction", "Request"})...).at("RuleId")
		if first == "" {
			first = made
		}
		p.do("alb", "UpdateRuleAttribute", with(rule, []string{"RuleId", first, "RuleName", fmt.Sprint("changed", i),
			"Priority", fmt.Sprint(20 + i)})...)
	}
	p.do("alb", "DeleteRule", "RuleId", first)
}
