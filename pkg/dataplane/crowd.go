package dataplane

import (
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// A worker to which more frames come than it can judge takes them in turns: some of
// one ENI, then some of the next, and at an ENI of one source after the other. That is
// deficit round robin, with frames for bytes as a frame costs the same whatever it
// carries (Shreedhar and Varghese, "Efficient Fair Queueing using Deficit Round Robin",
// SIGCOMM 1995). The sources of an ENI share a few lines by a hash (McKenney,
// "Stochastic Fairness Queueing", INFOCOM 1990). Frames of one source stay in order.
//
// What may wait depends on the places that are free, so that a flood is refused and
// the others find room (Choudhury and Hahne, "Dynamic Queue Length Thresholds for
// Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998). A
// SYN is refused long before any other frame: its sender sends it again, and it would
// cost an answer, a session and a NAT port.
//
// A flood that takes all the time that is left makes the others wait for the processor, if
// for nothing else. So while frames wait, SYNs are owed: a segment that goes on with a
// connection pays one, a RST none, and who owes too many opens no more until time has paid.
// A source that finishes its handshakes never owes much.

const (
	// crowdRoom is how many frames may wait: those of some 30 ms.
	crowdRoom = 4096
	// crowdTurn is how many frames an ENI has at its turn: enough that datagrams of
	// one flow still leave together.
	crowdTurn = 8
	// crowdLines is how many lines the sources of an ENI have, and crowdLineBits the
	// bits of a hash that choose one.
	crowdLines    = 1 << crowdLineBits
	crowdLineBits = 4
	// crowdBurst is how many frames of a crowd one Read returns. Who comes next waits
	// that long.
	crowdBurst = Burst / 2
	// laterShare is how many frames a source may let wait for each place that is free,
	// if they are no SYNs.
	laterShare = 4
	// mostOwed is how many SYNs a source may owe, and paidASecond how many of them time pays
	// in a second. So a flood has a tenth or two of a processor.
	mostOwed    = 1024
	paidASecond = 4096
	// crowdWatch is how long a crowd looks at all frames after it refused one who owed.
	crowdWatch = time.Second
)

// crowd holds the frames that wait for a worker, and says which is next. Its memory
// grows with them and stays. It belongs to one goroutine.
type crowd struct {
	room    int
	waiting int
	places  []place // number 0 is nobody's
	free    int32   // the first place without a frame; they are chained
	enis    []*crowdENI
	first   *crowdENI // whose turn it is; nil where nothing waits
	last    *crowdENI
	now     time.Time // when it was looked at last
	watches time.Time // until when it wants to see all frames
}

// place has a frame that waits.
type place struct {
	frame packet.Frame
	next  int32 // in its line, or of those that are free
}

// crowdENI has the frames of one ENI.
type crowdENI struct {
	next    *crowdENI // whose turn follows
	waiting int
	turn    int // frames that it may still have at this turn
	line    int // whose turn it is
	lines   [crowdLines]crowdLine
}

// crowdLine has the frames of some sources, in their order.
type crowdLine struct {
	first, last int32
	waiting     int
	owed        float64   // SYNs without a segment that goes on with a connection, at a time
	at          time.Time // that time
}

func newCrowd(room int) *crowd { return &crowd{room: room, places: make([]place, 1)} }

func (c *crowd) isEmpty() bool { return c.waiting == 0 }

// wants looks at the clock for what is asked until the next time, and says whether frames are
// to go through the crowd though few of them are there.
func (c *crowd) wants(now time.Time) bool {
	c.now = now
	return c.waiting > 0 || now.Before(c.watches)
}

// admits says whether a frame may wait: whether there is room, and its sender has no
// more than its share of it.
func (c *crowd) admits(f *packet.Frame) bool {
	e := c.at(f.ENI)
	l, free := e.lineOf(f), c.room-c.waiting
	if !packet.IsSYN(f.Data) {
		return l.waiting < laterShare*free
	}
	if l.owe(c.now, 0) >= mostOwed {
		c.watches = c.now.Add(crowdWatch)
		return false
	}
	return l.waiting < free-e.waiting
}

// owe adds to the SYNs that the sources of a line owe at a time, and returns how many these
// are then.
func (l *crowdLine) owe(now time.Time, more float64) float64 {
	left := max(0, l.owed-paidASecond*now.Sub(l.at).Seconds())
	l.owed, l.at = max(0, left+more), now
	return l.owed
}

// put lets a frame wait that was admitted. Its memory stays the caller's.
func (c *crowd) put(f *packet.Frame) {
	n := c.free
	if n != 0 {
		c.free = c.places[n].next
	} else {
		n = int32(len(c.places))
		c.places = append(c.places, place{})
	}
	c.places[n].frame = *f
	e := c.at(f.ENI)
	l := e.lineOf(f)
	if l.waiting == 0 {
		l.first = n
	} else {
		c.places[l.last].next = n
	}
	l.last = n
	l.waiting++
	switch flags := packet.GlanceTCP(f.Data); {
	case flags&(packet.FlagSYN|packet.FlagACK) == packet.FlagSYN:
		l.owe(c.now, 1)
	case flags&(packet.FlagACK|packet.FlagRST) == packet.FlagACK:
		l.owe(c.now, -1)
	}
	c.waiting++
	if e.waiting++; e.waiting == 1 {
		c.queue(e)
	}
}

// take fills frames with those that are next, and returns how many.
func (c *crowd) take(frames []packet.Frame) (n int) {
	for ; n < len(frames) && c.waiting > 0; n++ {
		e := c.first
		l := e.nextLine()
		at := l.first
		frames[n] = c.places[at].frame
		l.first = c.places[at].next
		c.places[at] = place{next: c.free}
		c.free = at
		l.waiting--
		e.waiting--
		c.waiting--
		if e.turn--; e.turn > 0 && e.waiting > 0 {
			continue
		}
		c.first = e.next
		e.line = (e.line + 1) % crowdLines
		if e.waiting > 0 {
			c.queue(e)
		}
	}
	return n
}

// queue lets e have a turn when all others have had theirs.
func (c *crowd) queue(e *crowdENI) {
	if c.first == nil {
		c.first = e
	} else {
		c.last.next = e
	}
	c.last = e
	e.next, e.turn = nil, crowdTurn
}

func (c *crowd) at(eni packet.ENI) *crowdENI {
	for int(eni) >= len(c.enis) {
		c.enis = append(c.enis, nil)
	}
	if c.enis[eni] == nil {
		c.enis[eni] = &crowdENI{}
	}
	return c.enis[eni]
}

func (e *crowdENI) lineOf(f *packet.Frame) *crowdLine {
	return &e.lines[packet.SourceHash(f.Data)>>(32-crowdLineBits)]
}

// nextLine is the line whose turn it is at an ENI where something waits.
func (e *crowdENI) nextLine() *crowdLine {
	for e.lines[e.line].waiting == 0 {
		e.line = (e.line + 1) % crowdLines
	}
	return &e.lines[e.line]
}
