package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Sessions of TCP are made of whole frames, too: a client that keeps a few bytes for each, and a
// server that keeps nothing, so that neither limits how many there are.

// answerSegments is the server: it answers what comes to the ports of loads until the program ends.
func answerSegments(w *wire) {
	runtime.LockOSThread()
	in, out := newIncoming(), &outgoing{}
	for {
		_, err := in.receive(w, unix.MSG_WAITFORONE, func(a *arrived) {
			answerSegment(w, out, a)
		})
		if err == nil {
			err = out.send(w)
		}
		if err != nil {
			return
		}
	}
}

// answerSegment answers as a server would that has the connection: a SYN, data with as much data,
// and FIN.
func answerSegment(w *wire, out *outgoing, a *arrived) {
	if a.proto != protoTCP || a.toPort() < firstFlowPort || a.toPort() >= firstFlowPort+flowPorts || out.full() {
		return
	}
	from, port := a.from()
	f := flow{from: [4]byte(a.frame[ipAt+16:]), to: from, fromPort: a.toPort(), toPort: port, mac: packet.MAC(a.frame[6:12])}
	s := segmentOf(a.l4)
	answer := segment{flags: tcpACK, seq: s.ack, ack: s.seq + uint32(len(a.payload))}
	switch {
	case s.flags&tcpRST != 0:
		return
	case s.flags&tcpSYN != 0:
		answer = segment{flags: tcpSYN | tcpACK, seq: uint32(port) << 12, ack: s.seq + 1}
	case s.flags&tcpFIN != 0:
		answer.flags |= tcpFIN
		answer.ack++
	case len(a.payload) > 0:
		answer.flags |= tcpPSH
	default:
		return
	}
	out.add(w.maker.tcp(out.next(), &f, answer, a.payload))
}

// sessionClient opens sessions, uses all of them, and closes them.
type sessionClient struct {
	wire  *wire
	order order
	mac   packet.MAC
	in    *incoming
	out   outgoing

	state  []sessionState
	mine   []uint32 // the next number of this side
	theirs []uint32
	sent   []int64  // when a SYN or request went, in nanoseconds since 1970
	tries  []uint8  // SYNs
	wait   []uint32 // sessions that wait for an answer, and others
	times  histogram
	open   int // sessions that were opened
	first  uint32
	done   int // answers in this phase
}

type sessionState uint8

const (
	sessionNew sessionState = iota
	sessionSYN
	sessionOpen
	sessionAsked
	sessionFailed
)

const (
	answerTime = 300 * time.Millisecond // then a SYN or a request is sent again
	mostTries  = 3
)

// sessionAnswer is what a client says of its sessions.
type sessionAnswer struct {
	Open       int           `json:"open"`
	Opening    time.Duration `json:"opening"` // what all of it took
	Handshake  []byte        `json:"handshake"`
	Answered   int           `json:"answered"` // sessions on which a request was answered
	Requests   int           `json:"requests"`
	Requesting time.Duration `json:"requesting"`
	RoundTrip  []byte        `json:"round_trip"`
}

func (g *generator) serveSessions(o order) error {
	if g.sessions {
		return nil
	}
	w, err := openWire(o.To)
	if err != nil {
		return err
	}
	g.sessions = true
	go answerSegments(w)
	return nil
}

// useSessions is the whole order of a client.
func (g *generator) useSessions(o order) (a answer, err error) {
	if o.Flows < 1 || o.Flows > MaxFlows || o.Outstanding < 1 || o.Outstanding > maxOutstanding {
		return a, fmt.Errorf("%d sessions, %d at a time: too many", o.Flows, o.Outstanding)
	}
	if g.sessionWire == nil {
		if g.sessionWire, err = openWire(o.To); err != nil {
			return a, err
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := &sessionClient{wire: g.sessionWire, order: o, in: newIncoming(), times: newHistogram(),
		state: make([]sessionState, o.Flows), mine: make([]uint32, o.Flows), theirs: make([]uint32, o.Flows),
		sent: make([]int64, o.Flows), tries: make([]uint8, o.Flows)}
	if c.mac, err = c.wire.nextHop(ctx, o.To); err != nil {
		return a, err
	}
	var s sessionAnswer
	if err := c.openAll(&s); err != nil {
		return a, err
	}
	if err := c.askAll(&s); err != nil {
		return a, err
	}
	a.Sessions = &s
	return a, c.closeAll()
}

// openAll opens the sessions, so many at a time.
func (c *sessionClient) openAll(s *sessionAnswer) (err error) {
	c.first = uint32(time.Now().UnixMicro() / 4) // as RFC 9293, 3.4.1
	start := time.Now()
	next := 0
	for next < len(c.state) || len(c.wait) > 0 {
		now := time.Now()
		if now.Sub(start) > sessionLimit {
			break
		}
		for next < len(c.state) && len(c.wait) < c.order.Outstanding && !c.out.full() {
			c.mine[next] = c.first
			c.syn(next, now.UnixNano())
			c.wait = append(c.wait, uint32(next))
			next++
		}
		if err := c.turn(now); err != nil {
			return err
		}
	}
	s.Open, s.Opening = c.open, time.Since(start)
	s.Handshake, err = c.times.encode()
	return err
}

// sessionLimit is how long each phase of a measurement may take.
const sessionLimit = 40 * time.Second

func (c *sessionClient) syn(i int, now int64) {
	c.state[i], c.sent[i] = sessionSYN, now
	c.tries[i]++
	c.segment(i, segment{flags: tcpSYN, seq: c.mine[i]}, nil)
}

func (c *sessionClient) segment(i int, s segment, payload []byte) {
	f := clientFlow(c.order.From, c.order.To, c.mac, i)
	c.out.add(c.wire.maker.tcp(c.out.next(), &f, s, payload))
}

// turn sends what is to be sent, and takes in what has come; it waits for that where nothing
// else is to be done.
func (c *sessionClient) turn(now time.Time) error {
	if err := c.out.send(c.wire); err != nil {
		return err
	}
	n, err := c.in.receive(c.wire, unix.MSG_DONTWAIT, c.take)
	if err != nil {
		return err
	}
	if err := c.out.send(c.wire); err != nil {
		return err
	}
	full := len(c.wait) >= c.order.Outstanding
	if n == 0 && len(c.wait) > 0 {
		fds := []unix.PollFd{{Fd: int32(c.wire.fd), Events: unix.POLLIN}}
		if full {
			if _, err := unix.Poll(fds, 1); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	}
	c.forget(now.UnixNano())
	return nil
}

// take takes in a segment.
func (c *sessionClient) take(a *arrived) {
	_, port := a.from()
	i := (int(a.toPort())-firstSource)*flowPorts + int(port) - firstFlowPort
	if a.proto != protoTCP || i < 0 || i >= len(c.state) || c.out.full() {
		return
	}
	s := segmentOf(a.l4)
	switch {
	case s.flags&tcpRST != 0:
		if c.state[i] == sessionSYN || c.state[i] == sessionAsked {
			c.state[i] = sessionFailed
		}
	case c.state[i] == sessionSYN && s.flags&tcpSYN != 0 && s.ack == c.mine[i]+1:
		c.mine[i]++
		c.theirs[i] = s.seq + 1
		c.state[i] = sessionOpen
		c.open++
		c.times.add(a.at - c.sent[i])
		c.segment(i, segment{flags: tcpACK, seq: c.mine[i], ack: c.theirs[i]}, nil)
	case c.state[i] == sessionAsked && len(a.payload) > 0 && s.seq == c.theirs[i]:
		c.mine[i] += requestSize
		c.theirs[i] += uint32(len(a.payload))
		c.state[i] = sessionOpen
		c.done++
		c.times.add(a.at - c.sent[i])
	}
}

// forget drops sessions from the list of those that wait: those that have an answer, and those
// that never had one. The others are asked again.
func (c *sessionClient) forget(now int64) {
	left := c.wait[:0]
	for _, n := range c.wait {
		i := int(n)
		waits := c.state[i] == sessionSYN || c.state[i] == sessionAsked
		if waits && now-c.sent[i] > answerTime.Nanoseconds() && !c.out.full() {
			switch {
			case c.tries[i] >= mostTries:
				c.state[i] = sessionFailed
				waits = false
			case c.state[i] == sessionSYN:
				c.syn(i, now)
			default:
				c.ask(i, now)
			}
		}
		if waits {
			left = append(left, n)
		}
	}
	c.wait = left
}

func (c *sessionClient) ask(i int, now int64) {
	c.state[i], c.sent[i] = sessionAsked, now
	c.tries[i]++
	var payload [requestSize]byte
	c.segment(i, segment{flags: tcpPSH | tcpACK, seq: c.mine[i], ack: c.theirs[i]}, payload[:])
}

// askAll sends requests on all sessions in turn, each at least once, until the window ends.
func (c *sessionClient) askAll(s *sessionAnswer) (err error) {
	c.times.h.Reset()
	c.wait, c.done = c.wait[:0], 0
	start := time.Now()
	next, passes, live := 0, 0, c.open
	for live > 0 {
		now := time.Now()
		since := now.Sub(start)
		end := passes > 0 && since > c.order.For || since > sessionLimit
		if end && len(c.wait) == 0 || since > sessionLimit+time.Second {
			break
		}
		for looked := 0; !end && len(c.wait) < c.order.Outstanding && !c.out.full() && looked < len(c.state); looked++ {
			if c.state[next] == sessionOpen {
				c.tries[next] = 0
				c.ask(next, now.UnixNano())
				c.wait = append(c.wait, uint32(next))
			}
			if next++; next == len(c.state) {
				next, passes = 0, passes+1
				end = since > c.order.For
			}
		}
		if err := c.turn(now); err != nil {
			return err
		}
	}
	s.Requests, s.Requesting = c.done, time.Since(start)
	for i := range c.state {
		if c.state[i] == sessionOpen && c.mine[i] != c.first+1 {
			s.Answered++
		}
	}
	s.RoundTrip, err = c.times.encode()
	return err
}

// closeAll ends the sessions with a RST each, so that their ports are free again.
func (c *sessionClient) closeAll() error {
	start := time.Now()
	for i := range c.state {
		if c.state[i] == sessionNew {
			continue
		}
		c.segment(i, segment{flags: tcpRST | tcpACK, seq: c.mine[i], ack: c.theirs[i]}, nil)
		if !c.out.full() && i < len(c.state)-1 {
			continue
		}
		if err := c.out.send(c.wire); err != nil {
			return err
		}
		if ahead := time.Duration(i)*time.Second/openRate - time.Since(start); ahead > 0 {
			pause(ahead)
		}
	}
	return c.out.send(c.wire)
}
