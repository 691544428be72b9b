package topology

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// ids makes identifiers in the form of one cloud. They depend on the lab's
// name and on the object's, so the same file has the same ones everywhere.
type ids struct{ cloud, lab, region string }

// id is an identifier of the object, "vpc/vpc1" for example. Alibaba Cloud
// puts a code of the region and random letters and digits, 20 together, behind
// the prefix; AWS 17 hexadecimal digits (EC2 API reference, resource IDs).
func (i ids) id(prefix, object string) string {
	if i.cloud == "aws" {
		return prefix + "-" + random(i.lab+"/"+prefix+"/"+object, 17, "0123456789abcdef")
	}
	return prefix + "-" + regionCode(i.region) + random(i.lab+"/"+prefix+"/"+object, 17, alphanumeric)
}

// endpoint is like id. Published Alibaba Cloud endpoint names have an i, or an
// r where they are reverse endpoints, and 16 hexadecimal digits behind the
// region's code.
func (i ids) endpoint(name string, reverse bool) string {
	if i.cloud == "aws" {
		return i.id("vpce", name)
	}
	kind := "i"
	if reverse {
		kind = "r"
	}
	return "ep-" + regionCode(i.region) + kind + random(i.lab+"/ep/"+name, 16, "0123456789abcdef")
}

// service is the identifier of an endpoint service.
func (i ids) service(name string) string {
	if i.cloud == "aws" {
		return i.id("vpce-svc", name)
	}
	return i.id("epsrv", name)
}

// account is an account's number: 16 digits at Alibaba Cloud, 12 at AWS. It
// depends on the name alone, so that an account is the same in every lab.
func account(cloud, name string) string {
	if cloud == "aws" {
		return random("account/"+name, 1, "123456789") + random("account number/"+name, 11, "0123456789")
	}
	return "1" + random("account number/"+name, 15, "0123456789")
}

// serviceName is what a consumer types to find the service. Alibaba Cloud
// PrivateLink API 2020-04-15, GetVpcEndpointServiceAttribute; AWS PrivateLink
// guide, "Create a service powered by AWS PrivateLink".
func (i ids) serviceName(id string) string {
	if i.cloud == "aws" {
		return "com.amazonaws.vpce." + i.region + "." + id
	}
	return "com.aliyuncs.privatelink." + i.region + "." + id
}

// serviceDomain, endpointDomain and zoneDomain follow the documents that
// serviceName names. At AWS a token, which the guide's syntax leaves out but
// its examples show, follows the endpoint's identifier.
func (i ids) serviceDomain(service string) string {
	if i.cloud == "aws" {
		return service + "." + i.region + ".vpce.amazonaws.com"
	}
	return service + "." + i.region + ".privatelink.aliyuncs.com"
}

func (i ids) endpointDomain(endpoint, service string) string {
	return endpoint + i.token(endpoint) + "." + i.serviceDomain(service)
}

func (i ids) zoneDomain(endpoint, zone, service string) string {
	return endpoint + i.token(endpoint) + "-" + zone + "." + i.serviceDomain(service)
}

func (i ids) token(endpoint string) string {
	if i.cloud == "aws" {
		return "-" + random(i.lab+"/token/"+endpoint, 8, alphanumeric)
	}
	return ""
}

// serverGroup and loadBalancer have forms of their own: at AWS the last part
// of an ARN (Elastic Load Balancing API reference, version 2015-12-01); at
// Alibaba Cloud a prefix for each type of load balancer.
func (i ids) serverGroup(name, balancer string) string {
	switch {
	case i.cloud == "aws":
		return "targetgroup/" + name + "/" + random(i.lab+"/targetgroup/"+name, 16, "0123456789abcdef")
	case balancer == "nlb", balancer == "alb":
		return i.id("sgp", name)
	}
	return i.id("rsp", name)
}

func (i ids) loadBalancer(name, balancer string) string {
	switch {
	case i.cloud == "aws" && balancer == "alb":
		return "app/" + name + "/" + random(i.lab+"/loadbalancer/"+name, 16, "0123456789abcdef")
	case i.cloud == "aws":
		return "net/" + name + "/" + random(i.lab+"/loadbalancer/"+name, 16, "0123456789abcdef")
	case balancer == "nlb", balancer == "alb":
		return i.id(balancer, name)
	}
	return i.id("lb", name)
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

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyz"

// random is n characters of an alphabet that depend on the seed alone.
func random(seed string, n int, alphabet string) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[hash(seed+"#"+strconv.Itoa(i))%uint64(len(alphabet))]
	}
	return string(out)
}

// hash is FNV-1a with a final mix: the low bits of FNV alone are too much
// alike for texts that differ in their last character (the mix is that of
// MurmurHash3, fmix64).
func hash(text string) uint64 {
	f := fnv.New64a()
	f.Write([]byte(text))
	h := f.Sum64()
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// maxDevice is what Linux takes as the name of an interface: IFNAMSIZ is 16,
// with a NUL at the end (linux/if.h).
const maxDevice = 15

// devices hands out the interface names of one network namespace.
type devices map[string]bool

// newDevices keeps the names that the kernel has for itself in every
// namespace: the loopback, and "all" and "default" of net.ipv4.conf.
func newDevices() devices {
	return devices{"lo": true, "all": true, "default": true}
}

// name is the wish itself where it is short enough and free, otherwise its
// beginning and a part of a hash.
func (d devices) name(wish string) string {
	name := wish
	for try := 0; d[name] || len(name) > maxDevice; try++ {
		suffix := fmt.Sprintf("-%04x", hash(wish+strings.Repeat("#", try))&0xffff)
		name = strings.TrimRight(wish[:min(len(wish), maxDevice-len(suffix))], "-") + suffix
	}
	d[name] = true
	return name
}
