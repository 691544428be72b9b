package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nftTimeout is how long the kernel may take to answer a transaction.
const nftTimeout = 30 * time.Second

// writeNFT makes one transaction of what build asks for, in the namespace called name.
// Build may not read. It is k.nft for those who write much: the socket of package
// netlink wakes several threads for each answer that it waits for, and gets one for
// each rule.
func (k *kernel) writeNFT(name string, build func(*nftables.Conn)) error {
	if err := k.enter(name); err != nil {
		return err
	}
	t := nftTransaction{seq: 1}
	conn, err := nftables.New(nftables.WithTestDial(t.exchange))
	if err != nil {
		return err
	}
	build(conn)
	// What Flush says of the answers is of those that exchange made up.
	if err := conn.Flush(); t.sent == 0 && err != nil {
		return err
	}
	return t.err
}

// nftTransaction is one transaction, in the place of a socket.
type nftTransaction struct {
	seq  uint32
	sent int
	err  error
}

// answered is what a Conn wants to hear of each message.
var answered = []netlink.Message{{Header: netlink.Header{Type: netlink.Error}, Data: make([]byte, 4)}}

// exchange sends messages, and stands for their answers.
func (t *nftTransaction) exchange(messages []netlink.Message) ([]netlink.Message, error) {
	if len(messages) == 0 {
		return answered, nil
	}
	t.sent += len(messages)
	t.err = t.send(messages)
	return nil, nil
}

// send sends a transaction through a socket of its own, in the namespace in which the
// thread is, and waits until the kernel has done all of it or nothing.
func (t *nftTransaction) send(messages []netlink.Message) error {
	var text []byte
	first := t.seq
	for i, m := range messages {
		m.Header.Sequence = t.seq
		t.seq++
		// The kernel answers what is wrong in any case. The last message before the end
		// is answered when all is done.
		if m.Header.Flags &^= netlink.Acknowledge; i == len(messages)-2 {
			m.Header.Flags |= netlink.Acknowledge
		}
		m.Header.Length = uint32(unix.NLMSG_HDRLEN + len(m.Data))
		raw, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		text = append(text, raw...)
	}
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open a socket for nftables: %w", err)
	}
	defer unix.Close(socket)
	wait := unix.NsecToTimeval(int64(nftTimeout))
	err = errors.Join(
		setBuffer(socket, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF), setBuffer(socket, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF),
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.Sendto(socket, text, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	if err != nil {
		return fmt.Errorf("send rules to nftables: %w", err)
	}
	return awaitAnswer(socket, first, t.seq-2)
}

// setBuffer makes room for nftBuffer, or as much as an ordinary user gets.
func setBuffer(socket, force, polite int) error {
	if unix.SetsockoptInt(socket, unix.SOL_SOCKET, force, nftBuffer) == nil {
		return nil
	}
	return unix.SetsockoptInt(socket, unix.SOL_SOCKET, polite, nftBuffer)
}

// awaitAnswer reads until the kernel has answered the last message of a transaction, or
// has refused all of it in the name of the first.
func awaitAnswer(socket int, first, last uint32) (refused error) {
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(socket, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return errors.Join(refused, fmt.Errorf("wait for nftables: %w", err))
		}
		answers, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return fmt.Errorf("an answer of nftables: %w", err)
		}
		for _, a := range answers {
			if a.Header.Type != unix.NLMSG_ERROR || len(a.Data) < 4 {
				continue
			}
			// The number is negative (Linux, netlink(7)).
			if errno := -int32(binary.NativeEndian.Uint32(a.Data)); errno != 0 && refused == nil {
				refused = unix.Errno(errno)
			}
			if a.Header.Seq == last || a.Header.Seq == first {
				return refused
			}
		}
	}
}
