package awsapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What an attribute is of may be switched on in the same call, or later: a client may send
// both at once, in an order of its own.
func TestAttributesAreKeptUntilTheyAreSwitchedOn(t *testing.T) {
	s := newShop(t)
	cookies := s.p.elb("CreateTargetGroup", "Name", "cookies", "Protocol", "HTTP", "Port", "80", "VpcId", s.pvpc).
		at("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn")
	set := func(group string, pairs ...string) {
		parameters := []string{"TargetGroupArn", group}
		for i := 0; i < len(pairs); i += 2 {
			at := "Attributes.member." + string(rune('1'+i/2))
			parameters = append(parameters, at+".Key", pairs[i], at+".Value", pairs[i+1])
		}
		s.p.elb("ModifyTargetGroupAttributes", parameters...)
	}
	get := func(group, key string) string {
		for _, a := range s.p.elb("DescribeTargetGroupAttributes", "TargetGroupArn", group).
			all("DescribeTargetGroupAttributesResult/Attributes/member") {
			if a.at("Key") == key {
				return a.at("Value")
			}
		}
		return ""
	}
	const enabled, duration = "stickiness.enabled", "stickiness.lb_cookie.duration_seconds"
	set(cookies, enabled, "true", duration, "600")
	require.Equal(t, []string{"true", "600"}, []string{get(cookies, enabled), get(cookies, duration)})
	set(cookies, duration, "700")
	set(cookies, enabled, "false")
	require.Equal(t, []string{"false", "700"}, []string{get(cookies, enabled), get(cookies, duration)})
	set(cookies, duration, "800")
	set(cookies, enabled, "true")
	group, err := s.lab.Plan().ServerGroup("cookies")
	require.NoError(t, err)
	require.Equal(t, "13m20s", group.Persistence.Timeout.String())

	const header, placement = "proxy_protocol_v2.enabled", "proxy_protocol_v2.client_to_server.header_placement"
	set(s.group, placement, "on_first_ack")
	require.Equal(t, []string{"false", "on_first_ack"}, []string{get(s.group, header), get(s.group, placement)})
	set(s.group, header, "true")
	group, err = s.lab.Plan().ServerGroup("tg1")
	require.NoError(t, err)
	require.EqualValues(t, "on_first_ack", group.ProxyProtocol)
}

// A load balancer is told how long sessions may be silent before it has a listener, and
// what a lab does not do is kept and listed as ignored where it changes nothing.
func TestAttributesOfALoadBalancerWithoutListeners(t *testing.T) {
	s := newShop(t)
	second := s.p.ec2("CreateSubnet", "VpcId", s.pvpc, "CidrBlock", "10.0.2.0/24", "AvailabilityZone", "us-east-1b").
		at("subnet/subnetId")
	alb := s.p.elb("CreateLoadBalancer", "Name", "front", "Type", "application", "Subnets.member.1", s.psubnet,
		"Subnets.member.2", second).at("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn")
	s.p.elb("ModifyLoadBalancerAttributes", "LoadBalancerArn", alb,
		"Attributes.member.1.Key", "idle_timeout.timeout_seconds", "Attributes.member.1.Value", "30",
		"Attributes.member.2.Key", "routing.http2.enabled", "Attributes.member.2.Value", "false")
	calls := s.server.Calls()
	require.Len(t, calls[len(calls)-1].Ignored, 1)
	require.Contains(t, calls[len(calls)-1].Ignored[0], "routing.http2.enabled: ")
	group := s.p.elb("CreateTargetGroup", "Name", "front", "Protocol", "HTTP", "Port", "80", "VpcId", s.pvpc).
		at("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn")
	s.p.elb("CreateListener", "LoadBalancerArn", alb, "Protocol", "HTTP", "Port", "80",
		"DefaultActions.member.1.Type", "forward", "DefaultActions.member.1.TargetGroupArn", group)
	l, err := s.lab.Plan().LoadBalancer("front")
	require.NoError(t, err)
	require.Equal(t, "30s", l.Listeners[0].IdleTimeout.String())
	values := map[string]string{}
	for _, a := range s.p.elb("DescribeLoadBalancerAttributes", "LoadBalancerArn", alb).
		all("DescribeLoadBalancerAttributesResult/Attributes/member") {
		values[a.at("Key")] = a.at("Value")
	}
	require.Equal(t, "30", values["idle_timeout.timeout_seconds"])
	require.Equal(t, "false", values["routing.http2.enabled"])
}
