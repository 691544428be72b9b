package dataplane

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
)

// Pcap is a Driver without a kernel and without a clock: frames come from
// packet files and go to packet files, and the time is that of the packets.
// Read returns a single frame, so that each is judged at its own time and
// needs no copy. When the files are at their ends, the interfaces are quiet:
// Read blocks.
//
// Now is the clock for the engine. It stands still but for Read, which sets it
// to the time of the frame that it returns.
type Pcap struct {
	counters counters
	output   func(packet.ENI) (io.Writer, error)
	now      atomic.Int64  // nanoseconds since start
	ready    chan struct{} // holds a token while a blocked Read shall look again

	mu      sync.Mutex
	started bool
	start   int64 // time of the first packet, ns since 1970
	inputs  []*pcapInput
	lent    *pcapInput // whose packet the last Read returned
	outputs map[packet.ENI]*pcapOutput
	woken   bool
	closed  bool
}

// PcapInput is a file whose packets an ENI receives.
type PcapInput struct {
	ENI  packet.ENI
	Name string // for errors
	File io.Reader
	// MTU of the ENI. Longer TCP packets count as superframes, which programs
	// that capture on an end of a connection see.
	MTU int
	// MAC of the ENI. Packets of a file without Ethernet headers are for it.
	MAC packet.MAC
}

// PcapStats counts what one ENI received or sent.
type PcapStats struct {
	Packets, Bytes uint64
	// Backwards are packets that are older than one before them in their file.
	Backwards uint64
}

type pcapInput struct {
	PcapInput
	reader *pcap.Reader
	head   pcap.Packet // the next packet
	newest int64       // time of all so far
	ended  bool
	err    error // why it ended early
	stats  PcapStats
}

type pcapOutput struct {
	writer  *pcap.Writer
	stats   PcapStats
	segment []byte // of a superframe
}

var errPcapClosed = fmt.Errorf("pcap driver: %w", os.ErrClosed)

// NewPcap makes a driver that has nothing to read. It asks output for an ENI's
// file when the first frame leaves there; the files stay the caller's.
func NewPcap(output func(packet.ENI) (io.Writer, error)) *Pcap {
	return &Pcap{output: output, ready: make(chan struct{}, 1), outputs: map[packet.ENI]*pcapOutput{}}
}

// Add lets the packets of a file arrive, merged with those of other files by
// time, ties in the order in which the files were added. The packets of one
// file keep their order: one that is older than the one before it arrives at
// the same time as that, and is counted. It reads as far as the first packet. A file
// that is wrong further on ends there: see Err.
func (p *Pcap) Add(in PcapInput) error {
	reader, err := pcap.NewReader(in.File)
	if err != nil {
		return fmt.Errorf("%s: %w", in.Name, err)
	}
	input := &pcapInput{PcapInput: in, reader: reader}
	if input.advance(); input.err != nil {
		return input.err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inputs = append(p.inputs, input)
	signal(p.ready)
	return nil
}

func (in *pcapInput) advance() {
	err := in.reader.Next(&in.head)
	if err != nil {
		in.ended = true
		if !errors.Is(err, io.EOF) {
			in.err = fmt.Errorf("%s: %w", in.Name, err)
		}
		return
	}
	if in.head.NoMAC {
		copy(in.head.Data, in.MAC[:])
	}
	if in.head.Time < in.newest {
		in.stats.Backwards++
	}
	in.newest = max(in.newest, in.head.Time)
}

// Err says which files ended before their end, and why.
func (p *Pcap) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, in := range p.inputs {
		errs = append(errs, in.err)
	}
	return errors.Join(errs...)
}

// Now is the virtual time: since the first packet.
func (p *Pcap) Now() time.Duration { return time.Duration(p.now.Load()) }

// Start is the time of the first packet, zero before the first Read.
func (p *Pcap) Start() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started {
		return time.Time{}
	}
	return time.Unix(0, p.start).UTC()
}

// next is when the next packet arrives, false where there is none.
func (p *Pcap) next() (at time.Duration, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.earliestLocked()
	if in == nil {
		return 0, false
	}
	return max(p.Now(), p.sinceLocked(in.head.Time)), true
}

// earliestLocked is the file with the next packet, nil where all have ended.
func (p *Pcap) earliestLocked() *pcapInput {
	if in := p.lent; in != nil {
		p.lent = nil
		in.advance()
	}
	var first *pcapInput
	for _, in := range p.inputs {
		if !in.ended && (first == nil || in.head.Time < first.head.Time) {
			first = in
		}
	}
	return first
}

// sinceLocked is a time of a packet as the engine sees it. The first packet
// that is asked for is where time starts.
func (p *Pcap) sinceLocked(at int64) time.Duration {
	if !p.started {
		p.started, p.start = true, at
	}
	return time.Duration(at - p.start)
}

// sleep lets time pass without a packet.
func (p *Pcap) sleep(until time.Duration) { p.now.Store(max(p.now.Load(), int64(until))) }

// Read implements Driver.
func (p *Pcap) Read(frames []packet.Frame) (int, error) {
	for {
		if n, done, err := p.tryRead(frames); done || err != nil {
			return n, err
		}
		<-p.ready
	}
}

func (p *Pcap) tryRead(frames []packet.Frame) (n int, done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		signal(p.ready) // for a second reader
		return 0, true, errPcapClosed
	}
	in := p.earliestLocked()
	if in == nil {
		done, p.woken = p.woken, false
		return 0, done, nil
	}
	p.sleep(p.sinceLocked(in.head.Time))
	frames[0] = packet.Frame{ENI: in.ENI, Data: in.head.Data, Offload: offloadOf(in.head.Data, in.MTU)}
	p.lent = in
	in.stats.add(len(in.head.Data))
	p.counters.read(frames[:1])
	return 1, true, nil
}

// takeWoken says whether Wake was called, and forgets it.
func (p *Pcap) takeWoken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	woken := p.woken
	p.woken = false
	return woken
}

// Write implements Driver. The frames get the time that it is now. A file that
// cannot be written is an error.
func (p *Pcap) Write(frames []packet.Frame) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, errPcapClosed
	}
	var bytes uint64
	for i := range frames {
		if err := p.writeLocked(&frames[i]); err != nil {
			p.counters.wrote(uint64(i), bytes)
			return i, err
		}
		bytes += uint64(len(frames[i].Data))
	}
	p.counters.wrote(uint64(len(frames)), bytes)
	return len(frames), nil
}

// writeLocked does what a device does when it sends a frame: superframes are
// cut, and checksums are finished.
func (p *Pcap) writeLocked(f *packet.Frame) error {
	out, err := p.outputLocked(f.ENI)
	if err != nil {
		return err
	}
	now := p.start + p.now.Load()
	if f.Offload.Any() {
		var parsed packet.Packet
		packet.Parse(f.Data, &parsed)
		if segments, ok := packet.SegmentsOf(f, &parsed); ok {
			return out.writeSegments(now, &segments)
		}
		if f.Offload.Fits(&parsed) {
			packet.FinishChecksum(f, &parsed)
		}
	}
	return out.write(now, f.Data)
}

func (out *pcapOutput) write(now int64, data []byte) error {
	out.stats.add(len(data))
	return out.writer.Write(now, data)
}

func (out *pcapOutput) writeSegments(now int64, segments *packet.Segments) error {
	for i := range segments.Len() {
		size := segments.Size(i)
		out.segment = slices.Grow(out.segment[:0], size)[:size]
		segments.Build(i, out.segment)
		if err := out.write(now, out.segment); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pcap) outputLocked(eni packet.ENI) (*pcapOutput, error) {
	if out := p.outputs[eni]; out != nil {
		return out, nil
	}
	w, err := p.output(eni)
	if err != nil {
		return nil, err
	}
	writer, err := pcap.NewWriter(w)
	if err != nil {
		return nil, err
	}
	p.outputs[eni] = &pcapOutput{writer: writer}
	return p.outputs[eni], nil
}

// Wake implements Driver.
func (p *Pcap) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = true
	signal(p.ready)
}

// Stats implements Driver.
func (p *Pcap) Stats() DriverStats { return p.counters.stats() }

// Received counts what came from each file, in the order of Add.
func (p *Pcap) Received() []PcapStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]PcapStats, len(p.inputs))
	for i, in := range p.inputs {
		out[i] = in.stats
	}
	return out
}

// Sent counts what left each ENI that sent anything.
func (p *Pcap) Sent() map[packet.ENI]PcapStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := map[packet.ENI]PcapStats{}
	for eni, out := range p.outputs {
		sent[eni] = out.stats
	}
	return sent
}

func (s *PcapStats) add(bytes int) {
	s.Packets++
	s.Bytes += uint64(bytes)
}

// Flush writes out what was sent so far.
func (p *Pcap) Flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, out := range p.outputs {
		errs = append(errs, out.writer.Flush())
	}
	return errors.Join(errs...)
}

// Close implements Driver. It does not flush.
func (p *Pcap) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	signal(p.ready)
	return nil
}
