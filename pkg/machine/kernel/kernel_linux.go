// Package kernel is the machine that labs stand on in Linux: a network
// namespace for each space, as package host makes them, and packet rings for
// the data plane.
package kernel

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Machine is the part of the kernel that belongs to one lab. It implements
// lab.Machine, lab.Mender, lab.Truster, lab.Opener, lab.Counter and lab.ProgramKeeper.
type Machine struct {
	dir       labdir.Dir
	lasting   bool
	dataplane string          // its namespace
	indexes   map[string]int  // of devices there that are known; it is not changed but replaced
	numbers   compile.Numbers // that the rings know, of these devices
	rings     *dataplane.RingWorkers
	// FlowCache is how its data plane uses the kernel's help. It may be changed
	// before the lab starts.
	FlowCache dataplane.FlowCacheConfig

	limiter limiter
}

// New makes a machine whose namespaces are pinned in dir, with the flow cache that
// the environment asks for.
func New(dir labdir.Dir) *Machine {
	m := &Machine{dir: dir}
	m.FlowCache, _ = dataplane.ParseFlowCache(DefaultFlowCache())
	return m
}

// FlowCacheVariable is the variable of the environment that says which flow cache
// there is where nothing else does, as "plinksim up --flow-cache" would.
const FlowCacheVariable = "PLINKSIM_FLOW_CACHE"

// DefaultFlowCache is what the environment asks for, or what is usual.
func DefaultFlowCache() string {
	return cmp.Or(os.Getenv(FlowCacheVariable), string(dataplane.FlowCacheOff))
}

// NewLasting makes a machine that another process takes over when this one ends in
// whatever manner, with the programs on its instances and the sessions of its data
// plane.
func NewLasting(dir labdir.Dir) *Machine {
	m := New(dir)
	m.lasting = true
	return m
}

// Change implements lab.Machine.
func (m *Machine) Change(ctx context.Context, old, plan *topology.Plan, progress lab.Progress) error {
	if old == nil {
		if err := host.Remove(ctx, string(m.dir)); err != nil {
			return err
		}
	}
	others, err := host.ChangeTold(ctx, string(m.dir), old, plan, progress)
	if err != nil {
		m.indexes = nil
		return err
	}
	if len(others) > 0 {
		m.indexes = maps.Clone(m.indexes)
	}
	for _, device := range others {
		delete(m.indexes, device)
	}
	m.dataplane = plan.Dataplane
	return nil
}

// Mend implements lab.Mender.
func (m *Machine) Mend(ctx context.Context, plan, half *topology.Plan, progress lab.Progress) error {
	m.indexes = nil
	return host.Mend(ctx, string(m.dir), plan, half, progress)
}

// Remove implements lab.Machine.
func (m *Machine) Remove(ctx context.Context) error { return host.Remove(ctx, string(m.dir)) }

// Space implements lab.Machine.
func (m *Machine) Space(name string) (lab.Space, error) {
	ns, err := host.Open(string(m.dir), name)
	if err != nil {
		return nil, err
	}
	return &space{Namespace: ns, dir: m.dir, name: name, lasting: m.lasting}, nil
}

// Dataplane implements lab.Machine.
func (m *Machine) Dataplane(cfg dataplane.EngineConfig, workers int) (*dataplane.Workers, error) {
	ns, err := host.Open(string(m.dir), m.dataplane)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if m.lasting {
		if cfg.Kept, err = dataplane.OpenKept(host.Sessions(string(m.dir))); err != nil {
			return nil, err
		}
	}
	err = ns.Do(func() (err error) {
		m.rings, err = dataplane.OpenWorkers(dataplane.RingConfig{FlowCache: m.FlowCache, Limiter: &m.limiter}, cfg, workers)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m.rings.Workers, nil
}

// Connect implements lab.Machine.
func (m *Machine) Connect(plan *topology.Plan, numbers compile.Numbers) error {
	indexes, err := host.ENIIndexes(string(m.dir), plan, m.indexes)
	if err != nil {
		return err
	}
	same := memo.Identical(&indexes, &m.indexes) && memo.Identical(&numbers, &m.numbers)
	m.limiter.know(string(m.dir), plan, numbers)
	m.indexes, m.numbers = indexes, nil
	if !same {
		byIndex := make(map[int]packet.ENI, len(indexes))
		for device, index := range indexes {
			byIndex[index] = numbers[device]
		}
		if err := m.rings.SetENIs(byIndex); err != nil {
			return err
		}
	}
	m.numbers = numbers
	return nil
}

// SetHosts implements lab.Machine.
func (m *Machine) SetHosts(instance *topology.Instance, names []topology.HostName) error {
	return host.SetHosts(string(m.dir), instance, names)
}

// Counts implements lab.Counter.
func (m *Machine) Counts(spaces []string) map[string]lab.Counts {
	counts := make(map[string]lab.Counts, len(spaces))
	for name, c := range host.CountsIn(string(m.dir), spaces) {
		counts[name] = lab.Counts{Denied: c.Drops.Ingress + c.Drops.Egress, Spoofed: c.Spoofed}
	}
	return counts
}

// Descriptors implements lab.Opener.
func (m *Machine) Descriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what Linux begins with
	}
	return int(min(limit.Cur, 1<<20))
}

// Authorities implements lab.Truster.
func (m *Machine) Authorities() (list []byte, err error) {
	for _, file := range host.HostTrust {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		list = append(list, text...)
	}
	return list, nil
}

// Trust implements lab.Truster.
func (m *Machine) Trust(list []byte) error { return m.dir.Save(host.TrustFile, list) }

// space is one namespace.
type space struct {
	*host.Namespace
	dir     labdir.Dir
	name    string
	lasting bool
}

// Spoofed implements lab.Space.
func (s *space) Spoofed() (map[string]uint64, error) { return s.SpoofedFrames() }

// Denied implements lab.Space.
func (s *space) Denied() (uint64, error) {
	drops, err := s.SecurityGroupDrops()
	return drops.Ingress + drops.Egress, err
}
