package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/plinksim/plinksim/pkg/packet"
)

// router forwards between the subnets of a VPC, before its stack sees a packet.
// The stack could, but in the version that go.mod names it reads the TTL of a
// packet whose memory it has given back (forwardPacketWithRoute in
// pkg/tcpip/network/ipv4), which may be another packet by then.
type router struct {
	own    map[netip.Addr]bool
	routes []exit // the longest prefix first
}

// exit is the device at which a block of addresses is.
type exit struct {
	to   netip.Prefix
	link *link
}

// mostUnresolved bounds the packets of a router that wait for the Ethernet address
// of their next hop.
const mostUnresolved = 256

// newRouter is the router of a spec whose devices are links.
func newRouter(s spec, links []*link) *router {
	r := &router{own: map[netip.Addr]bool{}}
	for _, p := range s.loopback {
		r.own[p.Addr()] = true
	}
	for _, d := range s.devices {
		for _, p := range d.addresses {
			r.own[p.Addr()] = true
		}
	}
	for _, route := range slices.SortedStableFunc(slices.Values(s.routes), longerFirst) {
		r.routes = append(r.routes, exit{route.to, links[route.device]})
	}
	return r
}

// take forwards a frame that is for somebody else, and says whether it was one.
func (r *router) take(from *link, frame packet.Frame) bool {
	var p packet.Packet
	switch kind := packet.Parse(frame.Data, &p); {
	case isGroup(packet.MAC(frame.Data[:6])), kind == packet.Malformed, kind == packet.NotIP, kind == packet.ARP:
		return false
	}
	_, to := p.Addrs(frame.Data)
	if r.own[to] || to.IsLinkLocalUnicast() || to.IsLoopback() || to.IsMulticast() {
		return false
	}
	r.forward(from, frame, &p, to)
	return true
}

// forward sends a frame on. All subnets of a VPC have one MTU, so that nothing is
// too long.
func (r *router) forward(from *link, frame packet.Frame, p *packet.Packet, to netip.Addr) {
	if !packet.IntactHeader(frame.Data, p) {
		return
	}
	if p.TTL <= 1 {
		report(from, frame.Data, p, packet.ICMPTimeExceeded, packet.ICMPCodeTTLInTransit)
		return
	}
	i := slices.IndexFunc(r.routes, func(e exit) bool { return e.to.Contains(to) })
	if i < 0 {
		report(from, frame.Data, p, packet.ICMPUnreachable, codeNet)
		return
	}
	decrementTTL(frame.Data, p)
	r.routes[i].link.sendTo(to, frame, func() { report(from, frame.Data, p, packet.ICMPUnreachable, codeHost) })
}

// Codes of packet.ICMPUnreachable (RFC 792).
const (
	codeNet  = 0
	codeHost = 1
)

// sendTo finds the Ethernet address of a neighbour and sends it a frame.
func (l *link) sendTo(neighbour netip.Addr, frame packet.Frame, failed func()) {
	if l.unresolved.Add(1) > mostUnresolved {
		l.unresolved.Add(-1)
		return
	}
	resolved := func(r stack.LinkResolutionResult) {
		l.unresolved.Add(-1)
		if r.Err != nil {
			failed()
			return
		}
		copy(frame.Data, r.LinkAddress)
		copy(frame.Data[6:], l.mac[:])
		l.bridge.forward(l, frame)
	}
	err := l.space.stack.GetLinkAddress(l.nic, addressOf(neighbour), tcpip.Address{}, protocolOf(neighbour), resolved)
	if _, later := err.(*tcpip.ErrWouldBlock); err != nil && !later { // the device is being removed
		l.unresolved.Add(-1)
	}
}

// report answers a frame with an ICMP error, where one is allowed.
func report(to *link, frame []byte, p *packet.Packet, kind, code uint8) {
	if !packet.MayReport(frame, p) {
		return
	}
	answer := make([]byte, packet.ICMPErrorSize(p))
	packet.ICMPError{Type: kind, Code: code}.Build(answer, frame, p)
	to.bridge.forward(to, packet.Frame{Data: answer})
}

// Offsets in the headers of IPv4 (RFC 791, 3.1) and IPv6 (RFC 8200, 3).
const (
	ipv4TTLAt      = packet.L3 + 8
	ipv4ChecksumAt = packet.L3 + 10
	ipv6HopLimitAt = packet.L3 + 7
)

func decrementTTL(frame []byte, p *packet.Packet) {
	if p.IPv6 {
		frame[ipv6HopLimitAt]--
		return
	}
	frame[ipv4TTLAt]--
	checksum := frame[ipv4ChecksumAt:]
	binary.BigEndian.PutUint16(checksum, 0)
	binary.BigEndian.PutUint16(checksum, ^packet.Sum(frame[packet.L3:p.L4]))
}
