package dataplane

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/stretchr/testify/require"
)

// wire is a driver with ENIs 1 and 2, and the far end of both.
type wire struct {
	driver Driver
	arrive func(t *testing.T, f packet.Frame) // at ENI f.ENI
	left   func(t *testing.T) packet.Frame    // the next frame that the driver sent, its own copy
	// finished says that an Offload does not pass: frames arrive as a capture
	// has them, and leave as a device sends them.
	finished bool
}

func TestMemoryIsADriver(t *testing.T) {
	testDriver(t, func(t *testing.T) wire {
		m := NewMemory()
		return wire{
			driver: m,
			arrive: func(_ *testing.T, f packet.Frame) { m.Inject(f) },
			left: func(t *testing.T) packet.Frame {
				f, err := m.Receive(t.Context())
				require.NoError(t, err)
				return f
			},
		}
	})
}

var (
	left  = netip.MustParseAddrPort("192.0.2.1:1000")
	right = netip.MustParseAddrPort("192.0.2.2:2000")
)

// testDriver is what every driver must do. Each test opens a new one.
func testDriver(t *testing.T, open func(t *testing.T) wire) {
	run := func(name string, test func(t *testing.T, w wire)) {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			defer func() { require.NoError(t, w.driver.Close()) }()
			test(t, w)
		})
	}
	run("a frame comes from the ENI that received it", func(t *testing.T, w wire) {
		for _, eni := range []packet.ENI{2, 1, 2} {
			want := packet.Frame{ENI: eni, Data: udpFrame(left, right, fmt.Appendf(nil, "at ENI %d", eni))}
			w.arrive(t, want)
			require.Equal(t, want, readOne(t, w.driver))
		}
		require.EqualValues(t, 3, w.driver.Stats().FramesRead)
	})
	run("a frame leaves from the ENI that it names", func(t *testing.T, w wire) {
		var bytes int
		for _, eni := range []packet.ENI{1, 2} {
			want := packet.Frame{ENI: eni, Data: udpFrame(left, right, fmt.Appendf(nil, "to ENI %d", eni))}
			n, err := w.driver.Write([]packet.Frame{want})
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, want, w.left(t))
			bytes += len(want.Data)
		}
		stats := w.driver.Stats()
		require.EqualValues(t, 2, stats.FramesWritten)
		require.EqualValues(t, bytes, stats.BytesWritten)
	})
	run("more frames than one Read takes come complete and in order", func(t *testing.T, w wire) {
		const count = 5*Burst/2 + 1
		for i := range count {
			w.arrive(t, packet.Frame{ENI: 1, Data: udpFrame(left, right, fmt.Appendf(nil, "%04d", i))})
		}
		var frames [7]packet.Frame
		for got := 0; got < count; {
			n, err := w.driver.Read(frames[:])
			require.NoError(t, err)
			for _, f := range frames[:n] {
				require.Equal(t, fmt.Sprintf("%04d", got), string(f.Data[ethernetLen+ipv4Len+8:]))
				got++
			}
		}
	})
	run("more frames than one batch leave complete and in order", func(t *testing.T, w wire) {
		const count = 2*Burst + 1
		var frames []packet.Frame
		for i := range count {
			frames = append(frames, packet.Frame{ENI: 1, Data: udpFrame(left, right, fmt.Appendf(nil, "%04d", i))})
		}
		n, err := w.driver.Write(frames)
		require.NoError(t, err)
		require.Equal(t, count, n)
		for i := range count {
			require.Equal(t, fmt.Sprintf("%04d", i), string(w.left(t).Data[ethernetLen+ipv4Len+8:]))
		}
	})
	run("a superframe's offload comes and goes with it, where the medium has a place for it",
		func(t *testing.T, w wire) {
			f := tcpSuperframe(left, right, 1448, bytes.Repeat([]byte("plinksim"), 8000))
			f.ENI = 2
			w.arrive(t, f)
			var frames [1]packet.Frame
			n, err := w.driver.Read(frames[:])
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, f.Data, frames[0].Data)
			got := frames[0].Offload
			got.HdrLen = f.Offload.HdrLen // a hint
			if !w.finished {
				require.Equal(t, f.Offload, got)
			}
			require.EqualValues(t, 1, w.driver.Stats().SuperframesRead)

			// Edited in place and sent on, as the engine does.
			frames[0].ENI = 1
			frames[0].Data[len(frames[0].Data)-1] = '!'
			n, err = w.driver.Write(frames[:])
			require.NoError(t, err)
			require.Equal(t, 1, n)
			f.Data[len(f.Data)-1] = '!'
			sent := w.left(t)
			require.Equal(t, packet.ENI(1), sent.ENI)
			if !w.finished {
				require.Equal(t, f.Data, sent.Data)
				require.Equal(t, f.Offload.GSOSize, sent.Offload.GSOSize)
			}
		})
	run("a frame with a partial checksum keeps it", func(t *testing.T, w wire) {
		f := tcpSuperframe(left, right, 0, []byte("one segment"))
		f.ENI, f.Offload.GSOType, f.Offload.HdrLen = 1, packet.GSONone, 0
		w.arrive(t, f)
		got := readOne(t, w.driver)
		got.Offload.HdrLen = 0
		require.Equal(t, f, got)
	})
	run("a superframe comes whole and goes whole, or as its packets", func(t *testing.T, w wire) {
		f := tcpSuperframe(left, right, 1448, bytes.Repeat([]byte("plinksim"), 8000))
		f.ENI = 2
		w.arrive(t, f)
		got := readOne(t, w.driver)
		require.Equal(t, f.Data, got.Data)
		got.ENI = 1
		_, err := w.driver.Write([]packet.Frame{got})
		require.NoError(t, err)
		const headers = ethernetLen + ipv4Len + tcpLen
		var payload []byte
		for len(payload) < len(f.Data)-headers {
			sent := w.left(t)
			require.Equal(t, packet.ENI(1), sent.ENI)
			if w.finished { // as a device sends it
				require.LessOrEqual(t, len(sent.Data), ethernetLen+1500)
				require.True(t, checksumsAreRight(sent.Data))
			} else {
				require.Len(t, sent.Data, len(f.Data))
			}
			payload = append(payload, sent.Data[headers:]...)
		}
		require.Equal(t, f.Data[headers:], payload)
	})
	run("Wake ends a blocked Read", func(t *testing.T, w wire) {
		result := readBeside(w.driver)
		w.driver.Wake()
		require.Equal(t, readResult{}, await(t, result))
	})
	run("Wake is remembered until a Read finds nothing", func(t *testing.T, w wire) {
		w.driver.Wake()
		w.driver.Wake()
		n, err := w.driver.Read(make([]packet.Frame, 1))
		require.NoError(t, err)
		require.Zero(t, n)
		w.arrive(t, packet.Frame{ENI: 1, Data: udpFrame(left, right, nil)})
		readOne(t, w.driver)
	})
	run("Close ends a blocked Read", func(t *testing.T, w wire) {
		result := readBeside(w.driver)
		require.NoError(t, w.driver.Close())
		require.ErrorIs(t, await(t, result).err, os.ErrClosed)
	})
	run("a closed driver says so and forgives a second Close", func(t *testing.T, w wire) {
		w.arrive(t, packet.Frame{ENI: 1, Data: udpFrame(left, right, nil)})
		readOne(t, w.driver)
		require.NoError(t, w.driver.Close())
		_, err := w.driver.Read(make([]packet.Frame, 1))
		require.ErrorIs(t, err, os.ErrClosed)
		n, err := w.driver.Write([]packet.Frame{{ENI: 1, Data: udpFrame(left, right, nil)}})
		require.ErrorIs(t, err, os.ErrClosed)
		require.Zero(t, n)
		w.driver.Wake()
		require.EqualValues(t, 1, w.driver.Stats().FramesRead)
	})
}

// readOne reads until there is a frame, and copies it. A frame that does not
// come in a long time was lost.
func readOne(t *testing.T, d Driver) packet.Frame {
	t.Helper()
	var late atomic.Bool
	defer time.AfterFunc(30*time.Second, func() { late.Store(true); d.Wake() }).Stop()
	var frames [1]packet.Frame
	for {
		n, err := d.Read(frames[:])
		require.NoError(t, err)
		if n == 1 {
			return copyOf(frames[0])
		}
		require.False(t, late.Load(), "no frame comes: %+v", d.Stats())
	}
}

type readResult struct {
	n   int
	err error
}

func readBeside(d Driver) <-chan readResult {
	result := make(chan readResult, 1)
	go func() {
		n, err := d.Read(make([]packet.Frame, 1))
		result <- readResult{n, err}
	}()
	return result
}

func await(t *testing.T, result <-chan readResult) readResult {
	t.Helper()
	select {
	case r := <-result:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("Read is still blocked")
		return readResult{}
	}
}
