package fullnat

import (
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// translateICMP forwards an error to the end of the session whose packet
// caused it, with the packet that it quotes as that end sent it. An error
// neither refreshes nor ends a session (RFC 5508, REQ-6; RFC 5382, REQ-10).
func (t *Table) translateICMP(f *packet.Frame, w *work) Verdict {
	p := &w.packet
	if t.routes.ownerOf(f.ENI, p.Dst) == nobody {
		return NotOurs
	}
	if !p.IsICMPError() {
		return t.translateEcho(f, w)
	}
	var quoted packet.Packet
	if !packet.ParseQuote(f.Data, p, &quoted) {
		return BadICMP
	}
	if p.IPv6 {
		ends := packet.QuotedEnds(f.Data, p)
		quoted.Src, quoted.Dst = t.addrs.Find(&ends.Src), t.addrs.Find(&ends.Dst)
	}
	if quoted.Src != p.Dst {
		return BadICMP
	}
	e := t.flowAgainst(f.ENI, &quoted)
	if e == nil {
		return BadICMP
	}
	l := t.links.at(t.hops.All[e.Hop].Link)
	if p.TTL <= 1 {
		return l.count(TTLExpired)
	}
	length := p.Length()
	if crosses(e, p) {
		if _, _, _, ok := packet.CrossedError(f.Data, p); !ok {
			return l.count(Unsupported)
		}
		length = packet.CrossedErrorSize(p, &quoted) - packet.L3
	}
	if length > int(l.mtu[e.Direction()]) {
		return l.count(TooBig) // and nobody is told: it is an error itself
	}
	mtu, _ := packet.ReportedMTU(f.Data, p)
	t.applyError(f, p, &quoted, e)
	if e.Flags&store.Identifies != 0 {
		t.quoteIdentified(f.Data, p, &quoted, e, mtu)
	}
	t.leave(f, p, e, l)
	return Forwarded
}

// flowAgainst finds the live flow that goes the other way than a packet that
// the table sent out of eni.
func (b *book) flowAgainst(eni packet.ENI, sent *packet.Packet) *store.Flow {
	k := store.NewKey(eni, sent.Protocol, sent.Dst, sent.Src, sent.DstPort, sent.SrcPort)
	e := b.flows.Find(k, b.flows.Home(k))
	if e == nil {
		return nil
	}
	s := b.sessions.At(e.Session)
	if !b.links.at(s.Link).live || b.timedOut(s) {
		return nil
	}
	return e
}

// translateEcho forwards ICMP echo like a datagram: the identifier is the port
// of the side that asks, and the other side has port 0 (RFC 5508, REQ-1). Only
// a request to an address that a link matches with protocol ICMP opens a
// session.
func (t *Table) translateEcho(f *packet.Frame, w *work) Verdict {
	p := &w.packet
	switch {
	case !p.IsEcho():
		return Unsupported
	case p.ICMPType == packet.ICMPEchoReply && p.DstPort == 0:
		// No request of ours has the identifier 0, but a consumer's may, and
		// its answer would look like the question.
		return NoSession
	}
	w.key = store.NewKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	w.home = t.flows.Home(w.key)
	return t.translate(f, w)
}

// unmatchedEcho is the verdict for an echo to an address of ours that no link
// matches: interfaces do not answer.
func unmatchedEcho(p *packet.Packet) Verdict {
	if p.IsEchoRequest() {
		return NoEcho
	}
	return NoSession
}
