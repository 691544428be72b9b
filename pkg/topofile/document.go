package topofile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Document is a topology file as a tree, with its comments and anchors. It
// does not change: With gives another one, which shares what it leaves as it is.
type Document struct {
	name       string
	root       *yaml.Node // the mapping of the file, without counts and ranges
	written    *yaml.Node // the mapping with those of the file; nil where it has none
	head, foot string     // comments before and behind it
	shares     bool       // it has anchors or merges, so that one part may stand for another

	base *Document      // of which it was edited, nil where it was not
	plan *topology.Plan // of it, nil where nobody has made one
	size int            // bytes that its text has at most
	made *madeOnce      // what is different from base, nil where that has to be found every time

	sections sections        // of root, nil where nobody has looked for them
	names    *topology.Index // of plan, nil where nobody has made it
	distinct bool            // its plan is known to be distinct
	step     *step           // how it differs from the document that it was edited of, nil where nobody has looked
}

// step is how a document differs from one that had another root. It does not keep that.
type step struct {
	from    weak.Pointer[yaml.Node]
	changes []topology.Change
}

// DocumentOf is the document that a plan was made of.
func DocumentOf(p *topology.Plan) (*Document, error) {
	if d, ok := p.Origin.(*Document); ok {
		return d, nil
	}
	var file yaml.Node
	if err := yaml.Unmarshal(p.Source, &file); err != nil {
		return nil, err
	}
	d := &Document{name: p.File, root: file.Content[0], head: file.HeadComment, foot: file.FootComment, plan: p}
	d.unfolded()
	d.shares = shares(d.root)
	text, err := d.Text()
	d.size = len(text)
	return d, err
}

// shares says whether a tree has anchors, aliases or merges.
func shares(node *yaml.Node) bool {
	return node.Anchor != "" || node.Kind == yaml.AliasNode || node.Tag == "!!merge" ||
		slices.ContainsFunc(node.Content, shares)
}

// Differences are the changes that lead from one plan's document to another's,
// or to the plan from nothing where there is no old one.
func Differences(old, now *topology.Plan) ([]topology.Change, error) {
	before := &Document{root: &yaml.Node{Kind: yaml.MappingNode}}
	after, err := DocumentOf(now)
	if err == nil && old != nil {
		before, err = DocumentOf(old)
	}
	if err != nil {
		return nil, err
	}
	return after.Since(before), nil
}

// With is the document after edits, one after the other. Anchors that an edit
// touches are resolved: what else uses them keeps what it had. The error is an
// *EditError.
func (d *Document) With(edits ...topology.Edit) (*Document, error) {
	e := editor{unfolded: d.written != nil}
	if d.shares {
		e.root = clone(d.root, map[*yaml.Node]*yaml.Node{})
	} else {
		e.own = map[*yaml.Node]bool{}
		e.root = e.copied(d.root)
	}
	if d.base != nil && !d.shares {
		e.base = d.base.root
	}
	out := *d
	out.root, out.plan, out.made = e.root, nil, d.made.next()
	out.sections, out.names, out.distinct, out.step = nil, nil, false, nil
	for _, edit := range edits {
		if err := e.apply(edit); err != nil {
			return nil, err
		}
		out.size += growth(edit)
	}
	e.forgetSections(d)
	if d.written != nil {
		out.size += MaxSize / 64 // what is split off may be a large part: the whole tells
	}
	return &out, nil
}

// Text is the document as a file: as the one that it was edited of with what is
// different since then.
func (d *Document) Text() ([]byte, error) {
	root := d.root
	switch {
	case d.base != nil && d.base.written != nil:
		e := editor{root: clone(d.base.written, map[*yaml.Node]*yaml.Node{}), folded: true}
		for _, edit := range topology.Edits(d.Since(d.base)) {
			if err := e.apply(edit); err != nil {
				return nil, err
			}
		}
		root = e.root
	case d.written != nil:
		root = d.written
	case d.base != nil:
		out, err := d.base.With(topology.Edits(d.Since(d.base))...)
		if err != nil {
			return nil, err
		}
		return out.Text()
	}
	return encode(&yaml.Node{
		Kind: yaml.DocumentNode, HeadComment: d.head, FootComment: d.foot, Content: []*yaml.Node{root},
	})
}

// Plan checks and plans the document. The error is Problems.
func (d *Document) Plan() (*topology.Plan, error) {
	text, err := d.Text()
	if err != nil {
		return nil, err
	}
	return Parse(d.name, text)
}

// Edited is the document with edits, as an older one with what is different
// since then, and its plan. So it does not matter in how many steps edits came,
// and what was undone leaves no trace. The error is an *EditError, which says
// who uses what was to be deleted.
func (d *Document) Edited(old *Document, edits ...topology.Edit) (*Document, *topology.Plan, error) {
	if d.base != old {
		of := *d
		of.base, of.made = old, nil
		d = &of
	}
	after, err := d.With(edits...)
	if err != nil {
		return nil, nil, err
	}
	after.step = &step{weak.Make(d.root), slices.Clip(after.Since(d))}
	if len(after.step.changes) == 0 && d.plan != nil {
		return d, d.plan, nil
	}
	if plan, ok := after.planAfter(d); ok {
		after.plan, plan.Origin = plan, after
		return after, plan, nil
	}
	return after.whole(d, edits)
}

// whole is a document that was edited of an earlier one, and its plan, which is made
// of its whole text.
func (d *Document) whole(before *Document, edits []topology.Edit) (*Document, *topology.Plan, error) {
	after := d
	if d.shares {
		var err error
		if after, err = d.base.With(topology.Edits(d.Since(d.base))...); err != nil {
			return nil, nil, err
		}
		after.base, after.made = d.base, nil
	}
	text, err := after.Text()
	if err != nil {
		return nil, nil, err
	}
	plan, src, err := planned(d.name, text)
	if err != nil {
		return nil, nil, before.unfit(src, err, edits)
	}
	plan.Source, plan.Warnings, plan.Origin = nil, nil, after
	after.plan, after.size = plan, len(text)
	return after, plan, nil
}

// WarningsOf are the warnings of a plan. Those of an edited one are found by reading the
// whole text again, and have no place in a file.
func WarningsOf(p *topology.Plan) ([]topology.Problem, error) {
	d, edited := p.Origin.(*Document)
	if !edited {
		return p.Warnings, nil
	}
	text, err := d.Text()
	if err != nil {
		return nil, err
	}
	whole, err := Parse(d.name, text)
	if err != nil {
		return nil, err
	}
	warnings := slices.Clone(whole.Warnings)
	for i := range warnings {
		w := &warnings[i]
		w.File, w.Line, w.Column, w.Excerpt = "", 0, 0, ""
	}
	return warnings, nil
}

// TextOf is the text of the file that a plan was made of.
func TextOf(p *topology.Plan) ([]byte, error) {
	if d, ok := p.Origin.(*Document); ok {
		return d.Text()
	}
	return p.Source, nil
}

// WithChecks is the plan of the document with the checks of another file. Nothing
// else of that is read. The error is an *EditError.
func (d *Document) WithChecks(text []byte) (*topology.Plan, error) {
	var file yaml.Node
	err := yaml.Unmarshal(text, &file)
	if err == nil && (len(file.Content) == 0 || follow(file.Content[0]).Kind != yaml.MappingNode) {
		err = errors.New("it is not a mapping")
	}
	if err != nil {
		return nil, &EditError{Code: topology.Invalid, Name: "checks", Text: fmt.Sprintf("the file of checks: %v", err)}
	}
	checks := lookUp(file.Content[0], "checks")
	if checks == nil {
		return nil, &EditError{Code: topology.NotFound, Kind: "value", Name: "checks", Text: "the file has no checks"}
	}
	_, plan, err := d.Edited(d, topology.Edit{Path: "checks", Value: valueText(checks)})
	return plan, err
}

// Value is what stands at a path, in one line of YAML; false where nothing does.
func (d *Document) Value(path string) (string, bool) {
	node := d.find(path)
	if node == nil {
		return "", false
	}
	return valueText(node), true
}

// Has says whether a value, which is YAML, is what stands at a path, in whatever order and
// style; "" is nothing.
func (d *Document) Has(path, value string) bool {
	node := d.find(path)
	if node == nil || value == "" {
		return node == nil && value == ""
	}
	want, err := valueOf(topology.Edit{Path: path, Value: value})
	return err == nil && same(node, want)
}

func (d *Document) find(path string) *yaml.Node {
	node := d.root
	for _, name := range topology.SplitPath(path) {
		node = follow(node)
		switch node.Kind {
		case yaml.MappingNode:
			if node = lookUp(node, name); node == nil {
				return nil
			}
		case yaml.SequenceNode:
			i, err := element(node, name)
			if err != nil {
				return nil
			}
			node = node.Content[i]
		default:
			return nil
		}
	}
	return node
}

// Since is what is different in the document from an older one, as the edits
// that lead from the old one to it: per key of mappings; of lists what was
// taken out and what was added at the end, or the whole list.
func (d *Document) Since(old *Document) []topology.Change {
	switch {
	case d.made != nil && old == d.base:
		return slices.Clip(d.made.of(d.base.root, d.root).changes)
	case d.step != nil && weak.Make(old.root) == d.step.from:
		return d.step.changes
	}
	return d.since(old)
}

func (d *Document) since(old *Document) []topology.Change {
	return compare(nil, nil, reflect.TypeFor[rawTopology](), old.root, d.root).changes
}

// madeOnce is how a document differs from its base, which is asked for often. Any
// goroutine may use it.
type madeOnce struct {
	once sync.Once
	diff atomic.Pointer[difference] // until it is known, that of an earlier document, or nil
}

// next is for a document that was edited of this one's, which may be nil. It keeps what
// it needs of this one and not this one, so that no chain of documents stays in memory.
func (m *madeOnce) next() *madeOnce {
	out := &madeOnce{}
	if m != nil {
		out.diff.Store(m.diff.Load())
	}
	return out
}

func (m *madeOnce) of(base, root *yaml.Node) *difference {
	m.once.Do(func() {
		m.diff.Store(compare(m.diff.Load(), nil, reflect.TypeFor[rawTopology](), base, root))
	})
	return m.diff.Load()
}

// difference is between two nodes, which stand at the same place. It does not change.
// Below it is what it was made of, so that what stays the same in the next document need
// not be compared and written down again.
type difference struct {
	old, now *yaml.Node // old is nil where there was nothing
	changes  []topology.Change
	below    map[string]*difference // of those values of a mapping that are not one node
}

// at is the difference below, nil where there is none.
func (d *difference) at(key string) *difference {
	if d == nil {
		return nil
	}
	return d.below[key]
}

// compare finds the difference between two nodes of a raw type. What earlier has below
// it is taken from there where the nodes are those of now.
func compare(earlier *difference, path []string, typ reflect.Type, old, now *yaml.Node) *difference {
	d := &difference{old: old, now: now}
	if old == now {
		return d
	}
	old, now = follow(old), follow(now)
	section := len(path) == 1
	switch {
	case section && isEmpty(old) && isEmpty(now), old.Kind != yaml.MappingNode && same(old, now):
		return d
	case old.Kind == yaml.SequenceNode && now.Kind == yaml.SequenceNode:
		if all, ok := elementChanges(path, old, now); ok {
			d.changes = all
			return d
		}
	case old.Kind == yaml.MappingNode && now.Kind == yaml.MappingNode:
		before, after := differingMembers(old, now)
		d.compareMembers(earlier, path, typ, before, after)
		return d
	}
	d.changes = []topology.Change{change(path, old, now)}
	return d
}

func (d *difference) compareMembers(earlier *difference, path []string, typ reflect.Type, before, after []pair) {
	had, has := valuesOf(before), valuesOf(after)
	for _, p := range before {
		if has[p.key.Value] == nil && (len(path) > 0 || !isEmpty(p.value)) {
			d.changes = append(d.changes, change(append(path, p.key.Value), p.value, nil))
		}
	}
	d.below = map[string]*difference{}
	for _, p := range after {
		key := p.key.Value
		if had[key] == p.value {
			continue
		}
		below := earlier.at(key)
		if below == nil || below.old != had[key] || below.now != p.value {
			at := append(path[:len(path):len(path)], key)
			below = compareMember(below, at, typ, had[key], p.value)
		}
		d.below[key] = below
		d.changes = append(d.changes, below.changes...)
	}
}

// differingMembers are the members of two mappings without those at either end that are the
// same nodes in both.
func differingMembers(old, now *yaml.Node) (before, after []pair) {
	if ownKey(old, mergeKey) >= 0 || ownKey(now, mergeKey) >= 0 {
		return members(old), members(now)
	}
	a, b := old.Content, now.Content
	shared := func(i, j int) bool { return a[i+1] == b[j+1] && follow(a[i]).Value == follow(b[j]).Value }
	for len(a) > 1 && len(b) > 1 && shared(0, 0) {
		a, b = a[2:], b[2:]
	}
	for len(a) > 1 && len(b) > 1 && shared(len(a)-2, len(b)-2) {
		a, b = a[:len(a)-2], b[:len(b)-2]
	}
	return members(&yaml.Node{Kind: yaml.MappingNode, Content: a}), members(&yaml.Node{Kind: yaml.MappingNode, Content: b})
}

// compareMember is compare for a value in a mapping of a raw type, of which there was
// nothing where old is nil.
func compareMember(earlier *difference, path []string, typ reflect.Type, old, now *yaml.Node) *difference {
	of, _, _ := (&walk{typ: typ}).below(path)
	d := &difference{now: now}
	switch {
	case old != nil:
		return compare(earlier, path, of, old, now)
	case holdsObjects(of, now): // they come one by one
		d = compare(earlier, path, of, &yaml.Node{Kind: follow(now).Kind}, now)
		d.old = nil
	case len(path) > 1 || !isEmpty(now):
		d.changes = []topology.Change{change(path, nil, now)}
	}
	return d
}

func valuesOf(pairs []pair) map[string]*yaml.Node {
	out := make(map[string]*yaml.Node, len(pairs))
	for _, p := range pairs {
		out[p.key.Value] = p.value
	}
	return out
}

// holdsObjects says whether a value of a raw type has what users add and take
// away one by one.
func holdsObjects(typ reflect.Type, value *yaml.Node) bool {
	value = follow(value)
	if typ == nil || value.Kind == yaml.ScalarNode || len(value.Content) == 0 {
		return false
	}
	switch reflect.Zero(typ).Interface().(type) {
	case namesOf, elementsOf:
		return true
	}
	return false
}

// isEmpty says whether a section of the file says as much as a missing one.
func isEmpty(node *yaml.Node) bool {
	node = follow(node)
	return isNull(node) || node.Kind == yaml.MappingNode && len(node.Content) == 0
}

// elementChanges are the changes of a list whose elements went, and came at
// its end; false where that is not all, or where it cannot be said which went.
func elementChanges(path []string, old, now *yaml.Node) (out []topology.Change, ok bool) {
	kept := 0
	for _, e := range old.Content {
		if kept < len(now.Content) && same(e, now.Content[kept]) {
			kept++
			continue
		}
		name := selector(old, e)
		if name == "" {
			return nil, false
		}
		out = append(out, change(append(path[:len(path):len(path)], name), e, nil))
	}
	if kept == 0 && len(old.Content) > 0 {
		return nil, false
	}
	for _, e := range now.Content[kept:] {
		out = append(out, change(append(path[:len(path):len(path)], topology.AtEnd), nil, e))
	}
	return out, true
}

func change(path []string, old, now *yaml.Node) topology.Change {
	c := topology.Change{Edit: topology.Edit{Path: topology.JoinPath(path...)}}
	if old != nil {
		c.Was = valueText(old)
	}
	if now != nil {
		c.Value = valueText(now)
	}
	return c
}

// same says whether two nodes say the same, in whatever order and style.
func same(a, b *yaml.Node) bool {
	a, b = follow(a), follow(b)
	switch {
	case a.Kind != b.Kind:
		return false
	case a.Kind == yaml.ScalarNode:
		return a.Value == b.Value && a.ShortTag() == b.ShortTag()
	case a.Kind == yaml.SequenceNode:
		return slices.EqualFunc(a.Content, b.Content, same)
	}
	pa, pb := members(a), members(b)
	return len(pa) == len(pb) && !slices.ContainsFunc(pa, func(p pair) bool {
		other := lookUp(b, p.key.Value)
		return other == nil || !same(p.value, other)
	})
}

// members are the keys of a mapping, those that << adds last.
func members(mapping *yaml.Node) []pair {
	r := reader{source: &source{}, most: maxUnfolded}
	return r.pairs(mapping)
}

// lookUp is what stands at a key, nil where the mapping does not have it.
func lookUp(mapping *yaml.Node, key string) *yaml.Node {
	if i := ownKey(mapping, key); i >= 0 {
		return mapping.Content[i+1]
	}
	if ownKey(mapping, mergeKey) < 0 {
		return nil
	}
	for _, p := range members(mapping) {
		if p.key.Value == key {
			return p.value
		}
	}
	return nil
}

const mergeKey = "<<"

// ownKey is where a key of the mapping itself is in its content, or -1.
func ownKey(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if follow(mapping.Content[i]).Value == key {
			return i
		}
	}
	return -1
}

// element is which element of a list a part of a path names: by its number
// from 0, by some of its keys (protocol=tcp,port=80), or by its value (=web).
func element(list *yaml.Node, name string) (int, error) {
	var found []int
	for i := range list.Content {
		if isNamed(follow(list.Content[i]), i, name) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return 0, errors.New("no element of the list is that")
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("%d elements of the list are that", len(found))
}

func isNamed(node *yaml.Node, number int, name string) bool {
	if text, ok := strings.CutPrefix(name, "="); ok {
		return node.Kind == yaml.ScalarNode && node.Value == text
	}
	if !strings.Contains(name, "=") {
		return fmt.Sprint(number) == name
	}
	return node.Kind == yaml.MappingNode &&
		!slices.ContainsFunc(strings.Split(name, ","), func(term string) bool {
			key, text, _ := strings.Cut(term, "=")
			value := lookUp(node, key)
			return value == nil || follow(value).Value != text
		})
}

// selector names an element of a list by what it says, "" where that is not
// possible.
func selector(list, e *yaml.Node) string {
	var name string
	switch e = follow(e); e.Kind {
	case yaml.ScalarNode:
		name = "=" + e.Value
	case yaml.MappingNode:
		var terms []string
		for _, p := range members(e) {
			if v := follow(p.value); v.Kind == yaml.ScalarNode && !strings.Contains(v.Value, ",") {
				terms = append(terms, p.key.Value+"="+v.Value)
			}
		}
		name = strings.Join(terms, ",")
	}
	if _, err := element(list, name); err != nil {
		return ""
	}
	return name
}

// clone copies a tree. Aliases of what is copied are of the copy.
func clone(node *yaml.Node, copies map[*yaml.Node]*yaml.Node) *yaml.Node {
	out := *node
	copies[node] = &out
	out.Content = make([]*yaml.Node, len(node.Content))
	for i, c := range node.Content {
		out.Content[i] = clone(c, copies)
	}
	if to, ok := copies[node.Alias]; ok { // an anchor stands before its aliases
		out.Alias = to
	}
	return &out
}

// resolved is a copy of what a node says, without anchors, aliases and comments.
func resolved(node *yaml.Node) *yaml.Node {
	out := *follow(node)
	out.Anchor, out.HeadComment, out.LineComment, out.FootComment = "", "", "", ""
	out.Content = make([]*yaml.Node, len(out.Content))
	for i, c := range follow(node).Content {
		out.Content[i] = resolved(c)
	}
	return &out
}

// valueText is what a node says in one line.
func valueText(node *yaml.Node) string {
	out := resolved(node)
	if isNull(out) {
		return "null"
	}
	plain(out)
	text, err := encode(out)
	if err != nil {
		panic("what was read can be written: " + err.Error())
	}
	return strings.TrimSuffix(string(text), "\n")
}

// plain lets a copy be written in one line.
func plain(node *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		node.Style = yaml.FlowStyle
	default:
		node.Style &= yaml.TaggedStyle // text that looks like something else is quoted in any case
		if strings.Contains(node.Value, "\n") {
			node.Style |= yaml.DoubleQuotedStyle
		}
	}
	for _, c := range node.Content {
		plain(c)
	}
}

func encode(node *yaml.Node) ([]byte, error) {
	var text bytes.Buffer
	out := yaml.NewEncoder(&text)
	out.SetIndent(2)
	if err := out.Encode(node); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// valueOf reads the value of an edit.
func valueOf(edit topology.Edit) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(edit.Value))
	var value, more yaml.Node
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("its value is not YAML: %w", err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("its value is several documents")
	}
	if hasAnchor(&value) {
		return nil, errors.New("its value has an anchor, which only a file can have")
	}
	return value.Content[0], nil
}

func hasAnchor(node *yaml.Node) bool {
	return node.Anchor != "" || node.Kind == yaml.AliasNode || slices.ContainsFunc(node.Content, hasAnchor)
}
