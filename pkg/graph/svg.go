package graph

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// The measures of a drawing, in pixels. Text is a sans-serif of 13 pixels, in
// which a character is about 7 wide.
const (
	narrowest    = 150 // node
	nodeHeight   = 44
	gap          = 16
	boxHead      = 26
	between      = 110 // nodes of one box, for the labels of edges
	columnGap    = 170 // columns of boxes
	perCharacter = 8
)

// SVG draws the graph: the VPCs of callers on the left, endpoint services in the
// middle, the VPCs of servers on the right. It is one file without references
// to others.
func (g *Graph) SVG() string {
	l := layout{g: g, at: map[string]point{}}
	l.place()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", l.width, l.height, l.width, l.height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		html.EscapeString(g.Title))
	for _, box := range l.boxes {
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="#90a4ae"/>`+"\n",
			box.x, box.y, box.w, box.h, box.fill)
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#37474f">%s</text>`+"\n",
			box.x+10, box.y+18, html.EscapeString(box.label))
	}
	for _, e := range g.Edges {
		l.drawEdge(&b, e)
	}
	for _, n := range g.Nodes {
		l.drawNode(&b, n)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

type point struct{ x, y int }

type rect struct {
	x, y, w, h  int
	label, fill string
}

type layout struct {
	g             *Graph
	at            map[string]point // the upper left corner of a node
	boxes         []rect
	node          int // width of every node
	width, height int
}

// place puts the VPCs of callers into a column on the left, the services into
// one in the middle, and the other VPCs into one on the right.
func (l *layout) place() {
	l.node = narrowest
	for _, n := range l.g.Nodes {
		for _, line := range n.Label {
			l.node = max(l.node, len(line)*perCharacter+gap)
		}
	}
	boxWidth := l.boxWidth()
	left, right := gap, gap
	middleX := gap + boxWidth + columnGap
	rightX := middleX + l.node + columnGap
	for _, box := range l.g.Boxes {
		if box.Parent != "" {
			continue
		}
		if l.serves(box.ID) {
			right = l.vpc(box, rightX, right, boxWidth)
		} else {
			left = l.vpc(box, gap, left, boxWidth)
		}
	}
	l.height = max(left, right)
	services := slices.DeleteFunc(slices.Clone(l.g.Nodes), func(n Node) bool { return n.Box != "" })
	y := max(gap, (l.height-len(services)*(nodeHeight+gap))/2)
	for _, n := range services {
		l.at[n.ID] = point{middleX, y}
		y += nodeHeight + gap
	}
	l.height = max(l.height, y)
	l.width = rightX + boxWidth + gap
}

// boxWidth fits two nodes beside each other and every box's label.
func (l *layout) boxWidth() int {
	width := 2*l.node + between + 4*gap
	for _, b := range l.g.Boxes {
		width = max(width, len(b.Label)*perCharacter+4*gap)
	}
	return width
}

// serves reports whether endpoint services lead to the VPC.
func (l *layout) serves(vpc string) bool {
	return slices.ContainsFunc(l.g.Nodes, func(n Node) bool {
		return (n.Kind == BalancerNode || n.Kind == ReverseENI) && l.vpcOf(n) == vpc
	})
}

func (l *layout) vpcOf(n Node) string {
	for _, b := range l.g.Boxes {
		if b.ID == n.Box {
			return b.Parent
		}
	}
	return ""
}

// vpc places a VPC and returns where the next one may begin. ENIs and load
// balancers are on the side of the middle column.
func (l *layout) vpc(box Box, x, y, width int) (below int) {
	outer := len(l.boxes)
	l.boxes = append(l.boxes, rect{x: x, y: y, w: width, label: box.Label, fill: "#f5f7f8"})
	inner := y + boxHead + gap/2
	servesHere := l.serves(box.ID)
	for _, subnet := range l.g.Boxes {
		if subnet.Parent != box.ID {
			continue
		}
		rows := [2]int{}
		for _, n := range l.g.Nodes {
			if n.Box != subnet.ID {
				continue
			}
			column := 0
			if (n.Kind == Instance) == servesHere {
				column = 1
			}
			l.at[n.ID] = point{x + 2*gap + column*(l.node+between),
				inner + boxHead + gap/2 + rows[column]*(nodeHeight+gap)}
			rows[column]++
		}
		height := boxHead + gap/2 + max(1, rows[0], rows[1])*(nodeHeight+gap)
		l.boxes = append(l.boxes, rect{x: x + gap, y: inner, w: width - 2*gap, h: height, label: subnet.Label,
			fill: "white"})
		inner += height + gap
	}
	l.boxes[outer].h = inner - y
	return inner + gap
}

func (l *layout) drawNode(b *strings.Builder, n Node) {
	p := l.at[n.ID]
	fill := map[Kind]string{
		Instance: "#e3f2fd", EndpointENI: "#fff3e0", ReverseENI: "#fff3e0", Service: "#ede7f6",
		BalancerNode: "#e8f5e9", Gateway: "#e8f5e9",
	}[n.Kind]
	radius := map[Kind]int{EndpointENI: nodeHeight / 2, ReverseENI: nodeHeight / 2, Service: 14}[n.Kind]
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="%d" fill="%s" stroke="#607d8b"/>`+"\n",
		p.x, p.y, l.node, nodeHeight, radius, fill)
	for i, line := range n.Label {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n",
			p.x+l.node/2, p.y+18+17*i, html.EscapeString(line))
	}
}

// drawEdge leaves a node on the side that is nearer to the end of the edge.
func (l *layout) drawEdge(b *strings.Builder, e Edge) {
	from, to := l.at[e.From], l.at[e.To]
	x1, x2 := from.x+l.node, to.x // to the right
	leaves, comes := 1, -1        // the sides: 1 is right, -1 left
	switch {
	case to.x == from.x:
		x2, comes = to.x+l.node, 1
	case to.x < from.x:
		x1, x2, leaves, comes = from.x, to.x+l.node, -1, 1
	}
	y1, y2 := from.y+nodeHeight/2, to.y+nodeHeight/2
	bend := max(30, min(80, (x2-x1)*leaves/2))
	colour, dash := e.State.colour(), ""
	if e.State == Waits || e.State == Fails {
		dash = ` stroke-dasharray="6 4"`
	}
	fmt.Fprintf(b, `<path d="M%d %d C%d %d %d %d %d %d" fill="none" stroke="%s" stroke-width="1.6"%s/>`+"\n",
		x1, y1, x1+leaves*bend, y1, x2+comes*bend, y2, x2, y2, colour, dash)
	fmt.Fprintf(b, `<path d="M%d %d l%d -4 l0 8 z" fill="%s"/>`+"\n", x2, y2, comes*8, colour)
	if e.Label != "" {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" font-size="11" fill="%s" `+
			`stroke="white" stroke-width="3" paint-order="stroke">%s</text>`+"\n",
			(x1+x2)/2, (y1+y2)/2-5, colour, html.EscapeString(e.Label))
	}
}
