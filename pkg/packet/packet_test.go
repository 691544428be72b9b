package packet_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// build serialises layers behind an Ethernet header, with the lengths and
// checksums that gopacket works out: it shares no code with this package.
func build(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buf, opts, l...))
	data := append([]byte(nil), buf.Bytes()...)
	// gopacket pads what is shorter than Ethernet's 60 bytes.
	return data[:packet.L3+int(binary.BigEndian.Uint16(data[packet.L3+2:]))]
}

func ethernet() *layers.Ethernet {
	return &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 10, 0, 1, 10}, DstMAC: net.HardwareAddr{2, 0, 10, 0, 1, 200},
		EthernetType: layers.EthernetTypeIPv4,
	}
}

func ipv4(protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 64, Id: 4711, Protocol: protocol,
		SrcIP: net.IP{10, 0, 1, 10}, DstIP: net.IP{10, 0, 1, 200},
	}
}

func tcp(ip *layers.IPv4, payload string) []gopacket.SerializableLayer {
	l := &layers.TCP{SrcPort: 40000, DstPort: 5432, SYN: true, Window: 1000}
	_ = l.SetNetworkLayerForChecksum(ip)
	return []gopacket.SerializableLayer{ethernet(), ip, l, gopacket.Payload(payload)}
}

func udp(ip *layers.IPv4, payload string) []gopacket.SerializableLayer {
	l := &layers.UDP{SrcPort: 40000, DstPort: 53}
	_ = l.SetNetworkLayerForChecksum(ip)
	return []gopacket.SerializableLayer{ethernet(), ip, l, gopacket.Payload(payload)}
}

func TestParse(t *testing.T) {
	whole := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	edit := func(at int, with ...byte) []byte {
		data := append([]byte(nil), whole...)
		copy(data[at:], with)
		return data
	}
	datagram := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	shortUDP := append([]byte(nil), datagram...)
	shortUDP[packet.L3+20+5] = 7
	longUDP := append([]byte(nil), datagram...)
	longUDP[packet.L3+20+5] = 200
	for _, tt := range []struct {
		name string
		data []byte
		want packet.Kind
	}{
		{"a segment", whole, packet.TCP},
		{"a datagram", datagram, packet.UDP},
		{"nothing", nil, packet.Malformed},
		{"less than an Ethernet header", whole[:13], packet.Malformed},
		{"an Ethernet header alone", whole[:14], packet.Malformed},
		{"less than an IPv4 header", whole[:33], packet.Malformed},
		{"a packet that ends in its TCP header", whole[:50], packet.Malformed},
		{"nat 37: padding behind the packet", append(edit(0), 0, 0, 0, 0), packet.TCP},
		{"an EtherType of another protocol", edit(12, 0x86, 0xdc), packet.NotIP},
		{"nat 59: a VLAN tag", edit(12, 0x81, 0x00), packet.NotIP},
		{"ARP", edit(12, 0x08, 0x06), packet.ARP},
		{"nat 58: version 6 under an IPv4 EtherType", edit(packet.L3, 0x65), packet.Malformed},
		{"nat 58: a header of 16 bytes", edit(packet.L3, 0x44), packet.Malformed},
		{"nat 58: a total length below the header", edit(packet.L3+2, 0, 19), packet.Malformed},
		{"nat 58: a total length beyond the frame", edit(packet.L3+2, 0, 200), packet.Malformed},
		{"nat 58: a TCP header of 16 bytes", edit(packet.L3+20+12, 0x40), packet.Malformed},
		{"nat 58: a TCP header beyond the packet", edit(packet.L3+20+12, 0xf0), packet.Malformed},
		{"nat 58: a UDP length below its header", shortUDP, packet.Malformed},
		{"nat 58: a UDP length beyond the packet", longUDP, packet.Malformed},
		{"nat 58: a multicast source", edit(packet.L3+12, 224, 0, 0, 1), packet.Malformed},
		{"nat 58: a broadcast source", edit(packet.L3+12, 255, 255, 255, 255), packet.Malformed},
		{"nat 58: a loopback source", edit(packet.L3+12, 127, 0, 0, 1), packet.Malformed},
		{"nat 58: no source", edit(packet.L3+12, 0, 0, 0, 0), packet.Malformed},
		{"a first fragment", edit(packet.L3+6, 0x20, 0), packet.Fragment},
		{"a last fragment", edit(packet.L3+6, 0, 1), packet.Fragment},
		{"don't fragment is no fragment", edit(packet.L3+6, 0x40, 0), packet.TCP},
		{"nat 24: GRE", edit(packet.L3+9, 47), packet.OtherProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			require.Equal(t, tt.want, packet.Parse(tt.data, &p))
		})
	}
}

func TestParseFindsTheHeaders(t *testing.T) {
	ip := ipv4(layers.IPProtocolTCP)
	ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	data := append(build(t, tcp(ip, "hello")...), 0, 0)
	var p packet.Packet
	require.Equal(t, packet.TCP, packet.Parse(data, &p))
	require.Equal(t, packet.Packet{
		Kind: packet.TCP, Protocol: 6, TTL: 64, Flags: packet.FlagSYN,
		L4: 14 + 24, Payload: 14 + 24 + 20, End: 14 + 24 + 20 + 5,
		Src: 0x0a00010a, Dst: 0x0a0001c8, SrcPort: 40000, DstPort: 5432,
	}, p)
	require.Equal(t, 5, p.PayloadLength())
	require.Equal(t, 49, p.Length())
}

func TestMACOf(t *testing.T) {
	require.Equal(t, "02:00:0a:00:00:b6", packet.MACOf(netip.MustParseAddr("10.0.0.182")).String())
	require.Equal(t, packet.MAC{2, 6, 0, 0, 0, 1}, packet.MACOf(netip.MustParseAddr("fd00::1")))
}

func TestARPReply(t *testing.T) {
	const asked = "ffffffffffff 02000a00010a 0806" +
		"0001 0800 06 04 0001 02000a00010a 0a00010a 000000000000 0a0001c8"
	const answer = "02000a00010a 02000a0001c8 0806" +
		"0001 0800 06 04 0002 02000a0001c8 0a0001c8 02000a00010a 0a00010a"
	ours := func(addr netip.Addr) (packet.MAC, bool) {
		return packet.MACOf(addr), addr == netip.MustParseAddr("10.0.1.200")
	}
	for _, tt := range []struct {
		name   string
		frame  string
		answer string
	}{
		{"who has an address of ours", asked, answer},
		{"padding is cut off", asked + "000000000000", answer},
		{"who has another address", strings.Replace(asked, "0a0001c8", "0a0001c9", 1), ""},
		{"a reply", strings.Replace(asked, "04 0001", "04 0002", 1), ""},
		{"an announcement of our address", strings.Replace(asked, "0a00010a 0000", "0a0001c8 0000", 1), ""},
		{"ten bytes of ARP", asked[:12*2+2+2+20], ""},
		{"ARP for another link layer", strings.Replace(asked, "0001 0800", "0006 0800", 1), ""},
		{"IPv4", strings.Replace(asked, "0806", "0800", 1), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := unhex(t, tt.frame)
			before := append([]byte(nil), data...)
			reply, ok := packet.ARPReply(data, ours)
			require.Equal(t, tt.answer != "", ok)
			if ok {
				require.Equal(t, unhex(t, tt.answer), reply)
				require.Same(t, &data[0], &reply[0], "the reply is made in place")
			} else {
				require.Equal(t, before, data)
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return data
}

func FuzzParse(f *testing.F) {
	f.Add(build(f, tcp(ipv4(layers.IPProtocolTCP), "hello")...))
	f.Add(build(f, udp(ipv4(layers.IPProtocolUDP), "hello")...))
	f.Add(quoting(f, ipv4(layers.IPProtocolTCP), 28))
	f.Add(tcp6(f, "hello"))
	f.Add(echo6(f, 128, 77, "hello"))
	f.Add(quoting6(f, 2, 0, 1400, tcp6(f, "hello")[packet.L3:]))
	f.Add(build6(f, 0, []byte{44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 7}, gopacket.Payload("0123456789abcdef"),
		""))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x0a\x00\x01\x0a\x08\x06\x00\x01\x08\x00\x06\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		requirePlain(t, data)
		var p, q packet.Packet
		r := packet.Rewrite{Src: 1, Dst: 2, SrcPort: 3, DstPort: 4}
		kind := packet.Parse(data, &p)
		packet.Advertise(make([]byte, packet.AdvertisementSize), data,
			func(netip.Addr) (packet.MAC, bool) { return packet.MAC{}, true })
		if p.IPv6 && (kind == packet.TCP || kind == packet.UDP || kind == packet.ICMP || kind == packet.Fragment) {
			fuzzIPv6(t, append([]byte(nil), data...), p)
			return
		}
		if kind == packet.Fragment && p.FragmentOffset() == 0 {
			kind = packet.ParseFirst(data, &p)
		}
		switch kind {
		case packet.TCP, packet.UDP:
			if packet.OptionsOf(data, &p) != packet.MalformedOptions && packet.CanSplit(&p, 68) && p.Length() > 68 {
				split := append([]byte(nil), data...)
				last := packet.Split(split, &p, 68, func(n int) []byte { return make([]byte, n) })
				require.Contains(t, []packet.Kind{packet.Fragment, packet.Malformed},
					packet.Parse(last, new(packet.Packet)))
			}
			if kind == packet.TCP {
				packet.ClampMSS(&packet.Frame{Data: data}, &p, 536)
			}
			require.LessOrEqual(t, int(p.End), len(data))
			require.GreaterOrEqual(t, p.PayloadLength(), 0)
			r.Apply(&packet.Frame{Data: data, Offload: packet.Offload{NeedsCsum: true, CsumStart: p.L4}}, &p)
		case packet.ICMP:
			if packet.ParseQuote(data, &p, &q) {
				require.True(t, q.Kind == packet.TCP || q.Kind == packet.UDP || q.IsEcho())
				if _, _, _, ok := packet.CrossedError(data, &p); ok && p.IsICMPError() {
					p, q := p, q
					r.ApplyErrorAcross(&packet.Frame{Data: data}, &p, &q, &packet.Ends{},
						make([]byte, packet.CrossedErrorSize(&p, &q)))
				}
				r.ApplyError(data, &p, &q)
			}
		case packet.ARP:
			packet.ARPReply(data, func(netip.Addr) (packet.MAC, bool) { return packet.MAC{}, true })
		}
	})
}

func fuzzIPv6(t *testing.T, data []byte, p packet.Packet) {
	r := packet.Rewrite{Src: 1, Dst: 2, SrcPort: 3, DstPort: 4}
	ends := packet.Ends{Src: [16]byte{1}, Dst: [16]byte{2}}
	packet.OptionsOf(data, &p)
	packet.MayReport(data, &p)
	if p.Kind == packet.Fragment && p.FragmentOffset() == 0 && packet.ParseFirst(data, &p) == packet.Malformed {
		return
	}
	require.LessOrEqual(t, int(p.End), len(data))
	if p.Kind == packet.TCP || p.Kind == packet.UDP {
		require.GreaterOrEqual(t, p.PayloadLength(), 0)
	}
	if p.Kind == packet.ICMP && p.IsICMPError() {
		var q packet.Packet
		if packet.ParseQuote(data, &p, &q) {
			f, at, quoted := packet.Frame{Data: data}, p, q
			if _, _, _, ok := packet.CrossedError(data, &p); ok {
				r.ApplyErrorAcross(&f, &at, &quoted, &ends, make([]byte, packet.CrossedErrorSize(&p, &q)))
				require.True(t, packet.IntactL4(f.Data, &at))
			}
			r.ApplyErrorIPv6(data, &p, &q, &ends)
			require.True(t, packet.IntactL4(data, &p))
		}
		return
	}
	if p.Kind == packet.ICMP && !p.IsEcho() {
		return
	}
	length := p.Length()
	f := packet.Frame{Data: append([]byte(nil), data...), Offload: packet.Offload{NeedsCsum: true, CsumStart: p.L4}}
	four := p
	r.ApplyToIPv4(&f, &four, 7, packet.MayBeFragmentedAsIPv4(&p, packet.CrossedLength(&p, length)))
	require.Equal(t, packet.CrossedLength(&p, length), four.Length())
	f.Offload.NeedsCsum = false
	r.ApplyToIPv6(&f, &four, &ends, make([]byte, packet.IPv6SizeOf(&four, p.FragHeader != 0)), p.FragHeader != 0, 7)
	r.ApplyIPv6(&packet.Frame{Data: data}, &p, &ends)
}

// Any bit of a header that was damaged on the way is noticed, with options or not.
func TestAHeaderWithOneWrongBitIsNotIntact(t *testing.T) {
	for _, words := range []int{5, 7} {
		data := make([]byte, packet.L3+4*words+8)
		h := data[packet.L3:]
		h[0], h[8], h[9] = byte(4<<4|words), 64, packet.ProtocolUDP
		binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
		copy(h[12:], []byte{10, 0, 1, 10, 10, 0, 1, 200})
		binary.BigEndian.PutUint16(h[10:], ^packet.Sum(h[:4*words]))
		src, intact, ok := packet.HeadIPv4(data)
		require.True(t, ok && intact)
		require.EqualValues(t, 10<<24|1<<8|10, src)
		for bit := 8; bit < 4*words*8; bit++ { // those before say how long it is
			damaged := bytes.Clone(data)
			damaged[packet.L3+bit/8] ^= 0x80 >> (bit % 8)
			_, intact, ok := packet.HeadIPv4(damaged)
			require.True(t, ok)
			require.False(t, intact, "bit %d of %d words", bit, words)
		}
	}
}
