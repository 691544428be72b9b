package awsapi_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/awsapi"
)

// asked is a request for metadata.
type asked struct {
	method, path string
	headers      []string // pairs
}

const imds = "http://169.254.169.254"

// ask asks from an instance, and gives the status and the text.
func (c *cloud) ask(instance string, a asked) (int, string) {
	c.t.Helper()
	on, err := c.lab.Client(instance)
	require.NoError(c.t, err)
	if a.method == "" {
		a.method = "GET"
	}
	r, err := http.NewRequestWithContext(c.t.Context(), a.method, imds+a.path, nil)
	require.NoError(c.t, err)
	for i := 0; i < len(a.headers); i += 2 {
		if a.headers[i] == "Host" {
			r.Host = a.headers[i+1]
		}
		r.Header.Set(a.headers[i], a.headers[i+1])
	}
	client := on.HTTP()
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(text)
}

const lifetime, token = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"

// tokenOf is a token for metadata that lasts an hour.
func (c *cloud) tokenOf(instance string) string {
	c.t.Helper()
	status, text := c.ask(instance, asked{"PUT", "/latest/api/token", []string{lifetime, "3600"}})
	require.Equal(c.t, 200, status, text)
	return text
}

// metadata is what an instance reads with a token.
func (c *cloud) metadata(instance, path string) string {
	c.t.Helper()
	status, text := c.ask(instance, asked{path: "/latest/" + path, headers: []string{token, c.tokenOf(instance)}})
	require.Equal(c.t, 200, status, "%s: %s", path, text)
	return text
}

// onInstance is a client that runs on an instance with the keys of its role.
func (c *cloud) onInstance(instance string) *client {
	c.t.Helper()
	role := c.metadata(instance, "meta-data/iam/security-credentials/")
	var keys struct{ AccessKeyId, SecretAccessKey, Token string }
	text := c.metadata(instance, "meta-data/iam/security-credentials/"+role)
	require.NoError(c.t, json.Unmarshal([]byte(text), &keys), text)
	key := awsapi.Key{ID: keys.AccessKeyId, Secret: keys.SecretAccessKey, Token: keys.Token}
	return &client{cloud: c, key: key, from: instance}
}

// A program on an instance needs no override: it finds the API by its name, trusts its
// certificate, and has the keys of its account.
func TestProgramsOnInstancesReachTheAPIUnderItsRealNames(t *testing.T) {
	s := newShop(t)
	_, err := s.get(s.visitor, hosts("ec2"))
	require.Error(t, err, "not unless it is wanted")
	require.NoError(t, s.server.ServeInVPCs(true))

	app := s.c.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		s.csubnet, "IamInstanceProfile.Name", "app", "SecurityGroupId.1", s.cgroup).at("instancesSet/item/instanceId")
	on := s.onInstance(app)
	who := on.do("sts", "GetCallerIdentity")
	require.Equal(t, "arn:aws:sts::"+s.c.number+":assumed-role/app/"+app,
		who.at("GetCallerIdentityResult/Arn"))
	require.Equal(t, []string{s.cvpc}, on.ec2("DescribeVpcs").texts("vpcSet/item/vpcId"), "those of its account")
	on.elb("DescribeLoadBalancers")
	calls := s.server.Calls()
	require.Equal(t, s.cvpc+"/"+app, calls[len(calls)-1].From)

	// What it makes is there, and packets follow.
	made := on.ec2("CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId", s.cvpc, "ServiceName", s.name,
		"SubnetId.1", s.csubnet, "SecurityGroupId.1", s.cgroup)
	s.p.ec2("AcceptVpcEndpointConnections", "ServiceId", s.service, "VpcEndpointId.1",
		made.at("vpcEndpoint/vpcEndpointId"))
	page := "http://" + made.at("vpcEndpoint/dnsEntrySet/item/dnsName") + "/"
	s.eventually("the page comes", func() bool {
		text, err := s.get(app, page)
		return err == nil && text == "web"
	})

	t.Run("what is refused", func(t *testing.T) {
		for _, row := range []struct {
			code   string
			change func(*http.Request)
		}{
			{"InvalidHostHeader", func(r *http.Request) { r.Host = "intranet.example.com" }},
			{"AuthFailure", func(r *http.Request) { r.Header.Del("X-Amz-Security-Token") }},
			{"SignatureDoesNotMatch", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }},
			{"MissingAuthenticationToken", func(r *http.Request) { r.Header.Del("Authorization") }},
		} {
			on := *on
			on.change = row.change
			code, _ := on.refused("ec2", "DescribeVpcs")
			require.Equal(t, row.code, code)
		}
		other := *on
		other.at = hosts("ec2")
		code, _ := other.refused("sts", "GetCallerIdentity")
		require.Equal(t, "InvalidAction", code, "EC2 does not answer for others")
		other.at = "https://sts.amazonaws.com"
		other.do("sts", "GetCallerIdentity")
	})
	t.Run("a VPC that comes later", func(t *testing.T) {
		vpc := s.c.ec2("CreateVpc", "CidrBlock", "10.7.0.0/16").at("vpc/vpcId")
		subnet := s.c.ec2("CreateSubnet", "VpcId", vpc, "CidrBlock", "10.7.1.0/24").at("subnet/subnetId")
		later := s.c.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1",
			"SubnetId", subnet, "IamInstanceProfile.Arn", "arn:aws:iam::"+s.c.number+":instance-profile/team/late").
			at("instancesSet/item/instanceId")
		on := s.onInstance(later)
		require.Equal(t, "arn:aws:sts::"+s.c.number+":assumed-role/late/"+later,
			on.do("sts", "GetCallerIdentity").at("GetCallerIdentityResult/Arn"))
		s.c.ec2("TerminateInstances", "InstanceId.1", later)
		s.c.ec2("DeleteSubnet", "SubnetId", subnet)
		s.c.ec2("DeleteVpc", "VpcId", vpc)
	})
	require.NoError(t, s.server.ServeInVPCs(false))
	_, err = s.get(app, hosts("ec2"))
	require.Error(t, err, "not any more")
}

// The metadata service wants a token, and says of an instance what the API says of it.
func TestMetadataAreThoseOfTheInstance(t *testing.T) {
	now := time.Now()
	s := &shop{cloud: up(t, empty, func(c *awsapi.Config) { c.Now = func() time.Time { return now } })}
	s.p, s.c = s.as("provider"), s.as("consumer")
	s.provider()
	s.consumer()
	require.NoError(t, s.server.ServeInVPCs(true))
	script := base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\necho hello\n"))
	app := s.c.ec2("RunInstances", "ImageId", "ami-0plinksimhttp0000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		s.csubnet, "IamInstanceProfile.Name", "app", "PrivateIpAddress", "10.0.1.20", "InstanceType", "t3.large",
		"SecurityGroupId.1", s.cgroup, "MetadataOptions.HttpTokens", "optional",
		"MetadataOptions.InstanceMetadataTags", "enabled", "UserData", script, "TagSpecification.1.ResourceType",
		"instance", "TagSpecification.1.Tag.1.Key", "Team", "TagSpecification.1.Tag.1.Value", "blue").
		at("instancesSet/item/instanceId")
	seen := s.c.ec2("DescribeInstances", "InstanceId.1", app)
	one := "reservationSet/item/instancesSet/item/"
	require.Equal(t, "optional", seen.at(one+"metadataOptions/httpTokens"))
	require.Equal(t, "arn:aws:iam::"+s.c.number+":instance-profile/app", seen.at(one+"iamInstanceProfile/arn"))
	mac := seen.at(one + "networkInterfaceSet/item/macAddress")
	require.NotEmpty(t, mac)

	for path, want := range map[string]string{
		"": "dynamic\nmeta-data\nuser-data", "user-data": "#!/bin/sh\necho hello\n",
		"meta-data/instance-id": app, "meta-data/local-ipv4": "10.0.1.20", "meta-data/mac": mac,
		"meta-data/instance-type": "t3.large", "meta-data/ami-id": "ami-0plinksimhttp0000",
		"meta-data/placement":                                                  "availability-zone\navailability-zone-id\nregion",
		"meta-data/placement/region":                                           "us-east-1",
		"meta-data/placement/availability-zone":                                "us-east-1a",
		"meta-data/placement/availability-zone-id":                             "use1-az1",
		"meta-data/local-hostname":                                             seen.at(one + "privateDnsName"),
		"meta-data/security-groups":                                            "ep",
		"meta-data/network/interfaces/macs/":                                   mac + "/",
		"meta-data/tags/instance/Team":                                         "blue",
		"meta-data/iam/security-credentials/":                                  "app",
		"meta-data/reservation-id":                                             seen.at("reservationSet/item/reservationId"),
		"meta-data/network/interfaces/macs/" + mac + "/vpc-id":                 s.cvpc,
		"meta-data/network/interfaces/macs/" + mac + "/subnet-id":              s.csubnet,
		"meta-data/network/interfaces/macs/" + mac + "/subnet-ipv4-cidr-block": "10.0.1.0/24",
		"meta-data/network/interfaces/macs/" + mac + "/owner-id":               s.c.number,
		"meta-data/network/interfaces/macs/" + mac + "/security-group-ids":     s.cgroup,
		"meta-data/network/interfaces/macs/" + mac + "/interface-id": seen.at(one +
			"networkInterfaceSet/item/networkInterfaceId"),
	} {
		require.Equal(t, want, s.metadata(app, path), path)
	}
	var document map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.metadata(app, "dynamic/instance-identity/document")), &document))
	require.Equal(t, app, document["instanceId"])
	require.Equal(t, s.c.number, document["accountId"])
	require.Contains(t, s.metadata(app, "meta-data/iam/info"), "instance-profile/app")
	require.Contains(t, s.metadata(app, "meta-data/"), "network/")

	// An instance to which nobody gave a profile has no keys.
	status, _ := s.ask(s.visitor, asked{path: "/latest/meta-data/iam/info",
		headers: []string{token, s.tokenOf(s.visitor)}})
	require.Equal(t, 404, status)

	whole := s.tokenOf(s.visitor)
	for _, row := range []struct {
		name string
		from string
		asks asked
		want int
	}{
		{"no token is needed where version 1 is allowed", app, asked{path: "/latest/meta-data/instance-id"}, 200},
		{"an older version of the tree is as good", app, asked{path: "/2021-03-23/meta-data/instance-id"}, 200},
		{"without a token", s.visitor, asked{path: "/latest/meta-data/instance-id"}, 401},
		{"with one", s.visitor, asked{path: "/latest/meta-data/instance-id", headers: []string{token, whole}}, 200},
		{"with another instance's", s.visitor, asked{path: "/latest/meta-data/instance-id",
			headers: []string{token, s.tokenOf(app)}}, 401},
		{"with half of one", s.visitor, asked{path: "/latest/meta-data/instance-id",
			headers: []string{token, whole[:20]}}, 401},
		{"a bad token is no token, also in version 1", app, asked{path: "/latest/meta-data/instance-id",
			headers: []string{token, "x"}}, 401},
		{"what is not there", s.visitor, asked{path: "/latest/meta-data/spot", headers: []string{token, whole}}, 404},
		{"a version that never was", s.visitor, asked{path: "/newest/meta-data", headers: []string{token, whole}}, 404},
		{"a token without a lifetime", s.visitor, asked{method: "PUT", path: "/latest/api/token"}, 400},
		{"a token of more than six hours", s.visitor, asked{"PUT", "/latest/api/token", []string{lifetime, "21601"}}, 400},
		{"a token through a proxy", s.visitor, asked{"PUT", "/latest/api/token",
			[]string{lifetime, "60", "X-Forwarded-For", "10.0.1.10"}}, 403},
		{"a token by GET", s.visitor, asked{path: "/latest/api/token", headers: []string{lifetime, "60"}}, 405},
		{"POST", s.visitor, asked{"POST", "/latest/meta-data/", []string{token, whole}}, 405},
		{"a name that a web page has chosen", s.visitor, asked{path: "/latest/meta-data/",
			headers: []string{token, whole, "Host", "evil.example"}}, 404},
	} {
		status, text := s.ask(row.from, row.asks)
		require.Equal(t, row.want, status, "%s: %s", row.name, text)
	}
	now = now.Add(time.Hour)
	status, _ = s.ask(s.visitor, asked{path: "/latest/meta-data/instance-id", headers: []string{token, whole}})
	require.Equal(t, 401, status, "an hour later the token has ended")
}

// Keys of a role are the same until they end soon, are taken by the API until their end,
// and outlive the daemon.
func TestKeysOfARoleAreRenewed(t *testing.T) {
	now := time.Now()
	clock := func(c *awsapi.Config) { c.Now = func() time.Time { return now } }
	c := up(t, `{name: shop, cloud: aws, region: us-east-1, accounts: [provider, consumer], vpcs: {vpc1: {
  account: consumer, cidr: 10.0.0.0/16, subnets: {sub1: {zone: us-east-1a, cidr: 10.0.0.0/24}},
  security_groups: {nothing: {ingress: [], egress: []}},
  instances: {app1: {subnet: sub1, security_groups: [nothing]}}}}}`, clock)
	require.NoError(t, c.server.ServeInVPCs(true))
	const path = "meta-data/iam/security-credentials/plinksim"
	first := c.metadata("app1", path) // no group filters metadata
	require.Equal(t, first, c.metadata("app1", path))
	key := c.onInstance("app1")
	key.from = "" // its groups let it to nobody else
	identity := func() string { return key.do("sts", "GetCallerIdentity").at("GetCallerIdentityResult/Account") }
	require.Equal(t, c.as("consumer").number, identity())

	now = now.Add(4 * time.Hour)
	require.Equal(t, first, c.metadata("app1", path))
	c.serve(clock) // another daemon
	require.NoError(t, c.server.ServeInVPCs(true))
	require.Equal(t, c.as("consumer").number, identity())
	require.Equal(t, first, c.metadata("app1", path))

	now = now.Add(time.Hour + time.Minute)
	require.NotEqual(t, first, c.metadata("app1", path), "new ones come an hour before the end")
	identity() // and the old ones are good until then
	now = now.Add(time.Hour)
	code, _ := key.refused("ec2", "DescribeVpcs")
	require.Equal(t, "AuthFailure", code)
	require.True(t, strings.HasPrefix(c.onInstance("app1").key.ID, "ASIA"))
}

// What clients change of an instance's metadata its next request meets.
func TestMetadataFollowWhatClientsChange(t *testing.T) {
	c := up(t, `{name: m, cloud: aws, region: us-east-1, accounts: [a], vpcs: {v: {cidr: 10.0.0.0/16, subnets: {s: {zone:
  us-east-1a, cidr: 10.0.0.0/24}}, instances: {i: {subnet: s}}}}}`)
	require.NoError(t, c.server.ServeInVPCs(true))
	a := c.as("a")
	id := a.ec2("DescribeInstances").at("reservationSet/item/instancesSet/item/instanceId")
	list := "latest/meta-data/iam/security-credentials/"
	status := func() int { status, _ := c.ask("v/i", asked{path: "/" + list}); return status }
	require.Equal(t, 401, status(), "without a token")
	set := func(parameters ...string) {
		a.ec2("ModifyInstanceMetadataOptions", append([]string{"InstanceId", id}, parameters...)...)
	}
	set("HttpTokens", "optional")
	require.Equal(t, 200, status())
	set("HttpEndpoint", "disabled")
	require.Equal(t, 403, status())
	set("HttpEndpoint", "enabled")
	require.Equal(t, 200, status(), "HttpTokens is what it was")

	role := func() string { _, text := c.ask("v/i", asked{path: "/" + list}); return text }
	require.Equal(t, "plinksim", role(), "that of instances of a file")
	const associated = "iamInstanceProfileAssociationSet/item/associationId"
	described := func() string { return a.ec2("DescribeIamInstanceProfileAssociations").at(associated) }
	require.Equal(t, "IncorrectState", a.code("AssociateIamInstanceProfile", "InstanceId", id,
		"IamInstanceProfile.Name", "app"))
	a.ec2("ReplaceIamInstanceProfileAssociation", "AssociationId", described(), "IamInstanceProfile.Name", "app")
	require.Equal(t, "app", role())
	a.ec2("DisassociateIamInstanceProfile", "AssociationId", described())
	require.Empty(t, described())
	require.Equal(t, 404, status(), "it has no role")
	a.ec2("AssociateIamInstanceProfile", "InstanceId", id, "IamInstanceProfile.Name", "other")
	require.Equal(t, "other", role())
	require.Equal(t, "NoSuchAssociation", a.code("DisassociateIamInstanceProfile", "AssociationId", "iip-assoc-0"))
}
