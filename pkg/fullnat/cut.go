package fullnat

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
)

// Cut looks at the next count places for a session and removes those that live
// at now and for which gone says so. It returns how many that were and where
// to go on. What still comes for them is treated like all that no session
// knows: see Behaviour.ResetStray.
func (t *Table) Cut(from Walk, count int, now time.Duration, gone func(link string, target netip.AddrPort) bool) (removed int, next Walk) {
	t.clock.Advance(now)
	end := min(uint64(from.next)+uint64(max(count, 1)), uint64(t.sessions.Reached))
	for id := from.next; uint64(id) < end; id++ {
		s := t.sessions.At(id)
		if s.State == store.Free || !t.links.at(s.Link).live || t.timedOut(s) {
			continue
		}
		there := t.flows.At(s.Slots[store.ToProvider])
		if gone(t.links.at(s.Link).Name, t.addrs.WithPort(there.Rewrite.Dst, there.Rewrite.DstPort)) {
			t.remove(id)
			removed++
		}
	}
	// The last numbers may have been given back meanwhile.
	return removed, Walk{next: uint32(end), done: end >= uint64(t.sessions.Reached)}
}
