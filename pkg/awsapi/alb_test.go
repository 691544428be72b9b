package awsapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
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

// answer is what the ALB answers to a request of the guest: the status, and where it leads or
// the page. Header fields are pairs.
func (f *front) answer(method, path string, header ...string) string {
	f.t.Helper()
	on, err := f.lab.Client(f.guest)
	require.NoError(f.t, err)
	h := on.HTTP()
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.name+path, nil)
	require.NoError(f.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := h.Do(r)
	require.NoError(f.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(f.t, err)
	if to := resp.Header.Get("Location"); to != "" {
		text = []byte(to)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(text)))
}

// members are parameters below a list's first member.
func members(list string, pairs ...string) (out []string) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, list+".member.1."+pairs[i], pairs[i+1])
	}
	return out
}

// What a listener does that no rule is for: answer, lead elsewhere, forward, share out.
func TestTheDefaultActionOfAListenerDecides(t *testing.T) {
	f := newFront(t)
	fixed := members("DefaultActions", "Type", "fixed-response", "FixedResponseConfig.StatusCode", "404",
		"FixedResponseConfig.ContentType", "text/plain", "FixedResponseConfig.MessageBody", "nobody")
	heard := f.listener(fixed...)
	f.eventually("it answers", func() bool { _, err := f.get(f.guest, "http://"+f.name+"/"); return err == nil })
	require.Equal(t, "404 nobody", f.answer("GET", "/"))

	modify := func(action ...string) answer {
		return f.p.elb("ModifyListener", append([]string{"ListenerArn", heard}, action...)...)
	}
	said := modify(members("DefaultActions", "Type", "redirect", "RedirectConfig.StatusCode", "HTTP_301",
		"RedirectConfig.Protocol", "HTTPS", "RedirectConfig.Port", "443", "RedirectConfig.Path", "/#{path}")...)
	const does = "ModifyListenerResult/Listeners/member/DefaultActions/member/"
	require.Equal(t, "#{host}", said.at(does+"RedirectConfig/Host"))
	require.Equal(t, "301 https://"+f.name+"/a?b=c", f.answer("GET", "/a?b=c"))

	one, two := f.version("v1"), f.version("v2")
	const groups = "ForwardConfig.TargetGroups.member."
	said = modify(members("DefaultActions", "Type", "forward", groups+"1.TargetGroupArn", one, groups+"1.Weight", "3",
		groups+"2.TargetGroupArn", two, groups+"2.Weight", "1")...)
	require.Equal(t, []string{"3", "1"}, said.texts(does+"ForwardConfig/TargetGroups/member/Weight"))
	require.Empty(t, said.at(does+"TargetGroupArn"))
	f.eventually("both are healthy", func() bool {
		return f.answer("GET", "/") == "200 v2"
	})
	count := map[string]int{}
	for range 40 {
		count[f.answer("GET", "/")]++
	}
	require.Equal(t, map[string]int{"200 v1": 30, "200 v2": 10}, count)
	require.Equal(t, []string{f.alb}, f.p.elb("DescribeTargetGroups", "TargetGroupArns.member.1", two).
		texts("DescribeTargetGroupsResult/TargetGroups/member/LoadBalancerArns/member"))
	require.Equal(t, "ResourceInUse", f.p.elbCode("DeleteTargetGroup", "TargetGroupArn", two))

	said = modify(members("DefaultActions", "Type", "forward", "TargetGroupArn", two)...)
	require.Equal(t, two, said.at(does+"TargetGroupArn"))
	require.Equal(t, "200 v2", f.answer("GET", "/"))

	// What a lab or the cloud has not.
	for want, parameters := range map[string][]string{
		"UnsupportedOperation": members("DefaultActions", "Type", "forward", groups+"1.TargetGroupArn", one,
			groups+"2.TargetGroupArn", two, "ForwardConfig.TargetGroupStickinessConfig.Enabled", "true"),
		"ValidationError": members("DefaultActions", "Type", "forward", groups+"1.TargetGroupArn", one,
			groups+"2.TargetGroupArn", one),
		"TargetGroupNotFound": members("DefaultActions", "Type", "forward", "TargetGroupArn", one+"0"),
	} {
		require.Equal(t, want, f.p.elbCode("ModifyListener", append([]string{"ListenerArn", heard}, parameters...)...))
	}
	require.Equal(t, "InvalidLoadBalancerAction", f.p.elbCode("ModifyListener", append([]string{"ListenerArn", f.heard},
		fixed...)...), "an NLB forwards")
	code, text := f.p.refused("elasticloadbalancing", "CreateListener", "LoadBalancerArn", f.nlb, "Protocol", "TLS",
		"Port", "443", "DefaultActions.member.1.Type", "forward", "DefaultActions.member.1.TargetGroupArn", f.group)
	require.Equal(t, "UnsupportedOperation", code)
	require.Contains(t, text, "Application Load Balancer")
}

// Every kind of condition decides which rule a request meets.
func TestTheConditionsOfARuleDecide(t *testing.T) {
	f := newFront(t)
	heard := f.listener(members("DefaultActions", "Type", "fixed-response", "FixedResponseConfig.StatusCode", "404")...)
	f.eventually("it answers", func() bool { _, err := f.get(f.guest, "http://"+f.name+"/"); return err == nil })
	const values = ".Values.member.1"
	from := f.p.ec2("DescribeInstances", "InstanceId.1", f.guest).
		at("reservationSet/item/instancesSet/item/privateIpAddress")
	for i, row := range []struct {
		name      string
		condition []string
		yes, no   func() string
	}{
		{"header", []string{"Field", "http-header", "HttpHeaderConfig.HttpHeaderName", "X-Version",
			"HttpHeaderConfig" + values, "beta*"},
			func() string { return f.answer("GET", "/", "x-version", "Beta2") },
			func() string { return f.answer("GET", "/", "x-version", "2beta") }},
		{"query", []string{"Field", "query-string", "QueryStringConfig" + values + ".Key", "debug",
			"QueryStringConfig" + values + ".Value", "t?ue"},
			func() string { return f.answer("GET", "/?debug=true") },
			func() string { return f.answer("GET", "/?bug=true") }},
		{"method", []string{"Field", "http-request-method", "HttpRequestMethodConfig" + values, "PUT"},
			func() string { return f.answer("PUT", "/") }, func() string { return f.answer("GET", "/") }},
		{"host", []string{"Field", "host-header", "HostHeaderConfig" + values, f.name},
			func() string { return f.answer("GET", "/") }, nil},
		{"path", []string{"Field", "path-pattern", "PathPatternConfig" + values, "/a*"},
			func() string { return f.answer("GET", "/abc") }, func() string { return f.answer("GET", "/xabc") }},
		{"source", []string{"Field", "source-ip", "SourceIpConfig" + values, from + "/32"},
			func() string { return f.answer("GET", "/") }, nil},
		{"another source", []string{"Field", "source-ip", "SourceIpConfig" + values, "192.0.2.0/24"},
			nil, func() string { return f.answer("GET", "/") }},
	} {
		made := f.p.elb("CreateRule", append(append([]string{"ListenerArn", heard, "Priority", fmt.Sprint(i + 1)},
			members("Conditions", row.condition...)...), members("Actions", "Type", "fixed-response",
			"FixedResponseConfig.StatusCode", "200", "FixedResponseConfig.MessageBody", row.name)...)...)
		rule := made.at("CreateRuleResult/Rules/member/RuleArn")
		require.Equal(t, row.condition[1], made.at("CreateRuleResult/Rules/member/Conditions/member/Field"))
		if row.yes != nil {
			require.Equal(t, "200 "+row.name, row.yes(), row.name)
		}
		if row.no != nil {
			require.Equal(t, "404", strings.TrimSpace(row.no()), row.name)
		}
		// Its action changes, and the conditions stay.
		f.p.elb("ModifyRule", append([]string{"RuleArn", rule}, members("Actions", "Type", "fixed-response",
			"FixedResponseConfig.StatusCode", "201")...)...)
		if row.yes != nil {
			require.Equal(t, "201", strings.TrimSpace(row.yes()), row.name)
		}
		f.p.elb("DeleteRule", "RuleArn", rule)
	}
	require.Equal(t, "ValidationError", f.p.elbCode("CreateRule", append([]string{"ListenerArn", heard, "Priority", "9",
		"Conditions.member.1.Field", "cookie", "Conditions.member.1.Values.member.1", "a"},
		members("Actions", "Type", "fixed-response", "FixedResponseConfig.StatusCode", "200")...)...))
}

// The end of a certificate's ARN is the name that it is for; clients get the one of the
// name that they ask for.
func TestClientsGetTheCertificateOfTheirName(t *testing.T) {
	f := newFront(t)
	f.p.ec2("AuthorizeSecurityGroupIngress", "GroupId", f.groups["front"], "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "443", "IpPermissions.1.ToPort", "443", "IpPermissions.1.IpRanges.1.CidrIp",
		"10.0.0.0/16")
	arn := func(name string) string { return "arn:aws:acm:us-east-1:" + f.p.number + ":certificate/" + name }
	create := func(certificate string) []string {
		return append([]string{"LoadBalancerArn", f.alb, "Protocol", "HTTPS", "Port", "443", "SslPolicy",
			"ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "Certificates.member.1.CertificateArn", certificate},
			members("DefaultActions", "Type", "fixed-response", "FixedResponseConfig.StatusCode", "200")...)
	}
	require.Equal(t, "CertificateNotFound", f.p.elbCode("CreateListener", create("shop.example")...))
	made := f.p.elb("CreateListener", create(arn("www.shop.example"))...)
	heard := made.at("CreateListenerResult/Listeners/member/ListenerArn")
	require.Equal(t, "ELBSecurityPolicy-TLS13-1-2-Res-2021-06", made.at("CreateListenerResult/Listeners/member/SslPolicy"))
	change := func(action string, names ...string) answer {
		parameters := []string{"ListenerArn", heard}
		for i, name := range names {
			parameters = append(parameters, fmt.Sprintf("Certificates.member.%d.CertificateArn", i+1), arn(name))
		}
		return f.p.elb(action, parameters...)
	}
	listed := func() []string {
		return f.p.elb("DescribeListenerCertificates", "ListenerArn", heard).
			texts("DescribeListenerCertificatesResult/Certificates/member/CertificateArn")
	}
	// names are those of the certificate that a client gets that asks for one.
	names := func(asked string) (out []string) {
		on, err := f.lab.Client(f.guest)
		require.NoError(t, err)
		raw, err := on.DialContext(t.Context(), "tcp", net.JoinHostPort(f.name, "443"))
		if err != nil {
			return nil
		}
		ca, err := f.store.Load("ca.pem")
		require.NoError(t, err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		conn := tls.Client(raw, &tls.Config{ServerName: asked, RootCAs: pool})
		defer conn.Close()
		if conn.HandshakeContext(t.Context()) != nil {
			return nil
		}
		return conn.ConnectionState().PeerCertificates[0].DNSNames
	}
	f.eventually("it is served", func() bool { return names("www.shop.example") != nil })
	require.Equal(t, []string{"www.shop.example"}, names("www.shop.example"))
	require.Nil(t, names("a.api.example"), "there is no certificate for it")
	change("AddListenerCertificates", "*.api.example", "0f1e2d3c-0000-4000-8000-000000000000")
	require.Equal(t, []string{"*.api.example"}, names("a.api.example"))
	require.Equal(t, []string{arn("www.shop.example"), arn("*.api.example"),
		arn("0f1e2d3c-0000-4000-8000-000000000000")}, listed())
	require.Equal(t, "OperationNotPermitted", f.p.elbCode("RemoveListenerCertificates", "ListenerArn", heard,
		"Certificates.member.1.CertificateArn", arn("www.shop.example")))
	change("RemoveListenerCertificates", "*.api.example")
	require.Nil(t, names("a.api.example"))
	change("ModifyListener", "shop.example")
	require.Equal(t, []string{"shop.example"}, names("shop.example"))
	require.Nil(t, names("www.shop.example"))
	change("ModifyListener", "11111111-0000-4000-8000-000000000000")
	f.p.elb("RemoveListenerCertificates", "ListenerArn", heard, "Certificates.member.1.CertificateArn",
		arn("0f1e2d3c-0000-4000-8000-000000000000"))
	require.Len(t, listed(), 1)
	f.p.elb("ModifyListener", "ListenerArn", heard, "Protocol", "HTTP", "Port", "81")
	require.Empty(t, listed())
	require.Equal(t, "ValidationError", f.p.elbCode("AddListenerCertificates", "ListenerArn", heard,
		"Certificates.member.1.CertificateArn", arn("x.example")))
}
