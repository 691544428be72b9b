package fullnat

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/flowcache/slot"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// modelCache does in Go what the programs of package flowcache do in the kernel, in
// the plainest way. Every test of this package runs with it, too, where the
// environment asks for a flow cache.
type modelCache struct {
	table   *Table
	numbers map[slot.Key]uint32
	slots   []*slot.Slot
	free    []uint32
	gates   map[uint32]*uint64
	hits    int
	settled int
}

var models sync.Map // *Table to *modelCache

// cached gives a table a modelCache.
func cached(t *Table) *modelCache {
	m := &modelCache{table: t, numbers: map[slot.Key]uint32{}, gates: map[uint32]*uint64{}}
	t.Cache(CacheOptions{
		To: m, All: true, Barred: func(packet.ENI, packet.ENI) bool { return false },
		Passed: func(packet.ENI, packet.ENI, uint64, uint64) {},
	})
	t.cache.settling = 0
	models.Store(t, m)
	return m
}

// forward is Table.Forward with the flow cache before it that the environment
// asks for.
func forward(t *Table, frames []packet.Frame, verdicts []Verdict, now time.Duration) {
	m, ok := models.Load(t)
	if !ok && os.Getenv(testenv.FlowCacheVariable) == "force" && t.sessions.Used == 0 {
		m, ok = cached(t), true
	}
	if !ok {
		t.Forward(frames, verdicts, now)
		return
	}
	m.(*modelCache).forward(frames, verdicts, now)
}

// forward takes the frames of the cache, and gives the others to the table: a frame
// of the cache never waits for one of the table's.
func (m *modelCache) forward(frames []packet.Frame, verdicts []Verdict, now time.Duration) {
	m.table.clock.Advance(now)
	var rest []packet.Frame
	var places []int
	for i := range frames {
		if m.take(&frames[i]) {
			verdicts[i] = Forwarded
			continue
		}
		rest, places = append(rest, frames[i]), append(places, i)
	}
	judged := make([]Verdict, len(rest))
	m.table.Forward(rest, judged, now)
	for n, i := range places {
		frames[i], verdicts[i] = rest[n], judged[n]
	}
	m.table.Settle(func() bool {
		m.settled++
		return m.settled%4 != 0 // more has come meanwhile
	})
}

func (m *modelCache) Add(flows *[2]slot.Flow) (numbers [2]uint32, keys [2]slot.Key, ok bool) {
	for d := range flows {
		f := &flows[d]
		if len(m.free) == 0 {
			m.free, m.slots = append(m.free, uint32(len(m.slots))), append(m.slots, nil)
		}
		numbers[d], m.free = m.free[0], m.free[1:]
		s := &slot.Slot{Handled: 1}
		f.Translate(s)
		m.Place(s, f)
		m.slots[numbers[d]] = s
		k := &keys[d]
		binary.BigEndian.PutUint32(k.Src[:], f.Src)
		binary.BigEndian.PutUint32(k.Dst[:], f.Dst)
		binary.BigEndian.PutUint16(k.SrcPort[:], f.SrcPort)
		binary.BigEndian.PutUint16(k.DstPort[:], f.DstPort)
		k.Device = uint32(f.ENI)<<8 | uint32(f.Protocol)
		m.numbers[*k] = numbers[d]
	}
	return numbers, keys, true
}

func (m *modelCache) Remove(keys *[2]slot.Key) {
	for _, k := range keys {
		delete(m.numbers, k)
	}
}

func (m *modelCache) Release(numbers [2]uint32) { m.free = append(m.free, numbers[:]...) }

func (m *modelCache) Slot(number uint32) *slot.Slot { return m.slots[number] }

func (m *modelCache) Place(s *slot.Slot, f *slot.Flow) bool {
	s.Device = uint32(f.Leaves)
	return true
}

func (m *modelCache) Gate(link uint32) (uint16, *uint64) {
	if m.gates[link] == nil {
		m.gates[link] = new(uint64)
	}
	return uint16(link), m.gates[link]
}

// Now is the table's own time.
func (m *modelCache) Now() uint32 { return uint32(m.table.clock.Now) }

// take is ring_filter and eni_in of flowcache.bpf.c, without a look at MACs and
// at the header's checksum, which is not the table's either.
func (m *modelCache) take(f *packet.Frame) bool {
	var p packet.Packet
	kind := packet.Parse(f.Data, &p)
	if kind != packet.TCP && kind != packet.UDP || p.IPv6 || f.Data[packet.L3] != 0x45 {
		return false
	}
	k := slot.Key{
		Src: [4]byte(f.Data[26:]), Dst: [4]byte(f.Data[30:]), SrcPort: [2]byte(f.Data[34:]), DstPort: [2]byte(f.Data[36:]),
		Device: uint32(f.ENI)<<8 | uint32(p.Protocol),
	}
	number, ok := m.numbers[k]
	if !ok {
		return false
	}
	s := m.slots[number]
	if !m.rule(f, &p, s) {
		s.Missed++
		return false
	}
	m.hits++
	if p.Kind == packet.TCP {
		later(&s.Next, p.Seq(f.Data)+uint32(p.PayloadLength()))
		later(&s.Ack, p.Ack(f.Data))
		s.Lately = uint32(p.Window(f.Data) >> 8)
	}
	s.Last = m.Now()
	s.Count.Frames++
	s.Count.Bytes += uint64(p.Length())
	if size := int(f.Offload.GSOSize); size > 0 {
		s.Count.Superframes++
		s.Count.Segments += segments(f, &p) - 1
	}
	r := packet.NewRewrite(&p,
		binary.BigEndian.Uint32(s.Src[:]), binary.BigEndian.Uint32(s.Dst[:]),
		binary.BigEndian.Uint16(s.SrcPort[:]), binary.BigEndian.Uint16(s.DstPort[:]))
	r.Apply(f, &p)
	*(*[12]byte)(f.Data) = s.MACs
	f.ENI = packet.ENI(s.Device)
	return true
}

func later(at *uint32, to uint32) {
	if int32(to-*at) > 0 {
		*at = to
	}
}

func (m *modelCache) rule(f *packet.Frame, p *packet.Packet, s *slot.Slot) bool {
	if uint32(*m.gates[uint32(s.Gate)]) != s.Generation || s.Missed != s.Handled || m.Now()-s.Last >= s.Idle {
		return false
	}
	if p.Frag != packet.PlainFrag || p.TTL <= 1 || p.Length()+packet.L3 != len(f.Data) ||
		f.LongestPacket(p) > int(s.MTU) || !f.Offload.Fits(p) {
		return false
	}
	if p.Kind == packet.UDP {
		return binary.BigEndian.Uint16(f.Data[40:]) != 0
	}
	options := f.Data[p.L4+20 : p.Payload]
	if p.Flags&beyondData != 0 || len(options) > 0 && (len(options) != 12 || string(options[:4]) != "\x01\x01\x08\x0a") {
		return false
	}
	end, ack, window := p.Seq(f.Data)+uint32(p.PayloadLength()), p.Ack(f.Data), uint32(p.Window(f.Data))
	ahead, acked := end-s.Next+1<<s.Reach, ack-s.Ack+1<<s.Offer
	return ahead>>1>>s.Reach|acked>>1>>s.Offer|window<<s.Scale>>s.Offer == 0
}

// newCachedLab is a newLab with a modelCache and one session, of which the cache
// forwards what it can.
func newCachedLab(t *testing.T) (l *lab, m *modelCache, natPort uint16) {
	t.Helper()
	l = newLab(t, 10)
	m = cached(l.table)
	natPort = l.open(t, 1, 0)
	for range 4 {
		l.send(1, packet.FlagACK, 0)
	}
	before := m.hits
	l.send(1, packet.FlagACK, 0)
	require.Equal(t, before+1, m.hits, "the cache forwards")
	return l, m, natPort
}

func TestWhatTheCacheForwardsIsCounted(t *testing.T) {
	l, m, _ := newCachedLab(t)
	before := l.table.Stats()
	for range 10 {
		v, _ := l.send(1, packet.FlagACK, time.Second)
		require.Equal(t, Forwarded, v)
	}
	after := l.table.Stats()
	require.EqualValues(t, m.hits, after.Cache.Frames)
	require.EqualValues(t, 10, after.Cache.Frames-before.Cache.Frames)
	require.EqualValues(t, 10, after.Verdicts[Forwarded]-before.Verdicts[Forwarded])
	require.EqualValues(t, 10, after.Links[0].PacketsToProvider-before.Links[0].PacketsToProvider)
	s := l.table.Sessions(nil, 3*time.Second)
	require.Len(t, s, 1)
	require.True(t, s[0].Cached)
	require.Equal(t, 2*time.Second, s[0].Idle)
	require.EqualValues(t, after.Links[0].PacketsToProvider, s[0].PacketsToProvider)
	require.EqualValues(t, after.Links[0].BytesToProvider, s[0].BytesToProvider)
}

func TestASessionLivesAsLongAsTheCacheSees(t *testing.T) {
	l, m, _ := newCachedLab(t)
	idle := l.config.Links[0].Idle
	before := m.hits
	for now := time.Duration(0); now < 3*idle; now += idle / 2 {
		v, _ := l.send(1, packet.FlagACK, now)
		require.Equal(t, Forwarded, v)
		drain(l.table, now)
	}
	require.Equal(t, before+6, m.hits, "the table has seen none of them")
	require.Equal(t, 1, l.table.Stats().Sessions)
	drain(l.table, 4*idle)
	require.Zero(t, l.table.Stats().Sessions)
	require.Empty(t, m.numbers)
	require.Len(t, m.free, len(m.slots))
}

func TestAChangeBringsPacketsBackToTheTable(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(l *lab)
	}{
		{"a configuration", func(l *lab) { _ = l.table.Configure(l.config, 0) }},
		{"a diversion", func(l *lab) { l.table.Divert(func(eni packet.ENI) bool { return eni == 2 }) }},
		{"a doubt", func(l *lab) {
			l.table.Cut(Walk{}, 10, 0, func(string, netip.AddrPort) Fate { return Doubted })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, m, _ := newCachedLab(t)
			tt.change(l)
			before := m.hits
			v, _ := l.send(1, packet.FlagACK, 0)
			require.Equal(t, Forwarded, v)
			require.Equal(t, before, m.hits, "the next packet is the table's")
			for range 4 {
				l.send(1, packet.FlagACK, 0)
			}
			require.Greater(t, m.hits, before, "the table has looked at it, and the cache goes on")
		})
	}
}

func TestABarredSessionStaysWithTheTable(t *testing.T) {
	l, m, _ := newCachedLab(t)
	l.table.cache.Barred = func(ingress, egress packet.ENI) bool { return ingress == 1 && egress == 2 }
	l.table.Divert(func(eni packet.ENI) bool { return eni == 1 })
	before := m.hits
	for range 20 {
		l.send(1, packet.FlagACK, 0)
	}
	require.Equal(t, before, m.hits)
	require.False(t, l.table.Sessions(nil, 0)[0].Cached)
}

// What follows a packet that is the table's must not overtake it.
func TestPacketsWaitForThoseThatTheTableHas(t *testing.T) {
	l, m, _ := newCachedLab(t)
	copy(l.frame.Data, l.pristine)
	odd := packet.Frame{ENI: 1, Data: append([]byte{}, l.frame.Data...)}
	binary.BigEndian.PutUint32(odd.Data[26:], 0x0b000000)
	binary.BigEndian.PutUint16(odd.Data[34:], 10001)
	odd.Data[47] = packet.FlagSYN
	plain := packet.Frame{ENI: 1, Data: append([]byte{}, odd.Data...)}
	plain.Data[47], plain.Data[41] = packet.FlagACK, 1
	before := m.hits
	require.False(t, m.take(&odd))
	require.False(t, m.take(&plain), "the table has not had the one before it")
	l.table.Settle(func() bool { return false })
	require.False(t, m.take(&plain), "there may be more in the ring")
	frames, verdicts := []packet.Frame{odd, plain, plain}, [3]Verdict{}
	l.table.Forward(frames, verdicts[:], 0)
	l.table.Settle(func() bool { return true })
	require.Equal(t, before, m.hits)
	v, _ := l.send(1, packet.FlagACK, 0)
	require.Equal(t, Forwarded, v)
	require.Equal(t, before+1, m.hits)
}

func TestTheEndOfASessionIsTheTables(t *testing.T) {
	for _, flags := range []byte{packet.FlagFIN | packet.FlagACK, packet.FlagRST} {
		l, m, _ := newCachedLab(t)
		l.send(1, flags, 0)
		require.NotEqual(t, "established", l.table.Sessions(nil, 0)[0].State)
		require.Empty(t, m.numbers, "it is not cached any more")
	}
}

// A RST is believed by the numbers of what the cache has forwarded.
func TestARSTIsJudgedByWhatTheCacheHasSeen(t *testing.T) {
	d := newDialogues(t, Behaviour{}, 1)
	m := cached(d.table)
	d.begin(0)
	d.open("established")
	for range 8 {
		d.send(store.ToProvider, "A", min(1000, d.inFlight(store.ToProvider)))
		d.hear(store.ToConsumer)
		d.send(store.ToConsumer, "A", 0)
	}
	require.NotZero(t, m.hits)
	rst := d.segment(store.ToProvider, "R", 0)
	forged := rst
	forged.seq -= 1000
	require.Equal(t, Forwarded, d.pass(store.ToProvider, forged))
	require.Equal(t, "established", d.table.Sessions(nil, d.now)[0].State)
	require.Equal(t, Forwarded, d.pass(store.ToProvider, rst))
	require.Equal(t, "closed", d.table.Sessions(nil, d.now)[0].State)
}
