package compile

import (
	"fmt"
	"time"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Timers are the times of a plan that decide what becomes of sessions, servers and
// names, and how long they last in a lab with a time scale.
func Timers(plan *topology.Plan, scale topology.TimeScale) []status.Timer {
	out := timersOf(plan)
	for i, t := range timersOf(plan.Faster(scale)) {
		out[i].InForce = t.Seconds
	}
	return out
}

func timersOf(plan *topology.Plan) []status.Timer {
	out := []status.Timer{}
	add := func(of, timer string, d time.Duration) {
		if d > 0 {
			out = append(out, status.Timer{Of: of, Timer: timer, Seconds: d.Seconds()})
		}
	}
	for i := range plan.LoadBalancers {
		for _, l := range plan.LoadBalancers[i].Listeners {
			of := fmt.Sprintf("%s %s/%d", plan.LoadBalancers[i].Name, l.Protocol, l.Port)
			add(of, "idle", l.IdleTimeout)
			if l.HTTP != nil {
				add(of, "request", l.HTTP.RequestTimeout)
			}
		}
	}
	for i := range plan.ServerGroups {
		g := &plan.ServerGroups[i]
		if g.HealthCheck.Protocol != topology.NoProtocol {
			add(g.Name, "probe every", g.HealthCheck.Interval)
			add(g.Name, "probe waits", g.HealthCheck.Timeout)
		}
		add(g.Name, "draining", g.Deregistration.Delay)
		add(g.Name, "unhealthy draining", g.Unhealthy.Delay)
		add(g.Name, "slow start", g.SlowStart)
	}
	add("names", "TTL", plan.Profile.NameTTL)
	return out
}
