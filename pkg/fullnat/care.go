package fullnat

import (
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// noMTU is the MTU of an interface that names none: what IPv4 can carry.
const noMTU = 1<<16 - 1

func (i *Interface) mtu() uint32 {
	if i.MTU <= 0 || i.MTU > noMTU {
		return noMTU
	}
	return uint32(i.MTU)
}

// headersOfMSS are the headers of a packet with as much payload as an MSS says,
// without options (RFC 9293, 3.7.1).
const headersOfMSS = 20 + 20

// leavesAsIs says whether a packet can leave with no more done to it than to
// every packet: it is atomic, fits, and is not a SYN. Superframes are longer than
// an MTU, so they never do.
func (l *link) leavesAsIs(p *packet.Packet, d store.Direction) bool {
	return p.Frag == packet.PlainFrag && uint32(p.Length()) <= l.mtu[d] && p.Flags&packet.FlagSYN == 0
}

// inspect looks at what few packets have: IPv4 options or extension headers,
// and work left to the device.
func inspect(f *packet.Frame, p *packet.Packet) Verdict {
	if !f.Offload.Fits(p) {
		return Malformed
	}
	if !p.HasOptions() {
		return Forwarded
	}
	switch packet.OptionsOf(f.Data, p) {
	case packet.MalformedOptions:
		return Malformed
	case packet.SourceRoute:
		return SourceRouted
	}
	return Forwarded
}

// mayFit refuses a packet that cannot leave, before anything is edited.
func (t *Table) mayFit(f *packet.Frame, w *work, e *store.Flow, l *link) Verdict {
	mtu := int(l.mtu[e.Direction()])
	if _, v := fitOut(f, &w.packet, e, mtu); v != Forwarded {
		return t.refuseFit(f, &w.packet, e, l, v)
	}
	return Forwarded
}

// finishWithCare sends a packet that does not leave as it is: TCP, UDP or an ICMP echo,
// whole or the first of several fragments, of either version of IP.
func (t *Table) finishWithCare(f *packet.Frame, w *work, e *store.Flow, l *link) Verdict {
	p := &w.packet
	mtu := int(l.mtu[e.Direction()])
	fit, v := fitOut(f, p, e, mtu)
	if v != Forwarded {
		return t.refuseFit(f, p, e, l, v)
	}
	switch fit {
	case resegment:
		f.Offload.GSOSize = segmentSizeOut(f, p, e, mtu)
	case split:
		packet.FinishChecksum(f, p)
	}
	if p.Flags&packet.FlagSYN != 0 && l.Behaviour.ClampMSS {
		packet.ClampMSS(f, p, l.mssOf(p, e))
	}
	id := uint32(0)
	if needsID(f, p, e, fit) {
		id = t.ids.Take(e.Rewrite.Src, e.Rewrite.Dst, p.Protocol, int(segments(f, p)))
		p.SetID(f.Data, id)
		if w.datagram != nil {
			w.datagram.id = id
		}
	}
	t.apply(f, p, e, fit, id)
	t.leave(f, p, e, l)
	if fit == split {
		t.split(f, p, mtu)
	}
	return Forwarded
}

// fitting is what has to be done so that a packet fits an MTU.
type fitting uint8

const (
	asItIs    fitting = iota
	resegment         // a superframe of smaller segments
	split             // fragments
)

func fitFor(f *packet.Frame, p *packet.Packet, mtu int) (fitting, Verdict) {
	switch {
	case f.LongestPacket(p) <= mtu:
		return asItIs, Forwarded
	case !p.MayBeFragmented() || !packet.CanSplit(p, mtu):
		return asItIs, TooBig
	case f.IsSuperframe(p):
		if segmentSize(f, p, mtu) == 0 {
			return asItIs, TooBig
		}
		return resegment, Forwarded
	case !packet.IntactHeader(f.Data, p):
		// The fragments would have right checksums.
		return asItIs, Malformed
	}
	return split, Forwarded
}

// segmentSize is the GSOSize with which the superframe f fits an MTU, or 0. A
// TCP stream may be cut anywhere. UDP segmentation makes one datagram of each
// segment, and they must stay what they were.
func segmentSize(f *packet.Frame, p *packet.Packet, mtu int) uint16 {
	switch f.Offload.GSOType &^ packet.GSOECN {
	case packet.GSOTCPv4:
		return uint16(max(0, mtu-(int(p.Payload)-packet.L3)))
	case packet.GSOUDP:
		return uint16(max(0, mtu-(int(p.L4)-packet.L3))) &^ 7
	}
	return 0
}

// refuseFit drops a packet that cannot be made to fit and tells its sender
// what would, if the link does so (RFC 1191, 4; RFC 4443, 3.2).
func (t *Table) refuseFit(f *packet.Frame, p *packet.Packet, e *store.Flow, l *link, v Verdict) Verdict {
	if v == TooBig && l.Behaviour.ReportTooBig {
		t.report(f, p, packet.ICMPError{
			Type: packet.ICMPUnreachable, Code: packet.ICMPCodeFragNeeded,
			Rest: mtuToReport(e, p, int(l.mtu[e.Direction()])),
		})
	}
	return l.count(v)
}

// split cuts a finished frame into fragments (RFC 4787, REQ-13): the last one
// is the frame, the others are pending and leave before it.
func (t *Table) split(f *packet.Frame, p *packet.Packet, mtu int) {
	eni := f.ENI
	f.Data = packet.Split(f.Data, p, mtu, func(size int) []byte { return t.pending.add(eni, size) })
}
