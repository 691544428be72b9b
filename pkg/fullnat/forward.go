package fullnat

import (
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// prefetchSize is how many packets of a burst ask for their memory with one
// call. Measured with 64-byte frames: to ask for all 16 at once takes a third
// more time with a million sessions, since no processor waits for so many lines
// at a time; to ask for each alone takes longer with few sessions.
const prefetchSize = 4

// work is what Forward keeps of a packet between its two passes.
type work struct {
	key    store.Key
	home   store.Slot
	plain  bool // and then packet is not filled in
	packet packet.Packet
	// datagram is that of which packet is the first fragment; nil for others.
	datagram *datagram
}

// Forward judges frames one after the other and edits those that it forwards
// in place: addresses, ports, checksums, TTL and MACs; Frame.ENI becomes the
// one that the frame leaves by. Dropped frames are as they were. verdicts
// needs room for as many as there are frames. Offloads stay, and superframes
// are not segmented. Frames that carry ARP are not for the table: answer them
// before.
//
// Data of a frame that becomes longer is memory of the table's, and valid until
// the next Forward. A forwarded frame may be the last of some that leave
// together: then those before it are in Pending, and its Data is shorter than
// before or, again, memory of the table's.
func (t *Table) Forward(frames []packet.Frame, verdicts []Verdict, now time.Duration) {
	t.clock.Advance(now)
	t.identities.longer.reset()
	verdicts = verdicts[:len(frames)]
	for len(frames) > store.BurstSize {
		t.forwardBurst(frames[:store.BurstSize], verdicts)
		frames, verdicts = frames[store.BurstSize:], verdicts[store.BurstSize:]
	}
	t.forwardBurst(frames, verdicts)
}

// forwardBurst reads all packets and asks for their flows before it looks at
// the first one.
func (t *Table) forwardBurst(frames []packet.Frame, verdicts []Verdict) {
	t.flows.Swap()
	verdicts = verdicts[:len(frames)]
	burst := t.burst[:len(frames)]
	for i := range burst {
		f, w := &frames[i], &burst[i]
		var addrs uint64
		var ports uint32
		if addrs, ports, w.plain = packet.ReadPlain(f.Data); w.plain && !f.Offload.Any() {
			w.key = store.PlainKey(f.ENI, addrs, ports)
		} else {
			w.plain, w.key = false, parse(f, &w.packet)
		}
		w.home = t.flows.Home(w.key)
		t.homes[i] = w.home
		if asked := i + 1 - prefetchSize; i%prefetchSize == prefetchSize-1 {
			t.flows.Prefetch(t.homes[asked : i+1])
		}
	}
	if t.flows.Phase == store.Moving {
		t.prefetchOthers(burst)
	}
	if t.cache.watched != 0 && len(burst) > 0 {
		t.cache.crowd.see(burst[0].key, len(burst))
	}
	plain := uint64(0)
	for i := range burst {
		f, w := &frames[i], &burst[i]
		if w.plain && t.translatePlain(f, w) {
			verdicts[i] = Forwarded
			plain++
			continue
		}
		verdicts[i] = t.judge(f, w)
		t.verdicts[verdicts[i]]++
	}
	t.verdicts[Forwarded] += plain
}

// prefetchOthers starts loading where else flows may be while they move.
func (t *Table) prefetchOthers(burst []work) {
	for i := range burst {
		t.homes[i] = t.flows.Other.Home(burst[i].key)
	}
	t.flows.Other.Prefetch(t.homes[:len(burst)])
}

// parse fills p from f and returns the key of its flow, which means something
// for TCP and UDP only.
func parse(f *packet.Frame, p *packet.Packet) store.Key {
	switch packet.Parse(f.Data, p) {
	case packet.TCP, packet.UDP:
		return store.NewKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	}
	return store.Key{}
}

// translatePlain is the short way: that of plain segments of an established
// session, of which no more than counters and clock have to be touched. It says
// false, and has done nothing, where there is more to think of. It makes no
// more calls than it takes: each is a tenth of the time of a packet.
func (t *Table) translatePlain(f *packet.Frame, w *work) bool {
	e := t.flows.Arena.Find(w.key, w.home)
	if e == nil {
		if e = t.flows.FindOther(w.key); e == nil {
			return false
		}
	}
	length, numbers := packet.PlainNumbers(f.Data)
	if numbers != e.Numbers() && !e.Follow(numbers, packet.PlainWindow(f.Data)) {
		return false
	}
	hop := &t.hops.All[e.Hop]
	l := t.links.all[hop.Link]
	now := t.clock.Now
	if !e.IsOrdinary() || now-e.Last >= l.idle || !l.live ||
		length > l.mtu[e.Direction()] {
		return false
	}
	e.Last = now
	e.Lately(packet.PlainOffer(f.Data))
	e.Rewrite.ApplyPlain(f.Data)
	hop.Address(f)
	before := e.Count
	t.wraps.Count(e, length)
	if changed := (e.Count ^ before) & t.cache.watched; changed != 0 {
		t.notice(e, changed)
	}
	l.stats.sent[e.Direction()].add(uint64(length))
	return true
}

// judge tells the packets that translate knows from all others.
func (t *Table) judge(f *packet.Frame, w *work) Verdict {
	t.pending.came = f.ENI
	if w.plain {
		packet.Parse(f.Data, &w.packet)
	}
	if p := &w.packet; (p.Kind == packet.TCP || p.Kind == packet.UDP) && !p.HasOptions() && !f.Offload.Any() {
		return t.translate(f, w)
	}
	return t.judgeRest(f, w)
}

func (t *Table) judgeRest(f *packet.Frame, w *work) Verdict {
	switch w.packet.Kind {
	case packet.Malformed:
		return Malformed
	case packet.NotIP, packet.ARP:
		return NotIP
	}
	if w.packet.IPv6 {
		t.identify(f, w)
	}
	if v := inspect(f, &w.packet); v != Forwarded {
		return v
	}
	switch w.packet.Kind {
	case packet.TCP, packet.UDP:
		return t.translate(f, w)
	case packet.ICMP:
		return t.translateICMP(f, w)
	case packet.Fragment:
		return t.translateFragment(f, w)
	}
	if t.routes.ownerOf(f.ENI, w.packet.Dst) == nobody {
		return NotOurs
	}
	return Unsupported
}

// beyondData are the flags of segments that may change a session's state.
const beyondData = packet.FlagSYN | packet.FlagFIN | packet.FlagRST

// translate finds the session of a packet, or opens one.
func (t *Table) translate(f *packet.Frame, w *work) Verdict {
	p := &w.packet
	e := t.flows.Find(w.key, w.home)
	if e == nil {
		return t.open(f, w)
	}
	if e.Flags&store.Cached != 0 {
		t.await(e.Session, t.pullOf(e.Session))
	}
	l := t.links.at(t.hops.All[e.Hop].Link)
	if !e.IsSettled() || p.Flags&beyondData != 0 || p.TTL <= 1 ||
		t.clock.Now-e.Last >= l.idle || !l.live {
		return t.reconsider(f, w, e, l)
	}
	if p.Kind == packet.TCP {
		end := p.Seq(f.Data) + uint32(p.PayloadLength())
		if !e.Follow(uint64(end)<<32|uint64(p.Ack(f.Data)), p.Window(f.Data)) {
			return t.reconsider(f, w, e, l)
		}
		if e.Flags&store.Cached != 0 {
			e.Lately(uint8(p.Window(f.Data) >> 8)) // as translatePlain would have done
		}
	}
	e.Last = t.clock.Now
	return t.send(f, w, e, l)
}

// reconsider is for packets of a session that may end, change its state or
// be too old.
func (t *Table) reconsider(f *packet.Frame, w *work, e *store.Flow, l *link) Verdict {
	if !l.live || t.timedOut(t.sessions.At(e.Session)) {
		return t.openAfter(f, w, e.Session)
	}
	if e.Flags&store.Doubted != 0 {
		if t.isLost(e.Session, l) {
			return t.openAfter(f, w, e.Session)
		}
		return t.translate(f, w)
	}
	if w.packet.TTL <= 1 {
		return t.refuse(f, &w.packet, l, TTLExpired)
	}
	switch t.track(e, f, &w.packet) {
	case reopen:
		return t.openAfter(f, w, e.Session)
	case refuse:
		return t.refuse(f, &w.packet, l, NoSession)
	}
	return t.send(f, w, e, l)
}

// openAfter removes a session and opens the next one. The numbers of IPv6
// addresses may have ended with it.
func (t *Table) openAfter(f *packet.Frame, w *work, session store.SessionID) Verdict {
	t.remove(session)
	if w.packet.IPv6 {
		t.identify(f, w)
	}
	return t.open(f, w)
}

// send rewrites a packet and counts it.
func (t *Table) send(f *packet.Frame, w *work, e *store.Flow, l *link) Verdict {
	if e.Flags&store.Identifies != 0 {
		if v := t.mayFit(f, w, e, l); v != Forwarded {
			return v
		}
		return t.sendIdentified(f, w, e, l)
	}
	if e.Direction() == store.ToProvider && hasTCPOptions(&w.packet) {
		scrub(f, &w.packet)
	}
	return t.finish(f, w, e, l)
}

// finish translates a packet with which nothing else is left to do.
func (t *Table) finish(f *packet.Frame, w *work, e *store.Flow, l *link) Verdict {
	if e.Flags&store.HasIPv6 != 0 || !l.leavesAsIs(&w.packet, e.Direction()) {
		return t.finishWithCare(f, w, e, l)
	}
	e.Rewrite.Apply(f, &w.packet)
	t.leave(f, &w.packet, e, l)
	return Forwarded
}

// leave addresses a finished frame to the next hop and counts it.
func (t *Table) leave(f *packet.Frame, p *packet.Packet, e *store.Flow, l *link) {
	t.hops.All[e.Hop].Address(f)
	before := e.Count
	t.wraps.Count(e, uint32(p.Length()))
	if changed := (e.Count ^ before) & t.cache.watched; changed != 0 {
		t.notice(e, changed)
	}
	l.stats.sent[e.Direction()].add(uint64(p.Length()))
	if f.Offload.GSOSize > 0 {
		l.stats.Superframes++
		l.stats.Segments += segments(f, p) - 1
	}
}

// segments is how many packets a frame stands for.
func segments(f *packet.Frame, p *packet.Packet) uint64 {
	size := int(f.Offload.GSOSize)
	payload := p.PayloadLength()
	if size == 0 || payload <= size {
		return 1
	}
	return uint64((payload + size - 1) / size)
}

func (l *link) count(v Verdict) Verdict {
	l.stats.Verdicts[v]++
	return v
}
