package awsapi_test

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/apitest"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/awsapi"
)

// shared are parts of requests that several operations read by the same code, so that one
// call is enough.
var shared = regexp.MustCompile(`^.* (IpPermissions\.N|TagSpecification\.N|Tags\.member\.N)\.`)

// parameters are those of all operations, with the walk that sends them. Reads, and what is
// shared, need not matter.
func parameters() *apitest.API {
	walk := func(t *testing.T, look func(apitest.Call)) {
		s := walkWith(t, func(c *client, service, action string, form url.Values) {
			look(apitest.Call{Operation: service + " " + action, Parameters: form, Outcome: func() string {
				c.cloud.before = nil
				status, text := c.post(service, form.Encode())
				return strconv.Itoa(status) + secrets.ReplaceAllString(string(text), "") + c.everything()
			}})
		})
		s.walkParameters()
	}
	return &apitest.API{Used: awsapi.UsedParameters(), Walks: map[string]apitest.Walk{"": walk},
		Part: func(name string) string { return shared.ReplaceAllString(name, "$1.") },
		Leave: func(c apitest.Call) bool {
			_, action, _ := strings.Cut(c.Operation, " ")
			return strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "Get")
		}}
}

// Every parameter that an operation uses is sent in the walk.
func TestTheWalkSendsEveryParameter(t *testing.T) { parameters().SendsAll(t) }

// Another value of a parameter gives another answer, or another lab: what everything that
// can be listed says after the call differs.
func TestEveryParameterMatters(t *testing.T) {
	testenv.NeedTime(t)
	parameters().AllMatter(t)
}

// everything is what can be listed, once what was done is in force: targets, for example,
// leave a group a moment after they were deregistered.
func (c *client) everything() (out string) {
	c.cloud.before = nil
	plane := c.lab.Plane()
	require.NoError(c.t, plane.WaitApplied(c.t.Context(), plane.Revision()))
	for _, account := range []string{"provider", "consumer"} {
		as := c.as(account)
		for _, key := range slices.Sorted(maps.Keys(awsapi.Listed())) {
			service, action, _ := strings.Cut(key, " ")
			if status, text := as.send(service, action); status == 200 {
				out += string(text)
			}
		}
		out += as.details()
	}
	return out
}

// details is what is listed of one object at a time.
func (c *client) details() (out string) {
	ask := func(service, action string, parameters ...string) answer {
		status, text := c.send(service, action, parameters...)
		if status != 200 {
			return answer{}
		}
		out += string(text)
		return parse(c.t, text)
	}
	const elb = "elasticloadbalancing"
	for _, id := range c.ec2("DescribeVpcs").texts("vpcSet/item/vpcId") {
		for _, attribute := range []string{"enableDnsSupport", "enableDnsHostnames"} {
			ask("ec2", "DescribeVpcAttribute", "VpcId", id, "Attribute", attribute)
		}
	}
	for _, id := range c.ec2("DescribeInstances").texts("reservationSet/item/instancesSet/item/instanceId") {
		for _, attribute := range []string{"disableApiTermination", "userData"} {
			ask("ec2", "DescribeInstanceAttribute", "InstanceId", id, "Attribute", attribute)
		}
	}
	for _, arn := range ask(elb,
		"DescribeTargetGroups").texts("DescribeTargetGroupsResult/TargetGroups/member/TargetGroupArn") {
		ask(elb, "DescribeTargetGroupAttributes", "TargetGroupArn", arn)
		ask(elb, "DescribeTags", "ResourceArns.member.1", arn)
		// Whether a target is healthy yet is a matter of time, and whether one that leaves has gone.
		health := mayAsk(c, elb, "DescribeTargetHealth", "TargetGroupArn", arn)
		for _, one := range health.all("DescribeTargetHealthResult/TargetHealthDescriptions/member") {
			if one.at("TargetHealth/State") != "draining" {
				out += fmt.Sprintf("%s:%s stays\n", one.at("Target/Id"), one.at("Target/Port"))
			}
		}
	}
	for _, arn := range ask(elb,
		"DescribeLoadBalancers").texts("DescribeLoadBalancersResult/LoadBalancers/member/LoadBalancerArn") {
		ask(elb, "DescribeLoadBalancerAttributes", "LoadBalancerArn", arn)
		ask(elb, "DescribeTags", "ResourceArns.member.1", arn)
		for _, heard := range ask(elb, "DescribeListeners", "LoadBalancerArn", arn).
			texts("DescribeListenersResult/Listeners/member/ListenerArn") {
			ask(elb, "DescribeListenerAttributes", "ListenerArn", heard)
			ask(elb, "DescribeRules", "ListenerArn", heard)
		}
	}
	return out
}

// mayAsk is a call that may be refused.
func mayAsk(c *client, service, action string, parameters ...string) answer {
	status, text := c.send(service, action, parameters...)
	if status != 200 {
		return answer{}
	}
	return parse(c.t, text)
}
