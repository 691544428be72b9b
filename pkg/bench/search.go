package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Search finds the highest rate at which a load loses no more than Loss: the throughput of
// RFC 2544, 26.1 and RFC 8219, 7.1. A trial is passed when its sender kept the rate until the
// end, too: a path that works in the sender's time makes it late before it loses a frame.
type Search struct {
	Load Load // without its Rate
	// Trial is how long a trial takes, without a warm-up of a tenth of that.
	Trial time.Duration
	// Resolution ends the search: the interval in which the rate is, as a share of its
	// upper end.
	Resolution float64
	// Loss is the share of the frames that may be lost, 0 to 1.
	Loss float64
	// Tries is how often a rate is tried until it passes: a pause of the machine is not the
	// path's fault.
	Tries int
}

// Trial is one trial of a search.
type Trial struct {
	Rate   float64 `json:"rate"` // offered, frames per second in each direction
	Sent   float64 `json:"sent"` // frames
	Lost   float64 `json:"lost"` // frames, with those that could not be sent
	P50    float64 `json:"p50"`  // microseconds
	P999   float64 `json:"p999"` // microseconds: the 99.9th percentile
	Passed bool    `json:"passed"`
	Why    string  `json:"why,omitempty"` // it did not
}

// lateLimit is how late a sender may be at the end of a trial, as a share of it.
const lateLimit = 0.01

func (s Search) check() error {
	switch {
	case s.Trial < 50*time.Millisecond || s.Trial > time.Minute:
		return fmt.Errorf("trials of %s: want 50ms to 1m", s.Trial)
	case s.Resolution < 0.001 || s.Resolution > 0.5:
		return fmt.Errorf("a resolution of %g: want 0.001 to 0.5 of the rate", s.Resolution)
	case s.Loss < 0 || s.Loss > 0.5:
		return fmt.Errorf("a loss of %g: want 0 to 0.5 of the frames", s.Loss)
	case s.Tries < 1 || s.Tries > 10:
		return fmt.Errorf("%d tries of a rate: want 1 to 10", s.Tries)
	}
	return s.Load.check()
}

func (s Search) criterion() string {
	loss := "no frame lost"
	if s.Loss > 0 {
		loss = fmt.Sprintf("at most %g %% lost", 100*s.Loss)
	}
	return fmt.Sprintf("%s, trials of %s, to %g %%, %d tries of a rate", loss, s.Trial, 100*s.Resolution, s.Tries)
}

func (s Search) workload() workload {
	last := func(m *measurement) Trial {
		for i := len(m.trials) - 1; i >= 0; i-- {
			if m.trials[i].Passed {
				return m.trials[i]
			}
		}
		return Trial{}
	}
	return workload{
		time: func(Options) time.Duration {
			halvings := 1.5 * math.Log2(1/s.Resolution)
			return time.Duration((halvings + 2) * float64(s.Trial*11/10+s.Load.opens()+pauses))
		},
		name: "search, " + s.Load.name(), point: s.Load.point,
		doc: "the highest rate with " + s.criterion(),
		run: func(ctx context.Context, p *path, _ Options) (*measurement, error) { return s.run(ctx, p) },
		metrics: []metric{
			{name: "throughput", unit: "kpps", value: func(m *measurement) float64 { return s.directions() * last(m).Rate / 1e3 }},
			{name: "bit rate", unit: "Mbit/s",
				value: func(m *measurement) float64 { return s.directions() * last(m).Rate * s.Load.Frames.mean() * 8 / 1e6 }},
			{name: "p50 there", unit: "us", lower: true, value: func(m *measurement) float64 { return last(m).P50 }},
			{name: "p99.9 there", unit: "us", lower: true, value: func(m *measurement) float64 { return last(m).P999 }},
		},
	}
}

func (s Search) directions() float64 {
	if s.Load.Direction == Both {
		return 2
	}
	return 1
}

// maxTrials limits a search, whatever the resolution.
const maxTrials = 100

// run searches in one path. It begins with what the senders can do at all.
func (s Search) run(ctx context.Context, p *path) (*measurement, error) {
	open := s.Load
	open.Rate = 0
	m, err := p.measureLoad(ctx, open, s.Trial/10, s.Trial)
	if err != nil {
		return nil, err
	}
	m.trials = nil
	passes := func(rate float64) (bool, error) {
		for range s.Tries {
			t, missed, err := s.try(ctx, p, rate)
			if err != nil {
				return false, err
			}
			m.load.missed += missed
			m.trials = append(m.trials, t)
			if t.Passed {
				return true, nil
			}
		}
		return false, nil
	}
	high := m.load.sent / m.elapsed.Seconds() / s.directions()
	_, err = bisect(high, s.Resolution, maxTrials/s.Tries, passes)
	m.load.encoded = ""
	return m, err
}

// bisect returns the highest rate that passes and was tried, 0 where none did. It begins with
// high, and ends where the interval is small or after so many steps.
func bisect(high, resolution float64, steps int, passes func(rate float64) (bool, error)) (float64, error) {
	high = math.Floor(high)
	low, rate := 0.0, high
	for range steps {
		passed, err := passes(rate)
		if err != nil {
			return low, err
		}
		if passed {
			low = rate
		} else {
			high = rate
		}
		if high-low <= resolution*high || high < 2 {
			return low, nil
		}
		if rate = math.Floor((low + high) / 2); rate <= low {
			return low, nil
		}
	}
	return low, nil
}

// try offers one rate.
func (s Search) try(ctx context.Context, p *path, rate float64) (t Trial, missed uint64, err error) {
	l := s.Load
	l.Rate = max(int(rate), 1)
	m, err := p.measureLoad(ctx, l, s.Trial/10, s.Trial)
	if err != nil {
		return t, 0, err
	}
	r := &m.load
	t = Trial{Rate: float64(l.Rate), Sent: r.sent, Lost: max(r.offered-r.received, 0),
		P50: r.times.microseconds(50), P999: r.times.microseconds(99.9)}
	switch {
	case t.Lost > s.Loss*r.offered:
		t.Why = fmt.Sprintf("%.3g %% lost", 100*t.Lost/r.offered)
	case r.behind.Seconds() > lateLimit*s.Trial.Seconds():
		t.Why = fmt.Sprintf("the sender was %s late", r.behind.Round(time.Millisecond))
	default:
		t.Passed = true
	}
	return t, r.missed, nil
}
