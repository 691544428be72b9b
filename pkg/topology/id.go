package topology

import (
	"net/netip"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
)

// IDs makes identifiers in the form of one cloud. They depend on the lab's
// name and on the object's, so the same file has the same ones everywhere.
type IDs struct {
	Cloud       Cloud
	Lab, Region string
}

// idForm is how the identifiers and names of one cloud look.
type idForm struct {
	regionCode bool   // a code of the region is behind the prefix
	alphabet   string // of what follows, 17 characters
	subnet     string // prefixes
	service    string
	// serviceName and domain are around a region and a service's identifier.
	serviceName string
	domain      string
	token       bool // a token follows the identifier in an endpoint's name
	// Published Alibaba Cloud endpoint names have an i, or an r where they are
	// reverse endpoints, and 16 hexadecimal digits behind the region's code.
	endpoint      string // prefix
	endpointKind  bool
	account       string // what an account's number begins with: one of these
	accountDigits int    // and how many follow
	arns          bool   // load balancers and server groups have the last part of an ARN
	hostNames     bool   // instances and load balancers have names in the cloud's domains
}

// idForms has its forms from: EC2 API reference, resource IDs; PrivateLink API
// 2020-04-15, GetVpcEndpointServiceAttribute; AWS PrivateLink guide, "Create a
// service powered by AWS PrivateLink", whose examples have a token that its
// syntax leaves out; Elastic Load Balancing API reference, version 2015-12-01.
var idForms = map[Cloud]idForm{
	Alibaba: alibabaForm,
	AWS: {
		alphabet: hexadecimal, subnet: "subnet", service: "vpce-svc",
		serviceName: "com.amazonaws.vpce.", domain: ".vpce.amazonaws.com", token: true,
		endpoint: "vpce", account: "123456789", accountDigits: 11, arns: true, hostNames: true,
	},
	RFC: alibabaForm,
}

var alibabaForm = idForm{
	regionCode: true, alphabet: derive.Alphanumeric, subnet: "vsw", service: "epsrv",
	serviceName: "com.aliyuncs.privatelink.", domain: ".privatelink.aliyuncs.com",
	endpoint: "ep", endpointKind: true, account: "1", accountDigits: 15,
}

const hexadecimal = "0123456789abcdef"

func (i IDs) form() idForm { return idForms[i.Cloud] }

// ID is an identifier of the object, "vpc/vpc1" for example. Alibaba Cloud
// puts a code of the region and random letters and digits, 20 together, behind
// the prefix; AWS 17 hexadecimal digits. A name that has this form is its own.
func (i IDs) ID(prefix, object string) string {
	if name := object[strings.LastIndex(object, "/")+1:]; i.isID(prefix, name) {
		return name
	}
	id := prefix + "-"
	if i.form().regionCode {
		id += regionCode(i.Region)
	}
	return id + derive.Text(i.Lab+"/"+prefix+"/"+object, 17, i.form().alphabet)
}

// isID says whether a name has the form of an identifier.
func (i IDs) isID(prefix, name string) bool {
	digits, ok := strings.CutPrefix(name, prefix+"-")
	length := 17
	if i.form().regionCode {
		length += 3
	}
	return ok && len(digits) == length && strings.Trim(digits, i.form().alphabet) == ""
}

// Subnet is the identifier of a subnet, vpc1/subnet1 for example.
func (i IDs) Subnet(name string) string { return i.ID(i.form().subnet, name) }

// Endpoint is the identifier of an endpoint.
func (i IDs) Endpoint(name string, reverse bool) string {
	form := i.form()
	if !form.endpointKind || i.isID(form.endpoint, name) {
		return i.ID(form.endpoint, name)
	}
	kind := "i"
	if reverse {
		kind = "r"
	}
	return form.endpoint + "-" + regionCode(i.Region) + kind + derive.Text(i.Lab+"/ep/"+name, 16, hexadecimal)
}

// Service is the identifier of an endpoint service.
func (i IDs) Service(name string) string { return i.ID(i.form().service, name) }

// Account is an account's number: 16 digits at Alibaba Cloud, 12 at AWS. It
// depends on the name alone, so that an account is the same in every lab.
func (i IDs) Account(name string) string {
	form := i.form()
	return derive.Text("account/"+name, 1, form.account) +
		derive.Text("account number/"+name, form.accountDigits, "0123456789")
}

// ServiceName is what a consumer types to find the service.
func (i IDs) ServiceName(id string) string { return i.form().serviceName + i.Region + "." + id }

// ServiceDomain is the domain that a service has from its identifier.
func (i IDs) ServiceDomain(service string) string { return service + "." + i.Region + i.form().domain }

// EndpointDomain is the name of an endpoint, from its and its service's
// identifiers.
func (i IDs) EndpointDomain(endpoint, service string) string {
	return endpoint + i.token(endpoint) + "." + i.ServiceDomain(service)
}

// ZoneDomain is the name of an endpoint in one of its zones.
func (i IDs) ZoneDomain(endpoint, zone, service string) string {
	return endpoint + i.token(endpoint) + "-" + zone + "." + i.ServiceDomain(service)
}

func (i IDs) token(endpoint string) string {
	if !i.form().token {
		return ""
	}
	return "-" + derive.Text(i.Lab+"/token/"+endpoint, 8, derive.Alphanumeric)
}

// ServerGroup is the identifier of a group that a type of load balancer uses:
// at Alibaba Cloud each type has a prefix. A name that has the form of one is its own,
// also before a load balancer uses it.
func (i IDs) ServerGroup(name string, balancer LoadBalancerType) string {
	switch {
	case i.form().arns:
		return i.arn("targetgroup", "targetgroup", name)
	case balancer == NLB, balancer == ALB, i.isID("sgp", name):
		return i.ID("sgp", name)
	}
	return i.ID("rsp", name)
}

// LoadBalancer is the identifier of a load balancer.
func (i IDs) LoadBalancer(name string, balancer LoadBalancerType) string {
	switch {
	case i.form().arns && balancer == ALB:
		return i.arn("app", "loadbalancer", name)
	case i.form().arns:
		return i.arn("net", "loadbalancer", name)
	case balancer == NLB, balancer == ALB:
		return i.ID(string(balancer), name)
	}
	return i.ID("lb", name)
}

func (i IDs) arn(kind, seed, name string) string {
	return kind + "/" + name + "/" + derive.Text(i.Lab+"/"+seed+"/"+name, 16, hexadecimal)
}

// BalancerDomain is the name of a load balancer with an identifier, "" where the cloud
// gives it none here: Elastic Load Balancing API, LoadBalancer, DNSName, of internal ones.
func (i IDs) BalancerDomain(id string) string {
	parts := strings.Split(id, "/")
	if !i.form().hostNames || len(parts) != 3 {
		return ""
	}
	if parts[0] == "app" {
		return "internal-" + parts[1] + "-" + parts[2] + "." + i.Region + ".elb.amazonaws.com"
	}
	return parts[1] + "-" + parts[2] + ".elb." + i.Region + ".amazonaws.com"
}

// InstanceDomain is the domain in which instances have names of their addresses, "" where
// the cloud has none: Amazon EC2 user guide, "EC2 instance hostnames and domains", IP name.
func (i IDs) InstanceDomain() string {
	switch {
	case !i.form().hostNames:
		return ""
	case i.Region == "us-east-1":
		return "ec2.internal"
	}
	return i.Region + ".compute.internal"
}

// InstanceDomain is IDs.InstanceDomain of the lab.
func (p *Plan) InstanceDomain() string { return p.ids().InstanceDomain() }

// IPName is the name of an IPv4 address of an instance in a domain: ip-10-0-0-5.ec2.internal.
func IPName(ip netip.Addr, domain string) string {
	return "ip-" + strings.ReplaceAll(ip.String(), ".", "-") + "." + domain
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
func (p *Plan) NewID(prefix, object string) string { return p.ids().ID(prefix, object) }

func (p *Plan) ids() IDs { return IDs{Cloud: p.Cloud, Lab: p.Name, Region: p.Region} }
