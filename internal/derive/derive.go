// Package derive decides what a topology file leaves open: addresses of a block
// and texts that depend on a key alone, so that the same file gives the same lab
// on every machine.
package derive

import (
	"hash/fnv"
	"strconv"
)

const Alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyz"

// Text is n characters of an alphabet that depend on the seed alone.
func Text(seed string, n int, alphabet string) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[Hash(seed+"#"+strconv.Itoa(i))%uint64(len(alphabet))]
	}
	return string(out)
}

// Hash is FNV-1a with a final mix: the low bits of FNV alone are too much
// alike for texts that differ in their last character (the mix is that of
// MurmurHash3, fmix64).
func Hash(text string) uint64 {
	f := fnv.New64a()
	f.Write([]byte(text))
	h := f.Sum64()
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
