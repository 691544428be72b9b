package lab

import (
	"context"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Do carries out an operation of the control plane and returns the event that
// tells of it. With wait it returns when the operation is in force and, for a
// daemon that may be killed, written down.
func (l *Lab) Do(ctx context.Context, o topology.Operation, wait time.Duration) (control.Event, error) {
	event, err := l.plane.Do(o)
	if err != nil || wait <= 0 {
		return event, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := l.plane.WaitApplied(ctx, l.plane.Revision()); err != nil {
		return event, err
	}
	if event.Kind == control.KindServer {
		l.settleHealth(ctx)
	}
	l.keepState()
	return event, nil
}

// drainingInterval is how often a zone's old load balancer is asked whether
// sessions still go through it.
const drainingInterval = time.Second

// release ends the replacement of a load balancer when the last session
// through the old one has ended.
func (l *Lab) release() {
	tick := time.NewTicker(drainingInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
			l.releaseDrained()
		}
	}
}

func (l *Lab) releaseDrained() {
	state := l.plane.State()
	sessions := map[string]int{} // by link
	for _, c := range state.Connections {
		for _, z := range c.Zones {
			if z.State != control.Migrated {
				continue
			}
			if len(sessions) == 0 {
				for _, link := range l.engine.Stats().Table.Links {
					sessions[link.Name] = link.Sessions
				}
			}
			if !drains(state.Plan, c, z, sessions) {
				l.plane.Drained(c.Service, c.Endpoint, z.Zone, z.Replaced)
			}
		}
	}
}

// drains says whether sessions still go through the load balancer that a zone
// had before.
func drains(plan *topology.Plan, c control.Connection, z control.Zone, sessions map[string]int) bool {
	ep, err := plan.Endpoint(c.Endpoint)
	if err != nil {
		return false
	}
	zone, err := ep.Zone(z.Zone)
	if err != nil {
		return false
	}
	old, err := plan.LoadBalancer(z.Replaced)
	if err != nil {
		return false
	}
	for _, listener := range old.Listeners {
		if sessions[drainingName(linkName(*zone, listener), z.Replaced)] > 0 {
			return true
		}
	}
	return false
}
