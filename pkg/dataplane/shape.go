package dataplane

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Shaping is what an Engine does to frames between the session table and the
// driver. The zero value does nothing and costs nothing.
type Shaping struct {
	Links  []ShapedLink
	Faults map[packet.ENI]Fault // of single interfaces; NoFault where one is missing
}

// ShapedLink is a set of interfaces on the consumer's side whose frames are
// impaired together: they share one bandwidth in each direction. It keeps its
// queue, its bandwidth's balance, its randomness and its counters as long as a
// Config has a link of its name with the same seed.
type ShapedLink struct {
	Name string
	ENIs []packet.ENI
	// Seed makes what is random: the same seed and the same frames give the
	// same losses. Each fault, direction and name has randomness of its own,
	// so neither another link's traffic nor a changed delay moves the losses.
	Seed                   uint64
	ToProvider, ToConsumer topology.Impairment

	inKernel bool // the kernel limits the bandwidths, and there is nothing else
}

// Fault is what is wrong with a whole interface.
type Fault uint8

const (
	NoFault   Fault = iota
	Blackhole       // packets from and to it vanish; ARP and neighbour discovery are answered
	Down            // nothing comes from it and nothing goes there, ARP and neighbour discovery neither
)

// ShapingStats counts what shaping did. Dropped frames were forwarded by the
// table, or never reached it, so no verdict tells of them.
type ShapingStats struct {
	Links      []ShapedLinkStats // in the order of the Config
	Blackholed uint64            // frames from and to interfaces with that fault
	Down       uint64            // the same
	HeldBytes  int               // memory of the frames that wait now
}

// ShapedLinkStats counts frames of one link, since it was first configured.
type ShapedLinkStats struct {
	Name                   string
	ToProvider, ToConsumer ShapedStats
}

// ShapedStats counts frames of one direction.
type ShapedStats struct {
	Passed     uint64 // left, at once or later, duplicates too
	Delayed    uint64 // had to wait, of those that left or will leave
	Waiting    int    // now
	Reordered  uint64
	Duplicated uint64
	Corrupted  uint64

	// Each of these is a drop.
	Lost      uint64 // by Loss
	QueueFull uint64 // too many waited for the bandwidth
	NoRoom    uint64 // too much memory is taken by frames that wait
	Cut       uint64 // waited, and then the interface was down or a blackhole
}

const (
	// queueTime is how long a frame may wait for the bandwidth, within
	// minQueue and maxQueue bytes.
	queueTime = 100 * time.Millisecond
	minQueue  = 128 << 10
	maxQueue  = 8 << 20
	// reorderBy is long enough that at a few hundred packets per second the
	// next one overtakes.
	reorderBy = 5 * time.Millisecond
	// What waits is copied, so that memory is bounded for each direction of a
	// link and for all of them.
	maxHeldOneWay = 16 << 20
	maxHeld       = 64 << 20
)

// shapedLinks are what the shapers of all workers have in common: a bandwidth
// is that of a connection, whichever worker a session belongs to.
type shapedLinks struct {
	active atomic.Bool // there is something to do

	mu     sync.Mutex // held by a worker for the length of a burst
	links  map[string]*shapedLink
	order  []*shapedLink
	byENI  map[packet.ENI]*shapedLink
	faults map[packet.ENI]Fault
	stats  ShapingStats
}

// shaper holds frames back, drops and damages them as Shaping says. Time is
// an argument; it belongs to one goroutine.
type shaper struct {
	*shapedLinks

	queue   dueQueue
	pool    bufferPool
	leaving []dueFrame     // what release handed out
	kept    []packet.Frame // what depart handed out
	lent    [][]byte       // the memory of those of them that were cut
}

type shapedLink struct {
	name                   string
	seed                   uint64
	toProvider, toConsumer *direction
}

// direction is one of the two of a link.
type direction struct {
	topology.Impairment
	inKernel bool // and not by the bucket
	bucket   bucket
	last     time.Duration // when the newest frame leaves that keeps its place
	inLine   int           // waiting frames that keep their place
	held     int           // bytes
	dice     [numDice]*rand.Rand
	stats    ShapedStats
}

// Each fault has dice of its own.
const (
	lossDice = iota
	corruptDice
	duplicateDice
	jitterDice
	reorderDice
	numDice
)

func newDirection(link string, seed uint64, name string) *direction {
	w := &direction{}
	for i := range w.dice {
		h := fnv.New64a()
		_, _ = h.Write([]byte{byte(i)})
		_, _ = h.Write([]byte(name + " " + link))
		w.dice[i] = rand.New(rand.NewPCG(seed, h.Sum64()))
	}
	return w
}

// rolls decides for one frame. What never happens takes no number.
func (w *direction) rolls(dice int, share float64) bool {
	return share > 0 && w.dice[dice].Float64() < share
}

// configure puts cfg in force. Frames that wait leave when they would have
// left before.
func (s *shapedLinks) configure(cfg Shaping) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.links
	s.links, s.order = make(map[string]*shapedLink, len(cfg.Links)), make([]*shapedLink, 0, len(cfg.Links))
	s.byENI, s.faults = map[packet.ENI]*shapedLink{}, cfg.Faults
	active := len(cfg.Faults) > 0
	for _, spec := range cfg.Links {
		l := before[spec.Name]
		if l == nil || l.seed != spec.Seed {
			l = l.restart(spec)
		}
		l.toProvider.setImpairment(spec.ToProvider)
		l.toConsumer.setImpairment(spec.ToConsumer)
		l.toProvider.inKernel, l.toConsumer.inKernel = spec.inKernel, spec.inKernel
		s.links[spec.Name] = l
		s.order = append(s.order, l)
		if !l.toProvider.busy() && !l.toConsumer.busy() {
			continue
		}
		active = true
		for _, eni := range spec.ENIs {
			s.byENI[eni] = l
		}
	}
	s.active.Store(active)
}

// restart is a link with fresh randomness; l is the one before it, or nil.
func (l *shapedLink) restart(spec ShapedLink) *shapedLink {
	fresh := &shapedLink{
		name: spec.Name, seed: spec.Seed,
		toProvider: newDirection(spec.Name, spec.Seed, "to provider"),
		toConsumer: newDirection(spec.Name, spec.Seed, "to consumer"),
	}
	if l == nil {
		return fresh
	}
	// The frames that wait know their direction by its address.
	l.seed = spec.Seed
	l.toProvider.dice, l.toConsumer.dice = fresh.toProvider.dice, fresh.toConsumer.dice
	return l
}

func (w *direction) setImpairment(i topology.Impairment) {
	w.Impairment = i
	w.bucket.setRate(i.Bandwidth)
}

// busy says whether a frame of this direction may not simply pass.
func (w *direction) busy() bool { return w.Impairment != topology.Impairment{} || w.stats.Waiting > 0 }

// bars says whether what happens to a frame of this direction happens here.
func (w *direction) bars() bool { return w.busy() && (!w.inKernel || w.stats.Waiting > 0) }

// arrive drops frames that an interface's fault keeps from coming, in place.
func (s *shaper) arrive(frames []packet.Frame) []packet.Frame {
	if !s.active.Load() {
		return frames
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := frames[:0]
	for _, f := range frames {
		if !s.cut(&f) {
			kept = append(kept, f)
		}
	}
	return kept
}

// cut says whether a fault of the frame's interface swallows it, and counts.
func (s *shaper) cut(f *packet.Frame) bool {
	switch s.faults[f.ENI] {
	case Down:
		s.stats.Down++
		return true
	case Blackhole:
		if packet.IsNeighbourTraffic(f.Data) {
			return false
		}
		s.stats.Blackholed++
		return true
	}
	return false
}

// depart takes frames that are ready to leave and returns those that leave now;
// what waits was copied. sources are the interfaces that the frames came from,
// one each. The result is valid until the next call.
func (s *shaper) depart(frames []packet.Frame, sources []packet.ENI, now time.Duration) []packet.Frame {
	if !s.active.Load() {
		return frames
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeBack()
	kept := s.kept[:0]
	for i := range frames {
		f := frames[i]
		if s.cut(&f) {
			continue
		}
		w := s.directionOf(&f, sources[i])
		switch {
		case w == nil:
			kept = append(kept, f)
		case w.countsPackets() && f.Offload.GSOSize > 0:
			kept = s.admitSegments(kept, w, &f, now)
		case s.admit(w, &f, now):
			kept = append(kept, f)
		}
	}
	s.kept = kept
	return kept
}

// countsPackets says whether something happens to single packets.
func (w *direction) countsPackets() bool {
	return w.Loss > 0 || w.Corrupt > 0 || w.Duplicate > 0 || w.Reorder > 0
}

// maxSegments is into how many packets a superframe is cut at most: 64 KiB with
// the least payload that Linux lets a peer ask for (TCP_MIN_SND_MSS,
// include/net/tcp.h).
const maxSegments = 65536 / 48

// admitSegments admits the packets of a superframe one by one, and appends
// those that leave now to kept.
func (s *shaper) admitSegments(kept []packet.Frame, w *direction, f *packet.Frame, now time.Duration) []packet.Frame {
	var p packet.Packet
	packet.Parse(f.Data, &p)
	segments, ok := packet.SegmentsOf(f, &p)
	if !ok || segments.Len() > maxSegments {
		if s.admit(w, f, now) {
			kept = append(kept, *f)
		}
		return kept
	}
	for i := range segments.Len() {
		size := segments.Size(i)
		one := packet.Frame{ENI: f.ENI, Data: s.pool.get(bufferSize(size))[:size]}
		segments.Build(i, one.Data)
		if s.admit(w, &one, now) {
			kept = append(kept, one)
			s.lent = append(s.lent, one.Data)
		} else {
			s.pool.put(one.Data)
		}
	}
	return kept
}

// takeBack collects the memory of what depart handed out.
func (s *shaper) takeBack() {
	for i, data := range s.lent {
		s.pool.put(data)
		s.lent[i] = nil
	}
	s.lent = s.lent[:0]
}

// directionOf finds the direction of the link that a frame belongs to; nil where
// it is of none. Neighbours ask each other outside of every link. What leaves
// where it came from is an answer of the data plane's own.
func (s *shaper) directionOf(f *packet.Frame, source packet.ENI) *direction {
	if packet.IsNeighbourTraffic(f.Data) {
		return nil
	}
	if l := s.byENI[source]; l != nil && source != f.ENI {
		return l.toProvider
	}
	if l := s.byENI[f.ENI]; l != nil {
		return l.toConsumer
	}
	return nil
}

// admit returns true if the frame leaves now. Otherwise it waits or is gone.
func (s *shaper) admit(w *direction, f *packet.Frame, now time.Duration) bool {
	if w.rolls(lossDice, w.Loss) {
		w.stats.Lost++
		return false
	}
	if w.rolls(corruptDice, w.Corrupt) {
		corrupt(f, w.dice[corruptDice])
		w.stats.Corrupted++
	}
	twice := w.rolls(duplicateDice, w.Duplicate)
	leaves := s.schedule(w, f, now, false)
	if twice {
		w.stats.Duplicated++
		s.schedule(w, f, now, true)
	}
	return leaves
}

// schedule decides when a frame leaves. With mustWait it never leaves at once.
func (s *shaper) schedule(w *direction, f *packet.Frame, now time.Duration, mustWait bool) bool {
	due := now
	if !w.inKernel {
		if w.bucket.full(now) {
			w.stats.QueueFull++
			return false
		}
		due = w.bucket.take(now, wireLength(f))
	}
	due += w.delay()
	inLine := !w.rolls(reorderDice, w.Reorder)
	if inLine {
		due = max(due, w.last)
		w.last = due
	} else {
		w.stats.Reordered++
		due += reorderBy
	}
	if inLine && due <= now && w.inLine == 0 && !mustWait {
		w.stats.Passed++
		return true
	}
	s.hold(w, f, due, inLine)
	return false
}

// delay is that of one frame.
func (w *direction) delay() time.Duration {
	if w.Jitter == 0 {
		return w.Delay
	}
	u := 2*w.dice[jitterDice].Float64() - 1
	return max(0, w.Delay+time.Duration(u*float64(w.Jitter)))
}

func (s *shaper) hold(w *direction, f *packet.Frame, due time.Duration, inLine bool) {
	size := bufferSize(len(f.Data))
	if w.held+size > maxHeldOneWay || s.stats.HeldBytes+size > maxHeld {
		w.stats.NoRoom++
		return
	}
	copied := *f
	copied.Data = append(s.pool.get(size), f.Data...)
	w.held += size
	s.stats.HeldBytes += size
	if inLine {
		w.inLine++
	}
	w.stats.Delayed++
	w.stats.Waiting++
	s.queue.push(dueFrame{due: due, direction: w, inLine: inLine, frame: copied})
}

// release fills out with frames that are due, the earliest first, and returns
// how many. They are the shaper's again after recycle.
func (s *shaper) release(out []packet.Frame, now time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(out) && s.queue.ready(now) {
		d := s.queue.pop()
		if d.inLine {
			d.direction.inLine--
		}
		d.direction.stats.Waiting--
		s.leaving = append(s.leaving, d)
		if s.cut(&d.frame) {
			d.direction.stats.Cut++
			continue
		}
		d.direction.stats.Passed++
		out[n] = d.frame
		n++
	}
	return n
}

// recycle takes back the memory of what release handed out.
func (s *shaper) recycle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.leaving {
		d := &s.leaving[i]
		size := cap(d.frame.Data)
		d.direction.held -= size
		s.stats.HeldBytes -= size
		s.pool.put(d.frame.Data)
		*d = dueFrame{}
	}
	s.leaving = s.leaving[:0]
}

// next is when the next frame is due; false where none waits.
func (s *shaper) next() (time.Duration, bool) { return s.queue.first() }

// snapshot is a copy of the counters.
// passed counts frames that the flow cache has brought from one interface to another.
func (s *shapedLinks) passed(from, to packet.ENI, frames uint64) {
	if !s.active.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.byENI[from]; l != nil {
		l.toProvider.stats.Passed += frames
	} else if l := s.byENI[to]; l != nil {
		l.toConsumer.stats.Passed += frames
	}
}

func (s *shapedLinks) snapshot() ShapingStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	for _, l := range s.order {
		out.Links = append(out.Links, ShapedLinkStats{l.name, l.toProvider.stats, l.toConsumer.stats})
	}
	return out
}
