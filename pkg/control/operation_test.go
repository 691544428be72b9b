package control_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// market is account b, who offers svc1, and account a, who has ep1 and could
// have ep2. Account c looks on.
func market(cloud topology.Cloud) *topology.Plan {
	nodes := func(zones ...string) (out []topology.Node) {
		for _, z := range zones {
			out = append(out, topology.Node{Zone: z})
		}
		return out
	}
	inZones := func(e topology.Endpoint, zones ...string) topology.Endpoint {
		e.Zones = nil
		for _, z := range zones {
			e.Zones = append(e.Zones, topology.EndpointZone{Zone: z})
		}
		return e
	}
	ep1 := inZones(endpointOf("ep1", "svc1"), "h", "i")
	ep1.SecurityGroups = []string{"web"}
	ep2 := inZones(endpointOf("ep2", "svc1"), "h")
	ep2.Absent = true
	far := inZones(endpointOf("far", "svc1"), "j")
	far.Absent = true
	return &topology.Plan{
		Name: "market", Cloud: cloud, Profile: cloud.Profile(),
		Quotas:   topology.Quotas{ServicesPerAccount: 2, EndpointsPerVPC: 2, ResourcesPerService: 4, ResourcesPerZone: 2, GroupsPerEndpoint: 2},
		Accounts: []topology.Account{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		VPCs: []topology.VPC{
			{Name: "vpc1", Account: "a", DNSHostnames: true, Resolvers: make([]netip.Addr, 1), SecurityGroups: []topology.SecurityGroup{{Name: "web"}, {Name: "ssh"}, {Name: "dns"}}},
			{Name: "vpc2", Account: "b"}, {Name: "vpc3", Account: "c"},
		},
		LoadBalancers: []topology.LoadBalancer{
			{Name: "lb1", Type: "clb", VPC: "vpc2", Nodes: nodes("h", "i")},
			{Name: "lb2", Type: "clb", VPC: "vpc2", Nodes: nodes("h")},
			{Name: "lb3", Type: "clb", VPC: "vpc2", Nodes: nodes("h")},
			{Name: "lb4", Type: "clb", VPC: "vpc2", Nodes: nodes("i", "j", "k")},
			{Name: "lb5", Type: "clb", VPC: "vpc2", Nodes: nodes("j")},
			{Name: "old", Type: "nlb", VPC: "vpc2", Nodes: nodes("h")},
			{Name: "theirs", Type: "clb", VPC: "vpc3", Nodes: nodes("h")},
		},
		Services: []topology.EndpointService{
			{Name: "svc1", Account: "b", Whitelist: []string{"b", "a"}, Bandwidth: 1024, Type: topology.CLB,
				Resources: []topology.Resource{{LoadBalancer: "lb1", Zone: "h"}, {LoadBalancer: "lb1", Zone: "i"}}},
			{Name: "svc2", Account: "b", Whitelist: []string{"b"}},
			{Name: "svc3", Account: "b", Whitelist: []string{"b"}, Absent: true},
		},
		Endpoints: []topology.Endpoint{ep1, ep2, far},
	}
}

// op reads an operation as the tables below write it:
//
//	zone-disable svc1 ep1 zone=h as=b
//
// Services, endpoints, accounts and so on are told by the words before "=".
func op(t require.TestingT, text string) topology.Operation {
	words := strings.Fields(text)
	o := topology.Operation{Verb: topology.Verb(words[0])}
	for _, w := range words[1:] {
		key, value, named := strings.Cut(w, "=")
		switch {
		case !named && strings.HasPrefix(w, "svc"):
			o.Service = w
		case !named:
			o.Endpoint = w
		case key == "zone":
			o.Zone = value
		case key == "as":
			o.As = value
		case key == "account":
			o.Account = value
		case key == "lb":
			o.Resource = value
		case key == "group":
			o.SecurityGroup = value
		case key == "mbit":
			n := 0
			_, err := fmt.Sscan(value, &n)
			require.NoError(t, err)
			o.Bandwidth = &n
		case key == "at":
			r, err := topology.ParseResource(value)
			require.NoError(t, err)
			o.Resources = append(o.Resources, r)
		case key == "about":
			o.Description = &value
		case key == "auto":
			on := value == "on"
			o.AutoAccept = &on
		case key == "affinity":
			on := value == "on"
			o.ZoneAffinity = &on
		case key == "force":
			o.Force = true
		default:
			require.Fail(t, "no such word", w)
		}
	}
	return o
}

// did carries operations out, and lets the data plane follow each.
func did(t require.TestingT, p *control.Plane, ops ...string) {
	for _, text := range ops {
		if text == "report" {
			p.Report(p.Revision())
			continue
		}
		_, err := p.Do(op(t, text))
		require.NoError(t, err, text)
		p.Report(p.Revision())
	}
}

// Every way to be refused: what was done before, what is asked for, and what
// is said. Nothing may have changed.
func TestEveryRefusal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cloud  topology.Cloud // alibaba where it is empty
		before []string
		do     string
		code   topology.Refusal
		word   string
		text   string
		hint   string
	}{
		{name: "no such operation", do: "explode svc1", code: topology.Invalid,
			text: `there is no operation "explode"`, hint: "there is " + strings.Join(topology.Verbs(), ", ")},
		{name: "the caller does not exist", do: "accept svc1 ep1 as=z", code: topology.NotFound,
			text: `account "z" does not exist`, hint: `there is "a", "b", "c"`},

		{name: "the service does not exist", do: "accept svc9 ep1", code: topology.NotFound, word: "EndpointServiceNotFound",
			text: `endpoint service "svc9" does not exist`, hint: `there is "svc1", "svc2"`},
		{name: "the service does not exist at aws", cloud: topology.AWS, do: "accept svc9 ep1", code: topology.NotFound, word: "InvalidVpcEndpointServiceId.NotFound",
			text: `endpoint service "svc9" does not exist`, hint: `there is "svc1", "svc2"`},
		{name: "who sees one service hears of no other", do: "service-show svc9 as=a", code: topology.NotFound, word: "EndpointServiceNotFound",
			text: `endpoint service "svc9" does not exist`, hint: `there is "svc1"`},
		{name: "a service is not shown to an account that is not on its whitelist", do: "service-show svc1 as=c", code: topology.NotWhitelisted, word: "EndpointServiceNotFound",
			text: `endpoint service "svc1" does not exist to account "c", which is not on its whitelist`, hint: `account "b" may add it: whitelist-add svc1 c`},
		{name: "nor at aws", cloud: topology.AWS, do: "service-show svc1 as=c", code: topology.NotWhitelisted, word: "InvalidServiceName",
			text: `endpoint service "svc1" does not exist to account "c", which is not on its whitelist`, hint: `account "b" may add it: whitelist-add svc1 c`},
		{name: "a consumer does not change the service", do: "service-set svc1 auto=on as=a", code: topology.NotOwner, word: "EndpointServiceNotFound",
			text: `account "a" may not manage endpoint service "svc1"`, hint: `"svc1" belongs to account "b", and only its owner may`},
		{name: "a consumer does not accept", do: "accept svc1 ep1 as=a", code: topology.NotOwner, word: "EndpointServiceNotFound",
			text: `account "a" may not manage endpoint service "svc1"`, hint: `"svc1" belongs to account "b", and only its owner may`},
		{name: "whoever cannot see it does not change it", do: "service-set svc1 auto=on as=c", code: topology.NotWhitelisted, word: "EndpointServiceNotFound",
			text: `endpoint service "svc1" does not exist to account "c", which is not on its whitelist`, hint: `account "b" may add it: whitelist-add svc1 c`},

		{name: "nothing is to be changed", do: "service-set svc1", code: topology.Invalid,
			text: `nothing of endpoint service "svc1" is to be changed`, hint: "name a description, auto accept, zone affinity or a bandwidth"},
		{name: "a description is an address", do: "service-set svc1 about=https://example.com", code: topology.Invalid,
			text: `endpoint service "svc1": a description does not start with http:// or https://`, hint: "choose another one"},
		{name: "a description is one letter", do: "endpoint-set ep1 about=x", code: topology.Invalid,
			text: `endpoint "ep1": a description has 2 to 256 characters, and this one has 1`, hint: "choose another one"},
		{name: "nothing of an endpoint is to be changed", do: "endpoint-set ep1", code: topology.Invalid,
			text: `nothing of endpoint "ep1" is to be changed`, hint: "name a description, zone affinity or private DNS"},
		{name: "the bandwidth of new connections is too small", do: "service-set svc1 mbit=50", code: topology.Invalid,
			text: "a connection cannot have a bandwidth of 50 Mbit/s", hint: "choose 100 to 10240 Mbit/s, or none for no limit"},
		{name: "aws has no zone affinity", cloud: topology.AWS, do: "service-set svc1 affinity=on", code: topology.Unsupported, word: "UnknownParameter",
			text: "names of aws endpoints have no zone affinity", hint: "use the zone's name where the zone matters"},

		{name: "whom to whitelist does not exist", do: "whitelist-add svc1 account=z", code: topology.NotFound,
			text: `account "z" does not exist`, hint: `there is "a", "b", "c"`},
		{name: "who is whitelisted already", do: "whitelist-add svc1 account=a", code: topology.WrongState, word: "EndpointServiceOperationDenied",
			text: `account "a" is on the whitelist of endpoint service "svc1" already`, hint: "there is nothing to do"},
		{name: "who is not whitelisted cannot leave", do: "whitelist-remove svc1 account=c", code: topology.NotFound,
			text: `account "c" is not on the whitelist of endpoint service "svc1"`, hint: `on it is "b", "a"`},
		{name: "the owner stays", do: "whitelist-remove svc1 account=b", code: topology.Invalid,
			text: `account "b" owns endpoint service "svc1" and stays on its whitelist`, hint: "name another account"},

		{name: "the load balancer does not exist", do: "attach svc1 lb=lb9", code: topology.NotFound,
			text: `load balancer "lb9" does not exist`, hint: `there is "lb1", "lb2", "lb3", "lb4", "lb5", "old", "theirs"`},
		{name: "the load balancer does not exist at aws", cloud: topology.AWS, do: "attach svc1 lb=lb9", code: topology.NotFound, word: "NetworkLoadBalancerNotFoundException",
			text: `load balancer "lb9" does not exist`, hint: `there is "lb1", "lb2", "lb3", "lb4", "lb5", "old", "theirs"`},
		{name: "the load balancer is somebody else's", do: "attach svc1 lb=theirs", code: topology.Invalid,
			text: `load balancer "theirs" belongs to account "c", and endpoint service "svc1" to "b"`, hint: "a service offers what its owner has"},
		{name: "the load balancer is of another type", do: "attach svc1 lb=old", code: topology.Invalid,
			text: `load balancer "old" is of type nlb, and endpoint service "svc1" offers clb`, hint: "make a service for each type"},
		{name: "the service keeps its type without a load balancer", before: []string{"detach svc1 lb=lb1"}, do: "attach svc1 lb=old",
			code: topology.Invalid, text: `load balancer "old" is of type nlb, and endpoint service "svc1" offers clb`, hint: "make a service for each type"},
		{name: "the load balancer is attached already", do: "attach svc1 lb=lb1", code: topology.WrongState, word: "EndpointServiceOperationDenied",
			text: `load balancer "lb1" is attached to endpoint service "svc1" already`, hint: "there is nothing to do"},
		{name: "the load balancer is not in the zone", do: "attach svc1 lb=lb2 zone=i", code: topology.NotFound, word: "EndpointZoneNotFound",
			text: `load balancer "lb2" is not in zone "i"`, hint: `there is "h"`},
		{name: "a third load balancer in a zone", before: []string{"attach svc1 lb=lb2"}, do: "attach svc1 lb=lb3", code: topology.Quota,
			text: `endpoint service "svc1" has 2 load balancers in zone h, and may not have more`, hint: "delete one, or write quotas: {resources_per_zone: 3} in the topology file"},
		{name: "a fifth resource", do: "attach svc1 lb=lb4", code: topology.Quota,
			text: `endpoint service "svc1" has 4 load balancers, and may not have more`, hint: "delete one, or write quotas: {resources_per_service: 5} in the topology file"},
		{name: "what is not attached is not detached", do: "detach svc1 lb=lb2", code: topology.NotFound,
			text: `load balancer "lb2" is not attached to endpoint service "svc1"`, hint: `there is "lb1@h", "lb1@i"`},
		{name: "nor where it is not attached", do: "detach svc1 lb=lb1 zone=j", code: topology.NotFound,
			text: `load balancer "lb1" is not attached to endpoint service "svc1" in zone "j"`, hint: `there is "lb1@h", "lb1@i"`},
		{name: "there is nothing to detach", do: "detach svc2 lb=lb1", code: topology.NotFound,
			text: `load balancer "lb1" is not attached to endpoint service "svc2"`, hint: "it has no load balancers"},
		{name: "a load balancer in use stays", before: []string{"accept svc1 ep1"}, do: "detach svc1 lb=lb1 zone=h", code: topology.InUse, word: "EndpointServiceConnectionDependence",
			text: `endpoint service "svc1" cannot give up lb1@h: endpoint "ep1" is connected to it`, hint: "move it to another, or reject it: replace svc1 ep1 h, or reject svc1 ep1"},
		{name: "a load balancer in use stays at aws", cloud: topology.AWS, before: []string{"accept svc1 ep1"}, do: "detach svc1 lb=lb1", code: topology.InUse, word: "ExistingVpcEndpointConnections",
			text: `endpoint service "svc1" cannot give up lb1@h: endpoint "ep1" is connected to it`, hint: "reject it first: reject svc1 ep1"},
		{name: "one that was replaced stays while sessions go through it", before: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "replace svc1 ep1 zone=h"},
			do: "detach svc1 lb=lb1 zone=h", code: topology.InUse, word: "EndpointServiceConnectionDependence",
			text: `endpoint service "svc1" cannot give up lb1@h: endpoint "ep1" is connected to it`, hint: "move it to another, or reject it: replace svc1 ep1 h, or reject svc1 ep1"},

		{name: "the service is not in the file", do: "service-create svc9", code: topology.NotFound,
			text: `the topology file has no endpoint service "svc9"`, hint: "say what it shall be: service-create svc9"},
		{name: "the service exists already", do: "service-create svc1", code: topology.WrongState, word: "EndpointServiceOperationDenied",
			text: `endpoint service "svc1" exists already`, hint: "there is nothing to do"},
		{name: "somebody else creates the service", do: "service-create svc3 as=a", code: topology.NotOwner, word: "EndpointServiceNotFound",
			text: `account "a" may not manage endpoint service "svc3"`, hint: `"svc3" belongs to account "b", and only its owner may`},
		{name: "a third service", do: "service-create svc3", code: topology.Quota,
			text: `account "b" has 2 endpoint services, and may not have more`, hint: "delete one, or write quotas: {services_per_account: 3} in the topology file"},
		{name: "a service with a connection is not deleted", before: []string{"accept svc1 ep1"}, do: "service-delete svc1", code: topology.InUse, word: "EndpointServiceConnectionDependence",
			text: `endpoint service "svc1" cannot be deleted: the connection of endpoint "ep1" to endpoint service "svc1" is Connected`, hint: "reject it first: reject svc1 ep1"},
		{name: "nor at aws with one that waits", cloud: topology.AWS, do: "service-delete svc1", code: topology.InUse, word: "ExistingVpcEndpointConnections",
			text: `endpoint service "svc1" cannot be deleted: the connection of endpoint "ep1" to endpoint service "svc1" is pendingAcceptance`, hint: "reject it first: reject svc1 ep1"},
		{name: "a service with load balancers is not deleted", do: "service-delete svc1", code: topology.WrongState, word: "EndpointServiceOperationDenied",
			text: `endpoint service "svc1" cannot be deleted: it still has lb1@h and lb1@i`, hint: "detach them first: detach svc1 lb1"},

		{name: "the endpoint does not exist", do: "accept svc1 ep9", code: topology.NotFound, word: "EndpointNotFound",
			text: `endpoint "ep9" does not exist`, hint: `there is "ep1"`},
		{name: "aws offers a load balancer in all of its zones", cloud: topology.AWS, do: "attach svc1 lb=lb4 zone=j", code: topology.Unsupported, word: "UnknownParameter",
			text: "endpoint services of aws offer a load balancer in all of its zones", hint: "leave the zone out"},
		{name: "at aws a load balancer is of one service", cloud: topology.AWS, do: "attach svc2 lb=lb1", code: topology.InUse,
			text: `load balancer "lb1" is offered by endpoint service "svc1", and at aws by one alone`, hint: "detach it there first: detach svc1 lb1"},
		{name: "the service to delete does not exist at aws", cloud: topology.AWS, do: "service-delete svc9", code: topology.NotFound, word: "InvalidVpcEndpointService.NotFound",
			text: `endpoint service "svc9" does not exist`, hint: `there is "svc1", "svc2"`},
		{name: "the endpoint to delete does not exist at aws", cloud: topology.AWS, do: "endpoint-delete ep9", code: topology.NotFound, word: "InvalidVpcEndpoint.NotFound",
			text: `endpoint "ep9" does not exist`, hint: `there is "ep1"`},
		{name: "the endpoint to show does not exist", do: "endpoint-show ep9", code: topology.NotFound, word: "EndpointNotFound",
			text: `endpoint "ep9" does not exist`, hint: `there is "ep1"`},
		{name: "the endpoint to show does not exist at aws", cloud: topology.AWS, do: "endpoint-show ep9", code: topology.NotFound, word: "InvalidVpcEndpointId.NotFound",
			text: `endpoint "ep9" does not exist`, hint: `there is "ep1"`},
		{name: "an endpoint is not shown to an account that has neither it nor its service", do: "endpoint-show ep1 as=c", code: topology.NotOwner, word: "EndpointNotFound",
			text: `account "c" may not manage endpoint "ep1"`, hint: `"ep1" belongs to account "a", and only its owner may`},
		{name: "a service that is gone is no name for an endpoint at aws", cloud: topology.AWS, before: []string{"reject svc1 ep1", "service-delete svc1"}, do: "endpoint-create ep2", code: topology.NotFound, word: "InvalidServiceName",
			text: `endpoint service "svc1" does not exist`, hint: `account "a" sees no endpoint service`},
		{name: "a third group at aws", cloud: topology.AWS, before: []string{"group-add ep1 group=ssh"}, do: "group-add ep1 group=dns", code: topology.Quota, word: "SecurityGroupsPerInterfaceLimitExceeded",
			text: `endpoint "ep1" has 2 security groups, and may not have more`, hint: "delete one, or write quotas: {groups_per_endpoint: 3} in the topology file"},
		{name: "nobody has created it yet", do: "accept svc1 ep2", code: topology.NotFound, word: "EndpointNotFound",
			text: `endpoint "ep2" does not exist`, hint: `there is "ep1"`},
		{name: "an account hears of its own endpoints", do: "group-add ep9 group=ssh as=c", code: topology.NotFound, word: "EndpointNotFound",
			text: `endpoint "ep9" does not exist`, hint: `account "c" has no endpoint`},
		{name: "the endpoint is another service's", do: "accept svc2 ep1", code: topology.NotFound,
			text: `endpoint "ep1" has no connection to endpoint service "svc2"`, hint: `"ep1" is an endpoint of "svc1"`},
		{name: "a provider does not change an endpoint", do: "group-add ep1 group=ssh as=b", code: topology.NotOwner, word: "EndpointNotFound",
			text: `account "b" may not manage endpoint "ep1"`, hint: `"ep1" belongs to account "a", and only its owner may`},

		{name: "the endpoint is not in the file", do: "endpoint-create ep9", code: topology.NotFound,
			text: `the topology file has no endpoint "ep9"`, hint: "say what it shall be: endpoint-create ep9"},
		{name: "the endpoint exists already", do: "endpoint-create ep1", code: topology.WrongState, word: "EndpointOperationDenied",
			text: `endpoint "ep1" exists already`, hint: "there is nothing to do"},
		{name: "somebody else creates it", do: "endpoint-create ep2 as=b", code: topology.NotOwner, word: "EndpointNotFound",
			text: `account "b" may not manage endpoint "ep2"`, hint: `"ep2" belongs to account "a", and only its owner may`},
		{name: "its account left the whitelist", before: []string{"whitelist-remove svc1 account=a"}, do: "endpoint-create ep2", code: topology.NotWhitelisted, word: "EndpointServiceNotFound",
			text: `endpoint service "svc1" does not exist to account "a", which is not on its whitelist`, hint: `account "b" may add it: whitelist-add svc1 a`},
		{name: "its zone is not offered", do: "endpoint-create far", code: topology.Invalid,
			text: `endpoint "far" asks for zone "j", which endpoint service "svc1" does not offer`, hint: `"svc1" is in h and i`},
		{name: "nothing is offered at all", before: []string{"detach svc1 lb=lb1"}, do: "endpoint-create ep2", code: topology.Invalid,
			text: `endpoint "ep2" asks for zone "h", which endpoint service "svc1" does not offer`, hint: `"svc1" has no load balancers`},
		{name: "nothing is offered at all at aws", cloud: topology.AWS, before: []string{"detach svc1 lb=lb1"}, do: "endpoint-create ep2", code: topology.Invalid, word: "InvalidParameter",
			text: `endpoint "ep2" asks for zone "h", which endpoint service "svc1" does not offer`, hint: `"svc1" has no load balancers`},
		{name: "its service was deleted", before: []string{"detach svc1 lb=lb1", "service-delete svc1"}, do: "endpoint-create ep2", code: topology.NotFound, word: "EndpointServiceNotFound",
			text: `endpoint service "svc1" does not exist`, hint: `account "a" sees no endpoint service`},
		{name: "a third endpoint of a vpc", cloud: topology.AWS, before: []string{"endpoint-create ep2", "attach svc1 lb=lb5"}, do: "endpoint-create far", code: topology.Quota, word: "VpcEndpointLimitExceeded",
			text: `vpc "vpc1" has 2 endpoints, and may not have more`, hint: "delete one, or write quotas: {endpoints_per_vpc: 3} in the topology file"},
		{name: "an endpoint in zones is not deleted", do: "endpoint-delete ep1", code: topology.InUse, word: "EndpointOperationDenied",
			text: `endpoint "ep1" cannot be deleted: it is still in zone h and i`, hint: "remove its zones first: zone-remove ep1 h"},

		{name: "the endpoint is not in the zone", do: "zone-remove ep1 zone=j", code: topology.NotFound, word: "EndpointZoneNotFound",
			text: `endpoint "ep1" is not in zone "j"`, hint: `there is "h", "i"`},
		{name: "it is in no zone any more", before: []string{"zone-remove ep1 zone=h", "zone-remove ep1 zone=i"}, do: "zone-remove ep1 zone=h", code: topology.NotFound, word: "EndpointZoneNotFound",
			text: `endpoint "ep1" is not in zone "h"`, hint: "it is in no zone"},
		{name: "the endpoint is in the zone already", do: "zone-add ep1 zone=h", code: topology.WrongState, word: "EndpointOperationDenied",
			text: `endpoint "ep1" is in zone "h" already`, hint: "there is nothing to do"},
		{name: "the file has no subnet for the endpoint there", do: "zone-add ep1 zone=j", code: topology.NotFound, word: "EndpointZoneNotFound",
			text: `the topology file has no subnet in zone "j" for endpoint "ep1"`, hint: "add it to the endpoint's subnets in the file, and apply the file"},
		{name: "the service has left the zone", before: []string{"zone-remove ep1 zone=i", "detach svc1 lb=lb1 zone=i"}, do: "zone-add ep1 zone=i", code: topology.Invalid,
			text: `endpoint "ep1" asks for zone "i", which endpoint service "svc1" does not offer`, hint: `"svc1" is in h`},

		{name: "the group does not exist", do: "group-add ep1 group=none", code: topology.NotFound,
			text: `security group "none" does not exist`, hint: `there is "web", "ssh", "dns"`},
		{name: "the group does not exist at aws", cloud: topology.AWS, do: "group-add ep1 group=none", code: topology.NotFound, word: "InvalidSecurityGroupID.NotFound",
			text: `security group "none" does not exist`, hint: `there is "web", "ssh", "dns"`},
		{name: "the endpoint is in the group already", do: "group-add ep1 group=web", code: topology.WrongState, word: "EndpointOperationDenied",
			text: `endpoint "ep1" is in security group "web" already`, hint: "there is nothing to do"},
		{name: "a third group", before: []string{"group-add ep1 group=ssh"}, do: "group-add ep1 group=dns", code: topology.Quota,
			text: `endpoint "ep1" has 2 security groups, and may not have more`, hint: "delete one, or write quotas: {groups_per_endpoint: 3} in the topology file"},
		{name: "the endpoint is not in the group", do: "group-remove ep1 group=ssh", code: topology.NotFound,
			text: `endpoint "ep1" is not in security group "ssh"`, hint: `there is "web"`},
		{name: "the endpoint is in no group", before: []string{"group-remove ep1 group=web"}, do: "group-remove ep1 group=web", code: topology.NotFound,
			text: `endpoint "ep1" is not in security group "web"`, hint: "it is in none"},

		{name: "a zone is chosen that the endpoint has not", do: "accept svc1 ep1 at=lb1@j", code: topology.NotFound, word: "EndpointZoneNotFound",
			text: `endpoint "ep1" is not in zone "j"`, hint: `there is "h", "i"`},
		{name: "a load balancer is chosen that the service has not", do: "accept svc1 ep1 at=lb2@h", code: topology.NotFound,
			text: `endpoint service "svc1" has no load balancer "lb2" in zone "h"`, hint: `there is "lb1"`},
		{name: "a zone has nothing to connect to", before: []string{"detach svc1 lb=lb1 zone=i"}, do: "accept svc1 ep1", code: topology.Invalid,
			text: `endpoint service "svc1" has no load balancer in zone "i"`, hint: "attach one: attach svc1 i"},
		{name: "accepted with too much bandwidth", do: "accept svc1 ep1 mbit=20000", code: topology.Invalid,
			text: "a connection cannot have a bandwidth of 20000 Mbit/s", hint: "choose 100 to 10240 Mbit/s, or none for no limit"},
		{name: "aws accepts as it is", cloud: topology.AWS, do: "accept svc1 ep1 mbit=200", code: topology.Unsupported, word: "UnknownParameter",
			text: "aws accepts a connection without a bandwidth or load balancers of its own", hint: "leave them out"},
		{name: "what waits has no bandwidth", do: "bandwidth svc1 ep1 mbit=200", code: topology.WrongState, word: "EndpointConnectionOperationDenied",
			text: `the connection of endpoint "ep1" to endpoint service "svc1" cannot be given another bandwidth while it is Disconnected`, hint: "it must be Connected"},
		{name: "no bandwidth is named", before: []string{"accept svc1 ep1"}, do: "bandwidth svc1 ep1", code: topology.Invalid,
			text: `the connection of endpoint "ep1" to endpoint service "svc1" gets no bandwidth`, hint: "name one in Mbit/s, or none"},
		{name: "too small a bandwidth", before: []string{"accept svc1 ep1"}, do: "bandwidth svc1 ep1 mbit=99", code: topology.Invalid,
			text: "a connection cannot have a bandwidth of 99 Mbit/s", hint: "choose 100 to 10240 Mbit/s, or none for no limit"},
		{name: "aws changes no bandwidth", cloud: topology.AWS, before: []string{"accept svc1 ep1"}, do: "bandwidth svc1 ep1 mbit=200", code: topology.Unsupported, word: "InvalidAction",
			text: `aws has no operation "bandwidth"`, hint: "a fault limits it in the lab: fault set ep1 200Mbit"},

		{name: "a zone of what is not connected", do: "zone-disable svc1 ep1 zone=h", code: topology.WrongState, word: "EndpointConnectionOperationDenied",
			text: `zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" cannot be disabled while the connection is Disconnected`, hint: "the connection must be Connected"},
		{name: "a zone that it has not", before: []string{"accept svc1 ep1"}, do: "zone-disable svc1 ep1 zone=j", code: topology.NotFound, word: "EndpointZoneNotFound",
			text: `endpoint "ep1" is not in zone "j"`, hint: `there is "h", "i"`},
		{name: "a zone that is enabled", before: []string{"accept svc1 ep1"}, do: "zone-enable svc1 ep1 zone=h", code: topology.WrongState, word: "EndpointConnectionOperationDenied",
			text: `zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" is already Connected`, hint: "there is nothing to do"},
		{name: "a zone that is disabled", before: []string{"accept svc1 ep1", "zone-disable svc1 ep1 zone=h"}, do: "zone-disable svc1 ep1 zone=h", code: topology.WrongState, word: "EndpointConnectionOperationDenied",
			text: `zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" is already Disconnected`, hint: "there is nothing to do"},
		{name: "a zone without a load balancer is not enabled", before: []string{"accept svc1 ep1", "zone-disable svc1 ep1 zone=i", "detach svc1 lb=lb1 zone=i"}, do: "zone-enable svc1 ep1 zone=i", code: topology.Invalid,
			text: `endpoint service "svc1" has no load balancer in zone "i"`, hint: "attach one: attach svc1 i"},
		{name: "aws disables no zone", cloud: topology.AWS, before: []string{"accept svc1 ep1"}, do: "zone-disable svc1 ep1 zone=h", code: topology.Unsupported, word: "InvalidAction",
			text: `aws has no operation "zone-disable"`, hint: "a fault lets a zone of an endpoint fail: fault down ep1@h"},

		{name: "there is nothing to replace it by", before: []string{"accept svc1 ep1"}, do: "replace svc1 ep1 zone=h", code: topology.Invalid,
			text: `endpoint service "svc1" has no other load balancer in zone "h"`, hint: "attach one: attach svc1 h"},
		{name: "it is replaced by itself", before: []string{"accept svc1 ep1"}, do: "replace svc1 ep1 zone=h lb=lb1", code: topology.Invalid,
			text: `zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" goes to load balancer "lb1" already`, hint: "there is nothing to do"},
		{name: "it is replaced by one that is not attached", before: []string{"accept svc1 ep1"}, do: "replace svc1 ep1 zone=h lb=lb2", code: topology.NotFound,
			text: `endpoint service "svc1" has no load balancer "lb2" in zone "h"`, hint: `there is "lb1"`},
		{name: "it is just being replaced", before: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "replace svc1 ep1 zone=h"}, do: "replace svc1 ep1 zone=h", code: topology.WrongState, word: "EndpointConnectionOperationDenied",
			text: `zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" cannot be given another load balancer while it is Migrated`, hint: "it must be Connected or Disconnected"},
		{name: "nothing was replaced", before: []string{"accept svc1 ep1"}, do: "release svc1 ep1 zone=h", code: topology.WrongState, word: "EndpointConnectionOperationDenied",
			text: `zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" cannot be released while it is Connected`, hint: "it must be Migrated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cloud == "" {
				tt.cloud = topology.Alibaba
			}
			p := newPlane(t, market(tt.cloud))
			did(t, p, tt.before...)
			before, events := p.State(), p.Events(0)
			saved, err := p.Save()
			require.NoError(t, err)

			_, err = p.Do(op(t, tt.do))
			var refused *control.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.text, refused.Text)
			require.Equal(t, tt.hint, refused.Advice())
			require.Equal(t, tt.code, refused.Code)
			require.Equal(t, tt.word, refused.Word)
			require.Contains(t, topology.Refusals(), string(refused.Code))

			require.Equal(t, before, p.State(), "a refusal changes nothing")
			require.Equal(t, events, p.Events(0), "and tells nobody")
			after, err := p.Save()
			require.NoError(t, err)
			require.Equal(t, string(saved), string(after))
		})
	}
}

// What operations do: the state of ep1's connection and zones, of services and
// endpoints, and the last event, after each has been put in force.
func TestOperations(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cloud topology.Cloud
		do    []string
		want  string // connection; zones with their load balancers; service and endpoint
		event string // of the last operation
	}{
		{name: "accepted with a bandwidth", do: []string{"accept svc1 ep1 mbit=200"},
			want:  "ep1 Connected 200 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" accepted the connection of endpoint "ep1" to endpoint service "svc1"`},
		{name: "accepted with a load balancer chosen by hand", do: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb2@h"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb2, i Connected lb1",
			event: `account "b" accepted the connection of endpoint "ep1" to endpoint service "svc1"`},
		{name: "another bandwidth", do: []string{"accept svc1 ep1", "bandwidth svc1 ep1 mbit=500"},
			want:  "ep1 Connected 500 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" gave the connection of endpoint "ep1" to endpoint service "svc1" a bandwidth of 500 Mbit/s`},
		{name: "no limit", do: []string{"accept svc1 ep1", "bandwidth svc1 ep1 mbit=0"},
			want:  "ep1 Connected 0 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" gave the connection of endpoint "ep1" to endpoint service "svc1" a bandwidth of any size`},
		{name: "a new default leaves what is connected alone", do: []string{"accept svc1 ep1", "service-set svc1 mbit=300"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" changed endpoint service "svc1": bandwidth of new connections 300 Mbit/s`},
		{name: "and counts for what is not", do: []string{"service-set svc1 mbit=300", "accept svc1 ep1"},
			want:  "ep1 Connected 300 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" accepted the connection of endpoint "ep1" to endpoint service "svc1"`},

		{name: "one zone less", do: []string{"accept svc1 ep1", "zone-disable svc1 ep1 zone=h"},
			want:  "ep1 Connected 1024 Mbit/s, h Disconnected lb1, i Connected lb1",
			event: `account "b" disabled zone "h" of the connection of endpoint "ep1" to endpoint service "svc1"`},
		{name: "and back again", do: []string{"accept svc1 ep1", "zone-disable svc1 ep1 zone=h", "zone-enable svc1 ep1 zone=h"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" enabled zone "h" of the connection of endpoint "ep1" to endpoint service "svc1"`},
		{name: "whoever rejects and accepts has all zones again", do: []string{"accept svc1 ep1", "zone-disable svc1 ep1 zone=h", "reject svc1 ep1", "accept svc1 ep1"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" accepted the connection of endpoint "ep1" to endpoint service "svc1"`},

		{name: "a load balancer replaced gracefully", do: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "replace svc1 ep1 zone=h"},
			want:  "ep1 Connected 1024 Mbit/s, h Migrated lb2 before lb1, i Connected lb1",
			event: `account "b" moved zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" from load balancer "lb1" to "lb2"`},
		{name: "the old one is released", do: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "replace svc1 ep1 zone=h", "release svc1 ep1 zone=h"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb2, i Connected lb1",
			event: `account "b" released load balancer "lb1", which zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" had before`},
		{name: "a load balancer replaced by force", do: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "replace svc1 ep1 zone=h force=yes"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb2, i Connected lb1",
			event: `account "b" moved zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" from load balancer "lb1" to "lb2"`},
		{name: "a zone that is disabled gets another load balancer", do: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "zone-disable svc1 ep1 zone=h", "replace svc1 ep1 zone=h", "zone-enable svc1 ep1 zone=h"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb2, i Connected lb1",
			event: `account "b" enabled zone "h" of the connection of endpoint "ep1" to endpoint service "svc1"`},
		{name: "rejected while it migrates", do: []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "replace svc1 ep1 zone=h", "reject svc1 ep1"},
			want:  "ep1 Disconnected 1024 Mbit/s, h Disconnected lb2, i Disconnected lb1",
			event: `account "b" rejected the connection of endpoint "ep1" to endpoint service "svc1"`},

		{name: "off the whitelist and still connected", do: []string{"accept svc1 ep1", "whitelist-remove svc1 account=a"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "b" took account "a" off the whitelist of endpoint service "svc1"`},
		{name: "everybody on the whitelist", do: []string{"whitelist-add svc1 account=*", "service-show svc1 as=c"},
			want: "ep1 Disconnected 1024 Mbit/s, h Wait , i Wait ",
			// The event is that of looking, which nobody is told of.
			event: `account "c" sees endpoint service "svc1"`},
		{name: "a second endpoint", do: []string{"endpoint-create ep2"},
			want:  "ep1 Disconnected 1024 Mbit/s, h Wait , i Wait ; ep2 Disconnected 1024 Mbit/s, h Wait ",
			event: `account "a" created endpoint "ep2"`},
		{name: "a service that accepts by itself from now on", do: []string{"service-set svc1 auto=on", "endpoint-create ep2"},
			want:  "ep1 Disconnected 1024 Mbit/s, h Wait , i Wait ; ep2 Connected 1024 Mbit/s, h Connected lb1",
			event: `account "a" created endpoint "ep2"`},
		{name: "created by who came on the whitelist", do: []string{"whitelist-remove svc1 account=a", "whitelist-add svc1 account=a", "endpoint-create ep2 as=a"},
			want:  "ep1 Disconnected 1024 Mbit/s, h Wait , i Wait ; ep2 Disconnected 1024 Mbit/s, h Wait ",
			event: `account "a" created endpoint "ep2"`},
		{name: "an endpoint without zones is deleted", do: []string{"accept svc1 ep1", "zone-remove ep1 zone=h", "zone-remove ep1 zone=i", "endpoint-delete ep1"},
			want: "", event: `account "a" deletes endpoint "ep1"`},
		{name: "aws deletes one with its zones", cloud: topology.AWS, do: []string{"accept svc1 ep1", "endpoint-delete ep1"},
			want: "", event: `account "a" deletes endpoint "ep1"`},
		{name: "a deleted one comes back with its zones", do: []string{"zone-remove ep1 zone=h", "zone-remove ep1 zone=i", "endpoint-delete ep1", "endpoint-create ep1"},
			want:  "ep1 Disconnected 1024 Mbit/s, h Wait , i Wait ",
			event: `account "a" created endpoint "ep1"`},
		{name: "a zone comes and connects", do: []string{"accept svc1 ep1", "zone-remove ep1 zone=h", "zone-add ep1 zone=h"},
			want:  "ep1 Connected 1024 Mbit/s, h Connected lb1, i Connected lb1",
			event: `account "a" put endpoint "ep1" into zone "h"`},
		{name: "the service is deleted under its endpoint", do: []string{"accept svc1 ep1", "reject svc1 ep1", "detach svc1 lb=lb1", "service-delete svc1"},
			want:  "ep1 ServiceDeleted 1024 Mbit/s, h Disconnected , i Disconnected ",
			event: `account "b" deletes endpoint service "svc1"`},
		{name: "and the endpoint goes after it", do: []string{"detach svc1 lb=lb1", "service-delete svc1", "zone-remove ep1 zone=h", "zone-remove ep1 zone=i", "endpoint-delete ep1"},
			want: "", event: `account "a" deletes endpoint "ep1"`},
		{name: "a service that comes back has lost the endpoint", do: []string{"detach svc1 lb=lb1", "service-delete svc1", "service-create svc1"},
			want:  "ep1 ServiceDeleted 1024 Mbit/s, h Wait , i Wait ",
			event: `account "b" created endpoint service "svc1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cloud == "" {
				tt.cloud = topology.Alibaba
			}
			p := newPlane(t, market(tt.cloud))
			last := len(tt.do) - 1
			did(t, p, tt.do[:last]...)
			event, err := p.Do(op(t, tt.do[last]))
			require.NoError(t, err)
			require.Equal(t, tt.event, event.Text)
			p.Report(p.Revision())
			require.Equal(t, tt.want, connections(p))
			settled(t, p)

			// A restarted daemon goes on with the same.
			saved, err := p.Save()
			require.NoError(t, err)
			again := newPlane(t, market(tt.cloud))
			require.NoError(t, again.Restore(saved))
			require.Equal(t, tt.want, connections(again))
			require.Equal(t, p.State().Plan.Services, again.State().Plan.Services)
			require.Equal(t, p.State().Plan.Endpoints, again.State().Plan.Endpoints)

			// The same file changes nothing; a reset takes everything back.
			require.NoError(t, p.Apply(market(tt.cloud)))
			require.Equal(t, tt.want, connections(p))
			p.Reset()
			fresh := newPlane(t, market(tt.cloud))
			require.Equal(t, connections(fresh), connections(p))
			require.Equal(t, fresh.State().Plan, p.State().Plan)
		})
	}
}

// connections writes down where they are, where each zone goes, and where it
// went.
func connections(p *control.Plane) string {
	var out []string
	for _, c := range p.State().Connections {
		line := fmt.Sprintf("%s %s %d Mbit/s", c.Endpoint, c.Status, c.Bandwidth)
		for _, z := range c.Zones {
			line += fmt.Sprintf(", %s %s %s", z.Zone, z.Status, z.LoadBalancer)
			if z.Replaced != "" {
				line += " before " + z.Replaced
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

// settled holds when nothing is on its way any more.
func settled(t require.TestingT, p *control.Plane) {
	on := []control.State{control.Connecting, control.Disconnecting, control.Modifying, control.Migrating, control.Creating, control.Pending, control.Deleting}
	s := p.State()
	for _, o := range slices.Concat(s.Services, s.Endpoints) {
		require.NotContains(t, on, o.State, o.Name)
	}
	for _, c := range s.Connections {
		require.NotContains(t, on, c.State, c.Endpoint)
		for _, z := range c.Zones {
			require.NotContains(t, on, z.State, z.Zone)
		}
	}
}

// What is on its way can be seen, in the cloud's words.
func TestStatesOnTheWay(t *testing.T) {
	see := func(p *control.Plane) string {
		s := p.State()
		var out []string
		for _, o := range slices.Concat(s.Services, s.Endpoints) {
			if o.State != control.Active {
				out = append(out, o.Name+" "+o.Status)
			}
		}
		return strings.Join(append(out, connections(p)), "; ")
	}
	for _, tt := range []struct {
		cloud  topology.Cloud
		before []string
		do     string
		want   string
	}{
		{"alibaba", nil, "service-set svc1 auto=on", "svc1 Pending; ep1 Disconnected 1024 Mbit/s, h Wait , i Wait "},
		{"aws", nil, "service-set svc1 auto=on", "svc1 Available; ep1 pendingAcceptance 1024 Mbit/s, h pendingAcceptance , i pendingAcceptance "},
		{"alibaba", nil, "group-add ep1 group=ssh", "ep1 Pending; ep1 Disconnected 1024 Mbit/s, h Wait , i Wait "},
		{"alibaba", []string{"accept svc1 ep1"}, "bandwidth svc1 ep1 mbit=200", "ep1 Pending 200 Mbit/s, h Connected lb1, i Connected lb1"},
		{"alibaba", []string{"accept svc1 ep1"}, "zone-disable svc1 ep1 zone=h", "ep1 Connected 1024 Mbit/s, h Disconnecting lb1, i Connected lb1"},
		{"alibaba", []string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h"}, "replace svc1 ep1 zone=h", "ep1 Connected 1024 Mbit/s, h Migrating lb2 before lb1, i Connected lb1"},
		{"alibaba", nil, "endpoint-create ep2", "ep2 Creating; ep1 Disconnected 1024 Mbit/s, h Wait , i Wait ; ep2 Disconnected 1024 Mbit/s, h Wait "},
		{"alibaba", nil, "zone-remove ep1 zone=h", "ep1 Pending; ep1 Disconnected 1024 Mbit/s, h Deleting , i Wait "},
		{"alibaba", []string{"zone-remove ep1 zone=h", "zone-remove ep1 zone=i"}, "endpoint-delete ep1", "ep1 Deleting; ep1 Deleting 1024 Mbit/s"},
		{"aws", []string{"accept svc1 ep1"}, "endpoint-delete ep1", "ep1 deleting; ep1 deleting 1024 Mbit/s, h deleting lb1, i deleting lb1"},
		{"alibaba", []string{"detach svc1 lb=lb1"}, "service-delete svc1", "svc1 Deleting; ep1 ServiceDeleted 1024 Mbit/s, h Wait , i Wait "},
	} {
		t.Run(string(tt.cloud)+": "+tt.do, func(t *testing.T) {
			p := newPlane(t, market(tt.cloud))
			did(t, p, tt.before...)
			_, err := p.Do(op(t, tt.do))
			require.NoError(t, err)
			require.Equal(t, tt.want, see(p))
			p.Report(p.Revision())
			settled(t, p)
		})
	}
}

// While something is on its way, what goes against it is refused.
func TestRefusedOnTheWay(t *testing.T) {
	for _, tt := range []struct {
		before []string
		first  string
		do     string
		text   string
		hint   string
	}{
		{[]string{"accept svc1 ep1"}, "bandwidth svc1 ep1 mbit=200", "reject svc1 ep1",
			`the connection of endpoint "ep1" to endpoint service "svc1" cannot be rejected while it is Pending`, "wait until it is Connected"},
		{[]string{"accept svc1 ep1"}, "zone-disable svc1 ep1 zone=h", "zone-enable svc1 ep1 zone=h",
			`zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" cannot be enabled while it is Disconnecting`, "wait until it is Disconnected"},
		{[]string{"attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h"}, "replace svc1 ep1 zone=h", "release svc1 ep1 zone=h",
			`zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" cannot be released while it is Migrating`, "wait until it is Migrated"},
		{nil, "accept svc1 ep1", "zone-remove ep1 zone=h",
			`zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" cannot be deleted while it is Connecting`, "wait until it is Connected"},
		{[]string{"service-delete svc2"}, "service-create svc2", "service-delete svc2",
			`endpoint service "svc2" cannot be deleted while it is Creating`, "wait until it is Active"},
		{[]string{"zone-remove ep1 zone=h", "zone-remove ep1 zone=i"}, "endpoint-delete ep1", "endpoint-set ep1 about=gone",
			`endpoint "ep1" is being deleted`, "wait until it is gone"},
		{[]string{"detach svc1 lb=lb1"}, "service-delete svc1", "service-set svc1 auto=on",
			`endpoint service "svc1" is being deleted`, "wait until it is gone"},
	} {
		t.Run(tt.do+" during "+tt.first, func(t *testing.T) {
			p := newPlane(t, market("alibaba"))
			did(t, p, tt.before...)
			_, err := p.Do(op(t, tt.first))
			require.NoError(t, err)
			before := p.State()
			_, err = p.Do(op(t, tt.do))
			var refused *control.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, topology.WrongState, refused.Code)
			require.Equal(t, tt.text, refused.Text)
			require.Equal(t, tt.hint, refused.Advice())
			require.Equal(t, before, p.State())
		})
	}
}

func TestAChangedFileKeepsWhatWasChangedLive(t *testing.T) {
	p := newPlane(t, market("alibaba"))
	did(t, p, "whitelist-add svc1 account=c", "attach svc1 lb=lb2", "group-add ep1 group=ssh", "service-set svc1 about=ours", "accept svc1 ep1 at=lb2@h mbit=300", "endpoint-create ep2")

	plan := market("alibaba")
	plan.Services[0].Description, plan.Services[0].ZoneAffinity = "theirs", true
	plan.VPCs[0].SecurityGroups = plan.VPCs[0].SecurityGroups[:1] // no ssh
	plan.Accounts = plan.Accounts[:2]                             // no c
	require.NoError(t, p.Apply(plan))
	now := p.State().Plan
	require.Equal(t, "ours", now.Services[0].Description)
	require.True(t, now.Services[0].ZoneAffinity, "what was not changed follows the file")
	require.Equal(t, []string{"b", "a"}, now.Services[0].Whitelist, "whom the file does not know any more is not on the list")
	require.Equal(t, []string{"web"}, now.Endpoints[0].SecurityGroups)
	require.Equal(t, "ep1 Connected 300 Mbit/s, h Connected lb2, i Connected lb1; ep2 Disconnected 1024 Mbit/s, h Wait ", connections(p))
	require.Equal(t, int64(300e6), now.Endpoints[0].Impairments.ToConsumer.Bandwidth)

	plan = market("alibaba")
	plan.LoadBalancers = slices.Delete(plan.LoadBalancers, 1, 2) // no lb2
	require.NoError(t, p.Apply(plan))
	require.Equal(t, "ep1 Connected 300 Mbit/s, h Connected lb1, i Connected lb1; ep2 Disconnected 1024 Mbit/s, h Wait ", connections(p))
}

func TestTheLastSessionReleasesALoadBalancer(t *testing.T) {
	p := newPlane(t, market("alibaba"))
	did(t, p, "attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h", "replace svc1 ep1 zone=h")
	before := p.State()
	p.Drained("svc1", "ep1", "h", "lb9")
	p.Drained("svc1", "ep1", "i", "lb1")
	p.Drained("svc1", "ep9", "h", "lb1")
	require.Equal(t, before, p.State(), "it was another one")
	p.Drained("svc1", "ep1", "h", "lb1")
	require.Equal(t, "ep1 Connected 1024 Mbit/s, h Connected lb2, i Connected lb1", connections(p))
	events := p.Events(0)
	require.Equal(t, `the last session through load balancer "lb1", which zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" had before, has ended`, events[len(events)-1].Text)
}

// Every verb that a topology file knows can be done.
func TestEveryVerbIsAnOperation(t *testing.T) {
	p := newPlane(t, market("alibaba"))
	for _, verb := range topology.Verbs() {
		_, err := p.Do(topology.Operation{Verb: topology.Verb(verb)})
		var refused *control.Error
		require.ErrorAs(t, err, &refused)
		require.NotContains(t, refused.Text, "there is no operation", verb)
	}
}

// TestAnyOperations does anything to anything: what is refused changes
// nothing, a report settles everything, what is open goes to what its service
// offers, and a restart goes on with the same.
func TestAnyOperations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cloud := rapid.SampledFrom([]topology.Cloud{topology.Alibaba, topology.AWS, topology.RFC}).Draw(t, "cloud")
		p := newPlane(t, market(cloud))
		one := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
		var seq uint64
		t.Repeat(map[string]func(*rapid.T){
			"do": func(t *rapid.T) {
				before := p.State()
				if _, err := p.Do(anyOperation(t)); err != nil {
					require.Equal(t, before, p.State())
				}
			},
			"report":  func(*rapid.T) { p.Report(p.Revision()); settled(t, p) },
			"drained": func(*rapid.T) { p.Drained("svc1", "ep1", one("zone", "h", "i"), one("resource", "lb1", "lb2")) },
			"reset":   func(*rapid.T) { p.Reset() },
			"up":      func(*rapid.T) { require.NoError(t, p.Apply(market(cloud))) },
			"restart": func(*rapid.T) {
				was := p.State()
				text, err := p.Save()
				require.NoError(t, err)
				p = newPlane(t, market(cloud))
				require.NoError(t, p.Restore(text))
				now := p.State()
				require.Equal(t, was.Connections, now.Connections)
				require.Equal(t, was.Plan.Services, now.Plan.Services)
				require.Equal(t, was.Plan.Endpoints, now.Plan.Endpoints)
			},
			"": func(*rapid.T) {
				s := p.State()
				require.Len(t, s.Endpoints, len(s.Plan.Endpoints))
				require.Len(t, s.Services, len(s.Plan.Services))
				require.Len(t, s.Connections, len(s.Plan.Endpoints), "every endpoint has one connection")
				for _, c := range s.Connections {
					for _, z := range c.Zones {
						service, err := s.Plan.Service(c.Service)
						if z.State.Open() {
							require.NoError(t, err)
							require.Contains(t, service.Resources, topology.Resource{LoadBalancer: z.LoadBalancer, Zone: z.Zone})
							require.True(t, c.State.Open(), "no zone is open where the connection is not")
						}
						require.Equal(t, z.State == control.Migrating || z.State == control.Migrated, z.Replaced != "")
					}
				}
				for _, e := range p.Events(seq) {
					require.Equal(t, seq+1, e.Seq)
					seq = e.Seq
				}
			},
		})
	})
}

// A plane that was asked whether plans are allowed applies them, and what Allows has made
// of them, as its twin does that never was.
func TestApplyGoesOnWithWhatAllowsHasMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cloud := rapid.SampledFrom([]topology.Cloud{topology.Alibaba, topology.AWS}).Draw(t, "cloud")
		fewer, other, grown := market(cloud), market(cloud), market(cloud)
		fewer.Endpoints = fewer.Endpoints[1:]
		other.Services[0].Account, other.Services[1].Resources = "a", []topology.Resource{{LoadBalancer: "lb1", Zone: "h"}}
		grown.LoadBalancers[0].Nodes = append(grown.LoadBalancers[0].Nodes, topology.Node{Zone: "j"})
		grown.Services[0].Resources = append(grown.Services[0].Resources, topology.Resource{LoadBalancer: "lb1", Zone: "j"})
		plans := []*topology.Plan{market(cloud), fewer, other, grown}
		p, twin := newPlane(t, plans[0]), newPlane(t, plans[0])
		one := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
		t.Repeat(map[string]func(*rapid.T){
			"allow": func(t *rapid.T) { _ = p.Allows(rapid.SampledFrom(plans).Draw(t, "plan")) },
			"apply": func(t *rapid.T) {
				plan := rapid.SampledFrom(plans).Draw(t, "plan")
				allowed := p.Allows(plan)
				err := p.Apply(plan)
				require.Equal(t, twin.Apply(plan), err)
				require.True(t, allowed != nil || err == nil, "%v", err)
			},
			"do": func(*rapid.T) {
				o := topology.Operation{
					Verb:    topology.Verb(one("verb", topology.Verbs()...)),
					Service: one("service", "svc1", "svc1", "svc2", "svc3"), Endpoint: one("endpoint", "ep1", "ep1", "ep2", "far"),
					Zone: one("zone", "h", "i", "j"), Resource: one("resource", "lb1", "lb2"), Account: one("account", "a", "b"),
				}
				_, err := p.Do(o)
				_, same := twin.Do(o)
				require.Equal(t, same, err)
			},
			"report": func(*rapid.T) { require.Equal(t, twin.Report(twin.Revision()), p.Report(p.Revision())) },
			"reset":  func(*rapid.T) { require.Equal(t, twin.Reset(), p.Reset()) },
			"": func(*rapid.T) {
				require.Equal(t, twin.State(), p.State())
				text, err := p.Save()
				require.NoError(t, err)
				want, err := twin.Save()
				require.NoError(t, err)
				require.Equal(t, string(want), string(text))
				require.Equal(t, twin.Events(0), p.Events(0))
			},
		})
	})
}

// Alibaba Cloud replaces all load balancers but NLBs.
func TestAnNLBIsReplacedByNoCloud(t *testing.T) {
	of := func(cloud topology.Cloud) *control.Plane {
		plan := market(cloud)
		for i := range plan.LoadBalancers {
			plan.LoadBalancers[i].Type = "nlb"
		}
		plan.Services[0].Type = topology.NLB
		p := newPlane(t, plan)
		did(t, p, "attach svc1 lb=lb2", "accept svc1 ep1 at=lb1@h")
		return p
	}
	p := of("alibaba")
	before := p.State()
	_, err := p.Do(op(t, "replace svc1 ep1 zone=h"))
	var refused *control.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, topology.Unsupported, refused.Code)
	require.Equal(t, `load balancer "lb1" is an nlb, and alibaba replaces all load balancers but those`, refused.Text)
	require.Equal(t, "disable the zone instead: zone-disable svc1 ep1 h", refused.Advice())
	require.Equal(t, before, p.State())
	did(t, of("rfc"), "replace svc1 ep1 zone=h")
}
