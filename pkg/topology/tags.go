package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Tags are what users say of an object, by key. Nothing in a lab depends on them. Nobody
// may change the tags of a plan.
type Tags map[string]string

// NameTag is the tag whose value commands take for the name of its object.
const NameTag = "Name"

// Limits of tags (Amazon EC2 user guide, "Tag restrictions"), in characters.
const (
	MaxTags     = 50
	MaxTagKey   = 128
	MaxTagValue = 256
)

// tagged is an object that has tags, as aliases need it.
type tagged struct {
	vpc, name, alias string // vpc is "" of what is in none
}

// tagged are the objects of a section of the file, of "subnets" and its like in all VPCs.
func (p *Plan) tagged(section string) (out []tagged) {
	add := func(vpc, name string, tags Tags) { out = append(out, tagged{vpc, name, tags[NameTag]}) }
	inVPCs := func(each func(v *VPC)) {
		for i := range p.VPCs {
			each(&p.VPCs[i])
		}
	}
	switch section {
	case "vpcs":
		inVPCs(func(v *VPC) { add("", v.Name, v.Tags) })
	case "subnets":
		inVPCs(func(v *VPC) {
			for _, s := range v.Subnets {
				add(v.Name, s.Name, s.Tags)
			}
		})
	case "security_groups":
		inVPCs(func(v *VPC) {
			for i := range v.SecurityGroups {
				add(v.Name, v.SecurityGroups[i].Name, v.SecurityGroups[i].Tags)
			}
		})
	case "instances":
		inVPCs(func(v *VPC) {
			for i := range v.Instances {
				add(v.Name, v.Instances[i].Name, v.Instances[i].Tags)
			}
		})
	case "server_groups":
		for i := range p.ServerGroups {
			add("", p.ServerGroups[i].Name, p.ServerGroups[i].Tags)
		}
	case "load_balancers":
		for i := range p.LoadBalancers {
			add("", p.LoadBalancers[i].Name, p.LoadBalancers[i].Tags)
		}
	case "nat_gateways":
		for i := range p.NATGateways {
			add("", p.NATGateways[i].Name, p.NATGateways[i].Tags)
		}
	case "endpoint_services":
		for i := range p.Services {
			add("", p.Services[i].Name, p.Services[i].Tags)
		}
	case "endpoints":
		for i := range p.Endpoints {
			add("", p.Endpoints[i].Name, p.Endpoints[i].Tags)
		}
	}
	return out
}

// AmbiguousError says that several objects have the tag Name with a value.
type AmbiguousError struct {
	Kind  string   // instance, endpoint, …
	Alias string   // the value
	Names []string // of the objects, of those in VPCs VPC/NAME
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("there are several %ss with the tag %s %q: write %s", e.Kind, NameTag, e.Alias,
		strings.Join(e.Names, " or "))
}

// Alias is the name of the object of a section of the file (vpcs, instances, …) that has
// the tag Name with a value; of those in VPCs only in one, unless vpc is "". It is false
// where an object has that name or identifier itself, or none has the tag. The error is an
// *AmbiguousError.
func (p *Plan) Alias(section, vpc, value string) (inVPC, name string, ok bool, err error) {
	if value == "" {
		return "", "", false, nil
	}
	var found []tagged
	for _, t := range p.tagged(section) {
		switch {
		case vpc != "" && t.vpc != vpc:
		case t.name == value:
			return "", "", false, nil
		case t.alias == value:
			found = append(found, t)
		}
	}
	if _, isID := p.NameOf(value); isID || len(found) == 0 {
		return "", "", false, nil
	}
	if len(found) > 1 {
		ambiguous := &AmbiguousError{Kind: kindsOfSections[section], Alias: value}
		for _, t := range found {
			ambiguous.Names = append(ambiguous.Names, strings.TrimPrefix(t.vpc+"/"+t.name, "/"))
		}
		return "", "", false, ambiguous
	}
	return found[0].vpc, found[0].name, true, nil
}

// kindsOfSections are what people call the objects of the sections that have tags.
var kindsOfSections = map[string]string{
	"vpcs": "vpc", "subnets": "subnet", "security_groups": "security group", "instances": "instance",
	"server_groups": "server group", "load_balancers": "load balancer", "nat_gateways": "NAT gateway",
	"endpoint_services": "endpoint service", "endpoints": "endpoint",
}

// Unaliased is an operation with names where it has values of the tag Name. The error is an
// *AmbiguousError.
func (p *Plan) Unaliased(o Operation) (Operation, error) {
	var failed error
	one := func(section string, text *string) {
		_, name, ok, err := p.Alias(section, "", *text)
		if ok {
			*text = name
		}
		if failed == nil {
			failed = err
		}
	}
	all := func(section string, texts *[]string) {
		*texts = slices.Clone(*texts)
		for i := range *texts {
			one(section, &(*texts)[i])
		}
	}
	if o.Verb != VerbEndpointCreate {
		one("endpoints", &o.Endpoint)
	}
	if o.Verb != VerbServiceCreate {
		one("endpoint_services", &o.Service)
	}
	one("security_groups", &o.SecurityGroup)
	one("nat_gateways", &o.NATGateway)
	one("server_groups", &o.ServerGroup)
	one("vpcs", &o.VPC)
	all("subnets", &o.Subnets)
	all("security_groups", &o.SecurityGroups)
	all("load_balancers", &o.LoadBalancers)
	balancer, zone, zoned := strings.Cut(o.Resource, "@")
	one("load_balancers", &balancer)
	if o.Resource = balancer; zoned {
		o.Resource += "@" + zone
	}
	if at := strings.LastIndex(o.Server, ":"); at >= 0 {
		server := o.Server[:at]
		one("instances", &server)
		o.Server = server + o.Server[at:]
	}
	return o, failed
}
