package awsapi_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/awsapi"
)

func TestWhoMayNotCallIsRefused(t *testing.T) {
	c := up(t, empty)
	for _, row := range []struct {
		name    string
		service string
		client  func(p *client)
		want    string
		status  int
	}{
		{"nobody's key", "ec2", func(p *client) { p.key.ID = "AKIANOBODY" }, "AuthFailure", 401},
		{"nobody's key at STS", "sts", func(p *client) { p.key.ID = "AKIANOBODY" }, "InvalidClientTokenId", 403},
		{"another secret", "ec2", func(p *client) { p.key.Secret = "x" }, "SignatureDoesNotMatch", 403},
		{"another region", "ec2", func(p *client) { p.region = "eu-west-1" }, "AuthFailure", 403},
		{"a token that nobody gave", "ec2", func(p *client) { p.key.Token = "x" }, "AuthFailure", 403},
		{"no signature", "ec2", func(p *client) {
			p.change = func(r *http.Request) { r.Header.Del("Authorization") }
		}, "MissingAuthenticationToken", 403},
		{"the name of a web page", "ec2", func(p *client) {
			p.change = func(r *http.Request) { r.Host = "evil.example" }
		}, "InvalidHostHeader", 403},
		{"a page", "ec2", func(p *client) {
			p.change = func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
		}, "InvalidRequest", 400},
	} {
		p := c.as("provider")
		row.client(p)
		action := "DescribeVpcs"
		if row.service == "sts" {
			action = "GetCallerIdentity"
		}
		status, text := p.send(row.service, action)
		code, _ := codeOf(parse(t, text))
		require.Equal(t, row.want, code, row.name)
		require.Equal(t, row.status, status, row.name)
	}
	var off atomic.Int64
	c.serve(func(cfg *awsapi.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	})
	p := c.as("provider")
	p.change = func(*http.Request) { off.Store(int64(6 * time.Minute)) }
	require.Equal(t, "RequestExpired", p.code("DescribeVpcs"))
}

func TestWhatIsTooMuchIsRefused(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	status, text := p.post("ec2", "Action=DescribeVpcs&Version=2016-11-15&X="+strings.Repeat("x", 2<<20))
	require.Equal(t, 413, status)
	code, _ := codeOf(parse(t, text))
	require.Equal(t, "RequestEntityTooLarge", code)

	// 200 calls at once, of which each is done: the others wait for their turn.
	var all sync.WaitGroup
	var done atomic.Int64
	for range 200 {
		all.Go(func() {
			if status, _ := p.send("ec2", "DescribeVpcs"); status == 200 {
				done.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 200, done.Load())
}

func TestWhatThereIsNotIsToldApart(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	require.Equal(t, "InvalidAction", p.code("MakeCoffee"))
	code, message := p.refused("ec2", "CreateNatGateway", "SubnetId", "subnet-1")
	require.Equal(t, "UnsupportedOperation", code)
	require.Contains(t, message, "plinksim does not do CreateNatGateway")
	require.Equal(t, "UnknownParameter", p.code("CreateVpc", "CidrBlock", "10.0.0.0/16", "Color", "red"))
	code, message = p.refused("ec2", "CreateVpc", "CidrBlock", "10.0.0.0/16", "Ipv4IpamPoolId", "pool-1")
	require.Equal(t, "UnsupportedOperation", code)
	require.Contains(t, message, "Ipv4IpamPoolId")
	_, text := p.post("ec2", "Action=DescribeVpcs&Version=2011-01-01")
	code, _ = codeOf(parse(t, text))
	require.Equal(t, "NoSuchVersion", code)
}

func TestKeysOfRolesAreThoseOfTheirAccount(t *testing.T) {
	c := up(t, empty)
	p, consumer := c.as("provider"), c.as("consumer")
	made := p.do("sts", "AssumeRole", "RoleArn", "arn:aws:iam::"+consumer.number+":role/deploy", "RoleSessionName",
		"ci")
	role := *p
	role.key = awsapi.Key{ID: made.at("AssumeRoleResult/Credentials/AccessKeyId"),
		Secret: made.at("AssumeRoleResult/Credentials/SecretAccessKey"),
		Token:  made.at("AssumeRoleResult/Credentials/SessionToken")}
	me := role.do("sts", "GetCallerIdentity")
	require.Equal(t, consumer.number, me.at("GetCallerIdentityResult/Account"))
	require.Equal(t, "arn:aws:sts::"+consumer.number+":assumed-role/deploy/ci", me.at("GetCallerIdentityResult/Arn"))
	vpc := role.ec2("CreateVpc", "CidrBlock", "10.0.0.0/16").at("vpc/vpcId")
	require.Equal(t, []string{vpc}, consumer.ec2("DescribeVpcs").texts("vpcSet/item/vpcId"))
	require.Empty(t, p.ec2("DescribeVpcs").texts("vpcSet/item/vpcId"), "an account sees what is its own")
	require.Equal(t, "InvalidVpcID.NotFound", p.code("DeleteVpc", "VpcId", vpc))
	code, _ := p.refused("sts", "AssumeRole", "RoleArn", "arn:aws:iam::999999999999:role/x", "RoleSessionName", "ci")
	require.Equal(t, "AccessDenied", code)
	role.key.Token = ""
	require.Equal(t, "AuthFailure", role.code("DescribeVpcs"))
}

// A lab that another process takes over has the keys, the tags and the client tokens.
func TestWhatIsSaidOutlivesTheDaemon(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	create := []string{"CidrBlock", "10.0.0.0/16", "TagSpecification.1.ResourceType", "vpc",
		"TagSpecification.1.Tag.1.Key",
		"Name", "TagSpecification.1.Tag.1.Value", "main"}
	vpc := p.ec2("CreateVpc", create...).at("vpc/vpcId")
	endpointless := append([]string{"SubnetId", "subnet-0"}, "ClientToken", "t")
	require.Equal(t, "MissingParameter", p.code("RunInstances", endpointless...), "what is refused leaves no token")
	before := c.as("provider").key
	c.serve()
	p = c.as("provider")
	require.Equal(t, before, p.key)
	require.Equal(t, "main", p.ec2("DescribeVpcs", "VpcId.1", vpc).at("vpcSet/item/tagSet/item/value"))
	require.NotEqual(t, vpc, p.ec2("CreateVpc", create...).at("vpc/vpcId"))
}

func TestATokenMakesOneObject(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	vpc := p.ec2("CreateVpc", "CidrBlock", "10.0.0.0/16").at("vpc/vpcId")
	subnet := p.ec2("CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24").at("subnet/subnetId")
	run := func(token, kind string) []string {
		return []string{"ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1", "SubnetId", subnet,
			"ClientToken",
			token, "InstanceType", kind}
	}
	first := p.ec2("RunInstances", run("a", "t3.micro")...)
	again := p.ec2("RunInstances", run("a", "t3.micro")...)
	other := p.ec2("RunInstances", run("b", "t3.micro")...)
	id := "instancesSet/item/instanceId"
	require.Equal(t, first.at(id), again.at(id))
	require.NotEqual(t, first.at("requestId"), again.at("requestId"))
	require.NotEqual(t, first.at(id), other.at(id))
	require.Equal(t, "IdempotentParameterMismatch", p.code("RunInstances", run("a", "m5.large")...))
	require.Len(t, p.ec2("DescribeInstances").texts("reservationSet/item/instancesSet/item/instanceId"), 2)
	// Ten at once make one.
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { p.send("ec2", "RunInstances", run("c", "t3.micro")...) })
	}
	all.Wait()
	require.Len(t, p.ec2("DescribeInstances").texts("reservationSet/item/instancesSet/item/instanceId"), 3)
}

func TestADryRunChangesNothing(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	require.Equal(t, "DryRunOperation", p.code("CreateVpc", "CidrBlock", "10.0.0.0/16", "DryRun", "true"))
	require.Equal(t, "InvalidVpc.Range", p.code("CreateVpc", "CidrBlock", "10.0.0.0/8", "DryRun", "true"))
	require.Equal(t, "DryRunOperation", p.code("DescribeVpcs", "DryRun", "true"))
	require.Empty(t, p.ec2("DescribeVpcs").all("vpcSet/item"))
	require.Empty(t, c.lab.Edits())
}

func TestListsHavePagesAndFilters(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	var vpcs []string
	for _, name := range []string{"web-1", "web-2", "db"} {
		vpcs = append(vpcs, p.ec2("CreateVpc", "CidrBlock", "10.0.0.0/16", "TagSpecification.1.ResourceType", "vpc",
			"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", name).at("vpc/vpcId"))
	}
	ids := func(parameters ...string) []string {
		return p.ec2("DescribeVpcs", parameters...).texts("vpcSet/item/vpcId")
	}
	require.Equal(t, vpcs, ids())
	require.Equal(t, vpcs[:2], ids("Filter.1.Name", "tag:Name", "Filter.1.Value.1", "web-*"))
	require.Equal(t, vpcs[1:], ids("Filter.1.Name", "tag:Name", "Filter.1.Value.1", "web-2", "Filter.1.Value.2", "d?"))
	require.Empty(t, ids("Filter.1.Name", "tag:Name", "Filter.1.Value.1", "web-*", "Filter.2.Name", "vpc-id",
		"Filter.2.Value.1",
		vpcs[2]), "filters must all fit")
	require.Equal(t, vpcs, ids("Filter.1.Name", "tag-key", "Filter.1.Value.1", "Name"))
	require.Equal(t, "InvalidParameterValue", p.code("DescribeVpcs", "Filter.1.Name", "color", "Filter.1.Value.1",
		"red"))

	first := p.ec2("DescribeVpcs", "MaxResults", "2")
	require.Equal(t, vpcs[:2], first.texts("vpcSet/item/vpcId"))
	second := p.ec2("DescribeVpcs", "MaxResults", "2", "NextToken", first.at("nextToken"))
	require.Equal(t, vpcs[2:], second.texts("vpcSet/item/vpcId"))
	require.Empty(t, second.at("nextToken"))
	require.Equal(t, "InvalidNextToken", p.code("DescribeVpcs", "NextToken", first.at("nextToken"), "Filter.1.Name",
		"vpc-id",
		"Filter.1.Value.1", vpcs[0]))
}
