// Package netstack is a machine inside one process: a network stack of gVisor
// for each VPC, instance and node of an ALB, and a switch in memory for each
// subnet, on which the data plane has a port for each ENI. It needs no root and
// no Linux, and nothing of it is left when the process ends.
//
// A lab on it may run in a bubble of testing/synctest, whose time passes when
// every goroutine waits for it: see pump. The lab and its connections are made
// and closed in the bubble then.
//
// Programs cannot run on its instances, and it says nothing about speed. Its TCP
// is that of gVisor, its security groups are package secgroup, and there is one
// worker.
package netstack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Machine implements lab.Machine.
type Machine struct {
	// Superframes lets TCP hand over up to 64 KiB of a connection as one frame, as a
	// kernel does. It is set before the machine is used.
	Superframes bool

	mu       sync.Mutex
	spaces   map[string]*space
	switches map[string]*bridge // by the key of their subnet
	driver   *driver
}

// New makes a machine with nothing on it.
func New() *Machine { return &Machine{spaces: map[string]*space{}, switches: map[string]*bridge{}} }

// Change implements lab.Machine. Stacks that both plans have stay, with their
// connections, and get the addresses and routes of the new plan.
func (m *Machine) Change(ctx context.Context, old, plan *topology.Plan, progress lab.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old == nil {
		m.removeLocked()
		return m.becomeLocked(plan, progress)
	}
	err := m.becomeLocked(plan, progress)
	if err != nil {
		err = errors.Join(err, m.becomeLocked(old, func(int, int, string) {}))
	}
	return err
}

// becomeLocked makes the machine that of a plan, whatever it is now.
func (m *Machine) becomeLocked(plan *topology.Plan, progress lab.Progress) error {
	specs, keep := specsOf(plan), map[string]bool{}
	for _, spec := range specs {
		keep[spec.name] = true
		for _, d := range spec.devices {
			keep[d.subnet] = true
		}
	}
	for name, s := range m.spaces {
		if !keep[name] {
			s.end()
			delete(m.spaces, name)
		}
	}
	for key := range m.switches {
		if !keep[key] {
			delete(m.switches, key)
		}
	}
	for i, spec := range specs {
		progress(i, len(specs), "network stacks")
		for _, d := range spec.devices {
			if m.switches[d.subnet] == nil {
				m.switches[d.subnet] = newBridge()
			}
		}
		s := m.spaces[spec.name]
		if s == nil {
			s = newSpace(spec.name, m.Superframes)
			m.spaces[spec.name] = s
		}
		if err := s.become(spec, m.switches); err != nil {
			return fmt.Errorf("network stack %s: %w", spec.name, err)
		}
	}
	return nil
}

// Remove implements lab.Machine.
func (m *Machine) Remove(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removeLocked()
	return nil
}

func (m *Machine) removeLocked() {
	for _, s := range m.spaces {
		s.end()
	}
	clear(m.spaces)
	clear(m.switches)
}

// Space implements lab.Machine.
func (m *Machine) Space(name string) (lab.Space, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.spaces[name]
	if s == nil {
		return nil, fmt.Errorf("there is no network stack %q", name)
	}
	return s, nil
}

// tick is how often the data plane looks for sessions that timed out. In a
// bubble a tick costs real time and gives none, so that they are rare.
const tick = time.Second

// Dataplane implements lab.Machine. There is one worker, however many are asked
// for: what passes is the same, and frames are handed over in memory.
func (m *Machine) Dataplane(cfg dataplane.EngineConfig, _ int) (*dataplane.Workers, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cfg.Tick == 0 {
		cfg.Tick = tick
	}
	if cfg.Table.Seed == 0 {
		cfg.Table.Seed = 1 // so that a lab does the same every time
	}
	driver := newDriver()
	workers, err := dataplane.NewWorkers(cfg, driver)
	if err == nil {
		m.driver = driver
	}
	return workers, err
}

// Connect implements lab.Machine.
func (m *Machine) Connect(plan *topology.Plan, numbers compile.Numbers) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ports []*eniPort
	for _, eni := range plan.ENIs() {
		vpc := plan.MustVPC(eni.VPC)
		bridge := m.switches[subnetKey(vpc, eni.Subnet)]
		if bridge == nil || numbers[eni.Device] == 0 {
			return fmt.Errorf("ENI %s has no port on subnet %s", eni.Name, eni.Subnet)
		}
		ports = append(ports, &eniPort{driver: m.driver, eni: numbers[eni.Device], bridge: bridge, mtu: vpc.MTU})
	}
	m.driver.connect(ports)
	return nil
}

// SetHosts implements lab.Machine: the lab itself looks names up, and there are
// no programs that have a file.
func (m *Machine) SetHosts(*topology.Instance, []topology.HostName) error { return nil }
