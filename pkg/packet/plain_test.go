package packet_test

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// requirePlain holds what is read and edited in one step against what Parse
// and Apply make of a frame.
func requirePlain(t *testing.T, data []byte) (isPlain bool) {
	t.Helper()
	var p packet.Packet
	kind := packet.Parse(data, &p)
	addrs, ports, ok := packet.ReadPlain(data)
	const notPlain = packet.FlagSYN | packet.FlagFIN | packet.FlagRST
	hasPlainOptions := func(options []byte) bool {
		return len(options) == 0 || len(options) == 12 && string(options[:4]) == "\x01\x01\x08\x0a"
	}
	want := kind == packet.TCP && !p.HasOptions() && p.Frag == packet.PlainFrag && p.TTL > 1 &&
		p.Flags&notPlain == 0 && hasPlainOptions(data[p.L4+packet.TCPHeaderLen:p.Payload]) && p.Src < 0xe0<<24 &&
		p.Dst < 0xe0<<24
	if !want {
		require.False(t, ok && packet.MayBeSource(uint32(addrs>>32)), "a plain %+v", p)
		return false
	}
	require.True(t, ok, "%+v is plain", p)
	require.Equal(t, uint64(p.Src)<<32|uint64(p.Dst), addrs)
	require.Equal(t, uint32(p.SrcPort)<<16|uint32(p.DstPort), ports)
	length, numbers := packet.PlainNumbers(data)
	require.EqualValues(t, p.Length(), length)
	require.Equal(t, p.Seq(data)+p.SegmentLength(), uint32(numbers>>32))
	require.Equal(t, p.Ack(data), uint32(numbers))
	require.Equal(t, p.Window(data), packet.PlainWindow(data))

	r := packet.NewRewrite(&p, 0x0a00090b, p.Dst+1, 1024, p.DstPort^0xffff)
	got, whole := append([]byte(nil), data...), packet.Frame{Data: append([]byte(nil), data...)}
	r.ApplyPlain(got)
	r.Apply(&whole, &p)
	require.Equal(t, whole.Data, got)
	return true
}

func TestReadPlain(t *testing.T) {
	ip := ipv4(layers.IPProtocolTCP)
	ip.Flags = layers.IPv4DontFragment
	l := &layers.TCP{SrcPort: 40000, DstPort: 5432, ACK: true, PSH: true, Seq: 0xffff_fffe, Window: 1000}
	require.NoError(t, l.SetNetworkLayerForChecksum(ip))
	whole := build(t, ethernet(), ip, l)
	edit := func(at int, with ...byte) []byte {
		data := append([]byte(nil), whole...)
		copy(data[at:], with)
		return data
	}
	const l4 = packet.L3 + 20
	stamps := &layers.TCP{SrcPort: 40000, DstPort: 5432, ACK: true, Options: []layers.TCPOption{
		{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte("12345678")},
	}}
	require.NoError(t, stamps.SetNetworkLayerForChecksum(ip))
	stamped := build(t, ethernet(), ip, stamps, gopacket.Payload("data"))
	otherwise := append([]byte(nil), stamped...)
	copy(otherwise[l4+20:], "\x01\x01\xfe\x0a")
	for _, tt := range []struct {
		name string
		data []byte
		want bool
	}{
		{"timestamps", stamped, true},
		{"other options of that length", otherwise, false},
		{"an acknowledgment", whole, true},
		{"padding behind it", append(edit(0), 0, 0, 0, 0, 0, 0), true},
		{"any ToS, ID and window", edit(packet.L3+1, 0xff), true},
		{"a byte less", whole[:len(whole)-1], false},
		{"no byte", nil, false},
		{"IPv6", edit(12, 0x86, 0xdd), false},
		{"IPv4 options", edit(packet.L3, 0x46), false},
		{"a length below the headers", edit(packet.L3+2, 0, 39), false},
		{"a length beyond the frame", edit(packet.L3+2, 0, 41), false},
		{"it may be fragmented", edit(packet.L3+6, 0), false},
		{"more fragments", edit(packet.L3+6, 0x60), false},
		{"a later fragment", edit(packet.L3+7, 1), false},
		{"the reserved bit", edit(packet.L3+6, 0xc0), false},
		{"TTL 1", edit(packet.L3+8, 1), false},
		{"TTL 0", edit(packet.L3+8, 0), false},
		{"TTL 2", edit(packet.L3+8, 2), true},
		{"TTL 255", edit(packet.L3+8, 255), true},
		{"UDP", edit(packet.L3+9, 17), false},
		{"TCP options", edit(l4+12, 0x60), false},
		{"timestamps that are not there", edit(l4+12, 0x80), false},
		{"a short TCP header", edit(l4+12, 0x40), false},
		{"a TCP header of 36 bytes", edit(l4+12, 0x90), false},
		{"SYN", edit(l4+13, packet.FlagSYN|packet.FlagACK), false},
		{"FIN", edit(l4+13, packet.FlagFIN|packet.FlagACK), false},
		{"RST", edit(l4+13, packet.FlagRST), false},
		{"all other flags", edit(l4+13, 0xf8), true},
		{"a multicast source", edit(packet.L3+12, 224), false},
		{"a reserved destination", edit(packet.L3+16, 240), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, requirePlain(t, tt.data))
			_, _, ok := packet.ReadPlain(tt.data)
			require.Equal(t, tt.want, ok)
		})
	}
}
