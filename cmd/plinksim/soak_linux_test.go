package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
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
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/anyedit"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/bench"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// TestSoak lets labs live under everything at once for the time in PLINKSIM_SOAK:
// edits and operations at random, faults, connections, and kills and exchanges of
// their daemons. There are two labs for each seed in PLINKSIM_SEED: in one the
// daemon stays, so that what it does not give back adds up; in the other it does not,
// so that what a daemon leaves to the next one adds up. "make soak" runs it and says
// where the report is.
func TestSoak(t *testing.T) {
	text := os.Getenv("PLINKSIM_SOAK")
	if text == "" {
		t.Skip("\"make soak\" runs it")
	}
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	// What waits for the garbage collector shall not be taken for a leak.
	t.Setenv("GOGC", "25")
	last, err := time.ParseDuration(text)
	require.NoError(t, err, "PLINKSIM_SOAK")
	bin := testenv.BuildProgram(t, "../..")
	report := &soakReport{Machine: bench.ThisMachine(), Date: time.Now().UTC().Format(time.DateOnly), Time: text}
	seeds := strings.Fields(os.Getenv("PLINKSIM_SEED"))
	if len(seeds) == 0 {
		seeds = []string{strconv.FormatUint(uint64(rand.Uint32()), 10)}
	}
	t.Run("labs", func(t *testing.T) {
		for _, text := range seeds {
			seed, err := strconv.ParseUint(text, 10, 64)
			require.NoError(t, err, "PLINKSIM_SEED")
			for _, kills := range []bool{false, true} {
				run := &soakRun{Seed: seed, Kills: kills}
				report.Runs = append(report.Runs, run)
				t.Run(run.name(), func(t *testing.T) {
					t.Parallel()
					soak(t, bin, run, last/soakMinutes)
					for _, problem := range run.Problems {
						t.Error(problem)
					}
				})
			}
		}
	})
	report.save(t)
}

// Each kind of leak is found by the figure that counts it and by no other, and a lab
// that does not leak is let be.
func TestASoakFindsALeak(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	for _, tt := range []struct {
		leaks string
		want  []string
		long  bool // another one has its figures, too
	}{
		{"nothing", nil, false},
		{"memory", []string{"RSS"}, false},
		{"goroutine", []string{"goroutines"}, true},
		{"descriptor", []string{"descriptors"}, true},
		{"open namespace", []string{"descriptors", "namespaces"}, false},
		{"namespace of a thread", []string{"goroutines", "namespaces"}, false},
	} {
		t.Run(tt.leaks, func(t *testing.T) {
			if tt.long {
				testenv.NeedTime(t)
			}
			t.Parallel()
			run := &soakRun{Seed: 1}
			soak(t, leaky(t, tt.leaks), run, 200*time.Millisecond)
			t.Log(strings.Join(run.Problems, "\n"))
			var found []string
			for _, problem := range run.Problems {
				what, _, _ := strings.Cut(problem, ":")
				// RSS is not at rest within seconds, so that it is asked for alone.
				if what != "RSS" || tt.leaks == "memory" {
					found = append(found, what)
				}
			}
			slices.Sort(found)
			require.Equal(t, tt.want, slices.Compact(found))
		})
	}
}

// leaky is a program that runs the test binary as plinksim with a leak.
func leaky(t *testing.T, leaks string) string {
	self, err := os.Executable()
	require.NoError(t, err)
	bin := filepath.Join(t.TempDir(), "plinksim")
	text := fmt.Sprintf("#!/bin/sh\n%s=1 %s='%s' exec '%s' \"$@\"\n", programVariable, leakVariable, leaks, self)
	require.NoError(t, os.WriteFile(bin, []byte(text), 0o700))
	return bin
}

// The variables of the environment that make the test binary the program, and let
// its daemon leak.
const (
	programVariable = "PLINKSIM_TEST_PROGRAM"
	leakVariable    = "PLINKSIM_TEST_LEAK"
)

// leaked is what a daemon that leaks holds for ever.
var leaked struct {
	files  []*os.File
	memory [][]byte
}

// leak lets a daemon lose things of a kind all the time.
func leak(kind string) {
	lose := map[string]func(){
		"goroutine":  func() { go func() { select {} }() },
		"descriptor": func() { leaked.files = append(leaked.files, must(os.Open("/dev/null"))) },
		"open namespace": func() {
			file := make(chan *os.File)
			go func() {
				leaveNamespace()
				file <- must(os.Open("/proc/thread-self/ns/net"))
			}()
			leaked.files = append(leaked.files, <-file)
		},
		"namespace of a thread": func() {
			go func() {
				leaveNamespace()
				select {}
			}()
		},
		"memory": func() { leaked.memory = append(leaked.memory, bytes.Repeat([]byte{1}, 1<<20)) },
	}[kind]
	for range time.Tick(50 * time.Millisecond) {
		if lose != nil {
			lose()
		}
	}
}

// leaveNamespace gives the thread of a goroutine, which it has to itself from now on,
// a network namespace of its own.
func leaveNamespace() {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// soakMinutes is how many parts the time of a run has: minutes of a run of ten.
const soakMinutes = 10

// soaking is one lab of a soak.
type soaking struct {
	*mortal
	book   *soakRun
	lab    *api.Client
	rng    *rand.Rand
	drawer *anyedit.Drawer
	doing  map[string]*soakCount // of this minute
}

// soak runs a lab for soakMinutes times a minute and fills run.
func soak(t *testing.T, bin string, run *soakRun, minute time.Duration) {
	file := filepath.Join(t.TempDir(), "soak.yaml")
	text := strings.NewReplacer("name: steady", "name: soak", "{echo: 7}", "{command: python3 server.py 8007}",
		"port: 7}]", "port: 8007}]").Replace(anyedit.Base("aws"))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	script, err := os.ReadFile(filepath.Join("testdata", "survive", "server.py"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "server.py"), script, 0o600))
	t.Logf("seed %d", run.Seed)
	s := &soaking{
		mortal: newMortalOf(t, bin, file, "keep-client"), book: run,
		rng: rand.New(rand.NewPCG(run.Seed, 1)), drawer: anyedit.New(run.Seed),
	}
	s.drawer.Calm, s.drawer.Most = true, 20
	s.lab = api.NewClient(s.dir)

	streams := s.startStreams(4)
	s.upgrade()
	run.Start = s.settled(nil, 0)
	for n := 1; n <= soakMinutes; n++ {
		s.doing = map[string]*soakCount{}
		var memory []soakFigures
		for end := time.Now().Add(minute * 4 / 5); time.Now().Before(end); {
			s.step()
			memory = append(memory, soakFigures{})
			s.memory(&memory[len(memory)-1])
		}
		s.quiet()
		m := soakMinute{Minute: n, Load: s.load(), soakFigures: s.measure(max(5, int(minute/5/soakPause))), Did: s.doing}
		if !run.Kills {
			f := medians(memory)
			m.RSS, m.Anonymous, m.File, m.Shared = f.RSS, f.Anonymous, f.File, f.Shared
		}
		m.EchoedBytes = streams.echoed.Load()
		run.Minutes = append(run.Minutes, m)
	}
	s.upgrade()
	run.End = s.settled(&run.Start, min(15*time.Second, 5*minute))
	run.EchoedBytes, run.LostBytes = streams.end()
	s.client.Close()
	run.Log = s.errors()
	s.run("down")
	// "down" does not wait until the daemon's process has ended.
	for late := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if run.Left = s.left(); len(run.Left) == 0 || time.Now().After(late) {
			break
		}
	}
	run.judge()
}

// step does one thing, at random.
func (s *soaking) step() {
	switch p := s.rng.Float64(); {
	case p < 0.1:
		s.fault()
	case p < 0.4:
		s.connect()
	case p < 0.44 && s.book.Kills:
		s.killed()
	case p < 0.48 && s.book.Kills:
		s.count("upgrade").add(s.command("upgrade").Run())
	default:
		s.take()
	}
	time.Sleep(time.Duration(s.rng.IntN(50)) * time.Millisecond)
}

func (s *soaking) count(what string) *soakCount {
	if s.doing[what] == nil {
		s.doing[what] = &soakCount{}
	}
	return s.doing[what]
}

// take is an edit or an operation.
func (s *soaking) take() {
	export, err := s.lab.Export(s.t.Context())
	if err != nil {
		s.count("export").add(err)
		return
	}
	plan, err := topofile.Parse("export.yaml", []byte(export.Text))
	require.NoError(s.t, err)
	step := s.drawer.Next(plan)
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if len(step.Edits) == 0 {
		_, err = s.lab.Do(ctx, api.Call{Operation: step.Do, WaitSeconds: 10})
		s.count(string(step.Do.Verb)).add(err)
		return
	}
	_, err = s.lab.Edit(ctx, api.EditCall{Edits: step.Edits, WaitSeconds: 10})
	section, _, _ := strings.Cut(step.Edits[0].Path, "/")
	if !slices.Contains(soakSections, section) {
		section = "other"
	}
	s.count("edit " + section).add(err)
}

// soakSections are those parts of a topology file of which a report tells.
var soakSections = []string{
	"vpcs", "server_groups", "load_balancers", "nat_gateways", "endpoint_services", "endpoints", "peerings",
}

// fault makes packets late or lose some of them, or takes the endpoint that the
// streams go through away for a moment.
func (s *soaking) fault() {
	ctx, endpoint := s.t.Context(), "keep-ep"
	switch s.rng.IntN(4) {
	case 0:
		_, err := s.lab.SetFault(ctx, status.FaultChange{Endpoint: endpoint, Set: map[string]string{
			"delay": fmt.Sprint(s.rng.IntN(10), "ms"), "loss": fmt.Sprint(s.rng.IntN(3), "%")}})
		s.count("fault set").add(err)
	case 1:
		_, err := s.lab.ClearFaults(ctx, endpoint)
		s.count("fault clear").add(err)
	default:
		f := api.Failure{Ref: endpoint, Blackhole: s.rng.IntN(2) == 0}
		_, err := s.lab.TakeDown(ctx, f)
		s.count("fault down").add(err)
		time.Sleep(time.Duration(s.rng.IntN(100)) * time.Millisecond)
		_, err = s.lab.BringUp(ctx, f)
		s.count("fault up").add(err)
	}
}

// connect opens some connections that have nothing to lose, through the endpoint
// that is always there and through others, from wherever there is an instance.
func (s *soaking) connect() {
	var all sync.WaitGroup
	answered := make([]error, 4)
	for i := range answered {
		all.Go(func() { answered[i] = s.get(s.client, s.eni("keep-ep", 80, false), 10*time.Second) })
	}
	lab, err := s.lab.Status(s.t.Context())
	if err == nil {
		s.others(&all, lab)
	}
	all.Wait()
	for _, err := range answered {
		s.count("request").add(err)
	}
}

// others lets an instance call endpoints in its VPC. What comes of it is what the
// steps make of it.
func (s *soaking) others(all *sync.WaitGroup, lab status.Lab) {
	for _, vpc := range lab.VPCs {
		if len(vpc.Instances) == 0 {
			continue
		}
		from := vpc.Instances[s.rng.IntN(len(vpc.Instances))].Name
		for _, ep := range lab.Endpoints {
			if ep.VPC != vpc.Name || ep.Name == "keep-ep" || len(ep.Zones) == 0 {
				continue
			}
			ns, err := host.Open(string(s.dir), vpc.Name+"."+from)
			if err != nil {
				continue // it has gone meanwhile
			}
			all.Go(func() {
				defer ns.Close()
				_ = s.get(ns, net.JoinHostPort(ep.Zones[0].IP.String(), "80"), 200*time.Millisecond)
			})
		}
	}
}

func (s *soaking) get(from *host.Namespace, address string, within time.Duration) error {
	transport := &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}
	client := http.Client{Transport: transport, Timeout: within}
	answer, err := client.Get("http://" + address + "/")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// killed kills the daemon while it is asked for something, and brings the lab up
// again; sometimes that is killed, too.
func (s *soaking) killed() {
	kill := time.AfterFunc(time.Duration(s.rng.IntN(50))*time.Millisecond, func() { s.dir.Signal(syscall.SIGKILL) })
	s.take()
	kill.Stop()
	s.kill()
	s.count("kill").add(nil)
	if s.rng.IntN(3) == 0 {
		s.restartKilled(s.rng, "up", s.file)
		s.count("kill of up").add(nil)
	}
	s.run("up", s.file)
}

// quiet makes the lab what its file says, with nothing but the streams going on.
func (s *soaking) quiet() {
	_, err := s.lab.ClearFaults(s.t.Context(), "")
	require.NoError(s.t, err)
	edited, err := s.lab.Edits(s.t.Context())
	require.NoError(s.t, err)
	changes := edited.Changes
	call := api.EditCall{WaitSeconds: 30}
	for _, c := range slices.Backward(changes) {
		if list, atEnd := strings.CutSuffix(c.Path, "/"+topology.AtEnd); atEnd { // of names
			c.Path = list + "/=" + c.Value
		}
		call.Edits = append(call.Edits, topology.Edit{Path: c.Path, Value: c.Was})
	}
	if len(changes) > 0 {
		_, err = s.lab.Edit(s.t.Context(), call)
		require.NoError(s.t, err, "%v", changes)
	}
	if s.book.Kills {
		s.upgrade() // so that all figures are of daemons of the same age
	}
}

func (s *soaking) upgrade() { s.run("upgrade") }

// settled are the figures as soon as they are not above those of before, or when
// that has lasted too long.
func (s *soaking) settled(before *soakFigures, most time.Duration) (now soakFigures) {
	for late := time.Now().Add(most); ; {
		now = s.measure(5)
		if before == nil || now.within(*before) || time.Now().After(late) {
			return now
		}
	}
}

// streams are connections of which no byte may be lost.
type streams struct {
	stop   context.CancelFunc
	going  sync.WaitGroup
	echoed atomic.Int64
	lost   atomic.Int64
}

func (s *soaking) startStreams(n int) *streams {
	ctx, stop := context.WithCancel(s.t.Context())
	all := &streams{stop: stop}
	address := s.eni("keep-ep", 7, false)
	require.Eventually(s.t, func() bool { // until the server listens
		conn, err := s.client.DialContext(s.t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	text := strings.Repeat("x", 2000)
	for i := range n {
		stream := s.newIdle(address)
		all.going.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				line := fmt.Sprint(i, " ", n, " ", text)
				if err := stream.ask(line); err != nil {
					all.lost.Add(int64(len(line)))
					assert.NoError(s.t, err, "stream %d, after %d lines", i, n)
					return
				}
				all.echoed.Add(int64(len(line)))
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return all
}

// end ends the streams between two lines, and says how many bytes did not come back.
func (a *streams) end() (echoed, lost int64) {
	a.stop()
	a.going.Wait()
	return a.echoed.Load(), a.lost.Load()
}
