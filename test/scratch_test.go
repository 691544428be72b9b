package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
)

// imported are the packages that the code of the documents uses, by their names.
var imported = map[string]string{
	"plinktest": "github.com/plinksim/plinksim/pkg/plinktest",
	"require":   "github.com/stretchr/testify/require",
	"synctest":  "testing/synctest",
	"testing":   "testing",
	"time":      "time",
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// codeOf are the code blocks of one language in a document.
func codeOf(t *testing.T, document, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", document))
	require.NoError(t, err)
	for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	require.NotEmpty(t, found)
	return found
}

// scratch is a module of somebody else's, outside of this repository, with a file for
// each of the programs, and what they are compiled to.
func scratch(t *testing.T, programs []string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "scratch") // not below a directory that is root's alone
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "testdata"), 0o755))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	mod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	sum, err := os.ReadFile("../go.sum")
	require.NoError(t, err)
	_, requires, _ := strings.Cut(string(mod), "\n")
	write("go.mod", "module example.org/scratch\n"+requires+
		"\nrequire github.com/plinksim/plinksim v0.0.0\nreplace github.com/plinksim/plinksim => "+root+"\n")
	write("go.sum", string(sum))
	write("testdata/shop.yaml", codeOf(t, "README.md", "yaml")[0])
	for i, program := range programs {
		text := "package scratch\n\nimport (\n"
		for name, path := range imported {
			if strings.Contains(program, name+".") {
				text += fmt.Sprintf("\t%q\n", path)
			}
		}
		write(fmt.Sprintf("%d_test.go", i), text+")\n\n"+program)
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-mod=mod", "-c", "-o", "p.test", ".")
	build.Dir = dir
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// asNobody runs the tests of one program as a user without rights.
func asNobody(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./p.test", append([]string{"-test.v"}, args...)...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PLINKSIM_") })
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The Go code of the documents is compiled in a module of somebody else's, and run as a
// user without rights: what needs the kernel says so, the rest passes, but for one test
// that shows how one fails.
func TestTheGoCodeOfTheDocumentsWorks(t *testing.T) {
	t.Parallel()
	testenv.NeedNoRace(t)
	dir := scratch(t, append(codeOf(t, "README.md", "go"), codeOf(t, "docs/testing.md", "go")...))
	out, err := asNobody(t, dir, "-test.skip", "^"+fails+"$")
	require.NoError(t, err, out)
	// With user namespaces that is for everybody.
	require.Regexp(t, "--- (PASS|SKIP): TestTheShopInTheKernel ", out)
	require.Contains(t, out, "--- PASS: TestTheIdleTimeout ")
	require.Contains(t, out, "--- PASS: TestTheShopReachesItsDatabase ")
	requireFails(t, dir)
	if os.Geteuid() == 0 {
		cmd := exec.CommandContext(t.Context(), "./p.test", "-test.run", "^TestTheShopInTheKernel$")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// fails is the test of docs/testing.md that fails.
const fails = "TestTheShopFindsNobody"

// requireFails compares what that test says and leaves with the document.
func requireFails(t *testing.T, dir string) {
	t.Helper()
	kept, err := os.MkdirTemp("", "kept")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(kept)) })
	require.NoError(t, os.Chmod(kept, 0o777))
	out, err := asNobody(t, dir, "-test.run", "^"+fails+"$", "-test.artifacts", "-test.outputdir", kept)
	require.Error(t, err, out)
	shown := codeOf(t, "docs/testing.md", "text")
	require.Len(t, shown, 2)
	for line := range strings.Lines(shown[0]) {
		require.Contains(t, out, strings.TrimSpace(line))
	}
	files, err := filepath.Glob(filepath.Join(kept, "_artifacts", "*", "*"))
	require.NoError(t, err)
	var names []string
	events := ""
	for _, file := range files {
		names = append(names, filepath.Base(file))
		if filepath.Base(file) == "events.txt" {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			events = string(text)
		}
	}
	require.Subset(t, names, []string{
		"capture.pcapng", "explain.json", "events.txt", "names.txt", "sessions.json", "status.json",
	})
	for line := range strings.Lines(shown[1]) {
		require.Contains(t, events, strings.TrimSpace(line))
	}
}
