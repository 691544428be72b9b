package awsapi

import (
	"regexp"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func serviceRows(a *adder) {
	op(a, "CreateVpcEndpointServiceConfiguration", createService)
	op(a, "ModifyVpcEndpointServiceConfiguration", modifyService)
	op(a, "DeleteVpcEndpointServiceConfigurations", deleteServices)
	op(a, "ModifyVpcEndpointServicePermissions", modifyPermissions)
	op(a, "StartVpcEndpointServicePrivateDnsVerification", verifyPrivateName)
	op(a, "ModifyVpcEndpointServicePayerResponsibility", func(c private, in struct {
		ServiceId,
		PayerResponsibility string
	}) (wire.M, error) {
		s, err := c.ownService(in.ServiceId)
		if err != nil {
			return nil, err
		}
		err = c.Edit(topology.Edit{Path: topology.JoinPath("endpoint_services", s.Name, "payer"),
			Value: text("provider")})
		return wire.M{"ReturnValue": true}, err
	})
	list(a, listing{name: "DescribeVpcEndpointServiceConfigurations", answer: "ServiceConfigurations",
		ids: "ServiceIds",
		id:  "ServiceId", missing: "InvalidVpcEndpointServiceId.NotFound",
		text: "The VpcEndpointService Id '%s' does not exist",
		filters: map[string]string{
			"service-id": "ServiceId", "service-name": "ServiceName", "service-state": "ServiceState",
			"supported-ip-address-types": "SupportedIpAddressTypes",
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := private{base}
			state := c.snapshot()
			for i := range state.Plan.Services {
				if s := &state.Plan.Services[i]; s.Account == c.Account.Name && !s.Absent {
					out = append(out, c.viewService(state, i))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeVpcEndpointServicePermissions", answer: "AllowedPrincipals",
		filters: map[string]string{"principal": "Principal", "principal-type": "PrincipalType"},
		also:    []string{"ServiceId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := private{base}
			id, _ := c.Values["ServiceId"].(string)
			s, err := c.ownService(id)
			if err != nil {
				return nil, err
			}
			for _, name := range s.Whitelist {
				if name != s.Account {
					out = append(out, c.viewPrincipal(s, name))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeVpcEndpointServices", answer: "ServiceDetails", ids: "ServiceNames",
		id:      "ServiceName",
		missing: "InvalidServiceName", text: "The Vpc Endpoint Service '%s' does not exist",
		filters: map[string]string{
			"owner": "Owner", "service-name": "ServiceName", "service-type": "ServiceType.ServiceType",
			"service-region": "ServiceRegion", "supported-ip-address-types": "SupportedIpAddressTypes",
		},
		also: []string{"ServiceRegions"},
		all: func(base *call) (out []wire.M, _ error) {
			c := private{base}
			if regions := stringsOf(c.Values["ServiceRegions"]); len(regions) > 0 && !slices.Contains(regions,
				c.Plan.Region) {
				return nil, nil
			}
			state := c.snapshot()
			for i := range state.Plan.Services {
				if s := &state.Plan.Services[i]; s.Sees(c.Account.Name) && !s.Absent {
					out = append(out, c.viewServiceDetail(s))
				}
			}
			return out, nil
		},
		then: func(answer wire.M) {
			names := []string{}
			for _, m := range answer["ServiceDetails"].([]wire.M) {
				names = append(names, m["ServiceName"].(string))
			}
			answer["ServiceNames"] = names
		}})
}

func (c private) viewPrincipal(s *topology.EndpointService, name string) wire.M {
	principal, kind := "*", "All"
	if name != topology.Everybody {
		principal, kind = c.principalOf(name), "Account"
	}
	id := c.Plan.NewID("vpce-svc-perm", s.ID+" "+name)
	return wire.M{"Principal": principal, "PrincipalType": kind, "ServiceId": s.ID, "ServicePermissionId": id,
		"Tags": c.tags(id)}
}

func (c private) principalOf(account string) string {
	if a, err := c.Plan.Account(account); err == nil {
		return "arn:aws:iam::" + a.ID + ":root"
	}
	return account
}

func (c private) ownService(id string) (*topology.EndpointService, error) {
	for i := range c.Plan.Services {
		if s := &c.Plan.Services[i]; s.ID == id && s.Account == c.Account.Name && !s.Absent {
			return s, nil
		}
	}
	return nil, wire.Errorf("InvalidVpcEndpointServiceId.NotFound", "The VpcEndpointService Id '%s' does not exist", id)
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

func (c private) zoneIDs(zones []string) []string {
	out := []string{}
	for _, z := range zones {
		out = append(out, topology.ZoneID(c.Plan.Region, z))
	}
	return out
}

// addressTypes are those that endpoints of a service can have.
func (c private) addressTypes(s *topology.EndpointService) []string {
	out := []string{"ipv4"}
	dual := len(s.Resources) > 0
	for _, r := range s.Resources {
		l, err := c.Plan.LoadBalancer(r.LoadBalancer)
		dual = dual && err == nil && l.DualStack
	}
	if dual {
		out = append(out, "ipv6")
	}
	return out
}

func (c private) viewService(state control.Snapshot, i int) wire.M {
	s := &state.Plan.Services[i]
	arns := []string{}
	for _, name := range balancersOf(s) {
		if l, err := c.Plan.LoadBalancer(name); err == nil {
			arns = append(arns, c.balancerARN(l))
		}
	}
	zones := zonesOf(s)
	m := wire.M{
		"ServiceType": []wire.M{{"ServiceType": "Interface"}}, "ServiceId": s.ID, "ServiceName": s.ServiceName,
		"ServiceState": state.Services[i].Status, "AvailabilityZones": zones, "AvailabilityZoneIds": c.zoneIDs(zones),
		"AcceptanceRequired": !s.AutoAccept, "ManagesVpcEndpoints": false, "NetworkLoadBalancerArns": arns,
		"SupportedIpAddressTypes": c.addressTypes(s), "BaseEndpointDnsNames": []string{s.Domain},
		"Tags":                tagsWith(s.Tags, s.ID, s.Name),
		"RemoteAccessEnabled": false,
	}
	if s.Payer == "provider" {
		m["PayerResponsibility"] = "ServiceOwner"
	}
	if p := s.PrivateName; p != nil {
		m["PrivateDnsName"] = p.Name
		m["PrivateDnsNameConfiguration"] = wire.M{"State": p.State, "Type": "TXT", "Value": p.TXTValue,
			"Name": strings.TrimSuffix(p.TXTName, "."+strings.TrimPrefix(p.Name, "*."))}
	}
	return m
}

// balancersOf are the load balancers of a service, each once.
func balancersOf(s *topology.EndpointService) (out []string) {
	for _, r := range s.Resources {
		if !slices.Contains(out, r.LoadBalancer) {
			out = append(out, r.LoadBalancer)
		}
	}
	return out
}

// offered are the names of load balancers that a service can offer.
func (c private) offered(arns []string) (names []string, _ error) {
	for _, arn := range arns {
		l, err := c.balancer(arn)
		if err != nil || l.Type != topology.NLB {
			return nil, wire.Errorf("InvalidParameter", "Network Load Balancer %s does not exist", arn)
		}
		if slices.Contains(names, l.Name) {
			return nil, wire.Errorf("InvalidParameter", "Network Load Balancer %s is there twice", arn)
		}
		names = append(names, l.Name)
	}
	return names, nil
}

func createService(c private, in struct {
	NetworkLoadBalancerArns []string
	AcceptanceRequired      *bool
	PrivateDnsName          string
	SupportedIpAddressTypes []string
	SupportedRegions        []string
	TagSpecifications       []tagSpecification
}) (wire.M, error) {
	if len(in.NetworkLoadBalancerArns) == 0 {
		return nil, wire.Errorf("InvalidParameter",
			"Either one or more network load balancer arns or gateway load balancer arns must be specified.")
	}
	names, err := c.offered(in.NetworkLoadBalancerArns)
	if err != nil {
		return nil, err
	}
	if err := c.checkSupported(names, in.SupportedIpAddressTypes, in.SupportedRegions); err != nil {
		return nil, err
	}
	tags, err := tagsFor(in.TagSpecifications, "vpc-endpoint-service")
	if err != nil {
		return nil, err
	}
	id := c.NewID("vpce-svc")
	v := withTags(value{"account": c.Account.Name, "resources": names}, tags)
	if in.AcceptanceRequired != nil && !*in.AcceptanceRequired {
		v["auto_accept"] = true
	}
	if in.PrivateDnsName != "" {
		v["private_dns_name"] = in.PrivateDnsName
	}
	err = c.Edit(topology.Edit{Path: topology.JoinPath("endpoint_services", id), Value: text(v), New: true})
	if err != nil {
		return nil, err
	}
	c.Created(id, nil, nil)
	return c.answerService(id)
}

func (c private) checkSupported(balancers, addresses, regions []string) error {
	for _, region := range regions {
		if region != c.Plan.Region {
			return wire.Errorf("UnsupportedOperation", "A lab is one region, %s, and not %s", c.Plan.Region, region)
		}
	}
	for _, kind := range addresses {
		if kind != "ipv4" && kind != "ipv6" {
			return wire.Errorf("InvalidParameterValue", "The address type '%s' must be ipv4 or ipv6", kind)
		}
	}
	for _, name := range balancers {
		l, err := c.Plan.LoadBalancer(name)
		if err == nil && slices.Contains(addresses, "ipv6") && !l.DualStack {
			return wire.Errorf("InvalidParameter",
				"Network Load Balancer %s does not support ipv6: its address type is ipv4",
				c.balancerARN(l))
		}
	}
	return nil
}

func (c private) answerService(id string) (wire.M, error) {
	state := c.snapshot()
	for i := range state.Plan.Services {
		if state.Plan.Services[i].ID == id {
			return wire.M{"ServiceConfiguration": c.viewService(state, i)}, nil
		}
	}
	return nil, wire.Errorf("InvalidVpcEndpointServiceId.NotFound", "The VpcEndpointService Id '%s' does not exist", id)
}

func modifyService(c private, in struct {
	ServiceId                                                 string
	AcceptanceRequired, RemovePrivateDnsName                  *bool
	PrivateDnsName                                            string
	AddNetworkLoadBalancerArns, RemoveNetworkLoadBalancerArns []string
	AddSupportedIpAddressTypes, RemoveSupportedIpAddressTypes []string
	AddSupportedRegions                                       []string
}) (wire.M, error) {
	s, err := c.ownService(in.ServiceId)
	if err != nil {
		return nil, err
	}
	if err := c.checkSupported(balancersOf(s), in.AddSupportedIpAddressTypes, in.AddSupportedRegions); err != nil {
		return nil, err
	}
	if err := c.checkSupported(nil, in.RemoveSupportedIpAddressTypes, nil); err != nil {
		return nil, err
	}
	for _, t := range in.RemoveSupportedIpAddressTypes {
		if slices.Contains(c.addressTypes(s), t) {
			return nil, wire.Errorf("UnsupportedOperation",
				"A service of a lab supports the addresses that its load balancers have: %s",
				strings.Join(c.addressTypes(s), ", "))
		}
	}
	var operations []topology.Operation
	for _, one := range []struct {
		arns []string
		verb topology.Verb
	}{{in.AddNetworkLoadBalancerArns, topology.VerbAttach}, {in.RemoveNetworkLoadBalancerArns, topology.VerbDetach}} {
		names, err := c.offered(one.arns)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			operations = append(operations, topology.Operation{Verb: one.verb, Service: s.Name, Resource: name})
		}
	}
	set := topology.Operation{Verb: topology.VerbServiceSet, Service: s.Name}
	if in.AcceptanceRequired != nil {
		accept := !*in.AcceptanceRequired
		set.AutoAccept = &accept
	}
	// Without anything else the call offers the zones that the load balancers have now.
	if set.AutoAccept != nil || len(operations) == 0 && in.PrivateDnsName == "" && in.RemovePrivateDnsName == nil {
		operations = append(operations, set)
	}
	path := topology.JoinPath("endpoint_services", s.Name, "private_dns_name")
	var edits []topology.Edit
	switch remove := in.RemovePrivateDnsName != nil && *in.RemovePrivateDnsName; {
	case remove && in.PrivateDnsName != "":
		return nil, wire.Errorf("InvalidParameterCombination",
			"PrivateDnsName and RemovePrivateDnsName exclude each other")
	case remove && s.PrivateName != nil:
		edits = append(edits, topology.Edit{Path: path})
	case in.PrivateDnsName != "":
		edits = append(edits, topology.Edit{Path: path, Value: text(in.PrivateDnsName)})
	}
	if err := c.Edit(edits...); err != nil {
		return nil, err
	}
	for _, o := range operations {
		err := c.Operate(o)
		if o.Verb == topology.VerbServiceSet && (cloudapi.IsRefused(err, topology.WrongState) ||
			o.AutoAccept == nil && cloudapi.IsRefused(err, topology.Invalid)) {
			continue // it is so already, or there is no new zone
		}
		// terraform-provider-aws adds the load balancers of a service right after it has
		// created it with them (v2.36, aws/resource_aws_vpc_endpoint_service.go).
		if o.Verb == topology.VerbAttach && cloudapi.IsRefused(err, topology.WrongState) &&
			slices.Contains(balancersOf(s), o.Resource) {
			continue
		}
		if err != nil {
			return nil, conflictOf(err, inUseIs("ExistingVpcEndpointConnections"), "The service %s has connections",
				s.ID)
		}
	}
	return wire.M{"Return": true}, nil
}

func deleteServices(c private, in struct{ ServiceIds []string }) (wire.M, error) {
	return c.deleteEach(in.ServiceIds, func(id string) error {
		s, err := c.ownService(id)
		if err != nil {
			return wire.Errorf("InvalidVpcEndpointService.NotFound", "The VpcEndpointService Id '%s' does not exist", id)
		}
		return c.Operate(topology.Operation{Verb: topology.VerbServiceDelete, Service: s.Name})
	})
}

var principalForm = regexp.MustCompile(`^arn:aws:iam::(\d{12}):(root|user/.+|role/.+)$`)

// principalAccount is the account of a principal. A user or a role is not told apart from
// its account, so it is refused.
func (c private) principalAccount(principal string) (string, error) {
	if principal == "*" {
		return topology.Everybody, nil
	}
	m := principalForm.FindStringSubmatch(principal)
	if m == nil {
		return "", wire.Errorf("InvalidPrincipal", "Invalid principal: %s", principal)
	}
	if m[2] != "root" {
		return "", wire.Errorf("UnsupportedOperation",
			"plinksim's services are for accounts, not for users and roles: write arn:aws:iam::%s:root", m[1])
	}
	for _, a := range c.Plan.Accounts {
		if a.ID == m[1] {
			return a.Name, nil
		}
	}
	return "", wire.Errorf("InvalidPrincipal", "Invalid principal: the lab has no account %s", m[1])
}

func modifyPermissions(c private, in struct {
	ServiceId                                     string
	AddAllowedPrincipals, RemoveAllowedPrincipals []string
}) (wire.M, error) {
	s, err := c.ownService(in.ServiceId)
	if err != nil {
		return nil, err
	}
	var operations []topology.Operation
	added := []wire.M{}
	for _, one := range []struct {
		principals []string
		verb       topology.Verb
		add        bool
	}{
		{in.AddAllowedPrincipals, topology.VerbWhitelistAdd, true},
		{in.RemoveAllowedPrincipals, topology.VerbWhitelistRemove, false},
	} {
		for _, principal := range one.principals {
			name, err := c.principalAccount(principal)
			if err != nil {
				return nil, err
			}
			if slices.Contains(s.Whitelist, name) == one.add {
				continue
			}
			operations = append(operations, topology.Operation{Verb: one.verb, Service: s.Name, Account: name})
			if one.add {
				view := c.viewPrincipal(s, name)
				delete(view, "Tags")
				added = append(added, view)
			}
		}
	}
	if c.Dry {
		return nil, errDryRun
	}
	for _, o := range operations {
		if err := c.Operate(o); err != nil {
			return nil, err
		}
	}
	return wire.M{"AddedPrincipals": added, "ReturnValue": true}, nil
}

// verifyPrivateName looks at the names of the lab: the state of a private name follows
// the TXT record by itself.
func verifyPrivateName(c private, in struct{ ServiceId string }) (wire.M, error) {
	s, err := c.ownService(in.ServiceId)
	if err != nil {
		return nil, err
	}
	if s.PrivateName == nil {
		return nil, wire.Errorf("InvalidParameter", "The service %s has no private DNS name", s.ID)
	}
	if c.Dry {
		return nil, errDryRun
	}
	return wire.M{"ReturnValue": true}, nil
}

func (c private) viewServiceDetail(s *topology.EndpointService) wire.M {
	zones := zonesOf(s)
	owner, err := c.Plan.Account(s.Account)
	if err != nil {
		return nil
	}
	m := wire.M{
		"ServiceName": s.ServiceName, "ServiceId": s.ID, "ServiceType": []wire.M{{"ServiceType": "Interface"}},
		"ServiceRegion": c.Plan.Region, "AvailabilityZones": zones, "AvailabilityZoneIds": c.zoneIDs(zones),
		"Owner": owner.ID, "BaseEndpointDnsNames": []string{s.Domain}, "VpcEndpointPolicySupported": false,
		"AcceptanceRequired": !s.AutoAccept, "ManagesVpcEndpoints": false,
		"SupportedIpAddressTypes": c.addressTypes(s), "Tags": []wire.M{},
	}
	if s.Account == c.Account.Name {
		m["Tags"] = tagsWith(s.Tags, s.ID, s.Name)
	}
	if s.Payer == "provider" {
		m["PayerResponsibility"] = "ServiceOwner"
	}
	if p := s.PrivateName; p != nil {
		m["PrivateDnsNameVerificationState"] = p.State
		if p.State == topology.Verified {
			m["PrivateDnsName"], m["PrivateDnsNames"] = p.Name, []wire.M{{"PrivateDnsName": p.Name}}
		}
	}
	return m
}

func connectionRows(a *adder) {
	for _, one := range []struct {
		name string
		verb topology.Verb
	}{
		{"AcceptVpcEndpointConnections", topology.VerbAccept}, {"RejectVpcEndpointConnections", topology.VerbReject},
	} {
		op(a, one.name, func(c private, in struct {
			ServiceId      string
			VpcEndpointIds []string
		}) (wire.M, error) {
			return decide(c, in.ServiceId, in.VpcEndpointIds, one.verb)
		})
	}
	list(a, listing{name: "DescribeVpcEndpointConnections", answer: "VpcEndpointConnections",
		filters: map[string]string{
			"service-id": "ServiceId", "vpc-endpoint-owner": "VpcEndpointOwner",
			"vpc-endpoint-state": "VpcEndpointState",
			"vpc-endpoint-id":    "VpcEndpointId", "ip-address-type": "IpAddressType",
			"vpc-endpoint-region": "VpcEndpointRegion",
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := private{base}
			state := c.snapshot()
			for i := range state.Plan.Endpoints {
				if m := c.viewConnection(state, i); m != nil {
					out = append(out, m)
				}
			}
			return out, nil
		}})
}

// viewConnection is an endpoint as the owner of its service sees it, nil of others.
func (c private) viewConnection(state control.Snapshot, i int) wire.M {
	e := &state.Plan.Endpoints[i]
	s, err := state.Plan.Service(e.Service)
	if err != nil || s.Account != c.Account.Name || e.Absent || s.Absent {
		return nil
	}
	owner, err := state.Plan.Account(e.Account)
	if err != nil {
		return nil
	}
	word, _ := endpointState(state, i)
	arns := []string{}
	for _, name := range balancersOf(s) {
		if l, err := c.Plan.LoadBalancer(name); err == nil {
			arns = append(arns, c.balancerARN(l))
		}
	}
	addressType := "ipv4"
	if e.DualStack {
		addressType = "dualstack"
	}
	id := c.Plan.NewID("vpce-con", s.ID+" "+e.ID)
	return wire.M{
		"ServiceId": s.ID, "VpcEndpointId": e.ID, "VpcEndpointOwner": owner.ID, "VpcEndpointState": word,
		"CreationTimestamp": c.CreatedAt(e.ID), "DnsEntries": c.dnsEntries(e, s, false),
		"NetworkLoadBalancerArns": arns,
		"IpAddressType":           addressType, "VpcEndpointConnectionId": id, "Tags": c.tags(id),
		"VpcEndpointRegion": c.Plan.Region,
	}
}

func decide(c private, serviceID string, ids []string, verb topology.Verb) (wire.M, error) {
	s, err := c.ownService(serviceID)
	if err != nil {
		return nil, err
	}
	failed := []wire.M{}
	for _, id := range ids {
		i := slices.IndexFunc(c.Plan.Endpoints, func(e topology.Endpoint) bool {
			return e.ID == id && e.Service == s.Name && !e.Absent
		})
		if i < 0 {
			failed = append(failed, c.unsuccessful(id, wire.Errorf("InvalidVpcEndpointId.NotFound",
				"The Vpc Endpoint Id '%s' does not exist", id)))
			continue
		}
		err := c.Operate(topology.Operation{Verb: verb, Service: s.Name, Endpoint: c.Plan.Endpoints[i].Name})
		if err == errDryRun {
			return nil, err
		}
		if err != nil {
			failed = append(failed, c.unsuccessful(id, err))
		}
	}
	return wire.M{"Unsuccessful": failed}, nil
}
