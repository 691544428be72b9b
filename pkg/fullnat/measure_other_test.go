//go:build !linux

package fullnat

import (
	"testing"
	"time"
)

// resident counts all of it: only Linux is asked which pages are in memory.
func resident(_ testing.TB, mapped []byte) int { return len(mapped) }

var start = time.Now()

// threadTime is the time on the clock: only Linux is asked for the processor's.
func threadTime(testing.TB) time.Duration { return time.Since(start) }
