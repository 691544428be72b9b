package netstack

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/secgroup"
	"github.com/plinksim/plinksim/pkg/topology"
)

// rules are the security groups of an instance or an alb's node, with what needs no rule.
type rules struct {
	groups []topology.SecurityGroup
	set    *secgroup.Set
	// resolvers may always be asked on port 53: security groups do not filter
	// that (Amazon VPC user guide, "Security groups for your VPC").
	resolvers []netip.Addr
	// metadata may always be asked by HTTP, if it is valid, for the same reason.
	metadata  netip.AddrPort
	balancers netip.Prefix // may always come in, if it is valid
}

// rulesOf joins security groups of a VPC; where there is none it is nil, and nothing is
// filtered.
func rulesOf(plan *topology.Plan, vpc *topology.VPC, names []string) *rules {
	if len(names) == 0 {
		return nil
	}
	groups := plan.Groups(vpc, names)
	return &rules{
		groups: groups, set: secgroup.Compile(groups),
		resolvers: vpc.Resolvers, balancers: vpc.BalancerBlock(),
		metadata: netip.AddrPortFrom(plan.Profile.Metadata, 80),
	}
}

// direction is whether a packet comes to the instance or leaves it.
type direction bool

const (
	ingress direction = false
	egress  direction = true
)

// allow says whether a flow may begin.
func (r *rules) allow(flow packet.FiveTuple, d direction) bool {
	if d == ingress {
		return r.balancers.Contains(flow.Src.Addr()) || r.set.Ingress(flow).Allowed
	}
	if r.metadata.IsValid() && flow.Protocol == packet.ProtocolTCP && flow.Dst == r.metadata {
		return true
	}
	asks := flow.Protocol != packet.ProtocolICMP && flow.Dst.Port() == 53
	return asks && slices.Contains(r.resolvers, flow.Dst.Addr()) || r.set.Egress(flow).Allowed
}

// filter holds an instance to its security groups, at its device. They are
// stateful: what belongs to a flow that was allowed passes, and so do ICMP errors
// about it.
type filter struct {
	rules  atomic.Pointer[rules] // nil: nothing is filtered
	denied atomic.Uint64

	mu        sync.Mutex
	flows     tracker
	datagrams datagrams
}

func newFilter() *filter { return &filter{} }

// set changes the rules. Flows go on.
func (f *filter) set(r *rules) { f.rules.Store(r) }

// passes says whether a frame may pass, and counts it otherwise. What is neither
// a packet of IPv4 nor of IPv6 does, and neighbour discovery (RFC 4861, 4.3 and
// 4.4), which belongs to no flow.
func (f *filter) passes(frame []byte, d direction) bool {
	r := f.rules.Load()
	if r == nil {
		return true
	}
	var p packet.Packet
	switch kind := packet.Parse(frame, &p); {
	case kind == packet.Malformed, kind == packet.NotIP, kind == packet.ARP, isNeighbourDiscovery(frame, &p):
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.judgeLocked(r, frame, &p, d, time.Now()) {
		return true
	}
	f.denied.Add(1)
	return false
}

func (f *filter) judgeLocked(r *rules, frame []byte, p *packet.Packet, d direction, now time.Time) bool {
	if p.Kind != packet.Fragment {
		return f.judgeWholeLocked(r, frame, p, d, now)
	}
	// The ports are in the first fragment. One that comes before it is dropped.
	key := datagramOf(frame, p)
	if p.FragmentOffset() > 0 {
		return f.datagrams.passed(key, now)
	}
	if packet.ParseFirst(frame, p) == packet.Malformed || !f.judgeWholeLocked(r, frame, p, d, now) {
		return false
	}
	f.datagrams.pass(key, now)
	return true
}

func (f *filter) judgeWholeLocked(r *rules, frame []byte, p *packet.Packet, d direction, now time.Time) bool {
	if p.IsICMPError() {
		if quoted, ok := quotedFlow(frame, p); ok && f.flows.knows(quoted, now) {
			return true
		}
	}
	flow := flowOf(frame, p)
	if f.flows.continues(flow, p, now) {
		return true
	}
	return r.allow(flow, d) && (p.IsICMPError() || f.flows.add(flow, now))
}

func isNeighbourDiscovery(frame []byte, p *packet.Packet) bool {
	if !p.IPv6 || p.Protocol != packet.ProtocolICMP || p.Kind == packet.Fragment || int(p.L4) >= len(frame) {
		return false
	}
	return frame[p.L4] == 135 || frame[p.L4] == 136
}

// flowOf is the five-tuple of a packet.
func flowOf(frame []byte, p *packet.Packet) packet.FiveTuple {
	src, dst := p.Addrs(frame)
	return packet.FiveTuple{
		Protocol: p.Protocol, Src: netip.AddrPortFrom(src, p.SrcPort), Dst: netip.AddrPortFrom(dst, p.DstPort),
	}
}

// quotedFlow is that of the packet that an ICMP error is about.
func quotedFlow(frame []byte, p *packet.Packet) (packet.FiveTuple, bool) {
	var q packet.Packet
	if !packet.ParseQuote(frame, p, &q) {
		return packet.FiveTuple{}, false
	}
	src, dst := q.AddrsAt(frame, int(p.Payload))
	return packet.FiveTuple{
		Protocol: q.Protocol, Src: netip.AddrPortFrom(src, q.SrcPort), Dst: netip.AddrPortFrom(dst, q.DstPort),
	}, true
}
