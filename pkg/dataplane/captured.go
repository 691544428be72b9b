package dataplane

import (
	"encoding/binary"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Packet files have no place for an Offload. A program that captures where
// packets are sent sees them before the device has finished them: with only a
// pseudo-header sum where the checksum should be, and superframes whole.

// checksumOffset is where the checksum is in the header of a protocol
// (RFC 9293, 3.1; RFC 768), 0 where it has none that a device fills in.
func checksumOffset(kind packet.Kind) int {
	switch kind {
	case packet.TCP:
		return 16
	case packet.UDP:
		return 6
	}
	return 0
}

// offloadOf guesses what a captured frame was when it was sent. A complete
// checksum looks like a pseudo-header sum once in 65,536 packets, and that does
// no harm: it is only computed again.
func offloadOf(data []byte, mtu int) packet.Offload {
	var (
		p packet.Packet
		o packet.Offload
	)
	kind := packet.Parse(data, &p)
	offset := checksumOffset(kind)
	if offset == 0 {
		return o
	}
	sum := binary.BigEndian.Uint16(data[int(p.L4)+offset:])
	if sum == packet.PseudoSumIn(data, &p) {
		o.NeedsCsum, o.CsumStart, o.CsumOffset = true, p.L4, uint16(offset)
	}
	if headers := int(p.Payload) - packet.L3; kind == packet.TCP && mtu > headers && p.Length() > mtu {
		o.GSOType, o.GSOSize, o.HdrLen = packet.GSOTCPv4, uint16(mtu-headers), p.Payload
		if p.IPv6 {
			o.GSOType = packet.GSOTCPv6
		}
	}
	return o
}

// complete finishes the checksum that is left to a device, of superframes as if
// they were one packet.
func complete(f *packet.Frame) {
	var p packet.Packet
	packet.Parse(f.Data, &p)
	if f.Offload.Fits(&p) {
		packet.FinishChecksum(f, &p)
	}
}
