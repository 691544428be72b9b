package flowcache

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"
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
	// AtOnce attaches the programs before there is a flow for them. It is for
	// tests: otherwise packets pay nothing until a session is to be cached.
	AtOnce bool
	// Linger is how long the programs stay where no session is cached any more;
	// 0 means 200 ms.
	Linger time.Duration
}

const defaultLinger = 200 * time.Millisecond

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

	atOnce bool
	linger time.Duration
	wanted chan struct{} // there are devices that want the classifier
	quit   chan struct{}
	kept   chan struct{} // closed when keep has ended

	places atomic.Pointer[map[packet.ENI]*device] // never changed, only replaced

	mu       sync.Mutex
	hook     Hook
	netns    *os.File         // in which the ENIs are
	devices  map[int]*device  // those of places, by interface index
	sockets  map[int]struct{} // of the session tables
	filtered bool             // they have the filter
	problem  error            // why the programs could not be attached
	left     *left            // of an earlier process; nil where there is nothing
	stays    bool             // Leave was called
	closed   bool
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
	if cfg.Linger == 0 {
		cfg.Linger = defaultLinger
	}
	c := &Cache{
		hook: cfg.Hook, atOnce: cfg.AtOnce, linger: cfg.Linger,
		wanted: make(chan struct{}, 1), quit: make(chan struct{}), kept: make(chan struct{}),
		devices: map[int]*device{}, sockets: map[int]struct{}{},
	}
	c.places.Store(&map[packet.ENI]*device{})
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
	c.inherit()
	go c.keep()
	return c, nil
}

func (c *Cache) mapMemory(slots int) (err error) {
	c.slotsMap, err = mapArray(c.objects.Slots, int(unsafe.Sizeof(slot.Slot{})))
	if err != nil {
		return fmt.Errorf("map the slots: %w", err)
	}
	c.gatesMap, err = mapArray(c.objects.Gates, gateSize)
	if err != nil {
		return fmt.Errorf("map the gates: %w", err)
	}
	c.slots = unsafe.Slice((*slot.Slot)(unsafe.Pointer(&c.slotsMap[0])), slots)
	c.gates = words(c.gatesMap)
	return nil
}

const gateSize = 8

// words are memory as what gates are.
func words(memory []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), len(memory)/gateSize)
}

// mapArray maps the memory of an array with BPF_F_MMAPABLE.
func mapArray(m *ebpf.Map, size int) ([]byte, error) {
	page := os.Getpagesize()
	length := (int(m.MaxEntries())*size + page - 1) &^ (page - 1)
	return unix.Mmap(m.FD(), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Worker is the part of a worker's session table.
func (c *Cache) Worker(n int) *Worker { return c.workers[n] }

// inNamespaceDo is inNamespace for what cannot fail.
func (c *Cache) inNamespaceDo(f func()) {
	_ = c.inNamespace(func() error {
		f()
		return nil
	})
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

var errClosed = fmt.Errorf("flow cache: %w", os.ErrClosed)

// shutAll lets no flow pass before its table has looked at it.
func (c *Cache) shutAll() {
	for _, w := range c.workers {
		w.shutAll()
	}
}

// Leave makes Close leave the flows in the kernel, for another process that takes
// the sessions over.
func (c *Cache) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stays = true
}

// Close lets all packets go to the packet sockets again, and takes the classifiers
// away. Session tables must not be used any more. What an earlier process has left
// stays unless Settle was called.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if c.workers != nil {
		c.mu.Unlock()
		close(c.quit)
		<-c.kept
		c.mu.Lock()
	}
	if !c.stays {
		// The filter first: what it has kept from the ring is the classifier's.
		c.shutAll()
		c.unfilter()
		c.detach(slices.Collect(maps.Values(c.devices)))
	}
	if c.left != nil {
		c.left.close()
	}
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
