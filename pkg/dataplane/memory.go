package dataplane

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Memory is a Driver without a kernel: a test injects what the ENIs shall
// receive and collects what they sent. Its methods may be called from any
// goroutine. It blocks on channels alone, so it works in a synctest bubble.
//
// Once a Read follows, the data of the Read before is overwritten: whoever
// kept it too long finds out.
//
// Where more than Burst frames wait, ENIs take turns as at a Ring.
type Memory struct {
	counters counters
	ready    chan struct{} // holds a token while a Read shall look again
	sentMore chan struct{} // the same for Receive

	mu       sync.Mutex
	injected []packet.Frame
	crowd    *crowd // of injected frames, where many wait
	lent     []packet.Frame
	sent     []packet.Frame
	woken    bool
	closed   bool
}

var errMemoryClosed = fmt.Errorf("memory driver: %w", os.ErrClosed)

// NewMemory makes a driver that nothing was injected into.
func NewMemory() *Memory {
	return &Memory{ready: make(chan struct{}, 1), sentMore: make(chan struct{}, 1), crowd: newCrowd(crowdRoom)}
}

// Inject lets frames arrive, in this order. They are copied.
func (m *Memory) Inject(frames ...packet.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range frames {
		m.injected = append(m.injected, copyOf(f))
	}
	signal(m.ready)
}

// Sent takes everything that was written since the last call, in order.
func (m *Memory) Sent() []packet.Frame {
	m.mu.Lock()
	defer m.mu.Unlock()
	sent := m.sent
	m.sent = nil
	return sent
}

// Receive takes the oldest frame that was written, and waits for one until
// ctx ends. One goroutine may wait at a time.
func (m *Memory) Receive(ctx context.Context) (packet.Frame, error) {
	for {
		if f, ok := m.takeSent(); ok {
			return f, nil
		}
		select {
		case <-m.sentMore:
		case <-ctx.Done():
			return packet.Frame{}, fmt.Errorf("wait for a frame: %w", ctx.Err())
		}
	}
}

func (m *Memory) takeSent() (packet.Frame, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sent) == 0 {
		return packet.Frame{}, false
	}
	f := m.sent[0]
	m.sent = m.sent[1:]
	return f, true
}

// Read implements Driver.
func (m *Memory) Read(frames []packet.Frame) (int, error) {
	for first := true; ; first = false {
		if n, done, err := m.tryRead(frames, first); done || err != nil {
			return n, err
		}
		<-m.ready
	}
}

func (m *Memory) tryRead(frames []packet.Frame, first bool) (n int, done bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if first {
		m.overwriteLent()
	}
	if m.closed {
		signal(m.ready) // for a second reader
		return 0, true, errMemoryClosed
	}
	if !m.crowd.wants(time.Now()) && len(m.injected) <= Burst {
		n = copy(frames, m.injected)
		m.injected = m.injected[n:]
	} else {
		m.sort()
		n = m.crowd.take(frames[:min(len(frames), crowdBurst)])
	}
	m.lent = append(m.lent, frames[:n]...)
	m.counters.read(frames[:n])
	if n > 0 {
		return n, true, nil
	}
	done, m.woken = m.woken, false
	return 0, done, nil
}

// sort moves the injected frames to the crowd.
func (m *Memory) sort() {
	for i := range m.injected {
		if f := &m.injected[i]; m.crowd.admits(f) {
			m.crowd.put(f)
		} else {
			m.counters.crowd(f.ENI)
		}
	}
	m.injected = m.injected[:0]
}

func (m *Memory) overwriteLent() {
	for _, f := range m.lent {
		for i := range f.Data {
			f.Data[i] = 0xdb
		}
	}
	m.lent = m.lent[:0]
}

// Write implements Driver.
func (m *Memory) Write(frames []packet.Frame) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, errMemoryClosed
	}
	var bytes uint64
	for _, f := range frames {
		m.sent = append(m.sent, copyOf(f))
		bytes += uint64(len(f.Data))
	}
	m.counters.wrote(uint64(len(frames)), bytes)
	signal(m.sentMore)
	return len(frames), nil
}

// Wake implements Driver.
func (m *Memory) Wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.woken = true
	signal(m.ready)
}

// Stats implements Driver.
func (m *Memory) Stats() DriverStats { return m.counters.stats() }

// takeCrowded implements crowdedDriver.
func (m *Memory) takeCrowded(tell func(packet.ENI, uint64)) { m.counters.takeCrowded(tell) }

// Close implements Driver. What was sent can still be taken.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.overwriteLent()
	signal(m.ready)
	return nil
}

func copyOf(f packet.Frame) packet.Frame {
	f.Data = append([]byte(nil), f.Data...)
	return f
}

// signal leaves a token in c, unless one is there already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
