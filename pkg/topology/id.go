package topology

import (
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
)

// IDs makes identifiers in the form of one cloud. They depend on the lab's
// name and on the object's, so the same file has the same ones everywhere.
type IDs struct{ Cloud, Lab, Region string }

// ID is an identifier of the object, "vpc/vpc1" for example. Alibaba Cloud
// puts a code of the region and random letters and digits, 20 together, behind
// the prefix; AWS 17 hexadecimal digits (EC2 API reference, resource IDs).
func (i IDs) ID(prefix, object string) string {
	if i.Cloud == "aws" {
		return prefix + "-" + derive.Text(i.Lab+"/"+prefix+"/"+object, 17, "0123456789abcdef")
	}
	return prefix + "-" + regionCode(i.Region) + derive.Text(i.Lab+"/"+prefix+"/"+object, 17, derive.Alphanumeric)
}

// Endpoint is like ID. Published Alibaba Cloud endpoint names have an i, or an
// r where they are reverse endpoints, and 16 hexadecimal digits behind the
// region's code.
func (i IDs) Endpoint(name string, reverse bool) string {
	if i.Cloud == "aws" {
		return i.ID("vpce", name)
	}
	kind := "i"
	if reverse {
		kind = "r"
	}
	return "ep-" + regionCode(i.Region) + kind + derive.Text(i.Lab+"/ep/"+name, 16, "0123456789abcdef")
}

// Service is the identifier of an endpoint service.
func (i IDs) Service(name string) string {
	if i.Cloud == "aws" {
		return i.ID("vpce-svc", name)
	}
	return i.ID("epsrv", name)
}

// AccountID is an account's number: 16 digits at Alibaba Cloud, 12 at AWS. It
// depends on the name alone, so that an account is the same in every lab.
func AccountID(cloud, name string) string {
	if cloud == "aws" {
		return derive.Text("account/"+name, 1, "123456789") + derive.Text("account number/"+name, 11, "0123456789")
	}
	return "1" + derive.Text("account number/"+name, 15, "0123456789")
}

// ServiceName is what a consumer types to find the service. Alibaba Cloud
// PrivateLink API 2020-04-15, GetVpcEndpointServiceAttribute; AWS PrivateLink
// guide, "Create a service powered by AWS PrivateLink".
func (i IDs) ServiceName(id string) string {
	if i.Cloud == "aws" {
		return "com.amazonaws.vpce." + i.Region + "." + id
	}
	return "com.aliyuncs.privatelink." + i.Region + "." + id
}

// ServiceDomain, EndpointDomain and ZoneDomain follow the documents that
// ServiceName names. At AWS a token, which the guide's syntax leaves out but
// its examples show, follows the endpoint's identifier.
func (i IDs) ServiceDomain(service string) string {
	if i.Cloud == "aws" {
		return service + "." + i.Region + ".vpce.amazonaws.com"
	}
	return service + "." + i.Region + ".privatelink.aliyuncs.com"
}

func (i IDs) EndpointDomain(endpoint, service string) string {
	return endpoint + i.token(endpoint) + "." + i.ServiceDomain(service)
}

func (i IDs) ZoneDomain(endpoint, zone, service string) string {
	return endpoint + i.token(endpoint) + "-" + zone + "." + i.ServiceDomain(service)
}

func (i IDs) token(endpoint string) string {
	if i.Cloud == "aws" {
		return "-" + derive.Text(i.Lab+"/token/"+endpoint, 8, derive.Alphanumeric)
	}
	return ""
}

// ServerGroup and LoadBalancer have forms of their own: at AWS the last part
// of an ARN (Elastic Load Balancing API reference, version 2015-12-01); at
// Alibaba Cloud a prefix for each type of load balancer.
func (i IDs) ServerGroup(name, balancer string) string {
	switch {
	case i.Cloud == "aws":
		return "targetgroup/" + name + "/" + derive.Text(i.Lab+"/targetgroup/"+name, 16, "0123456789abcdef")
	case balancer == "nlb", balancer == "alb":
		return i.ID("sgp", name)
	}
	return i.ID("rsp", name)
}

func (i IDs) LoadBalancer(name, balancer string) string {
	switch {
	case i.Cloud == "aws" && balancer == "alb":
		return "app/" + name + "/" + derive.Text(i.Lab+"/loadbalancer/"+name, 16, "0123456789abcdef")
	case i.Cloud == "aws":
		return "net/" + name + "/" + derive.Text(i.Lab+"/loadbalancer/"+name, 16, "0123456789abcdef")
	case balancer == "nlb", balancer == "alb":
		return i.ID(balancer, name)
	}
	return i.ID("lb", name)
}

// regionCodes are the three characters of Alibaba Cloud's regions as they
// stand in identifiers of its API reference and published examples.
var regionCodes = map[string]string{
	"cn-hangzhou":    "bp1",
	"cn-beijing":     "2ze",
	"cn-shanghai":    "uf6",
	"cn-qingdao":     "m5e",
	"cn-huhehaote":   "hp3",
	"eu-central-1":   "gw8",
	"ap-southeast-1": "t4n",
	"ap-southeast-3": "8ps",
}

// regionCode is the region's code, or the first three letters and digits of a
// region whose code is not known.
func regionCode(region string) string {
	if code, ok := regionCodes[region]; ok {
		return code
	}
	return (strings.ReplaceAll(region, "-", "") + "xxx")[:3]
}

// NewID is an identifier of the cloud's form for what is made while the lab
// runs: prefix vpcnatip or fullnat, and the object's name.
func (p *Plan) NewID(prefix, object string) string {
	return IDs{Cloud: p.Cloud, Lab: p.Name, Region: p.Region}.ID(prefix, object)
}
