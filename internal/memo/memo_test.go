package memo_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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

// Lists that grow, shrink and change anywhere are written as encoding/json writes them.
func TestListsAreWrittenAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var texts memo.Texts[string]
		var list []string
		for range rapid.IntRange(1, 10).Draw(t, "lists") {
			at := rapid.IntRange(0, len(list)).Draw(t, "at")
			until := rapid.IntRange(at, len(list)).Draw(t, "until")
			more := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", `"`}), 0, 3).Draw(t, "more")
			list = slices.Concat(list[:at], more, list[until:])
			got, err := texts.Of(list)
			require.NoError(t, err)
			var read []string
			require.NoError(t, json.Unmarshal(memo.AppendList(nil, got), &read))
			require.Equal(t, append([]string{}, list...), read)
		}
	})
}

type measured struct {
	length int
	notes  []string
}

func (m *measured) Same(o *measured) bool { return m.length == o.length }

// Inputs may say themselves when they are the same.
func TestInputsCompareThemselves(t *testing.T) {
	var m memo.Of[measured, string]
	first := func(in measured) string { return in.notes[0] }
	m.Begin()
	require.Equal(t, "a", m.Get("k", measured{1, []string{"a"}}, first))
	require.Equal(t, "a", m.Get("k", measured{1, []string{"b"}}, first))
	require.Equal(t, "c", m.Get("k", measured{2, []string{"c"}}, first))
}

// Identical values are equal; equal ones that share nothing are not identical.
func TestIdenticalValuesShareEverything(t *testing.T) {
	a := measured{1, []string{"a"}}
	b := a
	require.True(t, memo.Identical(&a, &b))
	b.notes = slices.Clone(a.notes)
	require.False(t, memo.Identical(&a, &b))
	b = a
	b.length++
	require.False(t, memo.Identical(&a, &b))
}

// A value has its number until it is another one, or was not there for a round.
func TestStampsStandForValues(t *testing.T) {
	var s memo.Stamps[[]int]
	stamp := func(values ...int) uint64 {
		s.Begin()
		return s.Of("k", &values)
	}
	first := stamp(1, 2)
	require.Equal(t, first, stamp(1, 2))
	other := stamp(1, 3)
	require.NotEqual(t, first, other)
	require.NotEqual(t, first, stamp(1, 2), "that was forgotten")
	s.Begin()
	s.Begin()
	require.NotEqual(t, other, stamp(1, 3))
}

// An element has its number for as long as the list has it under its key, and is found by
// it; whatever else happens to the list, the keys of what differs are told.
func TestNumbersStandForTheElementsOfLists(t *testing.T) {
	type object struct {
		name   string
		values []int
	}
	rapid.Check(t, func(t *rapid.T) {
		var n memo.Numbered[object]
		var before []object
		numbers := map[string]uint64{}
		given := map[uint64]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "lists") {
			list := slices.Clone(before)
			if rapid.Bool().Draw(t, "other keys") {
				names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID).Draw(t, "names")
				list = nil
				for _, name := range names {
					o := object{name, []int{0}}
					if i := slices.IndexFunc(before, func(o object) bool { return o.name == name }); i >= 0 {
						o = before[i]
					}
					list = append(list, o)
				}
			}
			for i := range list {
				if rapid.IntRange(0, 3).Draw(t, "another") == 0 {
					list[i].values = []int{rapid.IntRange(0, 1).Draw(t, "value")}
				}
			}
			changed := n.Follow(list, func(o *object) string { return o.name })
			var want []string
			next := map[string]uint64{}
			for i := range list {
				name, number := list[i].name, n.Of(list[i].name)
				require.Same(t, &list[i], n.Get(name))
				was := slices.IndexFunc(before, func(o object) bool { return o.name == name })
				if was >= 0 && slices.Equal(before[was].values, list[i].values) {
					require.Equal(t, numbers[name], number)
				} else {
					require.False(t, given[number] || number == 0, "a number of its own")
					want = append(want, name)
				}
				next[name], given[number] = number, true
			}
			for name := range numbers {
				if _, there := next[name]; !there {
					want = append(want, name)
					require.Zero(t, n.Of(name))
					require.Nil(t, n.Get(name))
				}
			}
			require.ElementsMatch(t, want, changed)
			before, numbers = list, next
			require.Empty(t, n.Follow(list, func(o *object) string { return o.name }))
		}
	})
}

// What differs between two lists is found as by a look at each element for each other.
func TestDifferingElementsAreFound(t *testing.T) {
	type object struct{ name, value string }
	letters := []string{"a", "b", "c", "d", "e", "f"}
	text := func(o *object) string { return o.name }
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(letters), 0, 6, rapid.ID)
		one, two := "1", "2" // the same strings to the bit wherever they are
		list := func(label string) (out []object) {
			for _, name := range names.Draw(t, label) {
				out = append(out, object{name, rapid.SampledFrom([]string{one, two}).Draw(t, "value")})
			}
			return out
		}
		old, now := list("old"), list("now")
		if rapid.Bool().Draw(t, "edited") {
			at := rapid.IntRange(0, len(old)).Draw(t, "at")
			now = slices.Concat(old[:at], now, old[at:])
			seen := map[string]bool{}
			now = slices.DeleteFunc(now, func(o object) bool { was := seen[o.name]; seen[o.name] = true; return was })
		}
		gone, fresh := memo.Differing(old, now, text)
		values := func(some []*object) (out []object) {
			for _, o := range some {
				out = append(out, *o)
			}
			return out
		}
		without := func(some, others []object) []object {
			return slices.DeleteFunc(slices.Clone(some), func(o object) bool { return slices.Contains(others, o) })
		}
		require.ElementsMatch(t, without(old, now), values(gone))
		require.ElementsMatch(t, without(now, old), values(fresh))
		gone, fresh = memo.Differing(old, old, text)
		require.Empty(t, append(gone, fresh...))
	})
}
