package plinktest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A test binary is killed while its lab is up; the next one removes the lab.
func TestTheLabOfAKilledTestIsRemoved(t *testing.T) {
	Require(t)
	if os.Getenv("PLINKTEST_HANG") != "" {
		Up(t, "../../testdata/topologies/alibaba-clb.yaml")
		os.Stdout.WriteString("\nit is up\n")
		time.Sleep(time.Minute) // until it is killed
		return
	}
	tmp, err := os.MkdirTemp("", "reap") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.Remove(tmp)) })
	self, err := os.Executable()
	require.NoError(t, err)
	hangs := exec.Command(self, "-test.run", "^"+t.Name()+"$", "-test.v")
	hangs.Env = append(os.Environ(), "PLINKTEST_HANG=1", "TMPDIR="+tmp)
	out, err := hangs.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, hangs.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "it is up" {
	}
	require.NoError(t, reap(tmp, 0), "it leaves alone what is somebody's")
	require.Contains(t, mounts(t), tmp)
	require.NoError(t, hangs.Process.Kill())
	require.Error(t, hangs.Wait())
	require.Contains(t, mounts(t), tmp, "the kernel keeps it")
	require.NoError(t, reap(tmp, time.Hour), "it leaves alone what may be just beginning")
	require.Contains(t, mounts(t), tmp)
	require.NoError(t, reap(tmp, 0))
	require.NotContains(t, mounts(t), tmp)
}

func mounts(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}
