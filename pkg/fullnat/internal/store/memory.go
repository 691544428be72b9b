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
	name    string
	backing Backing
}

// Source is where arrays get their memory from. Names tell them apart; there is
// one of each at a time. A region is zero, page by page until it is written to.
type Source interface {
	Map(name string, size int) ([]byte, error)
	Unmap(name string, mapped []byte) error
	// Release gives whole pages back, which read as zero from then on.
	Release(mapped []byte)
}

// Backing says when an array gets its memory, and where from.
type Backing struct {
	// Reserved: all of it at once, in huge pages where the kernel has them. A
	// million sessions are spread over more small pages than the processor
	// keeps translations for. Else page by page, as elements are written to. The
	// pages are small then, as a huge one comes zeroed and therefore late: 0.1 ms
	// at best, and 5 ms on the virtual machine of docs/bench/core.md.
	Reserved bool
	// Source is nil for memory of this process alone.
	Source Source
}

// private is memory that ends with the process.
type private struct{}

// Map implements Source. The region is longer, to start at a huge page.
func (private) Map(_ string, size int) ([]byte, error) { return mapMemory(size + HugePage) }

// Unmap implements Source.
func (private) Unmap(_ string, mapped []byte) error { return unmapMemory(mapped) }

// Release implements Source.
func (private) Release(mapped []byte) { releasePages(mapped) }

func (b Backing) source() Source {
	if b.Source == nil {
		return private{}
	}
	return b.Source
}

const (
	// pageSize is the step in which memory is taken and given back. Where
	// pages are larger, a touch is often in vain, and less is given back.
	pageSize = 4096
	// HugePage is the size of a transparent huge page on amd64, and on arm64
	// with pages of 4 KiB.
	HugePage = 2 << 20
)

func (m *memory[T]) init(name string, n int, backing Backing) error {
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	mapped, err := backing.source().Map(name, size)
	if err != nil {
		return fmt.Errorf("reserve %d MiB for the session table: %w", size>>20, err)
	}
	m.Mapped, m.name, m.backing = mapped, name, backing
	if backing.Source == nil {
		mapped = mapped[-uintptr(unsafe.Pointer(unsafe.SliceData(mapped)))%HugePage:]
	}
	mapped = mapped[:size]
	m.All = View[T](mapped)
	if backing.Reserved {
		populate(mapped)
	}
	return nil
}

// View is a region as an array. It is aligned, as regions start with a page, and
// what is less than an element at its end is left out.
func View[T any](region []byte) []T {
	var zero T
	n := len(region) / int(unsafe.Sizeof(zero))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(region))), n)
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
		m.backing.source().Release(m.Mapped[start:end])
	}
}

// Close gives the memory back.
func (m *memory[T]) Close() error {
	if m.Mapped == nil {
		return nil
	}
	mapped := m.Mapped
	m.Mapped, m.All = nil, nil
	if err := m.backing.source().Unmap(m.name, mapped); err != nil {
		return fmt.Errorf("release the session table: %w", err)
	}
	return nil
}
