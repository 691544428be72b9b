package dataplane

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Slots of 128 KiB hold superframes, which come as copies beside those of 2 KiB.
func crowdedRing(t *testing.T, test func(t *testing.T, w wire)) {
	testenv.NeedRoot(t)
	for _, slot := range []int{2048, 128 << 10} {
		t.Run(fmt.Sprintf("slot=%d", slot), func(t *testing.T) {
			e := newENIs(t)
			far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
			t.Cleanup(func() { require.NoError(t, far.Close()) })
			ring := e.plane.openRing(t, RingConfig{ENIs: e.index, SlotSize: slot})
			t.Cleanup(func() { require.NoError(t, ring.Close()) })
			test(t, wire{driver: ring, arrive: func(t *testing.T, f packet.Frame) {
				_, err := far.Write([]packet.Frame{f})
				require.NoError(t, err)
				require.Zero(t, far.Stats().SendErrors)
			}})
		})
	}
}

func TestENIsTakeTurnsAtARing(t *testing.T) { crowdedRing(t, testCrowd) }

func TestSuperframesOfACrowdComeWholeAndInOrder(t *testing.T) {
	crowdedRing(t, func(t *testing.T, w wire) {
		const count = 120
		frameOf := func(i int) packet.Frame {
			size := 20
			if i%3 == 0 {
				size = 20_000 + i
			}
			payload := make([]byte, size)
			payload[0], payload[size-1] = byte(i), byte(i)
			f := tcpSuperframe(left, right, 1448, payload)
			if size < 1448 {
				f = packet.Frame{Data: tcpFrame(left, right, 0x10, payload)}
			}
			f.ENI = packet.ENI(1 + i%2)
			return f
		}
		for i := range count {
			w.arrive(t, frameOf(i))
		}
		next := map[packet.ENI]int{1: 0, 2: 1}
		var frames [Burst]packet.Frame
		for got := 0; got < count; {
			n, err := w.driver.Read(frames[:])
			require.NoError(t, err)
			for _, f := range frames[:n] {
				want := frameOf(next[f.ENI])
				require.Equal(t, want.Data, f.Data, "frame %d", next[f.ENI])
				require.Equal(t, want.Offload.GSOSize, f.Offload.GSOSize)
				next[f.ENI] += 2
			}
			got += n
		}
		require.Zero(t, w.driver.Stats().CopyDrops)
		require.Zero(t, w.driver.Stats().Crowded)
	})
}

func TestARingDropsFramesOfTheOneWhoFloods(t *testing.T) {
	crowdedRing(t, func(t *testing.T, w wire) {
		ring := w.driver.(*Ring)
		ring.crowd.room = 99
		for i := range 100 {
			w.arrive(t, frameFrom(1, 1, uint16(i), syn))
		}
		w.arrive(t, frameFrom(2, 1, 7, syn))
		var frames [Burst]packet.Frame
		var got [3]int
		for range 2 {
			n, err := ring.Read(frames[:])
			require.NoError(t, err)
			for _, f := range frames[:n] {
				got[f.ENI]++
			}
		}
		require.Equal(t, [3]int{1: 33, 2: 1}, got)
		require.EqualValues(t, 67, ring.Stats().Crowded)
		refused := map[packet.ENI]uint64{}
		ring.takeCrowded(func(eni packet.ENI, n uint64) { refused[eni] += n })
		ring.takeCrowded(func(eni packet.ENI, n uint64) { refused[eni] += n })
		require.Equal(t, map[packet.ENI]uint64{1: 67}, refused)
		w.arrive(t, frameFrom(1, 1, 8, syn))
		require.Equal(t, uint16(8), portOf(readOne(t, ring)), "and then all is as before")
	})
}
