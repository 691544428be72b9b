package dataplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// MaxWorkers leaves each a thousand NAT ports for a target.
const MaxWorkers = 64

// Workers are engines that run side by side, each with a shard of the sessions
// and a driver of its own. They have what an Engine has, and tell of all of
// them together. A bandwidth, and everything else that Shaping does, is that of
// the connection and not of a worker.
//
// The kernel hands a frame to the worker whose session it belongs to, as far as
// it can see that; what comes to another one is handed on.
type Workers struct {
	engines  []*Engine
	handed   []*handover // one each; none where there is a single worker
	steering atomic.Pointer[fullnat.Steering]
	steer    func(*fullnat.Config) error // tells the kernel; may be nil
	kept     *Kept                       // may be nil

	flowCache   func() FlowCacheStats // nil where there can be none
	limits      limits                // with mu
	mu          sync.Mutex            // held by Configure
	settleCache func()                // forgets the cache of an earlier process; nil where there can be none
}

// WorkerStats counts what one worker did.
type WorkerStats struct {
	Driver     DriverStats
	Sessions   int
	HandedOver uint64 // frames that were another worker's
	Refused    uint64 // of those, dropped because that one had too many to do
}

// CheckWorkers says whether there can be n workers.
func CheckWorkers(n int) error {
	if n < 1 || n > MaxWorkers || n&(n-1) != 0 {
		return fmt.Errorf("%d workers: want 1, 2, 4, ... up to %d", n, MaxWorkers)
	}
	return nil
}

// NewWorkers makes a worker for each driver, of which there are as many as
// CheckWorkers allows. cfg is for all together; its Driver is not used. When it
// fails the drivers stay the caller's.
func NewWorkers(cfg EngineConfig, drivers ...Driver) (*Workers, error) {
	if err := CheckWorkers(len(drivers)); err != nil {
		return nil, err
	}
	return newWorkers(cfg, drivers, nil)
}

// newWorkers is NewWorkers with steer, which tells the kernel which worker gets
// a frame.
func newWorkers(cfg EngineConfig, drivers []Driver, steer func(*fullnat.Config) error) (*Workers, error) {
	w := &Workers{steer: steer, kept: cfg.Kept}
	n := len(drivers)
	if n > 1 {
		w.handed = handOver(drivers, &w.steering)
		cfg.shaped = &shapedLinks{}
		cfg.Table.Shards = n
		cfg.Table.MaxSessions = (cmp.Or(cfg.Table.MaxSessions, fullnat.DefaultMaxSessions) + n - 1) / n
		cfg.Table.MaxHalfOpen = (cfg.Table.MaxHalfOpen + n - 1) / n
	}
	for i := range drivers {
		cfg.Driver, cfg.Table.Shard = drivers[i], i
		if n > 1 {
			cfg.Driver = w.handed[i]
		}
		e, err := cfg.newEngine()
		if err != nil {
			for _, e := range w.engines {
				err = errors.Join(err, e.table.Close()) // the drivers stay the caller's
			}
			return nil, err
		}
		w.engines = append(w.engines, e)
	}
	return w, nil
}

// newEngine is NewEngine with a table that outlives the process, if cfg says so.
func (cfg EngineConfig) newEngine() (*Engine, error) {
	if cfg.Kept != nil {
		if err := cfg.Kept.equip(&cfg.Table); err != nil {
			return nil, fmt.Errorf("make the session table: %w", err)
		}
		cfg.Clock = cfg.Kept.clock
	}
	return NewEngine(cfg)
}

// Resumed says what became of the sessions that the process before this one has
// left. It is for after the first Configure.
func (w *Workers) Resumed() (r fullnat.Resumed) {
	for _, e := range w.engines {
		one := e.resumed()
		r.Add(&one)
	}
	return r
}

// Configure is as that of an Engine. Worker by worker cfg comes in force, and
// it does for all or for none. The first one takes over the sessions that were
// kept, so the workers should not run before.
func (w *Workers) Configure(cfg Config) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limits.follow(&cfg.Shaping)
	if err := w.configure(cfg); err != nil {
		return err
	}
	if w.settleCache != nil {
		w.settleCache()
	}
	if w.kept == nil {
		return nil
	}
	return w.kept.settle()
}

func (w *Workers) configure(cfg Config) error {
	if len(w.engines) == 1 {
		return w.engines[0].Configure(cfg)
	}
	if cfg.NAT == nil {
		return errNoNAT
	}
	steering, err := fullnat.NewSteering(cfg.NAT, len(w.engines))
	if err != nil {
		return fmt.Errorf("configure the workers: %w", err)
	}
	before := w.steering.Swap(steering)
	for _, e := range w.engines { // all engines check alike, so only the first can fail
		if err := e.Configure(cfg); err != nil {
			w.steering.Store(before)
			return err
		}
	}
	if w.steer == nil {
		return nil
	}
	return w.steer(cfg.NAT)
}

// Config is as that of an Engine.
func (w *Workers) Config() Config { return w.engines[0].Config() }

// Run is as that of an Engine: when one worker fails, all end.
func (w *Workers) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(w.engines))
	var running sync.WaitGroup
	for i, e := range w.engines {
		running.Go(func() {
			defer cancel()
			errs[i] = e.Run(ctx)
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// Stats adds up the counters of all workers.
func (w *Workers) Stats() EngineStats {
	sum := w.engines[0].Stats()
	w.mu.Lock()
	w.limits.count(&sum.Shaped, w.Config().Shaping.Links)
	w.mu.Unlock()
	if len(w.engines) == 1 {
		return sum
	}
	enis := map[packet.ENI]ENIStats{}
	addENIs(enis, sum.ENIs)
	for _, e := range w.engines[1:] {
		s := e.Stats()
		sum.Driver.add(&s.Driver)
		sum.Table.Add(&s.Table)
		sum.ARP.Answered += s.ARP.Answered
		sum.ARP.Ignored += s.ARP.Ignored
		addENIs(enis, s.ENIs)
	}
	sum.ENIs = sum.ENIs[:0]
	for _, s := range enis {
		sum.ENIs = append(sum.ENIs, s)
	}
	slices.SortFunc(sum.ENIs, func(a, b ENIStats) int { return cmp.Compare(a.ENI, b.ENI) })
	return sum
}

func addENIs(sum map[packet.ENI]ENIStats, enis []ENIStats) {
	for _, e := range enis {
		s := sum[e.ENI]
		s.ENI = e.ENI
		s.FramesReceived += e.FramesReceived
		s.BytesReceived += e.BytesReceived
		s.FramesSent += e.FramesSent
		s.BytesSent += e.BytesSent
		s.FramesCrowded += e.FramesCrowded
		sum[e.ENI] = s
	}
}

// Each tells of the workers one by one.
func (w *Workers) Each() []WorkerStats {
	out := make([]WorkerStats, len(w.engines))
	for i, e := range w.engines {
		s := e.Stats()
		out[i] = WorkerStats{Driver: s.Driver, Sessions: s.Table.Sessions}
		if len(w.handed) > 0 {
			out[i].HandedOver, out[i].Refused = w.handed[i].moved.Load(), w.handed[i].refused.Load()
		}
	}
	return out
}

// Sessions is as that of an Engine.
func (w *Workers) Sessions() (all []fullnat.Session) {
	for _, e := range w.engines {
		all = append(all, e.Sessions()...)
	}
	return all
}

// SessionTo is as that of an Engine.
func (w *Workers) SessionTo(egress packet.ENI, seen packet.FiveTuple) (s fullnat.Session, ok bool) {
	for _, e := range w.engines {
		if s, ok = e.SessionTo(egress, seen); ok {
			break
		}
	}
	return s, ok
}

// Cut is as that of an Engine.
func (w *Workers) Cut(fate func(link string, target netip.AddrPort) fullnat.Fate) (total int) {
	for _, e := range w.engines {
		total += e.Cut(fate)
	}
	return total
}

// allPools is more than any lab has.
const allPools = 1 << 16

// PortUse is as that of an Engine: a NAT IP's ports are those of all workers.
func (w *Workers) PortUse(count int) []fullnat.PortUse {
	if len(w.engines) == 1 {
		return w.engines[0].PortUse(count)
	}
	type pool struct {
		eni      packet.ENI
		protocol uint8
		local    netip.Addr
		target   netip.AddrPort
	}
	sum := map[pool]fullnat.PortUse{}
	for _, e := range w.engines {
		for _, use := range e.PortUse(allPools) {
			key := pool{use.ENI, use.Protocol, use.Local, use.Target}
			s := sum[key]
			use.InUse += s.InUse
			use.Limit += s.Limit
			sum[key] = use
		}
	}
	var all []fullnat.PortUse
	for _, use := range sum {
		all = append(all, use)
	}
	slices.SortFunc(all, func(a, b fullnat.PortUse) int {
		return cmp.Or(
			cmp.Compare(b.InUse, a.InUse), cmp.Compare(a.ENI, b.ENI), a.Local.Compare(b.Local),
			a.Target.Compare(b.Target), cmp.Compare(a.Protocol, b.Protocol))
	})
	return all[:min(len(all), count)]
}

// Capture is as that of an Engine. Frames of different workers may come in
// another order than they passed.
func (w *Workers) Capture(cfg CaptureConfig) (*Capture, error) {
	return newCapture(cfg, w.engines...)
}

// Leave ends Run and gives the drivers back. The sessions stay where they are kept,
// for another process, and this one should end.
func (w *Workers) Leave() error {
	var errs []error
	for _, e := range w.engines {
		errs = append(errs, e.Leave())
	}
	return errors.Join(errs...)
}

// Close is as that of an Engine.
func (w *Workers) Close() error {
	var errs []error
	for _, e := range w.engines {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}
