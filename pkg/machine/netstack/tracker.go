package netstack

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// tracker remembers the flows that were allowed. Its zero value knows none.
type tracker struct {
	flows   map[packet.FiveTuple]*flow // by the five-tuple of the first packet
	sweepAt int                        // how many there are when it looks for those that ended
}

// flow is one that was allowed.
type flow struct {
	expires time.Time
	replied bool
	ending  bool // TCP has said goodbye
}

// How long a flow is remembered after its last packet. The numbers are those of
// Linux (Documentation/networking/nf_conntrack-sysctl.rst), which the security
// groups of a lab in the kernel have too.
const (
	tcpEstablished = 5 * 24 * time.Hour
	tcpOpening     = 120 * time.Second // also of one that was closed by a FIN
	tcpReset       = 10 * time.Second
	udpReplied     = 120 * time.Second
	shortest       = 30 * time.Second // UDP without an answer, ICMP
	otherProtocol  = 600 * time.Second
)

// mostFlows bounds the memory of an instance. What is one too many is dropped, as
// Linux does.
const mostFlows = 1 << 16

// knows says whether a packet with this five-tuple belongs to a flow.
func (t *tracker) knows(tuple packet.FiveTuple, now time.Time) bool {
	f, _ := t.find(tuple, now)
	return f != nil
}

// continues says whether a packet belongs to a flow, which then lives on.
func (t *tracker) continues(tuple packet.FiveTuple, p *packet.Packet, now time.Time) bool {
	f, reply := t.find(tuple, now)
	if f == nil {
		return false
	}
	isSYN := p.Kind == packet.TCP && p.Flags&(packet.FlagSYN|packet.FlagACK) == packet.FlagSYN
	if isSYN && f.ending && !reply { // the ports are used again
		delete(t.flows, tuple)
		return false
	}
	f.replied = f.replied || reply
	if p.Kind == packet.TCP {
		f.ending = f.ending || p.Flags&(packet.FlagFIN|packet.FlagRST) != 0
	}
	f.expires = now.Add(f.lifetime(p))
	return true
}

func (f *flow) lifetime(p *packet.Packet) time.Duration {
	switch {
	case p.Protocol == packet.ProtocolTCP && p.Flags&packet.FlagRST != 0:
		return tcpReset
	case p.Protocol == packet.ProtocolTCP && f.replied && !f.ending:
		return tcpEstablished
	case p.Protocol == packet.ProtocolTCP:
		return tcpOpening
	case p.Protocol == packet.ProtocolUDP && f.replied:
		return udpReplied
	case p.Protocol == packet.ProtocolUDP, p.Protocol == packet.ProtocolICMP:
		return shortest
	}
	return otherProtocol
}

// add remembers a flow that begins. It returns false where there is no room.
func (t *tracker) add(tuple packet.FiveTuple, now time.Time) bool {
	if t.flows == nil {
		t.flows, t.sweepAt = map[packet.FiveTuple]*flow{}, 1024
	}
	if len(t.flows) >= t.sweepAt {
		for tuple, f := range t.flows {
			if !now.Before(f.expires) {
				delete(t.flows, tuple)
			}
		}
		t.sweepAt = min(2*max(len(t.flows), 512), mostFlows)
	}
	if len(t.flows) >= mostFlows {
		return false
	}
	f := &flow{}
	f.expires = now.Add(f.lifetime(&packet.Packet{Protocol: tuple.Protocol}))
	t.flows[tuple] = f
	return true
}

// find is the flow of a packet, and whether the packet is a reply of it.
func (t *tracker) find(tuple packet.FiveTuple, now time.Time) (f *flow, reply bool) {
	if f := t.live(tuple, now); f != nil {
		return f, false
	}
	back := packet.FiveTuple{Protocol: tuple.Protocol, Src: tuple.Dst, Dst: tuple.Src}
	return t.live(back, now), true
}

func (t *tracker) live(tuple packet.FiveTuple, now time.Time) *flow {
	f := t.flows[tuple]
	if f != nil && !now.Before(f.expires) {
		delete(t.flows, tuple)
		return nil
	}
	return f
}

// datagram names an IP datagram that comes in fragments (RFC 791, 3.2; RFC 8200,
// 4.5).
type datagram struct {
	src, dst netip.Addr
	protocol uint8
	id       uint32
}

func datagramOf(frame []byte, p *packet.Packet) datagram {
	src, dst := p.Addrs(frame)
	d := datagram{src: src, dst: dst, protocol: p.Protocol}
	if p.IPv6 {
		d.id = binary.BigEndian.Uint32(frame[p.FragHeader+4:])
	} else {
		d.id = uint32(binary.BigEndian.Uint16(frame[packet.L3+4:]))
	}
	return d
}

// datagrams are those whose first fragment passed, until when the others may.
type datagrams map[datagram]time.Time

// Linux keeps fragments that long (ip-sysctl: ipfrag_time), and this many are
// remembered at a time.
const (
	fragmentLife  = 30 * time.Second
	mostDatagrams = 1024
)

func (d datagrams) passed(key datagram, now time.Time) bool {
	until, ok := d[key]
	return ok && now.Before(until)
}

func (d *datagrams) pass(key datagram, now time.Time) {
	if *d == nil || len(*d) >= mostDatagrams {
		*d = datagrams{}
	}
	(*d)[key] = now.Add(fragmentLife)
}
