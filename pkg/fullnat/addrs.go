package fullnat

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
)

// The table works with addresses of 32 bits. An IPv4 address is its own number.
// An IPv6 address has one from 240.0.0.0/4, which no packet comes from or goes
// to (RFC 1112, 4: reserved; Parse calls such packets malformed), as long as a
// session or the configuration uses it. So flows, ports and fragments are the
// same for both, a session may have IPv6 on one side and IPv4 on the other, and
// nothing that IPv4 needs is larger or slower for it.
const (
	firstIPv6 = 0xf0 << 24
	// stranger is the number of the source of the packet that is being judged,
	// where nobody uses its address yet.
	stranger = firstIPv6
	// nowhere is an address that nobody uses. It is that of everybody in IPv4,
	// where no link is either.
	nowhere = ^uint32(0)
)

func isIPv6(number uint32) bool { return number >= firstIPv6 }

// addrs knows the numbers of IPv6 addresses. Packets only look them up; what is
// new gets a number when a session starts, so there are never more than two for
// each session besides those of the configuration. Go's maps hash with a secret
// of their own: who sends from many addresses cannot make one slow.
type addrs struct {
	number map[[16]byte]uint32
	all    []interned // by number; the first is the stranger
	free   []uint32
}

type interned struct {
	addr  [16]byte
	users uint32
}

func (a *addrs) init() {
	a.number, a.all, a.free = map[[16]byte]uint32{}, make([]interned, 1), nil
}

// find is the number of an address that is in use, and nowhere for others.
func (a *addrs) find(addr *[16]byte) uint32 {
	if n, ok := a.number[*addr]; ok {
		return n
	}
	return nowhere
}

// findSource is the number of the source of the packet that is judged.
func (a *addrs) findSource(addr *[16]byte) uint32 {
	if n, ok := a.number[*addr]; ok {
		return n
	}
	a.all[0].addr = *addr
	return stranger
}

// acquire is the number of an address, which stays its number until as many
// have released it as have acquired or held it; false where numbers have run
// out.
func (a *addrs) acquire(addr netip.Addr) (n uint32, ok bool) {
	if addr.Is4() {
		return number(addr), true
	}
	key := addr.As16()
	n, ok = a.number[key]
	if !ok {
		if n, ok = a.next(); !ok {
			return 0, false
		}
		a.number[key] = n
		a.at(n).addr = key
	}
	a.at(n).users++
	return n, true
}

func (a *addrs) next() (n uint32, ok bool) {
	if last := len(a.free) - 1; last >= 0 {
		n, a.free = a.free[last], a.free[:last]
		return n, true
	}
	if len(a.all) == int(nowhere-firstIPv6) {
		return 0, false
	}
	a.all = append(a.all, interned{})
	return firstIPv6 + uint32(len(a.all)-1), true
}

func (a *addrs) at(n uint32) *interned { return &a.all[n-firstIPv6] }

// hold is one more user of a number.
func (a *addrs) hold(n uint32) {
	if isIPv6(n) {
		a.at(n).users++
	}
}

func (a *addrs) release(numbers ...uint32) {
	for _, n := range numbers {
		if isIPv6(n) {
			a.releaseOne(n)
		}
	}
}

func (a *addrs) releaseOne(n uint32) {
	e := a.at(n)
	if e.users--; e.users > 0 {
		return
	}
	delete(a.number, e.addr)
	if len(a.number) == 0 {
		a.init() // maps do not shrink
		return
	}
	a.free = append(a.free, n)
}

// of is the address that has a number.
func (a *addrs) of(n uint32) netip.Addr {
	if isIPv6(n) {
		return netip.AddrFrom16(a.at(n).addr)
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func (a *addrs) withPort(n uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.of(n), port)
}

// ends are the addresses that packets of a flow leave with.
func (a *addrs) ends(r *packet.Rewrite) packet.Ends {
	return packet.Ends{Src: a.at(r.Src).addr, Dst: a.at(r.Dst).addr}
}

// bytes is about what they take.
func (a *addrs) bytes() uint64 {
	const inMap = 2 * (16 + 4)
	return uint64(cap(a.all))*uint64(unsafe.Sizeof(interned{})) + uint64(len(a.number))*inMap
}

// number is the number of an IPv4 address.
func number(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}

// identify gives the addresses of an IPv6 packet their numbers.
func (t *Table) identify(f *packet.Frame, w *work) {
	p := &w.packet
	ends := packet.IPv6Ends(f.Data)
	p.Src, p.Dst = t.addrs.findSource(&ends.Src), t.addrs.find(&ends.Dst)
	w.key = newKey(f.ENI, p.Protocol, p.Src, p.Dst, p.SrcPort, p.DstPort)
	w.home = t.flows.home(w.key)
}

// settle gives the source of a packet a number that others may use as well,
// and that is to be released.
func (t *Table) settle(p *packet.Packet) (ok bool) {
	if p.Src != stranger {
		t.addrs.hold(p.Src)
		return true
	}
	p.Src, ok = t.addrs.acquire(t.addrs.of(stranger))
	return ok
}
