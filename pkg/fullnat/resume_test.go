package fullnat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// shelf is a Memory in which a test finds what a killed process would leave.
type shelf map[string][]byte

func (s shelf) Map(name string, size int) ([]byte, error) {
	if s[name] != nil {
		panic(name + " is there twice")
	}
	s[name] = make([]byte, size)
	return s[name], nil
}

func (s shelf) Unmap(name string, _ []byte) error {
	delete(s, name)
	return nil
}

func (s shelf) Release(pages []byte) { clear(pages) }

// left is a copy: the process that goes on cannot see what becomes of the other.
func (s shelf) left() *Left {
	left := &Left{Regions: map[string][]byte{}}
	for name, region := range s {
		left.Regions[name] = bytes.Clone(region)
	}
	return left
}

// successor is the table of a process that goes on where another was killed at
// now, with the options that it has. Its clock starts from zero.
func successor(t testing.TB, table *Table, options Options, now time.Duration) (*Table, Options) {
	t.Helper()
	options.Left = options.Memory.(shelf).left()
	require.NoError(t, table.Close())
	options.Memory, options.Epoch = shelf{}, options.Epoch+now
	next, err := New(options)
	require.NoError(t, err)
	return next, options
}

// town is a table with sessions of every kind, of two tenants who have the same
// addresses.
type town struct {
	t       testing.TB
	options Options
	table   *Table
	now     time.Duration
}

func newTown(t testing.TB, sessions int) *town {
	w := &town{t: t, options: Options{MaxSessions: 4 * sessions, Seed: 1, Memory: shelf{}}}
	var err error
	w.table, err = New(w.options)
	require.NoError(t, err)
	require.NoError(t, w.table.Configure(townConfig(), 0))
	t.Cleanup(func() { require.NoError(t, w.table.Close()) })
	for n := range sessions {
		w.open(n)
	}
	return w
}

// The ways through the town: the interfaces of both tenants, and what they match.
var townLinks = []struct {
	name            string
	protocol        uint8
	ingress, egress packet.ENI
	match, target   string
	local           string
	identity        *Identity
}{
	{"web", packet.ProtocolTCP, 1, 2, "10.0.1.200:80", "192.168.0.1:80", "10.0.9.11", nil},
	{"web of the other", packet.ProtocolTCP, 3, 4, "10.0.1.200:80", "192.168.0.1:80", "10.0.9.11", nil},
	{"named", packet.ProtocolTCP, 1, 2, "10.0.1.200:81", "192.168.0.1:81", "10.0.9.11", &awsIdentity},
	{"dns", packet.ProtocolUDP, 3, 4, "10.0.1.200:53", "192.168.0.2:53", "10.0.9.11", nil},
	{"six", packet.ProtocolTCP, 1, 2, "[2001:db8::200]:80", "[2001:db8:1::1]:80", "2001:db8:9::11", nil},
	{"across", packet.ProtocolTCP, 3, 4, "[2001:db8::200]:80", "192.168.0.3:80", "10.0.9.12", nil},
	{"ping", packet.ProtocolICMP, 1, 2, "10.0.1.200:0", "192.168.0.1:0", "10.0.9.11", nil},
}

func townConfig() *Config {
	cfg := &Config{}
	for eni := packet.ENI(1); eni <= 4; eni++ {
		cfg.ENIs = append(cfg.ENIs, Interface{ENI: eni, Name: string('a' + rune(eni)), NextHop: packet.MACOf})
	}
	for _, l := range townLinks {
		target := netip.MustParseAddrPort(l.target)
		cfg.Links = append(cfg.Links, Link{
			Name: l.name, Ingress: l.ingress, Match: netip.MustParseAddrPort(l.match), Protocol: l.protocol, Egress: l.egress,
			Local: []netip.Addr{netip.MustParseAddr(l.local)}, Connected: true, Idle: time.Hour, Identity: l.identity,
			Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return target, true },
		})
	}
	return cfg
}

// open lets consumer n open a session, and go more or less far with it.
func (w *town) open(n int) {
	l := townLinks[n%len(townLinks)]
	src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(10 + n/100)}), uint16(40000+n))
	if netip.MustParseAddrPort(l.match).Addr().Is6() {
		addr := netip.MustParseAddr("2001:db8::1").As16()
		addr[14], addr[15] = byte(n>>8), byte(n)
		src = netip.AddrPortFrom(netip.AddrFrom16(addr), src.Port())
	}
	m := message{src: src, dst: netip.MustParseAddrPort(l.match), ttl: 64, len: 10, protocol: "udp"}
	switch l.protocol {
	case packet.ProtocolICMP:
		m.protocol, m.flags, m.ident = "icmp", "8/0", src.Port()
		if src.Addr().Is6() {
			m.flags = "128/0"
		}
		m.src, m.dst = netip.AddrPortFrom(src.Addr(), 0), netip.AddrPortFrom(m.dst.Addr(), 0)
	case packet.ProtocolTCP:
		m.protocol, m.flags, m.len, m.seq = "tcp", "S", 0, 1000
	}
	out := w.forward(l.ingress, m)
	require.Equal(w.t, l.egress, out.ENI)
	if stage := n / len(townLinks) % 5; l.protocol == packet.ProtocolTCP && stage > 0 {
		sent, _ := read(out)
		back := message{protocol: "tcp", src: sent.dst, dst: sent.src, flags: "SA", seq: 5000, ack: 1001, ttl: 64}
		w.forward(l.egress, back)
		for i, flags := range []string{"A", "PA", "FA"}[:stage-1] {
			m.flags, m.ack, m.seq, m.len = flags, 5001, 1001, 0
			if i > 0 {
				m.len = 10
			}
			w.forward(l.ingress, m)
		}
	}
}

// forward sends a packet through the table, which must let it pass.
func (w *town) forward(eni packet.ENI, m message) packet.Frame {
	frames, verdicts := []packet.Frame{m.frame(eni)}, make([]Verdict, 1)
	w.table.Forward(frames, verdicts, w.now)
	require.Equal(w.t, Forwarded, verdicts[0], "%s", m)
	w.table.Pending()
	return frames[0]
}

// facts are what never changes of a table's sessions.
func (w *town) facts() map[string]bool {
	facts := map[string]bool{}
	for _, s := range w.table.Sessions(nil, w.now) {
		facts[fmt.Sprint(s.Link, s.Protocol, s.Consumer, s.Endpoint, s.Local, s.Target)] = true
	}
	return facts
}

// next is the town after another process went on with what is left.
func (w *town) next(left *Left) *town {
	n := &town{t: w.t, options: w.options, now: time.Second}
	n.options.Memory, n.options.Left, n.options.Epoch = shelf{}, left, w.options.Epoch+w.now
	var err error
	n.table, err = New(n.options)
	require.NoError(w.t, err)
	require.NoError(w.t, n.table.Configure(townConfig(), n.now))
	return n
}

// check sends a packet both ways in every session: it goes where the session
// says, or nowhere.
func (w *town) check(facts map[string]bool) {
	for fact := range w.facts() {
		require.Contains(w.t, facts, fact, "a session that nobody opened")
	}
	enis := map[string][2]packet.ENI{}
	for _, l := range townLinks {
		enis[l.name] = [2]packet.ENI{l.ingress, l.egress}
	}
	for _, s := range w.table.Sessions(nil, w.now) {
		if s.Protocol == packet.ProtocolICMP {
			continue
		}
		m := message{protocol: "tcp", flags: "A", ttl: 64, seq: 1001, ack: 5001}
		if s.Protocol == packet.ProtocolUDP {
			m = message{protocol: "udp", ttl: 64, len: 3}
		}
		there, back := m, m
		there.src, there.dst = s.Consumer, s.Endpoint
		back.src, back.dst = s.Target, s.Local
		w.checkOne(enis[s.Link][0], enis[s.Link][1], there, s.Local, s.Target)
		w.checkOne(enis[s.Link][1], enis[s.Link][0], back, s.Endpoint, s.Consumer)
	}
	for w.table.Expire(w.now, 100) {
	}
	for w.table.Expire(w.now+2*time.Hour, 100) {
	}
	require.Zero(w.t, w.table.Stats().Sessions)
	require.NoError(w.t, w.table.Close())
}

func (w *town) checkOne(from, to packet.ENI, m message, src, dst netip.AddrPort) {
	frames, verdicts := []packet.Frame{m.frame(from)}, make([]Verdict, 1)
	w.table.Forward(frames, verdicts, w.now)
	if verdicts[0] != Forwarded {
		require.Equal(w.t, NoSession, verdicts[0])
		return
	}
	got, _ := read(frames[0])
	require.Equal(w.t, to, frames[0].ENI)
	require.Equal(w.t, [2]netip.AddrPort{src, dst}, [2]netip.AddrPort{got.src, got.dst})
}

func TestAnotherProcessGoesOnWithEverySession(t *testing.T) {
	w := newTown(t, 350)
	facts := w.facts()
	require.Len(t, facts, 350)
	for range 100 {
		n := w.next(w.options.Memory.(shelf).left())
		require.Equal(t, Resumed{Sessions: 350}, n.table.Resumed(), "nat 67: every session goes on")
		require.Equal(t, w.table.Stats().HalfOpen, n.table.Stats().HalfOpen)
		require.Equal(t, facts, n.facts())
		require.NoError(t, w.table.Close())
		w.table, w.options, w.now = n.table, n.options, n.now
	}
	w.check(facts)
}

// damage does harm to what is left, and returns how many sessions it may cost.
func damage(left *Left, random *rand.Rand) (what string, cost int) {
	names := slices.Sorted(maps.Keys(left.Regions))
	name := names[random.IntN(len(names))]
	region := left.Regions[name]
	var written []int
	for at := 0; at < len(region); at += 8 {
		if binary.LittleEndian.Uint64(region[at:]) != 0 {
			written = append(written, at)
		}
	}
	if len(written) == 0 {
		return name + " is empty", 0
	}
	at := written[random.IntN(len(written))]
	switch random.IntN(10) {
	case 0:
		left.Regions[name] = region[:at]
		return fmt.Sprintf("%s ends at %d", name, at), 1 << 30
	case 1:
		delete(left.Regions, name)
		return name + " is gone", 1 << 30
	case 2: // as much as an entry or two
		for i := range region[at:min(at+64, len(region))] {
			region[at+i] = byte(random.Uint32())
		}
		return fmt.Sprintf("%s is overwritten from %d on", name, at), 4
	case 3: // one entry in the place of another
		other := written[random.IntN(len(written))] &^ 63
		copy(region[at&^63:], bytes.Clone(region[other:min(other+64, len(region))]))
		return fmt.Sprintf("%s has at %d what is at %d", name, at&^63, other), 6
	}
	bit := random.IntN(64)
	region[at+bit/8] ^= 1 << (bit % 8)
	return fmt.Sprintf("bit %d of %s at %d", bit, name, at), 1
}

func TestDamageCostsOneSessionAtMost(t *testing.T) {
	const sessions = 175
	w := newTown(t, sessions)
	facts, left := w.facts(), w.options.Memory.(shelf)
	var lost Resumed
	places := uint64(1000)
	if testing.Short() && testenv.Race {
		places = 200 // whether a pointer leaves its memory is seen in these
	}
	for seed := range places {
		hurt := left.left()
		what, cost := damage(hurt, rand.New(rand.NewPCG(seed, 0)))
		n := w.next(hurt)
		r := n.table.Resumed()
		require.GreaterOrEqual(t, r.Sessions, sessions-cost, "nat 67: %d: %s", seed, what)
		n.check(facts)
		lost.Add(&r)
	}
	require.Positive(t, lost.Damaged)
	require.ErrorContains(t, lost.Err, "label")
}

func TestSessionsOfAnotherVersionAreRefused(t *testing.T) {
	w := newTown(t, 7)
	left := w.options.Memory.(shelf).left()
	labels := store.View[label](left.Regions[labelRegion])
	for i := range labels {
		labels[i].Layout++
		labels[i].Check = labels[i].sum()
	}
	n := w.next(left)
	require.EqualError(t, n.table.Resumed().Err,
		"the sessions of the earlier process were kept by another version of plinksim")
	n.check(nil)
}

// FuzzResume overwrites what is left, at places and with values that the fuzzer
// chooses: no crash, and no session that nobody opened.
func FuzzResume(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0xff, 1, 0, 64, 3})
	f.Add([]byte("records, flows, sessions and identities"))
	w := newTown(f, 35)
	facts := w.facts()
	names := slices.Sorted(maps.Keys(w.options.Memory.(shelf)))
	f.Fuzz(func(t *testing.T, edits []byte) {
		left := w.options.Memory.(shelf).left()
		for ; len(edits) >= 4; edits = edits[4:] {
			region := left.Regions[names[int(edits[0])%len(names)]]
			region[int(binary.BigEndian.Uint16(edits[1:]))%len(region)] = edits[3]
		}
		mine := *w
		mine.t = t
		mine.next(left).check(facts)
	})
}

// What rests of the links decides: not what the records say.
func TestSessionsOfLinksThatAreGoneEnd(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"not in the file any more":         func(c *Config) { c.Links = c.Links[1:] },
		"not connected":                    func(c *Config) { c.Links[0].Connected = false },
		"another address":                  func(c *Config) { c.Links[0].Match = netip.MustParseAddrPort("10.0.1.201:80") },
		"another NAT IP":                   func(c *Config) { c.Links[0].Local[0] = netip.MustParseAddr("10.0.9.99") },
		"the same address in another VPC":  func(c *Config) { c.ENIs[0].Name = "moved" },
		"the other tenant has its numbers": func(c *Config) { c.ENIs[0].ENI, c.ENIs[2].ENI = 3, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, 7) // one of each link
			w.options.Left = w.options.Memory.(shelf).left()
			w.options.Memory = nil
			table, err := New(w.options)
			require.NoError(t, err)
			defer table.Close()
			cfg := townConfig()
			change(cfg)
			require.NoError(t, table.Configure(cfg, 0))
			r := table.Resumed()
			require.Positive(t, r.Foreign)
			require.Equal(t, 7, r.Sessions+r.Foreign)
			for _, s := range table.Sessions(nil, 0) {
				require.NotEqual(t, "web", s.Link, "nat 67: the link is gone")
			}
		})
	}
}

// The numbers of interfaces are those of a process, and need not be the next one's.
func TestSessionsKeepTheirInterfacesUnderOtherNumbers(t *testing.T) {
	w := newTown(t, 7)
	cfg := townConfig()
	for i := range cfg.ENIs {
		cfg.ENIs[i].ENI += 10
	}
	for i := range cfg.Links {
		cfg.Links[i].Ingress, cfg.Links[i].Egress = cfg.Links[i].Ingress+10, cfg.Links[i].Egress+10
	}
	w.options.Left = w.options.Memory.(shelf).left()
	w.options.Memory = nil
	table, err := New(w.options)
	require.NoError(t, err)
	defer table.Close()
	require.NoError(t, table.Configure(cfg, 0))
	require.Equal(t, Resumed{Sessions: 7}, table.Resumed())
}

// Ports that sessions brought along come back, and none has two owners.
func TestNATPortsOfResumedSessionsAreTheirs(t *testing.T) {
	options := Options{MaxSessions: 1000, Seed: 1, Memory: shelf{}}
	l := newLabWith(t, options)
	taken := map[uint16]bool{}
	for n := range 300 {
		taken[l.open(t, n, 0)] = true
	}
	next, _ := successor(t, l.table, options, 0)
	l.table = next
	t.Cleanup(func() { require.NoError(t, next.Close()) })
	l.config.PortsPerTarget = 500
	require.NoError(t, l.table.Configure(l.config, 0))
	require.Equal(t, Resumed{Sessions: 300}, l.table.Resumed())
	for n := range 200 {
		v, port := l.send(1000+n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v)
		require.False(t, taken[port], "port %d", port)
		taken[port] = true
	}
	v, _ := l.send(2000, packet.FlagSYN, 0)
	require.Equal(t, NoNATPort, v)
	drain(l.table, time.Hour)
	for n := range 500 {
		v, _ := l.send(3000+n, packet.FlagSYN, 2*time.Hour)
		require.Equal(t, Forwarded, v)
	}
}
