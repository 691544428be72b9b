package store

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
	// Stranger is the number of the source of the packet that is being judged,
	// where nobody uses its address yet.
	Stranger = firstIPv6
	// Unknown stands for an IPv6 address that nothing uses. It equals
	// 255.255.255.255, which never matches a link.
	Unknown = ^uint32(0)
)

// IsIPv6 says whether a number stands for an IPv6 address.
func IsIPv6(number uint32) bool { return number >= firstIPv6 }

// Addrs knows the numbers of IPv6 addresses. Packets only look them up; what is
// new gets a number when a session starts, so there are never more than two for
// each session besides those of the configuration. Go's maps hash with a secret
// of their own: who sends from many addresses cannot make one slow.
type Addrs struct {
	Number map[[16]byte]uint32
	All    []interned // by number; the first is the stranger
	free   []uint32
}

type interned struct {
	Addr  [16]byte
	Users uint32
}

// Init makes it empty.
func (a *Addrs) Init() {
	a.Number, a.All, a.free = map[[16]byte]uint32{}, make([]interned, 1), nil
}

// Find is the number of an address that is in use, and Unknown for others.
func (a *Addrs) Find(addr *[16]byte) uint32 {
	if n, ok := a.Number[*addr]; ok {
		return n
	}
	return Unknown
}

// FindSource is the number of the source of the packet that is judged.
func (a *Addrs) FindSource(addr *[16]byte) uint32 {
	if n, ok := a.Number[*addr]; ok {
		return n
	}
	a.All[0].Addr = *addr
	return Stranger
}

// Acquire is the number of an address, which stays its number until as many
// have released it as have acquired or held it; false where numbers have run
// out.
func (a *Addrs) Acquire(addr netip.Addr) (n uint32, ok bool) {
	if addr.Is4() {
		return IPv4Number(addr), true
	}
	key := addr.As16()
	n, ok = a.Number[key]
	if !ok {
		if n, ok = a.next(); !ok {
			return 0, false
		}
		a.Number[key] = n
		a.At(n).Addr = key
	}
	a.At(n).Users++
	return n, true
}

func (a *Addrs) next() (n uint32, ok bool) {
	if last := len(a.free) - 1; last >= 0 {
		n, a.free = a.free[last], a.free[:last]
		return n, true
	}
	if len(a.All) == int(Unknown-firstIPv6) {
		return 0, false
	}
	a.All = append(a.All, interned{})
	return firstIPv6 + uint32(len(a.All)-1), true
}

// At is the entry of the number of an IPv6 address.
func (a *Addrs) At(n uint32) *interned { return &a.All[n-firstIPv6] }

// Hold is one more user of a number.
func (a *Addrs) Hold(n uint32) {
	if IsIPv6(n) {
		a.At(n).Users++
	}
}

// Release takes back as many uses of numbers.
func (a *Addrs) Release(numbers ...uint32) {
	for _, n := range numbers {
		if IsIPv6(n) {
			a.releaseOne(n)
		}
	}
}

func (a *Addrs) releaseOne(n uint32) {
	e := a.At(n)
	if e.Users--; e.Users > 0 {
		return
	}
	delete(a.Number, e.Addr)
	if len(a.Number) == 0 {
		a.Init() // maps do not shrink
		return
	}
	a.free = append(a.free, n)
}

// Addr is the address that has a number.
func (a *Addrs) Addr(n uint32) netip.Addr {
	if IsIPv6(n) {
		return netip.AddrFrom16(a.At(n).Addr)
	}
	return IPv4(n)
}

// IPv4 is the IPv4 address that has a number.
func IPv4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// WithPort is the address that has a number, with a port.
func (a *Addrs) WithPort(n uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(n), port)
}

// Ends are the addresses that packets of a flow leave with.
func (a *Addrs) Ends(r *packet.Rewrite) packet.Ends {
	return packet.Ends{Src: a.At(r.Src).Addr, Dst: a.At(r.Dst).Addr}
}

// Bytes is about what they take.
func (a *Addrs) Bytes() uint64 {
	const inMap = 2 * (16 + 4)
	return uint64(cap(a.All))*uint64(unsafe.Sizeof(interned{})) + uint64(len(a.Number))*inMap
}

// IPv4Number is the number of an IPv4 address.
func IPv4Number(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}
