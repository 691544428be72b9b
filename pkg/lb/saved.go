package lb

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Saved is what a group knows of a server and another process should know when it
// goes on with the group.
type Saved struct {
	Address netip.AddrPort
	Server  topology.Server // as it was in the group
	State   State
	Since   time.Time
	Cause   Cause     `json:",omitzero"`
	Reason  string    `json:",omitzero"`
	Served  bool      `json:",omitzero"` // it was healthy before
	First   bool      `json:",omitzero"` // it has been there from the start, and was not healthy yet
	Warm    time.Time `json:",omitzero"` // since when it starts slowly
	CutAt   time.Time `json:",omitzero"` // from when on it should have no sessions
	Left    time.Time `json:",omitzero"` // when it was removed; zero: it was not
}

// Save is what Restore takes.
func (g *Group) Save() (out []Saved) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, servers := range [][]*server{g.servers, g.leaving} {
		for _, s := range servers {
			saved := Saved{
				Address: s.addr, Server: s.Server, State: s.state, Since: s.since, Cause: s.cause, Reason: s.reason,
				Served: s.served, First: s.first, Warm: s.warm, CutAt: s.cutAt,
			}
			if s.removed {
				saved.Left = s.left
			}
			out = append(out, saved)
		}
	}
	return out
}

// Restore lets a new group go on where another process's group was. Servers that
// it had and this one has not are removed at now, if they were not before. Sessions
// are told by Picker.Resume.
func (g *Group) Restore(saved []Saved, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range saved {
		was := &saved[i]
		s := find(g.servers, was.Address)
		if s == nil {
			g.restoreLeavingLocked(was, now)
			continue
		}
		checked := s.state != Unchecked
		if s.first = was.First; !was.Left.IsZero() || !checked || was.State > Unhealthy {
			continue // the server is another one since, or is checked in another way
		}
		s.state, s.since, s.cause, s.reason, s.served = was.State, was.Since, was.Cause, was.Reason, was.Served
		s.warm, s.cutAt = was.Warm, was.CutAt
	}
	g.publishLocked(now)
}

func (g *Group) restoreLeavingLocked(was *Saved, now time.Time) {
	s := &server{addr: was.Address, Server: was.Server, health: newHealth(g.config.HealthCheck)}
	if was.Left.IsZero() {
		g.leaveLocked(s, now)
		return
	}
	s.removed, s.left, s.cutAt = true, was.Left, was.CutAt
	g.leaving = append(g.leaving, s)
}
