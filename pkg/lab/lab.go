// Package lab runs a topology. A Lab holds what is running; package compile,
// which is pure, decides from the file and the state of the control plane what
// should run, and one goroutine makes it so whenever that state changes.
//
// A lab stands on a Machine, which has the network, and keeps what another
// process needs to take it over in a Store.
package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Config is what a lab is made of.
type Config struct {
	Plan    *topology.Plan
	Machine Machine
	// Store is where the lab keeps what it needs when another process takes it
	// over; nil: nobody can.
	Store Store
	// Log gets what happens; nil: nobody hears of it.
	Log *slog.Logger
	// Progress hears what Start does; nil: nobody does.
	Progress Progress
	// Workers is how many threads carry the packets: 1, which 0 stands for,
	// 2, 4, ... up to 64.
	Workers int
	// MaxSessions is how many sessions there may be; 0 is what the plan says.
	MaxSessions int
	// Transition is how long states on the way last; 0 is as long as in the process that
	// ran the lab before, or what the plan says.
	Transition time.Duration
	// TimeScale is how many times as fast as at the cloud times pass; 0 is as fast as
	// the process let them pass that ran the lab before, or as ever.
	TimeScale topology.TimeScale
	// Keep leaves the machine as it is when Start fails: another process may take
	// the lab over.
	Keep bool
	// Host is the host of the plan that this lab is on; "" runs all of them here.
	Host string
	// Agreement is where the hosts of the plan agree, so that the lab can be changed while
	// it runs; nil: they do not, and it cannot. A lab that is on one machine has none. Who
	// starts the lab closes it after the lab.
	Agreement Agreement
	// Version is that of the program, which is the same on all hosts.
	Version string
	// Remote reaches the other hosts; nil: nothing is done there.
	Remote Remote
	// Authority makes the lab's certificate authority before programs on instances
	// start, whether or not the plan needs it: see CloudServer.Secure.
	Authority bool
}

func (c *Config) setDefaults() {
	if c.Store == nil {
		c.Store = &MemoryStore{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = quietly
	}
	c.Workers = max(c.Workers, 1)
}

func quietly(int, int, string) {}

// Lab is a running topology. Its methods may be called from any goroutine.
type Lab struct {
	*process
	machine Machine
	store   Store
	started time.Time
	plane   *control.Plane
	engine  *dataplane.Workers

	file      *fileState
	saved     *stateFiles
	kept      keptPlan
	current   currentPlan
	numbers   numbering
	faults    *liveFaults
	groups    *serverGroups
	services  *services
	proxies   *proxies
	resolvers *resolvers
	cloud     *cloudServers
	authority *authority
	hosts     *hostsFiles
	pace      *Pace
	here      *onHost
	paths     *paths
	agreed    *agreed // nil where no hosts agree on the lab
	deleted   deletions

	machineTime atomic.Int64 // in nanoseconds: see MachineTime
	checking    sync.Mutex   // held while checks run
}

// Start makes the lab on its machine, or adopts what is already there of it,
// and starts everything that runs in this process. When it fails, or ctx ends
// before it returns, nothing of the lab is left. The caller sees to it that
// there is one lab on a machine and a store.
func Start(ctx context.Context, cfg Config) (*Lab, error) {
	cfg.setDefaults()
	if err := cfg.TimeScale.Check(); err != nil {
		return nil, fmt.Errorf("time scale: %w", err)
	}
	saved := newStateFiles(cfg.Store, cfg.Log)
	record, file, err := cfg.begin(ctx, saved)
	if err != nil {
		return nil, err
	}
	here := &onHost{name: cfg.Host, remote: cfg.Remote, agrees: cfg.Agreement != nil}
	plan := file.now()
	if err := here.claim(cfg.Store, plan); err != nil {
		return nil, err
	}
	plane, err := control.NewPlane(plan, time.Now)
	if err == nil {
		err = readCertificates(plan)
	}
	if err != nil {
		return nil, err
	}
	if err := saved.restoreAgreed(plane, record); err != nil {
		return nil, err
	}
	file.allows = plane.Allows
	l := &Lab{
		process: newProcess(cfg.Machine, cfg.Log), machine: cfg.Machine, store: cfg.Store, started: time.Now(),
		plane: plane, file: file, saved: saved, kept: keptPlan{store: cfg.Store}, hosts: &hostsFiles{machine: cfg.Machine},
		faults: &liveFaults{faults: restoreFaults(saved)}, here: here,
	}
	l.pace = newPace(l, cfg)
	if cfg.Agreement != nil {
		l.agreed = newAgreed(cfg, l, record)
		if err := l.agreed.checkOthers(cfg.Keep); err != nil {
			return nil, err
		}
	}
	l.makeParts()
	l.authority.wanted = cfg.Authority
	left := l.kept.leftBehind(plan.Name, menderOf(ctx, l, cfg.Progress))
	if err := l.change(ctx, left, plan, cfg.Progress); err != nil {
		if !cfg.Keep {
			err = errors.Join(err, cfg.Machine.Remove(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	if err := l.run(ctx, plan, cfg); err != nil {
		if cfg.Keep {
			return nil, errors.Join(err, l.Leave())
		}
		return nil, errors.Join(err, l.Close(context.WithoutCancel(ctx)))
	}
	if cfg.TimeScale != 0 || cfg.Transition != 0 {
		_ = l.pace.save() // a failure is logged, and in the status
	}
	return l, nil
}

// begin is the file of a lab as it was edited before, here, or, where hosts agree on the
// lab, as the record says that they begin with.
func (c *Config) begin(ctx context.Context, saved *stateFiles) (record Record, file *fileState, err error) {
	if c.Agreement == nil {
		file, err = newFileState(c.Plan, saved.edits(), saved.saveEdits, c.Log)
		return record, file, err
	}
	if c.Host == "" {
		return record, nil, errors.New("hosts agree on a lab where each of them is one: say which this is")
	}
	if record, err = joining(ctx, *c, saved); err != nil {
		return record, nil, err
	}
	own, err := newFileState(c.Plan, nil, nil, c.Log)
	if err != nil {
		return record, nil, err
	}
	if file, _, err = readRecord(record, own); err != nil {
		return record, nil, err
	}
	file.save = saved.saveEdits
	saved.made = file.doc.Since(file.base)
	return record, file, nil
}

// makeParts makes what runs in this process, without anything that runs.
func (l *Lab) makeParts() {
	truster, _ := l.machine.(Truster)
	l.deleted = deletions{l.plane, l.file, l.replacer(quietly), l.log}
	l.room.origin = originsIn(l)
	l.authority = &authority{store: l.store, truster: truster, log: l.log}
	if l.agreed != nil {
		l.authority.shared = l.agreed.authority
	}
	l.services = &services{process: l.process, observe: l.plane.Observe}
	l.resolvers = &resolvers{process: l.process, observe: l.plane.Observe}
	l.cloud = &cloudServers{process: l.process, authority: l.authority}
	l.groups = &serverGroups{
		process: l.process, here: l.here, observe: l.plane.Observe, judged: make(chan struct{}, 1), runsProgram: l.services.runsProgram,
		cut: func(fate func(string, netip.AddrPort) fullnat.Fate) int { return l.engine.Cut(fate) },
	}
	l.groups.restore(l.saved)
	l.paths = &paths{process: l.process, observe: l.plane.Observe, changed: l.groups.setAway}
	l.proxies = &proxies{process: l.process, group: l.groups.group, authority: l.authority}
}

// menderOf lets a lab's machine go back to a plan that it was of when a process was killed
// that made it another one's; nil where the machine cannot.
func menderOf(ctx context.Context, l *Lab, progress Progress) func(plan, half *topology.Plan) bool {
	mender, can := l.machine.(Mender)
	if !can {
		return nil
	}
	return func(plan, half *topology.Plan) bool {
		err := l.onMachine(func() error { return mender.Mend(ctx, l.here.of(plan), l.here.of(half), progress) })
		if err != nil {
			l.log.Warn("a change was killed on its way, and what it left cannot be mended: the lab is made again", "error", err)
		}
		return err == nil
	}
}

// change makes the machine that of a plan. It leaves a mark until keep removes it: the
// mark says that the machine is between two plans. Where they are the same, what is
// missing is made, and whoever is killed meanwhile leaves nothing worse.
func (l *Lab) change(ctx context.Context, old, plan *topology.Plan, progress Progress) error {
	if old != nil && !l.kept.is(plan) {
		if err := l.kept.mark(plan); err != nil {
			return err
		}
	}
	if old != nil && l.current.machine != nil {
		old = l.current.machine // the same with the members that groups have now
	}
	err := l.onMachine(func() error { return l.machine.Change(ctx, l.here.of(old), l.here.of(plan), progress) })
	if err == nil {
		l.current.machine = plan
	}
	return err
}

// onMachine does a part of a change that is the machine's.
func (l *Lab) onMachine(do func() error) error {
	began := time.Now()
	defer func() { l.machineTime.Add(int64(time.Since(began))) }()
	return do()
}

// MachineTime is how long the lab's machine has worked on changes since the lab
// was started: what lies between two calls is the machine's part of the edits
// between them.
func (l *Lab) MachineTime() time.Duration { return time.Duration(l.machineTime.Load()) }

// run starts what runs in this process, in the order in which a packet needs
// it: programs that answer, health checks, names, the data plane.
func (l *Lab) run(ctx context.Context, plan *topology.Plan, cfg Config) error {
	cfg.Progress(0, 0, "open the data plane")
	if err := l.openDataplane(cfg.Workers, cmp.Or(cfg.MaxSessions, cfg.Plan.MaxSessions)); err != nil {
		return err
	}
	if err := l.services.endOthers(l.here.of(plan)); err != nil {
		return fmt.Errorf("end the programs of the earlier daemon: %w", err)
	}
	err := l.exclusively(func(t *transition) error {
		if err := t.startUserspace(plan, cfg.Progress); err != nil {
			return err
		}
		return t.putInForce(plan)
	})
	if err != nil {
		return err
	}
	l.tellResumed(l.engine.Resumed())
	// What comes before waits for the driver: nothing was taken over before.
	l.work.Go(l.forward)
	l.work.Go(l.reconcile)
	l.work.Go(l.saveEvents)
	l.work.Go(drains{Lab: l}.release)
	if l.agreed != nil {
		l.agreed.begin()
	}
	err = l.waitReady(ctx, cfg.Progress)
	if l.agreed == nil {
		l.deleted.forget(ctx)
	}
	return err
}

func (l *Lab) openDataplane(workers, maxSessions int) error {
	engine, err := l.machine.Dataplane(dataplane.EngineConfig{Table: fullnat.Options{MaxSessions: maxSessions}}, workers)
	if err != nil {
		return fmt.Errorf("open the data plane: %w", err)
	}
	l.engine = engine
	if cache := engine.FlowCache(); cache.Problem != "" {
		l.log.Warn("all packets go through userspace: there is no flow cache", "reason", cache.Problem)
	}
	return nil
}

func (l *Lab) forward() {
	if err := l.engine.Run(l.ctx); err != nil && !l.ended() {
		l.log.Error("the data plane stopped", "error", err)
	}
}

// tellResumed says what became of the sessions of the process that ran the lab
// before.
func (l *Lab) tellResumed(r fullnat.Resumed) {
	if r.Err != nil {
		l.saved.loseSessions(r.Err.Error())
	}
	if r.Damaged+r.Refused > 0 {
		l.saved.loseSessions(fmt.Sprintf("%d sessions of the earlier daemon were damaged or had no place, and %d go on",
			r.Damaged+r.Refused, r.Sessions))
	}
	if r != (fullnat.Resumed{}) {
		l.log.Info("sessions of the earlier daemon", "go_on", r.Sessions, "damaged", r.Damaged,
			"without_link", r.Foreign, "without_place", r.Refused)
	}
}

// Apply makes the lab what a changed plan says. Connections, sessions and
// programs that the change does not touch go on. It says whether anything was
// changed. With an error and nothing changed, the lab is what it was before, and
// programs that the change had stopped by then are started again. With an error
// and a change, the change is in force, and the error says what is not ready or
// not saved.
func (l *Lab) Apply(ctx context.Context, plan *topology.Plan, progress Progress) (changed bool, err error) {
	if l.agreed != nil {
		changed, err = l.agreed.apply(ctx, plan)
	} else {
		changed, err = l.file.apply(ctx, plan, l.replacer(progress))
	}
	if err != nil && !changed {
		return false, err
	}
	err = errors.Join(err, l.exclusively(func(t *transition) error {
		return t.services.startEnded(t.here.of(t.Plan()), progress)
	}))
	if changed {
		err = errors.Join(err, l.waitReady(ctx, progress), l.save())
	}
	return changed, err
}

// Restart ends the services of an instance, programs and built-in ones, and starts
// them again. It says which.
func (l *Lab) Restart(ref string) (restarted []string, err error) {
	err = l.exclusively(func(t *transition) error {
		plan := t.Plan()
		instance, err := plan.Running(ref)
		if err == nil {
			err = t.here.reaches(plan, instance)
		}
		if err != nil {
			return err
		}
		var specs []*keyedService
		for _, s := range t.services.of(plan) {
			if s.instance.Namespace == instance.Namespace {
				specs, restarted = append(specs, s), append(restarted, s.String())
			}
		}
		name := plan.ShortName(*instance)
		if len(specs) == 0 {
			return fmt.Errorf("instance %q has no services", name)
		}
		err = t.services.restart(t.here.of(plan), specs)
		if err == nil {
			t.plane.Observe(control.Event{Kind: "program", Name: name, Verb: "restart", To: "running",
				Text: fmt.Sprintf("the services of instance %s were started again: %s", name, strings.Join(restarted, ", "))})
		}
		return err
	})
	return restarted, err
}

// waitReady waits until every connection that needs nobody's consent is there,
// and every server was judged. reconcile does the work, so the caller must not
// be in a transition.
func (l *Lab) waitReady(ctx context.Context, progress Progress) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second+l.pace.transitionTime())
	defer cancel()
	progress(0, 0, "wait for the connections")
	if err := l.plane.WaitApplied(ctx, l.plane.Revision()); err != nil {
		return err
	}
	l.paths.wait(ctx, progress)
	l.groups.waitForHealth(ctx, l.plane.State().Plan, progress)
	return l.exclusively((*transition).publishNames) // reconcile may not have come to it
}

// reconcile puts every change of the control plane in force, and lets the
// resolvers know what the health checks found.
func (l *Lab) reconcile() {
	for {
		act := (*transition).followPlane
		select {
		case <-l.ctx.Done():
			return
		case <-l.plane.Changed():
		case <-l.groups.judged:
			act = (*transition).publishNames
		}
		if err := l.exclusively(act); err != nil && !l.ended() {
			l.log.Error("a change could not be put in force", "error", err)
		}
		_ = l.groups.save(l.saved) // a failure is logged, and in the status
	}
}

// save writes down what operations and edits changed. Its error is a
// *NotSavedError.
func (l *Lab) save() error { return l.file.settled(l.saved.save) }

// saveEvents writes down the state of the control plane, for a process that
// takes the lab over, and logs what happens.
func (l *Lab) saveEvents() {
	for event := range l.plane.Subscribe(l.ctx, 0) {
		l.log.Info(event.Text, "kind", event.Kind, "name", event.Name, "from", event.From, "to", event.To)
		_ = l.save() // a failure is logged, and in the status
	}
}

// Plan is what the lab runs now.
func (l *Lab) Plan() *topology.Plan { return l.current.plan.Load() }

// Pace is how fast the lab's time passes.
func (l *Lab) Pace() *Pace { return l.pace }

// Plane is the lab's control plane.
func (l *Lab) Plane() *control.Plane { return l.plane }

// Close stops everything and removes the lab from its machine. What is in the
// store stays.
func (l *Lab) Close(ctx context.Context) error {
	l.paths.leave()
	l.stop()
	// From here on nobody starts anything: a transition begins only while ctx
	// lives. This waits for the one that is there.
	l.current.changing.Lock()
	errs := []error{(&transition{l}).stopMissing(&topology.Plan{})}
	l.current.changing.Unlock() // for those of work that wait for it
	if l.engine != nil {
		errs = append(errs, l.engine.Close())
	}
	l.work.Wait()
	return errors.Join(append(errs, l.machine.Remove(ctx))...)
}

// Leave ends the data plane, and leaves everything to a process that takes the lab
// over: what is not on the machine or in the store ends with this process, which
// should end at once. Nothing may be asked of the lab from here on.
func (l *Lab) Leave() error {
	// Both for ever: what is not done by now is not begun.
	l.file.mu.Lock()
	l.current.changing.Lock()
	err := errors.Join(l.saved.save(), l.groups.save(l.saved))
	if l.engine != nil {
		err = errors.Join(err, l.engine.Leave())
	}
	return err
}

// File is the topology file that the lab came from, without its edits.
func (l *Lab) File() (name string, text []byte) {
	l.file.mu.Lock()
	defer l.file.mu.Unlock()
	return l.file.file.File, l.file.file.Source
}

// Client acts as a program on the instance that ref names.
func (l *Lab) Client(ref string) (*Client, error) {
	plan := l.Plan()
	instance, err := plan.Running(ref)
	if err == nil {
		err = l.here.reaches(plan, instance)
	}
	if err != nil {
		return nil, err
	}
	vpc := plan.MustVPC(instance.VPC)
	space, err := l.spaces.space(instance.Namespace)
	if err != nil {
		return nil, err
	}
	resolver, err := l.hosts.resolver(vpc, instance, space.DialContext)
	if err != nil {
		return nil, err
	}
	return &Client{resolver: resolver, space: space, trusted: l.authority.trusted}, nil
}

// Explain says what becomes of the first packet from an instance to a place as
// the lab is now.
func (l *Lab) Explain(from, to string) (*status.Explanation, error) {
	s := l.situation()
	s.Ports = l.engine.PortUse(maxFullPools)
	return s.Explain(from, to)
}

// maxFullPools is how many pools of NAT ports Explain looks at: those that are
// used up are the first.
const maxFullPools = 1 << 12

func (l *Lab) situation() compile.Situation {
	state := l.plane.State()
	s := compile.Situation{Plan: state.Plan, State: state, Numbers: l.numbers.whole(state.Plan), Health: l.health()}
	nobody := func(string, string, string) compile.Chooser {
		return compile.Chooser{} // no packet is sent, and pickers keep their turn
	}
	s.Desired = compile.Plan(state.Plan, state, s.Numbers, nobody)
	l.faults.impose(&s.Desired, state.Plan, s.Numbers)
	s.Names = compile.Names(l.pace.of(state.Plan), state, s.Health)
	return s
}

// health is what is known now, of the servers when somebody asks.
func (l *Lab) health() compile.Health {
	lost := l.paths.lost()
	down := maps.Clone(lost)
	for zone := range l.faults.zonesDown() {
		down[zone] = fmt.Sprintf("zone %s is down", zone)
	}
	return compile.Health{
		Servers:   l.groups.health(),
		ZonesDown: down, ZonesLost: lost,
		Cloud: l.cloud.names(),
	}
}
