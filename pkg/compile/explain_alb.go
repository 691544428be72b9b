package compile

import (
	"fmt"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/secgroup"
	"github.com/plinksim/plinksim/pkg/topology"
)

// proxyAt is the node of an alb that has the address in a VPC.
func (w *walk) proxyAt(vpc string) (*topology.LoadBalancer, *topology.Node) {
	for i := range w.Plan.LoadBalancers {
		balancer := &w.Plan.LoadBalancers[i]
		for j := range balancer.Nodes {
			if node := &balancer.Nodes[j]; balancer.VPC == vpc && node.Proxy != nil && node.Proxy.IP == w.addr() {
				return balancer, node
			}
		}
	}
	return nil, nil
}

// atProxy is the way of a client in the alb's own VPC.
func (w *walk) atProxy(balancer *topology.LoadBalancer, node *topology.Node) {
	w.passes("address", "%s is load balancer %s in zone %s", w.addr(), balancer.Name, node.Zone)
	w.isFiltered(balancer, w.flow)
	w.atListener(balancer, node, w.flow.Dst.Port())
}

// atTarget is the way through an alb's node that is a server of a node of an nlb.
func (w *walk) atTarget(from *topology.Node, s topology.Server) {
	balancer := w.Plan.MustLoadBalancer(s.Balancer)
	node, _ := balancer.Node(s.Zone)
	w.isFiltered(balancer, packet.FiveTuple{Protocol: w.flow.Protocol, Src: netip.AddrPortFrom(from.ENI.IP, 0),
		Dst: netip.AddrPortFrom(s.IP, s.Port)})
	w.atListener(balancer, node, s.Port)
}

func (w *walk) atListener(balancer *topology.LoadBalancer, node *topology.Node, port uint16) {
	for _, listener := range balancer.Listeners {
		if listener.Port == port && listener.Protocol.Transport().Number() == w.flow.Protocol {
			w.passes("listener", "load balancer %s listens on %s %d", balancer.Name, listener.Protocol, listener.Port)
			w.does(listener.Default(), balancer, node)
			return
		}
	}
	has := orList(balancer.Listeners, func(l topology.Listener) string { return fmt.Sprintf("%s %d", l.Protocol, l.Port) })
	w.stops("listener", "", fmt.Sprintf("use %s, or add a listener to %s", has, balancer.Name),
		"load balancer %s does not listen on %s %d", balancer.Name, ProtocolName(w.flow.Protocol), port)
}

// does is what a listener does, its rules left aside.
func (w *walk) does(action topology.Action, balancer *topology.LoadBalancer, node *topology.Node) {
	if action.FixedResponse != nil || action.Redirect != nil {
		w.passes("action", "load balancer %s answers by itself: %s", balancer.Name, action.String())
		return
	}
	if len(action.Split) > 0 {
		w.passes("action", "server groups share the requests: %s", action.String())
	}
	for _, s := range action.Split {
		if s.Weight > 0 {
			w.toServers(s.ServerGroup, balancer, node)
		}
	}
	if action.ServerGroup != "" {
		w.toServers(action.ServerGroup, balancer, node)
	}
}

// leaves asks the groups of an alb whether its nodes may send something.
func (w *walk) leaves(balancer *topology.LoadBalancer, flow packet.FiveTuple) bool {
	if len(balancer.SecurityGroups) == 0 {
		return true
	}
	d := secgroup.Compile(w.Plan.Groups(w.Plan.MustVPC(balancer.VPC), balancer.SecurityGroups)).Egress(flow)
	if !d.Allowed {
		w.stops("security group", "", fmt.Sprintf("allow %s %d to %s in a security group of load balancer %s",
			ProtocolName(flow.Protocol), flow.Dst.Port(), flow.Dst.Addr(), balancer.Name),
			"%s: %s", balancer.Name, d.Reason())
	}
	return d.Allowed
}
