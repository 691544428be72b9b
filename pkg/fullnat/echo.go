package fullnat

import (
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

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
