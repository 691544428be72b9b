package packet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func TestOptionsOf(t *testing.T) {
	routerAlert := []byte{148, 4, 0, 0}
	for _, tt := range []struct {
		name    string
		options []byte
		want    packet.IPOptions
	}{
		{"nat 56: router alert goes on", routerAlert, packet.PlainOptions},
		{"nat 56: record route goes on", []byte{7, 7, 4, 0, 0, 0, 0, 0}, packet.PlainOptions},
		{"nat 56: a loose source route is found", []byte{131, 7, 4, 10, 0, 0, 1, 0}, packet.SourceRoute},
		{"nat 56: a strict source route is found behind others", []byte{1, 1, 1, 137, 3, 4, 0, 0}, packet.SourceRoute},
		{"nat 56: what follows the end of the options is none", []byte{0, 131, 3, 4}, packet.PlainOptions},
		{"nat 58: an option without a length", []byte{1, 1, 1, 7}, packet.MalformedOptions},
		{"nat 58: an option shorter than its own header", []byte{7, 1, 0, 0}, packet.MalformedOptions},
		{"nat 58: an option longer than the header", []byte{7, 5, 4, 0}, packet.MalformedOptions},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := withOptions(t, tt.options)
			p := parsed(t, data)
			require.True(t, p.HasOptions())
			require.Equal(t, tt.want, packet.OptionsOf(data, &p))
		})
	}
	data := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	p := parsed(t, data)
	require.False(t, p.HasOptions())
	require.Equal(t, packet.PlainOptions, packet.OptionsOf(data, &p))
}

// withOptions is a datagram with some bytes between the headers.
func withOptions(t testing.TB, options []byte) []byte {
	t.Helper()
	data := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	data = append(append(append([]byte(nil), data[:34]...), options...), data[34:]...)
	h := data[packet.L3:]
	h[0] += uint8(len(options) / 4)
	binary.BigEndian.PutUint16(h[2:], uint16(len(data)-packet.L3))
	sealHeader(data, 20+len(options))
	return data
}

func sealHeader(data []byte, headerLen int) {
	h := data[packet.L3 : packet.L3+headerLen]
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^naiveSum(h, 0))
}

func TestSetIDKeepsTheChecksumRight(t *testing.T) {
	data := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	for _, id := range []uint16{0, 1, 0x7fff, 0xffff, 0} {
		p := parsed(t, data)
		p.SetID(data, uint32(id))
		require.EqualValues(t, id, p.ID(data))
		require.True(t, packet.IntactHeader(data, &p))
	}
}

func TestFrag(t *testing.T) {
	for _, tt := range []struct {
		name              string
		frag              uint16
		atomic, may, more bool
		offset            int
		kind              packet.Kind
	}{
		{"nat 51: with DF and whole a packet is atomic", 0x4000, true, false, false, 0, packet.UDP},
		{"nat 51: without DF it is not, since others may cut it", 0, false, true, false, 0, packet.UDP},
		{"nat 51: a fragment never is", 0x6000, false, false, true, 0, packet.Fragment},
		{"the last fragment", 0x00b9, false, true, false, 1480, packet.Fragment},
		{"the reserved bit means nothing", 0xc000, true, false, false, 0, packet.UDP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
			binary.BigEndian.PutUint16(data[packet.L3+6:], tt.frag)
			var p packet.Packet
			require.Equal(t, tt.kind, packet.Parse(data, &p))
			require.Equal(t, tt.atomic, p.Atomic())
			require.Equal(t, tt.may, p.MayBeFragmented())
			require.Equal(t, tt.more, p.MoreFragments())
			require.Equal(t, tt.offset, p.FragmentOffset())
		})
	}
}

func TestParseFirst(t *testing.T) {
	first := func(layers []gopacket.SerializableLayer, size int) []byte {
		data := build(t, layers...)
		data = data[:34+size]
		binary.BigEndian.PutUint16(data[packet.L3+2:], uint16(20+size))
		data[packet.L3+6] = 0x20
		return data
	}
	long := string(make([]byte, 100))
	for _, tt := range []struct {
		name string
		data []byte
		want packet.Kind
	}{
		{"nat 47: UDP, whose length is that of the datagram", first(udp(ipv4(layers.IPProtocolUDP), long), 40),
			packet.UDP},
		{"nat 47: TCP", first(tcp(ipv4(layers.IPProtocolTCP), long), 40), packet.TCP},
		{"nat 49: no more than eight bytes of TCP", first(tcp(ipv4(layers.IPProtocolTCP), long), 8), packet.Malformed},
		{"nat 49: TCP without its flags", first(tcp(ipv4(layers.IPProtocolTCP), long), 13), packet.Malformed},
		{"nat 49: a part of the UDP header", first(udp(ipv4(layers.IPProtocolUDP), long), 7), packet.Malformed},
		{"nothing of UDP", first(udp(ipv4(layers.IPProtocolUDP), long), 0), packet.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			require.Equal(t, packet.Fragment, packet.Parse(tt.data, &p))
			require.Equal(t, tt.want, packet.ParseFirst(tt.data, &p))
			if tt.want != packet.Malformed {
				require.EqualValues(t, 40000, p.SrcPort)
				require.NotZero(t, p.DstPort)
			}
		})
	}
}

// reassemble puts fragments together by their offsets and checks each header
// with gopacket's eyes. It returns the header of the first and the payload.
func reassemble(t testing.TB, frames [][]byte, mtu int) (first *layers.IPv4, payload []byte) {
	t.Helper()
	for i, data := range frames {
		require.LessOrEqual(t, len(data)-packet.L3, mtu)
		ip, ok := gopacket.NewPacket(data, layers.LayerTypeEthernet,
			gopacket.Default).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		require.True(t, ok)
		require.EqualValues(t, 0xffff, naiveSum(data[packet.L3:packet.L3+int(ip.IHL)*4], 0))
		require.Equal(t, len(payload), int(ip.FragOffset)*8, "in order")
		require.EqualValues(t, len(data)-packet.L3, ip.Length)
		require.Equal(t, i < len(frames)-1, ip.Flags&layers.IPv4MoreFragments != 0)
		if i == 0 {
			first = ip
		}
		require.Equal(t, first.Id, ip.Id)
		require.Equal(t, first.TTL, ip.TTL)
		require.Equal(t, first.TOS, ip.TOS)
		payload = append(payload, data[packet.L3+int(ip.IHL)*4:]...)
	}
	return first, payload
}

func TestSplit(t *testing.T) {
	const headers = 32 + 8 // IPv4 with its options, UDP
	for _, mtu := range []int{68, 576, 577, 1006, 1500} {
		for _, beyond := range []int{1, 7, 8, 600, 1480, 3000, 20000} {
			t.Run(fmt.Sprintf("nat 53: %d bytes beyond an MTU of %d", beyond, mtu), func(t *testing.T) {
				ip := ipv4(layers.IPProtocolUDP)
				ip.TOS, ip.Id = 0xb9, 4711
				ip.Options = []layers.IPv4Option{
					{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}},           // not copied
					{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}, {OptionType: 1}, // copied
				}
				content := make([]byte, mtu-headers+beyond)
				for i := range content {
					content[i] = byte(i * 7)
				}
				data := build(t, udp(ip, string(content))...)
				p := parsed(t, data)
				require.Equal(t, mtu+beyond, p.Length())
				require.True(t, packet.CanSplit(&p, mtu))
				want := append([]byte(nil), data[p.L4:]...)
				var frames [][]byte
				last := packet.Split(data, &p, mtu, func(n int) []byte {
					frames = append(frames, make([]byte, n))
					return frames[len(frames)-1]
				})
				first, payload := reassemble(t, append(frames, last), mtu)
				require.True(t, bytes.Equal(want, payload))
				require.Len(t, first.Options, 3)
				later := gopacket.NewPacket(last, layers.LayerTypeEthernet,
					gopacket.Default).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
				require.EqualValues(t, 6, later.IHL, "of the options, router alert is in every fragment")
				require.EqualValues(t, 148, later.Options[0].OptionType)
			})
		}
	}
	t.Run("nat 53: a fragment is cut once more, and its last fragment is not the datagram's", func(t *testing.T) {
		data := build(t, udp(ipv4(layers.IPProtocolUDP), string(make([]byte, 1000)))...)
		binary.BigEndian.PutUint16(data[packet.L3+6:], 0x2000|100)
		sealHeader(data, 20)
		var p packet.Packet
		require.Equal(t, packet.Fragment, packet.Parse(data, &p))
		last := packet.Split(data, &p, 576, func(n int) []byte { return make([]byte, n) })
		require.Equal(t, packet.Fragment, packet.Parse(last, &p))
		require.True(t, p.MoreFragments())
		require.Equal(t, 800+552, p.FragmentOffset())
	})
}

func TestClampMSS(t *testing.T) {
	mss := []byte{2, 4, 5, 180} // 1460
	for _, tt := range []struct {
		name    string
		options []byte
		want    int // 0: unchanged
	}{
		{"nat 36: first of the options", append(mss, 1, 3, 3, 7), 1400},
		{"nat 36: at an odd offset", append([]byte{1}, append(mss, 3, 3, 7)...), 1400},
		{"nat 36: behind others", []byte{4, 2, 3, 3, 7, 2, 4, 5, 180, 0, 0, 0}, 1400},
		{"nat 36: two at once", append(mss, 1, 1, 1, 1), 1400},
		{"nat 36: one that is small already", []byte{2, 4, 2, 24}, 0},
		{"nat 36: none", []byte{1, 3, 3, 7}, 0},
		{"nat 36: none before the end of the options", append([]byte{0, 0, 0, 0}, mss...), 0},
		{"nat 36: behind a malformed option", append([]byte{5, 0, 0, 0}, mss...), 0},
		{"nat 36: cut", []byte{1, 1, 2, 4}, 0},
		{"nat 36: with the wrong length", []byte{2, 3, 5, 1}, 0},
	} {
		for _, partial := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, partial checksum %v", tt.name, partial), func(t *testing.T) {
				f := packet.Frame{Data: withTCPOptions(t, tt.options)}
				p := parsed(t, f.Data)
				if partial {
					f.Offload = packet.Offload{NeedsCsum: true, CsumStart: p.L4, CsumOffset: 16}
				}
				recompute(&f, &p)
				before := append([]byte(nil), f.Data...)
				require.Equal(t, tt.want > 0, packet.ClampMSS(&f, &p, 1400))
				requireRightChecksums(t, &f)
				if tt.want == 0 {
					require.Equal(t, before, f.Data)
					return
				}
				segment := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet,
					gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
				for _, option := range segment.Options {
					if option.OptionType == layers.TCPOptionKindMSS {
						require.EqualValues(t, tt.want, binary.BigEndian.Uint16(option.OptionData))
						return
					}
				}
				t.Fatal("the option is gone")
			})
		}
	}
}

// withTCPOptions is a SYN with some bytes behind its header.
func withTCPOptions(t testing.TB, options []byte) []byte {
	t.Helper()
	data := build(t, tcp(ipv4(layers.IPProtocolTCP), "")...)[:54]
	data = append(data, options...)
	data[34+12] = uint8(20+len(options)) / 4 << 4
	data[34+13] = packet.FlagSYN
	binary.BigEndian.PutUint16(data[packet.L3+2:], uint16(len(data)-packet.L3))
	return data
}

func TestOffloadFits(t *testing.T) {
	segment := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	datagram := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	partialTCP := packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}
	partialUDP := packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6}
	gso := func(o packet.Offload, kind uint8, size uint16) packet.Offload {
		o.GSOType, o.GSOSize = kind, size
		return o
	}
	for _, tt := range []struct {
		name    string
		data    []byte
		offload packet.Offload
		want    bool
	}{
		{"none", segment, packet.Offload{}, true},
		{"a partial checksum of TCP", segment, partialTCP, true},
		{"a partial checksum of UDP", datagram, partialUDP, true},
		{"nat 33: a partial checksum elsewhere", segment, packet.Offload{NeedsCsum: true, CsumStart: 42,
			CsumOffset: 16}, false},
		{"nat 33: a partial checksum of UDP in TCP", segment, partialUDP, false},
		{"TCP segmentation", segment, gso(partialTCP, packet.GSOTCPv4, 1448), true},
		{"nat 38: a header length that is wrong", segment, packet.Offload{HdrLen: 9000}, true},
		{"nat 39: TCP segmentation with ECN", segment, gso(partialTCP, packet.GSOTCPv4|packet.GSOECN, 1448), true},
		{"nat 39: UDP segmentation with ECN", datagram, gso(partialUDP, packet.GSOUDPL4|packet.GSOECN, 1448), false},
		{"nat 39: ECN alone", segment, gso(partialTCP, packet.GSOECN, 1448), false},
		{"UDP segmentation", datagram, gso(partialUDP, packet.GSOUDPL4, 1400), true},
		{"nat 40: a type without a size", segment, gso(partialTCP, packet.GSOTCPv4, 0), false},
		{"nat 40: a size without a type", segment, gso(partialTCP, packet.GSONone, 1448), false},
		{"nat 40: the type of IPv6", segment, gso(partialTCP, packet.GSOTCPv6, 1448), false},
		{"nat 40: TCP segmentation of UDP", datagram, gso(partialUDP, packet.GSOTCPv4, 1448), false},
		{"nat 40: UDP segmentation of TCP", segment, gso(partialTCP, packet.GSOUDPL4, 1448), false},
		{"nat 40: a type that nobody knows", segment, gso(partialTCP, 7, 1448), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.data)
			require.Equal(t, tt.want, tt.offload.Fits(&p))
			require.Equal(t, tt.offload.NeedsCsum || tt.offload.GSOType != 0 || tt.offload.GSOSize != 0,
				tt.offload.Any())
		})
	}
}

func TestLongestPacket(t *testing.T) {
	segment := build(t, tcp(ipv4(layers.IPProtocolTCP), string(make([]byte, 5000)))...)
	p := parsed(t, segment)
	for _, tt := range []struct {
		name string
		size uint16
		want int
		is   bool
	}{
		{"nat 41: an ordinary frame is as long as it is", 0, 5040, false},
		{"nat 41: of a superframe headers and a segment count", 1448, 1488, true},
		{"nat 42: with one segment it is no superframe", 5000, 5040, false},
		{"nat 42: nor with less", 60000, 5040, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := packet.Frame{Data: segment, Offload: packet.Offload{GSOType: packet.GSOTCPv4, GSOSize: tt.size,
				HdrLen: 1000}}
			if tt.size == 0 {
				f.Offload.GSOType = packet.GSONone
			}
			require.Equal(t, tt.want, f.LongestPacket(&p))
			require.Equal(t, tt.is, f.IsSuperframe(&p))
		})
	}
}

func TestFinishChecksum(t *testing.T) {
	for _, data := range [][]byte{
		build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...),
		build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...),
	} {
		f := packet.Frame{Data: data}
		p := parsed(t, data)
		recompute(&f, &p)
		want := append([]byte(nil), f.Data...)
		f.Offload = packet.Offload{NeedsCsum: true, CsumStart: p.L4, CsumOffset: 16}
		if p.Kind == packet.UDP {
			f.Offload.CsumOffset = 6
		}
		recompute(&f, &p)
		require.NotEqual(t, want, f.Data)
		packet.FinishChecksum(&f, &p)
		require.Equal(t, want, f.Data)
		require.Zero(t, f.Offload)
	}
}

func TestEcho(t *testing.T) {
	echo := func(kind uint8, id uint16, payload string) []byte {
		return build(t, ethernet(), ipv4(layers.IPProtocolICMPv4), &layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: id, Seq: uint16(len(payload)),
		}, gopacket.Payload(payload))
	}
	for _, tt := range []struct {
		name           string
		data           []byte
		src, dst       uint16
		newSrc, newDst uint16
	}{
		{"nat 23: the identifier of a request is its source port", echo(8, 77, "hello"), 77, 0, 1024, 0},
		{"nat 23: the identifier of a reply is its destination port", echo(0, 1024, "hello"), 0, 1024, 0, 77},
		{"nat 23: a reply of nothing but zeros", echo(0, 1024, ""), 0, 1024, 0, 0},
		{"nat 23: an odd length", echo(8, 0, "hello!!"), 0, 0, 65535, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := packet.Frame{Data: tt.data}
			p := parsed(t, f.Data)
			require.True(t, p.IsEcho())
			require.Equal(t, tt.data[34] == 8, p.IsEchoRequest())
			require.Equal(t, tt.src, p.SrcPort)
			require.Equal(t, tt.dst, p.DstPort)
			r := packet.NewRewrite(&p, 0x0a00090b, 0x0a00010a, tt.newSrc, tt.newDst)
			r.Apply(&f, &p)
			got := parsed(t, f.Data)
			require.Equal(t, tt.newSrc, got.SrcPort)
			require.Equal(t, tt.newDst, got.DstPort)
			require.EqualValues(t, 0x0a00090b, got.Src)
			require.True(t, packet.IntactHeader(f.Data, &got))
			require.EqualValues(t, 0xffff, naiveSum(f.Data[got.L4:got.End], 0))
		})
	}
}

func TestQuoteOfAnEcho(t *testing.T) {
	inner := ipv4(layers.IPProtocolICMPv4)
	inner.SrcIP, inner.DstIP = []byte{10, 0, 9, 11}, []byte{10, 0, 1, 10}
	quote := build(t, ethernet(), inner, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 1024, Seq: 3},
		gopacket.Payload("hello"))[packet.L3:]
	outer := ipv4(layers.IPProtocolICMPv4)
	outer.SrcIP, outer.DstIP = []byte{10, 0, 9, 1}, []byte{10, 0, 9, 11}
	for _, size := range []int{28, len(quote)} {
		t.Run(fmt.Sprintf("nat 25: %d bytes of an echo are quoted", size), func(t *testing.T) {
			data := build(t, ethernet(), outer, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(11, 0)},
				gopacket.Payload(quote[:size]))
			p := parsed(t, data)
			var q packet.Packet
			require.True(t, packet.ParseQuote(data, &p, &q))
			require.EqualValues(t, 1024, q.SrcPort)
			require.Zero(t, q.DstPort)
			back := packet.Packet{Src: q.Dst, Dst: q.Src, DstPort: q.SrcPort}
			r := packet.NewRewrite(&back, 0x0a0001c8, 0x0a00010a, 0, 77)
			r.ApplyError(data, &p, &q)
			require.True(t, packet.ParseQuote(data, &p, &q), "the checksum of the message is right")
			require.EqualValues(t, 77, q.SrcPort)
			require.EqualValues(t, 0x0a00010a, q.Src)
			require.EqualValues(t, 0x0a0001c8, q.Dst)
			if size == len(quote) {
				require.EqualValues(t, 0xffff, naiveSum(data[q.L4:q.End], 0))
			}
		})
	}
	t.Run("nat 31: an error about an error belongs to nobody", func(t *testing.T) {
		quote := append([]byte(nil), quote...)
		quote[20] = 3
		data := build(t, ethernet(), outer, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(11, 0)},
			gopacket.Payload(quote))
		p := parsed(t, data)
		require.False(t, packet.ParseQuote(data, &p, new(packet.Packet)))
	})
}

// TestQuoteWithExtensions has an MPLS label stack (RFC 4950) behind a quoted
// packet that is padded to 128 bytes (RFC 4884, 5.1).
func TestQuoteWithExtensions(t *testing.T) {
	inner := ipv4(layers.IPProtocolTCP)
	inner.SrcIP, inner.DstIP = []byte{10, 0, 9, 11}, []byte{10, 0, 1, 10}
	segment := build(t, tcp(inner, "hello")...)[packet.L3:]
	extension := []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0, 0x41, 0x01, 0x40}
	outer := ipv4(layers.IPProtocolICMPv4)
	outer.SrcIP, outer.DstIP = []byte{10, 0, 9, 1}, []byte{10, 0, 9, 11}
	for _, tt := range []struct {
		name   string
		quote  []byte
		length uint8
		ends   int
	}{
		{"nat 28: a whole packet, padding and an extension",
			append(append(segment[:len(segment):len(segment)], make([]byte, 128-len(segment))...),
				extension...), 32, len(segment)},
		{"nat 28: eight bytes of it and an extension", append(segment[:28:28], extension...), 7, 28},
		{"nat 28: a length that is less than a header", append([]byte(nil), segment...), 1, 28},
		{"nat 28: a length beyond the message", append([]byte(nil), segment...), 255, len(segment)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := build(t, ethernet(), outer, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(11, 0),
				Id: uint16(tt.length)}, gopacket.Payload(tt.quote))
			p := parsed(t, data)
			var q packet.Packet
			require.True(t, packet.ParseQuote(data, &p, &q))
			require.Equal(t, int(p.Payload)+tt.ends, int(q.End))
			behind := string(data[q.End:])
			back := packet.Packet{Src: q.Dst, Dst: q.Src, SrcPort: q.DstPort, DstPort: q.SrcPort}
			r := packet.NewRewrite(&back, 0x0a0001c8, 0x0a00010a, 5432, 40000)
			r.ApplyError(data, &p, &q)
			require.EqualValues(t, 0xffff, naiveSum(data[p.L4:p.End], 0))
			require.Equal(t, behind, string(data[q.End:]), "padding and extensions are not ours")
			require.EqualValues(t, tt.length, data[p.L4+5])
		})
	}
}
