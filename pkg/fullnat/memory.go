package fullnat

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is an array of n zero values outside the Go heap. Pages come as they
// are touched. T must not hold pointers: the collector does not look here.
type memory[T any] struct {
	all    []T
	mapped []byte
}

// hugePage is the size of a transparent huge page on amd64, and on arm64 with
// pages of 4 KiB. A table of less than a few of them gains nothing from them.
const hugePage = 2 << 20

// pageSize is the step in which memory is taken and given back. Where pages
// are larger, release asks for what the kernel refuses, or gives back less.
const pageSize = 4096

const fewHugePages = 8 * hugePage

// init reserves the array. A large one asks for huge pages: a million
// sessions are spread over more pages than the processor keeps translations
// for.
func (m *memory[T]) init(n int) error {
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	reserve := size
	if size >= fewHugePages {
		reserve += hugePage // to start at one
	}
	mapped, err := unix.Mmap(-1, 0, reserve, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("reserve %d MiB for the session table: %w", size>>20, err)
	}
	m.mapped = mapped
	if reserve > size {
		offset := -uintptr(unsafe.Pointer(unsafe.SliceData(mapped))) % hugePage
		mapped = mapped[offset:]
		// Not for the rest at the end, and it works as well without.
		_ = unix.Madvise(mapped[:size/hugePage*hugePage], unix.MADV_HUGEPAGE)
	}
	m.all = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mapped))), n)
	return nil
}

// release gives the pages of some elements back. They read as zero, and get
// new pages when they are written to. Pages that other elements share stay.
func (m *memory[T]) release(from, to int) {
	var zero T
	offset := uintptr(unsafe.Pointer(unsafe.SliceData(m.all))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.mapped)))
	start := (offset + uintptr(from)*unsafe.Sizeof(zero) + pageSize - 1) &^ (pageSize - 1)
	end := (offset + uintptr(to)*unsafe.Sizeof(zero)) &^ (pageSize - 1)
	if start < end {
		// Where the kernel refuses, memory stays in use a while longer.
		_ = unix.Madvise(m.mapped[start:end], unix.MADV_DONTNEED)
	}
}

func (m *memory[T]) close() error {
	if m.mapped == nil {
		return nil
	}
	mapped := m.mapped
	m.mapped, m.all = nil, nil
	if err := unix.Munmap(mapped); err != nil {
		return fmt.Errorf("release the session table: %w", err)
	}
	return nil
}
