package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Services and endpoints that the file does not have are added to the lab's
// own copy of it, with exists: false, and created then. So they are held to
// the rules of a file, and get what every object of a file gets.

// withAdditions is a plan with what was added to the lab. What the file has
// now, or makes impossible, is left out.
func withAdditions(plan *topology.Plan, added []topology.Addition, log *slog.Logger) (*topology.Plan,
	[]topology.Addition) {
	var kept []topology.Addition
	out := plan
	for _, a := range added {
		if declared(plan, a) {
			continue
		}
		next, err := topofile.With(plan, append(kept[:len(kept):len(kept)], a))
		if err != nil {
			log.Warn("what was created does not fit the file any more", "name", a.Name, "error", err)
			continue
		}
		out, kept = next, append(kept, a)
	}
	return out, kept
}

// declared says whether the file itself has an object.
func declared(plan *topology.Plan, a topology.Addition) bool {
	if a.Key == "endpoints" {
		_, err := plan.Endpoint(a.Name)
		return err == nil
	}
	_, err := plan.Service(a.Name)
	return err == nil
}

// fileState is the topology file of a lab with what was added to it. What
// changes it also changes the lab, which each method is given as replace: it
// makes the lab that of a plan.
type fileState struct {
	save func([]topology.Addition)
	log  *slog.Logger

	mu    sync.Mutex
	base  *topology.Plan // the file's
	added []topology.Addition
	plan  *topology.Plan // base with added
}

// newFileState adds to a file what was added before, as far as it fits.
func newFileState(base *topology.Plan, added []topology.Addition, save func([]topology.Addition),
	log *slog.Logger) *fileState {
	f := &fileState{save: save, log: log, base: base}
	f.plan, f.added = withAdditions(base, added, log)
	return f
}

type replace func(context.Context, *topology.Plan) (changed bool, err error)

// apply makes the lab what another file says, with what was added beside it.
func (f *fileState) apply(ctx context.Context, base *topology.Plan, replace replace) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	plan, added := withAdditions(base, f.added, f.log)
	changed, err = replace(ctx, plan)
	if err == nil {
		f.base, f.plan = base, plan
		if len(added) != len(f.added) {
			f.setLocked(added)
		}
	}
	return changed, err
}

// add adds an object and lets create create it. When that refuses, the lab is
// what it was before.
func (f *fileState) add(ctx context.Context, a topology.Addition, replace replace, create func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if declared(f.plan, a) {
		return &control.Error{
			Code: topology.Invalid, Kind: "object", Name: a.Name,
			Text: fmt.Sprintf("%q is in the topology of the lab already", a.Name),
			Hint: "create it by its name alone",
		}
	}
	plan, err := topofile.With(f.base, append(f.added[:len(f.added):len(f.added)], a))
	if err != nil {
		return unfit(f.base.Cloud, a, err)
	}
	if _, err := replace(ctx, plan); err != nil {
		return err
	}
	if err := create(); err != nil {
		_, undo := replace(context.WithoutCancel(ctx), f.plan)
		if undo != nil {
			return errors.Join(err, undo)
		}
		return err
	}
	f.plan = plan
	f.setLocked(append(f.added, a))
	return nil
}

// forget takes an object that is gone, and that the file does not have, out of
// the lab.
func (f *fileState) forget(ctx context.Context, key, name string, replace replace) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := func(a topology.Addition) bool { return a.Key == key && a.Name == name }
	left := slices.DeleteFunc(slices.Clone(f.added), is)
	if len(left) == len(f.added) {
		return nil
	}
	plan, err := topofile.With(f.base, left)
	if err != nil {
		return nil // another one needs it: it stays, and does not exist
	}
	if _, err := replace(ctx, plan); err != nil {
		return err
	}
	f.plan = plan
	f.setLocked(left)
	return nil
}

func (f *fileState) setLocked(added []topology.Addition) {
	f.added = added
	f.save(added)
}

// unfit is why an object cannot be added, without the place in a file that
// nobody has written.
func unfit(cloud topology.Cloud, a topology.Addition, err error) error {
	var problems topofile.Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		return err
	}
	p := problems[0]
	refused := &control.Error{Code: topology.Invalid, Kind: "endpoint", Name: a.Name, Text: p.Message, Hint: p.Hint}
	verb := topology.VerbEndpointCreate
	if a.Key == "endpoint_services" {
		refused.Kind, verb = "endpoint service", topology.VerbServiceCreate
	}
	switch p.Kind {
	case "":
	case "zones":
		refused.Kind = p.Kind
	default:
		refused.Code, refused.Kind = topology.NotFound, p.Kind
	}
	return refused.In(cloud, verb)
}
