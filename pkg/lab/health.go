package lab

import (
	"context"
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// waitForHealth waits until every server was judged, or ctx ends: the first
// request after a lab is up should not meet servers of which nobody knows
// whether they are there. What never answers is no reason not to come up.
func (l *Lab) waitForHealth(ctx context.Context, progress Progress) {
	for _, sg := range l.Plan().ServerGroups {
		running := l.group(sg.Name)
		if running == nil {
			continue
		}
		judged := running.group.Judged()
		select {
		case <-judged:
			continue
		default:
		}
		progress(0, 0, fmt.Sprintf("wait for the first health checks of %s: %s", sg.Name, strings.Join(unjudged(running.group), ", ")))
		select {
		case <-judged:
		case <-ctx.Done():
			return
		}
	}
}

func unjudged(g *lb.Group) []string {
	var out []string
	for _, h := range g.Health() {
		if h.State == lb.Initial {
			out = append(out, h.Instance)
		}
	}
	return out
}

func (l *Lab) group(name string) *runningGroup {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups[name]
}

// balancerOf is the type of load balancer that uses a group, "" where none
// does.
func balancerOf(plan *topology.Plan, group string) string {
	for _, balancer := range plan.LoadBalancers {
		for _, listener := range balancer.Listeners {
			if listener.ServerGroup == group {
				return balancer.Type
			}
		}
	}
	return ""
}

func (l *Lab) groupStatus(plan *topology.Plan, sg topology.ServerGroup) ServerGroupStatus {
	out := ServerGroupStatus{Name: sg.Name, Servers: []ServerStatus{}}
	running := l.group(sg.Name)
	if running == nil {
		return out
	}
	balancer := balancerOf(plan, sg.Name)
	for _, h := range running.group.Health() {
		state, code := h.Words(plan.Cloud, balancer)
		out.Servers = append(out.Servers, ServerStatus{
			Instance: h.Instance, Address: h.Server, Weight: h.Weight,
			Healthy: h.Healthy, State: state, Code: code, Reason: h.Reason, Since: h.Since, Sessions: h.Sessions,
		})
	}
	return out
}

func (l *Lab) serverChanged(plan *topology.Plan, group string, before lb.State, now lb.ServerHealth) {
	_, code := now.Words(plan.Cloud, balancerOf(plan, group))
	text := fmt.Sprintf("server %s (%s) of %s is %s", now.Instance, now.Server, group, now.State)
	for _, why := range []string{code, now.Reason} {
		if why != "" {
			text += ": " + why
		}
	}
	l.plane.Observe(control.Event{Kind: "server", Name: group + "/" + now.Instance, Verb: "check", From: before.String(), To: now.State.String(), Text: text})
	select {
	case l.judged <- struct{}{}:
	default: // one that follow has not seen yet says the same
	}
}
