package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sessions is a number of TCP sessions that are open at the same time: how fast they open, and
// whether and how fast all of them are served (RFC 3511, 5.2 and 5.3). Both ends are made of
// frames, so that neither has a socket for each.
type Sessions struct {
	Number int
	// Outstanding is how many of them wait for an answer at a time.
	Outstanding int

	point point
}

const maxOutstanding = 4096

// SessionSweep is one load for each number.
func SessionSweep(numbers []int, outstanding int) []Sessions {
	var all []Sessions
	for _, n := range numbers {
		s := Sessions{Number: n, Outstanding: outstanding}
		if len(numbers) > 1 {
			s.point = point{"TCP sessions", "sessions at the same time", float64(n)}
		}
		all = append(all, s)
	}
	return all
}

func (s Sessions) check() error {
	switch {
	case s.Number < 1 || s.Number > MaxFlows:
		return fmt.Errorf("%d sessions: want 1 to %d", s.Number, MaxFlows)
	case s.Outstanding < 1 || s.Outstanding > maxOutstanding:
		return fmt.Errorf("%d sessions at a time: want 1 to %d", s.Outstanding, maxOutstanding)
	}
	return nil
}

// sessionResult is what became of the sessions.
type sessionResult struct {
	sessionAnswer
	handshake, roundTrip histogram
}

func perSecond(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

func (s Sessions) workload() workload {
	opened := func(value func(r *sessionResult) float64) func(*measurement) float64 {
		return func(m *measurement) float64 { return value(&m.opened) }
	}
	return workload{
		name: number3(s.Number, "TCP session"), point: s.point,
		doc: fmt.Sprintf("opened, used and closed, with %d of them waiting for an answer at a time; "+
			"a session failed when its SYN had no answer three times", s.Outstanding),
		run: s.run,
		time: func(o Options) time.Duration {
			return o.window() + time.Duration(s.Number)*time.Second/openRate*5
		},
		metrics: []metric{
			{name: "opened", unit: "1/s",
				value: opened(func(r *sessionResult) float64 { return perSecond(r.Open, r.Opening) })},
			{name: "open", unit: "sessions", value: opened(func(r *sessionResult) float64 { return float64(r.Open) })},
			{name: "answered", unit: "sessions", value: opened(func(r *sessionResult) float64 { return float64(r.Answered) })},
			{name: "handshake p50", unit: "us", lower: true,
				value: opened(func(r *sessionResult) float64 { return r.handshake.microseconds(50) })},
			{name: "handshake p99", unit: "us", lower: true,
				value: opened(func(r *sessionResult) float64 { return r.handshake.microseconds(99) })},
			{name: "requests", unit: "1/s",
				value: opened(func(r *sessionResult) float64 { return perSecond(r.Requests, r.Requesting) })},
			{name: "request p50", unit: "us", lower: true,
				value: opened(func(r *sessionResult) float64 { return r.roundTrip.microseconds(50) })},
			{name: "request p99", unit: "us", lower: true,
				value: opened(func(r *sessionResult) float64 { return r.roundTrip.microseconds(99) })},
		},
	}
}

// run opens, uses and closes the sessions once.
func (s Sessions) run(ctx context.Context, p *path, o Options) (*measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, o.window()+3*sessionLimit)
	defer cancel()
	if _, err := p.server.do(ctx, order{Do: "serve sessions", To: p.nearAddress()}); err != nil {
		return nil, err
	}
	job := order{Do: "sessions", To: p.endpoint(), From: p.address(0), Flows: s.Number, Outstanding: s.Outstanding,
		For: o.window()}
	a, err := p.clients[0].do(ctx, job)
	if err != nil {
		return nil, err
	}
	if a.Sessions == nil || a.Sessions.Open == 0 {
		return nil, errors.New("no session could be opened")
	}
	m := &measurement{elapsed: a.Sessions.Requesting, opened: sessionResult{*a.Sessions, newHistogram(), newHistogram()}}
	if err := errors.Join(m.opened.handshake.merge(a.Sessions.Handshake),
		m.opened.roundTrip.merge(a.Sessions.RoundTrip)); err != nil {
		return nil, err
	}
	m.load.encoded = string(a.Sessions.RoundTrip)
	return m, sleep(ctx, settle)
}
