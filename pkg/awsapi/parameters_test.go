package awsapi_test

import (
	"cmp"
	"fmt"

	"github.com/stretchr/testify/require"
)

// walkParameters sends the parameters that the walk has no need of.
func (s *shop) walkParameters() {
	s.moreOfNetworks()
	s.moreOfInstances()
	s.moreOfEndpoints()
	s.moreOfBalancers()
	s.moreOfRules()
}

func (s *shop) moreOfNetworks() {
	vpc := s.p.ec2("CreateVpc", "CidrBlock", "10.30.0.0/16", "TagSpecification.1.ResourceType", "vpc",
		"TagSpecification.1.Tag.1.Key", "team", "TagSpecification.1.Tag.1.Value", "net").at("vpc/vpcId")
	s.p.ec2("DeleteTags", "ResourceId.1", vpc, "Tag.1.Key", "team", "Tag.1.Value", "net")
	block := s.p.ec2("AssociateVpcCidrBlock", "VpcId", vpc, "AmazonProvidedIpv6CidrBlock", "true").
		at("ipv6CidrBlockAssociation/ipv6CidrBlock")
	s.p.ec2("ModifyVpcAttribute", "VpcId", vpc, "EnableDnsSupport.Value", "false")
	s.p.ec2("ModifyVpcAttribute", "VpcId", vpc, "EnableNetworkAddressUsageMetrics.Value", "false")
	subnet := s.p.ec2("CreateSubnet", "VpcId", vpc, "CidrBlock", "10.30.0.0/24", "AvailabilityZoneId", "use1-az2",
		"Ipv6CidrBlock", block[:len(block)-len("/56")]+"/64").at("subnet/subnetId")
	s.p.ec2("ModifySubnetAttribute", "SubnetId", subnet, "AssignIpv6AddressOnCreation.Value", "true")
	s.p.ec2("ModifySubnetAttribute", "SubnetId", subnet, "EnableDns64.Value", "false")
	address := block[:len(block)-len("/56")-1] + ":77"
	s.p.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1", "SubnetId", subnet,
		"Ipv6Address.1.Ipv6Address", address, "Placement.AvailabilityZone", "us-east-1b")

	group := s.p.ec2("CreateSecurityGroup", "GroupName", "more", "GroupDescription", "more", "VpcId", vpc).at("groupId")
	id := "securityGroupRuleSet/item/securityGroupRuleId"
	rule := s.p.ec2("AuthorizeSecurityGroupIngress", "GroupId", group, "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "1", "IpPermissions.1.ToPort", "2", "IpPermissions.1.Groups.1.GroupId", group,
		"IpPermissions.1.Groups.1.UserId", s.p.number, "IpPermissions.1.Groups.1.VpcId", vpc).at(id)
	s.p.ec2("ModifySecurityGroupRules", "GroupId", group, "SecurityGroupRule.1.SecurityGroupRuleId", rule,
		"SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "-1", "SecurityGroupRule.1.SecurityGroupRule.CidrIpv6",
		"2001:db8::/32",
		"SecurityGroupRule.1.SecurityGroupRule.Description", "six")
	s.p.ec2("ModifySecurityGroupRules", "GroupId", group, "SecurityGroupRule.1.SecurityGroupRuleId", rule,
		"SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "-1",
		"SecurityGroupRule.1.SecurityGroupRule.ReferencedGroupId", group)
	s.p.ec2("AuthorizeSecurityGroupIngress", "GroupId", group, "IpPermissions.1.IpProtocol", "-1",
		"IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0", "IpPermissions.1.Ipv6Ranges.1.Description", "all",
		"TagSpecification.1.ResourceType", "security-group-rule", "TagSpecification.1.Tag.1.Key", "a",
		"TagSpecification.1.Tag.1.Value", "b")
	short := []string{"GroupId", group, "IpProtocol", "udp", "FromPort", "5", "ToPort", "6", "CidrIp", "10.0.0.0/8"}
	s.p.ec2("AuthorizeSecurityGroupIngress", short...)
	s.p.ec2("RevokeSecurityGroupIngress", short...)
	out := s.p.ec2("AuthorizeSecurityGroupEgress", "GroupId", group, "IpPermissions.1.IpProtocol", "icmp",
		"IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8").at(id)
	s.p.ec2("UpdateSecurityGroupRuleDescriptionsEgress", "GroupId", group,
		"SecurityGroupRuleDescription.1.SecurityGroupRuleId", out, "SecurityGroupRuleDescription.1.Description",
		"pings")
	s.p.ec2("RevokeSecurityGroupEgress", "GroupId", group, "SecurityGroupRuleId.1", out)
}

func (s *shop) moreOfInstances() {
	run := []string{"ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1"}
	id := s.p.ec2("RunInstances", append(run, "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.SubnetId",
		s.psubnet,
		"NetworkInterface.1.SecurityGroupId.1", s.pgroup, "NetworkInterface.1.PrivateIpAddress", "10.0.1.40",
		"DisableApiTermination", "true")...).at("instancesSet/item/instanceId")
	s.p.ec2("RunInstances", append(run, "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.SubnetId", s.psubnet,
		"NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress", "10.0.1.41",
		"NetworkInterface.1.PrivateIpAddresses.1.Primary", "true")...)
	s.p.ec2("RunInstances", append(run, "SubnetId", s.psubnet, "IamInstanceProfile.Name", "app",
		"MetadataOptions.HttpEndpoint", "disabled", "MetadataOptions.HttpTokens", "optional",
		"MetadataOptions.HttpPutResponseHopLimit", "3", "MetadataOptions.InstanceMetadataTags", "enabled")...)
	s.p.ec2("RunInstances", append(run, "SubnetId", s.psubnet,
		"IamInstanceProfile.Arn", "arn:aws:iam::"+s.p.number+":instance-profile/app")...)
	require.Equal(s.t, "OperationNotPermitted", s.p.code("TerminateInstances", "InstanceId.1", id))
	s.p.ec2("ModifyInstanceAttribute", "InstanceId", id, "DisableApiTermination.Value", "false")
	s.p.ec2("ModifyInstanceAttribute", "InstanceId", id, "SourceDestCheck.Value", "false")
}

func (s *shop) moreOfEndpoints() {
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "RemovePrivateDnsName", "true")
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "AddSupportedRegion.1", "us-east-1")
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "AddSupportedIpAddressType.1", "ipv4")
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "RemoveSupportedIpAddressType.1", "ipv6")
	second := s.p.elb("CreateLoadBalancer", "Name", "second", "Type", "network", "SubnetMappings.member.1.SubnetId",
		s.psubnet,
		"SubnetMappings.member.1.PrivateIPv4Address",
		"10.0.1.50").at("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn")
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "AddNetworkLoadBalancerArn.1", second)
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "RemoveNetworkLoadBalancerArn.1", second)
	other := s.p.ec2("CreateVpcEndpointServiceConfiguration", "NetworkLoadBalancerArn.1", second,
		"AcceptanceRequired", "false",
		"PrivateDnsName", "other.example.com", "SupportedIpAddressType.1", "ipv4", "SupportedRegion.1", "us-east-1")
	id, name := other.at("serviceConfiguration/serviceId"), other.at("serviceConfiguration/serviceName")
	s.p.ec2("ModifyVpcEndpointServicePermissions", "ServiceId", id, "AddAllowedPrincipals.1", "*")
	zoneB := s.c.ec2("CreateSubnet", "VpcId", s.cvpc, "CidrBlock", "10.0.3.0/24", "AvailabilityZone",
		"us-east-1a").at("subnet/subnetId")
	endpoint := s.c.ec2("CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId", s.cvpc, "ServiceName", name,
		"SubnetConfiguration.1.SubnetId", s.csubnet, "SubnetConfiguration.1.Ipv4", "10.0.1.60", "IpAddressType", "ipv4",
		"DnsOptions.DnsRecordIpType", "ipv4", "PrivateDnsEnabled", "false", "PolicyDocument",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`).at("vpcEndpoint/vpcEndpointId")
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", id, "AcceptanceRequired", "true")
	s.p.ec2("ModifyVpcEndpointServicePermissions", "ServiceId", id, "RemoveAllowedPrincipals.1", "*")
	group := s.c.ec2("CreateSecurityGroup", "GroupName", "third", "GroupDescription", "third", "VpcId",
		s.cvpc).at("groupId")
	s.c.ec2("ModifyVpcEndpoint", "VpcEndpointId", endpoint, "AddSecurityGroupId.1", group)
	s.c.ec2("ModifyVpcEndpoint", "VpcEndpointId", endpoint, "RemoveSecurityGroupId.1", group)
	s.c.ec2("ModifyVpcEndpoint", "VpcEndpointId", endpoint, "RemoveSubnetId.1", s.csubnet, "AddSubnetId.1", zoneB)
	s.c.ec2("ModifyVpcEndpoint", "VpcEndpointId", endpoint, "IpAddressType", "ipv4", "DnsOptions.DnsRecordIpType",
		"ipv4",
		"PolicyDocument", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`)
	require.Equal(s.t, "InvalidParameter", s.c.code("ModifyVpcEndpoint", "VpcEndpointId", endpoint,
		"PrivateDnsEnabled", "true"))
	require.Equal(s.t, "InvalidParameterValue", s.c.code("CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId",
		s.cvpc,
		"ServiceName", s.name, "SubnetConfiguration.1.SubnetId", s.csubnet, "SubnetConfiguration.1.Ipv6",
		"2001:db8::7"))
}

func (s *shop) moreOfBalancers() {
	arn := "CreateTargetGroupResult/TargetGroups/member/TargetGroupArn"
	group := s.p.elb("CreateTargetGroup", "Name", "by-address", "Protocol", "TCP", "Port", "80", "VpcId", s.pvpc,
		"TargetType", "ip", "IpAddressType", "ipv4", "HealthCheckEnabled", "true", "HealthCheckProtocol", "HTTP",
		"HealthCheckPort", "8080").at(arn)
	s.p.elb("RegisterTargets", "TargetGroupArn", group, "Targets.member.1.Id", "10.0.1.10", "Targets.member.1.Port",
		"81")
	s.p.elb("DescribeTargetHealth", "TargetGroupArn", group, "Targets.member.1.Id", "10.0.1.10",
		"Targets.member.1.Port", "81")
	s.p.elb("DeregisterTargets", "TargetGroupArn", group, "Targets.member.1.Id", "10.0.1.10", "Targets.member.1.Port",
		"81")
	s.p.elb("ModifyTargetGroup", "TargetGroupArn", group, "HealthCheckPath", "/up", "HealthCheckPort", "8081",
		"HealthCheckIntervalSeconds", "20", "HealthyThresholdCount", "4", "UnhealthyThresholdCount", "3",
		"Matcher.HttpCode",
		"204", "HealthCheckEnabled", "true", "HealthCheckProtocol", "HTTP")
	s.p.elb("CreateTargetGroup", "Name", "web", "Protocol", "HTTP", "ProtocolVersion", "HTTP1", "Port", "80", "VpcId",
		s.pvpc)
	plain := s.p.elb("CreateTargetGroup", "Name", "udp", "Protocol", "UDP", "Port", "53", "VpcId", s.pvpc).at(arn)
	nlb := s.p.elb("CreateLoadBalancer", "Name", "third", "Type", "network", "Subnets.member.1", s.psubnet,
		"IpAddressType",
		"ipv4").at("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn")
	listener := s.p.elb("CreateListener", "LoadBalancerArn", nlb, "Protocol", "TCP", "Port", "80",
		"DefaultActions.member.1.Type", "forward",
		"DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", s.group).
		at("CreateListenerResult/Listeners/member/ListenerArn")
	s.p.elb("ModifyListener", "ListenerArn", listener, "DefaultActions.member.1.Type", "forward",
		"DefaultActions.member.1.TargetGroupArn", group)
	s.p.elb("ModifyListener", "ListenerArn", listener, "Protocol", "UDP", "DefaultActions.member.1.Type", "forward",
		"DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", plain)
	s.p.elb("SetSubnets", "LoadBalancerArn", nlb, "IpAddressType", "ipv4", "SubnetMappings.member.1.SubnetId",
		s.psubnet,
		"SubnetMappings.member.1.PrivateIPv4Address", "10.0.1.70")
	six := []string{"SubnetMappings.member.1.SubnetId", s.psubnet, "SubnetMappings.member.1.IPv6Address", "2001:db8::9"}
	s.p.elbCode("CreateLoadBalancer", append(six, "Name", "six", "Type", "network")...)
	s.p.elbCode("SetSubnets", append(six, "LoadBalancerArn", nlb)...)
	s.p.do("sts", "AssumeRole", "RoleArn", "arn:aws:iam::"+s.c.number+":role/x", "RoleSessionName", "x",
		"DurationSeconds", "900")
}

func (s *shop) moreOfRules() {
	subnets := s.p.ec2("DescribeSubnets", "Filter.1.Name", "vpc-id", "Filter.1.Value.1",
		s.pvpc).texts("subnetSet/item/subnetId")
	alb := s.p.elb("CreateLoadBalancer", "Name", "pages", "Type", "application", "Scheme", "internal",
		"Subnets.member.1",
		subnets[0], "Subnets.member.2", subnets[1]).at("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn")
	group := s.p.elb("CreateTargetGroup", "Name", "site", "Protocol", "HTTP", "Port", "80", "VpcId", s.pvpc).
		at("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn")
	heard := s.p.elb("CreateListener", "LoadBalancerArn", alb, "Protocol", "HTTP", "Port", "80",
		"DefaultActions.member.1.Type", "forward", "DefaultActions.member.1.TargetGroupArn", group).
		at("CreateListenerResult/Listeners/member/ListenerArn")
	arn := "CreateRuleResult/Rules/member/RuleArn"
	host := []string{"Conditions.member.1.Field", "host-header",
		"Conditions.member.1.HostHeaderConfig.Values.member.1", "a.example"}
	path := []string{"Conditions.member.1.Field", "path-pattern",
		"Conditions.member.1.PathPatternConfig.Values.member.1", "/a"}
	redirect := []string{"Actions.member.1.Type", "redirect", "Actions.member.1.RedirectConfig.StatusCode", "HTTP_302",
		"Actions.member.1.RedirectConfig.Host", "b.example", "Actions.member.1.RedirectConfig.Path", "/b",
		"Actions.member.1.RedirectConfig.Port", "8443", "Actions.member.1.RedirectConfig.Protocol", "HTTPS",
		"Actions.member.1.RedirectConfig.Query", "q=1"}
	target := []string{"Actions.member.1.Type", "forward", "Actions.member.1.TargetGroupArn", group}
	weighted := []string{"Actions.member.1.Type", "forward",
		"Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", group}
	fixed := []string{"Actions.member.1.Type", "fixed-response", "Actions.member.1.FixedResponseConfig.StatusCode",
		"404",
		"Actions.member.1.FixedResponseConfig.MessageBody", "no", "Actions.member.1.FixedResponseConfig.ContentType",
		"text/html"}
	all := func(parts ...[]string) (out []string) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	s.moreOfActions(heard, group)
	s.p.elb("CreateRule", all([]string{"ListenerArn", heard, "Priority", "1"}, host, redirect)...)
	s.p.elb("CreateRule", all([]string{"ListenerArn", heard, "Priority", "2"}, path, target)...)
	s.p.elb("CreateRule", all([]string{"ListenerArn", heard, "Priority", "3"}, path, weighted)...)
	rule := s.p.elb("CreateRule", all([]string{"ListenerArn", heard, "Priority", "4"}, path, fixed)...).at(arn)
	s.p.elb("ModifyRule", all([]string{"RuleArn", rule}, host, redirect)...)
	s.p.elb("ModifyRule", all([]string{"RuleArn", rule}, path, target)...)
	s.p.elb("ModifyRule", all([]string{"RuleArn", rule, "Conditions.member.1.Field", "path-pattern",
		"Conditions.member.1.Values.member.1", "/c"}, weighted)...)
}

// moreOfActions are what rules and default actions of a listener have that leads to a group.
func (s *shop) moreOfActions(heard, group string) {
	second := s.p.elb("CreateTargetGroup", "Name", "site2", "Protocol", "HTTP", "Port", "80", "VpcId", s.pvpc).
		at("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn")
	prefixed := func(prefix string, parameters ...string) (out []string) {
		for i := 0; i < len(parameters); i += 2 {
			out = append(out, prefix+".member.1."+parameters[i], parameters[i+1])
		}
		return out
	}
	actions := func(prefix string) [][]string {
		return [][]string{
			prefixed(prefix, "Type", "forward", "ForwardConfig.TargetGroups.member.1.TargetGroupArn", group,
				"ForwardConfig.TargetGroups.member.1.Weight", "2", "ForwardConfig.TargetGroups.member.2.TargetGroupArn",
				second, "ForwardConfig.TargetGroups.member.2.Weight", "3",
				"ForwardConfig.TargetGroupStickinessConfig.Enabled", "false"),
			prefixed(prefix, "Type", "redirect", "RedirectConfig.StatusCode", "HTTP_302", "RedirectConfig.Host",
				"b.example", "RedirectConfig.Path", "/b", "RedirectConfig.Port", "8443", "RedirectConfig.Protocol",
				"HTTPS", "RedirectConfig.Query", "q=1"),
			prefixed(prefix, "Type", "fixed-response", "FixedResponseConfig.StatusCode", "404",
				"FixedResponseConfig.MessageBody", "no", "FixedResponseConfig.ContentType", "text/html"),
		}
	}
	alb := s.p.elb("DescribeListeners", "ListenerArns.member.1", heard).
		at("DescribeListenersResult/Listeners/member/LoadBalancerArn")
	for i, does := range actions("DefaultActions") {
		s.p.elb("CreateListener", append([]string{"LoadBalancerArn", alb, "Protocol", "HTTP", "Port",
			fmt.Sprint(8000 + i)}, does...)...)
		s.p.elb("ModifyListener", append([]string{"ListenerArn", heard}, does...)...)
	}
	const first = ".Values.member.1"
	var rule string
	for i, condition := range [][]string{
		{"Field", "http-header", "HttpHeaderConfig.HttpHeaderName", "X-A", "HttpHeaderConfig" + first, "a"},
		{"Field", "query-string", "QueryStringConfig" + first + ".Key", "a", "QueryStringConfig" + first + ".Value", "b"},
		{"Field", "http-request-method", "HttpRequestMethodConfig" + first, "PUT"},
		{"Field", "source-ip", "SourceIpConfig" + first, "10.0.0.0/16"},
	} {
		does := actions("Actions")[0]
		made := s.p.elb("CreateRule", append(append([]string{"ListenerArn", heard, "Priority", fmt.Sprint(20 + i)},
			prefixed("Conditions", condition...)...), does...)...)
		rule = cmp.Or(rule, made.at("CreateRuleResult/Rules/member/RuleArn"))
		s.p.elb("ModifyRule", append(append([]string{"RuleArn", rule}, prefixed("Conditions", condition...)...),
			does...)...)
	}
}
