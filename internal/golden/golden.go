// Package golden compares what a test made with a file that people can read,
// and rewrites the file where the test runs with -update. "make golden" runs
// every package whose tests import this one.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Update reports whether golden files are rewritten.
func Update() bool { return *update }

// Equal holds a text against a file.
func Equal(t testing.TB, file, got string) {
	t.Helper()
	if want := current(t, file, got); want != got {
		require.Equal(t, want, got, "%s differs: run the test with -update and read the difference", file)
	}
}

// EqualBytes is Equal for a file that is not text.
func EqualBytes(t testing.TB, file string, got []byte) {
	t.Helper()
	want := current(t, file, string(got))
	require.True(t, want == string(got), "%s differs: run the test with -update", file)
}

// Section holds a text against what is between two lines of a document,
// <!-- NAME --> and <!-- /NAME -->.
func Section(t testing.TB, file, name, got string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found, "%s has no %s", file, begin)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found, "%s has no %s", file, end)
	Equal(t, file, before+begin+got+end+after)
}

// current is the content of the file, which has been rewritten first if that
// was asked for. A file that is as it should be is not touched.
func current(t testing.TB, file, got string) string {
	t.Helper()
	have, err := os.ReadFile(file)
	if *update && (err != nil || string(have) != got) {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return got
	}
	require.NoError(t, err, "run the test with -update to write the file")
	return string(have)
}
