package fullnat

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// In these tests the consumer's first byte has the number 1001 and the
// provider's 5001. The AWS header has 100 bytes, so that the consumer's first
// byte is the provider's 1101.
const (
	firstByte   = 1001
	theirFirst  = 5001
	headerBytes = 100
)

var awsIdentity = Identity{Header: LayoutAWS, Endpoint: "vpce-08d2bf15fac5001c9"}

// segment is what matters of a TCP segment or UDP datagram here.
type segment struct {
	seq, ack uint32
	flags    uint8
	options  string
	payload  string
	urgent   uint16
	gso      uint16
	partial  bool // the checksum is left to the device
	damaged  bool
	udp      bool
}

const (
	syn  = packet.FlagSYN
	ack  = packet.FlagACK
	fin  = packet.FlagFIN | packet.FlagACK
	rst  = packet.FlagRST
	push = packet.FlagPSH | packet.FlagACK
	urg  = packet.FlagURG | packet.FlagACK
)

// conversation is one connection, and what its ends receive.
type conversation struct {
	t       *testing.T
	table   *Table
	options Options
	now     time.Duration
	nat     netip.AddrPort
}

func converse(t *testing.T, identity Identity) *conversation {
	c := &conversation{t: t, options: Options{MaxSessions: 100, Seed: 1, Memory: shelf{}}}
	var err error
	c.table, err = New(c.options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.table.Close()) })
	c.configure(&identity)
	return c
}

// restart lets another process go on with the conversation.
func (c *conversation) restart(identity *Identity) {
	c.table, c.options = successor(c.t, c.table, c.options, c.now)
	c.now = 0
	c.configure(identity)
	require.Equal(c.t, Resumed{Sessions: 1}, c.table.Resumed())
}

func (c *conversation) configure(identity *Identity) {
	link := func(protocol uint8) Link {
		l := Link{
			Name: "web", Ingress: 1, Match: worldEndpoint, Protocol: protocol, Egress: 2, Local: []netip.Addr{worldNATIP},
			Connected: true, Idle: time.Hour, Identity: identity,
			Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return worldTarget, true },
		}
		if protocol == packet.ProtocolUDP {
			l.Name = "dns"
			if identity.TOA {
				l.Identity = nil
			}
		}
		return l
	}
	require.NoError(c.t, c.table.Configure(&Config{
		ENIs: []Interface{
			{ENI: 1, MAC: packet.MAC{1}, MTU: 1500, NextHop: packet.MACOf},
			{ENI: 2, MAC: packet.MAC{2}, MTU: 1500, NextHop: packet.MACOf},
		},
		Links: []Link{link(packet.ProtocolTCP), link(packet.ProtocolUDP)},
	}, c.now))
}

// connected is a conversation after the handshake.
func connected(t *testing.T, identity Identity) *conversation {
	c := converse(t, identity)
	c.handshake()
	if identity.Placement == OnFirstAckWithPayload {
		require.Equal(t, []segment{{seq: firstByte, ack: theirFirst, flags: ack}},
			withoutTOA(c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack})))
	}
	return c
}

func (c *conversation) handshake() {
	require.Equal(c.t, []segment{{seq: firstByte - 1, flags: syn}}, c.fromConsumer(segment{seq: firstByte - 1, flags: syn}))
	c.fromProvider(segment{seq: theirFirst - 1, ack: firstByte, flags: syn | ack, options: mss(1460)})
}

func withoutTOA(all []segment) []segment {
	for i := range all {
		if strings.HasPrefix(all[i].options, "\xfe\x08") {
			all[i].options = all[i].options[8:]
		}
	}
	return all
}

func mss(n uint16) string { return string([]byte{2, 4, byte(n >> 8), byte(n)}) }

func sack(edges ...uint32) string {
	b := []byte{1, 1, 5, byte(2 + 4*len(edges))}
	for _, edge := range edges {
		b = binary.BigEndian.AppendUint32(b, edge)
	}
	return string(b)
}

func nops(n int) string { return strings.Repeat("\x01", n) }

var worldPort = netip.AddrPortFrom(worldClient, 40000)

// fromConsumer is what the provider receives of a segment, and because of it.
func (c *conversation) fromConsumer(s segment) []segment {
	return c.send(1, s.frame(1, worldPort, worldEndpoint))
}

// fromProvider is what the consumer receives.
func (c *conversation) fromProvider(s segment) []segment {
	return c.send(2, s.frame(2, worldTarget, c.nat))
}

func (c *conversation) send(eni packet.ENI, f packet.Frame) []segment {
	frames := []packet.Frame{f}
	var verdicts [1]Verdict
	forward(c.table, frames, verdicts[:], c.now)
	received := c.read(c.table.Pending())
	if verdicts[0] != Forwarded {
		return received
	}
	require.NotEqual(c.t, eni, frames[0].ENI)
	return append(received, c.read(frames)...)
}

// wait lets time go by, and is what is sent because of it.
func (c *conversation) wait(d time.Duration) []segment {
	c.now += d
	for c.table.Expire(c.now, 100) {
	}
	return c.read(c.table.Pending())
}

// frame builds a segment with all checksums.
func (s segment) frame(eni packet.ENI, src, dst netip.AddrPort) packet.Frame {
	l4 := make([]byte, 20)
	protocol, sumAt := byte(6), 16
	if s.udp {
		l4, protocol, sumAt = make([]byte, 8), 17, 6
		binary.BigEndian.PutUint16(l4[4:], uint16(8+len(s.payload)))
	} else {
		l4 = append(l4, s.options...)
		binary.BigEndian.PutUint32(l4[4:], s.seq)
		binary.BigEndian.PutUint32(l4[8:], s.ack)
		l4[12], l4[13] = byte(len(l4)/4)<<4, s.flags
		binary.BigEndian.PutUint16(l4[18:], s.urgent)
	}
	binary.BigEndian.PutUint16(l4[0:], src.Port())
	binary.BigEndian.PutUint16(l4[2:], dst.Port())
	l4 = append(l4, s.payload...)
	h := make([]byte, 20)
	h[0], h[6], h[8], h[9] = 0x45, 0x40, 64, protocol
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(l4)))
	copy(h[12:], src.Addr().AsSlice())
	copy(h[16:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[10:], ^sumOf(h))
	binary.BigEndian.PutUint16(l4[sumAt:], checksumOf(h, l4, s.partial, protocol))
	if s.damaged {
		l4[len(l4)-1] ^= 0xff
	}
	a, b := packet.MACOf(dst.Addr()), packet.MACOf(src.Addr())
	data := append(append(append([]byte{}, a[:]...), b[:]...), 8, 0)
	f := packet.Frame{ENI: eni, Data: append(append(data, h...), l4...)}
	if s.partial {
		f.Offload = packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: uint16(sumAt)}
	}
	if s.gso > 0 {
		f.Offload.GSOType, f.Offload.GSOSize = packet.GSOTCPv4, s.gso
		if s.udp {
			f.Offload.GSOType = packet.GSOUDPL4
		}
	}
	return f
}

// checksumOf is what the checksum field, now zero, must hold.
func checksumOf(h, l4 []byte, partial bool, protocol byte) uint16 {
	pseudo := append(bytes.Clone(h[12:20]), 0, protocol, byte(len(l4)>>8), byte(len(l4)))
	if partial {
		return sumOf(pseudo)
	}
	return ^sumOf(append(pseudo, l4...))
}

// read takes frames apart and checks every length and checksum.
func (c *conversation) read(frames []packet.Frame) (all []segment) {
	for _, f := range frames {
		h, l4 := f.Data[14:34], bytes.Clone(f.Data[34:])
		require.EqualValues(c.t, 0xffff, sumOf(h), "the checksum of the IPv4 header")
		require.Equal(c.t, len(f.Data)-14, int(binary.BigEndian.Uint16(h[2:])))
		s := segment{gso: f.Offload.GSOSize, partial: f.Offload.NeedsCsum, udp: h[9] == 17}
		sumAt, payload := 16, 0
		if s.udp {
			sumAt, payload = 6, 8
			require.Equal(c.t, len(l4), int(binary.BigEndian.Uint16(l4[4:])))
		} else {
			s.seq, s.ack, s.flags = binary.BigEndian.Uint32(l4[4:]), binary.BigEndian.Uint32(l4[8:]), l4[13]
			s.urgent = binary.BigEndian.Uint16(l4[18:])
			payload = int(l4[12]>>4) * 4
			s.options = string(l4[20:payload])
		}
		s.payload = string(l4[payload:])
		sum := binary.BigEndian.Uint16(l4[sumAt:])
		l4[sumAt], l4[sumAt+1] = 0, 0
		s.damaged = sum != checksumOf(h, l4, s.partial, h[9])
		if f.ENI == 2 {
			c.nat = netip.AddrPortFrom(worldNATIP, binary.BigEndian.Uint16(f.Data[34:]))
		}
		require.Equal(c.t, []byte{byte(f.ENI), 0, 0, 0, 0, 0}, f.Data[6:12])
		all = append(all, s)
	}
	return all
}

// awsHeader is the header of this connection.
func awsHeader(udp bool) string {
	tuple := packet.FiveTuple{Src: netip.AddrPortFrom(worldClient, 40000), Dst: netip.AddrPortFrom(worldEndpoint.Addr(), 80), Protocol: packet.ProtocolTCP}
	if udp {
		tuple.Protocol = packet.ProtocolUDP
	}
	return string(awsIdentity.appendHeader(nil, tuple))
}

func TestPROXYHeaderInTheStream(t *testing.T) {
	header := awsHeader(false)
	early := awsIdentity
	early.Placement = OnFirstAck
	alone := segment{seq: firstByte, ack: theirFirst, flags: push, payload: header}

	for _, tt := range []struct {
		name     string
		identity Identity
		talk     func(c *conversation) []segment
		want     []segment
	}{
		{"nat J: the header is before the first payload, in its segment", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: push, payload: header + "GET"}}},
		{"nat J: a first segment that comes again has the header again", awsIdentity, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET /"})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: push, payload: header + "GET /"}}},
		{"nat J: it has the header no longer once that is acknowledged", awsIdentity, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			c.fromProvider(segment{seq: theirFirst, ack: firstByte + headerBytes, flags: ack})
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
		}, []segment{{seq: firstByte + headerBytes, ack: theirFirst, flags: push, payload: "GET"}}},
		{"nat J: what follows is shifted", awsIdentity, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			return c.fromConsumer(segment{seq: firstByte + 3, ack: theirFirst, flags: push, payload: " /"})
		}, []segment{{seq: firstByte + 3 + headerBytes, ack: theirFirst, flags: push, payload: " /"}}},
		{"nat J: the second segment comes first: the header goes alone", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte + 3, ack: theirFirst, flags: push, payload: " /"})
		}, []segment{alone, {seq: firstByte + 3 + headerBytes, ack: theirFirst, flags: push, payload: " /"}}},
		{"nat J (j): header and payload are longer than the MSS: the header goes alone", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", 1361)})
		}, []segment{alone, {seq: firstByte + headerBytes, ack: theirFirst, flags: push, payload: strings.Repeat("x", 1361)}}},
		{"nat J (j): header and payload just fit the MSS", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", 1360)})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: push, payload: header + strings.Repeat("x", 1360)}}},
		{"nat J (d): the header goes before a FIN without data", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: fin})
		}, []segment{alone, {seq: firstByte + headerBytes, ack: theirFirst, flags: fin}}},
		{"nat J (f): a keep-alive probe before any data stays one", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte - 1, ack: theirFirst, flags: ack, payload: "\x00"})
		}, []segment{{seq: firstByte - 1, ack: theirFirst, flags: ack, payload: "\x00"}}},
		{"nat J (f): a keep-alive probe after the header was acknowledged is about a byte that is there", awsIdentity, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			c.fromProvider(segment{seq: theirFirst, ack: firstByte + headerBytes + 3, flags: ack})
			return c.fromConsumer(segment{seq: firstByte + 2, ack: theirFirst, flags: ack})
		}, []segment{{seq: firstByte + headerBytes + 2, ack: theirFirst, flags: ack}}},
		{"nat J (g): a RST before any data needs no header", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, flags: rst})
		}, []segment{{seq: firstByte, flags: rst}}},
		{"nat J (g): a RST afterwards is shifted", awsIdentity, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			return c.fromConsumer(segment{seq: firstByte + 3, flags: rst})
		}, []segment{{seq: firstByte + 3 + headerBytes, flags: rst}}},
		{"nat J (k): an urgent pointer points to the same byte", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: urg, urgent: 2, payload: "GET"})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: urg, urgent: 102, payload: header + "GET"}}},
		{"nat 33: the partial sum follows the length alone", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET", partial: true})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: push, payload: header + "GET", partial: true}}},
		{"nat 43: a superframe takes the header and is cut into segments as before", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", 4000), gso: 1460, partial: true})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: push, payload: header + strings.Repeat("x", 4000), gso: 1460, partial: true}}},
		{"nat 43: a superframe that would be too long for IP goes behind the header", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", 65400), gso: 1460, partial: true})
		}, []segment{alone, {seq: firstByte + headerBytes, ack: theirFirst, flags: push, payload: strings.Repeat("x", 65400), gso: 1460, partial: true}}},
		{"nat 35: what was damaged stays damaged", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET", damaged: true})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: push, payload: header + "GE\xab", damaged: true}}},
		{"nat J: a segment from before the stream into it is dropped", awsIdentity, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte - 2, ack: theirFirst, flags: push, payload: "GET"})
		}, nil},
		{"nat J: a session keeps its header over a change of the configuration", awsIdentity, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			c.configure(&Identity{Header: LayoutAlibaba, VPC: "vpc-1"})
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: push, payload: header + "GET"}}},
		{"nat J: the header goes with the first acknowledgment", early, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack})
		}, []segment{alone, {seq: firstByte + headerBytes, ack: theirFirst, flags: ack}}},
		{"nat J (e): the first acknowledgment has data: the header is with it", early, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack, payload: "GET"})
		}, []segment{{seq: firstByte, ack: theirFirst, flags: ack, payload: header + "GET"}}},
		{"nat J: a header that went alone has the timestamps of the connection", early, func(c *conversation) []segment {
			return c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack, options: "\x01\x01\x08\x0aTIMEecho"})
		}, []segment{
			{seq: firstByte, ack: theirFirst, flags: push, payload: header, options: "\x01\x01\x08\x0aTIMEecho"},
			{seq: firstByte + headerBytes, ack: theirFirst, flags: ack, options: "\x01\x01\x08\x0aTIMEecho"},
		}},
		{"nat J (c): a header that went alone is sent again, with what the consumer has acknowledged since", early, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack})
			require.Empty(c.t, c.wait(999*time.Millisecond))
			require.Equal(c.t, []segment{alone}, c.wait(time.Millisecond))
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst + 7, flags: ack})
			require.Empty(c.t, c.wait(1999*time.Millisecond))
			return c.wait(time.Millisecond)
		}, []segment{{seq: firstByte, ack: theirFirst + 7, flags: push, payload: header}}},
		{"nat J (c): it is sent again no more once it is acknowledged", early, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack})
			c.fromProvider(segment{seq: theirFirst, ack: firstByte + headerBytes, flags: ack})
			return c.wait(time.Minute)
		}, nil},
		{"nat J (c): it is sent again six times at most", early, func(c *conversation) (sent []segment) {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack})
			for range 2000 {
				sent = append(sent, c.wait(100*time.Millisecond)...)
			}
			return sent
		}, []segment{alone, alone, alone, alone, alone, alone}},
		{"nat J (c): the provider says that something is missing: the header is sent again at once", awsIdentity, func(c *conversation) []segment {
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			c.wait(300 * time.Millisecond)
			return c.fromProvider(segment{seq: theirFirst, ack: firstByte, flags: ack, options: sack(firstByte+200, firstByte+300)})
		}, []segment{alone, {seq: theirFirst, ack: firstByte, flags: ack, options: sack(firstByte+100, firstByte+200)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.talk(connected(t, tt.identity)))
		})
	}
}

func TestWindowsWithAPROXYHeader(t *testing.T) {
	t.Run("nat J (h), nat J (i): a closed window does not stop the header, and windows stay", func(t *testing.T) {
		c := connected(t, awsIdentity) // the provider's window has been 0 all the time
		const window = 34 + 14
		for _, s := range []segment{
			{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"},
			{seq: firstByte + 3, ack: theirFirst, flags: push, payload: " /"},
		} {
			f := s.frame(1, worldPort, worldEndpoint)
			binary.BigEndian.PutUint16(f.Data[window:], 0x1234)
			left := c.leaves(f)
			require.Len(t, left, 1)
			require.EqualValues(t, 0x1234, binary.BigEndian.Uint16(left[0].Data[window:]))
		}
		f := segment{seq: theirFirst, ack: firstByte + headerBytes, flags: ack}.frame(2, worldTarget, c.nat)
		binary.BigEndian.PutUint16(f.Data[window:], 0x4321)
		require.EqualValues(t, 0x4321, binary.BigEndian.Uint16(c.leaves(f)[0].Data[window:]))
	})
}

func TestAcknowledgmentsOfThePROXYHeader(t *testing.T) {
	for _, tt := range []struct {
		name     string
		ack      uint32
		options  string
		want     uint32
		wantOpts string
	}{
		{"nat J (a): nothing is acknowledged", firstByte, "", firstByte, ""},
		{"nat J (a): the header in part", firstByte + 50, "", firstByte, ""},
		{"nat J (a): all of the header but one byte", firstByte + 99, "", firstByte, ""},
		{"nat J (a): the header alone", firstByte + 100, "", firstByte, ""},
		{"nat J (a): the header and a byte", firstByte + 101, "", firstByte + 1, ""},
		{"nat J: the SYN once more", firstByte - 1, "", firstByte - 1, ""},
		{"nat J (b): both edges are shifted", firstByte + 101, sack(firstByte+200, firstByte+300), firstByte + 1, sack(firstByte+100, firstByte+200)},
		{"nat J (b): several blocks", firstByte + 101, sack(firstByte+200, firstByte+300, firstByte+400, firstByte+500), firstByte + 1, sack(firstByte+100, firstByte+200, firstByte+300, firstByte+400)},
		{"nat J (b): a duplicate of the header means nothing to the consumer", firstByte + 103, sack(firstByte, firstByte+100), firstByte + 3, nops(12)},
		{"nat J (b): a duplicate of header and data is one of data", firstByte + 103, sack(firstByte, firstByte+103), firstByte + 3, sack(firstByte, firstByte+3)},
		{"nat J (b): of two blocks, one in the header goes", firstByte + 103, sack(firstByte+10, firstByte+20, firstByte+200, firstByte+300), firstByte + 3, "\x01\x01" + sack(firstByte+100, firstByte+200)[2:] + nops(8)},
		{"nat J (b): only the header is missing: the first bytes must come again", firstByte, sack(firstByte+100, firstByte+103), firstByte, nops(12)},
		{"nat J (b): a part of the header is missing", firstByte + 50, sack(firstByte+100, firstByte+103), firstByte, nops(12)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, partial := range []bool{false, true} {
				c := connected(t, awsIdentity)
				c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
				require.Equal(t, []segment{{seq: theirFirst, ack: tt.want, flags: ack, options: tt.wantOpts, payload: "x", partial: partial}},
					c.fromProvider(segment{seq: theirFirst, ack: tt.ack, flags: ack, options: tt.options, payload: "x", partial: partial}))
			}
		})
	}
	t.Run("nat J: what the consumer acknowledges is not shifted", func(t *testing.T) {
		c := connected(t, awsIdentity)
		c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
		s := segment{seq: firstByte + 3, ack: theirFirst + 10, flags: ack, options: sack(theirFirst+20, theirFirst+30)}
		want := s
		want.seq += headerBytes
		require.Equal(t, []segment{want}, c.fromConsumer(s))
	})
	t.Run("nat J: numbers go round", func(t *testing.T) {
		for _, at := range []uint32{0xffffffff, 0xffffffa0, 0, 1, 1 << 31} {
			i := insertion{at: at, length: 100}
			for _, ahead := range []uint32{0, 1, 99, 100, 1 << 20} {
				require.Equal(t, at+ahead, i.forConsumer(i.forProvider(at+ahead)))
			}
			require.Equal(t, at, i.forConsumer(at+99))
			require.Equal(t, at-1, i.forProvider(at-1))
			require.Equal(t, at-1, i.forConsumer(at-1))
		}
	})
	t.Run("nat J: gigabytes later, numbers that look old are not", func(t *testing.T) {
		c := connected(t, awsIdentity)
		c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
		for k := range uint32(8) {
			n := firstByte + k<<29
			require.Equal(t, n, c.fromProvider(segment{seq: theirFirst, ack: n + headerBytes, flags: ack})[0].ack)
			require.Equal(t, n+headerBytes, c.fromConsumer(segment{seq: n, ack: theirFirst, flags: ack})[0].seq)
		}
		require.EqualValues(t, 4294967246, c.fromProvider(segment{seq: theirFirst, ack: 50, flags: ack})[0].ack)
	})
}

func TestSYNsOfConnectionsWithAPROXYHeader(t *testing.T) {
	t.Run("nat J (e): a SYN brings neither data nor a cookie for them", func(t *testing.T) {
		c := converse(t, awsIdentity)
		cookie := "\x22\x06COOK" + "\x01\x01" // RFC 7413, 4.1.1
		require.Equal(t, []segment{{seq: firstByte - 1, flags: syn, options: nops(8)}},
			c.fromConsumer(segment{seq: firstByte - 1, flags: syn, options: cookie, payload: "GET"}))
		c.fromProvider(segment{seq: theirFirst - 1, ack: firstByte, flags: syn | ack})
		require.Equal(t, awsHeader(false)+"GET", c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack, payload: "GET"})[0].payload)
	})
	t.Run("nat J (l): signatures cannot work and are refused", func(t *testing.T) {
		for _, option := range []string{"\x13\x12" + strings.Repeat("m", 16) + "\x01\x01", "\x1d\x04ao"} {
			c := converse(t, awsIdentity)
			require.Empty(t, c.fromConsumer(segment{seq: firstByte - 1, flags: syn, options: option}))
			require.EqualValues(t, 1, c.table.Stats().Links[0].Verdicts[SignedTCP])
			require.Zero(t, c.table.Stats().Sessions)
		}
	})
	t.Run("nat 62: the last SYN before an answer counts", func(t *testing.T) {
		c := converse(t, awsIdentity)
		c.fromConsumer(segment{seq: 77, flags: syn})
		c.handshakeGoesOn()
		require.Equal(t, awsHeader(false)+"GET", c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: ack, payload: "GET"})[0].payload)
	})
}

func (c *conversation) handshakeGoesOn() {
	c.fromConsumer(segment{seq: firstByte - 1, flags: syn})
	c.fromProvider(segment{seq: theirFirst - 1, ack: firstByte, flags: syn | ack})
}

func TestICMPErrorsAboutShiftedSegments(t *testing.T) {
	for _, tt := range []struct {
		name string
		seq  uint32 // as the consumer sent it
		want uint32
	}{
		{"nat 27: a segment behind the header is quoted as the consumer sent it", firstByte + 3, firstByte + 3},
		{"nat 27: so is the first one, with the header in it", firstByte, firstByte},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connected(t, awsIdentity)
			c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
			frames := []packet.Frame{segment{seq: tt.seq, ack: theirFirst, flags: push, payload: " /"}.frame(1, worldPort, worldEndpoint)}
			sent := bytes.Clone(frames[0].Data[34:54])
			var verdicts [1]Verdict
			forward(c.table, frames, verdicts[:], c.now)
			quoted := c.report(frames[0], 1200)
			require.Equal(t, tt.want, binary.BigEndian.Uint32(quoted[4:]))
			if tt.seq != firstByte {
				require.Equal(t, sent, quoted[:20], "with its checksum")
			}
		})
	}
	t.Run("nat 27: a segment to the consumer is quoted with the acknowledgment that the provider sent", func(t *testing.T) {
		c := connected(t, awsIdentity)
		c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
		frames := []packet.Frame{segment{seq: theirFirst, ack: firstByte + headerBytes + 3, flags: push, payload: "OK"}.frame(2, worldTarget, c.nat)}
		var verdicts [1]Verdict
		forward(c.table, frames, verdicts[:], c.now)
		quoted := c.report(frames[0], 1200)
		require.EqualValues(t, firstByte+headerBytes+3, binary.BigEndian.Uint32(quoted[8:]))
	})
	t.Run("nat 54: what only the header made too long comes behind it next time", func(t *testing.T) {
		c := connected(t, awsIdentity)
		long := segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", 1100)}
		frames := []packet.Frame{long.frame(1, worldPort, worldEndpoint)}
		var verdicts [1]Verdict
		forward(c.table, frames, verdicts[:], c.now)
		c.report(frames[0], 1200)
		require.Len(t, c.fromConsumer(long), 2)
	})
}

// report lets a router on the way say that a frame which left the table was
// too long, and returns the quoted segment as its sender receives it.
func (c *conversation) report(f packet.Frame, mtu uint32) []byte {
	var p packet.Packet
	require.Equal(c.t, packet.TCP, packet.Parse(f.Data, &p))
	e := packet.ICMPError{Type: 3, Code: 4, Rest: mtu}
	data := make([]byte, packet.ICMPErrorSize(&p))
	e.Build(data, f.Data, &p)
	frames := []packet.Frame{{ENI: f.ENI, Data: data}}
	var verdicts [1]Verdict
	forward(c.table, frames, verdicts[:], c.now)
	require.Equal(c.t, Forwarded, verdicts[0])
	require.EqualValues(c.t, 0xffff, sumOf(data[34:]), "the checksum of the error")
	require.EqualValues(c.t, 0xffff, sumOf(data[42:62]), "the checksum of the quoted header")
	return data[62:]
}

func TestTOA(t *testing.T) {
	toa := "\xfe\x08\x9c\x40" + string(worldClient.AsSlice())
	on := Identity{TOA: true}
	ackOnly := segment{seq: firstByte, ack: theirFirst, flags: ack}
	with := func(s segment, options string) []segment { s.options = options; return []segment{s} }

	t.Run("nat J: TOA is in segments until the provider's first byte is acknowledged", func(t *testing.T) {
		c := converse(t, on)
		c.handshake()
		require.Equal(t, with(ackOnly, toa), c.fromConsumer(ackOnly))
		data := segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET", options: "\x01\x01\x08\x0aTIMEecho"}
		require.Equal(t, with(data, toa+data.options), c.fromConsumer(data))
		data.partial = true
		require.Equal(t, with(data, toa+data.options), c.fromConsumer(data))
		reset := segment{seq: firstByte, flags: rst}
		require.Equal(t, []segment{reset}, c.fromConsumer(reset))
		data.ack++
		require.Equal(t, []segment{data}, c.fromConsumer(data))
		data.ack--
		require.Equal(t, []segment{data}, c.fromConsumer(data), "it is over")
	})
	t.Run("nat 36: the MSS leaves room, at an odd offset too", func(t *testing.T) {
		for _, before := range []string{"", "\x01"} {
			for _, partial := range []bool{false, true} {
				c := converse(t, on)
				c.fromConsumer(segment{seq: firstByte - 1, flags: syn})
				after := nops((4 - len(before)) % 4)
				s := segment{seq: theirFirst - 1, ack: firstByte, flags: syn | ack, options: before + mss(1460) + after, partial: partial}
				want := s
				want.options = before + mss(1452) + after
				require.Equal(t, []segment{want}, c.fromProvider(s))
			}
		}
	})
	t.Run("nat J: without room, TOA is left out and counted", func(t *testing.T) {
		c := converse(t, on)
		c.handshake()
		full := ackOnly
		full.options = sack(1, 2, 3, 4, 5, 6, 7, 8) // 36 of 40 bytes
		require.Equal(t, []segment{full}, c.fromConsumer(full))
		long := ackOnly
		long.payload = strings.Repeat("x", 1460)
		require.Equal(t, []segment{long}, c.fromConsumer(long))
		require.EqualValues(t, 2, c.table.Stats().Links[0].WithoutTOA)
		super := segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", 4000), gso: 1452, partial: true}
		require.Equal(t, with(super, toa), c.fromConsumer(super), "nat 43: superframes have room if their segments have")
	})
	t.Run("nat J: what a consumer claims of itself is removed, with TOA and without", func(t *testing.T) {
		forged := "\xfe\x08\x00\x50\x08\x08\x08\x08"
		for _, tt := range []struct{ options, want string }{
			{forged, nops(8)},
			{"\xfd\x14" + strings.Repeat("6", 18), nops(20)},
			{"\x01" + forged + nops(3), nops(12)},
			{forged + forged, nops(16)},
			{mss(1400) + forged, mss(1400) + nops(8)},
			{"\x00\x01\x01\x01" + forged, "\x00\x01\x01\x01" + forged},               // nobody reads behind the end
			{"\xfe\x30\x00\x50\x08\x08\x08\x08", "\xfe\x30\x00\x50\x08\x08\x08\x08"}, // nor what is too long
		} {
			for _, partial := range []bool{false, true} {
				c := connected(t, Identity{})
				s := segment{seq: firstByte, ack: theirFirst, flags: push, options: tt.options, payload: "GET", partial: partial}
				want := s
				want.options = tt.want
				require.Equal(t, []segment{want}, c.fromConsumer(s))

				c = connected(t, on)
				want.options = toa + tt.want
				require.Equal(t, []segment{want}, c.fromConsumer(s))
			}
		}
		c := converse(t, Identity{})
		require.Equal(t, nops(8), c.fromConsumer(segment{seq: 1, flags: syn, options: forged})[0].options)
		s := segment{seq: 7, ack: 8, flags: ack, options: forged}
		require.Equal(t, []segment{s}, c.fromProvider(s), "a provider may say what it likes")
	})
	t.Run("nat J: a PROXY header and TOA in one segment are together no longer than the MTU", func(t *testing.T) {
		both := awsIdentity
		both.TOA = true
		for n, want := range map[int]int{1352: 1, 1353: 2} {
			c := converse(t, both)
			c.handshake()
			got := c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", n)})
			require.Len(t, got, want)
			require.Equal(t, toa, got[want-1].options)
		}
		require.Error(t, both.check(packet.ProtocolUDP, false))
		require.Error(t, (&Identity{Placement: 2}).check(packet.ProtocolTCP, false))
		require.Error(t, (&Identity{Header: 9}).check(packet.ProtocolTCP, false))
	})
	t.Run("nat 54: the path MTU leaves room for TOA", func(t *testing.T) {
		c := converse(t, on)
		c.handshake()
		frames := []packet.Frame{segment{seq: firstByte, ack: theirFirst, flags: push, payload: strings.Repeat("x", 1300)}.frame(1, worldPort, worldEndpoint)}
		var verdicts [1]Verdict
		forward(c.table, frames, verdicts[:], c.now)
		quoted := c.report(frames[0], 1200)
		require.EqualValues(t, firstByte, binary.BigEndian.Uint32(quoted[4:]))
	})
}

func TestPROXYHeaderInDatagrams(t *testing.T) {
	header := awsHeader(true)
	datagram := func(payload string) segment { return segment{udp: true, payload: payload} }
	t.Run("nat J: the header is in the first datagram of a session and in no other", func(t *testing.T) {
		for _, partial := range []bool{false, true} {
			c := converse(t, awsIdentity)
			s := datagram("who?")
			s.partial = partial
			want := s
			want.payload = header + s.payload
			require.Equal(t, []segment{want}, c.fromConsumer(s))
			require.Equal(t, []segment{s}, c.fromConsumer(s))
			require.Equal(t, []segment{s}, c.fromProvider(s))
			require.Equal(t, []segment{s}, c.fromConsumer(s))
		}
	})
	t.Run("nat J: a header of odd length", func(t *testing.T) {
		c := converse(t, Identity{Header: LayoutAlibaba, VPC: "vpc-1"})
		got := c.fromConsumer(datagram("who?"))
		require.Len(t, got, 1)
		require.False(t, got[0].damaged)
		require.Len(t, got[0].payload, 28+4+5+4)
	})
	t.Run("nat J: where the datagram has no room, the header is one of its own", func(t *testing.T) {
		c := converse(t, awsIdentity)
		s := datagram(strings.Repeat("x", 1400))
		require.Equal(t, []segment{datagram(header), s}, c.fromConsumer(s))
	})
	t.Run("nat 43: so it is before a superframe of datagrams", func(t *testing.T) {
		c := converse(t, awsIdentity)
		s := datagram(strings.Repeat("x", 600))
		s.gso, s.partial = 200, true
		require.Equal(t, []segment{datagram(header), s}, c.fromConsumer(s))
	})
}

func TestShiftingDoesNotAllocate(t *testing.T) {
	c := connected(t, awsIdentity)
	c.fromConsumer(segment{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"})
	c.fromProvider(segment{seq: theirFirst, ack: firstByte + headerBytes, flags: ack})
	there := segment{seq: firstByte + 3, ack: theirFirst, flags: push, payload: "x", options: "\x01\x01\x08\x0aTIMEecho"}.frame(1, worldPort, worldEndpoint)
	back := segment{seq: theirFirst, ack: firstByte + 200, flags: ack, options: sack(firstByte+300, firstByte+400)}.frame(2, worldTarget, c.nat)
	frames := make([]packet.Frame, 2)
	data := [2][]byte{make([]byte, 200), make([]byte, 200)}
	var verdicts [2]Verdict
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for i, f := range []packet.Frame{there, back} {
			frames[i] = f
			frames[i].Data = data[i][:copy(data[i], f.Data)]
		}
		c.table.Forward(frames, verdicts[:], c.now)
	}))
	require.Equal(t, [2]Verdict{}, verdicts)
}

// cut makes two fragments of a frame, the first with size bytes behind its
// IPv4 header.
func cut(f packet.Frame, size int) (first, last packet.Frame) {
	piece := func(from, to int, frag uint16) packet.Frame {
		data := append(bytes.Clone(f.Data[:34]), f.Data[34+from:34+to]...)
		binary.BigEndian.PutUint16(data[16:], uint16(len(data)-14))
		binary.BigEndian.PutUint16(data[20:], frag|uint16(from/8))
		copy(data[24:], []byte{0, 0})
		binary.BigEndian.PutUint16(data[24:], ^sumOf(data[14:34]))
		return packet.Frame{ENI: f.ENI, Data: data}
	}
	return piece(0, size, 0x2000), piece(size, len(f.Data)-34, 0)
}

// leaves is what leaves because of a frame: in fragments, as they are.
func (c *conversation) leaves(f packet.Frame) (left []packet.Frame) {
	frames := []packet.Frame{f}
	var verdicts [1]Verdict
	c.table.Forward(frames, verdicts[:], c.now)
	left = append(left, c.table.Pending()...)
	if verdicts[0] == Forwarded {
		left = append(left, frames...)
	}
	for i := range left {
		left[i].Data = bytes.Clone(left[i].Data)
	}
	return left
}

// putTogether is what a receiver makes of frames, of which the fragments are
// all of one datagram.
func (c *conversation) putTogether(frames []packet.Frame) []segment {
	var parts, rest []packet.Frame
	for _, f := range frames {
		if binary.BigEndian.Uint16(f.Data[20:])&0x3fff != 0 {
			parts = append(parts, f)
		} else {
			rest = append(rest, f)
		}
	}
	data, ok := whole(parts)
	require.True(c.t, ok, "%d fragments", len(parts))
	return c.read(append(rest, packet.Frame{ENI: parts[0].ENI, Data: data}))
}

// TestFragmentsOfConveyedSessions cuts what the consumer or the provider sends
// and puts together what leaves.
func TestFragmentsOfConveyedSessions(t *testing.T) {
	withTOA := awsIdentity
	withTOA.TOA = true
	alone := segment{seq: firstByte, ack: theirFirst, flags: push, payload: awsHeader(false)}
	payload := strings.Repeat("fragments ", 20)
	datagram := segment{udp: true, payload: payload}
	for _, tt := range []struct {
		name     string
		identity Identity
		before   []segment // from the consumer
		back     bool      // the provider sends
		send     segment
		want     []segment
	}{
		{"nat J, nat 47: the header goes alone before a first payload", awsIdentity, nil, false,
			segment{seq: firstByte, ack: theirFirst, flags: push, payload: payload},
			[]segment{alone, {seq: firstByte + headerBytes, ack: theirFirst, flags: push, payload: payload}}},
		{"nat J, nat 47: TOA has no room", withTOA, nil, false,
			segment{seq: firstByte, ack: theirFirst, flags: push, payload: payload},
			[]segment{alone, {seq: firstByte + headerBytes, ack: theirFirst, flags: push, payload: payload}}},
		{"nat J, nat 47: what follows is shifted", awsIdentity,
			[]segment{{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"}}, false,
			segment{seq: firstByte + 3, ack: theirFirst, flags: push, payload: payload},
			[]segment{{seq: firstByte + 3 + headerBytes, ack: theirFirst, flags: push, payload: payload}}},
		{"nat J, nat 47: what the provider acknowledges is shifted back", awsIdentity,
			[]segment{{seq: firstByte, ack: theirFirst, flags: push, payload: "GET"}}, true,
			segment{seq: theirFirst, ack: firstByte + headerBytes + 3, flags: push, payload: payload},
			[]segment{{seq: theirFirst, ack: firstByte + 3, flags: push, payload: payload}}},
		{"nat J, nat 47: the header is a datagram of its own before one", awsIdentity, nil, false,
			datagram, []segment{{udp: true, payload: awsHeader(true)}, datagram}},
	} {
		for _, order := range []string{"in order", "out of order"} {
			t.Run(tt.name+", "+order, func(t *testing.T) {
				c := connected(t, tt.identity)
				for _, s := range tt.before {
					c.fromConsumer(s)
				}
				eni, src, dst := packet.ENI(1), worldPort, worldEndpoint
				if tt.back {
					eni, src, dst = 2, worldTarget, c.nat
				}
				pieces := [2]packet.Frame{}
				pieces[0], pieces[1] = cut(tt.send.frame(eni, src, dst), 64)
				if order == "out of order" {
					pieces[0], pieces[1] = pieces[1], pieces[0]
				}
				left := append(c.leaves(pieces[0]), c.leaves(pieces[1])...)
				require.Equal(t, tt.want, c.putTogether(left))
			})
		}
	}
	t.Run("nat J (e), nat 47: a SYN with data in fragments opens nothing", func(t *testing.T) {
		c := converse(t, awsIdentity)
		first, last := cut(segment{seq: firstByte - 1, flags: syn, payload: payload}.frame(1, worldPort, worldEndpoint), 64)
		require.Empty(t, c.leaves(first))
		require.Empty(t, c.leaves(last))
		require.EqualValues(t, 2, c.table.Stats().Verdicts[Straddling])
		require.Zero(t, c.table.Stats().Sessions)
	})
	t.Run("nat J (e), nat 47: nor does one that comes again bring its data", func(t *testing.T) {
		c := converse(t, awsIdentity)
		c.handshake()
		first, _ := cut(segment{seq: firstByte - 1, flags: syn, payload: payload}.frame(1, worldPort, worldEndpoint), 64)
		require.Empty(t, c.leaves(first))
	})
}
