package fullnat

import (
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/flowcache/slot"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// FlowCache forwards packets of established sessions, so that they need not come
// to the table. The table stays the owner of the sessions: package slot has what
// they tell each other. Its methods are called by the table's goroutine.
type FlowCache interface {
	// Add gives the flows of a session slots, which are not in use before the
	// table says so, and false where it has no room for them.
	Add(flows *[2]slot.Flow) (numbers [2]uint32, keys [2]slot.Key, ok bool)
	// Remove takes a session out: afterwards no packet is forwarded by its slots.
	Remove(keys *[2]slot.Key)
	// Release takes the numbers of a session back that was removed.
	Release(numbers [2]uint32)
	// Slot is the memory of a number that Add gave.
	Slot(number uint32) *slot.Slot
	// Place fills in where packets of a flow leave, false where nobody knows.
	Place(s *slot.Slot, f *slot.Flow) bool
	// Gate is that of a link, nil where it has none, and then its sessions are
	// not cached.
	Gate(link uint32) (number uint16, generation *uint64)
	// Now is the time in which slots say when a packet came.
	Now() uint32
}

// CacheOptions is how a table uses a FlowCache.
type CacheOptions struct {
	// To is the cache; nil is none.
	To FlowCache
	// All lets every session be cached that can be. Otherwise it is those that
	// last and carry much.
	All bool
	// Barred says whether packets from one interface to the other must come to
	// the table for now, in one of the directions.
	Barred func(ingress, egress packet.ENI) bool
	// Passed is told how many frames, and bytes of IP packets, the cache has
	// brought from one interface to another.
	Passed func(from, to packet.ENI, frames, bytes uint64)
}

// caching is what the table knows of its cache.
type caching struct {
	CacheOptions
	watched  store.Count // bits of a flow's Count: when one changes, the table looks whether the session should be cached
	sessions map[store.SessionID]*cachedSession
	order    []*cachedSession  // all of them
	wanted   []store.SessionID // which may be worth it
	waiting  []store.SessionID // cached ones that have packets in userspace
	settle   int               // of waiting, the first that Settle looks at next
	crowd    crowd
	bulk     bulk
	senders  senders
	next     int        // of order, to be reviewed
	reviewed store.Tick // when a review began last
	looked   store.Tick // when a part of it was made last
	settling store.Tick // how long a session is in the cache before it is used
	frames   uint64     // that the cache has forwarded
	bytes    uint64     // of them
}

// cachedSession is a session that has slots.
type cachedSession struct {
	id      store.SessionID
	place   int // in caching.order
	numbers [2]uint32
	keys    [2]slot.Key
	flows   [2]slot.Flow
	slots   [2]*slot.Slot
	counted [2]slot.Count // that the table has seen
	missed  [2]uint32     // when it looked last
	gate    *uint64
	since   store.Tick
	waiting bool

	compared store.Tick    // when what it carries was looked at last
	before   [2]slot.Count // counted then
}

// Cache makes the table use a cache. It is called once, before the first packet.
func (t *Table) Cache(opts CacheOptions) {
	t.cache = caching{CacheOptions: opts, sessions: map[store.SessionID]*cachedSession{}, settling: usualSettling}
	if opts.To == nil {
		return
	}
	t.cache.watched = store.WatchBytes
	if opts.All {
		t.cache.watched = ^store.Count(0)
	}
}

// Divert lets all packets from and to some interfaces come to the table, from the
// next one on.
func (t *Table) Divert(enis func(packet.ENI) bool) {
	for _, l := range t.links.all {
		if l != nil && (enis(l.Ingress) || enis(l.Egress)) {
			t.shut(l.number)
		}
	}
}

// shut makes the packets of a link's sessions come to the table.
func (b *book) shut(link store.LinkID) {
	if b.cache.To == nil {
		return
	}
	if _, generation := b.cache.To.Gate(uint32(link)); generation != nil {
		atomic.AddUint64(generation, 1)
	}
}

// notice is told of a flow whose count has changed in one of the bits that are
// watched.
func (b *book) notice(e *store.Flow, changed store.Count) {
	if e.IsCacheable() && b.cache.isWorthIt(e, changed, b.clock.Now) {
		b.cache.wanted = append(b.cache.wanted, e.Session)
	}
}

// Settle gives sessions that are worth it to the cache, and lets it forward those
// of which all packets have been sent on. Call it when the frames of the last Read
// have been written. empty says whether there are no others.
func (t *Table) Settle(empty func() bool) {
	if t.cache.To == nil {
		return
	}
	t.cache.watch(t.clock.Now)
	t.review()
	for _, id := range t.cache.wanted {
		t.offer(id)
	}
	t.cache.wanted = t.cache.wanted[:0]
	for left := len(t.cache.waiting); left > 0; left -= settleBudget {
		if !t.settlePart(empty) {
			return
		}
	}
}

// settlePart lets the cache go on with some of the sessions that wait, if there are
// no other frames, and says whether there are none.
func (t *Table) settlePart(empty func() bool) bool {
	if t.cache.settle >= len(t.cache.waiting) {
		t.cache.settle = 0
	}
	first, end := t.cache.settle, min(t.cache.settle+settleBudget, len(t.cache.waiting))
	// What is counted as missed is in the ring by now. When the ring is empty
	// after that, the table has had it.
	for _, id := range t.cache.waiting[first:end] {
		if c := t.cache.sessions[id]; c != nil {
			c.look()
		}
	}
	if !empty() {
		return false
	}
	for i := end - 1; i >= first; i-- {
		id := t.cache.waiting[i]
		c := t.cache.sessions[id]
		if c != nil && c.waiting {
			if t.clock.Now-c.since < t.cache.settling {
				continue
			}
			c.waiting = false
			t.resume(id, c)
		}
		// The last one has been looked at already, or is behind end.
		last := len(t.cache.waiting) - 1
		t.cache.waiting[i] = t.cache.waiting[last]
		t.cache.waiting = t.cache.waiting[:last]
	}
	t.cache.settle = end
	return true
}

// settleBudget is how many waiting sessions are looked at before another look at the frames.
const settleBudget = 512

// usualSettling is enough for packets that came before the session was in the
// cache, and were not counted: they may be between the kernel's look-up and the
// ring.
const usualSettling = 2 // ticks

func (c *cachedSession) look() {
	for d, s := range c.slots {
		c.missed[d] = atomic.LoadUint32(&s.Missed)
	}
}

// offer gives a session to the cache.
func (t *Table) offer(id store.SessionID) {
	s := t.sessions.At(id)
	if s.State != store.Established {
		return
	}
	if c := t.cache.sessions[id]; c != nil {
		t.await(id, c)
		return
	}
	l := t.links.at(s.Link)
	if !l.live || t.cache.Barred(l.Ingress, l.Egress) {
		return
	}
	number, generation := t.cache.To.Gate(uint32(s.Link))
	if generation == nil {
		return
	}
	c := &cachedSession{id: id, gate: generation, since: t.clock.Now, compared: t.clock.Now, place: len(t.cache.order)}
	for d, at := range s.Slots {
		e := t.flows.At(at)
		if !e.IsCacheable() {
			return
		}
		c.flows[d] = t.cachedFlow(e)
	}
	var ok bool
	if c.numbers, c.keys, ok = t.cache.To.Add(&c.flows); !ok {
		return
	}
	for d := range c.slots {
		c.slots[d] = t.cache.To.Slot(c.numbers[d])
		c.slots[d].Gate = number
	}
	t.cache.sessions[id] = c
	t.cache.order = append(t.cache.order, c)
	t.await(id, c)
}

// await lets the session be used when all that came before has been sent.
func (b *book) await(id store.SessionID, c *cachedSession) {
	if !c.waiting {
		c.waiting = true
		b.cache.waiting = append(b.cache.waiting, id)
	}
}

func (b *book) cachedFlow(e *store.Flow) slot.Flow {
	return slot.Flow{
		Protocol: e.Key.Protocol(), ENI: e.Key.ENI(), Leaves: b.hops.All[e.Hop].ENI,
		Src: e.Key.Src(), Dst: e.Key.Dst(), SrcPort: e.Key.SrcPort(), DstPort: e.Key.DstPort(),
		NewSrc: e.Rewrite.Src, NewDst: e.Rewrite.Dst, NewSrcPort: e.Rewrite.SrcPort, NewDstPort: e.Rewrite.DstPort,
	}
}

// resume lets the cache forward the packets of a session, if nothing speaks
// against it.
func (t *Table) resume(id store.SessionID, c *cachedSession) {
	s := t.sessions.At(id)
	l := t.links.at(s.Link)
	generation := atomic.LoadUint64(c.gate)
	t.pull(id, c)
	open := l.live && l.idle > 2*idleMargin && !t.cache.Barred(l.Ingress, l.Egress)
	for d, to := range c.slots {
		open = open && t.cache.To.Place(to, &c.flows[d])
	}
	now := t.cache.To.Now()
	for d, at := range s.Slots {
		e, to := t.flows.At(at), c.slots[d]
		if !open {
			e.Flags &^= store.Cached
			continue
		}
		e.Flags |= store.Cached
		arrives := l.ingress
		if store.Direction(d) == store.ToConsumer {
			arrives = l.egress
		}
		to.MACs, to.Arrives = t.hops.All[e.Hop].MACs(), arrives.MAC
		to.MTU, to.Idle = uint16(l.mtu[d]), uint32(l.idle-idleMargin)
		to.Reach, to.Offer, to.Scale = e.Window.Parts()
		atomic.StoreUint32(&to.Next, e.Next)
		atomic.StoreUint32(&to.Ack, e.Ack)
		atomic.StoreUint32(&to.Lately, uint32(e.OfferedLately()))
		atomic.StoreUint32(&to.Last, now-uint32(t.clock.Now-e.Last))
		atomic.StoreUint32(&to.Generation, uint32(generation))
		atomic.StoreUint32(&to.Handled, c.missed[d])
	}
}

// idleMargin is how long before an idle timeout packets come to the table again,
// which measures better.
const idleMargin = 20 // ticks

// pull brings what the table knows of a session up to date with its slots.
func (b *book) pull(id store.SessionID, c *cachedSession) {
	s := b.sessions.At(id)
	l := b.links.at(s.Link)
	now := b.cache.To.Now()
	for d, at := range s.Slots {
		e, from := b.flows.At(at), c.slots[d]
		if !b.pullCounts(c, d, e, l) || e.Flags&store.Cached == 0 {
			continue
		}
		if ago := int32(now - atomic.LoadUint32(&from.Last)); b.clock.Now-e.Last > store.Tick(max(ago, 0)) {
			e.Last = b.clock.Now - store.Tick(max(ago, 0))
		}
		if e.Key.Protocol() == packet.ProtocolTCP {
			e.Advance(atomic.LoadUint32(&from.Next), atomic.LoadUint32(&from.Ack))
			e.Lately(uint8(atomic.LoadUint32(&from.Lately)))
		}
	}
}

// pullCounts adds what has passed by a slot since it was last called to all that
// count it, and says whether that is anything.
func (b *book) pullCounts(c *cachedSession, d int, e *store.Flow, l *link) bool {
	count := &c.slots[d].Count
	total := slot.Count{
		Frames: atomic.LoadUint64(&count.Frames), Bytes: atomic.LoadUint64(&count.Bytes),
		Superframes: atomic.LoadUint64(&count.Superframes), Segments: atomic.LoadUint64(&count.Segments),
	}
	more := total.Minus(c.counted[d])
	if more.Frames == 0 {
		return false
	}
	c.counted[d] = total
	b.wraps.Add(e, more.Frames, more.Bytes)
	sent := &l.stats.sent[d]
	sent.frames += more.Frames
	sent.bytes += more.Bytes
	l.stats.Superframes += more.Superframes
	l.stats.Segments += more.Segments
	b.cache.frames += more.Frames
	b.cache.bytes += more.Bytes
	b.cache.Passed(c.flows[d].ENI, c.flows[d].Leaves, more.Frames, more.Bytes)
	return true
}

// pullOf is pull for the session of a flow that the cache may be ahead of.
func (b *book) pullOf(id store.SessionID) *cachedSession {
	c := b.cache.sessions[id]
	if c != nil {
		b.pull(id, c)
	}
	return c
}

// pullAll is for those who want to know all counters.
func (b *book) pullAll() {
	for id, c := range b.cache.sessions {
		b.pull(id, c)
	}
}

// LeaveCache brings the sessions up to date with the cache, which must not be
// used afterwards.
func (t *Table) LeaveCache() {
	if t.cache.To == nil {
		return
	}
	for n := range t.links.all {
		t.shut(store.LinkID(n))
	}
	for id, c := range t.cache.sessions {
		t.pull(id, c)
		for _, at := range t.sessions.At(id).Slots {
			t.flows.At(at).Flags &^= store.Cached
		}
	}
	t.cache = caching{CacheOptions: CacheOptions{Barred: t.cache.Barred}}
}

// AbandonCache brings the sessions up to date with the cache, which goes on with
// them. The table must not be used afterwards.
func (t *Table) AbandonCache() {
	if t.cache.To != nil {
		t.pullAll()
	}
	t.cache = caching{CacheOptions: CacheOptions{Barred: t.cache.Barred}}
}

// uncache takes a session out of the cache.
func (b *book) uncache(id store.SessionID) {
	c := b.cache.sessions[id]
	if c == nil {
		return
	}
	b.cache.To.Remove(&c.keys)
	b.pull(id, c)
	for _, at := range b.sessions.At(id).Slots {
		b.flows.At(at).Flags &^= store.Cached
	}
	b.cache.To.Release(c.numbers)
	delete(b.cache.sessions, id)
	last := len(b.cache.order) - 1
	b.cache.order[c.place] = b.cache.order[last]
	b.cache.order[c.place].place = c.place
	b.cache.order[last] = nil
	b.cache.order = b.cache.order[:last]
}
