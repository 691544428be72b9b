package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/spell"
)

// tooMany instances of one subnet with the same routes are drawn as one node.
const tooMany = 5

// stack draws instances of one subnet that have the same routes as one node where
// they are many, so that a lab of hundreds can still be read.
func (g *Graph) stack() {
	routes := g.routes()
	members := map[string][]int{} // nodes by subnet and routes
	var order []string
	for i, n := range g.Nodes {
		if n.Kind != Instance {
			continue
		}
		key := n.Box + "\n" + strings.Join(routes[n.ID], "\n")
		if members[key] == nil {
			order = append(order, key)
		}
		members[key] = append(members[key], i)
	}
	becomes := map[string]string{} // the ID of the node that stands for it
	gone := map[int]bool{}
	for _, key := range order {
		same := members[key]
		if len(same) < tooMany {
			continue
		}
		first, last := &g.Nodes[same[0]], &g.Nodes[same[len(same)-1]]
		for _, i := range same[1:] {
			gone[i] = true
			becomes[g.Nodes[i].ID] = first.ID
		}
		becomes[first.ID] = first.ID
		first.Label = []string{first.Label[0] + " to " + last.Label[0], spell.Count(len(same), "instance")}
		first.Stands, first.Path = len(same), g.pathOf(first.Box)
	}
	if len(gone) == 0 {
		return
	}
	kept := g.Nodes[:0:0]
	for i, n := range g.Nodes {
		if !gone[i] {
			kept = append(kept, n)
		}
	}
	g.Nodes = kept
	g.stackEdges(becomes)
}

func (g *Graph) pathOf(box string) string {
	return g.Boxes[slices.IndexFunc(g.Boxes, func(b Box) bool { return b.ID == box })].Path
}

// routes are the other ends of each node's edges, with their labels, sorted.
func (g *Graph) routes() map[string][]string {
	out := map[string][]string{}
	for _, e := range g.Edges {
		out[e.From] = append(out[e.From], "to "+e.To+" "+e.Label)
		out[e.To] = append(out[e.To], "from "+e.From+" "+e.Label)
	}
	for _, r := range out {
		slices.Sort(r)
	}
	return out
}

// stackEdges draws one arrow for those of the nodes that one stands for; it
// counts those that fail.
func (g *Graph) stackEdges(becomes map[string]string) {
	type ends struct{ from, to, label string }
	place := map[ends]int{}
	failing, all := map[int]int{}, map[int]int{}
	var edges []Edge
	for _, e := range g.Edges {
		stacked := false
		for _, end := range []*string{&e.From, &e.To} {
			if to, ok := becomes[*end]; ok {
				*end, stacked = to, true
			}
		}
		key := ends{e.From, e.To, e.Label}
		i, ok := place[key]
		if !ok || !stacked {
			i = len(edges)
			place[key] = i
			edges = append(edges, e)
		}
		all[i]++
		if e.State == Fails {
			failing[i]++
			edges[i].State = Fails
		}
	}
	for i, n := range failing {
		if all[i] > 1 {
			edges[i].Label = strings.TrimPrefix(edges[i].Label+", ", ", ") + fmt.Sprintf("%d of %d unhealthy", n, all[i])
		}
	}
	g.Edges = edges
}
