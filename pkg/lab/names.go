package lab

import (
	"fmt"
	"maps"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// publishNames gives every resolver its view, and tells of the zones that left
// the answers or came back while they were connected. The caller holds change.
func (l *Lab) publishNames(state control.Snapshot) error {
	plan := state.Plan
	l.mu.Lock()
	health := l.healthLocked()
	resolvers := maps.Clone(l.resolvers)
	l.mu.Unlock()
	configs := compile.Names(plan, state, health)
	for _, vpc := range plan.VPCs {
		view, err := dns.NewView(configs[vpc.Name])
		if err != nil {
			return fmt.Errorf("vpc %q: configure its resolver: %w", vpc.Name, err)
		}
		resolvers[resolverKey(vpc)].server.SetView(view)
	}
	l.tellNames(plan, state, health)
	return nil
}

// healthLocked is a copy of what is known now.
func (l *Lab) healthLocked() compile.Health {
	servers := map[string][]lb.ServerHealth{}
	for name, running := range l.groups {
		servers[name] = running.group.Health()
	}
	return compile.Health{
		Servers:   func(group string) []lb.ServerHealth { return servers[group] },
		ZonesDown: l.faults.ZonesDown(),
	}
}

// answerState is where a zone of an endpoint stands with the answers.
type answerState int

const (
	notYetAnswered answerState = iota // no "leave" event before a first "in"
	in
	left
)

// tellNames comes after the views: from an event on, no answer contradicts it.
// Of zones that are not connected it says nothing, as the connection has events
// of its own.
func (l *Lab) tellNames(plan *topology.Plan, state control.Snapshot, health compile.Health) {
	next := map[string]answerState{}
	for _, a := range compile.AnsweredZones(plan, state, health) {
		name := a.Zone.ENI.Name
		was := l.answers[name]
		switch {
		case a.Up:
			next[name] = in
			if was == left {
				l.nameEvent(a.Endpoint, a.Zone, "return", "left", "in", "is back in the answers")
			}
		case was == notYetAnswered:
		default:
			next[name] = left
			if was == in {
				l.nameEvent(a.Endpoint, a.Zone, "leave", "in", "left", "left the answers: "+a.Why)
			}
		}
	}
	l.answers = next
}

func (l *Lab) nameEvent(ep topology.Endpoint, zone topology.EndpointZone, verb control.Verb, from, to, what string) {
	l.plane.Observe(control.Event{
		Kind: "name", Name: zone.ENI.Name, Verb: verb, From: from, To: to,
		Text: fmt.Sprintf("%s (%s) of endpoint %q %s", zone.ENI.IP, zone.Zone, ep.Name, what),
	})
}
