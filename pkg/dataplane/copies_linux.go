package dataplane

import (
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
	"golang.org/x/sys/unix"
)

const (
	// copyBuffers is how many long frames are outside of the kernel at a time. More
	// would not stay in the cache between their arrival and their departure.
	copyBuffers = 16
	// copyBuffer holds the longest IPv4 packet, an Ethernet header with tags,
	// and room for what a translation may insert.
	copyBuffer = 65536 + 512
)

// copies receives the frames that did not fit their slot.
type copies struct {
	vnet [vnetHdrLen]byte
	iov  [2]unix.Iovec
	msg  unix.Msghdr
}

func (c *copies) init() {
	c.iov[0].Base = &c.vnet[0]
	c.iov[0].SetLen(vnetHdrLen)
	c.iov[1].SetLen(copyBuffer)
	c.msg.Iov = &c.iov[0]
	c.msg.SetIovlen(2)
}

// receive reads the copy of a frame of length bytes into a cell for long ones. It
// returns false if there is no copy. One of another length belongs to a slot that
// went by, and is passed over.
func (c *copies) receive(fd int, buffer []byte, length uint32) ([]byte, packet.Offload, bool) {
	c.iov[1].Base = &buffer[0]
	for {
		n, errno := recvmsg(fd, &c.msg)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return nil, packet.Offload{}, false
		}
		if n != vnetHdrLen+int(length) {
			continue
		}
		if int(length) > len(buffer) {
			return nil, packet.Offload{}, false
		}
		return buffer[:length], readVnetHdr(c.vnet[:]), true
	}
}

// recvmsg returns the length of the message, also where it was cut off.
func recvmsg(fd int, msg *unix.Msghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(msg)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	return int(n), errno
}
