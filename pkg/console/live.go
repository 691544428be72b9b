package console

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const (
	// sampleEvery is how often the figures are taken.
	sampleEvery = 5 * time.Second
	// settle is how long events are collected before pages hear of them.
	settle = 40 * time.Millisecond
	// fresh is how long a copy of the lab is good where no event has come.
	fresh = time.Second
	// countEvery is how old counts of spaces may be.
	countEvery = 10 * time.Second
	// keptEvents bounds the events that pages show.
	keptEvents = 2000
	// mostStreams bounds the pages that follow the lab at one time.
	mostStreams = 200
)

// live follows a lab: one stream of its events and one copy of its status for all pages.
// Pages hear that something has changed and then ask for themselves again.
type live struct {
	cfg Config

	asking     sync.Mutex // one copy is made at a time; it guards what follows
	documented *topology.Plan
	doc        *topofile.Document // of documented

	counting sync.Mutex // as asking, of counts
	counted  counted

	mu        sync.Mutex
	events    []control.Event
	seq       uint64 // of the newest event
	gone      error  // why the lab does not answer, nil where it does
	copied    *snapshot
	done      int // steps that were done here
	listeners map[chan string]bool
	figures   figures
	dirty     *time.Timer
}

// counts are those of the spaces of an instance: see status.Instance.
type counts struct{ denied, spoofed uint64 }

// counted are the counts of all instances, by identifier, as they were at a time.
type counted struct {
	of map[string]counts
	at time.Time
}

// snapshot is a copy of a lab. Nobody changes it.
type snapshot struct {
	status.Lab
	at   time.Time
	seq  uint64 // it has at least what this event tells of
	plan *topology.Plan
	doc  *topofile.Document
	made sync.Map // what was made of it
}

func newLive(cfg Config) *live { return &live{cfg: cfg, listeners: map[chan string]bool{}} }

// run follows the lab until ctx ends.
func (l *live) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { l.sample(ctx) })
	for ctx.Err() == nil {
		err := l.cfg.Lab.Events(ctx, l.last(), true, func(e control.Event) error {
			l.heard(e)
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = fmt.Errorf("the daemon of lab %q has ended", l.cfg.Name)
		}
		l.lost(err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (l *live) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

func (l *live) heard(e control.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) >= keptEvents {
		l.events = append([]control.Event(nil), l.events[keptEvents/4:]...)
	}
	l.events = append(l.events, e)
	l.seq, l.gone = e.Seq, nil
	l.changedLocked()
}

// lost notes that the lab does not answer. A lab that is made again counts its events from
// the start.
func (l *live) lost(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone == nil {
		l.changedLocked()
	}
	l.gone, l.copied = err, nil
}

// changedLocked tells the pages soon.
func (l *live) changedLocked() {
	if l.dirty == nil {
		l.dirty = time.AfterFunc(settle, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.dirty = nil
			l.tellLocked("change")
		})
	}
}

// tellLocked never waits: a page that has not taken the last word will ask anyway.
func (l *live) tellLocked(what string) {
	for ch := range l.listeners {
		select {
		case ch <- what:
		default:
		}
	}
}

// sample takes the figures. Pages hear of what no event tells, as of sessions and counters,
// where it has changed; the charts go on with each sample.
func (l *live) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var before *snapshot
	for {
		now, err := l.now(ctx, sampleEvery/2)
		l.mu.Lock()
		if err == nil {
			l.figures.add(now)
			if before == nil || !reflect.DeepEqual(before.Lab, now.Lab) {
				l.changedLocked()
			}
			before = now
		}
		l.tellLocked("tick")
		l.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// now is a copy of the lab that is no older than so long, and has what the newest event
// tells of.
func (l *live) now(ctx context.Context, age time.Duration) (*snapshot, error) {
	l.asking.Lock()
	defer l.asking.Unlock()
	l.mu.Lock()
	seq, copied, steps := l.seq, l.copied, l.done
	l.mu.Unlock()
	if copied != nil && copied.seq >= seq && time.Since(copied.at) < age {
		return copied, nil
	}
	taken, err := l.take(ctx, seq)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			l.gone = err
		}
		return nil, err
	}
	if l.gone = nil; l.done == steps {
		l.copied = taken
	}
	return taken, nil
}

func (l *live) take(ctx context.Context, seq uint64) (*snapshot, error) {
	plan, err := l.cfg.Plan(ctx)
	if err != nil {
		return nil, err
	}
	if plan != l.documented {
		doc, err := topofile.DocumentOf(plan)
		if err != nil {
			return nil, err
		}
		l.documented, l.doc = plan, doc
	}
	s := &snapshot{at: time.Now(), seq: seq, plan: plan, doc: l.doc}
	s.Lab, err = l.cfg.Lab.Outline(ctx)
	return s, err
}

// counts are those of spaces, by the identifiers of instances, no older than countEvery: they
// follow packets, not events, and to read them takes long in a large lab.
func (l *live) counts(ctx context.Context) (map[string]counts, error) {
	l.counting.Lock()
	defer l.counting.Unlock()
	if l.counted.of != nil && time.Since(l.counted.at) <= countEvery {
		return l.counted.of, nil
	}
	all, err := l.cfg.Lab.Status(ctx)
	if err != nil {
		return nil, err
	}
	l.counted = counted{map[string]counts{}, time.Now()}
	for _, vpc := range all.VPCs {
		for _, in := range vpc.Instances {
			l.counted.of[in.ID] = counts{in.Denied, in.Spoofed}
		}
	}
	return l.counted.of, nil
}

// forget lets the next page ask the lab: something was done, and its event is on the way.
func (l *live) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copied = nil
	l.done++
	l.changedLocked()
}

// once is what make makes of a copy, made once.
func once[T any](s *snapshot, key string, make func() T) T {
	value, _ := s.made.LoadOrStore(key, sync.OnceValue(make))
	return value.(func() T)()
}

// newest are the newest events, the latest first.
func (l *live) newest(most int, keep func(control.Event) bool) (out []control.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.events) - 1; i >= 0 && len(out) < most; i-- {
		if keep == nil || keep(l.events[i]) {
			out = append(out, l.events[i])
		}
	}
	return out
}

// listen gives a channel on which a page hears that something has changed.
func (l *live) listen() (<-chan string, func(), bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.listeners) >= mostStreams {
		return nil, nil, false
	}
	ch := make(chan string, 1)
	l.listeners[ch] = true
	return ch, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.listeners, ch)
	}, true
}

// stream tells a page that something has changed, as server-sent events (WHATWG HTML,
// 9.2).
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	ch, leave, ok := c.live.listen()
	if !ok {
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	text := "retry: 1000\n\n"
	for {
		if _, err := w.Write([]byte(text)); err != nil || out.Flush() != nil {
			return
		}
		select {
		case what := <-ch:
			text = fmt.Sprintf("event: %s\ndata: %d\n\n", what, c.live.last())
		case <-beat.C:
			text = ": still here\n\n"
		case <-r.Context().Done():
			return
		}
	}
}
