package aliapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/aliapi"
)

// shopFile has what PrivateLink does not make: VPCs with the same addresses, a web server
// behind a CLB in two zones' worth of load balancers, and a client.
const shopFile = `
name: shop
cloud: alibaba
region: eu-central-1
accounts: [provider, consumer]
vpcs:
  vpc2:
    account: provider
    cidr: 192.168.0.0/16
    subnets:
      b: {zone: eu-central-1b, cidr: 192.168.24.0/24}
      c: {zone: eu-central-1c, cidr: 192.168.25.0/24}
    security_groups:
      web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}
    instances:
      ecs2: {subnet: b, ip: 192.168.24.200, security_groups: [web], services: [{http: 80}]}
      ecs3: {subnet: c, ip: 192.168.25.200, security_groups: [web], services: [{http: 80}]}
  vpc1:
    account: consumer
    cidr: 192.168.0.0/16
    subnets:
      b: {zone: eu-central-1b, cidr: 192.168.24.0/24}
      c: {zone: eu-central-1c, cidr: 192.168.25.0/24}
    security_groups:
      ep: {ingress: [{protocol: tcp, ports: 80, source: 192.168.0.0/16}]}
      shut: {}
    instances:
      ecs1: {subnet: b, ip: 192.168.24.200}
server_groups:
  rs2: {vpc: vpc2, servers: [{instance: ecs2, port: 80}]}
  rs3: {vpc: vpc2, servers: [{instance: ecs3, port: 80}]}
load_balancers:
  clb1: {type: clb, vpc: vpc2, subnets: [b], listeners: [{protocol: tcp, port: 80, server_group: rs2}]}
  clb2: {type: clb, vpc: vpc2, subnets: [b], listeners: [{protocol: tcp, port: 80, server_group: rs3}]}
  clb3: {type: clb, vpc: vpc2, subnets: [c], listeners: [{protocol: tcp, port: 80, server_group: rs3}]}
`

// shop is a provider's service and a consumer's endpoint, made by the API.
type shop struct {
	*cloud
	p, c                       *client
	service, name              string
	endpoint, page, vpc, group string
}

func (s *shop) id(name string) string {
	plan := s.lab.Plan()
	if l, err := plan.LoadBalancer(name); err == nil {
		return l.ID
	}
	vpc, of, _ := strings.Cut(name, "/")
	v, err := plan.VPC(vpc)
	require.NoError(s.t, err)
	if sub, err := v.Subnet(of); err == nil {
		return sub.ID
	}
	if g, err := v.SecurityGroup(of); err == nil {
		return g.ID
	}
	return v.ID
}

// newShop does what Terraform's provider does, in its order: a service without a resource, a
// resource, a user, an endpoint without a zone, a zone.
func newShop(t *testing.T, change ...func(*aliapi.Config)) *shop {
	s := &shop{cloud: up(t, shopFile, change...)}
	s.p, s.c = s.as("provider"), s.as("consumer")
	made := s.p.link("CreateVpcEndpointService", "ServiceDescription", "svc1", "AutoAcceptEnabled", "false",
		"ZoneAffinityEnabled", "true", "ServiceResourceType", "slb", "Payer", "Endpoint", "ClientToken", "svc-1",
		"Tag.1.Key", "team", "Tag.1.Value", "web")
	s.service, s.name = made.at("ServiceId"), made.at("ServiceName")
	require.Equal(t, "com.aliyuncs.privatelink.eu-central-1."+s.service, s.name)
	s.p.link("AttachResourceToVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
		s.id("clb1"), "ZoneId", "eu-central-1b")
	require.Equal(t, "EndpointServiceNotFound", s.c.code("privatelink", "CreateVpcEndpoint", "VpcId", s.id("vpc1/"),
		"ServiceId", s.service))
	s.p.link("AddUserToVpcEndpointService", "ServiceId", s.service, "UserId", s.c.number)
	s.vpc, s.group = s.id("vpc1/"), s.id("vpc1/ep")
	ep := s.c.link("CreateVpcEndpoint", "VpcId", s.vpc, "ServiceId", s.service, "SecurityGroupId.1", s.group,
		"EndpointName", "ep1", "EndpointDescription", "to the shop", "EndpointType", "Interface", "ClientToken", "ep-1")
	s.endpoint, s.page = ep.at("EndpointId"), "http://"+ep.at("EndpointDomain")+"/"
	require.Equal(t, "Disconnected", ep.at("ConnectionStatus"))
	s.c.link("AddZoneToVpcEndpoint", "EndpointId", s.endpoint, "ZoneId", "eu-central-1b", "VSwitchId", s.id("vpc1/b"))
	return s
}

func (s *shop) enable(more ...string) {
	s.t.Helper()
	s.p.link("EnableVpcEndpointConnection", append([]string{"ServiceId", s.service, "EndpointId", s.endpoint}, more...)...)
	s.status("Connected")
}

func (s *shop) status(want string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.c.link("GetVpcEndpointAttribute", "EndpointId", s.endpoint).at("ConnectionStatus") == want
	}, 5*time.Second, time.Millisecond, want)
}

func TestAPageComesThroughWhatPrivateLinkMade(t *testing.T) {
	s := newShop(t)
	zones := s.c.link("ListVpcEndpointZones", "EndpointId", s.endpoint)
	require.Equal(t, "Wait", zones.at("Zones.0.ZoneStatus"), "an ENI is there before the acceptance")
	require.NotEmpty(t, zones.at("Zones.0.EniIp"))
	s.reads("ecs1", s.page, "")
	s.enable("Bandwidth", "200")
	require.Equal(t, "200", s.c.link("GetVpcEndpointAttribute", "EndpointId", s.endpoint).at("Bandwidth"))
	s.reads("ecs1", s.page, "ecs2")
	s.reads("ecs1", "http://"+zones.at("Zones.0.ZoneDomain")+"/", "ecs2")

	// Disabling ends packets, enabling brings them back.
	ends := []string{"ServiceId", s.service, "EndpointId", s.endpoint}
	s.p.link("DisableVpcEndpointConnection", ends...)
	s.status("Disconnected")
	s.reads("ecs1", s.page, "")
	s.enable()
	s.reads("ecs1", s.page, "ecs2")
	zone := append(ends, "ZoneId", "eu-central-1b")
	s.p.link("DisableVpcEndpointZoneConnection", zone...)
	s.reads("ecs1", s.page, "")
	s.p.link("EnableVpcEndpointZoneConnection", zone...)
	s.reads("ecs1", s.page, "ecs2")

	// Who leaves the whitelist keeps its connection and finds the service no more.
	s.p.link("RemoveUserFromVpcEndpointService", "ServiceId", s.service, "UserId", s.c.number)
	require.Equal(t, "EndpointServiceNotFound", s.c.code("privatelink", "CreateVpcEndpoint", "VpcId", s.vpc, "ServiceId",
		s.service))
	s.reads("ecs1", s.page, "ecs2")
	s.p.link("AddUserToVpcEndpointService", "ServiceId", s.service, "UserARN", "acs:ram:*:"+s.c.number+":*")

	// Groups judge what comes to the ENI.
	s.c.link("AttachSecurityGroupToVpcEndpoint", "EndpointId", s.endpoint, "SecurityGroupId", s.id("vpc1/shut"))
	s.c.link("DetachSecurityGroupFromVpcEndpoint", "EndpointId", s.endpoint, "SecurityGroupId", s.group)
	require.Equal(t, []string{s.id("vpc1/shut")}, s.c.link("ListVpcEndpointSecurityGroups", "EndpointId", s.endpoint).
		texts("SecurityGroups", "SecurityGroupId"))
	s.reads("ecs1", s.page, "")
	s.c.link("AttachSecurityGroupToVpcEndpoint", "EndpointId", s.endpoint, "SecurityGroupId", s.group)
	s.reads("ecs1", s.page, "ecs2")

	s.replace()
	s.moveZones()
	s.takeApart()
}

// replace gives the zone another CLB, gracefully.
func (s *shop) replace() {
	t := s.t
	s.p.link("AttachResourceToVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
		s.id("clb2"), "ZoneId", "eu-central-1b")
	zone := []string{"ServiceId", s.service, "EndpointId", s.endpoint, "ZoneId", "eu-central-1b"}
	s.holds("ecs1", s.c.link("ListVpcEndpointZones", "EndpointId", s.endpoint).at("Zones.0.EniIp")+":80")
	s.p.link("UpdateVpcEndpointZoneConnectionResourceAttribute", append(zone, "ResourceAllocateMode", "Manual",
		"ResourceReplaceMode", "Graceful", "ResourceId", s.id("clb2"), "ResourceType", "slb")...)
	s.reads("ecs1", s.page, "ecs3")
	connection := s.p.link("ListVpcEndpointConnections", "ServiceId", s.service)
	require.Equal(t, s.id("clb2"), connection.at("Connections.0.Zones.0.ResourceId"))
	resources := s.p.link("ListVpcEndpointServiceResources", "ServiceId", s.service, "ZoneId", "eu-central-1b")
	require.Equal(t, []string{s.id("clb1"), s.id("clb2")}, resources.texts("Resources", "ResourceId"))
	require.Equal(t, []string{"0", "1"}, resources.texts("Resources", "RelatedEndpointCount"))
	require.Equal(t, "Migrated", connection.at("Connections.0.Zones.0.ZoneStatus"))
	s.p.link("DisableVpcEndpointZoneConnection", append(zone, "ReplacedResource", "true")...)
	require.Equal(t, "EndpointServiceConnectionDependence", s.p.code("privatelink",
		"DetachResourceFromVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId", s.id("clb2"),
		"ZoneId", "eu-central-1b"))
}

// moveZones adds a second zone and takes it away again, twice: once with an address.
func (s *shop) moveZones() {
	t := s.t
	require.Equal(t, "EndpointOperationDenied", s.c.code("privatelink", "AddZoneToVpcEndpoint", "EndpointId", s.endpoint,
		"ZoneId", "eu-central-1c", "VSwitchId", s.id("vpc1/c")), "the service does not offer the zone")
	s.p.link("AttachResourceToVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
		s.id("clb3"), "ZoneId", "eu-central-1c")
	for _, address := range [][]string{nil, {"ip", "192.168.25.77"}} {
		s.c.link("AddZoneToVpcEndpoint", append(address, "EndpointId", s.endpoint, "ZoneId", "eu-central-1c", "VSwitchId",
			s.id("vpc1/c"))...)
		zones := s.c.link("ListVpcEndpointZones", "EndpointId", s.endpoint)
		require.Equal(t, []string{"eu-central-1b", "eu-central-1c"}, zones.texts("Zones", "ZoneId"))
		require.Equal(t, "Connected", zones.at("Zones.1.ZoneStatus"))
		if address != nil {
			require.Equal(t, address[1], zones.at("Zones.1.EniIp"))
		}
		s.reads("ecs1", "http://"+zones.at("Zones.1.ZoneDomain")+"/", "ecs3")
		s.c.link("RemoveZoneFromVpcEndpoint", "EndpointId", s.endpoint, "ZoneId", "eu-central-1c")
		require.Equal(t, []string{"eu-central-1b"}, s.c.link("ListVpcEndpointZones", "EndpointId", s.endpoint).
			texts("Zones", "ZoneId"))
	}
	require.Equal(t, "EndpointZoneNotFound", s.c.code("privatelink", "RemoveZoneFromVpcEndpoint", "EndpointId",
		s.endpoint, "ZoneId", "eu-central-1c"))
}

// takeApart deletes everything, in the order that the cloud forces on its users.
func (s *shop) takeApart() {
	t := s.t
	require.Equal(t, "EndpointServiceConnectionDependence", s.p.code("privatelink", "DeleteVpcEndpointService",
		"ServiceId", s.service))
	require.Equal(t, "EndpointOperationDenied", s.c.code("privatelink", "DeleteVpcEndpoint", "EndpointId", s.endpoint))
	s.c.link("RemoveZoneFromVpcEndpoint", "EndpointId", s.endpoint, "ZoneId", "eu-central-1b")
	s.c.link("DeleteVpcEndpoint", "EndpointId", s.endpoint)
	require.Equal(t, "EndpointNotFound", s.c.code("privatelink", "GetVpcEndpointAttribute", "EndpointId", s.endpoint))
	require.Equal(t, "EndpointServiceOperationDenied", s.p.code("privatelink", "DeleteVpcEndpointService", "ServiceId",
		s.service), "it has resources")
	require.Equal(t, "OperationFailed.ExistsPrivateLink", s.p.code("slb", "DeleteLoadBalancer", "LoadBalancerId",
		s.id("clb3")))
	for _, clb := range []string{"clb1", "clb2", "clb3"} { // in one zone each, which Terraform's provider does not say
		s.p.link("DetachResourceFromVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
			s.id(clb))
	}
	s.p.link("DeleteVpcEndpointService", "ServiceId", s.service)
	require.Equal(t, "EndpointServiceNotFound", s.p.code("privatelink", "GetVpcEndpointServiceAttribute", "ServiceId",
		s.service))
	require.Empty(t, s.lab.Edits(), "nothing is left of what was made")
}
