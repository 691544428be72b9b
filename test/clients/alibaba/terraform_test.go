package alibaba

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// terraform calls what the resources alicloud_privatelink_* call, with their parameters where
// they put them, in the query or in the body (aliyun/terraform-provider-alicloud, alicloud,
// resource_alicloud_privatelink_*.go and service_alicloud_private_link_v2.go). Its waits
// before the first poll, of up to a minute, are left out.
type terraform struct {
	t *testing.T
	teaRPC
	tokens *int
}

func (l *lab) terraform(name string) terraform {
	a := l.account(name, connectTea)
	return terraform{l.t, a.sdk.(teaRPC), new(int)}
}

// write is a call that changes something: each has a client token of its own.
func (f terraform) write(action string, query, body map[string]any) (answer, error) {
	*f.tokens++
	body = maps.Clone(body)
	body["RegionId"], body["ClientToken"] = region, fmt.Sprintf("TF-%s-%d", action, *f.tokens)
	out, err := f.post("privatelink", action, query, body)
	return normal(f.t, out), err
}

// apply is a call that is repeated while it is refused by one of some codes.
func (f terraform) apply(action string, query, body map[string]any, again ...string) answer {
	f.t.Helper()
	var got answer
	require.Eventually(f.t, func() bool {
		var err error
		got, err = f.write(action, query, body)
		told, is := err.(*refused)
		if is && slices.Contains(again, told.code) {
			return false
		}
		require.NoError(f.t, err, action)
		return true
	}, 10*time.Second, 50*time.Millisecond, "%s is refused for ever", action)
	return got
}

func (f terraform) read(action string, query, body map[string]any) (answer, error) {
	if body == nil {
		body = map[string]any{}
	}
	out, err := f.post("privatelink", action, query, body)
	return normal(f.t, out), err
}

// poll reads until a state function says one of some words; "" is of what is gone.
func (f terraform) poll(what string, state func() string, want ...string) {
	f.t.Helper()
	got := ""
	require.Eventually(f.t, func() bool {
		got = state()
		return slices.Contains(want, got)
	}, 10*time.Second, 20*time.Millisecond, "%s is never %v", what, want)
}

// gone is what a state function says of an error: "" where the code says that the object is
// not there.
func (f terraform) gone(err error, code string) string {
	if told, is := err.(*refused); is && told.code == code {
		return ""
	}
	require.NoError(f.t, err)
	return ""
}

func (f terraform) service(id, member string) func() string {
	return func() string {
		got, err := f.read("GetVpcEndpointServiceAttribute", nil, map[string]any{"ServiceId": id, "RegionId": region})
		if err != nil {
			return f.gone(err, "EndpointServiceNotFound")
		}
		return got.at(member)
	}
}

func (f terraform) endpoint(id, member string) func() string {
	return func() string {
		got, err := f.read("GetVpcEndpointAttribute", nil, map[string]any{"EndpointId": id, "RegionId": region})
		if err != nil {
			return f.gone(err, "EndpointNotFound")
		}
		return got.at(member)
	}
}

// tags are those of an object, by the provider's words for its type.
func (f terraform) tags(kind, id string) []string {
	got, err := f.read("ListTagResources", nil, map[string]any{"ResourceId.1": id, "RegionId": region,
		"ResourceType": kind, "ClientToken": "TF-ListTagResources"})
	require.NoError(f.t, err)
	return got.texts("TagResources.TagResource", "TagKey")
}

// member is a state function of the first object of a listing in which a member has a value.
func (f terraform) member(action string, query, body map[string]any, list, key, value, member, notFound string) func() string {
	return func() string {
		got, err := f.read(action, query, body)
		if err != nil {
			return f.gone(err, notFound)
		}
		for _, one := range got.list(list) {
			if one.at(key) == value {
				return one.at(member)
			}
		}
		return ""
	}
}

// What the resources of Terraform's provider call to create, read, update and delete is
// done, and each of their polls ends.
func TestWhatTerraformsProviderCalls(t *testing.T) {
	l := up(t, "ali-terraform")
	s := &session{lab: l}
	s.p.account, s.c.account = l.account("provider", connectTea), l.account("consumer", connectTea)
	s.network(&s.p, "provider", "0.0.0.0/0")
	s.network(&s.c, "consumer", "192.168.0.0/16")
	s.ecs2 = s.p.instance("plinksim_http", "ecs2", "192.168.24.200")
	s.client = s.c.instance("plinksim_empty", "client", "192.168.24.200")
	s.balancer, s.servers = s.p.clb("clb1", s.ecs2)
	p, c := l.terraform("provider"), l.terraform("consumer")
	type m = map[string]any

	// alicloud_privatelink_vpc_endpoint_service
	service := p.apply("CreateVpcEndpointService", m{}, m{"ServiceDescription": "shop", "AutoAcceptEnabled": false,
		"ZoneAffinityEnabled": true, "ServiceResourceType": "slb", "Payer": "Endpoint", "ServiceSupportIPv6": false,
		"Tag.1.Key": "team", "Tag.1.Value": "shop"}).at("ServiceId")
	p.poll("the service", p.service(service, "ServiceStatus"), "Active")
	p.apply("UpdateVpcEndpointServiceAttribute", m{}, m{"ServiceId": service, "ConnectBandwidth": 1024},
		"EndpointServiceOperationDenied", "ConcurrentCallNotSupported", "EndpointServiceLocked")
	require.Equal(t, "1024", p.service(service, "ConnectBandwidth")())
	require.Equal(t, []string{"team"}, p.tags("VpcEndpointService", service))

	// alicloud_privatelink_vpc_endpoint_service_resource: of a CLB it knows no zone
	p.apply("AttachResourceToVpcEndpointService", m{"ServiceId": service, "ResourceId": s.balancer, "ZoneId": ""},
		m{"ResourceType": "slb"}, "EndpointServiceOperationDenied")
	resource := p.member("ListVpcEndpointServiceResources", nil, m{"ServiceId": service, "RegionId": region}, "Resources",
		"ResourceId", s.balancer, "ResourceId", "EndpointServiceNotFound")
	p.poll("the resource", resource, s.balancer)

	// alicloud_privatelink_vpc_endpoint_service_user
	p.apply("AddUserToVpcEndpointService", m{"ServiceId": service, "UserId": s.c.number}, m{})
	user := p.member("ListVpcEndpointServiceUsers", m{"ServiceId": service, "UserId": s.c.number, "RegionId": region}, nil,
		"Users", "UserId", s.c.number, "UserId", "EndpointServiceNotFound")
	p.poll("the user", user, s.c.number)

	// alicloud_privatelink_vpc_endpoint
	endpoint := c.apply("CreateVpcEndpoint", m{}, m{"VpcId": s.c.vpc, "ServiceId": service,
		"SecurityGroupId": []any{s.c.group}, "EndpointName": "shop", "EndpointType": "Interface",
		"EndpointDescription": "to the shop"}).at("EndpointId")
	c.poll("the endpoint", c.endpoint(endpoint, "EndpointStatus"), "Active")
	require.Empty(t, c.tags("VpcEndpoint", endpoint))
	group := c.member("ListVpcEndpointSecurityGroups", nil, m{"EndpointId": endpoint, "RegionId": region},
		"SecurityGroups", "SecurityGroupId", s.c.group, "SecurityGroupId", "EndpointNotFound")
	c.poll("the group", group, s.c.group)

	// alicloud_privatelink_vpc_endpoint_zone
	c.apply("AddZoneToVpcEndpoint", m{"EndpointId": endpoint, "ZoneId": zone}, m{"VSwitchId": s.c.vsw,
		"ip": "192.168.24.77"}, "EndpointLocked", "EndpointConnectionOperationDenied", "EndpointOperationDenied")
	place := func(member string) func() string {
		return c.member("ListVpcEndpointZones", m{"EndpointId": endpoint, "RegionId": region}, nil, "Zones", "ZoneId", zone,
			member, "EndpointNotFound")
	}
	c.poll("the zone", place("ZoneStatus"), "Wait", "Connected")
	require.Equal(t, "192.168.24.77", place("EniIp")())

	// alicloud_privatelink_vpc_endpoint_connection
	ends := m{"ServiceId": service, "EndpointId": endpoint}
	p.apply("EnableVpcEndpointConnection", ends, m{"Bandwidth": 200}, "EndpointConnectionOperationDenied")
	connection := func(member string) func() string {
		return p.member("ListVpcEndpointConnections", nil, m{"ServiceId": service, "EndpointId": endpoint, "RegionId": region},
			"Connections", "EndpointId", endpoint, member, "EndpointServiceNotFound")
	}
	p.poll("the connection", connection("ConnectionStatus"), "Connected")
	require.Equal(t, "200", connection("Bandwidth")())
	l.reads(s.client, "http://192.168.24.77/", "ecs2")

	// Updates.
	p.apply("UpdateVpcEndpointConnectionAttribute", ends, m{"Bandwidth": 300}, "EndpointConnectionOperationDenied")
	p.poll("the connection", connection("ConnectionStatus"), "Connected")
	p.poll("its bandwidth", connection("Bandwidth"), "300")
	c.apply("UpdateVpcEndpointAttribute", m{}, m{"EndpointId": endpoint, "EndpointName": "door",
		"EndpointDescription": "another"}, "EndpointConnectionOperationDenied", "EndpointLocked", "EndpointOperationDenied")
	c.poll("the endpoint", c.endpoint(endpoint, "EndpointStatus"), "Active")
	require.Equal(t, "door", c.endpoint(endpoint, "EndpointName")())
	another := s.c.do("ecs", "CreateSecurityGroup", params{"VpcId": s.c.vpc, "SecurityGroupName": "another"}).
		at("SecurityGroupId")
	c.apply("AttachSecurityGroupToVpcEndpoint", m{}, m{"EndpointId": endpoint, "SecurityGroupId": another})
	c.poll("the endpoint", c.endpoint(endpoint, "EndpointStatus"), "Active")
	c.apply("DetachSecurityGroupFromVpcEndpoint", m{}, m{"EndpointId": endpoint, "SecurityGroupId": another})
	p.apply("UpdateVpcEndpointServiceAttribute", m{}, m{"ServiceId": service, "ServiceDescription": "the shop",
		"AutoAcceptEnabled": true, "ZoneAffinityEnabled": false})
	require.Equal(t, "the shop", p.service(service, "ServiceDescription")())
	p.apply("ChangeResourceGroup", m{}, m{"ResourceId": service, "ResourceGroupId": "rg-acfm1",
		"ResourceType": "VpcEndpointService"})
	p.poll("the resource group", p.service(service, "ResourceGroupId"), "rg-acfm1")
	for kind, id := range map[string]string{"VpcEndpointService": service, "VpcEndpoint": endpoint} {
		f := map[string]terraform{service: p, endpoint: c}[id]
		f.apply("TagResources", m{}, m{"ResourceId.1": id, "ResourceType": kind, "Tag.1.Key": "stage", "Tag.1.Value": "a"})
		require.Contains(t, f.tags(kind, id), "stage")
		f.apply("UntagResources", m{}, m{"ResourceId.1": id, "ResourceType": kind, "TagKey.1": "stage"})
		require.NotContains(t, f.tags(kind, id), "stage")
	}

	// The end, in the order of what depends on what.
	p.apply("DisableVpcEndpointConnection", ends, m{}, "EndpointConnectionOperationDenied")
	p.poll("the connection", connection("ConnectionStatus"), "Disconnected")
	c.apply("RemoveZoneFromVpcEndpoint", m{"EndpointId": endpoint, "ZoneId": zone}, m{}, "EndpointLocked",
		"EndpointConnectionOperationDenied", "EndpointOperationDenied")
	c.poll("the zone", place("ZoneId"), "")
	c.apply("DeleteVpcEndpoint", m{}, m{"EndpointId": endpoint}, "EndpointOperationDenied", "ConcurrentCallNotSupported")
	c.poll("the endpoint", c.endpoint(endpoint, "EndpointStatus"), "")
	_, err := c.write("DeleteVpcEndpoint", nil, m{"EndpointId": endpoint})
	require.Equal(t, "EndpointNotFound", err.(*refused).code, "what is gone is gone")
	p.apply("RemoveUserFromVpcEndpointService", m{"ServiceId": service, "UserId": s.c.number}, m{})
	p.poll("the user", user, "")
	p.apply("DetachResourceFromVpcEndpointService", m{"ServiceId": service, "ResourceId": s.balancer},
		m{"ResourceType": "slb"})
	p.poll("the resource", resource, "")
	p.apply("DeleteVpcEndpointService", m{}, m{"ServiceId": service}, "EndpointServiceConnectionDependence",
		"ConcurrentCallNotSupported")
	p.poll("the service", p.service(service, "ServiceStatus"), "")
}
