package dataplane

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
	"golang.org/x/sys/unix"
)

// RingConfig says how large a Ring is. The zero value is usable.
type RingConfig struct {
	// ENIs are the interfaces to serve: interface index to ENI.
	ENIs map[int]packet.ENI
	// Size is the memory of the ring in bytes; 0 means 8 MiB, or as much as
	// 256 slots take.
	Size int
	// SlotSize is the memory of one slot of the ring in bytes, a power of two
	// of at least 512; 0 means 2048, which holds an ordinary frame. A longer
	// one is received as a copy beside the ring. Where the receive buffer
	// cannot be made large (see CopyMemory), 131072 holds every superframe in
	// its slot.
	SlotSize int
	// CopyMemory is how many bytes of long frames may wait beside the ring,
	// and how many may be on their way after Write; 0 means 16 MiB. Without
	// CAP_NET_ADMIN over the machine it is limited to net.core.rmem_max and
	// net.core.wmem_max.
	CopyMemory int
	// FlowCache is whether the kernel forwards for established sessions.
	FlowCache FlowCacheConfig
	// Limiter limits bandwidths for the flow cache; nil: connections with a
	// bandwidth are not cached.
	Limiter Limiter

	shared *sharedCache // of all workers
	worker int          // whose ring it is
}

const (
	defaultRingSize   = 8 << 20
	defaultSlotSize   = 2048
	defaultSlots      = 256
	defaultCopyMemory = 16 << 20
	minSlotSize       = 512
	// ringBlock is the chunk of memory that slots are cut from.
	ringBlock = 64 << 10
)

func (c RingConfig) withDefaults() (RingConfig, error) {
	if c.SlotSize == 0 {
		c.SlotSize = defaultSlotSize
	}
	if c.Size == 0 {
		c.Size = max(defaultRingSize, defaultSlots*c.SlotSize)
	}
	if c.CopyMemory == 0 {
		c.CopyMemory = defaultCopyMemory
	}
	if c.SlotSize < minSlotSize || c.SlotSize&(c.SlotSize-1) != 0 {
		return c, fmt.Errorf("a ring cannot have slots of %d bytes: take a power of two from %d on",
			c.SlotSize, minSlotSize)
	}
	if c.Size < c.SlotSize {
		return c, fmt.Errorf("a ring of %d bytes does not hold one slot of %d bytes", c.Size, c.SlotSize)
	}
	return c, nil
}

// Ring is the Driver for real packets: one AF_PACKET socket with a
// TPACKET_V2 receive ring (linux/if_packet.h, packet_mmap in the kernel's
// documentation) for every interface of a network namespace. Every frame has
// its virtio-net header, so superframes come and go whole.
//
// A frame that fits its slot is handed out where the kernel put it. A longer
// one arrives twice: cut off in its slot, and whole in the socket's receive
// queue, from where it is copied into a buffer of the Ring.
//
// Where more than Burst frames wait, all are copied, and the ENIs take turns: see
// crowd.
type Ring struct {
	fd       int
	enis     atomic.Pointer[eniMap]
	counters counters
	waker    *waker
	closed   atomic.Bool

	readMu sync.Mutex // held by Read, so that Close waits for it
	mem    []byte     // the ring, shared with the kernel
	slots  slots
	lent   []*unix.Tpacket2Hdr // slots that the last Read handed out
	cells  cells
	taken  [][]byte // cells that the last Read handed out
	copies copies
	crowd  *crowd // frames in cells that are to be read
	poll   [2]unix.PollFd
	spin   spinner

	writeMu sync.Mutex // held by Write, so that Close waits for it
	sender  sender

	cache *ringCache // nil where there is none

	statsMu sync.Mutex // keeps fd open while the kernel's counters are read
}

// OpenRing opens a ring in the network namespace of the calling thread. The
// caller has locked its goroutine to the thread if that is not the namespace
// of the process; the Ring itself may be used from any thread. It needs
// CAP_NET_RAW in the namespace.
func OpenRing(cfg RingConfig) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	enis, err := newENIMap(cfg.ENIs)
	if err != nil {
		return nil, err
	}
	// A socket without a protocol receives nothing until it is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) {
		const hint = "run as root, or in a user namespace that owns the network namespace"
		return nil, fmt.Errorf("open a packet socket: %w: %s", err, hint)
	}
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	r := &Ring{fd: fd, cache: openRingCache(&cfg), crowd: newCrowd(crowdRoom)}
	r.enis.Store(enis)
	if err := r.setup(cfg); err != nil {
		r.cache.forget(fd)
		err = errors.Join(err, unix.Close(fd), r.cache.close())
		return nil, fmt.Errorf("open the packet ring: %w", err)
	}
	return r, nil
}

// setup configures the socket. The order matters: the kernel refuses the
// virtio header once there is a ring, and frames must not come before it.
func (r *Ring) setup(cfg RingConfig) error {
	for _, o := range []struct {
		name  string
		opt   int
		value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, unix.TPACKET_V2},
		{"PACKET_VNET_HDR", unix.PACKET_VNET_HDR, 1},
		{"PACKET_COPY_THRESH", unix.PACKET_COPY_THRESH, 1},
		{"PACKET_IGNORE_OUTGOING", unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.name, err)
		}
	}
	if err := setBuffer(r.fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.CopyMemory); err != nil {
		return fmt.Errorf("set the receive buffer: %w", err)
	}
	if err := setBuffer(r.fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.CopyMemory); err != nil {
		return fmt.Errorf("set the send buffer: %w", err)
	}
	if err := r.mapRing(cfg); err != nil {
		return err
	}
	var err error
	if r.waker, err = newWaker(); err != nil {
		_ = unix.Munmap(r.mem)
		return fmt.Errorf("make an eventfd: %w", err)
	}
	r.copies.init()
	r.cells.addLong(copyBuffers)
	r.sender.init()
	r.poll = [2]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}, {Fd: int32(r.waker.fd), Events: unix.POLLIN}}
	if err := r.cache.attach(r.fd, cfg.ENIs); err != nil {
		_ = unix.Munmap(r.mem)
		_ = r.waker.close()
		return err
	}
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL)}); err != nil {
		_ = unix.Munmap(r.mem)
		_ = r.waker.close()
		return fmt.Errorf("bind the packet socket: %w", err)
	}
	return nil
}

// setBuffer sets a socket buffer beyond the machine's limit, or up to it
// where that is not allowed.
func setBuffer(fd, force, plain, size int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size)
	if errors.Is(err, unix.EPERM) {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
	return err
}

func (r *Ring) mapRing(cfg RingConfig) error {
	block := max(ringBlock, cfg.SlotSize)
	blocks := (cfg.Size + block - 1) / block
	n := blocks * (block / cfg.SlotSize)
	req := unix.TpacketReq{
		Block_size: uint32(block), Block_nr: uint32(blocks),
		Frame_size: uint32(cfg.SlotSize), Frame_nr: uint32(n),
	}
	if err := unix.SetsockoptTpacketReq(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("get %d bytes for the ring: %w", blocks*block, err)
	}
	mem, err := unix.Mmap(r.fd, 0, blocks*block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the ring: %w", err)
	}
	r.mem = mem
	r.slots = slots{mem: mem, size: cfg.SlotSize, n: n}
	r.lent = make([]*unix.Tpacket2Hdr, 0, n)
	return nil
}

// SetENIs changes which interfaces are served, from any goroutine. Frames
// that are on their way may still see the old ones.
func (r *Ring) SetENIs(enis map[int]packet.ENI) error {
	m, err := newENIMap(enis)
	if err != nil {
		return err
	}
	r.enis.Store(m)
	r.cache.setENIs(enis)
	return nil
}

// Read implements Driver.
func (r *Ring) Read(frames []packet.Frame) (int, error) {
	r.readMu.Lock()
	defer r.readMu.Unlock()
	if r.closed.Load() {
		return 0, errRingClosed
	}
	r.giveBack()
	for {
		n := r.collect(frames)
		if n > 0 {
			r.spin.sawFrames()
			r.counters.read(frames[:n])
			return n, nil
		}
		if r.closed.Load() {
			return 0, errRingClosed
		}
		if r.waker.take() {
			return 0, nil
		}
		if r.spin.spin(r.ready, time.Now) {
			continue
		}
		if err := r.wait(); err != nil {
			return 0, err
		}
	}
}

var errRingClosed = fmt.Errorf("packet ring: %w", os.ErrClosed)

// giveBack returns the slots of the last Read to the kernel, and its cells.
func (r *Ring) giveBack() {
	for _, h := range r.lent {
		release(h)
	}
	r.lent = r.lent[:0]
	for _, cell := range r.taken {
		r.cells.put(cell)
	}
	r.taken = r.taken[:0]
}

// collect takes the frames that are there: in the order in which they came, unless
// that are so many that the ENIs take turns.
func (r *Ring) collect(frames []packet.Frame) (n int) {
	if !r.crowd.wants(time.Now()) && !r.slots.filled(Burst) {
		return r.fromRing(frames)
	}
	r.sort()
	n = r.crowd.take(frames[:min(len(frames), crowdBurst)])
	for i := range frames[:n] {
		r.taken = append(r.taken, frames[i].Data)
	}
	return n
}

// fromRing takes frames where the kernel put them.
func (r *Ring) fromRing(frames []packet.Frame) (n int) {
	enis := r.enis.Load()
	var lost lostFrames
	for ; n < len(frames); n++ {
		h, ok := r.next(&frames[n], enis, &lost)
		if !ok {
			break
		}
		if h != nil {
			r.lent = append(r.lent, h)
		} else {
			r.taken = append(r.taken, frames[n].Data)
		}
	}
	r.counters.lost(&lost)
	return n
}

// sort moves the frames of the ring to the crowd, so that the kernel has its slots
// again, and drops those that the crowd does not admit.
func (r *Ring) sort() {
	enis := r.enis.Load()
	var lost lostFrames
	defer r.counters.lost(&lost)
	for {
		var f packet.Frame
		h, ok := r.next(&f, enis, &lost)
		if !ok {
			return
		}
		admitted := r.crowd.admits(&f)
		if h != nil && admitted {
			cell := r.cells.get(len(f.Data))
			if cell == nil { // it is long, and stays in its slot for now
				r.slots.back()
				return
			}
			copy(cell, f.Data)
			f.Data = cell
		}
		if h != nil {
			release(h)
		}
		switch {
		case admitted:
			r.crowd.put(&f)
			continue
		case h == nil:
			r.cells.put(f.Data)
		}
		r.counters.crowd(f.ENI)
	}
}

// next makes f the next frame of the ring, and returns its slot: nil where the frame
// is in a cell. It is false where there is none, or no cell for it.
func (r *Ring) next(f *packet.Frame, enis *eniMap, lost *lostFrames) (h *unix.Tpacket2Hdr, ok bool) {
	for {
		h := r.slots.head()
		status := atomic.LoadUint32(&h.Status)
		if status&unix.TP_STATUS_USER == 0 {
			return nil, false
		}
		eni := enis.byIndex[r.slots.address(h).Ifindex]
		isForeign := eni == 0 || status&unix.TP_STATUS_VLAN_VALID != 0
		switch {
		case status&unix.TP_STATUS_COPY != 0:
			cell := r.cells.get(copyBuffer)
			if cell == nil {
				return nil, false
			}
			// Read it in any case: the copies stand in the order of the slots.
			data, offload, ok := r.copies.receive(r.fd, cell, h.Len)
			r.slots.advance()
			release(h)
			if ok && !isForeign {
				*f = packet.Frame{ENI: eni, Data: data, Offload: offload}
				return nil, true
			}
			r.cells.put(cell)
			if ok {
				lost.foreign++
			} else {
				lost.copies++
			}
		case isForeign:
			r.slots.advance()
			release(h)
			lost.foreign++
		case h.Len > h.Snaplen:
			r.slots.advance()
			release(h)
			lost.copies++ // the receive queue was full
		default:
			f.ENI = eni
			f.Data, f.Offload = r.slots.frame(h)
			r.slots.advance()
			return h, true
		}
	}
}

// ready says whether there is a frame or a wake, without a system call.
func (r *Ring) ready() bool {
	return atomic.LoadUint32(&r.slots.head().Status)&unix.TP_STATUS_USER != 0 || r.waker.pending.Load()
}

// wait blocks until there may be a frame or a wake. All slots are with the
// kernel: it reports the socket as readable while the last one is not.
func (r *Ring) wait() error {
	for {
		_, err := unix.Poll(r.poll[:], -1)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for packets: %w", err)
		}
	}
	if r.poll[1].Revents != 0 {
		r.waker.drain()
	}
	if r.poll[0].Revents&unix.POLLERR != 0 {
		// Reading the error clears it. That an interface went down is no
		// reason to stop serving the others.
		code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			return fmt.Errorf("read the error of the packet socket: %w", err)
		}
		if e := unix.Errno(code); e != 0 && e != unix.ENETDOWN {
			return fmt.Errorf("packet socket: %w", e)
		}
	}
	return nil
}

// Wake implements Driver.
func (r *Ring) Wake() { r.waker.wake() }

// Stats implements Driver.
func (r *Ring) Stats() DriverStats {
	r.addRingDrops()
	return r.counters.stats()
}

// takeCrowded implements crowdedDriver.
func (r *Ring) takeCrowded(tell func(packet.ENI, uint64)) { r.counters.takeCrowded(tell) }

// addRingDrops asks the kernel what it dropped; the kernel then starts from zero.
func (r *Ring) addRingDrops() {
	r.statsMu.Lock()
	defer r.statsMu.Unlock()
	if r.fd < 0 {
		return
	}
	if st, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		r.counters.ringDrops.Add(uint64(st.Drops))
	}
}

// Close implements Driver.
func (r *Ring) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	r.waker.wake()
	r.readMu.Lock()
	defer r.readMu.Unlock()
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	r.addRingDrops()
	r.statsMu.Lock()
	defer r.statsMu.Unlock()
	r.cache.forget(r.fd)
	err := errors.Join(unix.Munmap(r.mem), unix.Close(r.fd), r.waker.close(), r.cache.close())
	r.fd, r.mem, r.lent, r.slots, r.sender = -1, nil, nil, slots{}, sender{}
	if err != nil {
		return fmt.Errorf("close the packet ring: %w", err)
	}
	return nil
}

// slots walks the ring in the order in which the kernel fills it.
type slots struct {
	mem  []byte
	size int
	n    int
	next int
}

func (s *slots) head() *unix.Tpacket2Hdr {
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(&s.mem[s.next*s.size]))
}

func (s *slots) advance() {
	if s.next++; s.next == s.n {
		s.next = 0
	}
}

// back undoes advance.
func (s *slots) back() {
	if s.next--; s.next < 0 {
		s.next = s.n - 1
	}
}

// filled says whether the next count slots have frames, of a ring that is larger.
func (s *slots) filled(count int) bool {
	if count >= s.n {
		return false
	}
	at := (s.next + count - 1) % s.n
	h := (*unix.Tpacket2Hdr)(unsafe.Pointer(&s.mem[at*s.size]))
	return atomic.LoadUint32(&h.Status)&unix.TP_STATUS_USER != 0
}

// address is where the kernel says from which interface the frame came:
// behind the slot's header, aligned to TPACKET_ALIGNMENT.
func (s *slots) address(h *unix.Tpacket2Hdr) *unix.RawSockaddrLinklayer {
	const at = (unix.SizeofTpacket2Hdr + unix.TPACKET_ALIGNMENT - 1) &^ (unix.TPACKET_ALIGNMENT - 1)
	return (*unix.RawSockaddrLinklayer)(unsafe.Add(unsafe.Pointer(h), at))
}

// frame is the frame in a slot. Its capacity ends where the slot ends; the
// virtio header stands right in front of it.
func (s *slots) frame(h *unix.Tpacket2Hdr) ([]byte, packet.Offload) {
	slot := unsafe.Slice((*byte)(unsafe.Pointer(h)), s.size)
	mac := int(h.Mac)
	return slot[mac : mac+int(h.Snaplen) : s.size], readVnetHdr(slot[mac-vnetHdrLen : mac])
}

// release gives a slot back to the kernel.
func release(h *unix.Tpacket2Hdr) {
	atomic.StoreUint32(&h.Status, unix.TP_STATUS_KERNEL)
}

// bigEndian is htons.
func bigEndian(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return *(*uint16)(unsafe.Pointer(&b))
}
