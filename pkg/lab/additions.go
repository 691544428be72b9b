package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Services and endpoints that the file does not have are added to the lab's
// own copy of it, with exists: false, and created then. So they are held to
// the rules of a file, and get what every object of a file gets.

// withAdditions is a plan with what was added to the lab. What the file has
// now, or makes impossible, is left out.
func withAdditions(plan *topology.Plan, added []topology.Addition, log *slog.Logger) (*topology.Plan, []topology.Addition) {
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

// setAdditions writes down what is added. The caller holds adding.
func (l *Lab) setAdditions(added []topology.Addition) {
	l.added = added
	l.kept.saveAdditions(added)
}

// create adds an object to the lab's plan and creates it. When the control
// plane refuses, the plan is what it was before.
func (l *Lab) create(ctx context.Context, o topology.Operation, a topology.Addition) (control.Event, error) {
	l.adding.Lock()
	defer l.adding.Unlock()
	before := l.Plan()
	if declared(before, a) {
		return control.Event{}, &control.Error{
			Code: topology.Invalid, Kind: "object", Name: a.Name,
			Text: fmt.Sprintf("%q is in the topology of the lab already", a.Name),
			Hint: "create it by its name alone",
		}
	}
	plan, err := topofile.With(l.base, append(l.added[:len(l.added):len(l.added)], a))
	if err != nil {
		return control.Event{}, unfit(a, err)
	}
	if _, err := l.replace(ctx, plan, func(int, int, string) {}); err != nil {
		return control.Event{}, err
	}
	event, err := l.plane.Do(o)
	if err != nil {
		_, undo := l.replace(context.WithoutCancel(ctx), before, func(int, int, string) {})
		if undo != nil {
			return control.Event{}, errors.Join(err, undo)
		}
		return control.Event{}, err
	}
	l.setAdditions(append(l.added, a))
	return event, nil
}

// unfit is why an object cannot be added, without the place in a file that
// nobody has written.
func unfit(a topology.Addition, err error) error {
	var problems topofile.Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		return err
	}
	return &control.Error{Code: topology.Invalid, Kind: "object", Name: a.Name, Text: problems[0].Message, Hint: problems[0].Hint}
}

// forget takes an object that is gone, and that the file does not have, out of
// the lab's plan.
func (l *Lab) forget(ctx context.Context, key, name string) error {
	l.adding.Lock()
	defer l.adding.Unlock()
	left := slices.DeleteFunc(slices.Clone(l.added), func(a topology.Addition) bool { return a.Key == key && a.Name == name })
	if len(left) == len(l.added) {
		return nil
	}
	plan, err := topofile.With(l.base, left)
	if err != nil {
		return nil // another one needs it: it stays, and does not exist
	}
	if _, err := l.replace(ctx, plan, func(int, int, string) {}); err != nil {
		return err
	}
	l.setAdditions(left)
	return nil
}
