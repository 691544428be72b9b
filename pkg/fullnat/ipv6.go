package fullnat

import (
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// crosses says whether packets of a flow that arrive as p leave with the other
// version of IP.
func crosses(e *store.Flow, p *packet.Packet) bool {
	return e.Flags&store.HasIPv6 != 0 && p.IPv6 != store.IsIPv6(e.Rewrite.Src)
}

// lengthOut is how long a packet of length bytes with p's header is when it
// leaves.
func lengthOut(e *store.Flow, p *packet.Packet, length int) int {
	if crosses(e, p) {
		return packet.CrossedLength(p, length)
	}
	return length
}

// isFragment says whether p is a fragment, the first one included.
func isFragment(p *packet.Packet) bool { return p.MoreFragments() || p.FragmentOffset() > 0 }

// fragHeader is how many bytes an IPv6 fragment header has (RFC 8200, 4.5).
const fragHeader = 8

// fitOut is fitFor for a packet of any flow.
func fitOut(f *packet.Frame, p *packet.Packet, e *store.Flow, mtu int) (fitting, Verdict) {
	if !crosses(e, p) {
		return fitFor(f, p, mtu)
	}
	longest, whole := lengthOut(e, p, f.LongestPacket(p)), lengthOut(e, p, p.Length())
	mayFragment, most := packet.MayBeFragmentedAsIPv4(p, longest), maxPacket
	if !p.IPv6 {
		mayFragment, most = p.MayBeFragmented(), maxPacket+ipv6Header
		if isFragment(p) {
			longest, whole = longest+fragHeader, whole+fragHeader
		}
	}
	switch {
	case p.Kind == packet.ICMP && isFragment(p):
		// The checksum of ICMPv6 covers the length of the datagram, which no
		// fragment knows (RFC 7915, 4.2 and 5.2).
		return asItIs, Unsupported
	case isFragment(p) && !p.IPv6 && packet.LacksChecksum(f, p):
		return asItIs, NoChecksum
	case !packet.IntactHeader(f.Data, p):
		return asItIs, Malformed // the new one would have no wrong checksum
	case whole > most:
		return asItIs, TooBig
	case longest <= mtu:
		return asItIs, Forwarded
	case !mayFragment:
		return asItIs, TooBig
	case !f.IsSuperframe(p):
		return split, Forwarded
	case segmentSizeOut(f, p, e, mtu) == 0:
		return asItIs, TooBig
	}
	return resegment, Forwarded
}

// ipv6Header is how many bytes an IPv6 header has (RFC 8200, 3). What the
// length in it counts is behind it.
const ipv6Header = 40

// segmentSizeOut is segmentSize for a packet of any flow.
func segmentSizeOut(f *packet.Frame, p *packet.Packet, e *store.Flow, mtu int) uint16 {
	if !crosses(e, p) {
		return segmentSize(f, p, mtu)
	}
	if p.Kind != packet.TCP {
		return 0
	}
	return uint16(max(0, mtu-lengthOut(e, p, int(p.Payload)-packet.L3)))
}

// mtuToReport is what the sender of p must know so that its packets fit an MTU
// when they leave. No IPv6 host believes less than every link carries (RFC
// 8201, 4).
func mtuToReport(e *store.Flow, p *packet.Packet, mtu int) uint32 {
	switch {
	case crosses(e, p) && p.IPv6:
		mtu += ipv6Header - ipv4Header
	case crosses(e, p):
		mtu -= ipv6Header - ipv4Header
	}
	if p.IPv6 {
		return uint32(max(mtu, packet.MinIPv6MTU))
	}
	return uint32(max(mtu, 0))
}

const ipv4Header = 20

// mssOf is the MSS with which segments of a flow fit both interfaces.
func (l *link) mssOf(p *packet.Packet, e *store.Flow) uint16 {
	if e.Flags&store.HasIPv6 == 0 {
		return l.mss
	}
	out := int(l.mtu[e.Direction()]) - headersOf(store.IsIPv6(e.Rewrite.Src))
	in := int(l.mtu[1-e.Direction()]) - headersOf(p.IPv6)
	return uint16(max(0, min(out, in)))
}

// headersOf are the bytes of IP and TCP headers without options: what an MSS
// leaves out (RFC 9293, 3.7.1; RFC 6691).
func headersOf(six bool) int {
	if six {
		return ipv6Header + packet.TCPHeaderLen
	}
	return ipv4Header + packet.TCPHeaderLen
}

// apply translates a packet, of which the fitting is known. id is for those that
// get one.
func (t *Table) apply(f *packet.Frame, p *packet.Packet, e *store.Flow, fit fitting, id uint32) {
	r := &e.Rewrite
	if e.Flags&store.HasIPv6 == 0 {
		if p.Kind == packet.Fragment {
			r.ApplyFragment(f.Data, p)
		} else {
			r.Apply(f, p)
		}
		return
	}
	switch {
	case !store.IsIPv6(r.Src) && p.IPv6:
		mayFragment := packet.MayBeFragmentedAsIPv4(p, lengthOut(e, p, f.LongestPacket(p)))
		r.ApplyToIPv4(f, p, uint16(id), mayFragment)
	case store.IsIPv6(r.Src) && p.IPv6:
		ends := t.addrs.Ends(r)
		r.ApplyIPv6(f, p, &ends)
	default:
		ends := t.addrs.Ends(r)
		fragment := fit == split || isFragment(p)
		room := t.identities.longer.room(packet.IPv6SizeOf(p, fragment))
		r.ApplyToIPv6(f, p, &ends, room, fragment, id)
	}
}

// needsID says whether a packet leaves with an identification that means
// something: as a fragment, or as one that somebody may fragment.
func needsID(f *packet.Frame, p *packet.Packet, e *store.Flow, fit fitting) bool {
	if crosses(e, p) && p.IPv6 {
		return packet.MayBeFragmentedAsIPv4(p, lengthOut(e, p, f.LongestPacket(p)))
	}
	return !p.Atomic() || fit == split
}

// newRewrite is packet.NewRewrite for any addresses.
func (b *book) newRewrite(p *packet.Packet, src, dst uint32, srcPort, dstPort uint16) packet.Rewrite {
	if !store.IsIPv6(p.Src) && !store.IsIPv6(src) {
		return packet.NewRewrite(p, src, dst, srcPort, dstPort)
	}
	difference := func(from, to uint32) uint32 {
		return packet.SumDifference(b.addrs.Addr(from).AsSlice(), b.addrs.Addr(to).AsSlice())
	}
	return packet.NewRewriteBetween(p, src, dst, srcPort, dstPort, difference(p.Src, src)+difference(p.Dst, dst))
}

// applyError translates an ICMP error about a packet of the session of e, of
// which translateICMP knows that it can be.
func (t *Table) applyError(f *packet.Frame, p, quoted *packet.Packet, e *store.Flow) {
	switch {
	case e.Flags&store.HasIPv6 == 0:
		e.Rewrite.ApplyError(f.Data, p, quoted)
	case !crosses(e, p):
		ends := t.addrs.Ends(&e.Rewrite)
		e.Rewrite.ApplyErrorIPv6(f.Data, p, quoted, &ends)
	default:
		var ends packet.Ends
		if !p.IPv6 {
			ends = t.addrs.Ends(&e.Rewrite)
		}
		room := t.identities.longer.room(packet.CrossedErrorSize(p, quoted))
		e.Rewrite.ApplyErrorAcross(f, p, quoted, &ends, room)
	}
}

// identify gives the addresses of an IPv6 packet their numbers.
func (t *Table) identify(f *packet.Frame, w *work) {
	p := &w.packet
	ends := packet.IPv6Ends(f.Data)
	p.Src, p.Dst = t.addrs.FindSource(&ends.Src), t.addrs.Find(&ends.Dst)
	w.key = store.NewKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	w.home = t.flows.Home(w.key)
}

// settle gives the source of a packet a number that others may use as well,
// and that is to be released.
func (b *book) settle(p *packet.Packet) (ok bool) {
	if p.Src != store.Stranger {
		b.addrs.Hold(p.Src)
		return true
	}
	p.Src, ok = b.addrs.Acquire(b.addrs.Addr(store.Stranger))
	return ok
}
