package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/packet"
)

// receiver counts the frames of a load that come to an instance. It reads them on a thread of
// its own until the program ends; a measurement begins with reset.
type receiver struct {
	wire *wire

	mu      sync.Mutex
	run     uint16
	frames  uint64
	bytes   uint64 // with the frame check sequence
	late    uint64 // out of order
	times   histogram
	senders [maxSenders + 1][]seen // by flow; the last are the server's
	flows   int                    // that are known
	err     error
}

// seen is what a receiver knows of a flow.
type seen struct {
	next uint64 // the least number that does not come too late
	from [4]byte
	port uint16 // 0: nothing has come
}

const (
	maxSenders = 16
	fromServer = maxSenders
)

func (r *receiver) reset(run uint16, senders, flows int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run, r.frames, r.bytes, r.late, r.flows = run, 0, 0, 0, 0
	if r.times.h == nil {
		r.times = newHistogram()
	}
	r.times.h.Reset()
	r.wire.drops()
	for i := range r.senders {
		switch {
		case i >= senders && i != fromServer:
			r.senders[i] = nil
		case i == fromServer:
			r.senders[i] = fresh(r.senders[i], senders*flows)
		default:
			r.senders[i] = fresh(r.senders[i], flows)
		}
	}
}

func fresh(s []seen, n int) []seen {
	if cap(s) < n {
		return make([]seen, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// read receives until the program ends. Frames carry the times of the kernel, so it may sleep
// while there are none.
func (r *receiver) read() {
	runtime.LockOSThread()
	in := newIncoming()
	flags, idle := unix.MSG_WAITFORONE, 0
	for {
		n, err := r.take(in, flags)
		if err != nil {
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
			return
		}
		flags = unix.MSG_DONTWAIT
		switch {
		case n == wireBatch:
			idle = 0
		case n > 0 && r.wire.forced:
			idle = 0
			pause(nap)
		case !r.wire.forced && idle < 100*naps: // there is room for few
			idle++
			yield()
		case idle < naps:
			idle++
			pause(nap)
		default:
			flags, idle = unix.MSG_WAITFORONE, 0
		}
	}
}

func (r *receiver) take(in *incoming, flags int) (int, error) {
	if flags != unix.MSG_DONTWAIT { // it may take long: nobody is to wait for the lock
		fds := []unix.PollFd{{Fd: int32(r.wire.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return in.receive(r.wire, unix.MSG_DONTWAIT, r.count)
}

// count takes in a frame.
func (r *receiver) count(a *arrived) {
	if a.proto != protoUDP || len(a.payload) < markSize {
		return
	}
	m := markOf(a.payload)
	if m.run != r.run || int(m.sender) >= len(r.senders) || len(r.senders[m.sender]) == 0 {
		return
	}
	flows := r.senders[m.sender]
	f := &flows[m.number%uint64(len(flows))]
	if f.port == 0 {
		f.from, f.port = a.from()
		r.flows++
	}
	if m.flags&opening != 0 {
		return
	}
	if m.number < f.next {
		if m.flags&counted != 0 {
			r.late++
		}
	} else {
		f.next = m.number + 1
	}
	if m.flags&counted != 0 {
		r.frames++
		r.bytes += uint64(payloadAt + len(a.payload) + frameCheck)
		r.times.add(a.at - m.due)
	}
}

// wireTo is the device that leads to an address, opened once.
func (g *generator) wireTo(to netip.Addr) (*wire, error) {
	if g.receiver == nil {
		w, err := openWire(to)
		if err != nil {
			return nil, err
		}
		g.receiver = &receiver{wire: w}
		go g.receiver.read()
	}
	return g.receiver.wire, nil
}

func (g *generator) listen(o order) error {
	if _, err := g.wireTo(o.To); err != nil {
		return err
	}
	if o.Flows < 1 || o.Senders < 1 || o.Senders > maxSenders || o.Flows*o.Senders > MaxFlows {
		return fmt.Errorf("%d flows of %d senders are too many", o.Flows, o.Senders)
	}
	g.receiver.reset(o.Run, o.Senders, o.Flows)
	return nil
}

func (g *generator) received() (a answer, err error) {
	r := g.receiver
	if r == nil {
		return a, errors.New("received what? listen comes first")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return a, r.err
	}
	a = answer{Packets: r.frames, Bytes: r.bytes, Reordered: r.late, Flows: r.flows, Missed: r.wire.drops()}
	a.Latency, err = r.times.encode()
	return a, err
}

// send is a client's part of a load: it opens the flows, or sends on them in turn.
func (g *generator) send(o order) (answer, error) {
	w, err := g.wireTo(o.To)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	mac, err := w.nextHop(ctx, o.To)
	if err != nil {
		return answer{}, err
	}
	s := sender{wire: w, order: o, frames: Frames{Sizes: o.Sizes}, flows: make([]flow, o.Flows)}
	for i := range s.flows {
		// Flows of all clients go to all ports in turn.
		s.flows[i] = clientFlow(o.From, o.To, mac, i)
	}
	return s.run()
}

// reply is the server's part: it sends on the flows that have come to it.
func (g *generator) reply(o order) (answer, error) {
	r := g.receiver
	if r == nil {
		return answer{}, errors.New("reply to what? listen comes first")
	}
	s := sender{wire: r.wire, order: o, frames: Frames{Sizes: o.Sizes}}
	s.order.Sender = fromServer
	r.mu.Lock()
	known := map[[4]byte]packet.MAC{}
	for _, flows := range r.senders[:maxSenders] {
		for i, f := range flows {
			if f.port != 0 {
				known[f.from] = packet.MAC{}
			}
			s.flows = append(s.flows, flow{from: o.From.As4(), to: f.from, toPort: f.port,
				fromPort: uint16(firstFlowPort + i%flowPorts)})
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for to := range known {
		mac, err := r.wire.nextHop(ctx, netip.AddrFrom4(to))
		if err != nil {
			return answer{}, err
		}
		known[to] = mac
	}
	for i := range s.flows {
		s.flows[i].mac = known[s.flows[i].to]
	}
	if !slices.ContainsFunc(s.flows, flow.known) {
		return answer{}, errors.New("no flow has come to the server")
	}
	return s.run()
}

// known says whether the flow can be sent on.
func (f flow) known() bool { return f.toPort != 0 }

// sender sends the frames of a load, each at its time.
type sender struct {
	wire   *wire
	order  order
	frames Frames
	flows  []flow
	out    outgoing
	number uint64
}

// openRate is how many flows a second a client opens.
const openRate = 100_000

func (s *sender) run() (answer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	start := time.Now()
	switch o := s.order; {
	case o.Do == "open":
		return s.paced(start, openRate, uint64(len(s.flows)), opening, 0)
	case o.Rate > 0:
		warm, all := uint64(float64(o.Rate)*o.WarmUp.Seconds()), uint64(float64(o.Rate)*(o.WarmUp+o.For).Seconds())
		return s.paced(start, o.Rate, all, counted, warm)
	default:
		return s.fast(start)
	}
}

// paced sends all frames, the one with a number at its time from start on; what is late
// goes as soon as possible. Frames count from the number warm on. It gives up where the
// frames take a half more than their time.
func (s *sender) paced(start time.Time, rate int, all uint64, flags byte, warm uint64) (a answer, err error) {
	interval := 1e9 / float64(rate)
	limit := time.Duration(1.5*float64(all)*interval) + 100*time.Millisecond
	origin := start.UnixNano()
	for s.number < all {
		since := time.Since(start)
		if since > limit {
			break
		}
		due := min(uint64(float64(since)/interval)+1, all)
		for s.number < due && !s.out.full() {
			now := flags
			if s.number < warm {
				now = 0
			}
			if s.add(origin+int64(float64(s.number)*interval), now) && now&counted != 0 {
				a.Count++
			}
		}
		if err := s.out.send(s.wire); err != nil {
			return a, err
		}
		if s.number >= due {
			s.wait(time.Duration(float64(s.number)*interval) - time.Since(start))
		}
	}
	a.Elapsed = time.Since(start)
	if s.number < all { // it gave up
		a.Lost = all - max(s.number, warm)
	}
	a.Late = max(a.Elapsed-time.Duration(float64(max(s.number, 1)-1)*interval), 0)
	return a, nil
}

// wait passes time until the next frame is due: it sleeps while there is enough of it, and
// else lets others have the CPU.
func (s *sender) wait(d time.Duration) {
	const soon = 100 * time.Microsecond
	switch {
	case d > 2*soon:
		pause(d - soon)
	case d > 0:
		yield()
	}
}

// fast sends as much as goes until the window ends.
func (s *sender) fast(start time.Time) (a answer, err error) {
	begin := start.Add(s.order.WarmUp)
	end := begin.Add(s.order.For)
	for now := time.Now(); now.Before(end); now = time.Now() {
		var flags byte
		if !now.Before(begin) {
			flags = counted
		}
		at := now.UnixNano()
		for !s.out.full() {
			if s.add(at, flags) && flags&counted != 0 {
				a.Count++
			}
		}
		if err := s.out.send(s.wire); err != nil {
			return a, err
		}
	}
	a.Elapsed = time.Since(begin)
	return a, nil
}

// add puts the next frame into the batch, if its flow is known.
func (s *sender) add(due int64, flags byte) bool {
	number := s.number
	s.number++
	f := &s.flows[number%uint64(len(s.flows))]
	if !f.known() {
		return false
	}
	m := mark{due: due, number: number, run: s.order.Run, sender: byte(s.order.Sender), flags: flags}
	s.out.add(s.wire.maker.udp(s.out.next(), f, s.frames.of(number, len(s.flows)), &m))
	return true
}

func pause(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil)
}

func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
