package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/spell"
)

// around is the part of a graph of which Around speaks.
func (g *Graph) around(path string) *Graph {
	within := func(p string) bool { return p == path || strings.HasPrefix(p, path+"/") }
	boxes := map[string]bool{}
	for _, b := range g.Boxes {
		if within(b.Path) || boxes[b.Parent] {
			boxes[b.ID] = true
		}
	}
	seeds := map[string]bool{}
	for _, n := range g.Nodes {
		if within(n.Path) || boxes[n.Box] {
			seeds[n.ID] = true
		}
	}
	kept := g.reached(seeds, func(e Edge) (from, to string) { return e.From, e.To })
	for id := range g.reached(seeds, func(e Edge) (from, to string) { return e.To, e.From }) {
		kept[id] = true
	}
	return g.only(kept, boxes)
}

// reached are the nodes to which edges lead from some, and these.
func (g *Graph) reached(from map[string]bool, ends func(Edge) (from, to string)) map[string]bool {
	next := map[string][]string{}
	for _, e := range g.Edges {
		a, b := ends(e)
		next[a] = append(next[a], b)
	}
	out, open := map[string]bool{}, []string(nil)
	for id := range from {
		open = append(open, id)
	}
	for len(open) > 0 {
		id := open[len(open)-1]
		open = open[:len(open)-1]
		if !out[id] {
			out[id] = true
			open = append(open, next[id]...)
		}
	}
	return out
}

// only is the graph of some nodes, with the boxes around them and some other boxes.
func (g *Graph) only(nodes, boxes map[string]bool) *Graph {
	out := &Graph{Title: g.Title}
	around := map[string]bool{}
	for id := range boxes {
		around[id] = true
	}
	for _, n := range g.Nodes {
		if nodes[n.ID] {
			out.Nodes = append(out.Nodes, n)
			around[n.Box] = true
		}
	}
	for _, b := range g.Boxes {
		if around[b.ID] {
			around[b.Parent] = true
		}
	}
	for _, b := range g.Boxes {
		if around[b.ID] {
			out.Boxes = append(out.Boxes, b)
		}
	}
	for _, e := range g.Edges {
		if nodes[e.From] && nodes[e.To] {
			out.Edges = append(out.Edges, e)
		}
	}
	return out
}

// Coarse draws each VPC with one subnet, in which one node stands for all nodes of a kind,
// and one for all services with the same arrows: a lab of a thousand instances on a page.
func (g *Graph) Coarse() *Graph {
	out := &Graph{Title: g.Title}
	vpcOf, subnets := map[string]*Box{}, map[string]int{}
	for i, b := range g.Boxes {
		if b.Parent == "" {
			vpcOf[b.ID] = &g.Boxes[i]
		}
	}
	for _, b := range g.Boxes {
		if b.Parent != "" {
			vpcOf[b.ID] = vpcOf[b.Parent]
			subnets[b.Parent]++
		}
	}
	for _, b := range g.Boxes {
		if b.Parent == "" {
			out.Boxes = append(out.Boxes, b,
				Box{ID: b.ID + "_all", Parent: b.ID, Path: b.Path, Label: spell.Count(subnets[b.ID], "subnet")})
		}
	}
	becomes, place := map[string]string{}, map[string]int{}
	for _, n := range g.Nodes {
		stands := max(1, n.Stands)
		if n.Kind == Service {
			out.Nodes = append(out.Nodes, n)
			continue
		}
		vpc := vpcOf[n.Box]
		key := fmt.Sprint(vpc.ID, "_", n.Kind)
		becomes[n.ID] = key
		if i, ok := place[key]; ok {
			out.Nodes[i].Stands = max(1, out.Nodes[i].Stands) + stands
			out.Nodes[i].Path = vpc.Path
			continue
		}
		place[key] = len(out.Nodes)
		n.ID, n.Box = key, vpc.ID+"_all"
		out.Nodes = append(out.Nodes, n)
	}
	for i := range out.Nodes {
		if n := &out.Nodes[i]; n.Kind != Service && n.Stands > 1 {
			n.Label = []string{spell.Count(n.Stands, coarseNames[n.Kind])}
		}
	}
	for _, e := range g.Edges {
		if to := becomes[e.From]; to != "" {
			e.From = to
		}
		if to := becomes[e.To]; to != "" {
			e.To = to
		}
		out.merge(e)
	}
	out.stackServices()
	return out
}

// merge adds an edge unless there is one with the same ends, which then has the worse of
// the two states.
func (g *Graph) merge(e Edge) {
	if e.From == e.To {
		return
	}
	e.Label = ""
	i := slices.IndexFunc(g.Edges, func(old Edge) bool { return old.From == e.From && old.To == e.To })
	if i < 0 {
		g.Edges = append(g.Edges, e)
		return
	}
	g.Edges[i].State = max(g.Edges[i].State, e.State)
	g.Edges[i].Use = g.Edges[i].Use && e.Use
}

// stackServices draws services with the same arrows as one.
func (g *Graph) stackServices() {
	routes, first := g.routes(), map[string]int{}
	gone, stands := map[string]bool{}, map[int]int{}
	for i, n := range g.Nodes {
		if n.Kind != Service {
			continue
		}
		key := strings.Join(routes[n.ID], "\n")
		if at, ok := first[key]; ok {
			gone[n.ID] = true
			stands[at]++
			continue
		}
		first[key] = i
	}
	for i, n := range stands {
		g.Nodes[i].Stands, g.Nodes[i].Label = n+1, []string{spell.Count(n+1, "service"), g.Nodes[i].Label[0] + ", …"}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n Node) bool { return gone[n.ID] })
	g.Edges = slices.DeleteFunc(g.Edges, func(e Edge) bool { return gone[e.From] || gone[e.To] })
}

var coarseNames = map[Kind]string{
	Instance: "instance", EndpointENI: "endpoint ENI", ReverseENI: "endpoint ENI", BalancerNode: "load balancer node",
	Gateway: "NAT gateway", Group: "server group",
}
