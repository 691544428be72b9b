package dataplane

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// arrivals are what a host checks of a frame before its IP looks at it, by ENI: that
// the frame is for its own MAC (RFC 1812, 5.3.4), that the header arrived as it was
// sent (5.2.2), and that its source can be one (5.3.7). A packet socket sees every
// frame of a bridge that floods, and those that the kernel itself would drop.
type arrivals struct {
	byENI   []*arrival // nil where nothing is known
	anyMAC  bool
	refused fullnat.Counters
}

// arrival is what one ENI takes.
type arrival struct {
	of  Owned // what it is made of
	mac packet.MAC
	// no4 and no6 are sources that nobody else has: the ENI's own addresses, and
	// the one that means everybody in its subnet (RFC 1122, 3.2.1.3).
	no4 []uint32
	no6 [][16]byte
}

// newArrivals makes them of what ENIs own. What is the same as before is used again.
func newArrivals(owned []Owned, before []*arrival) []*arrival {
	byENI := make([]*arrival, 0, len(before))
	for i := range owned {
		o := owned[i]
		for int(o.ENI) >= len(byENI) {
			byENI = append(byENI, nil)
		}
		if int(o.ENI) < len(before) && before[o.ENI] != nil && memo.Identical(&before[o.ENI].of, &o) {
			byENI[o.ENI] = before[o.ENI]
			continue
		}
		a := &arrival{of: o, mac: o.MAC}
		for _, addr := range o.Addrs {
			if addr = addr.Unmap(); addr.Is4() {
				a.no4 = append(a.no4, number(addr))
			} else {
				a.no6 = append(a.no6, addr.As16())
			}
		}
		if o.Subnet.IsValid() && o.Subnet.Addr().Is4() {
			a.no4 = append(a.no4, number(o.Subnet.Masked().Addr())|^uint32(0)>>o.Subnet.Bits())
		}
		byENI[o.ENI] = a
	}
	return byENI
}

func number(addr netip.Addr) uint32 {
	a := addr.As4()
	return binary.BigEndian.Uint32(a[:])
}

// neighbour says whether the ENI takes a question for a neighbour's MAC: one for
// everybody, for a group, or for its own MAC, which asks whether it is still there.
func (s *arrivals) neighbour(f *packet.Frame) bool {
	if int(f.ENI) >= len(s.byENI) || s.byENI[f.ENI] == nil || s.anyMAC {
		return true
	}
	return f.Data[0]&1 != 0 || packet.MAC(f.Data) == s.byENI[f.ENI].mac
}

// check is Forwarded for a frame that the session table is to judge. What is too
// short or no IP at all is left to it.
func (s *arrivals) check(f *packet.Frame) fullnat.Verdict {
	if int(f.ENI) >= len(s.byENI) || s.byENI[f.ENI] == nil || len(f.Data) < packet.L3 {
		return fullnat.Forwarded
	}
	a := s.byENI[f.ENI]
	v := fullnat.Forwarded
	if packet.MAC(f.Data) != a.mac && !s.anyMAC {
		v = fullnat.WrongMAC
	} else {
		v = a.checkIP(f.Data)
	}
	if v != fullnat.Forwarded {
		s.refused[v]++
	}
	return v
}

func (a *arrival) checkIP(data []byte) fullnat.Verdict {
	switch packet.EtherTypeOf(data) {
	case packet.EtherTypeIPv4:
		src, intact, ok := packet.HeadIPv4(data)
		switch {
		case !ok:
		case !intact:
			return fullnat.BadHeader
		case slices.Contains(a.no4, src):
			return fullnat.Martian
		}
	case packet.EtherTypeIPv6:
		if len(a.no6) > 0 && len(data) >= packet.L3+40 && slices.Contains(a.no6, packet.IPv6Ends(data).Src) {
			return fullnat.Martian
		}
	}
	return fullnat.Forwarded
}
