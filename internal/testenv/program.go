package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programs are those that this process has built, open: so they are there for the next test,
// and nothing of them is left when the process ends.
var programs = struct {
	sync.Mutex
	open map[string]*os.File
}{open: map[string]*os.File{}}

// BuildProgram builds what users get, from the repository at root, and says
// where it is until the test ends. Any user may run it. Variables are those of the Makefile,
// such as VERSION=v2. The same is built once in a process, as linking takes seconds.
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
	programs.Lock()
	defer programs.Unlock()
	key := strings.Join(append([]string{root}, variables...), "\n")
	if built := programs.open[key]; built != nil {
		// Not written by this process: a child that it starts meanwhile would hold the file open, and
		// the kernel runs no program that somebody may write (Linux, execve(2), ETXTBSY).
		copied := exec.Command("cp", "/dev/fd/3", bin)
		copied.ExtraFiles = []*os.File{built}
		if out, err := copied.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return bin
	}
	build := exec.Command("make", append([]string{"-s", "-C", root, "build", "BIN=" + bin}, variables...)...)
	if os.Getenv("SUDO_UID") != "" {
		// The user's build cache must not get files of root.
		build.Env = append(os.Environ(), "GOCACHE="+t.TempDir())
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if programs.open[key], err = os.Open(bin); err != nil {
		t.Fatal(err)
	}
	return bin
}
