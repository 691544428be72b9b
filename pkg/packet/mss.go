package packet

import "encoding/binary"

const (
	optionMSS     = 2
	optionMSSSize = 4
)

// ClampMSS lowers the maximum segment size that the SYN p in f announces to
// mss bytes of payload, and says whether it had to. A segment without the
// option is left alone: it asks for no more than 536 bytes (RFC 9293, 3.7.1).
// A checksum that the device finishes does not change yet.
func ClampMSS(f *Frame, p *Packet, mss uint16) bool {
	at := findMSS(f.Data[p.L4+tcpHeaderLen : p.Payload])
	if at < 0 {
		return false
	}
	l4 := f.Data[p.L4:p.End]
	at += tcpHeaderLen
	old := binary.BigEndian.Uint16(l4[at:])
	if old <= mss {
		return false
	}
	binary.BigEndian.PutUint16(l4[at:], mss)
	if f.Offload.NeedsCsum {
		return true
	}
	from, to := old, mss
	if at%2 != 0 {
		// The value lies across two words of the sum, so each of its bytes
		// counts as the other half (RFC 1071, 2, on byte order).
		from, to = swapped(old), swapped(mss)
	}
	field := l4[tcpChecksum : tcpChecksum+2]
	checksum := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, Update(checksum, uint32(^from)+uint32(to)))
	return true
}

// findMSS returns where the value of the option is, or -1. Options behind one
// that is malformed are not looked for.
func findMSS(options []byte) int {
	for at := 0; at < len(options); {
		size := optionSize(options[at:])
		switch {
		case size == 0 || options[at] == optionEnd:
			return -1
		case options[at] == optionMSS && size == optionMSSSize:
			return at + 2
		}
		at += size
	}
	return -1
}

func swapped(v uint16) uint16 { return v<<8 | v>>8 }
