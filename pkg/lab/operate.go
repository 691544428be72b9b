package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Do carries out an operation of the control plane and returns the event that
// tells of it. Identifiers stand for names. With wait it returns when the operation is in force. In any case
// the operation is written down by then, for a daemon that takes the lab over;
// where that failed, the error is a *NotSavedError.
func (l *Lab) Do(ctx context.Context, o topology.Operation, wait time.Duration) (control.Event, error) {
	o = l.Plan().Named(o)
	if spec := o.Spec(); spec != nil && spec.Read {
		return l.plane.Look(o)
	}
	if err := l.here.refusal(l.Plan()); err != nil {
		return control.Event{}, err
	}
	if l.agreed != nil {
		return l.agreed.do(ctx, o, wait)
	}
	event, save, err := l.carryOut(ctx, o)
	if err != nil {
		return event, err
	}
	if wait > 0 {
		err = l.waitInForce(ctx, o, event, wait)
	}
	return event, errors.Join(err, save())
}

// waitInForce returns when the data plane and the health checks know of an
// operation, and what is gone is gone from the lab's plan.
func (l *Lab) waitInForce(ctx context.Context, o topology.Operation, event control.Event, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait+l.pace.transitionTime())
	defer cancel()
	if err := l.plane.WaitApplied(ctx, l.plane.Revision()); err != nil {
		return err
	}
	if event.Kind == control.KindServer {
		l.groups.settleHealth(ctx, l.plane.State().Plan)
		if err := l.exclusively((*transition).publishNames); err != nil {
			return err
		}
	}
	switch o.Verb {
	case topology.VerbEndpointDelete, topology.VerbServiceDelete:
		l.deleted.forget(ctx)
	case topology.VerbGatewayDelete:
		l.deleted.forgetOne(ctx, topology.JoinPath("nat_gateways", o.NATGateway), nil)
	case topology.VerbEntryDelete:
		l.deleted.forgetOne(ctx, topology.JoinPath("nat_gateways", o.NATGateway, "full_nat", o.Entry), nil)
	}
	return nil
}

// deletions are what operations have deleted and the topology still has.
type deletions struct {
	plane   *control.Plane
	file    *fileState
	replace replace
	log     *slog.Logger
}

// forget takes out of the lab the services and endpoints that operations have deleted:
// also those that were deleted when the machine could not, or the daemon that ran the
// lab before was killed.
func (d deletions) forget(ctx context.Context) {
	services, endpoints := d.plane.Deleted()
	for _, name := range endpoints {
		d.forgetOne(ctx, topology.JoinPath("endpoints", name), func() bool {
			_, endpoints := d.plane.Deleted()
			return slices.Contains(endpoints, name)
		})
	}
	for _, name := range services {
		d.forgetOne(ctx, topology.JoinPath("endpoint_services", name), func() bool {
			services, _ := d.plane.Deleted()
			return slices.Contains(services, name)
		})
	}
}

// forgetOne takes what was deleted out of the lab. It is gone for everybody already, so
// that what fails here is not the operation. gone is asked while nobody changes the
// topology; nil where nobody else can have made the object again.
func (d deletions) forgetOne(ctx context.Context, path string, gone func() bool) {
	if err := d.file.forget(ctx, path, gone, d.replace); err != nil {
		d.log.Warn("what was deleted is still a part of the topology", "path", path, "error", err)
	}
}

// carryOut does an operation, and the edit that belongs to it. What it changed is
// written down when save returns.
func (l *Lab) carryOut(ctx context.Context, o topology.Operation) (event control.Event, save func() error, err error) {
	event, edited, err := decide(ctx, o, l.plane, l.file, l.replacer(quietly))
	if edited {
		return event, l.saved.written, err
	}
	return event, l.save, err
}

// decide does an operation on a control plane, and the edit of a file that belongs to it.
// It says whether there was one.
func decide(ctx context.Context, o topology.Operation, plane *control.Plane, file *fileState, replace replace) (
	event control.Event, edited bool, err error) {
	edit, isNew := topofile.EditOf(o)
	if !isNew {
		event, err = plane.Do(o)
		return event, false, err
	}
	if name := cmp.Or(o.Endpoint, o.Service); file.has(edit.Path) {
		return event, false, &control.Error{
			Code: topology.Invalid, Kind: "object", Name: name,
			Text: fmt.Sprintf("%q is in the topology of the lab already", name),
			Hint: "create it by its name alone",
		}
	}
	_, err = file.edit(ctx, []topology.Edit{edit}, replace, func() error {
		event, err = plane.Do(o)
		return err
	})
	if err == nil {
		return event, true, nil
	}
	if refused := (*control.Error)(nil); errors.As(err, &refused) {
		refused.In(plane.Plan().Cloud, o.Verb)
	}
	return control.Event{}, false, err
}

// Edit changes the lab's topology while it runs, by all edits or by none, and
// returns what they changed: the edits are written down and in force by then.
// Where that took longer than wait, or could not be written down, the error
// says so; a refusal is a *control.Error.
func (l *Lab) Edit(ctx context.Context, edits []topology.Edit, wait time.Duration) ([]topology.Change, error) {
	return l.EditBy(ctx, Editor{}, edits, wait)
}

// EditBy is Edit by somebody whom its event names.
func (l *Lab) EditBy(ctx context.Context, editor Editor, edits []topology.Edit, wait time.Duration) (
	[]topology.Change, error) {
	if len(edits) == 0 {
		return nil, nil
	}
	if err := l.here.refusal(l.Plan()); err != nil {
		return nil, err
	}
	edits, err := topofile.NamedEdits(l.Plan(), edits)
	if err != nil {
		return nil, refusal(err)
	}
	were, err := namedPaths(l.Plan(), editor.If)
	if err != nil {
		return nil, err
	}
	asked := &request{ctx: ctx, edits: edits, were: were, then: nothingMore}
	if l.agreed != nil {
		return l.agreed.edit(ctx, editor, asked, wait)
	}
	made, err := l.file.make(asked, l.replacer(quietly))
	if late := (*NotInForceError)(nil); err != nil && !errors.As(err, &late) {
		return nil, err
	}
	tellEdit(l.plane, editor, made)
	if err == nil && wait > 0 {
		limited, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		err = l.plane.WaitApplied(limited, l.plane.Revision())
	}
	return made, errors.Join(err, l.saved.written())
}

// Warnings are what a user should know of the topology as it is now, also where it was
// edited. The whole of it is read for that.
func (l *Lab) Warnings() ([]topology.Problem, error) { return topofile.WarningsOf(l.Plan()) }

// Edits are the changes of the topology since the lab's file.
func (l *Lab) Edits() []topology.Change { return l.file.edits() }

// LookAtFile is what Apply of a file would change. Nothing is changed.
func (l *Lab) LookAtFile(file *topology.Plan) ([]topology.Change, error) {
	return l.file.lookAtFile(file)
}

// LookAtEdits is what edits would change that were made for values: see Editor.If. Nothing
// is changed.
func (l *Lab) LookAtEdits(edits []topology.Edit, were map[string]string) ([]topology.Change, error) {
	edits, err := topofile.NamedEdits(l.Plan(), edits)
	if err != nil {
		return nil, refusal(err)
	}
	if were, err = namedPaths(l.Plan(), were); err != nil {
		return nil, err
	}
	return l.file.look(were, edits)
}

// namedPaths are values by their paths, with names where these have identifiers.
func namedPaths(plan *topology.Plan, values map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(values))
	for path, value := range values {
		named, err := topofile.NamedEdits(plan, []topology.Edit{{Path: path}})
		if err != nil {
			return nil, refusal(err)
		}
		for _, e := range named {
			out[e.Path] = value
		}
	}
	return out, nil
}
