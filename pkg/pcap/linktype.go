package pcap

import "encoding/binary"

// Link types that are read (www.tcpdump.org/linktypes.html). Files of Linux's "any"
// device have the cooked ones, those of a tunnel or of "tcpdump -y RAW" raw IP.
const (
	linkEthernet = 1
	linkRawBSD   = 12 // what some systems write for linkRaw
	linkRawOther = 14
	linkRaw      = 101
	linkCooked   = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkCooked2  = 276
)

func readable(link uint32) bool {
	switch link {
	case linkEthernet, linkRawBSD, linkRawOther, linkRaw, linkCooked, linkIPv4, linkIPv6, linkCooked2:
		return true
	}
	return false
}

const wantLinks = "want Ethernet, or Linux cooked or raw IP packets: capture at one interface (tcpdump -i eth0 -w FILE)"

// Bytes of headers, and fields of the cooked ones (LINKTYPE_LINUX_SLL and _SLL2).
const (
	etherLen = 14

	cookedLen     = 16
	cookedAddress = 6
	cookedType    = 14

	cooked2Len     = 20
	cooked2Type    = 0
	cooked2Address = 12
)

// frame sets the packet's Data from the bytes that a file has from at on. Where they
// are no Ethernet frame, a header is made in front of the IP packet, with what is
// known of the sender: at least etherLen bytes before at are no longer needed.
func (p *Packet) frame(link uint32, record []byte, at int) bool {
	raw := record[at:]
	var etherType uint16
	var sender [6]byte
	size := 0 // of the header that the file has
	switch link {
	case linkEthernet:
		p.Data = raw[:len(raw):len(raw)]
		return true
	case linkCooked:
		if size = cookedLen; len(raw) < size {
			return false
		}
		etherType = binary.BigEndian.Uint16(raw[cookedType:])
		copy(sender[:], raw[cookedAddress:])
	case linkCooked2:
		if size = cooked2Len; len(raw) < size {
			return false
		}
		etherType = binary.BigEndian.Uint16(raw[cooked2Type:])
		copy(sender[:], raw[cooked2Address:])
	default:
		if len(raw) == 0 {
			return false
		}
		etherType = 0x0800
		if raw[0]>>4 == 6 {
			etherType = 0x86dd
		}
	}
	start := at + size - etherLen
	p.Data, p.NoMAC = record[start:len(record):len(record)], true
	clear(p.Data[:6])
	copy(p.Data[6:], sender[:])
	binary.BigEndian.PutUint16(p.Data[12:], etherType)
	return true
}
