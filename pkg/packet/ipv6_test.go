package packet_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

var (
	consumer6 = netip.MustParseAddr("2001:db8:1::10")
	endpoint6 = netip.MustParseAddr("2001:db8:1::200")
	local6    = netip.MustParseAddr("2001:db8:9::11")
	target6   = netip.MustParseAddr("2001:db8:9::10")
)

// build6 serialises an IPv6 packet from consumer6 to endpoint6. What is
// between the header and the last two layers is given as bytes.
func build6(t testing.TB, next layers.IPProtocol, extensions []byte, l4 gopacket.SerializableLayer,
	payload string) []byte {
	t.Helper()
	ip := &layers.IPv6{
		Version: 6, TrafficClass: 0xbb, FlowLabel: 0x12345, HopLimit: 64, NextHeader: next,
		SrcIP: net.IP(consumer6.AsSlice()), DstIP: net.IP(endpoint6.AsSlice()),
	}
	if l4, ok := l4.(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		require.NoError(t, l4.SetNetworkLayerForChecksum(ip))
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buf, opts, l4, gopacket.Payload(payload)))
	behind := append(append([]byte(nil), extensions...), buf.Bytes()...)
	require.NoError(t, gopacket.SerializeLayers(buf, opts, &layers.Ethernet{
		SrcMAC: ethernet().SrcMAC, DstMAC: ethernet().DstMAC, EthernetType: layers.EthernetTypeIPv6,
	}, ip, gopacket.Payload(behind)))
	return append([]byte(nil), buf.Bytes()...)
}

func tcp6(t testing.TB, payload string) []byte {
	return build6(t, layers.IPProtocolTCP, nil, &layers.TCP{SrcPort: 40000, DstPort: 5432, SYN: true, Window: 1000},
		payload)
}

func udp6(t testing.TB, payload string) []byte {
	return build6(t, layers.IPProtocolUDP, nil, &layers.UDP{SrcPort: 40000, DstPort: 53}, payload)
}

// icmp6 is an ICMPv6 message of which the body begins behind the checksum.
func icmp6(t testing.TB, kind, code uint8, body string) []byte {
	return build6(t, layers.IPProtocolICMPv6, nil,
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}, body)
}

func echo6(t testing.TB, kind uint8, id uint16, payload string) []byte {
	return icmp6(t, kind, 0, string([]byte{byte(id >> 8), byte(id), 0, 3})+payload)
}

func edited(data []byte, at int, with ...byte) []byte {
	data = append([]byte(nil), data...)
	copy(data[at:], with)
	return data
}

func TestParseIPv6(t *testing.T) {
	tcpBehind := func(next layers.IPProtocol, extensions ...byte) []byte {
		return build6(t, next, extensions, &layers.TCP{SrcPort: 40000, DstPort: 5432, SYN: true}, "hello")
	}
	options := func(next byte) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }
	var many []byte
	for range 8 {
		many = append(many, options(60)...)
	}
	whole := tcp6(t, "hello")
	for _, tt := range []struct {
		name string
		data []byte
		want packet.Kind
	}{
		{"nat 57: a segment", whole, packet.TCP},
		{"nat 57: a datagram", udp6(t, "hello"), packet.UDP},
		{"nat 57: an echo", echo6(t, 128, 77, "hello"), packet.ICMP},
		{"nat 57: padding behind the packet", append(edited(whole, 0), 0, 0, 0, 0), packet.TCP},
		{"nat 57: no next header", build6(t, 59, nil, gopacket.Payload(""), ""), packet.OtherProtocol},
		{"nat 57: ICMP of IPv4 in IPv6", build6(t, 1, nil, gopacket.Payload("12345678"), ""), packet.OtherProtocol},
		{"nat 57: hop-by-hop options", tcpBehind(0, options(6)...), packet.TCP},
		{"nat 57: destination options and a routing header", tcpBehind(60, append(options(43), options(6)...)...),
			packet.TCP},
		{"nat 57: eight extension headers", tcpBehind(60, append(many[:56:56], options(6)...)...), packet.TCP},
		{"nat 57: nine extension headers", tcpBehind(60, append(many, options(6)...)...), packet.OtherProtocol},
		{"nat 57: hop-by-hop options that are not the first", tcpBehind(60, append(options(0), options(6)...)...),
			packet.Malformed},
		{"nat 57: an extension header beyond the packet", tcpBehind(60, 6, 200, 0, 0, 0, 0, 0, 0), packet.Malformed},
		{"nat 57: half an extension header", build6(t, 60, nil, gopacket.Payload("1234"), ""), packet.Malformed},
		{"nat 57: an atomic fragment", tcpBehind(44, 6, 0, 0, 0, 1, 2, 3, 4), packet.TCP},
		{"nat 57: a first fragment", tcpBehind(44, 6, 0, 0, 1, 1, 2, 3, 4), packet.Fragment},
		{"nat 57: a last fragment", tcpBehind(44, 6, 0, 0, 8, 1, 2, 3, 4), packet.Fragment},
		{"nat 57: a fragmented datagram that begins with options",
			tcpBehind(44, append([]byte{60, 0, 0, 0, 1, 2, 3, 4}, options(6)...)...), packet.OtherProtocol},
		{"nat 57: an address that only its link knows", edited(whole, packet.L3+8, 0xfe, 0x80), packet.Malformed},
		{"nat 57: one for all neighbours", edited(edited(whole, packet.L3+8, 0xfe, 0x80), packet.L3+24, 0xff, 0x02),
			packet.TCP},
		{"nat 57: a multicast source", edited(whole, packet.L3+8, 0xff, 0x02), packet.Malformed},
		{"nat 57: no source", edited(whole, packet.L3+8, make([]byte, 16)...), packet.Malformed},
		{"nat 57: a loopback source", edited(whole, packet.L3+8, append(make([]byte, 15), 1)...), packet.Malformed},
		{"nat 57: an IPv4 address as source", edited(whole, packet.L3+8,
			append(append(make([]byte, 10), 0xff, 0xff), 10, 0, 0, 1)...), packet.Malformed},
		{"nat 58: version 4 under an IPv6 EtherType", edited(whole, packet.L3, 0x45), packet.Malformed},
		{"nat 58: less than an IPv6 header", whole[:packet.L3+39], packet.Malformed},
		{"nat 58: a payload beyond the frame", edited(whole, packet.L3+4, 1, 0), packet.Malformed},
		{"nat 58: a payload that ends in its TCP header", edited(whole, packet.L3+4, 0, 19), packet.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			require.Equal(t, tt.want, packet.Parse(tt.data, &p))
		})
	}
}

func TestIPv4AddressesThatNobodyHas(t *testing.T) {
	whole := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	for _, tt := range []struct {
		name string
		data []byte
		want packet.Kind
	}{
		{"nat 58: a source from the reserved addresses", edited(whole, packet.L3+12, 240, 0, 0, 1), packet.Malformed},
		{"nat 58: a destination among them", edited(whole, packet.L3+16, 240, 0, 0, 1), packet.Malformed},
		{"everybody is a destination", edited(whole, packet.L3+16, 255, 255, 255, 255), packet.TCP},
		{"a group is one", edited(whole, packet.L3+16, 224, 0, 0, 1), packet.TCP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			require.Equal(t, tt.want, packet.Parse(tt.data, &p))
		})
	}
}

func TestSourceRouteOfIPv6(t *testing.T) {
	for left, want := range map[byte]packet.IPOptions{0: packet.PlainOptions, 1: packet.SourceRoute} {
		extensions := []byte{43, 0, 1, 4, 0, 0, 0, 0, 6, 0, 4, left, 0, 0, 0, 0}
		data := build6(t, 60, extensions, &layers.TCP{SrcPort: 1, DstPort: 2}, "")
		p := parsed(t, data)
		require.Equal(t, want, packet.OptionsOf(data, &p), "nat 57: %d routers left to visit", left)
	}
}

// numbered is what stands for addresses in a Packet where they are IPv6.
func numbered(addr netip.Addr) uint32 {
	if addr.Is4() {
		a := addr.As4()
		return binary.BigEndian.Uint32(a[:])
	}
	return 0xf0000001
}

// between is the rewrite from what p, which has the addresses of a, has to b.
func between(p *packet.Packet, a, b [2]netip.Addr, srcPort, dstPort uint16) (packet.Rewrite, packet.Ends) {
	addresses := packet.SumDifference(a[0].AsSlice(), b[0].AsSlice()) + packet.SumDifference(a[1].AsSlice(),
		b[1].AsSlice())
	r := packet.NewRewriteBetween(p, numbered(b[0]), numbered(b[1]), srcPort, dstPort, addresses)
	return r, packet.Ends{Src: b[0].As16(), Dst: b[1].As16()}
}

// apply brings a packet to the addresses of b, whichever version they are of.
func apply(f *packet.Frame, p *packet.Packet, a, b [2]netip.Addr, srcPort, dstPort uint16) {
	r, ends := between(p, a, b, srcPort, dstPort)
	switch {
	case p.IPv6 && b[0].Is4():
		r.ApplyToIPv4(f, p, 7, false)
	case p.IPv6:
		r.ApplyIPv6(f, p, &ends)
	default:
		r.ApplyToIPv6(f, p, &ends, make([]byte, packet.IPv6SizeOf(p, false)), false, 0)
	}
}

// requireSound recomputes every checksum of a frame in the plainest way.
func requireSound(t *testing.T, f *packet.Frame) packet.Packet {
	t.Helper()
	var p packet.Packet
	require.Contains(t, []packet.Kind{packet.TCP, packet.UDP, packet.ICMP}, packet.Parse(f.Data, &p))
	require.Len(t, f.Data, int(p.End))
	require.True(t, f.Offload.Fits(&p), "%+v does not fit", f.Offload)
	l4 := f.Data[p.L4:p.End]
	var pseudo []byte
	switch {
	case p.IPv6:
		pseudo = append(append(pseudo, f.Data[packet.L3+8:packet.L3+40]...), 0, 0, 0, 0, 0, 0, 0, p.Protocol)
		if p.Kind == packet.ICMP {
			pseudo[39] = 58
		}
		binary.BigEndian.PutUint32(pseudo[32:], uint32(len(l4)))
	default:
		require.EqualValues(t, 0xffff, naiveSum(f.Data[packet.L3:p.L4], 0), "IPv4 header")
		if p.Kind != packet.ICMP {
			pseudo = append(append(pseudo, f.Data[packet.L3+12:packet.L3+20]...), 0, p.Protocol, byte(len(l4)>>8),
				byte(len(l4)))
		}
	}
	if f.Offload.NeedsCsum {
		field := l4[f.Offload.CsumOffset:]
		require.Equal(t, naiveSum(pseudo, 0), binary.BigEndian.Uint16(field), "partial checksum")
		return p
	}
	require.EqualValues(t, 0xffff, naiveSum(append(pseudo, l4...), 0), "L4 checksum")
	return p
}

func TestRewriteIPv6(t *testing.T) {
	from6 := [2]netip.Addr{consumer6, endpoint6}
	from4 := [2]netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.1.200")}
	to6 := [2]netip.Addr{local6, target6}
	to4 := [2]netip.Addr{netip.MustParseAddr("10.0.9.11"), netip.MustParseAddr("10.0.1.10")}
	segment4 := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	datagram4 := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	withoutSum := edited(datagram4, packet.L3+20+6, 0, 0)
	ping4 := build(t, ethernet(), ipv4(layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0), Id: 77, Seq: 3}, gopacket.Payload("hello"))
	for _, tt := range []struct {
		name     string
		data     []byte
		from, to [2]netip.Addr
		partial  bool
	}{
		{"nat 57: a segment from IPv6 to IPv6", tcp6(t, "hello"), from6, to6, false},
		{"nat 33, nat 57: one of which the sender has not finished the checksum", tcp6(t, "hello"), from6, to6, true},
		{"nat 57: a datagram from IPv6 to IPv6", udp6(t, "hello"), from6, to6, false},
		{"nat 57: an echo from IPv6 to IPv6", echo6(t, 128, 77, "hello"), from6, to6, false},
		{"nat 57: a reply to one", echo6(t, 129, 77, "hello"), from6, to6, false},
		{"nat 57: a segment from IPv6 to IPv4", tcp6(t, "hello"), from6, to4, false},
		{"nat 33, nat 57: one of which the sender has not finished the checksum, to IPv4", tcp6(t, "hello"), from6, to4,
			true},
		{"nat 57: a datagram from IPv6 to IPv4", udp6(t, "hello"), from6, to4, false},
		{"nat 57: an echo from IPv6 to IPv4", echo6(t, 128, 77, "hello"), from6, to4, false},
		{"nat 57: a segment behind hop-by-hop options to IPv4",
			build6(t, 0, []byte{6, 0, 1, 4, 0, 0, 0, 0}, &layers.TCP{SrcPort: 40000, DstPort: 5432},
				"hello"), from6, to4, false},
		{"nat 57: a segment from IPv4 to IPv6", segment4, from4, to6, false},
		{"nat 33, nat 57: one of which the sender has not finished the checksum, to IPv6", segment4, from4, to6, true},
		{"nat 57: a datagram from IPv4 to IPv6", datagram4, from4, to6, false},
		{"nat 22, nat 57: a datagram without a checksum gets one in IPv6", withoutSum, from4, to6, false},
		{"nat 57: a reply to an echo from IPv4 to IPv6", ping4, from4, to6, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := packet.Frame{Data: append([]byte(nil), tt.data...)}
			p := parsed(t, f.Data)
			if tt.partial {
				f.Offload = packet.Offload{NeedsCsum: true, CsumStart: p.L4, CsumOffset: 16}
				field := f.Data[p.L4+16:]
				binary.BigEndian.PutUint16(field, 0)
				without := packet.Frame{Data: f.Data}
				whole := packet.Sum(without.Data[p.L4:p.End])
				// What is missing to a right sum is the pseudo-header's.
				binary.BigEndian.PutUint16(field,
					packet.Fold(uint32(binary.BigEndian.Uint16(tt.data[p.L4+16:]))^0xffff+uint32(^whole)))
				requireSound(t, &f)
			}
			before := p
			apply(&f, &p, tt.from, tt.to, 1024, 5432)
			got := requireSound(t, &f)
			require.Equal(t, p.L4, got.L4, "the packet follows")
			require.Equal(t, p.End, got.End)
			require.Equal(t, p.IPv6, got.IPv6)
			require.EqualValues(t, before.TTL-1, got.TTL)
			require.Equal(t, "hello", string(f.Data[int(got.End)-5:got.End]))
			require.Equal(t, tt.data[:12], f.Data[:12], "Ethernet")
			if got.Kind != packet.ICMP {
				require.Equal(t, [2]uint16{1024, 5432}, [2]uint16{got.SrcPort, got.DstPort})
			} else {
				require.True(t, got.IsEcho())
				require.Equal(t, before.IsEchoRequest(), got.IsEchoRequest())
			}
			if tt.to[0].Is4() {
				require.Equal(t, [2]uint32{numbered(tt.to[0]), numbered(tt.to[1])}, [2]uint32{got.Src, got.Dst})
				require.EqualValues(t, 0xbb, f.Data[packet.L3+1], "nat 55: the traffic class is the ToS")
				return
			}
			require.Equal(t, packet.Ends{Src: tt.to[0].As16(), Dst: tt.to[1].As16()}, packet.IPv6Ends(f.Data))
			if before.IPv6 {
				require.Equal(t, tt.data[packet.L3:packet.L3+4], f.Data[packet.L3:packet.L3+4],
					"traffic class and flow label")
			}
		})
	}
}

func TestCrossingKeepsOffloads(t *testing.T) {
	offload := packet.Offload{NeedsCsum: true, CsumOffset: 16, GSOType: packet.GSOTCPv6 | packet.GSOECN, GSOSize: 1,
		HdrLen: 74}
	f := packet.Frame{Data: tcp6(t, "hello"), Offload: offload}
	p := parsed(t, f.Data)
	f.Offload.CsumStart = p.L4
	require.True(t, f.Offload.Fits(&p))
	apply(&f, &p, [2]netip.Addr{consumer6, endpoint6}, [2]netip.Addr{netip.MustParseAddr("10.0.9.11"),
		netip.MustParseAddr("10.0.1.10")}, 1, 2)
	require.Equal(t, packet.Offload{
		NeedsCsum: true, CsumStart: 34, CsumOffset: 16, GSOType: packet.GSOTCPv4 | packet.GSOECN,
		GSOSize: 1, HdrLen: 54,
	}, f.Offload)
	apply(&f, &p, [2]netip.Addr{netip.MustParseAddr("10.0.9.11"), netip.MustParseAddr("10.0.1.10")},
		[2]netip.Addr{local6, target6}, 1, 2)
	require.Equal(t, packet.Offload{
		NeedsCsum: true, CsumStart: 54, CsumOffset: 16, GSOType: packet.GSOTCPv6 | packet.GSOECN,
		GSOSize: 1, HdrLen: 74,
	}, f.Offload)
}

func TestFragmentsCross(t *testing.T) {
	t.Run("nat 57: a fragment becomes one of IPv4", func(t *testing.T) {
		data := build6(t, 44, []byte{17, 0, 0x05, 0xa9, 1, 2, 3, 4}, gopacket.Payload("12345678"), "")
		f := packet.Frame{Data: data}
		var p packet.Packet
		require.Equal(t, packet.Fragment, packet.Parse(f.Data, &p))
		require.Equal(t, 1448, p.FragmentOffset())
		require.EqualValues(t, 0x01020304, p.ID(f.Data))
		r, _ := between(&p, [2]netip.Addr{consumer6, endpoint6},
			[2]netip.Addr{netip.MustParseAddr("10.0.9.11"), netip.MustParseAddr("10.0.1.10")}, 1, 2)
		r.ApplyToIPv4(&f, &p, 7, packet.MayBeFragmentedAsIPv4(&p, 9000))
		var got packet.Packet
		require.Equal(t, packet.Fragment, packet.Parse(f.Data, &got))
		require.Equal(t, 1448, got.FragmentOffset())
		require.True(t, got.MoreFragments() && got.MayBeFragmented())
		require.EqualValues(t, 7, got.ID(f.Data))
		require.Equal(t, "12345678", string(f.Data[got.L4:got.End]))
		require.True(t, packet.IntactHeader(f.Data, &got))
	})
	t.Run("nat 57: a packet of IPv4 that is too long is cut as one of IPv6", func(t *testing.T) {
		f := packet.Frame{Data: build(t, udp(ipv4(layers.IPProtocolUDP), string(make([]byte, 3000)))...)}
		p := parsed(t, f.Data)
		r, ends := between(&p, [2]netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.1.200")},
			[2]netip.Addr{local6, target6}, 1, 2)
		r.ApplyToIPv6(&f, &p, &ends, make([]byte, packet.IPv6SizeOf(&p, true)), true, 0x01020304)
		whole := append([]byte(nil), f.Data[p.L4:p.End]...)
		requireSound(t, &packet.Frame{Data: f.Data})
		var fragments [][]byte
		last := packet.Split(f.Data, &p, 1300, func(n int) []byte {
			fragments = append(fragments, make([]byte, n))
			return fragments[len(fragments)-1]
		})
		var payload []byte
		for i, fragment := range append(fragments, last) {
			var got packet.Packet
			require.Equal(t, packet.Fragment, packet.Parse(fragment, &got))
			require.Equal(t, len(payload), got.FragmentOffset())
			require.Equal(t, i < len(fragments), got.MoreFragments())
			require.EqualValues(t, 0x01020304, got.ID(fragment))
			require.LessOrEqual(t, got.Length(), 1300)
			payload = append(payload, fragment[got.L4:got.End]...)
		}
		require.Equal(t, whole, payload)
	})
}

// quoting6 is an ICMPv6 error about the packet that was sent from the
// destination of quote6.
func quoting6(t testing.TB, kind, code uint8, rest uint32, quote []byte) []byte {
	body := append(binary.BigEndian.AppendUint32(nil, rest), quote...)
	return icmp6(t, kind, code, string(body))
}

func TestErrorsOfIPv6(t *testing.T) {
	segment, ping := tcp6(t, "hello")[packet.L3:], echo6(t, 128, 1024, "hello")[packet.L3:]
	segment4 := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)[packet.L3:]
	ping4 := build(t, ethernet(), ipv4(layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 1024,
			Seq: 3}, gopacket.Payload("hello"))[packet.L3:]
	extended := append(append([]byte(nil), segment...), 0, 0, 0, 0, 0, 0, 0)
	icmp4 := func(kind, code uint8, id, seq uint16, quote []byte) []byte {
		return build(t, ethernet(), ipv4(layers.IPProtocolICMPv4),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Id: id,
				Seq: seq}, gopacket.Payload(quote))
	}
	// To the consumer, who sent from to[1] to to[0].
	to6 := [2]netip.Addr{netip.MustParseAddr("2001:db8:7::1"), netip.MustParseAddr("2001:db8:7::2")}
	to4 := [2]netip.Addr{netip.MustParseAddr("10.7.0.1"), netip.MustParseAddr("10.7.0.2")}
	for _, tt := range []struct {
		name       string
		data       []byte
		to         [2]netip.Addr
		kind, code uint8
		rest       uint32
	}{
		{"nat 26, nat 57: a port is unreachable, by IPv6", quoting6(t, 1, 4, 0, segment), to6, 1, 4, 0},
		{"nat 26, nat 57: a packet is too big, by IPv6", quoting6(t, 2, 0, 1400, segment), to6, 2, 0, 1400},
		{"nat 25, nat 57: eight bytes of a segment are quoted", quoting6(t, 3, 0, 0, segment[:48]), to6, 3, 0, 0},
		{"nat 25, nat 57: an echo is quoted", quoting6(t, 1, 0, 0, ping), to6, 1, 0, 0},
		{"nat 28, nat 57: an extension behind the quotation",
			quoting6(t, 1, 0, uint32(len(extended)/8)<<24, append(extended,
				"extension"...)), to6, 1, 0, uint32(len(extended)/8) << 24},
		{"nat 57: a port is unreachable, for IPv4", quoting6(t, 1, 4, 0, segment), to4, 3, 3, 0},
		{"nat 57: prohibited, for IPv4", quoting6(t, 1, 1, 0, segment), to4, 3, 10, 0},
		{"nat 57: no route, for IPv4", quoting6(t, 1, 0, 0, segment), to4, 3, 1, 0},
		{"nat 57: too big, for IPv4", quoting6(t, 2, 0, 1400, segment), to4, 3, 4, 1380},
		{"nat 57: time exceeded, for IPv4", quoting6(t, 3, 0, 0, segment), to4, 11, 0, 0},
		{"nat 57: a field of the header, for IPv4", quoting6(t, 4, 0, 7, segment), to4, 12, 0, 8 << 24},
		{"nat 57: an unknown header, for IPv4", quoting6(t, 4, 1, 6, segment), to4, 3, 2, 0},
		{"nat 57: an echo is quoted, for IPv4", quoting6(t, 1, 0, 0, ping), to4, 3, 1, 0},
		{"nat 57: a port is unreachable, for IPv6", icmp4(3, 3, 0, 0, segment4), to6, 1, 4, 0},
		{"nat 57: too big, for IPv6", icmp4(3, 4, 0, 1400, segment4), to6, 2, 0, 1420},
		{"nat 57: too big for what IPv6 needs, for IPv6", icmp4(3, 4, 0, 600, segment4), to6, 2, 0, 1280},
		{"nat 57: no such protocol, for IPv6", icmp4(3, 2, 0, 0, segment4), to6, 4, 1, 6},
		{"nat 57: prohibited, for IPv6", icmp4(3, 13, 0, 0, segment4), to6, 1, 1, 0},
		{"nat 57: time exceeded, for IPv6", icmp4(11, 0, 0, 0, segment4), to6, 3, 0, 0},
		{"nat 57: a field of the header, for IPv6", icmp4(12, 0, 8<<8, 0, segment4), to6, 4, 0, 7},
		{"nat 57: an echo is quoted, for IPv6", icmp4(3, 1, 0, 0, ping4), to6, 1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := packet.Frame{Data: append([]byte(nil), tt.data...)}
			var p, q packet.Packet
			require.Equal(t, packet.ICMP, packet.Parse(f.Data, &p))
			require.True(t, p.IsICMPError())
			require.True(t, packet.ParseQuote(f.Data, &p, &q))
			quoted := [2]netip.Addr{consumer6, endpoint6}
			if !p.IPv6 {
				quoted = [2]netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.1.200")}
			}
			reply := packet.Packet{Src: q.Dst, Dst: q.Src, SrcPort: q.DstPort, DstPort: q.SrcPort}
			r, ends := between(&reply, [2]netip.Addr{quoted[1], quoted[0]}, tt.to, 443, 40001)
			if p.IPv6 == tt.to[0].Is6() {
				r.ApplyErrorIPv6(f.Data, &p, &q, &ends)
			} else {
				_, _, _, ok := packet.CrossedError(f.Data, &p)
				require.True(t, ok)
				r.ApplyErrorAcross(&f, &p, &q, &ends, make([]byte, packet.CrossedErrorSize(&p, &q)))
			}
			got := requireSound(t, &f)
			require.Equal(t, p.L4, got.L4)
			require.EqualValues(t, 63, got.TTL)
			require.Equal(t, [2]uint8{tt.kind, tt.code}, [2]uint8{f.Data[got.L4], f.Data[got.L4+1]})
			require.Equal(t, tt.rest, binary.BigEndian.Uint32(f.Data[got.L4+4:]))
			var inner packet.Packet
			require.True(t, packet.ParseQuote(f.Data, &got, &inner))
			require.Equal(t, q.L4, inner.L4, "the quoted packet follows")
			require.Equal(t, q.End, inner.End)
			if tt.to[0].Is6() {
				require.Equal(t, packet.Ends{Src: tt.to[0].As16(), Dst: tt.to[1].As16()}, packet.IPv6Ends(f.Data))
				require.Equal(t, packet.Ends{Src: tt.to[1].As16(), Dst: tt.to[0].As16()},
					packet.QuotedEnds(f.Data, &got))
			} else {
				require.Equal(t, [4]uint32{numbered(tt.to[0]), numbered(tt.to[1]), numbered(tt.to[1]),
					numbered(tt.to[0])},
					[4]uint32{got.Src, got.Dst, inner.Src, inner.Dst})
			}
			if inner.Kind == packet.ICMP {
				require.EqualValues(t, 40001, inner.SrcPort)
			} else {
				require.Equal(t, [2]uint16{40001, 443}, [2]uint16{inner.SrcPort, inner.DstPort})
			}
			if length := int(inner.End - uint32(inner.L4)); length >= 13 {
				whole := append(append([]byte(nil), f.Data[:packet.L3]...), f.Data[got.Payload:inner.End]...)
				requireSound(t, &packet.Frame{Data: whole})
			}
		})
	}
}

func TestErrorsThatDoNotCross(t *testing.T) {
	segment := tcp6(t, "hello")[packet.L3:]
	for name, data := range map[string][]byte{
		"nat 57: an option that is not known": quoting6(t, 4, 2, 40, segment),
		"nat 57: a field that IPv4 has not":   quoting6(t, 4, 0, 2, segment),
		"nat 57: a field behind the header":   quoting6(t, 4, 0, 48, segment),
		"nat 57: a precedence that IPv6 lacks": build(t, ethernet(), ipv4(layers.IPProtocolICMPv4),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 14)}),
	} {
		t.Run(name, func(t *testing.T) {
			p := parsed(t, data)
			_, _, _, ok := packet.CrossedError(data, &p)
			require.False(t, ok)
		})
	}
}

func TestQuoteOfIPv6Refuses(t *testing.T) {
	segment := tcp6(t, "hello")[packet.L3:]
	damaged := quoting6(t, 1, 0, 0, segment)
	damaged[len(damaged)-1] ^= 1
	fragment := build6(t, 44, []byte{6, 0, 0, 8, 0, 0, 0, 1}, gopacket.Payload("12345678"), "")[packet.L3:]
	for name, data := range map[string][]byte{
		"nat 28, nat 57: a wrong ICMPv6 checksum": damaged,
		"nat 57: less than eight bytes of L4":     quoting6(t, 1, 0, 0, segment[:47]),
		"nat 57: less than a header":              quoting6(t, 1, 0, 0, segment[:39]),
		"nat 57: a later fragment":                quoting6(t, 1, 0, 0, fragment),
		"nat 57: version 4":                       quoting6(t, 1, 0, 0, edited(segment, 0, 0x45)),
		"nat 57: another protocol":                quoting6(t, 1, 0, 0, edited(segment, 6, 47)),
	} {
		t.Run(name, func(t *testing.T) {
			p := parsed(t, data)
			require.False(t, packet.ParseQuote(data, &p, new(packet.Packet)))
		})
	}
}

func TestReportsOfIPv6(t *testing.T) {
	t.Run("nat 53, nat 57: packet too big quotes up to 1280 bytes", func(t *testing.T) {
		data := udp6(t, string(make([]byte, 1400)))
		p := parsed(t, data)
		frame := make([]byte, packet.ICMPErrorSize(&p))
		require.Len(t, frame, packet.L3+1280)
		packet.ICMPError{Type: packet.ICMPUnreachable, Code: packet.ICMPCodeFragNeeded, Rest: 1280}.Build(frame, data,
			&p)
		got := requireSound(t, &packet.Frame{Data: frame})
		require.Equal(t, []byte{2, 0}, frame[got.L4:got.L4+2])
		mtu, ok := packet.ReportedMTU(frame, &got)
		require.True(t, ok)
		require.EqualValues(t, 1280, mtu)
		require.Equal(t, packet.Ends{Src: endpoint6.As16(), Dst: consumer6.As16()}, packet.IPv6Ends(frame))
		require.True(t, packet.ParseQuote(frame, &got, new(packet.Packet)))
		packet.SetReportedMTU(frame, &got, 1300)
		requireSound(t, &packet.Frame{Data: frame})
	})
	t.Run("nat 18, nat 57: a RST", func(t *testing.T) {
		data := tcp6(t, "")
		p := parsed(t, data)
		frame := make([]byte, packet.ResetSizeFor(&p))
		require.True(t, packet.BuildReset(frame, data, &p))
		got := requireSound(t, &packet.Frame{Data: frame})
		require.EqualValues(t, packet.FlagRST|packet.FlagACK, got.Flags)
		require.Equal(t, packet.Ends{Src: endpoint6.As16(), Dst: consumer6.As16()}, packet.IPv6Ends(frame))
	})
	for _, tt := range []struct {
		name string
		data []byte
		want bool
	}{
		{"nat 31, nat 57: a segment may be reported", tcp6(t, ""), true},
		{"nat 31, nat 57: an echo may", echo6(t, 128, 1, ""), true},
		{"nat 31, nat 57: an error may not", quoting6(t, 1, 0, 0, tcp6(t, "")[packet.L3:]), false},
		{"nat 31, nat 57: a redirect may not", icmp6(t, 137, 0, "12345678"), false},
		{"nat 31, nat 57: a packet for a group may not", edited(tcp6(t, ""), packet.L3+24, 0xff, 0x02), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.data)
			require.Equal(t, tt.want, packet.MayReport(tt.data, &p))
		})
	}
}

func TestInsertIntoIPv6(t *testing.T) {
	f := packet.Frame{Data: udp6(t, "hello")}
	p := parsed(t, f.Data)
	packet.InsertPayload(&f, &p, make([]byte, int(p.End)+3), []byte("abc"))
	requireSound(t, &f)
	f = packet.Frame{Data: tcp6(t, "hello")}
	p = parsed(t, f.Data)
	packet.InsertOption(&f, &p, make([]byte, int(p.End)+20), append([]byte{253, 20}, make([]byte, 18)...))
	packet.InsertPayload(&f, &p, make([]byte, int(p.End)+3), []byte("abc"))
	got := requireSound(t, &f)
	require.Equal(t, "abchello", string(f.Data[got.Payload:got.End]))
	packet.CutPayload(&f, &p)
	requireSound(t, &f)
}

func TestAdvertise(t *testing.T) {
	const asked = "3333ff000200 02062001db81 86dd 60000000 0020 3a ff" +
		"20010db8000100000000000000000010 ff0200000000000000000001ff000200" +
		"87 00 0000 00000000 20010db8000100000000000000000200 0101 02062001db81"
	const probe = "3333ff000200 02062001db81 86dd 60000000 0018 3a ff" +
		"00000000000000000000000000000000 ff0200000000000000000001ff000200" +
		"87 00 0000 00000000 20010db8000100000000000000000200"
	ours := func(addr netip.Addr) (packet.MAC, bool) { return packet.MACOf(addr), addr == endpoint6 }
	seal := func(data []byte) []byte {
		var p packet.Packet
		_ = packet.Parse(data, &p)
		l4 := data[packet.L3+40:]
		l4[2], l4[3] = 0, 0
		pseudo := append(append([]byte(nil), data[packet.L3+8:packet.L3+40]...), 0, byte(len(l4)), 0, 58)
		binary.BigEndian.PutUint16(l4[2:], ^naiveSum(append(pseudo, l4...), 0))
		return data
	}
	question := seal(unhex(t, asked))
	for _, tt := range []struct {
		name    string
		data    []byte
		want    bool
		to, mac string
		flags   byte
	}{
		{"nat 57: who has an address of ours", question, true, "2001:db8:1::10", "02:06:20:01:db:81", 0x60},
		{"nat 57: who wants to use it", seal(unhex(t, probe)), true, "ff02::1", "33:33:00:00:00:01", 0x20},
		{"nat 57: who has another address", seal(edited(question, packet.L3+63, 1)), false, "", "", 0},
		{"nat 57: an advertisement", seal(edited(question, packet.L3+40, 136)), false, "", "", 0},
		{"nat 57: one that a router let through", seal(edited(question, packet.L3+7, 254)), false, "", "", 0},
		{"nat 57: a wrong checksum", edited(question, packet.L3+42, 1), false, "", "", 0},
		{"nat 57: half of one", question[:packet.L3+50], false, "", "", 0},
		{"nat 57: an option without a length", seal(edited(question, packet.L3+65, 0)), false, "", "", 0},
		{"nat 57: a probe to one host", seal(edited(unhex(t, probe), packet.L3+24, 0x20)), false, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frame := make([]byte, packet.AdvertisementSize)
			ok := packet.Advertise(frame, tt.data, ours)
			require.Equal(t, tt.want, ok)
			if !ok {
				require.Equal(t, make([]byte, packet.AdvertisementSize), frame)
				return
			}
			decoded := decode(t, frame)
			require.Equal(t, tt.mac, packet.MAC(frame[0:6]).String())
			require.Equal(t, packet.MACOf(endpoint6), packet.MAC(frame[6:12]))
			ip := decoded.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
			require.Equal(t, tt.to, ip.DstIP.String())
			require.EqualValues(t, 255, ip.HopLimit)
			answer := decoded.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
			require.Equal(t, endpoint6.String(), answer.TargetAddress.String())
			require.Equal(t, tt.flags, answer.Flags)
			require.Equal(t, net.HardwareAddr(frame[6:12]).String(), net.HardwareAddr(answer.Options[0].Data).String())
			requireSound(t, &packet.Frame{Data: frame})
		})
	}
}

// FuzzCross holds what is added to checksums between the two versions of IP
// against what recomputing them gives.
func FuzzCross(f *testing.F) {
	f.Add(uint8(0), consumer6.AsSlice(), endpoint6.AsSlice(), local6.AsSlice(), target6.AsSlice(), uint16(1), uint16(2),
		uint16(3), uint16(4), "hello")
	f.Add(uint8(0xff), consumer6.AsSlice(), endpoint6.AsSlice(), local6.AsSlice(), target6.AsSlice(), uint16(0),
		uint16(0), uint16(0xffff), uint16(0), "hell")
	f.Fuzz(func(t *testing.T, how uint8, src, dst, newSrc, newDst []byte, srcPort, dstPort, newSrcPort,
		newDstPort uint16, payload string) {
		if len(payload) > 60000 || min(len(src), len(dst), len(newSrc), len(newDst)) < 16 {
			return
		}
		from := [2]netip.Addr{netip.AddrFrom16([16]byte(src)), netip.AddrFrom16([16]byte(dst))}
		to := [2]netip.Addr{netip.AddrFrom16([16]byte(newSrc)), netip.AddrFrom16([16]byte(newDst))}
		was4, is4, kind, partial := how&1 != 0, how&2 != 0, how>>2&3, how&0x10 != 0
		if was4 {
			from = [2]netip.Addr{netip.AddrFrom4([4]byte(src)), netip.AddrFrom4([4]byte(dst))}
		}
		if is4 {
			to = [2]netip.Addr{netip.AddrFrom4([4]byte(newSrc)), netip.AddrFrom4([4]byte(newDst))}
		}
		if was4 && is4 {
			return // FuzzRewrite
		}
		var frame packet.Frame
		e := packet.Envelope{Src: numbered(from[0]), Dst: numbered(from[1]), IPv6: !was4,
			Ends: packet.Ends{Src: from[0].As16(), Dst: from[1].As16()}}
		switch kind {
		case 0, 1:
			d := packet.Data{Segment: packet.Segment{Envelope: e, SrcPort: srcPort, DstPort: dstPort},
				Payload: []byte(payload)}
			frame.Data = make([]byte, d.Size())
			d.Build(frame.Data)
		case 2:
			frame.Data = make([]byte, packet.DatagramSize(&e, len(payload)))
			packet.BuildDatagram(frame.Data, &e, srcPort, dstPort, []byte(payload))
		case 3:
			return
		}
		var p packet.Packet
		if packet.Parse(frame.Data, &p) == packet.Malformed {
			return
		}
		if partial {
			frame.Offload = packet.Offload{NeedsCsum: true, CsumStart: p.L4, CsumOffset: 16}
			if p.Kind == packet.UDP {
				frame.Offload.CsumOffset = 6
			}
			sum := uint16(0)
			if was4 {
				sum = packet.PseudoSum(p.Src, p.Dst, p.Protocol, uint16(p.End)-p.L4)
			} else {
				sum = packet.IPv6PseudoSum(&e.Ends, p.Protocol, p.End-uint32(p.L4))
			}
			binary.BigEndian.PutUint16(frame.Data[p.L4+frame.Offload.CsumOffset:], sum)
		}
		apply(&frame, &p, from, to, newSrcPort, newDstPort)
		want := packet.Envelope{Src: numbered(to[0]), Dst: numbered(to[1]), IPv6: !is4,
			Ends: packet.Ends{Src: to[0].As16(), Dst: to[1].As16()}}
		built := make([]byte, packet.DatagramSize(&want, len(payload)))
		if p.Kind == packet.TCP {
			d := packet.Data{Segment: packet.Segment{Envelope: want, SrcPort: newSrcPort, DstPort: newDstPort},
				Payload: []byte(payload)}
			built = make([]byte, d.Size())
			d.Build(built)
		} else {
			packet.BuildDatagram(built, &want, newSrcPort, newDstPort, []byte(payload))
		}
		packet.FinishChecksum(&frame, &p)
		require.Equal(t, built[p.L4:], frame.Data[p.L4:p.End])
	})
}
