//go:build amd64 || arm64

package fullnat

import "unsafe"

// prefetch asks for the cache line at p and the one behind it, where two flows
// of five are that are not at p, and does not wait for them. A load in its
// place gains nothing: it cannot retire before the line is there, and the
// packets behind it wait too.
//
//go:noescape
func prefetch(p unsafe.Pointer)
