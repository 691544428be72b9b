package graph

import (
	"slices"
)

type rect struct {
	x, y, w, h int
}

func (r rect) overlaps(o rect) bool {
	return r.x < o.x+o.w && o.x < r.x+r.w && r.y < o.y+o.h && o.y < r.y+r.h
}

type area struct {
	rect
	class, label, path string
}

// curve is an edge: from x1, y1 to x2, y2, with a bend at each end towards the
// side that it leaves, or comes from: 1 is right, -1 left.
type curve struct {
	x1, y1, x2, y2, bend, leaves, comes int
}

type legendItem struct {
	at    rect
	kind  Kind
	class string // of an arrow
	text  string
}

// layout is where everything of a drawing is.
type layout struct {
	g             *Graph
	nodes         map[string]rect // by ID
	boxes         []area
	edges         []curve // of the graph's edges
	labels        []rect  // of the graph's edges; zero without a label
	legend        []legendItem
	serving       map[string]bool // VPCs to which services lead
	parent        map[string]string
	width, height int
}

func newLayout(g *Graph) *layout {
	l := &layout{g: g, nodes: map[string]rect{}, serving: map[string]bool{}, parent: map[string]string{}}
	for _, b := range g.Boxes {
		l.parent[b.ID] = b.Parent
	}
	for _, n := range g.Nodes {
		if n.Kind == BalancerNode || n.Kind == ReverseENI {
			l.serving[l.vpcOf(n)] = true
		}
	}
	l.place()
	for _, e := range g.Edges {
		l.edges = append(l.edges, l.curve(e))
	}
	l.placeLabels()
	l.placeLegend()
	return l
}

// vpcOf is the box of a VPC that a node is in, or "".
func (l *layout) vpcOf(n Node) string {
	if parent := l.parent[n.Box]; parent != "" {
		return parent
	}
	return n.Box
}

func widthOf(n Node) int {
	width := narrowest
	for _, line := range n.Label {
		width = max(width, textWidth(line, textSize)+2*gap)
	}
	return width
}

// place puts the VPCs of callers into a column on the left, the services into
// one in the middle, and the other VPCs into one on the right.
func (l *layout) place() {
	middle, services := 0, []Node{}
	for _, n := range l.g.Nodes {
		if n.Box == "" {
			services = append(services, n)
			middle = max(middle, widthOf(n))
		}
	}
	x, left := gap, gap
	leftEnd := l.vpcs(false, x, &left)
	middleX := leftEnd + columnGap
	if leftEnd == x {
		middleX = x // nobody calls
	}
	rightX, right := middleX+middle+columnGap, gap
	if len(services) == 0 {
		rightX = middleX
	}
	l.width = max(l.vpcs(true, rightX, &right), middleX+middle) + gap
	below := l.between(services, middleX, middle, gap)
	l.height = max(left, right, below)
}

// vpcs places the VPCs that serve, or those that do not, from y on, and returns
// where the widest of them ends.
func (l *layout) vpcs(serving bool, x int, y *int) (end int) {
	end = x
	first := len(l.boxes)
	for _, box := range l.g.Boxes {
		if box.Parent == "" && l.serving[box.ID] == serving {
			right, below := l.vpc(box, x, *y)
			end, *y = max(end, right), below
		}
	}
	for i := first; i < len(l.boxes); i++ { // all are as wide as the widest
		b := &l.boxes[i]
		b.w = end - b.x
		if b.class == "subnet" {
			b.w -= gap
		}
	}
	return end
}

// vpc places a VPC. What is nearer to the services is on their side: ENIs, load
// balancers and what they lead to in turn, instances on the other side.
func (l *layout) vpc(box Box, x, y int) (right, below int) {
	level := l.levels(box.ID)
	columns := make([]int, 1) // widths
	var groups []Node
	subnets, widest := 0, textWidth(box.Label, textSize)+2*gap
	for _, n := range l.g.Nodes {
		at, ok := level[n.ID]
		if !ok {
			continue
		}
		for len(columns) <= at {
			columns = append(columns, 0)
		}
		columns[at] = max(columns[at], widthOf(n))
		if n.Kind == Group {
			groups = append(groups, n)
		}
	}
	for _, subnet := range l.g.Boxes {
		if subnet.Parent != box.ID {
			continue
		}
		label := textWidth(subnet.Label, textSize)
		widest = max(widest, label+4*gap)
		if subnets++; subnets > 1 && len(groups) > 0 { // a group may lie over the border of two subnets
			columns[0] = max(columns[0], label)
		}
	}
	at := make([]int, len(columns)) // where they begin
	right = x + 2*gap
	for i, width := range columns {
		if i > 0 {
			right += l.room(level, i-1)
		}
		at[i] = right
		right += width
	}
	right = max(right+2*gap, x+widest)
	outer := len(l.boxes)
	l.boxes = append(l.boxes, area{rect{x, y, right - x, 0}, "vpc", box.Label, box.Path})
	inner := y + boxHead + gap/2
	for _, subnet := range l.g.Boxes {
		if subnet.Parent != box.ID {
			continue
		}
		rows := make([]int, len(columns))
		for _, n := range l.g.Nodes {
			if n.Box != subnet.ID {
				continue
			}
			c := level[n.ID]
			l.nodes[n.ID] = rect{at[c], inner + boxHead + gap/2 + rows[c]*(nodeHeight+gap), columns[c], nodeHeight}
			rows[c]++
		}
		height := boxHead + gap/2 + max(1, slices.Max(rows))*(nodeHeight+gap)
		l.boxes = append(l.boxes, area{rect{x + gap, inner, right - x - 2*gap, height}, "subnet", subnet.Label, subnet.Path})
		inner += height + gap
	}
	for c := range columns {
		here := slices.DeleteFunc(slices.Clone(groups), func(n Node) bool { return level[n.ID] != c })
		inner = max(inner, l.between(here, at[c], columns[c], y+boxHead+gap)+gap/2)
	}
	l.boxes[outer].h = inner - y
	return right, inner + gap
}

// levels are the columns of a VPC's nodes, from the left. In a VPC that serves,
// groups are one further than their load balancers, and a load balancer that is
// in a group is one further than that.
func (l *layout) levels(vpc string) map[string]int {
	level, last, here := map[string]int{}, 1, map[string]Kind{}
	for _, n := range l.g.Nodes {
		if l.vpcOf(n) != vpc {
			continue
		}
		here[n.ID] = n.Kind
		level[n.ID] = 0
		if !l.serving[vpc] && n.Kind != Instance {
			level[n.ID] = 1
		}
	}
	if !l.serving[vpc] {
		return level
	}
	for range 4 { // load balancers are chained at most twice
		for _, e := range l.g.Edges {
			from, ok := here[e.From]
			to, both := here[e.To]
			if ok && both && to != Instance && (from == Group || to == Group) {
				level[e.To] = max(level[e.To], level[e.From]+1)
				last = max(last, level[e.To]+1)
			}
		}
	}
	for id, kind := range here {
		if kind == Instance {
			level[id] = last
		}
	}
	return level
}

// room is how far a column of a VPC is from the next: as far as the labels of the
// edges between them are wide.
func (l *layout) room(level map[string]int, column int) int {
	room := between
	for _, e := range l.g.Edges {
		from, ok := level[e.From]
		to, both := level[e.To]
		if ok && both && min(from, to) == column {
			room = max(room, textWidth(e.Label, labelSize)+3*gap)
		}
	}
	return room
}

// between places nodes above each other, each in the middle of those that it
// has edges with as far as there is room, and returns where they end.
func (l *layout) between(nodes []Node, x, width, top int) (below int) {
	middle := map[string]int{}
	for _, n := range nodes {
		sum, count := 0, 0
		for _, e := range l.g.Edges {
			for _, end := range [][2]string{{e.From, e.To}, {e.To, e.From}} {
				if r, ok := l.nodes[end[1]]; ok && end[0] == n.ID {
					sum, count = sum+r.y, count+1
				}
			}
		}
		middle[n.ID] = top
		if count > 0 {
			middle[n.ID] = max(top, sum/count)
		}
	}
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b Node) int { return middle[a.ID] - middle[b.ID] })
	y := top
	for _, n := range nodes {
		y = max(y, middle[n.ID])
		l.nodes[n.ID] = rect{x, y, width, nodeHeight}
		y += nodeHeight + gap
	}
	return y
}

// curve leaves a node on the side that is nearer to the end of the edge.
func (l *layout) curve(e Edge) curve {
	from, to := l.nodes[e.From], l.nodes[e.To]
	c := curve{x1: from.x + from.w, x2: to.x, leaves: 1, comes: -1}
	switch {
	case to.x < from.x+from.w && from.x < to.x+to.w: // above each other
		c.x2, c.comes = to.x+to.w, 1
	case to.x < from.x:
		c.x1, c.x2, c.leaves, c.comes = from.x, to.x+to.w, -1, 1
	}
	c.y1, c.y2 = from.y+from.h/2, to.y+to.h/2
	c.bend = max(30, min(80, (c.x2-c.x1)*c.leaves/2))
	return c
}

// at is the point of the curve at t from 0 to 1 (a cubic Bézier curve).
func (c curve) at(t float64) (x, y int) {
	s := 1 - t
	bezier := func(a, b, d, e int) int {
		return int(s*s*s*float64(a) + 3*s*s*t*float64(b) + 3*s*t*t*float64(d) + t*t*t*float64(e))
	}
	return bezier(c.x1, c.x1+c.leaves*c.bend, c.x2+c.comes*c.bend, c.x2), bezier(c.y1, c.y1, c.y2, c.y2)
}

// placeLabels puts the label of each edge at the first place along it where it
// covers no node, no label of a box and no other label.
func (l *layout) placeLabels() {
	l.labels = make([]rect, len(l.g.Edges))
	var taken []rect
	for _, r := range l.nodes {
		taken = append(taken, rect{r.x, r.y, r.w + 4, r.h + 4}) // with the sheets behind it
	}
	for _, b := range l.boxes {
		taken = append(taken, rect{b.x + 10, b.y + 4, textWidth(b.label, textSize), 18})
	}
	for i, e := range l.g.Edges {
		if e.Label == "" {
			continue
		}
		w, h := textWidth(e.Label, labelSize)+2, labelSize+4
		l.labels[i] = l.free(l.edges[i], w, h, taken)
		taken = append(taken, l.labels[i])
	}
}

func (l *layout) free(c curve, w, h int, taken []rect) rect {
	clear := func(r rect) bool {
		return r.x >= 0 && r.x+r.w <= l.width && !slices.ContainsFunc(taken, r.overlaps)
	}
	for _, off := range []int{0, -h, h, -2 * h, 2 * h, -3 * h, 3 * h, -5 * h, 5 * h, -8 * h, 8 * h} {
		for _, t := range []float64{0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8} {
			x, y := c.at(t)
			if r := (rect{x - w/2, y - h/2 + off, w, h}); clear(r) && r.y >= 0 {
				return r
			}
		}
	}
	// Nothing is free beside the edge: below it, as far as it takes.
	x, y := c.at(0.5)
	r := rect{min(max(0, x-w/2), max(0, l.width-w)), y, w, h}
	for slices.ContainsFunc(taken, r.overlaps) {
		r.y += h
	}
	l.height = max(l.height, r.y+h+gap)
	return r
}

// placeLegend names what occurs in the drawing.
func (l *layout) placeLegend() {
	names := map[Kind]string{
		Instance: "instance", EndpointENI: "ENI of an endpoint", Service: "endpoint service",
		BalancerNode: "load balancer or NAT gateway", Group: "server group",
	}
	for _, k := range l.g.kinds() {
		l.legend = append(l.legend, legendItem{kind: k, text: names[k]})
	}
	for _, arrow := range []struct {
		class, text string
		is          func(Edge) bool
	}{
		{"unknown use", "what checks use", func(e Edge) bool { return e.Use }},
		{"unknown", "a route; its state is not known", func(e Edge) bool { return e.State == Unknown && !e.Use }},
		{"passes", "passes", func(e Edge) bool { return e.State == Passes }},
		{"waits", "waits for a decision", func(e Edge) bool { return e.State == Waits }},
		{"fails", "fails", func(e Edge) bool { return e.State == Fails }},
	} {
		if slices.ContainsFunc(l.g.Edges, arrow.is) {
			l.legend = append(l.legend, legendItem{class: arrow.class, text: arrow.text})
		}
	}
	x, y := gap, l.height+gap/2
	for i := range l.legend {
		w := 36 + textWidth(l.legend[i].text, textSize) + 2*gap
		if x+w > l.width && x > gap {
			x, y = gap, y+24
		}
		l.width = max(l.width, x+w)
		l.legend[i].at = rect{x, y, w - gap, 16}
		x += w
	}
	l.height = y + 24 + gap/2
}
