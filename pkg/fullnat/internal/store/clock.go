package store

import "time"

// TickLength is the unit of time in the table.
const TickLength = time.Millisecond

// MaxTimeout leaves half of the range for packets that come late.
const MaxTimeout = 24 * 24 * time.Hour

// TicksOf is d in ticks, rounded up.
func TicksOf(d time.Duration) Tick { return Tick((d + TickLength - 1) / TickLength) }

// DurationOf is how long some ticks take.
func DurationOf(ticks Tick) time.Duration { return time.Duration(ticks) * TickLength }

// Clock is the latest time that the table was told. It never goes back.
type Clock struct {
	Ticks int64
	Now   Tick // by which the age of sessions, ports and fragments is told
}

// longestPause is how much now goes on at once. Nothing that is timed outlives
// it, and of two pauses one after the other the age is still right.
const longestPause = int64(MaxTimeout/TickLength) + 1

// Advance tells the clock that it is now.
func (c *Clock) Advance(now time.Duration) {
	if ticks := int64(now / TickLength); ticks > c.Ticks {
		c.Now += Tick(min(ticks-c.Ticks, longestPause))
		c.Ticks = ticks
	}
}

// Second is the number of whole seconds gone by.
func (c *Clock) Second() int64 { return c.Ticks / int64(time.Second/TickLength) }
