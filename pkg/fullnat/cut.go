package fullnat

import (
	"net/netip"
	"time"
)

// Cut looks at the next count places for a session and removes those that live
// at now and for which gone says so. It returns how many that were and where
// to go on. What still comes for them is treated like all that no session
// knows: see Behaviour.ResetStray.
func (t *Table) Cut(from Walk, count int, now time.Duration, gone func(link string, target netip.AddrPort) bool) (removed int, next Walk) {
	t.clock.advance(now)
	end := min(uint64(from.next)+uint64(max(count, 1)), uint64(t.sessions.reached))
	for id := from.next; uint64(id) < end; id++ {
		s := t.sessions.at(id)
		if s.state == free || !t.links.at(s.link).live || t.timedOut(s) {
			continue
		}
		there := t.flows.at(s.slots[toProvider])
		if gone(t.links.at(s.link).Name, t.addrs.withPort(there.rewrite.Dst, there.rewrite.DstPort)) {
			t.remove(id)
			removed++
		}
	}
	// The last numbers may have been given back meanwhile.
	return removed, Walk{next: uint32(end), done: end >= uint64(t.sessions.reached)}
}
