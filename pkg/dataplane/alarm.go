package dataplane

import "time"

// alarm wakes the worker when the next frame that waits is due.
type alarm struct {
	timer  *time.Timer
	at     time.Duration // what the timer is set to; 0: it is not
	silent bool          // whoever drives the engine asks the shaper itself
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// setAlarm sees to it that the worker looks again when a frame is due.
func (e *Engine) setAlarm(now time.Duration) {
	due, waits := e.shaper.next()
	switch {
	case !waits || e.alarm.silent:
		return
	case due <= now:
		e.driver.Wake()
	case e.alarm.timer == nil:
		e.alarm.timer = time.AfterFunc(due-now, e.driver.Wake)
		e.alarm.at = due
	case due != e.alarm.at || now >= e.alarm.at:
		e.alarm.timer.Reset(due - now)
		e.alarm.at = due
	}
}
