package dataplane

import (
	"math/rand/v2"

	"github.com/plinksim/plinksim/pkg/packet"
)

// corrupt flips one bit of a frame in place, so that its receiver finds a
// checksum that is wrong.
//
// A frame whose checksum is left to the device gets it first: whoever receives
// it without a device between would trust it. A superframe has no checksum
// before it is cut, so it is the header checksum of its IPv4 header that
// breaks, and the version in a header of IPv6, which has none.
func corrupt(f *packet.Frame, dice *rand.Rand) {
	var p packet.Packet
	switch packet.Parse(f.Data, &p) {
	case packet.TCP, packet.UDP, packet.ICMP:
	default:
		if len(f.Data) > packet.L3 {
			flip(f.Data[packet.L3:], dice)
		}
		return
	}
	if f.Offload.GSOSize > 0 {
		breakHeader(f, &p, dice)
		return
	}
	if f.Offload.Fits(&p) {
		packet.FinishChecksum(f, &p)
	}
	flip(f.Data[p.L4:p.End], dice)
}

func breakHeader(f *packet.Frame, p *packet.Packet, dice *rand.Rand) {
	if p.IPv6 {
		f.Data[packet.L3] ^= 1 << (4 + dice.IntN(4))
		return
	}
	const checksum = packet.L3 + 10 // RFC 791, 3.1
	flip(f.Data[checksum:checksum+2], dice)
}

func flip(data []byte, dice *rand.Rand) {
	bit := dice.IntN(8 * len(data))
	data[bit/8] ^= 1 << (bit % 8)
}
