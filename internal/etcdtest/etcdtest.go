// Package etcdtest gives tests an etcd of several members, in network namespaces that they
// have made, and a network that can be cut.
package etcdtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/peer"
)

// Need ends a test that cannot run etcd.
func Need(t testing.TB) {
	t.Helper()
	testenv.NeedRoot(t)
	if _, err := exec.LookPath("etcd"); err != nil {
		testenv.Missing(t, err.Error()+": \"scripts/install-tools etcd\" installs it, and starts nothing")
	}
	testenv.NeedPrograms(t, "ip", "nsenter")
}

// Member is where a member of etcd runs.
type Member struct {
	Name, Netns, Address string
	TLS                  string // a directory as peer.Make makes it for a host
}

// Cluster is an etcd. It ends with its test.
type Cluster struct {
	t       testing.TB
	members []*member
}

type member struct {
	Member
	args    []string
	log     string
	process *exec.Cmd // nil: it does not run
}

// Start starts an etcd as docs/hosts.md has it: with certificates on both sides of everything
// and pre-vote. It does not wait until it answers.
func Start(t testing.TB, members ...Member) *Cluster {
	t.Helper()
	Need(t)
	dir := t.TempDir()
	c := &Cluster{t: t}
	var all []string
	for _, m := range members {
		all = append(all, fmt.Sprintf("%s=https://%s:2380", m.Name, m.Address))
	}
	for _, m := range members {
		file := func(name string) string { return filepath.Join(m.TLS, name) }
		client, peers := fmt.Sprintf("https://%s:2379", m.Address), fmt.Sprintf("https://%s:2380", m.Address)
		c.members = append(c.members, &member{Member: m, log: filepath.Join(dir, m.Name+".log"), args: []string{
			"--net=/run/netns/" + m.Netns, "etcd", "--name", m.Name, "--data-dir", filepath.Join(dir, m.Name),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
			"--initial-cluster", strings.Join(all, ","), "--initial-cluster-state", "new", "--pre-vote",
			"--client-cert-auth", "--trusted-ca-file", file(peer.AuthorityFile),
			"--cert-file", file(peer.CertificateFile), "--key-file", file(peer.KeyFile),
			"--peer-client-cert-auth", "--peer-trusted-ca-file", file(peer.AuthorityFile),
			"--peer-cert-file", file(peer.CertificateFile), "--peer-key-file", file(peer.KeyFile),
			"--log-level", "warn", "--logger", "zap",
		}})
	}
	t.Cleanup(func() {
		var ended sync.WaitGroup
		for _, m := range c.members {
			ended.Go(func() { c.Kill(m.Name) })
			if text, err := os.ReadFile(m.log); err == nil && t.Failed() {
				t.Logf("etcd %s has said at last: %s", m.Name, text[max(0, len(text)-1500):])
			}
		}
		ended.Wait()
	})
	for _, m := range c.members {
		c.Run(m.Name)
	}
	return c
}

// Endpoints are the URLs for clients.
func (c *Cluster) Endpoints() (urls []string) {
	for _, m := range c.members {
		urls = append(urls, fmt.Sprintf("https://%s:2379", m.Address))
	}
	return urls
}

// Names are those of the members.
func (c *Cluster) Names() (names []string) {
	for _, m := range c.members {
		names = append(names, m.Name)
	}
	return names
}

// Run starts a member that was killed, with what it has kept.
func (c *Cluster) Run(name string) {
	c.t.Helper()
	m := c.member(name)
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	m.process = exec.Command("nsenter", m.args...) // which becomes etcd
	m.process.Stdout, m.process.Stderr = log, log
	if err := m.process.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// Kill ends a member as a power failure does. One that does not run stays so.
func (c *Cluster) Kill(name string) {
	m := c.member(name)
	if m.process == nil {
		return
	}
	_ = m.process.Process.Kill()
	_ = m.process.Wait()
	m.process = nil
}

// Pause stops a member: its machine still acknowledges what it is sent.
func (c *Cluster) Pause(name string) { c.signal(name, syscall.SIGSTOP) }

// Resume ends Pause.
func (c *Cluster) Resume(name string) { c.signal(name, syscall.SIGCONT) }

func (c *Cluster) signal(name string, s syscall.Signal) {
	c.t.Helper()
	if err := c.member(name).process.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *Cluster) member(name string) *member {
	for _, m := range c.members {
		if m.Name == name {
			return m
		}
	}
	c.t.Fatalf("etcd has no member %q", name)
	return nil
}

// Underlay is a network of machines, each a namespace. It ends with its test.
type Underlay struct {
	t       testing.TB
	between string
}

// NewUnderlay makes a network without machines.
func NewUnderlay(t testing.TB) *Underlay {
	t.Helper()
	Need(t)
	u := &Underlay{t: t}
	u.between = u.netns("between")
	ip(t, "-n", u.between, "link", "add", "underlay", "up", "type", "bridge")
	return u
}

// Add makes a machine with an address of 198.18.0.0/24, and says which namespace it is.
func (u *Underlay) Add(name, address string) (netns string) {
	u.t.Helper()
	netns = u.netns(name)
	ip(u.t, "-n", u.between, "link", "add", "to-"+name, "master", "underlay", "up", "type", "veth",
		"peer", "name", "eth0", "netns", netns)
	ip(u.t, "-n", netns, "addr", "add", address+"/24", "dev", "eth0")
	ip(u.t, "-n", netns, "link", "set", "eth0", "up")
	ip(u.t, "-n", netns, "link", "set", "lo", "up")
	return netns
}

// Cut takes a machine off the network.
func (u *Underlay) Cut(name string) { ip(u.t, "-n", u.between, "link", "set", "to-"+name, "down") }

// Heal ends Cut.
func (u *Underlay) Heal(name string) { ip(u.t, "-n", u.between, "link", "set", "to-"+name, "up") }

func (u *Underlay) netns(name string) string {
	u.t.Helper()
	ns := fmt.Sprintf("plinksim-%d-%s", os.Getpid(), name)
	ip(u.t, "netns", "add", ns)
	u.t.Cleanup(func() { ip(u.t, "netns", "del", ns) })
	return ns
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}
