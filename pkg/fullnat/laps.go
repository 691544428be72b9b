package fullnat

// laps is how often the packet counters of flows went around, for the few that
// did: it keeps them half as wide in every flow.
type laps map[lap]uint32

type lap struct {
	session   uint32
	direction direction
}

// add counts a packet of a flow.
func (l *laps) add(e *flow, bytes uint64) {
	e.bytes += bytes
	if e.packets++; e.packets == 0 {
		l.count(e)
	}
}

// count is not for the place where packets are counted: inlined there, what
// nearly no packet needs would cost all of them.
//
//go:noinline
func (l *laps) count(e *flow) {
	if *l == nil {
		*l = laps{}
	}
	(*l)[lap{e.session, e.direction}]++
}

// packets is how many packets went over e.
func (l laps) packets(e *flow) uint64 {
	return uint64(l[lap{e.session, e.direction}])<<32 + uint64(e.packets)
}

func (l laps) forget(e *flow) {
	if len(l) > 0 {
		delete(l, lap{e.session, e.direction})
	}
}
