package fullnat

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
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
	protocol string
	consumer netip.AddrPort
	port     uint16
	state    string
	since    time.Duration
	half     int               // when it became half-open; 0: it is not
	reset    bool              // by a RST
	refused  bool              // by one that answered the SYN
	ends     map[bool]*twinEnd // TCP: the consumer's, and the provider's

	// first is what acknowledges the first of several SYNs, answered what the
	// first answer began with, and again what acknowledges the last SYN within
	// the session.
	first, answered, again uint32
	againScale             int8
}

// twinEnd is what is known of what one end of a TCP session has sent.
type twinEnd struct {
	next, ack uint32 // behind the last byte; the highest number acknowledged
	offered   int64  // the largest window
	scale     int8   // of its SYN, plus one; 0 for none
	shift     int8   // of its windows
	fin       bool
}

// limit is the power of two above the largest window.
func (e *twinEnd) limit() int64 {
	for n := int64(1); ; n *= 2 {
		if n > e.offered {
			return n
		}
	}
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
			if m.flags == "S" && s.isOver() {
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
		s.ends = map[bool]*twinEnd{true: {next: m.seq + 1, offered: m.window(), scale: m.scale}, false: {}}
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

// window is the window field.
func (m message) window() int64 { return int64(max(cmp.Or(m.win, 65535), 0) | 0xff) }

// isOver says whether a SYN of the consumer may open the next session.
func (s *twinSession) isOver() bool {
	if s.state != "closed" {
		return false
	}
	there, back := s.ends[true], s.ends[false]
	return s.reset || int32(there.ack-back.next) >= 0 && int32(back.ack-there.next) >= 0
}

// observe lets a session see a packet that passes.
func (w *twin) observe(s *twinSession, m message, now time.Duration, there bool) {
	before := s.state
	if s.protocol == "udp" || w.believes(s, m, there) {
		s.since = now
	}
	half := s.state == "syn-sent" || s.state == "syn-received"
	switch {
	case s.state == "closed" && s.reset && s.half > 0: // it was never confirmed
	case !half:
		s.half = 0
	case before == "established" || before == "closing" || before == "closed":
		w.clock++
		s.half = w.clock
	}
}

// believes says whether a segment refreshes a session, and does to it what it
// has to.
func (w *twin) believes(s *twinSession, m message, there bool) bool {
	own, other := s.ends[there], s.ends[!there]
	end := m.seq + uint32(m.len)
	acks := strings.Contains(m.flags, "A")
	switch {
	case strings.Contains(m.flags, "R"):
		return s.resets(m, there)
	case m.flags == "S" && there:
		return s.tries(m)
	case m.flags == "S":
		return false
	case m.flags == "SA" && !there:
		return w.accepts(s, m)
	case m.flags == "SA" || s.state == "syn-sent":
		if s.state != "syn-received" {
			return false
		}
		end++
	}
	if s.refused {
		return false
	}
	fin := strings.Contains(m.flags, "F")
	if fin {
		end++
	}
	ack := m.ack
	if !acks {
		ack = own.ack
	}
	if s.state == "syn-received" && there {
		first, last := m.ack-s.answered-1 <= 1460, other.next-m.ack <= 1460
		if !acks || !first && !last || !accepts(own, other, end, own.ack) {
			return false
		}
		if !last {
			other.next = m.ack
		}
		own.ack = m.ack
	} else if fin && s.state != "syn-received" && int32(end-own.next) < 0 {
		return false
	} else if near(end, own.next, other.limit()) && near(ack, own.ack, own.limit()) && s.state == "established" && !fin {
		// An ordinary segment needs no look at the other end.
	} else if !accepts(own, other, end, ack) {
		return false
	}
	ahead := int32(end-own.next) > 0
	switch {
	case fin:
		own.fin = true
	case ahead:
		own.fin = false
	}
	if ahead {
		own.next = end
	}
	if int32(ack-own.ack) > 0 {
		own.ack = ack
	}
	own.offered = max(own.offered, min(m.window()<<own.shift, 1<<30-1))
	s.reset = s.reset && m.len == 0
	if s.state == "syn-received" && !there {
		return true
	}
	before := s.state
	switch both := own.fin && other.fin; {
	case s.reset || both:
		s.state = "closed"
	case own.fin || other.fin:
		s.state = "closing"
	default:
		s.state = "established"
	}
	return s.state != "closed" || before != "closed" || own.fin && other.fin && !s.reset && (fin || m.len > 0)
}

// accepts says whether numbers are in the windows.
func accepts(own, other *twinEnd, end, ack uint32) bool {
	return int32(end-other.ack-uint32(other.limit())) <= 1 && int32(end-own.next+uint32(other.limit())) >= 0 &&
		(near(ack, own.ack, own.limit()) || int32(ack-own.ack) > 0 && int32(ack-other.next) <= 0)
}

// near says whether a number is at most limit from another.
func near(n, from uint32, limit int64) bool {
	d := int64(int32(n - from))
	return -limit <= d && d < limit
}

// resets looks at a RST.
func (s *twinSession) resets(m message, there bool) bool {
	own, other := s.ends[there], s.ends[!there]
	believed := m.seq == own.next || m.seq == other.ack || own.fin && m.seq+1 == own.next
	if s.state == "syn-sent" {
		believed = m.seq == cmp.Or(s.first, own.next)
		if !there {
			believed = m.flags == "RA" && s.answeredBy(m)
		}
	} else if s.state != "syn-received" && !there && m.flags == "RA" && s.again != 0 && m.ack == s.again {
		believed = true
	}
	if !believed {
		return false
	}
	s.reset, s.refused = true, s.refused || s.state == "syn-sent"
	if s.state == "closed" {
		return false
	}
	s.state = "closed"
	return true
}

// tries looks at a SYN of the consumer within a session.
func (s *twinSession) tries(m message) bool {
	own := s.ends[true]
	switch s.state {
	case "syn-sent":
		if m.seq+1 != own.next && s.first == 0 {
			s.first = own.next
		}
		own.next, own.offered, own.scale = m.seq+1, max(own.offered, m.window()), max(own.scale, m.scale)
		return true
	case "syn-received":
		return m.seq+1 == own.next
	}
	s.again, s.againScale = m.seq+1, m.scale
	return false
}

// answeredBy says whether m acknowledges the SYN that opened the session.
func (s *twinSession) answeredBy(m message) bool {
	return s.state == "syn-sent" && s.first != 0 && m.ack == s.first || s.ends[true].next-m.ack <= 1460
}

// accepts looks at a SYN-ACK of the provider.
func (w *twin) accepts(s *twinSession, m message) bool {
	there, back := s.ends[true], s.ends[false]
	switch {
	case s.state == "syn-sent" && s.answeredBy(m):
		if there.next-m.ack > 1460 {
			there.next = m.ack
		}
	case s.state == "syn-received" && s.answeredBy(m):
		back.next = m.seq + 1
		return true
	case s.state != "syn-sent" && s.state != "syn-received" && s.again != 0 && m.ack == s.again && w.halfOpens() < w.halfOpen:
		*there = twinEnd{next: m.ack, offered: 65535, scale: s.againScale}
		s.reset = false
	default:
		return false
	}
	s.answers(m)
	return true
}

// answers notes the provider's SYN.
func (s *twinSession) answers(m message) {
	there, back := s.ends[true], s.ends[false]
	*back = twinEnd{next: m.seq + 1, ack: there.next, offered: m.window(), scale: m.scale}
	there.ack, s.answered = m.seq, m.seq
	if there.scale > 0 && back.scale > 0 {
		there.shift, back.shift = there.scale-1, back.scale-1
	}
	s.state, s.again, s.first = "syn-received", 0, 0
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
	for seed := range uint64(3 * len(twinVariants)) {
		s := newTwinStory(t, twinVariants[seed%uint64(len(twinVariants))])
		random := rand.New(rand.NewPCG(seed, 0))
		for range 3000 {
			s.step(byte(random.Uint32()))
		}
		require.True(t, s.mortal || s.restless == (s.table.Stats().Rekeys > 0))
		require.Equal(t, s.mortal, s.restarts > 10)
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

	forge int // counts packets

	options  Options
	restarts int
}

// twinVariant is what the twin need not know.
type twinVariant struct {
	store.Shard
	twinAddrs
	restless bool // flows move all the time
	plain    bool // segments may be plain ones
	mortal   bool // now and then another process goes on
}

var twinVariants = []twinVariant{
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinIPv4, plain: true},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinIPv4, restless: true},
	{Shard: store.Shard{Number: 3, Of: 4}, twinAddrs: twinIPv4},
	{Shard: store.Shard{Number: 1, Of: 2}, twinAddrs: twinIPv4, restless: true, plain: true},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinIPv6},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinToIPv4},
	{Shard: store.Shard{Number: 1, Of: 2}, twinAddrs: twinToIPv6, restless: true},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinIPv4, plain: true, mortal: true},
	{Shard: store.Shard{Number: 1, Of: 2}, twinAddrs: twinIPv6, mortal: true},
	{Shard: store.Shard{Number: 0, Of: 1}, twinAddrs: twinToIPv6, restless: true, mortal: true},
}

func newTwinStory(t *testing.T, variant twinVariant) *twinStory {
	options := Options{MaxSessions: 6, MaxHalfOpen: 4, Seed: 1, Timers: twinTimers, Shard: variant.Number, Shards: variant.Of}
	if variant.mortal {
		options.Memory = shelf{}
	}
	table, err := New(options)
	require.NoError(t, err)
	s := &twinStory{
		story: &story{t: t, table: table}, options: options,
		twin: &twin{
			twinAddrs: variant.twinAddrs, max: 6, halfOpen: 4, ports: 5, linkMax: 4, connected: true,
		},
		used:        []uint16{store.FirstNATPort},
		twinVariant: variant,
	}
	t.Cleanup(func() { require.NoError(t, s.table.Close()) })
	s.configure()
	return s
}

// restart lets another table go on, as a process does after another was killed.
// It is not for the middle of a crowd: those who are half-open since the same
// moment have no order.
func (s *twinStory) restart() {
	if !s.mortal || s.twin.halfOpens() > 1 {
		return
	}
	s.restarts++
	if os.Getenv("PLINKSIM_FLOW_CACHE") == "force" {
		return // the cache dies too, and with it what the twin would know of times
	}
	s.table, s.options = successor(s.t, s.table, s.options, s.now)
	for _, session := range s.twin.sessions {
		session.since -= s.now
	}
	s.now = 0
	s.configure()
	require.Equal(s.t, Resumed{Sessions: s.table.Stats().Sessions}, s.table.Resumed())
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
			Pick:      func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return s.target, true },
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
	case n >= 236 && s.mortal:
		s.restart()
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

// twinSegments are what ends send, and what is forged: numbers are those that
// the sender is at, plus what is here.
var twinSegments = []message{
	{flags: "S", scale: 3}, {flags: "SA", scale: 8}, {flags: "A"}, {flags: "A", len: 3}, {flags: "FA"},
	{flags: "R"}, {flags: "R", seq: 5}, {flags: "RA"},
}

// twinForgeries come now and then in the place of those.
var twinForgeries = []message{
	{flags: "FA", seq: 1 << 27}, {flags: "A", len: 3, seq: 1 << 25}, {flags: "A", len: 100, seq: 60000},
	{flags: "A", ack: 1 << 29}, {flags: "FA", seq: 1000}, {flags: "A", len: 3, seq: 1<<32 - 4}, {flags: "FA", seq: 1<<32 - 1},
	{flags: "S", seq: 1 << 30}, {flags: "SA", ack: 77}, {flags: "A", win: 7}, {flags: "", len: 5}, {flags: "R", seq: 1<<32 - 1},
	{flags: "A", ack: 1<<32 - 1}, {flags: "PA", len: 900, ack: 1<<32 - 1}, {flags: "SA", seq: 9999, scale: 2},
}

func (s *twinStory) message(n int) (m message, rest int) {
	kinds := len(twinSegments) + 1
	m = message{protocol: "udp", len: 3}
	if kind := n % kinds; kind < len(twinSegments) {
		m = twinSegments[kind]
		m.protocol = "tcp"
	}
	if s.forge++; m.protocol == "tcp" && s.forge%5 == 0 {
		m = twinForgeries[s.forge/5%len(twinForgeries)]
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
		if session.protocol == m.protocol && session.consumer == m.src && m.protocol == "tcp" {
			m.follow(session, true)
		}
	}
	s.compare(1, m, s.twin.toProvider(m, s.now))
}

func (s *twinStory) providerSends(n int) {
	m, who := s.message(n)
	m.src = s.target
	m.dst = netip.AddrPortFrom(s.local, s.used[who%len(s.used)])
	for _, session := range s.twin.sessions {
		if session.protocol == m.protocol && session.port == m.dst.Port() && m.protocol == "tcp" {
			m.follow(session, false)
		}
	}
	s.compare(2, m, s.twin.toConsumer(m, s.now))
}

// follow gives m the numbers that its sender is at, or some that are as far off
// as it says. SYNs within a session begin somewhere else.
func (m *message) follow(s *twinSession, there bool) {
	own, other := s.ends[there], s.ends[!there]
	m.seq += own.next
	m.ack += other.next
	switch {
	case m.flags == "S" && s.state != "syn-sent":
		m.seq += 1000
	case m.flags == "S":
		m.seq--
	case (m.flags == "SA" || m.flags == "RA") && !there && s.again != 0:
		m.ack = m.ack - other.next + s.again
		m.seq += 5000
	case own.fin && (m.flags == "FA" || m.len > 0):
		m.seq -= uint32(m.len) + 1 // again
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
	forward(s.table, frames, verdicts[:], s.now)
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
	s.compareSessions(m)
	requireNumbers(s.t, s.table)
}

// compareSessions holds the state of each session against the twin's.
func (s *twinStory) compareSessions(m message) {
	got, want := map[string]string{}, map[string]string{}
	for _, session := range s.table.Sessions(nil, s.now) {
		got[fmt.Sprint(session.Protocol, session.Consumer)] = fmt.Sprint(session.State, " ", session.Expires)
	}
	for _, session := range s.twin.sessions {
		want[fmt.Sprint(protocolNumbers[session.protocol], session.consumer)] = fmt.Sprint(session.state, " ", session.since+session.timeout()-s.now)
	}
	require.Equal(s.t, want, got, "%s at %s", m, s.now)
}

func (s *twinStory) remember(port uint16) {
	s.used = append(s.used, port)
	s.used = s.used[max(0, len(s.used)-17):]
}
