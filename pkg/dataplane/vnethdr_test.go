package dataplane

import (
	"testing"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/stretchr/testify/require"
)

func TestVnetHdr(t *testing.T) {
	const headers = ethernetLen + ipv4Len + tcpLen
	super := func(payload int, change func(*packet.Frame)) packet.Frame {
		f := tcpSuperframe(left, right, 1000, make([]byte, payload))
		if change != nil {
			change(&f)
		}
		return f
	}
	for _, tt := range []struct {
		name  string
		frame packet.Frame
		want  packet.Offload
	}{
		{"an ordinary frame has an empty header", packet.Frame{Data: udpFrame(left, right, nil)}, packet.Offload{}},
		{"a superframe keeps everything", super(2000, nil), super(2000, nil).Offload},
		{"the length of the headers is measured, not believed",
			super(2000, func(f *packet.Frame) { f.Offload.HdrLen = 1500 }), super(2000, nil).Offload},
		{"TCP options belong to the headers", super(2000,
			func(f *packet.Frame) { f.Data[ethernetLen+ipv4Len+12] = 8 << 4 }),
			packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSOType: packet.GSOTCPv4, GSOSize: 1000,
				HdrLen: headers + 12}},
		{"the ECN bit stays", super(2000, func(f *packet.Frame) { f.Offload.GSOType |= packet.GSOECN }),
			packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSOType: packet.GSOTCPv4 | packet.GSOECN,
				GSOSize: 1000, HdrLen: headers}},
		{"UDP segments have headers of 8 bytes", super(2000,
			func(f *packet.Frame) { f.Offload.GSOType, f.Offload.CsumOffset = packet.GSOUDPL4, 6 }),
			packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6, GSOType: packet.GSOUDPL4, GSOSize: 1000,
				HdrLen: headers - 12}},
		{"a payload of one segment is no superframe", super(1000, nil),
			packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}},
		{"a payload of one byte more is", super(1001, nil), super(1001, nil).Offload},
		{"a checksum beyond the frame does not matter here",
			super(2000, func(f *packet.Frame) { f.Offload.CsumStart = 60000 }),
			packet.Offload{NeedsCsum: true, CsumStart: 60000, CsumOffset: 16}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hdr := []byte("old content")
			writeVnetHdr(hdr, &tt.frame, len(tt.frame.Data))
			require.Equal(t, tt.want, readVnetHdr(hdr))
			require.Equal(t, byte('t'), hdr[vnetHdrLen], "only the header is written")
		})
	}
}
