package lab

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Pace is how fast the time of a lab passes, and how long states on the way last.
// Its methods may be called from any goroutine.
type Pace struct {
	lab        *Lab
	transition atomic.Int64 // of Config, SetTransition or the process before: a time.Duration

	mu    sync.Mutex
	scale topology.TimeScale // never 0
	made  [2]fasterPlan      // the newest first: those of the file and of now
}

// fasterPlan is a plan, and the same with its times as they last.
type fasterPlan struct{ plan, faster *topology.Plan }

// newPace goes on with the pace of the process that ran the lab before, unless another
// one is asked for.
func newPace(l *Lab, cfg Config) *Pace {
	p := &Pace{lab: l, scale: 1}
	l.saved.read(paceFile, "how fast time passes", func(text []byte) error {
		var saved savedPace
		err := json.Unmarshal(text, &saved)
		if err == nil {
			err = saved.TimeScale.Check()
		}
		if err == nil {
			p.scale = max(saved.TimeScale, 1)
			p.transition.Store(int64(max(saved.Transition, 0)))
		}
		return err
	})
	if cfg.Transition != 0 {
		p.transition.Store(int64(cfg.Transition))
	}
	if cfg.TimeScale != 0 {
		p.scale = cfg.TimeScale
	}
	return p
}

// savedPace is what paceFile has.
type savedPace struct {
	TimeScale  topology.TimeScale `json:"time_scale"`
	Transition time.Duration      `json:"transition_ns,omitempty"`
}

// save writes down the pace for a process that takes the lab over.
func (p *Pace) save() error {
	text, err := json.Marshal(savedPace{p.TimeScale(), p.Transition()})
	if err != nil {
		return &NotSavedError{err}
	}
	return p.lab.saved.put(paceFile, text)
}

// TimeScale is how many times as fast as at the cloud the lab's times pass, 1 where
// nobody wants anything else.
func (p *Pace) TimeScale() topology.TimeScale {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scale
}

// SetTimeScale lets the lab's times pass so many times as fast from now on, and
// returns when that is in force. Sessions that are open are held to the new times;
// the listeners of albs are opened again, which ends their clients' connections when
// they have been answered.
func (p *Pace) SetTimeScale(scale topology.TimeScale) error {
	if err := scale.Check(); err != nil {
		return err
	}
	err := p.lab.exclusively(func(t *transition) error {
		p.mu.Lock()
		p.scale, p.made = max(scale, 1), [2]fasterPlan{}
		p.mu.Unlock()
		plan := t.Plan()
		if err := t.startUserspace(plan, quietly); err != nil {
			return err
		}
		return t.putInForce(plan)
	})
	if err != nil {
		return err
	}
	return p.save()
}

// of is a plan with its times as they last in the lab. Asked again for one of the
// last two it answers the same one.
func (p *Pace) of(plan *topology.Plan) *topology.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.scale == 1 {
		return plan
	}
	if p.made[1].plan == plan {
		p.made[0], p.made[1] = p.made[1], p.made[0]
	}
	if p.made[0].plan != plan {
		p.made[0], p.made[1] = fasterPlan{plan, plan.Faster(p.scale)}, p.made[0]
	}
	return p.made[0].faster
}

// state is that of the control plane with times as they last.
func (p *Pace) state() control.Snapshot {
	state := p.lab.plane.State()
	state.Plan = p.of(state.Plan)
	return state
}

// Transition is what Config or SetTransition said of how long states on the way last.
func (p *Pace) Transition() time.Duration { return time.Duration(p.transition.Load()) }

// SetTransition says how long states on the way last from now on, also where another
// process takes the lab over; 0 is what the plan says.
func (p *Pace) SetTransition(last time.Duration) error {
	p.transition.Store(int64(last))
	return p.save()
}

// transitionTime is how long states on the way last.
func (p *Pace) transitionTime() time.Duration {
	set := p.Transition()
	if plan := p.lab.Plan(); set == 0 && plan != nil {
		return plan.Transition
	}
	return set
}
