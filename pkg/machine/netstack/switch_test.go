package netstack

import (
	"bytes"
	"os"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// host is a port that keeps what it gets.
type host struct{ got [][]byte }

func (h *host) receive(frame packet.Frame) { h.got = append(h.got, frame.Data) }

func (h *host) take() (n int) {
	n, h.got = len(h.got), nil
	return n
}

func frameTo(to, from byte) []byte {
	return append([]byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0}, bytes.Repeat([]byte{1}, 50)...)
}

func TestABridgeLearns(t *testing.T) {
	b, a1, a2, a3 := newBridge(), &host{}, &host{}, &host{}
	for _, p := range []port{a1, a2, a3} {
		b.plug(p)
	}
	b.forward(a1, packet.Frame{Data: frameTo(2, 1)})
	require.Equal(t, []int{0, 1, 1}, []int{a1.take(), a2.take(), a3.take()}, "nobody knows where 2 is")
	b.forward(a2, packet.Frame{Data: frameTo(1, 2)})
	require.Equal(t, []int{1, 0, 0}, []int{a1.take(), a2.take(), a3.take()})
	b.forward(a1, packet.Frame{Data: frameTo(2, 1)})
	require.Equal(t, []int{0, 1, 0}, []int{a1.take(), a2.take(), a3.take()})
	b.forward(a3, packet.Frame{Data: frameTo(1, 2)}) // 2 has moved
	b.forward(a1, packet.Frame{Data: frameTo(2, 1)})
	require.Equal(t, []int{1, 0, 1}, []int{a1.take(), a2.take(), a3.take()})
	b.unplug(a3)
	b.forward(a1, packet.Frame{Data: frameTo(2, 1)})
	require.Equal(t, []int{0, 1, 0}, []int{a1.take(), a2.take(), a3.take()}, "it is not known any more")
	b.forward(a3, packet.Frame{Data: frameTo(1, 3)})
	require.NotContains(t, b.where, packet.MAC{2, 0, 0, 0, 0, 3}, "it is not there")
	b.forward(a1, packet.Frame{Data: frameTo(2, 1)[:13]})
	group := frameTo(2, 1)
	group[0] |= 1
	b.forward(a1, packet.Frame{Data: group})
	require.Equal(t, 1, a2.take())
}

func TestTheDriverMovesFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b, h := newDriver(), newBridge(), &host{}
		b.plug(h)
		d.connect([]*eniPort{{driver: d, eni: 7, bridge: b, mtu: 100}})
		first := d.ports[7]
		d.connect([]*eniPort{{driver: d, eni: 7, bridge: b, mtu: 100}})
		require.Same(t, first, d.ports[7], "a port that stays is not plugged in again")
		require.Len(t, b.ports, 2)

		b.forward(h, packet.Frame{Data: frameTo(2, 1)})
		frames := make([]packet.Frame, 4)
		n, err := d.Read(frames)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, packet.Frame{ENI: 7, Data: frameTo(2, 1)}, frames[0])

		n, err = d.Write([]packet.Frame{{ENI: 7, Data: frameTo(1, 2)}, {ENI: 8, Data: frameTo(1, 2)}, {ENI: 7, Data: make([]byte, 115)}})
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, 1, h.take())
		stats := d.Stats()
		require.EqualValues(t, []uint64{1, 1, 2}, []uint64{stats.FramesRead, stats.FramesWritten, stats.SendErrors})

		go d.Wake()
		n, err = d.Read(frames)
		require.NoError(t, err)
		require.Zero(t, n)

		for range longestQueue + 3 {
			b.forward(h, packet.Frame{Data: frameTo(2, 1)})
		}
		require.EqualValues(t, 3, d.Stats().RingDrops)
		go d.Close()
		for err == nil {
			_, err = d.Read(frames)
		}
		require.ErrorIs(t, err, os.ErrClosed)
		_, err = d.Write(frames[:1])
		require.ErrorIs(t, err, os.ErrClosed)
		synctest.Wait()
		require.Len(t, b.ports, 1)
		require.NoError(t, d.Close())
	})
}
