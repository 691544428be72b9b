package awsapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// what a lab has nothing of need no line.

// Every filter tells objects apart: a value that an object has gives it, another gives
// nothing.
func TestEveryFilterTellsObjectsApart(t *testing.T) {
	s := walk(t)
	s.p.ec2("CreateVpc", "CidrBlock", "10.7.0.0/16", "AmazonProvidedIpv6CidrBlock", "true")
	other := s.p.ec2("CreateVpc", "CidrBlock", "10.8.0.0/16").at("vpc/vpcId")
	vpc := s.p.ec2("DescribeVpcs", "Filter.1.Name", "cidr", "Filter.1.Value.1", "10.7.0.0/16").at("vpcSet/item/vpcId")
	block := s.p.ec2("DescribeVpcs", "VpcId.1", vpc).at("vpcSet/item/ipv6CidrBlockAssociationSet/item/ipv6CidrBlock")
	s.p.ec2("CreateSubnet", "VpcId", vpc, "CidrBlock", "10.7.0.0/24", "Ipv6CidrBlock", strings.Replace(block, "/56",
		"/64", 1))
	group := s.p.ec2("CreateSecurityGroup", "GroupName", "all", "GroupDescription", "all", "VpcId", vpc).at("groupId")
	for _, rule := range [][]string{
		{"IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"}, {"IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "2001:db8::/32"},
		{"IpPermissions.1.Groups.1.GroupId", group},
	} {
		for _, action := range []string{"AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"} {
			s.p.ec2(action, append([]string{"GroupId", group, "IpPermissions.1.IpProtocol", "tcp",
				"IpPermissions.1.FromPort",
				"22", "IpPermissions.1.ToPort", "23"}, rule...)...)
		}
	}
	s.p.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1", "SubnetId", s.psubnet,
		"KeyName", "mine", "ClientToken", "mine")
	_, err := s.lab.Edit(t.Context(), []topology.Edit{{Path: "peerings/p", Value: "{vpcs: [" + vpc + ", " + other +
		"]}"}}, 0)
	require.NoError(t, err)

	tried := 0
	var without []string
	for key, filters := range awsapi.Listed() {
		_, action, _ := strings.Cut(key, " ")
		account, client := "provider", s.p
		if action == "DescribeVpcEndpoints" {
			account, client = "consumer", s.c
		}
		values := wire.Values{}
		var more []string
		if action == "DescribeVpcEndpointServicePermissions" {
			values["ServiceId"], more = s.service, []string{"ServiceId", s.service}
		}
		for _, filter := range filters {
			found, objects := awsapi.FilterValues(s.server, account, key, filter, values)
			found = slices.DeleteFunc(found, func(v string) bool { return v == "" })
			if objects == 0 {
				continue
			}
			name := action + " " + filter
			if len(found) == 0 {
				without = append(without, name)
				continue
			}
			set := awsapi.AnswerOf(key)
			parameter := "Filter"
			ask := func(value string) int {
				return len(client.ec2(action, append([]string{parameter + ".1.Name", filter, parameter + ".1.Value.1",
					value},
					more...)...).all(set + "/item"))
			}
			if got := ask(found[0]); got == 0 || got > objects {
				t.Errorf("%s=%s gives %d of %d objects", name, found[0], got, objects)
			}
			if got := ask("nothing has this"); got != 0 {
				t.Errorf("%s: a value that no object has gives %d", name, got)
			}
			tried++
		}
	}
	slices.Sort(without)
	require.Equal(t, []string{
		"DescribeRouteTables association.subnet-id", // the main table is of all subnets, and names none
		// Those are the consumer's: TestNotificationsAreEvents.
		"DescribeVpcEndpointConnectionNotifications vpc-endpoint-id",
	}, without)
	t.Logf("%d filters", tried)
	require.Greater(t, tried, 120)
}
