package topofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// withTags is small with tags.
func withTags(t *testing.T) (*topology.Plan, *Document) {
	text := strings.NewReplacer(
		"ecs1: {subnet: h1, ip: 10.0.0.10}", "ecs1: {subnet: h1, ip: 10.0.0.10, tags: {Name: web-1, cost: 5, empty: }}",
		"ecs2: {subnet: h2,", "ecs2: {tags: {Name: db}, subnet: h2,",
		"ecs3: {subnet: i2,", "ecs3: {tags: {Name: db}, subnet: i2,",
		"    account: a\n", "    account: a\n    tags: {Name: a}\n",
	).Replace(small)
	plan, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	doc, err := DocumentOf(plan)
	require.NoError(t, err)
	return plan, doc
}

func TestTagsAreTexts(t *testing.T) {
	plan, doc := withTags(t)
	require.Equal(t, topology.Tags{"Name": "web-1", "cost": "5", "empty": ""}, plan.VPCs[0].Instances[0].Tags)
	_, plan, err := doc.Edited(doc, topology.Edit{Path: "vpcs/vpc1/instances/ecs1/tags/a.b~1c", Value: `"7"`},
		topology.Edit{Path: "vpcs/vpc1/instances/ecs1/tags/cost"}, topology.Edit{Path: "endpoints/ep1/tags/team", Value: "x"})
	require.NoError(t, err)
	require.Equal(t, topology.Tags{"Name": "web-1", "a.b/c": "7", "empty": ""}, plan.VPCs[0].Instances[0].Tags)
	require.Equal(t, topology.Tags{"team": "x"}, plan.Endpoints[0].Tags)
	require.True(t, IsText("vpcs/vpc1/tags/team"))
	require.False(t, IsText("vpcs/vpc1/cidr"))
	require.False(t, IsText("vpcs/vpc1/subnets/h1"))
}

func TestTagsThatNoObjectCanHave(t *testing.T) {
	for tags, want := range map[string]string{
		"[a]":                                   "vpcs.vpc1.tags is a list, not a mapping",
		"{a: {b: c}}":                           "vpcs.vpc1.tags.a is a mapping, not a text",
		"{aws:x: y}":                            "vpcs.vpc1.tags.aws:x: keys that begin with aws: are for AWS's own tags",
		`{"": y}`:                               "the key of a tag has 1 to 128 characters, and this one has 0",
		"{a: " + strings.Repeat("x", 257) + "}": "vpcs.vpc1.tags.a has 257 characters, and a tag has at most 256",
	} {
		_, err := Parse("small.yaml", []byte(strings.Replace(small, "    account: a\n", "    account: a\n    tags: "+tags+"\n", 1)))
		require.ErrorContains(t, err, want, tags)
	}
}

func TestTheTagNameStandsForANameInEdits(t *testing.T) {
	plan, _ := withTags(t)
	for _, tt := range []struct{ path, value, wantPath, want string }{
		{"vpcs/*/instances/web-1", "", "vpcs/vpc1/instances/ecs1", ""},
		{"vpcs/a/instances/web-1/tags/web-1", "web-1", "vpcs/vpc1/instances/ecs1/tags/web-1", "web-1"},
		{"vpcs/vpc1/instances/ecs9", "{subnet: h1, tags: {subnet: web-1}}", "vpcs/vpc1/instances/ecs9",
			"{subnet: h1, tags: {subnet: web-1}}"},
		{"server_groups/rs1/servers/-", "{instance: web-1, port: 80}", "server_groups/rs1/servers/-",
			"{instance: ecs1, port: 80}"},
		{"server_groups/rs1/servers/instance=web-1,port=80/weight", "5",
			"server_groups/rs1/servers/instance=ecs1,port=80/weight", "5"},
		{"accounts/=a", "", "accounts/=a", ""}, // the account, not the VPC with the tag
		{"endpoint_services/svc1/whitelist", "[a]", "endpoint_services/svc1/whitelist", "[a]"},
	} {
		got, err := Unaliased(plan, []topology.Edit{{Path: tt.path, Value: tt.value}})
		require.NoError(t, err, tt.path)
		require.Equal(t, []topology.Edit{{Path: tt.wantPath, Value: tt.want}}, got)
	}
	_, err := Unaliased(plan, []topology.Edit{{Path: "vpcs/*/instances/db"}})
	require.EqualError(t, err, `there are several instances with the tag Name "db": write vpc2/ecs2 or vpc2/ecs3`)
	got, err := Unaliased(plan, []topology.Edit{{Path: "vpcs/vpc1/instances/web-1", Value: "{subnet: h1}", New: true}})
	require.NoError(t, err)
	require.Equal(t, "vpcs/vpc1/instances/web-1", got[0].Path, "what is created keeps its name")

	in, err := plan.Instance("web-1")
	require.NoError(t, err)
	require.Equal(t, "ecs1", in.Name)
	_, err = plan.Instance("db")
	require.EqualError(t, err, `there are several instances with the tag Name "db": write vpc2/ecs2 or vpc2/ecs3`)
}
