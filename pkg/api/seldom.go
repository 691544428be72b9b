package api

import "time"

// reportEvery is how often steps are reported: as fast as people read.
const reportEvery = 50 * time.Millisecond

// Seldom gives progress on, but not each of many steps: the first and the last, and
// between them one in 50 ms. It has the form of lab.Progress, and is called by one
// goroutine at a time.
func Seldom(progress func(done, total int, what string)) func(done, total int, what string) {
	return seldom(progress, time.Now)
}

func seldom(progress func(done, total int, what string), now func() time.Time) func(done, total int, what string) {
	var last time.Time
	return func(done, total int, what string) {
		if at := now(); total == 0 || done <= 1 || done == total || at.Sub(last) >= reportEvery {
			last = at
			progress(done, total, what)
		}
	}
}
