package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/status"
)

// The daemons of two hosts answer as that of one lab, and each answers alone where the other is gone.
func TestHostsThatAskEachOther(t *testing.T) {
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
	tell := func(h hostMachine) (s status.Lab) {
		t.Helper()
		require.NoError(t, json.Unmarshal([]byte(h.run("status", "-o", "json")), &s))
		return s
	}

	// found waits until each host knows that the other answers over the VXLAN.
	found := func() {
		t.Helper()
		for _, h := range hosts {
			require.Eventually(t, func() bool {
				return !slices.ContainsFunc(tell(h).Hosts, func(o status.Host) bool { return !o.Here && o.Path != status.PathOK })
			}, 20*time.Second, 100*time.Millisecond)
		}
	}

	require.Contains(t, a.refused("up", file, "--host", "a", "--tls", filepath.Join(certificates, "b")),
		`host.pem: it is the certificate of "b", and this is host "a"`)
	up(a)
	require.Contains(t, a.run("status"), "\nhost b does not answer (connection refused): what only it knows is missing\n")
	up(b)
	found()
	for _, h := range hosts {
		require.Contains(t, h.run("check"), "\n7 passed, 0 failed\n")
		require.Contains(t, h.run("status"), "\nhost "+h.name+" of a, b\n\n")
		require.Contains(t, h.run("explain", "web-i", "http://ep-near/"), "api-i is healthy")
		require.Equal(t, "web-i\n", h.run("exec", "web-i", "--", "sh", "-c", "echo $PLINKSIM_INSTANCE"))
		require.Contains(t, h.run("restart", "web-i"), "started again: http 80, echo 7")
		opened := map[string]bool{}
		for _, l := range tell(h).Links {
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
		s := tell(a)
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
	require.Equal(t, status.DaemonOK, tell(a).Hosts[1].Daemon)
	_, err := b.enter("ip", "link", "set", "eth0", "down")
	require.NoError(t, err)
	gone("nothing came for 2s")
	_, err = b.enter("ip", "link", "set", "eth0", "up")
	require.NoError(t, err)

	// The next daemon has the certificate, too.
	b.run("upgrade")
	found()
	require.Equal(t, status.DaemonOK, tell(a).Hosts[1].Daemon)
	require.Contains(t, b.run("check"), "\n7 passed, 0 failed\n")
	for _, h := range hosts {
		h.run("down")
		h.requireClean()
		sockets, err := h.enter("ss", "-Hlnt")
		require.NoError(t, err)
		require.Empty(t, sockets, "host %s: TCP sockets", h.name)
	}
}
