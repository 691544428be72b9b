// Package compile decides, from a topology and the state of its control plane,
// what a lab should do: the configuration of the data plane, the answers of
// the resolvers, what faults impose, and what becomes of a packet. It is pure:
// it starts nothing, and the same arguments give the same result.
package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Desired is what the data plane and the hosts files of a lab should be at one
// revision of its control plane: whole configurations, to be swapped in. What
// the resolvers should answer depends on more: see Names.
type Desired struct {
	Dataplane dataplane.Config
	Hosts     map[string][]topology.HostName // of every instance of a VPC, by VPC
}

// Numbers gives every ENI, by the name of its device, its number in the data
// plane. A number is never given to another ENI while sessions may remember
// it.
type Numbers map[string]packet.ENI

// Pick makes what chooses a target for the sessions of one link among the
// servers of a group, those of one zone where zone is not "".
type Pick func(link, group, zone string) Chooser

// Chooser is what a link needs to choose targets; see fullnat.Link.
type Chooser struct {
	Pick    func(packet.FiveTuple, uint32) (netip.AddrPort, bool)
	Ended   func(netip.AddrPort)
	Resumed func(netip.AddrPort)
	Lost    func(netip.AddrPort) bool
}

// Plan decides what the lab should do from the plan as it is now, which is
// state.Plan in a lab, and what the control plane has decided. It is pure: the
// same arguments give the same Desired, and neither the kernel nor the data
// plane is asked.
func Plan(plan *topology.Plan, state control.Snapshot, numbers Numbers, pick Pick) Desired {
	return new(Planner).Plan(plan, state, numbers, pick)
}

// compiler makes a configuration, or a part of one. The functions of what it makes must
// not keep it: they are there for as long as nothing that they depend on changes.
type compiler struct {
	profile     *topology.Profile
	plan        *topology.Plan
	index       *Planner // finds objects of plan by name
	connections connections
	numbers     Numbers
	pick        Pick
	groups      *groupSets

	nat   *fullnat.Config
	owned []dataplane.Owned
}

// connections are those of a state, which are found by their services and endpoints.
type connections struct {
	all    []control.Connection
	byEnds map[[2]string]*control.Connection // nil until one is not where it is expected
}

func connectionsOf(state control.Snapshot) connections {
	return connections{all: state.Connections}
}

// of is the connection of an endpoint, the zero one where it has none. As a rule it has the
// place of the endpoint in the plan, which is given.
func (c *connections) of(place int, ep *topology.Endpoint) *control.Connection {
	if place >= 0 && place < len(c.all) {
		if found := &c.all[place]; found.Endpoint == ep.Name && found.Service == ep.Service {
			return found
		}
	}
	if c.byEnds == nil {
		c.byEnds = make(map[[2]string]*control.Connection, len(c.all))
		for i := range c.all {
			c.byEnds[[2]string{c.all[i].Service, c.all[i].Endpoint}] = &c.all[i]
		}
	}
	if found := c.byEnds[[2]string{ep.Service, ep.Name}]; found != nil {
		return found
	}
	return &control.Connection{}
}

// eni makes an ENI known: the core can translate to it, and ARP is answered
// for its address and for the extra ones.
func (c *compiler) eni(eni topology.ENI, extra []netip.Addr) {
	number := c.numbers[eni.Device]
	in, subnet := c.subnet(eni)
	vpc := *in
	c.nat.ENIs = append(c.nat.ENIs, fullnat.Interface{
		ENI: number, MAC: eni.MAC, MTU: vpc.MTU, Name: nameOf(eni),
		NextHop: func(addr netip.Addr) packet.MAC {
			if subnet.IPv6CIDR.Contains(addr) {
				if mac, ok := vpc.IPv6MAC(addr); ok {
					return mac
				}
				return subnet.MAC // the router asks for it
			}
			if subnet.CIDR.Contains(addr) {
				return packet.MACOf(addr)
			}
			return subnet.MAC
		},
	})
	addrs := []netip.Addr{eni.IP}
	if eni.IPv6.IsValid() {
		addrs = append(addrs, eni.IPv6)
	}
	for _, addr := range extra {
		if addr != eni.IP && addr != eni.IPv6 {
			addrs = append(addrs, addr)
		}
	}
	c.owned = append(c.owned, dataplane.Owned{ENI: number, MAC: eni.MAC, Addrs: addrs, Subnet: subnet.CIDR})
}

// nameOf tells an ENI from every other that a lab of the same name ever had, also
// where the file was changed while nobody ran it.
func nameOf(eni topology.ENI) string {
	return fmt.Sprintf("%s %s %s %s %s %s", eni.Name, eni.Device, eni.VPC, eni.Subnet, eni.IP, eni.IPv6)
}

func (c *compiler) subnet(eni topology.ENI) (*topology.VPC, *topology.Subnet) {
	vpc := c.index.vpc(eni.VPC)
	subnet := vpc.MustSubnet(eni.Subnet)
	return vpc, subnet
}

// endpoint makes the links of one endpoint: one for each of its zones and each
// listener of the load balancer that the zone is connected to.
func (c *compiler) endpoint(ep topology.Endpoint, zones []control.Zone) {
	admit := c.admit(ep)
	for _, zone := range ep.Zones {
		c.eni(zone.ENI, nil)
		state := zoneIn(zones, zone.Zone)
		balancer, node := c.resource(ep.Service, zone.Zone, state.LoadBalancer)
		open := func(l *fullnat.Link) { l.Connected, l.Admit = state.State.Open(), admit }
		c.links(ep, zone, balancer, node, open)
		if ep.AnswerPing {
			c.ping(ep, zone, balancer, node, open)
		}
		if state.Replaced == "" {
			continue
		}
		balancer, node = c.resource(ep.Service, zone.Zone, state.Replaced)
		c.links(ep, zone, balancer, node, func(l *fullnat.Link) {
			l.Connected, l.Draining = true, true
			l.Name, l.Was = drainingName(l.Name, state.Replaced), l.Name
		})
	}
}

// drainingName is what a link is called when its zone was given another load
// balancer: the new one has the old name.
func drainingName(name, balancer string) string { return name + " by " + balancer }

// DrainingLinks are the names of the links through the load balancer that a
// zone had before.
func DrainingLinks(plan *topology.Plan, c control.Connection, z control.Zone) (names []string) {
	ep, err := plan.Endpoint(c.Endpoint)
	if err != nil {
		return nil
	}
	zone, err := ep.Zone(z.Zone)
	if err != nil {
		return nil
	}
	old, err := plan.LoadBalancer(z.Replaced)
	if err != nil {
		return nil
	}
	for _, listener := range old.Listeners {
		names = append(names, drainingName(linkName(*zone, listener), z.Replaced))
	}
	return names
}

// links makes one link for each listener of a node, and for each address of the
// zone's ENI: by IPv6 the same way is taken, whichever addresses servers have.
func (c *compiler) links(ep topology.Endpoint, zone topology.EndpointZone, balancer *topology.LoadBalancer, node *topology.Node, finish func(*fullnat.Link)) {
	if node == nil {
		return
	}
	for _, listener := range balancer.Listeners {
		c.linksOf(ep, zone, balancer, node, listener, finish)
	}
}

func (c *compiler) linksOf(ep topology.Endpoint, zone topology.EndpointZone, balancer *topology.LoadBalancer,
	node *topology.Node, listener topology.Listener, finish func(*fullnat.Link),
) {
	c.link(ep, zone, balancer, node, listener, linkName(zone, listener), zone.ENI.IP, finish)
	if zone.ENI.IPv6.IsValid() {
		c.link(ep, zone, balancer, node, listener, linkName(zone, listener)+" ipv6", zone.ENI.IPv6, finish)
	}
}

// echoIdle is how long an echo session may be silent (RFC 5508, REQ-2).
const echoIdle = 60 * time.Second

// ping makes the links by which what is behind the node's first listener answers
// echo requests. Servers do not count them among their sessions.
func (c *compiler) ping(ep topology.Endpoint, zone topology.EndpointZone, balancer *topology.LoadBalancer,
	node *topology.Node, finish func(*fullnat.Link),
) {
	if node == nil || len(balancer.Listeners) == 0 {
		return
	}
	listener := balancer.Listeners[0]
	listener.Protocol, listener.Port, listener.ProxyProtocol, listener.TOA = topology.ICMP, 0, "", false
	c.linksOf(ep, zone, balancer, node, listener, func(l *fullnat.Link) {
		l.Idle, l.Behaviour = echoIdle, c.behaviour(echoIdle)
		if pick, ended := l.Pick, l.Ended; ended != nil {
			l.Ended, l.Resumed, l.Lost = nil, nil, nil
			l.Pick = func(flow packet.FiveTuple, seq uint32) (netip.AddrPort, bool) {
				server, ok := pick(flow, seq)
				if ok {
					ended(server)
				}
				return server, ok
			}
		}
		finish(l)
	})
}

func (c *compiler) link(ep topology.Endpoint, zone topology.EndpointZone, balancer *topology.LoadBalancer,
	node *topology.Node, listener topology.Listener, name string, addr netip.Addr, finish func(*fullnat.Link),
) {
	link := c.toServers(balancer, node, listener, name)
	link.Ingress, link.Match = c.numbers[zone.ENI.Device], netip.AddrPortFrom(addr, listener.Port)
	link.Identity, link.MTU = c.identity(ep, listener), ep.MTU
	finish(&link)
	if filter := c.filter(balancer); filter != nil && !balancer.EndpointsFree {
		link.Admit = both(link.Admit, filter)
	}
	c.nat.Links = append(c.nat.Links, link)
}

// filter is the security groups of an nlb as the core asks them, nil where it has
// none; an alb's nodes are behind theirs by themselves. The client's address is judged, also of what comes through
// an endpoint (User Guide for Network Load Balancers, "Update the security groups
// for your Network Load Balancer").
func (c *compiler) filter(balancer *topology.LoadBalancer) func(packet.FiveTuple) bool {
	if len(balancer.SecurityGroups) == 0 || balancer.Type == topology.ALB {
		return nil
	}
	set := c.groupsOf(balancer.VPC, balancer.SecurityGroups).compiled()
	return func(t packet.FiveTuple) bool { return set.Ingress(t).Allowed }
}

// both asks one and then another; a nil one lets everything pass.
func both(one, other func(packet.FiveTuple) bool) func(packet.FiveTuple) bool {
	if one == nil {
		return other
	}
	return func(t packet.FiveTuple) bool { return one(t) && other(t) }
}

// inside makes the links of a node for clients of its own VPC. An alb's node is
// a program there.
func (c *compiler) inside(balancer *topology.LoadBalancer, node *topology.Node) {
	if node.Proxy != nil {
		return
	}
	for _, listener := range balancer.Listeners {
		name := fmt.Sprintf("%s %s/%d", node.ENI.Name, listener.Protocol, listener.Port)
		c.insideLink(balancer, node, listener, name, node.ENI.IP)
		if node.ENI.IPv6.IsValid() {
			c.insideLink(balancer, node, listener, name+" ipv6", node.ENI.IPv6)
		}
	}
}

func (c *compiler) insideLink(
	balancer *topology.LoadBalancer, node *topology.Node, listener topology.Listener, name string, addr netip.Addr,
) {
	link := c.toServers(balancer, node, listener, name)
	link.Ingress, link.Match, link.Connected = link.Egress, netip.AddrPortFrom(addr, listener.Port), true
	link.Identity = c.header(listener) // of no endpoint
	link.Admit = c.filter(balancer)
	pick, ended, profile, group := link.Pick, link.Ended, *c.profile, *c.index.serverGroup(listener.ServerGroup)
	link.Pick = func(flow packet.FiveTuple, seq uint32) (netip.AddrPort, bool) {
		server, ok := pick(flow, seq)
		if ok && server.Addr() == flow.Src.Addr() && !Hairpins(profile, &group, server) {
			ended(server)
			return netip.AddrPort{}, false
		}
		return server, ok
	}
	c.nat.Links = append(c.nat.Links, link)
}

// Hairpins says whether a server reaches itself through its load balancer. It
// does not where servers see their clients' addresses: then it would get packets
// from its own.
func Hairpins(profile topology.Profile, group *topology.ServerGroup, server netip.AddrPort) bool {
	if !profile.KeepsClientIP {
		return true
	}
	byAddress := func(s topology.Server) bool {
		return s.Instance == "" && s.IP == server.Addr() && s.Port == server.Port()
	}
	return profile.HidesClientIP && group.Protocol == topology.TCP && slices.ContainsFunc(group.Servers, byAddress)
}

// toServers is the part of a link that leads from a node to its servers.
func (c *compiler) toServers(
	balancer *topology.LoadBalancer, node *topology.Node, listener topology.Listener, name string,
) fullnat.Link {
	link := fullnat.Link{
		Name:      name,
		Protocol:  listener.Protocol.Transport().Number(),
		Egress:    c.numbers[node.ENI.Device],
		Local:     node.Local,
		Idle:      listener.IdleTimeout,
		Behaviour: c.behaviour(listener.IdleTimeout),
	}
	if node.Proxy != nil {
		c.toProxy(&link, node, listener)
		return link
	}
	group := c.index.serverGroup(listener.ServerGroup)
	choose := c.pick(name, group.Name, ServersOf(balancer, group, node.Zone))
	link.Pick, link.Ended, link.Resumed, link.Lost = choose.Pick, choose.Ended, choose.Resumed, choose.Lost
	if !c.profile.HashesSequence && choose.Pick != nil {
		link.Pick = func(flow packet.FiveTuple, _ uint32) (netip.AddrPort, bool) { return choose.Pick(flow, 0) }
	}
	return link
}

// toProxy lets the sessions of a link go to an alb's node, which picks a server
// for each request, and closes a silent session before the session's own time is
// over.
func (c *compiler) toProxy(link *fullnat.Link, node *topology.Node, listener topology.Listener) {
	proxy := netip.AddrPortFrom(node.Proxy.IP, listener.Port)
	link.Pick = func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return proxy, true }
	link.Idle = max(c.profile.TCPIdle, 2*listener.IdleTimeout, 2*listener.HTTP.RequestTimeout)
	link.Behaviour = c.behaviour(link.Idle)
}

func linkName(zone topology.EndpointZone, listener topology.Listener) string {
	if listener.Protocol == topology.ICMP {
		return zone.ENI.Name + " icmp"
	}
	return fmt.Sprintf("%s %s/%d", zone.ENI.Name, listener.Protocol, listener.Port)
}

// identity is what the listener tells its servers of the consumer.
func (c *compiler) identity(ep topology.Endpoint, listener topology.Listener) *fullnat.Identity {
	id := c.header(listener)
	if id == nil {
		return nil
	}
	id.Endpoint = ep.ID
	if id.Header == fullnat.LayoutAlibaba {
		id.VPC, id.Service = c.index.vpc(ep.VPC).ID, c.index.service(ep.Service).ID
	}
	return id
}

// header is what the listener writes into what its clients send.
func (c *compiler) header(listener topology.Listener) *fullnat.Identity {
	id := &fullnat.Identity{TOA: listener.TOA}
	if listener.ProxyProtocol == "" && !id.TOA {
		return nil
	} else if listener.ProxyProtocol == "" {
		return id
	}
	id.Header = fullnat.LayoutAWS
	if c.profile.HeaderNamesVPC {
		id.Header = fullnat.LayoutAlibaba
	}
	if listener.ProxyProtocol == topology.OnFirstAck {
		id.Placement = fullnat.OnFirstAck
	}
	return id
}

// behaviour is how the cloud treats what it does not forward. A half-closed
// session may be as silent as an established one (RFC 6146, 3.5.2.2), where the
// cloud has no other figure.
func (c *compiler) behaviour(idle time.Duration) fullnat.Behaviour {
	p := c.profile
	return fullnat.Behaviour{
		ResetStray:       p.ResetStray,
		ReportTTL:        p.ReportTTL,
		ReportExhaustion: p.ReportExhaustion,
		ReportTooBig:     p.ReportTooBig,
		ClampMSS:         p.ClampMSS,
		Timers:           fullnat.Timers{Opening: p.TCPOpening, Closing: cmp.Or(p.TCPClosing, idle), Closed: p.TCPClosed},
	}
}

// admit is the endpoint's security groups as the core asks them.
func (c *compiler) admit(ep topology.Endpoint) func(packet.FiveTuple) bool {
	if len(ep.SecurityGroups) == 0 {
		return nil
	}
	set := c.groupsOf(ep.VPC, ep.SecurityGroups).compiled()
	return func(t packet.FiveTuple) bool {
		return set.Ingress(packet.FiveTuple{Protocol: t.Protocol, Src: t.Src, Dst: t.Dst}).Allowed
	}
}

// groupsOf are security groups of a VPC with the members that they have now.
func (c *compiler) groupsOf(vpc string, names []string) *groupSet {
	return c.groups.get(c.plan, c.index.vpc(vpc), names)
}

// resource finds the load balancer, and its node in the zone, that carries the
// zone: the one that the connection was given, or before that the first that
// the service offers there, so that the ENI knows its ports from the start.
func (c *compiler) resource(service, zone, pinned string) (*topology.LoadBalancer, *topology.Node) {
	if pinned == "" {
		svc := c.index.service(service)
		if svc == nil {
			return nil, nil
		}
		for _, r := range svc.Resources {
			if r.Zone == zone {
				pinned = r.LoadBalancer
				break
			}
		}
	}
	balancer := c.index.balancer(pinned)
	if balancer == nil {
		return nil, nil
	}
	for i := range balancer.Nodes {
		if balancer.Nodes[i].Zone == zone {
			return balancer, &balancer.Nodes[i]
		}
	}
	return nil, nil
}

// ServersOf is the zone whose servers of a group the node in a zone may pick, or "" for all:
// without cross-zone balancing only its own. A CLB has one node and serves its
// whole VPC.
func ServersOf(balancer *topology.LoadBalancer, group *topology.ServerGroup, zone string) string {
	if balancer.PicksEverywhere(group) {
		return ""
	}
	return zone
}

func zoneOf(connection control.Connection, zone string) control.Zone {
	return zoneIn(connection.Zones, zone)
}

func zoneIn(zones []control.Zone, zone string) control.Zone {
	for i := range zones {
		if zones[i].Zone == zone {
			return zones[i]
		}
	}
	return control.Zone{Zone: zone, State: control.Wait}
}
