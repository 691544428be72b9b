package fullnat

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Options are what a Table keeps for life. The zero value is usable.
type Options struct {
	// MaxSessions limits the table; 0 means DefaultMaxSessions. The table
	// grows to 245 bytes for each of them, and shrinks when they are gone.
	MaxSessions int
	// Reserve takes memory for all MaxSessions in New, which then takes a
	// second for some millions of them, and keeps it: in huge pages where the
	// kernel has them, with which packets of a million sessions are judged
	// faster. It pays where packets come faster than an interface of the
	// kernel brings them. A lab, with few sessions and a microsecond for each
	// packet, would only start later and be larger.
	Reserve bool
	// Seed makes the hash key and the first NAT port of every target
	// reproducible. 0 draws a random one, which is what keeps a stranger from
	// guessing ports (RFC 6056) and from filling one corner of the table.
	Seed uint64
	// Shard is the number of this table among Shards that share the sessions
	// of a Config, a power of two; 0 of 0 is a table alone. NewSteering tells
	// which frames are for which.
	Shard, Shards int
	// Timers limit sessions that are not established; a zero field means the
	// value of DefaultTimers.
	Timers Timers
	// MaxHalfOpen limits the TCP sessions that the consumer has not confirmed:
	// one more takes the place of the oldest. 0 means MaxSessions. Whatever it
	// is, the oldest of them gives way when the table is full.
	MaxHalfOpen int
	// ICMPRate and ResetRate limit the ICMP errors and the RSTs that the table
	// sends per second, all links together; 0 means 1,000 and 10,000.
	ICMPRate, ResetRate int
	// Memory is where the table keeps its sessions if another process shall go on
	// with them: see Left. nil is memory of this process. A place takes 40 bytes
	// more there.
	Memory Memory
	// Left is what an earlier table has left in its Memory, under the same Shard of
	// as many Shards: the first Configure takes it over. nil is nothing. The caller
	// may give it back when that has returned.
	Left *Left
	// Epoch is the machine's time when the table's was zero, by a clock that goes
	// on from process to process. It matters where there is Memory or Left.
	Epoch time.Duration
}

// DefaultMaxSessions is the size of a table whose Options name none.
const DefaultMaxSessions = 1 << 18

// CheckMaxSessions says what is wrong with a limit of sessions.
func CheckMaxSessions(n int) error {
	if n < 1 || n > store.MaxSessions {
		return fmt.Errorf("%d sessions: want 1 to %d", n, store.MaxSessions)
	}
	return nil
}

// Timers say how long a TCP session is kept in a state that is not
// established; Link.Idle is the limit of established ones.
type Timers struct {
	Opening time.Duration // of silence before the consumer has confirmed it
	Closing time.Duration // of silence after one end's FIN
	Closed  time.Duration // after a RST, whatever comes, or after both FINs and what comes again
}

// DefaultTimers are used where Options name none. Four minutes is the least
// that RFC 5382, REQ-5 allows a connection that opens or closes. A closed one
// keeps its NAT port out of use for a minute, so that 55,000 ports serve the
// 55,000 connections per minute to a target that AWS states (Elastic Load
// Balancing user guide for Network Load Balancers, "Target groups").
var DefaultTimers = Timers{
	Opening: 4 * time.Minute,
	Closing: 4 * time.Minute,
	Closed:  time.Minute,
}

// Table is the FullNAT core: it knows the sessions and judges packets. It
// belongs to one goroutine.
type Table struct {
	book
	pending   pending
	ids       store.IDs
	fragments fragments
	answers   answers
	verdicts  Counters
	burst     [store.BurstSize]work
	homes     [store.BurstSize]store.Slot // of burst
	heritage  heritage
}

// book is what the table knows of links and sessions: it begins and ends
// sessions, and no packet is edited here.
type book struct {
	// What plain packets need is first, and what is large last.
	clock      store.Clock
	links      links
	flows      store.Flows
	hops       store.Hops
	wraps      store.Wraps
	sessions   store.Sessions
	addrs      store.Addrs
	routes     routes
	shard      store.Shard
	timers     [store.NumStates]store.Tick // for states that have one of their own
	random     *rand.Rand
	ports      store.Ports
	half       store.HalfOpens
	ledger     store.Ledger
	identities identityStates
	unexpected uint64 // TCP segments that no session believed
	cache      caching
	wheel      store.Wheel
}

// New makes an empty table, which drops everything until it is configured.
func New(opts Options) (*Table, error) {
	if opts.MaxSessions == 0 {
		opts.MaxSessions = DefaultMaxSessions
	}
	if opts.MaxSessions < 0 || opts.MaxSessions > store.MaxSessions {
		return nil, fmt.Errorf("a session table for %d sessions: want 1 to %d", opts.MaxSessions, store.MaxSessions)
	}
	timers, err := opts.Timers.ticks(DefaultTimers)
	if err != nil {
		return nil, err
	}
	shard, err := newShard(opts.Shard, opts.Shards)
	if err != nil {
		return nil, err
	}
	if opts.Seed == 0 {
		opts.Seed = rand.Uint64()
	}
	if opts.MaxHalfOpen < 0 || opts.MaxHalfOpen > store.MaxSessions {
		return nil, fmt.Errorf("a limit of %d half-open sessions: want 1 to %d, or 0 for as many as sessions",
			opts.MaxHalfOpen, store.MaxSessions)
	}
	if opts.ICMPRate < 0 || opts.ResetRate < 0 {
		return nil, fmt.Errorf("limits of %d ICMP errors and %d RSTs per second: want 1 or more, or 0 for what is usual",
			opts.ICMPRate, opts.ResetRate)
	}
	t := &Table{book: book{timers: timers, shard: shard, random: rand.New(rand.NewPCG(opts.Seed, 0))}}
	t.heritage = heritage{left: opts.Left, epoch: opts.Epoch}
	t.wheel.Init()
	t.addrs.Init()
	t.ports.Init(shard)
	t.hops.Init()
	t.ids.Init(opts.Seed)
	t.fragments.init()
	t.answers.init(&opts)
	if err := t.takeMemory(&opts); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// takeMemory makes what is outside the Go heap.
func (t *Table) takeMemory(opts *Options) error {
	backing := store.Backing{Reserved: opts.Reserve}
	if opts.Memory != nil {
		backing.Source = opts.Memory
		if err := t.identities.init(opts.MaxSessions, backing.Source); err != nil {
			return err
		}
	}
	smallest := max(store.SmallestSize, min(opts.MaxSessions, 2*opts.Left.sessions()))
	if err := t.flows.Init(opts.MaxSessions, smallest, store.LongestProbe, t.random, backing); err != nil {
		return err
	}
	if err := t.sessions.Init(opts.MaxSessions, backing); err != nil {
		return err
	}
	if err := t.ledger.Init(opts.MaxSessions, backing); err != nil {
		return err
	}
	if err := t.half.Init(cmp.Or(opts.MaxHalfOpen, opts.MaxSessions)); err != nil {
		return err
	}
	if opts.Memory != nil {
		return t.heritage.label(opts.Memory, t.shard)
	}
	return nil
}

// ticks is the timers by state, those of usual where timers has none.
func (timers Timers) ticks(usual Timers) (perState [store.NumStates]store.Tick, err error) {
	for _, timer := range []struct {
		name  string
		state store.State
		given time.Duration
		usual time.Duration
	}{
		{"opening", store.SynSent, timers.Opening, usual.Opening},
		{"closing", store.Closing, timers.Closing, usual.Closing},
		{"closed", store.Closed, timers.Closed, usual.Closed},
	} {
		d := timer.given
		if d == 0 {
			d = timer.usual
		}
		if d < 0 || d > store.MaxTimeout {
			return perState, fmt.Errorf("the %s timer is %s: want more than 0 and at most %s",
				timer.name, d, store.MaxTimeout)
		}
		perState[timer.state] = store.TicksOf(d)
	}
	perState[store.SynReceived] = perState[store.SynSent]
	return perState, nil
}

// Stats is a copy of the counters. Links are in the order of the Config.
func (t *Table) Stats() Stats {
	t.pullAll()
	s := Stats{
		Verdicts:    t.verdicts,
		Sessions:    t.sessions.Used - t.links.orphans,
		MaxSessions: len(t.sessions.All),
		HalfOpen:    t.half.Table.Len,
		Fragments:   t.fragments.stats(),
		Unexpected:  t.unexpected,
		Unsent:      t.pending.refused,
		Answers:     t.answers.sent,
		Rekeys:      t.flows.Rekeys,
		Bytes:       t.bytes(),
		Cache:       CacheStats{len(t.cache.sessions), t.cache.frames, t.cache.bytes},
		Links:       make([]LinkStats, 0, len(t.links.order)),
	}
	s.Verdicts[Forwarded] += t.cache.frames
	s.Verdicts[Held] = uint64(s.Fragments.Held) // the others had a verdict since
	for _, l := range t.links.order {
		s.Links = append(s.Links, l.snapshot())
	}
	return s
}

// bytes is an upper bound: a page that nobody has touched yet is in it, too.
func (b *book) bytes() uint64 {
	flows := len(b.flows.Arena.All) + len(b.flows.Other.All)
	return uint64(flows)*uint64(unsafe.Sizeof(store.Flow{})) +
		uint64(b.sessions.Touched)*uint64(unsafe.Sizeof(store.Session{})) +
		b.addrs.Bytes()
}

func (b *book) describe(s *store.Session) Session {
	there, back := b.flows.At(s.Slots[store.ToProvider]), b.flows.At(s.Slots[store.ToConsumer])
	src, dst := b.ends(there.Key)
	idle := b.idle(s)
	packetsThere, bytesThere := b.wraps.Of(there)
	packetsBack, bytesBack := b.wraps.Of(back)
	return Session{
		Link:              b.links.at(s.Link).Name,
		Protocol:          there.Key.Protocol(),
		State:             stateName(s.State, there.Key.Protocol()),
		Consumer:          src,
		Endpoint:          dst,
		Local:             b.addrs.WithPort(there.Rewrite.Src, there.Rewrite.SrcPort),
		Target:            b.addrs.WithPort(there.Rewrite.Dst, there.Rewrite.DstPort),
		PacketsToProvider: packetsThere,
		BytesToProvider:   bytesThere,
		PacketsToConsumer: packetsBack,
		BytesToConsumer:   bytesBack,
		Cached:            there.Flags&store.Cached != 0,
		Idle:              store.DurationOf(idle),
		Expires:           store.DurationOf(b.timeout(s) - idle),
	}
}

// Close gives the memory back. Nothing but Close may be called afterwards.
func (t *Table) Close() error {
	return errors.Join(t.flows.Close(), t.sessions.Close(), t.half.Close(), t.ledger.Close(),
		t.identities.close(), t.heritage.close())
}

func (b *book) ends(k store.Key) (src, dst netip.AddrPort) {
	return b.addrs.WithPort(k.Src(), k.SrcPort()), b.addrs.WithPort(k.Dst(), k.DstPort())
}

var stateNames = [store.NumStates]string{"free", "syn-sent", "syn-received", "established", "closing", "closed"}

// stateName is what people read.
func stateName(s store.State, protocol uint8) string {
	if protocol != packet.ProtocolTCP {
		return "open"
	}
	return stateNames[s]
}
