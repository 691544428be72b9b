package fullnat

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// TestFragmentsInAnyOrder cuts datagrams of several senders at random, mixes
// the pieces, and puts together what leaves: that of each sender comes out
// whole, once, and in the order of its offsets.
func TestFragmentsInAnyOrder(t *testing.T) {
	t.Run("nat 48: every datagram comes out whole", func(t *testing.T) {
		seeds := uint64(200)
		if testing.Short() {
			seeds = 20
		}
		for seed := range seeds {
			s := fragmentStory(t)
			random := rand.New(rand.NewPCG(seed, 0))
			var frames []packet.Frame
			const senders = 8
			for who := range senders {
				m, err := parseMessage(fmt.Sprintf("udp 10.0.1.%d:5000 > 10.0.1.200:53 len=%d id=%d", 10+who, 200+random.IntN(4000), who%3))
				require.NoError(t, err)
				frames = append(frames, cutAtRandom(s, m, random)...)
			}
			random.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
			for len(frames) > 0 {
				n := min(1+random.IntN(10), len(frames))
				s.forwardAll(frames[:n])
				frames = frames[n:]
			}
			require.Zero(t, s.table.Stats().Fragments)
			require.Empty(t, s.parts, "datagrams without an end, seed %d", seed)
			require.Equal(t, senders, s.whole, "seed %d", seed)
		}
	})
}

type fragmentTester struct {
	*story
	whole int
}

func fragmentStory(t testing.TB) *fragmentTester {
	s := newStory(t.(*testing.T))
	s.play("link dns udp ep 10.0.1.200:53 -> lb 10.0.9.11 -> 192.168.0.1:53 idle 20s\n" +
		"link other udp ep2 10.0.1.200:53 -> lb2 10.0.9.11 -> 192.168.0.1:53 idle 20s\n")
	return &fragmentTester{story: s}
}

// forwardAll lets frames arrive in one burst and collects what leaves.
func (s *fragmentTester) forwardAll(frames []packet.Frame) {
	verdicts := make([]Verdict, len(frames))
	forward(s.table, frames, verdicts, s.now)
	left := append([]packet.Frame(nil), s.table.Pending()...)
	for i, v := range verdicts {
		require.Contains(s.t, []Verdict{Forwarded, Held}, v)
		if v == Forwarded {
			left = append(left, frames[i])
		}
	}
	for _, f := range left {
		m, exact := read(f)
		require.True(s.t, exact)
		before := len(s.parts)
		s.assemble(f, m)
		if m.to == 0 || len(s.parts) < before || before == len(s.parts) && !m.more && m.from == 0 {
			s.whole++
		}
	}
}

// cutAtRandom is the fragments of m, each some multiple of eight bytes.
func cutAtRandom(s *fragmentTester, m message, random *rand.Rand) (frames []packet.Frame) {
	for length := 8 + m.len; m.to < length; {
		m.from = m.to
		m.to = min(length, m.from+8+8*random.IntN(120))
		frames = append(frames, m.frame(s.enis["ep"]))
	}
	return frames
}

func TestFragmentsAreBounded(t *testing.T) {
	t.Run("nat 48: a flood of fragments is bounded, is over after two seconds, and leaves room for others", func(t *testing.T) {
		s := fragmentStory(t)
		flood := func(eni string, n int) (verdicts Counters) {
			for i := range n {
				m := message{protocol: "udp", ttl: 64, len: 1400, id: uint32(i), from: 8, to: 1408,
					src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i >> 16)}), 0), dst: netip.MustParseAddrPort("10.0.1.200:53")}
				frames := []packet.Frame{m.frame(s.enis[eni])}
				var v [1]Verdict
				forward(s.table, frames, v[:], s.now)
				verdicts[v[0]]++
			}
			return verdicts
		}
		v := flood("ep", 10000)
		stats := s.table.Stats().Fragments
		require.EqualValues(t, 10000, v[Held]+v[FragmentLimit])
		require.LessOrEqual(t, stats.Datagrams, maxDatagrams/interfaceShare)
		require.LessOrEqual(t, stats.HeldBytes, maxHeldBytes/interfaceShare)
		require.EqualValues(t, v[Held], stats.Held)

		v = flood("ep2", 100)
		require.EqualValues(t, 100, v[Held], "another interface has room")
		held := uint64(s.table.Stats().Fragments.Held)
		for s.table.Expire(fragmentLife, 100) {
		}
		require.Zero(t, s.table.Stats().Fragments)
		require.Equal(t, held, s.table.Stats().Verdicts[FragmentTimeout])
	})
	t.Run("nat 48: so are the pieces of one datagram", func(t *testing.T) {
		s := fragmentStory(t)
		var verdicts Counters
		for i := range 100 {
			m := message{protocol: "udp", ttl: 64, len: 20000, id: 1, from: 16 + 16*i, to: 24 + 16*i,
				src: netip.MustParseAddrPort("10.0.1.10:5000"), dst: netip.MustParseAddrPort("10.0.1.200:53")}
			frames := []packet.Frame{m.frame(s.enis["ep"])}
			var v [1]Verdict
			forward(s.table, frames, v[:], 0)
			verdicts[v[0]]++
		}
		require.EqualValues(t, maxSpans, verdicts[Held])
		require.EqualValues(t, 100-maxSpans, verdicts[FragmentLimit])
	})
}

func TestIDs(t *testing.T) {
	t.Run("nat 51: an ID does not come back to a pair before all others were used", func(t *testing.T) {
		var c store.IDs
		c.Init(1)
		seen := map[uint16]bool{}
		for range 1 << 16 {
			seen[uint16(c.Take(1, 2, packet.ProtocolUDP, 1))] = true
		}
		require.Len(t, seen, 1<<16)
	})
	t.Run("nat 51: a superframe takes one for each of its segments", func(t *testing.T) {
		var c store.IDs
		c.Init(1)
		first := c.Take(1, 2, packet.ProtocolTCP, 44)
		require.Equal(t, first+44, c.Take(1, 2, packet.ProtocolTCP, 1))
	})
	t.Run("nat 51: atomic packets keep theirs, others do not", func(t *testing.T) {
		for _, df := range []bool{true, false} {
			l := newLab(t, 10)
			copy(l.frame.Data, l.pristine)
			binary.BigEndian.PutUint16(l.frame.Data[18:], 4711)
			if !df {
				l.frame.Data[20] = 0
			}
			frames := []packet.Frame{l.frame}
			var v [1]Verdict
			forward(l.table, frames, v[:], time.Second)
			require.Equal(t, Forwarded, v[0])
			require.Equal(t, df, binary.BigEndian.Uint16(frames[0].Data[packet.L3+4:]) == 4711)
		}
	})
}
