package awsapi

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func endpointRows(a *adder) {
	op(a, "CreateVpcEndpoint", createVpcEndpoint,
		"ServiceRegion", "a lab is one region, and another is refused with the name of the service",
		"RouteTableIds", "an interface endpoint is in no route table")
	op(a, "ModifyVpcEndpoint", modifyVpcEndpoint,
		"AddRouteTableIds RemoveRouteTableIds", "an interface endpoint is in no route table",
		"ResetPolicy", "a lab's endpoints have the policy of full access")
	op(a, "DeleteVpcEndpoints", deleteVpcEndpoints)
	list(a, listing{name: "DescribeVpcEndpoints", answer: "VpcEndpoints", ids: "VpcEndpointIds", id: "VpcEndpointId",
		missing: "InvalidVpcEndpointId.NotFound", text: "The Vpc Endpoint Id '%s' does not exist",
		filters: map[string]string{
			"vpc-endpoint-id": "VpcEndpointId", "vpc-id": "VpcId", "service-name": "ServiceName",
			"vpc-endpoint-state": "State", "vpc-endpoint-type": "VpcEndpointType", "ip-address-type": "IpAddressType",
			"service-region": "ServiceRegion",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := private{base}
			state := c.snapshot()
			for i := range state.Plan.Endpoints {
				if e := &state.Plan.Endpoints[i]; e.Account == c.Account.Name && !e.Absent {
					out = append(out, c.viewEndpoint(state, i))
				}
			}
			return out, nil
		}})
}

// snapshot is the state of the control plane, and its plan is the call's then.
func (c private) snapshot() control.Snapshot {
	state := c.Lab.Plane().State()
	c.Plan = state.Plan
	return state
}

// endpointState is the state of an endpoint, with a small first letter as the API has it
// (EC2 API, VpcEndpointConnection).
func endpointState(state control.Snapshot, i int) (string, control.Connection) {
	e := state.Plan.Endpoints[i]
	connection, _ := state.Connection(e.Service, e.Name)
	return control.EndpointWord(state.Plan.Cloud, state.Endpoints[i], connection), connection
}

// fullAccess is the policy that an endpoint has unless it is given another.
const fullAccess = `{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}`

func (c private) viewEndpoint(state control.Snapshot, i int) wire.M {
	e := &state.Plan.Endpoints[i]
	vpc := state.Plan.MustVPC(e.VPC)
	service, err := state.Plan.Service(e.Service)
	if err != nil {
		return nil
	}
	word, _ := endpointState(state, i)
	subnets, enis := []string{}, []string{}
	for _, z := range e.Zones {
		if s, err := vpc.Subnet(z.Subnet); err == nil {
			subnets, enis = append(subnets, s.ID), append(enis, z.ENI.ID)
		}
	}
	dnsType, addressType := "ipv4", "ipv4"
	if e.DualStack {
		dnsType, addressType = "dualstack", "dualstack"
	}
	return wire.M{
		"VpcEndpointId": e.ID, "VpcEndpointType": "Interface", "VpcId": vpc.ID, "ServiceName": service.ServiceName,
		"State": word, "PolicyDocument": fullAccess, "RouteTableIds": []string{}, "SubnetIds": subnets,
		"Groups": c.identifiers(vpc, e.SecurityGroups), "IpAddressType": addressType,
		"DnsOptions":        wire.M{"DnsRecordIpType": dnsType},
		"PrivateDnsEnabled": e.PrivateDNS, "RequesterManaged": false, "NetworkInterfaceIds": enis,
		"DnsEntries": c.dnsEntries(e, service, true), "CreationTimestamp": c.CreatedAt(e.ID),
		"Tags":    tagsWith(e.Tags, e.ID, e.Name),
		"OwnerId": c.Account.ID, "ServiceRegion": c.Plan.Region,
	}
}

// dnsEntries are the names of an endpoint: that of the region, those of its zones, and
// its private one.
func (c private) dnsEntries(e *topology.Endpoint, service *topology.EndpointService, own bool) []wire.M {
	zone := "Z" + strings.ToUpper(derive.Text("hosted zone of "+c.Plan.Region, 13, derive.Alphanumeric))
	out := []wire.M{{"DnsName": e.Domain, "HostedZoneId": zone}}
	for _, z := range e.Zones {
		out = append(out, wire.M{"DnsName": z.Domain, "HostedZoneId": zone})
	}
	if own && e.PrivateDNS && service.PrivateName != nil {
		private := "Z" + strings.ToUpper(derive.Text("hosted zone of "+e.ID, 13, derive.Alphanumeric))
		out = append(out, wire.M{"DnsName": service.PrivateName.Name, "HostedZoneId": private})
	}
	return out
}

type subnetConfiguration struct{ SubnetId, Ipv4, Ipv6 string }

type dnsOptions struct{ DnsRecordIpType string }

type createVpcEndpointIn struct {
	VpcId, ServiceName, VpcEndpointType string
	SubnetIds, SecurityGroupIds         []string
	SubnetConfigurations                []subnetConfiguration
	PrivateDnsEnabled                   *bool
	IpAddressType, PolicyDocument       string
	DnsOptions                          dnsOptions
	TagSpecifications                   []tagSpecification
}

func createVpcEndpoint(c private, in createVpcEndpointIn) (wire.M, error) {
	if in.VpcEndpointType != "Interface" {
		kind := in.VpcEndpointType
		if kind == "" {
			kind = "Gateway, which is what an endpoint is without one"
		}
		return nil, wire.Errorf("InvalidParameter", "The endpoint service %s is of type Interface: its endpoints have"+
			" VpcEndpointType=Interface, not %s", in.ServiceName, kind)
	}
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	service, err := c.serviceNamed(in.ServiceName)
	if err != nil {
		return nil, err
	}
	places := map[string]value{}
	for _, id := range in.SubnetIds {
		if err := c.place(places, service, vpc, nil, subnetConfiguration{SubnetId: id}); err != nil {
			return nil, err
		}
	}
	for _, s := range in.SubnetConfigurations {
		if err := c.place(places, service, vpc, nil, s); err != nil {
			return nil, err
		}
	}
	groups, err := c.groupNames(vpc, in.SecurityGroupIds)
	if err != nil {
		return nil, err
	}
	private := in.PrivateDnsEnabled != nil && *in.PrivateDnsEnabled
	if private {
		if err := c.checkPrivateDNS(vpc, service, !service.AutoAccept && service.Account != c.Account.Name,
			""); err != nil {
			return nil, err
		}
	}
	if err := checkAddressType(in.IpAddressType, in.DnsOptions, in.PolicyDocument); err != nil {
		return nil, err
	}
	tags, err := tagsFor(in.TagSpecifications, "vpc-endpoint")
	if err != nil {
		return nil, err
	}
	id := c.NewID("vpce")
	v := withTags(value{"service": service.Name, "vpc": vpc.Name}, tags)
	if len(groups) > 0 {
		v["security_groups"] = groups
	}
	if private {
		v["private_dns"] = true
	}
	if in.IpAddressType == "dualstack" {
		v["ip_address_type"] = in.IpAddressType
	}
	if err := c.MakeEndpoint(id, v, places); err != nil {
		return nil, err
	}
	c.Created(id, nil, nil)
	return c.answerEndpoint(id)
}

func (c private) answerEndpoint(id string) (wire.M, error) {
	state := c.snapshot()
	for i := range state.Plan.Endpoints {
		if state.Plan.Endpoints[i].ID == id {
			return wire.M{"VpcEndpoint": c.viewEndpoint(state, i)}, nil
		}
	}
	return nil, wire.Errorf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
}

// serviceNamed is a service that the caller may see.
func (c private) serviceNamed(name string) (*topology.EndpointService, error) {
	for i := range c.Plan.Services {
		if s := &c.Plan.Services[i]; s.ServiceName == name && !s.Absent && s.Sees(c.Account.Name) {
			return s, nil
		}
	}
	return nil, wire.Errorf("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", name)
}

// place adds a subnet to those of an endpoint; has are the zones that it is in already.
func (c private) place(places map[string]value, service *topology.EndpointService, vpc *topology.VPC, has []string,
	in subnetConfiguration) error {
	of, s, err := c.subnet(in.SubnetId)
	if err != nil {
		return err
	}
	if of.Name != vpc.Name {
		return wire.Errorf("InvalidParameter", "The subnet ID '%s' is not in the VPC '%s'", in.SubnetId, vpc.ID)
	}
	if !slices.ContainsFunc(service.Resources, func(r topology.Resource) bool { return r.Zone == s.Zone }) {
		return wire.Errorf("InvalidParameter",
			"The VPC endpoint service %s does not support the availability zone of the subnet: %s.",
			service.ServiceName, s.ID)
	}
	for name := range places {
		other, err := vpc.Subnet(name)
		if err == nil && other.Zone == s.Zone && other.Name != s.Name {
			has = append(has, s.Zone)
		}
	}
	if slices.Contains(has, s.Zone) {
		return wire.Errorf("DuplicateSubnetsInSameZone",
			"Found another VPC endpoint subnet in the availability zone of %s."+
				" VPC endpoint subnets should be in different availability zones supported by the VPC endpoint service.",
			s.ID)
	}
	place := value{}
	if in.Ipv4 != "" {
		place["ip"] = in.Ipv4
	}
	if in.Ipv6 != "" {
		place["ipv6"] = in.Ipv6
	}
	if places[s.Name] == nil || len(place) > 0 {
		places[s.Name] = place
	}
	return nil
}

// checkPrivateDNS says why an endpoint cannot have the private name of its service, in
// the order and the words of EC2. waits: the owner has not accepted it.
func (c private) checkPrivateDNS(vpc *topology.VPC, service *topology.EndpointService, waits bool,
	except string) error {
	name := service.ServiceName
	switch {
	case service.PrivateName == nil:
		return wire.Errorf("InvalidParameter",
			"Private DNS can't be enabled because the service %s does not provide a private DNS name.", name)
	case !vpc.PrivateDNS():
		return wire.Errorf("InvalidParameter",
			"Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s",
			vpc.ID)
	case service.PrivateName.State != topology.Verified:
		return wire.Errorf("InvalidParameter",
			"Private DNS can't be enabled because the service %s has not verified the private DNS name.", name)
	case waits:
		return wire.Errorf("InvalidParameter",
			"Private DNS can only be enabled after the endpoint connection is accepted by the owner of %s.", name)
	}
	for _, e := range c.Plan.Endpoints {
		other, err := c.Plan.Service(e.Service)
		if err == nil && e.VPC == vpc.Name && e.PrivateDNS && e.ID != except && !e.Absent && other.PrivateName != nil &&
			other.PrivateName.Name == service.PrivateName.Name {
			return wire.Errorf("InvalidParameter",
				"private-dns-enabled cannot be set because there is already a conflicting"+
					" DNS domain for %s in the VPC %s", service.PrivateName.Name, vpc.ID)
		}
	}
	return nil
}

func checkAddressType(addresses string, dns dnsOptions, policy string) error {
	if addresses == "ipv6" {
		return wire.Errorf("UnsupportedOperation", "An endpoint of a lab has IPv4 addresses: ipv4 or dualstack")
	}
	want := addresses
	if want == "" {
		want = "ipv4"
	}
	if t := dns.DnsRecordIpType; t != "" && t != want {
		return wire.Errorf("UnsupportedOperation",
			"The names of an endpoint have records for all of its addresses: %s", want)
	}
	if policy != "" && !isFullAccess(policy) {
		return wire.Errorf("UnsupportedOperation",
			"plinksim does not evaluate policies: an endpoint has that of full access")
	}
	return nil
}

func isFullAccess(policy string) bool {
	var p struct {
		Statement []struct {
			Effect                      string
			Principal, Action, Resource any
			Condition                   any
		}
	}
	if json.Unmarshal([]byte(policy), &p) != nil || len(p.Statement) != 1 {
		return false
	}
	s := p.Statement[0]
	return s.Effect == "Allow" && s.Principal == "*" && s.Action == "*" && s.Resource == "*" && s.Condition == nil
}

// endpoint is one of the caller's.
func (c private) endpoint(id string) (*topology.Endpoint, error) {
	for i := range c.Plan.Endpoints {
		if e := &c.Plan.Endpoints[i]; e.ID == id && e.Account == c.Account.Name && !e.Absent {
			return e, nil
		}
	}
	return nil, wire.Errorf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
}

func modifyVpcEndpoint(c private, in struct {
	VpcEndpointId                               string
	AddSubnetIds, RemoveSubnetIds               []string
	AddSecurityGroupIds, RemoveSecurityGroupIds []string
	PrivateDnsEnabled                           *bool
	IpAddressType, PolicyDocument               string
	DnsOptions                                  dnsOptions
}) (wire.M, error) {
	defer c.Locks.Hold("endpoint " + in.VpcEndpointId)()
	state := c.snapshot()
	e, err := c.endpoint(in.VpcEndpointId)
	if err != nil {
		return nil, err
	}
	vpc := c.Plan.MustVPC(e.VPC)
	service, err := c.Plan.Service(e.Service)
	if err != nil {
		return nil, err
	}
	if err := checkAddressType(in.IpAddressType, in.DnsOptions, in.PolicyDocument); err != nil {
		return nil, err
	}
	var edits []topology.Edit
	if in.IpAddressType != "" {
		edits = append(edits, topology.Edit{Path: topology.JoinPath("endpoints", e.Name, "ip_address_type"),
			Value: text(in.IpAddressType)})
	}
	places, err := c.movedSubnets(e, vpc, service, in.AddSubnetIds, in.RemoveSubnetIds)
	if err != nil {
		return nil, err
	}
	edits = append(edits, places...)
	groups, err := c.movedGroups(e, vpc, in.AddSecurityGroupIds, in.RemoveSecurityGroupIds)
	if err != nil {
		return nil, err
	}
	var operations []topology.Operation
	operations = append(operations, groups...)
	if p := in.PrivateDnsEnabled; p != nil && *p != e.PrivateDNS {
		connection, _ := state.Connection(e.Service, e.Name)
		if *p {
			if err := c.checkPrivateDNS(vpc, service, !connection.State.Open(), e.ID); err != nil {
				return nil, err
			}
		}
		operations = append(operations, topology.Operation{Verb: topology.VerbEndpointSet, Endpoint: e.Name,
			PrivateDNS: p})
	}
	if c.Dry && len(edits)+len(operations) == 0 {
		return nil, errDryRun
	}
	if err := c.Edit(edits...); err != nil {
		return nil, err
	}
	for _, o := range operations {
		if err := c.Operate(o); err != nil {
			return nil, err
		}
	}
	return wire.M{"Return": true}, nil
}

// movedSubnets are the edits that add and remove subnets of an endpoint. A file has
// these as a list, or by name with addresses.
func (c private) movedSubnets(e *topology.Endpoint, vpc *topology.VPC, service *topology.EndpointService, add,
	remove []string) (edits []topology.Edit, _ error) {
	var zones []string
	gone := map[string]bool{}
	for _, id := range remove {
		_, s, err := c.subnet(id)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(e.Zones, func(z topology.EndpointZone) bool { return z.Subnet == s.Name }) {
			return nil, wire.Errorf("InvalidParameter", "The subnet %s is not one of the endpoint %s", id, e.ID)
		}
		gone[s.Name] = true
		edits = append(edits, topology.Edit{Path: topology.JoinPath("endpoints", e.Name, "subnets", s.Name)})
	}
	places := map[string]value{}
	for _, z := range e.Zones {
		if !gone[z.Subnet] {
			zones = append(zones, z.Zone)
		}
	}
	for _, id := range add {
		_, s, err := c.subnet(id)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(e.Zones, func(z topology.EndpointZone) bool {
			return z.Subnet == s.Name &&
				!gone[s.Name]
		}) {
			continue
		}
		if err := c.place(places, service, vpc, zones, subnetConfiguration{SubnetId: id}); err != nil {
			return nil, err
		}
		edits = append(edits, topology.Edit{Path: topology.JoinPath("endpoints", e.Name, "subnets", s.Name),
			Value: "{}"})
	}
	return c.AsListed(edits), nil
}

func (c private) movedGroups(e *topology.Endpoint, vpc *topology.VPC, add, remove []string) (out []topology.Operation,
	_ error) {
	for _, one := range []struct {
		ids  []string
		verb topology.Verb
		has  bool
	}{{add, topology.VerbGroupAdd, true}, {remove, topology.VerbGroupRemove, false}} {
		names, err := c.groupNames(vpc, one.ids)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if slices.Contains(e.SecurityGroups, name) != one.has {
				out = append(out, topology.Operation{Verb: one.verb, Endpoint: e.Name, SecurityGroup: name})
			}
		}
	}
	return out, nil
}

func deleteVpcEndpoints(c private, in struct{ VpcEndpointIds []string }) (wire.M, error) {
	return c.deleteEach(in.VpcEndpointIds, func(id string) error {
		e, err := c.endpoint(id)
		if err != nil {
			// hashicorp/terraform-provider-aws, internal/service/ec2/errors.go
			return wire.Errorf("InvalidVpcEndpoint.NotFound", "The VpcEndpoint Id '%s' does not exist", id)
		}
		return c.Operate(topology.Operation{Verb: topology.VerbEndpointDelete, Endpoint: e.Name})
	})
}

// deleteEach deletes objects one after the other. The answer has those that were
// not deleted, and why; a dry run ends at the first that would be.
func (c private) deleteEach(ids []string, remove func(id string) error) (wire.M, error) {
	failed := []wire.M{}
	for _, id := range ids {
		switch err := remove(id); err {
		case nil:
			c.Forget(id)
		case errDryRun:
			return nil, err
		default:
			failed = append(failed, c.unsuccessful(id, err))
		}
	}
	return wire.M{"Unsuccessful": failed}, nil
}

// unsuccessful is a part of a call that was refused.
func (c private) unsuccessful(id string, err error) wire.M {
	e := c.errorOf(err)
	return wire.M{"ResourceId": id, "Error": wire.M{"Code": e.Code, "Message": e.Message}}
}
