package topofile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// A document with counts and ranges is edited as if each of its objects had been written,
// and its file is made of what was written: an object that an edit touches is split off
// those beside which it stands, so that web-1..200 without web-7 is web-1..6 and
// web-8..200.

// unfolded is a document of a file that may have counts and ranges.
func (d *Document) unfolded() *Document {
	if root, ok := unfold(&source{}, d.root); ok && root != d.root {
		d.root, d.written = root, d.root
	}
	return d
}

// splitter splits what was written. Nothing is too much for it: the document is there.
func splitter() *unfolder { return &unfolder{source: &source{}, left: 1 << 40} }

// unfoldedValue is what stands at a path for the value of an edit: several values where it
// is at the end of a list and has a range.
func unfoldedValue(parts []string, typ reflect.Type, value *yaml.Node) (values []*yaml.Node, err error) {
	if typ == nil {
		return []*yaml.Node{value}, nil
	}
	if typ == reflect.TypeFor[counted]() || fieldType(typ, countKey) != nil && countOf(value) != nil {
		kind, name, _ := called(parts)
		return nil, &EditError{Code: topology.Invalid, Kind: kind, Name: name,
			Text: strings.Join(parts, "/") + ": only a file has counts", Hint: "name several: web-1..5"}
	}
	u := newUnfolder(&source{}, value)
	name := parts[len(parts)-1]
	if name == topology.AtEnd && len(parts) > 1 {
		values = u.element(value, typ, parts[len(parts)-2])
	} else {
		values = []*yaml.Node{u.value(value, typ, name)}
	}
	if len(u.problems) > 0 {
		p := u.problems[0]
		kind, name, _ := called(parts)
		return nil, &EditError{Code: topology.Invalid, Kind: kind, Name: name, Text: p.message, Hint: p.hint}
	}
	return values, nil
}

// spread makes of an edit of several objects, with a range in its path, one of each.
func spread(edits []topology.Edit) (out []topology.Edit, err error) {
	for _, edit := range edits {
		parts := topology.SplitPath(edit.Path)
		at, r, err := rangeOfPath(parts)
		if err != nil {
			kind, name, _ := called(parts[:at+1])
			return nil, &EditError{Code: topology.Invalid, Kind: kind, Name: name, Text: fmt.Sprintf("%q %v", name, err),
				Hint: rangeHint}
		}
		if at < 0 {
			out = append(out, edit)
			continue
		}
		for n := r.first; n <= r.last; n++ {
			one := edit
			parts[at] = r.text(n)
			one.Path = topology.JoinPath(parts...)
			one.Value = ofNumber.ReplaceAllLiteralString(edit.Value, r.digits(n))
			out = append(out, one)
		}
	}
	return out, nil
}

// rangeOfPath is the first name of a path that has a range, -1 where none has.
func rangeOfPath(parts []string) (at int, r numbers, err error) {
	w := walk{typ: reflect.TypeFor[rawTopology]()}
	for i := range parts {
		if r, many, err := rangeIn(parts[i]); many && w.holdsNames() {
			return i, r, err
		}
		if w.typ, _, err = w.below(parts[:i+1]); err != nil || w.typ == nil {
			break // what is wrong is said by who makes the edit
		}
	}
	return -1, r, nil
}

// split makes an object of a mapping of names an entry of its own, where it is one of
// those that another entry stands for.
func (w *walk) split(name string) {
	if !w.folded || w.node.Kind != yaml.MappingNode || !w.holdsNames() || ownKey(w.node, name) >= 0 {
		return
	}
	if ownKey(w.node, mergeKey) >= 0 {
		w.ownAll()
	}
	u := splitter()
	for i := 0; i+1 < len(w.node.Content); i += 2 {
		key, value := w.node.Content[i], w.node.Content[i+1]
		r, many := u.numbersOf(key, value)
		n, ok := r.numberOf(name)
		if !many || !ok {
			continue
		}
		w.release(value)
		var parts []*yaml.Node
		for _, part := range r.around(n) {
			text, of := u.changed(key, part.String()), (*yaml.Node)(nil)
			if part.first == part.last {
				of = u.one(value, part, part.first)
			} else {
				of = u.numbered(value, numbered{number: "$n"})
				dropCount(of)
			}
			if len(parts) > 0 {
				text.HeadComment, text.LineComment, text.FootComment = "", "", ""
			}
			parts = append(parts, text, of)
		}
		w.node.Content = slices.Replace(w.node.Content, i, i+2, parts...)
		return
	}
}

// holdsNames says whether the mapping has names that users choose.
func (w *walk) holdsNames() bool {
	if w.typ == nil || w.typ == reflect.TypeFor[placements]() {
		return false
	}
	_, names := reflect.Zero(w.typ).Interface().(namesOf)
	return names
}

// numberOf is the number with which a range has a text.
func (r numbers) numberOf(text string) (int, bool) {
	for n := r.first; n <= r.last; n++ {
		if r.text(n) == text {
			return n, true
		}
	}
	return 0, false
}

// around is a range as up to three: what is before a number, it alone, and what is
// behind it.
func (r numbers) around(n int) (parts []numbers) {
	for _, span := range [][2]int{{r.first, n - 1}, {n, n}, {n + 1, r.last}} {
		if part := r; span[0] <= span[1] {
			part.first, part.last = span[0], span[1]
			parts = append(parts, part)
		}
	}
	return parts
}

// splitElement makes an element of a list one of its own, where it is one of those that
// another stands for. Elements are named as those of the list without ranges are.
func (w *walk) splitElement(parts []string) {
	if !w.folded || len(parts) < 2 {
		return
	}
	list, name := parts[len(parts)-2], parts[len(parts)-1]
	u := splitter()
	whole := &yaml.Node{Kind: yaml.SequenceNode}
	var from []int // the elements of the list that are written, by those of the whole
	var at []int   // and the number of each
	for i, e := range w.node.Content {
		text, r, err := rangeOfElement(follow(e), list)
		if text == nil || err != nil {
			whole.Content, from, at = append(whole.Content, e), append(from, i), append(at, -1)
			continue
		}
		for n := r.first; n <= r.last; n++ {
			whole.Content = append(whole.Content, u.elementOf(follow(e), text, r, n))
			from, at = append(from, i), append(at, n)
		}
	}
	found, err := element(whole, name)
	if err != nil || at[found] < 0 {
		return
	}
	i := from[found]
	e := follow(w.node.Content[i])
	text, r, _ := rangeOfElement(e, list)
	w.release(w.node.Content[i])
	var split []*yaml.Node
	for _, part := range r.around(at[found]) {
		if part.first == part.last {
			split = append(split, u.elementOf(e, text, part, part.first))
			continue
		}
		split = append(split, u.numbered(e, numbered{number: "$n", at: text, text: part.String()}))
	}
	w.node.Content = slices.Replace(w.node.Content, i, i+1, split...)
}
