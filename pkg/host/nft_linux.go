package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
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
	buffer := make([]byte, answerSize)
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

// counter is one that rules count with.
type counter struct {
	family  nftables.TableFamily // of its table
	name    string
	packets uint64
}

// answerBuffers are for answers of the kernel: *[answerSize]byte.
var answerBuffers = sync.Pool{New: func() any { return new([answerSize]byte) }}

const answerSize = 64 << 10

// countersHere reads the counters of our tables in the namespace in which the thread is, all
// of them by one question: large labs have thousands of namespaces. What else is in the
// namespace is left out.
func countersHere() (counters []counter, err error) {
	socket, err := openNFT()
	if err != nil {
		return nil, err
	}
	defer unix.Close(socket)
	question := netlink.Message{
		Header: netlink.Header{
			Length: unix.NLMSG_HDRLEN + nfGenMsgLen, Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETOBJ,
			Flags: netlink.Request | netlink.Dump,
		},
		Data: make([]byte, nfGenMsgLen), // of any family
	}
	text, err := question.MarshalBinary()
	if err != nil {
		return nil, err
	}
	if err := unix.Sendto(socket, text, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("ask nftables: %w", err)
	}
	buffer := answerBuffers.Get().(*[answerSize]byte)
	defer answerBuffers.Put(buffer)
	for {
		answers, err := receiveNFT(socket, buffer[:])
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			if errno := errorOf(a); errno != 0 {
				return nil, errno
			}
			if a.Header.Type == unix.NLMSG_DONE || a.Header.Type == unix.NLMSG_ERROR {
				return counters, nil
			}
			c, ours, err := counterOf(a.Data)
			if err != nil {
				return nil, fmt.Errorf("read the counters of nftables: %w", err)
			}
			if ours {
				counters = append(counters, c)
			}
		}
	}
}

// nfGenMsgLen is the size of struct nfgenmsg (Linux, include/uapi/linux/netfilter/nfnetlink.h).
const nfGenMsgLen = 4

// counterOf reads an object of nftables: see nf_tables_fill_obj_info in Linux,
// net/netfilter/nf_tables_api.c. It says whether that is a counter of one of our tables.
func counterOf(object []byte) (c counter, ours bool, err error) {
	if len(object) < nfGenMsgLen {
		return c, false, io.ErrUnexpectedEOF
	}
	attributes, err := netlink.NewAttributeDecoder(object[nfGenMsgLen:])
	if err != nil {
		return c, false, err
	}
	attributes.ByteOrder = binary.BigEndian
	c.family = nftables.TableFamily(object[0])
	ours = true
	for attributes.Next() {
		switch attributes.Type() {
		case unix.NFTA_OBJ_TABLE:
			ours = ours && attributes.String() == tableName
		case unix.NFTA_OBJ_NAME:
			c.name = attributes.String()
		case unix.NFTA_OBJ_TYPE:
			ours = ours && attributes.Uint32() == unix.NFT_OBJECT_COUNTER
		case unix.NFTA_OBJ_DATA:
			attributes.Nested(func(data *netlink.AttributeDecoder) error {
				for data.Next() {
					if data.Type() == unix.NFTA_COUNTER_PACKETS {
						c.packets = data.Uint64()
					}
				}
				return nil
			})
		}
	}
	return c, ours, attributes.Err()
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
