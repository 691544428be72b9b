package topofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

func documentOf(t *testing.T, text string) *Document {
	t.Helper()
	plan, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	doc, err := DocumentOf(plan)
	require.NoError(t, err)
	return doc
}

func TestOperationsThatCreateAreEdits(t *testing.T) {
	ep2, ok := EditOf(topology.Operation{
		Verb: "endpoint-create", Endpoint: "ep2", Service: "svc1", VPC: "vpc1", Subnets: []string{"h1"}, SecurityGroups: []string{"web"},
	})
	require.True(t, ok)
	svc2, ok := EditOf(topology.Operation{Verb: "service-create", Service: "svc2", LoadBalancers: []string{"nlb1"}})
	require.True(t, ok)
	for name, file := range map[string]string{
		"a file that has both":      small,
		"a file without endpoints":  strings.Split(small, "endpoints:\n  ep1")[0],
		"a file of empty endpoints": strings.Split(small, "  ep1: {")[0],
	} {
		t.Run(name, func(t *testing.T) {
			base := documentOf(t, file)
			doc, after, err := base.Edited(base, ep2, svc2)
			require.NoError(t, err)
			ep, err := after.Endpoint("ep2")
			require.NoError(t, err)
			require.True(t, ep.Absent, "it is there when somebody has created it")
			require.Equal(t, []string{"web"}, ep.SecurityGroups)
			svc, err := after.Service("svc2")
			require.NoError(t, err)
			require.Equal(t, "b", svc.Account)
			gone, err := doc.With(topology.Edit{Path: "endpoints/ep2"}, topology.Edit{Path: svc2.Path})
			require.NoError(t, err)
			require.Empty(t, gone.Since(base), "nothing is left of them")
		})
	}
	_, ok = EditOf(topology.Operation{Verb: "endpoint-create", Endpoint: "ep1"})
	require.False(t, ok, "the file has it")
	_, ok = EditOf(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1"})
	require.False(t, ok)
}

func TestEditsAreHeldToTheRulesOfTheFile(t *testing.T) {
	doc := documentOf(t, small)
	for _, tt := range []struct {
		path, value string
		code        topology.Refusal
		want        string
	}{
		{"endpoints/ep2", "{service: svc1, vpc: vpc1, subnets: [i2]}", topology.NotFound, `endpoint "ep2": there is no subnet "i2"`},
		{"endpoints/ep2", "{service: svc1, subnets: [h1]}", topology.Invalid, `endpoints.ep2 has no vpc`},
		{"endpoints/Ep2", "{service: svc1, vpc: vpc1, subnets: [h1]}", topology.Invalid, `name "Ep2" in endpoints must be`},
		{"endpoints/ep2", "{service: [", topology.Invalid, `endpoints/ep2: its value is not YAML`},
		{"endpoints/ep2", "a: &x 1", topology.Invalid, `endpoints/ep2: its value has an anchor`},
		{"endpoints/ep2", "1\n---\n2", topology.Invalid, `endpoints/ep2: its value is several documents`},
		{"endpoints/ep9", "", topology.NotFound, `there is no endpoint "ep9"`},
		{"vpcs/vpc9/subnets/s1", "{}", topology.NotFound, `there is no vpc "vpc9"`},
		{"vpcs/vpc1/subnets/s9", "", topology.NotFound, `there is no subnet "s9" in vpc "vpc1"`},
		{"vpcs/vpc1/subnet/s9", "{}", topology.Invalid, `unknown key "subnet" in vpcs.vpc1`},
		{"vpc/vpc1", "{}", topology.Invalid, `unknown key "vpc"`},
		{"", "null", topology.Invalid, `unknown key ""`},
		{"endpoints/ep1/", "null", topology.Invalid, `unknown key "" in endpoints.ep1`},
		{"vpcs/vpc1/cidr/bits", "{}", topology.Invalid, `vpcs/vpc1/cidr is the text "10.0.0.0/16": nothing is below it`},
		{"load_balancers/nlb1/listeners/port=9999", "", topology.NotFound, `there is no load_balancers/nlb1/listeners/port=9999`},
		{"endpoint_services/svc1", "", topology.InUse, `endpoint service "svc1" cannot be deleted: endpoint "ep1" uses it`},
		{"vpcs/vpc1/subnets/h1", "", topology.InUse, `subnet "h1" cannot be deleted: instance "ecs1" and endpoint "ep1" use it`},
		{"load_balancers/nlb1", "", topology.InUse, `load balancer "nlb1" cannot be deleted: endpoint service "svc1" uses it`},
	} {
		_, _, err := doc.Edited(doc, topology.Edit{Path: tt.path, Value: tt.value})
		var refused *EditError
		require.ErrorAs(t, err, &refused, "%s %s", tt.path, tt.value)
		require.Contains(t, refused.Text, tt.want)
		require.Equal(t, tt.code, refused.Code, "%s", refused.Text)
		require.NotContains(t, refused.Text, ".yaml:", "no place in a file")
	}
}

// What an edit does not speak of stays as it was written: comments, anchors,
// and what others have from an anchor or a merge.
func TestEditsLeaveTheRestAlone(t *testing.T) {
	const file = `# my lab

x-defaults:
  open: &open
    # everybody
    ingress: [{protocol: tcp, source: 0.0.0.0/0}]
name: shared
cloud: rfc
region: r1
vpcs:
  vpc1: # the first
    cidr: 10.0.0.0/16
    subnets: &nets
      s1: {zone: a, cidr: 10.0.0.0/24} # small
    security_groups: {web: *open}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: *nets
    security_groups:
      web:
        <<: *open
`
	for _, tt := range []struct {
		name, path, value string
		group1, group2    int // rules of both groups
		nets1, nets2      int // subnets
	}{
		{"an alias", "vpcs/vpc2/subnets/s2", "{zone: a, cidr: 10.0.1.0/24}", 1, 1, 1, 2},
		{"its anchor", "vpcs/vpc1/subnets/s2", "{zone: a, cidr: 10.0.1.0/24}", 1, 1, 2, 1},
		{"an alias of an anchor elsewhere", "vpcs/vpc1/security_groups/web/ingress/-", "{protocol: udp, source: 0.0.0.0/0}", 2, 1, 1, 1},
		{"what is merged", "vpcs/vpc2/security_groups/web/ingress/-", "{protocol: udp, source: 0.0.0.0/0}", 1, 2, 1, 1},
		{"a key that is merged", "vpcs/vpc2/security_groups/web/ingress", "", 1, 0, 1, 1},
		{"what the anchor is in", "x-defaults", "", 1, 1, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := documentOf(t, file)
			doc, plan, err := base.Edited(base, topology.Edit{Path: tt.path, Value: tt.value})
			require.NoError(t, err)
			require.Len(t, plan.VPCs[0].SecurityGroups[0].Ingress, tt.group1)
			require.Len(t, plan.VPCs[1].SecurityGroups[0].Ingress, tt.group2)
			require.Len(t, plan.VPCs[0].Subnets, tt.nets1)
			require.Len(t, plan.VPCs[1].Subnets, tt.nets2)
			text, err := doc.Text()
			require.NoError(t, err)
			require.Contains(t, string(text), "# my lab\n")
			require.Contains(t, string(text), "# the first")
			require.Contains(t, string(text), "# small")
			before, err := base.Text()
			require.NoError(t, err)
			require.Contains(t, string(before), "subnets: *nets", "the older document is as it was")
		})
	}
}

// Changes are what lies between two documents, however many edits led there.
func TestChangesAreWhatIsDifferent(t *testing.T) {
	base := documentOf(t, small)
	for _, tt := range []struct {
		name  string
		edits []topology.Edit
		want  []string
	}{
		{"nothing", nil, nil},
		{"there and back", []topology.Edit{{Path: "vpcs/vpc9", Value: "{cidr: 10.9.0.0/16, subnets: {a: {zone: cn-hangzhou-h, cidr: 10.9.0.0/24}}}"}, {Path: "vpcs/vpc9"}}, nil},
		{"a value", []topology.Edit{{Path: "vpcs/vpc1/cidr", Value: "10.0.0.0/15"}, {Path: "vpcs/vpc1/cidr", Value: "10.0.0.0/17"}}, []string{"~ vpcs/vpc1/cidr 10.0.0.0/16 -> 10.0.0.0/17"}},
		{"a section that was not there", []topology.Edit{{Path: "private_zones/a/records", Value: "{}"}}, nil},
		{"rules", []topology.Edit{
			{Path: "vpcs/vpc1/security_groups/web/ingress/-", Value: "{protocol: udp, source: 10.0.0.0/8}"},
			{Path: "vpcs/vpc1/security_groups/web/ingress/protocol=udp"},
			{Path: "vpcs/vpc1/security_groups/web/ingress/-", Value: "{protocol: icmp, source: 10.0.0.0/8}"},
		}, []string{"+ vpcs/vpc1/security_groups/web/ingress/-  -> {protocol: icmp, source: 10.0.0.0/8}"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := base.With(tt.edits...)
			if tt.name == "a section that was not there" {
				require.ErrorContains(t, err, "there is no private zone \"a\"")
				return
			}
			require.NoError(t, err)
			var got []string
			for _, c := range doc.Since(base) {
				got = append(got, c.Sign()+" "+c.Path+" "+c.Was+" -> "+c.Value)
			}
			require.Equal(t, tt.want, got)
			again, err := base.With(topology.Edits(doc.Since(base))...)
			require.NoError(t, err)
			require.True(t, same(doc.root, again.root))
		})
	}
}

// The order of changes is that of the file and of what is there: what came and went, and how a value was
// written, leave no trace in it.
func TestTheOrderOfChangesIsThatOfMakingThemAgain(t *testing.T) {
	base := documentOf(t, small)
	zone, vpc := "{domain: one.example.com}", "{cidr: 10.9.0.0/16}"
	for name, edits := range map[string][]topology.Edit{
		"a section that was empty meanwhile": {{Path: "public_zones/a", Value: zone}, {Path: "public_zones/a"},
			{Path: "peerings/p", Value: "{vpcs: [vpc1, vpc2]}"}, {Path: "public_zones/a", Value: zone}},
		"a section that was given as empty": {{Path: "public_zones", Value: "{}"},
			{Path: "peerings/p", Value: "{vpcs: [vpc1, vpc2]}"}, {Path: "public_zones/a", Value: zone}},
		"another order in a value": {{Path: "vpcs/vpc1", Value: "{subnets: {}, mtu: 1500, cidr: 10.9.0.0/16, account: b}"}},
		"an object that came back": {{Path: "vpcs/vpc9", Value: vpc}, {Path: "vpcs/vpc1"}, {Path: "vpcs/vpc1", Value: vpc}},
	} {
		t.Run(name, func(t *testing.T) {
			doc, read := base, base
			for _, edit := range edits {
				doc, read = editedOf(t, doc, base, edit), editedOf(t, readAgain(t, read, base), base, edit)
			}
			require.Equal(t, doc.Since(base), read.Since(base))
			require.Equal(t, doc.Since(base), readAgain(t, doc, base).Since(base))
			require.NotEmpty(t, doc.Since(base))
		})
	}
}

// editedOf is a document with an edit, as Edited has it before it makes a plan.
func editedOf(t require.TestingT, d, base *Document, edit topology.Edit) *Document {
	of := *d
	of.base = base
	out, err := of.With(edit)
	require.NoError(t, err)
	return out
}

// readAgain is what a host makes of a document that it reads as changes of a file.
func readAgain(t require.TestingT, d, base *Document) *Document {
	out, err := base.With(topology.Edits(d.Since(base))...)
	require.NoError(t, err)
	return out
}

func TestElementsOfLists(t *testing.T) {
	var list yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte("[{port: 80, protocol: tcp}, {port: 80, protocol: udp}, web, 'a/b']"), &list))
	for name, want := range map[string]int{"0": 0, "2": 2, "port=80,protocol=udp": 1, "protocol=tcp": 0, "=web": 2, "=a/b": 3} {
		got, err := element(list.Content[0], name)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	for _, name := range []string{"4", "-", "port=80", "=db", "web", "port=81", ""} {
		_, err := element(list.Content[0], name)
		require.Error(t, err, name)
	}
	require.Equal(t, []string{"a", "b/c~d", "=10.0.0.0/8"}, topology.SplitPath(topology.JoinPath("a", "b/c~d", "=10.0.0.0/8")))
}

// An edited plan has the warnings of the file that it would be, whichever way it was
// planned, without places.
func TestEditedPlansAreWarnedOf(t *testing.T) {
	plan, err := Load("../../testdata/topologies/alibaba-clb.yaml")
	require.NoError(t, err)
	warned := func(p *topology.Plan) (messages []string) {
		t.Helper()
		warnings, err := WarningsOf(p)
		require.NoError(t, err)
		for _, w := range warnings {
			messages = append(messages, w.Message)
			require.Equal(t, p.Source != nil, w.Line > 0, w.Message)
		}
		return messages
	}
	base, err := DocumentOf(plan)
	require.NoError(t, err)
	before := warned(plan)
	_, edited, err := base.Edited(base, topology.Edit{Path: "vpcs/empty", Value: "{cidr: 10.0.0.0/16}"})
	require.NoError(t, err)
	text, err := TextOf(edited)
	require.NoError(t, err)
	whole, err := Parse("whole.yaml", text)
	require.NoError(t, err)
	require.Equal(t, warned(whole), warned(edited))
	require.Greater(t, len(warned(edited)), len(before))
}

// A lab whose file names no accounts has one, which keeps what there is when others come.
func TestAccountsComeBesideTheOneWithoutAName(t *testing.T) {
	const file = "name: n\ncloud: alibaba\nregion: eu-central-1\nvpcs:\n  vpc1: {cidr: 10.0.0.0/16}\n"
	base := documentOf(t, file)
	more := topology.Edit{Path: "accounts/-", Value: "third"}
	doc, plan, err := base.Edited(base, more)
	require.NoError(t, err)
	require.Equal(t, []string{"default", "third"}, []string{plan.Accounts[0].Name, plan.Accounts[1].Name})
	require.Equal(t, "default", plan.VPCs[0].Account)
	doc, plan, err = doc.Edited(base, topology.Edit{Path: "vpcs/vpc2", Value: "{cidr: 10.0.0.0/16, account: third}"})
	require.NoError(t, err)
	require.Equal(t, "third", plan.VPCs[1].Account)
	text, err := doc.Text()
	require.NoError(t, err)
	again, err := Parse("again.yaml", text)
	require.NoError(t, err)
	require.Equal(t, plan.Accounts, again.Accounts)
	doc, _, err = doc.Edited(base, topology.Edit{Path: "vpcs/vpc2"}, topology.Edit{Path: "accounts/=third"})
	require.NoError(t, err)
	require.Empty(t, doc.Since(base), "nothing is left of them")

	empty := documentOf(t, strings.Split(file, "\n  vpc1")[0]+" {}\n")
	_, plan, err = empty.Edited(empty, more)
	require.NoError(t, err)
	require.Len(t, plan.Accounts, 1, "nothing belonged to the one without a name")
	_, plan, err = base.Edited(base, topology.Edit{Path: "accounts/-", Value: "default"})
	require.NoError(t, err)
	require.Len(t, plan.Accounts, 1)
}
