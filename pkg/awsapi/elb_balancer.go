package awsapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func balancerRows(a *adder) {
	op(a, "CreateLoadBalancer", createLoadBalancer,
		"EnablePrefixForIpv6SourceNat", "a node's IPv6 connections have its own address")
	op(a, "DeleteLoadBalancer", deleteLoadBalancer)
	op(a, "SetSubnets", setSubnets)
	op(a, "SetSecurityGroups", setSecurityGroups)
	op(a, "SetIpAddressType", func(c balancing, in struct{ LoadBalancerArn, IpAddressType string }) (wire.M, error) {
		l, err := c.balancer(in.LoadBalancerArn)
		if err != nil {
			return nil, err
		}
		err = c.Edit(topology.Edit{Path: topology.JoinPath("load_balancers", l.Name, "ip_address_type"),
			Value: text(in.IpAddressType)})
		return wire.M{"IpAddressType": in.IpAddressType}, err
	})
	list(a, listing{name: "DescribeLoadBalancers", answer: "LoadBalancers", ids: "LoadBalancerArns",
		id:      "LoadBalancerArn",
		missing: "LoadBalancerNotFound", text: "One or more load balancers not found: %s",
		more:    map[string]string{"Names": "LoadBalancerName"},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, l := range c.ownBalancers() {
				out = append(out, c.viewBalancer(l))
			}
			return out, nil
		}})
	op(a, "DescribeLoadBalancerAttributes", func(c balancing, in struct{ LoadBalancerArn string }) (wire.M, error) {
		l, err := c.balancer(in.LoadBalancerArn)
		if err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, balancerAttributes, l)}, nil
	})
	op(a, "ModifyLoadBalancerAttributes", func(c balancing, in struct {
		LoadBalancerArn string
		Attributes      []tag
	}) (wire.M, error) {
		defer c.Locks.Hold("balancer " + in.LoadBalancerArn)()
		c.Plan = c.CurrentPlan()
		l, err := c.balancer(in.LoadBalancerArn)
		if err != nil {
			return nil, err
		}
		if err := setAttributes(c.call, balancerAttributes, l, in.Attributes); err != nil {
			return nil, err
		}
		if l, err = c.balancer(in.LoadBalancerArn); err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, balancerAttributes, l)}, nil
	})
	op(a, "DescribeCapacityReservation", func(c balancing, in struct{ LoadBalancerArn string }) (wire.M, error) {
		_, err := c.balancer(in.LoadBalancerArn)
		return wire.M{"CapacityReservationState": []wire.M{}}, err
	})
	op(a, "DescribeAccountLimits", func(c balancing, _ struct{}) (wire.M, error) {
		return wire.M{"Limits": []wire.M{
			{"Name": "network-load-balancers", "Max": "50"}, {"Name": "application-load-balancers", "Max": "50"},
			{"Name": "target-groups", "Max": "3000"}, {"Name": "listeners-per-network-load-balancer", "Max": "50"},
		}}, nil
	}, "Marker PageSize", "the limits are one page")
	op(a, "AddTags", func(c balancing, in struct {
		ResourceArns []string
		Tags         []tag
	}) (wire.M, error) {
		tags, err := tagsOf(in.Tags)
		if err == nil {
			err = c.checkARNs(in.ResourceArns)
		}
		if err != nil {
			return nil, err
		}
		set := map[string]*string{}
		for key, value := range tags {
			set[key] = &value
		}
		return nil, c.setTags(c.taggable(in.ResourceArns), in.ResourceArns,
			func(topology.Tags) map[string]*string { return set })
	})
	op(a, "RemoveTags", func(c balancing, in struct{ ResourceArns, TagKeys []string }) (wire.M, error) {
		if err := c.checkARNs(in.ResourceArns); err != nil {
			return nil, err
		}
		return nil, c.setTags(c.taggable(in.ResourceArns), in.ResourceArns,
			func(now topology.Tags) map[string]*string {
				set := map[string]*string{}
				for _, key := range in.TagKeys {
					if _, there := now[key]; there {
						set[key] = nil
					}
				}
				return set
			})
	})
	op(a, "DescribeTags", func(c balancing, in struct{ ResourceArns []string }) (wire.M, error) {
		if err := c.checkARNs(in.ResourceArns); err != nil {
			return nil, err
		}
		out, all := []wire.M{}, c.taggable(in.ResourceArns)
		for _, arn := range in.ResourceArns {
			out = append(out, wire.M{"ResourceArn": arn, "Tags": viewTags(all[arn].tags)})
		}
		return wire.M{"TagDescriptions": out}, nil
	})
}

// taggable are what ARNs that were checked name, by them.
func (c balancing) taggable(arns []string) map[string]tagged {
	out := map[string]tagged{}
	for _, arn := range arns {
		out[arn] = tagged{tags: c.Record.Thing(arn).Tags}
		if l, err := c.balancer(arn); err == nil {
			out[arn] = tagged{tags: l.Tags, path: balancerPath(l)}
		} else if g, err := c.targetGroup(arn); err == nil {
			out[arn] = tagged{tags: g.Tags, path: groupPath(g)}
		}
	}
	return out
}

// checkARNs refuses what is none of the caller's load balancers, target groups,
// listeners and rules.
func (c balancing) checkARNs(arns []string) error {
	for _, arn := range arns {
		var err error
		switch resource := arn[strings.LastIndex(arn, ":")+1:]; {
		case strings.HasPrefix(resource, "loadbalancer/"):
			_, err = c.balancer(arn)
		case strings.HasPrefix(resource, "targetgroup/"):
			_, err = c.targetGroup(arn)
		case strings.HasPrefix(resource, "listener/"):
			_, err = c.listener(arn)
		case strings.HasPrefix(resource, "listener-rule/"):
			_, _, err = c.rule(arn)
		default:
			err = wire.Errorf("ValidationError",
				"'%s' is not a valid ARN of a load balancer, target group, listener or rule", arn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *call) ownBalancers() (out []*topology.LoadBalancer) {
	for i := range c.Plan.LoadBalancers {
		if l := &c.Plan.LoadBalancers[i]; c.Plan.MustVPC(l.VPC).Account == c.Account.Name && l.Type != topology.CLB {
			out = append(out, l)
		}
	}
	return out
}

// accountID is the number of an account.
func (c *call) accountID(name string) string {
	if a, err := c.Plan.Account(name); err == nil {
		return a.ID
	}
	return ""
}

func (c *call) balancerARN(l *topology.LoadBalancer) string {
	return arnOf("elasticloadbalancing", c.Plan.Region, c.accountID(c.Plan.MustVPC(l.VPC).Account),
		"loadbalancer/"+l.ID)
}

func (c *call) balancer(arn string) (*topology.LoadBalancer, error) {
	for _, l := range c.ownBalancers() {
		if c.balancerARN(l) == arn {
			return l, nil
		}
	}
	return nil, wire.Errorf("LoadBalancerNotFound", "One or more load balancers not found: %s", arn)
}

// nameOf is the name that a client gave an object, where the lab's is another.
func (c *call) nameOf(arn, name string) string {
	if given := c.Record.Note(arn, "name"); given != "" {
		return given
	}
	return name
}

func (c balancing) viewBalancer(l *topology.LoadBalancer) wire.M {
	vpc := c.Plan.MustVPC(l.VPC)
	arn := c.balancerARN(l)
	zones := []wire.M{}
	for _, n := range l.Nodes {
		if s, err := vpc.Subnet(n.Subnet); err == nil {
			zones = append(zones, wire.M{"ZoneName": n.Zone, "SubnetId": s.ID, "LoadBalancerAddresses": []wire.M{}})
		}
	}
	kind := "network"
	if l.Type == topology.ALB {
		kind = "application"
	}
	groups := []string{}
	for _, g := range c.identifiers(vpc, l.SecurityGroups) {
		groups = append(groups, g["GroupId"].(string))
	}
	addresses := "ipv4"
	if l.DualStack {
		addresses = "dualstack"
	}
	state := "active"
	if c.OnTheWay(arn) {
		state = "provisioning"
	}
	m := wire.M{
		"LoadBalancerArn": arn, "LoadBalancerName": c.nameOf(arn, l.Name), "Type": kind, "Scheme": "internal",
		"VpcId": vpc.ID,
		"State": wire.M{"Code": state}, "AvailabilityZones": zones, "IpAddressType": addresses,
		"SecurityGroups": groups,
		"CreatedTime":    c.CreatedAt(arn), "DNSName": l.Domain,
		"CanonicalHostedZoneId": "Z" + strings.ToUpper(derive.Text("elb zone "+kind+c.Plan.Region, 13,
			derive.Alphanumeric)),
	}
	if len(groups) > 0 && l.Type == topology.NLB {
		m["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = onOff(!l.EndpointsFree)
	}
	return m
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

type subnetMapping struct{ SubnetId, PrivateIPv4Address, IPv6Address string }

// placesIn are the subnets of a load balancer as a topology file has them, and their VPC.
func (c balancing) placesIn(subnets []string, mappings []subnetMapping) (vpc *topology.VPC, places map[string]value,
	_ error) {
	if len(subnets) > 0 && len(mappings) > 0 {
		return nil, nil, wire.Errorf("ValidationError", "You must specify either subnets or subnet mappings, not both")
	}
	for _, id := range subnets {
		mappings = append(mappings, subnetMapping{SubnetId: id})
	}
	if len(mappings) == 0 {
		return nil, nil, wire.Errorf("ValidationError", "You must specify subnets or subnet mappings")
	}
	places = map[string]value{}
	var zones []string
	for _, m := range mappings {
		of, s, err := c.subnet(m.SubnetId)
		if err != nil {
			return nil, nil, wire.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", m.SubnetId)
		}
		if vpc != nil && vpc.Name != of.Name {
			return nil, nil, wire.Errorf("InvalidSubnet", "All subnets must be in the same VPC")
		}
		if slices.Contains(zones, s.Zone) {
			return nil, nil, wire.Errorf("InvalidConfigurationRequest",
				"A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		vpc, zones = of, append(zones, s.Zone)
		places[s.Name] = value{}
		if m.PrivateIPv4Address != "" {
			places[s.Name]["ip"] = m.PrivateIPv4Address
		}
		if m.IPv6Address != "" {
			places[s.Name]["ipv6"] = m.IPv6Address
		}
	}
	return vpc, places, nil
}

// fileName is the name that an object of a client gets in the lab's topology, where names
// are of small letters and those of other accounts are too.
func fileName(wanted string, taken func(string) bool) string {
	name := strings.ToLower(wanted)
	for n := 2; taken(name); n++ {
		suffix := fmt.Sprintf("-%d", n)
		name = strings.ToLower(wanted[:min(len(wanted), topology.MaxName-len(suffix))]) + suffix
	}
	return name
}

func checkName(name, what string) error {
	ok := name != "" && len(name) <= 32 && name[0] != '-' && name[len(name)-1] != '-'
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	}
	if !ok || what == "Load balancer" && strings.HasPrefix(name, "internal-") {
		return wire.Errorf("ValidationError",
			"%s name '%s' must have 1 to 32 letters, digits and hyphens, with no hyphen at an end",
			what, name)
	}
	return nil
}

func createLoadBalancer(c balancing, in struct {
	Name, Type, Scheme, IpAddressType string
	Subnets, SecurityGroups           []string
	SubnetMappings                    []subnetMapping
	Tags                              []tag
}) (wire.M, error) {
	if err := checkName(in.Name, "Load balancer"); err != nil {
		return nil, err
	}
	kind := topology.ALB
	switch in.Type {
	case "network":
		kind = topology.NLB
	case "gateway":
		return nil, wire.Errorf("UnsupportedOperation", "plinksim has no gateway load balancers")
	}
	if in.Scheme != "internal" {
		c.Note("load balancer %s: a lab has no internet, so the load balancer is internal", in.Name)
	}
	vpc, places, err := c.placesIn(in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	groups, err := c.groupNames(vpc, in.SecurityGroups)
	if err != nil {
		return nil, err
	}
	if kind == topology.ALB && len(groups) == 0 {
		// As at AWS (Elastic Load Balancing user guide, "Security groups for your Application
		// Load Balancer").
		groups = []string{topology.DefaultGroup}
	}
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	defer c.Locks.Hold("balancers")()
	c.Plan = c.CurrentPlan()
	for _, l := range c.ownBalancers() {
		if c.nameOf(c.balancerARN(l), l.Name) == in.Name {
			return nil, wire.Errorf("DuplicateLoadBalancerName",
				"A load balancer with the same name '%s' exists, but with different settings",
				in.Name)
		}
	}
	name := fileName(in.Name, func(name string) bool { _, err := c.Plan.LoadBalancer(name); return err == nil })
	v := withTags(value{"type": string(kind), "vpc": vpc.Name, "subnets": places, "listeners": []value{}}, tags)
	if len(groups) > 0 {
		v["security_groups"] = groups
	}
	if in.IpAddressType == "dualstack" {
		v["ip_address_type"] = in.IpAddressType
	}
	if err := c.Edit(topology.Edit{Path: topology.JoinPath("load_balancers", name), Value: text(v),
		New: true}); err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidConfigurationRequest"},
			"The load balancer '%s' cannot be created", in.Name)
	}
	l, err := c.Plan.LoadBalancer(name)
	if err != nil {
		return nil, err
	}
	arn := c.balancerARN(l)
	c.Created(arn, nil, map[string]string{"name": in.Name})
	return wire.M{"LoadBalancers": []wire.M{c.viewBalancer(l)}}, nil
}

func deleteLoadBalancer(c balancing, in struct{ LoadBalancerArn string }) (wire.M, error) {
	l, err := c.balancer(in.LoadBalancerArn)
	if err != nil {
		return nil, nil // it is gone, which is not an error (Elastic Load Balancing API Reference, DeleteLoadBalancer)
	}
	if c.Record.Note(in.LoadBalancerArn, deletionProtection) == "true" {
		return nil, wire.Errorf("OperationNotPermitted",
			"Load balancer '%s' cannot be deleted because deletion protection is enabled", in.LoadBalancerArn)
	}
	inUse := wire.Errorf("ResourceInUse",
		"Load balancer '%s' cannot be deleted because it is currently associated with another service",
		in.LoadBalancerArn)
	for i := range c.Plan.Services {
		if slices.Contains(balancersOf(&c.Plan.Services[i]), l.Name) && !c.Plan.Services[i].Absent {
			return nil, inUse
		}
	}
	if err := c.Edit(topology.Edit{Path: topology.JoinPath("load_balancers", l.Name)}); err != nil {
		return nil, conflictOf(err, inUseIs(inUse.Code), "%s", inUse.Message)
	}
	c.Forget(in.LoadBalancerArn)
	return nil, nil
}

func setSubnets(c balancing, in struct {
	LoadBalancerArn, IpAddressType string
	Subnets                        []string
	SubnetMappings                 []subnetMapping
}) (wire.M, error) {
	defer c.Locks.Hold("balancer " + in.LoadBalancerArn)()
	c.Plan = c.CurrentPlan()
	l, err := c.balancer(in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	vpc, places, err := c.placesIn(in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	if vpc.Name != l.VPC {
		return nil, wire.Errorf("InvalidSubnet", "The subnets must be in the VPC of the load balancer")
	}
	// What stays keeps its addresses.
	for _, n := range l.Nodes {
		if place := places[n.Subnet]; place != nil && len(place) == 0 {
			place["ip"] = n.IP().String()
			if n.ENI.IPv6.IsValid() {
				place["ipv6"] = n.ENI.IPv6.String()
			}
		}
	}
	edits := []topology.Edit{{Path: topology.JoinPath("load_balancers", l.Name, "subnets"), Value: text(places)}}
	if in.IpAddressType != "" {
		edits = append(edits, topology.Edit{Path: topology.JoinPath("load_balancers", l.Name, "ip_address_type"),
			Value: text(in.IpAddressType)})
	}
	if err := c.Edit(edits...); err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{
			topology.Invalid: "InvalidConfigurationRequest", topology.InUse: "ResourceInUse",
		}, "The subnets of '%s' cannot be changed", in.LoadBalancerArn)
	}
	if l, err = c.balancer(in.LoadBalancerArn); err != nil {
		return nil, err
	}
	view := c.viewBalancer(l)
	return wire.M{"AvailabilityZones": view["AvailabilityZones"], "IpAddressType": view["IpAddressType"]}, nil
}

func setSecurityGroups(c balancing, in struct {
	LoadBalancerArn                                      string
	SecurityGroups                                       []string
	EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic string
}) (wire.M, error) {
	l, err := c.balancer(in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if l.Type == topology.NLB && len(l.SecurityGroups) == 0 {
		return nil, wire.Errorf("InvalidConfigurationRequest",
			"You cannot set security groups on a Network Load Balancer that was created without any security groups")
	}
	names, err := c.groupNames(c.Plan.MustVPC(l.VPC), in.SecurityGroups)
	if err == nil && l.Type == topology.ALB && len(names) == 0 {
		err = wire.Errorf("ValidationError", "An Application Load Balancer must have a security group")
	}
	if err != nil {
		return nil, err
	}
	edits := []topology.Edit{{Path: topology.JoinPath("load_balancers", l.Name, "security_groups"),
		Value: text(append([]string{}, names...))}}
	if e := in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic; e != "" {
		edits = append(edits, topology.Edit{
			Path:  topology.JoinPath("load_balancers", l.Name, "enforce_security_groups_on_private_link"),
			Value: text(e)})
	}
	if err := c.Edit(edits...); err != nil {
		return nil, err
	}
	if l, err = c.balancer(in.LoadBalancerArn); err != nil {
		return nil, err
	}
	answer := wire.M{"SecurityGroupIds": c.viewBalancer(l)["SecurityGroups"]}
	if l.Type == topology.NLB {
		answer["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = onOff(!l.EndpointsFree)
	}
	return answer, nil
}
