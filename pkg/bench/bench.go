package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/lab"
)

// Options say how long and what to measure.
type Options struct {
	// Rounds is how often each workload runs through each path; 0 means 5.
	Rounds int
	// Seconds is the length of one measurement, without its warm-up of a
	// fifth of that; 0 means 2.
	Seconds float64
	// Only chooses the workloads whose name it matches; nil means all.
	Only *regexp.Regexp
	// Quiet is how long to wait before each measurement until the machine is
	// idle; 0 does not wait.
	Quiet time.Duration
	// Paths are some of the variable of that name; none means all but the null.
	Paths []string
	// Workers are the threads that carry the core's packets; 0 means 1.
	Workers int
	// Loads, Searches and Sessions are measured instead of the usual workloads, where
	// there are any.
	Loads    []Load
	Searches []Search
	Sessions []Sessions
	// Own is a user's topology that is measured instead of the benchmark's; nil is that.
	Own *Own
	// Progress is called with what is being done; it may be nil.
	Progress lab.Progress
}

func (o Options) withDefaults() Options {
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Seconds == 0 {
		o.Seconds = 2
	}
	if o.Workers == 0 {
		o.Workers = 1
	}
	if len(o.Paths) == 0 {
		o.Paths = slices.Clone(paths)
		if o.Own != nil {
			o.Paths = slices.Clone(ownPaths)
		}
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	return o
}

const (
	minSeconds, maxSeconds = 0.05, 60
	maxRounds              = 1000
)

// Check finds what is wrong with the options.
func (o Options) Check() error {
	o = o.withDefaults()
	if o.Rounds < 1 || o.Rounds > maxRounds {
		return fmt.Errorf("%d rounds: want 1 to %d", o.Rounds, maxRounds)
	}
	if o.Seconds < minSeconds || o.Seconds > maxSeconds {
		return fmt.Errorf("%g seconds for a measurement: want %g to %d", o.Seconds, minSeconds, maxSeconds)
	}
	if err := dataplane.CheckWorkers(o.Workers); err != nil {
		return err
	}
	for _, l := range o.Loads {
		if err := l.check(); err != nil {
			return err
		}
	}
	for _, s := range o.Searches {
		if err := s.check(); err != nil {
			return err
		}
	}
	for _, s := range o.Sessions {
		if err := s.check(); err != nil {
			return err
		}
	}
	if len(o.chosen()) == 0 {
		return fmt.Errorf("no workload has a name that matches %q", o.Only)
	}
	for _, name := range o.Paths {
		if !slices.Contains(Paths, name) {
			return fmt.Errorf("no path %q: want %s", name, strings.Join(Paths, ", "))
		}
		if o.Own != nil && !slices.Contains(ownPaths, name) {
			return fmt.Errorf("path %q has the benchmark's own topology: of a file there are %s", name,
				strings.Join(ownPaths, " and "))
		}
	}
	return nil
}

func (o Options) chosen() []workload {
	var chosen []workload
	for _, w := range o.workloads() {
		if o.Only == nil || o.Only.MatchString(w.name) {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// workloads are what can be measured.
func (o Options) workloads() []workload {
	if o.Own != nil {
		return o.Own.workloads()
	}
	if len(o.Loads)+len(o.Searches)+len(o.Sessions) == 0 {
		return workloads()
	}
	var all []workload
	for _, l := range o.Loads {
		all = append(all, l.workload())
	}
	for _, s := range o.Searches {
		all = append(all, s.workload())
	}
	for _, s := range o.Sessions {
		all = append(all, s.workload())
	}
	return all
}

// senders is how many clients there are.
func (o Options) senders() int {
	n := 2
	for _, l := range o.Loads {
		n = max(n, l.Senders)
	}
	for _, s := range o.Searches {
		n = max(n, s.Load.Senders)
	}
	return n
}

// sessions is how many sessions the largest load has.
func (o Options) sessions() (n int) {
	for _, l := range o.Loads {
		n = max(n, l.Flows)
	}
	for _, s := range o.Searches {
		n = max(n, s.Load.Flows)
	}
	for _, s := range o.Sessions {
		n = max(n, s.Number)
	}
	return n
}

func (o Options) window() time.Duration { return time.Duration(o.Seconds * float64(time.Second)) }
func (o Options) warmUp() time.Duration { return o.window() / 5 }

// Estimate is about how long Run takes on a machine that does nothing else.
func (o Options) Estimate() time.Duration {
	o = o.withDefaults()
	var all time.Duration
	for _, w := range o.chosen() {
		all += w.takes(o)
	}
	return time.Second + all*time.Duration(o.Rounds*len(o.Paths))
}

// settle is the pause between two measurements, in which queues run empty.
const settle = 150 * time.Millisecond

// Run builds the topologies, measures, and removes them, also when it fails or
// ctx ends. It needs root.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	o = o.withDefaults()
	if err := o.Check(); err != nil {
		return nil, err
	}
	r := newReport(o)
	var paths []*path
	defer func() {
		for _, p := range paths {
			err = errors.Join(err, p.close())
		}
	}()
	for _, name := range o.Paths {
		o.Progress(0, 0, fmt.Sprintf("build the topology of the %s", name))
		p, err := open(ctx, name, o)
		if err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	if err := r.measure(ctx, o, paths); err != nil {
		return nil, err
	}
	r.Ended = time.Now().UTC().Truncate(time.Second)
	return r, nil
}

// measure runs every workload through every path in turn, round by round. The
// path that begins alternates.
func (r *Report) measure(ctx context.Context, o Options, paths []*path) error {
	ws := o.chosen()
	total := o.Rounds * len(ws) * len(paths)
	start, done := time.Now(), 0
	for round := range o.Rounds {
		for _, w := range ws {
			for i := range paths {
				p := paths[(i+round)%len(paths)]
				left := o.Estimate()
				if done > 0 {
					left = time.Since(start) / time.Duration(done) * time.Duration(total-done)
				}
				o.Progress(done+1, total, fmt.Sprintf("round %d of %d, %s through the %s, about %s left",
					round+1, o.Rounds, w.name, p.name, left.Round(time.Second)))
				before, err := waitQuiet(ctx, o.Quiet)
				if err != nil {
					return err
				}
				m, err := w.measure(ctx, p, o)
				if err != nil {
					return fmt.Errorf("%s through the %s: %w", w.name, p.name, err)
				}
				r.add(round, w, p, m, before)
				done++
			}
		}
	}
	return nil
}

// measure runs one workload through one path once.
func (p *path) measure(ctx context.Context, o Options, w workload) (*measurement, error) {
	job := w.order
	job.WarmUp, job.For = o.warmUp(), o.window()
	clients := p.clients
	if w.route != nil {
		job.To, clients = w.route.to.Addr(), []*process{p.senders[w.route.from]}
		// The NAT ports of one target are to be enough for all rounds.
		job.Limit = max(1, natPorts/o.Rounds)
	} else {
		job.To = p.endpoint()
	}
	ctx, cancel := context.WithTimeout(ctx, job.WarmUp+job.For+30*time.Second)
	defer cancel()
	base, err := p.count(ctx)
	if err != nil {
		return nil, err
	}
	if w.both {
		clients = clients[:2]
	} else {
		clients = clients[:1]
	}
	for _, c := range clients {
		if err := c.give(job); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, job.WarmUp); err != nil {
		return nil, err
	}
	first, err := p.sample(ctx)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, job.For-20*time.Millisecond); err != nil { // while the client still sends
		return nil, err
	}
	last, err := p.sample(ctx)
	if err != nil {
		return nil, err
	}
	m := &measurement{
		elapsed: last.at.Sub(first.at),
		cpu:     last.cpu - first.cpu,
		bytes:   float64(last.count.Bytes - first.count.Bytes),
		packets: float64(last.count.Packets - first.count.Packets),
	}
	for _, c := range clients {
		a, err := c.wait(ctx)
		if err != nil {
			return nil, err
		}
		a.Count += m.client.Count
		m.client = a
	}
	if err := sleep(ctx, settle); err != nil {
		return nil, err
	}
	end, err := p.count(ctx)
	if err != nil {
		return nil, err
	}
	if arrived := end.Packets - base.Packets; arrived < m.client.Count {
		m.client.Lost = m.client.Count - arrived
	}
	m.client.Reordered = end.Reordered - base.Reordered
	return m, nil
}

// count is what all servers have counted so far.
func (p *path) count(ctx context.Context) (all answer, err error) {
	for _, s := range p.servers {
		a, err := s.do(ctx, order{Do: "count"})
		if err != nil {
			return all, err
		}
		all.Bytes += a.Bytes
		all.Packets += a.Packets
		all.Reordered += a.Reordered
	}
	return all, nil
}

// sample is what was counted so far.
type sample struct {
	at    time.Time
	cpu   time.Duration
	count answer
}

func (p *path) sample(ctx context.Context) (s sample, err error) {
	if s.count, err = p.count(ctx); err != nil {
		return s, err
	}
	s.at = time.Now()
	s.cpu, err = busy()
	return s, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(max(d, 0)):
		return nil
	}
}

const (
	quietLook = 200 * time.Millisecond
	quietLoad = 0.1 // CPUs
)

// waitQuiet waits until the machine is quiet, but not longer than limit, and
// returns how many CPUs were busy when it last looked.
func waitQuiet(ctx context.Context, limit time.Duration) (cpus float64, err error) {
	deadline := time.Now().Add(limit)
	for {
		before, err := busy()
		if err != nil {
			return 0, err
		}
		start := time.Now()
		look := quietLook
		if limit == 0 {
			look = 50 * time.Millisecond
		}
		if err := sleep(ctx, look); err != nil {
			return 0, err
		}
		after, err := busy()
		if err != nil {
			return 0, err
		}
		cpus = (after - before).Seconds() / time.Since(start).Seconds()
		if cpus <= quietLoad || time.Now().After(deadline) {
			return cpus, nil
		}
	}
}
