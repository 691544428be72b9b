package dataplane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stopwatch is a clock that goes on by a microsecond whenever it is read.
type stopwatch struct{ t time.Time }

func (s *stopwatch) now() time.Time {
	s.t = s.t.Add(time.Microsecond)
	return s.t
}

func TestASpinnerSpinsOnlyWhereItIsOfUse(t *testing.T) {
	never := func() bool { return false }
	for _, tt := range []struct {
		name   string
		chance int           // how often frames come, the next one late
		limit  time.Duration // of all the time that was spent
	}{
		{"an idle worker sleeps at once", 0, 0},
		{"the first time is tried", 1, spinFor + time.Microsecond},
		{"frames that are always late cost little in the end", 10_000, 200 * spinFor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock, s := &stopwatch{}, &spinner{}
			start := clock.t
			require.False(t, s.spin(never, clock.now))
			for range tt.chance {
				s.sawFrames()
				require.False(t, s.spin(never, clock.now))
			}
			require.LessOrEqual(t, clock.t.Sub(start), tt.limit)
		})
	}
}

func TestASpinnerBelievesInFramesAgain(t *testing.T) {
	clock, s := &stopwatch{}, &spinner{}
	for range 1000 {
		s.sawFrames()
		s.spin(func() bool { return false }, clock.now)
	}
	tries := 0
	for found := false; !found; tries++ {
		s.sawFrames()
		found = s.spin(func() bool { return true }, clock.now)
	}
	require.LessOrEqual(t, tries, maxSpinSkip)
	for range 10 {
		s.sawFrames()
		require.True(t, s.spin(func() bool { return true }, clock.now), "every chance is taken as long as it works")
	}
	require.False(t, s.spin(func() bool { return true }, clock.now), "without new frames it sleeps")
}
