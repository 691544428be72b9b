package plinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
)

// Packet is one that came to an ENI or left it.
type Packet struct {
	Time time.Time
	ENI  string // by name: ep@eu-west-1a
	// Sent says that it left the ENI into its subnet; else it came from there.
	Sent                bool
	Protocol            string // tcp, udp, icmp, or "" of others
	Source, Destination netip.AddrPort
	Flags               string // of TCP, in the order SFRPA: S, SA, A, RA
	Payload             []byte
	Frame               []byte // from the Ethernet header on
	// Note is what it becomes on the other side of the translation, what it was
	// there, or why it was dropped: "dropped: NotConnected".
	Note string
}

// Dropped is the verdict that the packet was dropped with, "" where it passed.
func (p Packet) Dropped() string {
	verdict, _ := pcap.DroppedBy(p.Note)
	return verdict
}

// String is the packet as "plinksim capture" prints it.
func (p Packet) String() string {
	arrow := "<"
	if p.Sent {
		arrow = ">"
	}
	text := p.Time.Format("15:04:05.000000") + "  " + p.ENI + " " + arrow + " " + packet.Text(p.Frame)
	if p.Note != "" {
		text += "   " + p.Note
	}
	return text
}

// mostPackets bounds how many packets a Watch keeps, the latest.
const mostPackets = 100_000

// Packets are what came and went at ENIs since Watch, the latest 100,000. Its methods
// may be called from any goroutine.
type Packets struct {
	lab  *Lab
	enis string // for messages

	mu   sync.Mutex
	seen []Packet
}

// Watch keeps the packets that come and go at ENIs from now on until the test ends:
// ep@eu-west-1a, or ep where it has one zone; all ENIs where none is named.
func (l *Lab) Watch(enis ...string) *Packets {
	l.t.Helper()
	stream, err := l.lab.Capture(status.CaptureOptions{ENIs: enis})
	l.must(err)
	p := &Packets{lab: l, enis: strings.Join(enis, ", ")}
	if p.enis == "" {
		p.enis = "all ENIs"
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			next, err := stream.Next(ctx)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					l.t.Errorf("watch %s: %v", p.enis, err)
				}
				return
			}
			p.add(packetOf(&next))
		}
	})
	l.t.Cleanup(func() {
		cancel()
		stream.Close()
		watching.Wait()
	})
	return p
}

func packetOf(seen *pcap.Packet) Packet {
	out := Packet{
		Time: time.Unix(0, seen.Time).UTC(), ENI: seen.Interface, Sent: seen.Direction == pcap.Sent,
		Frame: slices.Clone(seen.Data), Note: seen.Comment,
	}
	var p packet.Packet
	kind := packet.Parse(out.Frame, &p)
	switch kind {
	case packet.TCP:
		out.Protocol, out.Flags = "tcp", packet.FlagText(p.Flags)
	case packet.UDP:
		out.Protocol = "udp"
	case packet.ICMP:
		out.Protocol = "icmp"
	default:
		return out
	}
	src, dst := p.Addrs(out.Frame)
	out.Source, out.Destination = netip.AddrPortFrom(src, p.SrcPort), netip.AddrPortFrom(dst, p.DstPort)
	out.Payload = out.Frame[p.Payload:p.End]
	return out
}

func (p *Packets) add(next Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == mostPackets {
		p.seen = slices.Delete(p.seen, 0, mostPackets/2)
	}
	p.seen = append(p.seen, next)
}

// Select are the packets until now that match; all of them where match is nil.
func (p *Packets) Select(match func(Packet) bool) (out []Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, seen := range p.seen {
		if match == nil || match(seen) {
			out = append(out, seen)
		}
	}
	return out
}

// What is on its way when a test asks is waited for: for packets that should have been
// seen, and for others that would be too many.
const (
	arrivalTime = time.Second
	settleTime  = 50 * time.Millisecond
)

// Require are the packets that match. The test fails where none does within a second,
// and shows what was seen and what has dropped packets.
func (p *Packets) Require(what string, match func(Packet) bool) []Packet {
	p.lab.t.Helper()
	if !until(arrivalTime, func() bool { return len(p.Select(match)) > 0 }) {
		p.lab.t.Fatalf("%s: no such packet at %s\n%s", what, p.enis, p.report())
	}
	return p.Select(match)
}

// RequireCount is Require for a number of packets, neither more nor fewer. It may be
// 0.
func (p *Packets) RequireCount(n int, what string, match func(Packet) bool) []Packet {
	p.lab.t.Helper()
	until(arrivalTime, func() bool { return len(p.Select(match)) >= n })
	time.Sleep(settleTime)
	got := p.Select(match)
	if len(got) != n {
		p.lab.t.Fatalf("%s: %s at %s, want %d\n%s", what, spell.Count(len(got), "packet"), p.enis, n, p.report())
	}
	return got
}

// report shows the last packets that were seen.
func (p *Packets) report() string {
	const most = 20
	seen := p.Select(nil)
	text := spell.Count(len(seen), "packet") + " seen"
	if len(seen) > most {
		text += fmt.Sprintf(", the last %d are", most)
		seen = seen[len(seen)-most:]
	}
	for _, s := range seen {
		text += "\n  " + s.String()
	}
	return text + "\n" + p.lab.Drops()
}
