package pcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Types of blocks (draft-ietf-opsawg-pcapng, 4 and 11.1).
const (
	blockInterface  = 1
	blockOldPacket  = 2
	blockSimple     = 3
	blockStatistics = 5
	blockPacket     = 6
	blockSection    = 0x0a0d0d0a // the same in either byte order
	byteOrderMagic  = 0x1a2b3c4d
)

// Codes of options (draft-ietf-opsawg-pcapng, 3.5, 4.1, 4.2, 4.3 and 4.6).
const (
	optEnd         = 0
	optComment     = 1
	optName        = 2 // if_name
	optDescription = 3 // if_description
	optApplication = 4 // shb_userappl
	optResolution  = 9 // if_tsresol
	optOffset      = 14
	optFlags       = 2 // epb_flags
	optReceived    = 4 // isb_ifrecv
	optDropped     = 5 // isb_ifdrop
)

// maxBlock bounds a block that is looked at; others are skipped, however long.
const maxBlock = MaxFrame + 64<<10

// ngInterface is what an interface description block says.
type ngInterface struct {
	link    uint16
	name    string
	unit    uint64 // parts of a second
	offset  int64  // seconds
	dropped uint64 // as the latest statistics say
}

// block is one block without its lengths.
type block struct {
	kind uint32
	body []byte
}

func (r *Reader) nextNg(packet *Packet) error {
	for {
		b, err := r.block()
		if err != nil {
			return err
		}
		switch b.kind {
		case blockSection:
			err = r.section()
		case blockInterface:
			err = r.describe(b.body)
		case blockPacket, blockOldPacket:
			r.number++
			return r.enhanced(b, packet)
		case blockStatistics:
			r.missing(b.body)
		case blockSimple:
			r.number++
			return r.wrong("has no time: capture with enhanced packet blocks")
		}
		if err != nil {
			return err
		}
		if _, err := r.in.Discard(r.used); err != nil {
			return err
		}
		r.used = 0
	}
}

// block peeks at the next block and sets used. Of a section header only the
// type is looked at, since its byte order is its own.
func (r *Reader) block() (block, error) {
	h, err := r.in.Peek(8)
	if len(h) == 0 && errors.Is(err, io.EOF) {
		return block{}, io.EOF
	}
	if err != nil {
		return block{}, r.endOfBlock(err)
	}
	kind, length := r.order.Uint32(h), r.order.Uint32(h[4:])
	if kind == blockSection {
		return block{kind: kind}, nil
	}
	if length < 12 || length%4 != 0 {
		return block{}, r.wrongBlock("has the length %d, which no block has", length)
	}
	if kind > blockPacket && length > maxBlock {
		_, err := r.in.Discard(int(length))
		if err != nil {
			return block{}, r.endOfBlock(err)
		}
		return block{kind: kind}, nil
	}
	if length > maxBlock {
		return block{}, r.wrongBlock("claims to be %d bytes long: want at most %d", length, maxBlock)
	}
	all, err := r.in.Peek(int(length))
	if err != nil {
		return block{}, r.endOfBlock(err)
	}
	if again := r.order.Uint32(all[length-4:]); again != length {
		return block{}, r.wrongBlock("has two lengths, %d and %d", length, again)
	}
	r.used = int(length)
	return block{kind, all[8 : length-4]}, nil
}

func (r *Reader) wrongBlock(text string, args ...any) error {
	return &Error{Packet: r.number + 1, Text: "or the block before it " + fmt.Sprintf(text, args...)}
}

func (r *Reader) endOfBlock(err error) error {
	if isEnd(err) {
		return r.wrongBlock("is cut off: the file ends within it")
	}
	return err
}

// section starts a section: the byte order is new, and no interface is known.
func (r *Reader) section() error {
	h, err := r.in.Peek(16)
	if err != nil {
		return headerEnd(err, "ends within the header of a section")
	}
	switch magic := binary.LittleEndian.Uint32(h[8:]); magic {
	case byteOrderMagic:
		r.order = binary.LittleEndian
	case swapped(byteOrderMagic):
		r.order = binary.BigEndian
	default:
		return &Error{Text: fmt.Sprintf("has a section with the byte order mark %08x", magic)}
	}
	if major := r.order.Uint16(h[12:]); major != 1 {
		return &Error{Text: fmt.Sprintf("is pcapng version %d.%d: want 1", major, r.order.Uint16(h[14:]))}
	}
	length := r.order.Uint32(h[4:])
	if length < 28 || length%4 != 0 || length > maxBlock {
		return &Error{Text: fmt.Sprintf("has a section header of %d bytes", length)}
	}
	all, err := r.in.Peek(int(length))
	if err != nil {
		return headerEnd(err, "ends within the header of a section")
	}
	r.used, r.ng = len(all), nil
	return nil
}

// maxInterfaces bounds what a file can make us remember.
const maxInterfaces = 1 << 16

func (r *Reader) describe(body []byte) error {
	if len(body) < 8 {
		return r.wrongBlock("describes an interface in %d bytes", len(body))
	}
	if len(r.ng) == maxInterfaces {
		return r.wrongBlock("is one interface too many: want at most %d", maxInterfaces)
	}
	i := ngInterface{link: r.order.Uint16(body), unit: 1e6}
	comment := ""
	err := r.options(body[8:], func(code uint16, value []byte) error {
		switch {
		case code == optName:
			i.name = string(bytes.TrimRight(value, "\x00"))
		case code == optComment:
			comment = string(value)
		case code == optResolution && len(value) == 1:
			i.unit = resolution(value[0])
			if i.unit == 0 {
				return r.wrongBlock("has times of an invalid resolution: %#x", value[0])
			}
		case code == optOffset && len(value) == 8:
			i.offset = int64(r.order.Uint64(value))
		}
		return nil
	})
	r.ng = append(r.ng, i)
	if err == nil && comment != "" && r.Note != nil {
		r.Note(comment)
	}
	return err
}

// resolution is how many units a second has (if_tsresol), 0 if too many.
func resolution(v byte) uint64 {
	n := v & 0x7f
	if v&0x80 != 0 {
		if n > 63 {
			return 0
		}
		return 1 << n
	}
	if n > 19 {
		return 0
	}
	unit := uint64(1)
	for range n {
		unit *= 10
	}
	return unit
}

// options calls each for every option in body.
func (r *Reader) options(body []byte, each func(code uint16, value []byte) error) error {
	for len(body) >= 4 {
		code, length := r.order.Uint16(body), int(r.order.Uint16(body[2:]))
		padded := 4 + (length+3)&^3
		if code == optEnd {
			return nil
		}
		if padded > len(body) {
			return r.wrongBlock("has an option that is longer than the rest of it")
		}
		if err := each(code, body[4:4+length]); err != nil {
			return err
		}
		body = body[padded:]
	}
	return nil
}

const enhancedHeaderLen = 20

// enhanced reads an enhanced packet block, or the older block that it
// replaced, which differs only in the size of the interface's number.
func (r *Reader) enhanced(b block, packet *Packet) error {
	if len(b.body) < enhancedHeaderLen {
		return r.wrong("is in a block of %d bytes: want at least %d", len(b.body), enhancedHeaderLen)
	}
	number := r.order.Uint32(b.body)
	if b.kind == blockOldPacket {
		number = uint32(r.order.Uint16(b.body))
	}
	if int64(number) >= int64(len(r.ng)) {
		return r.wrong("is of interface %d, which the file does not describe", number)
	}
	i := &r.ng[number]
	if !readable(uint32(i.link)) {
		return r.wrong("is of link type %d: %s", i.link, wantLinks)
	}
	captured, length := r.order.Uint32(b.body[12:]), r.order.Uint32(b.body[16:])
	if err := r.checkLength(captured, length); err != nil {
		return err
	}
	data := b.body[enhancedHeaderLen:]
	if int(captured) > len(data) {
		return r.wrong("is longer than its block: %d bytes", captured)
	}
	at, ok := i.time(uint64(r.order.Uint32(b.body[4:]))<<32 | uint64(r.order.Uint32(b.body[8:])))
	if !ok {
		return r.wrong("has a time that is out of range")
	}
	*packet = Packet{Time: at, Interface: i.name}
	if !packet.frame(uint32(i.link), b.body[:enhancedHeaderLen+captured], enhancedHeaderLen) {
		return r.wrong("is too short for a header: %d bytes", captured)
	}
	rest := data[min(len(data), int(captured+3)&^3):]
	if b.kind == blockOldPacket || len(rest) == 0 {
		return nil
	}
	return r.options(rest, func(code uint16, value []byte) error {
		switch {
		case code == optComment:
			packet.Comment = string(value)
		case code == optFlags && len(value) == 4:
			packet.Direction = Direction(r.order.Uint32(value) & 3)
		}
		return nil
	})
}

// time is a time stamp in nanoseconds since 1970, false before then and from
// the year 2262 on.
func (i *ngInterface) time(stamp uint64) (int64, bool) {
	high, low := bits.Mul64(stamp%i.unit, 1e9)
	fraction, _ := bits.Div64(high, low, i.unit)
	whole := stamp / i.unit
	const latest = 9_000_000_000 // seconds
	if whole > latest || i.offset > latest || i.offset < -latest {
		return 0, false
	}
	seconds := int64(whole) + i.offset
	if seconds < 0 || seconds > latest {
		return 0, false
	}
	return seconds*1e9 + int64(fraction), true
}

// missing takes note of an interface statistics block, for Dropped.
func (r *Reader) missing(body []byte) {
	if number, dropped, ok := r.droppedIn(body); ok && int(number) < len(r.ng) {
		r.ng[number].dropped = dropped
	}
}

// Dropped is how many packets are missing, as far as the file has said so: a
// capture that cannot keep up leaves packets out, and writes how many.
func (r *Reader) Dropped() (n uint64) {
	for _, i := range r.ng {
		n += i.dropped
	}
	return n
}
