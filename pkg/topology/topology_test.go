package topology

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file, or writes the file with -update.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), text, "%s differs; go test -update writes it anew", file)
}

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
			require.Empty(t, first.Warnings)
		})
	}
}

// TestAsPrinted holds the message for each address of the document that cannot
// be: one problem for each, none for what follows from it.
func TestAsPrinted(t *testing.T) {
	text, err := os.ReadFile(topologies + "/alibaba-clb-as-printed.yaml")
	require.NoError(t, err)
	_, err = Parse("alibaba-clb-as-printed.yaml", text)
	var problems Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 6)
	golden(t, "testdata/alibaba-clb-as-printed.txt", err.Error()+"\n")
}

func TestAMissingFileIsNotAProblemOfItsContent(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "topology.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
