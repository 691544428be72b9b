package dataplane

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is a time that all processes share until the machine starts again.
func monotonic() time.Duration {
	var now unix.Timespec
	// It cannot fail for this clock (clock_gettime(2)).
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano())
}

func mapRegion(file *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// readRegion maps a file to read it, nil where it is empty.
func readRegion(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return nil, err
	}
	return unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_NORESERVE)
}

func unmapRegion(region []byte) error { return unix.Munmap(region) }

// releaseRegion makes a hole in the file. If the kernel refuses, the memory stays
// in use a while longer, with what it holds.
func releaseRegion(pages []byte) { _ = unix.Madvise(pages, unix.MADV_REMOVE) }
