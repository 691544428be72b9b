package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// waitForHealth waits until every server was judged, and those that are
// programs are healthy, or ctx ends: the first request after a lab is up should
// not meet servers that are still coming up, or of which nobody knows whether
// they are there. The lab comes up without servers that never answer.
func (g *serverGroups) waitForHealth(ctx context.Context, plan *topology.Plan, progress Progress) {
	for _, sg := range plan.ServerGroups {
		group := g.group(sg.Name)
		if group == nil {
			continue
		}
		for said := false; ; said = true {
			changed := group.Changed()
			missing := g.awaited(plan, sg, group)
			if len(missing) == 0 {
				break
			}
			if !said {
				progress(0, 0, fmt.Sprintf("wait for the first health checks of %s: %s",
					sg.Name, strings.Join(missing, ", ")))
			}
			select {
			case <-changed:
			case <-time.After(programPause): // none of its programs may live any more
			case <-ctx.Done():
				return
			}
		}
	}
}

// programPause is how long it takes at most until it is seen that a program has ended
// for which somebody waits.
const programPause = 100 * time.Millisecond

// settleHealth is waitForHealth for 10 s at most, without a word.
func (g *serverGroups) settleHealth(ctx context.Context, plan *topology.Plan) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	g.waitForHealth(ctx, plan, func(int, int, string) {})
}

// awaited are the servers that were not judged yet, and those that are not
// healthy and take their time to come up: programs that live, and albs, which wait
// for their own servers.
func (g *serverGroups) awaited(plan *topology.Plan, sg topology.ServerGroup, group *lb.Group) []string {
	var out []string
	for _, h := range group.Health() {
		if h.Away {
			continue // its host does not answer
		}
		is := func(s topology.Server) bool { return s.Name() == h.Instance }
		isALB := slices.ContainsFunc(sg.Servers, func(s topology.Server) bool { return s.Balancer != "" && is(s) })
		if h.State == lb.Initial || h.State == lb.Unhealthy && (isALB || g.mayRunProgram(plan, h.Instance)) {
			out = append(out, h.Instance)
		}
	}
	return out
}

// mayRunProgram says whether a program of an instance runs, or will be again: of an instance
// of another host, whether it has one.
func (g *serverGroups) mayRunProgram(plan *topology.Plan, ref string) bool {
	if in, err := plan.Instance(ref); err == nil && g.here.elsewhere(plan, in.Zone) != "" {
		return !in.Stopped && len(in.Services) > 0
	}
	return g.runsProgram(plan, ref)
}

// balancerOf is the type of load balancer that uses a group, "" where none
// does.
func balancerOf(plan *topology.Plan, group string) topology.LoadBalancerType {
	for _, balancer := range plan.LoadBalancers {
		for _, listener := range balancer.Listeners {
			if slices.Contains(listener.Groups(), group) {
				return balancer.Type
			}
		}
	}
	return ""
}

// words are what the cloud calls the health of a server of a group.
func words(plan *topology.Plan, group string, h lb.ServerHealth) (state, code string) {
	if in, err := plan.Instance(h.Instance); err == nil && in.Stopped {
		h.Cause = lb.SwitchedOff
	}
	return h.Words(plan.Cloud, balancerOf(plan, group))
}

// status is one group with the health of its servers.
func (g *serverGroups) status(plan *topology.Plan, sg topology.ServerGroup) status.ServerGroup {
	out := status.ServerGroup{Name: sg.Name, Servers: []status.Server{}}
	group := g.group(sg.Name)
	if group == nil {
		return out
	}
	for _, h := range group.Health() {
		state, code := words(plan, sg.Name, h)
		out.Servers = append(out.Servers, status.Server{
			Instance: h.Instance, Address: h.Server, Weight: h.Weight,
			Healthy: h.Healthy, State: state, Code: code, Reason: h.Reason, Since: h.Since, Sessions: h.Sessions,
		})
	}
	return out
}
