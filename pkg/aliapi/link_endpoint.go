package aliapi

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

const oneRegion = "endpoints of a lab lead to services of its region"

func endpointRows(a *adder) {
	op(a, "CreateVpcEndpoint", createEndpoint, "CrossRegionBandwidth", oneRegion)
	op(a, "GetVpcEndpointAttribute", func(c link, in struct{ EndpointId string }) (wire.M, error) {
		state := c.snapshot()
		i, err := c.endpointAt(in.EndpointId)
		if err != nil {
			return nil, err
		}
		return c.answerEndpoint(state, i), nil
	})
	op(a, "UpdateVpcEndpointAttribute", updateEndpoint, "CrossRegionBandwidth", oneRegion,
		"ResetPolicy", "an endpoint of a lab always has the policy of full access")
	op(a, "DeleteVpcEndpoint", func(c link, in struct{ EndpointId string }) (wire.M, error) {
		e, err := c.endpoint(in.EndpointId)
		if err != nil {
			return nil, err
		}
		if err := c.Operate(topology.Operation{Verb: topology.VerbEndpointDelete, Endpoint: e.Name}); err != nil {
			return nil, err
		}
		c.Forget(e.ID)
		return nil, nil
	})
	op(a, "AddZoneToVpcEndpoint", addZone)
	op(a, "RemoveZoneFromVpcEndpoint", removeZone)
	op(a, "AttachSecurityGroupToVpcEndpoint", func(c link, in struct{ EndpointId, SecurityGroupId string }) (wire.M,
		error) {
		return nil, c.moveGroup(topology.VerbGroupAdd, in.EndpointId, in.SecurityGroupId)
	})
	op(a, "DetachSecurityGroupFromVpcEndpoint", func(c link, in struct{ EndpointId, SecurityGroupId string }) (wire.M,
		error) {
		return nil, c.moveGroup(topology.VerbGroupRemove, in.EndpointId, in.SecurityGroupId)
	})
	endpointLists(a)
}

func endpointLists(a *adder) {
	list(a, listing{name: "ListVpcEndpoints", answer: "Endpoints", usual: usualPage, most: longestPage,
		filters: map[string]filter{
			"EndpointId": is("EndpointId"), "EndpointName": is("EndpointName"), "EndpointStatus": is("EndpointStatus"),
			"EndpointType": is("EndpointType"), "ConnectionStatus": is("ConnectionStatus"),
			"ServiceName": is("ServiceName"), "ServiceRegionId": is("ServiceRegionId"), "VpcId": is("VpcId"),
			"AddressIpVersion": is("AddressIpVersion"), "ResourceGroupId": is("ResourceGroupId"),
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			state := c.snapshot()
			for i := range state.Plan.Endpoints {
				if e := &state.Plan.Endpoints[i]; e.Account == c.Account.Name && !e.Absent {
					out = append(out, c.viewEndpoint(state, i))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "ListVpcEndpointZones", answer: "Zones", usual: usualPage, most: longestPage,
		also: []string{"EndpointId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			state := c.snapshot()
			e, err := c.endpoint(c.text("EndpointId"))
			if err != nil {
				return nil, err
			}
			connection, _ := state.Connection(e.Service, e.Name)
			for _, z := range connection.Zones {
				m, ok := c.viewZone(e, z)
				if !ok {
					continue
				}
				// A zone of an endpoint does not say what is behind it.
				delete(m, "ResourceId")
				delete(m, "ReplacedResourceId")
				m["RegionId"] = c.Plan.Region
				out = append(out, m)
			}
			return out, nil
		}})
	list(a, listing{name: "ListVpcEndpointSecurityGroups", answer: "SecurityGroups", usual: usualPage, most: longestPage,
		also: []string{"EndpointId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			e, err := c.endpoint(c.text("EndpointId"))
			if err != nil {
				return nil, err
			}
			vpc, err := c.Plan.VPC(e.VPC)
			if err != nil {
				return nil, err
			}
			for _, id := range groupIDs(vpc, e.SecurityGroups) {
				out = append(out, wire.M{"SecurityGroupId": id, "SecurityGroupStatus": "Attached"})
			}
			return out, nil
		}})
}

// endpointAt is the place of one of the caller's endpoints in the plan.
func (c link) endpointAt(id string) (int, error) {
	for i := range c.Plan.Endpoints {
		if e := &c.Plan.Endpoints[i]; e.ID == id && e.Account == c.Account.Name && !e.Absent {
			return i, nil
		}
	}
	return 0, notFound("EndpointNotFound", "The specified endpoint %q does not exist.", id)
}

func (c link) endpoint(id string) (*topology.Endpoint, error) {
	i, err := c.endpointAt(id)
	if err != nil {
		return nil, err
	}
	return &c.Plan.Endpoints[i], nil
}

func (c link) viewEndpoint(state control.Snapshot, i int) wire.M {
	e := &state.Plan.Endpoints[i]
	connection, _ := state.Connection(e.Service, e.Name)
	m := wire.M{
		"EndpointId": e.ID, "EndpointName": c.name(e.ID, e.Name), "EndpointDescription": e.Description,
		"EndpointDomain": e.Domain, "EndpointType": typeOfService(e.Reverse),
		"EndpointStatus": state.Endpoints[i].Status, "EndpointBusinessStatus": "Normal",
		"ConnectionStatus": connection.Status, "Bandwidth": c.shownBandwidth(connection), "RegionId": c.Plan.Region,
		"ServiceRegionId": c.Plan.Region, "ZoneAffinityEnabled": e.ZoneAffinity, "CreateTime": c.CreatedAt(e.ID),
		"ResourceGroupId": c.resourceGroup(e.ID), "AddressIpVersion": "IPv4", "Tags": c.tags(e.ID, "Key", "Value"),
		"ResourceOwner": false, "ServiceId": "", "ServiceName": "",
	}
	if e.DualStack {
		m["AddressIpVersion"] = "DualStack"
	}
	if vpc, err := c.Plan.VPC(e.VPC); err == nil {
		m["VpcId"] = vpc.ID
	}
	if s, err := c.Plan.Service(e.Service); err == nil {
		m["ServiceId"], m["ServiceName"], m["ResourceOwner"] = s.ID, s.ServiceName, s.Account == e.Account
	}
	return m
}

// shownBandwidth is that of a connection in Mbit/s. One that is not limited shows what is
// usual, which does not take effect (PrivateLink API 2020-04-15, EnableVpcEndpointConnection,
// TrafficControlMode).
func (c *call) shownBandwidth(connection control.Connection) int {
	return cmp.Or(connection.Bandwidth, c.Plan.Profile.Bandwidth)
}

// fullAccess is the policy of an endpoint that nobody has given another one.
const fullAccess = `{"Version":"1","Statement":[{"Effect":"Allow","Action":["*"],"Principal":["*"],"Resource":["*"]}]}`

// answerEndpoint is an endpoint as CreateVpcEndpoint and GetVpcEndpointAttribute answer it.
func (c link) answerEndpoint(state control.Snapshot, i int) wire.M {
	m := c.viewEndpoint(state, i)
	m["ZonePrivateIpAddressCount"], m["PolicyDocument"], m["Payer"] = 1, fullAccess, "Endpoint"
	if s, err := c.Plan.Service(state.Plan.Endpoints[i].Service); err == nil {
		m["Payer"] = payer(s)
	}
	return c.only(m)
}

// viewZone is a zone of an endpoint, false where the endpoint has it no more.
func (c link) viewZone(e *topology.Endpoint, z control.Zone) (wire.M, bool) {
	at, err := e.Zone(z.Zone)
	if err != nil {
		return nil, false
	}
	m := wire.M{"ZoneId": z.Zone, "ZoneStatus": z.Status, "ZoneDomain": at.Domain, "EniId": at.ENI.ID,
		"EniIp": at.ENI.IP, "ReplacedResourceId": "", "ResourceId": ""}
	if at.ENI.IPv6.IsValid() {
		m["ZoneIpv6Address"] = at.ENI.IPv6
	}
	if vpc, err := c.Plan.VPC(e.VPC); err == nil {
		if s, err := vpc.Subnet(at.Subnet); err == nil {
			m["VSwitchId"] = s.ID
		}
	}
	if l, err := c.Plan.LoadBalancer(z.LoadBalancer); err == nil {
		m["ResourceId"] = l.ID
	}
	if l, err := c.Plan.LoadBalancer(z.Replaced); err == nil {
		m["ReplacedResourceId"] = l.ID
	}
	return m, true
}

type createEndpointIn struct {
	VpcId, ServiceId, ServiceName, EndpointType string
	EndpointName, EndpointDescription           string
	Zone                                        []zoneIn
	SecurityGroupId                             []string
	ZoneAffinityEnabled, ProtectedEnabled       *bool
	ZonePrivateIpAddressCount                   *int
	PolicyDocument                              string
	AddressIpVersion, ServiceRegionId           string
	ResourceGroupId                             string
	Tag                                         []tag
}

type zoneIn struct{ ZoneId, VSwitchId, Ip, Ipv6Address string }

// nameForm is that of an endpoint's name (PrivateLink API 2020-04-15, CreateVpcEndpoint,
// EndpointName).
var nameForm = regexp.MustCompile(`^[\p{Han}A-Za-z][\p{Han}A-Za-z0-9_-]{1,127}$`)

func createEndpoint(c link, in createEndpointIn) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	if in.ServiceId == "" && in.ServiceName == "" {
		return nil, wire.Errorf("MissingServiceId", "One of ServiceId and ServiceName is mandatory for this action.")
	}
	s, err := c.seen(in.ServiceId, in.ServiceName)
	if err != nil {
		return nil, err
	}
	if err := in.check(s, c.Plan.Region); err != nil {
		return nil, err
	}
	groups, err := c.groupNames(vpc, in.SecurityGroupId)
	if err != nil {
		return nil, err
	}
	if most := c.Plan.Quotas.GroupsPerEndpoint; most > 0 && len(groups) > most {
		return nil, wire.Errorf("InvalidParameter", "An endpoint has at most %d security groups.", most)
	}
	places := map[string]value{}
	for _, z := range in.Zone {
		name, place, err := c.place(vpc, z)
		if err != nil {
			return nil, err
		}
		places[name] = place
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	v := value{"service": s.Name, "vpc": vpc.Name}
	if len(groups) > 0 {
		v["security_groups"] = groups
	}
	if in.EndpointDescription != "" {
		v["description"] = in.EndpointDescription
	}
	if in.ZoneAffinityEnabled != nil {
		v["zone_affinity"] = *in.ZoneAffinityEnabled
	}
	if in.AddressIpVersion == "DualStack" {
		v["ip_address_type"] = "dualstack"
	}
	id := c.NewID("ep")
	if err := c.MakeEndpoint(id, v, places); err != nil {
		return nil, err
	}
	c.Created(id, tags, map[string]string{"name": in.EndpointName, "resource group": in.ResourceGroupId})
	state := c.snapshot()
	i, err := c.endpointAt(id)
	if err != nil {
		return nil, err
	}
	return c.answerEndpoint(state, i), nil
}

// check says what cannot be of an endpoint, whatever there is in the lab.
func (in createEndpointIn) check(s *topology.EndpointService, region string) error {
	wrong := func(parameter, why string) error {
		return wire.Errorf("InvalidParameter", "Specified parameter %s is not valid: %s", parameter, why)
	}
	want := typeOfService(s.Reverse)
	switch kind := cmp.Or(in.EndpointType, "Interface"); {
	case kind != want:
		return wrong("EndpointType", "the service "+s.ID+" is for endpoints of type "+want+", not "+kind)
	case in.EndpointName != "" && !nameForm.MatchString(in.EndpointName):
		return wrong("EndpointName", "it has 2 to 128 letters, digits, - and _, and begins with a letter")
	case in.ZonePrivateIpAddressCount != nil && *in.ZonePrivateIpAddressCount != 1:
		return wrong("ZonePrivateIpAddressCount", "it is 1")
	case in.ServiceRegionId != "" && in.ServiceRegionId != region:
		return wrong("ServiceRegionId", oneRegion)
	case in.ProtectedEnabled != nil && *in.ProtectedEnabled:
		return wire.Errorf("UnsupportedOperation", "Every key of an account may manage the endpoints of a lab:"+
			" ProtectedEnabled cannot be true")
	}
	if err := checkAddresses(in.AddressIpVersion); err != nil {
		return err
	}
	if err := checkPolicy(in.PolicyDocument); err != nil {
		return err
	}
	return checkDescription("EndpointDescription", in.EndpointDescription)
}

func checkAddresses(version string) error {
	if version != "" && version != "IPv4" && version != "DualStack" {
		return wire.Errorf("InvalidParameter", "Specified parameter AddressIpVersion is not valid: it is IPv4 or DualStack")
	}
	return nil
}

// checkPolicy takes the policy of full access alone.
func checkPolicy(document string) error {
	if document == "" {
		return nil
	}
	var p struct {
		Statement []struct {
			Effect                      string
			Principal, Action, Resource any
			Condition                   any
		}
	}
	all := func(v any) bool {
		if list, ok := v.([]any); ok && len(list) == 1 {
			v = list[0]
		}
		return v == "*"
	}
	if json.Unmarshal([]byte(document), &p) == nil && len(p.Statement) == 1 {
		s := p.Statement[0]
		if s.Effect == "Allow" && all(s.Principal) && all(s.Action) && all(s.Resource) && s.Condition == nil {
			return nil
		}
	}
	return wire.Errorf("UnsupportedOperation", "plinksim does not evaluate policies: an endpoint has that of full access")
}

// place is where an endpoint comes with a zone: the name of the vSwitch, and addresses.
func (c link) place(vpc *topology.VPC, z zoneIn) (string, value, error) {
	of, s, err := c.vSwitch(z.VSwitchId)
	if err != nil {
		return "", nil, err
	}
	if of.Name != vpc.Name {
		return "", nil, wire.Errorf("InvalidVSwitchId.VpcMismatch", "The vSwitch %q is not in the VPC %q.", z.VSwitchId,
			vpc.ID)
	}
	if z.ZoneId != "" && s.Zone != z.ZoneId {
		return "", nil, wire.Errorf("InvalidVSwitchId.ZoneMismatch", "The vSwitch %q is in zone %q and not in %q.",
			z.VSwitchId, s.Zone, z.ZoneId)
	}
	place := value{}
	if z.Ip != "" {
		place["ip"] = z.Ip
	}
	if z.Ipv6Address != "" {
		place["ipv6"] = z.Ipv6Address
	}
	return s.Name, place, nil
}

func updateEndpoint(c link, in struct {
	EndpointId          string
	EndpointName        string
	EndpointDescription *string
	PolicyDocument      string
	ZoneAffinityEnabled *bool
	AddressIpVersion    string
}) (wire.M, error) {
	e, err := c.endpoint(in.EndpointId)
	if err == nil && in.EndpointName != "" && !nameForm.MatchString(in.EndpointName) {
		err = wire.Errorf("InvalidParameter", "Specified parameter EndpointName is not valid: it has 2 to 128 letters,"+
			" digits, - and _, and begins with a letter")
	}
	if err == nil {
		err = checkAddresses(in.AddressIpVersion)
	}
	if err == nil {
		err = checkPolicy(in.PolicyDocument)
	}
	if err == nil && in.EndpointDescription != nil {
		err = checkDescription("EndpointDescription", *in.EndpointDescription)
	}
	if err != nil {
		return nil, err
	}
	if v := in.AddressIpVersion; v != "" && (v == "DualStack") != e.DualStack {
		words := map[string]string{"IPv4": "ipv4", "DualStack": "dualstack"}
		err := c.Edit(topology.Edit{Path: path("endpoints", e.Name, "ip_address_type"), Value: text(words[v])})
		if err != nil {
			return nil, err
		}
	}
	if in.EndpointDescription != nil || in.ZoneAffinityEnabled != nil {
		o := topology.Operation{Verb: topology.VerbEndpointSet, Endpoint: e.Name, Description: in.EndpointDescription,
			ZoneAffinity: in.ZoneAffinityEnabled}
		if err := c.Operate(o); err != nil {
			return nil, err
		}
	}
	if in.EndpointName != "" && !c.Dry {
		c.Change(e.ID, func(t *cloudapi.Thing) { t.Notes["name"] = in.EndpointName })
	}
	return nil, nil
}

func addZone(c link, in struct{ EndpointId, ZoneId, VSwitchId, Ip, Ipv6Address string }) (wire.M, error) {
	defer c.Locks.Hold("endpoint " + in.EndpointId)()
	e, err := c.endpoint(in.EndpointId)
	if err != nil {
		return nil, err
	}
	vpc, err := c.Plan.VPC(e.VPC)
	if err != nil {
		return nil, err
	}
	if _, err := e.Zone(in.ZoneId); err == nil {
		return nil, wire.Errorf("EndpointOperationDenied", "The endpoint %q is in zone %q already.", e.ID, in.ZoneId)
	}
	name, place, err := c.place(vpc, zoneIn{in.ZoneId, in.VSwitchId, in.Ip, in.Ipv6Address})
	if err != nil {
		return nil, err
	}
	if s, err := c.Plan.Service(e.Service); err == nil && !s.Reverse && !slices.Contains(zonesOf(s), in.ZoneId) {
		return nil, wire.Errorf("EndpointOperationDenied", "The endpoint service %q offers nothing in zone %q, but in %q.",
			s.ID, in.ZoneId, zonesOf(s))
	}
	// What was taken out of the zone by an operation is still in the topology.
	planned, err := c.Lab.Plan().Endpoint(e.Name)
	if err != nil {
		return nil, err
	}
	var edits []topology.Edit
	if z, err := planned.Zone(in.ZoneId); err == nil && (z.Subnet != name || len(place) > 0) {
		edits = append(edits, topology.Edit{Path: path("endpoints", e.Name, "subnets", z.Subnet)})
	}
	if z, err := planned.Zone(in.ZoneId); err != nil || z.Subnet != name || len(place) > 0 {
		edits = append(edits, topology.Edit{Path: path("endpoints", e.Name, "subnets", name), Value: text(place)})
	}
	if err := c.Edit(c.AsListed(edits)...); err != nil {
		return nil, coded(err, topology.Invalid, "EndpointOperationDenied")
	}
	if e, err = c.endpoint(in.EndpointId); err != nil {
		return nil, err
	}
	if _, err := e.Zone(in.ZoneId); err != nil {
		return nil, c.Operate(topology.Operation{Verb: topology.VerbZoneAdd, Endpoint: e.Name, Zone: in.ZoneId})
	}
	return nil, nil
}

func removeZone(c link, in struct{ EndpointId, ZoneId string }) (wire.M, error) {
	defer c.Locks.Hold("endpoint " + in.EndpointId)()
	e, err := c.endpoint(in.EndpointId)
	if err != nil {
		return nil, err
	}
	z, err := e.Zone(in.ZoneId)
	if err != nil {
		return nil, notFound("EndpointZoneNotFound", "The endpoint %q is not in zone %q.", e.ID, in.ZoneId)
	}
	subnet := z.Subnet
	if err := c.Operate(topology.Operation{Verb: topology.VerbZoneRemove, Endpoint: e.Name, Zone: z.Zone}); err != nil {
		return nil, err
	}
	// With a transition clients see the zone being deleted, and the vSwitch is let go later.
	if c.Transition > 0 {
		return nil, nil
	}
	edits := c.AsListed([]topology.Edit{{Path: path("endpoints", e.Name, "subnets", subnet)}})
	if err := c.Edit(edits...); err != nil {
		c.Note("the vSwitch %s stays a place of the endpoint in the topology: %v", subnet, err)
	}
	return nil, nil
}

func (c link) moveGroup(verb topology.Verb, endpoint, group string) error {
	e, err := c.endpoint(endpoint)
	if err != nil {
		return err
	}
	vpc, err := c.Plan.VPC(e.VPC)
	if err != nil {
		return err
	}
	names, err := c.groupNames(vpc, []string{group})
	if err != nil {
		return err
	}
	return c.Operate(topology.Operation{Verb: verb, Endpoint: e.Name, SecurityGroup: names[0]})
}

// changeResourceGroup changes what clients read again: a lab has no groups of its own.
func changeResourceGroup(c link, in struct{ ResourceId, ResourceGroupId string }) (wire.M, error) {
	_, noService := c.ownService(in.ResourceId)
	_, noEndpoint := c.endpoint(in.ResourceId)
	if noService != nil && noEndpoint != nil {
		return nil, notFound("ResourceNotFound", "The specified resource %q does not exist.", in.ResourceId)
	}
	if !c.Dry {
		c.Change(in.ResourceId, func(t *cloudapi.Thing) { t.Notes["resource group"] = in.ResourceGroupId })
	}
	return nil, nil
}

// ends are a service of the caller and an endpoint that is connected to it, or waits.
func (c link) ends(service, endpoint string) (*topology.EndpointService, *topology.Endpoint, error) {
	s, err := c.ownService(service)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(c.Plan.Endpoints, func(e topology.Endpoint) bool {
		return e.ID == endpoint && e.Service == s.Name && !e.Absent
	})
	if i < 0 {
		return nil, nil, notFound("EndpointNotFound", "The specified endpoint %q does not exist.", endpoint)
	}
	return s, &c.Plan.Endpoints[i], nil
}
