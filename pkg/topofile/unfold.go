package topofile

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"
)

// A file may say once what it has many of: an object with count: 200, or with a range in
// its name, stands for as many objects, and an element of a list with a range in what it
// names for as many elements. $n in what stands for many is the number of each. All of
// that is unfolded before anything else looks at the file, into nodes that stand where
// the user wrote them; a Document keeps what was written beside them.

const (
	// maxCount is how many objects or elements one of them may stand for.
	maxCount = 10_000
	// maxMade is how many values a file may have by counts and ranges beside those that
	// stand in it, where each object counts for many: one takes some kilobytes when it is
	// read.
	maxMade, costOfObject, costOfElement = 500_000, 20, 5
	// maxNested is how deep counts and ranges are looked for.
	maxNested = 64

	countKey = "count"
)

// numbers is a range in a text: a text for each number from first to last.
type numbers struct {
	before, behind string
	first, last    int
	width          int // digits, where the file writes leading zeros
}

func (r numbers) digits(n int) string { return fmt.Sprintf("%0*d", r.width, n) }
func (r numbers) text(n int) string   { return r.before + r.digits(n) + r.behind }

// String is the range as a file has it.
func (r numbers) String() string {
	if r.first == r.last {
		return r.text(r.first)
	}
	return r.before + r.digits(r.first) + rangeMark + r.digits(r.last) + r.behind
}

const rangeMark = ".."

var rangeForm = regexp.MustCompile(`^(.*?)([0-9]+)\.\.([0-9]+)(.*)$`)

// rangeIn is the range in a text, false where there is none. The error says what is
// wrong with it, and goes on after the text.
func rangeIn(text string) (r numbers, found bool, err error) {
	if !strings.Contains(text, rangeMark) {
		return r, false, nil
	}
	m := rangeForm.FindStringSubmatch(text)
	if m == nil {
		return r, false, nil
	}
	r.before, r.behind = m[1], m[4]
	first, err1 := strconv.Atoi(m[2])
	last, err2 := strconv.Atoi(m[3])
	r.first, r.last = first, last
	switch {
	case strings.Contains(r.behind, rangeMark):
		return r, true, errors.New("has two ranges, and one is possible")
	case err1 != nil || err2 != nil || len(m[2]) > 9 || len(m[3]) > 9:
		return r, true, errors.New("is a range with too large a number")
	case last < first:
		return r, true, errors.New("is a range that ends before it starts")
	case last-first >= maxCount:
		return r, true, fmt.Errorf("is a range of %d, and at most %d are possible", last-first+1, maxCount)
	}
	if m[2][0] == '0' {
		r.width = len(m[2])
	}
	return r, true, nil
}

// unfolder makes of a tree with counts and ranges one without.
type unfolder struct {
	*source
	looks int // how many values may still be looked at: aliases inside anchors multiply
	left  int // what may still be made
	depth int
}

// unfold is the mapping of a file without counts and ranges: the same one where there
// are none. It is false where one is wrong, or where they are too many.
func unfold(src *source, root *yaml.Node) (*yaml.Node, bool) {
	before := len(src.problems)
	u := newUnfolder(src, root)
	out := u.value(root, reflect.TypeFor[rawTopology](), "")
	return out, len(src.problems) == before
}

func newUnfolder(src *source, root *yaml.Node) *unfolder {
	return &unfolder{source: src, looks: nodesBelow(root) + maxUnfolded, left: maxMade}
}

// spend says whether a number of values may still be made, and once that they may not.
func (u *unfolder) spend(node *yaml.Node, n int) bool {
	if u.left >= 0 && u.left < n {
		u.problem(node, "make them smaller", "with its counts and ranges the file has too many objects: "+
			"about %d instances are possible", maxMade/(costOfObject+5))
	}
	u.left -= n
	return u.left >= 0
}

// value is what stands under a key as a raw type reads it.
func (u *unfolder) value(node *yaml.Node, typ reflect.Type, key string) *yaml.Node {
	if u.looks--; typ == nil || u.depth > maxNested || u.looks < 0 {
		return node // the reader says what is too much
	}
	u.depth++
	defer func() { u.depth-- }()
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	at := follow(node)
	var made []*yaml.Node
	holder := reflect.Zero(typ).Interface()
	if _, one := holder.(interface{ given() bool }); one {
		return node
	}
	switch names, isNames := holder.(namesOf); {
	case at.Kind == yaml.SequenceNode:
		item := reflect.Type(nil)
		if elements, ok := holder.(elementsOf); ok {
			item = elements.itemType()
		}
		for _, e := range at.Content {
			made = append(made, u.element(e, item, key)...)
		}
	case at.Kind != yaml.MappingNode:
		return node
	case isNames:
		for i := 0; i+1 < len(at.Content); i += 2 {
			k, v := at.Content[i], at.Content[i+1]
			switch {
			case k.Tag == "!!merge":
				made = append(made, k, u.value(v, typ, key))
			case typ == reflect.TypeFor[placements]():
				made = append(made, k, v)
			default:
				made = append(made, u.object(k, v, names.entryType())...)
			}
		}
	case typ.Kind() == reflect.Struct:
		for i := 0; i+1 < len(at.Content); i += 2 {
			k, v := at.Content[i], at.Content[i+1]
			of := fieldType(typ, follow(k).Value)
			if k.Tag == "!!merge" {
				of = typ
			}
			made = append(made, k, u.value(v, of, follow(k).Value))
		}
	}
	if slices.Equal(made, at.Content) {
		return node
	}
	out := *at
	out.Content, out.Anchor = made, ""
	return &out
}

// fieldType is the raw type of a struct's key, nil where it has no such key.
func fieldType(typ reflect.Type, key string) reflect.Type {
	if typ.Kind() != reflect.Struct {
		return nil
	}
	for i := range typ.NumField() {
		if name, _ := tagOf(typ, i); name == key && name != "" {
			return typ.Field(i).Type
		}
	}
	return nil
}

// object are the keys and values of the objects that an entry of names stands for.
func (u *unfolder) object(key, value *yaml.Node, typ reflect.Type) (made []*yaml.Node) {
	r, many := u.numbersOf(key, value)
	inner := u.value(value, typ, "")
	if !many {
		return []*yaml.Node{key, inner}
	}
	for n := r.first; n <= r.last && u.spend(key, costOfObject); n++ {
		made = append(made, u.changed(key, r.text(n)), u.one(inner, r, n))
	}
	return made
}

// one is the value of one of the objects that an entry stands for.
func (u *unfolder) one(value *yaml.Node, r numbers, n int) *yaml.Node {
	out := u.numbered(value, numbered{number: r.digits(n)})
	dropCount(out)
	return out
}

// numbersOf are the names that an entry stands for, false where that is its own alone.
func (u *unfolder) numbersOf(key, value *yaml.Node) (r numbers, many bool) {
	name := follow(key).Value
	r, many, err := rangeIn(name)
	if err != nil {
		u.problem(key, rangeHint, "name %q %v", name, err)
		return r, false
	}
	count := countOf(value)
	switch {
	case count == nil:
		return r, many
	case many:
		u.problem(count, "remove it: the name has a range", "%q has a count and a range in its name", name)
		return r, false
	}
	n := 0
	if hint, err := parse(follow(count), tag{path: countKey, min: 1, max: maxCount}, &n); err != nil {
		u.problem(count, hint, "count of %q %v", name, err)
		return r, false
	}
	return numbers{before: name + "-", first: 1, last: n}, true
}

const rangeHint = "write for example web-1..200"

// countOf is the count of an object, nil where it has none.
func countOf(value *yaml.Node) *yaml.Node {
	if value = follow(value); value.Kind != yaml.MappingNode {
		return nil
	}
	return lookUp(value, countKey)
}

// dropCount takes the count out of a mapping that nobody else has.
func dropCount(value *yaml.Node) {
	if value.Kind != yaml.MappingNode {
		return
	}
	if i := ownKey(value, countKey); i >= 0 {
		value.Content = slices.Delete(value.Content, i, i+2)
	}
}

// counted is the count of an object where none can be: the file has no counts any more
// when it is read.
type counted struct{}

func (counted) read(r *reader, node *yaml.Node, t tag) {
	r.problem(node, "write it in the file, and \"plinksim up\" makes the difference", "%s: only a file has counts", t.path)
}

func (counted) schema(t tag) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Description: t.doc,
		Minimum: jsonschema.Ptr(1.0), Maximum: jsonschema.Ptr(float64(maxCount))}
}

// element are the elements of a list that one of them stands for.
func (u *unfolder) element(e *yaml.Node, item reflect.Type, key string) (made []*yaml.Node) {
	inner := follow(u.value(e, item, ""))
	at, r, err := rangeOfElement(inner, key)
	switch {
	case err != nil:
		u.problem(at, rangeHint, "%q %v", at.Value, err)
		fallthrough
	case at == nil && inner == follow(e):
		return []*yaml.Node{e}
	case at == nil:
		return []*yaml.Node{inner}
	}
	for n := r.first; n <= r.last && u.spend(e, costOfElement); n++ {
		made = append(made, u.elementOf(inner, at, r, n))
	}
	return made
}

// elementOf is one of the elements that e stands for, of which at has the range.
func (u *unfolder) elementOf(e, at *yaml.Node, r numbers, n int) *yaml.Node {
	return u.numbered(e, numbered{number: r.digits(n), at: at, text: r.text(n)})
}

// inLists are the keys of lists whose elements may be ranges, beside references.
var inLists = []string{"accounts", "addresses", "bodies", "dns_upstreams", "nat_ips", "secondary_cidrs"}

// rangeOfElement is the text of an element of a list that has a range: itself, or the
// first of its values that name objects or addresses. It is nil where there is none.
func rangeOfElement(e *yaml.Node, list string) (*yaml.Node, numbers, error) {
	if e.Kind == yaml.ScalarNode && (references[list] != nil || list == "ip" || slices.Contains(inLists, list)) {
		if r, found, err := rangeIn(e.Value); found {
			return e, r, err
		}
	}
	if e.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(e.Content); i += 2 {
			if v := e.Content[i+1]; v.Kind == yaml.ScalarNode || v.Kind == yaml.MappingNode {
				if at, r, err := rangeOfElement(v, e.Content[i].Value); at != nil {
					return at, r, err
				}
			}
		}
	}
	return nil, numbers{}, nil
}

// numbered is what changes in a copy.
type numbered struct {
	number string     // is in the place of $n
	at     *yaml.Node // gets a text
	text   string
}

// ofNumber is $n, but not the beginning of another name.
var ofNumber = regexp.MustCompile(`\$n\b`)

// numbered is a copy of a node. In what stands for many by itself $n is another number,
// and stays.
func (u *unfolder) numbered(node *yaml.Node, by numbered) *yaml.Node {
	node = u.own(node)
	if u.depth > maxNested || !u.spend(node, 1) {
		return node
	}
	u.depth++
	defer func() { u.depth-- }()
	if node.Kind == yaml.ScalarNode {
		if by.at != nil && node == by.at {
			return u.changed(node, by.text)
		}
		return u.changed(node, ofNumber.ReplaceAllLiteralString(node.Value, by.number))
	}
	out := *node
	out.Anchor, out.Content = "", make([]*yaml.Node, len(node.Content))
	for i, c := range node.Content {
		of := by
		if node.Kind == yaml.MappingNode && i%2 == 1 {
			if _, many, _ := rangeIn(follow(node.Content[i-1]).Value); many || countOf(c) != nil {
				of.number = "$n"
			}
		} else if node.Kind == yaml.SequenceNode {
			if at, _, _ := rangeOfElement(follow(c), ""); at != nil {
				of.number = "$n"
			}
		}
		out.Content[i] = u.numbered(c, of)
	}
	return &out
}

// own is what a node says without aliases and merges of its own.
func (u *unfolder) own(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		out := *follow(node)
		out.HeadComment, out.LineComment, out.FootComment = "", "", ""
		node = &out
	}
	if node.Kind != yaml.MappingNode || ownKey(node, mergeKey) < 0 {
		return node
	}
	out := *node
	out.Content = nil
	r := reader{source: u.source, most: u.left}
	for _, p := range r.pairs(node) {
		out.Content = append(out.Content, p.key, p.value)
	}
	return &out
}

// changed is a scalar with another text, in the place of the one that was written.
func (u *unfolder) changed(node *yaml.Node, text string) *yaml.Node {
	node = follow(node)
	out := *node
	out.Anchor = ""
	if text == out.Value {
		return &out
	}
	out.Value = text
	if out.Tag == "!!str" && out.Style == 0 {
		out.Tag = ""
		out.Tag = out.ShortTag()
	}
	if u.written == nil {
		u.written = map[*yaml.Node]*yaml.Node{}
	}
	u.written[&out] = node
	return &out
}
