package dataplane

import (
	"encoding/binary"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/flowcache/slot"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Sessions that end soon are not worth a place in the flow cache, however many there
// are: 100,000 a second open, carry a request and its answer, and close, for ten seconds
// of the table's time. None comes to the cache, and the processor time of the data plane is that
// of one without a cache. "make bench-short-sessions" holds the time, of seven rounds that take turns.
func TestShortSessionsCostNothingWithAFlowCache(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	const perSecond = 100_000
	long := os.Getenv("PLINKSIM_LONG") == "1"
	rounds, seconds := 1, 1
	if long {
		rounds, seconds = 7, 10
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ratios []float64
	for round := range rounds {
		took := map[bool]time.Duration{}
		for i := range 2 {
			auto := i == round%2
			s := newShortSessions(t, auto)
			s.play(perSecond, seconds)
			require.Zero(t, s.cache.added)
			stats := s.engine.Stats().Table
			require.EqualValues(t, perSecond*seconds, stats.Links[0].SessionsOpened)
			require.EqualValues(t, len(shortSession)*perSecond*seconds, stats.Verdicts[fullnat.Forwarded])
			took[auto] = s.took
		}
		ratio := float64(took[true]) / float64(took[false])
		t.Logf("%v without a cache, %v with one: %.3f", took[false], took[true], ratio)
		ratios = append(ratios, ratio)
	}
	slices.Sort(ratios)
	t.Logf("with a cache %.3f times the time without, median of %d rounds", ratios[rounds/2], rounds)
	if long {
		require.LessOrEqual(t, ratios[rounds/2], 1.05)
	}
}

// shortSession is the segments of a session, each with whether the server sends it, and the
// numbers behind the first ones of both.
var shortSession = []struct {
	fromServer bool
	flags      byte
	seq, ack   uint32
	payload    int
}{
	{false, syn, 0, 0, 0},
	{true, synAck, 0, 1, 0},
	{false, packet.FlagACK, 1, 1, 0},
	{false, packet.FlagACK, 1, 1, 100},
	{true, packet.FlagACK, 1, 101, 200},
	{false, packet.FlagFIN | packet.FlagACK, 101, 201, 0},
	{true, packet.FlagFIN | packet.FlagACK, 201, 102, 0},
	{false, packet.FlagACK, 102, 202, 0},
}

// shortSessions is an engine with a driver in memory that has a flow cache, or has none,
// and the clients and servers at its ENIs.
type shortSessions struct {
	*Memory
	t      *testing.T
	engine *Engine
	cache  cacheOfNone
	now    time.Duration
	took   time.Duration // processor time of the engine
	frames [Burst]packet.Frame
	memory [Burst][ethernetLen + ipv4Len + tcpLen + 256]byte
	places [Burst][2]netip.AddrPort // the NAT's and the server's
	sent   int
}

// cacheOfNone is a flow cache that counts what is to be put into it.
type cacheOfNone struct {
	fullnat.FlowCache
	added int
	gate  uint64
}

func (c *cacheOfNone) Add(*[2]slot.Flow) (numbers [2]uint32, keys [2]slot.Key, ok bool) {
	c.added++
	return numbers, keys, false
}

func (c *cacheOfNone) Gate(uint32) (uint16, *uint64) { return 0, &c.gate }

// newShortSessions has as many servers as there must be NAT ports for sessions that have
// just ended.
func newShortSessions(t *testing.T, auto bool) *shortSessions {
	s := &shortSessions{Memory: NewMemory(), t: t}
	var err error
	s.engine, err = NewEngine(EngineConfig{
		Driver: s, Clock: func() time.Duration { return s.now },
		Table: fullnat.Options{MaxSessions: 1 << 20, Seed: 1,
			Timers: fullnat.Timers{Closing: time.Second, Closed: time.Second}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.engine.Close()) })
	if auto {
		s.engine.useCache(s, false) // in the test's own time, which NewEngine does not do
	}
	cfg := oneEndpoint()
	link := &cfg.NAT.Links[0]
	link.Pick = func(f packet.FiveTuple, _ uint32) (netip.AddrPort, bool) {
		client := f.Src.Addr().As4()
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, client[3] % 64, 10}), backend.Port()), true
	}
	cfg.NAT.Links = cfg.NAT.Links[:1]
	require.NoError(t, s.engine.Configure(cfg))
	return s
}

// flowCache implements cachingDriver.
func (s *shortSessions) flowCache() (fullnat.FlowCache, bool) { return &s.cache, false }

// isEmpty implements cachingDriver.
func (s *shortSessions) isEmpty() bool { return true }

// leaveCached implements cachingDriver.
func (s *shortSessions) leaveCached() {}

// Write remembers where the frames of a burst go.
func (s *shortSessions) Write(frames []packet.Frame) (int, error) {
	for i := range frames {
		ip := frames[i].Data[ethernetLen:]
		port := func(at int) uint16 { return binary.BigEndian.Uint16(ip[ipv4Len+at:]) }
		if frames[i].ENI == nodeENI {
			s.places[i] = [2]netip.AddrPort{
				netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), port(0)),
				netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), port(2)),
			}
		}
	}
	s.sent += len(frames)
	return len(frames), nil
}

func (s *shortSessions) play(perSecond, seconds int) {
	for first := 0; first < perSecond*seconds; first += Burst {
		s.now = time.Duration(first) * time.Second / time.Duration(perSecond)
		n := min(Burst, perSecond*seconds-first)
		for step := range shortSession {
			for i := range n {
				s.put(i, first+i, step)
			}
			s.sent = 0
			before := threadTime(s.t)
			require.NoError(s.t, s.engine.work(s.frames[:n]))
			s.took += threadTime(s.t) - before
			if s.sent != n {
				s.t.Fatalf("step %d of sessions %d: %d frames left, and not %d: %v", step, first, s.sent, n,
					s.engine.Stats().Table.Verdicts)
			}
		}
	}
}

// put makes a segment of a session the frame i of a burst.
func (s *shortSessions) put(i, session, step int) {
	segment := shortSession[step]
	eni, from, to := endpointENI, netip.AddrPortFrom(
		netip.AddrFrom4([4]byte{10, 0, 2, byte(session)}), uint16(1024+session/256%60_000)), endpoint
	if segment.fromServer {
		eni, from, to = nodeENI, s.places[i][1], s.places[i][0]
	}
	data := s.memory[i][:ethernetLen+ipv4Len+tcpLen+segment.payload]
	mac := endpointMAC
	if segment.fromServer {
		mac = nodeMAC
	}
	copy(data, mac[:])
	data[12], data[13] = 8, 0
	ip, tcp := data[ethernetLen:], data[ethernetLen+ipv4Len:]
	order := binary.BigEndian
	ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, 64, protoTCP
	order.PutUint16(ip[2:], uint16(len(ip)))
	src, dst := from.Addr().As4(), to.Addr().As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	ip[10], ip[11] = 0, 0
	order.PutUint16(ip[10:], ^sum(0, ip[:ipv4Len]))
	order.PutUint16(tcp, from.Port())
	order.PutUint16(tcp[2:], to.Port())
	order.PutUint32(tcp[4:], segment.seq)
	order.PutUint32(tcp[8:], segment.ack)
	tcp[12], tcp[13] = tcpLen/4<<4, segment.flags
	order.PutUint16(tcp[14:], 65535)
	s.frames[i] = packet.Frame{ENI: eni, Data: data}
}

var endpointMAC, nodeMAC = packet.MACOf(endpoint.Addr()), packet.MACOf(natIP)

// threadTime is the processor time of the goroutine's thread.
func threadTime(t *testing.T) time.Duration {
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
	return time.Duration(now.Nano())
}
