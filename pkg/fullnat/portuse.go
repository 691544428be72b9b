package fullnat

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/pkg/packet"
)

// PortUse is how many of its NAT ports towards a target a NAT IP uses.
type PortUse struct {
	ENI      packet.ENI // the interface that the NAT IP is on
	Protocol uint8
	Local    netip.Addr
	Target   netip.AddrPort
	InUse    int
	Limit    int
}

// PortUse appends the count NAT IPs and targets of which most ports are in use
// to dst, the fullest first. It looks at all of them: ask now and then.
func (t *Table) PortUse(dst []PortUse, count int) []PortUse {
	fullest := make([]*portPool, 0, count+1)
	for _, p := range t.ports.all {
		if p == nil || p.inUse == 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(fullest, p, fullerFirst)
		if at < count {
			fullest = slices.Insert(fullest, at, p)
			fullest = fullest[:min(len(fullest), count)]
		}
	}
	for _, p := range fullest {
		dst = append(dst, PortUse{
			ENI: p.key.eni, Protocol: p.key.protocol,
			Local: t.addrs.of(p.key.local), Target: t.addrs.withPort(p.key.target, p.key.port),
			InUse: p.inUse, Limit: t.shard.share(t.way.limit),
		})
	}
	return dst
}

// fullerFirst orders pools, those that are as full as each other always in the
// same way.
func fullerFirst(a, b *portPool) int {
	return cmp.Or(
		cmp.Compare(b.inUse, a.inUse),
		cmp.Compare(a.key.eni, b.key.eni),
		cmp.Compare(a.key.local, b.key.local),
		cmp.Compare(a.key.target, b.key.target),
		cmp.Compare(a.key.port, b.key.port),
		cmp.Compare(a.key.protocol, b.key.protocol))
}
