package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Progress hears of each step that is done, one call at a time. What names the
// thing that the step was for.
type Progress func(done, total int, what string)

// Build makes the lab of a plan in dir, and returns when packets pass. On a lab
// that is up it makes what is missing. When it fails or ctx ends it undoes what
// it made.
func Build(ctx context.Context, dir string, plan *topology.Plan, progress Progress) error {
	return Change(ctx, dir, nil, plan, progress)
}

// Change makes the lab of a plan out of the lab of an old one: what the new
// plan does not have is undone first, the latest first, and processes in
// instances that go are ended. Then what is new is done, and the whole of every
// VPC in which something was undone. When Change fails or ctx ends, it goes back
// to the old plan. An old plan of nil is one of which nothing is known.
func Change(ctx context.Context, dir string, old, plan *topology.Plan, progress Progress) error {
	_, err := ChangeTold(ctx, dir, old, plan, progress)
	return err
}

// ChangeTold is Change that says which devices in the data plane's namespace may have
// other indexes than before: those that it names, or with an error all.
func ChangeTold(ctx context.Context, dir string, old, plan *topology.Plan, progress Progress) ([]string, error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	if old == nil {
		return devicesIn(plan.Dataplane, groups(plan)), build(ctx, dir, plan, progress)
	}
	d := differenceOf(old, plan)
	return devicesIn(plan.Dataplane, d.do), change(ctx, dir, old, d, progress)
}

// Mend makes the lab in dir that of plan again, which it was until a process that made
// it that of half was killed, wherever that was: what half alone has is undone, and
// what is missing is done. What the two have in common stays.
func Mend(ctx context.Context, dir string, plan, half *topology.Plan, progress Progress) error {
	if err := checkDir(dir); err != nil {
		return err
	}
	if err := undoAll(dir, differenceOf(half, plan).undo); err != nil {
		return err
	}
	all := groups(plan)
	if _, err := doAll(ctx, dir, all, unknown, progress); err != nil {
		return err
	}
	return awaitCarriers(ctx, dir, all)
}

// devicesIn are the devices that groups make in a namespace at the far ends of pairs.
func devicesIn(namespace string, made []group) (devices []string) {
	for _, t := range slices.Concat(made...) {
		if v, ok := t.Step.(Veth); ok && v.PeerNamespace == namespace {
			devices = append(devices, v.Peer)
		}
	}
	return devices
}

func change(ctx context.Context, dir string, old *topology.Plan, d difference, progress Progress) error {
	if err := undoAll(dir, d.undo); err != nil {
		return errors.Join(err, restore(ctx, dir, old))
	}
	there := unknown
	if len(d.undo) == 0 {
		there = different
	}
	made, err := doAll(ctx, dir, d.do, there, progress)
	if err == nil {
		err = awaitCarriers(ctx, dir, d.do)
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, undoAll(dir, made), restore(ctx, dir, old))
}

func build(ctx context.Context, dir string, plan *topology.Plan, progress Progress) error {
	had, err := Namespaces(dir)
	if err != nil {
		return err
	}
	_, statErr := os.Stat(dir)
	if err := makeTrees(dir); err != nil {
		return errors.Join(explain(err), abandon(dir, statErr != nil))
	}
	all := groups(plan)
	there := unknown
	if len(had) == 0 {
		there = nothing
	}
	made, err := doAll(ctx, dir, all, there, progress)
	if err == nil {
		err = awaitCarriers(ctx, dir, all)
	}
	if err == nil {
		return nil
	}
	if len(had) == 0 {
		return errors.Join(err, abandon(dir, statErr != nil))
	}
	return errors.Join(err, undoAll(dir, made))
}

// Remove takes away everything that this package made of the lab in dir, and
// dir itself where the caller keeps nothing else there. Processes that are in
// the lab's namespaces are asked to end, and killed if they do not. Remove
// succeeds where there is nothing, needs no plan, and works on what a crash
// left behind.
func Remove(ctx context.Context, dir string) error {
	if err := checkDir(dir); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := killInside(dir); err != nil {
		return err
	}
	if err := removeTrees(dir); err != nil {
		return err
	}
	_ = os.Remove(dir) // unless something of the caller's is there
	return nil
}

// checkDir refuses what is certainly no lab's directory, for Remove removes it.
func checkDir(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Dir(filepath.Clean(dir)) == "/" {
		return fmt.Errorf("%q cannot be a lab's directory: give an absolute path, for example /run/plinksim/LAB", dir)
	}
	return nil
}

// abandon removes what this package made in dir, and dir if it was made too.
func abandon(dir string, made bool) error {
	err := errors.Join(killInside(dir), removeTrees(dir))
	if made {
		_ = os.Remove(dir) // unless the caller has put something there meanwhile
	}
	return err
}

func restore(ctx context.Context, dir string, old *topology.Plan) error {
	if _, err := doAll(context.WithoutCancel(ctx), dir, groups(old), unknown, nil); err != nil {
		return fmt.Errorf("go back to the old plan: %w", err)
	}
	return nil
}

// undoAll undoes steps in the order that they are given in. It goes on when
// one fails, so that as little as possible is left.
func undoAll(dir string, steps []Step) error {
	if len(steps) == 0 {
		return nil
	}
	return onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		var errs []error
		for _, s := range steps {
			if err := s.(doer).undo(k); err != nil {
				errs = append(errs, fmt.Errorf("undo %s: %w", s, err))
			}
			k.trim()
		}
		return errors.Join(errs...)
	})
}

// doAll does groups, stage by stage. It returns the steps that it made, in the order in
// which they can be undone.
func doAll(ctx context.Context, dir string, gs []group, there presence, progress Progress) (made []Step, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := &run{ctx: ctx, cancel: cancel, dir: dir, there: there, progress: progress}
	for _, g := range gs {
		run.total += len(g)
	}
	for _, stage := range stages(gs) {
		made = append(run.stage(stage), made...)
		// The first failure made the other workers stop. A context that ends after
		// the last step still fails the build.
		if err := context.Cause(ctx); err != nil {
			return made, err
		}
	}
	return made, nil
}

// stages are the groups of a lab as lists of groups that can be done side by side: the
// first group; of each VPC what comes before its first instance; each instance, and
// what comes after it; and last what holds instances to their own addresses.
func stages(gs []group) [][]group {
	var heads, parts, guards []group
	for _, g := range gs[1:] {
		var head, part group
		together := guardsOf(g)
		for i, t := range g {
			switch t.Step.(type) {
			case PortGuard:
				continue
			case Netns:
				if i > 0 {
					parts = appendSome(parts, part)
					part = group{t}
					continue
				}
			}
			if part == nil {
				head = append(head, t)
			} else {
				part = append(part, t)
			}
		}
		heads, parts, guards = appendSome(heads, head), appendSome(parts, part), append(guards, together...)
	}
	return [][]group{gs[:1], heads, parts, guards}
}

func appendSome(gs []group, g group) []group {
	if len(g) == 0 {
		return gs
	}
	return append(gs, g)
}

// stage does groups that do not depend on each other. It returns the steps that it
// made, the latest first.
func (r *run) stage(gs []group) (made []Step) {
	var next atomic.Int64
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range min(len(gs), workers()) {
		wait.Go(func() {
			m, err := r.groups(gs, &next)
			slices.Reverse(m)
			mu.Lock()
			defer mu.Unlock()
			made = append(made, m...)
			if err != nil {
				r.cancel(err)
			}
		})
	}
	wait.Wait()
	return made
}

// workers is how many threads build. The kernel serialises most of the work,
// so more than a few only wait for each other.
func workers() int { return min(runtime.GOMAXPROCS(0), 4) }

// run is one doAll.
type run struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	dir      string
	there    presence
	total    int
	mu       sync.Mutex
	done     int
	progress Progress
}

// groups does one group after the other on one thread, taking the next one
// that nobody has taken.
func (r *run) groups(gs []group, next *atomic.Int64) (made []Step, err error) {
	err = onThread(func() error {
		k := newKernel(r.dir)
		k.there = r.there
		defer k.close()
		for {
			i := int(next.Add(1)) - 1
			if i >= len(gs) {
				return nil
			}
			for _, t := range gs[i] {
				if err := context.Cause(r.ctx); err != nil {
					return err
				}
				ok, err := t.Step.(doer).do(k)
				if ok {
					made = append(made, t.Step)
				}
				if err != nil {
					return stepError(t, err)
				}
				r.report(t)
				k.trim()
			}
		}
	})
	return made, err
}

func (r *run) report(t task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	if all, ok := t.Step.(guards); ok {
		r.done += len(all.steps) - 1
	}
	if r.progress != nil {
		r.progress(r.done, r.total, t.what)
	}
}

func stepError(t task, err error) error {
	var denied *Denied
	if errors.As(explain(err), &denied) {
		// Not as a command: a user would try it and see that it works, or
		// something else that has nothing to do with this.
		return &Denied{fmt.Errorf("%s: %w", t.what, err), denied.Remedy}
	}
	command, _, _ := strings.Cut(t.String(), "\n")
	return fmt.Errorf("%s: %s: %w", t.what, command, err)
}
