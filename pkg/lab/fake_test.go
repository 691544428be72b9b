package lab_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

// fakeMachine is a machine without a network: sockets of the same VPC are
// connected by memory, and what goes to an ENI is injected by the test.
type fakeMachine struct {
	memory *dataplane.Memory

	mu      sync.Mutex
	plan    *topology.Plan
	numbers compile.Numbers
	hosts   map[string][]topology.HostName // by instance
	tcp     map[place]*fakeListener
	udp     map[place]*fakeSocket
	fail    error // that the next Change gives
	stuck   error // that each Change gives
	noHosts error // that SetHosts gives
	ports   uint16
}

// place is an address in a VPC.
type place struct {
	vpc string
	at  netip.AddrPort
}

func newFakeMachine() *fakeMachine {
	return &fakeMachine{
		memory: dataplane.NewMemory(), ports: 1024,
		hosts: map[string][]topology.HostName{}, tcp: map[place]*fakeListener{}, udp: map[place]*fakeSocket{},
	}
}

func (m *fakeMachine) Change(_ context.Context, _, plan *topology.Plan, _ lab.Progress) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail; err != nil {
		m.fail = nil
		return err
	}
	if m.stuck != nil {
		return m.stuck
	}
	m.plan = plan
	return nil
}

func (m *fakeMachine) Remove(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan = nil
	return nil
}

func (m *fakeMachine) Space(name string) (lab.Space, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, vpc := range m.plan.VPCs {
		if vpc.Namespace == name {
			return &fakeSpace{machine: m, vpc: vpc.Name, ip: vpc.HealthSource}, nil
		}
		for _, in := range vpc.Instances {
			if in.Namespace == name {
				return &fakeSpace{machine: m, vpc: vpc.Name, ip: in.IP}, nil
			}
		}
	}
	for _, lb := range m.plan.LoadBalancers {
		for _, n := range lb.Nodes {
			if n.Proxy != nil && n.Proxy.Namespace == name {
				return &fakeSpace{machine: m, vpc: lb.VPC, ip: n.Proxy.IP}, nil
			}
		}
	}
	return nil, fmt.Errorf("there is no space %q", name)
}

func (m *fakeMachine) Dataplane(cfg dataplane.EngineConfig, _ int) (*dataplane.Workers, error) {
	return dataplane.NewWorkers(cfg, m.memory)
}

func (m *fakeMachine) Connect(_ *topology.Plan, numbers compile.Numbers) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.numbers = numbers
	return nil
}

func (m *fakeMachine) SetHosts(instance *topology.Instance, names []topology.HostName) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.noHosts != nil {
		return m.noHosts
	}
	m.hosts[instance.Name] = names
	return nil
}

// failAlways lets Change fail, or, with nil, lets it be.
func (m *fakeMachine) failAlways(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stuck = err
}

// failHosts lets SetHosts fail, or, with nil, lets it be.
func (m *fakeMachine) failHosts(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noHosts = err
}

// hostNames are those in the hosts files of all instances.
func (m *fakeMachine) hostNames() (all []topology.HostName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, names := range m.hosts {
		all = append(all, names...)
	}
	return all
}

// open counts the sockets that are listened on.
func (m *fakeMachine) open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.tcp) + len(m.udp)
}

// fakeSpace is the VPC's own space, or that of an instance in it.
type fakeSpace struct {
	machine *fakeMachine
	vpc     string
	ip      netip.Addr
}

func (s *fakeSpace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return s.DialFrom(ctx, s.ip, network, address)
}

func (s *fakeSpace) DialFrom(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	m := s.machine
	m.mu.Lock()
	m.ports++
	source := netip.AddrPortFrom(from, m.ports)
	listener, server := m.tcp[place{s.vpc, to}], m.udp[place{s.vpc, to}]
	m.mu.Unlock()
	if strings.HasPrefix(network, "udp") {
		return &fakeSocket{at: source, peer: server, to: to, got: make(chan datagram, 8), closed: make(chan struct{})}, nil
	}
	if listener == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	client, accepted := net.Pipe()
	select {
	case listener.accepted <- fakeConn{accepted, to, source}:
		return fakeConn{client, source, to}, nil
	case <-listener.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *fakeSpace) Listen(_ context.Context, _, address string) (net.Listener, error) {
	at := s.place(address)
	l := &fakeListener{at: at.at, accepted: make(chan net.Conn), closed: make(chan struct{})}
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	if s.machine.tcp[at] != nil {
		return nil, syscall.EADDRINUSE
	}
	s.machine.tcp[at] = l
	l.forget = func() {
		s.machine.mu.Lock()
		defer s.machine.mu.Unlock()
		delete(s.machine.tcp, at)
	}
	return l, nil
}

func (s *fakeSpace) ListenPacket(_ context.Context, _, address string) (net.PacketConn, error) {
	at := s.place(address)
	u := &fakeSocket{at: at.at, got: make(chan datagram, 8), closed: make(chan struct{})}
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	if s.machine.udp[at] != nil {
		return nil, syscall.EADDRINUSE
	}
	s.machine.udp[at] = u
	u.forget = func() {
		s.machine.mu.Lock()
		defer s.machine.mu.Unlock()
		delete(s.machine.udp, at)
	}
	return u, nil
}

func (s *fakeSpace) place(address string) place {
	if strings.HasPrefix(address, ":") {
		address = s.ip.String() + address
	}
	return place{s.vpc, netip.MustParseAddrPort(address)}
}

func (s *fakeSpace) Denied() (uint64, error)             { return 7, nil }
func (s *fakeSpace) Spoofed() (map[string]uint64, error) { return nil, nil }
func (s *fakeSpace) Close() error                        { return nil }

// fakeConn is one end of a pipe with addresses.
type fakeConn struct {
	net.Conn
	local, remote netip.AddrPort
}

func (c fakeConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c fakeConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

type fakeListener struct {
	at       netip.AddrPort
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
	forget   func()
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() { l.forget(); close(l.closed) })
	return nil
}

func (l *fakeListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

type datagram struct {
	data []byte
	from *fakeSocket
}

// fakeSocket is a UDP socket. One that was dialled has a peer, or nobody at the
// other end. What does not fit is lost.
type fakeSocket struct {
	at, to netip.AddrPort
	peer   *fakeSocket
	got    chan datagram
	once   sync.Once
	closed chan struct{}
	forget func()

	mu       sync.Mutex
	deadline time.Time
	callers  map[netip.AddrPort]*fakeSocket
}

func (s *fakeSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	s.mu.Lock()
	deadline := s.deadline
	s.mu.Unlock()
	var late <-chan time.Time
	if !deadline.IsZero() {
		late = time.After(time.Until(deadline))
	}
	select {
	case d := <-s.got:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.callers == nil {
			s.callers = map[netip.AddrPort]*fakeSocket{}
		}
		s.callers[d.from.at] = d.from
		return copy(b, d.data), net.UDPAddrFromAddrPort(d.from.at), nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	case <-late:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (s *fakeSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers[to.(*net.UDPAddr).AddrPort()].send(b, s)
	return len(b), nil
}

func (s *fakeSocket) send(b []byte, from *fakeSocket) {
	select {
	case s.got <- datagram{append([]byte{}, b...), from}:
	default:
	}
}

func (s *fakeSocket) Read(b []byte) (int, error) {
	n, _, err := s.ReadFrom(b)
	return n, err
}

func (s *fakeSocket) Write(b []byte) (int, error) {
	if s.peer == nil {
		return 0, syscall.ECONNREFUSED
	}
	s.peer.send(b, s)
	return len(b), nil
}

func (s *fakeSocket) Close() error {
	s.once.Do(func() {
		if s.forget != nil {
			s.forget()
		}
		close(s.closed)
	})
	return nil
}

func (s *fakeSocket) LocalAddr() net.Addr               { return net.UDPAddrFromAddrPort(s.at) }
func (s *fakeSocket) RemoteAddr() net.Addr              { return net.UDPAddrFromAddrPort(s.to) }
func (s *fakeSocket) SetReadDeadline(t time.Time) error { return s.SetDeadline(t) }
func (s *fakeSocket) SetWriteDeadline(time.Time) error  { return nil }

func (s *fakeSocket) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	return nil
}
