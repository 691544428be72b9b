package graph_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/graph"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func load(t *testing.T, file string) *topology.Plan {
	t.Helper()
	plan, err := topofile.Load(file)
	require.NoError(t, err)
	return plan
}

// Each golden file is one drawing.
func TestDrawingsAreThoseOfTheGoldenFiles(t *testing.T) {
	plan := load(t, "../../testdata/topologies/alibaba-clb.yaml")
	live := graph.Live{
		Zones: map[string]graph.Zone{"ep1@eu-central-1b": {Word: "Connected", Open: true}},
		Servers: map[netip.AddrPort]bool{
			netip.MustParseAddrPort("192.168.24.200:80"): true,
			netip.MustParseAddrPort("192.168.24.2:80"):   false,
		},
	}
	for name, got := range map[string]string{
		"file.mmd":    graph.Of(plan, graph.Live{}).Mermaid(),
		"running.mmd": graph.Of(plan, live).Mermaid(),
		"running.dot": graph.Of(plan, live).DOT(),
		"running.svg": graph.Of(plan, live).SVG(),
		"reverse.mmd": graph.Of(load(t, "../../testdata/topologies/alibaba-reverse.yaml"), graph.Live{}).Mermaid(),
	} {
		t.Run(name, func(t *testing.T) {
			golden.Equal(t, filepath.Join("testdata", name), got)
		})
	}
}

// What holds for the drawing of every topology of the repository.
func TestDrawingsAreWhole(t *testing.T) {
	files, err := filepath.Glob("../../testdata/topologies/*.yaml")
	require.NoError(t, err)
	files = append(files, "../lab/testdata/two-zones.yaml")
	for _, file := range files {
		plan, err := topofile.Load(file)
		if err != nil {
			continue // the tables as printed are refused, which pkg/topology tests
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			g := graph.Of(plan, graph.Live{})
			known := map[string]bool{}
			for _, b := range g.Boxes {
				require.False(t, known[b.ID], "two have the ID %s", b.ID)
				known[b.ID] = true
				require.True(t, b.Parent == "" || known[b.Parent], "the box around %s is missing", b.ID)
			}
			for _, n := range g.Nodes {
				require.False(t, known[n.ID], "two have the ID %s", n.ID)
				known[n.ID] = true
				require.True(t, n.Box == "" || known[n.Box], "the box around %s is missing", n.ID)
			}
			for _, e := range g.Edges {
				require.True(t, known[e.From] && known[e.To], "an end of %s to %s is missing", e.From, e.To)
			}
			isXML(t, g.SVG())
			for _, text := range []string{g.Mermaid(), g.DOT(), g.SVG()} {
				for _, eni := range plan.ENIs() {
					require.Contains(t, text, eni.Name)
				}
			}
		})
	}
}

func isXML(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}
