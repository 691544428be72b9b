package fullnat

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// streams is a connection as its two ends see it, in the plainest way: who
// receives a byte knows which one it must be. Whatever is lost, comes again or
// comes late, the provider may see nothing but the header and the consumer's
// bytes behind it, and the consumer may hear of nothing but its own.
type streams struct {
	*conversation
	identity Identity
	header   string
	data     string // of the consumer, with a FIN behind it
	sent     int    // of it, at least once
	acked    int    // as the consumer knows; the FIN counts
	got      []bool // by place in the provider's stream, header and FIN included
}

var streamIdentities = []Identity{
	awsIdentity,
	{Header: LayoutAWS, Placement: OnFirstAck, Endpoint: "vpce-08d2bf15fac5001c9", TOA: true},
	{Header: LayoutAlibaba, VPC: "vpc-12", Endpoint: "ep-1", Service: "epsrv-1"}, // an odd length
	{TOA: true},
}

func newStreams(t *testing.T, identity Identity) *streams {
	s := &streams{conversation: converse(t, identity), identity: identity, data: strings.Repeat("0123456789abcdef!", 200)}
	s.handshake()
	if identity.Header != NoHeader {
		s.header = string(identity.appendHeader(nil, packet.FiveTuple{
			Src: netip.AddrPortFrom(worldClient, 40000), Dst: netip.AddrPortFrom(worldEndpoint.Addr(), 80), Protocol: packet.ProtocolTCP}))
	}
	s.got = make([]bool, len(s.header)+len(s.data)+1)
	return s
}

// fate of a frame: it arrives, or half of its payload does, for which the
// receiver has no room, or it is lost.
type fate byte

const (
	lost fate = iota
	half
	arrives
)

func fateOf(n byte) fate { return min(fate(n%5), arrives) }

// step: the ends send and receive, time goes by, or another process goes on.
func (s *streams) step(n byte) {
	switch {
	case n >= 236 && n < 240:
		// Who comes later knows the same, whatever the configuration says now.
		s.restart(&streamIdentities[n%4])
		s.configure(&s.identity)
	case n < 20:
		s.sent = min(len(s.data), s.sent+int(n)*40) // and it is lost before the table
	case n < 130:
		from := s.acked + (s.sent-s.acked)*int(n%5)/4
		size := 1460 // the header has no room beside it
		if n%2 == 0 {
			size = 1 + int(n)*37%size
		}
		s.consumerSends(from, size, n)
	case n < 240:
		s.providerAcknowledges(n%3 == 0, n)
	default:
		s.now += time.Duration(n-239) * 150 * time.Millisecond
		for s.table.Expire(s.now, 100) {
		}
		s.arrive(s.table.Pending(), n)
	}
}

func (s *streams) consumerSends(from, size int, n byte) {
	if from > len(s.data) {
		return
	}
	to := min(from+size, len(s.data))
	s.sent = max(s.sent, to)
	m := segment{seq: firstByte + uint32(from), ack: theirFirst, flags: push, payload: s.data[from:to]}
	if to == len(s.data) {
		m.flags |= fin
	}
	s.arrive(s.leaves(m.frame(1, worldPort, worldEndpoint)), n)
}

// providerAcknowledges what it has in one piece from the start, and in a
// selective acknowledgment the piece behind the first gap.
func (s *streams) providerAcknowledges(selective bool, n byte) {
	until := func(from int, is bool) int {
		for from < len(s.got) && s.got[from] == is {
			from++
		}
		return from
	}
	m := segment{seq: theirFirst, flags: ack}
	end := until(0, true)
	m.ack = firstByte + uint32(end)
	if left := until(end, false); selective && left < len(s.got) {
		m.options = sack(firstByte+uint32(left), firstByte+uint32(until(left, true)))
	}
	s.arrive(s.leaves(m.frame(2, worldTarget, s.nat)), n)
}

// arrive looks at what leaves the table, also if it is lost afterwards. What
// leaves together has several fates.
func (s *streams) arrive(frames []packet.Frame, n byte) {
	for i, f := range frames {
		require.LessOrEqual(s.t, len(f.Data), packet.L3+1500)
		m := withoutTOA(s.read([]packet.Frame{f}))[0]
		require.False(s.t, m.damaged)
		if f.ENI == 2 {
			s.providerReceives(m, fateOf(n+byte(i)*3))
		} else {
			s.consumerReceives(m, fateOf(n))
		}
	}
}

func (s *streams) providerReceives(m segment, fate fate) {
	stream := s.header + s.data
	at := int(m.seq - firstByte)
	require.LessOrEqual(s.t, at+len(m.payload), len(stream))
	require.Equal(s.t, stream[at:at+len(m.payload)], m.payload, "at byte %d of the provider's stream", at)
	end := at + len(m.payload)
	if m.flags&packet.FlagFIN != 0 {
		require.Equal(s.t, len(stream), end, "the FIN")
		end++
	}
	switch fate {
	case lost:
		end = at
	case half:
		end = (at + end) / 2
	}
	for i := at; i < end; i++ {
		s.got[i] = true
	}
}

func (s *streams) consumerReceives(m segment, fate fate) {
	has := func(from, to int) {
		for i := from; i < to; i++ {
			require.True(s.t, s.got[len(s.header)+i], "byte %d of the consumer's", i)
		}
	}
	acked := int(m.ack - firstByte)
	has(0, acked)
	if acked > 0 {
		require.NotContains(s.t, s.got[:len(s.header)], false, "something behind a header with gaps")
	}
	if blocks := strings.TrimLeft(m.options, "\x01"); blocks != "" {
		left, right := int(number32(blocks[2:])-firstByte), int(number32(blocks[6:])-firstByte)
		require.Less(s.t, acked, left, "or nothing is missing")
		has(left, right)
	}
	if fate != lost {
		s.acked = max(s.acked, acked)
	}
}

func number32(b string) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// finish lets the consumer send what is missing, and nothing is lost any more.
func (s *streams) finish() {
	for tries := 0; s.acked <= len(s.data); tries++ {
		require.Less(s.t, tries, 50, "%d of %d bytes", s.acked, len(s.data))
		const whole = 4 // and all that leaves with it
		s.consumerSends(s.acked, 1460, whole)
		s.providerAcknowledges(true, whole)
	}
	require.NotContains(s.t, s.got, false)
}

func TestStreamsAreWholeWithAHeaderInThem(t *testing.T) {
	t.Run("nat J: whatever is lost, comes twice or comes late", func(t *testing.T) {
		seeds := uint64(200)
		if testing.Short() {
			seeds = 20
		}
		for seed := range seeds {
			random := rand.New(rand.NewPCG(seed, 0))
			s := newStreams(t, streamIdentities[seed%uint64(len(streamIdentities))])
			for range random.IntN(100) {
				s.step(byte(random.Uint32()))
			}
			s.finish()
		}
	})
}

// FuzzStreams chooses what happens to a connection. Each byte is a step.
func FuzzStreams(f *testing.F) {
	f.Add([]byte("\x00\x15\x80\xf0"))
	f.Add([]byte("a segment, an acknowledgment \xff and a while \x80\x81 later another"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		s := newStreams(t, streamIdentities[len(steps)%len(streamIdentities)])
		for _, n := range steps[:min(len(steps), 300)] {
			s.step(n)
		}
		s.finish()
	})
}
