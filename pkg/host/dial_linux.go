package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DialContext connects to an address and a port, for example 10.0.0.1:80, from
// inside the namespace. The network is tcp or udp, with or without 4 or 6.
// Names are not resolved here. TCP keepalives are off, so that an idle
// connection is really idle and meets the timeouts on its way.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.DialFrom(ctx, netip.Addr{}, network, address)
}

// DialFrom is DialContext from one of the namespace's addresses, which is the
// kernel's choice where source is zero.
func (n *Namespace) DialFrom(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, dialError(network, nil, fmt.Errorf("%s is not an IP address and a port: %w", address, err))
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	addr := netAddr(network, to)
	if addr == nil {
		return nil, dialError(network, nil, net.UnknownNetworkError(network))
	}
	if err := ctx.Err(); err != nil {
		return nil, dialError(network, addr, err)
	}
	socket, err := n.socket(network, to.Addr())
	if err != nil {
		return nil, dialError(network, addr, err)
	}
	defer socket.Close()
	if err := bind(socket, source); err != nil {
		return nil, dialError(network, addr, err)
	}
	if err := connect(ctx, socket, to); err != nil {
		return nil, dialError(network, addr, err)
	}
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, dialError(network, addr, err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetKeepAlive(false)
	}
	if err != nil {
		return nil, errors.Join(dialError(network, addr, err), conn.Close())
	}
	return conn, nil
}

func dialError(network string, addr net.Addr, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
}

// netAddr is nil for a network that cannot be dialled, or not to this address.
func netAddr(network string, to netip.AddrPort) net.Addr {
	kind, family := network, ""
	if strings.HasSuffix(network, "4") || strings.HasSuffix(network, "6") {
		kind, family = network[:3], network[3:]
	}
	if family == "4" && !to.Addr().Is4() || family == "6" && to.Addr().Is4() {
		return nil
	}
	switch kind {
	case "tcp":
		return net.TCPAddrFromAddrPort(to)
	case "udp":
		return net.UDPAddrFromAddrPort(to)
	}
	return nil
}

// socket makes a socket, the only thing that is done inside the namespace.
func (n *Namespace) socket(network string, to netip.Addr) (*os.File, error) {
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	if to.Is4() {
		family = unix.AF_INET
	}
	if strings.HasPrefix(network, "udp") {
		kind = unix.SOCK_DGRAM
	}
	var fd int
	err := n.visit(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), network), nil
}

// bind sets the address that a socket connects from. Its port is chosen when
// it connects, so that one address has a port for every destination.
func bind(socket *os.File, source netip.Addr) error {
	if !source.IsValid() {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Control(func(fd uintptr) {
		if result = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); result == nil {
			result = unix.Bind(int(fd), sockaddr(netip.AddrPortFrom(source.Unmap(), 0)))
		}
	})
	if err := errors.Join(err, result); err != nil {
		return fmt.Errorf("bind to %s: %w", source, err)
	}
	return nil
}

// connect waits until the socket is connected, without holding a thread.
func connect(ctx context.Context, socket *os.File, to netip.AddrPort) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := socket.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var result error
	err = raw.Write(func(fd uintptr) (done bool) {
		// Asked again, connect says what became of the first time.
		err := unix.Connect(int(fd), sockaddr(to))
		switch {
		case err == nil, errors.Is(err, unix.EISCONN):
			return true
		case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EALREADY), errors.Is(err, unix.EINTR):
			return false
		}
		result = os.NewSyscallError("connect", err)
		return true
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return context.DeadlineExceeded // the socket's clock was the faster one
	}
	return errors.Join(err, result)
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

// Listen listens inside the namespace, as net.Listen does. The host of the
// address is empty or an IP address. TCP keepalives are off, and so is
// multipath TCP.
func (n *Namespace) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var listener net.Listener
	err := n.listen(network, address, func(config *net.ListenConfig) (err error) {
		listener, err = config.Listen(ctx, network, address)
		return err
	})
	return listener, err
}

// ListenPacket listens inside the namespace, as net.ListenPacket does. The
// host of the address is empty or an IP address.
func (n *Namespace) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := n.listen(network, address, func(config *net.ListenConfig) (err error) {
		conn, err = config.ListenPacket(ctx, network, address)
		return err
	})
	return conn, err
}

// ListenTransit opens a UDP socket at an address inside the namespace, an IPv4 address with a
// port, that hears what comes by a device and nothing else. What it sends has DF, and the
// kernel takes no smaller MTU of the way for true: it is as long as it is, or lost (ip(7),
// IP_PMTUDISC_PROBE).
func (n *Namespace) ListenTransit(ctx context.Context, device, address string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := n.listen("udp4", address, func(config *net.ListenConfig) (err error) {
		config.Control = func(_, _ string, raw syscall.RawConn) error {
			var result error
			err := raw.Control(func(fd uintptr) {
				result = errors.Join(unix.BindToDevice(int(fd), device),
					unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE))
			})
			return errors.Join(err, result)
		}
		conn, err = config.ListenPacket(ctx, "udp4", address)
		return err
	})
	return conn, err
}

func (n *Namespace) listen(network, address string, listen func(*net.ListenConfig) error) error {
	// A name would be looked up outside of the namespace.
	if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			err = fmt.Errorf("%s is not an IP address and a port: %w", address, err)
			return &net.OpError{Op: "listen", Net: network, Err: err}
		}
	}
	config := &net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	return n.Do(func() error { return listen(config) })
}
