package graph

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topofile"
)

// large is a topology with n callers, m servers in three zones, and k endpoints.
func large(n, m, k int) string {
	var b strings.Builder
	b.WriteString("name: large\ncloud: alibaba\nregion: eu-central-1\nvpcs:\n")
	fmt.Fprintf(&b, "  here:\n    cidr: 10.0.0.0/16\n    subnets:\n")
	for z := range 3 {
		fmt.Fprintf(&b, "      h%d: {zone: eu-central-1%c, cidr: 10.0.%d.0/24}\n", z, 'a'+z, z*16)
	}
	b.WriteString("    instances:\n")
	for i := range n {
		fmt.Fprintf(&b, "      a-caller-%d: {subnet: h%d}\n", i, i%3)
	}
	fmt.Fprintf(&b, "  there:\n    cidr: 10.0.0.0/16\n    subnets:\n")
	for z := range 3 {
		fmt.Fprintf(&b, "      t%d: {zone: eu-central-1%c, cidr: 10.0.%d.0/24}\n", z, 'a'+z, z*16)
	}
	b.WriteString("    instances:\n")
	for i := range m {
		fmt.Fprintf(&b, "      a-server-%d: {subnet: t%d}\n", i, i%3)
	}
	b.WriteString("server_groups:\n")
	for g := range k {
		fmt.Fprintf(&b, "  group-%d:\n    vpc: there\n    protocol: http\n    servers:\n", g)
		for i := range m {
			fmt.Fprintf(&b, "      - {instance: a-server-%d, port: 80}\n", i)
		}
	}
	b.WriteString("load_balancers:\n")
	for g := range k {
		fmt.Fprintf(&b, "  balancer-%d: {type: alb, vpc: there, subnets: [t0, t1, t2], listeners: [{protocol: http, port: 80, server_group: group-%d}]}\n", g, g)
	}
	b.WriteString("endpoint_services:\n")
	for g := range k {
		fmt.Fprintf(&b, "  a-service-%d: {resources: [balancer-%d], auto_accept: true}\n", g, g)
	}
	b.WriteString("endpoints:\n")
	for g := range k {
		fmt.Fprintf(&b, "  an-endpoint-%d: {service: a-service-%d, vpc: here, subnets: [h0, h1, h2]}\n", g, g)
	}
	return b.String()
}

// No text and no node covers another, whatever the topology; a label is as wide as
// textWidth says, which the test in a browser holds to real fonts.
func TestNothingInADrawingCoversSomethingElse(t *testing.T) {
	files, err := filepath.Glob("../../testdata/topologies/*.yaml")
	require.NoError(t, err)
	graphs := map[string]*Graph{}
	for _, file := range files {
		if plan, err := topofile.Load(file); err == nil {
			live := Live{Zones: map[string]Zone{}, Faults: map[string]string{}}
			for _, ep := range plan.Endpoints {
				for _, z := range ep.Zones {
					live.Zones[z.ENI.Name] = Zone{Word: "PendingAcceptance"}
					live.Faults[z.ENI.Name] = "blackhole"
				}
			}
			graphs[filepath.Base(file)] = Of(plan, Live{})
			graphs[filepath.Base(file)+" that fails"] = Of(plan, live)
		}
	}
	for _, size := range [][3]int{{4, 3, 1}, {12, 14, 3}, {200, 200, 8}} {
		plan, err := topofile.Parse("large.yaml", []byte(large(size[0], size[1], size[2])))
		require.NoError(t, err)
		graphs[fmt.Sprint("large ", size)] = Of(plan, Live{})
	}
	for name, g := range graphs {
		t.Run(name, func(t *testing.T) {
			l := newLayout(g)
			page := rect{0, 0, l.width, l.height}
			var all []rect
			var what []string
			add := func(r rect, text string) {
				require.Equal(t, r, rect{max(r.x, page.x), max(r.y, page.y), min(r.w, page.w-r.x), min(r.h, page.h-r.y)},
					"%s is not on the page of %d x %d", text, page.w, page.h)
				for i, other := range all {
					require.False(t, r.overlaps(other), "%s covers %s: %v, %v", text, what[i], r, other)
				}
				all, what = append(all, r), append(what, text)
			}
			for _, n := range g.Nodes {
				r := l.nodes[n.ID]
				add(r, n.ID)
				for _, line := range n.Label {
					require.LessOrEqual(t, textWidth(line, textSize), r.w, "%s in its node", line)
				}
			}
			for _, b := range l.boxes {
				add(rect{b.x + 10, b.y + 6, textWidth(b.label, textSize), textSize}, "the label "+b.label)
				require.LessOrEqual(t, textWidth(b.label, textSize)+20, b.w, "%s in its box", b.label)
			}
			for i, e := range g.Edges {
				if e.Label != "" {
					add(l.labels[i], "the label "+e.Label)
				}
			}
			for _, item := range l.legend {
				add(item.at, "the legend "+item.text)
			}
		})
	}
}

func TestManyInstancesWithTheSameRoutesAreDrawnAsOne(t *testing.T) {
	plan, err := topofile.Parse("large.yaml", []byte(large(200, 200, 2)))
	require.NoError(t, err)
	g := Of(plan, Live{})
	stands := 0
	for _, n := range g.Nodes {
		if n.Kind == Instance {
			require.Greater(t, n.Stands, 1, n.ID)
			stands += n.Stands
		}
	}
	require.Equal(t, 400, stands)
	require.Less(t, len(g.Edges), 60)
	l := newLayout(g)
	for _, e := range g.Edges {
		require.NotEmpty(t, l.nodes[e.From], e.From)
		require.NotEmpty(t, l.nodes[e.To], e.To)
	}
}
