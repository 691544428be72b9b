package lab

import (
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
)

// boundPicker is a picker of a link with the group and the zone that it is of.
type boundPicker struct {
	*lb.Picker
	group *lb.Group
	zone  string
}

// pickersFor are the pickers of a link: first the one that chooses now, then
// those of groups that the link led to before, while sessions are left that
// they gave out. It is called with mu held.
func (l *Lab) pickersFor(link, group, zone string) []boundPicker {
	running := l.groups[group]
	if running == nil {
		return nil
	}
	var now []boundPicker
	var before []boundPicker
	for _, p := range l.pickers[link] {
		switch {
		case p.group == running.group && p.zone == zone:
			now = []boundPicker{p}
		case p.Sessions() > 0:
			before = append(before, p)
		}
	}
	if now == nil {
		now = []boundPicker{{running.group.Picker(zone), running.group, zone}}
	}
	return append(now, before...)
}

// union are the pickers of both. A link's name may be that of two, one that
// takes sessions and one by which the old ones go on.
func union(some, more []boundPicker) []boundPicker {
	for _, p := range more {
		if !slices.Contains(some, p) {
			some = append(some, p)
		}
	}
	return some
}

// chooserOf asks the first picker, and takes sessions back for whoever gave
// them out.
func chooserOf(pickers []boundPicker) compile.Chooser {
	if len(pickers) == 0 {
		return compile.Chooser{}
	}
	return compile.Chooser{
		Pick: func(t packet.FiveTuple) (netip.AddrPort, bool) {
			return pickers[0].Pick(packet.FiveTuple{Src: t.Src, Dst: t.Dst})
		},
		Ended: func(target netip.AddrPort) {
			for _, p := range pickers {
				if p.Ended(target) {
					return
				}
			}
		},
	}
}

// cut removes the sessions that a group gave to a server.
func (l *Lab) cut(group *lb.Group, server netip.AddrPort) {
	l.mu.Lock()
	links := map[string]bool{}
	for link, pickers := range l.pickers {
		for _, p := range pickers {
			if p.group == group {
				links[link] = true
			}
		}
	}
	l.mu.Unlock()
	n := l.engine.Cut(func(link string, target netip.AddrPort) bool { return target == server && links[link] })
	l.log.Info("sessions were removed", "group", group.Config().Name, "server", server, "sessions", n)
}
