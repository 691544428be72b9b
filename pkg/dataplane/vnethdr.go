package dataplane

import (
	"encoding/binary"

	"github.com/plinksim/plinksim/pkg/packet"
)

// vnetHdrLen is the size of struct virtio_net_hdr without the number of
// buffers: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
// (linux/virtio_net.h). On a packet socket it is in the byte order of the
// machine, which is what a legacy virtio device has.
const vnetHdrLen = 10

const vnetNeedsCsum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

// readVnetHdr reads the header that the kernel put in front of a frame.
func readVnetHdr(hdr []byte) packet.Offload {
	_ = hdr[vnetHdrLen-1]
	o := packet.Offload{
		NeedsCsum: hdr[0]&vnetNeedsCsum != 0,
		GSOType:   hdr[1],
		HdrLen:    binary.NativeEndian.Uint16(hdr[2:]),
		GSOSize:   binary.NativeEndian.Uint16(hdr[4:]),
	}
	if o.NeedsCsum {
		o.CsumStart = binary.NativeEndian.Uint16(hdr[6:])
		o.CsumOffset = binary.NativeEndian.Uint16(hdr[8:])
	}
	return o
}

// writeVnetHdr writes the header that tells the kernel what f is, a frame of
// length bytes of which f.Data may be only the first part.
//
// The length of the headers is measured and not taken from the frame: what
// the kernel reports for a frame that it forwarded may be the length of the
// whole first packet. A frame whose payload fits one segment is no superframe
// ("Too small packets are not really GSO ones", linux/virtio_net.h).
func writeVnetHdr(hdr []byte, f *packet.Frame, length int) {
	_ = hdr[vnetHdrLen-1]
	clear(hdr[:vnetHdrLen])
	o := &f.Offload
	if !o.NeedsCsum {
		return // the kernel accepts segmentation only together with a partial checksum
	}
	hdr[0] = vnetNeedsCsum
	binary.NativeEndian.PutUint16(hdr[6:], o.CsumStart)
	binary.NativeEndian.PutUint16(hdr[8:], o.CsumOffset)
	if o.GSOSize == 0 {
		return
	}
	headers := headersLen(f)
	if length <= headers+int(o.GSOSize) {
		return
	}
	hdr[1] = o.GSOType
	binary.NativeEndian.PutUint16(hdr[2:], uint16(headers))
	binary.NativeEndian.PutUint16(hdr[4:], o.GSOSize)
}

// headersLen is how many bytes every segment of f begins with.
func headersLen(f *packet.Frame) int {
	start := int(f.Offload.CsumStart)
	switch f.Offload.GSOType &^ packet.GSOECN {
	case packet.GSOTCPv4, packet.GSOTCPv6:
		const dataOffset = 12 // RFC 9293, 3.1
		if start+dataOffset >= len(f.Data) {
			return len(f.Data)
		}
		return start + int(f.Data[start+dataOffset]>>4)*4
	default:
		return start + 8 // UDP
	}
}
