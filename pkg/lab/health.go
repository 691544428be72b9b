package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// waitForHealth waits until every server was judged, and those that are
// programs are healthy, or ctx ends: the first request after a lab is up should
// not meet servers that are still coming up, or of which nobody knows whether
// they are there. What never answers is no reason not to come up.
func (l *Lab) waitForHealth(ctx context.Context, progress Progress) {
	plan := l.plane.State().Plan
	for _, sg := range plan.ServerGroups {
		running := l.group(sg.Name)
		if running == nil {
			continue
		}
		for said := false; ; said = true {
			changed := running.group.Changed()
			missing := awaited(plan, running.group)
			if len(missing) == 0 {
				break
			}
			if !said {
				progress(0, 0, fmt.Sprintf("wait for the first health checks of %s: %s", sg.Name, strings.Join(missing, ", ")))
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// settleHealth is waitForHealth for 10 s at most, without a word.
func (l *Lab) settleHealth(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	l.waitForHealth(ctx, func(int, int, string) {})
}

// awaited are the servers that were not judged yet, and those that are not
// healthy and whose instances run programs, which take their time to come up.
func awaited(plan *topology.Plan, g *lb.Group) []string {
	var out []string
	for _, h := range g.Health() {
		if h.State == lb.Initial || h.State == lb.Unhealthy && runsProgram(plan, h.Instance) {
			out = append(out, h.Instance)
		}
	}
	return out
}

func runsProgram(plan *topology.Plan, ref string) bool {
	in, err := plan.Instance(ref)
	return err == nil && slices.ContainsFunc(in.Services, func(s topology.InstanceService) bool { return s.Kind == "command" })
}

func (l *Lab) group(name string) *runningGroup {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups[name]
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

func (l *Lab) groupStatus(plan *topology.Plan, sg topology.ServerGroup) status.ServerGroup {
	out := status.ServerGroup{Name: sg.Name, Servers: []status.Server{}}
	running := l.group(sg.Name)
	if running == nil {
		return out
	}
	balancer := balancerOf(plan, sg.Name)
	for _, h := range running.group.Health() {
		state, code := h.Words(plan.Cloud, balancer)
		out.Servers = append(out.Servers, status.Server{
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
