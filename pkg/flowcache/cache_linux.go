package flowcache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/flowcache/slot"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Config says how large a Cache is. The zero value is usable.
type Config struct {
	// Sessions is how many may be cached; 0 means DefaultSessions. Each takes
	// 256 bytes from the start, and 200 more while it is cached.
	Sessions int
	// Workers is how many session tables share the cache; 0 is one. Each has its
	// part of the room.
	Workers int
	// Hook is where the classifier is attached; the zero value is the best that
	// the kernel has.
	Hook Hook
}

// DefaultSessions is the room of a Cache whose Config names none: 4 MiB of slots.
const DefaultSessions = 1 << 14

// MaxSessions is the largest room of a Cache.
const MaxSessions = 1 << 24

// gatesPerWorker is how many links of one table may have cached sessions. Those
// with a higher number stay in userspace.
const gatesPerWorker = 1 << 10

// Cache is the programs and their memory. Its methods may be called from any
// goroutine.
type Cache struct {
	objects  flowcacheObjects
	slotsMap []byte
	gatesMap []byte
	slots    []slot.Slot
	gates    []uint64
	workers  []*Worker

	mu       sync.Mutex
	hook     Hook
	netns    *os.File // in which the ENIs are
	devices  map[packet.ENI]device
	attached map[int]io.Closer // the classifier, by interface index
	closed   bool
}

// device is where an ENI is.
type device struct {
	index uint32
	peer  bool // one end of a pair of which the other is in another namespace
}

// Open loads the programs, for the ENIs in the network namespace of the calling
// thread. It fails where the kernel has no eBPF, or the process
// may not use it.
func Open(cfg Config) (*Cache, error) {
	if cfg.Sessions == 0 {
		cfg.Sessions = DefaultSessions
	}
	cfg.Workers = max(cfg.Workers, 1)
	if cfg.Sessions < cfg.Workers || cfg.Sessions > MaxSessions {
		return nil, fmt.Errorf("a flow cache for %d sessions of %d workers: want at least one for each, and at most %d",
			cfg.Sessions, cfg.Workers, MaxSessions)
	}
	c := &Cache{hook: cfg.Hook, devices: map[packet.ENI]device{}, attached: map[int]io.Closer{}}
	spec, err := loadFlowcache()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	perWorker := 2 * (cfg.Sessions / cfg.Workers)
	spec.Maps["numbers"].MaxEntries = uint32(perWorker * cfg.Workers)
	spec.Maps["slots"].MaxEntries = uint32(perWorker * cfg.Workers)
	spec.Maps["gates"].MaxEntries = uint32(gatesPerWorker * cfg.Workers)
	if features.HaveProgramHelper(ebpf.SchedCLS, asm.FnRedirectPeer) != nil {
		if err := spec.Variables["PEERS"].Set(uint32(0)); err != nil {
			return nil, err
		}
	}
	// Before Linux 5.11 the memory counted as locked.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit of locked memory: %w", err)
	}
	if err := spec.LoadAndAssign(&c.objects, nil); err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	if c.netns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.mapMemory(perWorker * cfg.Workers); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for n := range cfg.Workers {
		c.workers = append(c.workers, newWorker(c, n, perWorker))
	}
	return c, nil
}

func (c *Cache) mapMemory(slots int) (err error) {
	c.slotsMap, err = mapArray(c.objects.Slots, int(unsafe.Sizeof(slot.Slot{})))
	if err != nil {
		return fmt.Errorf("map the slots: %w", err)
	}
	c.gatesMap, err = mapArray(c.objects.Gates, 8)
	if err != nil {
		return fmt.Errorf("map the gates: %w", err)
	}
	c.slots = unsafe.Slice((*slot.Slot)(unsafe.Pointer(&c.slotsMap[0])), slots)
	c.gates = unsafe.Slice((*uint64)(unsafe.Pointer(&c.gatesMap[0])), int(c.objects.Gates.MaxEntries()))
	return nil
}

// mapArray maps the memory of an array with BPF_F_MMAPABLE.
func mapArray(m *ebpf.Map, size int) ([]byte, error) {
	page := os.Getpagesize()
	length := (int(m.MaxEntries())*size + page - 1) &^ (page - 1)
	return unix.Mmap(m.FD(), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Worker is the part of a worker's session table.
func (c *Cache) Worker(n int) *Worker { return c.workers[n] }

// Filter makes a packet socket see only what the cache does not take. It is for a
// socket that has not been bound yet: one without the filter would get packets
// that the cache forwards too.
func (c *Cache) Filter(socket int) error {
	err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, c.objects.RingFilter.FD())
	if err != nil {
		return fmt.Errorf("attach the flow cache's filter: %w", err)
	}
	return nil
}

// SetENIs says where ENIs are, by interface index, and puts the classifier there.
// Where it cannot be put, flows of the ENI are not cached; the error names those.
func (c *Cache) SetENIs(enis map[int]packet.ENI) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	return c.inNamespace(func() error { return c.setENIs(enis) })
}

// inNamespace runs f on a thread that is in the namespace of the ENIs, and ends
// with it.
func (c *Cache) inNamespace(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(c.netns.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter the namespace of the ENIs: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}

func (c *Cache) setENIs(enis map[int]packet.ENI) error {
	peers, err := pairs()
	if err != nil {
		return err
	}
	var errs []error
	devices := make(map[packet.ENI]device, len(enis))
	for index, eni := range enis {
		if c.attached[index] == nil {
			closer, err := c.attach(index)
			if err != nil {
				errs = append(errs, fmt.Errorf("interface %d: %w", index, err))
				continue
			}
			c.attached[index] = closer
		}
		devices[eni] = device{uint32(index), peers[index]}
	}
	for index, closer := range c.attached {
		if _, stays := enis[index]; !stays {
			_ = closer.Close() // where the device is gone, the classifier went with it
			delete(c.attached, index)
		}
	}
	for eni, before := range c.devices {
		if devices[eni] != before {
			c.shutAll()
			break
		}
	}
	c.devices = devices
	return errors.Join(errs...)
}

// pairs are the devices of the namespace that are one end of a pair with the other
// in another namespace.
func pairs() (map[int]bool, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the devices of ENIs: %w", err)
	}
	out := map[int]bool{}
	for _, l := range links {
		out[l.Attrs().Index] = l.Type() == "veth" && l.Attrs().NetNsID >= 0
	}
	return out, nil
}

var errClosed = fmt.Errorf("flow cache: %w", os.ErrClosed)

// Attached says where the classifier is: "tcx", "clsact", or "" as long as there is no ENI.
func (c *Cache) Attached() Hook {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.attached) == 0 {
		return ""
	}
	return c.hook
}

// shutAll lets no flow pass before its table has looked at it.
func (c *Cache) shutAll() {
	for _, w := range c.workers {
		w.shutAll()
	}
}

func (c *Cache) device(eni packet.ENI) (device, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.devices[eni]
	return d, ok
}

// Close lets all packets go to the packet sockets again, and takes the classifiers
// away. Session tables must not be used any more.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	// The filter first: what it has kept from the ring is the classifier's.
	c.shutAll()
	for _, closer := range c.attached {
		_ = closer.Close()
	}
	c.attached = nil
	errs := []error{c.objects.Close()}
	if c.netns != nil {
		errs = append(errs, c.netns.Close())
	}
	for _, mapped := range [][]byte{c.slotsMap, c.gatesMap} {
		if mapped != nil {
			errs = append(errs, unix.Munmap(mapped))
		}
	}
	c.slots, c.gates = nil, nil
	return errors.Join(errs...)
}
