package dataplane

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// frameFrom is a frame of a source, told from others by its source port.
func frameFrom(eni packet.ENI, source byte, port uint16, flags byte) packet.Frame {
	src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, source}), port)
	return packet.Frame{ENI: eni, Data: tcpFrame(src, right, flags, nil)}
}

func portOf(f packet.Frame) uint16 { return binary.BigEndian.Uint16(f.Data[ethernetLen+ipv4Len:]) }

// slowCrowd is a crowd that counts and searches again for each frame.
type slowCrowd struct {
	room    int
	waiting []packet.Frame // in the order in which they came
	turns   []packet.ENI   // the first one has its turn
	taken   map[packet.ENI]int
	line    map[packet.ENI]uint32
	now     time.Time
	heard   map[packet.ENI]map[uint32][]heard // what came of each line, ever
}

// heard is a SYN that is owed, or a segment that pays one.
type heard struct {
	at   time.Time
	owes float64
}

// owed looks at all that came of a frame's line since the beginning.
func (c *slowCrowd) owed(f packet.Frame) (owed float64) {
	var before time.Time
	for _, h := range append(c.heard[f.ENI][slowLine(f)], heard{at: c.now}) {
		owed = max(0, owed-paidASecond*h.at.Sub(before).Seconds())
		owed, before = max(0, owed+h.owes), h.at
	}
	return owed
}

func (c *slowCrowd) hear(f packet.Frame, owes float64) {
	if c.heard[f.ENI] == nil {
		c.heard[f.ENI] = map[uint32][]heard{}
	}
	c.heard[f.ENI][slowLine(f)] = append(c.heard[f.ENI][slowLine(f)], heard{c.now, owes})
}

func slowLine(f packet.Frame) uint32 { return packet.SourceHash(f.Data) >> (32 - crowdLineBits) }

func (c *slowCrowd) count(eni packet.ENI, line ...uint32) (n int) {
	for _, f := range c.waiting {
		if f.ENI == eni && (len(line) == 0 || slowLine(f) == line[0]) {
			n++
		}
	}
	return n
}

func (c *slowCrowd) put(f packet.Frame) bool {
	free, mine := c.room-len(c.waiting), c.count(f.ENI, slowLine(f))
	switch flags := f.Data[ethernetLen+ipv4Len+13]; {
	case flags == syn && (c.owed(f) >= mostOwed || mine+c.count(f.ENI) >= free), mine >= 4*free:
		return false
	case flags == syn:
		c.hear(f, 1)
	case flags == 0x10:
		c.hear(f, -1)
	}
	if c.count(f.ENI) == 0 {
		c.turns, c.taken[f.ENI] = append(c.turns, f.ENI), 0
	}
	c.waiting = append(c.waiting, f)
	return true
}

func (c *slowCrowd) take() packet.Frame {
	eni := c.turns[0]
	for c.count(eni, c.line[eni]) == 0 {
		c.line[eni] = (c.line[eni] + 1) % crowdLines
	}
	at := slices.IndexFunc(c.waiting, func(f packet.Frame) bool { return f.ENI == eni && slowLine(f) == c.line[eni] })
	f := c.waiting[at]
	c.waiting = slices.Delete(c.waiting, at, at+1)
	if c.taken[eni]++; c.taken[eni] == crowdTurn || c.count(eni) == 0 {
		c.line[eni] = (c.line[eni] + 1) % crowdLines
		c.taken[eni] = 0
		c.turns = c.turns[1:]
		if c.count(eni) > 0 {
			c.turns = append(c.turns, eni)
		}
	}
	return f
}

func TestACrowdIsWhatASlowOneIs(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		fast := newCrowd(100)
		slow := &slowCrowd{room: 100, taken: map[packet.ENI]int{}, line: map[packet.ENI]uint32{},
			heard: map[packet.ENI]map[uint32][]heard{}, now: time.Unix(1, 0)}
		refused, owing := 0, seed < 2 // where all frames are of one source, it owes too much
		for step := range 3000 {
			slow.now = slow.now.Add(time.Duration(rng.IntN(2)*rng.IntN(100)) * time.Microsecond)
			require.Equal(t, len(slow.waiting) > 0 || slow.now.Before(fast.watches), fast.wants(slow.now))
			burst := rng.IntN(12)
			eni, sources := packet.ENI(1+rng.IntN(1+rng.IntN(6))), 5
			if owing {
				eni, sources = 1, 1
			}
			for range burst {
				f := frameFrom(eni, byte(rng.IntN(sources)), uint16(step), [...]byte{syn, syn, syn, 0x10, 0x14}[rng.IntN(5)])
				admitted := fast.admits(&f)
				if admitted {
					fast.put(&f)
				} else {
					refused++
				}
				require.Equal(t, slow.put(f), admitted, "seed %d, step %d", seed, step)
			}
			var frames [9]packet.Frame
			for _, f := range frames[:fast.take(frames[:rng.IntN(len(frames))])] {
				require.Equal(t, slow.take(), f, "seed %d, step %d", seed, step)
			}
			require.Equal(t, len(slow.waiting), fast.waiting)
		}
		require.Positive(t, refused)
		require.Equal(t, owing, !fast.watches.IsZero())
	}
}

func TestACrowdRefusesTheOneWhoFloods(t *testing.T) {
	c := newCrowd(900)
	let := func(eni packet.ENI, source byte, flags byte, count int) (admitted int) {
		for i := range count {
			f := frameFrom(eni, source, uint16(i), flags)
			if c.admits(&f) {
				c.put(&f)
				admitted++
			}
		}
		return admitted
	}
	require.Equal(t, 300, let(1, 1, syn, 10_000), "of SYNs, as many as are left for the rest of its ENI")
	require.Equal(t, 50, let(1, 2, syn, 50), "another source of the ENI")
	require.Equal(t, 50, let(2, 1, syn, 50), "another ENI")
	require.Equal(t, 100, let(1, 1, 0x10, 100), "what is no SYN")
	require.Zero(t, let(1, 1, syn, 100))
	let(3, 1, 0x10, 10_000)
	require.Equal(t, 10, let(4, 1, syn, 10), "there is always room for a sender of which nothing waits")
	require.Equal(t, 10, let(5, 1, 0x10, 10))
	require.LessOrEqual(t, c.waiting, 900)
}

// Of SYNs that nothing follows, so many are let in at once and so many a second; a source
// that goes on with its connections opens what it likes.
func TestACrowdLetsAFloodOpenLittle(t *testing.T) {
	const second = 56_000
	for _, tt := range []struct {
		name    string
		after   byte // each SYN comes this segment
		most    int
		watches bool
	}{
		{"SYNs alone", 0, mostOwed + 10*paidASecond, true},
		{"SYNs, and the resets of what answers them", 0x04, mostOwed + 10*paidASecond, true},
		{"resets that acknowledge", 0x14, mostOwed + 10*paidASecond, true},
		{"handshakes", 0x10, 10 * second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, now, admitted := newCrowd(crowdRoom), time.Unix(1, 0), 0
			var frames [2]packet.Frame
			for i := range 10 * second {
				now = now.Add(time.Second / second)
				c.wants(now)
				f := frameFrom(1, 1, uint16(i), syn)
				if c.admits(&f) {
					c.put(&f)
					admitted++
				}
				if after := frameFrom(1, 1, uint16(i), tt.after); tt.after != 0 && c.admits(&after) {
					c.put(&after)
				}
				c.take(frames[:])
			}
			require.InDelta(t, tt.most, admitted, 2)
			require.Equal(t, tt.watches, c.wants(now), "whether frames go through it though none waits")
			other := frameFrom(1, 2, 1, syn)
			require.True(t, c.admits(&other), "another source of the ENI")
			require.False(t, c.wants(now.Add(crowdWatch)))
		})
	}
}

// testCrowd lets many frames wait at one ENI and few at the other.
func testCrowd(t *testing.T, w wire) {
	for i := range 200 {
		w.arrive(t, frameFrom(1, 1, uint16(i), 0x10))
	}
	for i := range 3 {
		w.arrive(t, frameFrom(2, 1, uint16(i), syn))
	}
	var frames [Burst]packet.Frame
	next := map[packet.ENI]uint16{}
	for read := 0; next[1] < 200; {
		n, err := w.driver.Read(frames[:])
		require.NoError(t, err)
		for _, f := range frames[:n] {
			require.Equal(t, next[f.ENI], portOf(f), "the order of a source")
			next[f.ENI]++
		}
		if read += n; read <= crowdBurst {
			require.EqualValues(t, 3, next[2], "the other ENI has its turn")
		}
	}
	require.EqualValues(t, 203, w.driver.Stats().FramesRead)
	require.Zero(t, w.driver.Stats().Crowded)
}

func TestENIsTakeTurnsInMemory(t *testing.T) {
	m := NewMemory()
	testCrowd(t, wire{driver: m, arrive: func(_ *testing.T, f packet.Frame) { m.Inject(f) }})
}

// floodedEngine judges fewer frames in a millisecond than a flood brings: three turns.
// Behind it are a server that answers at once and a host that resets what it does not
// know, as kernels do.
type floodedEngine struct {
	t      *testing.T
	engine *Engine
	memory *Memory
	now    time.Duration
	opened map[netip.AddrPort]time.Duration // when an honest consumer's SYN went
	took   []time.Duration
}

const honestENI packet.ENI = 3

func newFloodedEngine(t *testing.T) *floodedEngine {
	f := &floodedEngine{t: t, memory: NewMemory(), opened: map[netip.AddrPort]time.Duration{}}
	cfg := oneEndpoint()
	second := cfg.NAT.Links[0]
	second.Name, second.Ingress = "ep-other tcp/5432", honestENI
	eni := cfg.NAT.ENIs[0]
	eni.ENI = honestENI
	cfg.NAT.ENIs, cfg.NAT.Links = append(cfg.NAT.ENIs, eni), append(cfg.NAT.Links, second)
	owned := cfg.Owned[0]
	owned.ENI = honestENI
	cfg.Owned = append(cfg.Owned, owned)
	var err error
	f.engine, err = NewEngine(EngineConfig{Driver: f.memory, Clock: func() time.Duration { return f.now }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.engine.Close()) })
	require.NoError(t, f.engine.Configure(cfg))
	return f
}

// answer is what the hosts do with a frame that left.
func (f *floodedEngine) answer(frame packet.Frame) {
	src, dst := parse(f.t, frame)
	switch flags := frame.Data[ethernetLen+ipv4Len+13]; {
	case frame.ENI == nodeENI && flags == syn:
		f.memory.Inject(packet.Frame{ENI: nodeENI, Data: tcpFrame(dst, src, synAck, nil)})
	case frame.ENI == honestENI && flags == synAck:
		if began, ok := f.opened[dst]; ok {
			delete(f.opened, dst)
			f.took = append(f.took, f.now-began)
		}
		f.memory.Inject(packet.Frame{ENI: honestENI, Data: tcpFrame(dst, src, 0x10, nil)})
	case frame.ENI == endpointENI && flags == synAck:
		f.memory.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(dst, src, 0x04, nil)})
	}
}

// One endpoint sends 250 SYNs in a millisecond, and the engine judges 96 frames in
// that time. Another one has a connection every ten milliseconds: all are there
// within two.
func TestAFloodThatIsTooMuchCostsTheOthersNothing(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	f := newFloodedEngine(t)
	var frames [Burst]packet.Frame
	sent := 0
	for ms := range 2000 {
		f.now = time.Duration(ms) * time.Millisecond
		for range 250 {
			src := netip.AddrPortFrom(consumer.Addr(), uint16(1024+sent%60_000))
			f.memory.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(src, endpoint, syn, nil)})
			sent++
		}
		if ms%10 == 0 {
			src := netip.AddrPortFrom(consumer.Addr(), uint16(20_000+ms/10))
			f.opened[src] = f.now
			f.memory.Inject(packet.Frame{ENI: honestENI, Data: tcpFrame(src, endpoint, syn, nil)})
		}
		for range 3 {
			f.memory.Wake() // it waits for no frame where all were refused
			n, err := f.memory.Read(frames[:])
			require.NoError(t, err)
			require.NoError(t, f.engine.work(frames[:n]))
			for _, out := range f.memory.Sent() {
				f.answer(out)
			}
		}
	}
	require.Empty(t, f.opened, "nat 21: without an answer")
	require.Len(t, f.took, 200)
	require.LessOrEqual(t, slices.Max(f.took), 2*time.Millisecond)
	stats := f.engine.Stats()
	require.Greater(t, stats.Driver.Crowded, uint64(sent/2))
	at := slices.IndexFunc(stats.ENIs, func(s ENIStats) bool { return s.ENI == endpointENI })
	require.Equal(t, stats.Driver.Crowded, stats.ENIs[at].FramesCrowded, "all of them are the flood's")
	require.Positive(t, stats.Table.Verdicts[fullnat.Forwarded])
}
