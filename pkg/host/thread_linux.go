package host

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on an operating system thread of its own and ends the thread
// afterwards, so that f may change what belongs to a thread. A goroutine that
// f starts runs elsewhere.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go runOnThread(f, done)
	return <-done
}

func runOnThread(f func() error, done chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread cannot end, and it is what /proc/PID shows of the
		// process: keep it, so that another goroutine gets another thread.
		done <- onThread(f)
		runtime.UnlockOSThread()
		return
	}
	// Without an unlock the runtime ends the thread with the goroutine.
	err := errors.New("the function ended its goroutine instead of returning")
	defer func() { done <- err }()
	err = f()
}
