package fullnat

import (
	"github.com/plinksim/plinksim/pkg/flowcache/slot"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Which sessions are worth a place in the cache. Measured on two CPUs (Linux 6.18):
// payload is cheaper where it need not come to userspace, and so are small packets of
// several senders, who leave the table's CPU no time. Small packets of one sender
// are faster through userspace, which works on another CPU meanwhile, and so are
// requests and answers, and to put a session in and take it out costs as much as a
// dozen packets.
const (
	// bulkPause is the longest time between two changes of store.WatchBytes in
	// which a flow carries much: 20 Mbit/s.
	bulkPause = 100 // ticks
	// bulkTimes is how often in a row that must be.
	bulkTimes = 2
	// bulkSize is the mean size of frames that are payload: superframes.
	bulkSize = 2048
	// stillBulk is how many bytes in a second keep a session in the cache.
	stillBulk = 1 << 20

	// crowdPause is how often the table looks whether several send small packets.
	crowdPause = 100 // ticks
	// crowdPackets is from how many packets in that time on it matters.
	crowdPackets = 10_000
	// crowdShare is the part of them that each of two senders has at least.
	crowdShare = 8

	reviewPause  = 100  // ticks between two looks at a cached session
	reviewPeriod = 1000 // ticks after which what it carried is compared
	reviewBudget = 256  // sessions that are looked at at once
)

// bulk remembers which flows carried much lately, a few of them.
type bulk [256]struct {
	flow  store.SessionID // times two, and the direction
	since store.Tick
	count store.Count // of the flow then
	times uint8
}

// isBulk is told of a flow that has carried another part of store.WatchBytes.
func (b *bulk) isBulk(e *store.Flow, now store.Tick) bool {
	flow := e.Session*2 + store.SessionID(e.Direction())
	r := &b[flow%store.SessionID(len(b))]
	frames := (e.Count - r.count).Packets()
	if r.flow != flow || now-r.since > bulkPause || frames > uint64(store.WatchBytes)/bulkSize {
		r.times = 0
	} else {
		r.times = min(r.times+1, bulkTimes)
	}
	r.flow, r.since, r.count = flow, now, e.Count
	return r.times == bulkTimes
}

// crowd finds out whether several senders send many packets. It samples one of each
// burst.
type crowd struct {
	since   store.Tick
	packets int
	samples int
	most    [2]sender // those with most samples, as J. Misra and D. Gries count them (Finding Repeated Elements, 1982)
	is      bool
}

type sender struct {
	eni   packet.ENI
	addr  uint32
	count int
}

// see is told of the first packet of a burst and of how many are in it.
func (c *crowd) see(k store.Key, packets int) {
	c.packets += packets
	c.samples++
	s := sender{eni: k.ENI(), addr: k.Src()}
	for i := range c.most {
		if m := &c.most[i]; m.count > 0 && m.eni == s.eni && m.addr == s.addr {
			m.count++
			return
		}
	}
	for i := range c.most {
		if m := &c.most[i]; m.count == 0 {
			*m = s
			m.count = 1
			return
		}
	}
	c.most[0].count--
	c.most[1].count--
}

// watch decides once in crowdPause. With a crowd the table looks at flows sooner.
func (c *caching) watch(now store.Tick) {
	w := &c.crowd
	if c.All || now-w.since < crowdPause {
		return
	}
	w.is = w.packets >= crowdPackets && min(w.most[0].count, w.most[1].count)*crowdShare >= w.samples
	*w = crowd{since: now, is: w.is}
	c.watched = store.WatchBytes
	if w.is {
		c.watched |= store.WatchPackets
	}
}

// isWorthIt says whether a flow of which the count has changed in some of the bits
// that are watched should be cached.
func (c *caching) isWorthIt(e *store.Flow, changed store.Count, now store.Tick) bool {
	return c.All || c.crowd.is || changed&store.WatchBytes != 0 && c.bulk.isBulk(e, now)
}

// review keeps the table close to what the cache has done, and takes sessions out
// of it that are not worth their place any more.
func (t *Table) review() {
	c := &t.cache
	if c.next >= len(c.order) {
		if t.clock.Now-c.reviewed < reviewPause {
			return
		}
		c.reviewed, c.next = t.clock.Now, 0
		c.senders.decide(t.clock.Now)
	}
	if c.looked == t.clock.Now {
		return // the budget is for a tick
	}
	c.looked = t.clock.Now
	for end := min(c.next+reviewBudget, len(c.order)); c.next < end && c.next < len(c.order); {
		one := c.order[c.next]
		t.pull(one.id, one)
		if !c.All && t.clock.Now-one.compared >= reviewPeriod && !t.isStillWorthIt(one) {
			t.uncache(one.id) // and another one is in its place
			continue
		}
		c.next++
	}
}

// isStillWorthIt compares what a session has carried lately.
func (t *Table) isStillWorthIt(c *cachedSession) bool {
	worth := false
	for d := range c.flows {
		more := c.counted[d].Minus(c.before[d])
		c.before[d] = c.counted[d]
		t.cache.senders.add(&c.flows[d], more)
		worth = worth || more.Bytes >= max(stillBulk, more.Frames*bulkSize) || t.cache.senders.several && more.Frames > 0
	}
	c.compared = t.clock.Now
	return worth
}

// senders says whether several senders send many packets through the cache.
type senders struct {
	frames  map[sender]uint64
	since   store.Tick
	several bool
}

func (s *senders) add(f *slot.Flow, more slot.Count) {
	if more.Frames == 0 {
		return
	}
	if s.frames == nil {
		s.frames = map[sender]uint64{}
	}
	s.frames[sender{eni: f.ENI, addr: f.Src}] += more.Frames
}

// decide looks at them once in reviewPeriod.
func (s *senders) decide(now store.Tick) {
	if now-s.since < reviewPeriod {
		return
	}
	busy := 0
	for _, n := range s.frames {
		if n >= crowdPackets*reviewPeriod/crowdPause/crowdShare {
			busy++
		}
	}
	s.since, s.several = now, busy > 1
	clear(s.frames)
}
