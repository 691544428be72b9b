package awsapi_test

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/awsapi"
)

// answersDir has an answer of every operation, which the parsers of AWS's own clients are
// tried on: those of boto3 below, those of aws-sdk-go-v2 in test/clients/aws.
const answersDir = "testdata/answers"

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// walk does every operation of the table once.
func walk(t *testing.T) *shop { return walkWith(t, nil) }

// walkWith is a walk of which every call is looked at, and may be changed, before it is sent.
func walkWith(t *testing.T, before func(c *client, service, action string, form url.Values)) *shop {
	s := &shop{cloud: up(t, empty, func(cfg *awsapi.Config) { cfg.Now = func() time.Time { return day } })}
	s.before = before
	s.p, s.c = s.as("provider"), s.as("consumer")
	s.provider()
	s.consumer()
	s.accept()
	s.walkNetwork()
	s.walkInstances()
	s.walkEndpoints()
	s.walkBalancers()
	s.walkRules()
	for _, action := range []string{
		"DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups", "DescribeSecurityGroupRules", "DescribeInstances",
		"DescribeInstanceStatus", "DescribeNetworkInterfaces", "DescribeRouteTables", "DescribeNetworkAcls",
		"DescribeVolumes", "DescribeDhcpOptions", "DescribeImages", "DescribeInstanceTypes",
		"DescribeInstanceCreditSpecifications", "DescribeRegions", "DescribeAvailabilityZones",
		"DescribeAccountAttributes", "DescribeInternetGateways", "DescribeAddresses", "DescribeKeyPairs",
		"DescribeManagedPrefixLists", "DescribePrefixLists", "DescribeVpcEndpointConnectionNotifications",
		"DescribeVpcClassicLink", "DescribeVpcClassicLinkDnsSupport", "DescribeNatGateways",
		"DescribeVpcPeeringConnections", "DescribeTags", "DescribeVpcEndpointConnections",
		"DescribeVpcEndpointServiceConfigurations", "DescribeVpcEndpointServices",
	} {
		s.p.ec2(action)
	}
	s.c.ec2("DescribeVpcEndpoints")
	s.p.elb("DescribeAccountLimits")
	s.p.do("sts", "GetCallerIdentity")
	s.p.do("sts", "AssumeRole", "RoleArn", "arn:aws:iam::"+s.c.number+":role/deploy", "RoleSessionName", "ci")
	return s
}

func (s *shop) walkNetwork() {
	vpc := s.p.ec2("CreateVpc", "CidrBlock", "10.9.0.0/16", "AmazonProvidedIpv6CidrBlock", "true").at("vpc/vpcId")
	s.p.ec2("ModifyVpcAttribute", "VpcId", vpc, "EnableDnsHostnames.Value", "true")
	s.p.ec2("DescribeVpcAttribute", "VpcId", vpc, "Attribute", "enableDnsHostnames")
	block := s.p.ec2("AssociateVpcCidrBlock", "VpcId", vpc, "CidrBlock",
		"10.10.0.0/16").at("cidrBlockAssociation/associationId")
	s.p.ec2("DisassociateVpcCidrBlock", "AssociationId", block)
	subnet := s.p.ec2("CreateSubnet", "VpcId", vpc, "CidrBlock", "10.9.0.0/24").at("subnet/subnetId")
	s.p.ec2("ModifySubnetAttribute", "SubnetId", subnet, "MapPublicIpOnLaunch.Value", "true")
	group := s.p.ec2("CreateSecurityGroup", "GroupName", "g", "GroupDescription", "g", "VpcId", vpc).at("groupId")
	rule := s.p.ec2("AuthorizeSecurityGroupIngress", "GroupId", group, "IpPermissions.1.IpProtocol", "udp",
		"IpPermissions.1.FromPort", "53", "IpPermissions.1.ToPort", "53", "IpPermissions.1.Groups.1.GroupId", group,
		"IpPermissions.1.Groups.1.Description", "names").at("securityGroupRuleSet/item/securityGroupRuleId")
	s.p.ec2("UpdateSecurityGroupRuleDescriptionsIngress", "GroupId", group,
		"SecurityGroupRuleDescription.1.SecurityGroupRuleId", rule, "SecurityGroupRuleDescription.1.Description", "dns")
	s.p.ec2("ModifySecurityGroupRules", "GroupId", group, "SecurityGroupRule.1.SecurityGroupRuleId", rule,
		"SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "tcp", "SecurityGroupRule.1.SecurityGroupRule.FromPort",
		"53",
		"SecurityGroupRule.1.SecurityGroupRule.ToPort", "53", "SecurityGroupRule.1.SecurityGroupRule.CidrIpv4",
		"10.9.0.0/16")
	s.p.ec2("RevokeSecurityGroupIngress", "GroupId", group, "SecurityGroupRuleId.1", rule)
	everything := []string{"GroupId", group, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.IpRanges.1.CidrIp",
		"0.0.0.0/0"}
	s.p.ec2("UpdateSecurityGroupRuleDescriptionsEgress", append(everything, "IpPermissions.1.IpRanges.1.Description",
		"out")...)
	s.p.ec2("RevokeSecurityGroupEgress", everything...)
	s.p.ec2("AuthorizeSecurityGroupEgress", everything...)
	s.p.ec2("CreateTags", "ResourceId.1", vpc, "Tag.1.Key", "team", "Tag.1.Value", "net")
	s.p.ec2("DeleteTags", "ResourceId.1", vpc, "Tag.1.Key", "team")
	s.p.ec2("DeleteSecurityGroup", "GroupId", group)
	s.p.ec2("DeleteSubnet", "SubnetId", subnet)
	s.p.ec2("DeleteVpc", "VpcId", vpc)
}

func (s *shop) walkInstances() {
	id := s.p.ec2("RunInstances", "ImageId", "ami-0plinksimecho0000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		s.psubnet,
		"KeyName", "mine", "UserData", "I3BsaW5rc2ltCi0ge2h0dHA6IDgwODAsIGJvZHk6IGhlbGxvfQo=",
		"TagSpecification.1.ResourceType",
		"volume", "TagSpecification.1.Tag.1.Key", "disk", "TagSpecification.1.Tag.1.Value", "root").
		at("instancesSet/item/instanceId")
	s.p.ec2("ModifyInstanceAttribute", "InstanceId", id, "GroupId.1", s.pgroup)
	s.p.ec2("DescribeInstanceAttribute", "InstanceId", id, "Attribute", "userData")
	stopped := s.p.ec2("StopInstances", "InstanceId.1", id)
	require.Equal(s.t, "stopping", stopped.at("instancesSet/item/currentState/name"))
	require.Equal(s.t, "stopped", s.p.ec2("DescribeInstances", "InstanceId.1", id).
		at("reservationSet/item/instancesSet/item/instanceState/name"))
	s.p.ec2("ModifyInstanceAttribute", "InstanceId", id, "InstanceType.Value", "t3.large")
	require.Equal(s.t, "t3.large", s.p.ec2("DescribeInstances", "InstanceId.1", id).
		at("reservationSet/item/instancesSet/item/instanceType"))
	s.p.ec2("ModifyInstanceMetadataOptions", "InstanceId", id, "HttpTokens", "optional", "HttpEndpoint", "enabled",
		"InstanceMetadataTags", "enabled", "HttpPutResponseHopLimit", "3")
	const association = "iamInstanceProfileAssociation/associationId"
	made := s.p.ec2("AssociateIamInstanceProfile", "InstanceId", id, "IamInstanceProfile.Name", "app").at(association)
	s.p.ec2("DescribeIamInstanceProfileAssociations", "AssociationId.1", made)
	changed := s.p.ec2("ReplaceIamInstanceProfileAssociation", "AssociationId", made, "IamInstanceProfile.Arn",
		"arn:aws:iam::"+s.p.number+":instance-profile/other").at(association)
	s.p.ec2("DisassociateIamInstanceProfile", "AssociationId", changed)
	s.p.ec2("AssociateIamInstanceProfile", "InstanceId", id, "IamInstanceProfile.Arn",
		"arn:aws:iam::"+s.p.number+":instance-profile/app")
	named := s.p.ec2("DescribeIamInstanceProfileAssociations", "Filter.1.Name", "instance-id", "Filter.1.Value.1", id).
		at("iamInstanceProfileAssociationSet/item/associationId")
	s.p.ec2("ReplaceIamInstanceProfileAssociation", "AssociationId", named, "IamInstanceProfile.Name", "third")
	s.p.ec2("StartInstances", "InstanceId.1", id)
	require.Equal(s.t, "IncorrectInstanceState", s.p.code("ModifyInstanceAttribute", "InstanceId", id,
		"InstanceType.Value", "t3.micro"))
	s.p.ec2("TerminateInstances", "InstanceId.1", id)
}

func (s *shop) walkEndpoints() {
	s.p.ec2("DescribeVpcEndpointServicePermissions", "ServiceId", s.service)
	s.p.ec2("ModifyVpcEndpointServiceConfiguration", "ServiceId", s.service, "PrivateDnsName", "shop.example.com")
	s.p.ec2("StartVpcEndpointServicePrivateDnsVerification", "ServiceId", s.service)
	s.p.ec2("ModifyVpcEndpointServicePayerResponsibility", "ServiceId", s.service, "PayerResponsibility",
		"ServiceOwner")
	s.c.ec2("ModifyVpcEndpoint", "VpcEndpointId", s.endpoint, "AddSecurityGroupId.1",
		s.c.ec2("CreateSecurityGroup", "GroupName", "second", "GroupDescription", "second", "VpcId",
			s.cvpc).at("groupId"))
	second := s.c.ec2("CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId", s.cvpc, "ServiceName", s.name,
		"SubnetId.1",
		s.csubnet).at("vpcEndpoint/vpcEndpointId")
	s.p.ec2("RejectVpcEndpointConnections", "ServiceId", s.service, "VpcEndpointId.1", second)
	s.c.ec2("DeleteVpcEndpoints", "VpcEndpointId.1", second)
	s.p.ec2("DeleteVpcEndpointServiceConfigurations", "ServiceId.1", s.service) // which is in use
	topic := "arn:aws:sns:us-east-1:" + s.p.number + ":vpce"
	s.c.ec2("CreateVpcEndpointConnectionNotification", "ConnectionNotificationArn", topic, "ConnectionEvents.1",
		"Accept", "VpcEndpointId", s.endpoint)
	for range 2 {
		s.p.ec2("CreateVpcEndpointConnectionNotification", "ConnectionNotificationArn", topic, "ConnectionEvents.1",
			"Connect", "ConnectionEvents.2", "Delete", "ServiceId", s.service)
	}
	ids := s.p.ec2("DescribeVpcEndpointConnectionNotifications").
		texts("connectionNotificationSet/item/connectionNotificationId")
	s.p.ec2("ModifyVpcEndpointConnectionNotification", "ConnectionNotificationId", ids[0],
		"ConnectionNotificationArn", topic+"2", "ConnectionEvents.1", "Reject")
	s.p.ec2("DeleteVpcEndpointConnectionNotifications", "ConnectionNotificationId.1", ids[1])
}

func (s *shop) walkBalancers() {
	s.p.elb("DescribeLoadBalancers")
	s.p.elb("DescribeLoadBalancerAttributes", "LoadBalancerArn", s.nlb)
	s.p.elb("ModifyLoadBalancerAttributes", "LoadBalancerArn", s.nlb, "Attributes.member.1.Key",
		"load_balancing.cross_zone.enabled", "Attributes.member.1.Value", "true")
	s.p.elb("DescribeCapacityReservation", "LoadBalancerArn", s.nlb)
	s.p.elb("SetSubnets", "LoadBalancerArn", s.nlb, "Subnets.member.1", s.psubnet)
	s.p.elb("SetIpAddressType", "LoadBalancerArn", s.nlb, "IpAddressType", "ipv4")
	s.p.elb("AddTags", "ResourceArns.member.1", s.nlb, "Tags.member.1.Key", "team", "Tags.member.1.Value", "net")
	s.p.elb("DescribeTags", "ResourceArns.member.1", s.nlb)
	s.p.elb("RemoveTags", "ResourceArns.member.1", s.nlb, "TagKeys.member.1", "team")
	s.p.elb("DescribeTargetGroups")
	s.p.elb("ModifyTargetGroup", "TargetGroupArn", s.group, "HealthCheckTimeoutSeconds", "3")
	s.p.elb("DescribeTargetGroupAttributes", "TargetGroupArn", s.group)
	s.p.elb("ModifyTargetGroupAttributes", "TargetGroupArn", s.group, "Attributes.member.1.Key",
		"deregistration_delay.timeout_seconds", "Attributes.member.1.Value", "0")
	s.p.elb("DescribeTargetHealth", "TargetGroupArn", s.group)
	s.p.elb("DescribeListeners", "LoadBalancerArn", s.nlb)
	s.p.elb("DescribeListenerAttributes", "ListenerArn", s.heard)
	s.p.elb("ModifyListenerAttributes", "ListenerArn", s.heard, "Attributes.member.1.Key", "tcp.idle_timeout.seconds",
		"Attributes.member.1.Value", "60")
	s.p.elb("DescribeListenerCertificates", "ListenerArn", s.heard)
	s.p.elb("ModifyListener", "ListenerArn", s.heard, "Port", "8080")
	s.p.elb("ModifyListener", "ListenerArn", s.heard, "Port", "80")
	s.p.elb("DeregisterTargets", "TargetGroupArn", s.group, "Targets.member.1.Id", s.web)
	nlb := s.p.elb("CreateLoadBalancer", "Name", "guarded", "Type", "network", "Subnets.member.1", s.psubnet,
		"SecurityGroups.member.1", s.pgroup).at("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn")
	s.p.elb("SetSecurityGroups", "LoadBalancerArn", nlb, "SecurityGroups.member.1", s.pgroup,
		"EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", "off")
	s.p.elb("DeleteLoadBalancer", "LoadBalancerArn", nlb)
}

func (s *shop) walkRules() {
	zoneB := s.p.ec2("CreateSubnet", "VpcId", s.pvpc, "CidrBlock", "10.0.2.0/24", "AvailabilityZone", "us-east-1b").
		at("subnet/subnetId")
	alb := s.p.elb("CreateLoadBalancer", "Name", "front", "Type", "application", "Scheme", "internal",
		"Subnets.member.1",
		s.psubnet, "Subnets.member.2", zoneB).at("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn")
	group := s.p.elb("CreateTargetGroup", "Name", "pages", "Protocol", "HTTP", "Port", "80", "VpcId", s.pvpc,
		"HealthCheckPath", "/health", "Matcher.HttpCode",
		"200-299").at("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn")
	heard := s.p.elb("CreateListener", "LoadBalancerArn", alb, "Protocol", "HTTP", "Port", "80",
		"DefaultActions.member.1.Type", "forward", "DefaultActions.member.1.TargetGroupArn", group).
		at("CreateListenerResult/Listeners/member/ListenerArn")
	rule := s.p.elb("CreateRule", "ListenerArn", heard, "Priority", "10", "Conditions.member.1.Field", "path-pattern",
		"Conditions.member.1.Values.member.1", "/old/*", "Actions.member.1.Type", "redirect",
		"Actions.member.1.RedirectConfig.StatusCode", "HTTP_301", "Actions.member.1.RedirectConfig.Path", "/new").
		at("CreateRuleResult/Rules/member/RuleArn")
	s.p.elb("ModifyRule", "RuleArn", rule, "Actions.member.1.Type", "fixed-response",
		"Actions.member.1.FixedResponseConfig.StatusCode", "410", "Actions.member.1.FixedResponseConfig.MessageBody",
		"gone",
		"Actions.member.1.FixedResponseConfig.ContentType", "text/plain")
	s.p.elb("SetRulePriorities", "RulePriorities.member.1.RuleArn", rule, "RulePriorities.member.1.Priority", "20")
	require.Equal(s.t, []string{"20", "default"},
		s.p.elb("DescribeRules", "ListenerArn", heard).texts("DescribeRulesResult/Rules/member/Priority"))
	s.p.elb("DeleteRule", "RuleArn", rule)
	arn := "arn:aws:acm:us-east-1:" + s.p.number + ":certificate/"
	secure := s.p.elb("CreateListener", "LoadBalancerArn", alb, "Protocol", "HTTPS", "Port", "443", "SslPolicy",
		"ELBSecurityPolicy-TLS13-1-2-2021-06", "Certificates.member.1.CertificateArn", arn+"www.shop.example",
		"DefaultActions.member.1.Type", "redirect", "DefaultActions.member.1.RedirectConfig.StatusCode", "HTTP_302",
		"DefaultActions.member.1.RedirectConfig.Host", "b.example", "DefaultActions.member.1.RedirectConfig.Path", "/b",
		"DefaultActions.member.1.RedirectConfig.Port", "8443", "DefaultActions.member.1.RedirectConfig.Protocol",
		"HTTPS", "DefaultActions.member.1.RedirectConfig.Query", "q=1").
		at("CreateListenerResult/Listeners/member/ListenerArn")
	s.p.elb("AddListenerCertificates", "ListenerArn", secure, "Certificates.member.1.CertificateArn", arn+"*.shop.example")
	first := s.p.elb("DescribeListenerCertificates", "ListenerArn", secure, "PageSize", "1")
	second := s.p.elb("DescribeListenerCertificates", "ListenerArn", secure, "PageSize", "1", "Marker",
		first.at("DescribeListenerCertificatesResult/NextMarker"))
	require.Equal(s.t, arn+"*.shop.example",
		second.at("DescribeListenerCertificatesResult/Certificates/member/CertificateArn"))
	s.p.elb("RemoveListenerCertificates", "ListenerArn", secure, "Certificates.member.1.CertificateArn",
		arn+"*.shop.example")
	s.p.elb("ModifyListener", "ListenerArn", secure, "SslPolicy", "ELBSecurityPolicy-2016-08",
		"Certificates.member.1.CertificateArn", arn+"shop.example")
	s.p.elb("DeleteListener", "ListenerArn", secure)
	s.p.elb("DeleteListener", "ListenerArn", heard)
	s.p.elb("DeleteTargetGroup", "TargetGroupArn", group)
}

// secrets are what is random in an answer.
var secrets = regexp.MustCompile(`<(AccessKeyId|SecretAccessKey|SessionToken)>[^<]*<`)

// requests are the numbers of calls in their ids: another call in the walk changes no file.
var requests = regexp.MustCompile(`(-0000-4000-8000-)\d{12}`)

// lines are where a line of an answer begins.
var lines = regexp.MustCompile(`><([^/])`)

// Every operation of the table answers, and its answer is a file that the parsers of
// AWS's clients are tried on.
func TestEveryOperationAnswers(t *testing.T) {
	s := walk(t)
	names := map[string]bool{}
	for _, op := range awsapi.Operations() {
		if !op.Done {
			continue
		}
		answer := s.answers[op.Service+" "+op.Name]
		require.NotEmpty(t, answer, "nobody called %s %s", op.Service, op.Name)
		name := op.Service + "-" + op.Name + ".xml"
		names[name] = true
		text := secrets.ReplaceAllString(string(answer), "<$1>secret<")
		text = requests.ReplaceAllString(text, "${1}000000000000")
		golden.Equal(t, filepath.Join(answersDir, name), lines.ReplaceAllString(text, ">\n<$1")+"\n")
	}
	files, err := os.ReadDir(answersDir)
	require.NoError(t, err)
	for _, f := range files {
		require.True(t, names[f.Name()], "%s is of no operation: remove it", f.Name())
	}
}

// boto3's parser takes every answer, and finds all that is in it.
func TestBoto3ReadsEveryAnswer(t *testing.T) {
	testenv.NeedPrograms(t, "python3")
	if exec.CommandContext(t.Context(), "python3", "-c", "import botocore").Run() != nil {
		testenv.NeedPrograms(t, "python3-botocore")
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/read_answers.py", answersDir)
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "%s", out.String())
	t.Log(out.String())
}
