package fullnat

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
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
	fullest := make([]*store.PortPool, 0, count+1)
	for _, p := range t.ports.All {
		if p == nil || p.InUse == 0 {
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
			ENI: p.Key.ENI, Protocol: p.Key.Protocol,
			Local: t.addrs.Addr(p.Key.Local), Target: t.addrs.WithPort(p.Key.Target, p.Key.Port),
			InUse: p.InUse, Limit: t.shard.Share(t.routes.limit),
		})
	}
	return dst
}

// fullerFirst orders pools, those that are as full as each other always in the
// same way.
func fullerFirst(a, b *store.PortPool) int {
	return cmp.Or(
		cmp.Compare(b.InUse, a.InUse),
		cmp.Compare(a.Key.ENI, b.Key.ENI),
		cmp.Compare(a.Key.Local, b.Key.Local),
		cmp.Compare(a.Key.Target, b.Key.Target),
		cmp.Compare(a.Key.Port, b.Key.Port),
		cmp.Compare(a.Key.Protocol, b.Key.Protocol))
}
