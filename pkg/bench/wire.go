package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/packet"
)

// wire is an instance's device, as a tester sees it: whole frames go out, and come in
// with the time at which they came.
type wire struct {
	fd     int
	link   int // the device's number
	maker  maker
	forced bool // the receive buffer is as large as it was asked to be
}

const (
	// wireBuffer is the receive buffer in bytes: what the receiver itself would lose is
	// not to be measured.
	wireBuffer = 64 << 20
	wireBatch  = 64
	longest    = 64<<10 + vnetHeader
	vnetHeader = 10 // struct virtio_net_hdr (linux/virtio_net.h)
)

// openWire opens the device that leads to an address.
func openWire(to netip.Addr) (_ *wire, err error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return nil, fmt.Errorf("no route to %s: %w", to, err)
	}
	device, err := net.InterfaceByIndex(routes[0].LinkIndex)
	if err != nil {
		return nil, err
	}
	ipv4 := binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	w := &wire{fd: fd, link: device.Index}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	copy(w.maker.mac[:], device.HardwareAddr)
	w.forced = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wireBuffer) == nil
	if !w.forced {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, wireBuffer)
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ipv4, Ifindex: device.Index}),
	); err != nil {
		return nil, fmt.Errorf("open %s: %w", device.Name, err)
	}
	return w, keepFromKernel()
}

// drops is how many frames found no room in the receive buffer since it was last asked.
func (w *wire) drops() uint64 {
	st, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return uint64(st.Drops)
}

// keepFromKernel drops the frames of loads behind the device, where no socket waits for
// them: the kernel would answer each with an error.
func keepFromKernel() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: "bench-load", Family: nftables.TableFamilyIPv4}
	conn.AddTable(table)
	conn.FlushTable(table)
	chain := conn.AddChain(&nftables.Chain{Name: "prerouting", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw})
	const fromPort, toPort = 0, 2 // in the headers of TCP and UDP
	for _, at := range []uint32{fromPort, toPort} {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: at, Len: 2},
			&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: binaryutil.BigEndian.PutUint16(firstFlowPort),
				ToData: binaryutil.BigEndian.PutUint16(firstFlowPort + flowPorts - 1)},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("keep the frames of a load from the instance's kernel: %w", err)
	}
	return nil
}

// nextHop is the MAC to which frames for an address go.
func (w *wire) nextHop(ctx context.Context, to netip.Addr) (mac packet.MAC, err error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return mac, fmt.Errorf("no route to %s: %w", to, err)
	}
	hop := routes[0].Gw
	if hop == nil {
		hop = to.AsSlice()
	}
	for {
		neighbours, err := netlink.NeighList(w.link, unix.AF_INET)
		if err != nil {
			return mac, err
		}
		for _, n := range neighbours {
			if n.IP.Equal(hop) && len(n.HardwareAddr) == len(mac) {
				return packet.MAC(n.HardwareAddr), nil
			}
		}
		if conn, err := net.Dial("udp4", netip.AddrPortFrom(to, countPort).String()); err == nil {
			_, _ = conn.Write(nil) // so that the kernel asks
			conn.Close()
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return mac, fmt.Errorf("nobody has the address %s: %w", hop, err)
		}
	}
}

// outgoing is a batch of frames to send. It belongs to one thread.
type outgoing struct {
	buffer [wireBatch][vnetHeader + maxFrame]byte
	iov    [wireBatch]unix.Iovec
	msgs   [wireBatch]mmsghdr
	n      int
}

// next is where the next frame is to be written; full says when there is none.
func (o *outgoing) next() []byte { return o.buffer[o.n][vnetHeader:] }
func (o *outgoing) full() bool   { return o.n == wireBatch }

func (o *outgoing) add(frame []byte) {
	o.iov[o.n].Base = &o.buffer[o.n][0]
	o.iov[o.n].SetLen(vnetHeader + len(frame))
	o.msgs[o.n].hdr.Iov = &o.iov[o.n]
	o.msgs[o.n].hdr.SetIovlen(1)
	o.n++
}

// send sends the batch. A frame for which the device has no room is lost.
func (o *outgoing) send(w *wire) error {
	defer func() { o.n = 0 }()
	for from := 0; from < o.n; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&o.msgs[from])),
			uintptr(o.n-from), 0, 0, 0)
		switch errno {
		case 0:
			from += int(n)
		case unix.EINTR, unix.EAGAIN:
		case unix.ENOBUFS:
			from++
		default:
			return os.NewSyscallError("sendmmsg", errno)
		}
	}
	return nil
}

// incoming is a batch of received frames. It belongs to one thread.
type incoming struct {
	buffer  []byte // wireBatch times longest
	control [wireBatch][64]byte
	iov     [wireBatch]unix.Iovec
	msgs    [wireBatch]mmsghdr
}

func newIncoming() *incoming {
	in := &incoming{buffer: make([]byte, wireBatch*longest)}
	for i := range in.msgs {
		in.iov[i].Base = &in.buffer[i*longest]
		in.iov[i].SetLen(longest)
		in.msgs[i].hdr.Iov = &in.iov[i]
		in.msgs[i].hdr.SetIovlen(1)
		in.msgs[i].hdr.Control = &in.control[i][0]
	}
	return in
}

// receive calls each for what came, and returns how many frames there were. flags are
// those of recvmmsg(2). Datagrams that came joined are handed over one by one: l4 is the
// header of UDP, and payload belongs to one of them.
func (in *incoming) receive(w *wire, flags int, each func(f *arrived)) (int, error) {
	for i := range in.msgs {
		in.msgs[i].hdr.SetControllen(len(in.control[i]))
	}
	r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&in.msgs[0])), wireBatch,
		uintptr(flags), 0, 0)
	switch errno {
	case 0:
	case unix.EINTR, unix.EAGAIN:
		return 0, nil
	default:
		return 0, os.NewSyscallError("recvmmsg", errno)
	}
	for i := range int(r) {
		in.split(i, each)
	}
	return int(r), nil
}

// arrived is a datagram or segment that came.
type arrived struct {
	at      int64 // nanoseconds since 1970
	proto   byte
	frame   []byte // with the headers
	l4      []byte // of the frame
	payload []byte // of the datagram or segment
}

func (a *arrived) from() (ip [4]byte, port uint16) {
	return [4]byte(a.frame[ipAt+12:]), uint16(a.l4[0])<<8 | uint16(a.l4[1])
}

func (a *arrived) toPort() uint16 { return uint16(a.l4[2])<<8 | uint16(a.l4[3]) }

const gsoUDP = 5 // VIRTIO_NET_HDR_GSO_UDP_L4

func (in *incoming) split(i int, each func(*arrived)) {
	data := in.buffer[i*longest:][:in.msgs[i].len]
	if len(data) < vnetHeader+payloadAt {
		return
	}
	vnet, frame := data[:vnetHeader], data[vnetHeader:]
	length := int(frame[ipAt+2])<<8 | int(frame[ipAt+3])
	if frame[ipAt] != 0x45 || length > len(frame)-ipAt || length < payloadAt-ipAt {
		return
	}
	a := arrived{at: in.stamp(i), proto: frame[ipAt+9], frame: frame, l4: frame[l4At : ipAt+length]}
	switch a.proto {
	case protoUDP:
		a.payload = a.l4[8:]
	case protoTCP:
		at := int(a.l4[min(12, len(a.l4)-1)]>>4) * 4
		if len(a.l4) < 20 || at < 20 || at > len(a.l4) {
			return
		}
		a.payload = a.l4[at:]
	default:
		return
	}
	size := int(binary.NativeEndian.Uint16(vnet[4:]))
	if vnet[1]&0x7f != gsoUDP || size == 0 {
		each(&a)
		return
	}
	for rest := a.payload; len(rest) > 0; {
		n := min(size, len(rest))
		a.payload, rest = rest[:n], rest[n:]
		each(&a)
	}
}

// stamp is when the kernel received a frame (SO_TIMESTAMPNS).
func (in *incoming) stamp(i int) int64 {
	c := in.control[i][:in.msgs[i].hdr.Controllen]
	if len(c) >= unix.CmsgLen(16) {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS {
			return (*unix.Timespec)(unsafe.Pointer(&c[unix.CmsgLen(0)])).Nano()
		}
	}
	return time.Now().UnixNano()
}
