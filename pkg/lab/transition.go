package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/topology"
)

var errClosing = errors.New("the lab is just being taken down")

// currentPlan is what a lab runs. changing is held while that becomes another
// one.
type currentPlan struct {
	changing sync.Mutex
	plan     atomic.Pointer[topology.Plan]
	machine  *topology.Plan  // of which the machine is; guarded by changing
	inForce  uint64          // the revision of the control plane that is; guarded by changing
	planner  compile.Planner // guarded by changing
}

// transition is the right to change what a lab runs: see exclusively.
type transition struct{ *Lab }

// exclusively lets change have the only transition that there is. It does
// nothing once the lab is being taken down.
func (l *Lab) exclusively(change func(*transition) error) error {
	l.current.changing.Lock()
	defer l.current.changing.Unlock()
	if l.ended() {
		return nil
	}
	return change(&transition{l})
}

// replacer makes the lab that of another plan.
func (l *Lab) replacer(progress Progress) replace {
	return func(ctx context.Context, plan *topology.Plan, then func()) (changed bool, err error) {
		err = errClosing // unless there is a transition
		_ = l.exclusively(func(t *transition) error {
			changed, err = t.replace(ctx, plan, then, progress)
			return nil
		})
		return changed, err
	}
}

// NotInForceError says that a change was made, and that something of the lab does not
// follow it yet.
type NotInForceError struct{ Err error }

func (e *NotInForceError) Error() string {
	return fmt.Sprintf("the change was made, but it is not in force: %v", e.Err)
}

func (e *NotInForceError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *NotInForceError) Hint() string { return "the next change of the lab puts it in force, too" }

// replace makes the lab that of a plan. Where it was changed with an error, that is a
// *NotInForceError; where it was not, the lab is what it was before.
func (t *transition) replace(ctx context.Context, plan *topology.Plan, then func(), progress Progress) (
	changed bool, err error) {
	if same, err := t.isOf(plan); same || err != nil {
		return false, err
	}
	return t.remake(ctx, plan, t.plane.Apply, then, progress)
}

// become is replace where the control plane becomes what take makes it, also where the
// plan is the same.
func (t *transition) become(ctx context.Context, plan *topology.Plan, take func(*topology.Plan) error) (
	changed bool, err error) {
	same, err := t.isOf(plan)
	switch {
	case err != nil:
		return false, err
	case !same:
		return t.remake(ctx, plan, take, nil, quietly)
	}
	if err := take(t.Plan()); err != nil {
		return false, err
	}
	if err := t.catchUp(); err != nil {
		return true, &NotInForceError{err}
	}
	return true, nil
}

// isOf says whether the lab is that of a plan. It may not be that of another lab.
func (t *transition) isOf(plan *topology.Plan) (bool, error) {
	old := t.Plan()
	if plan.Name != old.Name {
		return false, fmt.Errorf("the lab is %q, and the file describes %q", old.Name, plan.Name)
	}
	return old == plan || old.Source != nil && bytes.Equal(old.Source, plan.Source), nil
}

// remake is replace by another plan. take makes the control plane that of the plan.
func (t *transition) remake(ctx context.Context, plan *topology.Plan, take func(*topology.Plan) error, then func(),
	progress Progress) (changed bool, err error) {
	old := t.Plan()
	if err := errors.Join(t.here.check(plan), readCertificates(plan)); err != nil {
		return false, err
	}
	t.services.stopMissing(t.here.of(plan)) // while they have a network to say goodbye
	if err := t.change(ctx, old, plan, progress); err != nil {
		// The machine is as before, but spaces that plan has not were made
		// again, and what ran in them is in those that are gone.
		return false, errors.Join(err, t.stopMissing(plan), t.rollback(old))
	}
	// Apply to the control plane last: it drops connections that plan lacks,
	// and that cannot be undone.
	if err = t.startUserspace(plan, progress); err == nil {
		err = take(plan)
	}
	if err == nil {
		// The lab is that of plan from here on: what is not in force is tried again.
		tellStates(t.plane, old, plan)
		if then != nil {
			then()
		}
		if err = t.putInForce(plan); err != nil {
			err = &NotInForceError{err}
		}
		return true, err
	}
	undo := t.change(context.WithoutCancel(ctx), plan, old, quietly)
	t.current.machine = old
	return false, errors.Join(err, undo, t.rollback(old))
}

// rollback makes everything that is not the machine's what an old plan says
// again.
func (t *transition) rollback(old *topology.Plan) error {
	err := t.startUserspace(old, quietly)
	if err == nil {
		err = t.putInForce(old)
	}
	if err != nil {
		return fmt.Errorf("go back to what the lab was: %w", err)
	}
	return nil
}

// startUserspace starts what plan has and the lab has not, stops what it has no
// more, and writes plan down. The machine is that of plan already, and nothing
// passes differently until putInForce.
func (t *transition) startUserspace(plan *topology.Plan, progress Progress) error {
	here := t.here.of(plan)
	connect := func() error { return t.machine.Connect(here, t.numbers.add(here)) }
	if err := errors.Join(t.stopMissing(plan), t.onMachine(connect)); err != nil {
		return err
	}
	if t.authority.isNeeded(here) { // before programs start, so that they see it
		if _, err := t.authority.prepare(plan.Name); err != nil {
			return err
		}
	}
	progress(0, 0, "start the services of the instances")
	if err := t.services.start(here); err != nil {
		return err
	}
	t.groups.lookAgain()
	if err := t.proxies.open(t.pace.of(here)); err != nil {
		return err
	}
	progress(0, 0, "start the resolvers")
	if err := t.resolvers.start(here); err != nil {
		return err
	}
	if err := errors.Join(t.cloud.start(here), t.paths.start(here)); err != nil {
		return err
	}
	return t.kept.keep(plan)
}

// stopMissing stops what the lab has and plan has not. It goes on when
// something cannot be stopped cleanly.
func (t *transition) stopMissing(plan *topology.Plan) error {
	plan = t.here.of(plan)
	t.services.stopMissing(plan)
	t.paths.stopMissing(plan)
	t.proxies.stopMissing(t.pace.of(plan))
	t.groups.stopMissing(plan)
	t.resolvers.stopMissing(plan)
	t.cloud.stopMissing(plan)
	return t.spaces.stopMissing(plan)
}

// catchUp puts in force what the control plane says now.
func (t *transition) catchUp() error { return t.putInForce(t.Plan()) }

// putInForce compiles what should be, hands it to those that do it, and tells
// the control plane.
func (t *transition) putInForce(plan *topology.Plan) error {
	state := t.pace.state()
	here := t.here.state(state)
	if err := t.groups.follow(here.Plan); err != nil {
		return err
	}
	if err := t.proxies.follow(here.Plan); err != nil {
		return err
	}
	t.current.plan.Store(plan)
	numbers := t.numbers.all()
	pick, keep := t.groups.pick()
	desired := t.current.planner.Plan(here.Plan, here, numbers, pick)
	keep()
	t.faults.impose(&desired, state.Plan, numbers)
	if err := t.engine.Configure(desired.Dataplane); err != nil {
		return fmt.Errorf("configure the data plane: %w", err)
	}
	if err := t.resolvers.publish(state, t.health()); err != nil {
		return err
	}
	if here.Plan != state.Plan {
		desired.Hosts = compile.HostNames(state.Plan) // those of other hosts too
	}
	if err := t.hosts.set(t.here.of(plan), desired.Hosts); err != nil {
		return err
	}
	if err := t.regroup(plan, state.Plan); err != nil {
		return err
	}
	t.current.inForce = state.Revision
	if t.agreed != nil { // the leader moves the states
		t.plane.Applied(state.Revision)
		return nil
	}
	if wait := t.pace.transitionTime(); wait > 0 {
		t.work.Go(func() { t.reportAfter(wait, state.Revision) })
	} else {
		t.current.inForce = t.plane.Report(state.Revision)
	}
	return nil
}

// followPlane is catchUp where something has changed since.
func (t *transition) followPlane() error {
	if t.current.inForce == t.plane.Revision() {
		return nil
	}
	return t.catchUp()
}

// regroup lets the instances' security groups know who is in the groups that their
// rules name, which operations on endpoints change.
func (t *transition) regroup(plan, now *topology.Plan) error {
	if !plan.NamesGroups() {
		return nil
	}
	want := plan.WithMembers(now)
	if slices.EqualFunc(want.Endpoints, t.current.machine.Endpoints, func(a, b topology.Endpoint) bool {
		return a.Name == b.Name && slices.Equal(a.SecurityGroups, b.SecurityGroups)
	}) {
		return nil
	}
	change := func() error { return t.machine.Change(t.ctx, t.here.of(t.current.machine), t.here.of(want), quietly) }
	if err := t.onMachine(change); err != nil {
		return fmt.Errorf("put the members of security groups in force: %w", err)
	}
	t.current.machine = want
	return nil
}

// reportAfter tells the control plane that a revision is in force, not before those
// who watch could see the states on the way. The data plane is ahead of the
// states then, and never behind.
func (t *transition) reportAfter(wait time.Duration, revision uint64) {
	select {
	case <-t.ctx.Done():
	case <-time.After(wait):
		t.plane.Report(revision)
	}
}

// publishNames changes what the resolvers answer and nothing else.
func (t *transition) publishNames() error { return t.resolvers.publish(t.pace.state(), t.health()) }
