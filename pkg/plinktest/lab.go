package plinktest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Lab is a topology that runs for one test. Every method fails the test when
// it cannot do what it says. Methods may be called from the goroutine of the test
// alone, those of Running from any.
type Lab struct {
	lab *lab.Lab
	t   testing.TB
	dir string // of a lab in the kernel, "" of others
}

// Running is the lab itself, with all that a lab can do. Its methods return
// errors.
func (l *Lab) Running() *lab.Lab { return l.lab }

// Accept lets an endpoint connect and waits until it is connected.
func (l *Lab) Accept(service, endpoint string) {
	l.t.Helper()
	l.Do(topology.Operation{Verb: topology.VerbAccept, Service: service, Endpoint: endpoint})
}

// Reject ends an endpoint's connection and waits until nothing passes.
func (l *Lab) Reject(service, endpoint string) {
	l.t.Helper()
	l.Do(topology.Operation{Verb: topology.VerbReject, Service: service, Endpoint: endpoint})
}

// patience is how long the lab may take for a change, on a machine that is busy.
const patience = 30 * time.Second

// Do carries out an operation of the control plane and waits until it is in
// force.
func (l *Lab) Do(o topology.Operation) control.Event {
	l.t.Helper()
	event, err := l.lab.Do(l.t.Context(), o, patience)
	l.must(err)
	return event
}

// Edit changes one value of the topology, as docs/live.md says, and waits until
// that is in force: Edit("endpoints/ep/mtu", 1400). Whatever YAML can say may be the
// value; nil takes away what is there. undo puts back what was there.
func (l *Lab) Edit(path string, value any) (undo func()) {
	l.t.Helper()
	edit := topology.Edit{Path: path}
	if value != nil {
		edit.Value = yamlOf(l.t, value)
	}
	before := l.Plan()
	_, err := l.lab.Edit(l.t.Context(), []topology.Edit{edit}, patience)
	l.must(err)
	back, err := topofile.Differences(l.Plan(), before)
	l.must(err)
	return func() {
		l.t.Helper()
		// The test may have ended, and its context with it.
		_, err := l.lab.Edit(context.WithoutCancel(l.t.Context()), topology.Edits(back), patience)
		l.must(err)
	}
}

// Apply makes the lab what a changed file says: what the change does not touch goes
// on.
func (l *Lab) Apply(plan *topology.Plan) {
	l.t.Helper()
	_, err := l.lab.Apply(l.t.Context(), plan, func(int, int, string) {})
	l.must(err)
}

// Name is what a reference such as ep1, ep1@zone or ep1.ip stands for.
func (l *Lab) Name(ref string) string {
	l.t.Helper()
	name, err := l.Plan().Lookup(ref)
	l.must(err)
	return name
}

// Plan is what the lab runs now.
func (l *Lab) Plan() *topology.Plan { return l.lab.Plan() }

// Status is all that people and programs ask about a lab.
func (l *Lab) Status() status.Lab { return l.lab.Status() }

// Sessions are those of the whole lab that are not forgotten yet.
func (l *Lab) Sessions() []status.Session { return l.lab.Sessions() }

// Events are what has happened to connections, servers, names and zones, the
// oldest first.
func (l *Lab) Events() []control.Event { return l.lab.Plane().Events(0) }

// Explain says what becomes of the first packet from an instance to a place, and
// which operation would let it pass: Explain("web", "ep:5432").
func (l *Lab) Explain(from, to string) *status.Explanation {
	l.t.Helper()
	e, err := l.lab.Explain(from, to)
	l.must(err)
	return e
}

// Check runs the checks of the topology's file. The test fails where one does not
// pass, and goes on with the others. It returns what came.
func (l *Lab) Check() (results []status.Check) {
	l.t.Helper()
	err := l.lab.Check(l.t.Context(), func(c status.Check) {
		results = append(results, c)
		if !c.Passed {
			l.t.Errorf("check %q: %s: got %s, want %s", c.Name, c.Does, c.Got, c.Expect)
		}
	})
	l.must(err)
	return results
}

// must ends the test where there is an error.
func (l *Lab) must(err error) {
	l.t.Helper()
	if err == nil {
		return
	}
	var refused *control.Error
	if errors.As(err, &refused) && refused.Advice() != "" {
		l.t.Fatalf("%v: %s", err, refused.Advice())
	}
	l.t.Fatal(err)
}
