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
		return readIPv4(frames[i].Data[packet.L3:]).from < readIPv4(frames[j].Data[packet.L3:]).from
	})
	next := 0
	for i, f := range frames {
		h := f.Data[packet.L3:]
		m := readIPv4(h)
		if m.from != next || m.more == (i == len(frames)-1) {
			return nil, false
		}
		next = m.to
		if i == 0 {
			data = append(data, f.Data...)
		} else {
			data = append(data, h[int(h[0]&15)*4:]...)
		}
	}
	h := data[packet.L3:]
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	h[6] &= 0x40
	h[7], h[10], h[11] = 0, 0, 0
	binary.BigEndian.PutUint16(h[10:], ^sumOf(h[:int(h[0]&15)*4]))
	return data, true
}
