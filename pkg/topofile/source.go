package topofile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// source is the text of a topology file and what was found wrong with it.
type source struct {
	file     string
	lines    []string
	problems []note
	warnings []note
	// written are the texts of a file in the place of which others are, where it has
	// counts and ranges: see unfold.
	written map[*yaml.Node]*yaml.Node
}

// note is a problem as it is kept until it is shown: most of a long list of
// them never are.
type note struct {
	node          *yaml.Node
	hint, message string
	kind          string // see topology.Problem
	// who refers to what is missing, where that is the problem.
	who     string
	missing *topology.NotFoundError
}

const (
	// maxShown is how many problems of a file are shown.
	maxShown = 50
	// maxNotes is how many keep their words; more are only counted.
	maxNotes = 1000
	// maxWords is how many characters of a message or a hint are kept: a
	// message has the words of the file in it.
	maxWords = 1000
	// maxLine is how many characters a line may have that is shown whole, and
	// maxExcerpt how many of a longer one are shown.
	maxLine, maxExcerpt = 200, 100
)

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
	s.problems = noted(s.problems, node, hint, format, args)
}

// problemOf is problem for a reference to a kind of object: see Problem.Kind.
func (s *source) problemOf(kind string, node *yaml.Node, hint, format string, args ...any) {
	s.problem(node, hint, format, args...)
	s.problems[len(s.problems)-1].kind = kind
}

// missing notes that a reference of somebody's, which stands at node, leads to
// nothing.
func (s *source) missing(node *yaml.Node, who, ref string, err *topology.NotFoundError) {
	s.problemOf(err.Kind, node, spell.Suggest(err.Name, err.Known),
		"%s: %sthere is no %s %q", who, ref, err.Kind, err.Name)
	s.isMissing(who, err)
}

// isMissing says that the last problem is that of a reference to nothing.
func (s *source) isMissing(who string, err *topology.NotFoundError) {
	if last := len(s.problems) - 1; last < maxNotes {
		s.problems[last].who, s.problems[last].missing = who, err
	}
}

// warn notes what a user should know about node though it can be used.
func (s *source) warn(node *yaml.Node, hint, format string, args ...any) {
	s.warnings = noted(s.warnings, node, hint, format, args)
}

func noted(notes []note, node *yaml.Node, hint, format string, args []any) []note {
	if len(notes) >= maxNotes {
		return append(notes, note{})
	}
	message := cut(fmt.Sprintf(format, args...), maxWords)
	return append(notes, note{node: node, hint: cut(hint, maxWords), message: message})
}

// cut shortens a text to a number of characters.
func cut(text string, most int) string {
	for i := range text {
		if most--; most == 0 && i < len(text)-1 {
			return text[:i] + "…"
		}
	}
	return text
}

// shown are the first problems of the file. A last one says how many there are
// beside them.
func (s *source) shown(notes []note) Problems {
	kept := inOrder(notes[:min(len(notes), maxNotes)], s.written != nil)
	more := max(len(kept)-maxShown, 0) + max(len(notes)-maxNotes, 0)
	var out Problems
	for _, n := range kept[:min(len(kept), maxShown)] {
		out = append(out, s.at(n))
	}
	if more > 0 {
		message := fmt.Sprintf("%d more problems are not shown", more)
		out = append(out, topology.Problem{File: s.file, Message: message, Others: more})
	}
	return out
}

func (s *source) at(n note) topology.Problem {
	p := topology.Problem{File: s.file, Message: n.message, Hint: n.hint, Kind: n.kind}
	if n.node != nil && n.node.Line > 0 {
		p.Line, p.Column = n.node.Line, max(n.node.Column, 1)
		p.Excerpt = s.excerpt(p.Line, p.Column, width(s.asWritten(n.node)))
	}
	return p
}

// asWritten is what the file has in the place of a node.
func (s *source) asWritten(node *yaml.Node) *yaml.Node {
	for s.written[node] != nil {
		node = s.written[node]
	}
	return node
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

// excerpt is the line and the one before it, with a mark under the place. Of
// long lines it is what stands around the place. Tabs stay tabs under the line
// too, so that the mark stands where it should.
func (s *source) excerpt(line, column, width int) string {
	if line > len(s.lines) {
		return ""
	}
	var b strings.Builder
	number := len(fmt.Sprint(line))
	if line > 1 && strings.TrimSpace(s.lines[line-2]) != "" {
		fmt.Fprintf(&b, "  %*d | %s\n", number, line-1, head(s.lines[line-2]))
	}
	text, before := around([]rune(s.lines[line-1]), column-1)
	fmt.Fprintf(&b, "  %d | %s\n", line, string(text))
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

// head is the beginning of a line, or all of it.
func head(line string) string {
	part, _ := around([]rune(line), 0)
	return string(part)
}

// around is the part of a line around a place, and where the place is in it.
func around(line []rune, at int) (part []rune, place int) {
	at = min(at, len(line))
	if len(line) <= maxLine {
		return line, at
	}
	from := max(0, min(at-maxExcerpt/2, len(line)-maxExcerpt))
	to := from + maxExcerpt
	part = slices.Clone(line[from:to])
	if to < len(line) {
		part = append(part, '…')
	}
	if from > 0 {
		part, from = append([]rune{'…'}, part...), from-1
	}
	return part, at - from
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
// one cause, and so is one place of a file in which one stands for many.
func inOrder(notes []note, folded bool) []note {
	place := func(n note) (line, column int) {
		if n.node == nil {
			return 0, 0
		}
		return n.node.Line, n.node.Column
	}
	notes = slices.Clone(notes)
	slices.SortStableFunc(notes, func(a, b note) int {
		lineA, columnA := place(a)
		lineB, columnB := place(b)
		place := cmp.Or(cmp.Compare(lineA, lineB), cmp.Compare(columnA, columnB))
		if folded {
			return place // the first of many stands for all
		}
		return cmp.Or(place, cmp.Compare(a.hint, b.hint))
	})
	return slices.CompactFunc(notes, func(a, b note) bool {
		lineA, columnA := place(a)
		lineB, columnB := place(b)
		return lineA == lineB && columnA == columnB &&
			(folded && a.node != b.node || a.hint == b.hint && (a.hint != "" || a.message == b.message))
	})
}
