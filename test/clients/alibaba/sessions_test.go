package alibaba

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	zone  = region + "b"
	zoneC = region + "c"
)

// side is a VPC of an account with a vSwitch and a security group.
type side struct {
	account
	vpc, vsw, group string
}

// session is what a provider and a consumer do with one SDK in one lab. Both have the same
// addresses.
type session struct {
	*lab
	p, c                    side
	ecs2, client            string // instances
	balancer, servers       string
	service, endpoint, name string // name is the endpoint's in DNS
	nlb                     struct{ balancer, servers, listener, service, endpoint string }
}

// The sessions of a user, with each SDK: from nothing to a page that comes through an
// endpoint, what becomes of it, and the end of everything.
func TestSessions(t *testing.T) {
	for i, library := range sdks {
		t.Run(library.name, func(t *testing.T) {
			l := up(t, fmt.Sprint("ali-sessions-", i))
			s := &session{lab: l}
			s.p.account, s.c.account = l.account("provider", library.connect), l.account("consumer", library.connect)
			for _, step := range []struct {
				name string
				run  func()
			}{
				{"two accounts", s.twoAccounts},
				{"from nothing to a page", s.fromNothingToAPage},
				{"disabled and enabled", s.disabledAndEnabled},
				{"the whitelist", s.whitelist},
				{"zones", s.zones},
				{"groups", s.groups},
				{"a graceful replacement", s.replacement},
				{"bandwidth", s.bandwidth},
				{"an NLB and its jobs", s.anNLB},
				{"a database of the consumer", s.reverse},
				{"nothing is left", s.nothingIsLeft},
			} {
				t.Log(step.name)
				step.run()
			}
		})
	}
}

func (s *session) twoAccounts() {
	for _, side := range []side{s.p, s.c} {
		require.Equal(s.t, side.number, side.do("sts", "GetCallerIdentity", nil).at("AccountId"))
	}
	require.NotEqual(s.t, s.p.number, s.c.number)
}

// network makes a VPC with a vSwitch and a security group that lets TCP in at port 80.
func (s *session) network(on *side, name, from string) {
	on.vpc = on.do("vpc", "CreateVpc", params{"CidrBlock": "192.168.0.0/16", "VpcName": name}).at("VpcId")
	on.vsw = on.do("vpc", "CreateVSwitch", params{"VpcId": on.vpc, "ZoneId": zone, "CidrBlock": "192.168.24.0/24"}).
		at("VSwitchId")
	on.group = on.do("ecs", "CreateSecurityGroup", params{"VpcId": on.vpc, "SecurityGroupName": "servers"}).
		at("SecurityGroupId")
	on.let(on.group, "80/80", from)
}

func (a account) let(group, ports, from string) {
	a.do("ecs", "AuthorizeSecurityGroup", params{"SecurityGroupId": group, "IpProtocol": "tcp", "PortRange": ports,
		"SourceCidrIp": from})
}

// instance runs one.
func (on side) instance(image, name, address string) string {
	return on.do("ecs", "RunInstances", params{"ImageId": image, "InstanceType": "ecs.g7.large", "InstanceName": name,
		"VSwitchId": on.vsw, "SecurityGroupId": on.group, "PrivateIpAddress": address}).at("InstanceIdSets.InstanceIdSet.0")
}

// clb makes a load balancer with one server.
func (on side) clb(name, instance string) (balancer, servers string) {
	balancer = on.do("slb", "CreateLoadBalancer", params{"LoadBalancerName": name, "AddressType": "intranet",
		"VpcId": on.vpc, "VSwitchId": on.vsw, "MasterZoneId": zone}).at("LoadBalancerId")
	servers = on.do("slb", "CreateVServerGroup", params{"LoadBalancerId": balancer, "VServerGroupName": "rs-" + name,
		"BackendServers": fmt.Sprintf(`[{"ServerId":%q,"Port":80,"Weight":100}]`, instance)}).at("VServerGroupId")
	on.listen(balancer, servers, 80)
	return balancer, servers
}

func (on side) listen(balancer, servers string, port int) {
	on.do("slb", "CreateLoadBalancerTCPListener", params{"LoadBalancerId": balancer, "ListenerPort": port,
		"VServerGroupId": servers, "Bandwidth": -1})
	on.do("slb", "StartLoadBalancerListener", params{"LoadBalancerId": balancer, "ListenerPort": port})
}

// fromNothingToAPage has the order of Terraform's provider: a service without a resource, an
// endpoint without a zone, each added later.
func (s *session) fromNothingToAPage() {
	s.network(&s.p, "provider", "0.0.0.0/0")
	s.network(&s.c, "consumer", "192.168.0.0/16")
	s.ecs2 = s.p.instance("plinksim_http", "ecs2", "192.168.24.200")
	s.balancer, s.servers = s.p.clb("clb1", s.ecs2)
	s.service = s.p.link("CreateVpcEndpointService", params{"ServiceDescription": "svc1", "AutoAcceptEnabled": false,
		"ZoneAffinityEnabled": true, "ServiceResourceType": "slb", "ClientToken": "svc-1"}).at("ServiceId")
	s.p.link("AttachResourceToVpcEndpointService", params{"ServiceId": s.service, "ResourceType": "slb",
		"ResourceId": s.balancer, "ZoneId": zone})
	s.p.link("AddUserToVpcEndpointService", params{"ServiceId": s.service, "UserId": s.c.number})
	s.client = s.c.instance("plinksim_empty", "client", "192.168.24.200")
	made := s.c.link("CreateVpcEndpoint", params{"VpcId": s.c.vpc, "ServiceId": s.service,
		"SecurityGroupId": []string{s.c.group}, "EndpointName": "ep1", "ClientToken": "ep-1"})
	s.endpoint, s.name = made.at("EndpointId"), made.at("EndpointDomain")
	s.c.link("AddZoneToVpcEndpoint", params{"EndpointId": s.endpoint, "ZoneId": zone, "VSwitchId": s.c.vsw})
	s.c.until("privatelink", "ListVpcEndpointZones", params{"EndpointId": s.endpoint}, "Zones.0.ZoneStatus", "Wait")
	require.Empty(s.t, s.get(s.client, s.page()), "nobody has accepted")
	s.enable()
	s.reads(s.client, s.page(), "ecs2")
}

func (s *session) page() string { return "http://" + s.name + "/" }

// ends are the two of the connection.
func (s *session) ends(more params) params {
	p := params{"ServiceId": s.service, "EndpointId": s.endpoint}
	for name, value := range more {
		p[name] = value
	}
	return p
}

func (s *session) enable() {
	s.p.link("EnableVpcEndpointConnection", s.ends(params{"Bandwidth": 1024}))
	s.c.until("privatelink", "GetVpcEndpointAttribute", params{"EndpointId": s.endpoint}, "ConnectionStatus", "Connected")
}

func (s *session) disabledAndEnabled() {
	s.p.link("DisableVpcEndpointConnection", s.ends(nil))
	s.p.until("privatelink", "ListVpcEndpointConnections", params{"ServiceId": s.service}, "Connections.0.ConnectionStatus",
		"Disconnected")
	require.Empty(s.t, s.get(s.client, s.page()))
	s.enable()
	s.reads(s.client, s.page(), "ecs2")
}

// whitelist: an account that is not on it does not find the service; one that leaves it
// keeps its connection.
func (s *session) whitelist() {
	user := params{"ServiceId": s.service, "UserId": s.c.number}
	s.p.link("RemoveUserFromVpcEndpointService", user)
	require.Equal(s.t, "EndpointServiceNotFound", s.c.code("privatelink", "CreateVpcEndpoint", params{"VpcId": s.c.vpc,
		"ServiceId": s.service}))
	require.Equal(s.t, "ecs2", s.get(s.client, s.page()))
	s.p.link("AddUserToVpcEndpointService", user)
}

func (s *session) zones() {
	at := s.ends(params{"ZoneId": zone})
	s.p.link("DisableVpcEndpointZoneConnection", at)
	s.reads(s.client, s.page(), "")
	s.p.link("EnableVpcEndpointZoneConnection", at)
	s.reads(s.client, s.page(), "ecs2")
	own := s.c.link("ListVpcEndpointZones", params{"EndpointId": s.endpoint}).at("Zones.0.ZoneDomain")
	s.reads(s.client, "http://"+own+"/", "ecs2")
}

func (s *session) groups() {
	shut := s.c.do("ecs", "CreateSecurityGroup", params{"VpcId": s.c.vpc, "SecurityGroupName": "shut"}).at("SecurityGroupId")
	of := func(group string) params { return params{"EndpointId": s.endpoint, "SecurityGroupId": group} }
	s.c.link("AttachSecurityGroupToVpcEndpoint", of(shut))
	s.c.link("DetachSecurityGroupFromVpcEndpoint", of(s.c.group))
	require.Equal(s.t, []string{shut}, s.c.link("ListVpcEndpointSecurityGroups", params{"EndpointId": s.endpoint}).
		texts("SecurityGroups", "SecurityGroupId"))
	s.reads(s.client, s.page(), "")
	s.c.link("AttachSecurityGroupToVpcEndpoint", of(s.c.group))
	s.reads(s.client, s.page(), "ecs2")
	s.c.link("DetachSecurityGroupFromVpcEndpoint", of(shut))
	s.c.do("ecs", "DeleteSecurityGroup", params{"SecurityGroupId": shut})
}

// nothingIsLeft deletes what the sessions made, in the order that the cloud forces.
func (s *session) nothingIsLeft() {
	require.Equal(s.t, "EndpointServiceConnectionDependence", s.p.code("privatelink", "DeleteVpcEndpointService",
		params{"ServiceId": s.service}))
	for _, id := range s.c.link("ListVpcEndpoints", nil).texts("Endpoints", "EndpointId") {
		s.c.link("RemoveZoneFromVpcEndpoint", params{"EndpointId": id, "ZoneId": zone})
		s.c.link("DeleteVpcEndpoint", params{"EndpointId": id})
		require.Equal(s.t, "EndpointNotFound", s.c.code("privatelink", "GetVpcEndpointAttribute", params{"EndpointId": id}))
	}
	for _, id := range s.p.link("ListVpcEndpointServices", nil).texts("Services", "ServiceId") {
		for _, r := range s.p.link("ListVpcEndpointServiceResources", params{"ServiceId": id}).list("Resources") {
			s.p.link("DetachResourceFromVpcEndpointService", params{"ServiceId": id, "ResourceType": r.at("ResourceType"),
				"ResourceId": r.at("ResourceId"), "ZoneId": r.at("ZoneId")})
		}
		s.p.link("DeleteVpcEndpointService", params{"ServiceId": id})
	}
	for _, id := range s.p.do("slb", "DescribeLoadBalancers", nil).texts("LoadBalancers.LoadBalancer", "LoadBalancerId") {
		s.p.do("slb", "DeleteLoadBalancer", params{"LoadBalancerId": id})
	}
	s.p.do("nlb", "DeleteListener", params{"ListenerId": s.nlb.listener})
	s.p.do("nlb", "DeleteLoadBalancer", params{"LoadBalancerId": s.nlb.balancer})
	s.p.do("nlb", "DeleteServerGroup", params{"ServerGroupId": s.nlb.servers})
	for _, id := range s.p.do("vpc", "DescribeNatGateways", nil).texts("NatGateways.NatGateway", "NatGatewayId") {
		s.p.do("vpc", "DeleteNatGateway", params{"NatGatewayId": id})
	}
	for _, on := range []side{s.p, s.c} {
		for _, id := range on.do("ecs", "DescribeInstances", nil).texts("Instances.Instance", "InstanceId") {
			on.do("ecs", "DeleteInstance", params{"InstanceId": id, "Force": true})
		}
		on.do("ecs", "DeleteSecurityGroup", params{"SecurityGroupId": on.group})
		for _, id := range on.do("vpc", "DescribeVSwitches", nil).texts("VSwitches.VSwitch", "VSwitchId") {
			on.do("vpc", "DeleteVSwitch", params{"VSwitchId": id})
		}
		on.do("vpc", "DeleteVpc", params{"VpcId": on.vpc})
	}
	exported := s.plinksim("export")
	require.Contains(s.t, exported, "vpcs: {}")
	for _, kind := range []string{"endpoint", "balancer", "server_groups", "nat_gateways"} {
		require.False(s.t, strings.Contains(exported, kind), exported)
	}
}
