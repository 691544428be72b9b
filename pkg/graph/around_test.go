package graph_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/graph"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func planOf(t *testing.T, name string) *topology.Plan {
	t.Helper()
	text, err := os.ReadFile("../../testdata/topologies/" + name + ".yaml")
	require.NoError(t, err)
	plan, err := topofile.Parse(name, text)
	require.NoError(t, err)
	return plan
}

func labelsOf(g *graph.Graph) (out []string) {
	for _, n := range g.Nodes {
		out = append(out, n.Label[0])
	}
	return out
}

func TestAroundAnObjectIsWhatItsPacketsCross(t *testing.T) {
	plan := planOf(t, "alibaba-clb")
	around := graph.Around(plan, graph.Live{}, "endpoints/ep1")
	route := []string{"ecs1", "ep1@eu-central-1b", "svc1", "clb1@eu-central-1b", "rs1", "ecs2", "ecs3"}
	require.ElementsMatch(t, route, labelsOf(around))
	require.ElementsMatch(t, route, labelsOf(graph.Around(plan, graph.Live{}, "vpcs/vpc1")))
	require.NotContains(t, labelsOf(graph.Around(plan, graph.Live{}, "vpcs/vpc2/instances/ecs2")), "ecs3")
	require.Empty(t, graph.Around(plan, graph.Live{}, "endpoints/nobody").Nodes)
}

func TestACoarseDrawingHasANodeForEachKindInAVPC(t *testing.T) {
	whole := graph.Of(planOf(t, "aws-nlb"), graph.Live{})
	g := whole.Coarse()
	count := map[string]int{}
	for _, b := range g.Boxes {
		if b.Parent != "" {
			count[b.Parent]++
		}
	}
	for vpc, n := range count {
		require.Equal(t, 1, n, vpc)
	}
	require.Less(t, len(g.Nodes), len(whole.Nodes))
	require.Contains(t, g.SVG(), "2 instances")
}

func TestAnInlineDrawingHasLinksAndNoStyle(t *testing.T) {
	g := graph.Of(planOf(t, "alibaba-clb"), graph.Live{})
	svg := g.Inline(func(path string) string { return "/o/" + path + `?"<` })
	require.NotContains(t, svg, "<style")
	require.Contains(t, svg, `<a href="/o/endpoints/ep1?&#34;&lt;">`)
	require.Contains(t, svg, `<a href="/o/vpcs/vpc1/instances/ecs1?&#34;&lt;">`)
	require.Equal(t, strings.Count(svg, "<a "), strings.Count(svg, "</a>"))
	require.Contains(t, graph.Style(), "prefers-color-scheme:dark")
	require.NotContains(t, g.Inline(func(string) string { return "" }), "<a ")
}
