package packet

import "encoding/binary"

// Fold brings a sum of 16-bit words into 16 bits, carries added (RFC 1071).
func Fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	return uint16(sum)
}

// Sum is the ones-complement sum of data, not complemented, an odd last byte
// padded with zero (RFC 1071). data has at most 128 KiB.
func Sum(data []byte) uint16 {
	var sum uint64
	for len(data) >= 8 {
		v := binary.BigEndian.Uint64(data)
		sum += v>>32 + v&0xffffffff
		data = data[8:]
	}
	for len(data) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(data))
		data = data[2:]
	}
	if len(data) == 1 {
		sum += uint64(data[0]) << 8
	}
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	return Fold(uint32(sum))
}

// PseudoSum is the sum of the pseudo-header that the checksums of TCP and UDP
// cover (RFC 9293, 3.1), not complemented. It is also what the checksum field
// of a frame with Offload.NeedsCsum holds.
func PseudoSum(src, dst uint32, protocol uint8, length uint16) uint16 {
	return Fold(halves(src) + halves(dst) + uint32(protocol) + uint32(length))
}

// Difference is what replacing from by to adds to a sum, not folded: up to
// 15,000 of them can be added up before Fold.
func Difference(from, to uint32) uint32 {
	return halves(^from) + halves(to)
}

// Update is a checksum after the words under it changed by difference: RFC
// 1624, equation 3. The older form of RFC 1141 yields 0xffff where 0 is right.
func Update(checksum uint16, difference uint32) uint16 {
	return ^Fold(uint32(^checksum) + difference)
}

// UpdatePartial is a checksum field that holds a sum which is not
// complemented, after the words under it changed by difference.
func UpdatePartial(sum uint16, difference uint32) uint16 {
	return Fold(uint32(sum) + difference)
}

// halves is the sum of the two 16-bit words of v.
func halves(v uint32) uint32 { return v>>16 + v&0xffff }
