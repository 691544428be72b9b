package lab

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Opener is a Machine with a limit of what a process can have open.
type Opener interface {
	// Descriptors is how many files and sockets this process can have open.
	Descriptors() int
}

// room is how many connections the built-in services and the albs of a lab can have
// open at a time. The rest of the process's descriptors are for the other ends of
// those, for the lab's API and for its resolvers. nil has no limit.
type room chan struct{}

func newRoom(machine Machine) room {
	opener, ok := machine.(Opener)
	if !ok {
		return nil
	}
	return make(room, max(1, opener.Descriptors()/3))
}

// patientListener goes on when there is no descriptor for a connection: clients
// wait, and are served when another one is done.
type patientListener struct {
	net.Listener
	ctx  context.Context
	room room
	// lacks is told whenever connections begin to wait, and when they do not any
	// more.
	lacks func(bool)
}

// patience is how long a listener waits before it tries again, as that of net/http.
const patience = 5 * time.Millisecond

func (l *patientListener) Accept() (net.Conn, error) {
	waits := false
	wait := func() {
		if !waits {
			waits = true
			l.lacks(true)
		}
	}
	defer func() {
		if waits {
			l.lacks(false)
		}
	}()
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil && l.enter(wait):
			return &roomyConn{Conn: conn, leave: sync.OnceFunc(l.leave)}, nil
		case err == nil:
			return nil, errors.Join(net.ErrClosed, conn.Close())
		case !passes(err):
			return nil, err
		}
		wait()
		select {
		case <-time.After(patience):
		case <-l.ctx.Done():
			return nil, net.ErrClosed
		}
	}
}

// enter returns when there is room for a connection, or false when the lab ends.
// Only then does a connection that has come take room: those that may come to other
// listeners have the rest.
func (l *patientListener) enter(wait func()) bool {
	if l.room == nil {
		return true
	}
	select {
	case l.room <- struct{}{}:
		return true
	default:
	}
	wait()
	select {
	case l.room <- struct{}{}:
		return true
	case <-l.ctx.Done():
		return false
	}
}

func (l *patientListener) leave() {
	if l.room != nil {
		<-l.room
	}
}

// passes says whether an error of Accept is worth another try (Linux, accept(2)).
func passes(err error) bool {
	for _, passing := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// roomyConn takes room until it is closed.
type roomyConn struct {
	net.Conn
	leave func()
}

func (c *roomyConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
