package etcd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/plinksim/plinksim/internal/etcdtest"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/topology"
)

// etcds are three members of etcd, and machines for hosts of labs beside them.
type etcds struct {
	*etcdtest.Cluster
	*etcdtest.Underlay
	certificates string // directory with that of each machine
	machines     map[string]string
}

func newEtcds(t *testing.T) *etcds {
	t.Helper()
	e := &etcds{Underlay: etcdtest.NewUnderlay(t), certificates: t.TempDir(), machines: map[string]string{}}
	plan := &topology.Plan{Name: "lab"}
	var members []etcdtest.Member
	for i, name := range []string{"e1", "e2", "e3", "a", "b", "c", "d", "root"} {
		address := fmt.Sprintf("198.18.0.%d", i+1)
		plan.Hosts = append(plan.Hosts, topology.Host{Name: name, Address: netip.MustParseAddr(address)})
		e.machines[name] = e.Add(name, address)
		if strings.HasPrefix(name, "e") {
			members = append(members, etcdtest.Member{
				Name: name, Netns: e.machines[name], Address: address, TLS: filepath.Join(e.certificates, name),
			})
		}
	}
	_, err := peer.Make(e.certificates, plan, false, time.Now())
	require.NoError(t, err)
	began := time.Now()
	e.Cluster = etcdtest.Start(t, members...)
	require.Eventually(t, func() bool {
		s, err := Open(t.Context(), e.config(t, "first", "a"))
		return err == nil && s.Close() == nil
	}, 30*time.Second, time.Millisecond)
	t.Logf("etcd answers after %s", time.Since(began).Round(10*time.Millisecond))
	return e
}

// config is that of a host of a lab, on the machine of its name.
func (e *etcds) config(t *testing.T, lab, name string) Config {
	t.Helper()
	ns, err := host.Open("/run", e.machines[name])
	require.NoError(t, err)
	t.Cleanup(func() { ns.Close() })
	own, err := peer.Load(filepath.Join(e.certificates, name), &topology.Host{Name: name}, time.Now())
	require.NoError(t, err)
	return Config{
		Endpoints: e.Endpoints(), TLS: own.Client(""), Lab: lab, Host: name, Place: "of " + name,
		dial: func(ctx context.Context, address string) (net.Conn, error) {
			return ns.DialContext(ctx, "tcp", address)
		},
	}
}

// open gives hosts of a lab, each on its machine.
func (e *etcds) open(t *testing.T, lab string, names ...string) (hosts []*Store) {
	t.Helper()
	for _, name := range names {
		s, err := Open(t.Context(), e.config(t, lab, name))
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		hosts = append(hosts, s)
	}
	return hosts
}

// within waits for what must become true, and says how long it took.
func within(t *testing.T, most time.Duration, what string, is func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	require.Eventually(t, is, most, 10*time.Millisecond, what)
	took := time.Since(began)
	t.Logf("%s after %s", what, took.Round(10*time.Millisecond))
	return took
}

func leads(t *testing.T, s *Store) {
	t.Helper()
	within(t, 5*time.Second, "host "+s.cfg.Host+" leads", func() bool { return s.Leader() == s.cfg.Host })
}

func write(t *testing.T, s *Store, state string) lab.Record {
	t.Helper()
	now, _ := s.Now()
	r, err := s.Write(t.Context(), now.Revision, lab.Record{File: "f", Source: []byte("s"), State: []byte(state)})
	require.NoError(t, err)
	return r
}

// sees waits until a host knows the record that another one has written.
func sees(t *testing.T, s *Store, r lab.Record) {
	t.Helper()
	within(t, 5*time.Second, fmt.Sprintf("host %s knows revision %d", s.cfg.Host, r.Revision), func() bool {
		now, ok := s.Now()
		return ok && now.Revision == r.Revision
	})
	now, _ := s.Now()
	require.Equal(t, r, now)
}

func TestHostsAgreeByEtcd(t *testing.T) {
	etcdtest.Need(t)
	if testing.Short() {
		t.Skip("it waits for leases to end")
	}
	defer goleak.VerifyNone(t)
	e := newEtcds(t)
	// Each of these has a lab and machines of its own, or leaves the others in peace.
	t.Run("beside each other", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *etcds){
			"records":              records,
			"secrets":              secrets,
			"a place is one's own": places,
			"a record is too long": tooLong,
			"certificates":         certificates,
			"compaction":           compaction,
			"a host goes silently": cutOff,
		} {
			t.Run(name, func(t *testing.T) { t.Parallel(); test(t, e) })
		}
	})
	t.Run("a member is stopped", func(t *testing.T) { stopped(t, e) })
	t.Run("no quorum", func(t *testing.T) { noQuorum(t, e) })
	t.Run("users", func(t *testing.T) { users(t, e) })
}

func records(t *testing.T, e *etcds) {
	hosts := e.open(t, "records", "c", "d")
	a, b := hosts[0], hosts[1]
	_, ok := a.Now()
	require.False(t, ok)
	leads(t, a)
	_, err := a.Write(t.Context(), 7, lab.Record{})
	require.Equal(t, &lab.ConflictError{After: 7}, err, "there is no record yet")
	first := lab.Record{File: "a file", Source: []byte("its text"), State: []byte("{}")}
	one, err := b.Create(t.Context(), first)
	require.NoError(t, err, "whoever leads")
	require.Positive(t, one.Revision)
	other, err := a.Create(t.Context(), lab.Record{File: "another"})
	require.NoError(t, err)
	require.Equal(t, one, other, "the first one counts")
	sees(t, b, one)

	two := write(t, a, "2")
	require.Greater(t, two.Revision, one.Revision)
	sees(t, b, two)
	_, err = a.Write(t.Context(), one.Revision, lab.Record{State: []byte("other")})
	require.Equal(t, &lab.ConflictError{After: one.Revision, Newest: two.Revision}, err)
	_, err = b.Write(t.Context(), two.Revision, lab.Record{State: []byte("other")})
	require.Equal(t, &lab.NotLeadingError{Host: "d", Leader: "c"}, err)
	now, _ := b.Now()
	require.Equal(t, two, now)

	a.Report(lab.HostReport{Version: "v1", Applied: two.Revision, Drained: []lab.Drained{{Service: "s", Zone: "z"}}})
	within(t, 2*time.Second, "the report is there", func() bool { return b.Hosts()["c"].Version == "v1" })
	require.Equal(t, map[string]lab.HostReport{
		"c": {Name: "c", Version: "v1", Applied: two.Revision, Drained: []lab.Drained{{Service: "s", Zone: "z"}}},
		"d": {Name: "d"},
	}, b.Hosts())

	// Whoever goes in an orderly way is gone at once, and the last one takes the record along.
	began := time.Now()
	require.NoError(t, a.Down())
	leads(t, b)
	require.Less(t, time.Since(began), 2*time.Second)
	require.NotContains(t, b.Hosts(), "c")
	write(t, b, "3")
	require.NoError(t, b.Down())
	c := e.open(t, "records", "c")[0]
	_, ok = c.Now()
	require.False(t, ok, "there is no record")
	_, err = c.Create(t.Context(), first)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, ok = e.open(t, "records", "d")[0].Now()
	require.True(t, ok, "Close leaves the record")
}

func secrets(t *testing.T, e *etcds) {
	hosts := e.open(t, "secrets", "c", "d")
	made := func(text string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(text), nil } }
	_, err := hosts[0].Secret(t.Context(), "ca", func() ([]byte, error) { return nil, errors.New("no entropy") })
	require.EqualError(t, err, "no entropy")
	one, err := hosts[0].Secret(t.Context(), "ca", made("of c"))
	require.NoError(t, err)
	two, err := hosts[1].Secret(t.Context(), "ca", made("of d"))
	require.NoError(t, err)
	require.Equal(t, []string{"of c", "of c"}, []string{string(one), string(two)})
}

func places(t *testing.T, e *etcds) {
	first := e.open(t, "places", "c")[0]
	leads(t, first)
	began := time.Now()
	second := e.config(t, "places", "c")
	second.Place = "of another machine"
	_, err := Open(t.Context(), second)
	require.EqualError(t, err, `host "c" of lab "places" lives already, on another machine`)
	require.Less(t, time.Since(began), opening+time.Second)
	// The daemon of the same machine comes after one that was killed, and does not wait for its lease.
	first.stop()
	first.done.Wait()
	began = time.Now()
	again := e.open(t, "places", "c")[0]
	leads(t, again)
	require.Less(t, time.Since(began), lifetime, "it waited for the lease to end")
	_, err = first.Write(t.Context(), 0, lab.Record{})
	require.Equal(t, &lab.NotLeadingError{Host: "c", Leader: "c"}, err, "the daemon of before leads no more")
}

func tooLong(t *testing.T, e *etcds) {
	s := e.open(t, "too-long", "c")[0]
	text := make([]byte, 1700<<10) // random, as text that is compressed
	rand.Read(text)
	r, err := s.Create(t.Context(), lab.Record{Source: text[:1<<20]})
	require.NoError(t, err)
	leads(t, s)
	_, err = s.Write(t.Context(), r.Revision, lab.Record{Source: text})
	var large *TooLargeError
	require.ErrorAs(t, err, &large)
	require.Greater(t, large.Bytes, largest)
	require.Regexp(t, `^what the hosts of lab "too-long" have to agree on is \d+ bytes long, compressed, and etcd takes \d+: nothing was changed$`,
		err.Error())
	now, _ := s.Now()
	require.Equal(t, r.Revision, now.Revision)
	write(t, s, "what fits goes on")
}

func certificates(t *testing.T, e *etcds) {
	others := t.TempDir()
	_, err := peer.Make(others, &topology.Plan{Name: "other", Hosts: []topology.Host{
		{Name: "c", Address: netip.MustParseAddr("198.18.0.6")},
	}}, false, time.Now())
	require.NoError(t, err)
	of := func(files ...string) *peer.Credentials {
		dir := t.TempDir()
		for _, from := range files {
			text, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(from)), text, 0o600))
		}
		c, err := peer.Load(dir, &topology.Host{Name: "c"}, time.Now())
		require.NoError(t, err)
		return c
	}
	other := filepath.Join(others, "c")
	stranger := of(filepath.Join(other, peer.AuthorityFile), filepath.Join(other, peer.CertificateFile), filepath.Join(other, peer.KeyFile))
	good := e.config(t, "certificates", "c")
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"the members are of another authority", func(c *Config) { c.TLS = stranger.Client("") },
			`host "c" of lab "certificates" has no store; https://198.18.0.1:2379: its certificate is of another authority than ca.pem; https`},
		{"the members do not know the host's", func(c *Config) {
			c.TLS = c.TLS.Clone()
			c.TLS.Certificates = stranger.Client("").Certificates
		}, `https://198.18.0.1:2379: it does not take host.pem, and says "bad certificate"`},
		{"a member has another address", func(c *Config) {
			c.Endpoints = []string{"https://198.18.0.9:2379"}
			c.dial = func(ctx context.Context, _ string) (net.Conn, error) { return good.dial(ctx, "198.18.0.1:2379") }
		}, `https://198.18.0.9:2379: its certificate is not for that address: x509: certificate is valid for 198.18.0.1, not 198.18.0.9`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			began := time.Now()
			_, err := Open(t.Context(), cfg)
			var why *UnreachableError
			require.ErrorAs(t, err, &why)
			require.Contains(t, err.Error(), tt.want)
			require.Contains(t, why.Hint(), "certificates of one authority")
			require.Less(t, time.Since(began), 4*time.Second, "waiting does not help")
		})
	}
}

// What a watch missed while its host was cut off may be gone from etcd's history.
func compaction(t *testing.T, e *etcds) {
	hosts := e.open(t, "compaction", "a", "d")
	a, d := hosts[0], hosts[1]
	first, err := d.Create(t.Context(), lab.Record{State: []byte("0")})
	require.NoError(t, err)
	sees(t, a, first)
	e.Cut("a")
	leads(t, d)
	var last lab.Record
	for i := range 20 {
		last = write(t, d, fmt.Sprint(i))
	}
	client, _ := d.etcd.current()
	_, err = client.Compact(t.Context(), last.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	e.Heal("a")
	sees(t, a, last)
	sees(t, a, write(t, d, "and the watch goes on"))
	require.NoError(t, a.Close()) // its machine is used again
}

// A host that is cut off leads no more, whatever it believes.
func cutOff(t *testing.T, e *etcds) {
	hosts := e.open(t, "cut-off", "b", "c")
	b, c := hosts[0], hosts[1]
	leads(t, b)
	first, err := b.Create(t.Context(), lab.Record{State: []byte("0")})
	require.NoError(t, err)
	sees(t, c, first)
	b.mu.Lock()
	was := b.view
	b.mu.Unlock()

	e.Cut("b")
	began := time.Now()
	_, err = b.Write(t.Context(), first.Revision, lab.Record{State: []byte("lost")})
	var silent *lab.NoQuorumError
	require.ErrorAs(t, err, &silent)
	require.Equal(t, first.Revision, silent.Revision)
	require.Less(t, time.Since(began), lab.RefusedWithin)
	require.Contains(t, err.Error(), fmt.Sprintf("nothing was changed; packets go on with revision %d", first.Revision))
	leads(t, c)
	took := time.Since(began)
	t.Logf("another host leads %s after the leader was cut off", took.Round(10*time.Millisecond))
	require.Less(t, took, lifetime+2*time.Second)
	require.NotContains(t, c.Hosts(), "b")
	within(t, 3*time.Second, "a host that hears nothing knows nobody who leads", func() bool { return b.Leader() == "" })
	require.False(t, b.Silent().IsZero())
	second := write(t, c, "by c")

	e.Heal("b")
	sees(t, b, second)
	// This is the write of a host that has not looked: etcd itself refuses it.
	written, is, err := b.put(t.Context(), lab.Record{State: []byte("late")},
		clientv3.Compare(clientv3.CreateRevision(b.key(leaderKey)), "=", was.leader.created))
	require.NoError(t, err)
	require.Zero(t, written)
	require.Equal(t, second, is.record)
	require.Equal(t, "c", is.leader.name)
	_, err = b.Write(t.Context(), second.Revision, lab.Record{State: []byte("late")})
	require.Equal(t, &lab.NotLeadingError{Host: "b", Leader: "c"}, err)
	within(t, 3*time.Second, "the host lives again", func() bool { _, lives := c.Hosts()["b"]; return lives })
	require.Zero(t, b.Silent())
	sees(t, b, write(t, c, "and goes on"))
	require.NoError(t, b.Close()) // its machine is used again
}

// A member that is stopped swallows what it is asked.
func stopped(t *testing.T, e *etcds) {
	hosts := e.open(t, "stopped", "a", "b")
	a, b := hosts[0], hosts[1]
	leads(t, a)
	_, err := a.Create(t.Context(), lab.Record{})
	require.NoError(t, err)
	client, _ := a.etcd.current()
	at, err := client.Status(t.Context(), e.Endpoints()[0])
	require.NoError(t, err)
	follower := e.Names()[0]
	if at.Leader == at.Header.MemberId {
		follower = e.Names()[1]
	}
	e.Pause(follower)
	for i := range 4 {
		sees(t, b, write(t, a, fmt.Sprint(i)))
	}
	require.Never(t, func() bool { return a.Leader() != "a" }, lifetime+time.Second, 50*time.Millisecond,
		"a host lost its lease, as one of three members is stopped")
	require.Contains(t, a.Hosts(), "b")
	e.Resume(follower)
}

func noQuorum(t *testing.T, e *etcds) {
	hosts := e.open(t, "no-quorum", "a", "b")
	a, b := hosts[0], hosts[1]
	leads(t, a)
	first, err := a.Create(t.Context(), lab.Record{State: []byte("0")})
	require.NoError(t, err)
	sees(t, b, first)
	e.Kill("e1")
	e.Kill("e2")
	opened := make(chan error, 1)
	cold := e.config(t, "no-quorum", "c")
	go func() {
		_, err := Open(context.Background(), cold)
		opened <- err
	}()
	lost := time.Now()
	for time.Since(lost) < 2*time.Second { // in the first moments, and when it is known
		began := time.Now()
		_, err := a.Write(t.Context(), first.Revision, lab.Record{State: []byte("lost")})
		var silent *lab.NoQuorumError
		require.ErrorAs(t, err, &silent)
		require.Less(t, time.Since(began), lab.RefusedWithin)
		require.Equal(t, first.Revision, silent.Revision)
	}
	require.False(t, b.Silent().IsZero())
	now, ok := b.Now()
	require.True(t, ok)
	require.Equal(t, first, now)
	err = <-opened
	var why *UnreachableError
	require.ErrorAs(t, err, &why)
	require.Regexp(t, `^host "c" of lab "no-quorum" has no store; https://198.18.0.1:2379: nobody listens there; `+
		`https://198.18.0.2:2379: nobody listens there; 1 of 3 members can be reached from here, and have no quorum$`, err.Error())
	began := time.Now()
	goesOn := e.config(t, "no-quorum", "c")
	goesOn.GoesOn = true
	c, err := Open(t.Context(), goesOn)
	require.NoError(t, err)
	require.Less(t, time.Since(began), time.Second, "packets wait for it")
	require.False(t, c.Silent().IsZero())

	e.Run("e1")
	e.Run("e2")
	within(t, 10*time.Second, "the store answers again", func() bool { return a.Silent().IsZero() && b.Silent().IsZero() })
	within(t, 10*time.Second, "a host leads", func() bool { return a.Leader() != "" })
	leader := map[string]*Store{"a": a, "b": b, "c": c}[a.Leader()]
	require.NotNil(t, leader)
	within(t, 5*time.Second, "it knows", func() bool { return leader.Leader() == leader.cfg.Host })
	second := write(t, leader, "1")
	sees(t, b, second)
	sees(t, c, second)
	require.NoError(t, c.Close())
}

// Where etcd has users, a host is the one that its certificate names.
func users(t *testing.T, e *etcds) {
	s := e.open(t, "users", "root")[0]
	root, _ := s.etcd.current()
	ctx := t.Context()
	without := &clientv3.UserAddOptions{NoPassword: true}
	_, err := root.RoleAdd(ctx, "plinksim")
	require.NoError(t, err)
	_, err = root.RoleGrantPermission(ctx, "plinksim", "plinksim/", clientv3.GetPrefixRangeEnd("plinksim/"),
		clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	_, err = root.RoleAdd(ctx, "root")
	require.NoError(t, err)
	for name, role := range map[string]string{"root": "root", "a": "plinksim"} {
		_, err = root.UserAddWithOptions(ctx, name, "", without)
		require.NoError(t, err)
		_, err = root.UserGrantRole(ctx, name, role)
		require.NoError(t, err)
	}
	_, err = root.AuthEnable(ctx)
	require.NoError(t, err)
	a := e.open(t, "users", "a")[0]
	require.NoError(t, s.Close())
	leads(t, a)
	_, err = a.Create(ctx, lab.Record{})
	require.NoError(t, err)
	write(t, a, "1")
	_, err = Open(ctx, e.config(t, "users", "b"))
	require.EqualError(t, err, `etcd refuses host "b" of lab "users": etcdserver: permission denied`)
	require.NoError(t, a.Down())
}
