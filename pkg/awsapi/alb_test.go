package awsapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// front is a shop of which the provider has an ALB in two zones too, and a visitor in the
// provider's VPC.
type front struct {
	*shop
	alb, name string
	groups    map[string]string // security groups by name
	guest     string            // an instance that is in the group "guests"
}

func newFront(t testing.TB) *front {
	f := &front{shop: &shop{cloud: up(t, empty)}, groups: map[string]string{}}
	f.p, f.c = f.as("provider"), f.as("consumer")
	f.provider()
	for _, name := range []string{"guests", "front", "servers"} {
		f.groups[name] = f.p.ec2("CreateSecurityGroup", "GroupName", name, "GroupDescription", name, "VpcId",
			f.pvpc).at("groupId")
	}
	f.lets("guests", "front")
	f.lets("front", "servers")
	zoneB := f.p.ec2("CreateSubnet", "VpcId", f.pvpc, "CidrBlock", "10.0.2.0/24", "AvailabilityZone", "us-east-1b").
		at("subnet/subnetId")
	f.guest = f.p.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		f.psubnet, "SecurityGroupId.1", f.groups["guests"]).at("instancesSet/item/instanceId")
	made := f.p.elb("CreateLoadBalancer", "Name", "front", "Type", "application", "Scheme", "internal",
		"Subnets.member.1", f.psubnet, "Subnets.member.2", zoneB, "SecurityGroups.member.1", f.groups["front"])
	const balancer = "CreateLoadBalancerResult/LoadBalancers/member/"
	require.Equal(t, []string{f.groups["front"]}, made.texts(balancer+"SecurityGroups/member"))
	f.alb, f.name = made.at(balancer+"LoadBalancerArn"), made.at(balancer+"DNSName")
	return f
}

// lets lets in TCP port 80 from the members of a group.
func (f *front) lets(from, to string) {
	f.p.ec2("AuthorizeSecurityGroupIngress", "GroupId", f.groups[to], "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "80", "IpPermissions.1.Groups.1.GroupId",
		f.groups[from])
}

// version is a target group with an instance that answers with a name.
func (f *front) version(name string) string {
	id := f.p.ec2("RunInstances", "ImageId", "ami-0plinksimhttp0000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		f.psubnet, "SecurityGroupId.1", f.groups["servers"], "TagSpecification.1.ResourceType", "instance",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", name).at("instancesSet/item/instanceId")
	group := f.p.elb("CreateTargetGroup", "Name", name, "Protocol", "HTTP", "Port", "80", "VpcId", f.pvpc,
		"HealthCheckIntervalSeconds", "5", "HealthCheckTimeoutSeconds", "2", "HealthyThresholdCount", "2").
		at("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn")
	f.p.elb("RegisterTargets", "TargetGroupArn", group, "Targets.member.1.Id", id)
	return group
}

// listener makes one of HTTP on port 80 with a default action.
func (f *front) listener(action ...string) string {
	return f.p.elb("CreateListener", append([]string{"LoadBalancerArn", f.alb, "Protocol", "HTTP", "Port", "80"},
		action...)...).at("CreateListenerResult/Listeners/member/ListenerArn")
}

// reads wants a page of the ALB at an instance.
func (f *front) reads(instance, want string) {
	f.t.Helper()
	f.eventually(instance+" reads "+want, func() bool {
		text, err := f.get(instance, "http://"+f.name+"/")
		return text == want && (err == nil) == (want != "")
	})
}

// The groups of an ALB judge what comes to it, and its servers name its group, as
// everybody's Terraform has it.
func TestTheGroupsOfAnALBDecide(t *testing.T) {
	f := newFront(t)
	f.listener("DefaultActions.member.1.Type", "forward", "DefaultActions.member.1.TargetGroupArn", f.version("v1"))
	f.reads(f.guest, "v1")
	f.reads(f.web, "") // is in another group

	set := func(groups ...string) []string {
		parameters := []string{"LoadBalancerArn", f.alb}
		for i, g := range groups {
			parameters = append(parameters, "SecurityGroups.member."+string(rune('1'+i)), f.groups[g])
		}
		return f.p.elb("SetSecurityGroups", parameters...).texts("SetSecurityGroupsResult/SecurityGroupIds/member")
	}
	require.Equal(t, []string{f.groups["servers"]}, set("servers"))
	f.reads(f.guest, "")
	set("front", "servers")
	f.reads(f.guest, "v1")
	require.Equal(t, "ValidationError", f.p.elbCode("SetSecurityGroups", "LoadBalancerArn", f.alb))
	require.Equal(t, "DependencyViolation", f.p.code("DeleteSecurityGroup", "GroupId", f.groups["front"]))

	// Without a group it is in the VPC's default one.
	subnets := f.p.ec2("DescribeSubnets").texts("subnetSet/item/subnetId")
	made := f.p.elb("CreateLoadBalancer", "Name", "second", "Type", "application", "Subnets.member.1", subnets[0],
		"Subnets.member.2", subnets[1])
	usual := f.p.ec2("DescribeSecurityGroups", "Filter.1.Name", "group-name", "Filter.1.Value.1", "default").
		at("securityGroupInfo/item/groupId")
	require.Equal(t, usual, made.at("CreateLoadBalancerResult/LoadBalancers/member/SecurityGroups/member"))
}
