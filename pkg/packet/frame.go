package packet

import (
	"fmt"
	"net/netip"
)

// ENI is the number of an elastic network interface within one lab's data
// plane. The zero value is no interface.
type ENI uint16

// MAC is an Ethernet address.
type MAC [6]byte

// String writes m as 02:00:0a:00:00:b6.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MACOf derives the Ethernet address of the interface whose address addr is, so
// that nobody has to ask for it: 02:00 and the four bytes of an IPv4 address, which
// is unique within a VPC, and no frame leaves one. An interface with addresses of
// both versions has the MAC of that of IPv4. An IPv6 address alone gives 02:06 and
// its last four bytes, which others may share. All have the locally administered
// bit set (IEEE 802, 8.4).
func MACOf(addr netip.Addr) MAC {
	if addr.Is4() || addr.Is4In6() {
		a := addr.As4()
		return MAC{2, 0, a[0], a[1], a[2], a[3]}
	}
	a := addr.As16()
	return MAC{2, 6, a[12], a[13], a[14], a[15]}
}

// Values of Offload.GSOType (virtio 1.2, 5.1.6).
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDP   = 3 // fragmentation, not segmentation
	GSOTCPv6 = 4
	GSOUDPL4 = 5
	GSOECN   = 0x80 // may be set beside the TCP types
)

// Offload is the part of the virtio-net header (virtio 1.2, 5.1.6) that
// travels with a frame. The zero value is an ordinary frame with complete
// checksums.
type Offload struct {
	NeedsCsum  bool   // the L4 checksum field holds only the uncomplemented pseudo-header sum
	CsumStart  uint16 // bytes from the start of the frame
	CsumOffset uint16 // bytes from CsumStart to the checksum field
	GSOType    uint8
	GSOSize    uint16 // payload bytes of a segment; 0: the frame is not segmented later
	HdrLen     uint16 // bytes of headers; a hint that is not to be trusted on a forward path
}

// Frame is one frame on its way between an ENI and the engine.
type Frame struct {
	ENI     ENI    // where it came from, or where it goes
	Data    []byte // from the Ethernet header on
	Offload Offload
}
