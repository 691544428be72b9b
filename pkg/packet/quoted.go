package packet

import "encoding/binary"

// SetQuotedSeq gives the TCP segment that the ICMP error p in data quotes, q,
// another sequence number, with both checksums.
func SetQuotedSeq(data []byte, p, q *Packet, seq uint32) { setQuoted(data, p, q, tcpSeq, seq) }

// SetQuotedAck does the same with the acknowledgment number, if the quotation
// reaches it.
func SetQuotedAck(data []byte, p, q *Packet, ack uint32) {
	if q.QuotesAck() {
		setQuoted(data, p, q, tcpAck, ack)
	}
}

// QuotesAck says whether a quotation has the acknowledgment number and the
// flags that say whether it means something.
func (p *Packet) QuotesAck() bool { return p.Kind == TCP && int(p.End)-int(p.L4) >= tcpOffset+2 }

func setQuoted(data []byte, p, q *Packet, at uint16, v uint32) {
	field := data[q.L4+at:]
	changed := Difference(binary.BigEndian.Uint32(field), v)
	binary.BigEndian.PutUint32(field, v)
	changed += updateQuotedChecksum(data[q.L4:q.End], TCP, changed)
	checksum := data[p.L4+icmpChecksum:]
	binary.BigEndian.PutUint16(checksum, Update(binary.BigEndian.Uint16(checksum), changed))
}
