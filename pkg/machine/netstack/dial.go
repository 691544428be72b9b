package netstack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// DialContext implements lab.Space. TCP keepalives are off.
func (s *space) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return s.DialFrom(ctx, netip.Addr{}, network, address)
}

// DialFrom implements lab.Space.
func (s *space) DialFrom(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	failed := func(at net.Addr, err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: at, Err: err}
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return failed(nil, fmt.Errorf("%s is not an IP address and a port: %w", address, err))
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	kind, err := transportOf(network, to.Addr())
	if err != nil {
		return failed(nil, err)
	}
	at := netAddr(network, fullAddress(to))
	if err := ctx.Err(); err != nil {
		return failed(at, err)
	}
	k, err := s.rawSocket(kind, protocolOf(to.Addr()))
	if err != nil {
		return failed(at, err)
	}
	if source.IsValid() {
		if err := k.endpoint.Bind(fullAddress(netip.AddrPortFrom(source, 0))); err != nil {
			k.endpoint.Close()
			return failed(at, fmt.Errorf("bind to %s: %w", source, callError("bind", err)))
		}
	}
	if err := k.connect(ctx, fullAddress(to), s.kick); err != nil {
		k.endpoint.Close()
		s.kick()
		return failed(at, err)
	}
	socket := newSocket(s, network, k.endpoint, k.queue)
	if kind == udp.ProtocolNumber {
		return &udpConn{socket}, nil
	}
	return &tcpConn{socket: socket}, nil
}

// Listen implements lab.Space.
func (s *space) Listen(_ context.Context, network, address string) (net.Listener, error) {
	k, err := s.bound(tcp.ProtocolNumber, network, address)
	if err == nil {
		if terr := k.endpoint.Listen(backlog); terr != nil {
			k.endpoint.Close()
			err = callError("listen", terr)
		}
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return &listener{newSocket(s, network, k.endpoint, k.queue)}, nil
}

// backlog is how many connections may wait to be accepted (Linux:
// net.core.somaxconn).
const backlog = 4096

// ListenPacket implements lab.Space.
func (s *space) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	k, err := s.bound(udp.ProtocolNumber, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	socket := newSocket(s, network, k.endpoint, k.queue)
	socket.remote = nil
	return &udpConn{socket}, nil
}

// rawSocket is an endpoint before it is connected or bound.
type rawSocket struct {
	endpoint tcpip.Endpoint
	queue    *waiter.Queue
}

func (s *space) rawSocket(kind tcpip.TransportProtocolNumber, family tcpip.NetworkProtocolNumber) (rawSocket, error) {
	select {
	case <-s.quit:
		return rawSocket{}, net.ErrClosed
	default:
	}
	queue := &waiter.Queue{}
	endpoint, err := s.stack.NewEndpoint(kind, family, queue)
	if err != nil {
		return rawSocket{}, callError("socket", err)
	}
	return rawSocket{endpoint, queue}, nil
}

// connect waits until the socket is connected, or ctx ends.
func (k rawSocket) connect(ctx context.Context, to tcpip.FullAddress, kick func()) error {
	entry, notified := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	k.queue.EventRegister(&entry)
	defer k.queue.EventUnregister(&entry)
	err := k.endpoint.Connect(to)
	kick() // it may be to the stack itself
	if _, started := err.(*tcpip.ErrConnectStarted); started {
		select {
		case <-notified:
		case <-ctx.Done():
			return ctx.Err()
		}
		err = k.endpoint.LastError()
	}
	return callError("connect", err)
}

// bound is a socket with an address. One without a host in it takes both versions
// of IP.
func (s *space) bound(kind tcpip.TransportProtocolNumber, network, address string) (rawSocket, error) {
	if strings.HasPrefix(address, ":") {
		address = wildcard(network) + address
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return rawSocket{}, fmt.Errorf("%s is not an IP address and a port: %w", address, err)
	}
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if want, err := transportOf(network, at.Addr()); err != nil || want != kind {
		return rawSocket{}, net.UnknownNetworkError(network)
	}
	k, err := s.rawSocket(kind, protocolOf(at.Addr()))
	if err != nil {
		return k, err
	}
	options := k.endpoint.SocketOptions()
	options.SetReuseAddress(kind == tcp.ProtocolNumber) // as package net does
	takesBoth := at.Addr().IsUnspecified() && !strings.HasSuffix(network, "6")
	options.SetV6Only(protocolOf(at.Addr()) == ipv6.ProtocolNumber && !takesBoth)
	if err := k.endpoint.Bind(fullAddress(at)); err != nil {
		k.endpoint.Close()
		return k, callError("bind", err)
	}
	return k, nil
}

func wildcard(network string) string {
	if strings.HasSuffix(network, "4") {
		return "0.0.0.0"
	}
	return "[::]"
}

// transportOf is the protocol of a network of package net, to an address.
func transportOf(network string, to netip.Addr) (tcpip.TransportProtocolNumber, error) {
	kind, family := network, ""
	if n := len(network) - 1; n > 0 && (network[n] == '4' || network[n] == '6') {
		kind, family = network[:n], network[n:]
	}
	switch {
	case family == "4" && !to.Is4(), family == "6" && to.Is4():
	case kind == "tcp":
		return tcp.ProtocolNumber, nil
	case kind == "udp":
		return udp.ProtocolNumber, nil
	}
	return 0, net.UnknownNetworkError(network)
}
