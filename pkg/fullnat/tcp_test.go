package fullnat

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// dialogue is a TCP connection between two ends that keep the rules, across a
// table with a link of its own.
type dialogue struct {
	t      *testing.T
	random *rand.Rand
	table  *Table
	now    time.Duration
	ends   [2]dialogueEnd // by direction: the consumer, the provider
	client netip.AddrPort
	nat    netip.AddrPort
}

// dialogueEnd is what an end knows.
type dialogueEnd struct {
	next, received uint32 // to send, and to acknowledge
	window         int    // that it offers, not scaled
	scale          int8   // of it
	offers         int8   // as message.scale
	offered        int    // that the other end knows of
}

var (
	dialogueEndpoint = netip.MustParseAddrPort("10.0.1.200:80")
	dialogueTarget   = netip.MustParseAddrPort("192.168.0.1:80")
)

func newDialogues(t *testing.T, profile Behaviour, seed uint64) *dialogue {
	table, err := New(Options{MaxSessions: 30_000, Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	require.NoError(t, table.Configure(&Config{
		ENIs: []Interface{{ENI: 1, NextHop: packet.MACOf}, {ENI: 2, NextHop: packet.MACOf}},
		Links: []Link{{
			Name: "web", Ingress: 1, Match: dialogueEndpoint, Protocol: packet.ProtocolTCP,
			Egress: 2, Local: []netip.Addr{netip.MustParseAddr("10.0.9.11")}, Connected: true, Idle: 15 * time.Minute,
			Pick:      func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return dialogueTarget, true },
			Behaviour: profile,
		}},
	}, 0))
	return &dialogue{t: t, random: rand.New(rand.NewPCG(seed, 3)), table: table}
}

// begin is a new pair of ends.
func (d *dialogue) begin(n int) {
	d.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(10 + n/20_000)}), uint16(1024+n%20_000))
	d.nat = netip.AddrPort{}
	for i := range d.ends {
		e := &d.ends[i]
		*e = dialogueEnd{next: d.random.Uint32(), window: 1 + d.random.IntN(65535)}
		e.offered = e.window
		if d.random.IntN(3) > 0 {
			e.offers = int8(1 + d.random.IntN(15))
		}
	}
	there, back := &d.ends[0], &d.ends[1]
	if there.offers > 0 && back.offers > 0 {
		there.scale, back.scale = there.offers-1, back.offers-1
	}
}

// segment is one from an end, with the numbers that it is at.
func (d *dialogue) segment(from store.Direction, flags string, length int) message {
	e := &d.ends[from]
	m := message{protocol: "tcp", ttl: 64, df: true, flags: flags, seq: e.next, len: length, win: e.window}
	if flags != "S" && flags != "R" {
		m.ack = e.received
	}
	if flags == "S" || flags == "SA" {
		m.scale = e.offers
		e.next++
	} else {
		e.offered = e.window << e.scale
	}
	e.next += uint32(length)
	if flags == "FA" || flags == "FPA" {
		e.next++
	}
	return m
}

// pass lets a segment arrive at the table.
func (d *dialogue) pass(from store.Direction, m message) Verdict {
	if m.src, m.dst = d.client, dialogueEndpoint; from == store.ToConsumer {
		m.src, m.dst = dialogueTarget, d.nat
	}
	frames, verdicts := []packet.Frame{m.frame(packet.ENI(1 + from))}, [1]Verdict{}
	forward(d.table, frames, verdicts[:], d.now)
	if verdicts[0] == Forwarded && from == store.ToProvider {
		left, _ := read(frames[0])
		d.nat = left.src
	}
	return verdicts[0]
}

func (d *dialogue) send(from store.Direction, flags string, length int) {
	require.Equal(d.t, Forwarded, d.pass(from, d.segment(from, flags, length)))
}

// hear lets an end have all that the other has sent.
func (d *dialogue) hear(end store.Direction) { d.ends[end].received = d.ends[1-end].next }

// open is the handshake, as far as a state.
func (d *dialogue) open(as string) {
	if d.send(store.ToProvider, "S", 0); as == "syn-sent" {
		return
	}
	d.hear(store.ToConsumer)
	if d.send(store.ToConsumer, "SA", 0); as == "syn-received" {
		return
	}
	d.hear(store.ToProvider)
	d.send(store.ToProvider, "A", 0)
}

// inFlight is how much an end may send before it hears of the other.
func (d *dialogue) inFlight(from store.Direction) int {
	return min(d.ends[1-from].offered, 200_000)
}

// burst sends segments of up to a window, lets them overtake each other and
// come twice, and the last of them has flags.
func (d *dialogue) burst(from store.Direction, last string) {
	var all []message
	for left := d.inFlight(from); left > 0 && len(all) < 5; {
		n := min(1+d.random.IntN(left), 1460)
		all, left = append(all, d.segment(from, "A", n)), left-n
	}
	if last != "" {
		all = append(all, d.segment(from, last, 0))
	}
	for range d.random.IntN(3) {
		all = append(all, all[d.random.IntN(len(all))])
	}
	d.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, m := range all {
		require.Equal(d.t, Forwarded, d.pass(from, m))
	}
	d.hear(1 - from)
	d.send(1-from, "A", 0)
}

// talk is what goes on in a connection: data, silence, probes that it lives.
func (d *dialogue) talk() {
	for range d.random.IntN(4) {
		from := store.Direction(d.random.IntN(2))
		switch d.random.IntN(4) {
		case 0:
			d.now += time.Duration(d.random.IntN(14*60)) * time.Second
			d.send(from, "A", 0)
		case 1: // RFC 9293, 3.8.4
			probe := d.segment(from, "A", 0)
			probe.seq, probe.len = probe.seq-1, d.random.IntN(2)
			require.Equal(d.t, Forwarded, d.pass(from, probe))
			d.send(1-from, "A", 0)
		case 2: // a larger window than ever, also where nothing else is new
			d.ends[from].window = 65535
			d.send(from, "A", 0)
		default:
			d.burst(from, "")
		}
	}
}

// session is what the table says of the connection.
func (d *dialogue) session() *Session {
	for _, s := range d.table.Sessions(nil, d.now) {
		if s.Consumer == d.client {
			return &s
		}
	}
	return nil
}

// endings are the ways in which connections end.
var endings = map[string]func(d *dialogue, first store.Direction){
	"one closes, the other goes on for a while": func(d *dialogue, first store.Direction) {
		d.burst(first, "FA")
		d.burst(1-first, "")
		d.now += time.Duration(d.random.IntN(200)) * time.Second
		d.burst(1-first, "")
		d.burst(1-first, "FA")
	},
	"both close at the same time": func(d *dialogue, first store.Direction) {
		one, other := d.segment(first, "FA", 0), d.segment(1-first, "FA", 0)
		require.Equal(d.t, Forwarded, d.pass(first, one))
		require.Equal(d.t, Forwarded, d.pass(1-first, other))
		d.hear(first)
		d.hear(1 - first)
		d.send(first, "A", 0)
		d.send(1-first, "A", 0)
	},
	"FINs come again": func(d *dialogue, first store.Direction) {
		fin := d.segment(first, "FA", 0)
		for range 3 {
			require.Equal(d.t, Forwarded, d.pass(first, fin))
			d.now += 3 * time.Second
		}
		d.hear(1 - first)
		d.send(1-first, "FA", 0)
		d.hear(first)
		d.send(first, "A", 0)
		require.Equal(d.t, Forwarded, d.pass(first, fin))
	},
	"a RST behind data that it overtakes, which is challenged": func(d *dialogue, first store.Direction) {
		d.burst(first, "R")
		d.send(1-first, "A", 0)
		require.Equal(d.t, Forwarded, d.pass(first, message{
			protocol: "tcp", ttl: 64, flags: "R", seq: d.ends[1-first].received,
		}))
	},
	"a RST that answers data of an end that has not heard all": func(d *dialogue, first store.Direction) {
		heard := d.ends[1-first].received
		d.send(first, "A", min(1460, d.inFlight(first)))
		d.ends[1-first].received = heard
		d.send(1-first, "A", min(1460, d.inFlight(1-first)))
		require.Equal(d.t, Forwarded, d.pass(first, message{protocol: "tcp", ttl: 64, flags: "R", seq: heard}))
	},
	"a RST after a FIN, which it does not count": func(d *dialogue, first store.Direction) {
		d.burst(first, "FA")
		d.send(1-first, "A", min(1460, d.inFlight(1-first)))
		m := d.segment(first, "R", 0)
		m.seq -= uint32(d.random.IntN(2))
		require.Equal(d.t, Forwarded, d.pass(first, m))
	},
}

func TestGenuineEndingsAreBelieved(t *testing.T) {
	each := 10_000/len(endings) + 1
	if testing.Short() {
		each /= 10
	}
	for name, end := range endings {
		t.Run("nat 12, nat 15: "+name, func(t *testing.T) {
			d := newDialogues(t, Behaviour{}, 1)
			for n := range each {
				d.begin(n)
				d.open("established")
				d.talk()
				require.Equal(t, "established", d.session().State, "connection %d", n)
				end(d, store.Direction(d.random.IntN(2)))
				require.Equal(t, "closed", d.session().State, "connection %d", n)
				port := d.nat.Port()
				d.ends[0].next += 1 << 20
				d.send(store.ToProvider, "S", 0)
				require.NotEqual(t, port, d.nat.Port(), "connection %d: the next one has a session of its own", n)
				require.Zero(t, d.table.Stats().Unexpected, "connection %d", n)
				drain(d.table, d.now+DefaultTimers.Opening)
				d.now += DefaultTimers.Opening
			}
		})
	}
}

// forge is a segment of somebody who does not see the connection, and perhaps
// another one that follows from it.
func (d *dialogue) forge() (forged []message, from store.Direction) {
	from = store.Direction(d.random.IntN(2))
	e := &d.ends[from]
	// Farther away than any window that was ever offered, two to the 29th.
	far := func(from uint32) uint32 { return from + 1<<30 + d.random.Uint32N(1<<31) }
	flags := []string{"S", "SA", "R", "RA", "FA", "FPA", "A", "PA"}
	m := message{
		protocol: "tcp", ttl: 64, df: d.random.IntN(2) == 0, flags: flags[d.random.IntN(len(flags))],
		seq: far(e.next), ack: far(e.received), len: d.random.IntN(3) * 500, win: 1 + d.random.IntN(65535),
	}
	if d.random.IntN(2) == 0 && m.flags != "SA" && m.flags != "RA" {
		m.ack = e.received // which it has seen; the other number is a guess
	}
	next := m
	next.seq += uint32(m.len)
	if m.flags == "S" || m.flags == "FA" || m.flags == "FPA" {
		next.seq++
	}
	next.flags, next.len = []string{"FA", "R", "A", "S"}[d.random.IntN(4)], 0
	return []message{m, next}[:1+d.random.IntN(2)], from
}

func TestForgeriesChangeNothing(t *testing.T) {
	const connections = 20
	forgeries := 10_000
	if testing.Short() {
		forgeries /= 10
	}
	states := map[string]func(d *dialogue){
		"syn-sent":     func(d *dialogue) { d.open("syn-sent") },
		"syn-received": func(d *dialogue) { d.open("syn-received") },
		"established":  func(d *dialogue) { d.open("established") },
		"closing": func(d *dialogue) {
			d.open("established")
			d.burst(store.Direction(d.random.IntN(2)), "FA")
		},
		"closed": func(d *dialogue) { // and the last acknowledgment is missing
			d.open("established")
			d.burst(store.ToProvider, "FA")
			d.send(store.ToConsumer, "FA", 0)
		},
	}
	for state, bring := range states {
		t.Run("nat 15: "+state, func(t *testing.T) {
			d := newDialogues(t, Behaviour{}, 2)
			for n := range connections {
				d.begin(n)
				bring(d)
				before := d.session()
				require.Equal(t, state, before.State)
				d.now += time.Second
				for range forgeries / connections {
					forged, from := d.forge()
					for _, m := range forged {
						d.pass(from, m)
					}
					d.requireUntouched(before, forged)
				}
				d.goOn(state)
			}
		})
	}
}

func (d *dialogue) requireUntouched(before *Session, forged []message) {
	after := d.session()
	require.NotNil(d.t, after, "%v ended the session", forged)
	require.Equal(d.t, before.State, after.State, "%v", forged)
	require.Equal(d.t, before.Local, after.Local, "%v", forged)
	if before.State != "syn-sent" { // which another SYN refreshes
		require.Equal(d.t, before.Expires-time.Second, after.Expires, "%v", forged)
	}
}

// goOn is the rest of the connection, which must be as if nothing had happened.
func (d *dialogue) goOn(state string) {
	switch state {
	case "syn-sent":
		d.hear(store.ToConsumer)
		d.send(store.ToConsumer, "SA", 0)
		fallthrough
	case "syn-received":
		d.hear(store.ToProvider)
		d.send(store.ToProvider, "A", 0)
		require.Equal(d.t, "established", d.session().State)
	}
	if state != "closing" && state != "closed" {
		d.burst(store.ToProvider, "")
		d.burst(store.ToConsumer, "")
		require.Equal(d.t, "established", d.session().State)
		require.Equal(d.t, 15*time.Minute, d.session().Expires)
		d.burst(store.ToProvider, "R")
		d.pass(store.ToProvider, d.segment(store.ToProvider, "R", 0))
		require.Equal(d.t, "closed", d.session().State)
	}
}

// A download goes on after the consumer has closed its side, whatever late
// duplicates of its segments still come (RFC 6146, 3.5.2.2).
func TestADownloadSurvivesDuplicatesOfItsSYN(t *testing.T) {
	for name, profile := range map[string]Behaviour{
		"as the clouds do": {}, "with answers to strays": {ResetStray: true, ReportTTL: true},
	} {
		t.Run("nat 16: "+name, func(t *testing.T) {
			d := newDialogues(t, profile, 4)
			for n := range 20 {
				d.begin(n)
				syn := d.segment(store.ToProvider, "S", 0)
				require.Equal(t, Forwarded, d.pass(store.ToProvider, syn))
				d.hear(store.ToConsumer)
				d.send(store.ToConsumer, "SA", 0)
				d.hear(store.ToProvider)
				d.send(store.ToProvider, "A", 0)
				port := d.nat
				d.send(store.ToProvider, "FA", 0)
				d.hear(store.ToConsumer)
				for range 50 {
					require.Equal(t, Forwarded, d.pass(store.ToProvider, syn))
					require.Equal(t, port, d.nat, "the SYN goes to the same backend, which challenges it")
					d.send(store.ToConsumer, "A", 0)
					d.burst(store.ToConsumer, "")
				}
				d.send(store.ToConsumer, "FA", 0)
				require.Equal(t, Forwarded, d.pass(store.ToProvider, syn), "LAST-ACK")
				require.Equal(t, port, d.nat)
				d.hear(store.ToProvider)
				d.send(store.ToProvider, "A", 0)
				require.EqualValues(t, n+1, d.table.Stats().Links[0].SessionsOpened, "no SYN but the first opened one")
			}
		})
	}
}
