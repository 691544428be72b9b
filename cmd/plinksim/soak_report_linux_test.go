package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/bench"
	"github.com/plinksim/plinksim/pkg/host"
)

// soakReport is what a soak found, as JSON and as tables.
type soakReport struct {
	Date    string        `json:"date"`
	Time    string        `json:"time"`
	Machine bench.Machine `json:"machine"`
	Runs    []*soakRun    `json:"runs"`
}

// soakRun is one lab of a soak.
type soakRun struct {
	Seed        uint64       `json:"seed"`
	Kills       bool         `json:"kills"` // its daemon is killed and exchanged all the time
	Start       soakFigures  `json:"start"`
	Minutes     []soakMinute `json:"minutes"`
	End         soakFigures  `json:"end"`
	EchoedBytes int64        `json:"echoed_bytes"`
	LostBytes   int64        `json:"lost_bytes"`
	Log         []string     `json:"log,omitempty"`  // errors in the log of its daemons
	Left        []string     `json:"left,omitempty"` // in the kernel, after the lab was taken down
	Problems    []string     `json:"problems"`
}

func (r *soakRun) name() string {
	if r.Kills {
		return fmt.Sprintf("seed %d, the daemon is killed", r.Seed)
	}
	return fmt.Sprintf("seed %d, the daemon stays", r.Seed)
}

// soakFigures are those of a lab that is what its file says, the medians of some
// samples.
type soakFigures struct {
	// RSS is that of the daemon, in KiB, and below it are its parts. It follows the
	// garbage collector, so that where a daemon stays a minute has the median of all of
	// its samples.
	RSS         int `json:"rss_kib"`
	Anonymous   int `json:"rss_anonymous_kib"` // of it, what is in no file: heap and stacks
	File        int `json:"rss_file_kib"`      // of it, pages of the program
	Shared      int `json:"rss_shared_kib"`    // of it, the packet ring and the tables of sessions
	Descriptors int `json:"descriptors"`
	Goroutines  int `json:"goroutines"`
	Namespaces  int `json:"namespaces"` // network namespaces that the lab or its daemon holds
	Sessions    int `json:"sessions"`
}

// soakMinute is what was done in a tenth of the time, and the figures after it.
type soakMinute struct {
	Minute int     `json:"minute"`
	Load   float64 `json:"load"` // of the machine: runnable processes in the last minute (proc_loadavg(5))
	soakFigures
	EchoedBytes int64                 `json:"echoed_bytes"` // since the start
	Did         map[string]*soakCount `json:"did"`
}

// soakCount is how often something was done, refused, or not answered.
type soakCount struct {
	Made       int `json:"made"`
	Refused    int `json:"refused,omitempty"`
	Unanswered int `json:"unanswered,omitempty"`
}

func (c *soakCount) add(err error) {
	var refused *api.Error
	switch {
	case err == nil:
		c.Made++
	case errors.As(err, &refused):
		c.Refused++
	default:
		c.Unanswered++
	}
}

// limited are the figures that may not grow.
func (f soakFigures) limited() []struct {
	name string
	is   int
} {
	return []struct {
		name string
		is   int
	}{{"RSS", f.RSS}, {"descriptors", f.Descriptors}, {"goroutines", f.Goroutines}, {"namespaces", f.Namespaces}}
}

// within says whether figures are not above others: RSS by at most a twentieth, as
// no two processes have the same.
func (f soakFigures) within(before soakFigures) bool {
	return f.RSS*20 <= before.RSS*21 && f.Descriptors <= before.Descriptors && f.Goroutines <= before.Goroutines &&
		f.Namespaces <= before.Namespaces
}

// judge says what is wrong with a run.
func (r *soakRun) judge() {
	wrong := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	r.Problems = []string{}
	third, last := r.Minutes[2], r.Minutes[len(r.Minutes)-1]
	for i, was := range third.limited() {
		if is := last.limited()[i].is; is*20 > was.is*21 {
			wrong("%s: %d in minute %d, %d in minute 3", was.name, is, last.Minute, was.is)
		}
	}
	for i, was := range r.Start.limited() {
		is := r.End.limited()[i].is
		if was.name == "RSS" && is*20 > was.is*21 || was.name != "RSS" && is > was.is {
			wrong("%s: %d at the end, %d at the start", was.name, is, was.is)
		}
	}
	if r.LostBytes > 0 {
		wrong("%d bytes of streams were lost", r.LostBytes)
	}
	if r.EchoedBytes == 0 {
		wrong("no byte came back on the streams")
	}
	for _, m := range r.Minutes {
		if e := m.Did["export"]; e != nil && !r.Kills {
			wrong("the daemon did not answer in minute %d", m.Minute)
		}
		if lost := m.Did["request"]; lost != nil && lost.Unanswered > 0 && !r.Kills {
			wrong("%d of %d requests in minute %d failed", lost.Unanswered, lost.Unanswered+lost.Made, m.Minute)
		}
	}
	for _, line := range r.Log {
		wrong("log: %s", line)
	}
	for _, what := range r.Left {
		wrong("left: %s", what)
	}
}

// soakPause is between two samples.
const soakPause = 100 * time.Millisecond

// measure takes samples and returns their medians.
func (s *soaking) measure(samples int) (f soakFigures) {
	var all []soakFigures
	for range samples {
		time.Sleep(soakPause)
		all = append(all, s.sample())
	}
	return medians(all)
}

// medians are those of each figure.
func medians(all []soakFigures) (f soakFigures) {
	for _, of := range []func(*soakFigures) *int{
		func(f *soakFigures) *int { return &f.RSS }, func(f *soakFigures) *int { return &f.Anonymous },
		func(f *soakFigures) *int { return &f.File }, func(f *soakFigures) *int { return &f.Shared },
		func(f *soakFigures) *int { return &f.Descriptors }, func(f *soakFigures) *int { return &f.Goroutines },
		func(f *soakFigures) *int { return &f.Namespaces }, func(f *soakFigures) *int { return &f.Sessions },
	} {
		slices.SortFunc(all, func(a, b soakFigures) int { return *of(&a) - *of(&b) })
		*of(&f) = *of(&all[len(all)/2])
	}
	return f
}

func (s *soaking) sample() (f soakFigures) {
	// A client of its own, of which the daemon's descriptor is always one of those.
	client := api.NewClient(s.dir)
	var text bytes.Buffer
	require.NoError(s.t, client.Metrics(s.t.Context(), &text))
	for name, to := range map[string]*int{
		"go_goroutines": &f.Goroutines, "process_open_fds": &f.Descriptors, "plinksim_sessions": &f.Sessions,
	} {
		*to = int(gauge(s.t, text.String(), name))
	}
	s.memory(&f)
	f.Namespaces = len(s.namespaces())
	return f
}

// memory reads the resident memory of the daemon and its parts, in KiB
// (proc_pid_status(5)); all are 0 where it has just been killed.
func (s *soaking) memory(f *soakFigures) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.dir.PID()), "status"))
	if err != nil {
		return
	}
	parts := map[string]*int{"VmRSS": &f.RSS, "RssAnon": &f.Anonymous, "RssFile": &f.File, "RssShmem": &f.Shared}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if to := parts[name]; to != nil {
			*to, err = strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			require.NoError(s.t, err)
		}
	}
}

// load is the load average of the machine over a minute (proc_loadavg(5)).
func (s *soaking) load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	require.NoError(s.t, err)
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	require.NoError(s.t, err)
	return load
}

func gauge(t *testing.T, metrics, name string) float64 {
	for lines := bufio.NewScanner(strings.NewReader(metrics)); lines.Scan(); {
		if value, is := strings.CutPrefix(lines.Text(), name+" "); is {
			is, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err)
			return is
		}
	}
	require.Fail(t, "/metrics has no "+name)
	return 0
}

// namespaces are the network namespaces that are pinned for the lab, that its
// daemon has open, or that a thread of it is in, as the kernel calls them.
func (s *soaking) namespaces() map[string]bool {
	all := map[string]bool{}
	names, err := host.Namespaces(string(s.dir))
	require.NoError(s.t, err)
	for _, name := range names {
		ns, err := host.Open(string(s.dir), name)
		if err != nil {
			continue // it has gone meanwhile
		}
		require.NoError(s.t, ns.Do(func() error {
			is, err := os.Readlink("/proc/thread-self/ns/net")
			all[is] = true
			return err
		}))
		ns.Close()
	}
	daemon := filepath.Join("/proc", strconv.Itoa(s.dir.PID()))
	for _, pattern := range []string{"fd/*", "task/*/ns/net"} {
		for _, open := range links(filepath.Join(daemon, pattern)) {
			if strings.HasPrefix(open, "net:") {
				all[open] = true
			}
		}
	}
	return all
}

// links are where symbolic links lead to, of those that are there.
func links(pattern string) (all []string) {
	files, _ := filepath.Glob(pattern)
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil {
			all = append(all, to)
		}
	}
	return all
}

// errors are the lines of the log of the lab's daemons that tell of something that
// plinksim itself did wrong.
func (s *soaking) errors() (all []string) {
	text, err := os.ReadFile(s.dir.Path("log", "daemon.log"))
	require.NoError(s.t, err)
	for line := range strings.Lines(string(text)) {
		for _, bad := range []string{" level=ERROR ", "panic: ", "fatal error: ", "unexpected fault address "} {
			if strings.Contains(line, bad) {
				all = append(all, strings.TrimSpace(line))
			}
		}
	}
	return all
}

// left is what there is of a lab that was taken down: files, mounts, and processes
// that were its own.
func (s *soaking) left() (all []string) {
	if _, err := os.Lstat(string(s.dir)); !errors.Is(err, os.ErrNotExist) {
		all = append(all, string(s.dir))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(s.t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, s.root) {
			all = append(all, "mount "+strings.TrimSpace(line))
		}
	}
	for _, file := range s.programs() {
		all = append(all, "program "+file)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(s.t, err)
	for _, file := range commands {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(s.file)) {
			all = append(all, "process "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return all
}

// save writes the report into the directory for what tests leave: soak.json and
// soak.md.
func (r *soakReport) save(t *testing.T) {
	dir := t.ArtifactDir()
	text, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "soak.json"), append(text, '\n'), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "soak.md"), r.markdown(), 0o644))
	t.Logf("%s\nthe report is in %s", r.markdown(), dir)
}

func (r *soakReport) markdown() []byte {
	var w bytes.Buffer
	var loads []float64
	for _, run := range r.Runs {
		for _, m := range run.Minutes {
			loads = append(loads, m.Load)
		}
	}
	slices.Sort(loads)
	fmt.Fprintf(&w, "%s, %s for each run, %d runs side by side. Linux %s, %d CPUs (%s), %d MB, load %.1f to %.1f.\n",
		r.Date, r.Time, len(r.Runs), r.Machine.Kernel, r.Machine.CPUs, r.Machine.CPU, r.Machine.MemoryMB,
		loads[0], loads[len(loads)-1])
	for _, run := range r.Runs {
		run.table(&w)
	}
	return w.Bytes()
}

func (r *soakRun) table(w *bytes.Buffer) {
	fmt.Fprintf(w, "\n**%s**\n\n", r.name())
	fmt.Fprintln(w, "| minute | RSS (MiB) | anonymous | files | shared | descriptors | goroutines | namespaces | sessions | done | refused | not answered | echoed (MB) |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	row := func(name string, f soakFigures, rest string) {
		fmt.Fprintf(w, "| %s |", name)
		for _, kib := range []int{f.RSS, f.Anonymous, f.File, f.Shared} {
			fmt.Fprintf(w, " %.1f |", float64(kib)/1024)
		}
		fmt.Fprintf(w, " %d | %d | %d | %d |%s\n", f.Descriptors, f.Goroutines, f.Namespaces, f.Sessions, rest)
	}
	row("start", r.Start, " | | | |")
	did := map[string]*soakCount{}
	for _, m := range r.Minutes {
		var sum soakCount
		for what, c := range m.Did {
			if did[what] == nil {
				did[what] = &soakCount{}
			}
			for _, to := range []*soakCount{did[what], &sum} {
				to.Made, to.Refused, to.Unanswered = to.Made+c.Made, to.Refused+c.Refused, to.Unanswered+c.Unanswered
			}
		}
		row(strconv.Itoa(m.Minute), m.soakFigures,
			fmt.Sprintf(" %d | %d | %d | %.1f |", sum.Made, sum.Refused, sum.Unanswered, float64(m.EchoedBytes)/1e6))
	}
	row("end", r.End, fmt.Sprintf(" | | | %.1f |", float64(r.EchoedBytes)/1e6))
	fmt.Fprintf(w, "\nLost bytes: %d. Left after \"down\": %d.", r.LostBytes, len(r.Left))
	var kinds []string
	for _, what := range slices.Sorted(maps.Keys(did)) {
		c := did[what]
		text := fmt.Sprintf("%s %d", what, c.Made)
		if c.Refused+c.Unanswered > 0 {
			text += fmt.Sprintf(" (refused %d, not answered %d)", c.Refused, c.Unanswered)
		}
		kinds = append(kinds, text)
	}
	fmt.Fprintf(w, " Done: %s.\n", strings.Join(kinds, ", "))
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "\n- wrong: %s\n", problem)
	}
}

func TestASoakIsJudged(t *testing.T) {
	good := func() *soakRun {
		r := &soakRun{EchoedBytes: 1, Start: soakFigures{RSS: 60_000, Descriptors: 40, Goroutines: 50, Namespaces: 4}}
		r.End = r.Start
		for n := range soakMinutes {
			r.Minutes = append(r.Minutes, soakMinute{n + 1, 0.5, r.Start, 1, map[string]*soakCount{"request": {Made: 1}}})
		}
		r.Minutes[0].RSS, r.Minutes[4].Descriptors = 100_000, 100 // which passes
		return r
	}
	for _, tt := range []struct {
		name string
		is   func(*soakRun)
		want []string
	}{
		{"nothing is wrong", func(*soakRun) {}, []string{}},
		{"RSS may grow by a twentieth", func(r *soakRun) { r.Minutes[9].RSS, r.End.RSS = 63_000, 63_000 }, []string{}},
		{"RSS grows", func(r *soakRun) { r.Minutes[9].RSS = 63_001 }, []string{"RSS: 63001 in minute 10, 60000 in minute 3"}},
		{"descriptors stay", func(r *soakRun) { r.End.Descriptors++ }, []string{"descriptors: 41 at the end, 40 at the start"}},
		{"goroutines grow", func(r *soakRun) { r.Minutes[9].Goroutines = 53 }, []string{"goroutines: 53 in minute 10, 50 in minute 3"}},
		{"a namespace more", func(r *soakRun) { r.Minutes[9].Namespaces++ }, []string{"namespaces: 5 in minute 10, 4 in minute 3"}},
		{"a stream loses bytes", func(r *soakRun) { r.LostBytes = 9 }, []string{"9 bytes of streams were lost"}},
		{"the streams stood still", func(r *soakRun) { r.EchoedBytes = 0 }, []string{"no byte came back on the streams"}},
		{"a request fails", func(r *soakRun) { r.Minutes[5].Did["request"].Unanswered = 1 }, []string{"1 of 2 requests in minute 6 failed"}},
		{"a request fails while the daemon is killed",
			func(r *soakRun) { r.Kills, r.Minutes[5].Did["request"].Unanswered = true, 1 }, []string{}},
		{"an error is in the log", func(r *soakRun) { r.Log = []string{"level=ERROR"} }, []string{"log: level=ERROR"}},
		{"something is left", func(r *soakRun) { r.Left = []string{"mount x"} }, []string{"left: mount x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.is(r)
			r.judge()
			require.Equal(t, tt.want, r.Problems)
		})
	}
}
