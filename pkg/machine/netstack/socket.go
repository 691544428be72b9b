package netstack

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// socket is what sockets of all kinds have in common. Its errors are those of
// package net over a kernel, so that programs and their tests find them with
// errors.Is.
type socket struct {
	space         *space
	network       string
	endpoint      tcpip.Endpoint
	queue         *waiter.Queue
	local, remote net.Addr
	read, write   *deadline
	closing       sync.Once
	closed        chan struct{}
}

func newSocket(s *space, network string, endpoint tcpip.Endpoint, queue *waiter.Queue) *socket {
	defer s.kick()
	k := &socket{
		space: s, network: network, endpoint: endpoint, queue: queue,
		read: newDeadline(), write: newDeadline(), closed: make(chan struct{}),
	}
	if at, err := endpoint.GetLocalAddress(); err == nil {
		k.local = netAddr(network, at)
	}
	if at, err := endpoint.GetRemoteAddress(); err == nil {
		k.remote = netAddr(network, at)
	}
	return k
}

// do tries until that would not have to wait any more. Its error is what try
// came to, that the deadline has passed, or that the socket was closed.
func (k *socket) do(op string, events waiter.EventMask, d *deadline, try func() tcpip.Error) error {
	select {
	case <-k.closed:
		return k.failed(op, net.ErrClosed)
	case <-d.passed():
		return k.failed(op, os.ErrDeadlineExceeded)
	default:
	}
	err := k.try(try)
	if !wouldBlock(err) {
		return k.outcome(op, err)
	}
	entry, notified := waiter.NewChannelEntry(events | waiter.EventErr | waiter.EventHUp)
	k.queue.EventRegister(&entry)
	defer k.queue.EventUnregister(&entry)
	for {
		if err := k.try(try); !wouldBlock(err) {
			return k.outcome(op, err)
		}
		select {
		case <-notified:
		case <-d.passed():
			return k.failed(op, os.ErrDeadlineExceeded)
		case <-k.closed:
			return k.failed(op, net.ErrClosed)
		}
	}
}

// try lets the stack go on with what came while the program had the socket.
func (k *socket) try(try func() tcpip.Error) tcpip.Error {
	defer k.space.kick()
	return try()
}

func wouldBlock(err tcpip.Error) bool {
	_, ok := err.(*tcpip.ErrWouldBlock)
	return ok
}

func (k *socket) outcome(op string, err tcpip.Error) error {
	if err == nil {
		return nil
	}
	select {
	case <-k.closed: // whatever the stack says of it
		return k.failed(op, net.ErrClosed)
	default:
	}
	if _, end := err.(*tcpip.ErrClosedForReceive); end {
		return io.EOF
	}
	return k.failed(op, callError(op, err))
}

func (k *socket) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: k.network, Source: k.local, Addr: k.remote, Err: err}
}

// Close ends what waits for the socket. A second one fails, as in package net.
func (k *socket) Close() error {
	err := k.failed("close", net.ErrClosed)
	k.closing.Do(func() {
		close(k.closed)
		k.endpoint.Close()
		k.space.kick()
		err = nil
	})
	return err
}

func (k *socket) LocalAddr() net.Addr  { return k.local }
func (k *socket) RemoteAddr() net.Addr { return k.remote }

func (k *socket) SetReadDeadline(t time.Time) error  { return k.setDeadline(t, k.read) }
func (k *socket) SetWriteDeadline(t time.Time) error { return k.setDeadline(t, k.write) }
func (k *socket) SetDeadline(t time.Time) error      { return k.setDeadline(t, k.read, k.write) }

func (k *socket) setDeadline(t time.Time, deadlines ...*deadline) error {
	select {
	case <-k.closed:
		return k.failed("set", net.ErrClosed)
	default:
	}
	for _, d := range deadlines {
		d.set(t)
	}
	return nil
}

// tcpConn is a connection.
type tcpConn struct {
	*socket
	writing sync.Mutex // one Write at a time is sent whole
}

func (c *tcpConn) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	err = c.do("read", waiter.ReadableEvents, c.read, func() tcpip.Error {
		w := tcpip.SliceWriter(b)
		result, err := c.endpoint.Read(&w, tcpip.ReadOptions{})
		n = result.Count
		if n > 0 {
			c.endpoint.ModerateRecvBuf(n)
		}
		return err
	})
	return n, err
}

func (c *tcpConn) Write(b []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for n < len(b) && err == nil {
		err = c.do("write", waiter.WritableEvents, c.write, func() tcpip.Error {
			wrote, err := c.endpoint.Write(bytes.NewReader(b[n:]), tcpip.WriteOptions{})
			n += int(wrote)
			return err
		})
	}
	return n, err
}

// CloseRead and CloseWrite shut one direction down, as those of net.TCPConn.
func (c *tcpConn) CloseRead() error { return c.shutdown(tcpip.ShutdownRead) }

// CloseWrite sends a FIN.
func (c *tcpConn) CloseWrite() error { return c.shutdown(tcpip.ShutdownWrite) }

func (c *tcpConn) shutdown(flags tcpip.ShutdownFlags) error {
	return c.outcome("shutdown", c.try(func() tcpip.Error { return c.endpoint.Shutdown(flags) }))
}

// SetLinger is as that of net.TCPConn: with 0, Close resets the connection.
func (c *tcpConn) SetLinger(seconds int) error {
	c.endpoint.SocketOptions().SetLinger(tcpip.LingerOption{
		Enabled: seconds >= 0, Timeout: time.Duration(max(seconds, 0)) * time.Second,
	})
	return nil
}

// listener is a socket that waits for connections.
type listener struct{ *socket }

func (l *listener) Accept() (net.Conn, error) {
	var endpoint tcpip.Endpoint
	var queue *waiter.Queue
	var peer tcpip.FullAddress // the endpoint has none any more once it was reset
	err := l.do("accept", waiter.ReadableEvents, l.read, func() (err tcpip.Error) {
		endpoint, queue, err = l.endpoint.Accept(&peer)
		return err
	})
	if err != nil {
		return nil, err
	}
	accepted := newSocket(l.space, l.network, endpoint, queue)
	accepted.remote = netAddr(l.network, peer)
	return &tcpConn{socket: accepted}, nil
}

func (l *listener) Addr() net.Addr { return l.local }

// udpConn is a socket for datagrams, with a peer or without.
type udpConn struct{ *socket }

func (c *udpConn) ReadFrom(b []byte) (n int, from net.Addr, err error) {
	err = c.do("read", waiter.ReadableEvents, c.read, func() tcpip.Error {
		w := tcpip.SliceWriter(b)
		result, err := c.endpoint.Read(&w, tcpip.ReadOptions{NeedRemoteAddr: true})
		n = result.Count
		from = netAddr(c.network, result.RemoteAddr)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return n, from, nil
}

func (c *udpConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

func (c *udpConn) Write(b []byte) (int, error) { return c.send(b, tcpip.WriteOptions{}) }

func (c *udpConn) WriteTo(b []byte, to net.Addr) (int, error) {
	at, ok := to.(*net.UDPAddr)
	if !ok || c.remote != nil {
		return 0, &net.OpError{Op: "write", Net: c.network, Source: c.local, Addr: to, Err: net.ErrWriteToConnected}
	}
	full := fullAddress(at.AddrPort())
	return c.send(b, tcpip.WriteOptions{To: &full})
}

func (c *udpConn) send(b []byte, options tcpip.WriteOptions) (n int, err error) {
	err = c.do("write", waiter.WritableEvents, c.write, func() tcpip.Error {
		wrote, err := c.endpoint.Write(bytes.NewReader(b), options)
		n = int(wrote)
		return err
	})
	return n, err
}

// deadline is a time at which what waits gives up. It may be set while something
// waits.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{} // closed when it has passed
}

func newDeadline() *deadline { return &deadline{over: make(chan struct{})} }

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	select {
	case <-d.over:
		d.over = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		close(d.over)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // nobody has set another one meanwhile
			d.timer = nil
			close(d.over)
		}
	})
	d.timer = timer
}

// netAddr is an address of the stack as package net writes it.
func netAddr(network string, at tcpip.FullAddress) net.Addr {
	addr, _ := netip.AddrFromSlice(at.Addr.AsSlice())
	if !addr.IsValid() {
		addr = netip.IPv6Unspecified()
	}
	to := netip.AddrPortFrom(addr.Unmap(), at.Port)
	if strings.HasPrefix(network, "udp") {
		return net.UDPAddrFromAddrPort(to)
	}
	return net.TCPAddrFromAddrPort(to)
}

func fullAddress(at netip.AddrPort) tcpip.FullAddress {
	full := tcpip.FullAddress{Port: at.Port()}
	if addr := at.Addr().Unmap(); addr.IsValid() && !addr.IsUnspecified() {
		full.Addr = addressOf(addr)
	}
	return full
}
