package bench

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
)

var client, endpoint = netip.MustParseAddr("10.1.0.10"), netip.MustParseAddr("10.1.0.200")

// A stranger reads the frames, and finds their checksums right.
func TestTheFramesOfALoadAreWhole(t *testing.T) {
	k := maker{mac: packet.MAC{2, 0, 0, 0, 0, 1}}
	for _, size := range FrameSizes {
		f := clientFlow(client, endpoint, packet.MAC{2, 0, 0, 0, 0, 2}, 999_999)
		m := mark{due: time.Now().UnixNano(), number: 1<<40 + 5, run: 65535, sender: 3, flags: counted}
		buffer := make([]byte, maxFrame)
		for i := range buffer[:payloadAt] {
			buffer[i] = 0xa5 // of an earlier frame
		}
		frame := k.udp(buffer, &f, size, &m)
		require.Len(t, frame, size-4, "the device adds the check sequence")
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		require.Nil(t, p.ErrorLayer())
		udp := p.TransportLayer().(*layers.UDP)
		require.Equal(t, layers.UDPPort(59999), udp.SrcPort)
		require.Equal(t, layers.UDPPort(20019), udp.DstPort)
		require.Equal(t, m, markOf(udp.Payload))
		require.Equal(t, int(udp.Length), len(frame)-34)
		require.Zero(t, fold(sum(0, frame[ipAt:l4At])), "the sum over a right header")
		require.Zero(t, checksum(&f, protoUDP, int(udp.Length), frame[l4At:]), "and over a right datagram")
	}
}

// The million flows are different five-tuples, and no target has more than the NAT ports
// of one address.
func TestAMillionFlowsAreDifferent(t *testing.T) {
	type ports struct{ from, to uint16 }
	seen, targets := make(map[ports]bool, MaxFlows), map[uint16]int{}
	for i := range MaxFlows {
		f := clientFlow(client, endpoint, packet.MAC{}, i)
		seen[ports{f.fromPort, f.toPort}] = true
		targets[f.toPort]++
	}
	require.Len(t, seen, MaxFlows)
	for _, n := range targets {
		require.LessOrEqual(t, n, 55_000)
	}
}

func arrival(m mark, at int64) *arrived {
	f := clientFlow(client, endpoint, packet.MAC{}, int(m.number%10))
	frame := (&maker{}).udp(make([]byte, maxFrame), &f, 128, &m)
	return &arrived{at: at, proto: protoUDP, frame: frame, l4: frame[l4At:], payload: frame[payloadAt:]}
}

func TestAReceiverCounts(t *testing.T) {
	for _, tt := range []struct {
		name            string
		frames          []mark
		counted, behind uint64
		flows           int
	}{
		{"frames of the measurement", []mark{{number: 0, flags: counted}, {number: 1, flags: counted}}, 2, 0, 2},
		{"none of the warm-up, but their order", []mark{{number: 20}, {number: 10, flags: counted}}, 1, 1, 1},
		{"none of an earlier measurement", []mark{{number: 0, run: 6, flags: counted}}, 0, 0, 0},
		{"none that only opens a flow", []mark{{number: 3, flags: opening}}, 0, 0, 1},
		{"none of a sender that there is not", []mark{{number: 0, sender: 2, flags: counted}}, 0, 0, 0},
		{"no order between flows", []mark{{number: 5, flags: counted}, {number: 4, flags: counted}}, 2, 0, 2},
		{"senders on their own", []mark{{number: 10, flags: counted}, {number: 0, sender: 1, flags: counted}}, 2, 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := receiver{wire: &wire{fd: -1}}
			r.reset(7, 2, 10)
			for _, m := range tt.frames {
				if m.run == 0 {
					m.run = 7
				}
				m.due = 1_000_000
				r.count(arrival(m, 1_250_000))
			}
			require.Equal(t, tt.counted, r.frames)
			require.Equal(t, tt.counted*128, r.bytes)
			require.Equal(t, tt.behind, r.late)
			require.Equal(t, tt.flows, r.flows)
			if tt.counted > 0 {
				require.InDelta(t, 250, r.times.microseconds(50), 0.5)
			}
		})
	}
}

func TestAHistogramIsMergedFromItsText(t *testing.T) {
	a, b := newHistogram(), newHistogram()
	for i := range int64(1000) {
		a.add(i * 1000)
		b.add(1_000_000 + i*1000)
	}
	b.add(-5) // a clock that was set back
	b.add(time.Hour.Nanoseconds())
	text, err := b.encode()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "HIST"), "as programs of other languages know it")
	require.NoError(t, a.merge(text))
	require.InEpsilon(t, 1000, a.microseconds(50), 0.002)
	require.InEpsilon(t, 1980, a.microseconds(99), 0.002)
	require.InEpsilon(t, 1e7, a.microseconds(100), 0.002)
	require.Zero(t, a.minimum())
	require.Error(t, a.merge([]byte("HIST")))
}

func TestLoadsSayWhatTheyAre(t *testing.T) {
	small, err := ParseFrames("64")
	require.NoError(t, err)
	mix, err := ParseFrames("imix")
	require.NoError(t, err)
	for _, tt := range []struct {
		name  string
		loads []Load
		want  []string
		point point // of the last
	}{
		{"one load has no curve", Loads([]Frames{small}, []int{1}, 1, ToProvider, []int{0}),
			[]string{"UDP, 64-byte frames, 1 flow"}, point{}},
		{"rates are a curve", Loads([]Frames{mix}, []int{1000}, 2, Both, []int{5000, 100000}),
			[]string{"UDP, IMIX, 1,000 flows, 2 senders, both directions, 5,000/s", "UDP, IMIX, 1,000 flows, 2 senders, both directions, 100,000/s"},
			point{"UDP, IMIX, 1,000 flows, 2 senders, both directions", "offered, frames/s", 100000}},
		{"flows are a curve", Loads([]Frames{small}, []int{1, 1_000_000}, 1, ToConsumer, []int{0}),
			[]string{"UDP, 64-byte frames, 1 flow, to the consumer", "UDP, 64-byte frames, 1,000,000 flows, to the consumer"},
			point{"UDP, 64-byte frames, to the consumer", "flows", 1e6}},
		{"sizes are a curve", Loads([]Frames{mix, small}, []int{1}, 1, ToProvider, []int{0}),
			[]string{"UDP, IMIX, 1 flow", "UDP, 64-byte frames, 1 flow"}, point{"UDP, 1 flow", "frame, bytes", 64}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			for _, l := range tt.loads {
				require.NoError(t, l.check())
				names = append(names, l.name())
			}
			require.Equal(t, tt.want, names)
			require.Equal(t, tt.point, tt.loads[len(tt.loads)-1].point)
		})
	}
}

func TestLoadsThatCannotBeAreRefused(t *testing.T) {
	good := Load{Frames: Frames{"x", []int{64}}, Flows: 1, Senders: 1, Direction: ToProvider}
	for _, tt := range []struct {
		name string
		mend func(l *Load)
		want string
	}{
		{"no sizes", func(l *Load) { l.Frames.Sizes = nil }, "0 sizes"},
		{"a frame that is too small", func(l *Load) { l.Frames.Sizes = []int{20} }, "a frame of 20 bytes"},
		{"more flows than five-tuples", func(l *Load) { l.Flows = MaxFlows + 1 }, "1000001 flows"},
		{"senders without a flow", func(l *Load) { l.Senders = 2 }, "1 flows"},
		{"a crowd of senders", func(l *Load) { l.Senders = 17 }, "17 senders"},
		{"a negative rate", func(l *Load) { l.Rate = -1 }, "-1 frames"},
		{"a direction of one's own", func(l *Load) { l.Direction = "up" }, `no direction "up"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := good
			tt.mend(&l)
			require.ErrorContains(t, Options{Loads: []Load{l}}.Check(), tt.want)
			s := Search{Load: l, Trial: time.Second, Resolution: 0.1, Tries: 1}
			require.ErrorContains(t, Options{Searches: []Search{s}}.Check(), tt.want)
		})
	}
	s := Search{Load: good, Trial: time.Second, Resolution: 0.1, Tries: 1}
	require.NoError(t, s.check())
	s.Trial = time.Hour
	require.ErrorContains(t, s.check(), "trials of 1h")
	s.Trial, s.Resolution = time.Second, 0
	require.ErrorContains(t, s.check(), "a resolution of 0")
}

func TestASearchEndsAtTheRateThatPasses(t *testing.T) {
	failed := errors.New("failed")
	for _, tt := range []struct {
		name       string
		limit      float64 // passes up to here
		high       float64
		resolution float64
		most       int // trials
	}{
		{"in the middle", 123_456, 400_000, 0.01, 12},
		{"at the top the first trial is enough", 500_000, 400_000, 0.01, 1},
		{"near nothing", 3, 400_000, 0.01, 30},
		{"nothing passes", 0, 400_000, 0.01, 30},
		{"coarse", 123_456, 400_000, 0.3, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trials := 0
			got, err := bisect(tt.high, tt.resolution, maxTrials, func(rate float64) (bool, error) {
				trials++
				require.GreaterOrEqual(t, rate, 0.0)
				return rate > 0 && rate <= tt.limit, nil
			})
			require.NoError(t, err)
			want := min(tt.limit, tt.high)
			require.LessOrEqual(t, got, want)
			require.GreaterOrEqual(t, got, (1-tt.resolution)*want-1)
			require.LessOrEqual(t, trials, tt.most)
		})
	}
	_, err := bisect(100, 0.1, maxTrials, func(float64) (bool, error) { return false, failed })
	require.ErrorIs(t, err, failed)
}

// Loads of every kind go through every path, and nothing of a slow one is lost.
func TestLoadsOfFramesPassEveryPath(t *testing.T) {
	needLab(t)
	testenv.NeedNoRace(t)
	mix, err := ParseFrames("imix")
	require.NoError(t, err)
	loads := append(Loads([]Frames{mix}, []int{200}, 2, Both, []int{2000}),
		Loads([]Frames{{"64-byte frames", []int{64}}}, []int{1}, 1, ToConsumer, []int{0})...)
	search := Search{Load: loads[0], Trial: 50 * time.Millisecond, Resolution: 0.5, Loss: 0.5, Tries: 1}
	report, err := Run(t.Context(), Options{Rounds: 1, Seconds: 0.2, Loads: loads, Searches: []Search{search}})
	require.NoError(t, err)
	value := func(workload, metric, path string) float64 {
		f := report.find(workload, metric)
		require.NotNil(t, f, "%s: %s", workload, metric)
		return f.Of(path).Value.Median
	}
	for _, path := range paths {
		slow := loads[0].name()
		require.Equal(t, 200.0, value(slow, "flows that passed", path), path)
		require.InDelta(t, 4, value(slow, "delivered", path), 0.4, "%s: 2,000 a second each way", path)
		require.Positive(t, value(slow, "p50", path), path)
		require.GreaterOrEqual(t, value(slow, "max", path), value(slow, "p99.9", path), path)
		require.Positive(t, value(loads[1].name(), "delivered", path), path)
		require.Positive(t, value("search, "+slow, "throughput", path), path)
	}
	for _, run := range report.Runs {
		if run.Workload == loads[0].name() {
			require.NotEmpty(t, run.Latency)
		}
		require.Equal(t, run.Workload == "search, "+loads[0].name(), len(run.Trials) > 0)
	}
}

func TestALoadIsWrittenAsAPacketFile(t *testing.T) {
	mix, err := ParseFrames("imix")
	require.NoError(t, err)
	for _, tt := range []struct {
		name    string
		load    Load
		frames  int
		last    time.Duration
		longest int
	}{
		{"without a rate each flow has all sizes", Load{Frames: mix, Flows: 10, Senders: 2, Direction: ToProvider},
			120, 119 * time.Microsecond, 1514},
		{"with a rate there are those of its time",
			Load{Frames: Frames{"", []int{64}}, Flows: 3, Senders: 1, Direction: Both, Rate: 1000},
			500, 499 * time.Millisecond, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var file bytes.Buffer
			require.NoError(t, tt.load.WritePcap(&file, 500*time.Millisecond))
			r, err := pcap.NewReader(&file)
			require.NoError(t, err)
			var p pcap.Packet
			n, longest, flows := 0, 0, map[string]bool{}
			for r.Next(&p) == nil {
				n++
				longest = max(longest, len(p.Data))
				decoded := gopacket.NewPacket(p.Data, layers.LayerTypeEthernet, gopacket.Default)
				require.Nil(t, decoded.ErrorLayer())
				flows[decoded.NetworkLayer().NetworkFlow().String()+decoded.TransportLayer().TransportFlow().String()] = true
			}
			require.Equal(t, tt.frames, n)
			require.Equal(t, tt.longest, longest)
			require.Len(t, flows, tt.load.Flows)
			require.Equal(t, tt.last.Nanoseconds(), p.Time)
		})
	}
	back := Load{Frames: mix, Flows: 10, Senders: 2, Direction: ToConsumer}
	require.ErrorContains(t, back.WritePcap(io.Discard, time.Second), "only while sessions are open")
}
