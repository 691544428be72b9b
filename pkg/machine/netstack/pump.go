package netstack

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/plinksim/plinksim/pkg/packet"
)

// pump lets a stack work, until it ends.
//
// In a bubble of testing/synctest time passes when every goroutine waits for a
// channel, a timer or another of the things that the bubble knows. The goroutines
// in which gVisor's TCP works on segments wait in a way of their own, for which
// time would stand still for ever. But a stack can be paused, as it is for a
// checkpoint: then they wait for a channel. So a stack is always paused, and the
// pump resumes it for as long as there is something to do. Pause returns when
// nothing is left.
//
// What gives a stack something to do kicks its pump: a frame that arrives, a timer
// that ran, and a program that calls a socket. The last of these because segments
// that come while a program has the lock of a socket are left to TCP's goroutines.
func (s *space) pump() {
	defer close(s.done)
	for {
		select {
		case <-s.kicked:
		case <-s.quit:
			return
		}
		for _, a := range s.takeArrivals() {
			s.turn.Lock()
			a.link.deliver(a.frame)
			s.turn.Unlock()
		}
		s.work()
	}
}

// work resumes the stack until nothing is left. What the stack sends to itself
// one of its goroutines may have left to another that was paused already, so it
// goes on while segments come.
func (s *space) work() {
	received := s.stack.Stats().TCP.ValidSegmentsReceived
	for before, first := uint64(0), true; first || received.Value() != before; first = false {
		before = received.Value()
		s.stack.Resume()
		s.stack.Pause()
	}
}

func (s *space) kick() { signal(s.kicked) }

// arrival is a frame that waits for the pump.
type arrival struct {
	link  *link
	frame packet.Frame
}

// arrive leaves a frame to the pump. One too many is lost, as at a real device.
func (s *space) arrive(a arrival) {
	s.arriving.Lock()
	if len(s.arrivals) < longestQueue {
		s.arrivals = append(s.arrivals, a)
	}
	s.arriving.Unlock()
	s.kick()
}

func (s *space) takeArrivals() []arrival {
	s.arriving.Lock()
	defer s.arriving.Unlock()
	taken := s.arrivals
	s.arrivals = nil
	return taken
}

// clock is the time of package time, in a bubble that of the bubble. It kicks the
// pump when a timer has run. Timers and frames that arrive take turns: when gVisor gives
// up a neighbour, it reads in a timer, without a lock, what an answer of the neighbour
// writes (notifyCompletionLocked in pkg/tcpip/stack/neighbor_entry.go).
type clock struct {
	start time.Time
	turn  *sync.Mutex
	kick  func()
}

func (c clock) Now() time.Time { return time.Now() }

func (c clock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(time.Since(c.start))
}

func (c clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	return timer{time.AfterFunc(d, func() {
		c.turn.Lock()
		f()
		c.turn.Unlock()
		c.kick()
	})}
}

type timer struct{ timer *time.Timer }

func (t timer) Stop() bool            { return t.timer.Stop() }
func (t timer) Reset(d time.Duration) { t.timer.Reset(d) }

// random is what a stack takes its ports and sequence numbers from: the same every
// time, so that a test does the same. Nobody is kept out by them in one process.
type random struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func newRandom(name string) *random {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &random{source: rand.NewChaCha8([32]byte(h.Sum(make([]byte, 24))))}
}

// Read implements io.Reader.
func (r *random) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(b)
}

// Int63 implements rand.Source of math/rand.
func (r *random) Int63() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(r.source.Uint64() >> 1)
}

// Seed implements rand.Source of math/rand. The seed is the name of the stack.
func (r *random) Seed(int64) {}
