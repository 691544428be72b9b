package fullnat

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is an array of n zero values outside the Go heap. T must not hold
// pointers: the collector does not look here.
type memory[T any] struct {
	all     []T
	mapped  []byte
	backing backing
}

// backing says when an array gets its memory.
type backing uint8

const (
	// onTouch: page by page, as elements are written to. The pages are small,
	// as a huge one comes zeroed and therefore late: 0.1 ms at best, and 5 ms
	// on the virtual machine of docs/bench/core.md.
	onTouch backing = iota
	// reserved: all of it at once, in huge pages where the kernel has them. A
	// million sessions are spread over more small pages than the processor
	// keeps translations for.
	reserved
)

const (
	// pageSize is the step in which memory is taken and given back. Where
	// pages are larger, a touch is often in vain, and less is given back.
	pageSize = 4096
	// hugePage is the size of a transparent huge page on amd64, and on arm64
	// with pages of 4 KiB.
	hugePage = 2 << 20
)

func (m *memory[T]) init(n int, backing backing) error {
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	reserve := size + hugePage // to start at one
	mapped, err := unix.Mmap(-1, 0, reserve, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("reserve %d MiB for the session table: %w", size>>20, err)
	}
	m.mapped, m.backing = mapped, backing
	mapped = mapped[-uintptr(unsafe.Pointer(unsafe.SliceData(mapped)))%hugePage:][:size]
	m.all = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mapped))), n)
	if backing == reserved {
		populate(mapped)
	}
	return nil
}

// populate gets pages for all of mapped: huge ones, but for the rest at the end.
func populate(mapped []byte) {
	if huge := mapped[:len(mapped)/hugePage*hugePage]; len(huge) > 0 {
		// It works as well without.
		_ = unix.Madvise(huge, unix.MADV_HUGEPAGE)
	}
	for at := 0; at < len(mapped); at += pageSize {
		mapped[at] = 0
	}
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
