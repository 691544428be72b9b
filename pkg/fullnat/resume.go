package fullnat

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Left is what a table has left in its Memory, whose process has ended, at any
// moment and without a goodbye. A table that is given it goes on with the
// sessions.
//
// Nothing in it is believed. A session goes on if its record has the right check
// value, its link is in the configuration and connected, its addresses are the
// link's, no other session has its NAT port, and both of its flows are there. What
// packets change (numbers, windows, times, states, counters) may be anything that
// fits: it does no harm to others. The session is then made again as if its first
// packet had come, so nothing else of the old table has to be right, not even
// where it kept things.
type Left struct {
	// Regions are the old Memory's, by name. They are only read.
	Regions map[string][]byte
}

// Resumed says what became of the sessions of an earlier table.
type Resumed struct {
	Sessions int // go on
	Damaged  int // were lost, as they were not whole
	Foreign  int // belong to no link of the configuration that is connected
	Refused  int // had no place in this table, or a NAT port that another one has
	// Err is why nothing was taken over, for example that it was another version's.
	Err error
}

// Add makes r what became of the sessions of two tables together.
func (r *Resumed) Add(other *Resumed) {
	r.Sessions += other.Sessions
	r.Damaged += other.Damaged
	r.Foreign += other.Foreign
	r.Refused += other.Refused
	r.Err = errors.Join(r.Err, other.Err)
}

// Resumed says what became of Options.Left. It is for after the first Configure.
func (t *Table) Resumed() Resumed { return t.heritage.resumed }

// sessions is about how many there were. left may be nil.
func (left *Left) sessions() (n int) {
	if left == nil {
		return 0
	}
	for _, r := range store.View[store.Record](left.Regions[store.RecordsRegion]) {
		if r.IsRecorded() {
			n++
		}
	}
	return n
}

// Shards is of how many tables this was one, or 0 where that cannot be told.
func (left *Left) Shards() int {
	if l, err := left.readLabel(); err == nil {
		return int(l.Of)
	}
	return 0
}

func (left *Left) readLabel() (label, error) {
	for _, l := range store.View[label](left.Regions[labelRegion]) {
		switch {
		case l.Magic != labelMagic || l.Check != l.sum():
		case l.Layout != layout:
			return label{}, errors.New("the sessions of the earlier process were kept by another version of plinksim")
		default:
			return l, nil
		}
	}
	return label{}, errors.New("the sessions of the earlier process have no label that can be read")
}

// inherit takes over what an earlier table has left, once.
func (t *Table) inherit() {
	left := t.heritage.left
	if left == nil {
		return
	}
	t.heritage.left = nil
	l, err := left.readLabel()
	if err == nil && (l.Shard != uint64(t.shard.Number) || l.Of != uint64(t.shard.Of)) {
		err = fmt.Errorf("the sessions of the earlier process are those of worker %d of %d, and this is %d of %d",
			l.Shard+1, l.Of, t.shard.Number+1, t.shard.Of)
	}
	if err != nil {
		t.heritage.resumed.Err = err
		return
	}
	elapsed := t.heritage.epoch - time.Duration(l.Epoch) + time.Duration(t.clock.Ticks)*store.TickLength
	r := resumption{Table: t, old: newEstate(left), byMark: t.linksByMark(), then: store.Tick(elapsed / store.TickLength)}
	r.all()
}

// linksByMark are the links that sessions may go on with. A link that drains has
// sessions that began when it had another name.
func (t *Table) linksByMark() map[uint64]*link {
	byMark := map[uint64]*link{}
	for _, l := range t.links.order {
		if l.live {
			byMark[l.mark] = l
		}
	}
	for _, l := range t.links.order {
		if was := markOf(l, l.Was); l.live && l.Was != "" && byMark[was] == nil {
			byMark[was] = l
		}
	}
	return byMark
}

// estate is what is left, as arrays, and the flows of each session.
type estate struct {
	records    []store.Record
	addrs      []store.Addresses
	sessions   []store.Session
	identities []identityState
	flows      [][2]*store.Flow
}

// newEstate finds the flows of every session that has a record. They may be in
// several arenas, and one that was just moving is there twice.
func newEstate(left *Left) *estate {
	e := &estate{
		records:    store.View[store.Record](left.Regions[store.RecordsRegion]),
		addrs:      store.View[store.Addresses](left.Regions[store.AddressesRegion]),
		sessions:   store.View[store.Session](left.Regions[store.SessionsRegion]),
		identities: store.View[identityState](left.Regions[identitiesRegion]),
	}
	for len(e.records) > 0 && !e.records[len(e.records)-1].IsRecorded() {
		e.records = e.records[:len(e.records)-1]
	}
	e.flows = make([][2]*store.Flow, len(e.records))
	for name, region := range left.Regions {
		if strings.HasPrefix(name, store.FlowsRegion) {
			e.sort(store.View[store.Flow](region))
		}
	}
	return e
}

func (e *estate) sort(flows []store.Flow) {
	for i := range flows {
		f := &flows[i]
		if f.Key.Rest == 0 || int(f.Session) >= len(e.records) {
			continue
		}
		if d := f.Direction(); e.records[f.Session].Is(f, d) {
			e.flows[f.Session][d] = f
		}
	}
}

// resumption is one inherit.
type resumption struct {
	*Table
	old    *estate
	byMark map[uint64]*link
	then   store.Tick // what the old table's clock would say now
	half   []halfOpen
}

// halfOpen is a session that waits for its place among the half-open.
type halfOpen struct {
	id  store.SessionID
	age store.Tick
}

func (r *resumption) all() {
	for n := range r.old.records {
		if r.old.records[n].IsRecorded() {
			*r.one(store.SessionID(n))++
		}
	}
	// The oldest give way first.
	slices.SortFunc(r.half, func(a, b halfOpen) int { return int(int32(b.age - a.age)) })
	for _, h := range r.half {
		if r.Table.half.Full() {
			return
		}
		r.enterHalfOpen(h.id)
		if s := r.sessions.At(h.id); !s.State.IsHalfOpen() {
			s.Ends |= store.Unconfirmed
		}
	}
}

// one takes over the session that had number n, and returns what to count it as.
func (r *resumption) one(n store.SessionID) *int {
	out, rec := &r.heritage.resumed, &r.old.records[n]
	flows := r.old.flows[n]
	addrs, ok := r.old.addressesOf(n)
	if !ok || int(n) >= len(r.old.sessions) || flows[0] == nil || flows[1] == nil || !rec.IsWhole(n, addrs) {
		return &out.Damaged
	}
	l := r.byMark[rec.Link]
	if l == nil {
		return &out.Foreign
	}
	was := r.old.sessions[n]
	identity, whole := r.old.identityOf(n)
	if !whole || !isStateOf(was.State, l.Protocol) {
		return &out.Damaged
	}
	ends, ok := r.acquire(rec, addrs)
	defer r.addrs.Release(ends[:]...)
	if !ok || !l.may(rec, ends) {
		return &out.Foreign
	}
	id, ok := r.begin(l, rec, ends, was.State)
	if !ok {
		return &out.Refused
	}
	r.restore(id, &was, flows, identity)
	r.record(id, l)
	if l.Resumed != nil {
		l.Resumed(r.addrs.WithPort(ends[target], rec.TargetPort))
	}
	return &out.Sessions
}

// isStateOf says whether a session of a protocol can be in a state.
func isStateOf(s store.State, protocol uint8) bool {
	if protocol != packet.ProtocolTCP {
		return s == store.Established
	}
	return s > store.Free && s < store.NumStates
}

// addressesOf are those of the session with number n, nil where it has no IPv6.
func (e *estate) addressesOf(n store.SessionID) (addrs *store.Addresses, ok bool) {
	switch {
	case !e.records[n].HasIPv6():
		return nil, true
	case int(n) >= len(e.addrs):
		return nil, false
	}
	return &e.addrs[n], true
}

// identityOf is what the session with number n remembers in order to tell its
// provider who the consumer is, nil where it does not, and whether it is whole.
func (e *estate) identityOf(n store.SessionID) (c *identityState, whole bool) {
	there := e.flows[n][store.ToProvider].Flags & store.Identifies
	back := e.flows[n][store.ToConsumer].Flags & store.Identifies
	if there|back == 0 {
		return nil, true
	}
	if int(n) >= len(e.identities) {
		return nil, false
	}
	kept := e.identities[n].withBools()
	if kept.length > maxHeader || kept.progress > longConfirmed || kept.check != kept.sum(&e.records[n]) {
		return nil, false
	}
	if kept.progress == noHeader && !kept.toa {
		return nil, true // it was just going to be ordinary
	}
	return &kept, there == back
}

// withBools is a copy in which each bool is one, whatever the memory had.
func (c *identityState) withBools() identityState {
	raw := *(*[unsafe.Sizeof(identityState{})]byte)(unsafe.Pointer(c))
	for _, at := range []uintptr{
		unsafe.Offsetof(c.early), unsafe.Offsetof(c.toa), unsafe.Offsetof(c.answered), unsafe.Offsetof(c.stamped),
	} {
		raw[at] = min(raw[at], 1)
	}
	return *(*identityState)(unsafe.Pointer(&raw))
}

// ends are the numbers of a session's addresses.
type ends [4]uint32

const (
	consumer = iota
	endpoint
	natAddress
	target
)

// acquire gives the addresses of a record numbers of this table, which are to be
// released.
func (r *resumption) acquire(rec *store.Record, addrs *store.Addresses) (e ends, ok bool) {
	for i, n := range rec.Numbers() {
		addr := store.IPv4(n)
		if addrs != nil {
			addr = netip.AddrFrom16(addrs[i])
		}
		if addr = addr.Unmap(); !packet.IsHost(addr) {
			return e, false
		}
		if e[i], ok = r.addrs.Acquire(addr); !ok {
			return e, false
		}
	}
	return e, true
}

// may says whether a session with these ends can be one of the link's.
func (l *link) may(rec *store.Record, e ends) bool {
	ports := rec.DstPort == l.Match.Port() && rec.TargetPort != 0 || l.Protocol == packet.ProtocolICMP
	return ports && e[endpoint] == l.match && version(e[consumer]) == version(e[endpoint]) &&
		slices.Contains(l.local[version(e[target])], e[natAddress])
}

// begin enters a session, or says that there is no room for it or that another one
// has what it needs.
func (r *resumption) begin(l *link, rec *store.Record, e ends, state store.State) (id store.SessionID, ok bool) {
	t := r.Table
	p := packet.Packet{Src: e[consumer], Dst: e[endpoint], SrcPort: rec.SrcPort, DstPort: rec.DstPort}
	first := store.NewKey(l.Ingress, l.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	source, to := natPort{end: end{e[natAddress], rec.LocalPort}}, end{e[target], rec.TargetPort}
	reply := l.replyKey(source, to)
	if first == reply || t.sessions.Full() || !t.flows.MakeRoom(t.moved) || t.flows.Has(first) || t.flows.Has(reply) {
		return 0, false
	}
	source.pool = t.poolOf(l, source.addr, to)
	if !t.ports.At(source.pool).Claim(source.port) {
		return 0, false
	}
	return t.enroll(l, state, first, &p, source, to), true
}

// restore gives a session what packets had changed of it.
func (r *resumption) restore(id store.SessionID, was *store.Session, flows [2]*store.Flow, identity *identityState) {
	t := r.Table
	s, now := t.sessions.At(id), t.clock.Now
	s.Ends, s.Scales, s.Again = was.Ends&store.AllEnds, was.Scales, was.Again
	for d, slot := range s.Slots {
		t.flows.At(slot).Resume(flows[d], now-r.then, now)
	}
	if identity != nil {
		r.restoreIdentity(id, identity)
	}
	if s.State.IsHalfOpen() || s.State == store.Closed && was.Ends&store.Unconfirmed != 0 {
		r.half = append(r.half, halfOpen{id, t.idle(s)})
	} else {
		s.Extra = was.Extra
	}
	t.wheel.Link(&t.sessions, id, t.deadline(s))
}

func (r *resumption) restoreIdentity(id store.SessionID, was *identityState) {
	t := r.Table
	c := t.identities.add(id)
	*c = *was
	c.sent += t.clock.Now - r.then
	for _, slot := range t.sessions.At(id).Slots {
		t.flows.At(slot).Flags |= store.Identifies
	}
	if c.progress == unconfirmed {
		t.identities.resend.arm(id, c, 0, t.clock.Now)
	}
}
