package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
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
	ctx, cancel := context.WithTimeout(ctx, wait+l.transitionTime())
	defer cancel()
	if err := l.plane.WaitApplied(ctx, l.plane.Revision()); err != nil {
		return err
	}
	if event.Kind == control.KindServer {
		l.groups.settleHealth(ctx, l.plane.State().Plan)
	}
	switch o.Verb {
	case topology.VerbEndpointDelete:
		return l.file.forget(ctx, topology.JoinPath("endpoints", o.Endpoint), l.replacer(quietly))
	case topology.VerbServiceDelete:
		return l.file.forget(ctx, topology.JoinPath("endpoint_services", o.Service), l.replacer(quietly))
	case topology.VerbGatewayDelete:
		return l.file.forget(ctx, topology.JoinPath("nat_gateways", o.NATGateway), l.replacer(quietly))
	case topology.VerbEntryDelete:
		path := topology.JoinPath("nat_gateways", o.NATGateway, "full_nat", o.Entry)
		return l.file.forget(ctx, path, l.replacer(quietly))
	}
	return nil
}

// carryOut does an operation, and the edit that belongs to it. What it changed is
// written down when save returns.
func (l *Lab) carryOut(ctx context.Context, o topology.Operation) (event control.Event, save func() error, err error) {
	edit, isNew := topofile.EditOf(o)
	if !isNew {
		event, err = l.plane.Do(o)
		return event, l.save, err
	}
	if name := cmp.Or(o.Endpoint, o.Service); l.file.has(edit.Path) {
		return event, nil, &control.Error{
			Code: topology.Invalid, Kind: "object", Name: name,
			Text: fmt.Sprintf("%q is in the topology of the lab already", name),
			Hint: "create it by its name alone",
		}
	}
	_, err = l.file.edit(ctx, []topology.Edit{edit}, l.replacer(quietly), func() error {
		event, err = l.plane.Do(o)
		return err
	})
	if err == nil {
		return event, l.saved.written, nil
	}
	if refused := (*control.Error)(nil); errors.As(err, &refused) {
		refused.In(l.Plan().Cloud, o.Verb)
	}
	return control.Event{}, nil, err
}

// Edit changes the lab's topology while it runs, by all edits or by none, and
// returns what they changed: the edits are written down and in force by then.
// Where that took longer than wait, or could not be written down, the error
// says so; a refusal is a *control.Error.
func (l *Lab) Edit(ctx context.Context, edits []topology.Edit, wait time.Duration) ([]topology.Change, error) {
	return l.EditBy(ctx, "", edits, wait)
}

// EditBy is Edit with words for who does it, which stand in its event.
func (l *Lab) EditBy(ctx context.Context, by string, edits []topology.Edit, wait time.Duration) (
	[]topology.Change, error) {
	if len(edits) == 0 {
		return nil, nil
	}
	edits, err := topofile.NamedEdits(l.Plan(), edits)
	if err != nil {
		return nil, refusal(err)
	}
	made, err := l.file.edit(ctx, edits, l.replacer(quietly), nothingMore)
	if err != nil {
		return nil, err
	}
	l.tellEdit(by, made)
	if wait > 0 {
		limited, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		err = l.plane.WaitApplied(limited, l.plane.Revision())
	}
	return made, errors.Join(err, l.saved.written())
}

// Edits are the changes of the topology since the lab's file.
func (l *Lab) Edits() []topology.Change { return l.file.edits() }

// LookAtFile is what Apply of a file would change. Nothing is changed.
func (l *Lab) LookAtFile(file *topology.Plan) ([]topology.Change, error) {
	return l.file.lookAtFile(file)
}

// LookAtEdits is what edits would change. Nothing is changed.
func (l *Lab) LookAtEdits(edits []topology.Edit) ([]topology.Change, error) {
	edits, err := topofile.NamedEdits(l.Plan(), edits)
	if err != nil {
		return nil, refusal(err)
	}
	return l.file.look(edits)
}

// An event tells of at most so many changes of an edit, each in so many bytes.
const toldChanges, toldBytes = 5, 200

// tellEdit adds an event of an edit, in the words of "edit list".
func (l *Lab) tellEdit(by string, made []topology.Change) {
	if len(made) == 0 {
		return
	}
	var texts []string
	for _, c := range made[:min(len(made), toldChanges)] {
		text := c.String()
		if len(text) > toldBytes {
			text = strings.ToValidUTF8(text[:toldBytes], "") + "..."
		}
		texts = append(texts, text)
	}
	if more := len(made) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	text := strings.Join(texts, "; ")
	if by != "" {
		text = by + ": " + text
	}
	l.plane.Observe(control.Event{Kind: control.KindEdit, Name: made[0].Path, By: by, Verb: "edit", Text: text})
}

// tellStates adds an event for each instance that was switched off or on.
func (l *Lab) tellStates(old, now *topology.Plan) {
	before, after := stopped(old), stopped(now)
	refs := maps.Clone(before)
	maps.Copy(refs, after)
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		in, err := now.Instance(ref)
		if _, known := old.Instance(ref); known != nil || err != nil || before[ref] == after[ref] {
			continue
		}
		state := in.State()
		l.plane.Observe(control.Event{Kind: control.KindInstance, Name: ref, Verb: "state", To: state,
			Text: fmt.Sprintf("instance %q is %s", now.ShortName(*in), state)})
	}
}

// stopped are the instances that are switched off, by VPC/NAME.
func stopped(p *topology.Plan) map[string]bool {
	out := map[string]bool{}
	for i := range p.VPCs {
		for j := range p.VPCs[i].Instances {
			if in := &p.VPCs[i].Instances[j]; in.Stopped {
				out[in.Ref()] = true
			}
		}
	}
	return out
}

// drainingInterval is how often a zone's old load balancer is asked whether
// sessions still go through it.
const drainingInterval = time.Second

// releaseDrained ends the replacement of a load balancer when the last session
// through the old one has ended.
func (l *Lab) releaseDrained() {
	tick := time.NewTicker(drainingInterval)
	defer tick.Stop()
	before := map[string]draining{}
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
			before = l.lookAtDraining(before)
		}
	}
}

// draining is what a link that drains had done when it was last looked at.
type draining struct {
	sessions int
	packets  uint64
	quiet    bool // nothing had passed since the look before
}

// lookAtDraining looks at every link that drains. A session that has ended
// stays in the table for a while, for what is still on its way; so when a link
// has become quiet, its sessions are asked whether one of them goes on.
func (l *Lab) lookAtDraining(before map[string]draining) map[string]draining {
	now := map[string]draining{}
	state := l.plane.State()
	for _, c := range state.Connections {
		for _, z := range c.Zones {
			if z.State != control.Migrated {
				continue
			}
			names := compile.DrainingLinks(state.Plan, c, z)
			ended := true
			for _, name := range names {
				d := l.drainingNow(name, before)
				now[name] = d
				// Once quiet, it is asked again only when something has passed.
				ended = ended && (d.sessions == 0 || d.quiet && !before[name].quiet && !l.anyOpen(name))
			}
			if ended {
				l.plane.Drained(c.Service, c.Endpoint, z.Zone, z.Replaced)
			}
		}
	}
	return now
}

func (l *Lab) drainingNow(name string, before map[string]draining) draining {
	for _, link := range l.engine.Stats().Table.Links {
		if link.Name == name {
			d := draining{sessions: link.Sessions, packets: link.PacketsToProvider + link.PacketsToConsumer}
			was, known := before[name]
			d.quiet = known && was.sessions == d.sessions && was.packets == d.packets
			return d
		}
	}
	return draining{}
}

// anyOpen says whether a session of a link may still carry something.
func (l *Lab) anyOpen(link string) bool {
	return slices.ContainsFunc(l.engine.Sessions(), func(s fullnat.Session) bool {
		return s.Link == link &&
			s.State != "closed"
	})
}
