package console

import (
	"context"
	"net/http"
	"sync"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// checks are those of the lab's file, as they were run from here.
type checks struct {
	mu      sync.Mutex
	running bool
	results []status.Check
	failed  error
}

// checksBody is what the page of checks shows.
type checksBody struct {
	Running, Ended         bool
	Results                []status.Check
	Failed                 *refusal
	Planned                []topology.Check
	Passed, Wrong, Waiting int
}

func (c *Console) checksPage(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	b := checksBody{Planned: now.plan.Checks}
	c.checks.mu.Lock()
	b.Running, b.Results = c.checks.running, append([]status.Check(nil), c.checks.results...)
	if c.checks.failed != nil {
		r := c.refused(c.checks.failed)
		b.Failed = &r
	}
	c.checks.mu.Unlock()
	b.Ended = !b.Running && len(b.Results) > 0
	for _, r := range b.Results {
		if r.Passed {
			b.Passed++
		} else {
			b.Wrong++
		}
		b.Waiting = r.Of - r.Number
	}
	return q.render(http.StatusOK, "checks", "Checks", b)
}

// runChecks begins a run, unless one goes on, and goes to the page that shows it.
func (c *Console) runChecks(q *request) error {
	c.checks.mu.Lock()
	defer c.checks.mu.Unlock()
	if !c.checks.running {
		c.checks.running, c.checks.results, c.checks.failed = true, nil, nil
		c.work.Go(c.check)
	}
	return q.goTo("/checks", c.steps.add(done{Command: "plinksim check", Text: "the checks are being run"}))
}

// check runs the checks. It ends with the console.
func (c *Console) check() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := c.cfg.Lab.Check(ctx, api.CheckCall{}, func(result status.Check) error {
		c.checks.mu.Lock()
		c.checks.results = append(c.checks.results, result)
		c.checks.mu.Unlock()
		c.live.forget()
		return nil
	})
	c.checks.mu.Lock()
	c.checks.running, c.checks.failed = false, err
	c.checks.mu.Unlock()
	c.live.forget()
}
