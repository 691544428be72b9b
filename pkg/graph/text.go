package graph

import (
	"fmt"
	"html"
	"strings"
)

// Mermaid writes the graph as a flowchart of mermaid.js, which GitHub and many
// editors draw.
func (g *Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	g.writeBox("", "  ", &b, mermaidBox, mermaidNode, "end")
	for i, e := range g.Edges {
		arrow := map[State]string{Unknown: "-->", Passes: "==>", Waits: "-.->", Fails: "-.->"}[e.State]
		if e.Use {
			arrow = "-.->"
		}
		label := ""
		if e.Label != "" {
			label = `|"` + html.EscapeString(e.Label) + `"|`
		}
		fmt.Fprintf(&b, "  %s %s%s %s\n", e.From, arrow, label, e.To)
		if e.State != Unknown {
			fmt.Fprintf(&b, "  linkStyle %d stroke:%s\n", i, e.State.colour())
		}
	}
	return b.String()
}

func mermaidBox(b Box) string {
	return fmt.Sprintf("subgraph %s[\"%s\"]", b.ID, html.EscapeString(b.Label))
}

func mermaidNode(n Node) string {
	opening, closing := "[", "]"
	switch n.Kind {
	case EndpointENI, ReverseENI:
		opening, closing = "([", "])"
	case Service:
		opening, closing = "{{", "}}"
	case BalancerNode, Gateway:
		opening, closing = "[/", "/]"
	case Group:
		opening, closing = "(", ")"
	}
	lines := make([]string, len(n.Label))
	for i, l := range n.Label {
		lines[i] = html.EscapeString(l)
	}
	return n.ID + opening + `"` + strings.Join(lines, "<br>") + `"` + closing
}

// DOT writes the graph for Graphviz.
func (g *Graph) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR; "+
		"node [shape=box, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\"];\n", g.Title)
	g.writeBox("", "  ", &b, dotBox, dotNode, "}")
	for _, e := range g.Edges {
		style := ""
		switch {
		case e.Use:
			style = ", style=dotted"
		case e.State == Waits || e.State == Fails:
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %s -> %s [label=%q, color=%q%s];\n", e.From, e.To, e.Label, e.State.colour(), style)
	}
	b.WriteString("}\n")
	return b.String()
}

func dotBox(b Box) string { return fmt.Sprintf("subgraph cluster_%s { label=%q;", b.ID, b.Label) }

func dotNode(n Node) string {
	shape := map[Kind]string{
		Instance: "box", EndpointENI: "ellipse", ReverseENI: "ellipse", Service: "hexagon",
		BalancerNode: "parallelogram", Gateway: "parallelogram", Group: "box3d",
	}[n.Kind]
	return fmt.Sprintf("%s [label=%q, shape=%s];", n.ID, strings.Join(n.Label, "\n"), shape)
}

func (s State) colour() string {
	return map[State]string{Unknown: "#555555", Passes: "#2e7d32", Waits: "#8a5200", Fails: "#c62828"}[s]
}

// writeBox writes the content of a box: the boxes inside it, then its own nodes.
func (g *Graph) writeBox(box, indent string, b *strings.Builder, open func(Box) string, node func(Node) string,
	end string) {
	for _, inner := range g.Boxes {
		if inner.Parent != box {
			continue
		}
		fmt.Fprintf(b, "%s%s\n", indent, open(inner))
		g.writeBox(inner.ID, indent+"  ", b, open, node, end)
		fmt.Fprintf(b, "%s%s\n", indent, end)
	}
	for _, n := range g.Nodes {
		if n.Box == box {
			fmt.Fprintf(b, "%s%s\n", indent, node(n))
		}
	}
}
