package fullnat

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Walk is a place in a walk through the sessions. The zero value is the start.
type Walk struct {
	next store.SessionID
	done bool
}

// Done says whether the walk has come to its end.
func (w Walk) Done() bool { return w.done }

// End is a walk that is over.
func (w Walk) End() Walk { return Walk{next: w.next, done: true} }

// SessionsFrom looks at the next count places for a session, appends a copy of
// those that live at now to dst, and returns where to go on. Packets may pass
// between two calls: a session that is there all the time comes exactly once,
// one that starts or ends meanwhile once or not at all.
func (t *Table) SessionsFrom(dst []Session, from Walk, count int, now time.Duration) ([]Session, Walk) {
	t.clock.Advance(now)
	end := min(uint64(from.next)+uint64(max(count, 1)), uint64(t.sessions.Reached))
	for id := from.next; uint64(id) < end; id++ {
		s := t.sessions.At(id)
		if s.State == store.Free || !t.links.at(s.Link).live || t.timedOut(s) {
			continue
		}
		dst = append(dst, t.describe(s))
	}
	return dst, Walk{next: store.SessionID(end), done: end == uint64(t.sessions.Reached)}
}

// Sessions appends a copy of every session that lives at now to dst. It walks
// the whole table: SessionsFrom does so in parts.
func (t *Table) Sessions(dst []Session, now time.Duration) []Session {
	dst, _ = t.SessionsFrom(dst, Walk{}, len(t.sessions.All), now)
	return dst
}

// SessionTo is a copy of the session whose target sees packets of this five-tuple come from
// an egress ENI; false where none lives at now.
func (t *Table) SessionTo(egress packet.ENI, seen packet.FiveTuple, now time.Duration) (s Session, ok bool) {
	t.clock.Advance(now)
	number := func(a netip.Addr) uint32 {
		if a.Is4() {
			return store.IPv4Number(a)
		}
		key := a.As16()
		return t.addrs.Find(&key)
	}
	reply := store.NewKey(egress, seen.Protocol, number(seen.Dst.Addr()), number(seen.Src.Addr()),
		seen.Dst.Port(), seen.Src.Port())
	e := t.flows.Find(reply, t.flows.Home(reply))
	if e == nil || t.timedOut(t.sessions.At(e.Session)) {
		return Session{}, false
	}
	return t.describe(t.sessions.At(e.Session)), true
}

// Fate is what becomes of a session.
type Fate uint8

// The fates of sessions.
const (
	Stays   Fate = iota
	Doubted      // its link's Lost is asked when the next packet comes
	Ends         // at once
)

// Cut looks at the next count places for a session and lets those that live at
// now have the fate that they are told. It returns how many do not stay, and
// where to go on. What still comes for those that end is treated like all that
// no session knows: see Behaviour.ResetStray.
func (t *Table) Cut(
	from Walk, count int, now time.Duration, fate func(link string, target netip.AddrPort) Fate,
) (found int, next Walk) {
	t.clock.Advance(now)
	end := min(uint64(from.next)+uint64(max(count, 1)), uint64(t.sessions.Reached))
	for id := from.next; uint64(id) < end; id++ {
		s := t.sessions.At(id)
		if s.State == store.Free || !t.links.at(s.Link).live || t.timedOut(s) {
			continue
		}
		there := t.flows.At(s.Slots[store.ToProvider])
		switch fate(t.links.at(s.Link).Name, t.addrs.WithPort(there.Rewrite.Dst, there.Rewrite.DstPort)) {
		case Stays:
			continue
		case Doubted:
			t.uncache(id)
			t.doubt(s, store.Doubted)
		case Ends:
			t.remove(id)
		}
		found++
	}
	// The last numbers may have been given back meanwhile.
	return found, Walk{next: store.SessionID(end), done: end >= uint64(t.sessions.Reached)}
}

func (t *Table) doubt(s *store.Session, doubted store.Flags) {
	for _, slot := range s.Slots {
		e := t.flows.At(slot)
		e.Flags = e.Flags&^store.Doubted | doubted
	}
}

// isLost asks whether a doubted session ends. If not, it is doubted no more.
func (t *Table) isLost(id store.SessionID, l *link) bool {
	s := t.sessions.At(id)
	there := t.flows.At(s.Slots[store.ToProvider])
	if l.Lost != nil && l.Lost(t.addrs.WithPort(there.Rewrite.Dst, there.Rewrite.DstPort)) {
		return true
	}
	t.doubt(s, 0)
	return false
}
