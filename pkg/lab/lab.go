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
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Progress is told what is being done. Total is 0 where nobody knows it.
type Progress = host.Progress

// Lab is a running topology. Its methods may be called from any goroutine.
type Lab struct {
	dir     Dir
	log     *slog.Logger
	started time.Time
	plane   *control.Plane
	ring    *dataplane.Ring
	engine  *dataplane.Engine

	ctx  context.Context // ends when the lab is closed
	stop context.CancelFunc
	work sync.WaitGroup // goroutines that end with ctx

	// change is held while the lab becomes another one, and only while ctx
	// lives; mu while a field below is read or written.
	change    sync.Mutex
	mu        sync.Mutex
	plan      *topology.Plan
	numbers   Numbers
	netns     map[string]*host.Namespace
	groups    map[string]*runningGroup
	pickers   map[string]*lb.Picker // by link and group: a picker keeps its turn
	resolvers map[string]*runningResolver
	services  map[string]*service
	faults    *faults
}

type runningGroup struct {
	group *lb.Group
	stop  context.CancelFunc
}

type runningResolver struct {
	server *dns.Server
	stop   context.CancelFunc
}

// Start builds the lab's kernel side, or adopts what is already there of it,
// and starts everything that runs in this process. When it fails, or ctx ends
// before it returns, nothing of the lab is left. The caller holds the lab's
// lock.
func Start(ctx context.Context, dir Dir, plan *topology.Plan, log *slog.Logger, progress Progress) (*Lab, error) {
	plane, err := control.NewPlane(plan, time.Now)
	if err != nil {
		return nil, err
	}
	if err := build(ctx, dir, plan, plane, progress); err != nil {
		return nil, err
	}
	l := &Lab{
		dir: dir, log: log, started: time.Now(), plane: plane,
		numbers: Numbers{}, netns: map[string]*host.Namespace{}, groups: map[string]*runningGroup{}, pickers: map[string]*lb.Picker{},
		resolvers: map[string]*runningResolver{}, services: map[string]*service{}, faults: newFaults(),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	if err := l.run(ctx, plan, progress); err != nil {
		return nil, errors.Join(err, l.Close(context.WithoutCancel(ctx)))
	}
	return l, nil
}

// build makes the kernel side. What a daemon that was killed left behind is
// taken over, changed where the file has changed since.
func build(ctx context.Context, dir Dir, plan *topology.Plan, plane *control.Plane, progress Progress) error {
	old := leftBehind(dir)
	if old == nil {
		// A directory without a readable topology is a lab that was never
		// finished, or one of another version: nothing to go on with.
		if err := host.Remove(ctx, string(dir)); err != nil {
			return err
		}
		return host.Build(ctx, string(dir), plan, progress)
	}
	if saved, err := os.ReadFile(dir.Path("state.json")); err == nil {
		if err := plane.Restore(saved); err != nil {
			return fmt.Errorf("restore %s: %w", dir.Path("state.json"), err)
		}
	}
	return host.Change(ctx, string(dir), old, plan, progress)
}

func leftBehind(dir Dir) *topology.Plan {
	text, err := os.ReadFile(dir.Path("topology.yaml"))
	if err != nil {
		return nil
	}
	plan, err := topology.Parse(dir.Path("topology.yaml"), text)
	if err != nil || plan.Name != dir.Name() {
		return nil
	}
	return plan
}

// run starts what runs in this process, in the order in which a packet needs
// it: programs that answer, health checks, names, the data plane.
func (l *Lab) run(ctx context.Context, plan *topology.Plan, progress Progress) error {
	progress(0, 0, "open the data plane")
	if err := l.openDataplane(plan); err != nil {
		return err
	}
	if err := l.become(plan, progress); err != nil {
		return err
	}
	l.work.Go(l.follow)
	l.work.Go(l.save)
	return l.settle(ctx, progress)
}

func (l *Lab) openDataplane(plan *topology.Plan) error {
	ns, err := l.namespace(plan.Dataplane)
	if err != nil {
		return err
	}
	err = ns.Do(func() (err error) {
		l.ring, err = dataplane.OpenRing(dataplane.RingConfig{})
		return err
	})
	if err != nil {
		return fmt.Errorf("open the packet ring: %w", err)
	}
	l.engine, err = dataplane.NewEngine(dataplane.EngineConfig{Driver: l.ring})
	if err != nil {
		return errors.Join(err, l.ring.Close())
	}
	l.work.Go(func() {
		if err := l.engine.Run(l.ctx); err != nil && l.ctx.Err() == nil {
			l.log.Error("the data plane stopped", "error", err)
		}
	})
	return nil
}

// namespace is one of the lab's namespaces, open as long as the lab is.
func (l *Lab) namespace(name string) (*host.Namespace, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ns := l.netns[name]; ns != nil {
		return ns, nil
	}
	ns, err := host.Open(string(l.dir), name)
	if err == nil {
		l.netns[name] = ns
	}
	return ns, err
}

// forgetNamespaces closes those that the plan has no more.
func (l *Lab) forgetNamespaces(plan *topology.Plan) error {
	keep := map[string]bool{plan.Dataplane: true}
	for _, vpc := range plan.VPCs {
		keep[vpc.Namespace] = true
		for _, instance := range vpc.Instances {
			keep[instance.Namespace] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for name, ns := range l.netns {
		if !keep[name] {
			errs = append(errs, ns.Close())
			delete(l.netns, name)
		}
	}
	return errors.Join(errs...)
}

// Apply makes the lab what a changed plan says. Connections, sessions and
// programs that the change does not touch go on. It says whether there was
// anything to change.
func (l *Lab) Apply(ctx context.Context, plan *topology.Plan, progress Progress) (changed bool, err error) {
	old := l.Plan()
	if plan.Name != old.Name {
		return false, fmt.Errorf("the lab is %q, and the file describes %q", old.Name, plan.Name)
	}
	if string(old.Source) == string(plan.Source) {
		return false, nil
	}
	if err := l.replace(ctx, plan, progress); err != nil {
		return true, err
	}
	return true, l.settle(ctx, progress)
}

func (l *Lab) replace(ctx context.Context, plan *topology.Plan, progress Progress) error {
	l.change.Lock()
	defer l.change.Unlock()
	if l.ctx.Err() != nil {
		return errors.New("the lab is just being taken down")
	}
	old := l.Plan()
	if err := l.plane.Apply(plan); err != nil {
		return err
	}
	if err := host.Change(ctx, string(l.dir), old, plan, progress); err != nil {
		// The kernel is as before, so everything else must be, too.
		return errors.Join(err, l.plane.Apply(old))
	}
	return l.become(plan, progress)
}

// become starts what plan has and the lab has not, stops what it has no more,
// and puts the result in force. The kernel side is there already.
func (l *Lab) become(plan *topology.Plan, progress Progress) error {
	if err := errors.Join(l.forgetNamespaces(plan), l.numberENIs(plan)); err != nil {
		return err
	}
	progress(0, 0, "start the services of the instances")
	if err := l.becomeServices(plan); err != nil {
		return err
	}
	if err := l.becomeGroups(plan); err != nil {
		return err
	}
	progress(0, 0, "start the resolvers")
	if err := l.becomeResolvers(plan); err != nil {
		return err
	}
	l.mu.Lock()
	l.plan = plan
	l.mu.Unlock()
	if err := l.putInForce(); err != nil {
		return err
	}
	return writeFile(l.dir.Path("topology.yaml"), plan.Source)
}

// settle waits until every connection that needs nobody's consent is there.
// follow does the work, so the caller must not hold change.
func (l *Lab) settle(ctx context.Context, progress Progress) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	progress(0, 0, "wait for the connections")
	return l.plane.WaitApplied(ctx, l.plane.Revision())
}

// numberENIs gives every new ENI a number and tells the ring.
func (l *Lab) numberENIs(plan *topology.Plan) error {
	indexes, err := host.ENIIndexes(string(l.dir), plan)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var highest packet.ENI
	for _, n := range l.numbers {
		highest = max(highest, n)
	}
	byIndex := map[int]packet.ENI{}
	for _, device := range slices.Sorted(maps.Keys(indexes)) {
		if _, known := l.numbers[device]; !known {
			highest++
			l.numbers[device] = highest
		}
		byIndex[indexes[device]] = l.numbers[device]
	}
	return l.ring.SetENIs(byIndex)
}

func (l *Lab) becomeServices(plan *topology.Plan) error {
	want := map[string]struct{}{}
	type start struct {
		key      string
		instance topology.Instance
		spec     topology.InstanceService
	}
	var starts []start
	for _, vpc := range plan.VPCs {
		for _, instance := range vpc.Instances {
			for _, spec := range instance.Services {
				key := serviceKey(instance, spec)
				want[key] = struct{}{}
				if l.service(key) == nil {
					starts = append(starts, start{key, instance, spec})
				}
			}
		}
	}
	l.mu.Lock()
	var gone []*service
	for key, s := range l.services {
		if _, keep := want[key]; !keep {
			gone = append(gone, s)
			delete(l.services, key)
		}
	}
	l.mu.Unlock()
	for _, s := range gone {
		s.stop()
	}
	for _, s := range starts {
		ns, err := l.namespace(s.instance.Namespace)
		if err != nil {
			return err
		}
		running, err := startService(l.ctx, l.dir, ns, s.instance, s.spec)
		if err != nil {
			return fmt.Errorf("instance %q: service %s: %w", s.instance.Name, describeService(s.spec), err)
		}
		l.mu.Lock()
		l.services[s.key] = running
		l.mu.Unlock()
	}
	return nil
}

func (l *Lab) service(key string) *service {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.services[key]
}

func describeService(spec topology.InstanceService) string {
	if spec.Kind == "command" {
		return fmt.Sprintf("command %q", spec.Argv[0])
	}
	return fmt.Sprintf("%s %d", spec.Kind, spec.Port)
}

// becomeGroups keeps the health of the servers that stay.
func (l *Lab) becomeGroups(plan *topology.Plan) error {
	want := map[string]bool{}
	for _, sg := range plan.ServerGroups {
		want[sg.Name] = true
		if err := l.becomeGroup(plan, sg); err != nil {
			return fmt.Errorf("server group %q: %w", sg.Name, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, running := range l.groups {
		if !want[name] {
			running.stop()
			delete(l.groups, name)
			maps.DeleteFunc(l.pickers, func(key string, _ *lb.Picker) bool { return strings.HasSuffix(key, " "+name) })
		}
	}
	return nil
}

func (l *Lab) becomeGroup(plan *topology.Plan, sg topology.ServerGroup) error {
	vpc, err := plan.VPC(sg.VPC)
	if err != nil {
		return err
	}
	ns, err := l.namespace(vpc.Namespace)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	running := l.groups[sg.Name]
	if running == nil {
		running = &runningGroup{group: lb.NewGroup(sg)}
		l.groups[sg.Name] = running
	} else {
		running.stop()
		running.group.Update(sg)
	}
	ctx, cancel := context.WithCancel(l.ctx)
	running.stop = cancel
	checker := &lb.Checker{
		Group: running.group,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return ns.DialFrom(ctx, vpc.HealthSource, network, address)
		},
		Changed: func(h lb.ServerHealth) { l.serverChanged(sg.Name, h) },
	}
	l.work.Go(func() { checker.Run(ctx) })
	return nil
}

func (l *Lab) serverChanged(group string, h lb.ServerHealth) {
	from, to := "healthy", "unhealthy"
	if h.Healthy {
		from, to = to, from
	}
	text := fmt.Sprintf("server %s (%s) of %s is %s", h.Instance, h.Server, group, to)
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	l.plane.Observe(control.Event{Kind: "server", Name: group + "/" + h.Instance, Verb: "check", From: from, To: to, Text: text})
}

func (l *Lab) becomeResolvers(plan *topology.Plan) error {
	want := map[string]bool{}
	for _, vpc := range plan.VPCs {
		want[vpc.Name] = true
		l.mu.Lock()
		running := l.resolvers[vpc.Name]
		l.mu.Unlock()
		if running != nil {
			continue
		}
		running, err := l.startResolver(vpc)
		if err != nil {
			return fmt.Errorf("vpc %q: start its resolver: %w", vpc.Name, err)
		}
		l.mu.Lock()
		l.resolvers[vpc.Name] = running
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, running := range l.resolvers {
		if !want[name] {
			running.stop()
			delete(l.resolvers, name)
		}
	}
	return nil
}

func (l *Lab) startResolver(vpc topology.VPC) (*runningResolver, error) {
	ctx, cancel := context.WithCancel(l.ctx)
	running := &runningResolver{server: &dns.Server{}, stop: cancel}
	ns, err := l.namespace(vpc.Namespace)
	if err != nil {
		cancel()
		return nil, err
	}
	for _, addr := range vpc.Resolvers {
		at := netip.AddrPortFrom(addr, 53).String()
		pc, err := ns.ListenPacket(ctx, "udp", at)
		if err != nil {
			cancel()
			return nil, err
		}
		ln, err := ns.Listen(ctx, "tcp", at)
		if err != nil {
			pc.Close()
			cancel()
			return nil, err
		}
		l.work.Go(func() {
			if err := running.server.Serve(ctx, pc, ln); err != nil && ctx.Err() == nil {
				l.log.Error("a resolver stopped", "vpc", vpc.Name, "address", at, "error", err)
			}
		})
	}
	return running, nil
}

// putInForce compiles what should be, hands it to those who do it, and tells
// the control plane.
func (l *Lab) putInForce() error {
	state := l.plane.State()
	l.mu.Lock()
	desired := Compile(l.plan, state, l.numbers, l.pick)
	l.faults.impose(&desired, l.plan, l.numbers)
	resolvers := maps.Clone(l.resolvers)
	l.mu.Unlock()
	if err := l.engine.Configure(desired.Dataplane); err != nil {
		return fmt.Errorf("configure the data plane: %w", err)
	}
	for vpc, cfg := range desired.DNS {
		view, err := dns.NewView(cfg)
		if err != nil {
			return fmt.Errorf("vpc %q: configure its resolver: %w", vpc, err)
		}
		resolvers[vpc].server.SetView(view)
	}
	l.plane.Report(state.Revision)
	return nil
}

// pick is called with mu held. Pickers are asked by the data plane alone.
func (l *Lab) pick(link, group string, eligible func(topology.Server) bool) func(fullnat.Tuple) (netip.AddrPort, bool) {
	running := l.groups[group]
	if running == nil {
		return nil
	}
	key := link + " " + group
	p := l.pickers[key]
	if p == nil {
		p = running.group.Picker(eligible)
		l.pickers[key] = p
	}
	return func(fullnat.Tuple) (netip.AddrPort, bool) { return p.Pick() }
}

// follow puts every change of the control plane in force.
func (l *Lab) follow() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.plane.Changed():
		}
		if err := l.catchUp(); err != nil && l.ctx.Err() == nil {
			l.log.Error("a change could not be put in force", "error", err)
		}
	}
}

func (l *Lab) catchUp() error {
	l.change.Lock()
	defer l.change.Unlock()
	if l.ctx.Err() != nil {
		return nil
	}
	return l.putInForce()
}

// save writes down who is accepted, for a daemon that takes the lab over, and
// logs what happens.
func (l *Lab) save() {
	for event := range l.plane.Subscribe(l.ctx, 0) {
		l.log.Info(event.Text, "kind", event.Kind, "name", event.Name, "from", event.From, "to", event.To)
		if event.Kind != "connection" {
			continue
		}
		saved, err := l.plane.Save()
		if err == nil {
			err = writeFile(l.dir.Path("state.json"), saved)
		}
		if err != nil {
			l.log.Error("the state could not be saved", "error", err)
		}
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
	services := slices.Collect(maps.Values(l.services))
	l.change.Unlock()
	for _, s := range services {
		s.stop()
	}
	var errs []error
	if l.engine != nil {
		errs = append(errs, l.engine.Close())
	}
	l.work.Wait()
	errs = append(errs, l.forgetNamespaces(&topology.Plan{}))
	return errors.Join(append(errs, host.Remove(ctx, string(l.dir)))...)
}

// Client acts as a program on the instance that ref names.
func (l *Lab) Client(ref string) (*Client, error) {
	plan := l.Plan()
	instance, err := plan.Instance(ref)
	if err != nil {
		return nil, err
	}
	vpc, err := plan.VPC(instance.VPC)
	if err != nil {
		return nil, err
	}
	ns, err := l.namespace(instance.Namespace)
	if err != nil {
		return nil, err
	}
	return &Client{dial: ns.DialContext, listen: ns.Listen, resolver: ns.Resolver(vpc.Resolvers)}, nil
}
