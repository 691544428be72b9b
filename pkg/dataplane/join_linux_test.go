package dataplane

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/packet"
)

// partialUDP is a datagram as a kernel gives it to a device that does
// checksums.
func partialUDP(eni packet.ENI, src, dst netip.AddrPort, payload string) packet.Frame {
	f := packet.Frame{ENI: eni, Data: udpFrame(src, dst, []byte(payload))}
	const at = ethernetLen + ipv4Len
	f.Offload = packet.Offload{NeedsCsum: true, CsumStart: at, CsumOffset: 6}
	binary.BigEndian.PutUint16(f.Data[at+6:], sum(pseudo(src.Addr(), dst.Addr(), protoUDP, len(f.Data)-at), nil))
	return f
}

// A receiver of datagrams behind ENI 1, and a ring that sees what it gets.
type receiver struct {
	ring *Ring // of the ENI
	far  *Ring
	conn net.PacketConn
}

func newReceiver(t *testing.T) receiver {
	t.Helper()
	e := newENIs(t)
	link, err := e.far.handle.LinkByName("far1")
	require.NoError(t, err)
	mac := packet.MACOf(right.Addr())
	require.NoError(t, e.far.handle.LinkSetHardwareAddr(link, mac[:]))
	e.far.address(t, "far1", "192.0.2.2/24")
	r := receiver{far: e.far.openRing(t, RingConfig{ENIs: e.farIndex}),
		ring: e.plane.openRing(t, RingConfig{ENIs: e.index})}
	e.far.do(t, func() (err error) {
		r.conn, err = net.ListenPacket("udp4", right.String())
		return err
	})
	t.Cleanup(func() {
		require.NoError(t, r.ring.Close())
		require.NoError(t, r.far.Close())
		require.NoError(t, r.conn.Close())
	})
	return r
}

func (r receiver) gets(t *testing.T, want ...string) {
	t.Helper()
	r.getsFrom(t, left, want...)
}

func (r receiver) getsFrom(t *testing.T, src netip.AddrPort, want ...string) {
	t.Helper()
	buffer := make([]byte, 2000)
	require.NoError(t, r.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	for _, payload := range want {
		n, from, err := r.conn.ReadFrom(buffer)
		require.NoError(t, err)
		require.Equal(t, payload, string(buffer[:n]))
		require.Equal(t, src.String(), from.String())
	}
}

var aRun = []string{"first", "other", "third", "last", "again"}

func runOf(eni packet.ENI) (frames []packet.Frame) {
	for _, payload := range aRun {
		frames = append(frames, partialUDP(eni, left, right, payload))
	}
	return frames
}

func TestDatagramsOfAFlowAreSentTogetherAndReceivedOneByOne(t *testing.T) {
	r := newReceiver(t)
	frames := runOf(1)
	n, err := r.ring.Write(frames)
	require.NoError(t, err)
	require.Equal(t, len(aRun), n)
	r.gets(t, aRun...)
	whole := readOne(t, r.far)
	require.EqualValues(t, packet.GSOUDPL4, whole.Offload.GSOType)
	require.EqualValues(t, len("first"), whole.Offload.GSOSize)
	require.Equal(t, "firstotherthirdlast", string(whole.Data[ethernetLen+ipv4Len+8:]), "the shorter one ends the run")
	require.Equal(t, frames[4].Data, readOne(t, r.far).Data)
	stats := r.ring.Stats()
	require.EqualValues(t, len(aRun), stats.FramesWritten)
	require.EqualValues(t, 5*(ethernetLen+ipv4Len+8+5)-1, stats.BytesWritten)
	require.Zero(t, stats.SendErrors)
}

// Linux before 6.2 refuses superframes of datagrams.
func TestDatagramsAreSentOneByOneWhereTheKernelWantsThem(t *testing.T) {
	r := newReceiver(t)
	refused := 0
	r.ring.sender.send = func(fd int, msgs []mmsghdr) (int, unix.Errno) {
		for i := range msgs {
			if vnet := unsafe.Slice(msgs[i].hdr.Iov.Base, vnetHdrLen); vnet[1] == packet.GSOUDPL4 {
				if i == 0 {
					refused++
					return 0, unix.EINVAL
				}
				return sendmmsg(fd, msgs[:i])
			}
		}
		return sendmmsg(fd, msgs)
	}
	for range 2 {
		_, err := r.ring.Write(append([]packet.Frame{{ENI: 9}, partialUDP(1, left, right, "a longer one")},
			runOf(1)...))
		require.NoError(t, err)
		r.gets(t, append([]string{"a longer one"}, aRun...)...)
	}
	require.Equal(t, 1, refused, "it is tried once")
	stats := r.ring.Stats()
	require.EqualValues(t, 2*(1+len(aRun)), stats.FramesWritten)
	require.EqualValues(t, 2, stats.SendErrors)
	require.Zero(t, r.far.Stats().SuperframesRead)
}

func TestDatagramsOverIPv6AreSentTogetherToo(t *testing.T) {
	e := newENIs(t)
	e.far.do(t, func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/far1/disable_ipv6", []byte("0"), 0)
	})
	link, err := e.far.handle.LinkByName("far1")
	require.NoError(t, err)
	src, dst := netip.MustParseAddrPort("[2001:db8::1]:1000"), netip.MustParseAddrPort("[2001:db8::2]:2000")
	addr, err := netlink.ParseAddr("2001:db8::2/64")
	require.NoError(t, err)
	addr.Flags = unix.IFA_F_NODAD
	require.NoError(t, e.far.handle.AddrAdd(link, addr))
	ring := e.plane.openRing(t, RingConfig{ENIs: e.index})
	defer ring.Close()
	var conn net.PacketConn
	e.far.do(t, func() (err error) {
		conn, err = net.ListenPacket("udp6", dst.String())
		return err
	})
	defer conn.Close()
	var frames []packet.Frame
	for _, payload := range aRun {
		data := ipv6Frame(src, dst, protoUDP)[:ethernetLen+40+8]
		copy(data, link.Attrs().HardwareAddr)
		data = append(data, payload...)
		length := len(data) - ethernetLen - 40
		binary.BigEndian.PutUint16(data[ethernetLen+4:], uint16(length))
		binary.BigEndian.PutUint16(data[ethernetLen+44:], uint16(length))
		binary.BigEndian.PutUint16(data[ethernetLen+46:], sum(pseudo(src.Addr(), dst.Addr(), protoUDP, length), nil))
		frames = append(frames, packet.Frame{ENI: 1, Data: data,
			Offload: packet.Offload{NeedsCsum: true, CsumStart: ethernetLen + 40, CsumOffset: 6}})
	}
	require.Equal(t, 2, ring.sender.load(frames, ring.enis.Load()), "four go together, and the last by itself")
	_, err = ring.Write(frames)
	require.NoError(t, err)
	receiver{conn: conn}.getsFrom(t, src, aRun...)
}

func TestDatagramsForDifferentENIsAreNotJoined(t *testing.T) {
	r := newReceiver(t)
	frames := []packet.Frame{partialUDP(1, left, right, "one"), partialUDP(2, left, right, "two"),
		partialUDP(1, left, right, "six")}
	_, err := r.ring.Write(frames)
	require.NoError(t, err)
	for _, want := range frames {
		got := readOne(t, r.far)
		require.Equal(t, want.ENI, got.ENI)
		require.Equal(t, want.Data, got.Data)
	}
}
