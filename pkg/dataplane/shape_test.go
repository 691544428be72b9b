package dataplane

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/stretchr/testify/require"
)

// shapedTo is a shaper with one link whose frames to the provider are impaired.
func shapedTo(seed uint64, i topology.Impairment) *shaper {
	s := &shaper{shapedLinks: &shapedLinks{}}
	s.configure(Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI}, Seed: seed, ToProvider: i}}})
	return s
}

// departure is a frame as it left: its number, and when.
type departure struct {
	number uint32
	at     time.Duration
	data   []byte
}

// run sends n numbered datagrams of a length, one every gap, and lets virtual
// time pass until the last has left.
func run(t *testing.T, s *shaper, n int, size int, gap time.Duration) []departure {
	t.Helper()
	var out []departure
	note := func(frames []packet.Frame, now time.Duration) {
		for _, f := range frames {
			data := append([]byte(nil), f.Data...)
			out = append(out, departure{binary.BigEndian.Uint32(data[ethernetLen+ipv4Len+8:]), now, data})
		}
	}
	var due [Burst]packet.Frame
	release := func(until time.Duration) {
		for {
			at, waits := s.next()
			if !waits || at > until {
				return
			}
			note(due[:s.release(due[:], at)], at)
			s.recycle()
		}
	}
	now := time.Second
	for i := range n {
		release(now)
		f := []packet.Frame{{ENI: nodeENI, Data: numbered(i, size)}}
		note(s.depart(f, []packet.ENI{endpointENI}, now), now)
		now += gap
	}
	release(now + time.Hour)
	require.Zero(t, s.stats.HeldBytes)
	return out
}

// numbered is a frame of size bytes that begins its payload with a number.
func numbered(i, size int) []byte {
	payload := make([]byte, size-ethernetLen-ipv4Len-8)
	binary.BigEndian.PutUint32(payload, uint32(i))
	return udpFrame(consumer, endpoint, payload)
}

func numbers(all []departure) []uint32 {
	var out []uint32
	for _, l := range all {
		out = append(out, l.number)
	}
	return out
}

func TestADelayIsTheSameForEveryFrame(t *testing.T) {
	for i, l := range run(t, shapedTo(1, topology.Impairment{Delay: 10 * time.Millisecond}), 100, 100,
		time.Millisecond) {
		require.EqualValues(t, i, l.number)
		require.Equal(t, time.Second+time.Duration(i)*time.Millisecond+10*time.Millisecond, l.at)
	}
}

func TestJitterSpreadsTheDelayAndKeepsTheOrder(t *testing.T) {
	const delay, jitter = 20 * time.Millisecond, 5 * time.Millisecond
	// So far apart that none has to wait for the one before it.
	all := run(t, shapedTo(1, topology.Impairment{Delay: delay, Jitter: jitter}), 2000, 100, 2*jitter)
	var sum time.Duration
	var low, high int
	for i, l := range all {
		require.EqualValues(t, i, l.number)
		d := l.at - time.Second - time.Duration(i)*2*jitter
		require.InDelta(t, float64(delay), float64(d), float64(jitter))
		sum += d
		if d < delay-jitter/2 {
			low++
		}
		if d > delay+jitter/2 {
			high++
		}
	}
	require.InDelta(t, float64(delay), float64(sum)/float64(len(all)), float64(jitter)/10)
	require.InDelta(t, 500, low, 75, "a quarter is in the lowest quarter")
	require.InDelta(t, 500, high, 75)

	close := run(t, shapedTo(1, topology.Impairment{Delay: delay, Jitter: jitter}), 2000, 100, time.Microsecond)
	require.IsIncreasing(t, numbers(close))
}

func TestLossTakesItsShareAndOnlyThat(t *testing.T) {
	for _, share := range []float64{0.001, 0.01, 0.25, 1} {
		s := shapedTo(1, topology.Impairment{Loss: share})
		all := run(t, s, 20000, 100, time.Millisecond)
		lost := 20000 - len(all)
		require.InDelta(t, share*20000, lost, 3*0.5*141*share+20)
		require.EqualValues(t, lost, s.order[0].toProvider.stats.Lost)
		for _, l := range all {
			require.Equal(t, time.Second+time.Duration(l.number)*time.Millisecond, l.at,
				"what is not lost leaves at once")
		}
	}
}

// A network loses packets, not what a kernel hands over at once.
func TestEachPacketOfASuperframeHasAFateOfItsOwn(t *testing.T) {
	const headers, mss, segments = ethernetLen + ipv4Len + tcpLen, 1000, 60
	super := func() packet.Frame {
		f := tcpSuperframe(consumer, endpoint, mss, make([]byte, mss*segments))
		f.ENI = nodeENI
		return f
	}
	for _, tt := range []struct {
		name string
		topology.Impairment
		count func(ShapedStats) uint64
		want  int // packets that leave, of 6,000
	}{
		{"loss", topology.Impairment{Loss: 0.1}, func(s ShapedStats) uint64 { return s.Lost }, 5400},
		{"corruption", topology.Impairment{Corrupt: 0.1}, func(s ShapedStats) uint64 { return s.Corrupted }, 6000},
		{"duplication", topology.Impairment{Duplicate: 0.1}, func(s ShapedStats) uint64 { return s.Duplicated }, 6600},
		{"reordering", topology.Impairment{Reorder: 0.1}, func(s ShapedStats) uint64 { return s.Reordered }, 6000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := shapedTo(1, tt.Impairment)
			var due [Burst]packet.Frame
			left, wrong := 0, 0
			note := func(frames []packet.Frame) {
				for _, f := range frames {
					left++
					require.Zero(t, f.Offload)
					require.Len(t, f.Data, headers+mss)
					if !checksumsAreRight(f.Data) {
						wrong++
					}
				}
			}
			for i := range 100 {
				now := time.Duration(i) * time.Second
				for n := s.release(due[:], now); n > 0; n = s.release(due[:], now) {
					note(due[:n])
					s.recycle()
				}
				note(s.depart([]packet.Frame{super()}, []packet.ENI{endpointENI}, now))
			}
			for n := s.release(due[:], time.Hour); n > 0; n = s.release(due[:], time.Hour) {
				note(due[:n])
				s.recycle()
			}
			require.InDelta(t, 600, tt.count(s.order[0].toProvider.stats), 100)
			require.InDelta(t, tt.want, left, 100)
			if tt.Corrupt > 0 {
				require.EqualValues(t, tt.count(s.order[0].toProvider.stats), wrong)
			} else {
				require.Zero(t, wrong)
			}
		})
	}
	t.Run("a delay is that of the whole", func(t *testing.T) {
		s := shapedTo(1, topology.Impairment{Delay: time.Millisecond, Bandwidth: 1e9})
		require.Empty(t, s.depart([]packet.Frame{super()}, []packet.ENI{endpointENI}, 0))
		var due [2]packet.Frame
		require.Equal(t, 1, s.release(due[:], time.Second))
		require.Equal(t, super(), due[0])
	})
}

func TestTheSameSeedGivesTheSameLosses(t *testing.T) {
	loss := topology.Impairment{Loss: 0.1}
	first := numbers(run(t, shapedTo(7, loss), 5000, 100, time.Millisecond))
	require.Equal(t, first, numbers(run(t, shapedTo(7, loss), 5000, 100, time.Millisecond)))
	require.NotEqual(t, first, numbers(run(t, shapedTo(8, loss), 5000, 100, time.Millisecond)),
		"another seed, other losses")

	slow := topology.Impairment{Loss: 0.1, Delay: time.Second, Jitter: time.Millisecond}
	require.Equal(t, first, numbers(run(t, shapedTo(7, slow), 5000, 100, time.Millisecond)),
		"other impairments do not move the losses")

	again := shapedTo(7, loss)
	part := numbers(run(t, again, 2500, 100, time.Millisecond))
	again.configure(Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI}, Seed: 7,
		ToProvider: topology.Impairment{Loss: 0.1, Delay: time.Millisecond}}}})
	for _, n := range numbers(run(t, again, 2500, 100, time.Millisecond)) {
		part = append(part, n+2500)
	}
	require.Equal(t, first, part, "a change of the delay does not begin the losses anew")

	again.configure(Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI}, Seed: 8,
		ToProvider: loss}}})
	again.configure(Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI}, Seed: 7,
		ToProvider: loss}}})
	require.Equal(t, first, numbers(run(t, again, 5000, 100, time.Millisecond)), "a new seed begins anew")
}

func TestDirectionsAndLinksHaveLossesOfTheirOwn(t *testing.T) {
	s := &shaper{shapedLinks: &shapedLinks{}}
	loss := topology.Impairment{Loss: 0.5}
	s.configure(Shaping{Links: []ShapedLink{
		{Name: "ep1", ENIs: []packet.ENI{1}, ToProvider: loss, ToConsumer: loss},
		{Name: "ep2", ENIs: []packet.ENI{2}, ToProvider: loss},
	}})
	var fates [3][]bool
	for range 200 {
		for i, way := range []struct{ from, to packet.ENI }{{1, 9}, {9, 1}, {2, 9}} {
			f := []packet.Frame{{ENI: way.to, Data: numbered(0, 100)}}
			fates[i] = append(fates[i], len(s.depart(f, []packet.ENI{way.from}, 0)) == 1)
		}
	}
	require.NotEqual(t, fates[0], fates[1])
	require.NotEqual(t, fates[0], fates[2])
}

func TestReorderingHoldsItsShareBack(t *testing.T) {
	s := shapedTo(1, topology.Impairment{Reorder: 0.05, Delay: 20 * time.Millisecond})
	all := run(t, s, 10000, 100, time.Millisecond)
	require.Len(t, all, 10000)
	late := 0
	for i := 1; i < len(all); i++ {
		if all[i].number < all[i-1].number {
			late++
		}
	}
	require.InDelta(t, 500, late, 70)
	require.InDelta(t, 500, s.order[0].toProvider.stats.Reordered, 70)
}

func TestDuplicationSendsItsShareTwice(t *testing.T) {
	s := shapedTo(1, topology.Impairment{Duplicate: 0.1})
	all := run(t, s, 10000, 100, time.Millisecond)
	require.InDelta(t, 11000, len(all), 100)
	for i := 1; i < len(all); i++ {
		if all[i].number == all[i-1].number {
			require.Equal(t, all[i-1].data, all[i].data)
		}
	}
	require.EqualValues(t, len(all)-10000, s.order[0].toProvider.stats.Duplicated)
}

func TestACorruptedFrameHasAWrongChecksumAndOthersAreUntouched(t *testing.T) {
	s := shapedTo(1, topology.Impairment{Corrupt: 0.2})
	damaged := 0
	for _, l := range run(t, s, 5000, 100, time.Millisecond) {
		want := numbered(int(l.number), 100)
		if checksumsAreRight(l.data) {
			require.Equal(t, want, l.data)
			continue
		}
		damaged++
	}
	require.InDelta(t, 1000, damaged, 100)
	require.EqualValues(t, damaged, s.order[0].toProvider.stats.Corrupted)
}

func TestCorruptionIsSeenByWhoeverLeavesChecksumsToTheDevice(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		partial := tcpSuperframe(consumer, endpoint, 0, []byte("hello"))
		partial.Offload.GSOType, partial.Offload.GSOSize = packet.GSONone, 0
		corrupt(&partial, dice)
		require.False(t, partial.Offload.NeedsCsum, "a receiver would trust it")
		require.False(t, checksumsAreRight(partial.Data))

		super := tcpSuperframe(consumer, endpoint, 1448, make([]byte, 30000))
		corrupt(&super, dice)
		require.Equal(t, uint16(1448), super.Offload.GSOSize)
		require.NotEqual(t, uint16(0xffff), packet.Sum(super.Data[ethernetLen:ethernetLen+ipv4Len]),
			"the header's checksum is wrong")
	}
}

// checksumsAreRight verifies an IPv4 frame's two checksums.
func checksumsAreRight(data []byte) bool {
	var p packet.Packet
	packet.Parse(data, &p)
	l4 := data[ethernetLen+ipv4Len:]
	pseudo := packet.PseudoSum(p.Src, p.Dst, p.Protocol, uint16(len(l4)))
	return packet.Sum(data[ethernetLen:ethernetLen+ipv4Len]) == 0xffff &&
		packet.Fold(uint32(pseudo)+uint32(packet.Sum(l4))) == 0xffff
}

func TestABandwidthLetsThroughWhatItIsAndDropsWhatDoesNotFitItsQueue(t *testing.T) {
	for _, tt := range []struct {
		rate int64
		size int // of a frame
	}{{10e6, 1250}, {100e6, 1250}, {1024e6, 12500}} {
		rate, size := tt.rate, tt.size
		s := shapedTo(1, topology.Impairment{Bandwidth: rate})
		// Twice as much as passes, for a second.
		gap := time.Duration(int64(size) * 8 * int64(time.Second) / rate / 2)
		n := int(time.Second / gap)
		all := run(t, s, n, size, gap)
		stats := s.order[0].toProvider.stats
		require.EqualValues(t, n-len(all), stats.QueueFull)
		require.NotZero(t, stats.QueueFull)
		require.IsIncreasing(t, numbers(all))
		longest := max(queueTime, timeOf(minQueue, rate)) + bucketDepth
		bytes := 0
		for _, l := range all {
			if l.at <= 2*time.Second {
				bytes += size
			}
			require.LessOrEqual(t, l.at-time.Second-time.Duration(l.number)*gap, longest)
		}
		require.InEpsilon(t, float64(rate)/8, bytes, 0.015, "bytes in a second at %d bit/s", rate)
	}
}

// A sender that has always more to send gets what is left of the bandwidth when the
// headers of the segments are taken off, and the rest when the bandwidth changes.
func TestAConnectionOf100MegabitsCarriesThatOfTCP(t *testing.T) {
	const segments, mss = 40, 1448
	payload := make([]byte, segments*mss)
	s := shapedTo(1, topology.Impairment{Bandwidth: 100e6})
	carried := func(from time.Duration) (mbit float64) {
		var out [Burst]packet.Frame
		bytes := 0
		for now := from; now < from+time.Second; now += time.Millisecond {
			for range 2 { // 2 times 464 kbit in a millisecond
				f := []packet.Frame{tcpSuperframe(consumer, endpoint, mss, payload)}
				f[0].ENI = nodeENI
				bytes += len(s.depart(f, []packet.ENI{endpointENI}, now)) * len(payload)
			}
			bytes += s.release(out[:], now) * len(payload)
			s.recycle()
		}
		return float64(bytes) * 8 / 1e6
	}
	const share = float64(mss) / (mss + ethernetLen + ipv4Len + tcpLen)
	require.InDelta(t, 100*share, carried(time.Second), 1.5)
	require.NotZero(t, s.order[0].toProvider.stats.QueueFull)

	s.configure(Shaping{Links: []ShapedLink{{
		Name: "ep1", ENIs: []packet.ENI{endpointENI}, Seed: 1, ToProvider: topology.Impairment{Bandwidth: 400e6},
	}}})
	carried(2 * time.Second) // what waited leaves
	require.InDelta(t, 400*share, carried(3*time.Second), 6)
}

func TestASuperframeCountsAsItsSegments(t *testing.T) {
	f := tcpSuperframe(consumer, endpoint, 1448, make([]byte, 1448*10+1))
	headers := ethernetLen + ipv4Len + tcpLen
	require.Equal(t, 1448*10+1+11*headers, wireLength(&f))
	one := packet.Frame{Data: tcpFrame(consumer, endpoint, 0x10, make([]byte, 100))}
	require.Equal(t, len(one.Data), wireLength(&one))
}

func TestAnUnlimitedIdleShaperIsNotAsked(t *testing.T) {
	s := &shaper{shapedLinks: &shapedLinks{}}
	s.configure(Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI}}}})
	require.False(t, s.active.Load())
	s.configure(Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI},
		ToConsumer: topology.Impairment{Bandwidth: 1}}}})
	require.True(t, s.active.Load())
}

func TestWhatWaitsIsBoundedAndCounted(t *testing.T) {
	s := shapedTo(1, topology.Impairment{Delay: time.Hour})
	for i := range 2 * maxHeldOneWay / 2048 {
		f := []packet.Frame{{ENI: nodeENI, Data: numbered(i, 1514)}}
		require.Empty(t, s.depart(f, []packet.ENI{endpointENI}, 0))
	}
	stats := s.order[0].toProvider.stats
	require.Equal(t, maxHeldOneWay, s.stats.HeldBytes)
	require.EqualValues(t, maxHeldOneWay/2048, stats.Waiting)
	require.EqualValues(t, maxHeldOneWay/2048, stats.NoRoom)
}

func TestAnImpairmentThatEndsLetsWaitingFramesGoFirst(t *testing.T) {
	s := shapedTo(1, topology.Impairment{Delay: time.Second})
	send := func(i int, now time.Duration) int {
		return len(s.depart([]packet.Frame{{ENI: nodeENI, Data: numbered(i, 100)}}, []packet.ENI{endpointENI}, now))
	}
	require.Zero(t, send(1, 0))
	s.configure(Shaping{Links: []ShapedLink{{Name: "ep1", Seed: 1, ENIs: []packet.ENI{endpointENI}}}})
	require.Zero(t, send(2, 10*time.Millisecond))
	var out [2]packet.Frame
	require.Equal(t, 2, s.release(out[:], time.Second))
	require.Equal(t, numbered(1, 100), out[0].Data)
	require.Equal(t, numbered(2, 100), out[1].Data)
	s.recycle()
	require.Equal(t, 1, send(3, time.Second))
}

// bucketTwin is a token bucket as the textbooks have it: it is refilled as
// time passes, holds at most depth, and lets a frame go when it is not in
// debt. A token is a bit and a nanosecond.
type bucketTwin struct {
	rate   int64
	tokens int64
	at     time.Duration
}

func (b *bucketTwin) take(now time.Duration, bytes int) time.Duration {
	now = max(now, b.at)
	b.refill(now)
	if b.tokens < 0 {
		now += time.Duration((-b.tokens + b.rate - 1) / b.rate)
		b.refill(now)
	}
	b.tokens -= int64(bytes) * 8 * int64(time.Second)
	return now
}

func (b *bucketTwin) refill(now time.Duration) {
	depth := b.rate * int64(bucketDepth)
	if now-b.at > 10*time.Second {
		b.tokens = depth
	} else {
		b.tokens = min(depth, b.tokens+b.rate*int64(now-b.at))
	}
	b.at = now
}

func TestTheBucketIsATokenBucket(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		rate := 1 + random.Int64N(100e6)
		b, twin := bucket{}, bucketTwin{rate: rate, tokens: rate * int64(bucketDepth)}
		b.setRate(rate)
		now := time.Second
		twin.at = now
		for range 2000 {
			now += time.Duration(random.ExpFloat64() * 8e9 * 700 / float64(rate))
			size := 60 + random.IntN(1455)
			if random.IntN(50) == 0 {
				size = 65000
			}
			require.InDelta(t, twin.take(now, size), b.take(now, size), 1, "seed %d: a nanosecond is rounding", seed)
		}
	}
}

func TestShapingAllocatesNothingOnceItRuns(t *testing.T) {
	s := shapedTo(1, topology.Impairment{Delay: time.Millisecond, Bandwidth: 10e9})
	frame := numbered(1, 1514)
	sources := []packet.ENI{endpointENI}
	now := time.Duration(0)
	var due [Burst]packet.Frame
	frames := make([]packet.Frame, 1)
	step := func() {
		now += 10 * time.Microsecond
		s.release(due[:], now)
		s.recycle()
		frames[0] = packet.Frame{ENI: nodeENI, Data: frame}
		s.depart(frames, sources, now)
	}
	for range 1000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
}

// FuzzShaperLosesNothingUncounted drives a shaper with commands: whatever
// happens, a frame has left, waits, or is in exactly one counter.
func FuzzShaperLosesNothingUncounted(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte("\x03\xff\x00\x00\x05\x80\x00\x01\x02\x00\x04\x10"))
	f.Fuzz(func(t *testing.T, commands []byte) {
		s := shapedTo(1, topology.Impairment{})
		var due [7]packet.Frame
		var now time.Duration
		var sent, gone uint64
		impairment := topology.Impairment{}
		var fault Fault
		for i := 0; i+1 < len(commands); i += 2 {
			arg := commands[i+1]
			share := float64(arg) / 255
			switch commands[i] % 13 {
			case 0, 1, 2:
				for range 1 + arg%32 {
					sent++
					frame := []packet.Frame{{ENI: nodeENI, Data: numbered(int(sent), 60+int(arg)*10)}}
					gone += uint64(len(s.depart(frame, []packet.ENI{endpointENI}, now)))
				}
			case 3:
				now += time.Duration(arg) * time.Millisecond
				for {
					n := s.release(due[:], now)
					s.recycle()
					if gone += uint64(n); n == 0 {
						break
					}
				}
			case 4:
				impairment.Bandwidth = int64(arg) * 100e3
			case 5:
				impairment.Delay = time.Duration(arg) * time.Millisecond
			case 6:
				impairment.Jitter = time.Duration(arg) * time.Millisecond
			case 7:
				impairment.Loss = share
			case 8:
				impairment.Duplicate = share
			case 9:
				impairment.Reorder = share
			case 10:
				impairment.Corrupt = share
			case 11:
				fault = Fault(arg % 3)
			case 12:
				super := tcpSuperframe(consumer, endpoint, 100, make([]byte, 101+int(arg)*40))
				super.ENI = nodeENI
				sent++
				if w := s.order[0].toProvider; w.countsPackets() && fault == NoFault {
					sent += uint64(100+int(arg)*40) / 100
				}
				gone += uint64(len(s.depart([]packet.Frame{super}, []packet.ENI{endpointENI}, now)))
			}
			s.configure(Shaping{
				Links:  []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI}, ToProvider: impairment}},
				Faults: map[packet.ENI]Fault{nodeENI: fault},
			})
			c := s.order[0].toProvider.stats
			// Frames that a fault took as they came never reached the link.
			atOnce := s.stats.Blackholed + s.stats.Down - c.Cut
			onLink := sent - atOnce + c.Duplicated
			untouched := gone - c.Passed // while the link had nothing to do
			require.Equal(t, onLink, untouched+c.Passed+uint64(c.Waiting)+c.Lost+c.QueueFull+c.NoRoom+c.Cut, "%+v", c)
			require.GreaterOrEqual(t, s.stats.HeldBytes, 2048*c.Waiting)
			require.LessOrEqual(t, s.stats.HeldBytes, maxHeldOneWay)
		}
		for len(s.queue.heap) > 0 {
			s.release(due[:], now+time.Hour)
			s.recycle()
		}
		require.Zero(t, s.stats.HeldBytes)
		require.Zero(t, s.order[0].toProvider.inLine)
	})
}

func TestAFrameBelongsToTheDirectionInWhichItGoes(t *testing.T) {
	s := &shaper{shapedLinks: &shapedLinks{}}
	s.configure(Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{1, 2},
		ToProvider: topology.Impairment{Delay: 1}, ToConsumer: topology.Impairment{Delay: 2}}}})
	l := s.order[0]
	for _, tt := range []struct {
		name     string
		from, to packet.ENI
		want     *direction
	}{
		{"from a consumer to a provider", 1, 9, l.toProvider},
		{"from another zone's consumer", 2, 9, l.toProvider},
		{"from a provider to a consumer", 9, 1, l.toConsumer},
		{"an answer to a consumer", 1, 1, l.toConsumer},
		{"an answer to a provider", 9, 9, nil},
		{"between others", 8, 9, nil},
	} {
		f := packet.Frame{ENI: tt.to, Data: numbered(0, 100)}
		require.Same(t, tt.want, s.directionOf(&f, tt.from), tt.name)
	}
	arp := packet.Frame{ENI: 1, Data: arpRequest(consumer.Addr(), endpoint.Addr())}
	require.Nil(t, s.directionOf(&arp, 9))
}

func TestACopyLeavesBeforeTheFramesBehindIt(t *testing.T) {
	s := shapedTo(1, topology.Impairment{Duplicate: 1})
	var at []uint32
	note := func(frames []packet.Frame) {
		for _, f := range frames {
			at = append(at, binary.BigEndian.Uint32(f.Data[ethernetLen+ipv4Len+8:]))
		}
	}
	for i := range 3 { // in one burst
		note(s.depart([]packet.Frame{{ENI: nodeENI, Data: numbered(i, 100)}}, []packet.ENI{endpointENI}, time.Second))
	}
	var due [Burst]packet.Frame
	note(due[:s.release(due[:], time.Second)])
	s.recycle()
	require.Equal(t, []uint32{0, 0, 1, 1, 2, 2}, at)
}
