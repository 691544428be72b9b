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
	if t.way.ownerOf(f.ENI, p.Dst) == nobody {
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
	if length > int(l.mtu[e.Direction]) {
		return l.count(TooBig) // and nobody is told: it is an error itself
	}
	mtu, _ := packet.ReportedMTU(f.Data, p)
	t.applyError(f, p, &quoted, e)
	if e.Flags&conveys != 0 {
		t.quoteConveyed(f.Data, p, &quoted, e, mtu)
	}
	t.leave(f, p, e, l)
	return Forwarded
}

// flowAgainst finds the live flow that goes the other way than a packet that
// the table sent out of eni.
func (t *Table) flowAgainst(eni packet.ENI, sent *packet.Packet) *store.Flow {
	k := store.NewKey(eni, sent.Protocol, sent.Dst, sent.Src, sent.DstPort, sent.SrcPort)
	e := t.flows.Find(k, t.flows.Home(k))
	if e == nil {
		return nil
	}
	s := t.sessions.At(e.Session)
	if !t.links.at(s.Link).live || t.timedOut(s) {
		return nil
	}
	return e
}
