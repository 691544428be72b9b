package plinktest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
)

// nobody has no rights that others do not have.
const nobody = 65534

// Tests of an ordinary user have labs in the kernel. Root runs them as somebody else.
func TestAnOrdinaryUserHasLabsInTheKernel(t *testing.T) {
	testenv.NeedUser(t, nobody)
	as := copyOf(t)
	as.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out := runAgain(t, as, "TestAnywhereSaysWhereTheLabIs", "TestALabOfTheUserItRunsAs")
	require.Contains(t, out, "uid 0, as user 65534 outside")
	require.Contains(t, out, `lab "pooled" is in the kernel, in a user namespace`)
}

// A lab in the test's process needs no root, and nothing else. Root runs these tests
// as somebody else, where user namespaces are not allowed.
func TestALabInThisProcessNeedsNoRights(t *testing.T) {
	testenv.NeedUser(t, nobody)
	as := copyOf(t)
	const none = "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --reuid 65534 --regid 65534 --clear-groups "
	as.Args = []string{"sh", "-c", none + `"$0" "$@"`, as.Path}
	as.Path = "/bin/sh"
	all := []syscall.SysProcIDMap{{Size: 65536}}
	as.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all,
		GidMappingsEnableSetgroups: true}
	out := runAgain(t, as, "TestALabInThisProcess", "TestAnywhereSaysWhereTheLabIs")
	require.Contains(t, out, `lab "pooled" is inside this process: make a user namespace: `)
	require.Contains(t, out, "sudo sysctl user.max_user_namespaces=15000")
}

func TestALabOfTheUserItRunsAs(t *testing.T) {
	lab := UpText(t, pooled)
	lab.Accept("svc", "ep")
	out, err := lab.Instance("web").Command(t.Context(), "sh", "-c", "cat /proc/net/dev; id -u").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "eth0")
	text, err := os.ReadFile("/proc/self/uid_map")
	require.NoError(t, err)
	ids := strings.Fields(string(text))
	t.Logf("uid %d, as user %s outside", os.Geteuid(), ids[1])
}

// copyOf is this test binary where everybody may run it.
func copyOf(t *testing.T) *exec.Cmd {
	t.Helper()
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

	cmd := exec.Command(program)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR=/tmp", "HOME="+dir)
	return cmd
}

// runAgain runs tests in another process, which has to pass all of them.
func runAgain(t *testing.T, cmd *exec.Cmd, tests ...string) (out string) {
	t.Helper()
	cmd.Args = append(cmd.Args, "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.v")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	for _, test := range tests {
		require.Contains(t, string(text), "--- PASS: "+test+" ", "%s", text)
	}
	return string(text)
}
