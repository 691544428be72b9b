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

func (m *memory[T]) init(n int) error {
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	mapped, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("reserve %d MiB for the session table: %w", size>>20, err)
	}
	m.mapped = mapped
	m.all = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mapped))), n)
	return nil
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
