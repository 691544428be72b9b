package awsapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// The tags of instances are within reservations.
func TestInstancesAreFoundByTheirTags(t *testing.T) {
	s := newShop(t)
	found := func(filter, value string) []string {
		return s.p.ec2("DescribeInstances", "Filter.1.Name", filter, "Filter.1.Value.1", value).
			texts("reservationSet/item/instancesSet/item/instanceId")
	}
	require.Equal(t, []string{s.web}, found("tag:Name", "w?b"))
	require.Equal(t, []string{s.web}, found("tag-key", "Name"))
	require.Empty(t, found("tag:Name", "nobody"))
}

// Tags are a part of the lab's topology, so that its edits, its export and its file have
// them, and clients see what those say.
func TestTagsAreInTheTopology(t *testing.T) {
	s := newShop(t)
	instance := func() topology.Tags {
		in, err := s.lab.Plan().Instance(s.web)
		require.NoError(t, err)
		return in.Tags
	}
	require.Equal(t, topology.Tags{"Name": "web"}, instance())
	s.p.ec2("CreateTags", "ResourceId.1", s.web, "ResourceId.2", s.pvpc, "Tag.1.Key", "a/b=c", "Tag.1.Value", "5",
		"Tag.2.Key", "team", "Tag.2.Value", "x")
	require.Equal(t, topology.Tags{"Name": "web", "a/b=c": "5", "team": "x"}, instance())
	s.p.ec2("DeleteTags", "ResourceId.1", s.web, "Tag.1.Key", "a/b=c", "Tag.1.Value", "another", "Tag.2.Key", "team")
	require.Equal(t, topology.Tags{"Name": "web", "a/b=c": "5"}, instance())
	require.Equal(t, []string{s.pvpc}, s.p.ec2("DescribeVpcs", "Filter.1.Name", "tag:a/b=c", "Filter.1.Value.1", "5").
		texts("vpcSet/item/vpcId"))
	_, err := s.lab.Edit(t.Context(), []topology.Edit{
		{Path: "vpcs/" + s.pvpc + "/instances/" + s.web + "/tags/Name", Value: "renamed"},
	}, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"renamed"}, s.p.ec2("DescribeTags", "Filter.1.Name", "resource-id", "Filter.1.Value.1",
		s.web, "Filter.2.Name", "key", "Filter.2.Value.1", "Name").texts("tagSet/item/value"))

	// The default group is not in the file, and stays what it was.
	group := s.p.ec2("DescribeSecurityGroups", "Filter.1.Name", "group-name", "Filter.1.Value.1", "default")
	id := group.at("securityGroupInfo/item/groupId")
	s.p.ec2("CreateTags", "ResourceId.1", id, "Tag.1.Key", "k", "Tag.1.Value", "v")
	after := s.p.ec2("DescribeSecurityGroups", "GroupId.1", id)
	require.Equal(t, []string{"v"}, after.texts("securityGroupInfo/item/tagSet/item/value"))
	require.Equal(t, group.texts("securityGroupInfo/item/ipPermissions/item/groups/item/groupId"),
		after.texts("securityGroupInfo/item/ipPermissions/item/groups/item/groupId"))

	s.p.elb("AddTags", "ResourceArns.member.1", s.nlb, "ResourceArns.member.2", s.heard, "Tags.member.1.Key", "e",
		"Tags.member.1.Value", "f")
	tags := func() []string {
		return s.p.elb("DescribeTags", "ResourceArns.member.1", s.nlb, "ResourceArns.member.2", s.heard).
			texts("DescribeTagsResult/TagDescriptions/member/Tags/member/Value")
	}
	require.Equal(t, []string{"f", "f"}, tags())
	text, _, err := s.lab.Export()
	require.NoError(t, err)
	require.Contains(t, string(text), "tags: {e: f}")
	require.Contains(t, string(text), "renamed")
	s.p.elb("RemoveTags", "ResourceArns.member.1", s.nlb, "ResourceArns.member.2", s.heard, "TagKeys.member.1", "e")
	require.Empty(t, tags())
}
