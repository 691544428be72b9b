package topology

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// TimeScale is how many times as fast as at the cloud the times of a lab pass; 0
// stands for 1.
type TimeScale float64

// MaxTimeScale is the largest that a lab can have: what would be less than a
// millisecond says nothing any more.
const MaxTimeScale TimeScale = 1000

// Check says what is wrong with a scale.
func (s TimeScale) Check() error {
	if math.IsNaN(float64(s)) || s != 0 && (s < 1 || s > MaxTimeScale) {
		return fmt.Errorf("want a number from 1 to %g, and not %g", float64(MaxTimeScale), float64(s))
	}
	return nil
}

// Of is how long d lasts, a millisecond at least; 0 stays 0.
func (s TimeScale) Of(d time.Duration) time.Duration {
	if s <= 1 || d <= 0 {
		return d
	}
	return max(time.Duration(float64(d)/float64(s)), time.Millisecond)
}

// seconds is Of for what travels as a number of seconds: rounded up, since 0 has
// another meaning there, and never longer than d.
func (s TimeScale) seconds(d time.Duration) time.Duration {
	scaled := s.Of(d)
	if scaled == d {
		return d
	}
	return min(d, (scaled + time.Second - 1).Truncate(time.Second))
}

// patience is how long a probe waits at least, where its check does: a machine that
// is busy for a moment makes no server unhealthy.
const patience = 100 * time.Millisecond

// Faster is the plan with the times that it lasts in a lab whose time passes faster:
// idle timeouts, health checks, slow starts, draining, TTLs and persistence. What TCP
// and programs decide goes on as ever, and so does what depends on them: how long a
// session may take to open and rest when it has ended, how long an alb waits for
// a connection; delays, bandwidth, and the limits of checks and of states on the way.
// The plan itself stays as it is, and where nothing is faster it is the result.
func (p *Plan) Faster(scale TimeScale) *Plan {
	if scale <= 1 {
		return p
	}
	out := *p
	out.Profile = scale.profile(p.Profile)
	out.ServerGroups = slices.Clone(p.ServerGroups)
	for i := range out.ServerGroups {
		out.ServerGroups[i] = scale.group(out.ServerGroups[i])
	}
	out.LoadBalancers = slices.Clone(p.LoadBalancers)
	for i := range out.LoadBalancers {
		listeners := slices.Clone(out.LoadBalancers[i].Listeners)
		for j := range listeners {
			listeners[j] = scale.listener(listeners[j])
		}
		out.LoadBalancers[i].Listeners = listeners
	}
	out.DNSZones = slices.Clone(p.DNSZones)
	for i := range out.DNSZones {
		out.DNSZones[i].TTL = scale.seconds(out.DNSZones[i].TTL)
	}
	return &out
}

func (s TimeScale) profile(p Profile) Profile {
	p.TCPIdle, p.UDPIdle, p.TCPClosing = s.Of(p.TCPIdle), s.Of(p.UDPIdle), s.Of(p.TCPClosing)
	p.NameTTL = s.seconds(p.NameTTL)
	p.HTTP.Idle, p.HTTP.Request = s.Of(p.HTTP.Idle), s.Of(p.HTTP.Request)
	return p
}

func (s TimeScale) group(g ServerGroup) ServerGroup {
	check := &g.HealthCheck
	check.Interval = s.Of(check.Interval)
	check.Timeout = min(check.Timeout, max(s.Of(check.Timeout), patience))
	g.SlowStart = s.Of(g.SlowStart)
	g.Deregistration.Delay, g.Unhealthy.Delay = s.Of(g.Deregistration.Delay), s.Of(g.Unhealthy.Delay)
	if g.Persistence != nil {
		persistence := *g.Persistence
		persistence.Timeout = s.seconds(persistence.Timeout)
		g.Persistence = &persistence
	}
	return g
}

func (s TimeScale) listener(l Listener) Listener {
	l.IdleTimeout = s.Of(l.IdleTimeout)
	if l.HTTP != nil {
		http := *l.HTTP
		http.RequestTimeout = s.Of(http.RequestTimeout)
		l.HTTP = &http
	}
	return l
}
