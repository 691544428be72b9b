package main

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/host"
)

// A daemon that is killed leaves its programs at the ENIs' devices, where they go on
// to forward. The next one takes them away, whether it has a flow cache or not.
func TestTheNextDaemonTakesTheFlowCacheAway(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	m := newMortal(t, testenv.BuildProgram(t, "../.."), filepath.Join("testdata", "survive", "aws.yaml"), "--flow-cache", "force:clsact")
	conn := m.newIdle(m.eni("ep1", 80, false))
	byTCX, byClsact := m.classifiers()
	require.Zero(t, byTCX)
	enis := byClsact
	require.Positive(t, enis)
	for _, next := range []struct {
		cache         string
		tcx, clsact   int
		whileNobodyIs int
	}{
		{"force:clsact", 0, enis, enis},
		{"off", 0, 0, enis},
		{"force:tcx", enis, 0, 0},
		{"force:clsact", 0, enis, 0},
		{"force:tcx", enis, 0, enis},
	} {
		m.kill()
		byTCX, byClsact := m.classifiers()
		require.Zero(t, byTCX, "they end with their process")
		require.Equal(t, next.whileNobodyIs, byClsact)
		m.run("up", m.file, "--flow-cache", next.cache)
		byTCX, byClsact = m.classifiers()
		require.Equal(t, next.tcx, byTCX, next.cache)
		require.Equal(t, next.clsact, byClsact, next.cache)
		require.NoError(t, conn.ask("still there?"), next.cache)
	}
}

// classifiers counts the programs at the devices of the lab's data plane.
func (m *mortal) classifiers() (byTCX, byClsact int) {
	ns, err := host.Open(string(m.dir), m.plan.Dataplane)
	require.NoError(m.t, err)
	defer ns.Close()
	require.NoError(m.t, ns.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		links, err := h.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			programs, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXIngress})
			if err != nil && !errors.Is(err, unix.EINVAL) {
				return err
			}
			if programs != nil {
				byTCX += len(programs.Programs)
			}
			filters, err := h.FilterList(l, netlink.HANDLE_MIN_INGRESS)
			if err != nil && !errors.Is(err, unix.EINVAL) {
				return err
			}
			byClsact += len(filters)
		}
		return nil
	}))
	return byTCX, byClsact
}
