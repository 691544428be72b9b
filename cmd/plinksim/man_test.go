package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryCommandHasAManualPage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	var stderr bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"man", dir}, &stderr, &stderr), stderr.String())
	for file, text := range map[string]string{
		"man1/plinksim.1":                 `.TH "PLINKSIM" "1" "Sep 2001"`,
		"man1/plinksim-up.1":              `\fB--metrics\fP`,
		"man1/plinksim-endpoint-create.1": `\fBplinksim endpoint create`,
		"man5/plinksim-topology.5":        `plinksim-topology \- the keys of a topology file`,
		"man7/plinksim-clouds.7":          `\fBTCP idle\fP`,
	} {
		page, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		require.Contains(t, string(page), text, file)
		require.NotContains(t, string(page), "](#", "%s: a link of the page that it was made from", file)
	}
}
