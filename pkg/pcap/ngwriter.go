package pcap

import (
	"encoding/binary"
	"io"
)

// NgWriter writes pcapng, little endian, with times in nanoseconds. Each
// method writes one whole block in one Write, so the file may end after any of
// them.
type NgWriter struct {
	out   io.Writer
	block []byte // the one that is being made, used again
	count int    // interfaces
}

// NewNgWriter starts a section. application says who wrote the file.
func NewNgWriter(w io.Writer, application string) (*NgWriter, error) {
	n := &NgWriter{out: w}
	n.start(blockSection)
	n.u32(byteOrderMagic)
	n.u32(1)          // version 1.0
	n.u64(^uint64(0)) // a section of unknown length
	n.option(optApplication, application)
	n.endOptions()
	return n, n.finish()
}

// AddInterface describes an interface and returns its number.
func (n *NgWriter) AddInterface(name, description string) (number int, err error) {
	n.start(blockInterface)
	n.u32(linkEthernet) // and a reserved half
	n.u32(MaxFrame)
	n.option(optName, name)
	n.option(optDescription, description)
	n.option(optResolution, resolutionNano)
	n.endOptions()
	n.count++
	return n.count - 1, n.finish()
}

// Note says something of the capture itself, for example that a part of it is missing. The
// format has no place for that but the comment of a block: it is that of an interface, which
// has the name of what it is about, and no packets.
func (n *NgWriter) Note(name, text string) error {
	n.start(blockInterface)
	n.u32(linkEthernet)
	n.u32(MaxFrame)
	n.option(optName, name)
	n.option(optComment, text)
	n.option(optResolution, resolutionNano)
	n.endOptions()
	n.count++
	return n.finish()
}

// resolutionNano is the value of if_tsresol for times in nanoseconds.
const resolutionNano = "\x09"

// Write adds a packet that was seen at interface number.
func (n *NgWriter) Write(number int, p *Packet) error {
	n.start(blockPacket)
	n.u32(uint32(number))
	n.time(p.Time)
	n.u32(uint32(len(p.Data)))
	n.u32(uint32(len(p.Data)))
	n.block = append(n.block, p.Data...)
	n.pad()
	n.option(optComment, p.Comment)
	if p.Direction != Unknown {
		n.head(optFlags, 4)
		n.u32(uint32(p.Direction))
	}
	n.endOptions()
	return n.finish()
}

// WriteStatistics says how many packets of interface number were seen at all
// and how many of them are missing from the file.
func (n *NgWriter) WriteStatistics(number int, time int64, received, dropped uint64) error {
	n.start(blockStatistics)
	n.u32(uint32(number))
	n.time(time)
	n.head(optReceived, 8)
	n.u64(received)
	n.head(optDropped, 8)
	n.u64(dropped)
	n.endOptions()
	return n.finish()
}

func (n *NgWriter) start(kind uint32) {
	n.block = n.block[:0]
	n.u32(kind)
	n.u32(0) // the length, set by finish
}

func (n *NgWriter) finish() error {
	length := uint32(len(n.block) + 4)
	binary.LittleEndian.PutUint32(n.block[4:], length)
	n.u32(length)
	_, err := n.out.Write(n.block)
	return err
}

// time has its high half first, whatever the byte order.
func (n *NgWriter) time(t int64) {
	n.u32(uint32(uint64(t) >> 32))
	n.u32(uint32(t))
}

func (n *NgWriter) option(code uint16, value string) {
	if value == "" {
		return
	}
	value = value[:min(len(value), 1<<15)]
	n.head(code, len(value))
	n.block = append(n.block, value...)
	n.pad()
}

func (n *NgWriter) head(code uint16, length int) {
	n.block = binary.LittleEndian.AppendUint16(n.block, code)
	n.block = binary.LittleEndian.AppendUint16(n.block, uint16(length))
}

func (n *NgWriter) endOptions() { n.head(optEnd, 0) }

func (n *NgWriter) pad() {
	for len(n.block)%4 != 0 {
		n.block = append(n.block, 0)
	}
}

func (n *NgWriter) u32(v uint32) { n.block = binary.LittleEndian.AppendUint32(n.block, v) }
func (n *NgWriter) u64(v uint64) { n.block = binary.LittleEndian.AppendUint64(n.block, v) }
