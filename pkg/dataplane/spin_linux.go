package dataplane

import "time"

// spinFor is how long a worker looks for the next frame before it sleeps. The
// answer to a frame that it has just sent is back within that time where both
// ends are on this machine; to fall asleep and to be woken costs as much.
const spinFor = 100 * time.Microsecond

// maxSpinSkip limits how often in a row a worker goes to sleep at once after
// spinning was of no use: one chance in so many is tried.
const maxSpinSkip = 64

// spinner decides whether looking again is worth the time. It is asked only
// after frames came, so an idle worker does not spin; and where the next frame
// is late every time, it soon asks for as good as nothing.
type spinner struct {
	fresh bool // frames came since the last spin
	skip  int  // chances to let pass
	wait  int  // how many to let pass after the next failure
}

// sawFrames says that there were frames.
func (s *spinner) sawFrames() { s.fresh = true }

// spin looks until there says yes, and returns whether it did in time.
func (s *spinner) spin(there func() bool, now func() time.Time) bool {
	if !s.fresh {
		return false
	}
	s.fresh = false
	if s.skip > 0 {
		s.skip--
		return false
	}
	for start := now(); now().Sub(start) < spinFor; {
		if there() {
			s.wait = 0
			return true
		}
		// Whoever is to send the frame may be waiting for this very CPU.
		yield()
	}
	s.wait = min(2*s.wait+1, maxSpinSkip-1)
	s.skip = s.wait
	return false
}
