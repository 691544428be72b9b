package topofile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// many is a file with counts and ranges in all places, and each is what it stands for.
const many = `# A lab of many.
name: many
cloud: alibaba
region: eu-central-1
accounts: [a, b-1..2]
x-small: &small {count: 2, subnet: s-1} # used below
vpcs:
  provider:
    account: a
    cidr: 10.0.0.0/16
    subnets:
      s: {count: 3, zone: eu-central-1b, cidr: 10.0.$n.0/24}
    instances:
      # the servers
      web: {count: 9, subnet: s-1, services: [{http: 80, body: "I am $n"}]} # nine
      db-08..11: {subnet: s-$n} # not all have a subnet
      other: *small
      more: {<<: *small, subnet: s-2}
  c-1..3:
    account: b-1
    cidr: 10.0.0.0/16
    subnets: {s: {zone: eu-central-1b, cidr: 10.0.0.0/20}}
    instances:
      ecs: {count: 4, subnet: s, services: [{http: 80, body: "VPC of $n"}]}
      of-$n-1..2: {subnet: s}
      one: {subnet: s, services: [{http: 80, body: "VPC $n"}]}
server_groups:
  web: {vpc: provider, protocol: tcp, servers: [{instance: web-1..8, port: 80}, {instance: web-9, port: 81}]}
load_balancers:
  clb-1..2: {type: clb, vpc: provider, subnets: [s-1], listeners: [{protocol: tcp, port: 80, server_group: web}]}
endpoint_services:
  svc: {resources: [clb-1..2], auto_accept: true, whitelist: [b-1..2]}
endpoints:
  ep-1..3: {service: svc, vpc: c-$n, subnets: [s]}
checks:
  - {name: VPC $n gets an answer, from: c-1..3/one, get: "http://${ep-$n}/"}
`

// manyWell is many without what is wrong in it.
var manyWell = strings.Replace(strings.Replace(many, "db-08..11: {subnet: s-$n} # not all have a subnet", "db-08..11: {subnet: s-3}", 1),
	"[clb-1..2]", "[clb-1]", 1)

func TestOneStandsForMany(t *testing.T) {
	plan, err := Parse("many.yaml", []byte(manyWell))
	require.NoError(t, err)
	names := func(v topology.VPC) (out []string) {
		for _, in := range v.Instances {
			out = append(out, in.Name)
		}
		return out
	}
	require.Equal(t, []string{
		"web-1", "web-2", "web-3", "web-4", "web-5", "web-6", "web-7", "web-8", "web-9", "db-08", "db-09", "db-10", "db-11",
		"other-1", "other-2", "more-1", "more-2",
	}, names(plan.VPCs[0]))
	require.Equal(t, []string{"ecs-1", "ecs-2", "ecs-3", "ecs-4", "of-3-1", "of-3-2", "one"}, names(plan.VPCs[3]))
	require.Equal(t, "10.0.3.0/24", plan.VPCs[0].Subnets[2].CIDR.String())
	require.Equal(t, "I am 7", plan.VPCs[0].Instances[6].Services[0].Body)
	require.Equal(t, "VPC of 4", plan.VPCs[3].Instances[3].Services[0].Body, "$n is the number of the innermost")
	require.Equal(t, "VPC 3", plan.VPCs[3].Instances[6].Services[0].Body)
	require.Equal(t, "s-2", plan.VPCs[0].Instances[15].Subnet)
	require.Len(t, plan.ServerGroups[0].Servers, 9)
	require.Equal(t, "c-2", plan.Endpoints[1].VPC)
	require.Len(t, plan.Checks, 3)
	require.Equal(t, "VPC 3 gets an answer", plan.Checks[2].Name)

	// An object has the addresses and identifiers that it has where it is written by itself.
	var long strings.Builder
	for i := range 9 {
		fmt.Fprintf(&long, "      web-%d: {subnet: s-1, services: [{http: 80, body: I am %[1]d}]}\n", i+1)
	}
	at := strings.Index(manyWell, "      web:")
	end := at + strings.Index(manyWell[at:], "\n") + 1
	other, err := Parse("many.yaml", []byte(manyWell[:at]+long.String()+manyWell[end:]))
	require.NoError(t, err)
	require.Equal(t, plan.VPCs[0].Instances, other.VPCs[0].Instances)
}

func TestAThousandInstancesAreAShortFile(t *testing.T) {
	const file = "../../testdata/large/thousand.yaml"
	plan, err := Load(file)
	require.NoError(t, err)
	require.Empty(t, plan.Warnings)
	instances := 0
	for i := range plan.VPCs {
		instances += len(plan.VPCs[i].Instances)
	}
	require.Equal(t, 1000, instances)
	require.Len(t, plan.Checks, 50)
	require.LessOrEqual(t, strings.Count(string(plan.Source), "\n"), 32)
}

func TestProblemsOfManyAreSaidOnceWhereTheUserWroteThem(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(many, "[clb-1..2]", "[clb-1]", 1): `many.yaml:16:27: instance "db-08": there is no subnet "s-08"
  15 |       web: {count: 9, subnet: s-1, services: [{http: 80, body: "I am $n"}]} # nine
  16 |       db-08..11: {subnet: s-$n} # not all have a subnet
     |                           ^^^^
  hint: known: s-1, s-2, s-3`,
		strings.Replace(manyWell, "count: 9", "count: 1000000000", 1): `many.yaml:15:20: count of "web" is 1000000000, outside 1 to 10000
  14 |       # the servers
  15 |       web: {count: 1000000000, subnet: s-1, services: [{http: 80, body: "I am $n"}]} # nine
     |                    ^^^^^^^^^^
  hint: write a number from 1 to 10000`,
		strings.Replace(manyWell, "web: {count: 9", "web-1..9: {count: 9", 1):        `"web-1..9" has a count and a range in its name`,
		strings.Replace(manyWell, "db-08..11", "db-11..8", 1):                        `name "db-11..8" is a range that ends before it starts`,
		strings.Replace(manyWell, "db-08..11", "db-1..99999", 1):                     `name "db-1..99999" is a range of 99999, and at most 10000 are possible`,
		strings.Replace(manyWell, "db-08..11", "db-1..99999999999999999999", 1):      "is a range with too large a number",
		strings.Replace(manyWell, "db-08..11", "db-1..2-3..4", 1):                    "has two ranges, and one is possible",
		strings.Replace(manyWell, "db-08..11", "web-9..11", 1):                       `key "web-9" is given twice`,
		strings.Replace(manyWell, "web-1..8", "web-1..10", 1):                        `vpc "provider" has no instance "web-10"`,
		strings.Replace(manyWell, "web-1..8", "web-8..1", 1):                         `"web-8..1" is a range that ends before it starts`,
		strings.Replace(manyWell, "count: 9", `count: "9"`, 1):                       `count of "web" is the text "9", not a whole number`,
		strings.Replace(manyWell, "vpc: provider, protocol", "vpc: c-1..2, prot", 1): `there is no vpc "c-1..2"`,
	} {
		_, err := Parse("many.yaml", []byte(text))
		require.ErrorContains(t, err, want)
	}
	_, err := Parse("many.yaml", []byte(strings.Replace(many, "[clb-1..2]", "[clb-1]", 1)))
	var problems Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 1, "one cause is one problem: %v", err)
}

// hugeEnv makes the test binary a program that reads a file of very many.
const hugeEnv = "PLINKSIM_TEST_HUGE"

func huge() map[string]string {
	nested := strings.Replace(many, "c-1..3:", "c-1..10000:", 1)
	nested = strings.Replace(nested, "ecs: {count: 4", "ecs: {count: 10000", 1)
	wide := "x-a: &a {count: 10000, subnet: s}\n" + strings.Replace(many, "web: {count: 9,", "web-0..9999: {", 1)
	for i := range 2000 {
		wide = strings.Replace(wide, "      other: *small\n", fmt.Sprintf("      other: *small\n      o%d: *a\n", i), 1)
	}
	return map[string]string{
		"nested": nested, "wide": wide,
		"itself":  "x-a: &a {count: 10000, b: *a, c: *a}\nvpcs: {v: *a}\n",
		"servers": strings.Replace(many, "servers: [", "servers: ["+strings.Repeat("{instance: web-1..10000, port: 80}, ", 1000), 1),
	}
}

func TestVeryManyAreRefusedAtOnce(t *testing.T) {
	if name, ok := os.LookupEnv(hugeEnv); ok {
		began := time.Now()
		_, err := Parse("huge.yaml", []byte(huge()[name]))
		fmt.Println(time.Since(began).Milliseconds(), err)
		return
	}
	for name := range huge() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("sh", "-c", `ulimit -v 4000000; exec "$0" -test.run '^TestVeryManyAreRefusedAtOnce$'`, os.Args[0])
			cmd.Env = append(os.Environ(), hugeEnv+"="+name)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			var ms int
			_, err = fmt.Sscan(string(out), &ms)
			require.NoError(t, err, "%s", out)
			require.Less(t, ms, 10_000)
			if name != "itself" {
				require.Contains(t, string(out), "with its counts and ranges the file has too many objects")
			}
		})
	}
}

func TestEditsOfOneOfMany(t *testing.T) {
	base := documentOf(t, manyWell)
	for _, tt := range []struct {
		edits []topology.Edit
		has   []string // lines of the file
		gone  string
	}{
		{[]topology.Edit{{Path: "server_groups/web/servers/instance=web-7,port=80"}, {Path: "vpcs/provider/instances/web-7"}},
			[]string{
				"      web-1..6: {subnet: s-1, services: [{http: 80, body: \"I am $n\"}]} # nine",
				"      web-8..9: {subnet: s-1, services: [{http: 80, body: \"I am $n\"}]}",
				"servers: [{instance: web-1..6, port: 80}, {instance: web-8, port: 80}, {instance: web-9, port: 81}]",
			}, "web-7"},
		{[]topology.Edit{{Path: "vpcs/provider/instances/db-10/state", Value: "stopped"}},
			[]string{"      db-08..09: {subnet: s-3}", "      db-10: {subnet: s-3, state: stopped}", "      db-11: {subnet: s-3}"}, ""},
		{[]topology.Edit{{Path: "vpcs/c-2/instances/ecs-3/state", Value: "stopped"}},
			[]string{"  c-1:", "  c-2:", "  c-3:", `      ecs-3: {subnet: s, services: [{http: 80, body: "VPC of 3"}], state: stopped}`,
				`      of-2-1..2: {subnet: s}`, `body: "VPC 2"`, `body: "VPC of $n"`}, ""},
		{[]topology.Edit{{Path: "vpcs/provider/instances/more-1"}}, []string{"      more-2: {subnet: s-2}"}, "more-1"},
		{[]topology.Edit{{Path: "endpoint_services/svc/whitelist/=b-2"}}, []string{"whitelist: [b-1]"}, ""},
		{[]topology.Edit{{Path: "vpcs/provider/instances/new", Value: "{subnet: s-1}"}}, []string{"      web: {count: 9,", "      new: {subnet: s-1}"}, ""},
	} {
		doc, plan, err := base.Edited(base, tt.edits...)
		require.NoError(t, err)
		text, err := doc.Text()
		require.NoError(t, err)
		for _, line := range tt.has {
			require.Contains(t, string(text), line)
		}
		sameLab(t, plan, text)
		if tt.gone != "" {
			_, err := plan.Instance(tt.gone)
			require.Error(t, err)
		}
	}
	text, err := base.Text()
	require.NoError(t, err)
	require.Equal(t, manyWell, string(text), "a file that nobody edited is as it was")
	_, _, err = base.Edited(base, topology.Edit{Path: "vpcs/provider/instances/web/count", Value: "12"})
	require.EqualError(t, err, `there is no instance "web" in vpc "provider"`)
	var refused *EditError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Hint, `"web" of the file is web-1 and others: name them, or change its count in the file`)
}

func TestAnEditOfARangeIsOneOfEach(t *testing.T) {
	base := documentOf(t, manyWell)
	_, plan, err := base.Edited(base)
	require.NoError(t, err)
	edits, err := NamedEdits(plan, []topology.Edit{
		{Path: "vpcs/provider/instances/new-1..3", Value: "{subnet: s-$n}", New: true},
		{Path: "vpcs/provider/instances/web-4..6/state", Value: "stopped"},
		{Path: "vpcs/*/instances/db-08..09", Leave: true},
		{Path: "server_groups/web/servers/-", Value: "{instance: new-1..3, port: 8080}"},
		{Path: "server_groups/web/servers/-", Value: "{instance: db-10, port: 80}"},
		{Path: "vpcs/c-2/instances/ecs-1..2"},
	})
	require.NoError(t, err)
	require.Len(t, edits, 3+3+2+1+1+2)
	doc, plan, err := base.Edited(base, edits...)
	require.NoError(t, err)
	require.Len(t, plan.ServerGroups[0].Servers, 9+3+1)
	for name, subnet := range map[string]string{"new-1": "s-1", "new-3": "s-3"} {
		in, err := plan.Instance("provider/" + name)
		require.NoError(t, err)
		require.Equal(t, subnet, in.Subnet)
	}
	web, err := plan.Instance("web-5")
	require.NoError(t, err)
	require.True(t, web.Stopped)
	_, err = plan.Instance("db-09")
	require.Error(t, err)
	text, err := doc.Text()
	require.NoError(t, err)
	sameLab(t, plan, text)
	for path, want := range map[string]string{
		"vpcs/provider/instances/web-3..1":       `"web-3..1" is a range that ends before it starts`,
		"vpcs/provider/instances/web-1..99999/x": `"web-1..99999" is a range of 99999, and at most 10000 are possible`,
	} {
		_, err := NamedEdits(plan, []topology.Edit{{Path: path}})
		require.EqualError(t, err, want)
	}
	_, _, err = base.Edited(base, topology.Edit{Path: "server_groups/web/servers/-", Value: "{instance: web-9..1, port: 1}"})
	require.EqualError(t, err, `"web-9..1" is a range that ends before it starts`)
	_, _, err = base.Edited(base, topology.Edit{Path: "vpcs/provider/instances/web-1/count", Value: "2"})
	require.EqualError(t, err, "vpcs/provider/instances/web-1/count: only a file has counts")
	_, _, err = base.Edited(base, topology.Edit{Path: "vpcs/provider/instances/x", Value: "{count: 2, subnet: s-1}"})
	require.EqualError(t, err, "vpcs/provider/instances/x: only a file has counts")
}

// sameLab holds a text to the plan of which it is the file.
func sameLab(t *testing.T, plan *topology.Plan, text []byte) {
	t.Helper()
	again, err := Parse("many.yaml", text)
	require.NoError(t, err, "%s", text)
	for _, p := range []*topology.Plan{plan, again} {
		slices.SortFunc(p.VPCs[0].Instances, func(a, b topology.Instance) int { return strings.Compare(a.Name, b.Name) })
	}
	require.Equal(t, plan.VPCs, again.VPCs, "%s", text)
	require.Equal(t, plan.ServerGroups, again.ServerGroups, "%s", text)
	require.Equal(t, plan.Endpoints, again.Endpoints, "%s", text)
	require.Equal(t, plan.Services, again.Services, "%s", text)
	require.Equal(t, plan.Checks, again.Checks, "%s", text)
}

// Whatever is edited in whatever order, the file that is written makes the same lab.
func TestAnyEditsOfManyWriteTheSameLab(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		base := documentOf(t, manyWell)
		doc, plan := base, (*topology.Plan)(nil)
		for range 6 {
			instance := func() string { return fmt.Sprintf("vpcs/provider/instances/web-%d", 1+random.IntN(9)) }
			edit := []topology.Edit{
				{Path: instance() + "/state", Value: "stopped"},
				{Path: instance() + "/services", Value: "[]"},
				{Path: fmt.Sprintf("server_groups/web/servers/instance=web-%d,port=80", 1+random.IntN(8))},
				{Path: fmt.Sprintf("vpcs/c-%d/instances/ecs-%d", 1+random.IntN(3), 1+random.IntN(4))},
				{Path: fmt.Sprintf("endpoints/ep-%d/description", 1+random.IntN(3)), Value: "edited"},
				{Path: fmt.Sprintf("checks/%d", random.IntN(3))},
				{Path: fmt.Sprintf("vpcs/provider/instances/other-%d", 1+random.IntN(2))},
				{Path: fmt.Sprintf("vpcs/provider/instances/other-%d", 1+random.IntN(2)), Value: "{subnet: s-3}"},
			}[random.IntN(8)]
			after, p, err := doc.Edited(base, edit)
			var refused *EditError
			if err != nil {
				require.ErrorAs(t, err, &refused, "round %d: %v", round, edit)
				continue
			}
			doc, plan = after, p
		}
		if plan != nil {
			text, err := doc.Text()
			require.NoError(t, err)
			sameLab(t, plan, text)
		}
	}
}
