package fullnat

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// fill sets every number in v to n.
func fill(v reflect.Value, n int64) {
	switch v.Kind() {
	case reflect.Int:
		v.SetInt(n)
	case reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	}
}

func TestEveryCounterOfTwoShardsIsAdded(t *testing.T) {
	with := func(n int64, names ...string) Stats {
		s := Stats{Links: make([]LinkStats, len(names))}
		fill(reflect.ValueOf(&s).Elem(), n)
		for i, name := range names {
			s.Links[i].Name = name
		}
		return s
	}
	got, other := with(1, "a", "b"), with(2, "a", "b")
	got.Add(&other)
	require.Equal(t, with(3, "a", "b"), got)

	got, other = with(1, "a", "b"), with(2, "b", "c")
	got.Add(&other)
	require.Equal(t, []uint64{1, 3, 2}, []uint64{got.Links[0].Segments, got.Links[1].Segments, got.Links[2].Segments}, "a Config is just being swapped in")
}
