package plinktest_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

func TestMain(m *testing.M) { plinktest.Main(m) }

const clb = "../../testdata/topologies/alibaba-clb.yaml"

func TestProgramsOnAnInstanceSeeItsNetworkAndItsNames(t *testing.T) {
	t.Parallel()
	l := plinktest.Up(t, clb)
	out, err := l.Instance("ecs1").Command(t.Context(), "cat", "/etc/resolv.conf", "/etc/hosts", "/proc/net/dev").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "nameserver 100.100.2.136")
	require.Contains(t, string(out), "ecs1")
	require.Contains(t, string(out), "eth0")
	addrs, err := l.Instance("ecs1").Resolver().LookupHost(t.Context(), l.Name("ep1"))
	require.NoError(t, err)
	require.Equal(t, []string{l.Name("ep1.ip")}, addrs)
}

func TestNothingIsLeftOfALab(t *testing.T) {
	plinktest.Require(t)
	before, err := net.Interfaces()
	require.NoError(t, err)
	var dir string
	t.Run("lab", func(t *testing.T) {
		dir = filepath.Dir(plinktest.Up(t, clb).Status().Dir)
		during, err := net.Interfaces()
		require.NoError(t, err)
		require.Equal(t, before, during, "a lab makes nothing in the host's namespace")
	})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), dir)
	require.NoDirExists(t, dir)
}
