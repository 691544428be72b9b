package awsapi_test

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/awsapi"
)

// numbers are those of list elements in parameters.
var numbers = regexp.MustCompile(`\.\d+(\.|$)`)

func generic(parameter string) string {
	for {
		next := numbers.ReplaceAllString(parameter, ".N$1")
		if next == parameter {
			return next
		}
		parameter = next
	}
}

// shared are parts of requests that several operations read by the same code, so that one
// call is enough.
var shared = regexp.MustCompile(`^.* (IpPermissions\.N|TagSpecification\.N|Tags\.member\.N)\.`)

func part(parameter string) string { return shared.ReplaceAllString(parameter, "$1.") }

// Every parameter that an operation uses is sent in the walk.
func TestTheWalkSendsEveryParameter(t *testing.T) {
	sent := map[string]bool{}
	s := walkWith(t, func(_ *client, service, action string, form url.Values) {
		for parameter := range form {
			sent[service+" "+action+" "+generic(parameter)] = true
		}
	})
	s.walkParameters()
	for key := range sent {
		sent[part(key)] = true
	}
	var missing []string
	all := 0
	for key, parameters := range awsapi.UsedParameters() {
		for _, p := range parameters {
			all++
			if name := part(key + " " + p); !sent[name] && !slices.Contains(missing, name) {
				missing = append(missing, name)
			}
		}
	}
	slices.Sort(missing)
	t.Logf("%d parameters, %d of them not sent", all, len(missing))
	for _, m := range missing {
		t.Log(m)
	}
	require.Empty(t, missing)
}

// another is a value that differs from one, of the same kind where that can be told.
func another(value string) string {
	switch {
	case value == "true":
		return "false"
	case value == "false":
		return "true"
	case onlyDigits.MatchString(value):
		n, _ := strconv.Atoi(value)
		return strconv.Itoa(n + 1)
	}
	return "x" + value
}

var onlyDigits = regexp.MustCompile(`^\d+$`)

// call is one that was sent in the walk.
type sentCall struct {
	number          int
	service, action string
	form            url.Values
}

// Another value of a parameter gives another answer, or another lab: what everything that
// can be listed says after the call differs. Reads and what is shared are left out.
func TestEveryParameterMatters(t *testing.T) {
	testenv.NeedTime(t)
	var calls []sentCall
	s := walkWith(t, func(_ *client, service, action string, form url.Values) {
		calls = append(calls, sentCall{len(calls), service, action, form})
	})
	s.walkParameters()
	used := map[string]bool{}
	for key, parameters := range awsapi.UsedParameters() {
		for _, p := range parameters {
			used[part(key+" "+p)] = true
		}
	}
	tried := map[string]bool{}
	var without []string
	for _, c := range calls {
		if strings.HasPrefix(c.action, "Describe") || strings.HasPrefix(c.action, "Get") {
			continue
		}
		base := ""
		for _, parameter := range slices.Sorted(maps.Keys(c.form)) {
			name := part(c.service + " " + c.action + " " + generic(parameter))
			if !used[name] || tried[name] {
				continue
			}
			tried[name] = true
			if base == "" {
				base = s.after(t, c, "", "")
			}
			if s.after(t, c, parameter, another(c.form.Get(parameter))) == base {
				without = append(without, name+"="+c.form.Get(parameter))
			}
		}
	}
	slices.Sort(without)
	t.Logf("%d parameters", len(tried))
	for _, w := range without {
		t.Log(w)
	}
	require.Empty(t, without)
}

// after walks to a call again, makes it with another value of a parameter, and gives its
// answer and everything that is listed then.
func (s *shop) after(t *testing.T, c sentCall, parameter, value string) (all string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n := 0
		again := walkWith(t, func(client *client, service, action string, form url.Values) {
			n++
			if n-1 != c.number {
				return
			}
			client.before = nil
			again := *client
			if parameter != "" {
				form.Set(parameter, value)
			}
			status, text := again.post(service, form.Encode())
			all = strconv.Itoa(status) + secrets.ReplaceAllString(string(text), "") + again.everything()
			runtime.Goexit()
		})
		again.walkParameters()
	}()
	<-done
	return all
}

// everything is what can be listed.
func (c *client) everything() (out string) {
	c.cloud.before = nil
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
		// Whether a target is healthy yet is a matter of time.
		health := mayAsk(c, elb, "DescribeTargetHealth", "TargetGroupArn", arn)
		for _, one := range health.all("DescribeTargetHealthResult/TargetHealthDescriptions/member") {
			leaves := one.at("TargetHealth/State") == "draining"
			out += fmt.Sprintf("%s:%s leaves: %t\n", one.at("Target/Id"), one.at("Target/Port"), leaves)
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
