package fullnat

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unsafe"
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
}

// DefaultMaxSessions is the size of a table whose Options name none.
const DefaultMaxSessions = 1 << 18

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
	clock       clock
	addrs       addrs
	timers      [numStates]uint32 // ticks, for states that have one of their own
	random      *rand.Rand
	shard       shard
	way         routes
	links       links
	flows       flows
	sessions    sessions
	wheel       wheel
	hops        hops
	ports       ports
	pending     pending
	ids         ids
	fragments   fragments
	answers     answers
	conveyances conveyances
	half        halfOpens
	laps        laps
	verdicts    Counters
	burst       [burstSize]work
	homes       [burstSize]uint32 // of burst
}

// New makes an empty table, which drops everything until it is configured.
func New(opts Options) (*Table, error) {
	if opts.MaxSessions == 0 {
		opts.MaxSessions = DefaultMaxSessions
	}
	if opts.MaxSessions < 0 || opts.MaxSessions > maxSessions {
		return nil, fmt.Errorf("a session table for %d sessions: want 1 to %d", opts.MaxSessions, maxSessions)
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
	if opts.MaxHalfOpen < 0 || opts.MaxHalfOpen > maxSessions {
		return nil, fmt.Errorf("a limit of %d half-open sessions: want 1 to %d, or 0 for as many as sessions", opts.MaxHalfOpen, maxSessions)
	}
	if opts.ICMPRate < 0 || opts.ResetRate < 0 {
		return nil, fmt.Errorf("limits of %d ICMP errors and %d RSTs per second: want 1 or more, or 0 for what is usual", opts.ICMPRate, opts.ResetRate)
	}
	t := &Table{timers: timers, shard: shard, random: rand.New(rand.NewPCG(opts.Seed, 0))}
	backing := onTouch
	if opts.Reserve {
		backing = reserved
	}
	t.wheel.init()
	t.addrs.init()
	t.ports.init(shard)
	t.hops.init()
	t.ids.init(opts.Seed)
	t.fragments.init()
	t.answers.init(&opts)
	if err := t.flows.init(opts.MaxSessions, smallestSize, longestProbe, t.random, backing); err != nil {
		return nil, err
	}
	if err := t.sessions.init(opts.MaxSessions, backing); err != nil {
		return nil, errors.Join(err, t.flows.close())
	}
	if err := t.half.init(cmp.Or(opts.MaxHalfOpen, opts.MaxSessions)); err != nil {
		return nil, errors.Join(err, t.flows.close(), t.sessions.close())
	}
	return t, nil
}

// ticks is the timers by state, those of usual where timers has none.
func (timers Timers) ticks(usual Timers) (perState [numStates]uint32, err error) {
	for _, timer := range []struct {
		name  string
		state state
		given time.Duration
		usual time.Duration
	}{
		{"opening", synSent, timers.Opening, usual.Opening},
		{"closing", closing, timers.Closing, usual.Closing},
		{"closed", closed, timers.Closed, usual.Closed},
	} {
		d := timer.given
		if d == 0 {
			d = timer.usual
		}
		if d < 0 || d > maxTimeout {
			return perState, fmt.Errorf("the %s timer is %s: want more than 0 and at most %s", timer.name, d, maxTimeout)
		}
		perState[timer.state] = ticksOf(d)
	}
	perState[synReceived] = perState[synSent]
	return perState, nil
}

// Stats is a copy of the counters. Links are in the order of the Config.
func (t *Table) Stats() Stats {
	s := Stats{
		Verdicts:  t.verdicts,
		Sessions:  t.sessions.used - t.links.orphans,
		HalfOpen:  t.half.table.len,
		Fragments: t.fragments.stats(),
		Unsent:    t.pending.refused,
		Answers:   t.answers.sent,
		Rekeys:    t.flows.rekeys,
		Bytes:     t.bytes(),
		Links:     make([]LinkStats, 0, len(t.links.order)),
	}
	for _, l := range t.links.order {
		s.Links = append(s.Links, l.snapshot())
	}
	return s
}

// bytes is an upper bound: a page that nobody has touched yet is in it, too.
func (t *Table) bytes() uint64 {
	flows := len(t.flows.arena.all) + len(t.flows.other.all)
	return uint64(flows)*uint64(unsafe.Sizeof(flow{})) + uint64(t.sessions.touched)*uint64(unsafe.Sizeof(session{})) + t.addrs.bytes()
}

func (t *Table) describe(s *session) Session {
	there, back := t.flows.at(s.slots[toProvider]), t.flows.at(s.slots[toConsumer])
	src, dst := t.ends(there.key)
	idle := t.idle(s)
	return Session{
		Link:              t.links.at(s.link).Name,
		Protocol:          there.key.protocol(),
		State:             s.state.nameFor(there.key.protocol()),
		Consumer:          src,
		Endpoint:          dst,
		Local:             t.addrs.withPort(there.rewrite.Src, there.rewrite.SrcPort),
		Target:            t.addrs.withPort(there.rewrite.Dst, there.rewrite.DstPort),
		PacketsToProvider: t.laps.packets(there),
		BytesToProvider:   there.bytes,
		PacketsToConsumer: t.laps.packets(back),
		BytesToConsumer:   back.bytes,
		Idle:              durationOf(idle),
		Expires:           durationOf(t.timeout(s) - idle),
	}
}

// Close gives the memory back. Nothing but Close may be called afterwards.
func (t *Table) Close() error {
	return errors.Join(t.flows.close(), t.sessions.close(), t.half.close())
}

// direction is where a packet goes, seen from the session that carries it.
type direction uint8

const (
	toProvider direction = iota
	toConsumer
)
