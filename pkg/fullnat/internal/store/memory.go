package store

import (
	"fmt"
	"unsafe"
)

// memory is an array of n zero values outside the Go heap. T must not hold
// pointers: the collector does not look here.
type memory[T any] struct {
	All     []T
	Mapped  []byte
	backing backing
}

// backing says when an array gets its memory.
type backing uint8

const (
	// OnTouch: page by page, as elements are written to. The pages are small,
	// as a huge one comes zeroed and therefore late: 0.1 ms at best, and 5 ms
	// on the virtual machine of docs/bench/core.md.
	OnTouch backing = iota
	// Reserved: all of it at once, in huge pages where the kernel has them. A
	// million sessions are spread over more small pages than the processor
	// keeps translations for.
	Reserved
)

const (
	// pageSize is the step in which memory is taken and given back. Where
	// pages are larger, a touch is often in vain, and less is given back.
	pageSize = 4096
	// HugePage is the size of a transparent huge page on amd64, and on arm64
	// with pages of 4 KiB.
	HugePage = 2 << 20
)

func (m *memory[T]) init(n int, backing backing) error {
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	reserve := size + HugePage // to start at one
	mapped, err := mapMemory(reserve)
	if err != nil {
		return fmt.Errorf("reserve %d MiB for the session table: %w", size>>20, err)
	}
	m.Mapped, m.backing = mapped, backing
	mapped = mapped[-uintptr(unsafe.Pointer(unsafe.SliceData(mapped)))%HugePage:][:size]
	m.All = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mapped))), n)
	if backing == Reserved {
		populate(mapped)
	}
	return nil
}

// populate gets pages for all of mapped: huge ones, but for the rest at the end.
func populate(mapped []byte) {
	if huge := mapped[:len(mapped)/HugePage*HugePage]; len(huge) > 0 {
		wantHugePages(huge)
	}
	for at := 0; at < len(mapped); at += pageSize {
		mapped[at] = 0
	}
}

// release gives the pages of some elements back. They read as zero, and get
// new pages when they are written to. Pages that other elements share stay.
func (m *memory[T]) release(from, to int) {
	var zero T
	offset := uintptr(unsafe.Pointer(unsafe.SliceData(m.All))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.Mapped)))
	start := (offset + uintptr(from)*unsafe.Sizeof(zero) + pageSize - 1) &^ (pageSize - 1)
	end := (offset + uintptr(to)*unsafe.Sizeof(zero)) &^ (pageSize - 1)
	if start < end {
		releasePages(m.Mapped[start:end])
	}
}

// Close gives the memory back.
func (m *memory[T]) Close() error {
	if m.Mapped == nil {
		return nil
	}
	mapped := m.Mapped
	m.Mapped, m.All = nil, nil
	if err := unmapMemory(mapped); err != nil {
		return fmt.Errorf("release the session table: %w", err)
	}
	return nil
}
