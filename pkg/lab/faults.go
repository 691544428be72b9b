package lab

import (
	"fmt"
	"sync"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// SetFault changes impairments and returns when they are in force.
func (l *Lab) SetFault(c status.FaultChange) error {
	var now topology.Impairments
	err := l.changeFaults(func(f *compile.Faults, plan *topology.Plan) (err error) {
		now, err = f.Set(plan, c)
		return err
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("endpoint %q: to the provider %s; to the consumer %s",
		c.Endpoint, now.ToProvider, now.ToConsumer)
	if now.ToProvider == now.ToConsumer {
		text = fmt.Sprintf("endpoint %q: in both directions %s", c.Endpoint, now.ToProvider)
	}
	l.faultEvent(c.Endpoint, "set", "", text)
	return nil
}

// ClearFaults goes back to what the file says: of one endpoint, or of the
// whole lab where the name is empty.
func (l *Lab) ClearFaults(endpoint string) error {
	err := l.changeFaults(func(f *compile.Faults, plan *topology.Plan) error { return f.Clear(plan, endpoint) })
	if err != nil {
		return err
	}
	name, text := endpoint, fmt.Sprintf("endpoint %q: nothing is wrong but what the file says", endpoint)
	if endpoint == "" {
		name, text = l.Plan().Name, "nothing is wrong but what the file says"
	}
	l.faultEvent(name, "clear", "", text)
	return nil
}

// TakeDown lets an interface, all of an endpoint or a load balancer, or a zone
// fail. With blackhole its packets vanish while its neighbours still see it;
// a zone can only be down.
func (l *Lab) TakeDown(ref string, blackhole bool) error {
	var state string
	err := l.changeFaults(func(f *compile.Faults, plan *topology.Plan) (err error) {
		state, err = f.TakeDown(plan, ref, blackhole)
		return err
	})
	if err == nil {
		l.faultEvent(ref, "down", state, fmt.Sprintf("%s is %s", ref, state))
	}
	return err
}

// BringUp ends what TakeDown began.
func (l *Lab) BringUp(ref string) error {
	var text string
	err := l.changeFaults(func(f *compile.Faults, plan *topology.Plan) (err error) {
		text, err = f.BringUp(plan, ref)
		return err
	})
	if err == nil {
		l.faultEvent(ref, "up", "up", text)
	}
	return err
}

// changeFaults changes what goes wrong and puts it in force. When change
// fails it has changed nothing.
func (l *Lab) changeFaults(change func(*compile.Faults, *topology.Plan) error) error {
	if err := l.faults.with(func(f *compile.Faults) error { return change(f, l.plane.Plan()) }); err != nil {
		return err
	}
	if err := l.exclusively((*transition).catchUp); err != nil {
		return err
	}
	text, err := l.faults.text()
	if err != nil {
		return err
	}
	return l.saved.put(faultsFile, text)
}

func (l *Lab) faultEvent(name string, verb control.Verb, to, text string) {
	l.plane.Observe(control.Event{Kind: "fault", Name: name, Verb: verb, To: to, Text: text})
}

// Faults says what is wrong on purpose and what that did.
func (l *Lab) Faults() (out status.Faults) {
	stats, plan, numbers := l.engine.Stats().Shaped, l.plane.Plan(), l.numbers.all()
	_ = l.faults.with(func(f *compile.Faults) error {
		out = f.Status(plan, numbers, stats)
		return nil
	})
	return out
}

// restoreFaults goes on with what was set before the daemon was killed. What
// cannot be read can be set again.
func restoreFaults(saved *stateFiles) *compile.Faults {
	f := compile.NewFaults()
	saved.read(faultsFile, "the faults that were set", func(text []byte) error {
		restored, err := compile.LoadFaults(text)
		if err == nil {
			f = restored
		}
		return err
	})
	return f
}

// liveFaults are Faults that any goroutine may use.
type liveFaults struct {
	mu     sync.Mutex
	faults *compile.Faults
}

func (l *liveFaults) with(use func(*compile.Faults) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return use(l.faults)
}

// impose adds what goes wrong to what a lab should do.
func (l *liveFaults) impose(d *compile.Desired, plan *topology.Plan, numbers compile.Numbers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults.Impose(d, plan, numbers)
}

func (l *liveFaults) zonesDown() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults.ZonesDown()
}

// ofENIs names the ENIs that do not work.
func (l *liveFaults) ofENIs(plan *topology.Plan) []status.ENIFault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults.OfENIs(plan)
}

// shaped is what is done to the packets of every connection.
func (l *liveFaults) shaped(plan *topology.Plan, numbers compile.Numbers,
	stats dataplane.ShapingStats) []status.Shaped {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults.Shaped(plan, numbers, stats)
}

// text is what a later process goes on with.
func (l *liveFaults) text() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults.Save()
}
