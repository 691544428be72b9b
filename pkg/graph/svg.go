package graph

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// The measures of a drawing, in pixels.
const (
	narrowest  = 110 // node
	nodeHeight = 44
	gap        = 16
	boxHead    = 26
	between    = 80 // columns of one VPC, for the labels of edges
	columnGap  = 120
	textSize   = 13
	labelSize  = 11
)

// style has the colours by class, for a light and a dark background; all have a
// contrast of 4.5 to 1 or more against what is behind them (WCAG 2.2, 1.4.3).
const style = `text{font-family:Verdana,"DejaVu Sans",Geneva,sans-serif;font-size:13px;fill:#1c2529}
.label{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}
.in-vpc,.in-subnet{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}.in-vpc{stroke:#eef2f4}.in-subnet{stroke:#fff}
.page{fill:#fff}.vpc{fill:#eef2f4;stroke:#78909c}.subnet{fill:#fff;stroke:#b0bec5}
.node{stroke:#546e7a}.instance{fill:#e3f2fd}.eni{fill:#fff3e0}.service{fill:#ede7f6}.balancer{fill:#e8f5e9}.group{fill:#f1f8e9}
.edge{fill:none;stroke-width:1.6}.use{stroke-dasharray:2 4}.waits,.fails{stroke-dasharray:6 4}
.unknown{stroke:#546e7a}.passes{stroke:#2e7d32}.waits{stroke:#8a5200}.fails{stroke:#c62828}
.head{stroke:none!important}.head.unknown{fill:#546e7a}.head.passes{fill:#2e7d32}.head.waits{fill:#8a5200}.head.fails{fill:#c62828}
.label.unknown{fill:#37474f}.label.passes{fill:#2e7d32}.label.waits{fill:#8a5200}.label.fails{fill:#c62828}
.label.unknown,.label.passes,.label.waits,.label.fails{stroke:#fff;stroke-dasharray:none}
@media (prefers-color-scheme:dark){
text{fill:#e6ecef}.in-vpc{stroke:#1b2429}.in-subnet{stroke:#141b1f}.page{fill:#11171a}.vpc{fill:#1b2429;stroke:#78909c}.subnet{fill:#141b1f;stroke:#455a64}
.node{stroke:#90a4ae}.instance{fill:#15304a}.eni{fill:#47320f}.service{fill:#33264d}.balancer{fill:#173a1c}.group{fill:#24361a}
.unknown{stroke:#b0bec5}.passes{stroke:#81c784}.waits{stroke:#ffb74d}.fails{stroke:#ef9a9a}
.head.unknown{fill:#b0bec5}.head.passes{fill:#81c784}.head.waits{fill:#ffb74d}.head.fails{fill:#ef9a9a}
.label.unknown{fill:#cfd8dc}.label.passes{fill:#81c784}.label.waits{fill:#ffb74d}.label.fails{fill:#ef9a9a}
.label.unknown,.label.passes,.label.waits,.label.fails{stroke:#11171a}}
`

// SVG draws the graph: the VPCs of callers on the left, endpoint services in the
// middle, the VPCs of servers on the right, and a legend below. It is one file
// without references to others, light or dark as whoever looks at it prefers.
func (g *Graph) SVG() string { return g.svg("<style>\n"+style+"</style>\n", nil) }

// Inline is the same as a part of a page that has Style. What has a path is a link to
// what href says of it; where that is "", it is none.
func (g *Graph) Inline(href func(path string) string) string { return g.svg("", href) }

// Style is the style sheet of a drawing. Its selectors are those of any page: it is for a
// rule that is around it and names the drawing.
func Style() string { return style }

func (g *Graph) svg(style string, href func(path string) string) string {
	l := newLayout(g)
	role := "img"
	if href != nil {
		role = "group" // with links in it
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="%s">`+"\n",
		l.width, l.height, l.width, l.height, role)
	fmt.Fprintf(&b, "<title>%s</title>\n%s<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n",
		html.EscapeString(g.Title), style)
	for _, box := range l.boxes {
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="8"/>`+"\n",
			box.class, box.x, box.y, box.w, box.h)
	}
	for i, e := range g.Edges {
		drawEdge(&b, e, l.edges[i])
	}
	for _, box := range l.boxes {
		end := link(&b, href, box.path)
		write(&b, "in-"+box.class, box.x+10, box.y+18, "", box.label)
		b.WriteString(end)
	}
	for _, n := range g.Nodes {
		end := link(&b, href, n.Path)
		drawNode(&b, n, l.nodes[n.ID])
		b.WriteString(end)
	}
	for i, e := range g.Edges {
		if at := l.labels[i]; at != (rect{}) {
			write(&b, "label "+e.State.class(), at.x, at.y+labelSize, "", e.Label)
		}
	}
	l.drawLegend(&b)
	b.WriteString("</svg>\n")
	return b.String()
}

// link begins a link where there is one, and returns its end.
func link(b *strings.Builder, href func(path string) string, path string) (end string) {
	if href == nil || path == "" || href(path) == "" {
		return ""
	}
	fmt.Fprintf(b, `<a href="%s">`, html.EscapeString(href(path)))
	return "</a>\n"
}

// HTML is a page with the drawing and the same in words. It needs no other file.
func (g *Graph) HTML() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>%[1]s</title><style>
:root{color-scheme:light dark}body{margin:1rem;font-family:Verdana,"DejaVu Sans",Geneva,sans-serif;line-height:1.5}
.picture{overflow:auto}table{border-collapse:collapse}th,td{text-align:left;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #888}
</style></head><body><h1>%[1]s</h1><div class="picture" tabindex="0" role="region" aria-label="the drawing">
`, html.EscapeString(g.Title))
	b.WriteString(g.SVG())
	b.WriteString("</div>\n<h2>Routes</h2>\n<table><thead><tr><th scope=\"col\">from</th><th scope=\"col\">to</th>" +
		"<th scope=\"col\">by</th><th scope=\"col\">state</th></tr></thead><tbody>\n")
	for _, r := range g.Routes() {
		b.WriteString("<tr>")
		for _, text := range []string{r.From, r.To, r.By, r.State} {
			fmt.Fprintf(&b, "<td>%s</td>", html.EscapeString(text))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table></body></html>\n")
	return b.String()
}

// Route is an arrow of a drawing in words.
type Route struct{ From, To, By, State string }

// Routes are the arrows of the drawing in words.
func (g *Graph) Routes() (out []Route) {
	names := map[string]string{}
	for _, n := range g.Nodes {
		names[n.ID] = n.Label[0]
	}
	for _, e := range g.Edges {
		out = append(out, Route{names[e.From], names[e.To], e.Label, e.State.word()})
	}
	return out
}

func (s State) class() string {
	return map[State]string{Unknown: "unknown", Passes: "passes", Waits: "waits", Fails: "fails"}[s]
}

// word is "" where nothing is known.
func (s State) word() string {
	if s == Unknown {
		return ""
	}
	return s.class()
}

var classOfKind = map[Kind]string{
	Instance: "instance", EndpointENI: "eni", ReverseENI: "eni", Service: "service",
	BalancerNode: "balancer", Gateway: "balancer", Group: "group",
}

func write(b *strings.Builder, class string, x, y int, anchor, text string) {
	if class != "" {
		class = fmt.Sprintf(` class="%s"`, class)
	}
	if anchor != "" {
		anchor = fmt.Sprintf(` text-anchor="%s"`, anchor)
	}
	fmt.Fprintf(b, `<text%s x="%d" y="%d"%s>%s</text>`+"\n", class, x, y, anchor, html.EscapeString(text))
}

func drawNode(b *strings.Builder, n Node, r rect) {
	radius := map[Kind]int{EndpointENI: nodeHeight / 2, ReverseENI: nodeHeight / 2, Service: 14, Group: 6}[n.Kind]
	fmt.Fprintf(b, "<g><title>%s</title>\n", html.EscapeString(strings.Join(n.Label, ", ")))
	if n.Stands > 0 || n.Kind == Group { // more sheets behind it
		fmt.Fprintf(b, `<rect class="node %s" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`+"\n",
			classOfKind[n.Kind], r.x+4, r.y+4, r.w, r.h, radius)
	}
	fmt.Fprintf(b, `<rect class="node %s" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`+"\n",
		classOfKind[n.Kind], r.x, r.y, r.w, r.h, radius)
	for i, line := range n.Label {
		write(b, "", r.x+r.w/2, r.y+18+17*i, "middle", line)
	}
	b.WriteString("</g>\n")
}

func drawEdge(b *strings.Builder, e Edge, c curve) {
	class := e.State.class()
	line := class
	if e.Use {
		line += " use"
	}
	fmt.Fprintf(b, `<path class="edge %s" d="M%d %d C%d %d %d %d %d %d"/>`+"\n",
		line, c.x1, c.y1, c.x1+c.leaves*c.bend, c.y1, c.x2+c.comes*c.bend, c.y2, c.x2, c.y2)
	fmt.Fprintf(b, `<path class="head %s" d="M%d %d l%d -4 l0 8 z"/>`+"\n", class, c.x2, c.y2, c.comes*8)
}

// drawLegend says what the shapes and the arrows of this drawing mean.
func (l *layout) drawLegend(b *strings.Builder) {
	for _, item := range l.legend {
		x, y := item.at.x, item.at.y
		if item.class == "" {
			fmt.Fprintf(b, `<rect class="node %s" x="%d" y="%d" width="28" height="14" rx="%d"/>`+"\n",
				classOfKind[item.kind], x, y, map[Kind]int{EndpointENI: 7, Service: 5}[item.kind])
		} else {
			fmt.Fprintf(b, `<path class="edge %s" d="M%d %d h28"/>`+"\n", item.class, x, y+7)
		}
		write(b, "", x+36, y+12, "", item.text)
	}
}

// textWidth is how wide a text is at most, in pixels, in the fonts that the style
// names: Verdana and DejaVu Sans are the widest of those that are common. An em
// of theirs is about this wide, by kind of character.
func textWidth(text string, size int) int {
	width := 0 // in hundredths of an em
	for _, r := range text {
		switch {
		case strings.ContainsRune("ijl.,:;'|!", r):
			width += 38
		case strings.ContainsRune(" ftr()[]/-I\"", r):
			width += 46
		case strings.ContainsRune("mwMW@%+", r):
			width += 103
		case r >= 'A' && r <= 'Z':
			width += 80
		case r < 0x250:
			width += 66
		default:
			width += 105 // wide scripts
		}
	}
	return width*size/100 + 1
}

// kinds are the kinds of nodes that there are, in the order of a legend.
func (g *Graph) kinds() (out []Kind) {
	for _, k := range []Kind{Instance, EndpointENI, Service, BalancerNode, Group} {
		if slices.ContainsFunc(g.Nodes, func(n Node) bool { return classOfKind[n.Kind] == classOfKind[k] }) {
			out = append(out, k)
		}
	}
	return out
}
