//go:build amd64 || arm64

package store

import "unsafe"

// prefetch asks for the cache lines of n flows by their slots and those behind
// them, where two flows of five are that are not in their slots, and does not
// wait for them. A load in its place gains nothing: it cannot retire before the
// line is there, and the packets behind it wait too. All slots of a burst come
// with one call, as a call costs as much as four of them.
//
//go:noescape
func prefetch(flows unsafe.Pointer, slots *Slot, n int)
