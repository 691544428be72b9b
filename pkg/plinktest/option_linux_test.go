package plinktest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody has no rights that others do not have.
const nobody = 65534

// A lab in the test's process needs no root. Who is root runs these tests again
// as somebody else.
func TestALabInThisProcessNeedsNoRights(t *testing.T) {
	if os.Geteuid() != 0 {
		return // the other tests show it
	}
	dir, err := os.MkdirTemp("", "nobody")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	from, err := os.Open(self)
	require.NoError(t, err)
	defer from.Close()
	program := filepath.Join(dir, "plinktest.test")
	to, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, err)
	require.NoError(t, to.Close())

	again := exec.Command(program, "-test.run", "^(TestALabInThisProcess|TestAnywhereSaysWhereTheLabIs)$", "-test.v")
	again.Dir = dir
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestALabInThisProcess ")
	require.Contains(t, string(out), "--- PASS: TestAnywhereSaysWhereTheLabIs ")
}
