package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
	t.Parallel()
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
		cache       string
		tcx, clsact int
	}{
		{"force:clsact", 0, enis},
		{"off", 0, 0},
		{"force:tcx", enis, 0},
		{"force:clsact", 0, enis},
		{"force:tcx", enis, 0},
		{"auto", 0, 0},
	} {
		m.kill()
		stayTCX, stayClsact := m.classifiers()
		require.Equal(t, byTCX, stayTCX, "they go on without their process")
		require.Equal(t, byClsact, stayClsact)
		m.run("up", m.file, "--flow-cache", next.cache)
		byTCX, byClsact = m.classifiers()
		require.Equal(t, next.tcx, byTCX, next.cache)
		require.Equal(t, next.clsact, byClsact, next.cache)
		require.NoError(t, conn.ask("still there?"), next.cache)
	}
}

// A download that the kernel forwards outlives daemons that are killed and exchanged.
func TestABulkDownloadOutlivesItsDaemons(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	m := newMortal(t, testenv.BuildProgram(t, "../.."), filepath.Join("testdata", "survive", "aws.yaml"), "--flow-cache", "auto")
	const blocks, pause = 5_000, 0.0002
	conn, err := m.client.DialContext(t.Context(), "tcp", m.eni("ep1", 80, false))
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprintf(conn, "get %d %f\n", blocks, pause)
	var received atomic.Int64
	sum, ended := sha256.New(), make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.MultiWriter(sum, counter{&received}), conn, blocks*surviveBlock)
		ended <- err
	}()
	isCached := func() bool {
		byTCX, byClsact := m.classifiers()
		return byTCX+byClsact > 0 && !strings.Contains(m.run("status"), ", 0 of ")
	}
	for range 2 {
		require.Eventually(t, isCached, 20*time.Second, 20*time.Millisecond, "the download is bulk")
		m.kill()
		before := received.Load()
		require.Eventually(t, func() bool { return received.Load() > before+100*surviveBlock }, 10*time.Second, time.Millisecond,
			"it goes on while nobody runs the lab")
		m.run("up", m.file, "--flow-cache", "auto")
		require.NotContains(t, m.run("status"), "earlier daemon", "sessions were lost")
	}
	require.Eventually(t, isCached, 20*time.Second, 20*time.Millisecond)
	before := received.Load()
	m.run("upgrade")
	require.Greater(t, received.Load(), before)
	require.NoError(t, <-ended)
	want := sha256.New()
	io.Copy(want, blocksOf(blocks))
	require.Equal(t, want.Sum(nil), sum.Sum(nil))
}

// counter counts the bytes that are written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
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
