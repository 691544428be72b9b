package golden

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// set turns -update on or off for one test.
func set(t *testing.T, on bool) {
	was := *update
	*update = on
	t.Cleanup(func() { *update = was })
}

func TestAFileIsRewrittenOnlyWithUpdate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "testdata", "a.txt")
	set(t, true)
	Equal(t, file, "one\n")
	set(t, false)
	Equal(t, file, "one\n")
	require.True(t, fails(t, func(t testing.TB) { Equal(t, file, "two\n") }))
	require.True(t, fails(t, func(t testing.TB) { EqualBytes(t, file, []byte("two\n")) }))
	require.True(t, fails(t, func(t testing.TB) { Equal(t, file+".none", "") }))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "one\n", string(text))
}

func TestASectionLeavesTheRestOfTheDocumentAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.md")
	require.NoError(t, os.WriteFile(file, []byte("# A\n<!-- table -->\nold\n<!-- /table -->\nend\n"), 0o644))
	set(t, false)
	require.True(t, fails(t, func(t testing.TB) { Section(t, file, "table", "new\n") }))
	require.True(t, fails(t, func(t testing.TB) { Section(t, file, "other", "new\n") }))
	set(t, true)
	Section(t, file, "table", "new\n")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "# A\n<!-- table -->\nnew\n<!-- /table -->\nend\n", string(text))
}

// recorder is a test whose failure is what another one wants to see.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) FailNow()              { panic(r) }

func fails(t *testing.T, f func(testing.TB)) bool {
	r := &recorder{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				panic(p)
			}
		}()
		f(r)
	}()
	return r.failed
}
