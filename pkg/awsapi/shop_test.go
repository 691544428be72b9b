package awsapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// shop is what most tests begin with: a provider with an instance behind an NLB that
// its service offers, and a consumer with an instance and an endpoint.
type shop struct {
	*cloud
	p, c                                           *client
	pvpc, psubnet, pgroup, web, nlb, group, heard  string
	service, name                                  string
	cvpc, csubnet, cgroup, visitor, endpoint, page string
}

// provider makes the provider's side.
func (s *shop) provider() {
	s.pvpc = s.p.ec2("CreateVpc", "CidrBlock", "10.0.0.0/16").at("vpc/vpcId")
	s.psubnet = s.p.ec2("CreateSubnet", "VpcId", s.pvpc, "CidrBlock", "10.0.1.0/24", "AvailabilityZone", "us-east-1a").
		at("subnet/subnetId")
	s.pgroup = s.p.ec2("CreateSecurityGroup", "GroupName", "web", "GroupDescription", "web", "VpcId",
		s.pvpc).at("groupId")
	s.p.ec2("AuthorizeSecurityGroupIngress", "GroupId", s.pgroup, "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "80", "IpPermissions.1.IpRanges.1.CidrIp",
		"10.0.0.0/16")
	s.web = s.p.ec2("RunInstances", "ImageId", "ami-0plinksimhttp0000", "MinCount", "1", "MaxCount", "1",
		"InstanceType",
		"t3.micro", "SubnetId", s.psubnet, "PrivateIpAddress", "10.0.1.10", "SecurityGroupId.1", s.pgroup,
		"TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key", "Name",
		"TagSpecification.1.Tag.1.Value",
		"web").at("instancesSet/item/instanceId")
	s.nlb = s.p.elb("CreateLoadBalancer", "Name", "nlb1", "Type", "network", "Scheme", "internal", "Subnets.member.1",
		s.psubnet).at("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn")
	s.group = s.p.elb("CreateTargetGroup", "Name", "tg1", "Protocol", "TCP", "Port", "80", "VpcId", s.pvpc,
		"HealthCheckIntervalSeconds", "5", "HealthCheckTimeoutSeconds", "2", "HealthyThresholdCount", "2",
		"UnhealthyThresholdCount", "2").at("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn")
	s.p.elb("RegisterTargets", "TargetGroupArn", s.group, "Targets.member.1.Id", s.web)
	s.heard = s.p.elb("CreateListener", "LoadBalancerArn", s.nlb, "Protocol", "TCP", "Port", "80",
		"DefaultActions.member.1.Type", "forward", "DefaultActions.member.1.TargetGroupArn", s.group).
		at("CreateListenerResult/Listeners/member/ListenerArn")
	made := s.p.ec2("CreateVpcEndpointServiceConfiguration", "NetworkLoadBalancerArn.1", s.nlb, "AcceptanceRequired",
		"true")
	s.service, s.name = made.at("serviceConfiguration/serviceId"), made.at("serviceConfiguration/serviceName")
	s.p.ec2("ModifyVpcEndpointServicePermissions", "ServiceId", s.service, "AddAllowedPrincipals.1",
		"arn:aws:iam::"+s.c.number+":root")
}

// consumer makes the consumer's side, with the same addresses.
func (s *shop) consumer() {
	s.cvpc = s.c.ec2("CreateVpc", "CidrBlock", "10.0.0.0/16").at("vpc/vpcId")
	s.csubnet = s.c.ec2("CreateSubnet", "VpcId", s.cvpc, "CidrBlock", "10.0.1.0/24", "AvailabilityZone", "us-east-1a").
		at("subnet/subnetId")
	s.cgroup = s.c.ec2("CreateSecurityGroup", "GroupName", "ep", "GroupDescription", "ep", "VpcId",
		s.cvpc).at("groupId")
	s.c.ec2("AuthorizeSecurityGroupIngress", "GroupId", s.cgroup, "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "80", "IpPermissions.1.IpRanges.1.CidrIp",
		"10.0.0.0/16")
	s.visitor = s.c.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1",
		"SubnetId",
		s.csubnet, "PrivateIpAddress", "10.0.1.10").at("instancesSet/item/instanceId")
	made := s.c.ec2("CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId", s.cvpc, "ServiceName", s.name,
		"SubnetId.1",
		s.csubnet, "SecurityGroupId.1", s.cgroup)
	s.endpoint = made.at("vpcEndpoint/vpcEndpointId")
	s.page = "http://" + made.at("vpcEndpoint/dnsEntrySet/item/dnsName") + "/"
	require.Equal(s.t, "pendingAcceptance", made.at("vpcEndpoint/state"))
}

func newShop(t testing.TB) *shop {
	s := &shop{cloud: up(t, empty)}
	s.p, s.c = s.as("provider"), s.as("consumer")
	s.provider()
	s.consumer()
	return s
}

// state is the state of the endpoint.
func (s *shop) state() string {
	return s.c.ec2("DescribeVpcEndpoints", "VpcEndpointId.1", s.endpoint).at("vpcEndpointSet/item/state")
}

func (s *shop) accept() {
	s.p.ec2("AcceptVpcEndpointConnections", "ServiceId", s.service, "VpcEndpointId.1", s.endpoint)
	s.eventually("the endpoint is available", func() bool { return s.state() == "available" })
}

// reads wants a page within ten seconds, and none where it is "".
func (s *shop) reads(url, want string) {
	s.t.Helper()
	s.eventually(url+" answers "+want, func() bool {
		text, err := s.get(s.visitor, url)
		return text == want && (err == nil) == (want != "")
	})
}

// From two empty accounts to a page, and back: what the API says is what packets do.
func TestAPageComesThroughWhatTheAPIMade(t *testing.T) {
	s := newShop(t)
	s.reads(s.page, "")
	s.accept()
	s.reads(s.page, "web")

	// Acceptance decides over packets.
	s.p.ec2("RejectVpcEndpointConnections", "ServiceId", s.service, "VpcEndpointId.1", s.endpoint)
	require.Equal(t, "rejected", s.p.ec2("DescribeVpcEndpointConnections", "Filter.1.Name", "service-id",
		"Filter.1.Value.1",
		s.service).at("vpcEndpointConnectionSet/item/vpcEndpointState"))
	s.reads(s.page, "")
	s.accept()
	s.reads(s.page, "web")

	// Who is not allowed hears that there is no such service, and keeps what is there.
	s.p.ec2("ModifyVpcEndpointServicePermissions", "ServiceId", s.service, "RemoveAllowedPrincipals.1",
		"arn:aws:iam::"+s.c.number+":root")
	require.Equal(t, "InvalidServiceName", s.c.code("CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId",
		s.cvpc,
		"ServiceName", s.name, "SubnetId.1", s.csubnet))
	s.reads(s.page, "web")
	s.p.ec2("ModifyVpcEndpointServicePermissions", "ServiceId", s.service, "AddAllowedPrincipals.1",
		"arn:aws:iam::"+s.c.number+":root")

	// A second zone comes by the load balancer, the service and the endpoint.
	psubnet := s.p.ec2("CreateSubnet", "VpcId", s.pvpc, "CidrBlock", "10.0.2.0/24", "AvailabilityZone", "us-east-1b").
		at("subnet/subnetId")
	csubnet := s.c.ec2("CreateSubnet", "VpcId", s.cvpc, "CidrBlock", "10.0.2.0/24", "AvailabilityZone", "us-east-1b").
		at("subnet/subnetId")
	web2 := s.p.ec2("RunInstances", "ImageId", "ami-0plinksimhttp0000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		psubnet,
		"SecurityGroupId.1", s.pgroup, "TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key",
		"Name",
		"TagSpecification.1.Tag.1.Value", "web2").at("instancesSet/item/instanceId")
	s.p.elb("SetSubnets", "LoadBalancerArn", s.nlb, "Subnets.member.1", s.psubnet, "Subnets.member.2", psubnet)
	s.p.elb("RegisterTargets", "TargetGroupArn", s.group, "Targets.member.1.Id", web2)
	require.Equal(t, "InvalidParameter", s.c.code("ModifyVpcEndpoint", "VpcEndpointId", s.endpoint, "AddSubnetId.1",
		csubnet),
		"the service does not offer the zone yet")
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service)
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "AddNetworkLoadBalancerArn.1", s.nlb)
	s.c.ec2("ModifyVpcEndpoint", "VpcEndpointId", s.endpoint, "AddSubnetId.1", csubnet)
	names := s.c.ec2("DescribeVpcEndpoints", "VpcEndpointId.1",
		s.endpoint).texts("vpcEndpointSet/item/dnsEntrySet/item/dnsName")
	require.Len(t, names, 3)
	s.reads("http://"+names[2]+"/", "web2")
	s.c.ec2("ModifyVpcEndpoint", "VpcEndpointId", s.endpoint, "RemoveSubnetId.1", csubnet)
	require.Len(t, s.c.ec2("DescribeVpcEndpoints").texts("vpcEndpointSet/item/subnetIdSet/item"), 1)

	// A group's rule is revoked under traffic.
	s.reads(s.page, "web")
	s.c.ec2("RevokeSecurityGroupIngress", "GroupId", s.cgroup, "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "80", "IpPermissions.1.IpRanges.1.CidrIp",
		"10.0.0.0/16")
	s.reads(s.page, "")
	s.c.ec2("AuthorizeSecurityGroupIngress", "GroupId", s.cgroup, "IpPermissions.1.IpProtocol", "-1",
		"IpPermissions.1.IpRanges.1.CidrIp", "10.0.1.10/32")
	s.reads(s.page, "web")

	s.takeApart(psubnet, csubnet, web2)
}

// takeApart deletes everything, in an order that clouds force on their users.
func (s *shop) takeApart(psubnet, csubnet, web2 string) {
	t := s.t
	require.Equal(t, "ResourceInUse", s.p.elbCode("DeleteTargetGroup", "TargetGroupArn", s.group))
	require.Equal(t, "ResourceInUse", s.p.elbCode("DeleteLoadBalancer", "LoadBalancerArn", s.nlb))
	failed := s.p.ec2("DeleteVpcEndpointServiceConfigurations", "ServiceId.1", s.service)
	require.Equal(t, "ExistingVpcEndpointConnections", failed.at("unsuccessful/item/error/code"))
	for _, row := range [][]string{
		{"DeleteSubnet", "SubnetId", s.csubnet}, {"DeleteSecurityGroup", "GroupId", s.cgroup}, {"DeleteVpc", "VpcId",
			s.cvpc},
	} {
		require.Equal(t, "DependencyViolation", s.c.code(row[0], row[1], row[2]), row[0])
	}
	require.Empty(t, s.c.ec2("DeleteVpcEndpoints", "VpcEndpointId.1", s.endpoint).at("unsuccessful/item/error/code"))
	require.Equal(t, "InvalidVpcEndpointId.NotFound", s.c.code("DescribeVpcEndpoints", "VpcEndpointId.1", s.endpoint))
	require.Equal(t, "InvalidVpcEndpoint.NotFound",
		s.c.ec2("DeleteVpcEndpoints", "VpcEndpointId.1", s.endpoint).at("unsuccessful/item/error/code"))
	s.c.ec2("TerminateInstances", "InstanceId.1", s.visitor)
	require.Equal(t, "terminated", s.c.ec2("DescribeInstances", "InstanceId.1", s.visitor).
		at("reservationSet/item/instancesSet/item/instanceState/name"))
	for _, subnet := range []string{s.csubnet, csubnet} {
		s.c.ec2("DeleteSubnet", "SubnetId", subnet)
	}
	s.c.ec2("DeleteSecurityGroup", "GroupId", s.cgroup)
	s.c.ec2("DeleteVpc", "VpcId", s.cvpc)

	require.Empty(t, s.p.ec2("DeleteVpcEndpointServiceConfigurations", "ServiceId.1",
		s.service).at("unsuccessful/item/error/code"))
	s.p.elb("DeleteListener", "ListenerArn", s.heard)
	s.p.elb("DeleteLoadBalancer", "LoadBalancerArn", s.nlb)
	s.p.elb("DeleteTargetGroup", "TargetGroupArn", s.group)
	s.p.ec2("TerminateInstances", "InstanceId.1", s.web, "InstanceId.2", web2)
	s.p.ec2("DeleteSubnet", "SubnetId", s.psubnet)
	s.p.ec2("DeleteSubnet", "SubnetId", psubnet)
	s.p.ec2("DeleteSecurityGroup", "GroupId", s.pgroup)
	s.p.ec2("DeleteVpc", "VpcId", s.pvpc)
	require.Empty(t, s.lab.Edits(), "nothing is left of what was made")
}
