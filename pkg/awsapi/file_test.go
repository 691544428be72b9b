package awsapi_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/awsapi"
)

// The lab of a file is what clients find, under the names of the file, and what they
// change of it.
func TestALabOfAFileIsDriven(t *testing.T) {
	text, err := os.ReadFile("../../testdata/topologies/aws-nlb.yaml")
	require.NoError(t, err)
	withoutChecks, _, _ := strings.Cut(string(text), "\nchecks:")
	c := up(t, withoutChecks)
	plan := c.lab.Plan()
	service, err := plan.Service(plan.Services[0].Name)
	require.NoError(t, err)
	endpoint := plan.Endpoints[0]
	p, consumer := c.as(service.Account), c.as(endpoint.Account)
	require.Equal(t, []string{service.Name}, p.ec2("DescribeVpcEndpointServiceConfigurations").
		texts("serviceConfigurationSet/item/tagSet/item/value"))
	state := func() string {
		return consumer.ec2("DescribeVpcEndpoints", "Filter.1.Name", "tag:Name", "Filter.1.Value.1", endpoint.Name).
			at("vpcEndpointSet/item/state")
	}
	require.Equal(t, "pendingAcceptance", state())
	require.Empty(t, p.ec2("AcceptVpcEndpointConnections", "ServiceId", service.ID, "VpcEndpointId.1", endpoint.ID).
		at("unsuccessful/item/error/code"))
	c.eventually("the endpoint is available", func() bool { return state() == "available" })

	// A subnet goes and comes, whether the file has them as a list or by name.
	zone := endpoint.Zones[len(endpoint.Zones)-1]
	vpc, err := plan.VPC(endpoint.VPC)
	require.NoError(t, err)
	subnet, err := vpc.Subnet(zone.Subnet)
	require.NoError(t, err)
	subnets := func() []string {
		return consumer.ec2("DescribeVpcEndpoints", "VpcEndpointId.1",
			endpoint.ID).texts("vpcEndpointSet/item/subnetIdSet/item")
	}
	before := subnets()
	require.Contains(t, before, subnet.ID)
	consumer.ec2("ModifyVpcEndpoint", "VpcEndpointId", endpoint.ID, "RemoveSubnetId.1", subnet.ID)
	require.NotContains(t, subnets(), subnet.ID)
	consumer.ec2("ModifyVpcEndpoint", "VpcEndpointId", endpoint.ID, "AddSubnetId.1", subnet.ID)
	require.ElementsMatch(t, before, subnets())

	// An instance of the file goes, and its targets with it.
	for _, in := range plan.VPCs[0].Instances {
		owner := c.as(plan.VPCs[0].Account)
		owner.ec2("TerminateInstances", "InstanceId.1", in.ID)
		require.Equal(t, "InvalidInstanceID.NotFound", owner.code("ModifyInstanceAttribute", "InstanceId", in.ID,
			"SourceDestCheck.Value", "true"))
	}
}

// With a transition, clients see the states on the way.
func TestStatesOnTheWayCanBeSeen(t *testing.T) {
	const transition = 400 * time.Millisecond
	s := &shop{cloud: up(t,
		"{name: slow, cloud: aws, region: us-east-1, accounts: [provider, consumer], vpcs: {}, transition: 400ms}",
		func(cfg *awsapi.Config) { cfg.Transition = transition })}
	s.p, s.c = s.as("provider"), s.as("consumer")
	s.provider()
	s.consumer()
	require.Equal(t, "pendingAcceptance", s.state())
	began := time.Now()
	s.p.ec2("AcceptVpcEndpointConnections", "ServiceId", s.service, "VpcEndpointId.1", s.endpoint)
	require.Equal(t, "pending", s.state())
	s.eventually("the endpoint is available", func() bool { return s.state() == "available" })
	require.Greater(t, time.Since(began), transition/2)
	id := s.c.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		s.csubnet)
	require.Equal(t, "pending", id.at("instancesSet/item/instanceState/name"))
}

// BenchmarkDescribe is a read by an SDK's request, verified and answered.
func BenchmarkDescribe(b *testing.B) {
	s := newShop(b)
	for b.Loop() {
		s.c.ec2("DescribeVpcEndpoints")
	}
}

// BenchmarkCreateTag is a call that changes the record alone.
func BenchmarkCreateTag(b *testing.B) {
	s := newShop(b)
	for b.Loop() {
		s.c.ec2("CreateTags", "ResourceId.1", s.cvpc, "Tag.1.Key", "a", "Tag.1.Value", "b")
	}
}
