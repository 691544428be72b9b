package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The wheel is held against a slice for each second.
func TestTheWheelServesFirstComeFirst(t *testing.T) {
	var w Wheel
	w.Init()
	var all Sessions
	require.NoError(t, all.Init(200, Backing{}))
	t.Cleanup(func() { require.NoError(t, all.Close()) })
	random := rand.New(rand.NewPCG(1, 2))
	slow := map[int64][]SessionID{}
	second := map[SessionID]int64{}
	drop := func(id SessionID) {
		list := slow[second[id]]
		at := slices.Index(list, id)
		slow[second[id]] = slices.Delete(list, at, at+1)
		delete(second, id)
	}
	for range 20_000 {
		to := int64(random.IntN(5))
		switch n := random.IntN(4); {
		case n < 2 && !all.Full():
			id := all.Add()
			w.Link(&all, id, to)
			slow[to], second[id] = append(slow[to], id), to
		case n == 2 && all.Used > 0:
			for id := range second { // any
				w.Unlink(&all, id)
				drop(id)
				all.Drop(id)
				break
			}
		case all.Used > 0:
			for id := range second {
				w.Move(&all, id, to)
				drop(id)
				slow[to], second[id] = append(slow[to], id), to
				break
			}
		}
		for to := range int64(5) {
			var got []SessionID
			for id := w.Heads[to]; id != None && id&endFlag == 0; id = all.At(id).next {
				got = append(got, id)
			}
			require.Equal(t, len(slow[to]), len(got))
			for i := range got {
				require.Equal(t, slow[to][i], got[i])
			}
		}
	}
}
