package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/alb"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// proxies are the listeners of the nodes of albs.
type proxies struct {
	*process
	running   running[*runningProxy]
	group     func(name string) *lb.Group
	authority *authority

	telling sync.Mutex // held while listeners are opened, told what to do, and closed
}

// runningProxy is one listener of one node of an alb. What is below the socket
// is guarded by proxies.telling.
type runningProxy struct {
	listener *alb.Listener
	socket   net.Listener
	serves   bool
	does     proxyWork
	stale    bool // does is not what it should do any more, whatever the plan says
}

// proxyWork is what a listener was told to do: it is told again where that is
// different.
type proxyWork struct {
	listener topology.Listener
	groups   []topology.ServerGroup
	zones    []string // whose servers of each group it keeps to, "" is all
	profile  topology.HTTPProfile
}

// proxySpec is a listener with the node that it is on.
type proxySpec struct {
	balancer *topology.LoadBalancer
	node     *topology.Node
	topology.Listener
}

func proxiesOf(plan *topology.Plan) []proxySpec {
	var specs []proxySpec
	for i := range plan.LoadBalancers {
		balancer := &plan.LoadBalancers[i]
		for j := range balancer.Nodes {
			if balancer.Nodes[j].Proxy == nil {
				continue
			}
			for _, l := range balancer.Listeners {
				specs = append(specs, proxySpec{balancer, &balancer.Nodes[j], l})
			}
		}
	}
	return specs
}

// key tells listeners apart over changes of the file. What is not in it a
// listener that runs can become.
func (s proxySpec) key() string {
	return fmt.Sprint(s.node.Proxy.Namespace, " ", s.address(), " ", s.Protocol, " ", s.IdleTimeout, " ", s.HTTP.RequestTimeout)
}

func (s proxySpec) address() netip.AddrPort { return netip.AddrPortFrom(s.node.Proxy.IP, s.Port) }

// name is what status and metrics call it.
func (s proxySpec) name() string {
	return fmt.Sprintf("%s %s/%d", s.node.ENI.Name, s.Protocol, s.Port)
}

func (s proxySpec) String() string {
	return fmt.Sprintf("load balancer node %s: listener %s port %d", s.node.ENI.Name, s.Protocol, s.Port)
}

// stopMissing closes the sockets of listeners that plan has not. What they
// are answering they may finish, unless their node is gone.
func (p *proxies) stopMissing(plan *topology.Plan) {
	p.telling.Lock()
	defer p.telling.Unlock()
	keep, nodes := map[string]bool{}, map[string]bool{}
	for _, s := range proxiesOf(plan) {
		keep[s.key()] = true
		nodes[s.node.Proxy.IP.String()] = true
	}
	for _, gone := range p.running.removeOthers(keep) {
		gone.socket.Close()
		at, _, _ := net.SplitHostPort(gone.socket.Addr().String())
		if p.ended() || !nodes[at] {
			gone.listener.Close()
			continue
		}
		p.work.Go(func() {
			ctx, cancel := context.WithTimeout(p.ctx, plan.Profile.HTTP.Request)
			defer cancel()
			_ = gone.listener.Drain(ctx)
			gone.listener.Close()
		})
	}
}

// open opens the sockets that plan has and the lab has not. Nobody is served
// before follow. Certificates that the file names may be others by now.
func (p *proxies) open(plan *topology.Plan) error {
	p.telling.Lock()
	defer p.telling.Unlock()
	for _, spec := range proxiesOf(plan) {
		if running := p.running.get(spec.key()); running != nil {
			running.stale = len(spec.HTTP.Certificates) > 0
			continue
		}
		if err := p.openOne(spec); err != nil {
			return fmt.Errorf("%s: %w", spec, err)
		}
	}
	return nil
}

func (p *proxies) openOne(spec proxySpec) error {
	space, err := p.spaces.space(spec.node.Proxy.Namespace)
	if err != nil {
		return err
	}
	socket, err := space.Listen(p.ctx, "tcp", spec.address().String())
	if err != nil {
		return err
	}
	log := p.log.With("listener", spec.String())
	socket = &patientListener{Listener: socket, ctx: p.ctx, room: p.room, vpc: spec.balancer.VPC, lacks: func(lacks bool) {
		if lacks {
			log.Warn("clients wait: there are no descriptors for their connections")
		}
	}}
	listener := alb.New(space.DialContext, log)
	p.running.put(spec.key(), &runningProxy{listener: listener, socket: socket})
	return nil
}

// follow lets listeners do what plan says now. The server groups are those of
// the plan already.
func (p *proxies) follow(plan *topology.Plan) error {
	p.telling.Lock()
	defer p.telling.Unlock()
	for _, spec := range proxiesOf(plan) {
		running := p.running.get(spec.key())
		if running == nil {
			continue
		}
		if err := p.tellLocked(plan, spec, running); err != nil {
			return fmt.Errorf("%s: %w", spec, err)
		}
	}
	return nil
}

func (p *proxies) tellLocked(plan *topology.Plan, spec proxySpec, running *runningProxy) error {
	work := proxyWork{listener: spec.Listener, profile: plan.Profile.HTTP}
	for _, name := range spec.Groups() {
		sg := plan.MustServerGroup(name)
		work.groups = append(work.groups, *sg)
		work.zones = append(work.zones, compile.ServersOf(spec.balancer, sg, spec.node.Zone))
	}
	if running.serves && !running.stale && reflect.DeepEqual(work, running.does) {
		return nil
	}
	cfg := alb.Config{Listener: spec.Listener, LoadBalancer: spec.balancer.ID, Profile: work.profile}
	for i, sg := range work.groups {
		cfg.Groups = append(cfg.Groups, proxyGroup(sg, work.zones[i], p.group(sg.Name)))
	}
	var err error
	if cfg.Certificates, err = p.authority.certificates(plan, spec.Listener); err != nil {
		return err
	}
	running.listener.Configure(cfg)
	running.does, running.stale = work, false
	if running.serves {
		return nil
	}
	running.serves = true
	p.work.Go(func() {
		if err := running.listener.Serve(p.ctx, running.socket); err != nil && !p.ended() {
			p.log.Error("a listener stopped", "listener", spec.String(), "error", err)
		}
	})
	return nil
}

// proxyGroup is a server group as a node sees it that keeps to a zone.
func proxyGroup(sg topology.ServerGroup, zone string, group *lb.Group) alb.Group {
	picker := group.Picker(zone)
	return alb.Group{
		ServerGroup: sg,
		Pick: func(client, listener netip.AddrPort) (netip.AddrPort, bool) {
			return picker.Pick(packet.FiveTuple{Src: client, Dst: listener}, 0)
		},
		Ended:  func(server netip.AddrPort) { picker.Ended(server) },
		Usable: func() []netip.AddrPort { return usable(sg, zone, group.Health()) },
	}
}

// usable are the servers of a zone, "" is all, that may get requests: those that
// are healthy, or, where the group opens when it fails, all if none is.
func usable(sg topology.ServerGroup, zone string, health []lb.ServerHealth) []netip.AddrPort {
	var all, healthy []netip.AddrPort
	for _, s := range sg.Servers {
		at := netip.AddrPortFrom(s.IP, s.Port)
		i := slices.IndexFunc(health, func(h lb.ServerHealth) bool { return h.Server == at })
		if i < 0 || !s.In(zone) {
			continue
		}
		all = append(all, at)
		if health[i].Healthy {
			healthy = append(healthy, at)
		}
	}
	if len(healthy) == 0 && sg.FailOpen {
		return all
	}
	return healthy
}
