package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/etcdtest"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// agreeing are hosts a and b of a lab, and a third machine that has a member of etcd only, as
// they have one each.
type agreeing struct {
	t            *testing.T
	hosts        map[string]hostMachine
	certificates string
	file         string
	members      []etcdtest.Member
	etcd         *etcdtest.Cluster
}

func newAgreeing(t *testing.T) *agreeing {
	t.Helper()
	a := agreeingOn(t, "over-hosts", 1550)
	a.write()
	return a
}

// agreeingOn is newAgreeing with another lab's name and MTU, and without its file.
func agreeingOn(t *testing.T, lab string, mtu int) *agreeing {
	t.Helper()
	etcdtest.Need(t)
	testenv.NeedNoRace(t) // the program is built without it
	testenv.NeedPrograms(t, "ip", "nsenter", "ss", "curl", "nft")
	dir := t.TempDir()
	a := &agreeing{t: t, hosts: map[string]hostMachine{}, certificates: filepath.Join(dir, "certificates"), file: filepath.Join(dir, "over.yaml")}
	plan := &topology.Plan{Name: lab}
	for i, h := range hostMachines(t, lab, mtu, "a", "b", "c") {
		address := fmt.Sprintf("198.18.0.%d", i+1)
		plan.Hosts = append(plan.Hosts, topology.Host{Name: h.name, Address: netip.MustParseAddr(address)})
		a.members = append(a.members, etcdtest.Member{
			Name: h.name, Netns: h.netns, Address: address, TLS: filepath.Join(a.certificates, h.name),
		})
		if h.name != "c" {
			a.hosts[h.name] = h
		}
	}
	_, err := peer.Make(a.certificates, plan, false, time.Now())
	require.NoError(t, err)
	return a
}

func (a *agreeing) write(edits ...string) {
	a.t.Helper()
	text := strings.NewReplacer(append(edits, "LONG", strings.Repeat("x", 1500-28))...).Replace(overHosts)
	require.NoError(a.t, os.WriteFile(a.file, []byte(text), 0o600))
}

func (a *agreeing) up(h hostMachine) []string {
	return []string{"up", a.file, "--host", h.name, "--tls", filepath.Join(a.certificates, h.name),
		"--etcd", "https://198.18.0.1:2379,https://198.18.0.2:2379,https://198.18.0.3:2379"}
}

// leader is the host that leads in the eyes of another one.
func (a *agreeing) leader(seen hostMachine) (name string) {
	a.t.Helper()
	require.Eventually(a.t, func() bool {
		for _, h := range seen.tell().Hosts {
			if h.Leader && h.Lives {
				name = h.Name
			}
		}
		return name != ""
	}, 15*time.Second, 100*time.Millisecond)
	return name
}

// sees waits until a host's lab has a connection in a state.
func (a *agreeing) sees(h hostMachine, endpoint, state string) {
	a.t.Helper()
	require.Eventually(a.t, func() bool {
		for _, e := range h.tell().Endpoints {
			if e.Name == endpoint && e.State == state {
				return true
			}
		}
		return false
	}, 15*time.Second, 100*time.Millisecond, "host %s: %s is not %s", h.name, endpoint, state)
}

func (a *agreeing) cut(host, state string) {
	a.t.Helper()
	a.hosts["a"].between("ip", "link", "set", "to-"+host, state)
}

// refusesCertificates says that a host does not come up with certificates that are not its own.
func (a *agreeing) refusesCertificates(h hostMachine) {
	a.t.Helper()
	others := filepath.Join(a.t.TempDir(), "others")
	_, err := peer.Make(others, &topology.Plan{Name: h.lab, Hosts: []topology.Host{
		{Name: h.name, Address: netip.MustParseAddr("198.18.0.9")},
	}}, false, time.Now())
	require.NoError(a.t, err)
	_, err = peer.Make(filepath.Join(others, "addressed"), &topology.Plan{Name: h.lab, Hosts: []topology.Host{
		{Name: h.name, Address: netip.MustParseAddr("198.18.0.2")},
	}}, false, time.Now())
	require.NoError(a.t, err)
	for _, tt := range []struct{ directory, refused string }{
		{filepath.Join(a.certificates, "a"), `a/host\.pem: it is the certificate of "a", and this is host "b"`},
		{filepath.Join(a.certificates, "none"), `none/ca\.pem: no such file or directory`},
		{filepath.Join(others, h.name), `b/host\.pem: it is not for the address of host "b", 198\.18\.0\.2`},
		{filepath.Join(others, "addressed", h.name), `(?s)https://198\.18\.0\.1:2379: its certificate is of another authority than ca\.pem.*` +
			`hint: the members of etcd and the hosts need certificates of one authority`},
	} {
		args := a.up(h)
		args[slices.Index(args, "--tls")+1] = tt.directory
		require.Regexp(a.t, tt.refused, h.refused(args...))
	}
}

func TestHostsThatAgreeByEtcd(t *testing.T) {
	t.Parallel()
	l := newAgreeing(t)
	a, b := l.hosts["a"], l.hosts["b"]
	require.Regexp(t, `(?s)host "a" of lab "over-hosts" has no store; https://198.18.0.1:2379: nobody listens there; .*`+
		`hint: most members of etcd must run`, a.refused(l.up(a)...))
	a.requireClean()
	l.etcd = etcdtest.Start(t, l.members...)
	require.Eventually(t, func() bool { _, err := a.enter(a.bin, l.up(a)...); return err == nil }, 30*time.Second, 100*time.Millisecond)
	require.Contains(t, a.refused("up", l.file, "--host", "a", "--etcd", "https://198.18.0.1:2379"), "give --host and --tls, too")

	l.write("port: 80, server_group: near", "port: 81, server_group: near")
	require.Regexp(t, `agreed on another file than .*over.yaml`, b.refused(l.up(b)...))
	l.write()
	newer := b
	newer.bin = testenv.BuildProgram(t, "..", "VERSION=v99.0.0")
	require.Regexp(t, `host "a" runs plinksim \S+, and this is v99\.0\.0: all hosts of a lab run the same version`, newer.refused(l.up(b)...))
	l.refusesCertificates(b)
	b.requireClean()
	b.run(l.up(b)...)
	foundEachOther(t, []hostMachine{a, b})
	require.Equal(t, "a", l.leader(b))

	// What is done on one host is done on both, whichever leads.
	a.run("reject", "near", "ep-near")
	l.sees(b, "ep-near", "Disconnected")
	b.run("accept", "near", "ep-near")
	l.sees(a, "ep-near", "Connected")
	require.Equal(t, map[string]int{"api-h": 5}, a.calls("web-h", "http://10.0.1.200/", 5))
	require.Equal(t, map[string]int{"api-i": 5}, b.calls("web-i", "http://10.0.2.200/", 5))

	// The daemon that leads is killed: the other one leads.
	a.kill()
	began := time.Now()
	require.Eventually(t, func() bool { _, err := b.enter(b.bin, "reject", "far", "ep-far"); return err == nil },
		15*time.Second, 100*time.Millisecond)
	t.Logf("host b leads %s after the daemon of a was killed", time.Since(began).Round(100*time.Millisecond))
	require.Equal(t, "b", l.leader(b))
	a.run(l.up(a)...)
	l.sees(a, "ep-far", "Disconnected")

	// Without a majority of etcd nothing is changed, and packets go on, also with a new daemon.
	l.etcd.Kill("b")
	l.etcd.Kill("c")
	for range 2 {
		began = time.Now()
		require.Regexp(t, `no quorum|no host leads`, b.refused("accept", "far", "ep-far"))
		require.Less(t, time.Since(began), 4*time.Second, "with what it takes to start the program")
	}
	require.Equal(t, map[string]int{"api-h": 20}, a.calls("web-h", "http://10.0.1.200/", 20))
	a.kill()
	a.run(l.up(a)...)
	require.Equal(t, map[string]int{"api-h": 20}, a.calls("web-h", "http://10.0.1.200/", 20))
	l.sees(a, "ep-far", "Disconnected")
	require.NotNil(t, a.tell().Agreed.Silent)
	l.etcd.Run("b")
	l.etcd.Run("c")
	require.Eventually(t, func() bool { _, err := a.enter(a.bin, "accept", "far", "ep-far"); return err == nil },
		30*time.Second, 100*time.Millisecond)
	l.sees(a, "ep-far", "Connected")
	l.sees(b, "ep-far", "Connected")

	// A new program takes over, of another version, too, and the others do not notice.
	newer.run("upgrade")
	require.Eventually(t, func() bool { return lives(b.tell(), "a") && lives(b.tell(), "b") }, 10*time.Second, 100*time.Millisecond)
	b.run("reject", "far", "ep-far")
	l.sees(a, "ep-far", "Disconnected")
	require.Equal(t, "v99.0.0", a.tell().Hosts[1].Version)

	// Whoever goes is gone at once, and the last one takes the record along.
	b.run("down")
	require.False(t, lives(a.tell(), "b"))
	a.kill()
	a.run("down", a.lab)
	l.write("port: 80, server_group: near", "port: 81, server_group: near")
	a.run(l.up(a)...)
	a.run("down")
	requireCleanOfHosts(t, l)
}

func lives(s status.Lab, host string) bool {
	for _, h := range s.Hosts {
		if h.Name == host {
			return h.Lives
		}
	}
	return false
}

// requireCleanOfHosts says what a lab has left on its hosts.
func requireCleanOfHosts(t *testing.T, l *agreeing) {
	t.Helper()
	for _, h := range l.hosts {
		h.requireClean()
	}
}
