package lab

import (
	"context"
	"io/fs"
	"net"
	"net/netip"
	"sync"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Progress is told what is being done. Total is 0 where nobody knows it.
type Progress = func(done, total int, what string)

// Machine is what a lab stands on: it has a network space for each VPC,
// instance and node of an ALB of a plan, and carries frames between those
// spaces and the data plane. A lab calls its methods one at a time, except for
// Space, which any goroutine may call.
type Machine interface {
	// Change makes what the old plan says into what plan says. An old plan of
	// nil means that nothing is known of what there is: it is removed first.
	// When Change fails or ctx ends, the machine is as the old plan says.
	Change(ctx context.Context, old, plan *topology.Plan, progress Progress) error
	// Remove removes everything. It succeeds where there is nothing.
	Remove(ctx context.Context) error
	// Space opens a space by the name that the plan gives it. The lab closes it.
	Space(name string) (Space, error)
	// Dataplane makes the data plane that gets the frames of the ENIs. The lab
	// closes it.
	Dataplane(cfg dataplane.EngineConfig, workers int) (*dataplane.Workers, error)
	// Connect tells the data plane's drivers the numbers of the plan's ENIs.
	Connect(plan *topology.Plan, numbers compile.Numbers) error
	// SetHosts makes these the names that programs on an instance find in its
	// hosts file, beside its own.
	SetHosts(instance *topology.Instance, names []topology.HostName) error
}

// Mender is a Machine that outlives the process that changes it.
type Mender interface {
	// Mend makes the machine that of plan again, which it was until a process was
	// killed in Change, on the way to half. What both have goes on. When it fails
	// nothing is known of the machine.
	Mend(ctx context.Context, plan, half *topology.Plan, progress Progress) error
}

// Space is one network space of a machine: its sockets are in the VPC, or on
// the instance, whose space it is. Addresses are IP addresses with ports.
type Space interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	// DialFrom dials from one of the space's addresses; the zero one leaves the
	// choice to the space.
	DialFrom(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error)
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
	// Denied counts the packets that the security groups of an instance dropped.
	Denied() (uint64, error)
	// Spoofed counts the frames that the source/destination checks in the space
	// dropped, by device: in a VPC's what instances sent, by their ports, in an
	// instance's what was for others.
	Spoofed() (map[string]uint64, error)
	Close() error
}

// Counts is what the firewalls in one space have dropped: see Space.
type Counts struct {
	Denied  uint64
	Spoofed map[string]uint64
}

// Counter is a Machine that reads the counters of many spaces faster than one by one.
// What cannot be read is left out.
type Counter interface {
	Counts(spaces []string) map[string]Counts
}

// Runner is a Space in which programs run, as "command:" services ask for.
type Runner interface {
	// Run starts a program, or takes up the one that an earlier process of the lab
	// has started under the same name. ended hears once, in another goroutine, how it
	// ended, which is Succeeded where it did, and where its output is; stop ends it and
	// what it started, and returns when that has ended and ended has returned.
	Run(p Program, ended func(how, log string)) (stop func(), err error)
}

// Program is what a Runner runs.
type Program struct {
	Name   string // that tells it from all others of the lab
	Argv   []string
	Env    []string // NAME=VALUE, beside what it has from the lab's process
	Beside string   // the directory in which it runs
}

// Succeeded is how a program ends of which nobody has to hear.
const Succeeded = "exit status 0"

// ProgramKeeper is a Machine whose programs outlive the process that started them.
type ProgramKeeper interface {
	// EndOthers ends those that are not to be kept.
	EndOthers(keep func(name string) bool) error
}

// Truster is a Machine whose programs have a list of certificate authorities.
type Truster interface {
	// Authorities is the machine's own list, in PEM.
	Authorities() ([]byte, error)
	// Trust makes list the one that programs on instances see.
	Trust(list []byte) error
}

// Store keeps what a lab needs when another process takes it over.
type Store interface {
	// Load returns an error that is fs.ErrNotExist where nothing was saved.
	Load(name string) ([]byte, error)
	// Save replaces what was saved at once: a reader gets the old text or the
	// new. A nil text removes it.
	Save(name string, text []byte) error
	// String says where that is, for people.
	String() string
}

// MemoryStore is a Store of a lab that ends with its process. The zero value is
// empty.
type MemoryStore struct {
	mu    sync.Mutex
	files map[string][]byte
}

// Load implements Store.
func (m *MemoryStore) Load(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, ok := m.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "load", Path: name, Err: fs.ErrNotExist}
	}
	return append([]byte{}, text...), nil
}

// Save implements Store.
func (m *MemoryStore) Save(name string, text []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if text == nil {
		delete(m.files, name)
		return nil
	}
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[name] = append([]byte{}, text...)
	return nil
}

func (m *MemoryStore) String() string { return "memory" }
