package dataplane

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/stretchr/testify/require"
)

// enis are two ENIs in the namespace plane, whose other ends are in far.
type enis struct {
	plane, far *namespace
	index      map[int]packet.ENI // in plane
	farIndex   map[int]packet.ENI
}

func newENIs(t testing.TB) enis {
	t.Helper()
	e := enis{plane: newNamespace(t), far: newNamespace(t), index: map[int]packet.ENI{}, farIndex: map[int]packet.ENI{}}
	for eni := packet.ENI(1); eni <= 2; eni++ {
		here, there := e.plane.veth(t, fmt.Sprintf("eni%d", eni), e.far, fmt.Sprintf("far%d", eni))
		e.index[here], e.farIndex[there] = eni, eni
	}
	return e
}

func TestRingIsADriver(t *testing.T) {
	testenv.NeedRoot(t)
	for _, slot := range []int{2048, 128 << 10} {
		t.Run(fmt.Sprintf("slot=%d", slot), func(t *testing.T) {
			testDriver(t, func(t *testing.T) wire {
				e := newENIs(t)
				far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
				t.Cleanup(func() { require.NoError(t, far.Close()) })
				return wire{
					driver: e.plane.openRing(t, RingConfig{ENIs: e.index, SlotSize: slot}),
					arrive: func(t *testing.T, f packet.Frame) {
						n, err := far.Write([]packet.Frame{f})
						require.NoError(t, err)
						require.Equal(t, 1, n)
						require.Zero(t, far.Stats().SendErrors)
					},
					left: func(t *testing.T) packet.Frame { return readOne(t, far) },
				}
			})
		})
	}
}

func TestRingRefusesAConfigThatCannotWork(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  RingConfig
		want string
	}{
		{"a slot that is no power of two", RingConfig{SlotSize: 1500},
			"a ring cannot have slots of 1500 bytes: take a power of two from 512 on"},
		{"a ring smaller than a slot", RingConfig{Size: 1024},
			"a ring of 1024 bytes does not hold one slot of 2048 bytes"},
		{"ENI 0", RingConfig{ENIs: map[int]packet.ENI{4: 0}}, "interface 4 cannot be ENI 0: number ENIs from 1"},
		{"two devices for one ENI", RingConfig{ENIs: map[int]packet.ENI{4: 1, 5: 1}},
			"interfaces 4 and 5 cannot both be ENI 1"},
		{"a device that cannot be", RingConfig{ENIs: map[int]packet.ENI{-1: 1}},
			"ENI 1 cannot have the interface index -1: give it the index of a device"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := OpenRing(tt.cfg)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestRingSendsTheRestWhenAFrameIsRefused(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	ring := e.plane.openRing(t, RingConfig{ENIs: e.index})
	defer ring.Close()
	good := udpFrame(left, right, []byte("good"))
	refused := []packet.Frame{
		{ENI: 7, Data: good},      // no such ENI
		{ENI: 1, Data: good[:10]}, // no Ethernet header
		{ENI: 1, Data: udpFrame(left, right, make([]byte, 4000))},                       // beyond the MTU
		{ENI: 1, Data: good, Offload: packet.Offload{NeedsCsum: true, CsumStart: 9000}}, // nonsense
	}
	var frames []packet.Frame
	for _, f := range refused {
		frames = append(frames, f, packet.Frame{ENI: 1, Data: good})
	}
	n, err := ring.Write(frames)
	require.NoError(t, err)
	require.Equal(t, len(frames), n)
	for range refused {
		require.Equal(t, good, readOne(t, far).Data)
	}
	stats := ring.Stats()
	require.EqualValues(t, len(refused), stats.SendErrors)
	require.EqualValues(t, len(refused), stats.FramesWritten)
	require.EqualValues(t, len(refused)*len(good), stats.BytesWritten)
}

func TestRingServesTheOtherENIsWhenOneGoesDown(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	ring := e.plane.openRing(t, RingConfig{ENIs: e.index})
	defer ring.Close()
	link, err := e.plane.handle.LinkByName("eni1")
	require.NoError(t, err)
	require.NoError(t, e.plane.handle.LinkSetDown(link))
	f := udpFrame(left, right, []byte("still there"))
	_, err = ring.Write([]packet.Frame{{ENI: 1, Data: f}, {ENI: 2, Data: f}})
	require.NoError(t, err)
	require.Equal(t, packet.Frame{ENI: 2, Data: f}, readOne(t, far))
	require.EqualValues(t, 1, ring.Stats().SendErrors)

	require.NoError(t, e.plane.handle.LinkDel(link))
	_, err = far.Write([]packet.Frame{{ENI: 2, Data: f}})
	require.NoError(t, err)
	require.Equal(t, packet.Frame{ENI: 2, Data: f}, readOne(t, ring))
}

func TestRingPassesOverForeignInterfaces(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	var first, second int
	for index, eni := range e.index {
		if eni == 1 {
			first = index
		} else {
			second = index
		}
	}
	ring := e.plane.openRing(t, RingConfig{ENIs: map[int]packet.ENI{first: 1}})
	defer ring.Close()
	super := tcpSuperframe(left, right, 1448, make([]byte, 20000))
	super.ENI = 2
	own := packet.Frame{ENI: 1, Data: udpFrame(left, right, []byte("own"))}
	_, err := far.Write([]packet.Frame{super, {ENI: 2, Data: own.Data}, own})
	require.NoError(t, err)
	require.Equal(t, own, readOne(t, ring))
	require.EqualValues(t, 2, ring.Stats().Foreign)

	require.NoError(t, ring.SetENIs(map[int]packet.ENI{first: 1, second: 9}))
	_, err = far.Write([]packet.Frame{super})
	require.NoError(t, err)
	got := readOne(t, ring)
	require.Equal(t, packet.ENI(9), got.ENI)
	require.Equal(t, super.Data, got.Data)
	require.Zero(t, ring.Stats().CopyDrops)
}

func TestRingCountsWhatItHadNoRoomFor(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	t.Run("no slot", func(t *testing.T) {
		ring := e.plane.openRing(t, RingConfig{ENIs: e.index, Size: ringBlock})
		defer ring.Close()
		const sent, slots = 100, ringBlock / defaultSlotSize
		for range sent {
			_, err := far.Write([]packet.Frame{{ENI: 1, Data: udpFrame(left, right, nil)}})
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool { return ring.Stats().RingDrops == sent-slots }, 5*time.Second,
			time.Millisecond)
		for range slots {
			readOne(t, ring)
		}
		require.Equal(t, slots, int(ring.Stats().FramesRead))
	})
	t.Run("no room for the copy", func(t *testing.T) {
		ring := e.plane.openRing(t, RingConfig{ENIs: e.index, CopyMemory: 100_000})
		defer ring.Close()
		const sent = 20
		super := tcpSuperframe(left, right, 1448, make([]byte, 60000))
		super.ENI = 1
		for i := range sent {
			super.Data[len(super.Data)-1] = byte(i)
			_, err := far.Write([]packet.Frame{super})
			require.NoError(t, err)
		}
		_, err := far.Write([]packet.Frame{{ENI: 1, Data: udpFrame(left, right, []byte("last"))}})
		require.NoError(t, err)
		whole := 0
		for f := readOne(t, ring); len(f.Data) > 1000; f = readOne(t, ring) {
			require.Len(t, f.Data, len(super.Data))
			require.Equal(t, byte(whole), f.Data[len(f.Data)-1], "the first ones had room")
			whole++
		}
		require.Positive(t, whole)
		require.EqualValues(t, sent-whole, ring.Stats().CopyDrops)
		// And the next ones are not mixed up with those that were lost.
		super.Data[len(super.Data)-1] = 200
		_, err = far.Write([]packet.Frame{super})
		require.NoError(t, err)
		require.Equal(t, super.Data, readOne(t, ring).Data)
	})
}

func TestRingTakesOverFromTheOneBefore(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	for i := range 3 {
		ring := e.plane.openRing(t, RingConfig{ENIs: e.index})
		f := packet.Frame{ENI: 1, Data: udpFrame(left, right, fmt.Appendf(nil, "%d", i))}
		_, err := far.Write([]packet.Frame{f})
		require.NoError(t, err)
		require.Equal(t, f, readOne(t, ring))
		require.NoError(t, ring.Close())
	}
}

func TestRingDoesNotAllocatePerFrame(t *testing.T) {
	e := newENIs(t)
	far := e.far.openRing(t, RingConfig{ENIs: e.farIndex})
	defer far.Close()
	ring := e.plane.openRing(t, RingConfig{ENIs: e.index})
	defer ring.Close()
	super := tcpSuperframe(left, right, 1448, make([]byte, 20000))
	super.ENI = 2
	small := packet.Frame{ENI: 1, Data: udpFrame(left, right, nil)}
	sent := []packet.Frame{small, super, small}
	frames := make([]packet.Frame, Burst)
	allocs := testing.AllocsPerRun(100, func() {
		if n, err := far.Write(sent); n != len(sent) || err != nil {
			panic(err)
		}
		for got := 0; got < len(sent); {
			n, err := ring.Read(frames)
			if err != nil {
				panic(err)
			}
			got += n
		}
	})
	require.Zero(t, allocs)
}

// Two kernels talk TCP through a ring that copies frames from one ENI to the
// other, as if there were a cable.
func TestRingCarriesTheSuperframesOfTwoKernels(t *testing.T) {
	plane, client, server := newNamespace(t), newNamespace(t), newNamespace(t)
	a, _ := plane.veth(t, "eni1", client, "eth0")
	b, _ := plane.veth(t, "eni2", server, "eth0")
	client.address(t, "eth0", "192.0.2.1/24")
	server.address(t, "eth0", "192.0.2.2/24")
	for _, slot := range []int{2048, 128 << 10} {
		t.Run(fmt.Sprintf("slot=%d", slot), func(t *testing.T) {
			ring := plane.openRing(t, RingConfig{ENIs: map[int]packet.ENI{a: 1, b: 2}, SlotSize: slot})
			stop := cable(t, ring)
			const size = 64 << 20
			got, want := transfer(t, client, server, netip.MustParseAddrPort("192.0.2.2:0"), size)
			require.Equal(t, want, got)
			stop()
			stats := ring.Stats()
			require.Greater(t, stats.SuperframesRead, uint64(size/65536/2), "%+v", stats)
			require.Zero(t, stats.RingDrops)
			require.Zero(t, stats.CopyDrops)
			require.Zero(t, stats.SendErrors)
			require.Equal(t, stats.FramesRead, stats.FramesWritten)
		})
	}
}

// cable sends what comes from ENI 1 to ENI 2 and back, until stop, which also
// closes d.
func cable(t testing.TB, d Driver) (stop func()) {
	var stopped atomic.Bool
	done := make(chan error, 1)
	go func() {
		frames := make([]packet.Frame, Burst)
		var err error
		for n := 0; err == nil && !stopped.Load(); {
			n, err = d.Read(frames)
			for i := range frames[:n] {
				frames[i].ENI = 3 - frames[i].ENI
			}
			if err == nil && n > 0 {
				_, err = d.Write(frames[:n])
			}
		}
		done <- err
	}()
	return func() {
		t.Helper()
		stopped.Store(true)
		d.Wake()
		require.NoError(t, <-done)
		require.NoError(t, d.Close())
	}
}

// transfer sends size bytes by TCP from one namespace to a listener in the
// other and returns the hash of what came and of what was sent.
func transfer(t testing.TB, from, to *namespace, listen netip.AddrPort, size int) (got, want [32]byte) {
	t.Helper()
	l := listenTCP(t, to, listen)
	defer l.Close()
	conn := dialTCP(t, from, l.Addr().(*net.TCPAddr).AddrPort())
	return send(t, conn, l, size)
}

func listenTCP(t testing.TB, n *namespace, addr netip.AddrPort) (l *net.TCPListener) {
	t.Helper()
	n.do(t, func() (err error) {
		l, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr))
		return err
	})
	return l
}

func dialTCP(t testing.TB, n *namespace, addr netip.AddrPort) (c *net.TCPConn) {
	t.Helper()
	n.do(t, func() (err error) {
		c, err = net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(addr))
		return err
	})
	return c
}

// send sends size random bytes over conn, to whoever l accepts.
func send(t testing.TB, conn *net.TCPConn, l *net.TCPListener, size int) (got, want [32]byte) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	require.NoError(t, conn.SetDeadline(deadline))
	require.NoError(t, l.SetDeadline(deadline))
	received := make(chan error, 1)
	go func() {
		received <- func() error {
			peer, err := l.AcceptTCP()
			if err != nil {
				return err
			}
			defer peer.Close()
			if err := peer.SetDeadline(deadline); err != nil {
				return err
			}
			hash := sha256.New()
			_, err = io.Copy(struct{ io.Writer }{hash}, peer)
			hash.Sum(got[:0])
			return err
		}()
	}()
	block := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(block)
	hash := sha256.New()
	_, err := io.Copy(struct{ io.Writer }{io.MultiWriter(hash, conn)},
		io.LimitReader(&repeat{block: block}, int64(size)))
	err = errors.Join(err, conn.Close())
	require.NoError(t, err)
	require.NoError(t, <-received)
	hash.Sum(want[:0])
	return got, want
}

// repeat reads the same block for ever.
type repeat struct {
	block []byte
	rest  bytes.Reader
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.rest.Len() == 0 {
		r.rest.Reset(r.block)
	}
	return r.rest.Read(p)
}
