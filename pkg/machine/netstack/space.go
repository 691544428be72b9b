package netstack

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	lo "gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// space is one network stack. It implements lab.Space.
type space struct {
	stack  *stack.Stack
	filter *filter
	router atomic.Pointer[router] // nil of a host
	kicked chan struct{}          // see pump
	turn   sync.Mutex             // see clock
	quit   chan struct{}
	done   chan struct{}

	superframes bool

	arriving sync.Mutex
	arrivals []arrival

	// Guarded by the machine's mutex.
	is      spec // what the stack was made or changed for
	links   []*link
	lastNIC tcpip.NICID
	lo      map[netip.Prefix]bool // the addresses of the loopback device
}

// loopbackNIC is the first device of every stack.
const loopbackNIC = 1

func newSpace(name string, superframes bool) *space {
	s := &space{
		superframes: superframes,
		filter:      newFilter(),
		kicked:      make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		lastNIC: loopbackNIC, lo: map[netip.Prefix]bool{},
	}
	random := newRandom(name)
	s.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocol, arp.NewProtocol,
			// Addresses are given and known to be free, and no router tells of others.
			ipv6.NewProtocolWithOptions(ipv6.Options{AutoGenLinkLocal: true}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		Clock:       clock{time.Now(), &s.turn, s.kick},
		HandleLocal: true,
		RandSource:  random,
		SecureRNG:   random,
	})
	s.stack.Pause()
	s.setOptions()
	go s.pump()
	return s
}

// What a socket keeps of what its program has not read or its peer not
// acknowledged (Linux: net.core.rmem_default for datagrams).
const (
	datagramBuffer = 212992
	tcpBuffer      = 1 << 20
	largestBuffer  = 8 << 20
)

// setOptions makes TCP like that of Linux where it matters. What gVisor does for
// RACK (RFC 8985) has timers that begin again for ever.
func (s *space) setOptions() {
	sack, recovery := tcpip.TCPSACKEnabled(true), tcpip.TCPRecovery(0)
	for _, option := range []tcpip.SettableTransportProtocolOption{
		&sack, &recovery,
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: largestBuffer},
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: largestBuffer},
	} {
		must(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option))
	}
	const smallest, usual = tcp.MinBufferSize, datagramBuffer
	must(s.stack.SetOption(tcpip.ReceiveBufferSizeOption{Min: smallest, Default: usual, Max: largestBuffer}))
	must(s.stack.SetOption(tcpip.SendBufferSizeOption{Min: smallest, Default: usual, Max: largestBuffer}))
	must(s.stack.CreateNIC(loopbackNIC, lo.New()))
}

// must is for what depends on nothing that a user can write.
func must(err tcpip.Error) {
	if err != nil {
		panic("netstack: " + err.String())
	}
}

// become makes the stack that of another spec of its name. Devices that both have
// stay, and with them what is connected through them.
func (s *space) become(want spec, switches map[string]*bridge) error {
	if reflect.DeepEqual(want, s.is) {
		return nil
	}
	s.is = spec{} // unknown until the end
	// A stack that forwards answers at every device for the addresses of all.
	for _, protocol := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		if err := s.stack.SetForwardingDefaultAndAllNICs(protocol, want.forwards); err != nil {
			return errorOf(err)
		}
	}
	if err := s.setAddresses(loopbackNIC, s.lo, want.loopback); err != nil {
		return err
	}
	s.removeLinks(func(l *link) bool {
		return !slices.ContainsFunc(want.devices, func(d deviceSpec) bool { return l.is(d, switches) })
	})
	var links []*link
	for _, d := range want.devices {
		l, err := s.linkOf(d, switches)
		if err == nil {
			err = s.setAddresses(l.nic, l.addresses, d.addresses)
		}
		if err != nil {
			return err
		}
		links = append(links, l)
	}
	s.setRoutes(want.routes, links)
	if want.forwards {
		s.router.Store(newRouter(want, links))
	}
	s.filter.set(want.rules)
	s.is = want
	return nil
}

// removeLinks removes the devices that are gone.
func (s *space) removeLinks(gone func(*link) bool) {
	s.links = slices.DeleteFunc(s.links, func(l *link) bool {
		if !gone(l) {
			return false
		}
		l.bridge.unplug(l)
		must(s.stack.RemoveNIC(l.nic))
		return true
	})
}

// linkOf is a device, which is made if there is none.
func (s *space) linkOf(d deviceSpec, switches map[string]*bridge) (*link, error) {
	for _, l := range s.links {
		if l.is(d, switches) {
			return l, nil
		}
	}
	s.lastNIC++
	l := &link{
		space: s, bridge: switches[d.subnet], nic: s.lastNIC,
		mac: d.mac, mtu: uint32(d.mtu), addresses: map[netip.Prefix]bool{}, superframes: s.superframes,
	}
	if err := s.stack.CreateNIC(l.nic, ethernet.New(l)); err != nil {
		return nil, errorOf(err)
	}
	l.bridge.plug(l)
	s.links = append(s.links, l)
	return l, nil
}

// setAddresses gives a device these addresses and no others.
func (s *space) setAddresses(nic tcpip.NICID, has map[netip.Prefix]bool, want []netip.Prefix) error {
	for p := range has {
		if !slices.Contains(want, p) {
			must(s.stack.RemoveAddress(nic, addressOf(p.Addr())))
			delete(has, p)
		}
	}
	for _, p := range want {
		if has[p] {
			continue
		}
		address := tcpip.ProtocolAddress{
			Protocol:          protocolOf(p.Addr()),
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: addressOf(p.Addr()), PrefixLen: p.Bits()},
		}
		if err := s.stack.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("address %s: %w", p, errorOf(err))
		}
		has[p] = true
	}
	return nil
}

// setRoutes replaces the table of routes. The stack takes the first that matches.
func (s *space) setRoutes(routes []routeSpec, links []*link) {
	table := []tcpip.Route{
		{Destination: header.IPv4LoopbackSubnet, NIC: loopbackNIC},
		{Destination: subnetOf(loopback[1]), NIC: loopbackNIC},
	}
	for _, r := range slices.SortedStableFunc(slices.Values(routes), longerFirst) {
		route := tcpip.Route{Destination: subnetOf(r.to), NIC: links[r.device].nic}
		if r.via.IsValid() {
			route.Gateway = addressOf(r.via)
		}
		table = append(table, route)
	}
	s.stack.SetRouteTable(table)
}

func longerFirst(a, b routeSpec) int { return b.to.Bits() - a.to.Bits() }

// end stops the stack. Nothing leaves it any more, as from a host that is switched
// off, and its sockets fail.
func (s *space) end() {
	for _, l := range s.links {
		l.bridge.unplug(l)
		l.unplugged.Store(true)
	}
	close(s.quit)
	<-s.done
	s.stack.Resume()
	s.stack.Close()
	s.stack.Wait()
}

// Denied implements lab.Space.
func (s *space) Denied() (uint64, error) { return s.filter.denied.Load(), nil }

// Spoofed implements lab.Space: a stack sends from its own addresses alone.
func (s *space) Spoofed() (map[string]uint64, error) { return nil, nil }

// Close implements lab.Space. The stack is the machine's.
func (s *space) Close() error { return nil }

func addressOf(addr netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(addr.AsSlice()) }

func protocolOf(addr netip.Addr) tcpip.NetworkProtocolNumber {
	if addr.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func subnetOf(p netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: addressOf(p.Addr()), PrefixLen: p.Bits()}.Subnet()
}
