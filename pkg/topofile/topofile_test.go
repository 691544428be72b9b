package topofile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

const topologies = "../../testdata/topologies"

// shipped are the topologies that users get, without the refused ones.
func shipped(t testing.TB) []string {
	files, err := filepath.Glob(topologies + "/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var out []string
	for _, f := range files {
		if !strings.HasSuffix(f, "-as-printed.yaml") {
			out = append(out, f)
		}
	}
	return out
}

func TestEveryShippedTopologyPlansTwiceToTheSame(t *testing.T) {
	for _, file := range shipped(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			first, err := Load(file)
			require.NoError(t, err)
			second, err := Load(file)
			require.NoError(t, err)
			require.Equal(t, first, second)
			for _, w := range first.Warnings {
				// The document of the ALB has a VPC that is wider than what is
				// recommended today.
				require.Contains(t, w.Message, `vpc "vpc1": cidr 10.0.0.0/8 is wider than usual`)
			}
		})
	}
}

// TestAsPrinted holds the message for each address of the documents that cannot
// be: one problem for each, none for what follows from it.
func TestAsPrinted(t *testing.T) {
	for name, n := range map[string]int{"alibaba-clb-as-printed": 6, "alibaba-alb-as-printed": 1} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(topologies + "/" + name + ".yaml")
			require.NoError(t, err)
			_, err = Parse(name+".yaml", text)
			var problems Problems
			require.ErrorAs(t, err, &problems)
			require.Len(t, problems, n)
			golden.Equal(t, "testdata/"+name+".txt", err.Error()+"\n")
		})
	}
}

func TestAMissingFileIsNotAProblemOfItsContent(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "topology.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
