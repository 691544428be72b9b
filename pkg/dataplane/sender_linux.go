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

// sender holds what sendmmsg(2) wants, made once: for every message of a batch
// an address, a virtio header and the memory that is to be sent.
//
// Datagrams that follow each other in a flow are one message, as a superframe,
// if the kernel takes that: it walks through its stack once for all of them,
// and the receiver's socket gets them one by one as before.
type sender struct {
	batch *[Burst]message
	msgs  *[Burst]mmsghdr
	iovs  *[2 * Burst]unix.Iovec // of all messages, one after the other
	alone bool                   // the kernel refused a superframe of datagrams
	send  func(fd int, msgs []mmsghdr) (int, unix.Errno)
}

type message struct {
	addr   unix.RawSockaddrLinklayer
	vnet   [vnetHdrLen]byte
	header [maxJointHeader]byte // of joined datagrams
	next   int                  // the first frame behind it, of those given to load
	frames int                  // that it carries
	bytes  int                  // of them
}

// maxJointHeader holds Ethernet, IPv6 and UDP headers.
const maxJointHeader = 14 + 40 + 8

// mmsghdr is struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func (s *sender) init() {
	s.batch, s.msgs, s.iovs = new([Burst]message), new([Burst]mmsghdr), new([2 * Burst]unix.Iovec)
	s.send = sendmmsg
	for i := range s.batch {
		m := &s.batch[i]
		m.addr.Family = unix.AF_PACKET
		h := &s.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&m.addr))
		h.Namelen = unix.SizeofSockaddrLinklayer
	}
}

// load makes messages of frames, at most Burst, and returns how many. Frames
// that cannot be sent are in none.
func (s *sender) load(frames []packet.Frame, enis *eniMap) (n int) {
	const ethernetHeader = 14
	iovs := s.iovs[:]
	for at := 0; at < len(frames); {
		f := &frames[at]
		ifindex := enis.ifindex(f.ENI)
		if ifindex == 0 || len(f.Data) < ethernetHeader {
			at++
			continue
		}
		var joint packet.Joint
		run := 1
		if !s.alone && at+1 < len(frames) && joint.Begin(f) {
			for at+run < len(frames) && frames[at+run].ENI == f.ENI && joint.Add(&frames[at+run]) {
				run++
			}
		}
		used := s.set(n, frames[at:at+run], &joint, iovs)
		s.batch[n].addr.Ifindex = ifindex
		at += run
		s.batch[n].next = at
		iovs = iovs[used:]
		n++
	}
	return n
}

// set makes message n of a frame, or of several that were joined, and returns
// how many of iovs it took.
func (s *sender) set(n int, frames []packet.Frame, joint *packet.Joint, iovs []unix.Iovec) (used int) {
	m, f := &s.batch[n], frames[0]
	m.addr.Protocol = *(*uint16)(unsafe.Pointer(&f.Data[12])) // the EtherType, in network order on both sides
	m.frames, m.bytes, used = len(frames), len(f.Data), 1
	length := len(f.Data)
	if len(frames) == 1 {
		used += point(&iovs[1], f.Data)
	} else {
		header := m.header[:joint.Headers()]
		f.Offload = joint.Finish(header)
		used += point(&iovs[1], header)
		length, m.bytes = len(header), 0
		for i := range frames {
			payload := frames[i].Data[len(header):]
			used += point(&iovs[used], payload)
			length += len(payload)
			m.bytes += len(frames[i].Data)
		}
	}
	writeVnetHdr(m.vnet[:], &f, length)
	point(&iovs[0], m.vnet[:])
	h := &s.msgs[n].hdr
	h.Iov = &iovs[0]
	h.SetIovlen(used)
	return used
}

// point lets v be data, which is not empty.
func point(v *unix.Iovec, data []byte) (one int) {
	v.Base = &data[0]
	v.SetLen(len(data))
	return 1
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
	enis := r.enis.Load()
	var sent, bytes uint64
	for rest := frames; len(rest) > 0; {
		loaded := r.sender.load(rest, enis)
		done := len(rest)
		for at := 0; at < loaded; {
			n, errno := r.sendSome(at, loaded)
			for i := at; i < at+n; i++ {
				sent += uint64(r.sender.batch[i].frames)
				bytes += uint64(r.sender.batch[i].bytes)
			}
			if at += n; errno == 0 {
				continue
			}
			m := &r.sender.batch[at]
			switch {
			case errno == unix.EBADF, errno == unix.ENOTSOCK, errno == unix.EFAULT:
				return fmt.Errorf("send packets: %w", errno)
			case errno == unix.EINVAL && m.frames > 1:
				// This kernel knows no superframes of datagrams: Linux has
				// VIRTIO_NET_HDR_GSO_UDP_L4 since 6.2. Again, one by one.
				r.sender.alone = true
				done, loaded = m.next-m.frames, at
			default:
				// This message alone: its interface is down or gone, it is too
				// long, or there is no memory for it.
				at++
			}
		}
		rest = rest[done:]
	}
	r.counters.wrote(sent, bytes)
	if refused := uint64(len(frames)) - sent; refused > 0 {
		r.counters.sendErrors.Add(refused)
	}
	return nil
}

// sendSome sends messages from at on, and returns how many went, and 0, or that
// none did and why. It waits once where there is no room.
func (r *Ring) sendSome(at, end int) (int, unix.Errno) {
	for waited := false; ; {
		n, errno := r.sender.send(r.fd, r.sender.msgs[at:end])
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && !waited:
			waited = true
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLOUT}}, sendWait)
		default:
			return n, errno
		}
	}
}

// sendmmsg returns how many messages were sent, and why not one more if there
// were none.
func sendmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
