package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/plinktest"
)

// runExample runs a program in a directory with the program under test in its path, and
// returns what it printed and how it ended.
func runExample(t *testing.T, bin, dir string, argv ...string) (string, error) {
	t.Helper()
	state, err := os.MkdirTemp("", "plinksim")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(state)) })
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PLINKSIM="+bin, "PYTHONDONTWRITEBYTECODE=1",
		"PLINKSIM_STATE_DIR="+filepath.Join(state, "run"), "ARTIFACTS="+filepath.Join(t.ArtifactDir(), "shell"))
	out, err := cmd.CombinedOutput()
	require.NoDirExists(t, filepath.Join(state, "run"), "it takes down what it brings up:\n%s", out)
	return string(out), err
}

func requireFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NotZero(t, info.Size(), name)
	}
}

func TestLabsAreFixturesOfPytest(t *testing.T) {
	t.Parallel()
	plinktest.Require(t, "pytest", "curl")
	testenv.NeedNoRace(t)
	kept := filepath.Join(t.TempDir(), "kept")
	pytest := []string{"pytest", "-q", "-p", "no:cacheprovider", "--plinksim-artifacts", kept}
	bin := testenv.BuildProgram(t, "../..")
	out, err := runExample(t, bin, "../../examples/pytest", pytest...)
	require.NoError(t, err, out)
	require.Contains(t, out, "4 passed")
	require.NoDirExists(t, kept, "tests that pass leave nothing")

	// One that fails says why.
	dir := t.TempDir()
	for _, name := range []string{"pytest_plinksim.py", "conftest.py", "shop.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../examples/pytest", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	const fails = `import pytest

@pytest.mark.topology("shop.yaml")
def test_it(plinksim_lab):
    plinksim_lab.get("web", "http://ep/", timeout=1)

def test_without_a_marker(plinksim_lab):
    pass
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "test_fails.py"), []byte(fails), 0o644))
	out, err = runExample(t, bin, dir, pytest...)
	require.Error(t, err)
	require.Contains(t, out, "web cannot get http://ep/: curl: (28)")
	require.Contains(t, out, "packets were dropped by: NotConnected ")
	require.Contains(t, out, "to let it pass: plinksim accept data ep")
	require.Contains(t, out, "plinksim_lab needs the marker")
	requireFiles(t, filepath.Join(kept, "test_fails.py_test_it"),
		"capture.pcapng", "status.json", "sessions.json", "events.txt", "explain.txt")
}

func TestLabsAreTestedInShell(t *testing.T) {
	t.Parallel()
	plinktest.Require(t, "bash", "curl", "jq")
	testenv.NeedNoRace(t)
	bin := testenv.BuildProgram(t, "../..")
	out, err := runExample(t, bin, "../../examples/shell", "./test.sh")
	require.NoError(t, err, out)
	require.Contains(t, out, "\n1..9\n")
	require.NotContains(t, out, "not ok")

	const fails = `set -uo pipefail; . ./lab.sh; lab_up ../pytest/shop.yaml
expect "it works" on web curl -sSf -m 1 "http://$(name ep)/"; lab_end`
	out, err = runExample(t, bin, "../../examples/shell", "bash", "-c", fails)
	require.Error(t, err)
	require.Contains(t, out, "not ok 1 - it works\n# curl: (28)")
	require.Contains(t, out, "\n# NotConnected ")
	requireFiles(t, filepath.Join(t.ArtifactDir(), "shell"), "status.json", "sessions.json", "events.txt")
}
