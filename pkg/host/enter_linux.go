package host

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of a lab that one can be in. Its methods
// may be called from any goroutine. It stays usable when the lab is removed,
// and keeps the namespace alive until it is closed.
type Namespace struct {
	name string
	file *os.File
}

// Open opens the namespace that the lab in dir has under a name, for example
// vpc1.ecs1. The caller closes it.
func Open(dir, name string) (*Namespace, error) {
	file, err := openNamespace(dir, name)
	if err != nil {
		return nil, err
	}
	return &Namespace{name: name, file: file}, nil
}

// Close lets go of the namespace. Sockets that were made in it stay in it.
func (n *Namespace) Close() error { return n.file.Close() }

// Do runs f in the namespace, on a thread that ends with it, and returns what
// f returns. Only f's own goroutine is in the namespace: whatever starts
// another one, for example net/http, a net.Dialer with a host name or a
// net.Resolver, is not. Sockets stay in the namespace that they were made in,
// and may be used from anywhere.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := n.enter(); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// visit is Do for what is short and leaves its thread as it was: the thread comes back and
// goes on. A thread that could not come back ends. To make one for each probe took a tenth of
// what the servers' probes of a large lab cost.
func (n *Namespace) visit(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // see runOnThread
			done <- n.visit(f)
			runtime.UnlockOSThread()
			return
		}
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- n.Do(f)
			runtime.UnlockOSThread()
			return
		}
		defer unix.Close(home)
		if err = n.enter(); err != nil {
			err = fmt.Errorf("enter namespace %s: %w", n.name, err)
		} else {
			err = f()
		}
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// enter keeps the file from being closed meanwhile: its number may be another
// namespace's a moment later.
func (n *Namespace) enter() error {
	conn, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	var entered error
	err = conn.Control(func(fd uintptr) { entered = unix.Setns(int(fd), unix.CLONE_NEWNET) })
	return errors.Join(err, entered)
}
