package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// What runs in this process is stopped by retire and started by the functions
// below. Whoever calls them holds change, or is Start.

type runningGroup struct {
	group *lb.Group
	stop  context.CancelFunc
	stale bool // what its health checks are made from may not be there any more
}

type runningResolver struct {
	server *dns.Server
	stop   func() // ends it and returns when its sockets are closed
}

// retire stops what the lab has and plan has not. It goes on when something
// cannot be stopped cleanly.
func (l *Lab) retire(plan *topology.Plan) error {
	l.retireServices(plan)
	l.retireProxies(plan)
	l.retireGroups(plan)
	l.retireResolvers(plan)
	return l.retireNamespaces(plan)
}

func (l *Lab) retireServices(plan *topology.Plan) {
	keep := map[string]bool{}
	for _, s := range servicesOf(plan) {
		keep[s.key()] = true
	}
	var ending sync.WaitGroup
	for _, s := range take(l, l.services, keep) {
		ending.Go(s.stop) // a program may take its time
	}
	ending.Wait()
}

func (l *Lab) retireGroups(plan *topology.Plan) {
	keep := map[string]bool{}
	for _, sg := range plan.ServerGroups {
		keep[sg.Name] = true
	}
	for _, g := range take(l, l.groups, keep) {
		g.stop()
	}
}

func (l *Lab) retireResolvers(plan *topology.Plan) {
	keep := map[string]bool{}
	for _, vpc := range plan.VPCs {
		keep[resolverKey(vpc)] = true
	}
	for _, r := range take(l, l.resolvers, keep) {
		r.stop()
	}
}

func (l *Lab) retireNamespaces(plan *topology.Plan) error {
	keep := map[string]bool{plan.Dataplane: true}
	for _, vpc := range plan.VPCs {
		keep[vpc.Namespace] = true
		for _, instance := range vpc.Instances {
			keep[instance.Namespace] = true
		}
	}
	for _, s := range proxiesOf(plan) {
		keep[s.node.Proxy.Namespace] = true
	}
	var errs []error
	for _, ns := range take(l, l.netns, keep) {
		errs = append(errs, ns.Close())
	}
	return errors.Join(errs...)
}

// take removes from the lab's map what is not to be kept, and returns it.
func take[T any](l *Lab, from map[string]T, keep map[string]bool) []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gone []T
	maps.DeleteFunc(from, func(key string, value T) bool {
		if !keep[key] {
			gone = append(gone, value)
		}
		return !keep[key]
	})
	return gone
}

// namespace is one of the lab's namespaces, open as long as the lab is.
func (l *Lab) namespace(name string) (*host.Namespace, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ns := l.netns[name]; ns != nil {
		return ns, nil
	}
	ns, err := host.Open(string(l.dir), name)
	if err == nil {
		l.netns[name] = ns
	}
	return ns, err
}

// numberENIs gives every new ENI a number and tells the ring.
func (l *Lab) numberENIs(plan *topology.Plan) error {
	indexes, err := host.ENIIndexes(string(l.dir), plan)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var highest packet.ENI
	for _, n := range l.numbers {
		highest = max(highest, n)
	}
	byIndex := map[int]packet.ENI{}
	for _, device := range slices.Sorted(maps.Keys(indexes)) {
		if _, known := l.numbers[device]; !known {
			highest++
			l.numbers[device] = highest
		}
		byIndex[indexes[device]] = l.numbers[device]
	}
	return l.engine.SetENIs(byIndex)
}

func (l *Lab) startServices(plan *topology.Plan) error {
	for _, spec := range servicesOf(plan) {
		if l.service(spec.key()) != nil {
			continue
		}
		running, err := l.startService(plan, spec)
		if err != nil {
			return fmt.Errorf("instance %q: service %s: %w", plan.ShortName(spec.instance), spec, err)
		}
		l.mu.Lock()
		l.services[spec.key()] = running
		l.mu.Unlock()
	}
	return nil
}

func (l *Lab) service(key string) *service {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.services[key]
}

// staleGroups lets followGroups start all health checks anew: namespaces and
// VPCs may be others.
func (l *Lab) staleGroups() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, running := range l.groups {
		running.stale = true
	}
}

// followGroups makes the server groups those of the plan as it is now. Servers
// that stay keep their health.
func (l *Lab) followGroups(plan *topology.Plan) error {
	for _, sg := range plan.ServerGroups {
		running := l.group(sg.Name)
		if running != nil && !running.stale && reflect.DeepEqual(running.group.Config(), sg) {
			continue
		}
		if err := l.startGroup(plan, sg); err != nil {
			return fmt.Errorf("server group %q: %w", sg.Name, err)
		}
	}
	return nil
}

func (l *Lab) startGroup(plan *topology.Plan, sg topology.ServerGroup) error {
	dial, err := l.prober(plan, sg)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	running := l.groups[sg.Name]
	if running == nil {
		running = &runningGroup{group: lb.NewGroup(sg)}
		l.groups[sg.Name] = running
	} else {
		running.stop()
		running.group.Update(sg, time.Now())
	}
	ctx, cancel := context.WithCancel(l.ctx)
	running.stop, running.stale = cancel, false
	checker := &lb.Checker{
		Group:   running.group,
		Dial:    dial,
		Changed: func(before lb.State, now lb.ServerHealth) { l.serverChanged(plan, sg.Name, before, now) },
		Cut:     func(server netip.AddrPort) { l.cut(running.group, server) },
	}
	l.work.Go(func() { checker.Run(ctx) })
	return nil
}

// resolverKey tells resolvers apart over changes of the file.
func resolverKey(vpc topology.VPC) string {
	return fmt.Sprint(vpc.Name, vpc.Namespace, vpc.Resolvers, vpc.Upstreams)
}

func (l *Lab) startResolvers(plan *topology.Plan) error {
	for _, vpc := range plan.VPCs {
		l.mu.Lock()
		running := l.resolvers[resolverKey(vpc)]
		l.mu.Unlock()
		if running != nil {
			continue
		}
		running, err := l.startResolver(vpc)
		if err != nil {
			return fmt.Errorf("vpc %q: start its resolver: %w", vpc.Name, err)
		}
		l.mu.Lock()
		l.resolvers[resolverKey(vpc)] = running
		l.mu.Unlock()
	}
	return nil
}

func (l *Lab) startResolver(vpc topology.VPC) (*runningResolver, error) {
	ns, err := l.namespace(vpc.Namespace)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(l.ctx)
	var serving sync.WaitGroup
	running := &runningResolver{server: &dns.Server{Forwarder: forwarder(vpc, ns)}, stop: func() { cancel(); serving.Wait() }}
	for _, addr := range vpc.Resolvers {
		at := netip.AddrPortFrom(addr, 53).String()
		pc, ln, err := listenDNS(ctx, ns, at)
		if err != nil {
			running.stop()
			return nil, err
		}
		serving.Go(func() {
			if err := running.server.Serve(ctx, pc, ln); err != nil && ctx.Err() == nil {
				l.log.Error("a resolver stopped", "vpc", vpc.Name, "address", at, "error", err)
			}
		})
	}
	return running, nil
}

// forwarder is nil where the VPC has no upstreams.
func forwarder(vpc topology.VPC, ns *host.Namespace) *dns.Forwarder {
	if len(vpc.Upstreams) == 0 {
		return nil
	}
	f := &dns.Forwarder{Dial: ns.DialContext}
	for _, addr := range vpc.Upstreams {
		f.Upstreams = append(f.Upstreams, netip.AddrPortFrom(addr, 53))
	}
	return f
}

func listenDNS(ctx context.Context, ns *host.Namespace, at string) (net.PacketConn, net.Listener, error) {
	pc, err := ns.ListenPacket(ctx, "udp", at)
	if err != nil {
		return nil, nil, err
	}
	ln, err := ns.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, nil, errors.Join(err, pc.Close())
	}
	return pc, ln, nil
}
