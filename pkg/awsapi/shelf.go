package awsapi

import (
	"fmt"
	"strings"
	"sync"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// shelf keeps the views of what listings list until something changes. So a call that
// asks for a page, or for one object of thousands, costs what it asks for.
type shelf struct {
	mu    sync.Mutex
	stamp stamp
	views map[string][]wire.M // by listing, account and the parameters that it reads
}

// mostShelved is how many listings of a stamp are kept.
const mostShelved = 64

// stamp says of when views are: nothing that they are made of changes without it.
type stamp struct {
	plan     *topology.Plan
	revision uint64 // of the control plane
	record   uint64
}

// get gives views that nobody may change.
func (s *shelf) get(key string, now stamp) ([]wire.M, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp != now {
		return nil, false
	}
	views, there := s.views[key]
	return views, there
}

func (s *shelf) put(key string, now stamp, views []wire.M) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp != now || len(s.views) >= mostShelved {
		s.stamp, s.views = now, map[string][]wire.M{}
	}
	s.views[key] = views
}

// everything is all that a listing lists, which nobody may change.
func (l listing) everything(c *call) (all []wire.M, err error) {
	// With a transition what is new looks different after a while.
	shelved := l.shelved && c.Transition == 0
	now := stamp{c.Plan, c.Lab.Plane().Revision(), c.Record.Version()}
	var key strings.Builder
	fmt.Fprintf(&key, "%s %s", l.name, c.Account.Name)
	for _, name := range l.also {
		fmt.Fprintf(&key, " %v", c.Values[name])
	}
	there := false
	if shelved {
		all, there = c.api.shelf.get(key.String(), now)
	}
	if !there {
		if all, err = l.all(c); err != nil {
			return nil, err
		}
		if shelved {
			c.api.shelf.put(key.String(), now, all)
		}
	}
	if l.late == nil {
		return all, nil
	}
	return append(all[:len(all):len(all)], l.late(c)...), nil
}
