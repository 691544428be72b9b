package lab

import (
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
)

// drainingInterval is how often a zone's old load balancer is asked whether
// sessions still go through it.
const drainingInterval = time.Second

// drains are the links by which sessions go on that a replaced load balancer had.
type drains struct{ *Lab }

// release ends the replacement of a load balancer when the last session
// through the old one has ended.
func (l drains) release() {
	tick := time.NewTicker(drainingInterval)
	defer tick.Stop()
	before := map[string]draining{}
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
			before = l.lookAt(before)
		}
	}
}

// draining is what a link that drains had done when it was last looked at.
type draining struct {
	sessions int
	packets  uint64
	quiet    bool // nothing had passed since the look before
}

// lookAt looks at every link that drains. A session that has ended
// stays in the table for a while, for what is still on its way; so when a link
// has become quiet, its sessions are asked whether one of them goes on.
func (l drains) lookAt(before map[string]draining) map[string]draining {
	next := map[string]draining{}
	state := l.plane.State()
	var empty []Drained
	for _, c := range state.Connections {
		for _, z := range c.Zones {
			if z.State != control.Migrated || l.here.elsewhere(state.Plan, z.Zone) != "" {
				continue
			}
			names := compile.DrainingLinks(state.Plan, c, z)
			ended := true
			for _, name := range names {
				d := l.now(name, before)
				next[name] = d
				// Once quiet, it is asked again only when something has passed.
				ended = ended && (d.sessions == 0 || d.quiet && !before[name].quiet && !l.anyOpen(name))
			}
			drained := Drained{c.Service, c.Endpoint, z.Zone, z.Replaced}
			switch {
			case l.agreed == nil && ended:
				l.plane.Drained(c.Service, c.Endpoint, z.Zone, z.Replaced)
			case ended || l.agreed != nil && l.agreed.isDrained(drained):
				empty = append(empty, drained)
			}
		}
	}
	if l.agreed != nil {
		l.agreed.setDrained(empty) // the leader ends the replacement
	}
	return next
}

func (l drains) now(name string, before map[string]draining) draining {
	for _, link := range l.engine.Stats().Table.Links {
		if link.Name == name {
			d := draining{sessions: link.Sessions, packets: link.PacketsToProvider + link.PacketsToConsumer}
			was, known := before[name]
			d.quiet = known && was.sessions == d.sessions && was.packets == d.packets
			return d
		}
	}
	return draining{}
}

// anyOpen says whether a session of a link may still carry something.
func (l drains) anyOpen(link string) bool {
	return slices.ContainsFunc(l.engine.Sessions(), func(s fullnat.Session) bool {
		return s.Link == link &&
			s.State != "closed"
	})
}
