// Package graph draws a topology: VPCs with their subnets and what is in them,
// the routes from endpoints through endpoint services and load balancers to
// servers, and, where a lab runs, the state of each.
//
// Of makes a Graph, which no longer knows the topology; Mermaid, DOT and SVG
// write it as text. All of it is pure: the same topology in the same state gives
// the same text.
package graph

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Graph is boxes in boxes, nodes in the innermost of them, and arrows between
// nodes.
type Graph struct {
	Title string
	Boxes []Box
	Nodes []Node
	Edges []Edge
}

// Box is a VPC, or a subnet in one.
type Box struct {
	ID     string // letters, digits and "_", unique among boxes and nodes
	Parent string // the ID of the box around it, or ""
	Label  string
	Path   string // of the object in a topology file
}

// Node is a sender, a receiver or a stage of packets.
type Node struct {
	ID    string // unique, as the ID of a Box
	Box   string // the ID of the box around it, or "" for a node outside of all VPCs
	Kind  Kind
	Label []string // lines
	// Stands is how many objects the node stands for; 0 where it is one.
	Stands int
	// Path is where the object is in a topology file: vpcs/vpc1/instances/ecs1. Where the
	// node stands for several, it is that of one or of what they are in.
	Path string
}

// Kind gives a node its shape.
type Kind uint8

// The kinds of nodes.
const (
	Instance Kind = iota
	EndpointENI
	ReverseENI // of a reverse endpoint, from which connections come
	Service
	BalancerNode
	Gateway // a NAT gateway
	Group   // a server group, as one VPC's load balancers use it
)

// Edge is a route of packets.
type Edge struct {
	From, To string // IDs of nodes
	Label    string
	State    State
	Use      bool // from an instance to an endpoint that one of its checks uses
}

// State says whether packets pass an Edge.
type State uint8

// The states of edges. Without a running lab all are Unknown.
const (
	Unknown State = iota
	Passes
	Waits // for the provider's decision, or for the data plane
	Fails
)

// Live is the state of a running lab. The zero value means that none runs.
type Live struct {
	Zones   map[string]Zone         // by ENI of the endpoint: ep1@zone
	Servers map[netip.AddrPort]bool // whether they are healthy
	Faults  map[string]string       // of ENIs that do not work, by name: "blackhole"
	Traffic map[string]string       // what passes, by ENI of the endpoint, in words
}

// Zone is the state of a connection in one zone of its endpoint.
type Zone struct {
	Word string // as the cloud calls it
	Open bool   // whether packets pass
}

// Of draws a plan, with the states of a running lab where live has them.
func Of(plan *topology.Plan, live Live) *Graph {
	g := whole(plan, live)
	g.stack()
	return g
}

// Around draws what packets from or to an object cross, by its path in a topology file,
// with everything that is in it. It is empty where nothing has that path.
func Around(plan *topology.Plan, live Live, path string) *Graph {
	g := whole(plan, live).around(path)
	g.stack()
	return g
}

// whole has a node for every instance.
func whole(plan *topology.Plan, live Live) *Graph {
	d := drawing{plan: plan, live: live, Graph: &Graph{Title: plan.Name}}
	for i := range plan.VPCs {
		d.vpc(&plan.VPCs[i])
	}
	for i := range plan.Services {
		d.service(&plan.Services[i])
	}
	for i := range plan.LoadBalancers {
		d.balancer(&plan.LoadBalancers[i])
	}
	for i := range plan.NATGateways {
		d.gateway(&plan.NATGateways[i])
	}
	for i := range plan.Endpoints {
		d.endpoint(&plan.Endpoints[i])
	}
	for i := range plan.Checks {
		d.use(&plan.Checks[i])
	}
	return d.Graph
}

type drawing struct {
	*Graph
	plan *topology.Plan
	live Live
}

func (d *drawing) vpc(v *topology.VPC) {
	box := id("vpc", v.Name)
	path := topology.JoinPath("vpcs", v.Name)
	d.Boxes = append(d.Boxes, Box{
		ID: box, Path: path, Label: fmt.Sprintf("%s, %s (account %s)", v.Name, v.Blocks(), v.Account),
	})
	for _, s := range v.Subnets {
		d.Boxes = append(d.Boxes, Box{ID: id("subnet", v.Name, s.Name), Parent: box,
			Path: path + "/" + topology.JoinPath("subnets", s.Name), Label: fmt.Sprintf("%s, %s, %s", s.Name, s.Zone, s.CIDR)})
	}
	for _, i := range v.Instances {
		d.Nodes = append(d.Nodes, Node{
			ID: id("instance", v.Name, i.Name), Box: id("subnet", v.Name, i.Subnet), Kind: Instance,
			Label: []string{i.Name, i.IP.String()}, Path: path + "/" + topology.JoinPath("instances", i.Name),
		})
	}
}

func (d *drawing) service(s *topology.EndpointService) {
	accepts := "accepts by hand"
	if s.AutoAccept {
		accepts = "accepts by itself"
	}
	d.Nodes = append(d.Nodes, Node{
		ID: id("service", s.Name), Kind: Service, Label: []string{s.Name, accepts},
		Path: topology.JoinPath("endpoint_services", s.Name),
	})
	for _, r := range s.Resources {
		e := Edge{From: id("service", s.Name), To: id("node", r.LoadBalancer, r.Zone)}
		eni := r.LoadBalancer + "@" + r.Zone
		if s.Reverse {
			e.From, e.To, eni = id("gateway", r.NATGateway), e.From, r.NATGateway+"@"+r.Zone
		}
		d.faulty(&e, eni)
		d.edge(e)
	}
}

func (d *drawing) endpoint(ep *topology.Endpoint) {
	for _, z := range ep.Zones {
		n := Node{ID: id("eni", ep.Name, z.Zone), Kind: EndpointENI, Label: []string{z.ENI.Name, z.ENI.IP.String()},
			Path: topology.JoinPath("endpoints", ep.Name)}
		e := Edge{From: n.ID, To: id("service", ep.Service)}
		if ep.Reverse {
			n.Kind, e.From, e.To = ReverseENI, e.To, e.From
		}
		d.eni(n, z.ENI)
		if state, ok := d.live.Zones[z.ENI.Name]; ok {
			e.Label, e.State = state.Word, Waits
			if state.Open {
				e.State = Passes
			}
		}
		if passes := d.live.Traffic[z.ENI.Name]; passes != "" {
			e.Label = strings.TrimPrefix(e.Label+", "+passes, ", ")
		}
		d.faulty(&e, z.ENI.Name)
		d.edge(e)
	}
}

// faulty marks the arrow from or to an ENI that does not work.
func (d *drawing) faulty(e *Edge, eni string) {
	fault := d.live.Faults[eni]
	switch {
	case fault == "":
		return
	case e.Label != "":
		fault = e.Label + ", " + fault
	}
	e.Label, e.State = fault, Fails
}

func (d *drawing) eni(n Node, eni topology.ENI) {
	n.Box = id("subnet", eni.VPC, eni.Subnet)
	d.Nodes = append(d.Nodes, n)
}

// edge draws one arrow for all routes with the same ends and the same state.
func (d *drawing) edge(e Edge) {
	for i := range d.Edges {
		if old := &d.Edges[i]; old.From == e.From && old.To == e.To && old.State == e.State {
			if e.Label != "" && !slices.Contains(strings.Split(old.Label, ", "), e.Label) {
				old.Label = strings.TrimPrefix(old.Label+", "+e.Label, ", ")
			}
			return
		}
	}
	d.Edges = append(d.Edges, e)
}

// gateway draws a NAT gateway and, for each of its entries, a route from the
// endpoint's ENI to the instance that has the address. The route from the
// gateway to the ENI is the service's.
func (d *drawing) gateway(gw *topology.NATGateway) {
	d.eni(Node{ID: id("gateway", gw.Name), Kind: Gateway,
		Path: topology.JoinPath("nat_gateways", gw.Name), Label: []string{gw.ENI.Name, "NAT gateway " + gw.ENI.IP.String()}},
		gw.ENI)
	for _, entry := range gw.Entries {
		ep, err := d.plan.Endpoint(entry.Endpoint)
		if err != nil {
			continue
		}
		for i := range d.plan.VPCs {
			for _, instance := range d.plan.VPCs[i].Instances {
				if instance.VPC == ep.VPC && instance.IP == entry.AccessIP {
					d.edge(Edge{
						From: id("eni", ep.Name, entry.Zone), To: id("instance", instance.VPC, instance.Name),
						Label: fmt.Sprintf("%s:%d", entry.NATIP, entry.NATPort),
					})
				}
			}
		}
	}
}

func (d *drawing) balancer(l *topology.LoadBalancer) {
	for _, node := range l.Nodes {
		from := id("node", l.Name, node.Zone)
		d.eni(Node{ID: from, Kind: BalancerNode, Path: topology.JoinPath("load_balancers", l.Name),
			Label: []string{node.ENI.Name, string(l.Type) + " " + node.IP().String()}}, node.ENI)
		for _, listener := range l.Listeners {
			for _, group := range listener.Groups() {
				d.listener(l, &node, from, &listener, group)
			}
		}
	}
}

// listener draws the route from a node to a server group, once for all listeners,
// and from the group to its servers, once for all nodes: n and m arrows where n
// times m would be a knot.
func (d *drawing) listener(l *topology.LoadBalancer, node *topology.Node, from string, listener *topology.Listener,
	name string) {
	group, err := d.plan.ServerGroup(name)
	if err != nil {
		return // a listener that needs no servers
	}
	at := id("group", group.Name, l.VPC)
	if !l.PicksEverywhere(group) {
		at = id("group", group.Name, l.VPC, node.Zone)
	}
	label := []string{group.Name, string(group.Protocol)}
	if group.Scheduler != "" {
		label[1] += ", " + string(group.Scheduler)
	}
	in := Edge{From: from, To: at, Label: fmt.Sprintf("%s %d", listener.Protocol, listener.Port)}
	for _, s := range group.Servers {
		if !l.PicksEverywhere(group) && !s.In(node.Zone) {
			continue
		}
		to := id("node", s.Balancer, s.Zone)
		if s.Balancer == "" {
			instance := d.plan.InstanceOf(group, s)
			if instance == nil {
				continue // an address that nothing has
			}
			to = id("instance", instance.VPC, instance.Name)
		}
		e := Edge{From: at, To: to}
		if s.Port != listener.Port {
			e.Label = fmt.Sprintf("to %d", s.Port)
		}
		if healthy, ok := d.live.Servers[netip.AddrPortFrom(s.IP, s.Port)]; ok {
			e.State = Fails
			if healthy {
				e.State = Passes
			}
		}
		if e.State == Passes || in.State == Unknown {
			in.State = e.State // one healthy server is enough
		}
		d.edge(e)
	}
	if !slices.ContainsFunc(d.Nodes, func(n Node) bool { return n.ID == at }) {
		d.Nodes = append(d.Nodes, Node{ID: at, Box: id("vpc", l.VPC), Kind: Group, Label: label,
			Path: topology.JoinPath("server_groups", group.Name)})
	}
	d.edge(in)
}

// use draws the route from an instance to the endpoint that a check of it uses.
func (d *drawing) use(check *topology.Check) {
	vpc, name, ok := strings.Cut(check.From, "/")
	if !ok {
		return
	}
	target := check.Connect + check.UDP + check.Get // one of them
	for i := range d.plan.Endpoints {
		ep := &d.plan.Endpoints[i]
		if ep.VPC != vpc || ep.Reverse {
			continue
		}
		for _, z := range ep.Zones {
			if strings.Contains(target, ep.Domain) || strings.Contains(target, z.ENI.Name) || named(target, z.ENI.IP.String()) {
				d.edge(Edge{From: id("instance", vpc, name), To: id("eni", ep.Name, z.Zone), Use: true})
			}
		}
	}
}

// named says whether a URL or HOST:PORT names exactly the host.
func named(target, host string) bool {
	_, rest, ok := strings.Cut(target, host)
	return ok && (rest == "" || strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, "/"))
}

// id is an identifier that every format accepts. Different names have different
// identifiers: names consist of a to z, 0 to 9 and "-".
func id(kind string, names ...string) string {
	for i, name := range names {
		names[i] = strings.ReplaceAll(name, "-", "_1")
	}
	return kind + "_0" + strings.Join(names, "_0")
}
