package aliapi_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/aliapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestWhoMayNotCallIsRefused(t *testing.T) {
	c := up(t, empty)
	for _, row := range []struct {
		name   string
		client func(p *client)
		want   string
		status int
	}{
		{"a key of no account", func(p *client) { p.key.ID = "LTAINOBODY" }, "InvalidAccessKeyId.NotFound", 404},
		{"another secret", func(p *client) { p.key.Secret = "x" }, "SignatureDoesNotMatch", 400},
		{"a token that nobody gave", func(p *client) { p.key.Token = "x" }, "InvalidSecurityToken.MismatchWithAccessKey",
			400},
		{"no signature", func(p *client) {
			p.change = func(r *http.Request) { r.URL.RawQuery = "Action=DescribeVpcs&Format=JSON" }
		}, "IncompleteSignature", 400},
		{"the name of a web page", func(p *client) {
			p.change = func(r *http.Request) { r.Host = "evil.example" }
		}, "InvalidHostHeader", 403},
		{"another path", func(p *client) {
			p.change = func(r *http.Request) { r.URL.Path = "/clusters" }
		}, "InvalidAction.NotFound", 404},
		{"another region", func(p *client) { p.region = "cn-hangzhou" }, "InvalidRegionId.NotFound", 404},
	} {
		p := c.as("provider")
		row.client(p)
		status, text := p.send("privatelink", "ListVpcEndpoints")
		require.Equal(t, row.want, parse(t, text).at("Code"), row.name)
		require.Equal(t, row.status, status, row.name)
	}
	off := time.Duration(0)
	c.serve(func(cfg *aliapi.Config) { cfg.Now = func() time.Time { return time.Now().Add(off) } })
	p := c.as("provider")
	p.change = func(*http.Request) { off = 16 * time.Minute }
	require.Equal(t, "InvalidTimeStamp.Expired", p.code("privatelink", "ListVpcEndpoints"))
}

// A request that was answered is not answered again, whoever sends it.
func TestANonceIsUsedOnce(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	var query string
	p.change = func(r *http.Request) {
		if query != "" {
			r.URL.RawQuery = query
		}
		query = r.URL.RawQuery
	}
	first := p.do("vpc", "CreateVpc", "CidrBlock", "10.0.0.0/16").at("VpcId")
	require.Equal(t, "SignatureNonceUsed", p.code("vpc", "CreateVpc", "CidrBlock", "10.0.0.0/16"))
	p.change = nil
	require.Equal(t, []string{first}, p.do("vpc", "DescribeVpcs").texts("Vpcs.Vpc", "VpcId"))
}

// What a call did is an event that has the identifier of the request.
func TestEventsHaveTheIDsOfRequests(t *testing.T) {
	s := newShop(t)
	made := s.p.link("EnableVpcEndpointConnection", "ServiceId", s.service, "EndpointId", s.endpoint)
	events := s.lab.Plane().Events(0)
	require.True(t, slices.ContainsFunc(events, func(e control.Event) bool {
		return e.Request == made.at("RequestId") && e.Verb == topology.VerbAccept
	}), "%v", events)
}

// A recorded request of each client gets an answer, or is refused for a reason behind its
// signature.
func TestRecordedRequestsAreAnswered(t *testing.T) {
	var keys lab.MemoryStore
	require.NoError(t, keys.Save("api-keys.json", []byte(`[
		{"account": "provider", "access_key_id": "LTAIPROVIDER", "secret_access_key": "secret"},
		{"account": "consumer", "access_key_id": "LTAICONSUMER", "secret_access_key": "secret"}]`)))
	c := up(t, empty)
	c.serve(func(cfg *aliapi.Config) {
		cfg.Store = &keys
		cfg.Now = func() time.Time { return time.Date(2026, 11, 29, 11, 25, 0, 0, time.UTC) }
	})
	files, err := filepath.Glob("../wire/testdata/alibaba/*.req")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		require.NoError(t, err)
		w := httptest.NewRecorder()
		c.server.ServeHTTP(w, r)
		code := parse(t, w.Body.Bytes()).at("Code")
		require.NotContains(t, []string{"SignatureDoesNotMatch", "IncompleteSignature", "InvalidAction.NotFound"}, code,
			"%s: %s", file, w.Body)
		require.Less(t, w.Code, 500, "%s: %s", file, w.Body)
	}
}

func TestWhatThereIsNotIsToldApart(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	require.Equal(t, "InvalidAction.NotFound", p.code("privatelink", "MakeCoffee"))
	require.Equal(t, "UnsupportedOperation", p.code("privatelink", "CheckResourceSupportOperate"))
	require.Equal(t, "MissingServiceId", p.code("privatelink", "GetVpcEndpointServiceAttribute"))
	code, message := p.refused("privatelink", "CreateVpcEndpointService", "PrivateServiceDomain", "a.example")
	require.Equal(t, "UnsupportedOperation", code)
	require.Contains(t, message, "PrivateServiceDomain")
	// What no operation has is tolerated and noted.
	p.link("ListVpcEndpointServices", "Color", "red", "ClientToken", "TF-1")
	calls := c.server.Calls()
	require.Contains(t, calls[len(calls)-1].Ignored, "Color: ListVpcEndpointServices has no such parameter")
}

func TestAnswersAreXMLWithoutAWord(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	p.format = "XML"
	status, text := p.send("sts", "GetCallerIdentity")
	require.Equal(t, 200, status)
	require.Contains(t, string(text), "<GetCallerIdentityResponse><RequestId>")
	require.Contains(t, string(text), "<AccountId>"+p.number+"</AccountId>")
	_, text = p.send("privatelink", "MakeCoffee")
	require.Contains(t, string(text), "<Error><RequestId>")
	// The same with all parameters in the body.
	p.format, p.inBody = "", true
	require.Equal(t, p.number, p.do("sts", "GetCallerIdentity").at("AccountId"))
}

func TestKeysOfRolesAreThoseOfTheirAccount(t *testing.T) {
	c := up(t, empty)
	p, consumer := c.as("provider"), c.as("consumer")
	made := p.do("sts", "AssumeRole", "RoleArn", "acs:ram::"+consumer.number+":role/deploy", "RoleSessionName", "ci",
		"DurationSeconds", "900")
	role := *p
	role.key = aliapi.Key{ID: made.at("Credentials.AccessKeyId"), Secret: made.at("Credentials.AccessKeySecret"),
		Token: made.at("Credentials.SecurityToken")}
	me := role.do("sts", "GetCallerIdentity")
	require.Equal(t, consumer.number, me.at("AccountId"))
	require.Equal(t, "acs:ram::"+consumer.number+":assumed-role/deploy/ci", me.at("Arn"))
	role.key.Token = ""
	require.Equal(t, "InvalidSecurityToken.MismatchWithAccessKey", role.code("sts", "GetCallerIdentity"))
	for _, row := range [][3]string{
		{"acs:ram::9999999999999999:role/x", "ci", "EntityNotExist.Role"}, {"x", "ci", "InvalidParameter.RoleArn"},
		{"acs:ram::" + consumer.number + ":role/x", "!", "InvalidParameter.RoleSessionName"},
	} {
		require.Equal(t, row[2], p.code("sts", "AssumeRole", "RoleArn", row[0], "RoleSessionName", row[1]))
	}
}

func TestATokenMakesOneObject(t *testing.T) {
	s := newShop(t)
	again := s.c.link("CreateVpcEndpoint", "VpcId", s.vpc, "ServiceId", s.service, "SecurityGroupId.1", s.group,
		"EndpointName", "ep1", "EndpointDescription", "to the shop", "EndpointType", "Interface", "ClientToken", "ep-1")
	require.Equal(t, s.endpoint, again.at("EndpointId"))
	require.Equal(t, "IdempotentParameterMismatch", s.c.code("privatelink", "CreateVpcEndpoint", "VpcId", s.vpc,
		"ServiceId", s.service, "ClientToken", "ep-1"))
	// Ten at once make one.
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			s.c.send("privatelink", "CreateVpcEndpoint", "VpcId", s.vpc, "ServiceName", s.name, "ClientToken", "ep-2")
		})
	}
	all.Wait()
	require.Len(t, s.c.link("ListVpcEndpoints").texts("Endpoints", "EndpointId"), 2)
}

func TestADryRunChangesNothing(t *testing.T) {
	s := newShop(t)
	before := len(s.lab.Edits())
	for _, row := range [][]string{
		{"CreateVpcEndpointService"}, {"DeleteVpcEndpointService", "ServiceId", s.service},
		{"EnableVpcEndpointConnection", "ServiceId", s.service, "EndpointId", s.endpoint},
	} {
		require.Equal(t, "DryRunOperation", s.p.code("privatelink", row[0], append(row[1:], "DryRun", "true")...), row[0])
	}
	require.Equal(t, "DryRunOperation", s.c.code("privatelink", "CreateVpcEndpoint", "VpcId", s.vpc, "ServiceId",
		s.service, "DryRun", "true"))
	require.Equal(t, "EndpointServiceNotFound", s.p.code("privatelink", "DeleteVpcEndpointService", "ServiceId", "x",
		"DryRun", "true"))
	require.Len(t, s.lab.Edits(), before)
	require.Equal(t, "Disconnected", s.c.link("GetVpcEndpointAttribute", "EndpointId", s.endpoint).at("ConnectionStatus"))
}

func TestListsHavePagesFiltersAndCounts(t *testing.T) {
	s := newShop(t)
	var ids []string
	for range 2 {
		s.c.link("CreateVpcEndpoint", "VpcId", s.vpc, "ServiceId", s.service)
	}
	ids = s.c.link("ListVpcEndpoints").texts("Endpoints", "EndpointId")
	require.Len(t, ids, 3)
	first := s.c.link("ListVpcEndpoints", "MaxResults", "2")
	require.Equal(t, ids[:2], first.texts("Endpoints", "EndpointId"))
	require.Equal(t, "3", first.at("TotalCount"))
	second := s.c.link("ListVpcEndpoints", "MaxResults", "2", "NextToken", first.at("NextToken"))
	require.Equal(t, ids[2:], second.texts("Endpoints", "EndpointId"))
	require.Empty(t, second.at("NextToken"))
	require.Equal(t, "InvalidParameter", s.c.code("privatelink", "ListVpcEndpoints", "NextToken", first.at("NextToken"),
		"VpcId", s.vpc))
	require.Equal(t, "InvalidParameter", s.c.code("privatelink", "ListVpcEndpoints", "MaxResults", "1001"))
	require.Equal(t, []string{s.endpoint}, s.c.link("ListVpcEndpoints", "EndpointName", "ep1").
		texts("Endpoints", "EndpointId"))
	require.Empty(t, s.c.link("ListVpcEndpoints", "ConnectionStatus", "Connected").texts("Endpoints", "EndpointId"))

	// The types of counts are those of the cloud: a number, and a text.
	status, text := s.c.send("privatelink", "ListVpcEndpoints")
	require.Equal(t, 200, status)
	require.Contains(t, string(text), `"TotalCount":3`)
	_, text = s.p.send("privatelink", "ListVpcEndpointConnections", "ServiceId", s.service)
	require.Contains(t, string(text), `"TotalCount":"3"`)

	// Tags.
	require.Equal(t, "web", s.p.link("ListVpcEndpointServices", "Tag.1.Key", "team").at("Services.0.Tags.0.Value"))
	require.Empty(t, s.p.link("ListVpcEndpointServices", "Tag.1.Key", "team", "Tag.1.Value", "x").at("Services.0.ServiceId"))
	s.c.link("TagResources", "ResourceType", "vpcendpoint", "ResourceId.1", s.endpoint, "Tag.1.Key", "a", "Tag.1.Value",
		"b")
	require.Equal(t, "b", s.c.link("ListTagResources", "ResourceType", "VpcEndpoint", "ResourceId.1", s.endpoint).
		at("TagResources.TagResource.0.TagValue"))
	s.c.link("UntagResources", "ResourceType", "vpcendpoint", "ResourceId.1", s.endpoint, "TagKey.1", "a")
	require.Empty(t, s.c.link("ListTagResources", "ResourceType", "vpcendpoint").at("TagResources.TagResource.0.TagValue"))
	require.Equal(t, "InvalidResourceId.NotFound", s.p.code("privatelink", "TagResources", "ResourceType", "vpcendpoint",
		"ResourceId.1", s.endpoint, "Tag.1.Key", "a"), "it is the consumer's")
}

// An account does not see what is another's.
func TestAnAccountSeesWhatIsItsOwn(t *testing.T) {
	s := newShop(t)
	require.Equal(t, "EndpointNotFound", s.p.code("privatelink", "GetVpcEndpointAttribute", "EndpointId", s.endpoint))
	require.Equal(t, "EndpointServiceNotFound", s.c.code("privatelink", "GetVpcEndpointServiceAttribute", "ServiceId",
		s.service))
	require.Equal(t, "EndpointServiceNotFound", s.c.code("privatelink", "EnableVpcEndpointConnection", "ServiceId",
		s.service, "EndpointId", s.endpoint))
	require.Equal(t, []string{s.service}, s.c.link("ListVpcEndpointServicesByEndUser").texts("Services", "ServiceId"))
	require.Empty(t, s.c.link("ListVpcEndpointServices").texts("Services", "ServiceId"))
	require.Empty(t, s.p.link("ListVpcEndpoints").texts("Endpoints", "EndpointId"))
	users := s.p.link("ListVpcEndpointServiceUsers", "ServiceId", s.service)
	require.Equal(t, []string{s.p.number, s.c.number}, users.texts("Users", "UserId"))
	require.Equal(t, "ResourceNotFound", s.c.code("privatelink", "CreateVpcEndpointService", "Resource.1.ResourceId",
		s.id("clb1"), "Resource.1.ResourceType", "slb", "Resource.1.ZoneId", "eu-central-1b"))
}

// With a transition clients see the states on the way.
func TestTransitionsAreSeen(t *testing.T) {
	s := newShop(t, func(cfg *aliapi.Config) { cfg.Transition = 300 * time.Millisecond })
	require.Eventually(t, func() bool {
		return s.c.link("ListVpcEndpointZones", "EndpointId", s.endpoint).at("Zones.0.ZoneStatus") == "Wait"
	}, 5*time.Second, 5*time.Millisecond)
	s.p.link("EnableVpcEndpointConnection", "ServiceId", s.service, "EndpointId", s.endpoint)
	require.Equal(t, "Connecting", s.c.link("GetVpcEndpointAttribute", "EndpointId", s.endpoint).at("ConnectionStatus"))
	s.status("Connected")
	s.p.link("DisableVpcEndpointConnection", "ServiceId", s.service, "EndpointId", s.endpoint)
	require.Equal(t, "Disconnecting", s.p.link("ListVpcEndpointConnections", "ServiceId", s.service).
		at("Connections.0.ConnectionStatus"))
	s.status("Disconnected")
}

// A resource is allocated before the acceptance, and bandwidths are those of the service's kind.
func TestResourcesAndBandwidths(t *testing.T) {
	s := newShop(t)
	zone := []string{"ServiceId", s.service, "EndpointId", s.endpoint, "ZoneId", "eu-central-1b"}
	s.p.link("AttachResourceToVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
		s.id("clb2"), "ZoneId", "eu-central-1b")
	for _, clb := range []string{"clb2", "clb1"} {
		s.p.link("UpdateVpcEndpointZoneConnectionResourceAttribute", append(zone, "ResourceAllocateMode", "Manual",
			"ResourceId", s.id(clb), "ResourceType", "slb")...)
		s.enable()
		require.Equal(t, s.id(clb), s.p.link("ListVpcEndpointConnections").at("Connections.0.Zones.0.ResourceId"))
		s.p.link("DisableVpcEndpointConnection", zone[:4]...)
		s.status("Disconnected")
	}
	for _, wrong := range []string{"99", "10241"} {
		require.Equal(t, "InvalidParameter", s.p.code("privatelink", "EnableVpcEndpointConnection", append(zone[:4],
			"Bandwidth", wrong)...))
	}
	require.Equal(t, "InvalidParameter", s.p.code("privatelink", "EnableVpcEndpointConnection", append(zone[:4],
		"TrafficControlMode", "Scalability")...))
	s.enable("TrafficControlMode", "BandwidthLimit", "Bandwidth", "100")
	s.p.link("UpdateVpcEndpointConnectionAttribute", append(zone[:4], "Bandwidth", "300")...)
	s.status("Connected")
	connection := s.p.link("ListVpcEndpointConnections", "EndpointId", s.endpoint)
	require.Equal(t, "300", connection.at("Connections.0.Bandwidth"))
	require.Equal(t, "BandwidthLimit", connection.at("Connections.0.TrafficControlMode"))
	s.p.link("UpdateVpcEndpointServiceAttribute", "ServiceId", s.service, "ConnectBandwidth", "1024",
		"ServiceDescription", "another", "AutoAcceptEnabled", "true", "ZoneAffinityEnabled", "false")
	now := s.p.link("GetVpcEndpointServiceAttribute", "ServiceId", s.service)
	require.Equal(t, []string{"1024", "another", "true", "false", "100", "10240", `["eu-central-1b"]`},
		[]string{now.at("ConnectBandwidth"), now.at("ServiceDescription"), now.at("AutoAcceptEnabled"),
			now.at("ZoneAffinityEnabled"), now.at("MinBandwidth"), now.at("MaxBandwidth"), now.at("Zones")})
	s.c.link("UpdateVpcEndpointAttribute", "EndpointId", s.endpoint, "EndpointName", "another", "EndpointDescription",
		"other", "ZoneAffinityEnabled", "true")
	e := s.c.link("GetVpcEndpointAttribute", "EndpointId", s.endpoint)
	require.Equal(t, []string{"another", "other", "true"}, []string{e.at("EndpointName"), e.at("EndpointDescription"),
		e.at("ZoneAffinityEnabled")})
	// A service that accepts by itself connects at once, with its bandwidth.
	auto := s.c.link("CreateVpcEndpoint", "VpcId", s.vpc, "ServiceId", s.service, "Zone.1.ZoneId", "eu-central-1b",
		"Zone.1.VSwitchId", s.id("vpc1/b"), "Zone.1.ip", "192.168.24.99", "ZoneAffinityEnabled", "false")
	s.endpoint = auto.at("EndpointId")
	s.status("Connected")
	require.Equal(t, "192.168.24.99", s.c.link("ListVpcEndpointZones", "EndpointId", s.endpoint).at("Zones.0.EniIp"))
	s.reads("ecs1", "http://"+auto.at("EndpointDomain")+"/", "ecs2")
}

func TestWhatIsWrongWithAnEndpointIsTold(t *testing.T) {
	s := newShop(t)
	good := []string{"VpcId", s.vpc, "ServiceId", s.service}
	for _, row := range []struct {
		name, code string
		more       []string
	}{
		{"a name of one letter", "InvalidParameter", []string{"EndpointName", "x"}},
		{"another type", "InvalidParameter", []string{"EndpointType", "Reverse"}},
		{"a link for a text", "InvalidParameter", []string{"EndpointDescription", "http://x"}},
		{"a VPC that is not there", "InvalidVpcID.NotFound", []string{"VpcId", "vpc-x"}},
		{"another's group", "InvalidSecurityGroupId.NotFound", []string{"SecurityGroupId.1", s.id("vpc2/web")}},
		{"another zone", "InvalidVSwitchId.ZoneMismatch", []string{"Zone.1.ZoneId", "eu-central-1c", "Zone.1.VSwitchId",
			s.id("vpc1/b")}},
		{"a policy", "UnsupportedOperation", []string{"PolicyDocument", `{"Statement":[]}`}},
		{"another region", "InvalidParameter", []string{"ServiceRegionId", "cn-hangzhou"}},
		{"protection", "UnsupportedOperation", []string{"ProtectedEnabled", "true"}},
		{"a tag of the cloud", "InvalidTagKey.Malformed", []string{"Tag.1.Key", "acs:x"}},
	} {
		require.Equal(t, row.code, s.c.code("privatelink", "CreateVpcEndpoint", append(append([]string{}, good...),
			row.more...)...), row.name)
	}
	require.Len(t, s.c.link("ListVpcEndpoints").texts("Endpoints", "EndpointId"), 1)
	require.Equal(t, "eu-central-1", s.c.link("DescribeRegions").at("Regions.Region.0.RegionId"))
	require.True(t, strings.HasPrefix(s.c.link("DescribeZones").at("Zones.Zone.0.ZoneId"), "eu-central-1"))
	s.p.link("ChangeResourceGroup", "ResourceId", s.service, "ResourceGroupId", "rg-1")
	require.Equal(t, "rg-1", s.p.link("GetVpcEndpointServiceAttribute", "ServiceId", s.service).at("ResourceGroupId"))
	s.p.link("OpenPrivateLinkService")
	require.Equal(t, "true", s.p.link("CheckProductOpen").at("Success"))
}

// 2 MiB are too much, and of 200 calls at once each is done: the others wait for their turn.
func TestWhatIsTooMuchIsRefused(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	p.inBody = true
	status, text := p.send("vpc", "DescribeVpcs", "X", strings.Repeat("x", 2<<20))
	require.Equal(t, 413, status)
	require.Equal(t, "RequestEntityTooLarge", parse(t, text).at("Code"))

	var all sync.WaitGroup
	var done atomic.Int64
	for range 200 {
		all.Go(func() {
			if status, _ := p.send("vpc", "CreateVpc", "CidrBlock", "10.0.0.0/16"); status == 200 {
				done.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 200, done.Load())
	require.Equal(t, "200", p.do("vpc", "DescribeVpcs").at("TotalCount"))
}

// A required parameter that is empty, as Terraform's provider sends some, gets an answer.
func TestWhatIsEmptyIsRefused(t *testing.T) {
	c := up(t, empty)
	p := c.as("provider")
	tried := 0
	for key, required := range aliapi.Required() {
		service, action, _ := strings.Cut(key, " ")
		for i := range required {
			var parameters []string
			for j, name := range required {
				parameters = append(parameters, name, map[bool]string{true: "", false: "1"}[i == j])
			}
			code, _ := p.refused(service, action, parameters...)
			require.NotEmpty(t, code, "%s without %s", key, required[i])
			tried++
		}
	}
	require.Greater(t, tried, 80)
}

// Terraform's provider names no zone of a resource that it attaches: ZoneId is there, and empty.
func TestAResourceIsAttachedWithAnEmptyZone(t *testing.T) {
	s := newShop(t)
	s.p.link("AttachResourceToVpcEndpointService", "ServiceId", s.service, "ResourceType", "slb", "ResourceId",
		s.id("clb3"), "ZoneId", "")
	require.Equal(t, `["eu-central-1b","eu-central-1c"]`, s.p.link("GetVpcEndpointServiceAttribute", "ServiceId",
		s.service).at("Zones"))
}
