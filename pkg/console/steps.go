package console

import (
	"sync"
	"time"
)

// keptSteps bounds the steps that are shown.
const keptSteps = 500

// done is a step that was done here.
type done struct {
	Number  int
	Time    time.Time
	Command string // the command line that does the same
	Call    string // the call of the cloud's API; "" where it has none
	Text    string // what came of it
}

// steps are those that were done in this console.
type steps struct {
	mu   sync.Mutex
	list []done
	last int
}

func (s *steps) add(d done) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	d.Number, d.Time = s.last, time.Now()
	if len(s.list) >= keptSteps {
		s.list = append([]done(nil), s.list[1:]...)
	}
	s.list = append(s.list, d)
	return d.Number
}

// get is the step with a number, nil where it is not kept.
func (s *steps) get(number int) *done {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.list) - 1; i >= 0; i-- {
		if s.list[i].Number == number {
			d := s.list[i]
			return &d
		}
	}
	return nil
}

func (s *steps) all() []done {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]done(nil), s.list...)
}
