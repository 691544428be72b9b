package topofile

import (
	"fmt"
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/topology"
)

// crowd is a topology in which much refers to each other, and in which little is
// free: small subnets, groups of groups, load balancers of several services, a service
// with endpoints in other VPCs, peerings, zones in several VPCs.
const crowd = `
name: crowd
cloud: %s
region: eu-central-1
accounts: [a]
quotas: {endpoints_per_vpc: 5, services_per_account: 4}
vpcs:
  v1:
    cidr: 10.1.0.0/16
    subnets: {a: {zone: eu-central-1a, cidr: 10.1.0.0/28}, b: {zone: eu-central-1b, cidr: 10.1.1.0/28}}
    security_groups:
      web: {ingress: [{protocol: tcp, source: db}]}
      db: {ingress: [{protocol: tcp, source: [web, 10.0.0.0/8]}]}
    instances: {i1: {subnet: a, security_groups: [web]}, i2: {subnet: a}, i3: {subnet: b, ip: 10.1.1.6}}
  v2:
    cidr: 10.2.0.0/16
    subnets: {a: {zone: eu-central-1a, cidr: 10.2.0.0/28}}
    security_groups: {web: {ingress: [{protocol: tcp, source: web}]}}
    instances: {i1: {subnet: a}}
  v3:
    cidr: 10.1.0.0/16
    subnets: {a: {zone: eu-central-1a, cidr: 10.1.0.0/28}}
    instances: {i1: {subnet: a}}
peerings: {p: {vpcs: [v1, v2]}}
server_groups:
  g1: {vpc: v1, servers: [{instance: i1, port: 80}, {ip: 10.2.0.9, port: 81}], health_check: {protocol: none}}
  g2: {vpc: v2, servers: [{instance: i1, port: 80}]}
load_balancers:
  l1: {type: nlb, vpc: v1, subnets: [a], listeners: [{protocol: tcp, port: 80, server_group: g1}]}
  l2: {type: nlb, vpc: v2, subnets: [a], listeners: [{protocol: tcp, port: 80, server_group: g2}]}
endpoint_services:
  s1: {resources: [l1], auto_accept: true}
  s2: {resources: [l2]}
endpoints:
  e1: {service: s1, vpc: v3, subnets: [a]}
  e2: {service: s2, vpc: v3, subnets: [a]}
  e3: {service: s2, vpc: v1, subnets: [a], security_groups: [db]}
private_zones:
  z: {domain: corp.example, vpcs: [v1, v3], records: [{name: db, cname: "${e1}"}, {name: ip, a: ["${v2/i1.ip}"]}]}
checks:
  - {name: it answers, from: v3/i1, get: "http://${e1}/"}
`

// drawCrowdEdit draws an edit of few names, so that edits meet each other.
func drawCrowdEdit(t *rapid.T) topology.Edit {
	vpc := rapid.SampledFrom([]string{"v1", "v2", "v3", "v4"}).Draw(t, "vpc")
	n := rapid.IntRange(1, 4).Draw(t, "n")
	path := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	value := func(values ...string) string { return rapid.SampledFrom(values).Draw(t, "value") }
	long := "a-rather-long-name-of-an-endpoint"
	return rapid.SampledFrom([]topology.Edit{
		{Path: path("vpcs/%s", vpc), Value: value("", "{cidr: 10.4.0.0/16}", "{cidr: 10.2.0.0/16, subnets: {a: {zone: eu-central-1a, cidr: 10.2.0.0/28}}}")},
		{Path: path("vpcs/%s/mtu", vpc), Value: value("1500", "8500", "")},
		{Path: path("vpcs/%s/secondary_cidrs", vpc), Value: value("[10.9.0.0/16]", "[]", "")},
		{Path: path("vpcs/%s/subnets/c", vpc), Value: value("{zone: eu-central-1c, cidr: 10.1.2.0/28}", "{zone: eu-central-1c, cidr: 10.2.2.0/28}", "")},
		{Path: path("vpcs/%s/subnets/a/cidr", vpc), Value: value("10.1.0.0/28", "10.1.0.0/27", "10.2.0.0/29", "10.2.0.0/28")},
		{Path: path("vpcs/%s/instances/i%d", vpc, n), Value: value("{subnet: a}", "{subnet: a, security_groups: [web]}", "{subnet: a, ip: 10.1.0.7}", "")},
		{Path: path("vpcs/%s/instances/e%d-a", vpc, n), Value: value("{subnet: a}", "")}, // the name of an ENI's port
		{Path: path("vpcs/%s/instances/pcx-p", vpc), Value: value("{subnet: a}", "")},
		{Path: path("vpcs/%s/security_groups/web/ingress/-", vpc), Value: value("{protocol: udp, source: web}", "{protocol: tcp, ports: 80, source: 0.0.0.0/0}")},
		{Path: path("vpcs/%s/security_groups/web%d", vpc, n), Value: value("{}", "{egress: []}", "")},
		{Path: path("vpcs/%s/security_groups/web", vpc), Value: value("{}", "")},
		{Path: path("server_groups/g%d", n), Value: value("", "{vpc: v1, servers: [{instance: i1, port: 80}]}", "{vpc: v2, servers: [{ip: 10.1.0.5, port: 80}]}", "{vpc: v3, servers: []}")},
		{Path: path("server_groups/g%d/servers/-", n), Value: value("{instance: i1, port: 82}", "{instance: i2, port: 82}", "{ip: 10.1.0.6, port: 80}")},
		{Path: path("load_balancers/l%d", n), Value: value("", "{type: nlb, vpc: v1, subnets: [a, b], listeners: [{protocol: tcp, port: 80, server_group: g1}]}", "{type: nlb, vpc: v3, subnets: [a], listeners: []}", "{type: alb, vpc: v1, subnets: [a, b], listeners: []}")},
		{Path: path("load_balancers/l%d/listeners/-", n), Value: value("{protocol: tcp, port: 81, server_group: g1}", "{protocol: tcp, port: 82, server_group: g2}", "{protocol: udp, port: 81, server_group: g1}")},
		{Path: path("load_balancers/l%d/subnets", n), Value: value("[a]", "[a, b]", "{a: {ip: 10.1.0.8}}", "{a: {ip: 10.2.0.8}}")},
		{Path: path("endpoint_services/s%d", n), Value: value("", "{resources: [l1]}", "{resources: [l2], auto_accept: true}", "{resources: [l1, l2]}", "{resources: [l3], exists: false}", "{}")},
		{Path: path("endpoint_services/s%d/zone_affinity", n), Value: value("true", "false", "")},
		{Path: path("endpoints/e%d", n), Value: value("", "{service: s1, vpc: v3, subnets: [a]}", "{service: s2, vpc: v1, subnets: [a, b]}", "{service: s3, vpc: v2, subnets: [a]}", "{service: s1, vpc: v1, subnets: {a: {ip: 10.1.0.7}}}", "{service: s1, vpc: v4}")},
		{Path: path("endpoints/%s%d", long, n), Value: value("", "{service: s1, vpc: v3, subnets: [a]}", "{service: s2, vpc: v1, subnets: [a]}")},
		{Path: path("endpoints/l%d", n), Value: value("", "{service: s1, vpc: v3, subnets: [a]}")}, // that of a load balancer
		{Path: path("endpoints/e%d/security_groups", n), Value: value("[web]", "[db]", "[]", "")},
		{Path: path("endpoints/e%d/description", n), Value: value("text", "")},
		{Path: "peerings/p", Value: value("", "{vpcs: [v1, v2]}", "{vpcs: [v2, v3]}")},
		{Path: path("peerings/p%d", n), Value: value("", "{vpcs: [v2, v4]}", "{vpcs: [v2, v3]}")},
		{Path: path("private_zones/z%d", n), Value: value("", "{domain: one.example, vpcs: [v1, v2], records: [{a: [\"${e2.ip}\"]}]}", "{domain: two.example, vpcs: [v3], records: [{name: x, cname: \"${e3}\"}]}")},
		{Path: "private_zones/z/records/-", Value: value("{name: more, cname: \"${e2}\"}", "{name: i, a: [\"${v1/i2.ip}\"]}")},
		{Path: "quotas/endpoints_per_vpc", Value: value("", "0", "3")},
		// Sections that the file does not have.
		{Path: path("public_zones/p%d", n), Value: value("", "{domain: one.example.com}", "{domain: two.example.com}")},
		{Path: path("nat_gateways/n%d", n), Value: value("", "{type: private, vpc: v1, subnet: a}")},
		{Path: path("%s", rapid.SampledFrom([]string{"public_zones", "nat_gateways"}).Draw(t, "section")), Value: value("", "{}", "null")},
		// The same in another order.
		{Path: "endpoints/e1", Value: value("{subnets: [a, b], vpc: v1, service: s2}")},
		{Path: "vpcs/v1/instances", Value: value("{i3: {subnet: b}, i1: {subnet: b, security_groups: [web]}, i2: {security_groups: [db], subnet: a}}")},
	}).Draw(t, "edit")
}

// decided is what a plan says of a lab.
func decided(p *topology.Plan) topology.Plan {
	out := *p
	out.Source, out.Warnings, out.Origin, out.Profile = nil, nil, nil, topology.Profile{}
	return out
}

// What an edit is planned to costs what it changes, and is what the whole says.
func TestAPlanOfWhatAnEditChangesIsThatOfTheWhole(t *testing.T) {
	byParts, byWhole := 0, 0
	for _, cloud := range []string{"alibaba", "aws", "rfc"} {
		base := documentOf(t, fmt.Sprintf(crowd, cloud))
		rapid.Check(t, func(t *rapid.T) {
			doc, read := base, base
			for range rapid.IntRange(1, 12).Draw(t, "edits") {
				before, edit := doc, drawCrowdEdit(t)
				edited, got, err := doc.Edited(base, edit)
				if err != nil {
					continue // by the whole: see planAfter
				}
				doc = edited
				text, err := doc.Text()
				require.NoError(t, err)
				require.LessOrEqual(t, len(text), doc.size)
				want, err := Parse(doc.name, text)
				require.NoError(t, err, "the whole is refused:\n%s", text)
				require.Equal(t, decided(want), decided(got))
				if _, ok := doc.planAfter(before); ok && doc != before {
					byParts++
				} else {
					byWhole++
				}
				require.Equal(t, doc.since(base), doc.Since(base), "what an earlier document knew")
				again := readAgain(t, doc, base)
				require.True(t, same(again.root, doc.root), "the changes lead to another document")
				require.Equal(t, doc.Since(base), again.Since(base), "the changes are others once they are made again")
				read = editedOf(t, readAgain(t, read, base), base, edit)
				require.Equal(t, doc.Since(base), read.Since(base), "a host that reads each time has other changes")
			}
		})
	}
	t.Logf("%d edits were planned by what they change, %d whole", byParts, byWhole)
	require.Greater(t, byParts, 2*byWhole)
}

// Edits that came and went take no memory: a document keeps of the earlier ones what is
// still in it.
func TestADocumentForgetsTheEarlierOnes(t *testing.T) {
	for name, text := range map[string]string{
		"parts that are shared by documents": fmt.Sprintf(crowd, "aws"),
		"parts that are shared by aliases":   fmt.Sprintf(crowd, "aws") + "x-web: &web {ingress: []}\nx-db: *web\n",
	} {
		t.Run(name, func(t *testing.T) {
			base := documentOf(t, text)
			doc := base
			var earlier []weak.Pointer[yaml.Node]
			for n := range 20 {
				var err error
				doc, _, err = doc.Edited(base, topology.Edit{Path: "vpcs/v1/instances/more", Value: "{subnet: a}"},
					topology.Edit{Path: "endpoints/e1/description", Value: fmt.Sprint("text ", n)})
				require.NoError(t, err)
				require.Len(t, doc.Since(base), 2)
				earlier = append(earlier, weak.Make(doc.find("endpoints/e1/description")))
			}
			runtime.GC()
			for n, node := range earlier[:len(earlier)-1] {
				require.Nil(t, node.Value(), "edit %d", n)
			}
			require.NotNil(t, earlier[len(earlier)-1].Value())
			runtime.KeepAlive(doc)
		})
	}
}
