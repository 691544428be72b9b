package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Direction is where the frames of a load go. Sessions are always opened by the consumer.
type Direction string

// The directions of a load.
const (
	ToProvider Direction = "to-provider"
	ToConsumer Direction = "to-consumer"
	Both       Direction = "both"
)

// Directions are all of them.
var Directions = []string{string(ToProvider), string(ToConsumer), string(Both)}

// Load is UDP traffic made of whole frames, so that it may have a million flows.
type Load struct {
	Frames Frames
	// Flows is how many five-tuples the senders use in turn, together.
	Flows int
	// Senders is how many instances send to the provider; to the consumer the server sends
	// alone, to all of them.
	Senders   int
	Direction Direction
	// Rate is how many frames a second there are in each direction; 0 is as many as go.
	Rate int

	point point
}

func (l Load) check() error {
	for _, size := range l.Frames.Sizes {
		if err := checkFrame(size); err != nil {
			return err
		}
	}
	switch {
	case len(l.Frames.Sizes) == 0 || len(l.Frames.Sizes) > maxGenome:
		return fmt.Errorf("a load has %d sizes of frames: want 1 to %d", len(l.Frames.Sizes), maxGenome)
	case l.Senders < 1 || l.Senders > maxSenders:
		return fmt.Errorf("%d senders: want 1 to %d", l.Senders, maxSenders)
	case l.Flows < l.Senders || l.Flows > MaxFlows:
		return fmt.Errorf("%d flows: want 1 to %d, and one for each sender", l.Flows, MaxFlows)
	case l.Rate < 0 || l.Rate > maxRate:
		return fmt.Errorf("%d frames per second: want 1 to %d, or 0 for as many as go", l.Rate, maxRate)
	case l.Direction != ToProvider && l.Direction != ToConsumer && l.Direction != Both:
		return fmt.Errorf("no direction %q: want %s", l.Direction, strings.Join(Directions, ", "))
	}
	return nil
}

const maxRate = 10_000_000

// Loads are all combinations of frames, flows and rates. What they differ in is the axis
// of their curves.
func Loads(frames []Frames, flows []int, senders int, direction Direction, rates []int) []Load {
	var all []Load
	for _, f := range frames {
		for _, n := range flows {
			for _, rate := range rates {
				l := Load{Frames: f, Flows: n, Senders: senders, Direction: direction, Rate: rate}
				switch {
				case len(rates) > 1:
					same := l
					same.Rate = 0
					l.point = point{same.name(), "offered, frames/s", float64(rate)}
				case len(flows) > 1:
					l.point = point{fmt.Sprintf("UDP, %s%s", f.Name, l.rest()), "flows", float64(n)}
				case len(frames) > 1 && len(f.Sizes) == 1:
					l.point = point{fmt.Sprintf("UDP, %s%s", number3(n, "flow"), l.rest()), "frame, bytes", float64(f.Sizes[0])}
				}
				all = append(all, l)
			}
		}
	}
	return all
}

// name is the load in words.
func (l Load) name() string {
	return fmt.Sprintf("UDP, %s, %s%s", l.Frames.Name, number3(l.Flows, "flow"), l.rest())
}

func (l Load) rest() string {
	var b strings.Builder
	if l.Senders > 1 {
		fmt.Fprintf(&b, ", %d senders", l.Senders)
	}
	switch l.Direction {
	case ToConsumer:
		b.WriteString(", to the consumer")
	case Both:
		b.WriteString(", both directions")
	}
	if l.Rate > 0 {
		fmt.Fprintf(&b, ", %s/s", thousands(l.Rate))
	}
	return b.String()
}

// number3 is a number of things, with its digits in groups of three.
func number3(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// loadResult is what became of a load.
type loadResult struct {
	offered  float64 // frames that should have been sent, 0 where as many went as could
	sent     float64
	received float64
	bytes    float64
	late     float64 // out of order
	flows    float64 // on which a frame came to the server
	behind   time.Duration
	missed   uint64
	times    histogram
	encoded  string
}

// lost is the share of the frames that did not arrive, in percent: of those that should
// have been sent, as the path of the kernel works in the sender's time.
func (r *loadResult) lost() float64 {
	all := max(r.sent, r.offered)
	if all == 0 {
		return 0
	}
	return 100 * max(all-r.received, 0) / all
}

// workload measures the load.
func (l Load) workload() workload {
	w := workload{
		name: l.name(), point: l.point,
		time: func(o Options) time.Duration { return o.window() + o.warmUp() + l.opens() },
		run: func(ctx context.Context, p *path, o Options) (*measurement, error) {
			return p.measureLoad(ctx, l, o.warmUp(), o.window())
		},
		metrics: []metric{
			{name: "delivered", unit: "kpps",
				value: func(m *measurement) float64 { return m.perSecond(m.load.received) / 1e3 }},
			{name: "bit rate", unit: "Mbit/s",
				value: func(m *measurement) float64 { return m.perSecond(m.load.bytes) * 8 / 1e6 }},
			{name: "lost", unit: "%", lower: true, value: func(m *measurement) float64 { return m.load.lost() }},
			{name: "out of order", unit: "frames", lower: true, value: func(m *measurement) float64 { return m.load.late }},
		},
	}
	if l.Rate == 0 {
		w.doc = "frames as fast as the senders can; what arrives counts"
		w.metrics = append(w.metrics, metric{name: "CPU time", unit: "us/frame", lower: true,
			value: func(m *measurement) float64 { return cpuPer(m, m.load.received) }})
	} else {
		w.doc = "frames at a steady rate; the latency is from when a frame was due at the sender to the receiver's device"
		for _, q := range []struct {
			name    string
			percent float64
		}{{"p50", 50}, {"p99", 99}, {"p99.9", 99.9}, {"max", 100}} {
			w.metrics = append(w.metrics, metric{name: q.name, unit: "us", lower: true,
				value: func(m *measurement) float64 { return m.load.times.microseconds(q.percent) }})
		}
		w.metrics = append(w.metrics, metric{name: "variation", unit: "us", lower: true, // RFC 8219, 7.3.1
			value: func(m *measurement) float64 { return m.load.times.microseconds(99.9) - m.load.times.minimum() }})
	}
	if l.Flows > 1 {
		w.metrics = append(w.metrics, metric{name: "flows that passed", unit: "flows",
			value: func(m *measurement) float64 { return m.load.flows }})
	}
	return w
}

// opens is how long the flows of a load take to open.
func (l Load) opens() time.Duration {
	return time.Duration(l.Flows/l.Senders) * time.Second / openRate
}

// measureLoad offers a load once.
func (p *path) measureLoad(ctx context.Context, l Load, warmUp, window time.Duration) (*measurement, error) {
	p.runs++
	job := order{Run: p.runs, Flows: l.Flows / l.Senders, Senders: l.Senders, Sizes: l.Frames.Sizes,
		WarmUp: warmUp, For: window}
	ctx, cancel := context.WithTimeout(ctx, 2*(warmUp+window+l.opens())+30*time.Second)
	defer cancel()
	senders, all, err := p.listen(ctx, l, job)
	if err != nil {
		return nil, err
	}
	if l.Flows > 1 || l.Direction != ToProvider {
		if err := p.openFlows(ctx, l, job); err != nil {
			return nil, err
		}
	}
	for _, s := range senders {
		o := job
		o.Do, o.Sender, o.From, o.To, o.Rate = s.do, s.number, s.from, p.endpoint(), l.Rate
		if s.do == "send" && l.Rate > 0 {
			o.Rate = max(l.Rate/l.Senders, 1)
		}
		if err := s.process.give(o); err != nil {
			return nil, err
		}
	}
	m := &measurement{}
	if m.elapsed, m.cpu, err = cpuWithin(ctx, warmUp, window); err != nil {
		return nil, err
	}
	r := &m.load
	for _, s := range senders {
		a, err := s.process.wait(ctx)
		if err != nil {
			return nil, err
		}
		r.sent += float64(a.Count)
		r.offered += float64(a.Count + a.Lost)
		r.behind = max(r.behind, a.Late)
	}
	if err := sleep(ctx, settle); err != nil {
		return nil, err
	}
	m.cpu = time.Duration(float64(m.cpu) * float64(window) / float64(m.elapsed))
	m.elapsed = window
	return m, p.collect(ctx, r, all)
}

// cpuWithin waits until a warm-up and a window are over, and returns the time of all CPUs within
// the window, and how long that was.
func cpuWithin(ctx context.Context, warmUp, window time.Duration) (elapsed, cpu time.Duration, err error) {
	if err := sleep(ctx, warmUp); err != nil {
		return 0, 0, err
	}
	before, err := busy()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := sleep(ctx, window-20*time.Millisecond); err != nil { // while the senders still send
		return 0, 0, err
	}
	after, err := busy()
	return time.Since(start), after - before, err
}

// frameSender is a process that sends frames of a load.
type frameSender struct {
	*process
	do     string
	number int
	from   netip.Addr
}

// listen tells every receiver of a new measurement, and returns who will send, and all
// receivers of the load: the server is the last one and always among them.
func (p *path) listen(ctx context.Context, l Load, job order) (senders []frameSender, all []*process, err error) {
	job.Do = "listen"
	for i, c := range p.clients[:l.Senders] {
		job.To = p.endpoint()
		if _, err := c.do(ctx, job); err != nil {
			return nil, nil, err
		}
		if l.Direction != ToConsumer {
			senders = append(senders, frameSender{c, "send", i, p.address(i)})
		}
		if l.Direction != ToProvider {
			all = append(all, c)
		}
	}
	server := p.serverAddress()
	job.To = p.nearAddress()
	if _, err := p.server.do(ctx, job); err != nil {
		return nil, nil, err
	}
	if l.Direction != ToProvider {
		senders = append(senders, frameSender{p.server, "reply", fromServer, server})
	}
	return senders, append(all, p.server), nil
}

// openFlows opens the sessions of a load, all of them if it can be.
func (p *path) openFlows(ctx context.Context, l Load, job order) error {
	job.Do, job.To = "open", p.endpoint()
	known := 0
	for range 3 {
		for i, c := range p.clients[:l.Senders] {
			job.Sender, job.From = i, p.address(i)
			if err := c.give(job); err != nil {
				return err
			}
		}
		for _, c := range p.clients[:l.Senders] {
			if _, err := c.wait(ctx); err != nil {
				return err
			}
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		a, err := p.server.do(ctx, order{Do: "received"})
		if err != nil {
			return err
		}
		if a.Flows >= job.Flows*l.Senders || a.Flows == known && known > 0 {
			return nil
		}
		known = a.Flows
	}
	if known == 0 {
		return errors.New("no frame of the load arrived at the server")
	}
	return nil
}

// collect adds what the receivers have.
func (p *path) collect(ctx context.Context, r *loadResult, all []*process) error {
	r.times = newHistogram()
	for i, process := range all {
		a, err := process.do(ctx, order{Do: "received"})
		if err != nil {
			return err
		}
		r.received += float64(a.Packets)
		r.bytes += float64(a.Bytes)
		r.late += float64(a.Reordered)
		r.missed += a.Missed
		if i == len(all)-1 {
			r.flows = float64(a.Flows)
		}
		if err := r.times.merge(a.Latency); err != nil {
			return err
		}
	}
	encoded, err := r.times.encode()
	r.encoded = string(encoded)
	return err
}
