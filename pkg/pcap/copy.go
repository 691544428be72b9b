package pcap

import (
	"encoding/binary"
	"errors"
	"io"
)

// CopyBlocks copies what an NgWriter writes, in whole blocks: whenever the
// source ends, w has a file that is complete. It returns how many packets it
// has and how many the writer said were missing. note is called for what the writer
// noted; it may be nil.
func CopyBlocks(w io.Writer, r io.Reader, note func(text string)) (packets, dropped uint64, err error) {
	missing := map[uint32]uint64{} // by interface
	ours := Reader{order: binary.LittleEndian, Note: note}
	var block []byte
	for {
		block, err = readBlock(block, r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return packets, dropped, nil
		}
		if err != nil {
			return packets, dropped, err
		}
		switch binary.LittleEndian.Uint32(block) {
		case blockInterface:
			ours.ng = ours.ng[:0] // only what is noted with it is asked for
			if err := ours.describe(block[8 : len(block)-4]); err != nil {
				return packets, dropped, err
			}
		case blockPacket:
			packets++
		case blockStatistics:
			if number, n, ok := ours.droppedIn(block[8 : len(block)-4]); ok {
				dropped += n - missing[number]
				missing[number] = n
			}
		}
		if _, err := w.Write(block); err != nil {
			return packets, dropped, err
		}
	}
}

func readBlock(block []byte, r io.Reader) ([]byte, error) {
	block = append(block[:0], make([]byte, 8)...)
	if _, err := io.ReadFull(r, block); err != nil {
		return block, err
	}
	length := binary.LittleEndian.Uint32(block[4:])
	if length < 12 || length > maxBlock {
		return block, &Error{Text: "has a block of a length that no block has"}
	}
	block = append(block, make([]byte, length-8)...)
	_, err := io.ReadFull(r, block[8:])
	return block, err
}

// droppedIn reads the body of an interface statistics block.
func (r *Reader) droppedIn(body []byte) (number uint32, dropped uint64, ok bool) {
	const optionsAt = 12
	if len(body) < optionsAt {
		return 0, 0, false
	}
	err := r.options(body[optionsAt:], func(code uint16, value []byte) error {
		if code == optDropped && len(value) == 8 {
			dropped, ok = r.order.Uint64(value), true
		}
		return nil
	})
	return r.order.Uint32(body), dropped, ok && err == nil
}
