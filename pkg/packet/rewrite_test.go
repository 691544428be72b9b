package packet_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// naiveSum is RFC 1071 as one would say it.
func naiveSum(data []byte, sum uint32) uint16 {
	for i, b := range data {
		if i%2 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// recompute writes the checksums that a packet of this kind should have.
func recompute(f *packet.Frame, p *packet.Packet) {
	h := f.Data[packet.L3:p.L4]
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^naiveSum(h, 0))

	l4 := f.Data[p.L4:p.End]
	pseudo := append(append([]byte(nil), h[12:20]...), 0, p.Protocol, 0, 0)
	binary.BigEndian.PutUint16(pseudo[10:], uint16(len(l4)))
	field := l4[6:]
	if p.Kind == packet.TCP {
		field = l4[16:]
	}
	if f.Offload.NeedsCsum {
		binary.BigEndian.PutUint16(field, naiveSum(pseudo, 0))
		return
	}
	binary.BigEndian.PutUint16(field, 0)
	sum := ^naiveSum(append(pseudo, l4...), 0)
	if p.Kind == packet.UDP && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
}

func parsed(t testing.TB, data []byte) packet.Packet {
	t.Helper()
	var p packet.Packet
	require.Contains(t, []packet.Kind{packet.TCP, packet.UDP, packet.ICMP}, packet.Parse(data, &p))
	return p
}

func TestRewrite(t *testing.T) {
	segment := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	datagram := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	for _, tt := range []struct {
		name    string
		data    []byte
		partial bool
	}{
		{"nat 32: TCP", segment, false},
		{"nat 33: TCP of which the sender has not finished the checksum", segment, true},
		{"nat 32: UDP", datagram, false},
		{"nat 33: UDP of which the sender has not finished the checksum", datagram, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := packet.Frame{Data: append([]byte(nil), tt.data...)}
			p := parsed(t, f.Data)
			f.Offload.NeedsCsum, f.Offload.CsumStart = tt.partial, p.L4
			recompute(&f, &p)
			r := packet.NewRewrite(&p, 0x0a00090b, 0x0a00010a, 1024, 5432)
			r.Apply(&f, &p)

			got := parsed(t, f.Data)
			require.EqualValues(t, 63, got.TTL)
			require.EqualValues(t, 0x0a00090b, got.Src)
			require.EqualValues(t, 0x0a00010a, got.Dst)
			require.EqualValues(t, 1024, got.SrcPort)
			require.EqualValues(t, 5432, got.DstPort)
			require.Equal(t, "hello", string(f.Data[got.Payload:got.End]))
			requireRightChecksums(t, &f)
		})
	}
}

func requireRightChecksums(t *testing.T, f *packet.Frame) {
	t.Helper()
	p := parsed(t, f.Data)
	want := packet.Frame{Data: append([]byte(nil), f.Data...), Offload: f.Offload}
	recompute(&want, &p)
	require.Equal(t, want.Data, f.Data, "adding the difference is not what recomputing gives")
}

func TestRewriteKeepsWhatItMust(t *testing.T) {
	datagram := build(t, udp(ipv4(layers.IPProtocolUDP), "hello")...)
	segment := build(t, tcp(ipv4(layers.IPProtocolTCP), "hello")...)
	apply := func(t *testing.T, f *packet.Frame) packet.Packet {
		p := parsed(t, f.Data)
		r := packet.NewRewrite(&p, 0x0a00090b, 0x0a00010a, 1024, 5432)
		r.Apply(f, &p)
		return parsed(t, f.Data)
	}
	field := func(f *packet.Frame, at uint16) uint16 { return binary.BigEndian.Uint16(f.Data[at:]) }

	t.Run("nat 22: UDP without a checksum stays without", func(t *testing.T) {
		f := packet.Frame{Data: append([]byte(nil), datagram...)}
		copy(f.Data[34+6:], []byte{0, 0})
		p := apply(t, &f)
		require.Zero(t, field(&f, p.L4+6))
	})
	t.Run("nat 34: a partial UDP sum is followed before 0 is looked for", func(t *testing.T) {
		f := packet.Frame{Data: append([]byte(nil), datagram...)}
		f.Offload = packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 6}
		copy(f.Data[34+6:], []byte{0, 0})
		p := apply(t, &f)
		require.NotZero(t, field(&f, p.L4+6))
	})
	t.Run("nat 22: a UDP checksum that comes out as 0 is sent as 0xffff", func(t *testing.T) {
		for last := range 1 << 16 {
			f := packet.Frame{Data: append([]byte(nil), datagram...)}
			binary.BigEndian.PutUint16(f.Data[34+8:], uint16(last))
			p := parsed(t, f.Data)
			recompute(&f, &p)
			apply(t, &f)
			if field(&f, 34+6) == 0xffff {
				requireRightChecksums(t, &f)
				return
			}
			require.NotZero(t, field(&f, 34+6))
		}
		t.Fatal("no payload gave the checksum 0")
	})
	t.Run("nat 35: a wrong checksum stays wrong", func(t *testing.T) {
		f := packet.Frame{Data: append([]byte(nil), segment...)}
		f.Data[len(f.Data)-1] ^= 0x55
		p := apply(t, &f)
		want := packet.Frame{Data: append([]byte(nil), f.Data...)}
		recompute(&want, &p)
		require.NotEqual(t, field(&want, p.L4+16), field(&f, p.L4+16))
	})
	t.Run("a checksum postponed for an inner header leaves the outer one complete", func(t *testing.T) {
		f := packet.Frame{Data: append([]byte(nil), datagram...)}
		f.Offload = packet.Offload{NeedsCsum: true, CsumStart: 42, CsumOffset: 2}
		apply(t, &f)
		f.Offload = packet.Offload{}
		requireRightChecksums(t, &f)
	})
	t.Run("nat 55, nat 60: DSCP, ECN, options and payload", func(t *testing.T) {
		ip := ipv4(layers.IPProtocolTCP)
		ip.TOS = 0xbb
		ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		f := packet.Frame{Data: build(t, tcp(ip, "hello")...)}
		before := append([]byte(nil), f.Data...)
		p := apply(t, &f)
		require.Equal(t, before[15], f.Data[15])
		require.Equal(t, before[34:38], f.Data[34:38])
		require.Equal(t, before[p.Payload:], f.Data[p.Payload:])
		requireRightChecksums(t, &f)
	})
}

func TestUpdateNeverYieldsTheOtherZero(t *testing.T) {
	// The example of RFC 1624, 4: the sum 0xcd7a with 0x5555 replaced by 0x3285.
	require.EqualValues(t, 0x0000, packet.Update(0xdd2f, uint32(^uint16(0x5555))+0x3285))
}

// quoting is an ICMP error in which a router reports the packet that went
// from the NAT IP to the target, cut after size bytes.
func quoting(t testing.TB, inner *layers.IPv4, size int) []byte {
	t.Helper()
	inner.SrcIP, inner.DstIP = []byte{10, 0, 9, 11}, []byte{10, 0, 1, 10}
	var quote []byte
	if inner.Protocol == layers.IPProtocolUDP {
		quote = build(t, udp(inner, "hello")...)[packet.L3:]
	} else {
		quote = build(t, tcp(inner, "hello")...)[packet.L3:]
	}
	outer := ipv4(layers.IPProtocolICMPv4)
	outer.SrcIP, outer.DstIP = []byte{10, 0, 9, 1}, []byte{10, 0, 9, 11}
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: 1400}
	return build(t, ethernet(), outer, icmp, gopacket.Payload(quote[:min(size, len(quote))]))
}

func TestApplyError(t *testing.T) {
	withOptions := ipv4(layers.IPProtocolTCP)
	withOptions.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"nat 26, nat 30: a whole TCP packet is quoted", quoting(t, ipv4(layers.IPProtocolTCP), 1000)},
		{"nat 26, nat 30: a whole UDP packet is quoted", quoting(t, ipv4(layers.IPProtocolUDP), 1000)},
		{"nat 25: no more than eight bytes of TCP are quoted", quoting(t, ipv4(layers.IPProtocolTCP), 28)},
		{"nat 25: no more than eight bytes of UDP are quoted", quoting(t, ipv4(layers.IPProtocolUDP), 28)},
		{"nat 25: the quoted packet has IP options", quoting(t, withOptions, 1000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.data)
			var q packet.Packet
			require.True(t, packet.ParseQuote(tt.data, &p, &q))
			before := append([]byte(nil), tt.data...)
			// Towards the consumer 10.0.1.10:40001, who sent to 10.0.1.200:443.
			reply := packet.Packet{Src: q.Dst, Dst: q.Src, SrcPort: q.DstPort, DstPort: q.SrcPort}
			r := packet.NewRewrite(&reply, 0x0a0001c8, 0x0a00010b, 443, 40001)
			r.ApplyError(tt.data, &p, &q)

			got := parsed(t, tt.data)
			require.EqualValues(t, 0x0a0001c8, got.Src, "the router has no address at the consumer's")
			require.EqualValues(t, 0x0a00010b, got.Dst)
			require.EqualValues(t, 63, got.TTL)
			require.Equal(t, before[got.L4:got.L4+2], tt.data[got.L4:got.L4+2], "type and code")
			require.Equal(t, before[got.L4+4:got.L4+8], tt.data[got.L4+4:got.L4+8], "MTU")
			require.EqualValues(t, 0xffff, naiveSum(tt.data[packet.L3:got.L4], 0), "outer IPv4 header")
			require.EqualValues(t, 0xffff, naiveSum(tt.data[got.L4:got.End], 0), "ICMP message")

			var quoted packet.Packet
			require.True(t, packet.ParseQuote(tt.data, &got, &quoted), "quoted IPv4 header")
			require.EqualValues(t, 0x0a00010b, quoted.Src)
			require.EqualValues(t, 0x0a0001c8, quoted.Dst)
			require.EqualValues(t, 40001, quoted.SrcPort)
			require.EqualValues(t, 443, quoted.DstPort)
			if int(got.End)-int(got.Payload) > 28 { // the whole packet

				whole := append(make([]byte, packet.L3), tt.data[got.Payload:got.End]...)
				copy(whole, tt.data[:packet.L3])
				requireRightChecksums(t, &packet.Frame{Data: whole})
			}
		})
	}
}

func TestParseQuoteRefuses(t *testing.T) {
	usual := func() []byte { return quoting(t, ipv4(layers.IPProtocolTCP), 1000) }
	fix := func(data []byte) []byte {
		p := parsed(t, data)
		quote := data[p.Payload:]
		copy(quote[10:], []byte{0, 0})
		binary.BigEndian.PutUint16(quote[10:], ^naiveSum(quote[:20], 0))
		copy(data[p.L4+2:], []byte{0, 0})
		binary.BigEndian.PutUint16(data[p.L4+2:], ^naiveSum(data[p.L4:p.End], 0))
		return data
	}
	edit := func(at int, with byte) []byte {
		data := usual()
		data[packet.L3+28+at] = with
		return fix(data)
	}
	wrongICMP := usual()
	wrongICMP[packet.L3+20+5] ^= 1
	wrongQuote := usual()
	wrongQuote[packet.L3+28+8]++ // TTL
	copy(wrongQuote[packet.L3+22:], []byte{0, 0})
	binary.BigEndian.PutUint16(wrongQuote[packet.L3+22:], ^naiveSum(wrongQuote[packet.L3+20:], 0))
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"nat 28: a wrong ICMP checksum", wrongICMP},
		{"nat 28: a wrong checksum of the quoted header", wrongQuote},
		{"less than eight bytes behind the quoted header", quoting(t, ipv4(layers.IPProtocolTCP), 27)},
		{"less than a quoted header", quoting(t, ipv4(layers.IPProtocolTCP), 19)},
		{"another protocol is quoted", edit(9, 47)},
		{"a later fragment is quoted", edit(7, 1)},
		{"version 6 is quoted", edit(0, 0x65)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.data)
			var q packet.Packet
			require.False(t, packet.ParseQuote(tt.data, &p, &q))
		})
	}
}

// FuzzRewrite holds what is added to checksums against what recomputing them
// gives, also where the sender left them unfinished.
func FuzzRewrite(f *testing.F) {
	f.Add(uint32(0x0a00010a), uint32(0x0a0001c8), uint16(40000), uint16(5432),
		uint32(0x0a00090b), uint32(0x0a00010a), uint16(1024), uint16(5432), []byte("hello"), false, false)
	f.Add(uint32(0x01000000), uint32(0), uint16(0), uint16(0),
		uint32(0xffffffff), uint32(0xffffffff), uint16(0xffff), uint16(0xffff), []byte{}, true, true)
	f.Add(uint32(0x01000000), uint32(0xffffffff), uint16(0xffff), uint16(0xffff),
		uint32(0), uint32(0), uint16(0), uint16(0), []byte{0xff}, true, false)
	f.Fuzz(func(t *testing.T, src, dst uint32, srcPort, dstPort uint16, newSrc, newDst uint32, newSrcPort,
		newDstPort uint16, payload []byte, datagram, partial bool) {
		if len(payload) > 60000 {
			return
		}
		ip, l4 := ipv4(layers.IPProtocolTCP), tcp
		if datagram {
			ip, l4 = ipv4(layers.IPProtocolUDP), udp
		}
		data := build(t, l4(ip, string(payload))...)
		binary.BigEndian.PutUint32(data[packet.L3+12:], src)
		binary.BigEndian.PutUint32(data[packet.L3+16:], dst)
		binary.BigEndian.PutUint16(data[packet.L3+20:], srcPort)
		binary.BigEndian.PutUint16(data[packet.L3+22:], dstPort)
		var p packet.Packet
		if packet.Parse(data, &p) == packet.Malformed {
			return
		}
		frame := packet.Frame{Data: data, Offload: packet.Offload{NeedsCsum: partial, CsumStart: p.L4}}
		recompute(&frame, &p)
		r := packet.NewRewrite(&p, newSrc, newDst, newSrcPort, newDstPort)
		r.Apply(&frame, &p)
		p.Src, p.Dst = newSrc, newDst // which need not be addresses that Parse accepts
		want := packet.Frame{Data: append([]byte(nil), data...), Offload: frame.Offload}
		recompute(&want, &p)
		require.Equal(t, want.Data, frame.Data)
	})
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{0xff, 0xff, 0xff}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, skip uint8) {
		data = data[min(int(skip), len(data)):]
		data = data[:min(len(data), 128<<10)]
		require.Equal(t, naiveSum(data, 0), packet.Sum(data))
	})
}
