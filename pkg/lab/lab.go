// Package lab runs a topology: it is the only package that knows all the
// others. A Lab holds what is running; Compile, which is pure, decides from
// the file and the state of the control plane what should run, and one
// goroutine makes it so whenever that state changes.
//
// Everything that a lab makes outside of the process is in its Dir and in
// namespaces that the Dir pins, so Remove can take a lab down that nobody runs
// any more.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Progress is told what is being done. Total is 0 where nobody knows it.
type Progress = host.Progress

// Lab is a running topology. Its methods may be called from any goroutine.
type Lab struct {
	dir     labdir.Dir
	log     *slog.Logger
	started time.Time
	plane   *control.Plane
	kept    *stateFiles
	engine  *dataplane.RingWorkers

	ctx  context.Context // ends when the lab is closed
	stop context.CancelFunc
	work sync.WaitGroup // goroutines that end with ctx

	// change is held while the lab becomes another one, and only while ctx
	// lives; mu while a field below is read or written.
	judged   chan struct{} // gets a value when the health of a server has changed
	change   sync.Mutex
	checking sync.Mutex // held while checks run
	// adding is held, before change, while what is added to the file changes.
	adding    sync.Mutex
	base      *topology.Plan      // the file's; guarded by adding
	added     []topology.Addition // to base; guarded by adding
	mu        sync.Mutex
	plan      *topology.Plan
	numbers   compile.Numbers
	netns     map[string]*host.Namespace
	groups    map[string]*runningGroup
	pickers   map[string][]boundPicker // by link: a picker keeps its turn
	resolvers map[string]*runningResolver
	services  map[string]*service
	hosts     map[string][]topology.HostName // in the hosts files, by VPC
	proxies   map[string]*runningProxy
	faults    *compile.Faults
	answers   map[string]answerState // by name of the ENI; for who holds change
}

// Option is something about how a lab runs that no topology says.
type Option func(*options)

type options struct{ workers int }

// Workers lets several threads carry the packets: 1, which is what there is
// without it, 2, 4, ... up to 64.
func Workers(n int) Option { return func(o *options) { o.workers = n } }

// Start builds the lab's kernel side, or adopts what is already there of it,
// and starts everything that runs in this process. When it fails, or ctx ends
// before it returns, nothing of the lab is left. The caller holds the lab's
// lock.
func Start(ctx context.Context, dir labdir.Dir, plan *topology.Plan, log *slog.Logger, progress Progress, opts ...Option) (*Lab, error) {
	o := options{workers: 1}
	for _, opt := range opts {
		opt(&o)
	}
	base := plan
	kept := newStateFiles(dir, log)
	plan, added := withAdditions(plan, kept.additions(), log)
	plane, err := control.NewPlane(plan, time.Now)
	if err == nil {
		err = readCertificates(plan)
	}
	if err != nil {
		return nil, err
	}
	kept.restore(plane)
	if err := build(ctx, dir, plan, progress); err != nil {
		return nil, errors.Join(err, host.Remove(context.WithoutCancel(ctx), string(dir)))
	}
	l := &Lab{
		dir: dir, log: log, started: time.Now(), plane: plane, kept: kept, base: base, added: added,
		numbers: compile.Numbers{}, netns: map[string]*host.Namespace{}, groups: map[string]*runningGroup{}, pickers: map[string][]boundPicker{},
		resolvers: map[string]*runningResolver{}, services: map[string]*service{}, faults: restoreFaults(kept),
		judged:  make(chan struct{}, 1),
		proxies: map[string]*runningProxy{},
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	if err := l.run(ctx, plan, o, progress); err != nil {
		return nil, errors.Join(err, l.Close(context.WithoutCancel(ctx)))
	}
	return l, nil
}

// build makes the kernel side. What a daemon that was killed left behind is
// taken over, changed where the file has changed since.
func build(ctx context.Context, dir labdir.Dir, plan *topology.Plan, progress Progress) error {
	if old := leftBehind(dir); old != nil {
		return changeKernel(ctx, dir, old, plan, progress)
	}
	if err := host.Remove(ctx, string(dir)); err != nil {
		return err
	}
	return host.Build(ctx, string(dir), plan, progress)
}

// leftBehind is the plan of which the kernel side is there, or nil where that
// is not known: a lab that was never finished, one that was killed while it
// became another, or one of another version.
func leftBehind(dir labdir.Dir) *topology.Plan {
	if _, err := os.Stat(dir.Path("changing")); err == nil {
		return nil
	}
	text, err := dir.Load("topology.yaml")
	if err != nil {
		return nil
	}
	plan, err := topofile.Parse(dir.Path("topology.yaml"), text)
	if err != nil || plan.Name != dir.Name() {
		return nil
	}
	return plan
}

// changeKernel leaves a mark until keep removes it: whoever finds the mark
// knows that the kernel is between two plans.
func changeKernel(ctx context.Context, dir labdir.Dir, old, plan *topology.Plan, progress Progress) error {
	if err := os.WriteFile(dir.Path("changing"), nil, 0o600); err != nil {
		return err
	}
	return host.Change(ctx, string(dir), old, plan, progress)
}

// keep writes down the plan that the kernel side is of.
func keep(dir labdir.Dir, plan *topology.Plan) error {
	if err := dir.Save("topology.yaml", plan.Source); err != nil {
		return err
	}
	if err := os.Remove(dir.Path("changing")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// run starts what runs in this process, in the order in which a packet needs
// it: programs that answer, health checks, names, the data plane.
func (l *Lab) run(ctx context.Context, plan *topology.Plan, o options, progress Progress) error {
	progress(0, 0, "open the data plane")
	if err := l.openDataplane(plan, o.workers); err != nil {
		return err
	}
	if err := l.become(plan, progress); err != nil {
		return err
	}
	if err := l.putInForce(plan); err != nil {
		return err
	}
	l.work.Go(l.follow)
	l.work.Go(l.save)
	l.work.Go(l.release)
	return l.settle(ctx, progress)
}

func (l *Lab) openDataplane(plan *topology.Plan, workers int) error {
	ns, err := l.namespace(plan.Dataplane)
	if err != nil {
		return err
	}
	err = ns.Do(func() (err error) {
		l.engine, err = dataplane.OpenWorkers(dataplane.RingConfig{}, dataplane.EngineConfig{}, workers)
		return err
	})
	if err != nil {
		return fmt.Errorf("open the data plane: %w", err)
	}
	l.work.Go(func() {
		if err := l.engine.Run(l.ctx); err != nil && l.ctx.Err() == nil {
			l.log.Error("the data plane stopped", "error", err)
		}
	})
	return nil
}

// Apply makes the lab what a changed plan says. Connections, sessions and
// programs that the change does not touch go on. It says whether there was
// anything to change. When it fails, the lab is what it was before; programs
// that the change had stopped by then are started again.
func (l *Lab) Apply(ctx context.Context, plan *topology.Plan, progress Progress) (changed bool, err error) {
	changed, err = l.take(ctx, plan, progress)
	if err != nil || !changed {
		return false, err
	}
	return true, errors.Join(l.settle(ctx, progress), l.kept.save(l.plane))
}

// take makes the lab what a file says with what was added beside it.
func (l *Lab) take(ctx context.Context, base *topology.Plan, progress Progress) (changed bool, err error) {
	l.adding.Lock()
	defer l.adding.Unlock()
	plan, added := withAdditions(base, l.added, l.log)
	changed, err = l.replace(ctx, plan, progress)
	if err == nil {
		l.base = base
		if len(added) != len(l.added) {
			l.setAdditions(added)
		}
	}
	return changed, err
}

func (l *Lab) replace(ctx context.Context, plan *topology.Plan, progress Progress) (changed bool, err error) {
	l.change.Lock()
	defer l.change.Unlock()
	if l.ctx.Err() != nil {
		return false, errors.New("the lab is just being taken down")
	}
	old := l.Plan()
	if plan.Name != old.Name {
		return false, fmt.Errorf("the lab is %q, and the file describes %q", old.Name, plan.Name)
	}
	if string(old.Source) == string(plan.Source) {
		return false, nil
	}
	if err := readCertificates(plan); err != nil {
		return false, err
	}
	err = changeKernel(ctx, l.dir, old, plan, progress)
	if err != nil {
		// The kernel is as before, but namespaces that plan has not were made
		// again, and what ran in them is in those that are gone.
		return false, errors.Join(err, l.retire(plan), l.goBack(old))
	}
	// The control plane is last: what it forgets of connections that plan has
	// not, it could not take back.
	if err = l.become(plan, progress); err == nil {
		err = l.plane.Apply(plan)
	}
	if err == nil {
		return true, l.putInForce(plan)
	}
	undo := host.Change(context.WithoutCancel(ctx), string(l.dir), plan, old, nil)
	return false, errors.Join(err, undo, l.goBack(old))
}

// goBack makes everything that is not in the kernel what an old plan says
// again.
func (l *Lab) goBack(old *topology.Plan) error {
	err := l.become(old, func(int, int, string) {})
	if err == nil {
		err = l.putInForce(old)
	}
	if err != nil {
		return fmt.Errorf("go back to what the lab was: %w", err)
	}
	return nil
}

// become starts what plan has and the lab has not, stops what it has no more,
// and writes plan down. The kernel side is there already, and nothing passes
// differently until putInForce.
func (l *Lab) become(plan *topology.Plan, progress Progress) error {
	if err := errors.Join(l.retire(plan), l.numberENIs(plan)); err != nil {
		return err
	}
	if err := l.prepareAuthority(plan); err != nil {
		return err
	}
	progress(0, 0, "start the services of the instances")
	if err := l.startServices(plan); err != nil {
		return err
	}
	l.staleGroups()
	if err := l.openProxies(plan); err != nil {
		return err
	}
	progress(0, 0, "start the resolvers")
	if err := l.startResolvers(plan); err != nil {
		return err
	}
	return keep(l.dir, plan)
}

// settle waits until every connection that needs nobody's consent is there, and
// every server was judged. follow does the work, so the caller must not hold
// change.
func (l *Lab) settle(ctx context.Context, progress Progress) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	progress(0, 0, "wait for the connections")
	if err := l.plane.WaitApplied(ctx, l.plane.Revision()); err != nil {
		return err
	}
	l.waitForHealth(ctx, progress)
	return nil
}

// putInForce compiles what should be, hands it to those who do it, and tells
// the control plane.
func (l *Lab) putInForce(plan *topology.Plan) error {
	state := l.plane.State()
	if err := l.followGroups(state.Plan); err != nil {
		return err
	}
	if err := l.followProxies(state.Plan); err != nil {
		return err
	}
	l.mu.Lock()
	l.plan = plan
	pickers := map[string][]boundPicker{}
	desired := compile.Plan(state.Plan, state, l.numbers, func(link, group, zone string) compile.Chooser {
		those := l.pickersFor(link, group, zone)
		pickers[link] = union(pickers[link], those)
		return chooserOf(those)
	})
	l.pickers = pickers
	l.faults.Impose(&desired, state.Plan, l.numbers)
	l.mu.Unlock()
	if err := l.engine.Configure(desired.Dataplane); err != nil {
		return fmt.Errorf("configure the data plane: %w", err)
	}
	if err := l.publishNames(state); err != nil {
		return err
	}
	if err := l.setHosts(plan, desired.Hosts); err != nil {
		return err
	}
	l.plane.Report(state.Revision)
	return nil
}

// follow puts every change of the control plane in force, and lets the
// resolvers know what the health checks found.
func (l *Lab) follow() {
	for {
		act := l.catchUp
		select {
		case <-l.ctx.Done():
			return
		case <-l.plane.Changed():
		case <-l.judged:
			act = l.renewNames
		}
		if err := act(); err != nil && l.ctx.Err() == nil {
			l.log.Error("a change could not be put in force", "error", err)
		}
	}
}

// renewNames changes what the resolvers answer and nothing else.
func (l *Lab) renewNames() error {
	l.change.Lock()
	defer l.change.Unlock()
	if l.ctx.Err() != nil {
		return nil
	}
	return l.publishNames(l.plane.State())
}

func (l *Lab) catchUp() error {
	l.change.Lock()
	defer l.change.Unlock()
	if l.ctx.Err() != nil {
		return nil
	}
	return l.putInForce(l.plan)
}

// save writes down the state of the control plane, for a daemon that takes the
// lab over, and logs what happens.
func (l *Lab) save() {
	for event := range l.plane.Subscribe(l.ctx, 0) {
		l.log.Info(event.Text, "kind", event.Kind, "name", event.Name, "from", event.From, "to", event.To)
		l.kept.save(l.plane) // a failure is logged, and in the status
	}
}

// Plan is what the lab runs now.
func (l *Lab) Plan() *topology.Plan {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.plan
}

// Plane is the lab's control plane.
func (l *Lab) Plane() *control.Plane { return l.plane }

// Close stops everything and removes the lab from the kernel and the file
// system, all but the lock and the directory that holds it.
func (l *Lab) Close(ctx context.Context) error {
	l.stop()
	// From here on nobody starts anything: who holds change looks at ctx first.
	l.change.Lock()
	errs := []error{l.retire(&topology.Plan{})}
	l.change.Unlock() // for those of work who wait for it
	if l.engine != nil {
		errs = append(errs, l.engine.Close())
	}
	l.work.Wait()
	return errors.Join(append(errs, host.Remove(ctx, string(l.dir)))...)
}

// Client acts as a program on the instance that ref names.
func (l *Lab) Client(ref string) (*Client, error) {
	plan := l.Plan()
	instance, err := plan.Instance(ref)
	if err != nil {
		return nil, err
	}
	vpc := plan.MustVPC(instance.VPC)
	ns, err := l.namespace(instance.Namespace)
	if err != nil {
		return nil, err
	}
	resolver, err := l.resolver(vpc, instance, ns.DialContext)
	if err != nil {
		return nil, err
	}
	return &Client{resolver: resolver, dial: ns.DialContext, listen: ns.Listen, trusted: l.trusted}, nil
}

// resolver finds names as the programs of an instance do.
func (l *Lab) resolver(vpc *topology.VPC, instance *topology.Instance, dial dns.Dial) (*dns.Resolver, error) {
	return dns.NewResolver(topology.ResolvConf(vpc), func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		return topology.HostsFile(instance, l.hosts[vpc.Name])
	}, dial)
}

// setHosts writes the hosts files of every instance. Those that are as the
// plan of the kernel side made them, and were before, need no look.
func (l *Lab) setHosts(plan *topology.Plan, names map[string][]topology.HostName) error {
	l.mu.Lock()
	before := l.hosts
	l.mu.Unlock()
	for i := range plan.VPCs {
		vpc := &plan.VPCs[i]
		if now := names[vpc.Name]; slices.Equal(now, plan.HostNames(vpc.Name)) && slices.Equal(now, before[vpc.Name]) {
			continue
		}
		for j := range vpc.Instances {
			if err := host.SetHosts(string(l.dir), &vpc.Instances[j], names[vpc.Name]); err != nil {
				return fmt.Errorf("instance %q: write its hosts file: %w", plan.ShortName(vpc.Instances[j]), err)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = names
	return nil
}
