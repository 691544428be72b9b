package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/topology"
)

// path is one of the topologies, with generators at both ends.
type path struct {
	name    string
	dir     labdir.Dir
	plan    *topology.Plan
	server  *process
	servers []*process // all of them
	clients []*process
	own     *Own
	senders map[string]*process // of a user's topology, by VPC/instance
	workers int                 // of the core
	runs    uint16              // loads of frames that were measured
	lab     *lab.Lab            // of the core's
	closers []func(context.Context) error
}

// The paths.
const (
	viaCore    = "core"    // userspace alone
	viaCache   = "cache"   // with the flow cache
	viaKernel  = "kernel"  // nftables SNAT and DNAT
	viaForward = "forward" // no NAT: a router
	viaNull    = "null"    // the kernel's NAT again
)

// paths are those that are measured where nobody asks for others.
var paths = []string{viaCore, viaCache, viaKernel, viaForward}

// Paths are all that there are. "null" is the kernel's NAT once more, in a topology of
// its own: its ratio to the first says what chance and the order do.
var Paths = append(slices.Clone(paths), viaNull)

// open builds a topology and starts what belongs in its middle and its ends.
func open(ctx context.Context, name string, o Options) (*path, error) {
	plan, err := o.plan("bench-" + name)
	if err != nil {
		return nil, err
	}
	p := &path{name: name, dir: labdir.Of(plan.Name), plan: plan, own: o.Own, workers: o.Workers}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// plan is the topology of a path.
func (o Options) plan(name string) (*topology.Plan, error) {
	if o.Own != nil {
		return o.Own.plan(name)
	}
	return topologyOf(name, o.senders(), o.sessions())
}

func (p *path) start(ctx context.Context) error {
	lock, err := p.dir.Lock()
	if errors.Is(err, labdir.ErrLocked) {
		return errors.New("another benchmark is running: wait until it has ended")
	}
	if err != nil {
		return err
	}
	p.closers = append(p.closers, func(context.Context) error {
		err := p.dir.Erase()
		lock.Release()
		return err
	})
	middle := p.startKernel
	if p.name == viaCore || p.name == viaCache {
		middle = p.startCore
	}
	if err := middle(ctx); err != nil {
		return fmt.Errorf("build the topology of the %s: %w", p.name, err)
	}
	if p.own != nil {
		if err := p.startOwn(); err != nil {
			return err
		}
		return p.ownReachable(ctx)
	}
	if p.server, err = p.generator("provider", "server"); err != nil {
		return err
	}
	p.servers = []*process{p.server}
	for i := range p.plan.MustVPC("consumer").Instances {
		g, err := p.generator("consumer", clientName(i))
		if err != nil {
			return err
		}
		p.clients = append(p.clients, g)
	}
	if _, err := p.server.do(ctx, order{Do: "serve"}); err != nil {
		return err
	}
	return p.reachable(ctx)
}

func (p *path) startCore(ctx context.Context) error {
	machine := kernel.New(p.dir)
	machine.FlowCache.Mode = dataplane.FlowCacheOff
	if p.name == viaCache {
		machine.FlowCache.Mode = dataplane.FlowCacheAuto
	}
	running, err := lab.Start(ctx, lab.Config{Plan: p.plan, Machine: machine, Store: p.dir, Workers: p.workers})
	if err != nil {
		return err
	}
	p.lab = running
	p.closers = append(p.closers, running.Close)
	return nil
}

func (p *path) startKernel(ctx context.Context) error {
	dir := string(p.dir)
	p.closers = append(p.closers, func(ctx context.Context) error { return host.Remove(ctx, dir) })
	// What a benchmark that was killed left behind is not looked at.
	if err := host.Remove(ctx, dir); err != nil {
		return err
	}
	if err := host.Build(ctx, dir, p.plan, func(int, int, string) {}); err != nil {
		return err
	}
	return translateInKernel(dir, p.plan, p.name != viaForward)
}

func (p *path) generator(vpc, instance string) (*process, error) {
	i, err := p.plan.Instance(vpc + "/" + instance)
	if err != nil {
		return nil, err
	}
	g, err := startProcess(p.dir, i.Namespace)
	if err != nil {
		return nil, fmt.Errorf("start a generator on %s: %w", instance, err)
	}
	p.closers = append(p.closers, func(context.Context) error { return g.close() })
	return g, nil
}

// endpoint is the address that the client loads.
func (p *path) endpoint() netip.Addr {
	if p.name == viaForward {
		return p.serverAddress()
	}
	return p.plan.Endpoints[0].Zones[0].ENI.IP
}

func (p *path) serverAddress() netip.Addr { return p.plan.MustVPC("provider").Instances[0].IP }

// nearAddress is what the server sees of the first client.
func (p *path) nearAddress() netip.Addr {
	if p.name == viaForward {
		return p.address(0)
	}
	return p.plan.LoadBalancers[0].Nodes[0].Local[0]
}

// address is that of a client.
func (p *path) address(client int) netip.Addr { return p.plan.MustVPC("consumer").Instances[client].IP }

// reachable waits until a request is answered.
func (p *path) reachable(ctx context.Context) error {
	err := await(ctx, func() error {
		_, err := p.clients[0].do(ctx, order{Do: "request", To: p.endpoint(), For: time.Millisecond})
		return err
	})
	if err != nil {
		return fmt.Errorf("nothing gets through the %s: %w", p.name, err)
	}
	return nil
}

// await tries again for ten seconds, and returns what the last try said.
func await(ctx context.Context, try func() error) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if stopped := sleep(ctx, 100*time.Millisecond); stopped != nil {
			return stopped
		}
	}
}

// close removes everything, the latest first.
func (p *path) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i](ctx))
	}
	p.closers = nil
	return errors.Join(errs...)
}
