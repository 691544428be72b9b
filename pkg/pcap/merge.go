package pcap

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// Source is a capture that Merge reads: what an NgWriter writes, with times in nanoseconds.
type Source struct {
	Name string // whose it is, for the descriptions of interfaces
	In   io.ReadCloser
	// Ahead is how far the clock of its times is ahead of that of the merged ones.
	Ahead time.Duration
	// Err is why there is nothing to read, which the merged capture notes. In is not used then.
	Err error
}

// MergeConfig says how captures are merged. The zero value is usable.
type MergeConfig struct {
	Count int // after how many packets it ends; 0 is never
	// Window is how long a packet waits at most for earlier ones of other sources that
	// are still on their way; 0 means MergeWindow.
	Window time.Duration
	Flush  func() // called when there is nothing more to write for now; may be nil
}

// MergeWindow is how long packets wait for earlier ones where a MergeConfig does not say it:
// longer than packets take from host to host, and too short for a reader to notice.
const MergeWindow = 200 * time.Millisecond

// maxMergeBytes bounds what waits. When there is more, the earliest goes, whatever may come.
const maxMergeBytes = 16 << 20

// Merge writes what all sources have as one capture, the packets in the order of their times,
// until ctx ends, the sources have ended, or there are as many packets as were asked for. An
// interface has the name that it has in its source, and the source's name in its description.
// A source that ends is noted (NgWriter.Note), unless ctx has ended, and the rest goes on.
// Merge closes the sources. It allocates for each packet.
func Merge(ctx context.Context, w io.Writer, sources []Source, cfg MergeConfig) error {
	out, err := NewNgWriter(w, "plinksim")
	if err != nil {
		return err
	}
	m := &merger{out: out, cfg: cfg, queue: mergeQueue{window: cmp.Or(cfg.Window, MergeWindow)}}
	arrivals, done := make(chan arrival), make(chan struct{})
	var reading sync.WaitGroup
	defer reading.Wait()
	defer close(done)
	for i, s := range sources {
		m.queue.sources = append(m.queue.sources, mergeSource{ended: s.Err != nil})
		m.numbers = append(m.numbers, nil)
		if s.Err != nil {
			if err := out.Note(s.Name, s.Err.Error()); err != nil {
				return err
			}
			continue
		}
		m.reading++
		defer s.In.Close()
		reading.Go(func() { readSource(i, s, arrivals, done) })
	}
	return m.run(ctx, sources, arrivals)
}

// arrival is a block of a source, or its end.
type arrival struct {
	source int
	kind   uint32
	time   int64 // of a packet, by the merged clock
	number uint32
	block  []byte    // whole, of kinds that have an interface's number
	about  Interface // of an interface's description
	err    error     // of the end
}

// Interface is what a capture says of an interface.
type Interface struct{ Name, Description string }

func readSource(i int, s Source, arrivals chan<- arrival, done <-chan struct{}) {
	interfaces := 0
	for {
		a, err := readArrival(s)
		if a.kind == blockInterface {
			interfaces++
		}
		if err == nil && (interfaces > maxInterfaces || a.block != nil && int64(a.number) >= int64(interfaces)) {
			err = errNotOurs
		}
		a.source, a.err = i, err
		select {
		case arrivals <- a:
		case <-done:
			return
		}
		if err != nil {
			return
		}
	}
}

var errNotOurs = &Error{Text: "has a block that plinksim does not write"}

// readArrival reads the next block.
func readArrival(s Source) (a arrival, err error) {
	block, err := readBlock(nil, s.In)
	if err != nil {
		return a, err
	}
	le := binary.LittleEndian
	body := block[8 : len(block)-4]
	a.kind = le.Uint32(block)
	switch a.kind {
	case blockSection:
		if len(body) < 4 || le.Uint32(body) != byteOrderMagic {
			return a, errNotOurs
		}
	case blockInterface:
		a.about, err = describedIn(body)
	case blockPacket:
		if len(body) < enhancedHeaderLen || int64(le.Uint32(body[12:])) > int64(len(body)-enhancedHeaderLen) {
			return a, errNotOurs
		}
		a.shift(block, s.Ahead)
	case blockStatistics:
		if len(body) < 12 {
			return a, errNotOurs
		}
		a.shift(block, s.Ahead)
	}
	return a, err
}

// shift moves the time of a block to the merged clock.
func (a *arrival) shift(block []byte, ahead time.Duration) {
	le := binary.LittleEndian
	a.block, a.number = block, le.Uint32(block[8:])
	a.time = int64(uint64(le.Uint32(block[12:]))<<32|uint64(le.Uint32(block[16:]))) - int64(ahead)
	le.PutUint32(block[12:], uint32(uint64(a.time)>>32))
	le.PutUint32(block[16:], uint32(a.time))
}

// describedIn reads the body of a description of an interface.
func describedIn(body []byte) (about Interface, err error) {
	if len(body) < 8 {
		return about, errNotOurs
	}
	nano := false
	ours := Reader{order: binary.LittleEndian}
	err = ours.options(body[8:], func(code uint16, value []byte) error {
		switch code {
		case optName:
			about.Name = string(value)
		case optDescription:
			about.Description = string(value)
		case optResolution:
			nano = string(value) == resolutionNano
		}
		return nil
	})
	if err == nil && (!nano || binary.LittleEndian.Uint16(body) != linkEthernet) {
		err = errNotOurs
	}
	return about, err
}

// merger is the one who writes.
type merger struct {
	out     *NgWriter
	cfg     MergeConfig
	queue   mergeQueue
	numbers [][]int // by source and number in it: the number of the interface in the merged capture
	reading int     // sources that have not ended
	packets int
}

func (m *merger) run(ctx context.Context, sources []Source, arrivals <-chan arrival) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for m.reading > 0 && !m.enough() && ctx.Err() == nil {
		if err := m.write(time.Now()); err != nil {
			return err
		}
		timer.Reset(m.queue.wait(time.Now()))
		select {
		case a := <-arrivals:
			if err := m.take(ctx, sources[a.source], a); err != nil {
				return err
			}
			continue
		default:
		}
		if m.cfg.Flush != nil {
			m.cfg.Flush()
		}
		select {
		case a := <-arrivals:
			if err := m.take(ctx, sources[a.source], a); err != nil {
				return err
			}
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	m.queue.end()
	err := m.write(time.Now())
	if m.cfg.Flush != nil {
		m.cfg.Flush()
	}
	return err
}

func (m *merger) enough() bool { return m.cfg.Count > 0 && m.packets >= m.cfg.Count }

// take takes what a source has.
func (m *merger) take(ctx context.Context, s Source, a arrival) error {
	if a.err != nil {
		m.reading--
		m.queue.sources[a.source].ended = true
		if ctx.Err() != nil {
			return nil
		}
		text := s.Name + ": its capture has ended"
		if !errors.Is(a.err, io.EOF) {
			text += ": " + a.err.Error()
		}
		return m.out.Note(s.Name, text)
	}
	switch a.kind {
	case blockInterface:
		number, err := m.out.AddInterface(a.about.Name, s.Name+": "+a.about.Description)
		m.numbers[a.source] = append(m.numbers[a.source], number)
		return err
	case blockStatistics:
		return m.copy(a)
	case blockPacket:
		m.queue.add(a, time.Now())
	}
	return nil
}

// write writes the packets whose turn it is.
func (m *merger) write(now time.Time) error {
	for !m.enough() {
		a, ok := m.queue.next(now)
		if !ok {
			return nil
		}
		if err := m.copy(a); err != nil {
			return err
		}
		m.packets++
	}
	return nil
}

// copy writes a block with the number that its interface has here.
func (m *merger) copy(a arrival) error {
	binary.LittleEndian.PutUint32(a.block[8:], uint32(m.numbers[a.source][a.number]))
	_, err := m.out.out.Write(a.block)
	return err
}

// mergeQueue holds packets until no earlier one can come, as far as it is known, or until
// they have waited long enough. It has no clock of its own.
type mergeQueue struct {
	window  time.Duration
	sources []mergeSource
	packets []waiting // a heap, the earliest first
	bytes   int
	count   uint64
}

// mergeSource is how far a source has come.
type mergeSource struct {
	latest int64
	ended  bool
}

// waiting is a packet in the queue.
type waiting struct {
	arrival
	since time.Time
	seq   uint64 // among the packets of all sources
}

func (q *mergeQueue) add(a arrival, now time.Time) {
	heap.Push(q, waiting{a, now, q.count})
	q.count++
	q.bytes += len(a.block)
	s := &q.sources[a.source]
	s.latest = max(s.latest, a.time)
}

// next takes the earliest packet out, if it is its turn.
func (q *mergeQueue) next(now time.Time) (arrival, bool) {
	if len(q.packets) == 0 {
		return arrival{}, false
	}
	first := &q.packets[0]
	if now.Sub(first.since) < q.window && q.bytes <= maxMergeBytes && slices.ContainsFunc(q.sources, func(s mergeSource) bool {
		return !s.ended && s.latest < first.time
	}) {
		return arrival{}, false
	}
	a := heap.Pop(q).(waiting).arrival
	q.bytes -= len(a.block)
	return a, true
}

// wait is how long next has nothing at most, if nothing comes.
func (q *mergeQueue) wait(now time.Time) time.Duration {
	if len(q.packets) == 0 {
		return time.Hour
	}
	return max(0, q.window-now.Sub(q.packets[0].since))
}

// end says that nothing comes any more.
func (q *mergeQueue) end() {
	for i := range q.sources {
		q.sources[i].ended = true
	}
}

func (q *mergeQueue) Len() int { return len(q.packets) }

func (q *mergeQueue) Less(i, j int) bool {
	a, b := &q.packets[i], &q.packets[j]
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.source, b.source), cmp.Compare(a.seq, b.seq)) < 0
}

func (q *mergeQueue) Swap(i, j int) { q.packets[i], q.packets[j] = q.packets[j], q.packets[i] }

// Push is for package heap.
func (q *mergeQueue) Push(x any) { q.packets = append(q.packets, x.(waiting)) }

// Pop is for package heap.
func (q *mergeQueue) Pop() any {
	last := len(q.packets) - 1
	x := q.packets[last]
	q.packets[last] = waiting{}
	q.packets = q.packets[:last]
	return x
}
