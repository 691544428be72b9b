package dataplane

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
)

// side is a frame on one side of the translation.
type side struct {
	eni packet.ENI
	packet.FiveTuple
	// quoted is the packet that an ICMP error is about.
	quoted packet.FiveTuple
	// portless is a fragment of which the first one, which has the ports, has not
	// been seen.
	portless bool
}

func (s side) hasPort(port uint16) bool {
	return s.portless || s.Src.Port() == port || s.Dst.Port() == port ||
		s.quoted.Src.Port() == port || s.quoted.Dst.Port() == port
}

func (s side) String() string {
	if s.quoted.Protocol != 0 {
		return fmt.Sprintf("icmp %s > %s about %s", s.Src.Addr(), s.Dst.Addr(), textOf(s.quoted, false))
	}
	return textOf(s.FiveTuple, s.portless)
}

func textOf(t packet.FiveTuple, portless bool) string {
	name, hasPorts := "protocol "+fmt.Sprint(t.Protocol), !portless
	switch t.Protocol {
	case packet.ProtocolTCP:
		name = "tcp"
	case packet.ProtocolUDP:
		name = "udp"
	case packet.ProtocolICMP:
		name, hasPorts = "icmp", false
	default:
		hasPorts = false
	}
	if hasPorts {
		return fmt.Sprintf("%s %s > %s", name, t.Src, t.Dst)
	}
	return fmt.Sprintf("%s %s > %s", name, t.Src.Addr(), t.Dst.Addr())
}

// tap is where an engine's captures see its frames. The engine's mutex guards
// it.
type tap struct {
	captures []*Capture
	arrived  []arrivedFrame // of the burst that is being translated
	// others are the other sides of what has been forwarded and may leave
	// later, if the link delays it.
	others map[side]side
	// ports are those of fragmented datagrams, which the first fragment has.
	ports map[datagramKey][2]uint16
}

// arrivedFrame is a copy of a frame as it came.
type arrivedFrame struct {
	Captured
	decided bool // it does not go to the session table
}

func newTap() *tap { return &tap{others: map[side]side{}, ports: map[datagramKey][2]uint16{}} }

// sideOf reads a frame; the zero side is that of a frame without IP.
func (t *tap) sideOf(eni packet.ENI, data []byte) side {
	var p packet.Packet
	kind := packet.Parse(data, &p)
	switch kind {
	case packet.Malformed, packet.NotIP, packet.ARP:
		return side{}
	}
	src, dst := p.Addrs(data)
	s := side{eni: eni}
	if kind == packet.Fragment {
		s.portless = !t.findPorts(&p, datagramKey{eni, src, dst, p.ID(data), p.Protocol}, data)
	}
	if kind == packet.ICMP && p.IsICMPError() {
		s.quoted = quotedBy(data, &p)
	}
	s.FiveTuple = packet.FiveTuple{
		Protocol: p.Protocol, Src: netip.AddrPortFrom(src, p.SrcPort), Dst: netip.AddrPortFrom(dst, p.DstPort),
	}
	return s
}

// findPorts gives the fragment p the ports of its datagram, if they are known.
func (t *tap) findPorts(p *packet.Packet, key datagramKey, data []byte) bool {
	if p.FragmentOffset() == 0 && packet.ParseFirst(data, p) != packet.Malformed {
		if len(t.ports) == maxFragmented {
			clear(t.ports)
		}
		t.ports[key] = [2]uint16{p.SrcPort, p.DstPort}
		return true
	}
	ports, known := t.ports[key]
	p.SrcPort, p.DstPort = ports[0], ports[1]
	return known
}

func quotedBy(data []byte, p *packet.Packet) packet.FiveTuple {
	var q packet.Packet
	if !packet.ParseQuote(data, p, &q) {
		return packet.FiveTuple{}
	}
	src, dst := q.AddrsAt(data, int(p.Payload))
	return packet.FiveTuple{
		Protocol: q.Protocol, Src: netip.AddrPortFrom(src, q.SrcPort), Dst: netip.AddrPortFrom(dst, q.DstPort),
	}
}

// arrive copies what came, before anything is edited.
func (t *tap) arrive(frames []packet.Frame) {
	now := time.Now().UnixNano()
	t.arrived = t.arrived[:0]
	for i := range frames {
		f := arrivedFrame{Captured: copied(&frames[i], now, pcap.Received)}
		f.decided = packet.AsksNeighbour(f.Data)
		t.arrived = append(t.arrived, f)
		t.sideOf(f.ENI, f.Data) // a first fragment may come behind others
	}
}

// refused says that a frame of the burst is not for the session table.
func (t *tap) refused(i int, v fullnat.Verdict) {
	t.arrived[i].decided, t.arrived[i].Comment = true, pcap.Dropped(v.String())
}

// tellVerdicts says what became of the frames that the table has judged. own are
// those that it sends itself, which may be the first fragments of them.
func (t *tap) tellVerdicts(frames []packet.Frame, verdicts []fullnat.Verdict, own []packet.Frame) {
	for i := range own {
		t.sideOf(own[i].ENI, own[i].Data)
	}
	for i, n := 0, 0; i < len(t.arrived); i++ {
		f := t.arrived[i]
		here, other := t.sideOf(f.ENI, f.Data), side{}
		if !f.decided {
			switch verdicts[n] {
			case fullnat.Forwarded:
				other = t.sideOf(frames[n].ENI, frames[n].Data)
				t.remember(other, here)
			case fullnat.Held:
				f.Comment = "held until its first fragment comes"
			default:
				f.Comment = pcap.Dropped(verdicts[n].String())
			}
			n++
		}
		t.offer(f.Captured, here, other)
	}
}

func (t *tap) remember(there, here side) {
	if len(t.others) == maxOtherSides {
		clear(t.others)
	}
	t.others[there] = here
}

// leave copies what is sent.
func (t *tap) leave(frames []packet.Frame) {
	now := time.Now().UnixNano()
	for i := range frames {
		here := t.sideOf(frames[i].ENI, frames[i].Data)
		t.offer(copied(&frames[i], now, pcap.Sent), here, t.others[here])
	}
}

func (t *tap) offer(f Captured, here, other side) {
	for _, c := range t.captures {
		c.offer(f, here, other)
	}
}

func (t *tap) remove(c *Capture) {
	if t == nil {
		return
	}
	for i := range t.captures {
		if t.captures[i] == c {
			t.captures = append(t.captures[:i:i], t.captures[i+1:]...)
			c.end.Do(func() { close(c.ended) })
			return
		}
	}
}

// end closes all captures.
func (t *tap) end() {
	for t != nil && len(t.captures) > 0 {
		t.remove(t.captures[0])
	}
}

func copied(f *packet.Frame, now int64, direction pcap.Direction) Captured {
	c := copyOf(*f)
	if c.Offload.NeedsCsum {
		complete(&c)
	}
	return Captured{c.ENI, pcap.Packet{Time: now, Data: c.Data, Direction: direction}}
}
