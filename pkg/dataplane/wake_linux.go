package dataplane

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// waker lets a poll(2) return. It remembers one wake until somebody takes it.
type waker struct {
	fd      int // an eventfd, readable after a wake
	pending atomic.Bool

	mu     sync.Mutex // keeps fd open while it is written to
	closed bool
}

func newWaker() (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &waker{fd: fd}, nil
}

func (w *waker) wake() {
	if w.pending.Swap(true) {
		return // and the eventfd was written to, or is about to be
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		one := [8]byte{1, 1, 1, 1, 1, 1, 1, 1} // any number but 0, in any byte order
		_, _ = unix.Write(w.fd, one[:])        // fails only if the counter is full, and then it is readable
	}
}

// take says whether there was a wake, and forgets it.
func (w *waker) take() bool {
	return w.pending.Load() && w.pending.Swap(false)
}

// drain makes the eventfd unreadable again.
func (w *waker) drain() {
	var sum [8]byte
	_, _ = unix.Read(w.fd, sum[:])
}

func (w *waker) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return unix.Close(w.fd)
}
