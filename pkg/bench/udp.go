package bench

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// udpBatch is how many datagrams one system call moves.
const udpBatch = 64

// mmsghdr is struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// datagrams are messages for sendmmsg and recvmmsg. Each begins with a number,
// in network order.
type datagrams struct {
	iov  [udpBatch]unix.Iovec
	msgs [udpBatch]mmsghdr
	data [udpBatch][smallPayload]byte
}

func newDatagrams() *datagrams {
	d := &datagrams{}
	for i := range d.msgs {
		d.iov[i].Base = &d.data[i][0]
		d.iov[i].SetLen(smallPayload)
		d.msgs[i].hdr.Iov = &d.iov[i]
		d.msgs[i].hdr.SetIovlen(1)
	}
	return d
}

// send sends n datagrams numbered from next on, and returns how many went.
func (d *datagrams) send(fd, n int, next uint64) (int, error) {
	for i := range n {
		binary.BigEndian.PutUint64(d.data[i][:], next+uint64(i))
	}
	return d.call(unix.SYS_SENDMMSG, fd, n, 0)
}

func (d *datagrams) call(trap uintptr, fd, n, flags int) (int, error) {
	for {
		r, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&d.msgs[0])), uintptr(n), uintptr(flags),
			0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		case unix.ENOBUFS, unix.ECONNREFUSED, unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

func dialUDP(o order) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := errors.Join(impatient(fd), unix.Connect(fd, sockaddr(o.To, cmp.Or(o.Port, countPort)))); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("UDP to %s: %w", o.To, err)
	}
	return fd, nil
}

// small sends datagrams as fast as it can. The server counts those that
// arrive.
func small(o order) (answer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := dialUDP(o)
	if err != nil {
		return answer{}, err
	}
	defer unix.Close(fd)
	d := newDatagrams()
	w := o.window()
	a := answer{Elapsed: o.For + o.WarmUp}
	for time.Now().Before(w.end) {
		n, err := d.send(fd, udpBatch, a.Count)
		if err != nil {
			return a, fmt.Errorf("send datagrams: %w", err)
		}
		a.Count += uint64(n)
	}
	return a, nil
}

// pace is how often the steady sender sends.
const pace = 200 * time.Microsecond

// paced sends a steady number of datagrams per second, in small bursts.
func paced(o order) (answer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := dialUDP(o)
	if err != nil {
		return answer{}, err
	}
	defer unix.Close(fd)
	d := newDatagrams()
	start := time.Now()
	total := uint64(float64(o.Rate) * (o.WarmUp + o.For).Seconds())
	a := answer{}
	for a.Count < total && time.Since(start) < 2*(o.WarmUp+o.For) {
		due := min(uint64(float64(o.Rate)*time.Since(start).Seconds()), total)
		for a.Count < due {
			n, err := d.send(fd, int(min(udpBatch, due-a.Count)), a.Count)
			if err != nil {
				return a, fmt.Errorf("send datagrams: %w", err)
			}
			if n == 0 {
				break
			}
			a.Count += uint64(n)
		}
		pause := unix.NsecToTimespec(pace.Nanoseconds())
		_ = unix.Nanosleep(&pause, nil)
	}
	a.Elapsed = time.Since(start)
	return a, nil
}

// udpBuffer is the receive buffer of the server in bytes: what the generator
// itself would lose is not to be measured.
const udpBuffer = 16 << 20

func listenUDP(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, udpBuffer)
	}
	if err := unix.Bind(fd, sockaddr(netip.IPv4Unspecified(), port)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen on UDP port %d: %w", port, err)
	}
	return fd, nil
}

// nap is how long the receiver of datagrams sleeps when there are none. It
// looks for them instead of waiting: woken for each of them, it would cost more
// than all that is to be measured.
const (
	nap  = 500 * time.Microsecond
	naps = 100 // in a row, and then it waits after all
)

// count counts datagrams, and those that come after one with a higher number.
// Number 0 begins a new sequence.
func (s *server) count(fd int) {
	runtime.LockOSThread()
	d := newDatagrams()
	var expected uint64
	flags, idle := unix.MSG_WAITFORONE, 0
	for {
		n, err := d.call(unix.SYS_RECVMMSG, fd, udpBatch, flags)
		if err != nil {
			return
		}
		flags = unix.MSG_DONTWAIT
		if n > 0 {
			idle = 0
		} else if idle++; idle == naps {
			flags, idle = unix.MSG_WAITFORONE, 0
			continue
		}
		if n == 0 {
			pause := unix.NsecToTimespec(nap.Nanoseconds())
			_ = unix.Nanosleep(&pause, nil)
			continue
		}
		var reordered uint64
		for i := range n {
			number := binary.BigEndian.Uint64(d.data[i][:])
			if number < expected && number != 0 {
				reordered++
				continue
			}
			expected = number + 1
		}
		s.packets.Add(uint64(n))
		if reordered > 0 {
			s.reordered.Add(reordered)
		}
	}
}
