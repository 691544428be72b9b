package aliapi

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func linkRows(a *adder) {
	serviceRows(a)
	endpointRows(a)
	connectionRows(a)
	regionRows(a, "privatelink", func(_ *call, zone string) wire.M { return wire.M{"ZoneId": zone, "LocalName": zone} },
		"ServiceResourceType", "services of every type can be in every zone of a lab")
	tagRows(a, "UntagResources", taggable{
		"vpcendpoint": func(c *call) (ids []string) {
			for _, e := range c.Plan.Endpoints {
				if e.Account == c.Account.Name {
					ids = append(ids, e.ID)
				}
			}
			return ids
		},
		"vpcendpointservice": func(c *call) (ids []string) {
			for _, s := range c.Plan.Services {
				if s.Account == c.Account.Name {
					ids = append(ids, s.ID)
				}
			}
			return ids
		},
	})
	op(a, "OpenPrivateLinkService", func(c link, _ struct{}) (wire.M, error) {
		return wire.M{"OrderId": ""}, nil
	}).anywhere = true
	op(a, "CheckProductOpen", func(c link, _ struct{}) (wire.M, error) {
		return wire.M{"Success": true}, nil
	}).anywhere = true
	op(a, "ChangeResourceGroup", changeResourceGroup, "ResourceType ResourceRegionId Service",
		"the identifier says what it is").anywhere = true
}

// PrivateLink API 2020-04-15, List operations, MaxResults.
const usualPage, longestPage, mostUsers = 50, 1000, 50

func serviceRows(a *adder) {
	op(a, "CreateVpcEndpointService", createService)
	op(a, "GetVpcEndpointServiceAttribute", func(c link, in struct{ ServiceId string }) (wire.M, error) {
		state := c.snapshot()
		i, err := c.serviceAt(in.ServiceId)
		if err != nil {
			return nil, err
		}
		return c.only(c.viewService(state, i)), nil
	})
	op(a, "UpdateVpcEndpointServiceAttribute", updateService)
	op(a, "DeleteVpcEndpointService", func(c link, in struct{ ServiceId string }) (wire.M, error) {
		s, err := c.ownService(in.ServiceId)
		if err != nil {
			return nil, err
		}
		if err := c.Operate(topology.Operation{Verb: topology.VerbServiceDelete, Service: s.Name}); err != nil {
			return nil, err
		}
		c.Forget(s.ID)
		return nil, nil
	})
	op(a, "AttachResourceToVpcEndpointService", func(c link, in struct {
		ServiceId, ResourceId, ResourceType, ZoneId string
	}) (wire.M, error) {
		o, err := c.resourceOperation(topology.VerbAttach, in.ServiceId, offered{in.ResourceId, in.ResourceType, in.ZoneId})
		if err != nil {
			return nil, err
		}
		return nil, c.Operate(o)
	})
	op(a, "DetachResourceFromVpcEndpointService", func(c link, in struct {
		ServiceId, ResourceId, ResourceType, ZoneId string
	}) (wire.M, error) {
		o, err := c.resourceOperation(topology.VerbDetach, in.ServiceId, offered{in.ResourceId, in.ResourceType, in.ZoneId})
		if err != nil {
			return nil, err
		}
		return nil, c.Operate(o)
	})
	op(a, "UpdateVpcEndpointServiceResourceAttribute", updateResource)
	op(a, "AddUserToVpcEndpointService", func(c link, in user) (wire.M, error) {
		return nil, c.whitelist(topology.VerbWhitelistAdd, in)
	})
	op(a, "RemoveUserFromVpcEndpointService", func(c link, in user) (wire.M, error) {
		return nil, c.whitelist(topology.VerbWhitelistRemove, in)
	})
	serviceLists(a)
}

func serviceLists(a *adder) {
	list(a, listing{name: "ListVpcEndpointServices", answer: "Services", usual: usualPage, most: longestPage,
		filters: map[string]filter{
			"ServiceId": is("ServiceId"), "ServiceName": is("ServiceName"), "ServiceStatus": is("ServiceStatus"),
			"ServiceBusinessStatus": is("ServiceBusinessStatus"), "AutoAcceptEnabled": is("AutoAcceptEnabled"),
			"ZoneAffinityEnabled": is("ZoneAffinityEnabled"), "ServiceResourceType": is("ServiceResourceType"),
			"AddressIpVersion": is("AddressIpVersion"), "ResourceGroupId": is("ResourceGroupId"),
		},
		also: []string{"ResourceId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			state := c.snapshot()
			resource := c.text("ResourceId")
			for i := range state.Plan.Services {
				s := &state.Plan.Services[i]
				if s.Account == c.Account.Name && !s.Absent && (resource == "" || c.offers(s, resource)) {
					out = append(out, c.viewService(state, i))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "ListVpcEndpointServicesByEndUser", answer: "Services", usual: usualPage, most: longestPage,
		filters: map[string]filter{
			"ServiceId": is("ServiceId"), "ServiceName": is("ServiceName"), "ServiceType": is("ServiceType"),
			"ServiceRegionId": is("RegionId"), "ResourceGroupId": is("ResourceGroupId"),
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			state := c.snapshot()
			for i := range state.Plan.Services {
				s := &state.Plan.Services[i]
				if !s.Sees(c.Account.Name) || s.Absent {
					continue
				}
				m := c.viewService(state, i)
				m["VpcEndpointPolicySupported"] = false
				if s.Account != c.Account.Name {
					m["Tags"], m["ResourceGroupId"] = []wire.M{}, ""
				}
				for _, name := range []string{"ServiceStatus", "ConnectBandwidth", "AutoAcceptEnabled"} {
					delete(m, name)
				}
				out = append(out, m)
			}
			return out, nil
		}})
	list(a, listing{name: "ListVpcEndpointServiceResources", answer: "Resources", usual: usualPage, most: longestPage,
		filters: map[string]filter{"ZoneId": is("ZoneId")}, also: []string{"ServiceId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			state := c.snapshot()
			i, err := c.serviceAt(c.text("ServiceId"))
			if err != nil {
				return nil, err
			}
			for _, r := range state.Plan.Services[i].Resources {
				out = append(out, c.viewResource(state, &state.Plan.Services[i], r))
			}
			return out, nil
		}})
	list(a, listing{name: "ListVpcEndpointServiceUsers", answer: "Users", usual: usualPage, most: mostUsers,
		filters: map[string]filter{"UserId": is("UserId")}, also: []string{"ServiceId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			s, err := c.ownService(c.text("ServiceId"))
			if err != nil {
				return nil, err
			}
			for _, name := range s.Whitelist {
				if number, err := strconv.ParseInt(c.numberOf(name), 10, 64); err == nil {
					out = append(out, wire.M{"UserId": number})
				}
			}
			return out, nil
		},
		then: func(base *call, answer wire.M) {
			c := link{base}
			arns := []wire.M{}
			if s, err := c.ownService(c.text("ServiceId")); err == nil {
				for _, name := range s.Whitelist {
					arns = append(arns, wire.M{"UserARN": c.arnOf(name)})
				}
			}
			answer["UserARNs"] = arns
		}})
}

// serviceAt is the place of one of the caller's services in the plan.
func (c link) serviceAt(id string) (int, error) {
	for i := range c.Plan.Services {
		if s := &c.Plan.Services[i]; s.ID == id && s.Account == c.Account.Name && !s.Absent {
			return i, nil
		}
	}
	return 0, notFound("EndpointServiceNotFound", "The specified endpoint service %q does not exist.", id)
}

func (c link) ownService(id string) (*topology.EndpointService, error) {
	i, err := c.serviceAt(id)
	if err != nil {
		return nil, err
	}
	return &c.Plan.Services[i], nil
}

// seen is a service that the caller may see, by its identifier or its name.
func (c link) seen(id, name string) (*topology.EndpointService, error) {
	for i := range c.Plan.Services {
		s := &c.Plan.Services[i]
		if (s.ID == id || id == "" && s.ServiceName == name) && !s.Absent && s.Sees(c.Account.Name) {
			return s, nil
		}
	}
	return nil, notFound("EndpointServiceNotFound", "The specified endpoint service %q does not exist.", cmp.Or(id, name))
}

// zonesOf are the zones in which a service offers something.
func zonesOf(s *topology.EndpointService) []string {
	out := []string{}
	for _, r := range s.Resources {
		if !slices.Contains(out, r.Zone) {
			out = append(out, r.Zone)
		}
	}
	slices.Sort(out)
	return out
}

// typeOfService is what endpoints of a service are: EndpointType.
func typeOfService(reverse bool) string {
	if reverse {
		return "Reverse"
	}
	return "Interface"
}

func payer(s *topology.EndpointService) string {
	if s.Payer == "provider" {
		return "EndpointService"
	}
	return "Endpoint"
}

func (c link) viewService(state control.Snapshot, i int) wire.M {
	s := &state.Plan.Services[i]
	kind := s.ResourceType()
	if kind == "" {
		kind = kindOf(cmp.Or(c.Record.Note(s.ID, "resource type"), "slb"))
	}
	least, most := bandwidths(topology.LoadBalancerType(kind))
	return wire.M{
		"ServiceId": s.ID, "ServiceName": s.ServiceName, "ServiceDomain": s.Domain, "RegionId": c.Plan.Region,
		"ServiceStatus": state.Services[i].Status, "ServiceBusinessStatus": "Normal",
		"ServiceType": typeOfService(s.Reverse), "ServiceResourceType": kindWord(kind),
		"AutoAcceptEnabled": s.AutoAccept, "ZoneAffinityEnabled": s.ZoneAffinity, "Zones": zonesOf(s),
		"ConnectBandwidth": cmp.Or(s.Bandwidth, c.Plan.Profile.Bandwidth), "MinBandwidth": least, "MaxBandwidth": most,
		"Payer": payer(s), "ServiceDescription": s.Description, "CreateTime": c.CreatedAt(s.ID),
		"ResourceGroupId": c.resourceGroup(s.ID), "AddressIpVersion": "IPv4", "ServiceSupportIPv6": false,
		"Tags": c.tags(s.ID, "Key", "Value"),
	}
}

// bandwidths are the least and the most of a connection in Mbit/s (PrivateLink API 2020-04-15,
// EnableVpcEndpointConnection, Bandwidth).
func bandwidths(kind topology.LoadBalancerType) (least, most int) {
	switch kind {
	case topology.NLB:
		return 100, 50000
	case topology.ALB:
		return 100, 25000
	}
	return 100, 10240
}

// offer is what a service offers with one of its resources.
type offer struct {
	id, vpc, vSwitch, ip string
	dual                 bool
}

func (c link) offerOf(r topology.Resource) (o offer) {
	vSwitch := ""
	if g, err := c.Plan.NATGateway(r.NATGateway); err == nil {
		o, vSwitch = offer{id: g.ID, vpc: g.VPC, ip: g.ENI.IP.String()}, g.Subnet
	}
	if l, err := c.Plan.LoadBalancer(r.LoadBalancer); err == nil {
		o = offer{id: l.ID, vpc: l.VPC, dual: l.DualStack}
		if n, err := l.Node(r.Zone); err == nil {
			o.ip, vSwitch = n.IP().String(), n.Subnet
		}
	}
	if vpc, err := c.Plan.VPC(o.vpc); err == nil {
		o.vpc = vpc.ID
		if s, err := vpc.Subnet(vSwitch); err == nil {
			o.vSwitch = s.ID
		}
	}
	return o
}

func (c link) viewResource(state control.Snapshot, s *topology.EndpointService, r topology.Resource) wire.M {
	o := c.offerOf(r)
	related, left := 0, 0
	for _, connection := range state.Connections {
		for _, z := range connection.Zones {
			if connection.Service != s.Name || z.Zone != r.Zone {
				continue
			}
			if z.LoadBalancer == r.LoadBalancer && z.LoadBalancer != "" || s.Reverse && connection.State.Open() {
				related++
			}
			if z.Replaced == r.LoadBalancer && z.Replaced != "" {
				left++
			}
		}
	}
	return wire.M{"ResourceId": o.id, "ResourceType": kindWord(s.ResourceType()), "ZoneId": r.Zone, "VpcId": o.vpc,
		"VSwitchId": o.vSwitch, "Ip": o.ip, "RegionId": c.Plan.Region, "AutoAllocatedEnabled": true,
		"RelatedEndpointCount": related, "RelatedDeprecatedEndpointCount": left, "ResourceSupportIPv6": o.dual}
}

// offers says whether a service has a resource with an identifier.
func (c link) offers(s *topology.EndpointService, id string) bool {
	return slices.ContainsFunc(s.Resources, func(r topology.Resource) bool { return c.offerOf(r).id == id })
}

// offered is a resource as a request names it.
type offered struct{ ResourceId, ResourceType, ZoneId string }

// resource is the name of what the caller can offer, and its type in a file.
func (c link) resource(in offered) (name, kind string, _ error) {
	for i := range c.Plan.LoadBalancers {
		l := &c.Plan.LoadBalancers[i]
		if vpc, err := c.Plan.VPC(l.VPC); l.ID == in.ResourceId && err == nil && vpc.Account == c.Account.Name {
			name, kind = l.Name, string(l.Type)
		}
	}
	for i := range c.Plan.NATGateways {
		if g := &c.Plan.NATGateways[i]; g.ID == in.ResourceId && g.Account == c.Account.Name {
			name, kind = g.Name, topology.GatewayResource
		}
	}
	switch {
	case name == "":
		return "", "", notFound("ResourceNotFound", "The specified resource %q does not exist.", in.ResourceId)
	case in.ResourceType != "" && kindOf(in.ResourceType) != kind:
		return "", "", wire.Errorf("InvalidParameter", "The resource %q is of type %s and not %s.", in.ResourceId,
			kindWord(kind), in.ResourceType)
	}
	return name, kind, nil
}

func (c link) resourceOperation(verb topology.Verb, service string, in offered) (o topology.Operation, _ error) {
	s, err := c.ownService(service)
	if err != nil {
		return o, err
	}
	name, _, err := c.resource(in)
	return topology.Operation{Verb: verb, Service: s.Name, Resource: name, Zone: in.ZoneId}, err
}

type createServiceIn struct {
	Resource                               []offered
	ServiceResourceType                    string
	AutoAcceptEnabled, ZoneAffinityEnabled *bool
	Payer, ServiceDescription              string
	AddressIpVersion                       string
	ServiceSupportIPv6                     *bool
	ResourceGroupId                        string
	Tag                                    []tag
}

// mostResources is how many a service can be created with (PrivateLink API 2020-04-15,
// CreateVpcEndpointService, Resource).
const mostResources = 10

func createService(c link, in createServiceIn) (wire.M, error) {
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	v, err := c.describedService(in)
	if err != nil {
		return nil, err
	}
	id := c.NewID("epsrv")
	// A service has whole load balancers in a file, and resources in zones by operation.
	if err := c.Edit(topology.Edit{Path: path("endpoint_services", id), Value: text(v), New: true}); err != nil {
		return nil, err
	}
	for _, r := range in.Resource {
		o, err := c.resourceOperation(topology.VerbAttach, id, r)
		if err == nil {
			err = c.Operate(o)
		}
		if err != nil {
			return nil, errors.Join(err, c.Edit(topology.Edit{Path: path("endpoint_services", id)}))
		}
	}
	c.Created(id, tags, map[string]string{"resource type": cmp.Or(in.ServiceResourceType, "slb"),
		"resource group": in.ResourceGroupId})
	state := c.snapshot()
	i, err := c.serviceAt(id)
	if err != nil {
		return nil, err
	}
	return c.only(c.viewService(state, i)), nil
}

// describedService is the service that a request is for, without its resources.
func (c link) describedService(in createServiceIn) (value, error) {
	kind := kindOf(cmp.Or(in.ServiceResourceType, "slb"))
	if kind == "" {
		return nil, wire.Errorf("InvalidParameter", "Specified parameter ServiceResourceType is not valid: a lab has slb,"+
			" nlb, alb and vpcNat, and not %s", in.ServiceResourceType)
	}
	if len(in.Resource) > mostResources {
		return nil, wire.Errorf("InvalidParameter", "A service is created with at most %d resources", mostResources)
	}
	for i, r := range in.Resource {
		if r.ResourceType == "" || r.ResourceId == "" || r.ZoneId == "" {
			return nil, wire.Errorf("MissingResource", "Resource.%d needs a ResourceId, a ResourceType and a ZoneId.", i+1)
		}
		_, of, err := c.resource(r)
		if err != nil {
			return nil, err
		}
		if in.ServiceResourceType == "" {
			kind = of
		}
		if of != kind {
			return nil, wire.Errorf("InvalidParameter", "The resource %q is of type %s, and the service is for %s.",
				r.ResourceId, kindWord(of), kindWord(kind))
		}
	}
	if err := checkDescription("ServiceDescription", in.ServiceDescription); err != nil {
		return nil, err
	}
	if in.ServiceSupportIPv6 != nil && *in.ServiceSupportIPv6 {
		in.AddressIpVersion = "DualStack"
	}
	if err := onlyIPv4(in.AddressIpVersion); err != nil {
		return nil, err
	}
	v := value{"account": c.Account.Name, "resource_type": kind}
	switch in.Payer {
	case "", "Endpoint":
	case "EndpointService":
		v["payer"] = "provider"
	default:
		return nil, wire.Errorf("InvalidParameter", "Specified parameter Payer is not valid: it is Endpoint or"+
			" EndpointService")
	}
	if on := in.AutoAcceptEnabled; on != nil {
		v["auto_accept"] = *on
	}
	if on := in.ZoneAffinityEnabled; on != nil {
		v["zone_affinity"] = *on
	}
	if in.ServiceDescription != "" {
		v["description"] = in.ServiceDescription
	}
	return v, nil
}

// onlyIPv4 refuses a service of both address versions: in a lab that follows from what it
// offers.
func onlyIPv4(version string) error {
	if version == "" || version == "IPv4" {
		return nil
	}
	return wire.Errorf("UnsupportedOperation", "An endpoint service that is made by the API has IPv4: write dualstack"+
		" load balancers and the service into the topology file")
}

var linkForm = regexp.MustCompile(`^https?://`)

// checkDescription holds a description to PrivateLink API 2020-04-15,
// CreateVpcEndpointService: 2 to 256 characters that do not begin as a link.
func checkDescription(parameter, text string) error {
	if n := utf8.RuneCountInString(text); text != "" && (n < 2 || n > 256 || linkForm.MatchString(text)) {
		return wire.Errorf("InvalidParameter", "Specified parameter %s is not valid: it has 2 to 256 characters and does"+
			" not begin with http:// or https://", parameter)
	}
	return nil
}

func updateService(c link, in struct {
	ServiceId                              string
	ServiceDescription                     *string
	AutoAcceptEnabled, ZoneAffinityEnabled *bool
	ConnectBandwidth                       *int
	AddressIpVersion                       string
	ServiceSupportIPv6                     *bool
}) (wire.M, error) {
	s, err := c.ownService(in.ServiceId)
	if err != nil {
		return nil, err
	}
	if in.ServiceSupportIPv6 != nil && *in.ServiceSupportIPv6 {
		in.AddressIpVersion = "DualStack"
	}
	if err := onlyIPv4(in.AddressIpVersion); err != nil {
		return nil, err
	}
	o := topology.Operation{Verb: topology.VerbServiceSet, Service: s.Name, AutoAccept: in.AutoAcceptEnabled,
		ZoneAffinity: in.ZoneAffinityEnabled, Description: in.ServiceDescription}
	if in.ServiceDescription != nil {
		if err := checkDescription("ServiceDescription", *in.ServiceDescription); err != nil {
			return nil, err
		}
	}
	if in.ConnectBandwidth != nil {
		if s.Type == topology.NLB {
			return nil, wire.Errorf("InvalidParameter", "ConnectBandwidth is not for services of Network Load Balancers.")
		}
		mbit := *in.ConnectBandwidth
		o.Bandwidth = &mbit
	}
	if o.AutoAccept == nil && o.ZoneAffinity == nil && o.Description == nil && o.Bandwidth == nil {
		return nil, nil
	}
	return nil, c.Operate(o)
}

func updateResource(c link, in struct {
	ServiceId, ResourceId, ResourceType, ZoneId string
	AutoAllocatedEnabled                        bool
}) (wire.M, error) {
	s, err := c.ownService(in.ServiceId)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(s.Resources, func(r topology.Resource) bool {
		return r.Zone == in.ZoneId && c.offerOf(r).id == in.ResourceId
	}) {
		return nil, notFound("ResourceNotFound", "The endpoint service %q has no resource %q in zone %q.", s.ID,
			in.ResourceId, in.ZoneId)
	}
	if _, _, err := c.resource(offered{in.ResourceId, in.ResourceType, in.ZoneId}); err != nil {
		return nil, err
	}
	if !in.AutoAllocatedEnabled {
		return nil, wire.Errorf("UnsupportedOperation", "A service of a lab allocates all of its resources: detach %q, or"+
			" allocate another one with UpdateVpcEndpointZoneConnectionResourceAttribute", in.ResourceId)
	}
	return nil, nil
}

// user is an account that comes on a whitelist or leaves it.
type user struct {
	ServiceId string
	UserId    *int
	UserARN   string
}

// arnForm is that of accounts, or of all (PrivateLink API 2020-04-15,
// AddUserToVpcEndpointService, UserARN).
var arnForm = regexp.MustCompile(`^acs:ram:\*:(\d*|\*):\*$`)

func (c link) arnOf(account string) string {
	if account == topology.Everybody {
		return "acs:ram:*::*"
	}
	return "acs:ram:*:" + c.numberOf(account) + ":*"
}

func (c link) whitelist(verb topology.Verb, in user) error {
	s, err := c.ownService(in.ServiceId)
	if err != nil {
		return err
	}
	number := ""
	switch {
	case in.UserId != nil && in.UserARN != "", in.UserId == nil && in.UserARN == "":
		return wire.Errorf("MissingUserId", "One of UserId and UserARN is mandatory for this action.")
	case in.UserId != nil:
		number = strconv.Itoa(*in.UserId)
	default:
		m := arnForm.FindStringSubmatch(in.UserARN)
		if m == nil {
			return wire.Errorf("InvalidParameter", "Specified parameter UserARN is not valid: it is acs:ram:*:ACCOUNT:*,"+
				" or acs:ram:*::* for all")
		}
		number = m[1]
	}
	name := topology.Everybody
	if number != "" && number != topology.Everybody {
		known := false
		if name, known = c.accountOf(number); !known {
			return wire.Errorf("InvalidParameter", "The lab has no account with the number %s: plinksim api keys shows them",
				number)
		}
	}
	return c.Operate(topology.Operation{Verb: verb, Service: s.Name, Account: name})
}
