package aliapi_test

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/plinksim/plinksim/internal/apitest"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/aliapi"
)

// chance is what differs in the answers of two walks.
var chance = regexp.MustCompile(
	`"(AccessKeyId|AccessKeySecret|SecurityToken|RequestId|HostId|ModifiedTime)":"[^"]*",?`)

// others are valid values instead of those of the walks.
var others = map[string]string{
	"normal": "enterprise", "Endpoint": "EndpointService", "BandwidthLimit": "Scalability", "Manual": "Auto",
	"Graceful": "Force", "Insert": "Server", "Server": "Insert", "Wrr": "Wlc", "wrr": "rr", "HTTP": "HTTPS",
	"http_2xx": "http_3xx", "http_3xx": "http_2xx", "http_4xx": "http_2xx", "GET": "HEAD", "PUT": "POST", "get": "head", "tcp": "udp",
	"accept": "drop", "22/23": "22/24", "10.9.0.0/16": "10.8.0.0/16", "10.0.0.0/16": "10.1.0.0/16", "2001:db8::/32": "2001:db8::/33",
	"plinksim_http": "plinksim_echo", "plinksim_echo": "plinksim_http", "10.0.0.0/8": "172.16.0.0/12",
	"Instance": "Ip", "ingress": "egress", "acs:ram:*::*": "acs:ram:*:1:*", "HTTPS": "HTTP", "text/html": "text/plain",
}

// parameters are those of all operations, with the walks that send them.
func parameters() *apitest.API {
	api := &apitest.API{Used: aliapi.UsedParameters(), Walks: map[string]apitest.Walk{}, Others: others}
	for name := range walks {
		api.Walks[name] = func(t *testing.T, look func(apitest.Call)) {
			walkOf(t, name, func(c *client, service, action string, form url.Values) {
				look(apitest.Call{Operation: service + " " + action, Parameters: form, Outcome: func() string {
					c.cloud.before = nil
					status, text := c.post(service, action, form)
					return strconv.Itoa(status) + chance.ReplaceAllString(string(text), "") + c.everything()
				}})
			})
		}
	}
	return api
}

// Every parameter that an operation uses is sent in a walk.
func TestTheWalksSendEveryParameter(t *testing.T) { parameters().SendsAll(t) }

// Another value of a parameter gives another answer, or another lab: what everything that
// can be listed says after the call differs.
func TestEveryParameterMatters(t *testing.T) {
	testenv.NeedTime(t)
	parameters().AllMatter(t)
}

// details are operations that tell of one object of a list.
var details = []struct {
	of, member string // "SERVICE OPERATION", and the identifier of its objects
	tells      []string
}{
	{"ecs DescribeSecurityGroups", "SecurityGroupId", []string{"ecs DescribeSecurityGroupAttribute"}},
	{"ecs DescribeInstances", "InstanceId", []string{"ecs DescribeUserData"}},
	{"vpc DescribeNatGateways", "NatGatewayId", []string{"vpc ListNatIps", "vpc ListNatIpCidrs",
		"vpc ListFullNatEntries"}},
	{"privatelink ListVpcEndpointServices", "ServiceId", []string{"privatelink ListVpcEndpointServiceResources",
		"privatelink ListVpcEndpointServiceUsers"}},
	{"privatelink ListVpcEndpoints", "EndpointId", []string{"privatelink GetVpcEndpointAttribute",
		"privatelink ListVpcEndpointZones", "privatelink ListVpcEndpointSecurityGroups"}},
	{"slb DescribeLoadBalancers", "LoadBalancerId", []string{"slb DescribeLoadBalancerAttribute",
		"slb DescribeVServerGroups"}},
	{"nlb ListServerGroups", "ServerGroupId", []string{"nlb ListServerGroupServers"}},
	{"alb ListServerGroups", "ServerGroupId", []string{"alb ListServerGroupServers"}},
}

// timely are lists that say what the time is, or need to be asked for an object.
var timely = []string{"nlb GetListenerHealthStatus", "alb GetListenerHealthStatus", "alb ListAsynJobs"}

// everything is what can be listed.
func (c *client) everything() string {
	c.cloud.before = nil
	var out strings.Builder
	for _, key := range c.server.Keys() {
		if key.Token != "" {
			continue
		}
		as := c.as(key.Account)
		ask := func(operation string, parameters ...string) answer {
			service, action, _ := strings.Cut(operation, " ")
			status, text := as.send(service, action, parameters...)
			if status != 200 {
				return nil
			}
			out.WriteString(operation + ": " + chance.ReplaceAllString(string(text), "") + "\n")
			return parse(c.t, text)
		}
		listed := map[string]answer{}
		for _, operation := range slices.Sorted(maps.Keys(aliapi.Listed())) {
			if !slices.Contains(timely, operation) {
				listed[operation] = ask(operation)
			}
		}
		for _, d := range details {
			for _, id := range listed[d.of].texts(aliapi.Listed()[d.of], d.member) {
				for _, operation := range d.tells {
					ask(operation, d.member, id)
				}
			}
		}
		for _, clb := range listed["slb DescribeLoadBalancers"].texts("LoadBalancers.LoadBalancer", "LoadBalancerId") {
			const heard = "ListenerPortsAndProtocol.ListenerPortAndProtocol"
			has := ask("slb DescribeLoadBalancerAttribute", "LoadBalancerId", clb)
			for i, port := range has.texts(heard, "ListenerPort") {
				protocol := strings.ToUpper(has.texts(heard, "ListenerProtocol")[i])
				ask("slb DescribeLoadBalancer"+protocol+"ListenerAttribute", "LoadBalancerId", clb, "ListenerPort", port)
			}
			for _, group := range ask("slb DescribeVServerGroups", "LoadBalancerId", clb).texts("VServerGroups.VServerGroup",
				"VServerGroupId") {
				ask("slb DescribeVServerGroupAttribute", "VServerGroupId", group)
			}
		}
	}
	return out.String()
}
