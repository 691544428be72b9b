package lab

import (
	"os"
	"slices"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// StatusFor is Status as an account sees it, or all of it where account is "".
func (l *Lab) StatusFor(account string) (status.Lab, error) {
	all := l.Status()
	if account == "" {
		return all, nil
	}
	account = l.Plan().Named(topology.Operation{As: account}).As
	if _, err := l.Plan().Account(account); err != nil {
		return status.Lab{}, control.UnknownAccount(l.Plan(), account)
	}
	return all.SeenBy(account), nil
}

// Status is a copy of everything that people ask about a lab.
func (l *Lab) Status() status.Lab {
	return l.statusWith(true)
}

// Outline is Status without what is counted in the spaces of VPCs and instances: to read
// that takes long in a large lab.
func (l *Lab) Outline() status.Lab {
	return l.statusWith(false)
}

// statusWith is Status, or without counts Outline.
func (l *Lab) statusWith(counts bool) status.Lab {
	state := l.plane.State()
	plan := state.Plan
	s := compile.Status(state)
	s.Dir, s.PID, s.Started, s.Problems = l.store.String(), os.Getpid(), l.started, l.Problems()
	s.TimeScale, s.Timers = float64(l.pace.TimeScale()), compile.Timers(plan, l.pace.TimeScale())
	s.Host, s.Hosts = l.here.name, l.here.status(plan)
	l.paths.addTo(s.Hosts)
	if l.agreed != nil {
		l.agreed.addTo(&s)
	}
	var of map[string]Counts // by space
	if counts {
		of = countsOf(l.here.of(plan), l.machine, l.spaces.space)
	}
	for i, vpc := range plan.VPCs {
		for j, instance := range vpc.Instances {
			own := of[instance.Namespace]
			s.VPCs[i].Instances[j].Denied = own.Denied
			s.VPCs[i].Instances[j].Spoofed = of[vpc.Namespace].Spoofed[instance.Port] + own.Spoofed[instance.Device]
			l.services.addTo(&s.VPCs[i].Instances[j], instance)
			if other := l.here.elsewhere(plan, instance.Zone); other != "" {
				onOther(&s.VPCs[i].Instances[j], other)
			}
		}
	}
	for _, sg := range plan.ServerGroups {
		s.ServerGroups = append(s.ServerGroups, l.groups.status(plan, sg))
	}
	s.Proxies = l.proxies.status(l.pace.of(l.here.of(plan)))
	stats := l.engine.Stats()
	s.Shaping = l.faults.shaped(plan, l.numbers.all(), stats.Shaped)
	s.ENIFaults = withLost(l.faults.ofENIs(plan), plan, l.paths.lost())
	s.Links = compile.Links(plan, stats.Table.Links)
	s.Dataplane = compile.Dataplane(stats, l.engine.Each())
	s.Dataplane.FlowCache = compile.FlowCache(l.engine.FlowCache())
	return s
}

// withLost adds the interfaces in zones that are not to be had.
func withLost(faults []status.ENIFault, plan *topology.Plan, lost map[string]string) []status.ENIFault {
	if len(lost) == 0 {
		return faults
	}
	for _, eni := range plan.ENIs() {
		why := lost[eni.Zone]
		if why != "" && !slices.ContainsFunc(faults, func(f status.ENIFault) bool { return f.Name == eni.Name }) {
			faults = append(faults, status.ENIFault{Name: eni.Name, Fault: why})
		}
	}
	return faults
}

// countsOf are those of a plan's spaces in which something may be dropped, by space. A
// count that cannot be read stays 0: the rest is still worth showing.
func countsOf(plan *topology.Plan, machine Machine, space func(name string) (Space, error)) map[string]Counts {
	var spaces []string
	for _, vpc := range plan.VPCs {
		checks := func(i topology.Instance) bool { return i.SourceCheck }
		if slices.ContainsFunc(vpc.Instances, checks) {
			spaces = append(spaces, vpc.Namespace)
		}
		for _, i := range vpc.Instances {
			if !i.Stopped && (i.SourceCheck || len(i.SecurityGroups) > 0) {
				spaces = append(spaces, i.Namespace)
			}
		}
	}
	if counter, ok := machine.(Counter); ok {
		return counter.Counts(spaces)
	}
	counts := map[string]Counts{}
	for _, name := range spaces {
		if space, err := space(name); err == nil {
			var c Counts
			c.Denied, _ = space.Denied()
			c.Spoofed, _ = space.Spoofed()
			counts[name] = c
		}
	}
	return counts
}

// onOther is an instance of which only another host knows more.
func onOther(out *status.Instance, host string) {
	out.Host = host
	for i := range out.Services {
		out.Services[i].State = "on host " + host
	}
}

// addTo adds what is known of the services of an instance that runs.
func (s *services) addTo(out *status.Instance, instance topology.Instance) {
	if instance.Stopped {
		return
	}
	for i, spec := range instance.Services {
		if running := s.running.get(serviceSpec{instance, spec}.key()); running != nil {
			out.Services[i].State = running.State()
		}
	}
}

// Sessions is a copy of the session table.
func (l *Lab) Sessions() []status.Session {
	return compile.Sessions(l.plane.State().Plan, l.engine.Sessions())
}

// ServerGroup is a group with the health of its servers, of which one that left may still
// have sessions.
func (l *Lab) ServerGroup(group topology.ServerGroup) status.ServerGroup {
	return l.groups.status(l.Plan(), group)
}
