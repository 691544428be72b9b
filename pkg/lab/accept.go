package lab

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// patientListener shares the room of a lab with others, and goes on when there is no
// descriptor for a connection: clients wait, and are served when another one is done.
type patientListener struct {
	net.Listener
	ctx  context.Context
	room *room
	vpc  string // in which it listens
	// lacks is told whenever connections begin to wait, and when they do not any
	// more.
	lacks func(bool)

	begin sync.Once
	ready chan net.Conn // those that have room
	ended chan struct{} // closed when err is known
	err   error

	mu      sync.Mutex
	waiting int
}

// patience is how long a listener waits before it tries again, as that of net/http.
const patience = 5 * time.Millisecond

// Accept implements net.Listener. A connection that waits for room does not hold up those
// behind it, which may have some. When the listener is closed, those that wait end; with
// its context it closes by itself, so that a server need not.
func (l *patientListener) Accept() (net.Conn, error) {
	l.begin.Do(func() {
		l.ready, l.ended = make(chan net.Conn), make(chan struct{})
		ctx, end := context.WithCancel(l.ctx)
		go func() {
			defer close(l.ended)
			defer end()
			l.err = l.acceptAll(ctx)
		}()
	})
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.ended:
		return nil, l.err
	case <-l.ctx.Done():
		err := l.Close()
		<-l.ended
		return nil, errors.Join(net.ErrClosed, err)
	}
}

func (l *patientListener) acceptAll(ctx context.Context) error {
	for {
		conn, err := l.accept()
		if err != nil {
			return err
		}
		g, wait := l.room.come(conn, l.room.partyOf(l, conn))
		if !wait {
			if !l.hand(ctx, g) {
				return net.ErrClosed
			}
			continue
		}
		l.wait(1)
		go func() {
			admitted := l.room.await(ctx, g)
			l.wait(-1)
			if admitted {
				l.hand(ctx, g)
			} else {
				cut(conn)
			}
		}()
	}
}

// accept waits for a connection, and for a descriptor for it.
func (l *patientListener) accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil || !passes(err) {
		return conn, err
	}
	l.wait(1)
	defer l.wait(-1)
	for {
		select {
		case <-time.After(patience):
		case <-l.ctx.Done():
			return nil, net.ErrClosed
		}
		if conn, err = l.Listener.Accept(); err == nil || !passes(err) {
			return conn, err
		}
	}
}

// hand gives a connection that has room to whoever calls Accept, or returns false when the
// listener ends.
func (l *patientListener) hand(ctx context.Context, g *guest) bool {
	conn := &roomyConn{Conn: g.conn, leave: func() { l.room.leave(g) }}
	select {
	case l.ready <- conn:
		return true
	case <-ctx.Done():
		conn.Close()
		return false
	}
}

// wait counts connections that begin to wait, or end.
func (l *patientListener) wait(more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.waiting
	if l.waiting += more; before == 0 || l.waiting == 0 {
		l.lacks(l.waiting > 0)
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
