package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	socket, err := openNFT()
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	err = errors.Join(
		setBuffer(socket, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF), setBuffer(socket, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF),
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
		answers, err := receiveNFT(socket, buffer)
		if err != nil {
			return errors.Join(refused, err)
		}
		for _, a := range answers {
			if errno := errorOf(a); errno != 0 && refused == nil {
				refused = errno
			}
			if a.Header.Type == unix.NLMSG_ERROR && (a.Header.Seq == last || a.Header.Seq == first) {
				return refused
			}
		}
	}
}

// countersOf reads the counters of a table, in the namespace in which the thread is, with
// a socket that blocks: see writeNFT.
func countersOf(table *nftables.Table) ([]*nftables.CounterObj, error) {
	conn, err := nftables.New(nftables.WithTestDial(dumpNFT))
	if err != nil {
		return nil, err
	}
	objects, err := conn.GetObjects(table)
	var counters []*nftables.CounterObj
	for _, o := range objects {
		if c, ok := o.(*nftables.CounterObj); ok {
			counters = append(counters, c)
		}
	}
	return counters, err
}

// dumpNFT asks for a list, and gives all of it.
func dumpNFT(messages []netlink.Message) (answers []netlink.Message, err error) {
	if len(messages) == 0 {
		return nil, io.EOF
	}
	messages[0].Header.Length = uint32(unix.NLMSG_HDRLEN + len(messages[0].Data))
	text, err := messages[0].MarshalBinary()
	if err != nil {
		return nil, err
	}
	socket, err := openNFT()
	if err != nil {
		return nil, err
	}
	defer unix.Close(socket)
	if err := unix.Sendto(socket, text, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("ask nftables: %w", err)
	}
	buffer := make([]byte, 64<<10)
	for {
		read, err := receiveNFT(socket, buffer)
		if err != nil {
			return nil, err
		}
		for _, m := range read {
			header := netlink.Header{
				Length: m.Header.Len, Type: netlink.HeaderType(m.Header.Type), Flags: netlink.HeaderFlags(m.Header.Flags),
				Sequence: m.Header.Seq, PID: m.Header.Pid,
			}
			if errno := errorOf(m); errno != 0 {
				return nil, errno
			}
			answers = append(answers, netlink.Message{Header: header, Data: bytes.Clone(m.Data)})
			if m.Header.Type == unix.NLMSG_DONE || m.Header.Type == unix.NLMSG_ERROR {
				return answers, nil
			}
		}
	}
}

// openNFT opens a socket of nftables that blocks, but not for ever.
func openNFT() (int, error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("open a socket for nftables: %w", err)
	}
	wait := unix.NsecToTimeval(int64(nftTimeout))
	err = errors.Join(
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	if err != nil {
		return 0, fmt.Errorf("open a socket for nftables: %w", errors.Join(err, unix.Close(socket)))
	}
	return socket, nil
}

// receiveNFT waits for answers.
func receiveNFT(socket int, buffer []byte) ([]syscall.NetlinkMessage, error) {
	for {
		n, _, err := unix.Recvfrom(socket, buffer, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("wait for nftables: %w", err)
		}
		return syscall.ParseNetlinkMessage(buffer[:n])
	}
}

// errorOf is why the kernel refuses, 0 where it does not; the number that it sends is
// negative (Linux, netlink(7)).
func errorOf(m syscall.NetlinkMessage) unix.Errno {
	if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
}
