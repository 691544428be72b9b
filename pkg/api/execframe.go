package api

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// FrameKind is what a Frame carries.
type FrameKind byte

// The kinds of frames between a program on an instance of another host and its user.
const (
	FrameInput  FrameKind = iota + 1 // to the program: bytes of its standard input; none is their end
	FrameSignal                      // to the program: a byte, the number of a signal
	FrameSize                        // to the program: rows and columns of the terminal, two bytes each
	FrameOutput                      // of the program: standard output, or what the terminal shows
	FrameError                       // of the program: standard error
	FrameTaken                       // of the program: how many bytes of input it has taken, four bytes
	FrameExit                        // of the program: a byte, its exit code; the last frame
)

// MaxFrame is how many bytes a frame carries at most.
const MaxFrame = 32 << 10

// ExecWindow is how many bytes of input may be on their way to a program that does not take
// them. Whoever sends more is cut off: signals, and the end of the connection, are behind them.
const ExecWindow = 256 << 10

// Frame is a message between a program and its user.
type Frame struct {
	Kind FrameKind
	Data []byte
}

const frameHeader = 4

// FrameBuffer has room for a frame.
type FrameBuffer [frameHeader + MaxFrame]byte

// ReadFrame reads a frame into buf, of which the frame's data is a part. It is io.EOF where
// there is none any more.
func ReadFrame(r io.Reader, buf *FrameBuffer) (Frame, error) {
	if _, err := io.ReadFull(r, buf[:frameHeader]); err != nil {
		return Frame{}, err
	}
	head := binary.BigEndian.Uint32(buf[:])
	f := Frame{Kind: FrameKind(head >> 24)}
	length := int(head & (1<<24 - 1))
	if f.Kind < FrameInput || f.Kind > FrameExit || length > MaxFrame || !f.Kind.fits(length) {
		return Frame{}, fmt.Errorf("a frame of kind %d with %d bytes: the other end is no plinksim", f.Kind, length)
	}
	f.Data = buf[frameHeader : frameHeader+length]
	if _, err := io.ReadFull(r, f.Data); err != nil {
		return Frame{}, io.ErrUnexpectedEOF
	}
	return f, nil
}

// fits says whether a frame of a kind may have so many bytes.
func (k FrameKind) fits(length int) bool {
	switch k {
	case FrameSignal, FrameExit:
		return length == 1
	case FrameSize, FrameTaken:
		return length == 4
	}
	return true
}

// Uint32 is what a frame of four bytes says.
func (f Frame) Uint32() uint32 { return binary.BigEndian.Uint32(f.Data) }

// FrameWriter writes frames, each with one Write. It is safe for concurrent use.
type FrameWriter struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewFrameWriter writes to w.
func NewFrameWriter(w io.Writer) *FrameWriter { return &FrameWriter{w: w} }

// Write writes a frame, of at most MaxFrame bytes.
func (w *FrameWriter) Write(kind FrameKind, data ...byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = binary.BigEndian.AppendUint32(w.buf[:0], uint32(kind)<<24|uint32(len(data)))
	w.buf = append(w.buf, data...)
	_, err := w.w.Write(w.buf)
	return err
}

// WriteUint32 writes a frame of four bytes.
func (w *FrameWriter) WriteUint32(kind FrameKind, v uint32) error {
	return w.Write(kind, binary.BigEndian.AppendUint32(nil, v)...)
}

// TerminalSize is how large a terminal is, in characters.
type TerminalSize struct {
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

func (s TerminalSize) number() uint32 { return uint32(s.Rows)<<16 | uint32(s.Columns) }

// Size is what a FrameSize says.
func (f Frame) Size() TerminalSize {
	return TerminalSize{Rows: uint16(f.Uint32() >> 16), Columns: uint16(f.Uint32())}
}
