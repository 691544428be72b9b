package cloudapi

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
	views map[string]*Shelved // by listing, account and the parameters that it reads
}

// Shelved are views, and how answers write them, once some did. Its methods may be called from
// any goroutine.
type Shelved struct {
	Views []wire.M // which nobody may change

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
func (s *shelf) get(key string, now stamp) *Shelved {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp != now {
		return nil
	}
	return s.views[key]
}

func (s *shelf) put(key string, now stamp, views *Shelved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp != now || len(s.views) >= mostShelved {
		s.stamp, s.views = now, map[string]*Shelved{}
	}
	s.views[key] = views
}

func address(view wire.M) uintptr { return reflect.ValueOf(view).Pointer() }

// Rendered are views as an operation's answers write them. Those that are not on the shelf
// are written now. An address is that of one view, as long as the shelf holds it.
func (s *Shelved) Rendered(op *wire.Operation, list string, views []wire.M) ([]wire.Rendered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = make(map[uintptr]wire.Rendered, len(s.Views))
		for _, view := range s.Views {
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

// Shelved are the views that all makes for a listing, which reads the parameters also of the
// call's values. They are made once, until the topology, the control plane or the record
// changes, which is all that they may be made of. Nil where nothing is kept: with a
// transition, what is new looks different after a while.
func (c *Call) Shelved(listing string, also []string, all func() ([]wire.M, error)) (*Shelved, error) {
	if c.Transition > 0 {
		return nil, nil
	}
	now := stamp{c.Plan, c.Lab.Plane().Revision(), c.Record.Version()}
	var key strings.Builder
	fmt.Fprintf(&key, "%s %s %s", c.Service.Name, listing, c.Account.Name)
	for _, name := range also {
		fmt.Fprintf(&key, " %v", c.Values[name])
	}
	if kept := c.shelf.get(key.String(), now); kept != nil {
		return kept, nil
	}
	views, err := all()
	if err != nil {
		return nil, err
	}
	kept := &Shelved{Views: views}
	c.shelf.put(key.String(), now, kept)
	return kept, nil
}
