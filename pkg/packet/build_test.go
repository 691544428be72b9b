package packet_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func decode(t *testing.T, data []byte) gopacket.Packet {
	t.Helper()
	decoded := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
	require.Nil(t, decoded.ErrorLayer())
	return decoded
}

func TestICMPErrorBuild(t *testing.T) {
	for _, tt := range []struct {
		name   string
		about  []byte
		quoted int
	}{
		{"nat 52: a short packet is quoted whole", build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...), 45},
		{"nat 52: the error about a long packet has 576 bytes",
			build(t, udp(ipv4(layers.IPProtocolUDP), string(make([]byte, 1400)))...), 548},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.about)
			frame := bytes.Repeat([]byte{0xee}, packet.ICMPErrorSize(&p))
			packet.ICMPError{
				Type: packet.ICMPUnreachable, Code: packet.ICMPCodeFragNeeded, Rest: 1400,
			}.Build(frame, tt.about, &p)

			decoded := decode(t, frame)
			eth := decoded.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
			require.Equal(t, ethernet().SrcMAC, eth.DstMAC)
			require.Equal(t, ethernet().DstMAC, eth.SrcMAC)
			ip := decoded.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
			require.Equal(t, "10.0.1.200", ip.SrcIP.String())
			require.Equal(t, "10.0.1.10", ip.DstIP.String())
			require.EqualValues(t, len(frame)-packet.L3, ip.Length)
			require.EqualValues(t, 64, ip.TTL)
			icmp := decoded.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			require.Equal(t, layers.CreateICMPv4TypeCode(3, 4), icmp.TypeCode)
			require.EqualValues(t, 1400, icmp.Seq, "the MTU is the lower half")
			require.Equal(t, tt.about[packet.L3:packet.L3+tt.quoted], icmp.Payload)

			got := parsed(t, frame)
			require.EqualValues(t, 0xffff, naiveSum(frame[packet.L3:got.L4], 0))
			require.EqualValues(t, 0xffff, naiveSum(frame[got.L4:got.End], 0))
			var q packet.Packet
			require.True(t, packet.ParseQuote(frame, &got, &q), "it is read as it was written")
			require.Equal(t, p.SrcPort, q.SrcPort)
		})
	}
}

func TestMayReport(t *testing.T) {
	segment := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	echo := build(t, ethernet(), ipv4(layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)})
	edit := func(data []byte, at int, with ...byte) []byte {
		data = append([]byte(nil), data...)
		copy(data[at:], with)
		return data
	}
	for _, tt := range []struct {
		name string
		data []byte
		want bool
	}{
		{"nat 52: a segment may be reported", segment, true},
		{"nat 52: the first fragment may be reported", edit(segment, packet.L3+6, 0x20, 0), true},
		{"nat 31: a later fragment may not", edit(segment, packet.L3+6, 0x20, 1), false},
		{"nat 31: an echo may be reported", echo, true},
		{"nat 31: an error may not", quoting(t, ipv4(layers.IPProtocolTCP), 1000), false},
		{"nat 31: the first fragment of an error may not", edit(quoting(t, ipv4(layers.IPProtocolTCP), 1000),
			packet.L3+6, 0x20, 0), false},
		{"nat 31: a redirect may not", edit(echo, packet.L3+20, 5), false},
		{"nat 31: a packet for a multicast group may not", edit(segment, packet.L3+16, 224, 0, 0, 1), false},
		{"nat 31: a packet for everybody may not", edit(segment, packet.L3+16, 255, 255, 255, 255), false},
		{"nat 31: a frame for everybody may not", edit(segment, 0, 255, 255, 255, 255, 255, 255), false},
		{"nat 31: a source that is no host may not", edit(segment, packet.L3+12, 224, 0, 0, 1), false},
		{"ARP may not", edit(segment, 12, 0x08, 0x06), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			packet.Parse(tt.data, &p)
			require.Equal(t, tt.want, packet.MayReport(tt.data, &p))
		})
	}
}

func TestBuildReset(t *testing.T) {
	segment := func(flags uint8, payload string) []byte {
		data := build(t, tcp(ipv4(layers.IPProtocolTCP), payload)...)
		binary.BigEndian.PutUint32(data[38:], 1000)
		binary.BigEndian.PutUint32(data[42:], 5000)
		data[47] = flags
		return data
	}
	for _, tt := range []struct {
		name     string
		data     []byte
		seq, ack uint32
		flags    uint8
	}{
		{"nat 18: to a segment with ACK it has the acknowledged number", segment(packet.FlagACK, "hello"), 5000, 0,
			packet.FlagRST},
		{"nat 18: to a SYN-ACK too", segment(packet.FlagSYN|packet.FlagACK, ""), 5000, 0, packet.FlagRST},
		{"nat 18: to a SYN it acknowledges the SYN", segment(packet.FlagSYN, ""), 0, 1001,
			packet.FlagRST | packet.FlagACK},
		{"nat 18: to a FIN without ACK it acknowledges payload and FIN", segment(packet.FlagFIN, "hello"), 0, 1006,
			packet.FlagRST | packet.FlagACK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.data)
			frame := bytes.Repeat([]byte{0xee}, packet.ResetSize)
			require.True(t, packet.BuildReset(frame, tt.data, &p))
			decoded := decode(t, frame)
			require.Equal(t, ethernet().SrcMAC, decoded.Layer(layers.LayerTypeEthernet).(*layers.Ethernet).DstMAC)
			rst := decoded.Layer(layers.LayerTypeTCP).(*layers.TCP)
			require.Equal(t, tt.seq, rst.Seq)
			require.Equal(t, tt.ack, rst.Ack)
			got := parsed(t, frame)
			require.Equal(t, tt.flags, got.Flags)
			require.Equal(t, [4]uint32{p.Dst, p.Src, uint32(p.DstPort), uint32(p.SrcPort)},
				[4]uint32{got.Src, got.Dst, uint32(got.SrcPort), uint32(got.DstPort)})
			requireRightChecksums(t, &packet.Frame{Data: frame})
			require.True(t, packet.IntactTCP(&packet.Frame{Data: frame}, &got))
		})
	}
	t.Run("nat 18: a RST is never answered", func(t *testing.T) {
		data := segment(packet.FlagRST|packet.FlagACK, "")
		p := parsed(t, data)
		require.False(t, packet.BuildReset(make([]byte, packet.ResetSize), data, &p))
	})
}

func TestIntactTCP(t *testing.T) {
	f := packet.Frame{Data: build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)}
	p := parsed(t, f.Data)
	require.True(t, packet.IntactTCP(&f, &p))
	f.Data[p.Payload] ^= 1
	require.False(t, packet.IntactTCP(&f, &p), "a damaged payload")
	f.Offload = packet.Offload{NeedsCsum: true, CsumStart: p.L4, CsumOffset: 16}
	require.True(t, packet.IntactTCP(&f, &p), "the checksum comes later")
	f.Data[packet.L3+8]++
	require.False(t, packet.IntactTCP(&f, &p), "a damaged IPv4 header")
}

func TestBuildingDoesNotAllocate(t *testing.T) {
	data := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	p := parsed(t, data)
	report, reset := make([]byte, packet.ICMPErrorSize(&p)), make([]byte, packet.ResetSize)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		packet.ICMPError{Type: packet.ICMPTimeExceeded}.Build(report, data, &p)
		packet.BuildReset(reset, data, &p)
	}))
}
