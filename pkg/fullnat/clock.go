package fullnat

import "time"

// tick is the unit of time in the table: a session's clock is 32 bits wide,
// and differences are right for 49 days.
const tick = time.Millisecond

// maxTimeout leaves half of the range for packets that come late.
const maxTimeout = 24 * 24 * time.Hour

func ticksOf(d time.Duration) uint32 { return uint32((d + tick - 1) / tick) }

func durationOf(ticks uint32) time.Duration { return time.Duration(ticks) * tick }

// clock is the latest time that the table was told. It never goes back.
type clock struct {
	ticks int64
	now   uint32 // by which the age of sessions, ports and fragments is told
}

// longestPause is how much now goes on at once. Nothing that is timed outlives
// it, and of two pauses one after the other the age is still right.
const longestPause = int64(maxTimeout/tick) + 1

func (c *clock) advance(now time.Duration) {
	if ticks := int64(now / tick); ticks > c.ticks {
		c.now += uint32(min(ticks-c.ticks, longestPause))
		c.ticks = ticks
	}
}

// second is the number of whole seconds gone by.
func (c *clock) second() int64 { return c.ticks / int64(time.Second/tick) }
