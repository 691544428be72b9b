package topofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server and an endpoint in the default group of AWS, which admits its own members.
const shutOut = `name: shut
cloud: aws
region: us-east-1
accounts: [a]
vpcs:
  provider:
    cidr: 10.0.0.0/16
    subnets: {s1: {zone: us-east-1a, cidr: 10.0.1.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: 80, source: 10.0.0.0/16}]}}
    instances: {web: {subnet: s1, ip: 10.0.1.10, services: [{http: 80}]}}
  consumer:
    cidr: 10.1.0.0/16
    subnets: {s1: {zone: us-east-1a, cidr: 10.1.1.0/24}}
    security_groups: {open: {ingress: [{protocol: all, source: 10.1.0.0/16}]}}
    instances: {client: {subnet: s1, ip: 10.1.1.10, security_groups: [open]}}
server_groups: {tg1: {vpc: provider, protocol: tcp, servers: [{instance: web, port: 80}]}}
load_balancers:
  nlb1: {type: nlb, vpc: provider, subnets: {s1: {ip: 10.0.1.5}}, listeners: [{protocol: tcp, port: 80, server_group: tg1}]}
endpoint_services: {svc1: {resources: [nlb1], auto_accept: true}}
endpoints: {ep1: {service: svc1, vpc: consumer, subnets: [s1]}}
`

func TestWhatSecurityGroupsShutOutIsToldBeforehand(t *testing.T) {
	const (
		server = `server group "tg1": load balancer "nlb1" does not reach instance "web": no rule of security group default lets in tcp 80`
		ep     = `endpoint "ep1": no instance of vpc "consumer" reaches it: no rule of security group default lets in tcp 80`
	)
	inWeb := []string{"ip: 10.0.1.10,", "ip: 10.0.1.10, security_groups: [web],"}
	inOpen := []string{"vpc: consumer, subnets: [s1]}", "vpc: consumer, subnets: [s1], security_groups: [open]}"}
	for name, tt := range map[string]struct {
		change []string
		want   []string
	}{
		"both in the default group":     {nil, []string{server, ep}},
		"the server in its own":         {inWeb, []string{ep}},
		"both in their own":             {append(inWeb, inOpen...), nil},
		"the client a member, too":      {append([]string{", security_groups: [open]}}", "}}"}, inWeb...), nil},
		"elsewhere nothing is filtered": {[]string{"cloud: aws", "cloud: alibaba"}, nil},
		"another port": {append([]string{"ports: 80", "ports: 443"}, append(inWeb, inOpen...)...),
			[]string{strings.Replace(server, "group default", "group web", 1)}},
		"only the node": {append([]string{"source: 10.0.0.0/16", "source: 10.0.1.5/32"}, append(inWeb, inOpen...)...),
			[]string{`health checks from 10.0.1.1 do not reach instance "web": no rule of security group web lets in tcp 80`}},
	} {
		plan, err := Parse("shut.yaml", []byte(strings.NewReplacer(tt.change...).Replace(shutOut)))
		require.NoError(t, err, name)
		var got []string
		for _, w := range plan.Warnings {
			if strings.Contains(w.Message, "lets in") {
				got = append(got, w.Message)
			}
		}
		require.Len(t, got, len(tt.want), "%s: %s", name, got)
		for i := range got {
			require.Contains(t, got[i], tt.want[i], name)
		}
	}
	plan, err := Parse("shut.yaml", []byte(shutOut))
	require.NoError(t, err)
	require.Equal(t, `write in ingress of security group "default" of vpc "provider": {protocol: tcp, ports: 80, source: 10.0.1.0/24}`,
		plan.Warnings[0].Hint)

	// What the hint says helps.
	rule := func(source string) string {
		return "security_groups: {default: {ingress: [{protocol: tcp, ports: 80, source: " + source + "}]}, "
	}
	mended := strings.Replace(shutOut, "security_groups: {web", rule("10.0.1.0/24")+"web", 1)
	mended = strings.Replace(mended, "security_groups: {open", rule("10.1.0.0/16")+"open", 1)
	plan, err = Parse("shut.yaml", []byte(mended))
	require.NoError(t, err)
	require.Empty(t, plan.Warnings)
}
