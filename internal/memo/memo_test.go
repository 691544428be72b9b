package memo_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/memo"
)

func TestWhatHasNotChangedIsNotMadeAgain(t *testing.T) {
	type in struct{ list []int }
	var m memo.Of[in, int]
	made := 0
	sum := func(i in) (n int) {
		made++
		for _, v := range i.list {
			n += v
		}
		return n
	}
	round := func(keys map[string]in) map[string]int {
		m.Begin()
		out := map[string]int{}
		for key, i := range keys {
			out[key] = m.Get(key, i, sum)
		}
		return out
	}
	require.Equal(t, map[string]int{"a": 3, "b": 7}, round(map[string]in{"a": {[]int{1, 2}}, "b": {[]int{3, 4}}}))
	require.Equal(t, 2, made)
	require.Equal(t, map[string]int{"a": 3, "b": 8}, round(map[string]in{"a": {[]int{1, 2}}, "b": {[]int{3, 5}}}))
	require.Equal(t, 3, made, "b alone")
	round(nil)
	round(map[string]in{"a": {[]int{1, 2}}})
	require.Equal(t, 4, made, "a was forgotten")
}
