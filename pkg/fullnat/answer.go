package fullnat

import (
	"cmp"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Answers are limited, so that a flood of packets with forged sources does not
// make the table send a flood (RFC 1812, 4.3.2.8). A burst of
// them passes at once.
const (
	// As Linux limits ICMP: net.ipv4.icmp_msgs_per_sec and icmp_msgs_burst in
	// torvalds/linux:Documentation/networking/ip-sysctl.rst.
	defaultICMPRate = 1000
	icmpBurst       = 50
	// Those who were idle for too long may all come back at once, and each
	// RST saves one of them a long wait.
	defaultResetRate = 10000
	resetBurst       = maxPendingFrames
)

// Answers counts what a table sent of its own accord because of packets that
// it dropped.
type Answers struct {
	Resets  uint64
	ICMP    uint64
	Limited uint64 // answers that the limit forbade
}

// answers sends RSTs and ICMP errors to the senders of packets.
type answers struct {
	resets, reports bucket
	sent            Answers
}

func (a *answers) init(opts *Options) {
	a.reports.init(cmp.Or(opts.ICMPRate, defaultICMPRate), icmpBurst)
	a.resets.init(cmp.Or(opts.ResetRate, defaultResetRate), resetBurst)
}

// refuse drops a packet of link l and tells its sender why, if the link's
// behaviour is to do so.
func (t *Table) refuse(f *packet.Frame, p *packet.Packet, l *link, v Verdict) Verdict {
	b := &l.Behaviour
	switch v {
	case TTLExpired:
		if b.ReportTTL {
			t.report(f, p, packet.ICMPError{Type: packet.ICMPTimeExceeded, Code: packet.ICMPCodeTTLInTransit})
		}
	case NoNATPort, TableFull, LinkFull:
		if b.ReportExhaustion {
			t.report(f, p, packet.ICMPError{Type: packet.ICMPUnreachable, Code: packet.ICMPCodeAdmProhibited})
		}
	case NoSession:
		if b.ResetStray {
			t.reset(f, p)
		}
	}
	return l.count(v)
}

// refuseUnmatched drops a packet that no link matches. Among them are the
// targets' segments to a NAT port of which the session is over.
func (t *Table) refuseUnmatched(f *packet.Frame, p *packet.Packet, v Verdict) Verdict {
	if t.routes.owned[address{p.Dst, f.ENI}].resets > 0 {
		t.reset(f, p)
	}
	return v
}

// report sends an ICMP error about the packet p in f, which has not been
// edited, to its sender: if it may be reported at all and the limit allows.
func (t *Table) report(f *packet.Frame, p *packet.Packet, e packet.ICMPError) {
	if !packet.MayReport(f.Data, p) || !t.mayAnswer(&t.answers.reports) {
		return
	}
	if frame := t.pending.add(f.ENI, packet.ICMPErrorSize(p)); frame != nil {
		e.Build(frame, f.Data, p)
		t.answers.sent.ICMP++
	}
}

// reset answers a segment that nobody expects with a RST, unless it is one, or
// a SYN, or damaged: the ports of a damaged one may be somebody else's.
func (t *Table) reset(f *packet.Frame, p *packet.Packet) {
	const synOnly = packet.FlagSYN
	if p.Kind != packet.TCP || p.Flags&packet.FlagRST != 0 ||
		p.Flags&(packet.FlagSYN|packet.FlagACK) == synOnly || !packet.IntactTCP(f, p) ||
		!t.mayAnswer(&t.answers.resets) {
		return
	}
	if frame := t.pending.add(f.ENI, packet.ResetSizeFor(p)); frame != nil {
		packet.BuildReset(frame, f.Data, p)
		t.answers.sent.Resets++
	}
}

func (t *Table) mayAnswer(b *bucket) bool {
	if b.take(t.clock.Ticks) {
		return true
	}
	t.answers.sent.Limited++
	return false
}

// bucket is a token bucket. It counts in thousandths of a token, as the clock
// counts in thousandths of a second.
type bucket struct {
	rate, burst int64 // per second; the most that can be saved up
	tokens      int64 // thousandths
	filled      int64 // ticks
}

const token = 1000

func (b *bucket) init(rate, burst int) {
	b.rate, b.burst = int64(rate), int64(burst)
	b.tokens = b.burst * token
}

// take takes a token at a time in ticks, if there is one.
func (b *bucket) take(ticks int64) bool {
	full := b.burst * token
	// After a long pause the product may not fit; it is full long before.
	if waited := ticks - b.filled; waited > full {
		b.tokens = full
	} else {
		b.tokens = min(full, b.tokens+waited*b.rate)
	}
	b.filled = ticks
	if b.tokens < token {
		return false
	}
	b.tokens -= token
	return true
}
