package fullnat

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// natItem is a comment of a story that says which item of a checklist of NAT
// behaviour follows.
var natItem = regexp.MustCompile(`(?m)^# (nat [0-9].*)$`)

// tellsNumbers finds packets that arrive with a sequence number.
var tellsNumbers = regexp.MustCompile(`(?m)^\w+ < .*seq=`)

// TestStories plays testdata/stories. A line of a story is a comment, or one
// of
//
//	link NAME tcp ENI ADDRESS:PORT -> ENI NATIP[,NATIP] -> TARGET[,TARGET] idle 15m
//	mtu ENI 1400                        of the interface; 1500 without
//	behave NAME SETTING[=VALUE] …       sets fields of the link's Behaviour
//	ports 2                             is PortsPerTarget
//	disconnect NAME | connect NAME | deny NAME | remove NAME
//	time 15m                            the clock says this from now on
//	ENI < PACKET                        the packet arrives
//
// or what follows from it:
//
//	ENI > PACKET                        the packet leaves, or one of the table's own
//	ENI = PACKET                        which it is the last fragment of
//	drop VERDICT
//	LINK PROTOCOL STATE …               after "sessions": who is there
//	N datagrams, …                      after "held": fragments
//	VERDICT=N …                         after "count NAME": the link's counters
//
// Where no sequence number is told, segments have those that their senders would
// give them.
//
// TTLs are 64 when packets arrive and 63 when they leave, unless they are
// written down. Every packet that leaves is checked byte by byte.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, item := range natItem.FindAllString(string(want), -1) {
				t.Log(item)
			}
			golden.Equal(t, file, newStory(t).play(string(want)))
		})
	}
}

type story struct {
	t     *testing.T
	table *Table
	now   time.Duration
	enis  map[string]packet.ENI
	mtu   map[packet.ENI]int
	parts map[string][]packet.Frame // of datagrams that leave in fragments
	names []string
	links []Link
	ports int
	out   strings.Builder

	numbers bool // the story tells sequence numbers
}

func newStory(t *testing.T) *story {
	table, err := New(Options{MaxSessions: 1000, Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	table.random = rand.New(lowest{}) // NAT ports are easier to read from 1024 on
	return &story{t: t, table: table, enis: map[string]packet.ENI{}, mtu: map[packet.ENI]int{}, parts: map[string][]packet.Frame{}, names: []string{"?"}}
}

// lowest draws the lowest number always. It is not 0 in either half, which
// rand rejects for ever.
type lowest struct{}

func (lowest) Uint64() uint64 { return 1<<32 | 1 }

func (s *story) play(text string) string {
	s.numbers = s.numbers || tellsNumbers.MatchString(text)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		words := strings.Fields(line)
		if isOutcome(words) {
			continue
		}
		s.tell("%s", line)
		if len(words) > 0 && !strings.HasPrefix(line, "#") {
			s.step(line, words)
		}
	}
	return s.out.String()
}

func isOutcome(words []string) bool {
	return len(words) > 1 && (words[1] == ">" || words[1] == "=") || len(words) > 0 && (words[0] == "drop" || words[0] == "is:")
}

func (s *story) tell(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *story) step(line string, words []string) {
	switch words[0] {
	case "link":
		s.addLink(line, words)
	case "disconnect", "connect", "deny", "remove":
		s.change(words[0], words[1])
	case "behave":
		s.behave(words[1], words[2:])
	case "mtu":
		n, err := strconv.Atoi(words[2])
		require.NoError(s.t, err)
		s.mtu[s.eni(words[1])] = n
		s.configure()
	case "held":
		stats := s.table.Stats()
		s.tell("is: %d datagrams, %d fragments of %d bytes; %d limit, %d timeout, %d overlap", stats.Fragments.Datagrams,
			stats.Fragments.Held, stats.Fragments.HeldBytes,
			stats.Verdicts[FragmentLimit], stats.Verdicts[FragmentTimeout], stats.Verdicts[FragmentOverlap])
	case "ports":
		_, err := fmt.Sscan(words[1], &s.ports)
		require.NoError(s.t, err)
		s.configure()
	case "time":
		var err error
		s.now, err = time.ParseDuration(words[1])
		require.NoError(s.t, err)
		for s.table.Expire(s.now, 100) {
		}
		s.pending()
	case "sessions":
		s.sessions()
	case "count":
		s.count(words[1])
	default:
		require.Equal(s.t, "<", words[1], "the line %q", line)
		m, err := parseMessage(strings.Join(words[2:], " "))
		require.NoError(s.t, err)
		s.arrive(words[0], m)
	}
}

func (s *story) addLink(line string, words []string) {
	require.Len(s.t, words, 12, "the line %q", line)
	targets := strings.Split(words[9], ",")
	next := -1
	l := Link{
		Name:      words[1],
		Protocol:  protocolNumbers[words[2]],
		Ingress:   s.eni(words[3]),
		Match:     netip.MustParseAddrPort(words[4]),
		Egress:    s.eni(words[6]),
		Connected: true,
		Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) {
			next++
			target := targets[next%len(targets)]
			return netip.MustParseAddrPort(target), true
		},
	}
	if targets[0] == "nobody" {
		l.Pick = func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return netip.AddrPort{}, false }
	}
	for _, addr := range strings.Split(words[7], ",") {
		l.Local = append(l.Local, netip.MustParseAddr(addr))
	}
	var err error
	l.Idle, err = time.ParseDuration(words[11])
	require.NoError(s.t, err)
	s.links = append(s.links, l)
	s.configure()
}

func (s *story) change(verb, name string) {
	for i := range s.links {
		l := &s.links[i]
		if l.Name != name {
			continue
		}
		switch verb {
		case "disconnect", "connect":
			l.Connected = verb == "connect"
		case "deny":
			l.Admit = func(packet.FiveTuple) bool { return false }
		case "remove":
			s.links = append(s.links[:i:i], s.links[i+1:]...)
		}
		s.configure()
		return
	}
	require.Fail(s.t, "no link "+name)
}

// behave sets fields of a link's Behaviour by the names that they have in
// stories.
func (s *story) behave(name string, settings []string) {
	i := slices.IndexFunc(s.links, func(l Link) bool { return l.Name == name })
	require.GreaterOrEqual(s.t, i, 0, "no link %s", name)
	b := &s.links[i].Behaviour
	for _, setting := range settings {
		field, value, _ := strings.Cut(setting, "=")
		var err error
		switch field {
		case "reset-stray":
			b.ResetStray = true
		case "report-ttl":
			b.ReportTTL = true
		case "report-exhaustion":
			b.ReportExhaustion = true
		case "report-too-big":
			b.ReportTooBig = true
		case "clamp-mss":
			b.ClampMSS = true
		case "max-sessions":
			_, err = fmt.Sscan(value, &b.MaxSessions)
		case "max-half-open":
			_, err = fmt.Sscan(value, &b.MaxHalfOpen)
		case "opening":
			b.Timers.Opening, err = time.ParseDuration(value)
		case "closing":
			b.Timers.Closing, err = time.ParseDuration(value)
		case "closed":
			b.Timers.Closed, err = time.ParseDuration(value)
		default:
			require.Fail(s.t, "no setting "+setting)
		}
		require.NoError(s.t, err, setting)
	}
	s.configure()
}

func (s *story) configure() {
	cfg := &Config{PortsPerTarget: s.ports, Links: append([]Link(nil), s.links...)}
	for name, eni := range s.enis {
		cfg.ENIs = append(cfg.ENIs, Interface{ENI: eni, MAC: macOf(name), MTU: cmp.Or(s.mtu[eni], 1500), NextHop: packet.MACOf})
	}
	require.NoError(s.t, s.table.Configure(cfg, s.now))
}

func (s *story) eni(name string) packet.ENI {
	if s.enis[name] == 0 {
		s.enis[name] = packet.ENI(len(s.names))
		s.names = append(s.names, name)
	}
	return s.enis[name]
}

// macOf is some MAC that tells the ENIs of a story apart.
func macOf(name string) packet.MAC { return packet.MAC(append([]byte(name), 0, 0, 0, 0, 0, 0)) }

func (s *story) arrive(eni string, m message) {
	numbered := s.number(eni, &m)
	frames := []packet.Frame{m.frame(s.enis[eni])}
	before := string(frames[0].Data)
	var verdicts [1]Verdict
	forward(s.table, frames, verdicts[:], s.now)
	s.pending()
	if verdicts[0] != Forwarded {
		require.Equal(s.t, before, string(frames[0].Data), "a dropped frame was edited")
		s.tell("drop %s", verdicts[0])
		return
	}
	left, exact := read(frames[0])
	require.True(s.t, exact, "%s left with other bytes than its sender would have built", left)
	name := s.names[frames[0].ENI]
	require.Equal(s.t, packet.MACOf(left.dst.Addr()), packet.MAC(frames[0].Data[0:6]))
	require.Equal(s.t, macOf(name), packet.MAC(frames[0].Data[6:12]))
	if left.ttl == 63 {
		left.ttl = 64
	}
	if numbered {
		left.seq, left.ack = 0, 0
	}
	s.tell("%s > %s", name, left)
	s.assemble(frames[0], left)
}

// number gives a segment of a session the numbers that its sender is at, in
// stories that tell of none, and says whether it did.
func (s *story) number(eni string, m *message) bool {
	if s.numbers || m.protocol != "tcp" {
		return false
	}
	src, _ := s.table.addrs.Acquire(m.src.Addr())
	dst, _ := s.table.addrs.Acquire(m.dst.Addr())
	defer s.table.addrs.Release(src, dst)
	k := store.NewKey(s.enis[eni], packet.ProtocolTCP, src, dst, m.src.Port(), m.dst.Port())
	e := s.table.flows.Find(k, s.table.flows.Home(k))
	if e == nil || !s.table.links.at(s.table.hops.All[e.Hop].Link).live {
		return false
	}
	session := s.table.sessions.At(e.Session)
	other := s.table.flows.At(session.Slots[1-e.Direction()])
	switch m.seq = e.Next; {
	case strings.Contains(m.flags, "S"):
		m.seq = 0
	case session.Ends&store.Fin(e.Direction()) != 0 && (m.len > 0 || strings.Contains(m.flags, "F")):
		m.seq -= 1 + uint32(m.len) // again
	}
	if strings.ContainsAny(m.flags, "A") {
		m.ack = other.Next
	}
	return true
}

// pending tells what the table itself sends, and packets that had to wait.
func (s *story) pending() {
	for _, f := range s.table.Pending() {
		m, exact := read(f)
		require.True(s.t, exact, "%s has other bytes than its sender would have built", m)
		require.Equal(s.t, packet.MACOf(m.dst.Addr()), packet.MAC(f.Data[0:6]))
		if m.to > 0 && m.ttl == 63 {
			m.ttl = 64
		}
		s.tell("%s > %s", s.names[f.ENI], m)
		s.assemble(f, m)
	}
}

func (s *story) sessions() {
	live := s.table.Sessions(nil, s.now)
	for _, session := range live {
		s.tell("is: %s %s %s > %s as %s > %s, %d there, %d back, %s left", session.Link, session.State,
			session.Consumer, session.Endpoint, session.Local, session.Target,
			session.PacketsToProvider, session.PacketsToConsumer, session.Expires)
	}
	if len(live) == 0 {
		s.tell("is: nobody")
	}
}

func (s *story) count(name string) {
	for _, l := range s.table.Stats().Links {
		if l.Name != name {
			continue
		}
		s.out.WriteString("is:")
		for v, n := range l.Verdicts {
			if n > 0 {
				fmt.Fprintf(&s.out, " %s=%d", Verdict(v), n)
			}
		}
		s.tell(" opened=%d sessions=%d there=%d/%d back=%d/%d superframes=%d segments=%d", l.SessionsOpened, l.Sessions,
			l.PacketsToProvider, l.BytesToProvider, l.PacketsToConsumer, l.BytesToConsumer, l.Superframes, l.Segments)
	}
}
