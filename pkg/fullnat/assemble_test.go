package fullnat

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// assemble waits until all fragments of a datagram have left, in whatever
// order, and tells what their receiver puts together. It must be to the last
// byte what its sender would have built.
func (s *story) assemble(f packet.Frame, m message) {
	if m.to == 0 {
		return
	}
	name := fmt.Sprint(f.ENI, m.protocol, m.src.Addr(), m.dst.Addr(), m.id)
	f.Data = append([]byte(nil), f.Data...)
	s.parts[name] = append(s.parts[name], f)
	data, ok := whole(s.parts[name])
	if !ok {
		return
	}
	delete(s.parts, name)
	datagram, exact := read(packet.Frame{Data: data})
	require.True(s.t, exact, "%s was put together of wrong fragments", datagram)
	if datagram.ttl == 63 {
		datagram.ttl = 64
	}
	s.tell("%s = %s", s.names[f.ENI], datagram)
}

// whole is the datagram of fragments, if none is missing and none overlap.
func whole(frames []packet.Frame) (data []byte, ok bool) {
	sort.SliceStable(frames, func(i, j int) bool {
		return readIP(frames[i].Data[packet.L3:]).from < readIP(frames[j].Data[packet.L3:]).from
	})
	next := 0
	for i, f := range frames {
		h := f.Data[packet.L3:]
		m := readIP(h)
		if m.from != next || m.more == (i == len(frames)-1) {
			return nil, false
		}
		next = m.to
		switch {
		case i == 0:
			data = append(data, f.Data...)
		case m.isIPv6():
			data = append(data, h[40+8*len(m.headers()):]...)
		default:
			data = append(data, h[int(h[0]&15)*4:]...)
		}
	}
	h := data[packet.L3:]
	if h[0]>>4 == 6 {
		return wholeIPv6(data), true
	}
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	h[6] &= 0x40
	h[7], h[10], h[11] = 0, 0, 0
	binary.BigEndian.PutUint16(h[10:], ^sumOf(h[:int(h[0]&15)*4]))
	return data, true
}

// wholeIPv6 takes the fragment header, the last one, out of a datagram.
func wholeIPv6(data []byte) []byte {
	h := data[packet.L3:]
	binary.BigEndian.PutUint16(h[4:], uint16(len(h)-48))
	next, at := &h[6], 40
	for *next != 44 {
		next, at = &h[at], at+8
	}
	*next = h[at]
	return append(data[:packet.L3+at:packet.L3+at], h[at+8:]...)
}
