package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// drawPlan draws a topology in which objects of three VPCs come and go.
func drawPlan(t *rapid.T, label string) *topology.Plan {
	is := func(what string) bool { return rapid.Bool().Draw(t, label+" "+what) }
	var b strings.Builder
	b.WriteString("name: any\ncloud: alibaba\nregion: eu-central-1\nvpcs:\n")
	vpcs := 1
	for ; vpcs < 3 && is("one more VPC"); vpcs++ {
	}
	for v := range vpcs {
		fmt.Fprintf(&b, "  v%d:\n    cidr: 10.%d.0.0/16\n    mtu: %d\n", v, v, 1500+rapid.IntRange(0, 1).Draw(t, label+" mtu"))
		fmt.Fprintf(&b, "    subnets: {s: {zone: eu-central-1b, cidr: 10.%d.0.0/24}}\n", v)
		source := "10.0.0.0/8"
		if is("group as source") {
			source = "web"
		}
		fmt.Fprintf(&b, "    security_groups: {web: {ingress: [{protocol: tcp, source: %s}]}}\n    instances:\n      i0: {subnet: s}\n", source)
		for i := 1; i < 4; i++ {
			if is("an instance") {
				fmt.Fprintf(&b, "      i%d: {subnet: s, security_groups: [%s]}\n", i, []string{"web", ""}[rapid.IntRange(0, 1).Draw(t, label+" group")])
			}
		}
	}
	if vpcs > 1 && is("a peering") {
		b.WriteString("peerings: {p: {vpcs: [v0, v1]}}\n")
	}
	fmt.Fprintf(&b, "server_groups: {g: {vpc: v%d, servers: [{instance: i0, port: 80}]}}\n", vpcs-1)
	fmt.Fprintf(&b, "load_balancers: {lb: {type: clb, vpc: v%d, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: g}]}}\n", vpcs-1)
	b.WriteString("endpoint_services: {svc: {resources: [lb]}}\nendpoints:\n")
	for v := range vpcs {
		if is("an endpoint") {
			fmt.Fprintf(&b, "  ep%d: {service: svc, vpc: v%d, subnets: [s]%s}\n", v, v, []string{"", ", security_groups: [web]"}[rapid.IntRange(0, 1).Draw(t, label+" member")])
		}
	}
	plan, err := topofile.Parse("any.yaml", []byte(b.String()))
	require.NoError(t, err, b.String())
	return plan
}

// wholeDifference is what differenceOf is, without a thought about where plans
// differ.
func wholeDifference(old, plan *topology.Plan) (undo, do []string) {
	wanted, known := map[string]bool{"": false}, map[string]bool{}
	for _, t := range tasks(plan) {
		wanted[t.String()] = true
		if t.replaces() != "" {
			wanted[t.replaces()] = true
		}
	}
	for _, t := range slices.Backward(tasks(old)) {
		known[t.String()] = true
		if !wanted[t.String()] && !wanted[t.replaces()] {
			undo = append(undo, t.String())
		}
	}
	for _, t := range tasks(plan) {
		if !known[t.String()] {
			do = append(do, t.String())
		}
	}
	return undo, do
}

func TestADifferenceIsThatOfWholePlans(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	rapid.Check(t, func(t *rapid.T) {
		old, plan := drawPlan(t, "old"), drawPlan(t, "new")
		undo, do := wholeDifference(old, plan)
		d := differenceOf(old, plan)
		var undone []string
		for _, s := range d.undo {
			undone = append(undone, s.String())
		}
		require.Equal(t, undo, undone)
		var again []string // in the order of the plan, with what may have been taken along
		for _, task := range slices.Concat(d.do...) {
			if slices.Contains(do, task.String()) || len(undo) == 0 {
				again = append(again, task.String())
			}
		}
		require.Equal(t, do, again)
		// What goes may take along what is in the same place.
		gone := map[string]bool{}
		for _, s := range d.undo {
			switch s := s.(type) {
			case Netns:
				gone[s.Name] = true
			case Bridge:
				gone[s.Namespace] = true
			case Veth:
				gone[s.Namespace], gone[s.PeerNamespace] = true, true
			}
		}
		delete(gone, plan.Dataplane) // a device there takes nothing along but its pair
		redone := map[string]bool{}
		for _, task := range slices.Concat(d.do...) {
			redone[task.String()] = true
		}
		for _, task := range tasks(plan) {
			if r, ok := task.Step.(Route); ok && gone[r.Namespace] {
				require.True(t, redone[task.String()], task.String())
			}
		}
	})
}

// An instance that stops takes nothing of the others in its VPC along, however many
// there are: what is done again is of the VPC alone.
func TestAnInstanceThatStopsLeavesTheOthersAlone(t *testing.T) {
	steps := func(instances int) (undo, do int) {
		var plans [2]*topology.Plan
		for i, more := range []string{"", ", stopped: true"} {
			text := fmt.Sprintf(`
name: any
cloud: aws
region: eu-central-1
vpcs:
  v:
    cidr: 10.0.0.0/16
    subnets: {s: {zone: eu-central-1a, cidr: 10.0.0.0/20}}
    security_groups: {web: {ingress: [{protocol: tcp, source: 0.0.0.0/0}]}}
    instances:
      stops: {subnet: s, security_groups: [web]%s}
      i-1..%d: {subnet: s, security_groups: [web]}
`, strings.Replace(more, "stopped: true", "state: stopped", 1), instances)
			plan, err := topofile.Parse("any.yaml", []byte(text))
			require.NoError(t, err)
			plans[i] = plan
		}
		d := differenceOf(plans[0], plans[1])
		return len(d.undo), len(slices.Concat(d.do...))
	}
	undo, do := steps(3)
	manyUndo, manyDo := steps(300)
	require.Equal(t, undo, manyUndo)
	require.Equal(t, do, manyDo)
	require.Less(t, do, 15)
}
