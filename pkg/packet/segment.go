package packet

import "encoding/binary"

// Seq is the sequence number of the TCP segment p in data.
func (p *Packet) Seq(data []byte) uint32 { return binary.BigEndian.Uint32(data[p.L4+tcpSeq:]) }

// Ack is the acknowledgment number of the TCP segment p in data. It means
// something only where FlagACK is set.
func (p *Packet) Ack(data []byte) uint32 { return binary.BigEndian.Uint32(data[p.L4+tcpAck:]) }

// Window is the window field of the TCP segment p in data, not scaled.
func (p *Packet) Window(data []byte) uint16 { return binary.BigEndian.Uint16(data[p.L4+tcpWindow:]) }

// SegmentLength is how much of the sequence space a TCP segment takes: its
// payload, and one each for SYN and FIN (RFC 9293, 3.4).
func (p *Packet) SegmentLength() uint32 {
	n := uint32(p.PayloadLength())
	if p.Flags&FlagSYN != 0 {
		n++
	}
	if p.Flags&FlagFIN != 0 {
		n++
	}
	return n
}

// SetSeq gives the TCP segment p in f another sequence number.
func SetSeq(f *Frame, p *Packet, seq uint32) { setWord(f, p, tcpSeq, seq) }

// SetAck gives the TCP segment p in f another acknowledgment number.
func SetAck(f *Frame, p *Packet, ack uint32) { setWord(f, p, tcpAck, ack) }

// setWord replaces four bytes at an even offset in the TCP header.
func setWord(f *Frame, p *Packet, at uint16, v uint32) {
	field := f.Data[p.L4+at:]
	updateTCP(f, p, Difference(binary.BigEndian.Uint32(field), v))
	binary.BigEndian.PutUint32(field, v)
}

// updateTCP lets the checksum follow a change below it that is not one of the
// pseudo-header: whoever completes a partial one looks at the change himself.
func updateTCP(f *Frame, p *Packet, difference uint32) {
	if isPartial(f, p) {
		return
	}
	field := f.Data[p.L4+tcpChecksum:]
	binary.BigEndian.PutUint16(field, Update(binary.BigEndian.Uint16(field), difference))
}

func isPartial(f *Frame, p *Packet) bool { return f.Offload.NeedsCsum && f.Offload.CsumStart == p.L4 }

// Overwrite replaces bytes of the TCP header of p in f, from offset at of the
// header on, wherever they lie with respect to the words of the checksum. They
// must not reach the checksum itself nor beyond the header.
func Overwrite(f *Frame, p *Packet, at int, with []byte) {
	first, last := at&^1, (at+len(with)+1)&^1
	words := f.Data[int(p.L4)+first : int(p.L4)+last]
	before := uint32(Sum(words))
	copy(words[at-first:], with)
	updateTCP(f, p, uint32(^Fold(before))+uint32(Sum(words)))
}

// Option is an option of a TCP header: at is the offset of its kind in the
// header and length how many bytes it has, kind and length included.
type Option struct{ Kind, At, Length int }

// Kinds of TCP options (IANA, "TCP Option Kind Numbers").
const (
	OptionEnd           = 0
	OptionNop           = 1
	OptionMSS           = 2
	OptionWindowScale   = 3
	OptionSACK          = 5
	OptionTimestamps    = 8
	OptionMD5           = 19
	OptionAuthenticated = 29
	OptionFastOpen      = 34
	OptionExperiment1   = 253
	OptionExperiment2   = 254
)

// NextOption is the first option of the TCP segment p at or after offset at of
// its header, no-operations skipped; false behind the last one, and from where
// the options contradict the header on. Start with TCPHeaderLen, and go on with
// o.At + o.Length.
func (p *Packet) NextOption(data []byte, at int) (o Option, ok bool) {
	h := data[p.L4:p.Payload]
	for at < len(h) && h[at] == OptionNop {
		at++
	}
	if at+1 >= len(h) || h[at] == OptionEnd {
		return o, false
	}
	o = Option{Kind: int(h[at]), At: at, Length: int(h[at+1])}
	return o, o.Length >= 2 && at+o.Length <= len(h)
}

// TCPHeaderLen is how many bytes a TCP header without options has.
const TCPHeaderLen = tcpHeaderLen

// FindOption is the first option of a kind.
func (p *Packet) FindOption(data []byte, kind int) (o Option, ok bool) {
	o, ok = p.NextOption(data, tcpHeaderLen)
	for ok && o.Kind != kind {
		o, ok = p.NextOption(data, o.At+o.Length)
	}
	return o, ok
}

// MSS is what the maximum segment size option of p says; false without one.
func (p *Packet) MSS(data []byte) (mss uint16, o Option, ok bool) {
	if o, ok = p.FindOption(data, OptionMSS); !ok || o.Length != 4 {
		return 0, o, false
	}
	return binary.BigEndian.Uint16(data[int(p.L4)+o.At+2:]), o, true
}

// WindowScale is the window scale of the SYN p in data. More than 14 is taken
// for 14 (RFC 7323, 2.3).
func (p *Packet) WindowScale(data []byte) (scale uint8, ok bool) {
	o, ok := p.FindOption(data, OptionWindowScale)
	if !ok || o.Length != 3 {
		return 0, false
	}
	return min(data[int(p.L4)+o.At+2], 14), true
}
