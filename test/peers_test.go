package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/etcdtest"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// tell is what a host tells of the lab.
func (h hostMachine) tell() (s status.Lab) {
	h.t.Helper()
	require.NoError(h.t, json.Unmarshal([]byte(h.run("status", "-o", "json")), &s))
	return s
}

// foundEachOther waits until each host knows that the others answer over the VXLAN.
func foundEachOther(t *testing.T, hosts []hostMachine) {
	t.Helper()
	for _, h := range hosts {
		require.Eventually(t, func() bool {
			return !slices.ContainsFunc(h.tell().Hosts, func(o status.Host) bool { return !o.Here && o.Path != status.PathOK })
		}, 20*time.Second, 100*time.Millisecond)
	}
}

// The daemons of two hosts answer as that of one lab, and each answers alone where the other is gone.
func TestHostsThatAskEachOther(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t) // the program is built without it
	testenv.NeedPrograms(t, "ip", "nsenter", "ss", "nft")
	hosts := hostMachines(t, "over-hosts", 1550, "a", "b")
	a, b := hosts[0], hosts[1]
	dir := t.TempDir()
	file, certificates := filepath.Join(dir, "over.yaml"), filepath.Join(dir, "certificates")
	text := strings.ReplaceAll(overHosts, "LONG", strings.Repeat("x", 1500-28))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	a.run("hosts", "certificates", file, "--out", certificates)
	up := func(h hostMachine) {
		t.Helper()
		h.run("up", file, "--host", h.name, "--tls", filepath.Join(certificates, h.name))
	}

	require.Contains(t, a.refused("up", file, "--host", "a", "--tls", filepath.Join(certificates, "b")),
		`host.pem: it is the certificate of "b", and this is host "a"`)
	up(a)
	require.Contains(t, a.run("status"), "\nhost b does not answer (connection refused): what only it knows is missing\n")
	up(b)
	foundEachOther(t, hosts)
	for _, h := range hosts {
		require.Contains(t, h.run("check"), "\n7 passed, 0 failed\n")
		require.Contains(t, h.run("status"), "\nhost "+h.name+" of a, b\n\n")
		require.Contains(t, h.run("explain", "web-i", "http://ep-near/"), "api-i is healthy")
		require.Equal(t, "web-i\n", h.run("exec", "web-i", "--", "sh", "-c", "echo $PLINKSIM_INSTANCE"))
		require.Contains(t, h.run("restart", "web-i"), "started again: http 80, echo 7")
		opened := map[string]bool{}
		for _, l := range h.tell().Links {
			opened[l.Name] = l.SessionsOpened > 0
		}
		require.True(t, opened["ep-near@r1-h tcp/80"] && opened["ep-near@r1-i tcp/80"], "%v", opened)
		sessions := h.run("sessions")
		require.Contains(t, sessions, "ep-near@r1-h ")
		require.Contains(t, sessions, "ep-near@r1-i ")
	}
	a.run("fault", "down", "r1-i")
	require.Contains(t, b.run("fault", "show"), "zone r1-i is down")
	b.run("fault", "up", "r1-i")
	require.NotContains(t, a.run("fault", "show"), "is down")
	other := filepath.Join(dir, "other")
	require.NoError(t, os.CopyFS(other, os.DirFS(filepath.Join(certificates, "a"))))
	require.Contains(t, a.refused("up", file, "--host", "a", "--tls", other), "another --tls")

	// A killed daemon, and a host that nobody reaches.
	gone := func(why string) {
		t.Helper()
		begin := time.Now()
		s := a.tell()
		require.Less(t, time.Since(begin), 4*time.Second)
		require.Equal(t, status.DaemonOK, s.Hosts[0].Daemon)
		require.Equal(t, why, s.Hosts[1].Daemon)
		for _, vpc := range s.VPCs {
			for _, in := range vpc.Instances {
				require.Equal(t, map[string]string{"r1-h": "listening", "r1-i": "unknown"}[in.Zone], in.Services[0].State, in.Name)
			}
		}
		require.Contains(t, a.refused("restart", "web-i"), `host "b": its daemon does not answer`)
		require.Contains(t, a.run("restart", "web-h"), "started again")
	}
	b.kill()
	gone("connection refused")
	up(b)
	require.Equal(t, status.DaemonOK, a.tell().Hosts[1].Daemon)
	_, err := b.enter("ip", "link", "set", "eth0", "down")
	require.NoError(t, err)
	gone("nothing came for 2s")
	_, err = b.enter("ip", "link", "set", "eth0", "up")
	require.NoError(t, err)

	// The next daemon has the certificate, too.
	b.run("upgrade")
	foundEachOther(t, hosts)
	require.Equal(t, status.DaemonOK, a.tell().Hosts[1].Daemon)
	require.Contains(t, b.run("check"), "\n7 passed, 0 failed\n")
	for _, h := range hosts {
		h.run("down")
		h.requireClean()
		sockets, err := h.enter("ss", "-Hlnt")
		require.NoError(t, err)
		require.Empty(t, sockets, "host %s: TCP sockets", h.name)
	}
}

// overTwo is a topology with its first zone on host a and the others on b, nil where it has
// one zone.
func overTwo(t *testing.T, file string) (plan *topology.Plan, text []byte) {
	t.Helper()
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	plan, err = topofile.Parse(file, source)
	require.NoError(t, err)
	var zones []string
	for _, vpc := range plan.VPCs {
		for _, s := range vpc.Subnets {
			if !slices.Contains(zones, s.Zone) {
				zones = append(zones, s.Zone)
			}
		}
	}
	if len(zones) < 2 {
		return nil, nil
	}
	text = fmt.Appendf(source, "\nhosts:\n  a: {address: 198.18.0.1, zones: [%s]}\n  b: {address: 198.18.0.2, zones: [%s]}\n"+
		"underlay: {mtu: 9100}\n", zones[0], strings.Join(zones[1:], ", "))
	plan, err = topofile.Parse(file, text)
	require.NoError(t, err)
	return plan, text
}

// Each topology in several zones passes all its checks over two hosts that agree, also those that
// change something, started on either: two of them, and all with PLINKSIM_LONG=1.
func TestTheTopologiesWorkOverHosts(t *testing.T) {
	t.Parallel()
	short := []string{"alibaba-alb-zonal", "aws-private-dns"}
	l := agreeingOn(t, "over-hosts", 9100)
	l.etcd = etcdtest.Start(t, l.members...)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../testdata/topologies"))) // what is beside them is needed, too
	ran := 0
	eachTopology(t, func(t *testing.T, file string, programs []string) {
		plan, text := overTwo(t, file)
		if plan == nil || os.Getenv("PLINKSIM_LONG") != "1" && !slices.Contains(short, plan.Name) {
			return
		}
		testenv.NeedPrograms(t, programs...)
		ran++
		l.file = filepath.Join(dir, filepath.Base(file))
		require.NoError(t, os.WriteFile(l.file, text, 0o600))
		hosts := []hostMachine{l.hosts["a"], l.hosts["b"]}
		for i := range hosts {
			h := &hosts[i]
			h.t, h.lab = t, plan.Name
			t.Cleanup(func() { h.run("down", h.lab) })
			require.Eventually(t, func() bool { // etcd has begun
				_, err := h.enter(h.bin, append(l.up(*h), "--time-scale", "10")...)
				return err == nil
			}, 30*time.Second, 100*time.Millisecond)
		}
		foundEachOther(t, hosts)
		client := plan.Checks[slices.IndexFunc(plan.Checks, func(c topology.Check) bool { return c.From != "" })].From
		for i, h := range hosts {
			if i == 1 {
				h.run("instance", "stop", client) // which checks put aside
			}
			require.Contains(t, h.run("check"), fmt.Sprintf("\n%d passed, 0 failed\n", len(plan.Checks)))
		}
		for _, h := range hosts {
			require.Contains(t, h.run("edit", "list"), "/instances/"+client[strings.Index(client, "/")+1:]+"/state: stopped")
		}
		for _, h := range hosts {
			h.run("down")
			h.requireClean()
		}
	})
	require.GreaterOrEqual(t, ran, len(short))
}
