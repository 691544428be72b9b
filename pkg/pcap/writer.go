package pcap

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Writer writes classic pcap with times in nanoseconds, little endian.
type Writer struct {
	out *bufio.Writer
}

// NewWriter writes the file's header. Flush must be called in the end.
func NewWriter(w io.Writer) (*Writer, error) {
	out := bufio.NewWriterSize(w, 256<<10)
	var h [classicHeaderLen]byte
	binary.LittleEndian.PutUint32(h[0:], classicNano)
	binary.LittleEndian.PutUint16(h[4:], 2)
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], MaxFrame)
	binary.LittleEndian.PutUint32(h[20:], linkEthernet)
	_, err := out.Write(h[:])
	return &Writer{out}, err
}

// lastTime is the latest time that the format can hold: its seconds have 32
// bits.
const lastTime = 1<<32*1_000_000_000 - 1

// Write adds a packet. time is in nanoseconds since 1970.
func (w *Writer) Write(time int64, data []byte) error {
	if time < 0 || time > lastTime {
		return fmt.Errorf("a pcap file cannot hold the time %d s after 1970", time/1e9)
	}
	h := w.out.AvailableBuffer()
	h = binary.LittleEndian.AppendUint32(h, uint32(time/1e9))
	h = binary.LittleEndian.AppendUint32(h, uint32(time%1e9))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(data)))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(data)))
	if _, err := w.out.Write(h); err != nil {
		return err
	}
	_, err := w.out.Write(data)
	return err
}

// Flush writes what is still in memory.
func (w *Writer) Flush() error { return w.out.Flush() }
