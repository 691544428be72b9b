package topofile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// source is the text of a topology file and what was found wrong with it.
type source struct {
	file     string
	lines    []string
	problems Problems
	warnings Problems
}

func newSource(file string, text []byte) *source {
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = strings.Map(printable, strings.TrimSuffix(lines[i], "\r"))
	}
	return &source{file: file, lines: lines}
}

// printable keeps what a file contains from commanding the terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\t' {
		return unicode.ReplacementChar
	}
	return r
}

// problem notes that the file cannot be used because of what stands at node.
func (s *source) problem(node *yaml.Node, hint, format string, args ...any) {
	s.problems = append(s.problems, s.at(node, hint, fmt.Sprintf(format, args...)))
}

// warn notes what a user should know about node though it can be used.
func (s *source) warn(node *yaml.Node, hint, format string, args ...any) {
	s.warnings = append(s.warnings, s.at(node, hint, fmt.Sprintf(format, args...)))
}

func (s *source) at(node *yaml.Node, hint, message string) topology.Problem {
	p := topology.Problem{File: s.file, Message: message, Hint: hint}
	if node != nil && node.Line > 0 {
		p.Line, p.Column = node.Line, max(node.Column, 1)
		p.Excerpt = s.excerpt(p.Line, p.Column, width(node))
	}
	return p
}

// width is how many characters of its first line a node takes, as far as the
// node knows.
func width(node *yaml.Node) int {
	if node.Kind == yaml.AliasNode {
		return len([]rune(node.Value)) + 1
	}
	if node.Kind != yaml.ScalarNode {
		return 1
	}
	value, _, _ := strings.Cut(node.Value, "\n")
	n := len([]rune(value))
	switch node.Style &^ yaml.TaggedStyle {
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		n += 2
	case yaml.LiteralStyle, yaml.FoldedStyle:
		n = 1
	}
	return max(n, 1)
}

// excerpt is the line and the one before it, with a mark under the place.
// Tabs stay tabs under the line too, so that the mark stands where it should.
func (s *source) excerpt(line, column, width int) string {
	if line > len(s.lines) {
		return ""
	}
	var b strings.Builder
	number := len(fmt.Sprint(line))
	if line > 1 && strings.TrimSpace(s.lines[line-2]) != "" {
		fmt.Fprintf(&b, "  %*d | %s\n", number, line-1, s.lines[line-2])
	}
	fmt.Fprintf(&b, "  %d | %s\n", line, s.lines[line-1])
	text := []rune(s.lines[line-1])
	before := min(column-1, len(text))
	pad := []rune(strings.Repeat(" ", before))
	for i := range pad {
		if text[i] == '\t' {
			pad[i] = '\t'
		}
	}
	width = max(1, min(width, len(text)-before))
	fmt.Fprintf(&b, "  %*s | %s%s", number, "", string(pad), strings.Repeat("^", width))
	return b.String()
}

// within is a node for a part of a scalar's text, so that a mark can stand
// under the part alone. Where the part cannot be found in the line as it is,
// because of quoting or folding, it is the node itself.
func (s *source) within(node *yaml.Node, part string) *yaml.Node {
	if node == nil || node.Line < 1 || node.Line > len(s.lines) {
		return node
	}
	line := []rune(s.lines[node.Line-1])
	from := min(max(node.Column-1, 0), len(line))
	before, _, ok := strings.Cut(string(line[from:]), part)
	if !ok {
		return node
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: part, Line: node.Line, Column: from + len([]rune(before)) + 1}
}

// inOrder sorts by place and drops repetitions: what is wrong behind an anchor
// is wrong wherever it is used, and is said once. One place and one remedy is
// one cause.
func inOrder(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b topology.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Hint, b.Hint))
	})
	return slices.CompactFunc(ps, func(a, b topology.Problem) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Hint == b.Hint && (a.Hint != "" || a.Message == b.Message)
	})
}
