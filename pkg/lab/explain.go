package lab

import (
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/status"
)

// Explain is Situation.Explain of the lab as it is now.
func (l *Lab) Explain(from, to string) (*status.Explanation, error) {
	return l.situation().Explain(from, to)
}

func (l *Lab) situation() compile.Situation {
	state := l.plane.State()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := compile.Situation{Plan: state.Plan, State: state, Numbers: compile.Numbers{}, Health: l.healthLocked()}
	for device, number := range l.numbers {
		s.Numbers[device] = number
	}
	nobody := func(string, string, string) compile.Chooser {
		return compile.Chooser{} // no packet is sent, and pickers keep their turn
	}
	s.Desired = compile.Plan(state.Plan, state, l.numbers, nobody)
	l.faults.Impose(&s.Desired, state.Plan, l.numbers)
	s.Names = compile.Names(state.Plan, state, s.Health)
	return s
}
