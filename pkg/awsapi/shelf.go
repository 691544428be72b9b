package awsapi

import (
	"fmt"
	"reflect"
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
	views map[string]*shelved // by listing, account and the parameters that it reads
}

// shelved are views, and how answers write them, once some did.
type shelved struct {
	views []wire.M // which nobody may change

	mu    sync.Mutex
	texts map[uintptr]wire.Rendered // by the views' addresses; "": not yet
}

// mostShelved is how many listings of a stamp are kept.
const mostShelved = 64

// stamp says of when views are: nothing that they are made of changes without it.
type stamp struct {
	plan     *topology.Plan
	revision uint64 // of the control plane
	record   uint64
}

// get gives views of now, nil where there are none.
func (s *shelf) get(key string, now stamp) *shelved {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp != now {
		return nil
	}
	return s.views[key]
}

func (s *shelf) put(key string, now stamp, views *shelved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp != now || len(s.views) >= mostShelved {
		s.stamp, s.views = now, map[string]*shelved{}
	}
	s.views[key] = views
}

func address(view wire.M) uintptr { return reflect.ValueOf(view).Pointer() }

// rendered are views as an operation's answers write them. Those that are not on the shelf
// are written now. An address is that of one view, as long as the shelf holds it.
func (s *shelved) rendered(op *wire.Operation, list string, views []wire.M) ([]wire.Rendered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = make(map[uintptr]wire.Rendered, len(s.views))
		for _, view := range s.views {
			s.texts[address(view)] = ""
		}
	}
	out := make([]wire.Rendered, len(views))
	for i, view := range views {
		text, ours := s.texts[address(view)]
		if text == "" {
			var err error
			if text, err = wire.Render(op, list, view); err != nil {
				return nil, err
			}
		}
		if ours {
			s.texts[address(view)] = text
		}
		out[i] = text
	}
	return out, nil
}

// everything is all that a listing lists, which nobody may change, and the shelf's part of
// it, nil where nothing of it is kept.
func (l listing) everything(c *call) (all []wire.M, kept *shelved, err error) {
	now := stamp{c.Plan, c.Lab.Plane().Revision(), c.Record.Version()}
	// With a transition what is new looks different after a while.
	if l.shelved && c.Transition == 0 {
		var key strings.Builder
		fmt.Fprintf(&key, "%s %s", l.name, c.Account.Name)
		for _, name := range l.also {
			fmt.Fprintf(&key, " %v", c.Values[name])
		}
		if kept = c.api.shelf.get(key.String(), now); kept == nil {
			if all, err = l.all(c); err != nil {
				return nil, nil, err
			}
			kept = &shelved{views: all}
			c.api.shelf.put(key.String(), now, kept)
		}
		all = kept.views
	} else if all, err = l.all(c); err != nil {
		return nil, nil, err
	}
	if l.late == nil {
		return all, kept, nil
	}
	return append(all[:len(all):len(all)], l.late(c)...), kept, nil
}
