package lb

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// leaveLocked begins what becomes of a server that the group has no more.
func (g *Group) leaveLocked(s *server, now time.Time) {
	if !s.removed {
		s.removed, s.left, s.cutAt = true, now, time.Time{}
		if d := g.config.Deregistration; d.Terminate || d.Delay > 0 {
			s.cutAt = now.Add(d.Delay)
		}
	}
	g.leaving = append(g.leaving, s)
}

// turnedLocked begins what becomes of a server whose state has changed.
func (g *Group) turnedLocked(s *server, now time.Time) {
	s.cutAt, s.warm = time.Time{}, time.Time{}
	switch {
	case s.state == Unhealthy && s.served && g.config.Unhealthy.Terminate:
		s.cutAt = now.Add(g.config.Unhealthy.Delay)
	case s.state == Healthy && g.config.SlowStart > 0 && !s.first && g.othersServeLocked(s):
		s.warm = now
	}
	s.first = s.first && s.state != Healthy
}

// othersServeLocked says whether someone else takes sessions. A slow start is
// for a server that joins others: not for those that a group begins with, and
// not for one that is alone (User Guide for Application Load Balancers, "Edit
// target group attributes", slow start mode).
func (g *Group) othersServeLocked(s *server) bool {
	return slices.ContainsFunc(g.servers, func(o *server) bool { return o != s && o.takes() && o.Weight > 0 })
}

// advance does what is due at now, and says which servers' sessions are to be
// removed or doubted, and when to come again; a zero time is never.
func (g *Group) advance(now time.Time) (cut, doubt []netip.AddrPort, next time.Time, wake <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = now
	soonest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	republish := false
	for _, s := range g.servers {
		if !s.warm.IsZero() {
			republish = true
			if now.Sub(s.warm) >= g.config.SlowStart {
				s.warm = time.Time{}
			} else {
				soonest(now.Add(slowStartStep))
			}
		}
		switch {
		case s.cutAt.IsZero():
		case s.cutAt.After(now):
			soonest(s.cutAt)
		case !g.lostLocked(s) || g.sessionsOf(s) == 0:
		case g.config.FailOpen:
			doubt = append(doubt, s.addr)
		default:
			cut = append(cut, s.addr)
		}
	}
	g.leaving = slices.DeleteFunc(g.leaving, func(s *server) bool {
		if s.cutAt.After(now) {
			soonest(s.cutAt)
			return false
		}
		if !s.cutAt.IsZero() && g.config.Deregistration.Terminate {
			cut = append(cut, s.addr)
		}
		s.cutAt = time.Time{}
		return g.sessionsOf(s) == 0 // else they know where to be counted
	})
	if republish {
		g.publishLocked(now)
	}
	return cut, doubt, next, g.wake
}

// lostLocked says whether sessions of s are to end now, as it has failed and not
// all have.
func (g *Group) lostLocked(s *server) bool {
	return !s.cutAt.IsZero() && !s.cutAt.After(g.now) && !g.openLocked(s)
}

// openLocked says whether s takes sessions from somebody though it is not
// healthy.
func (g *Group) openLocked(s *server) bool {
	for zone := range g.pools {
		if slices.Contains(g.candidatesLocked(zone), s) {
			return !s.takes()
		}
	}
	return false
}

// keepTime does what is due when it is, until ctx ends.
func (c *Checker) keepTime(ctx context.Context) {
	for {
		cut, doubt, next, wake := c.Group.advance(time.Now())
		for _, addr := range cut {
			if c.Cut != nil {
				c.Cut(addr)
			}
		}
		for _, addr := range doubt {
			if c.Doubt != nil {
				c.Doubt(addr)
			}
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-due:
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// slowStartStep is how often the weight of a server that starts slowly grows.
const slowStartStep = time.Second

// weightAt is the weight of a server at a time: during its slow start it grows
// in a straight line, and is at least 1.
func (s *server) weightAt(now time.Time, slowStart time.Duration) int {
	if s.warm.IsZero() || slowStart <= 0 {
		return s.Weight
	}
	passed := min(now.Sub(s.warm), slowStart)
	return max(1, int(int64(s.Weight)*int64(passed)/int64(slowStart)))
}
