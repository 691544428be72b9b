package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// EngineConfig is what an Engine keeps for life.
type EngineConfig struct {
	// Driver moves the frames. It belongs to the engine, which closes it.
	Driver Driver
	// Table are the options of the session table.
	Table fullnat.Options
	// Clock is the time that the table sees; it never goes back. nil means
	// the time since NewEngine.
	Clock func() time.Duration
	// Tick is how often an idle engine looks for sessions that timed out;
	// 0 means 100 ms.
	Tick time.Duration
	// ExpireBudget limits how much the table may clean up between two bursts;
	// 0 means 256 steps.
	ExpireBudget int
	// Kept is where the tables of Workers keep their sessions for another process;
	// nil: they end with this one. Clock is its then.
	Kept *Kept

	shaped *shapedLinks // of all workers; nil where there is one
}

const (
	defaultTick         = 100 * time.Millisecond
	defaultExpireBudget = 256
)

// Config is everything that may change while an Engine runs. It is built
// whole and swapped in; nobody changes it afterwards.
type Config struct {
	NAT *fullnat.Config
	// Owned are the addresses and MACs of ENIs: those of endpoints, and of nodes
	// with their NAT IPs.
	Owned []Owned
	// AnyMAC lets an ENI take frames whatever MAC they are for. Files of packets
	// that were captured elsewhere have the MACs of there.
	AnyMAC bool
	// Shaping degrades what the table forwards.
	Shaping Shaping
}

// EngineStats is a copy of every counter of an Engine.
type EngineStats struct {
	Driver DriverStats
	Table  fullnat.Stats
	ARP    ARPStats
	Shaped ShapingStats
	ENIs   []ENIStats // those at which anything happened
}

// Engine moves packets through one table. Its methods may be called from any
// goroutine; they wait for the burst that is being worked on, and no longer.
type Engine struct {
	driver Driver
	clock  func() time.Duration
	tick   time.Duration
	budget int

	mu         sync.Mutex // held for the length of a burst
	table      *fullnat.Table
	arp        responder
	arrivals   arrivals
	verdicts   [Burst]fullnat.Verdict
	out        [Burst]packet.Frame
	sources    [Burst]packet.ENI   // where the frames of a burst came from
	outSources [Burst]packet.ENI   // the same of out
	dueFrames  [Burst]packet.Frame // frames that waited and leave now
	shaper     shaper
	alarm      alarm
	enis       eniStats
	tap        *tap        // nil while nobody captures
	isEmpty    func() bool // no frame waits in the driver; nil where there is no flow cache
	closed     bool
	config     Config
}

var errNoNAT = errors.New("a data plane configuration needs a NAT configuration, if only an empty one")

var errEngineClosed = fmt.Errorf("data plane engine: %w", os.ErrClosed)

// NewEngine makes an engine that translates nothing yet: Configure tells it
// what to do, Run does it. If it fails, the driver is still the caller's.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	if cfg.Driver == nil {
		return nil, errors.New("an engine needs a driver")
	}
	table, err := fullnat.New(cfg.Table)
	if err != nil {
		return nil, fmt.Errorf("make the session table: %w", err)
	}
	e := &Engine{driver: cfg.Driver, clock: cfg.Clock, tick: cfg.Tick, budget: cfg.ExpireBudget, table: table}
	e.shaper.shapedLinks = cfg.shaped
	if e.shaper.shapedLinks == nil {
		e.shaper.shapedLinks = &shapedLinks{}
	}
	e.useCache(cfg.Driver, cfg.Clock != nil && cfg.Kept == nil)
	if e.clock == nil {
		start := time.Now()
		e.clock = func() time.Duration { return time.Since(start) }
	}
	if e.tick == 0 {
		e.tick = defaultTick
	}
	if e.budget == 0 {
		e.budget = defaultExpireBudget
	}
	return e, nil
}

// Configure swaps cfg in and returns when it holds: the next packet is judged
// by it. It may be called before Run. An error changes nothing.
func (e *Engine) Configure(cfg Config) error {
	owned, err := newOwned(cfg.Owned)
	if err != nil {
		return err
	}
	if cfg.NAT == nil {
		return errNoNAT
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errEngineClosed
	}
	if err := e.table.Configure(cfg.NAT, e.clock()); err != nil {
		return fmt.Errorf("configure the session table: %w", err)
	}
	e.arp.owned = owned
	before := e.arrivals.byENI
	e.arrivals.byENI, e.arrivals.anyMAC = newArrivals(cfg.Owned, before), cfg.AnyMAC
	e.enis.forget(before, e.arrivals.byENI)
	e.shaper.configure(cfg.Shaping)
	e.config = cfg
	return nil
}

// Config is what was configured last, the zero value before that. It is not to be
// changed.
func (e *Engine) Config() Config {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.config
}

// Run moves packets until ctx ends or the engine is closed, and then returns
// nil. Any other end is an error. One goroutine runs an engine at a time.
func (e *Engine) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, e.driver.Wake)()
	defer e.tickUntilStopped()()
	defer stayOnThread()()
	var frames [Burst]packet.Frame
	for ctx.Err() == nil {
		n, err := e.driver.Read(frames[:])
		if err == nil {
			err = e.work(frames[:n])
		}
		if errors.Is(err, os.ErrClosed) && e.isClosed() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("data plane engine: %w", err)
		}
	}
	return nil
}

// stayOnThread keeps a worker on the thread that it runs on, and so in the
// caches of the CPU that the kernel keeps that thread on.
func stayOnThread() (leave func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// tickUntilStopped wakes the worker from time to time, so that sessions end
// where no packet comes. The function it returns stops that, and waits.
func (e *Engine) tickUntilStopped() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(e.tick)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				e.driver.Wake()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// work takes one burst through the table and cleans up a little.
func (e *Engine) work(frames []packet.Frame) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errEngineClosed // and the frames are gone
	}
	now := e.clock()
	if err := e.writeDue(now); err != nil {
		return err
	}
	e.enis.received(frames)
	out, own := e.translate(e.shaper.arrive(frames), now)
	if err := e.writeOwn(own, now); err != nil {
		return err
	}
	if err := e.write(e.shaper.depart(out, e.outSources[:len(out)], now)); err != nil {
		return err
	}
	if more := e.table.Expire(now, e.budget); more {
		e.driver.Wake()
	}
	if err := e.writeOwn(e.table.Pending(), now); err != nil {
		return err
	}
	if e.isEmpty != nil {
		e.table.Settle(e.isEmpty)
	}
	e.setAlarm(now)
	return nil
}

// writeDue sends the frames whose time has come.
func (e *Engine) writeDue(now time.Duration) error {
	for e.shaper.queue.ready(now) {
		n := e.shaper.release(e.dueFrames[:], now)
		err := e.write(e.dueFrames[:n])
		e.shaper.recycle()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeOwn sends what the table itself wants to say.
func (e *Engine) writeOwn(frames []packet.Frame, now time.Duration) error {
	return e.write(e.shaper.depart(frames, e.table.PendingSources(), now))
}

func (e *Engine) write(frames []packet.Frame) error {
	if len(frames) == 0 {
		return nil
	}
	if e.tap != nil {
		e.tap.leave(frames)
	}
	e.enis.sent(frames)
	_, err := e.driver.Write(frames)
	return err
}

// translate returns the frames that leave: replies to whoever asks for a neighbour,
// and what the table forwards, in the order in which it came. Before them leave
// the table's own.
func (e *Engine) translate(frames []packet.Frame, now time.Duration) (out, own []packet.Frame) {
	if e.tap != nil {
		e.tap.arrive(frames)
	}
	out = e.out[:0]
	rest := frames[:0]
	e.arp.used = 0
	for i := range frames {
		f := &frames[i]
		if packet.AsksNeighbour(f.Data) {
			if e.arp.answer(f, e.arrivals.neighbour(f)) {
				out = append(out, *f)
			}
			continue
		}
		if v := e.arrivals.check(f); v != fullnat.Forwarded {
			if e.tap != nil {
				e.tap.refused(i, v)
			}
			continue
		}
		rest = append(rest, *f)
	}
	for i := range rest {
		e.sources[i] = rest[i].ENI
	}
	e.table.Forward(rest, e.verdicts[:len(rest)], now)
	own = e.table.Pending()
	if e.tap != nil {
		e.tap.tellVerdicts(rest, e.verdicts[:len(rest)], own)
	}
	for i := range rest {
		if e.verdicts[i] == fullnat.Forwarded {
			e.outSources[len(out)] = e.sources[i]
			out = append(out, rest[i])
		}
	}
	return out, own
}

// Stats is a copy of the counters of driver, table and ARP.
func (e *Engine) Stats() EngineStats {
	driver := e.driver.Stats()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.enis.refused(e.driver)
	stats := EngineStats{Driver: driver, ARP: e.arp.stats, Shaped: e.shaper.snapshot()}
	if e.closed {
		stats.ENIs = e.enis.used()
		return stats
	}
	stats.Table = e.table.Stats()
	stats.ENIs = e.enis.used() // with what the table has just heard of its flow cache
	for v, n := range e.arrivals.refused {
		stats.Table.Verdicts[v] += n
	}
	return stats
}

// sessionsAtOnce is how many sessions are copied while the packets wait:
// less than a tenth of a millisecond.
const sessionsAtOnce = 256

// Sessions is a copy of every session. Packets pass while it is made, so one
// that starts or ends meanwhile may be in it or not.
func (e *Engine) Sessions() []fullnat.Session {
	var all []fullnat.Session
	part := make([]fullnat.Session, 0, sessionsAtOnce)
	for walk := (fullnat.Walk{}); !walk.Done(); {
		part, walk = e.sessionsFrom(part[:0], walk)
		all = append(all, part...) // grows while no packet waits
		runtime.Gosched()
	}
	return all
}

func (e *Engine) sessionsFrom(dst []fullnat.Session, from fullnat.Walk) ([]fullnat.Session, fullnat.Walk) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return dst, from.End()
	}
	return e.table.SessionsFrom(dst, from, sessionsAtOnce, e.clock())
}

// SessionTo is a copy of the session whose target sees packets of this five-tuple come from
// an egress ENI; false where there is none.
func (e *Engine) SessionTo(egress packet.ENI, seen packet.FiveTuple) (s fullnat.Session, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return s, false
	}
	return e.table.SessionTo(egress, seen, e.clock())
}

// Cut lets sessions have the fate that they are told, and returns how many do
// not stay. Packets pass meanwhile, so those that may still start should stay.
func (e *Engine) Cut(fate func(link string, target netip.AddrPort) fullnat.Fate) int {
	total := 0
	for walk := (fullnat.Walk{}); !walk.Done(); {
		var found int
		found, walk = e.cutFrom(walk, fate)
		total += found
		runtime.Gosched()
	}
	return total
}

func (e *Engine) cutFrom(from fullnat.Walk, fate func(string, netip.AddrPort) fullnat.Fate) (int, fullnat.Walk) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return 0, from.End()
	}
	return e.table.Cut(from, sessionsAtOnce, e.clock(), fate)
}

// PortUse tells of which NAT IPs most ports towards a target are in use, the
// fullest first, at most count.
func (e *Engine) PortUse(count int) []fullnat.PortUse {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	return e.table.PortUse(nil, count)
}

func (e *Engine) resumed() fullnat.Resumed {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table.Resumed()
}

// Leave ends Run and gives the driver back. The sessions stay where they are kept,
// for another process, and this one should end.
func (e *Engine) Leave() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	e.alarm.stop()
	e.tap.end()
	e.table.AbandonCache()
	if d, ok := e.driver.(cachingDriver); ok {
		d.leaveCached()
	}
	return e.driver.Close()
}

// Close ends Run and gives the driver and the table back. A second Close does
// nothing.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	e.alarm.stop()
	e.tap.end()
	e.table.LeaveCache()
	return errors.Join(e.driver.Close(), e.table.Close())
}

func (e *Engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}
