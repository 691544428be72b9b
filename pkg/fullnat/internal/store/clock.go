package store

import "time"

// tick is the unit of time in the table: a session's clock is 32 bits wide,
// and differences are right for 49 days.
const TickLength = time.Millisecond

// MaxTimeout leaves half of the range for packets that come late.
const MaxTimeout = 24 * 24 * time.Hour

func TicksOf(d time.Duration) uint32 { return uint32((d + TickLength - 1) / TickLength) }

func DurationOf(ticks uint32) time.Duration { return time.Duration(ticks) * TickLength }

// Clock is the latest time that the table was told. It never goes back.
type Clock struct {
	Ticks int64
	Now   uint32 // by which the age of sessions, ports and fragments is told
}

// longestPause is how much now goes on at once. Nothing that is timed outlives
// it, and of two pauses one after the other the age is still right.
const longestPause = int64(MaxTimeout/TickLength) + 1

func (c *Clock) Advance(now time.Duration) {
	if ticks := int64(now / TickLength); ticks > c.Ticks {
		c.Now += uint32(min(ticks-c.Ticks, longestPause))
		c.Ticks = ticks
	}
}

// Second is the number of whole seconds gone by.
func (c *Clock) Second() int64 { return c.Ticks / int64(time.Second/TickLength) }
