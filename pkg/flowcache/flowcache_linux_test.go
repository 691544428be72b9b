package flowcache

import (
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/flowcache/slot"
	"github.com/plinksim/plinksim/pkg/packet"
)

// The programs and the session table see the same memory.
func TestTheStructsOfBothHalvesAreTheSame(t *testing.T) {
	spec, err := loadFlowcache()
	require.NoError(t, err)
	for name, same := range map[string]reflect.Type{"slot": reflect.TypeFor[slot.Slot](), "key": reflect.TypeFor[slot.Key]()} {
		var c *btf.Struct
		require.NoError(t, spec.Types.TypeByName(name, &c))
		require.EqualValues(t, same.Size(), c.Size)
		offsets := map[uintptr]string{}
		fields(same, 0, offsets)
		for _, m := range c.Members {
			at := uintptr(m.Offset.Bytes())
			require.Contains(t, offsets, at, "%s.%s is at %d", name, m.Name, at)
			delete(offsets, at)
		}
		require.Empty(t, offsets, "%s has no more", name)
	}
}

func fields(of reflect.Type, at uintptr, offsets map[uintptr]string) {
	for i := range of.NumField() {
		f := of.Field(i)
		if f.Type.Kind() == reflect.Struct {
			fields(f.Type, at+f.Offset, offsets)
			continue
		}
		offsets[at+f.Offset] = f.Name
	}
}

func openCache(t *testing.T, cfg Config) *Cache {
	t.Helper()
	testenv.NeedRoot(t)
	c, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestTheCacheRefusesWhatItHasNoRoomFor(t *testing.T) {
	c := openCache(t, Config{Sessions: 2, Workers: 2})
	devices := map[packet.ENI]*device{1: {index: 7}, 2: {index: 8}}
	c.places.Store(&devices)
	for _, d := range devices {
		d.attached.Store(true)
	}
	w := c.Worker(1)
	flows := [2]slot.Flow{{Protocol: 6, ENI: 1, Leaves: 2, Src: 1}, {Protocol: 6, ENI: 2, Leaves: 1, Src: 2}}
	numbers, keys, ok := w.Add(&flows)
	require.True(t, ok)
	require.EqualValues(t, 8, w.Slot(numbers[0]).Device)
	require.NotEqual(t, w.Slot(numbers[0]).Missed, w.Slot(numbers[0]).Handled, "not in use before the table says so")
	other := flows
	other[0].Src, other[1].Src = 3, 4
	_, _, ok = w.Add(&other)
	require.False(t, ok)
	require.Equal(t, Stats{Sessions: 1, Room: 2, Added: 1, Refused: 1}, c.Stats())

	_, _, ok = c.Worker(0).Add(&other)
	require.True(t, ok, "each worker has its part")
	w.Remove(&keys)
	w.Release(numbers)
	flows[0].ENI = 3
	_, _, ok = w.Add(&flows)
	require.False(t, ok, "nobody knows where ENI 3 is")
	flows[0].ENI = 1
	_, _, ok = w.Add(&flows)
	require.True(t, ok)
	require.EqualValues(t, 2, devices[1].flows.Load(), "of two workers")
	require.EqualValues(t, 2, devices[2].flows.Load())

	devices[2].attached.Store(false)
	w.Release(numbers)
	_, _, ok = w.Add(&flows)
	require.False(t, ok, "the programs are not there")
	require.True(t, devices[2].wanted.Load())
	require.EqualValues(t, 1, devices[1].flows.Load())
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	_, err := Open(Config{Sessions: 1, Workers: 2})
	require.ErrorContains(t, err, "a flow cache for 1 sessions of 2 workers: want at least one for each")
}
