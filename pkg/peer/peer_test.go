package peer

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// overHosts is a topology over hosts with those names.
func overHosts(names ...string) *topology.Plan {
	plan := &topology.Plan{Name: "over"}
	for i, name := range names {
		plan.Hosts = append(plan.Hosts, topology.Host{Name: name, Address: netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)})})
	}
	return plan
}

func made(t *testing.T, plan *topology.Plan, now time.Time) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "certificates")
	_, err := Make(dir, plan, false, now)
	require.NoError(t, err)
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o600))
}

// In the rows, other is the directory of another authority with the same hosts.
func TestAHostKnowsWhatIsWrongWithItsFiles(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, dir, other string)
		after time.Duration // of what was made
		want  string        // "" is nothing
	}{
		{"nothing is wrong", nil, time.Hour, ""},
		{"on its last day", nil, HostLasts - time.Hour, ""},
		{"a host whose clock is hours late", nil, -20 * time.Hour, ""},
		{"it expired", nil, HostLasts + time.Hour, "a/host.pem: it expired at 2028-01-01"},
		{"so did the authority", nil, AuthorityLasts + time.Hour, "a/ca.pem: it expired at 2035-12-30"},
		{"a clock that is days late", nil, -48 * time.Hour, "a/ca.pem: it begins at 2025-12-31 00:00 UTC, and here it is 2025-12-30"},
		{"no directory", func(t *testing.T, dir, _ string) { require.NoError(t, os.RemoveAll(dir)) }, 0,
			"a/ca.pem: no such file or directory"},
		{"no certificate", func(t *testing.T, dir, _ string) { require.NoError(t, os.Remove(filepath.Join(dir, CertificateFile))) }, 0,
			"a/host.pem: no such file or directory"},
		{"no key", func(t *testing.T, dir, _ string) { require.NoError(t, os.Remove(filepath.Join(dir, KeyFile))) }, 0,
			"a/host-key.pem: no such file or directory"},
		{"another host's files", func(t *testing.T, dir, _ string) {
			for _, file := range []string{CertificateFile, KeyFile} {
				copyFile(t, filepath.Join(dir, "../b", file), filepath.Join(dir, file))
			}
		}, 0, `a/host.pem: it is the certificate of "b", and this is host "a"`},
		{"another host's key", func(t *testing.T, dir, _ string) {
			copyFile(t, filepath.Join(dir, "../b", KeyFile), filepath.Join(dir, KeyFile))
		}, 0, "a/host-key.pem: it is not the key of host.pem"},
		{"another authority", func(t *testing.T, dir, other string) {
			copyFile(t, filepath.Join(other, "a", AuthorityFile), filepath.Join(dir, AuthorityFile))
		}, 0, "a/host.pem: it is not signed by the authority in ca.pem"},
		{"the authority in the place of the host", func(t *testing.T, dir, _ string) {
			copyFile(t, filepath.Join(dir, AuthorityFile), filepath.Join(dir, CertificateFile))
		}, 0, `a/host.pem: it is the certificate of "plinksim hosts of over", and this is host "a"`},
		{"a key in the place of the certificate", func(t *testing.T, dir, _ string) {
			copyFile(t, filepath.Join(dir, KeyFile), filepath.Join(dir, CertificateFile))
		}, 0, "a/host.pem: it has no certificate"},
		{"two certificates", func(t *testing.T, dir, other string) {
			both := read(t, filepath.Join(dir, AuthorityFile)) + read(t, filepath.Join(other, AuthorityFile))
			require.NoError(t, os.WriteFile(filepath.Join(dir, AuthorityFile), []byte(both), 0o600))
		}, 0, "a/ca.pem: it has more than one certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan := overHosts("a", "b")
			dir, other := made(t, plan, begin), made(t, plan, begin)
			if tt.spoil != nil {
				tt.spoil(t, filepath.Join(dir, "a"), other)
			}
			c, err := Load(filepath.Join(dir, "a"), &plan.Hosts[0], begin.Add(tt.after))
			if tt.want == "" {
				require.NoError(t, err)
				require.WithinDuration(t, begin.Add(HostLasts), c.Expires, time.Second)
				return
			}
			var of *FileError
			require.ErrorAs(t, err, &of)
			require.NotEmpty(t, of.Hint())
			require.Contains(t, err.Error(), filepath.Join(dir, tt.want))
		})
	}
}

func TestACertificateIsForTheAddressOfItsHost(t *testing.T) {
	plan := overHosts("a", "b")
	dir := made(t, plan, begin)
	moved := plan.Hosts[0]
	moved.Address = netip.MustParseAddr("198.18.0.9")
	_, err := Load(filepath.Join(dir, "a"), &moved, begin)
	require.ErrorContains(t, err, `host.pem: it is not for the address of host "a", 198.18.0.9`)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestWhatIsThereStays(t *testing.T) {
	dir := made(t, overHosts("a", "b"), begin)
	files := func() (all []string) {
		for _, name := range []string{"ca.pem", "ca-key.pem", "a/ca.pem", "a/host.pem", "a/host-key.pem", "b/host.pem"} {
			all = append(all, read(t, filepath.Join(dir, name)))
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			if strings.HasSuffix(name, "key.pem") {
				require.Equal(t, os.FileMode(0o600), info.Mode(), name)
			}
		}
		return all
	}
	before := files()
	list, err := Make(dir, overHosts("a", "b", "c"), false, begin.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, true, false}, []bool{list[0].Kept, list[1].Kept, list[2].Kept, list[3].Kept})
	require.Equal(t, before, files())
	_, err = Load(filepath.Join(dir, "c"), &overHosts("a", "b", "c").Hosts[2], begin.Add(time.Hour))
	require.NoError(t, err)

	// What is not good any more is said, and nothing is written.
	late := begin.Add(HostLasts + time.Hour)
	_, err = Make(dir, overHosts("a", "b", "c", "d"), false, late)
	require.ErrorContains(t, err, "a/host.pem: it expired")
	require.NoDirExists(t, filepath.Join(dir, "d"))
	require.NoError(t, os.Chmod(filepath.Join(dir, "a/host-key.pem"), 0o644))
	list, err = Make(dir, overHosts("a", "b"), true, late)
	require.NoError(t, err)
	after := files()
	require.Equal(t, before[:3], after[:3], "the authority stays")
	for i := 3; i < len(before); i++ {
		require.NotEqual(t, before[i], after[i])
	}
	require.Equal(t, []bool{true, false, false}, []bool{list[0].Kept, list[1].Kept, list[2].Kept})
	_, err = Load(filepath.Join(dir, "a"), &overHosts("a").Hosts[0], late)
	require.NoError(t, err)

	require.NoError(t, os.Remove(filepath.Join(dir, AuthorityKeyFile)))
	_, err = Make(dir, overHosts("a", "b", "c"), false, late)
	require.ErrorContains(t, err, "ca-key.pem: it is missing")
	require.Equal(t, after[0], read(t, filepath.Join(dir, "ca.pem")))
}

// A host is one of another authority where another directory is not its own.
func TestAHostOfAnotherAuthorityIsNotKept(t *testing.T) {
	plan := overHosts("a")
	dir, other := made(t, plan, begin), made(t, plan, begin)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "a")))
	require.NoError(t, os.Rename(filepath.Join(other, "a"), filepath.Join(dir, "a")))
	_, err := Make(dir, plan, false, begin)
	require.ErrorContains(t, err, "a/host.pem: it is not signed by the authority in "+filepath.Join(dir, "ca.pem"))
}

// Each row is a client and a server that are to meet: the names of their hosts, whose
// topology has the hosts a, b and c, and d is none.
func TestHostsLetInNobodyElse(t *testing.T) {
	plan := overHosts("a", "b", "c", "d")
	now := time.Now()
	once := now.Add(-HostLasts - time.Hour)
	dir, other := made(t, plan, once), made(t, plan, now)
	isHost := func(name string) bool { return name == "a" || name == "b" || name == "c" }
	load := func(dir string, at int, when time.Time) *Credentials {
		c, err := Load(filepath.Join(dir, plan.Hosts[at].Name), &plan.Hosts[at], when)
		require.NoError(t, err)
		return c
	}
	expiredA, expiredB := load(dir, 0, once), load(dir, 1, once)
	_, err := Make(dir, plan, true, now)
	require.NoError(t, err)
	a, b, c, d := load(dir, 0, now), load(dir, 1, now), load(dir, 2, now), load(dir, 3, now)
	stranger := load(other, 0, now)
	nobody := a.Client("b")
	nobody.Certificates = nil
	misled := stranger.Client("b")
	misled.RootCAs = a.authority
	for _, tt := range []struct {
		name           string
		client, server *tls.Config
		clientSays     string // "" where it has no objection
		serverSays     string
	}{
		{"two hosts", a.Client("b"), b.Server(isHost), "", ""},
		{"by its address, as etcd's clients", a.Client(""), b.Server(isHost), "", ""},
		{"a server that is another host", a.Client("b"), c.Server(isHost), "certificate is valid for c, not b", "bad certificate"},
		{"a server of another authority", a.Client("b"), load(other, 1, now).Server(isHost), "unknown authority", "bad certificate"},
		{"a client of another authority", misled, b.Server(isHost), "", "unknown authority"},
		{"a client whose certificate expired", expiredA.Client("b"), b.Server(isHost), "", "certificate has expired"},
		{"a server whose certificate expired", a.Client("b"), expiredB.Server(isHost), "expired", "bad certificate"},
		{"a client without a certificate", nobody, b.Server(isHost), "", "didn't provide a certificate"},
		{"a host that the topology has not", d.Client("b"), b.Server(isHost), "", `the topology of host "b" has no host "d"`},
		{"the host itself", b.Client("b"), b.Server(isHost), "", `this is host "b" itself`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			server := tls.Server(far, tt.server)
			config := tt.client.Clone()
			if config.ServerName == "" {
				config.ServerName = plan.Hosts[1].Address.String()
			}
			client := tls.Client(near, config)
			done := make(chan error, 1)
			go func() {
				err := server.HandshakeContext(t.Context())
				if err == nil {
					_, err = server.Write([]byte("x"))
				}
				far.Close()
				done <- err
			}()
			err := client.HandshakeContext(t.Context())
			if err == nil {
				client.Read(make([]byte, 1)) // the server's objection
			}
			near.Close()
			for _, of := range []struct {
				err  error
				want string
			}{{err, tt.clientSays}, {<-done, tt.serverSays}} {
				if of.want == "" {
					require.NoError(t, of.err)
				} else {
					require.ErrorContains(t, of.err, of.want)
				}
			}
			if tt.serverSays == "" {
				state := server.ConnectionState()
				require.Equal(t, "a", Name(&state))
			}
		})
	}
	require.Empty(t, Name(nil))
}
