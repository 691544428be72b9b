//go:build !linux

package store

// Off Linux the memory is Go's: it is right, but it does not go back before
// the table is closed.

func mapMemory(size int) ([]byte, error) { return make([]byte, size), nil }

func unmapMemory([]byte) error { return nil }

func wantHugePages([]byte) {}

func releasePages(mapped []byte) { clear(mapped) }
