package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BuildProgram builds what users get, from the repository at root, and says
// where it is until the test ends. Any user may run it. Variables are those of the Makefile,
// such as VERSION=v2.
func BuildProgram(t testing.TB, root string, variables ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plinksim-bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "plinksim")
	build := exec.Command("make", append([]string{"-s", "-C", root, "build", "BIN=" + bin}, variables...)...)
	if os.Getenv("SUDO_UID") != "" {
		// The user's build cache must not get files of root.
		build.Env = append(os.Environ(), "GOCACHE="+t.TempDir())
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}
