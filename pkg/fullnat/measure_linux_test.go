package fullnat

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// resident asks mincore(2).
func resident(tb testing.TB, mapped []byte) int {
	if len(mapped) == 0 {
		return 0
	}
	page := unix.Getpagesize()
	pages := make([]byte, (len(mapped)+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mapped))),
		uintptr(len(mapped)), uintptr(unsafe.Pointer(unsafe.SliceData(pages))))
	require.Zero(tb, errno)
	n := 0
	for _, p := range pages {
		n += int(p & 1)
	}
	return n * page
}

// threadTime is the processor time of the goroutine's thread.
func threadTime(tb testing.TB) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(now.Nano())
}
