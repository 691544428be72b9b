//go:build !amd64 && !arm64

package store

import "unsafe"

// prefetch does nothing where nobody wrote down the instruction.
func prefetch(unsafe.Pointer, *Slot, int) {}
