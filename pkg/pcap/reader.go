package pcap

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Packet is one packet of a file.
type Packet struct {
	Time int64 // nanoseconds since 1970-01-01 UTC
	// Data is the frame from the Ethernet header on. It may be edited, and is
	// valid until the next call of Next.
	Data []byte
	// NoMAC says that the file has no Ethernet headers, but those of Linux's "any"
	// device or none: then the destination in Data is zero, and often the source.
	NoMAC bool

	// The rest is what only pcapng knows.
	Interface string // name; "" where the file has none
	Direction Direction
	Comment   string
}

// Direction is where a packet was going when it was seen (epb_flags in
// pcapng).
type Direction uint8

// The directions, as seen from the interface's owner.
const (
	Unknown  Direction = 0
	Received Direction = 1
	Sent     Direction = 2
)

// MaxFrame is the longest frame that is read: what packet programs use as
// their snapshot length (MAXIMUM_SNAPLEN, the-tcpdump-group/tcpdump:netdissect.h).
const MaxFrame = 256 << 10

// Error says what is wrong with a file.
type Error struct {
	Packet int // number of the packet, from 1; 0: the file's own header
	Text   string
}

func (e *Error) Error() string {
	if e.Packet == 0 {
		return e.Text
	}
	return fmt.Sprintf("packet %d %s", e.Packet, e.Text)
}

// Reader reads packets one after the other.
type Reader struct {
	// Note is called for what the writer of a pcapng file has noted (NgWriter.Note); nil: nobody
	// wants to know.
	Note func(text string)

	in     *bufio.Reader
	used   int // bytes of the latest packet, to be discarded before the next
	number int // of the latest packet
	next   func(*Packet) error

	order binary.ByteOrder
	unit  uint64 // classic: fractions of a second
	link  uint32 // classic
	ng    []ngInterface
}

// NewReader looks at the file's header. If there is none, the error is an *Error. A file
// that gzip has compressed is read as what it holds.
func NewReader(r io.Reader) (*Reader, error) {
	// Room for the longest block, so that packets are looked at where they are.
	p := &Reader{in: bufio.NewReaderSize(r, 2*MaxFrame)}
	magic, err := p.in.Peek(4)
	if err == nil && binary.BigEndian.Uint16(magic) == gzipMagic {
		unzipped, err := gzip.NewReader(p.in)
		if err != nil {
			return nil, headerEnd(err, "ends within the header of gzip")
		}
		p.in = bufio.NewReaderSize(unzipped, 2*MaxFrame)
		magic, err = p.in.Peek(4)
		if err != nil {
			return nil, headerEnd(err, "is no packet file: it is shorter than any")
		}
	}
	if err != nil {
		return nil, headerEnd(err, "is no packet file: it is shorter than any")
	}
	switch binary.LittleEndian.Uint32(magic) {
	case blockSection:
		p.next = p.nextNg
		return p, p.section()
	case classicMicro, classicNano:
		p.order = binary.LittleEndian
	case swapped(classicMicro), swapped(classicNano):
		p.order = binary.BigEndian
	default:
		return nil, &Error{Text: "is no packet file: " + otherFile(magic)}
	}
	p.next = p.nextClassic
	return p, p.classicHeader()
}

// otherFile says what a file without packets is.
func otherFile(magic []byte) string {
	for _, compressed := range []struct{ magic, name, command string }{
		{"\x28\xb5\x2f\xfd", "zstd", "zstd -d FILE"},
		{"\xfd7zX", "xz", "unxz FILE"},
		{"BZh", "bzip2", "bunzip2 FILE"},
		{"PK\x03\x04", "zip", "unzip FILE"},
	} {
		if strings.HasPrefix(string(magic), compressed.magic) {
			return fmt.Sprintf("it is compressed by %s: type %s", compressed.name, compressed.command)
		}
	}
	return fmt.Sprintf("it starts with % x, and not as pcap or pcapng", magic)
}

// Next fills packet with the next packet. At the end of the file it returns
// io.EOF; if the file is wrong, an *Error.
func (r *Reader) Next(packet *Packet) error {
	if _, err := r.in.Discard(r.used); err != nil {
		return err
	}
	r.used = 0
	return r.next(packet)
}

// Values of the magic number, read as little endian.
const (
	classicMicro = 0xa1b2c3d4
	classicNano  = 0xa1b23c4d
)

const gzipMagic = 0x1f8b // RFC 1952, 2.3.1

const (
	classicHeaderLen = 24
	recordHeaderLen  = 16
)

func swapped(v uint32) uint32 { return v>>24 | v>>8&0xff00 | v<<8&0xff0000 | v<<24 }

func (r *Reader) classicHeader() error {
	h, err := r.in.Peek(classicHeaderLen)
	if err != nil {
		return headerEnd(err, "ends within its header")
	}
	r.unit = 1e6
	if r.order.Uint32(h) == classicNano {
		r.unit = 1e9
	}
	if major := r.order.Uint16(h[4:]); major != 2 {
		return &Error{Text: fmt.Sprintf("is pcap version %d.%d: want 2.4", major, r.order.Uint16(h[6:]))}
	}
	const linkTypeBits = 0x0fffffff // above it is what says whether frames have an FCS
	if r.link = r.order.Uint32(h[20:]) & linkTypeBits; !readable(r.link) {
		return &Error{Text: fmt.Sprintf("has packets of link type %d: %s", r.link, wantLinks)}
	}
	r.used = classicHeaderLen
	return nil
}

func (r *Reader) nextClassic(packet *Packet) error {
	h, err := r.in.Peek(recordHeaderLen)
	if len(h) == 0 && errors.Is(err, io.EOF) {
		return io.EOF
	}
	r.number++
	if err != nil {
		return r.end(err)
	}
	seconds, fraction := uint64(r.order.Uint32(h)), uint64(r.order.Uint32(h[4:]))
	captured, length := r.order.Uint32(h[8:]), r.order.Uint32(h[12:])
	if fraction >= r.unit {
		return r.wrong("has an invalid time: %d of %d parts of a second", fraction, r.unit)
	}
	if err := r.checkLength(captured, length); err != nil {
		return err
	}
	record, err := r.in.Peek(recordHeaderLen + int(captured))
	if err != nil {
		return r.end(err)
	}
	r.used = len(record)
	*packet = Packet{Time: int64(seconds*1e9 + fraction*(1e9/r.unit))}
	if !packet.frame(r.link, record, recordHeaderLen) {
		return r.wrong("is too short for a header: %d bytes", captured)
	}
	return nil
}

func (r *Reader) checkLength(captured, length uint32) error {
	if captured > MaxFrame {
		return r.wrong("claims to be %d bytes long: want at most %d", captured, MaxFrame)
	}
	if captured < length {
		return r.wrong("was not captured whole (%d of %d bytes): capture with a longer snapshot length", captured,
			length)
	}
	return nil
}

func (r *Reader) wrong(text string, args ...any) error {
	return &Error{Packet: r.number, Text: fmt.Sprintf(text, args...)}
}

// end is a file that ends where a packet does not.
func (r *Reader) end(err error) error {
	if isEnd(err) {
		return r.wrong("is cut off: the file ends within it")
	}
	return fmt.Errorf("packet %d: %w", r.number, err)
}

func headerEnd(err error, text string) error {
	if isEnd(err) {
		return &Error{Text: text}
	}
	return err
}

// isEnd says whether a file ended, or what gzip made of it.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
