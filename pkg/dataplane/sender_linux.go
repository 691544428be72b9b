package dataplane

import (
	"fmt"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
	"golang.org/x/sys/unix"
)

// sendWait is how long a frame waits for room in the send buffer, in
// milliseconds. The kernel empties it as fast as the receivers take frames
// from their queues; one that does not within this time is stuck.
const sendWait = 10

// sender holds what sendmmsg(2) wants, made once: for every frame of a batch
// an address, a virtio header and two pieces of memory.
type sender struct {
	batch *[Burst]message
	msgs  *[Burst]mmsghdr
}

type message struct {
	iov  [2]unix.Iovec
	addr unix.RawSockaddrLinklayer
	vnet [vnetHdrLen]byte
}

// mmsghdr is struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func (s *sender) init() {
	s.batch, s.msgs = new([Burst]message), new([Burst]mmsghdr)
	for i := range s.batch {
		m := &s.batch[i]
		m.addr.Family = unix.AF_PACKET
		m.iov[0].Base = &m.vnet[0]
		m.iov[0].SetLen(vnetHdrLen)
		h := &s.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&m.addr))
		h.Namelen = unix.SizeofSockaddrLinklayer
		h.Iov = &m.iov[0]
		h.SetIovlen(2)
	}
}

// set makes message i out of f.
func (s *sender) set(i int, f *packet.Frame, ifindex int32) {
	m := &s.batch[i]
	m.addr.Ifindex = ifindex
	m.addr.Protocol = *(*uint16)(unsafe.Pointer(&f.Data[12])) // the EtherType, in network order on both sides
	writeVnetHdr(m.vnet[:], f)
	m.iov[1].Base = &f.Data[0]
	m.iov[1].SetLen(len(f.Data))
}

// Write implements Driver.
func (r *Ring) Write(frames []packet.Frame) (int, error) {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	for done := 0; done < len(frames); done += Burst {
		if r.closed.Load() {
			return done, errRingClosed
		}
		if err := r.writeBatch(frames[done:min(done+Burst, len(frames))]); err != nil {
			return done, err
		}
	}
	return len(frames), nil
}

// writeBatch sends at most Burst frames.
func (r *Ring) writeBatch(frames []packet.Frame) error {
	const ethernetHeader = 14
	enis := r.enis.Load()
	n := 0
	for i := range frames {
		ifindex := enis.ifindex(frames[i].ENI)
		if ifindex == 0 || len(frames[i].Data) < ethernetHeader {
			continue
		}
		r.sender.set(n, &frames[i], ifindex)
		n++
	}
	refused := uint64(len(frames) - n)
	var sent, bytes uint64
	waited := false
	for at := 0; at < n; {
		ok, errno := sendmmsg(r.fd, r.sender.msgs[at:n])
		for i := at; i < at+ok; i++ {
			bytes += uint64(r.sender.batch[i].iov[1].Len)
		}
		sent += uint64(ok)
		at += ok
		switch {
		case ok > 0:
			waited = false
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && !waited:
			waited = true
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLOUT}}, sendWait)
		case errno == unix.EBADF, errno == unix.ENOTSOCK, errno == unix.EFAULT:
			return fmt.Errorf("send packets: %w", errno)
		default:
			// This frame alone: its interface is down or gone, it is too
			// long, or there is no memory for it.
			refused++
			at++
			waited = false
		}
	}
	r.counters.wrote(sent, bytes)
	if refused > 0 {
		r.counters.sendErrors.Add(refused)
	}
	return nil
}

// sendmmsg returns how many messages were sent, and why not one more if there
// were none.
func sendmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
