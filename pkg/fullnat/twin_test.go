package fullnat

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// twin does what a Table does for one TCP and one UDP link in the plainest
// way: a slice of sessions that is searched from the front. The NAT port of a
// new session is the table's choice; the twin only knows whether there is one
// and that nobody else has it.
type twin struct {
	twinAddrs
	sessions  []*twinSession
	max       int
	linkMax   int // most sessions of the TCP link
	halfOpen  int // most of them that are half-open
	ports     int
	connected bool
	clock     int // counts sessions that become half-open
}

type twinSession struct {
	protocol          string
	consumer          netip.AddrPort
	port              uint16
	state             string
	since             time.Duration
	finThere, finBack bool
	half              int // when it became half-open; 0: it is not
	// TCP: what either end sends next, and what acknowledges the last SYN
	// within the established session.
	nextThere, nextBack, again uint32
}

const (
	twinTCPIdle = 100 * time.Second
	twinUDPIdle = 20 * time.Second
)

// twinAddrs is who talks to whom.
type twinAddrs struct {
	consumer         netip.Addr
	endpoint, target netip.AddrPort
	local            netip.Addr
}

var (
	twinIPv4 = twinAddrs{
		netip.MustParseAddr("10.0.1.10"), netip.MustParseAddrPort("10.0.1.200:80"),
		netip.MustParseAddrPort("10.0.1.10:8080"), netip.MustParseAddr("10.0.9.11"),
	}
	twinIPv6 = twinAddrs{
		netip.MustParseAddr("2001:db8:1::10"), netip.MustParseAddrPort("[2001:db8:1::200]:80"),
		netip.MustParseAddrPort("[2001:db8:1::10]:8080"), netip.MustParseAddr("2001:db8:9::11"),
	}
	twinToIPv4 = twinAddrs{twinIPv6.consumer, twinIPv6.endpoint, twinIPv4.target, twinIPv4.local}
	twinToIPv6 = twinAddrs{twinIPv4.consumer, twinIPv4.endpoint, twinIPv6.target, twinIPv6.local}

	twinTimers = Timers{Opening: 30 * time.Second, Closing: 40 * time.Second, Closed: 10 * time.Second}
)

func (s *twinSession) timeout() time.Duration {
	switch s.state {
	case "open":
		return twinUDPIdle
	case "syn-sent", "syn-received":
		return twinTimers.Opening
	case "established":
		return twinTCPIdle
	case "closing":
		return twinTimers.Closing
	}
	return twinTimers.Closed
}

func (w *twin) expire(now time.Duration) {
	var live []*twinSession
	for _, s := range w.sessions {
		if now-s.since < s.timeout() {
			live = append(live, s)
		}
	}
	w.sessions = live
}

func (w *twin) drop(gone *twinSession) {
	for i, s := range w.sessions {
		if s == gone {
			w.sessions = append(w.sessions[:i:i], w.sessions[i+1:]...)
			return
		}
	}
}

// toProvider says what becomes of the consumer's packet.
func (w *twin) toProvider(m message, now time.Duration) string {
	w.expire(now)
	for _, s := range w.sessions {
		if s.protocol == m.protocol && s.consumer == m.src {
			if m.flags == "S" && (s.state == "closing" || s.state == "closed") {
				w.drop(s)
				break
			}
			w.observe(s, m, now, true)
			return w.leaves("lb", m, netip.AddrPortFrom(w.local, s.port), w.target)
		}
	}
	switch {
	case !w.connected:
		return "NotConnected"
	case m.protocol == "tcp" && m.flags != "S":
		return "NoSession"
	case m.protocol == "tcp" && w.linkSessions(m.protocol) == w.linkMax:
		return "LinkFull"
	case len(w.sessions) == w.max && w.oldestHalfOpen() == nil:
		return "TableFull"
	}
	if w.linkSessions(m.protocol) == w.ports {
		return "NoNATPort"
	}
	if len(w.sessions) == w.max || m.protocol == "tcp" && w.halfOpens() == w.halfOpen {
		w.drop(w.oldestHalfOpen())
	}
	s := &twinSession{protocol: m.protocol, consumer: m.src, state: "open", since: now}
	if m.protocol == "tcp" {
		s.state = "syn-sent"
		s.nextThere = m.seq + 1
		w.clock++
		s.half = w.clock
	}
	w.sessions = append(w.sessions, s)
	return opens
}

func (w *twin) halfOpens() (n int) {
	for _, s := range w.sessions {
		if s.half > 0 {
			n++
		}
	}
	return n
}

func (w *twin) oldestHalfOpen() (oldest *twinSession) {
	for _, s := range w.sessions {
		if s.half > 0 && (oldest == nil || s.half < oldest.half) {
			oldest = s
		}
	}
	return oldest
}

// opens stands for a packet that leaves with a NAT port of the table's choice.
const opens = "opens a session"

// opened tells the twin of the NAT port of the session that it opened last,
// and says whether nobody else has it.
func (w *twin) opened(port uint16) bool {
	last := w.sessions[len(w.sessions)-1]
	for _, s := range w.sessions {
		if s.protocol == last.protocol && s.port == port {
			return false
		}
	}
	last.port = port
	return true
}

func (w *twin) linkSessions(protocol string) (n int) {
	for _, s := range w.sessions {
		if s.protocol == protocol {
			n++
		}
	}
	return n
}

func (w *twin) toConsumer(m message, now time.Duration) string {
	w.expire(now)
	for _, s := range w.sessions {
		if s.protocol == m.protocol && s.port == m.dst.Port() {
			if m.flags == "S" && (s.state == "closing" || s.state == "closed") {
				return "NoSession"
			}
			w.observe(s, m, now, false)
			return w.leaves("ep", m, w.endpoint, s.consumer)
		}
	}
	return "NoSession"
}

func (w *twin) leaves(eni string, m message, src, dst netip.AddrPort) string {
	return fmt.Sprintf("%s > %s %s > %s", eni, m.protocol, src, dst)
}

func (w *twin) observe(s *twinSession, m message, now time.Duration, there bool) {
	before := s.state
	own := &s.nextBack
	if there {
		own = &s.nextThere
	}
	if m.flags == "R" || m.flags == "RA" {
		refusal := m.flags == "RA" && !there && s.again != 0 && m.ack == s.again
		if before == "established" && m.seq != *own && !refusal {
			return
		}
		s.state, s.half = "closed", 0
		if before != "closed" {
			s.since = now
		}
		return
	}
	s.state = w.after(s, m, there)
	s.number(m, before, there, own)
	if s.state != "syn-sent" && s.state != "syn-received" {
		s.half = 0
	} else if s.half == 0 {
		w.clock++
		s.half = w.clock
	}
	again := s.finThere && s.finBack && (m.flags == "FA" || m.len > 0)
	if s.state != "closed" || before != "closed" || again {
		s.since = now
	}
}

// after is the state after a segment that is no RST.
func (w *twin) after(s *twinSession, m message, there bool) string {
	if m.flags == "FA" {
		s.finThere = s.finThere || there
		s.finBack = s.finBack || !there
	}
	syn := m.flags == "S" || m.flags == "SA"
	switch {
	case s.state == "open":
		return "open"
	case syn && !there && s.state == "syn-sent":
		return map[string]string{"S": "established", "SA": "syn-received"}[m.flags]
	case m.flags == "SA" && !there && s.restarts(m) && w.halfOpens() < w.halfOpen:
		return "syn-received"
	case syn && !there:
		return s.state
	case m.flags != "FA" && !syn && there && s.state == "syn-received":
		return "established"
	case s.finThere && s.finBack:
		return "closed"
	case s.state == "closed" && m.len == 0:
		return "closed"
	case s.finThere || s.finBack:
		return "closing"
	case s.state == "closed":
		return "established"
	}
	return s.state
}

func (s *twinSession) restarts(m message) bool {
	return s.state == "established" && s.again != 0 && m.ack == s.again
}

// number notes the sequence numbers of m. Those of the twin's packets grow.
func (s *twinSession) number(m message, before string, there bool, own *uint32) {
	half := before == "syn-sent" || before == "syn-received"
	switch {
	case m.protocol == "udp":
	case m.flags == "S" || m.flags == "SA":
		switch {
		case half:
			*own = m.seq + 1
		case before == "established" && there && m.flags == "S":
			s.again = m.seq + 1
		case s.half == 0 && s.state == "syn-received":
			s.nextThere, s.nextBack, s.again = m.ack, m.seq+1, 0
		}
	case m.flags == "FA":
		*own = max(*own, m.seq+1)
	default:
		*own = max(*own, m.seq+uint32(m.len))
	}
}

// FuzzTable plays the same packets to a Table and to its twin. Each byte is a
// step: who sends what, or time that goes by.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 64, 128, 1, 65, 2, 66, 3, 67, 4, 68})
	f.Add([]byte("a consumer opens, talks, closes, and comes again after a while \xf0\xf1\xff\xfe\xfd"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		s := newTwinStory(t, twinVariants[len(steps)%len(twinVariants)])
		for _, step := range steps[:min(len(steps), 500)] {
			s.step(step)
		}
	})
}

func TestTableDoesWhatItsTwinDoes(t *testing.T) {
	var verdicts Counters
	evicted := uint64(0)
	for seed := range uint64(21) {
		s := newTwinStory(t, twinVariants[seed%uint64(len(twinVariants))])
		random := rand.New(rand.NewPCG(seed, 0))
		for range 3000 {
			s.step(byte(random.Uint32()))
		}
		require.Equal(t, s.restless, s.table.Stats().Rekeys > 0)
		for v, n := range s.table.verdicts {
			verdicts[v] += n
		}
		for _, l := range s.table.Stats().Links {
			evicted += l.Evicted
		}
	}
	require.Positive(t, verdicts[NoNATPort])
	require.Positive(t, verdicts[TableFull])
	require.Positive(t, verdicts[LinkFull])
	require.Positive(t, verdicts[NotConnected])
	require.Positive(t, evicted)
}

type twinStory struct {
	*story
	twinVariant
	twin *twin
	used []uint16 // the NAT ports that were seen last
}

// twinVariant is what the twin need not know.
type twinVariant struct {
	store.Shard
	twinAddrs
	restless bool // flows move all the time
	plain    bool // segments may be plain ones
}

var twinVariants = []twinVariant{
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinIPv4, plain: true},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinIPv4, restless: true},
	{Shard: store.Shard{Number: 3, Of: 4}, twinAddrs: twinIPv4},
	{Shard: store.Shard{Number: 1, Of: 2}, twinAddrs: twinIPv4, restless: true, plain: true},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinIPv6},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinToIPv4},
	{Shard: store.Shard{Number: 1, Of: 2}, twinAddrs: twinToIPv6, restless: true},
}

func newTwinStory(t *testing.T, variant twinVariant) *twinStory {
	table, err := New(Options{MaxSessions: 7, MaxHalfOpen: 4, Seed: 1, Timers: twinTimers, Shard: variant.Number, Shards: variant.Of})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	s := &twinStory{
		story: &story{t: t, table: table},
		twin: &twin{
			twinAddrs: variant.twinAddrs, max: 7, halfOpen: 4, ports: 5, linkMax: 4, connected: true,
		},
		used:        []uint16{store.FirstNATPort},
		twinVariant: variant,
	}
	s.configure()
	return s
}

func (s *twinStory) configure() {
	cfg := &Config{PortsPerTarget: s.twin.ports * s.Of}
	for eni := range packet.ENI(2) {
		cfg.ENIs = append(cfg.ENIs, Interface{ENI: eni + 1, NextHop: packet.MACOf})
	}
	for protocol, idle := range map[string]time.Duration{"tcp": twinTCPIdle, "udp": twinUDPIdle} {
		cfg.Links = append(cfg.Links, Link{
			Name: protocol, Ingress: 1, Match: s.endpoint, Protocol: protocolNumbers[protocol],
			Egress: 2, Local: []netip.Addr{s.local}, Connected: s.twin.connected, Idle: idle,
			Pick:      func(packet.FiveTuple) (netip.AddrPort, bool) { return s.target, true },
			Behaviour: Behaviour{MaxSessions: map[string]int{"tcp": s.twin.linkMax}[protocol]},
		})
	}
	require.NoError(s.t, s.table.Configure(cfg, s.now))
}

func (s *twinStory) step(step byte) {
	switch n := int(step); {
	// Whole seconds, at which the table gives memory and ports back as well.
	case n >= 249:
		s.now += time.Duration(n-248) * 5 * time.Second
	case n >= 243:
		s.now += time.Duration(n-242) * time.Second
	case n == 242:
		s.reconnect()
	case n >= 121:
		s.consumerSends(n - 121)
	default:
		s.providerSends(n)
	}
}

// reconnect lets Expire finish, for the twin has no sessions that linger.
func (s *twinStory) reconnect() {
	s.twin.connected = !s.twin.connected
	if !s.twin.connected {
		s.twin.expire(s.now)
		for len(s.twin.sessions) > 0 {
			s.twin.drop(s.twin.sessions[0])
		}
	}
	s.configure()
	for s.table.Expire(s.now, 10) {
	}
}

var twinSegments = []message{
	{flags: "S"}, {flags: "SA"}, {flags: "A"}, {flags: "A", len: 3}, {flags: "FA"},
	{flags: "R"}, {flags: "R", seq: 5}, {flags: "RA", ack: 1},
}

func (s *twinStory) message(n int) (m message, rest int) {
	kinds := len(twinSegments) + 1
	m = message{protocol: "udp", len: 3}
	if kind := n % kinds; kind < len(twinSegments) {
		m = twinSegments[kind]
		m.protocol = "tcp"
	}
	m.ttl, m.df = 64, s.plain
	return m, n / kinds
}

func (s *twinStory) consumerSends(n int) {
	m, who := s.message(n)
	m.src = netip.AddrPortFrom(s.consumer, 40000+uint16(who))
	if s.consumer.Is6() {
		// Addresses come and go, and so do their numbers.
		addr := s.consumer.As16()
		addr[15] += byte(who)
		m.src = netip.AddrPortFrom(netip.AddrFrom16(addr), 40000)
	}
	m.dst = s.endpoint
	for _, session := range s.twin.sessions {
		if session.protocol == m.protocol && session.consumer == m.src {
			m.follow(session.nextThere)
		}
	}
	s.compare(1, m, s.twin.toProvider(m, s.now))
}

func (s *twinStory) providerSends(n int) {
	m, who := s.message(n)
	m.src = s.target
	m.dst = netip.AddrPortFrom(s.local, s.used[who%len(s.used)])
	for _, session := range s.twin.sessions {
		if session.protocol == m.protocol && session.port == m.dst.Port() {
			m.follow(session.nextBack)
			m.ack *= session.again
			if m.flags == "SA" {
				m.ack = session.again
			}
		}
	}
	s.compare(2, m, s.twin.toConsumer(m, s.now))
}

// follow gives m the number that its sender is at, or one that is as far off
// as it says. SYNs begin somewhere else.
func (m *message) follow(next uint32) {
	if m.protocol != "tcp" {
		return
	}
	m.seq += next
	if m.flags == "S" || m.flags == "SA" {
		m.seq += 1000
	}
}

func (s *twinStory) compare(eni packet.ENI, m message, want string) {
	for s.table.Expire(s.now, 10) {
	}
	if s.restless {
		s.table.flows.Rekey()
		s.table.flows.Swap()
		for range s.now.Milliseconds() / 1000 % 20 {
			s.table.flows.Step(s.table.moved)
		}
	}
	frames := []packet.Frame{m.frame(eni)}
	var verdicts [1]Verdict
	s.table.Forward(frames, verdicts[:], s.now)
	got := verdicts[0].String()
	if verdicts[0] == Forwarded {
		left, exact := read(frames[0])
		require.True(s.t, exact, "%s left with other bytes than its sender would have built", left)
		got = fmt.Sprintf("%s > %s %s > %s", [...]string{1: "ep", 2: "lb"}[frames[0].ENI], left.protocol, left.src, left.dst)
		if want == opens {
			require.True(s.t, s.twin.opened(left.src.Port()), "NAT port %d is in use", left.src.Port())
			require.GreaterOrEqual(s.t, left.src.Port(), uint16(store.FirstNATPort))
			require.Equal(s.t, s.Number, int(left.src.Port())%s.Of)
			s.remember(left.src.Port())
			want = s.twin.leaves("lb", m, netip.AddrPortFrom(s.local, left.src.Port()), s.target)
		}
	}
	require.Equal(s.t, want, got, "%s at %s", m, s.now)
	require.Len(s.t, s.table.Sessions(nil, s.now), len(s.twin.sessions))
	requireNumbers(s.t, s.table)
}

func (s *twinStory) remember(port uint16) {
	s.used = append(s.used, port)
	s.used = s.used[max(0, len(s.used)-17):]
}
