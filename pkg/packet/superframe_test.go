package packet_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// message is a packet as gopacket builds it, before its checksum is left to a
// device and it becomes a superframe.
type message struct {
	ipv4    layers.IPv4
	ipv6    *layers.IPv6 // instead of ipv4
	tcp     *layers.TCP
	payload string
}

func (m message) build(t testing.TB) []byte {
	t.Helper()
	eth, all := ethernet(), []gopacket.SerializableLayer{}
	var network gopacket.NetworkLayer = &m.ipv4
	if m.ipv6 != nil {
		eth.EthernetType = layers.EthernetTypeIPv6
		network = m.ipv6
	}
	all = append(all, eth, network.(gopacket.SerializableLayer))
	if m.tcp != nil {
		l := *m.tcp
		require.NoError(t, l.SetNetworkLayerForChecksum(network))
		all = append(all, &l)
	} else {
		l := layers.UDP{SrcPort: 40000, DstPort: 53}
		require.NoError(t, l.SetNetworkLayerForChecksum(network))
		all = append(all, &l)
	}
	all = append(all, gopacket.Payload(m.payload))
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true,
		ComputeChecksums: true}, all...))
	data := bytes.Clone(buf.Bytes())
	length := int(binary.BigEndian.Uint16(data[packet.L3+2:]))
	if m.ipv6 != nil {
		length = 40 + int(binary.BigEndian.Uint16(data[packet.L3+4:]))
	}
	return data[:packet.L3+length] // without gopacket's padding
}

// superframe is m for a device that cuts it into payloads of size bytes, with
// a partial checksum.
func (m message) superframe(t testing.TB, size uint16) (packet.Frame, packet.Packet) {
	t.Helper()
	f := packet.Frame{Data: m.build(t)}
	p := packet.Packet{Kind: packet.UDP, Protocol: packet.ProtocolUDP, L4: packet.L3 + 20, End: uint32(len(f.Data))}
	if m.ipv6 != nil {
		p.L4 = packet.L3 + 40
	}
	p.L4 += uint16(len(m.ipv4.Options) * 4)
	f.Offload = packet.Offload{NeedsCsum: true, CsumStart: p.L4, CsumOffset: 6, GSOType: packet.GSOUDPL4, GSOSize: size}
	p.Payload = p.L4 + 8
	if m.tcp != nil {
		p.Kind, p.Protocol, p.Flags = packet.TCP, packet.ProtocolTCP, f.Data[p.L4+13]
		p.Payload = p.L4 + uint16(f.Data[p.L4+12]>>4)*4
		f.Offload.CsumOffset, f.Offload.GSOType = 16, packet.GSOTCPv4
		if m.ipv6 != nil {
			f.Offload.GSOType = packet.GSOTCPv6
		}
	}
	f.Offload.HdrLen = p.Payload
	field := f.Data[int(p.L4)+int(f.Offload.CsumOffset):]
	binary.BigEndian.PutUint16(field, 0)
	binary.BigEndian.PutUint16(field, pseudoSumOf(f.Data, &p))
	return f, p
}

// pseudoSumOf is the plain sum over the pseudo-header.
func pseudoSumOf(data []byte, p *packet.Packet) uint16 {
	addrs := data[packet.L3+12 : packet.L3+20]
	if data[packet.L3]>>4 == 6 {
		addrs = data[packet.L3+8 : packet.L3+40]
	}
	return naiveSum(append(bytes.Clone(addrs), 0, p.Protocol), uint32(p.End)-uint32(p.L4))
}

func cut(t testing.TB, f packet.Frame, p packet.Packet) (all [][]byte) {
	t.Helper()
	before := bytes.Clone(f.Data)
	s, ok := packet.SegmentsOf(&f, &p)
	require.True(t, ok)
	for i := range s.Len() {
		segment := bytes.Repeat([]byte{0xee}, s.Size(i))
		s.Build(i, segment)
		all = append(all, segment)
	}
	require.Equal(t, before, f.Data, "the superframe stays as it is")
	return all
}

func v4(protocol layers.IPProtocol, id uint16) layers.IPv4 {
	ip := *ipv4(protocol)
	ip.Id = id
	return ip
}

func TestSegments(t *testing.T) {
	timestamps := []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}}
	routerAlert := []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	six := func(protocol layers.IPProtocol) *layers.IPv6 {
		return &layers.IPv6{Version: 6, HopLimit: 64, FlowLabel: 0x12345, NextHeader: protocol,
			SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8:1::2")}
	}
	const udp, tcp = layers.IPProtocolUDP, layers.IPProtocolTCP
	for _, tt := range []struct {
		name  string
		whole message
		want  []message
	}{
		{
			"nat 44: sequence numbers and identifications count up, over their ends; PSH and FIN are in the last",
			message{ipv4: v4(tcp, 65535), tcp: &layers.TCP{SrcPort: 1, DstPort: 2, Seq: 0xfffffffc, Ack: 7, ACK: true,
				PSH: true, FIN: true, Window: 9}, payload: "0123456789"},
			[]message{
				{ipv4: v4(tcp, 65535), tcp: &layers.TCP{SrcPort: 1, DstPort: 2, Seq: 0xfffffffc, Ack: 7, ACK: true,
					Window: 9}, payload: "0123"},
				{ipv4: v4(tcp, 0), tcp: &layers.TCP{SrcPort: 1, DstPort: 2, Seq: 0, Ack: 7, ACK: true, Window: 9},
					payload: "4567"},
				{ipv4: v4(tcp, 1), tcp: &layers.TCP{SrcPort: 1, DstPort: 2, Seq: 4, Ack: 7, ACK: true, PSH: true,
					FIN: true, Window: 9}, payload: "89"},
			},
		},
		{
			"nat 44: CWR is in the first segment alone, ECE and the options in all",
			message{ipv4: v4(tcp, 1), tcp: &layers.TCP{ACK: true, CWR: true, ECE: true, Options: timestamps},
				payload: "01234567"},
			[]message{
				{ipv4: v4(tcp, 1), tcp: &layers.TCP{ACK: true, CWR: true, ECE: true, Options: timestamps},
					payload: "0123"},
				{ipv4: v4(tcp, 2), tcp: &layers.TCP{Seq: 4, ACK: true, ECE: true, Options: timestamps},
					payload: "4567"},
			},
		},
		{
			"nat 44: an urgent pointer points to the same byte",
			message{ipv4: v4(tcp, 1), tcp: &layers.TCP{ACK: true, URG: true, Urgent: 5}, payload: "0123456789"},
			[]message{
				{ipv4: v4(tcp, 1), tcp: &layers.TCP{ACK: true, URG: true, Urgent: 5}, payload: "0123"},
				{ipv4: v4(tcp, 2), tcp: &layers.TCP{Seq: 4, ACK: true, URG: true, Urgent: 1}, payload: "4567"},
				{ipv4: v4(tcp, 3), tcp: &layers.TCP{Seq: 8, ACK: true}, payload: "89"},
			},
		},
		{
			"nat 44: over IPv6",
			message{ipv6: six(tcp), tcp: &layers.TCP{Seq: 1, ACK: true, PSH: true}, payload: "01234567"},
			[]message{
				{ipv6: six(tcp), tcp: &layers.TCP{Seq: 1, ACK: true}, payload: "0123"},
				{ipv6: six(tcp), tcp: &layers.TCP{Seq: 5, ACK: true, PSH: true}, payload: "4567"},
			},
		},
		{
			"nat 46: datagrams",
			message{ipv4: v4(udp, 7), payload: "0123456789"},
			[]message{{ipv4: v4(udp, 7), payload: "0123"}, {ipv4: v4(udp, 8), payload: "4567"},
				{ipv4: v4(udp, 9), payload: "89"}},
		},
		{
			"nat 46: datagrams over IPv6",
			message{ipv6: six(udp), payload: "01234"},
			[]message{{ipv6: six(udp), payload: "0123"}, {ipv6: six(udp), payload: "4"}},
		},
		{
			"nat 46: behind IPv4 options",
			message{ipv4: layers.IPv4{Version: 4, TTL: 1, Protocol: udp, SrcIP: net.IP{10, 0, 0, 1},
				DstIP: net.IP{10, 0, 0, 2}, Options: routerAlert}, payload: "01234"},
			[]message{
				{ipv4: layers.IPv4{Version: 4, TTL: 1, Protocol: udp, SrcIP: net.IP{10, 0, 0, 1},
					DstIP: net.IP{10, 0, 0, 2}, Options: routerAlert}, payload: "0123"},
				{ipv4: layers.IPv4{Version: 4, TTL: 1, Id: 1, Protocol: udp, SrcIP: net.IP{10, 0, 0, 1},
					DstIP: net.IP{10, 0, 0, 2}, Options: routerAlert}, payload: "4"},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, p := tt.whole.superframe(t, 4)
			var want [][]byte
			for _, m := range tt.want {
				want = append(want, m.build(t))
			}
			require.Equal(t, want, cut(t, f, p), "a partial checksum")
			f.Data, f.Offload.NeedsCsum = tt.whole.build(t), false
			require.Equal(t, want, cut(t, f, p), "a complete one")
		})
	}
}

func TestWhatIsNoSuperframeHasNoSegments(t *testing.T) {
	m := message{ipv4: v4(layers.IPProtocolUDP, 1), payload: "01234567"}
	f, p := m.superframe(t, 4)
	for _, tt := range []struct {
		name string
		make func(o *packet.Offload)
	}{
		{"nat 42: what fits one segment", func(o *packet.Offload) { o.GSOSize = 8 }},
		{"no segmentation asked for", func(o *packet.Offload) { o.GSOType = packet.GSONone }},
		{"fragments", func(o *packet.Offload) { o.GSOType = packet.GSOUDP }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := f
			tt.make(&f.Offload)
			_, ok := packet.SegmentsOf(&f, &p)
			require.False(t, ok)
		})
	}
}

func TestSegmentsOfWhatIsWrongAreWrong(t *testing.T) {
	m := message{ipv4: v4(layers.IPProtocolTCP, 1), tcp: &layers.TCP{ACK: true}, payload: "01234567"}
	f, p := m.superframe(t, 4)
	f.Data, f.Offload.NeedsCsum = m.build(t), false
	f.Data[len(f.Data)-1] ^= 1
	f.Data[packet.L3+8] ^= 1 // the TTL
	for _, segment := range cut(t, f, p) {
		got := parsed(t, segment)
		require.False(t, packet.IntactHeader(segment, &got), "nat 35: the IPv4 header")
		l4 := segment[got.L4:got.End]
		require.NotEqualValues(t, 0xffff, naiveSum(l4, uint32(pseudoSumOf(segment, &got))), "nat 35: the segment")
	}
	m = message{ipv4: v4(layers.IPProtocolUDP, 1), payload: "01234567"}
	f, p = m.superframe(t, 4)
	f.Offload.NeedsCsum = false
	binary.BigEndian.PutUint16(f.Data[p.L4+6:], 0)
	for _, segment := range cut(t, f, p) {
		require.Zero(t, binary.BigEndian.Uint16(segment[p.L4+6:]), "nat 22: a datagram without a checksum")
	}
}

// Joined and cut again, a run of datagrams is what it was.
func TestJointIsTheInverseOfSegments(t *testing.T) {
	six := layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: net.ParseIP("2001:db8::1"),
		DstIP: net.ParseIP("2001:db8::2")}
	four := v4(layers.IPProtocolUDP, 100)
	four.Flags = layers.IPv4DontFragment
	for _, tt := range []struct {
		name     string
		payloads []string
		joined   int // how many of them
	}{
		{"nat 45: as long as each other", []string{"aaaa", "bbbb", "cccc"}, 3},
		{"nat 45: a shorter one is the last", []string{"aaaa", "b", "cccc"}, 2},
		{"nat 45: a longer one is of the next run", []string{"aaaa", "bbbbb"}, 1},
		{"nat 45: an empty one is never joined", []string{"aaaa", ""}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, ipv6 := range []*layers.IPv6{nil, &six} {
				var j packet.Joint
				var frames []packet.Frame
				joined := 0
				for i, payload := range tt.payloads {
					ip := four
					ip.Id += uint16(i)
					f, _ := message{ipv4: ip, ipv6: ipv6, payload: payload}.superframe(t, 0)
					f.Offload.GSOType = packet.GSONone
					frames = append(frames, f)
					if i == 0 && j.Begin(&f) || i == joined && j.Add(&f) {
						joined++
					}
				}
				require.Equal(t, tt.joined, joined)
				if joined > 1 {
					requireSame(t, frames[:joined], join(&j, frames[:joined]))
				}
			}
		})
	}
}

// join is the superframe of a run.
func join(j *packet.Joint, run []packet.Frame) packet.Frame {
	whole := packet.Frame{Data: make([]byte, j.Headers())}
	whole.Offload = j.Finish(whole.Data)
	for _, f := range run {
		whole.Data = append(whole.Data, f.Data[j.Headers():]...)
	}
	return whole
}

// requireSame cuts the superframe and finishes the checksums of the run.
func requireSame(t *testing.T, run []packet.Frame, whole packet.Frame) {
	t.Helper()
	o := whole.Offload
	p := packet.Packet{Kind: packet.UDP, Protocol: packet.ProtocolUDP, L4: o.CsumStart, Payload: o.HdrLen,
		End: uint32(len(whole.Data))}
	var want [][]byte
	for _, f := range run {
		own := p
		own.End = uint32(len(f.Data))
		packet.FinishChecksum(&f, &own)
		want = append(want, f.Data)
	}
	require.Equal(t, want, cut(t, whole, p))
}

func TestWhatIsNotAlikeIsNotJoined(t *testing.T) {
	four := v4(layers.IPProtocolUDP, 1)
	four.Flags = layers.IPv4DontFragment
	make := func(edit func(f *packet.Frame)) *packet.Frame {
		f, _ := message{ipv4: four, payload: "abcd"}.superframe(t, 0)
		f.Offload.GSOType = packet.GSONone
		edit(&f)
		return &f
	}
	const ip, l4 = packet.L3, packet.L3 + 20
	var j packet.Joint
	require.True(t, j.Begin(make(func(*packet.Frame) {})))
	for _, tt := range []struct {
		name string
		edit func(f *packet.Frame)
	}{
		{"nat 45: another destination MAC", func(f *packet.Frame) { f.Data[5]++ }},
		{"nat 45: another ToS, with its checksum", func(f *packet.Frame) { f.Data[ip+1]++; f.Data[ip+11]-- }},
		{"nat 45: a wrong IPv4 header checksum", func(f *packet.Frame) { f.Data[ip+11]++ }},
		{"nat 45: another TTL, with its checksum", func(f *packet.Frame) { f.Data[ip+8]++; f.Data[ip+10]-- }},
		{"nat 45: another source, with its checksum", func(f *packet.Frame) { f.Data[ip+13]++; f.Data[ip+11]-- }},
		{"nat 45: another port", func(f *packet.Frame) { f.Data[l4]++ }},
		{"nat 45: another partial checksum", func(f *packet.Frame) { f.Data[l4+7]++ }},
		{"nat 45: a complete checksum", func(f *packet.Frame) { f.Offload.NeedsCsum = false }},
		{"nat 45: it may be fragmented", func(f *packet.Frame) { f.Data[ip+6] = 0; f.Data[ip+10] += 0x40 }},
		{"nat 45: padding", func(f *packet.Frame) { f.Data = append(f.Data, 0) }},
		{"nat 45: a superframe", func(f *packet.Frame) { f.Offload.GSOType = packet.GSOUDPL4 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := j
			require.False(t, j.Add(make(tt.edit)))
			require.True(t, j.Add(make(func(*packet.Frame) {})), "and the run goes on")
		})
	}
}

func TestARunIsNoLongerThanAPacketMayBe(t *testing.T) {
	four := v4(layers.IPProtocolUDP, 1)
	four.Flags = layers.IPv4DontFragment
	for size, want := range map[int]int{1: 64, 22: 64, 1472: 44, 40000: 1} {
		f, _ := message{ipv4: four, payload: string(make([]byte, size))}.superframe(t, 0)
		f.Offload.GSOType = packet.GSONone
		var j packet.Joint
		require.True(t, j.Begin(&f))
		n := 1
		for j.Add(&f) {
			n++
		}
		require.Equal(t, want, n, "nat 45: datagrams of %d bytes", size)
	}
}

// FuzzSegments cuts any superframe: the payloads are those of the whole, every
// checksum is right, and only what may change changes.
func FuzzSegments(f *testing.F) {
	f.Add([]byte("0123456789"), uint16(4), uint32(1), uint8(packet.FlagFIN|packet.FlagPSH|packet.FlagCWR), uint16(0),
		false, true, []byte{})
	f.Add(make([]byte, 3000), uint16(1448), uint32(0xffffffff), uint8(packet.FlagURG), uint16(2000), true, false,
		make([]byte, 12))
	f.Add(make([]byte, 300), uint16(7), uint32(5), uint8(0), uint16(0), true, true, []byte{})
	f.Fuzz(func(t *testing.T, payload []byte, size uint16, seq uint32, flags uint8, urgent uint16, datagram, six bool,
		options []byte) {
		if size == 0 || len(payload) <= int(size) || len(payload) > 60000 {
			return
		}
		m := message{ipv4: v4(layers.IPProtocolTCP, uint16(seq)), payload: string(payload)}
		if six {
			m.ipv6 = &layers.IPv6{Version: 6, HopLimit: 3, NextHeader: layers.IPProtocolTCP,
				SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
		}
		if datagram {
			m.ipv4.Protocol = layers.IPProtocolUDP
			if six {
				m.ipv6.NextHeader = layers.IPProtocolUDP
			}
		} else {
			m.tcp = &layers.TCP{Seq: seq, Urgent: urgent}
			for _, value := range options[:min(len(options), 40)] {
				m.tcp.Options = append(m.tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
				_ = value
			}
		}
		whole, p := m.superframe(t, size)
		if !datagram {
			whole.Data[p.L4+13] = flags
			p.Flags = flags
		}
		all := cut(t, whole, p)
		var joined []byte
		for i, data := range all {
			own := p
			own.End = uint32(len(data))
			if !six {
				require.True(t, packet.IntactHeader(data, &own))
				require.EqualValues(t, len(data)-packet.L3, binary.BigEndian.Uint16(data[packet.L3+2:]))
				require.Equal(t, uint16(seq)+uint16(i), binary.BigEndian.Uint16(data[packet.L3+4:]))
			} else {
				require.EqualValues(t, len(data)-packet.L3-40, binary.BigEndian.Uint16(data[packet.L3+4:]))
			}
			l4 := data[p.L4:]
			require.EqualValues(t, 0xffff, naiveSum(l4, uint32(pseudoSumOf(data, &own))))
			if datagram {
				require.EqualValues(t, len(l4), binary.BigEndian.Uint16(l4[4:]))
			} else {
				require.Equal(t, seq+uint32(len(joined)), own.Seq(data))
			}
			joined = append(joined, data[p.Payload:]...)
		}
		require.Equal(t, payload, joined)
	})
}
