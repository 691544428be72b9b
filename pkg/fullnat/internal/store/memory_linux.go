package store

import "golang.org/x/sys/unix"

func mapMemory(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

func unmapMemory(mapped []byte) error { return unix.Munmap(mapped) }

// wantHugePages asks for huge pages. Memory without them works as well.
func wantHugePages(mapped []byte) { _ = unix.Madvise(mapped, unix.MADV_HUGEPAGE) }

// releasePages gives pages back, which read as zero from then on. If the
// kernel refuses, the memory stays in use a while longer, with what it holds.
func releasePages(mapped []byte) { _ = unix.Madvise(mapped, unix.MADV_DONTNEED) }
