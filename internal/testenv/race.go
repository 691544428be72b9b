//go:build race

package testenv

// Race is whether the race detector watches this program.
const Race = true
