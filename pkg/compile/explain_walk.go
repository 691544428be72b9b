package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/secgroup"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// walk follows one packet.
type walk struct {
	Situation
	from *topology.Instance
	flow packet.FiveTuple
	way  status.Route
}

func (w *walk) passes(station, text string, args ...any) {
	w.way.Stations = append(w.way.Stations, status.Station{Name: station, Passes: true, Text: fmt.Sprintf(text, args...)})
}

// stops notes where the packet ends; where it has ended before, that this would
// have stopped it as well.
func (w *walk) stops(station, verdict, remedy, text string, args ...any) {
	w.way.Passes = false
	w.way.Stations = append(w.way.Stations, status.Station{Name: station, Text: fmt.Sprintf(text, args...), Verdict: verdict, Remedy: remedy})
}

// helps adds what would let the packet pass where it has just stopped.
func (w *walk) helps(remedy topology.Remedy) {
	last := &w.way.Stations[len(w.way.Stations)-1]
	last.Remedies = append(last.Remedies, remedy)
}

func (w *walk) addr() netip.Addr { return w.flow.Dst.Addr() }

func (w *walk) follow() {
	if w.from.Stopped {
		w.stopped("egress", w.from)
	} else if d := w.groupsOf(w.from).Egress(w.flow); d.Allowed {
		w.passes("egress", "%s: %s", w.from.Name, d.Reason())
	} else {
		w.stops("egress", "", fmt.Sprintf("add an egress rule to a security group of %s", w.from.Name), "%s: %s", w.from.Name, d.Reason())
	}
	vpc := w.vpcAt()
	balancer, node := w.proxyAt(vpc.Name)
	switch gw, eni, instance := w.gatewayAt(vpc.Name), w.eniAt(vpc.Name), w.instanceAt(vpc); {
	case node != nil:
		w.atProxy(balancer, node)
	case gw != nil:
		w.atGateway(gw)
	case eni != nil && w.nodeOf(eni) != nil:
		w.atNode(eni)
	case eni != nil:
		w.atENI(eni)
	case instance != nil:
		w.passes("address", "%s is instance %s of VPC %s", w.addr(), instance.Name, vpc.Name)
		w.atInstance(instance, w.flow)
	default:
		w.nowhere(vpc)
	}
}

// stopped notes that the packet ends at an instance that is switched off.
func (w *walk) stopped(station string, instance *topology.Instance) {
	w.stops(station, "", "plinksim instance start "+instance.Ref(), "%s is stopped", instance.Name)
}

// vpcAt is the VPC in which the address is meant: the client's own, or one that
// has a peering with it.
func (w *walk) vpcAt() *topology.VPC {
	own := w.Plan.MustVPC(w.from.VPC)
	for _, peer := range w.Plan.Peers(own.Name) {
		if peer.Contains(w.addr()) {
			w.passes("peering", "VPC %s has a route to VPC %s", own.Name, peer.Name)
			return peer
		}
	}
	return own
}

func (w *walk) eniAt(vpc string) *topology.ENI {
	for _, eni := range w.Plan.ENIs() {
		if eni.VPC == vpc && (eni.IP == w.addr() || eni.IPv6 == w.addr()) {
			return eni
		}
	}
	return nil
}

func (w *walk) instanceAt(vpc *topology.VPC) *topology.Instance {
	for i := range vpc.Instances {
		if in := &vpc.Instances[i]; in.IP == w.addr() || in.IPv6 == w.addr() {
			return &vpc.Instances[i]
		}
	}
	return nil
}

// nowhere says what has the address in another VPC, for that is what people try.
func (w *walk) nowhere(vpc *topology.VPC) {
	for i := range w.Plan.VPCs {
		other := &w.Plan.VPCs[i]
		if other.Name == vpc.Name {
			continue
		}
		owner := ""
		if instance := w.instanceAt(other); instance != nil {
			owner = "instance " + instance.Name
		} else if eni := w.eniAt(other.Name); eni != nil {
			owner = "ENI " + eni.Name
		} else if balancer, _ := w.proxyAt(other.Name); balancer != nil {
			owner = "load balancer " + balancer.Name
		}
		if owner != "" {
			w.stops("address", "", "reach it through an endpoint in VPC "+vpc.Name, "%s is %s of VPC %s, and VPC %s has no route to it", w.addr(), owner, other.Name, vpc.Name)
			return
		}
	}
	if vpc.Contains(w.addr()) || vpc.IPv6CIDR.Contains(w.addr()) {
		w.stops("address", "", "", "nobody in VPC %s has the address %s", vpc.Name, w.addr())
		return
	}
	w.stops("address", "", "", "%s is outside of VPC %s (%s), which has no route out", w.addr(), vpc.Name, vpc.Blocks())
}

// groupsOf is what filters the packets of an instance.
func (w *walk) groupsOf(instance *topology.Instance) *secgroup.Set {
	vpc := w.Plan.MustVPC(instance.VPC)
	return secgroup.Compile(w.Plan.Groups(vpc, instance.SecurityGroups))
}

// atInstance is the end of the way: the groups of the one who gets it.
func (w *walk) atInstance(instance *topology.Instance, flow packet.FiveTuple) {
	if instance.Stopped {
		w.stopped("server", instance)
		return
	}
	w.isReached(instance.Name, instance.Zone)
	d := w.groupsOf(instance).Ingress(flow)
	if d.Allowed {
		w.passes("server", "%s: %s", instance.Name, d.Reason())
		return
	}
	if block := w.Plan.MustVPC(instance.VPC).BalancerBlock(); block.Contains(flow.Src.Addr()) {
		w.passes("server", "%s: no security group stops what load balancers send from %s", instance.Name, block)
		return
	}
	w.stops("server", "", fmt.Sprintf("allow %s %d from %s in a security group of %s", ProtocolName(flow.Protocol), flow.Dst.Port(), flow.Src.Addr(), instance.Name),
		"%s: %s; it comes from %s", instance.Name, d.Reason(), flow.Src.Addr())
}

// nodeOf is the load balancer of layer 4 that an ENI is a node of, or nil.
func (w *walk) nodeOf(eni *topology.ENI) *topology.LoadBalancer {
	for i := range w.Plan.LoadBalancers {
		balancer := &w.Plan.LoadBalancers[i]
		node, err := balancer.Node(eni.Zone)
		if err == nil && node.ENI.Name == eni.Name && node.Proxy == nil {
			return balancer
		}
	}
	return nil
}

// atNode is the way of a client in the load balancer's own VPC.
func (w *walk) atNode(eni *topology.ENI) {
	balancer := w.nodeOf(eni)
	node, _ := balancer.Node(eni.Zone)
	w.passes("address", "%s is load balancer %s in zone %s", w.addr(), balancer.Name, node.Zone)
	w.isFiltered(balancer, w.flow)
	w.isUp(eni)
	w.atListener(balancer, node, w.flow.Dst.Port())
}

// atENI is the way through the data plane.
func (w *walk) atENI(eni *topology.ENI) {
	ep, zone := w.endpointOf(eni)
	if ep == nil {
		w.stops("address", fullnat.NoListener.String(), "reach the load balancer through an endpoint",
			"%s is ENI %s, which serves endpoints and nobody else", w.addr(), eni.Name)
		return
	}
	if ep.Reverse {
		w.atReverseENI(eni, ep)
		return
	}
	w.passes("address", "%s is the ENI of endpoint %s in zone %s", w.addr(), ep.Name, zone)
	w.isUp(eni)
	c := compiler{plan: w.Plan, index: indexOf(w.Plan), numbers: w.Numbers}
	connection, _ := w.State.Connection(ep.Service, ep.Name)
	balancer, node := c.resource(ep.Service, zone, zoneOf(connection, zone).LoadBalancer)
	link := w.link(eni)
	if link == nil || node == nil {
		w.noListener(ep, balancer)
		return
	}
	w.passes("listener", "load balancer %s listens on %s %d", balancer.Name, ProtocolName(link.Protocol), link.Match.Port())
	w.isConnected(ep, zone, connection, link)
	w.isAdmitted(ep)
	if balancer.EndpointsFree && len(balancer.SecurityGroups) > 0 {
		w.passes("security group", "%s: its groups do not judge what comes through endpoints", balancer.Name)
	} else {
		w.isFiltered(balancer, w.flow)
	}
	w.isUp(&node.ENI)
	for _, listener := range balancer.Listeners {
		if listener.Port == link.Match.Port() && listener.Protocol.Transport().Number() == link.Protocol {
			w.does(listener.Default(), balancer, node)
		}
	}
}

func (w *walk) endpointOf(eni *topology.ENI) (ep *topology.Endpoint, zone string) {
	for i := range w.Plan.Endpoints {
		for _, z := range w.Plan.Endpoints[i].Zones {
			if z.ENI.Name == eni.Name {
				return &w.Plan.Endpoints[i], z.Zone
			}
		}
	}
	return nil, ""
}

func (w *walk) link(eni *topology.ENI) *fullnat.Link {
	for _, l := range w.linksAt(eni.VPC, w.addr()) {
		if l.Match.Port() == w.flow.Dst.Port() && l.Protocol == w.flow.Protocol {
			return l
		}
	}
	return nil
}

func (w *walk) noListener(ep *topology.Endpoint, balancer *topology.LoadBalancer) {
	verdict := fullnat.NoListener.String()
	if balancer == nil {
		w.stops("listener", verdict, fmt.Sprintf("give endpoint service %s a load balancer in this zone", ep.Service),
			"endpoint service %s has no load balancer in this zone", ep.Service)
		return
	}
	has := "none"
	if len(balancer.Listeners) > 0 {
		has = orList(balancer.Listeners, func(l topology.Listener) string { return fmt.Sprintf("%s %d", l.Protocol, l.Port) })
	}
	w.stops("listener", verdict, fmt.Sprintf("use %s, or add a listener to %s", has, balancer.Name),
		"load balancer %s does not listen on %s %d", balancer.Name, ProtocolName(w.flow.Protocol), w.flow.Dst.Port())
}

func (w *walk) isConnected(ep *topology.Endpoint, zone string, c control.Connection, link *fullnat.Link) {
	name := ep.Service + "/" + ep.Name
	if link.Connected {
		w.passes("connection", "%s is %s in zone %s", name, zoneOf(c, zone).Status, zone)
		return
	}
	verdict := fullnat.NotConnected.String()
	help := topology.Operation{Verb: topology.VerbAccept, Service: ep.Service, Endpoint: ep.Name}
	if c.State.Open() {
		w.stops("connection", verdict, "", "%s is %s, but zone %s is %s", name, c.Status, zone, zoneOf(c, zone).Status)
		if zoneOf(c, zone).State == control.Disconnected {
			help.Verb, help.Zone = topology.VerbZoneEnable, zone
			w.helps(topology.Doing(help))
		}
		return
	}
	why := "its provider rejected it"
	if c.State == control.Wait {
		why = "its provider has not accepted it"
	}
	w.stops("connection", verdict, "", "%s is %s: %s", name, c.Status, why)
	w.helps(topology.Doing(help))
}

func (w *walk) isAdmitted(ep *topology.Endpoint) {
	vpc := w.Plan.MustVPC(ep.VPC)
	d := secgroup.Compile(w.Plan.Groups(vpc, ep.SecurityGroups)).Ingress(w.flow)
	if d.Allowed {
		w.passes("security group", "%s: %s", ep.Name, d.Reason())
		return
	}
	w.stops("security group", fullnat.Denied.String(), fmt.Sprintf("allow %s %d from %s in a security group of endpoint %s", ProtocolName(w.flow.Protocol), w.flow.Dst.Port(), w.flow.Src.Addr(), ep.Name),
		"%s: %s", ep.Name, d.Reason())
}

// isFiltered asks the load balancer's own groups, where it has some.
func (w *walk) isFiltered(balancer *topology.LoadBalancer, flow packet.FiveTuple) {
	if len(balancer.SecurityGroups) == 0 {
		return
	}
	d := secgroup.Compile(w.Plan.Groups(w.Plan.MustVPC(balancer.VPC), balancer.SecurityGroups)).Ingress(flow)
	if d.Allowed {
		w.passes("security group", "%s: %s", balancer.Name, d.Reason())
		return
	}
	verdict := fullnat.Denied.String()
	if balancer.Type == topology.ALB {
		verdict = "" // its node drops it, and not the core
	}
	w.stops("security group", verdict,
		fmt.Sprintf("allow %s %d from %s in a security group of load balancer %s", ProtocolName(flow.Protocol),
			flow.Dst.Port(), flow.Src.Addr(), balancer.Name), "%s: %s", balancer.Name, d.Reason())
}

// isUp notes what faults were set for an ENI, and nothing where there are none.
func (w *walk) isUp(eni *topology.ENI) {
	w.isReached(eni.Name, eni.Zone)
	switch w.Desired.Dataplane.Shaping.Faults[w.Numbers[eni.Device]] {
	case dataplane.Down:
		w.stops("interface", "Down", "", "%s is down", eni.Name)
		w.helps(topology.Remedy{Fault: &topology.Fault{Verb: topology.FaultUp, Target: eni.Name}})
	case dataplane.Blackhole:
		w.stops("interface", "Blackholed", "", "%s is a blackhole", eni.Name)
		w.helps(topology.Remedy{Fault: &topology.Fault{Verb: topology.FaultUp, Target: eni.Name}})
	}
	for _, l := range w.Desired.Dataplane.Shaping.Links {
		if !slices.Contains(l.ENIs, w.Numbers[eni.Device]) {
			continue
		}
		if share := l.ToProvider.Loss + l.ToConsumer.Loss; share > 0 {
			w.passes("interface", "%s loses %.3g%% to the provider and %.3g%% to the consumer", eni.Name, 100*l.ToProvider.Loss, 100*l.ToConsumer.Loss)
		}
	}
}

// isReached notes that a zone is on a host that cannot be reached.
func (w *walk) isReached(name, zone string) {
	if why := w.ZonesLost[zone]; why != "" {
		w.stops("host", "", "", "%s is in zone %s: %s", name, zone, why)
	}
}

// portsAreUsedUp says whether no NAT IP of a node has a port left for a target.
func (w *walk) portsAreUsedUp(node *topology.Node, target netip.AddrPort) bool {
	none := false
	for _, local := range node.Local {
		if local.Is4() != target.Addr().Is4() {
			continue
		}
		if !slices.ContainsFunc(w.Ports, func(p fullnat.PortUse) bool {
			return p.ENI == w.Numbers[node.ENI.Device] && p.Local == local && p.Target == target &&
				p.Protocol == w.flow.Protocol && p.InUse >= p.Limit
		}) {
			return false
		}
		none = true
	}
	return none
}

// toServers is the choice of a server, and what the chosen one lets in.
func (w *walk) toServers(group string, balancer *topology.LoadBalancer, node *topology.Node) {
	sg := w.Plan.MustServerGroup(group)
	zone := ServersOf(balancer, sg, node.Zone)
	health := w.Servers(group)
	open := sg.FailOpen && !anyHealthy(sg, health, zone)
	var takes []topology.Server
	var texts []string
	for _, h := range health {
		i := slices.IndexFunc(sg.Servers, func(s topology.Server) bool { return netip.AddrPortFrom(s.IP, s.Port) == h.Server })
		if i < 0 {
			continue
		}
		text, ok := judged(sg.Servers[i], h, zone, open)
		texts = append(texts, text)
		if ok {
			takes = append(takes, sg.Servers[i])
		}
	}
	if len(takes) == 0 {
		verdict := fullnat.NoBackend.String()
		if node.Proxy != nil {
			verdict = "503 Service Unavailable" // the session is open, and its requests have no server
		}
		w.stops("servers", verdict, "let one of them be healthy, with a weight above 0 and in this zone",
			"server group %s has no server for it: %s", group, strings.Join(texts, "; "))
		return
	}
	w.passes("servers", "server group %s: %s", group, strings.Join(texts, "; "))
	for _, s := range takes {
		if s.Balancer != "" {
			w.atTarget(node, s)
			continue
		}
		instance := w.Plan.InstanceOf(sg, s)
		if instance == nil {
			w.stops("server", "", "give an instance this address",
				"no instance of VPC %s has the address %s", sg.VPC, s.IP)
			continue
		}
		itself := node.Proxy == nil && s.IP == w.flow.Src.Addr() && balancer.VPC == w.from.VPC
		if itself && !Hairpins(w.Plan.Profile, sg, netip.AddrPortFrom(s.IP, s.Port)) {
			w.stops("server", fullnat.NoBackend.String(), "ask from another instance",
				"%s is %s itself, which sees its clients' addresses and cannot be its own client",
				s.Short(), w.from.Name)
			continue
		}
		if node.Proxy == nil && w.portsAreUsedUp(node, netip.AddrPortFrom(s.IP, s.Port)) {
			w.stops("NAT ports", fullnat.NoNATPort.String(), "wait for sessions to end, or give the load balancer more addresses",
				"every NAT port of %s towards %s is in use", node.ENI.Name, s.Short())
			continue
		}
		source := netip.Addr{}
		if node.Proxy != nil {
			source = node.Proxy.IP
		} else if i := slices.IndexFunc(node.Local, func(a netip.Addr) bool { return a.Is4() == s.IP.Is4() }); i >= 0 {
			source = node.Local[i] // one of the server's version of IP, as the core takes it
		}
		flow := packet.FiveTuple{Protocol: w.flow.Protocol, Src: netip.AddrPortFrom(source, 0), Dst: netip.AddrPortFrom(s.IP, s.Port)}
		if node.Proxy != nil && !w.leaves(balancer, flow) {
			continue
		}
		w.atInstance(instance, flow)
	}
}

// judged says whether a server takes new sessions and why not. zone is the one
// whose servers are asked, "" is all; open says that the unhealthy ones take
// sessions too.
func judged(s topology.Server, h lb.ServerHealth, zone string, open bool) (text string, ok bool) {
	name := s.Short()
	why := h.Reason
	if why == "" {
		why = "not checked yet"
	}
	switch {
	case !s.In(zone):
		return name + " is in another zone", false
	case s.Weight == 0:
		return name + " has weight 0", false
	case h.Healthy:
		return fmt.Sprintf("%s is healthy, weight %d", name, s.Weight), true
	case open && !h.Away:
		return fmt.Sprintf("%s is unhealthy (%s) and takes it even so, as no server is healthy", name, why), true
	}
	return fmt.Sprintf("%s is unhealthy (%s)", name, why), false
}

// anyHealthy says whether a group has a healthy server for a zone, or one that
// may still turn out to be.
func anyHealthy(sg *topology.ServerGroup, health []lb.ServerHealth, zone string) bool {
	for _, h := range health {
		i := slices.IndexFunc(sg.Servers, func(s topology.Server) bool { return netip.AddrPortFrom(s.IP, s.Port) == h.Server })
		if i < 0 || sg.Servers[i].Weight == 0 || !sg.Servers[i].In(zone) {
			continue
		}
		if h.Healthy || h.State == lb.Initial {
			return true
		}
	}
	return false
}
