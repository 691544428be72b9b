package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/topology"
)

// execEnv makes the test binary a program that calls Exec: directory and
// namespace, separated by a colon. The arguments are the program's.
const execEnv = "PLINKSIM_TEST_EXEC"

func TestMain(m *testing.M) {
	if where, ok := os.LookupEnv(execEnv); ok {
		os.Exit(execAsTold(where))
	}
	goleak.VerifyTestMain(m)
}

func execAsTold(where string) int {
	dir, namespace, _ := strings.Cut(where, ":")
	env := []string{"PATH=" + os.Getenv("PATH"), "IN=" + namespace}
	err := Exec(dir, namespace, os.Args[1:], env)
	fmt.Fprintln(os.Stderr, err)
	switch {
	case errors.Is(err, ErrNotFound):
		return 127
	case errors.Is(err, ErrNotExecutable):
		return 126
	}
	return 1
}

// labDir is a directory of which nothing is left when the test ends.
func labDir(t testing.TB) string {
	t.Helper()
	testenv.NeedRoot(t)
	dir := t.TempDir() + "/lab"
	t.Cleanup(func() {
		require.NoError(t, Remove(context.Background(), dir))
		require.NoDirExists(t, dir)
		mounts, err := os.ReadFile("/proc/self/mounts")
		require.NoError(t, err)
		require.NotContains(t, string(mounts), dir)
	})
	return dir
}

// built is the directory of a lab that is up.
func built(t testing.TB, plan *topology.Plan) string {
	t.Helper()
	dir := labDir(t)
	require.NoError(t, Build(t.Context(), dir, plan, nil))
	return dir
}

func open(t testing.TB, dir, name string) *Namespace {
	t.Helper()
	ns, err := Open(dir, name)
	require.NoError(t, err)
	t.Cleanup(func() { ns.Close() })
	return ns
}

// stateOf writes down what a lab is in the kernel: the devices, addresses and
// routes of each namespace.
func stateOf(t testing.TB, dir string) map[string][]string {
	t.Helper()
	names, err := Namespaces(dir)
	require.NoError(t, err)
	state := map[string][]string{}
	for _, name := range names {
		err := open(t, dir, name).Do(func() error {
			h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer h.Close()
			state[name], err = stateIn(h)
			return err
		})
		require.NoError(t, err)
	}
	return state
}

func stateIn(h *netlink.Handle) ([]string, error) {
	state := []string{}
	links, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
	}
	for _, l := range links {
		a := l.Attrs()
		if l.Type() != "veth" && l.Type() != "bridge" && a.Name != "lo" {
			continue // devices that some kernels put into every namespace
		}
		state = append(state, fmt.Sprintf("%s %s mtu %d %s up=%t master=%s",
			a.Name, a.HardwareAddr, a.MTU, l.Type(), a.RawFlags&unix.IFF_UP != 0, names[a.MasterIndex]))
		addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, err
		}
		for _, addr := range addrs {
			state = append(state, fmt.Sprintf("%s %s", a.Name, addr.IPNet))
		}
	}
	routes, err := h.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		state = append(state, fmt.Sprintf("%s via %v dev %s %s", r.Dst, r.Gw, names[r.LinkIndex], r.Scope))
	}
	return state, nil
}
