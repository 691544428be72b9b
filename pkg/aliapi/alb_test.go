package aliapi_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/aliapi"
)

// sitesFile has servers for load balancers in two zones, and clients in another VPC.
const sitesFile = `
name: sites
cloud: alibaba
region: cn-hangzhou
accounts: [provider, consumer]
vpcs:
  vpc2:
    account: provider
    cidr: 192.168.0.0/16
    subnets:
      h: {zone: cn-hangzhou-h, cidr: 192.168.3.0/24}
      i: {zone: cn-hangzhou-i, cidr: 192.168.5.0/24}
      j: {zone: cn-hangzhou-j, cidr: 192.168.6.0/24}
    instances:
      shop: {subnet: h, services: [{http: 80}]}
      api: {subnet: i, services: [{http: 8080}]}
  vpc1:
    account: consumer
    cidr: 192.168.0.0/16
    subnets: {h: {zone: cn-hangzhou-h, cidr: 192.168.3.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}}
    instances: {client: {subnet: h}}
`

// sites is an ALB, made by the API, with a service and an endpoint.
type sites struct {
	*cloud
	p, c              *client
	vpc, alb          string
	shop, api         string // server groups
	listener          string
	service, endpoint string
	page              string
}

// alb calls an operation of ALB, and waits for its job where it has one.
func (s *sites) call(action string, parameters ...string) answer {
	s.t.Helper()
	made := s.p.do("alb", action, parameters...)
	if job := made.at("JobId"); job != "" {
		jobs := s.p.do("alb", "ListAsynJobs", "JobIds.1", job)
		require.Equal(s.t, []string{"Succeeded", action}, []string{jobs.at("Jobs.0.Status"), jobs.at("Jobs.0.ApiName")})
	}
	return made
}

func (s *sites) vsw(name string) string {
	v, err := s.lab.Plan().MustVPC("vpc2").Subnet(name)
	require.NoError(s.t, err)
	return v.ID
}

func (s *sites) instance(name string) string {
	in, err := s.lab.Plan().Instance(name)
	require.NoError(s.t, err)
	return in.ID
}

func zones(s *sites, names ...string) (out []string) {
	for i, name := range names {
		at := "ZoneMappings." + string(rune('1'+i)) + "."
		out = append(out, at+"ZoneId", "cn-hangzhou-"+name, at+"VSwitchId", s.vsw(name))
	}
	return out
}

// newSites makes an ALB in two zones with two server groups and a listener, and what leads to it.
func newSites(t *testing.T) *sites {
	s := &sites{cloud: up(t, sitesFile)}
	s.p, s.c = s.as("provider"), s.as("consumer")
	s.vpc = s.lab.Plan().MustVPC("vpc2").ID
	s.alb = s.call("CreateLoadBalancer", append(zones(s, "h", "i"), "AddressType", "Intranet", "AddressIpVersion", "IPv4",
		"AddressAllocatedMode", "Fixed", "LoadBalancerEdition", "Standard", "LoadBalancerName", "alb1", "VpcId", s.vpc,
		"LoadBalancerBillingConfig.PayType", "PostPay", "Tag.1.Key", "team", "Tag.1.Value", "web")...).at("LoadBalancerId")
	group := func(name, server, port string) string {
		id := s.call("CreateServerGroup", "ServerGroupName", name, "VpcId", s.vpc, "Protocol", "HTTP", "Scheduler", "Wrr",
			"ServerGroupType", "Instance", "HealthCheckConfig.HealthCheckEnabled", "true",
			"HealthCheckConfig.HealthCheckProtocol", "HTTP", "HealthCheckConfig.HealthCheckPath", "/",
			"HealthCheckConfig.HealthCheckInterval", "5", "HealthCheckConfig.HealthCheckHttpCodes.1", "http_2xx",
			"StickySessionConfig.StickySessionEnabled", "false").at("ServerGroupId")
		s.call("AddServersToServerGroup", "ServerGroupId", id, "Servers.1.ServerType", "Ecs", "Servers.1.ServerId",
			s.instance(server), "Servers.1.Port", port, "Servers.1.Weight", "100", "Servers.1.Description", "x")
		return id
	}
	s.shop, s.api = group("shop", "shop", "80"), group("api", "api", "8080")
	s.listener = s.call("CreateListener", "LoadBalancerId", s.alb, "ListenerProtocol", "HTTP", "ListenerPort", "80",
		"ListenerDescription", "front", "RequestTimeout", "30", "DefaultActions.1.Type", "ForwardGroup",
		"DefaultActions.1.ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.shop,
		"XForwardedForConfig.XForwardedForProtoEnabled", "true").at("ListenerId")
	return s
}

// offer makes a service of the ALB in both zones, and an endpoint.
func (s *sites) offer() {
	s.service = s.p.link("CreateVpcEndpointService", "ServiceResourceType", "alb", "AutoAcceptEnabled", "true",
		"Resource.1.ResourceType", "alb", "Resource.1.ResourceId", s.alb, "Resource.1.ZoneId", "cn-hangzhou-h",
		"Resource.2.ResourceType", "alb", "Resource.2.ResourceId", s.alb, "Resource.2.ZoneId", "cn-hangzhou-i").
		at("ServiceId")
	s.p.link("AddUserToVpcEndpointService", "ServiceId", s.service, "UserId", s.c.number)
	vpc := s.lab.Plan().MustVPC("vpc1")
	made := s.c.link("CreateVpcEndpoint", "VpcId", vpc.ID, "ServiceId", s.service, "SecurityGroupId.1",
		vpc.SecurityGroups[0].ID, "Zone.1.ZoneId", "cn-hangzhou-h", "Zone.1.VSwitchId", vpc.Subnets[0].ID)
	s.endpoint, s.page = made.at("EndpointId"), "http://"+made.at("EndpointDomain")+"/"
}

func (s *sites) rule(priority string, more ...string) string {
	return s.call("CreateRule", append(more, "ListenerId", s.listener, "Priority", priority, "RuleName", "rule"+priority)...).
		at("RuleId")
}

// path is a condition of a rule.
func ofPath(path string) []string {
	return []string{"RuleConditions.1.Type", "Path", "RuleConditions.1.PathConfig.Values.1", path}
}

// An ALB that the API made answers through an endpoint, by its rules, and all of it is deleted again.
func TestAnALBByTheAPI(t *testing.T) {
	s := newSites(t)
	s.offer()
	s.reads("client", s.page, "shop")

	forward := []string{"RuleActions.1.Type", "ForwardGroup", "RuleActions.1.Order", "1",
		"RuleActions.1.ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.api,
		"RuleActions.1.ForwardGroupConfig.ServerGroupTuples.1.Weight", "100"}
	first := s.rule("1", append(ofPath("/v1/*"), forward...)...)
	s.reads("client", s.page+"v1/x", "api")
	fixed := s.rule("2", append(ofPath("/closed"), "RuleActions.1.Type", "FixedResponse",
		"RuleActions.1.FixedResponseConfig.HttpCode", "200", "RuleActions.1.FixedResponseConfig.Content", "closed",
		"RuleActions.1.FixedResponseConfig.ContentType", "text/plain")...)
	s.reads("client", s.page+"closed", "closed")
	s.rule("3", append(ofPath("/old"), "RuleActions.1.Type", "Redirect", "RuleActions.1.RedirectConfig.HttpCode", "302",
		"RuleActions.1.RedirectConfig.Path", "/closed", "RuleActions.1.RedirectConfig.Host", "${host}")...)
	s.reads("client", s.page+"old", "closed")

	// A rule keeps its identifier when it gets another priority, and what is not said stays.
	s.call("UpdateRuleAttribute", "RuleId", first, "Priority", "9", "RuleConditions.1.Type", "Path",
		"RuleConditions.1.PathConfig.Values.1", "/v2/*", "RuleName", "moved")
	s.reads("client", s.page+"v2/x", "api")
	s.reads("client", s.page+"v1/x", "shop")
	rules := s.p.do("alb", "ListRules", "ListenerIds.1", s.listener)
	require.Equal(t, []string{"2", "3", "9"}, rules.texts("Rules", "Priority"))
	require.Equal(t, []string{"rule2", "rule3", "moved"}, rules.texts("Rules", "RuleName"))
	require.Equal(t, []string{fixed, "FixedResponse", "closed", "${host}", "302", first, s.api}, []string{
		rules.at("Rules.0.RuleId"), rules.at("Rules.0.RuleActions.0.Type"),
		rules.at("Rules.0.RuleActions.0.FixedResponseConfig.Content"),
		rules.at("Rules.1.RuleActions.0.RedirectConfig.Host"), rules.at("Rules.1.RuleActions.0.RedirectConfig.HttpCode"),
		rules.at("Rules.2.RuleId"),
		rules.at("Rules.2.RuleActions.0.ForwardGroupConfig.ServerGroupTuples.0.ServerGroupId")})
	group := s.p.do("alb", "ListServerGroups", "ServerGroupIds.1", s.api)
	require.Equal(t, `["`+first+`"]`, group.at("ServerGroups.0.RelatedRuleIds"))

	// Another default group, a listener that is stopped and started, with its rules.
	s.call("UpdateListenerAttribute", "ListenerId", s.listener, "DefaultActions.1.Type", "ForwardGroup",
		"DefaultActions.1.ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.api, "IdleTimeout", "20",
		"XForwardedForConfig.XForwardedForSLBPortEnabled", "true")
	s.reads("client", s.page, "api")
	heard := s.p.do("alb", "GetListenerAttribute", "ListenerId", s.listener)
	require.Equal(t, []string{"Running", "20", "30", "true", "true", "front"}, []string{heard.at("ListenerStatus"),
		heard.at("IdleTimeout"), heard.at("RequestTimeout"), heard.at("XForwardedForConfig.XForwardedForProtoEnabled"),
		heard.at("XForwardedForConfig.XForwardedForSLBPortEnabled"), heard.at("ListenerDescription")})
	s.call("StopListener", "ListenerId", s.listener)
	s.reads("client", s.page, "")
	require.Equal(t, []string{"Stopped"}, s.p.do("alb", "ListListeners", "LoadBalancerIds.1", s.alb).
		texts("Listeners", "ListenerStatus"))
	require.Equal(t, "IncorrectStatus.Listener", s.p.code("alb", "UpdateListenerAttribute", "ListenerId", s.listener,
		"IdleTimeout", "10"))
	s.call("StartListener", "ListenerId", s.listener)
	s.reads("client", s.page, "api")
	s.reads("client", s.page+"closed", "closed")

	s.refusals(first)
	s.takeApart(fixed, first)
}

// refusals of ALB.
func (s *sites) refusals(rule string) {
	action := []string{"RuleActions.1.Type", "ForwardGroup",
		"RuleActions.1.ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.api}
	for _, row := range []struct {
		code, action string
		parameters   []string
	}{
		{"ResourceInUse.ServerGroup", "DeleteServerGroup", []string{"ServerGroupId", s.api}},
		{"OperationDenied.PrivateLinkExist", "DeleteLoadBalancer", []string{"LoadBalancerId", s.alb}},
		{"ResourceNotFound.LoadBalancer", "GetLoadBalancerAttribute", []string{"LoadBalancerId", "alb-x"}},
		{"ResourceNotFound.Listener", "GetListenerAttribute", []string{"ListenerId", "lsn-x"}},
		{"ResourceNotFound.Rule", "DeleteRule", []string{"RuleId", "rule-x"}},
		{"Conflict.Priority", "UpdateRuleAttribute", []string{"RuleId", rule, "Priority", "2"}},
		{"Conflict.Priority", "CreateRule", append(append([]string{"ListenerId", s.listener, "Priority", "2"},
			ofPath("/x")...), action...)},
		{"UnsupportedOperation", "CreateRule", append([]string{"ListenerId", s.listener, "Priority", "5",
			"RuleConditions.1.Type", "Cookie"}, action...)},
		{"UnsupportedOperation", "CreateRule", append([]string{"ListenerId", s.listener, "Priority", "5",
			"RuleConditions.1.Type", "Cookie", "RuleConditions.1.CookieConfig.Values.1.Key", "a"}, action...)},
		{"IllegalParam.RuleConditions", "CreateRule", append([]string{"ListenerId", s.listener, "Priority", "5",
			"RuleConditions.1.Type", "Method"}, action...)},
		{"UnsupportedOperation", "CreateRule", append(ofPath("/x"), "ListenerId", s.listener, "Priority", "5",
			"RuleActions.1.Type", "Rewrite")},
		{"IllegalParam.RuleActions", "CreateRule", append(ofPath("/x"), "ListenerId", s.listener, "Priority", "5",
			"RuleActions.1.Type", "Redirect")},
		{"UnsupportedOperation", "CreateRule", append(append(ofPath("/x"), "ListenerId", s.listener, "Priority", "5",
			"RuleActions.1.ForwardGroupConfig.ServerGroupStickySession.Enabled", "true"), action...)},
		{"IllegalParam.Weight", "CreateRule", append(append(ofPath("/x"), "ListenerId", s.listener, "Priority", "5",
			"RuleActions.1.ForwardGroupConfig.ServerGroupTuples.1.Weight", "101"), action...)},
		{"UnsupportedOperation", "CreateRule", append(ofPath("/x"), "ListenerId", s.listener, "Priority", "5",
			"RuleActions.1.Type", "InsertHeader", "RuleActions.1.InsertHeaderConfig.Key", "x")},
		{"UnsupportedOperation", "CreateLoadBalancer", append(zones(s, "h", "i"), "AddressType", "Internet", "VpcId", s.vpc)},
		{"InvalidParameter", "CreateLoadBalancer", append(zones(s, "h"), "AddressType", "Intranet", "VpcId", s.vpc)},
		{"ResourceAlreadyExist.Listener", "CreateListener", []string{"LoadBalancerId", s.alb, "ListenerProtocol", "HTTP",
			"ListenerPort", "80", "DefaultActions.1.Type", "ForwardGroup",
			"DefaultActions.1.ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.api}},
		{"UnsupportedOperation", "CreateListener", []string{"LoadBalancerId", s.alb, "ListenerProtocol", "QUIC",
			"ListenerPort", "443", "DefaultActions.1.Type", "ForwardGroup",
			"DefaultActions.1.ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.api}},
		{"UnsupportedOperation", "CreateListener", []string{"LoadBalancerId", s.alb, "CaEnabled", "true"}},
	} {
		require.Equal(s.t, row.code, s.p.code("alb", row.action, row.parameters...), row.action)
	}
}

func (s *sites) takeApart(rules ...string) {
	s.c.link("RemoveZoneFromVpcEndpoint", "EndpointId", s.endpoint, "ZoneId", "cn-hangzhou-h")
	s.c.link("DeleteVpcEndpoint", "EndpointId", s.endpoint)
	for _, zone := range []string{"cn-hangzhou-h", "cn-hangzhou-i"} {
		s.p.link("DetachResourceFromVpcEndpointService", "ServiceId", s.service, "ResourceType", "alb", "ResourceId", s.alb,
			"ZoneId", zone)
	}
	s.p.link("DeleteVpcEndpointService", "ServiceId", s.service)
	for _, id := range rules {
		s.call("DeleteRule", "RuleId", id)
	}
	s.call("DeleteListener", "ListenerId", s.listener)
	s.call("DeleteLoadBalancer", "LoadBalancerId", s.alb)
	for _, id := range []string{s.shop, s.api} {
		s.call("DeleteServerGroup", "ServerGroupId", id)
	}
	require.Empty(s.t, s.p.do("alb", "ListLoadBalancers").texts("LoadBalancers", "LoadBalancerId"))
	require.Empty(s.t, s.lab.Edits(), "nothing is left of what was made")
}

// Rules look at all that a request says, and share requests out.
func TestTheRulesOfAnALB(t *testing.T) {
	s := newSites(t)
	s.offer()
	api := flat("RuleActions.1.", "Type", "ForwardGroup", "ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.api)
	var ids []string
	for i, condition := range [][]string{
		{"Type", "Header", "HeaderConfig.Key", "X-Beta", "HeaderConfig.Values.1", "y*"},
		{"Type", "QueryString", "QueryStringConfig.Values.1.Key", "beta", "QueryStringConfig.Values.1.Value", "1"},
		{"Type", "Method", "MethodConfig.Values.1", "PUT"},
	} {
		ids = append(ids, s.rule(strconv.Itoa(i+1), append(flat("RuleConditions.1.", condition...), api...)...))
	}
	ask := func(method, path string, header ...string) string {
		client, err := s.lab.Client("client")
		require.NoError(t, err)
		r, err := http.NewRequestWithContext(t.Context(), method, s.page+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := client.HTTP().Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return strings.TrimSpace(string(text))
	}
	s.reads("client", s.page, "shop")
	require.Equal(t, []string{"api", "shop", "api", "shop", "api"}, []string{ask("GET", "", "X-Beta", "yes"),
		ask("GET", "", "X-Beta", "no"), ask("GET", "?beta=1"), ask("GET", "?beta=2"), ask("PUT", "")})
	// The node sees the NAT IP of an endpoint, which is no address of the VPC.
	source := flat("RuleConditions.1.", "Type", "SourceIp", "SourceIpConfig.Values.1", "192.168.0.0/16")
	ids = append(ids, s.rule("4", append(source, api...)...))
	require.Equal(t, "shop", ask("GET", ""))
	s.call("UpdateRuleAttribute", "RuleId", ids[3], "RuleConditions.1.Type", "SourceIp",
		"RuleConditions.1.SourceIpConfig.Values.1", "0.0.0.0/0")
	require.Equal(t, "api", ask("GET", ""))
	s.call("UpdateRuleAttribute", append(flat("RuleActions.1.", "Type", "ForwardGroup",
		"ForwardGroupConfig.ServerGroupTuples.1.ServerGroupId", s.shop,
		"ForwardGroupConfig.ServerGroupTuples.1.Weight", "25", "ForwardGroupConfig.ServerGroupTuples.2.ServerGroupId", s.api,
		"ForwardGroupConfig.ServerGroupTuples.2.Weight", "75", "ForwardGroupConfig.ServerGroupStickySession.Enabled",
		"false"), "RuleId", ids[3])...)
	counts := map[string]int{}
	for range 40 {
		counts[ask("GET", "")]++
	}
	require.Equal(t, map[string]int{"shop": 10, "api": 30}, counts)
	rules := s.p.do("alb", "ListRules", "ListenerIds.1", s.listener)
	require.Equal(t, []string{"Header", "QueryString", "Method", "SourceIp"}, []string{
		rules.at("Rules.0.RuleConditions.0.Type"), rules.at("Rules.1.RuleConditions.0.Type"),
		rules.at("Rules.2.RuleConditions.0.Type"), rules.at("Rules.3.RuleConditions.0.Type")})
	require.Equal(t, []string{"X-Beta", "beta", "PUT", "0.0.0.0/0", "75"}, []string{
		rules.at("Rules.0.RuleConditions.0.HeaderConfig.Key"),
		rules.at("Rules.1.RuleConditions.0.QueryStringConfig.Values.0.Key"),
		rules.at("Rules.2.RuleConditions.0.MethodConfig.Values.0"),
		rules.at("Rules.3.RuleConditions.0.SourceIpConfig.Values.0"),
		rules.at("Rules.3.RuleActions.0.ForwardGroupConfig.ServerGroupTuples.1.Weight")})
}

func TestWhatIsSaidOfAnALBIsReadAgain(t *testing.T) {
	s := newSites(t)
	s.call("UpdateServerGroupAttribute", "ServerGroupId", s.shop, "ServerGroupName", "store", "Scheduler", "Wlc",
		"UpstreamKeepaliveEnabled", "true", "StickySessionConfig.StickySessionEnabled", "true",
		"StickySessionConfig.StickySessionType", "Insert", "StickySessionConfig.CookieTimeout", "500",
		"ConnectionDrainConfig.ConnectionDrainEnabled", "true", "ConnectionDrainConfig.ConnectionDrainTimeout", "60",
		"SlowStartConfig.SlowStartEnabled", "true", "SlowStartConfig.SlowStartDuration", "40",
		"HealthCheckConfig.HealthCheckEnabled", "true", "HealthCheckConfig.HealthCheckPath", "/up",
		"HealthCheckConfig.HealthCheckProtocol", "HTTP", "HealthCheckConfig.HealthyThreshold", "4")
	group := s.p.do("alb", "ListServerGroups", "ServerGroupNames.1", "store")
	at := func(path string) string { return group.at("ServerGroups.0." + path) }
	require.Equal(t, []string{s.shop, "Wlc", "true", "true", "500", "true", "60", "true", "40", "/up", "4", "1"}, []string{
		at("ServerGroupId"), at("Scheduler"), at("UpstreamKeepaliveEnabled"),
		at("StickySessionConfig.StickySessionEnabled"), at("StickySessionConfig.CookieTimeout"),
		at("ConnectionDrainConfig.ConnectionDrainEnabled"), at("ConnectionDrainConfig.ConnectionDrainTimeout"),
		at("SlowStartConfig.SlowStartEnabled"), at("SlowStartConfig.SlowStartDuration"),
		at("HealthCheckConfig.HealthCheckPath"), at("HealthCheckConfig.HealthyThreshold"), at("ServerCount")})
	s.call("UpdateServerGroupAttribute", "ServerGroupId", s.shop, "StickySessionConfig.StickySessionEnabled", "false",
		"SlowStartConfig.SlowStartEnabled", "false")
	group = s.p.do("alb", "ListServerGroups", "ServerGroupIds.1", s.shop)
	require.Equal(t, "false", at("StickySessionConfig.StickySessionEnabled"))
	require.Equal(t, "false", at("SlowStartConfig.SlowStartEnabled"))

	s.call("UpdateServerGroupServersAttribute", "ServerGroupId", s.shop, "Servers.1.ServerId", s.instance("shop"),
		"Servers.1.ServerType", "Ecs", "Servers.1.Port", "80", "Servers.1.Weight", "7")
	require.Equal(t, "7", s.p.do("alb", "ListServerGroupServers", "ServerGroupId", s.shop).at("Servers.0.Weight"))
	s.call("RemoveServersFromServerGroup", "ServerGroupId", s.shop, "Servers.1.ServerId", s.instance("shop"),
		"Servers.1.ServerType", "Ecs", "Servers.1.Port", "80")
	require.Empty(t, s.p.do("alb", "ListServerGroupServers", "ServerGroupId", s.shop).texts("Servers", "ServerId"))
	s.call("AddServersToServerGroup", "ServerGroupId", s.shop, "Servers.1.ServerId", s.instance("api"),
		"Servers.1.ServerType", "Ecs", "Servers.1.Port", "81")
	require.Eventually(t, func() bool {
		sick := s.p.do("alb", "GetListenerHealthStatus", "ListenerId", s.listener, "IncludeRule", "true")
		return sick.at("ListenerHealthStatus.0.ServerGroupInfos.0.NonNormalServers.0.ServerId") == s.instance("api")
	}, 30*time.Second, 20*time.Millisecond)

	s.call("UpdateLoadBalancerAttribute", "LoadBalancerId", s.alb, "LoadBalancerName", "front")
	s.call("UpdateLoadBalancerZones", append(zones(s, "h", "j"), "LoadBalancerId", s.alb)...)
	alb := s.p.do("alb", "GetLoadBalancerAttribute", "LoadBalancerId", s.alb)
	require.Equal(t, []string{"front", "Active", "Intranet", "web"}, []string{alb.at("LoadBalancerName"),
		alb.at("LoadBalancerStatus"), alb.at("AddressType"), alb.at("Tags.0.Value")})
	require.Equal(t, []string{"cn-hangzhou-h", "cn-hangzhou-j"}, alb.texts("ZoneMappings", "ZoneId"))
	require.Equal(t, []string{s.alb}, s.p.do("alb", "ListLoadBalancers", "ZoneId", "cn-hangzhou-j", "Tag.1.Key", "team").
		texts("LoadBalancers", "LoadBalancerId"))
	require.Empty(t, s.p.do("alb", "ListLoadBalancers", "ZoneId", "cn-hangzhou-i").texts("LoadBalancers", "LoadBalancerId"))
	for kind, id := range map[string]string{"loadbalancer": s.alb, "servergroup": s.shop, "listener": s.listener} {
		s.p.do("alb", "TagResources", "ResourceType", kind, "ResourceId.1", id, "Tag.1.Key", "a", "Tag.1.Value", "b")
		require.Contains(t, s.p.do("alb", "ListTagResources", "ResourceType", kind, "ResourceId.1", id).
			texts("TagResources", "TagKey"), "a")
		s.p.do("alb", "UnTagResources", "ResourceType", kind, "ResourceId.1", id, "TagKey.1", "a")
	}
	require.Equal(t, "cn-hangzhou", s.p.do("alb", "DescribeRegions").at("Regions.0.RegionId"))
	require.True(t, strings.HasPrefix(s.p.do("alb", "DescribeZones").at("Zones.0.ZoneId"), "cn-hangzhou-"))
	require.Contains(t, s.p.do("alb", "ListAsynJobs", "ApiName", "UpdateLoadBalancerZones").texts("Jobs", "ApiName"),
		"UpdateLoadBalancerZones")
	require.Empty(t, s.c.do("alb", "ListAsynJobs").texts("Jobs", "Id"), "jobs are those of an account")
}

// What can be said of an NLB later, and the states of its objects and jobs with a transition.
func TestAnNLBLater(t *testing.T) {
	s := &sites{cloud: up(t, sitesFile, func(cfg *aliapi.Config) { cfg.Transition = 200 * time.Millisecond })}
	s.p, s.c = s.as("provider"), s.as("consumer")
	vpc := s.lab.Plan().MustVPC("vpc2").ID
	made := s.p.do("nlb", "CreateLoadBalancer", append(zones(s, "h"), "AddressType", "Intranet", "VpcId", vpc)...)
	nlb := made.at("LoadbalancerId")
	state := func() string {
		return s.p.do("nlb", "GetLoadBalancerAttribute", "LoadBalancerId", nlb).at("LoadBalancerStatus")
	}
	job := func() string { return s.p.do("nlb", "GetJobStatus", "JobId", made.at("JobId")).at("Status") }
	require.Equal(t, []string{"Provisioning", "Processing"}, []string{state(), job()})
	require.Eventually(t, func() bool { return state() == "Active" && job() == "Succeeded" }, 5*time.Second,
		5*time.Millisecond)
	group := func(name string) string {
		return s.p.do("nlb", "CreateServerGroup", "ServerGroupName", name, "VpcId", vpc, "Protocol", "TCP").
			at("ServerGroupId")
	}
	one, other := group("one"), group("other")
	heard := s.p.do("nlb", "CreateListener", "LoadBalancerId", nlb, "ListenerProtocol", "TCP", "ListenerPort", "80",
		"ServerGroupId", one).at("ListenerId")
	s.p.do("nlb", "UpdateListenerAttribute", "ListenerId", heard, "ServerGroupId", other, "IdleTimeout", "100",
		"ProxyProtocolEnabled", "true", "ListenerDescription", "x")
	s.p.do("nlb", "UpdateLoadBalancerAttribute", "LoadBalancerId", nlb, "LoadBalancerName", "renamed", "CrossZoneEnabled",
		"true")
	s.p.do("nlb", "UpdateLoadBalancerZones", append(zones(s, "h", "i"), "LoadBalancerId", nlb)...)
	s.p.do("nlb", "UpdateServerGroupAttribute", "ServerGroupId", other, "ServerGroupName", "renamed too", "Scheduler", "rr",
		"ConnectionDrainEnabled", "true", "ConnectionDrainTimeout", "20", "HealthCheckConfig.HealthCheckType", "HTTP",
		"HealthCheckConfig.HealthCheckUrl", "/up")
	require.Eventually(t, func() bool {
		return s.p.do("nlb", "GetListenerAttribute", "ListenerId", heard).at("ListenerStatus") == "Running"
	}, 5*time.Second, 5*time.Millisecond)
	got := s.p.do("nlb", "GetListenerAttribute", "ListenerId", heard)
	require.Equal(t, []string{other, "100", "true", "x"}, []string{got.at("ServerGroupId"), got.at("IdleTimeout"),
		got.at("ProxyProtocolEnabled"), got.at("ListenerDescription")})
	balancer := s.p.do("nlb", "GetLoadBalancerAttribute", "LoadBalancerId", nlb)
	require.Equal(t, []string{"cn-hangzhou-h", "cn-hangzhou-i"}, balancer.texts("ZoneMappings", "ZoneId"))
	require.Equal(t, []string{"renamed", "true"}, []string{balancer.at("LoadBalancerName"), balancer.at("CrossZoneEnabled")})
	groups := s.p.do("nlb", "ListServerGroups", "ServerGroupIds.1", other)
	require.Equal(t, []string{"renamed too", "rr", "20", "HTTP"}, []string{groups.at("ServerGroups.0.ServerGroupName"),
		groups.at("ServerGroups.0.Scheduler"), groups.at("ServerGroups.0.ConnectionDrainTimeout"),
		groups.at("ServerGroups.0.HealthCheck.HealthCheckType")})
	s.p.do("nlb", "UpdateListenerAttribute", "ListenerId", heard, "ProxyProtocolEnabled", "false")
	s.p.do("nlb", "StopListener", "ListenerId", heard)
	require.Equal(t, []string{"Stopped"}, s.p.do("nlb", "ListListeners").texts("Listeners", "ListenerStatus"))
	s.p.do("nlb", "StartListener", "ListenerId", heard)
	require.NotEmpty(t, s.p.do("nlb", "TagResources", "ResourceType", "loadbalancer", "ResourceId.1", nlb, "Tag.1.Key",
		"a").at("JobId"))
	require.Equal(t, other, s.p.do("nlb", "GetListenerHealthStatus", "ListenerId", heard).
		at("ListenerHealthStatus.0.ServerGroupInfos.0.ServerGroupId"))
}
