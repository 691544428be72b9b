package test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/etcdtest"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// How long things may take under chaos.
const (
	// connectWithin has the retransmissions of a SYN after 1, 3 and 7 s (RFC 6298; newer
	// kernels send more of them).
	connectWithin = 10 * time.Second
	// answerWithin has the retransmissions of a segment until 12.6 s, of an RTO of 0.2 s that doubles.
	answerWithin = 15 * time.Second
	// awayMost is how long a daemon may be away, so that one of the SYNs meets it. Between two
	// times it is there for longer than the longest wait between two SYNs.
	awayMost, thereLeast = 6500 * time.Millisecond, 4500 * time.Millisecond
	// lateMost is how long after the answer "not known" a change may still be made.
	lateMost = 30 * time.Second
	// healedWithin is how long hosts have to agree when nothing fails any more.
	healedWithin = 20 * time.Second
)

// TestHostsUnderChaos lets daemons, members of etcd and links of two hosts fail for the time in
// PLINKSIM_CHAOS, with each seed in PLINKSIM_SEED or ten, while the lab is changed on either
// host, and instances call the endpoints of their zone. "make hosts-chaos" runs it.
//
// What was acknowledged is there when all is well again, and what was refused never is. The
// revision of a host only grows, and a revision is the same on all hosts. No call within a zone
// fails, whatever happens: new connections wait, by TCP, while the daemon of their host is
// away. Only a call during which it was away for longer than awayMost does not count, from
// the signal that stopped or killed it until SIGCONT was sent or "plinksim up" had returned:
// a busy machine may bring it back late.
func TestHostsUnderChaos(t *testing.T) {
	text := os.Getenv("PLINKSIM_CHAOS")
	if text == "" {
		t.Skip("\"make hosts-chaos\" runs it")
	}
	last, err := time.ParseDuration(text)
	require.NoError(t, err, "PLINKSIM_CHAOS")
	seeds := strings.Fields(os.Getenv("PLINKSIM_SEED"))
	for len(seeds) == 0 || os.Getenv("PLINKSIM_SEED") == "" && len(seeds) < 10 {
		seeds = append(seeds, strconv.FormatUint(uint64(rand.Uint32()), 10))
	}
	for _, text := range seeds {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "PLINKSIM_SEED")
		t.Run("seed "+text, func(t *testing.T) {
			t.Logf("PLINKSIM_SEED=%d PLINKSIM_CHAOS=%s draws the same again; when things happen, differs", seed, last)
			newChaos(t, seed).run(last)
		})
	}
}

// chaos is a lab over two hosts of which everything fails at times.
type chaos struct {
	*agreeing
	seed    uint64
	clients map[string]*api.Client // by host
	began   time.Time

	away  map[string]*awayTimes // of daemons, by host
	calls map[string]*callCount // by host

	mu      sync.Mutex
	records map[int64]string // what each revision was on the host that was seen with it first
	told    map[int64]string // the same of what the daemons tell
	seen    map[string]bool  // values, as "key=value"
	did     map[string]int   // faults and outcomes
}

func newChaos(t *testing.T, seed uint64) *chaos {
	l := newAgreeing(t)
	// The instances listen by the test, so that it knows when.
	l.write("api-h: {subnet: h, ip: 10.0.1.10, services: [{http: 80}]}", "api-h: {subnet: h, ip: 10.0.1.10}",
		"api-i: {subnet: i, ip: 10.0.2.10, services: [{http: 80}]}", "api-i: {subnet: i, ip: 10.0.2.10}")
	c := &chaos{
		agreeing: l, seed: seed, clients: map[string]*api.Client{},
		away: map[string]*awayTimes{}, calls: map[string]*callCount{},
		records: map[int64]string{}, told: map[int64]string{}, seen: map[string]bool{}, did: map[string]int{},
	}
	l.etcd = etcdtest.Start(t, l.members...)
	for name, h := range l.hosts {
		c.clients[name] = api.NewClient(labdir.Dir(filepath.Join(h.dir, h.lab)))
		c.away[name], c.calls[name] = &awayTimes{}, &callCount{}
	}
	require.Eventually(t, func() bool { return c.up(l.hosts["a"]) == nil }, 30*time.Second, 100*time.Millisecond)
	require.NoError(t, c.up(l.hosts["b"]))
	foundEachOther(t, []hostMachine{l.hosts["a"], l.hosts["b"]})
	return c
}

func (c *chaos) up(h hostMachine) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	args := append([]string{"--net=/run/netns/" + h.netns, h.bin}, c.agreeing.up(h)...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = append(os.Environ(), labdir.RootVariable+"="+h.dir)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("host %s: up: %w: %s", h.name, err, out)
	}
	return nil
}

// random is a source of its own for each who draws.
func (c *chaos) random(who uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, who)) }

// tell notes what happens, with when.
func (c *chaos) tell(what, format string, args ...any) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.did[what]++
	c.t.Logf("%6.2f %s %s", time.Since(c.began).Seconds(), what, fmt.Sprintf(format, args...))
}

// zoneOf is what instances and subnets of a host are called by.
var zoneOf = map[string]string{"a": "h", "b": "i"}

func (c *chaos) run(last time.Duration) {
	for i, name := range []string{"a", "b"} {
		defer c.serve(c.hosts[name], "vendor.api-"+zoneOf[name], fmt.Sprintf("10.0.%d.10:80", i+1))()
	}
	c.began = time.Now()
	var faults, others sync.WaitGroup
	failing, stopFailing := context.WithTimeout(c.t.Context(), last)
	defer stopFailing()
	watching, stopWatching := context.WithCancel(c.t.Context())
	defer stopWatching()
	for i, name := range []string{"a", "b"} {
		h, from, address := c.hosts[name], "shop.web-"+zoneOf[name], fmt.Sprintf("10.0.%d.200:80", i+1)
		others.Go(func() { c.callAlways(watching, h, from, address) })
		others.Go(func() { c.callOnOneConnection(watching, h, from, address) })
		others.Go(func() { c.watchRecords(watching, h) })
		others.Go(func() { c.watchDaemon(watching, h) })
		faults.Go(func() { c.failDaemon(failing, h, c.random(uint64(10+i))) })
	}
	faults.Go(func() { c.failMachines(failing, c.random(20)) })

	m := newModel()
	c.change(failing, m, c.random(30))
	faults.Wait()
	c.requireAgreed(m)
	stopWatching()
	others.Wait()

	c.mu.Lock()
	for value := range m.refused {
		assert.False(c.t, c.seen[value], "%s was refused, and has been there", value)
	}
	c.t.Log("revisions seen:", len(c.records), "of the stores,", len(c.told), "told; what happened:", c.did)
	c.mu.Unlock()
	for name, calls := range c.calls {
		longest := time.Duration(calls.longest.Load()).Round(time.Millisecond)
		c.t.Logf("host %s: %d calls, %d of them on one connection; longest %s; %d while its daemon was away for too long",
			name, calls.all.Load(), calls.kept.Load(), longest, calls.excused.Load())
		assert.Greater(c.t, calls.all.Load(), int64(last/time.Second), "calls on host %s", name)
	}
	assert.Positive(c.t, c.did["acknowledged"])
	require.NotEqual(c.t, "0", c.keysInEtcd())
	c.hosts["b"].run("down")
	c.hosts["a"].run("down")
	requireCleanOfHosts(c.t, c.agreeing)
	require.Equal(c.t, "0", c.keysInEtcd())
}

// keysInEtcd is how many keys of the lab there are. Members that were just healed may choose a leader once more, and
// refuse what they are asked meanwhile.
func (c *chaos) keysInEtcd() string {
	c.t.Helper()
	m := c.members[2]
	of := func(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }
	ask := fmt.Sprintf(`{"key": %q, "range_end": %q, "count_only": true}`,
		of("plinksim/over-hosts/"), of("plinksim/over-hosts0"))
	file := func(name string) string { return filepath.Join(m.TLS, name) }
	for deadline := time.Now().Add(healedWithin); ; time.Sleep(500 * time.Millisecond) {
		var answer struct {
			Error  string            `json:"error"`
			Header map[string]string `json:"header"`
			Count  string            `json:"count"` // missing where it is 0
		}
		out, err := exec.Command("nsenter", "--net=/run/netns/"+m.Netns, "curl", "-sS", "-m", "5",
			"--cacert", file(peer.AuthorityFile), "--cert", file(peer.CertificateFile), "--key", file(peer.KeyFile),
			"-d", ask, "https://"+m.Address+":2379/v3/kv/range").CombinedOutput()
		require.NoError(c.t, err, "%s", out)
		require.NoError(c.t, json.Unmarshal(out, &answer), "%s", out)
		if answer.Error == "" {
			require.NotEmpty(c.t, answer.Header["revision"], "%s", out)
			return cmp.Or(answer.Count, "0")
		}
		require.True(c.t, time.Now().Before(deadline), "%s", out)
	}
}

// --- what fails

// pause waits for at most d, and says whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

// awayTimes are when a daemon was away.
type awayTimes struct {
	mu    sync.Mutex
	times [][2]time.Time
}

func (a *awayTimes) from(begin time.Time) (back func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.times)
	a.times = append(a.times, [2]time.Time{begin, begin.Add(time.Hour)})
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.times[n][1] = time.Now()
	}
}

// long says whether the daemon was away for longer than awayMost between two times.
func (a *awayTimes) long(begin, end time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.times, func(t [2]time.Time) bool {
		if t[0].Before(begin) {
			t[0] = begin
		}
		if t[1].After(end) {
			t[1] = end
		}
		return t[1].Sub(t[0]) > awayMost
	})
}

// failDaemon kills the daemon of a host and starts another one, or stops it for a while.
func (c *chaos) failDaemon(ctx context.Context, h hostMachine, rng *rand.Rand) {
	dir := labdir.Dir(filepath.Join(h.dir, h.lab))
	for pause(ctx, thereLeast+upTo(rng, 6*time.Second)) {
		kills, last := rng.IntN(2) == 0, upTo(rng, 5*time.Second)
		back := c.away[h.name].from(time.Now())
		if kills {
			last /= 5
			c.tell("killed", "the daemon of %s", h.name)
			assert.NoError(c.t, dir.Signal(syscall.SIGKILL))
			pause(ctx, last)
			assert.NoError(c.t, c.up(h))
		} else {
			c.tell("stopped", "the daemon of %s for %s", h.name, last.Round(time.Millisecond))
			assert.NoError(c.t, dir.Signal(syscall.SIGSTOP))
			pause(ctx, last)
			assert.NoError(c.t, dir.Signal(syscall.SIGCONT))
		}
		back()
		c.tell("back", "is the daemon of %s", h.name)
	}
}

// failMachines kills or pauses a member of etcd, or two at times, or cuts the link of a machine.
func (c *chaos) failMachines(ctx context.Context, rng *rand.Rand) {
	names := c.etcd.Names()
	for pause(ctx, time.Second+upTo(rng, 5*time.Second)) {
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		gone, last := names[:1], upTo(rng, 10*time.Second)
		if rng.IntN(4) == 0 {
			gone, last = names[:2], upTo(rng, 8*time.Second)
		}
		var heal []func()
		for _, name := range gone {
			switch rng.IntN(3) {
			case 0:
				c.tell("etcd killed", "on %s for %s", name, last.Round(time.Millisecond))
				c.etcd.Kill(name)
				heal = append(heal, func() { c.etcd.Run(name) })
			case 1:
				c.tell("etcd paused", "on %s for %s", name, last.Round(time.Millisecond))
				c.etcd.Pause(name)
				heal = append(heal, func() { c.etcd.Resume(name) })
			case 2:
				c.tell("cut", "off is %s for %s", name, last.Round(time.Millisecond))
				c.cut(name, "down")
				heal = append(heal, func() { c.cut(name, "up") })
			}
		}
		pause(ctx, last)
		for _, f := range heal {
			f()
		}
		c.tell("healed", "%v", gone)
	}
}

// --- what is changed

// model is what the lab may be after the changes that were asked for.
type model struct {
	is      map[string]string // what was acknowledged last, by key; "" is nothing
	maybe   map[string][]possible
	refused map[string]bool // "key=value"
}

// possible is a value of which it is not known whether it was written.
type possible struct {
	value string
	at    time.Time
}

// The keys of a model: the description of an endpoint, the state of its connection, and
// the MTU of VPCs that come and go. All values but the states and "" are used once.
var modelVPCs = []string{"c0", "c1", "c2"}

func newModel() *model {
	return &model{is: map[string]string{"far": "Connected"}, maybe: map[string][]possible{}, refused: map[string]bool{}}
}

func (m *model) note(key, value string, how outcome) {
	switch how {
	case acknowledged:
		m.is[key] = value
		m.maybe[key] = slices.DeleteFunc(m.maybe[key], func(p possible) bool { return time.Since(p.at) > lateMost })
	case notKnown:
		m.maybe[key] = append(m.maybe[key], possible{value, time.Now()})
	case refused:
		if key != "far" && value != "" {
			m.refused[key+"="+value] = true
		}
	}
}

// differs is what a lab is that it cannot be.
func (m *model) differs(is map[string]string) (wrong []string) {
	for _, key := range append([]string{"text", "far"}, modelVPCs...) {
		may := []string{m.is[key]}
		for _, p := range m.maybe[key] {
			may = append(may, p.value)
		}
		if !slices.Contains(may, is[key]) {
			wrong = append(wrong, fmt.Sprintf("%s is %q, and may be %q", key, is[key], may))
		}
	}
	return wrong
}

// outcome is what is known of a change.
type outcome string

const (
	acknowledged outcome = "acknowledged" // it was made
	refused      outcome = "refused"      // it was not made
	notKnown     outcome = "not known"
)

// outcomeOf goes by the words that a user reads.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return acknowledged
	case strings.Contains(err.Error(), "it is not known whether the change was made"):
		return notKnown
	case strings.Contains(err.Error(), "the change was made, but it is not in force"):
		return acknowledged
	case errors.As(err, new(*api.Error)), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return refused
	default:
		return notKnown // the connection to the daemon ended
	}
}

// change changes the lab on one host or the other, one change at a time.
func (c *chaos) change(ctx context.Context, m *model, rng *rand.Rand) {
	names := []string{"a", "b"}
	for n := 1; pause(ctx, upTo(rng, 300*time.Millisecond)); n++ {
		name := names[rng.IntN(len(names))]
		client := c.clients[name]
		key, value := "", strconv.Itoa(n)
		// A change that was begun ends: a daemon that is stopped takes 5 s.
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		var err error
		do := func(o topology.Operation) {
			_, err = client.Do(asking, api.Call{Operation: o, WaitSeconds: float64(rng.IntN(2) * 5)})
		}
		switch p := rng.IntN(10); {
		case p < 3:
			key, value = "text", "text "+value
			do(topology.Operation{Verb: topology.VerbEndpointSet, Endpoint: "ep-far", Description: &value})
		case p < 6:
			key = "far"
			verb := topology.VerbReject
			if value = "Disconnected"; rng.IntN(2) == 0 {
				verb, value = topology.VerbAccept, "Connected"
			}
			do(topology.Operation{Verb: verb, Service: "far", Endpoint: "ep-far"})
		default:
			key = modelVPCs[rng.IntN(len(modelVPCs))]
			e := topology.Edit{Path: "vpcs/" + key}
			if value = strconv.Itoa(600 + n); p == 6 || n > 800 {
				value = ""
			} else {
				e.Value = fmt.Sprintf("{account: shop, cidr: 10.0.0.0/16, mtu: %s}", value)
			}
			_, err = client.Edit(asking, api.EditCall{Edits: []topology.Edit{e}, WaitSeconds: float64(rng.IntN(2) * 5)})
		}
		cancel()
		how := outcomeOf(err)
		m.note(key, value, how)
		c.tell(string(how), "on %s: %s=%s %s", name, key, value, first(err))
	}
}

func first(err error) string {
	if err == nil {
		return ""
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return "(" + text + ")"
}

// --- what is seen

// look is what a host tells: of which revision it is, and what is in it that the model knows.
func (c *chaos) look(ctx context.Context, name string) (revision int64, is map[string]string, err error) {
	client := c.clients[name]
	before, err := client.Outline(ctx)
	if err != nil {
		return 0, nil, err
	}
	export, err := client.Export(ctx)
	if err != nil {
		return 0, nil, err
	}
	after, err := client.Outline(ctx)
	if err != nil {
		return 0, nil, err
	}
	if before.Agreed == nil || after.Agreed == nil {
		return 0, nil, fmt.Errorf("host %s tells of no agreement", name)
	}
	revision = after.Agreed.Revision
	if revision < before.Agreed.Revision {
		c.t.Errorf("host %s was at revision %d, and then at %d", name, before.Agreed.Revision, revision)
	}
	if before.Agreed.Revision != revision || before.Agreed.Newest != revision || after.Agreed.Newest != revision {
		return revision, nil, nil // it is becoming another one
	}
	plan, err := topofile.Parse("export.yaml", []byte(export.Text))
	if err != nil {
		return 0, nil, err
	}
	is = map[string]string{"export": export.Text}
	for _, e := range after.Endpoints {
		if e.Name == "ep-far" {
			is["far"], is["text"] = e.State, e.Description
		}
	}
	for _, name := range modelVPCs {
		if vpc, err := plan.VPC(name); err == nil {
			is[name] = strconv.Itoa(vpc.MTU)
		}
	}
	return revision, is, nil
}

// sameAs says whether a revision is what it was where it was seen first.
func (c *chaos) sameAs(known map[int64]string, host string, revision int64, is string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := known[revision]; !ok {
		known[revision] = is
	} else if was != is {
		c.t.Errorf("revision %d is on host %s\n%s\nand was\n%s", revision, host, is, was)
	}
}

// watchDaemon asks a daemon what it is, all the time.
func (c *chaos) watchDaemon(ctx context.Context, h hostMachine) {
	var newest int64
	for pause(ctx, 200*time.Millisecond) {
		asking, cancel := context.WithTimeout(ctx, 15*time.Second)
		revision, is, err := c.look(asking, h.name)
		cancel()
		if err != nil {
			continue // it is away
		}
		if revision < newest {
			c.t.Errorf("host %s was at revision %d, and is at %d", h.name, newest, revision)
		}
		newest = revision
		if is != nil {
			c.sameAs(c.told, h.name, revision, fmt.Sprint(is))
			c.mu.Lock()
			for key, value := range is {
				c.seen[key+"="+value] = true
			}
			c.mu.Unlock()
		}
	}
}

// watchRecords reads what a host keeps of the newest record, all the time.
func (c *chaos) watchRecords(ctx context.Context, h hostMachine) {
	var newest int64
	for pause(ctx, 20*time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(h.dir, h.lab, "agreed.json"))
		if !assert.NoError(c.t, err) {
			return
		}
		var record struct{ Revision int64 }
		if !assert.NoError(c.t, json.Unmarshal(text, &record), "host %s: %s", h.name, text) {
			return
		}
		if record.Revision < newest {
			c.t.Errorf("host %s kept revision %d, and keeps %d", h.name, newest, record.Revision)
		}
		newest = record.Revision
		sum := sha256.Sum256(bytes.TrimSpace(text))
		c.sameAs(c.records, h.name, record.Revision, fmt.Sprintf("%x", sum[:8]))
	}
}

// requireAgreed waits until all hosts are one revision, and that is what it may be.
func (c *chaos) requireAgreed(m *model) {
	c.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(c.t.Context(), healedWithin)
	defer cancel()
	var last []string // of when there was time for answers
	for {
		var wrong []string
		revision, export := int64(0), ""
		for _, name := range []string{"a", "b"} {
			is, state, err := c.look(ctx, name)
			switch {
			case err != nil:
				wrong = append(wrong, fmt.Sprintf("host %s: %v", name, err))
				continue
			case state == nil:
				wrong = append(wrong, fmt.Sprintf("host %s is not at its newest revision", name))
				continue
			case revision != 0 && is != revision:
				wrong = append(wrong, fmt.Sprintf("host %s is at revision %d, and another at %d", name, is, revision))
			case revision != 0 && state["export"] != export:
				wrong = append(wrong, fmt.Sprintf("host %s exports another file", name))
			}
			revision, export = is, state["export"]
			for _, w := range m.differs(state) {
				wrong = append(wrong, fmt.Sprintf("host %s: %s", name, w))
			}
		}
		if len(wrong) == 0 {
			c.t.Logf("hosts agree on revision %d after %s", revision, time.Since(began).Round(time.Millisecond))
			return
		}
		if ctx.Err() == nil || last == nil {
			last = wrong
		}
		if !pause(ctx, 100*time.Millisecond) {
			c.t.Errorf("%s after all was well: %s", healedWithin, strings.Join(last, "\n"))
			return
		}
	}
}

// --- calls within a zone

// callCount counts calls on a host.
type callCount struct{ all, kept, excused, longest atomic.Int64 }

func (c *callCount) took(d time.Duration) {
	c.all.Add(1)
	for was := c.longest.Load(); int64(d) > was && !c.longest.CompareAndSwap(was, int64(d)); was = c.longest.Load() {
	}
}

// serve answers each line with itself, in a namespace of a host.
func (c *chaos) serve(h hostMachine, namespace, address string) (closeServer func()) {
	c.t.Helper()
	ns, err := host.Open(filepath.Join(h.dir, h.lab), namespace)
	require.NoError(c.t, err)
	defer ns.Close()
	ln, err := ns.Listen(c.t.Context(), "tcp4", address)
	require.NoError(c.t, err)
	var serving sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintln(conn, lines.Text())
				}
			})
		}
	})
	return func() { cancel(); ln.Close(); serving.Wait() }
}

// echo sends a line and waits for it.
func echo(conn net.Conn, from *bufio.Reader, n int) error {
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	line := strconv.Itoa(n) + "\n"
	if _, err := conn.Write([]byte(line)); err != nil {
		return err
	}
	answer, err := from.ReadString('\n')
	if err == nil && answer != line {
		err = fmt.Errorf("%q was answered by %q", line, answer)
	}
	return err
}

// callAlways calls an address from an instance, on a new connection each time.
func (c *chaos) callAlways(ctx context.Context, h hostMachine, namespace, address string) {
	ns, err := host.Open(filepath.Join(h.dir, h.lab), namespace)
	if !assert.NoError(c.t, err) {
		return
	}
	defer ns.Close()
	for n := 0; pause(ctx, 20*time.Millisecond); n++ {
		began := time.Now()
		err := func() error {
			dialing, cancel := context.WithTimeout(context.Background(), connectWithin)
			defer cancel()
			conn, err := ns.DialContext(dialing, "tcp4", address)
			if err != nil {
				return err
			}
			defer conn.Close()
			return echo(conn, bufio.NewReader(conn), n)
		}()
		c.called(h, began, err, "a call")
	}
}

// callOnOneConnection calls an address from an instance, on one connection all the time.
func (c *chaos) callOnOneConnection(ctx context.Context, h hostMachine, namespace, address string) {
	ns, err := host.Open(filepath.Join(h.dir, h.lab), namespace)
	if !assert.NoError(c.t, err) {
		return
	}
	defer ns.Close()
	conn, err := ns.DialContext(ctx, "tcp4", address)
	if !assert.NoError(c.t, err) {
		return
	}
	defer conn.Close()
	from := bufio.NewReader(conn)
	for n := 0; pause(ctx, 50*time.Millisecond); n++ {
		began := time.Now()
		err := echo(conn, from, n)
		if c.called(h, began, err, "a call on an established connection"); err != nil {
			return
		}
		c.calls[h.name].kept.Add(1)
	}
}

// called notes a call, and whether it may have failed.
func (c *chaos) called(h hostMachine, began time.Time, err error, what string) {
	calls := c.calls[h.name]
	calls.took(time.Since(began))
	switch {
	case err == nil:
	case c.away[h.name].long(began, time.Now()):
		calls.excused.Add(1)
		c.tell("excused", "%s on %s: %v", what, h.name, err)
	default:
		c.t.Errorf("host %s: %s failed after %s, at %.2f: %v", h.name, what, time.Since(began).Round(time.Millisecond),
			time.Since(c.began).Seconds(), err)
	}
}
