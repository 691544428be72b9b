package fullnat

import (
	"cmp"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// fragmentLife is how long a datagram is remembered of which not all fragments
// have come: FRAGMENT_MIN of RFC 6146, 4.
const fragmentLife = 2 * time.Second

// What is remembered of fragments is bounded, and an interface has a part of
// it only: those who send to one endpoint cannot take it from all others.
const (
	maxDatagrams   = 4096
	maxHeldBytes   = 4 << 20
	maxHeldEach    = 64 // fragments of one datagram: 45 make 64 KiB at an MTU of 1500
	maxSpans       = 32 // gaps between those that came
	interfaceShare = 4  // one in so many
)

// fragments knows the datagrams of which some fragments came and some did not.
// Only the first fragment has ports: it finds or opens a session, and the
// others go where it went. Others that come before it are held.
type fragments struct {
	byKey          map[fragmentKey]*datagram
	oldest, newest *datagram
	heldBytes      int
	held           int
	share          map[packet.ENI]*fragmentShare
}

// fragmentShare is what an interface has of it.
type fragmentShare struct{ datagrams, heldBytes int }

// fragmentKey is what fragments of a datagram have in common (RFC 791, 2.3; RFC
// 8200, 4.5), and the ENI, as VPCs overlap.
type fragmentKey struct {
	src, dst uint32
	id       uint32
	eni      packet.ENI
	protocol uint8
}

// datagram is one of which not all fragments have come.
type datagram struct {
	key     fragmentKey
	born    store.Tick
	outcome Verdict   // of the first fragment; Held until it comes
	flow    store.Key // by which the first fragment went, if it was Forwarded
	id      uint32    // that the fragments leave with
	length  int       // bytes, or 0 while the last one has not come
	spans   []span    // that came, in order, never touching
	held    []heldFragment

	older, newer *datagram
}

// span is a part of a datagram's payload, in bytes.
type span struct{ from, to int }

type heldFragment struct {
	data   []byte
	packet packet.Packet
}

// FragmentStats says what a table remembers of fragments now.
type FragmentStats struct {
	Datagrams int // of which some fragments came and some did not
	Held      int // fragments that wait for the first of their datagram
	HeldBytes int // of their frames
}

func (s *fragments) stats() FragmentStats {
	return FragmentStats{Datagrams: len(s.byKey), Held: s.held, HeldBytes: s.heldBytes}
}

func (s *fragments) init() {
	s.byKey = map[fragmentKey]*datagram{}
	s.share = map[packet.ENI]*fragmentShare{}
}

// translateFragment judges a fragment. In the order in which they were sent,
// each leaves as it comes.
func (t *Table) translateFragment(f *packet.Frame, w *work) Verdict {
	p := &w.packet
	if t.routes.ownerOf(f.ENI, p.Dst) == nobody {
		return NotOurs
	}
	if v := checkFragment(f, p); v != Forwarded {
		return v
	}
	d := t.datagramOf(f, p)
	if d == nil {
		return FragmentLimit
	}
	if v := t.cover(d, p); v != Forwarded {
		return v
	}
	var v Verdict
	switch {
	case p.FragmentOffset() == 0:
		v = t.translateFirst(f, w, d)
	case d.outcome == Held:
		v = t.hold(f, p, d)
	default:
		v = t.sendLater(f, p, d)
	}
	if d.isComplete() {
		t.forgetDatagram(d)
	}
	return v
}

// checkFragment judges a fragment by itself, and reads the L4 header of a
// first one. RFC 1858, 3 and 4 and RFC 3128 describe the attacks: a TCP header in
// fragments, or overwritten from its ninth byte on, where the flags follow.
func checkFragment(f *packet.Frame, p *packet.Packet) Verdict {
	size, offset := int(p.End)-int(p.L4), p.FragmentOffset()
	headers := int(p.L4) - packet.L3
	if p.IPv6 {
		headers -= ipv6Header + fragHeader // of which the length in the header says nothing
	}
	switch p.Protocol {
	case packet.ProtocolTCP, packet.ProtocolUDP, packet.ProtocolICMP:
	default:
		return Unsupported
	}
	switch {
	case size == 0 || p.MoreFragments() && size%8 != 0:
		return Malformed
	case headers+offset+size > maxPacket:
		return FragmentTooLong
	case p.Protocol == packet.ProtocolTCP && offset == 8:
		return TinyFragment
	case offset > 0 && p.TTL <= 1:
		return TTLExpired
	case offset > 0:
		return Forwarded
	case packet.ParseFirst(f.Data, p) == packet.Malformed:
		return TinyFragment
	}
	return Forwarded
}

// datagramOf finds the datagram of a fragment or remembers a new one; nil
// where there is no room.
func (t *Table) datagramOf(f *packet.Frame, p *packet.Packet) *datagram {
	const steps = 8 // of tidying for each fragment: more than come in
	for n := 0; n < steps && t.forgetFragments(); n++ {
	}
	k := fragmentKey{src: p.Src, dst: p.Dst, eni: f.ENI, id: p.ID(f.Data), protocol: p.Protocol}
	s := &t.fragments
	if d := s.byKey[k]; d != nil {
		if t.clock.Now-d.born < store.TicksOf(fragmentLife) {
			return d
		}
		t.giveUp(d, FragmentTimeout)
		t.forgetDatagram(d)
	}
	share := s.share[f.ENI]
	if share == nil {
		share = &fragmentShare{}
		s.share[f.ENI] = share
	}
	if len(s.byKey) >= maxDatagrams || share.datagrams >= maxDatagrams/interfaceShare || !t.settle(p) {
		return nil
	}
	t.addrs.Hold(p.Dst)
	k.src = p.Src
	d := &datagram{key: k, born: t.clock.Now, outcome: Held}
	share.datagrams++
	s.byKey[k] = d
	s.append(d)
	return d
}

func (s *fragments) append(d *datagram) {
	d.older = s.newest
	if s.newest != nil {
		s.newest.newer = d
	} else {
		s.oldest = d
	}
	s.newest = d
}

// forgetDatagram drops a datagram that holds no fragment.
func (t *Table) forgetDatagram(d *datagram) {
	t.fragments.forget(d)
	t.addrs.Release(d.key.src, d.key.dst)
}

// forget takes a datagram out of the list.
func (s *fragments) forget(d *datagram) {
	if d.older != nil {
		d.older.newer = d.newer
	} else {
		s.oldest = d.newer
	}
	if d.newer != nil {
		d.newer.older = d.older
	} else {
		s.newest = d.older
	}
	delete(s.byKey, d.key)
	share := s.share[d.key.eni]
	if share.datagrams--; share.datagrams == 0 {
		delete(s.share, d.key.eni)
	}
}

// forgetFragments gives up the oldest datagram, if it is old enough, and says
// whether it did.
func (t *Table) forgetFragments() bool {
	d := t.fragments.oldest
	if d == nil || t.clock.Now-d.born < store.TicksOf(fragmentLife) {
		return false
	}
	t.giveUp(d, FragmentTimeout)
	t.forgetDatagram(d)
	return true
}

// giveUp drops what d holds with a verdict, which is then counted in addition
// to Held.
func (t *Table) giveUp(d *datagram, v Verdict) {
	for range t.fragments.release(d) {
		t.verdicts[v]++
	}
}

// release takes the held fragments out of d.
func (s *fragments) release(d *datagram) []heldFragment {
	held := d.held
	d.held = nil
	for i := range held {
		s.heldBytes -= len(held[i].data)
		s.share[d.key.eni].heldBytes -= len(held[i].data)
	}
	s.held -= len(held)
	return held
}

// cover notes which part of the datagram a fragment brings. What brings
// nothing new is dropped: the network repeated it. What covers a part only of
// what came is an attack, and the datagram is lost with it (RFC 5722, 4; RFC
// 8200, 4.5 lets those pass that were sent twice). A datagram that is lost keeps the verdict of what it was
// lost by.
func (t *Table) cover(d *datagram, p *packet.Packet) Verdict {
	if d.outcome != Held && d.outcome != Forwarded {
		return d.outcome
	}
	from := p.FragmentOffset()
	to := from + int(p.End) - int(p.L4)
	switch d.place(span{from, to}, p.MoreFragments()) {
	case placeNew:
		return Forwarded
	case placeKnown:
		return FragmentOverlap
	case placeTooMany:
		return FragmentLimit
	}
	t.giveUp(d, FragmentOverlap)
	d.outcome = FragmentOverlap
	return FragmentOverlap
}

type place uint8

const (
	placeNew     place = iota
	placeKnown         // all of it came before
	placeOverlap       // it contradicts what came
	placeTooMany       // more gaps than are remembered
)

// place enters s, behind which more follows or not.
func (d *datagram) place(s span, more bool) place {
	i, _ := slices.BinarySearchFunc(d.spans, s, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	// d.spans[i] is the first that starts at or behind s.
	switch {
	case i < len(d.spans) && d.spans[i].from == s.from && d.spans[i].to >= s.to,
		i > 0 && d.spans[i-1].to >= s.to:
		return placeKnown
	case i < len(d.spans) && d.spans[i].from < s.to, i > 0 && d.spans[i-1].to > s.from:
		return placeOverlap
	case d.length > 0 && (s.to > d.length || !more):
		return placeOverlap
	case !more && len(d.spans) > 0 && d.spans[len(d.spans)-1].to > s.to:
		return placeOverlap
	}
	joinsNext := i < len(d.spans) && d.spans[i].from == s.to
	joinsLast := i > 0 && d.spans[i-1].to == s.from
	switch {
	case joinsLast && joinsNext:
		d.spans[i-1].to = d.spans[i].to
		d.spans = slices.Delete(d.spans, i, i+1)
	case joinsLast:
		d.spans[i-1].to = s.to
	case joinsNext:
		d.spans[i].from = s.from
	case len(d.spans) == maxSpans:
		return placeTooMany
	default:
		d.spans = slices.Insert(d.spans, i, s)
	}
	if !more {
		d.length = s.to
	}
	return placeNew
}

// isComplete says whether every byte came, so that nothing is left to wait
// for.
func (d *datagram) isComplete() bool {
	return d.length > 0 && len(d.spans) == 1 && d.spans[0] == span{0, d.length}
}

// translateFirst judges a first fragment as the packet that it begins, and
// lets those that were held follow.
func (t *Table) translateFirst(f *packet.Frame, w *work, d *datagram) Verdict {
	p := &w.packet
	w.datagram = d
	if p.Kind == packet.ICMP {
		d.outcome = t.translateEcho(f, w)
	} else {
		w.key = store.NewKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
		w.home = t.flows.Home(w.key)
		d.outcome = t.translate(f, w)
	}
	w.datagram = nil
	d.flow = w.key
	if d.outcome != Forwarded {
		t.giveUp(d, d.outcome)
		return d.outcome
	}
	t.follow(f, d)
	return Forwarded
}

// hold keeps a copy of a fragment that came before the first one.
func (t *Table) hold(f *packet.Frame, p *packet.Packet, d *datagram) Verdict {
	s := &t.fragments
	share := s.share[d.key.eni]
	size := int(p.End)
	if len(d.held) == maxHeldEach || s.heldBytes+size > maxHeldBytes ||
		share.heldBytes+size > maxHeldBytes/interfaceShare {
		// It will not come again, so the datagram is lost.
		t.giveUp(d, FragmentLimit)
		d.outcome = FragmentLimit
		return FragmentLimit
	}
	d.held = append(d.held, heldFragment{data: append([]byte(nil), f.Data[:size]...), packet: *p})
	s.held++
	s.heldBytes += size
	share.heldBytes += size
	return Held
}

// follow lets the held fragments leave behind the first, f, in their order.
// What is pending leaves before the frames of a burst. Therefore all but the
// last become pending, the first among them, and f is the last.
func (t *Table) follow(f *packet.Frame, d *datagram) {
	held := t.fragments.release(d)
	slices.SortFunc(held, func(a, b heldFragment) int {
		return cmp.Compare(a.packet.FragmentOffset(), b.packet.FragmentOffset())
	})
	for i := range held {
		h := &held[i]
		e, l := t.flowOf(d)
		if e == nil {
			t.verdicts[NoSession]++
			continue
		}
		later := packet.Frame{ENI: d.key.eni, Data: h.data}
		fit, v := t.fitLater(&later, &h.packet, e, l)
		t.verdicts[v]++
		if v != Forwarded {
			continue
		}
		copy(t.pending.add(f.ENI, len(f.Data)), f.Data)
		t.emitLater(&later, &h.packet, d, e, l, fit)
		*f = later
	}
}

// sendLater forwards a fragment that comes after the first one.
func (t *Table) sendLater(f *packet.Frame, p *packet.Packet, d *datagram) Verdict {
	e, l := t.flowOf(d)
	if e == nil {
		return NoSession
	}
	fit, v := t.fitLater(f, p, e, l)
	if v == Forwarded {
		t.emitLater(f, p, d, e, l, fit)
	}
	return v
}

// flowOf is the flow by which the first fragment of d went, unless its session
// has ended.
func (t *Table) flowOf(d *datagram) (*store.Flow, *link) {
	e := t.flows.Find(d.flow, t.flows.Home(d.flow))
	if e == nil {
		return nil, nil
	}
	s := t.sessions.At(e.Session)
	l := t.links.at(s.Link)
	if !l.live || t.timedOut(s) {
		return nil, nil
	}
	return e, l
}

func (t *Table) fitLater(f *packet.Frame, p *packet.Packet, e *store.Flow, l *link) (fitting, Verdict) {
	fit, v := fitOut(f, p, e, int(l.mtu[e.Direction()]))
	if v != Forwarded {
		return fit, l.count(v)
	}
	return fit, v
}

func (t *Table) emitLater(f *packet.Frame, p *packet.Packet, d *datagram, e *store.Flow, l *link, fit fitting) {
	if e.State() == store.Established {
		e.Last = t.clock.Now
	}
	p.SetID(f.Data, d.id)
	t.apply(f, p, e, fit, d.id)
	t.leave(f, p, e, l)
	if fit == split {
		t.split(f, p, int(l.mtu[e.Direction()]))
	}
}
