package lab_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/anyedit"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// threeHosts is a topology over three hosts, a zone on each.
const threeHosts = `
name: agreed
cloud: alibaba
region: r1
accounts: [shop, vendor]
hosts:
  a: {address: 198.18.0.1, zones: [r1a]}
  b: {address: 198.18.0.2, zones: [r1b]}
  c: {address: 198.18.0.3, zones: [r1c]}
underlay: {mtu: 9100}
vpcs:
  shop:
    account: shop
    cidr: 10.0.0.0/16
    subnets: {a: {zone: r1a, cidr: 10.0.1.0/24}, b: {zone: r1b, cidr: 10.0.2.0/24}, c: {zone: r1c, cidr: 10.0.3.0/24}}
    security_groups: {web: {ingress: [{protocol: all, source: 0.0.0.0/0}]}, ssh: {ingress: []}}
    instances: {web-a: {subnet: a}, web-b: {subnet: b}}
  vendor:
    account: vendor
    cidr: 10.0.0.0/16
    subnets: {a: {zone: r1a, cidr: 10.0.1.0/24}, b: {zone: r1b, cidr: 10.0.2.0/24}, c: {zone: r1c, cidr: 10.0.3.0/24}}
    instances:
      api-a: {subnet: a, services: [{http: 80}]}
      api-b: {subnet: b, services: [{http: 80}]}
server_groups:
  api: {vpc: vendor, servers: [{instance: api-a, port: 80}, {instance: api-b, port: 80}], health_check: {protocol: none}}
load_balancers:
  clb: {type: nlb, vpc: vendor, subnets: [a, b], listeners: [{protocol: tcp, port: 80, server_group: api}]}
  clb2: {type: nlb, vpc: vendor, subnets: [a, b], listeners: [{protocol: tcp, port: 80, server_group: api}]}
endpoint_services:
  api: {resources: [clb], whitelist: [shop]}
endpoints:
  ep: {service: api, vpc: shop, subnets: [a, b], security_groups: [web]}
checks:
  - {name: its owner accepts it, do: {verb: accept, service: api, endpoint: ep, as: vendor}}
  - {name: the other host answers, from: web-b, resolve: "${ep}"}
`

// cluster is a lab on several hosts of one process.
type cluster struct {
	t      *testing.T
	plan   *topology.Plan
	store  *fakeStore
	remote lab.Remote
	hosts  map[string]*member

	authority bool // see lab.Config
}

// member is one host of a cluster.
type member struct {
	*lab.Lab
	with    *fakeAgreement
	machine *fakeMachine
	files   *lab.MemoryStore
}

func newCluster(t *testing.T, text string, hosts ...string) *cluster {
	t.Helper()
	plan, err := topofile.Parse("agreed.yaml", []byte(text))
	require.NoError(t, err)
	c := &cluster{t: t, plan: plan, store: newFakeStore(), hosts: map[string]*member{}}
	for _, host := range hosts {
		require.NoError(t, c.up(host, &lab.MemoryStore{}))
	}
	t.Cleanup(func() {
		for host := range c.hosts {
			c.down(host)
		}
	})
	return c
}

func (c *cluster) up(host string, files *lab.MemoryStore) error {
	m := &member{with: c.store.join(host), machine: newFakeMachine(), files: files}
	var err error
	m.Lab, err = lab.Start(c.t.Context(), lab.Config{
		Plan: c.plan, Machine: m.machine, Store: files, Host: host, Agreement: m.with, Version: "1", Remote: c.remote,
		Authority: c.authority,
	})
	if err != nil {
		return errors.Join(err, m.with.Close())
	}
	c.hosts[host] = m
	return nil
}

func (c *cluster) down(host string) {
	m := c.hosts[host]
	delete(c.hosts, host)
	require.NoError(c.t, m.Close(context.Background()))
	require.NoError(c.t, m.with.Close())
}

// leader is the host that leads.
func (c *cluster) leader() *member {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	return c.hosts[c.store.leader]
}

func (c *cluster) do(o topology.Operation) (control.Event, error) {
	return c.leader().Do(c.t.Context(), o, 10*time.Second)
}

var accept = topology.Operation{Verb: topology.VerbAccept, Service: "api", Endpoint: "ep", As: "vendor"}

func state(l *lab.Lab) string {
	c, _ := l.Plane().State().Connection("api", "ep")
	return c.Status
}

func TestAnOperationIsInForceOnAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts, "a", "b", "c")
		event, err := c.do(accept)
		require.NoError(t, err)
		require.Equal(t, `account "vendor" accepted the connection of endpoint "ep" to endpoint service "api"`, event.Text)
		require.Contains(t, c.hosts["a"].Plane().Events(0), event, "as the host has it")
		for host, m := range c.hosts {
			require.Equal(t, "Connected", state(m.Lab), host)
			texts := texts(m.Plane().Events(0))
			require.Equal(t, 1, countOf(texts, event.Text), "host %s tells who did it, once", host)
			require.Equal(t, 1, countOf(texts, `the connection of endpoint "ep" to endpoint service "api" is Connected`), host)
		}
		_, err = c.hosts["b"].Do(t.Context(), accept, time.Second)
		require.Equal(t, &lab.NotLeadingError{Host: "b", Leader: "a"}, err)

		edits := []topology.Edit{{Path: "vpcs/shop/instances/more", Value: "{subnet: c}"}}
		made, err := c.hosts["a"].EditBy(t.Context(), lab.Editor{By: "ann"}, edits, 10*time.Second)
		require.NoError(t, err)
		require.Len(t, made, 1)
		for host, m := range c.hosts {
			_, err := m.Plan().Instance("more")
			require.NoError(t, err, host)
			require.Equal(t, made, m.Edits(), host)
			require.Equal(t, "Connected", state(m.Lab), host)
			require.Contains(t, strings.Join(texts(m.Plane().Events(0)), "\n"), "ann: ", host)
		}
	})
}

func texts(events []control.Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Text)
	}
	return out
}

func countOf(all []string, text string) (n int) {
	for _, t := range all {
		if t == text {
			n++
		}
	}
	return n
}

func TestARefusalWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts, "a", "b")
		synctest.Wait()
		before := len(c.store.wrote)
		_, err := c.do(topology.Operation{Verb: topology.VerbReject, Service: "api", Endpoint: "none"})
		var refused *control.Error
		require.ErrorAs(t, err, &refused)
		_, err = c.leader().Edit(t.Context(), []topology.Edit{{Path: "hosts/b"}, {Path: "hosts/c/zones", Value: "[r1b, r1c]"}}, time.Second)
		require.EqualError(t, err, `the lab runs on host "b", which the topology would not have any more`)
		require.Len(t, c.store.wrote, before)
	})
}

// A state is reached when the hosts have it in force, and not when the leader has.
func TestTheLeaderWaitsForAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts, "a", "b")
		c.hosts["b"].machine.failAlways(errors.New("no room"))
		edits := []topology.Edit{{Path: "vpcs/shop/instances/more", Value: "{subnet: b}"}}
		_, err := c.leader().Edit(t.Context(), edits, 5*time.Second)
		require.ErrorContains(t, err, "not on host b")
		_, err = c.do(accept)
		require.ErrorAs(t, err, new(*lab.NotInForceError))
		require.ErrorContains(t, err, "not on host b")
		require.Equal(t, "Connecting", state(c.hosts["a"].Lab))
		c.hosts["b"].machine.failAlways(nil)
		time.Sleep(3 * time.Second)
		for host, m := range c.hosts {
			require.Equal(t, "Connected", state(m.Lab), host)
		}
	})
}

func TestAnotherFileIsTakenByAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts, "a", "b")
		other, err := topofile.Parse("other.yaml", []byte(strings.Replace(threeHosts, "web-a: {subnet: a}", "web-c: {subnet: c}", 1)))
		require.NoError(t, err)
		_, err = c.hosts["b"].Apply(t.Context(), other, nothing)
		require.ErrorAs(t, err, new(*lab.NotLeadingError))
		changed, err := c.hosts["b"].Apply(t.Context(), c.plan, nothing)
		require.NoError(t, err)
		require.False(t, changed, "it is that of the file")
		changed, err = c.hosts["a"].Apply(t.Context(), other, nothing)
		require.NoError(t, err)
		require.True(t, changed)
		time.Sleep(time.Second)
		for host, m := range c.hosts {
			_, err := m.Plan().Instance("web-c")
			require.NoError(t, err, host)
		}
		err = c.up("c", &lab.MemoryStore{})
		require.ErrorContains(t, err, `the hosts of lab "agreed" agreed on another file than agreed.yaml: on other.yaml at revision`)
	})
}

func nothing(int, int, string) {}

func TestWithoutQuorumTheLabGoesOnAndOperationsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts, "a", "b")
		_, err := c.do(accept)
		require.NoError(t, err)
		c.store.setQuorum(false)
		began := time.Now()
		reject := topology.Operation{Verb: topology.VerbReject, Service: "api", Endpoint: "ep"}
		_, err = c.do(reject)
		require.ErrorAs(t, err, new(*lab.UnansweredError))
		require.LessOrEqual(t, time.Since(began), lab.RefusedWithin)
		began = time.Now()
		_, err = c.do(reject)
		var silent *lab.NoQuorumError
		require.ErrorAs(t, err, &silent)
		require.NotZero(t, silent.Revision)
		require.Zero(t, time.Since(began), "at once, as it is known")

		// A daemon that starts again goes on with what it had.
		files := c.hosts["b"].files
		c.down("b")
		require.NoError(t, c.up("b", files))
		require.Equal(t, "Connected", state(c.hosts["b"].Lab))
		err = c.up("c", &lab.MemoryStore{})
		require.ErrorContains(t, err, "this host has no copy of what the hosts agreed on")

		c.store.setQuorum(true)
		_, err = c.do(reject)
		require.NoError(t, err)
		for host, m := range c.hosts {
			require.Equal(t, "Disconnected", state(m.Lab), host)
		}
	})
}

// Checks put edits aside on all hosts, and are run where they begin. Where the leader that
// ran them is gone, the next one takes the edits back.
func TestChecksOverHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts)
		c.remote = remoteIn{c}
		for _, host := range []string{"a", "b"} {
			require.NoError(t, c.up(host, &lab.MemoryStore{}))
		}
		_, err := c.leader().Edit(t.Context(), []topology.Edit{{Path: "vpcs/shop/instances/more", Value: "{subnet: b}"}}, 10*time.Second)
		require.NoError(t, err)
		var got []status.Check
		check := func(m *member) error {
			return m.Check(t.Context(), func(r status.Check) {
				got = append(got, r)
				for host, m := range c.hosts {
					_, err := m.Plan().Instance("more")
					require.Error(t, err, "aside on host %s", host)
				}
			})
		}
		require.NoError(t, check(c.hosts["a"]))
		require.Len(t, got, 2)
		for _, r := range got {
			require.True(t, r.Passed, "%+v", r)
		}
		for host, m := range c.hosts {
			_, err := m.Plan().Instance("more")
			require.NoError(t, err, "back on host %s", host)
		}
		err = c.hosts["a"].Check(t.Context(), func(r status.Check) { c.store.leadBy("b") })
		require.ErrorAs(t, err, new(*lab.NotLeadingError))
		time.Sleep(5 * time.Second)
		for host, m := range c.hosts {
			_, err := m.Plan().Instance("more")
			require.NoError(t, err, "the new leader took it back on host %s", host)
		}
	})
}

// remoteIn runs checks on the hosts of a cluster.
type remoteIn struct{ c *cluster }

func (r remoteIn) RunCheck(ctx context.Context, host string, file []byte, number int) (status.Check, error) {
	return lab.RunCheckHere(ctx, r.c.hosts[host].Lab, file, number)
}

// Only the host of a zone sees its sessions, and so only that one can say that the last of
// them has ended. The leader ends the replacement.
func TestTheHostOfAZoneSaysThatItHasDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Replace(threeHosts, "cloud: alibaba", "cloud: rfc", 1)
		c := newCluster(t, strings.Replace(text, "resources: [clb]", "resources: [clb, clb2]", 1), "a", "b")
		_, err := c.do(accept)
		require.NoError(t, err)
		zone := func(m *member) control.Zone {
			connection, _ := m.Plane().State().Connection("api", "ep")
			return connection.Zones[1]
		}
		require.Equal(t, "r1b", zone(c.hosts["a"]).Zone)
		was := zone(c.hosts["a"]).LoadBalancer
		c.down("b")
		replace := topology.Operation{Verb: topology.VerbReplace, Service: "api", Endpoint: "ep", Zone: "r1b"}
		_, err = c.do(replace)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, control.Migrated, zone(c.hosts["a"]).State, "its host is not there to say it")
		require.NoError(t, c.up("b", &lab.MemoryStore{}))
		time.Sleep(5 * time.Second)
		for host, m := range c.hosts {
			require.Equal(t, control.Connected, zone(m).State, host)
			require.NotEqual(t, was, zone(m).LoadBalancer, host)
		}
	})
}

func TestAllHostsHaveOneCertificateAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts)
		c.authority = true
		require.NoError(t, c.up("a", &lab.MemoryStore{}))
		require.NoError(t, c.up("b", &lab.MemoryStore{}))
		one, err := c.hosts["a"].files.Load("ca.pem")
		require.NoError(t, err)
		other, err := c.hosts["b"].files.Load("ca.pem")
		require.NoError(t, err)
		require.Equal(t, string(one), string(other))
	})
}

func TestStatusTellsOfTheOtherHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts, "a", "b")
		synctest.Wait()
		s := c.hosts["b"].Status()
		revision := s.Agreed.Revision
		require.NotZero(t, revision)
		require.Equal(t, &status.Agreed{Revision: revision, Newest: revision}, s.Agreed)
		for i := range s.Hosts {
			s.Hosts[i].Address, s.Hosts[i].Zones = netip.Addr{}, nil
			s.Hosts[i].Path, s.Hosts[i].Text, s.Hosts[i].Since = "", "", time.Time{} // see paths
		}
		require.Equal(t, []status.Host{
			{Name: "a", Lives: true, Leader: true, Version: "1", Applied: revision},
			{Name: "b", Lives: true, Here: true, Version: "1", Applied: revision},
			{Name: "c", Trouble: "it does not answer"},
		}, s.Hosts)
		c.store.setQuorum(false)
		require.Contains(t, c.hosts["b"].Status().Agreed.Text, "no quorum since")
		c.store.setQuorum(true)
		c.hosts["b"].machine.failAlways(errors.New("no room"))
		_, err := c.leader().Edit(t.Context(), []topology.Edit{{Path: "vpcs/shop/instances/more", Value: "{subnet: b}"}}, time.Second)
		require.ErrorContains(t, err, "not on host b")
		require.ErrorContains(t, errors.New(c.hosts["b"].Status().Agreed.Text), "is not in force: no room")
		require.Contains(t, c.hosts["a"].Status().Hosts[1].Trouble, "it is at revision")
		c.hosts["b"].machine.failAlways(nil)
	})
}

func TestHostsThatDifferAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, threeHosts, "a")
		synctest.Wait()
		c.store.mu.Lock()
		report := c.store.living["a"]
		require.NotEmpty(t, report.Plan)
		report.Version = "2"
		c.store.living["a"] = report
		c.store.mu.Unlock()
		require.ErrorContains(t, c.up("b", &lab.MemoryStore{}), `host "a" runs plinksim 2, and this is 1`)
		c.store.mu.Lock()
		report.Version, report.Plan = "1", "another"
		c.store.living["a"] = report
		c.store.mu.Unlock()
		require.ErrorContains(t, c.up("b", &lab.MemoryStore{}), `host "a", with plinksim 1, makes another plan of the lab's file`)
	})
}

// Any operations and edits, asked of any host, while hosts and the store fail: what was
// acknowledged is never lost, what was refused is never there, and in the end all hosts
// are what one machine is that was asked for what was made.
func TestAnyStepsOverHostsWithFaults(t *testing.T) {
	for _, cloud := range []string{"alibaba", "aws"} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			seed := seedOf(t)
			synctest.Test(t, func(t *testing.T) { stepsOverHosts(t, cloud, seed, max(steps(1500), 60)) })
		})
	}
}

func stepsOverHosts(t *testing.T, cloud string, seed uint64, n int) {
	text := strings.Replace(threeHosts, "cloud: alibaba", "cloud: "+cloud, 1)
	c := newCluster(t, text, "a", "b", "c")
	alone, err := topofile.Parse("agreed.yaml", []byte(text))
	require.NoError(t, err)
	reference := startFake(t, alone, &lab.MemoryStore{})
	defer func() { require.NoError(t, reference.Close(context.Background())) }()
	drawer, rng := anyedit.New(seed), rand.New(rand.NewPCG(seed, 2))
	drawer.Calm = true
	names := []string{"a", "b", "c"}
	counts := map[string]int{}
	for i := range n {
		what := "all well"
		switch host := names[rng.IntN(3)]; rng.IntN(12) {
		case 0:
			c.store.cutOff(host, true)
			what = "cut off " + host
		case 1:
			c.store.leadBy(host)
			what = "lead by " + host
		case 2:
			c.store.setQuorum(false)
			what = "no quorum"
		case 3:
			c.store.next = writeFault(1 + rng.IntN(4))
			what = fmt.Sprint("write fault ", c.store.next)
		case 4:
			if c.hosts[host] != nil {
				files := c.hosts[host].files
				c.down(host)
				require.NoError(t, c.up(host, files), "step %d", i)
			}
			what = "restart of " + host
		case 5:
			time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
		}
		step := drawer.Next(reference.Plan())
		for runsProgram(step) { // on a fake machine it is refused; hosts that agree make it, and say that it does not run
			step = drawer.Next(reference.Plan())
		}
		m := c.hosts[names[rng.IntN(3)]]
		if l := c.leader(); l != nil && rng.IntN(4) > 0 {
			m = l
		}
		err := takeIn(context.WithValue(t.Context(), stepKey{}, true), m.Lab, step)
		var late *lab.NotInForceError
		var unknown *lab.UnansweredError
		made := err == nil || errors.As(err, &late)
		if errors.As(err, &unknown) {
			c.store.mu.Lock()
			made = m.with.carried
			c.store.mu.Unlock()
			counts["unanswered"]++
		}
		if rng.IntN(3) == 0 { // else faults add up
			c.store.setQuorum(true)
			for _, host := range names {
				c.store.cutOff(host, false)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		c.store.next = writesWell
		if made {
			counts["made"]++
			require.NoError(t, take(reference, step), "step %d (%s): %s was made: %v", i, what, step, err)
		} else {
			counts[fmt.Sprintf("%T", err)]++
		}
		if i%20 == 19 || i == n-1 {
			c.store.setQuorum(true)
			for _, host := range names {
				c.store.cutOff(host, false)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			reference.ForgetDeleted()
			synctest.Wait()
			for _, host := range names {
				sameLab(t, c.hosts[host].Lab, reference, "host %s after step %d (%s): %s: %v\na: %s\nb: %s\nc: %s", host, i, what, step, err,
					c.hosts["a"].Agreed(), c.hosts["b"].Agreed(), c.hosts["c"].Agreed())
			}
		}
	}
	t.Log(counts)
	require.Greater(t, counts["made"], n/10)
}

func runsProgram(step anyedit.Step) bool {
	return slices.ContainsFunc(step.Edits, func(e topology.Edit) bool { return strings.Contains(e.Path+e.Value, "command") })
}

func takeIn(ctx context.Context, l *lab.Lab, step anyedit.Step) (err error) {
	if len(step.Edits) > 0 {
		_, err = l.Edit(ctx, step.Edits, 10*time.Second)
	} else {
		_, err = l.Do(ctx, step.Do, 10*time.Second)
	}
	return err
}

// volatile is what of a saved state depends on when something was done.
var volatile = regexp.MustCompile(`"(seq|since|modified)": ?("[^"]*"|\d+),?`)

// sameLab compares labs: their exports and the states of their control planes.
func sameLab(t *testing.T, is, want *lab.Lab, format string, args ...any) {
	t.Helper()
	told := fmt.Sprintf(format, args...)
	require.Equal(t, want.Edits(), is.Edits(), told)
	texts := func(l *lab.Lab) []string {
		saved, err := l.Plane().Save()
		require.NoError(t, err)
		export, notes, err := l.Export()
		require.NoError(t, err)
		slices.Sort(notes)
		return append(notes, string(export), volatile.ReplaceAllString(string(saved), ""))
	}
	require.Equal(t, texts(want), texts(is), told)
}
