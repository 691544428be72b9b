package topofile

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Key is a key that an object of a file can have.
type Key struct {
	Name, Doc string
	Required  bool
	Enum      []string
	List      bool // of words
	YesNo     bool // true or false
	Text      bool // a number is text, too
	// Refers are the paths of the objects that its values name, with * for names.
	Refers []string
}

// KeysAt are the keys of what a path leads to, where any name stands for the
// names that users choose and AtEnd for elements of lists. They are none where
// the path leads to a single value.
func KeysAt(path string) (keys []Key) {
	w := walk{typ: reflect.TypeFor[rawTopology]()}
	parts := topology.SplitPath(path)
	for i := range parts {
		typ, _, err := w.below(parts[:i+1])
		if err != nil || typ == nil {
			return nil
		}
		w.typ = typ
	}
	typ := w.typ
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if _, ok := reflect.New(typ).Interface().(readable); ok || typ.Kind() != reflect.Struct {
		return nil
	}
	for i := range typ.NumField() {
		name, t := tagOf(typ, i)
		if name == "" || typ.Field(i).Type == reflect.TypeFor[counted]() {
			continue
		}
		k := Key{Name: name, Doc: strings.TrimSpace(t.doc), Required: t.required, Enum: t.enum, Refers: references[name]}
		switch field := reflect.Zero(typ.Field(i).Type).Interface().(type) {
		case placements:
			k.List = true
		case elementsOf:
			// One that embeds a list takes a single word as well.
			_, words := reflect.Zero(field.itemType()).Interface().(located)
			k.List = words && strings.HasPrefix(typ.Field(i).Type.Name(), "sequence[")
		case value[bool]:
			k.YesNo = true
		case value[string]:
			k.Text = true
		}
		keys = append(keys, k)
	}
	return keys
}

// Paths are the paths of a document that a pattern is the form of, in the order of
// the file: in vpcs/*/subnets/* each * is a name. What tells an element of a list is
// in the place of AtEnd.
func (d *Document) Paths(pattern string) (paths [][]string) {
	var in func(node *yaml.Node, path, rest []string)
	in = func(node *yaml.Node, path, rest []string) {
		node = follow(node)
		if len(rest) == 0 {
			paths = append(paths, path)
			return
		}
		step := func(name string, to *yaml.Node) { in(to, append(path[:len(path):len(path)], name), rest[1:]) }
		switch {
		case node.Kind == yaml.SequenceNode:
			for _, e := range node.Content {
				if name := selector(node, e); name != "" {
					step(name, e)
				}
			}
		case node.Kind != yaml.MappingNode:
		case rest[0] == "*":
			for _, p := range members(node) {
				step(p.key.Value, p.value)
			}
		default:
			if to := lookUp(node, rest[0]); to != nil {
				step(rest[0], to)
			}
		}
	}
	in(d.root, nil, topology.SplitPath(pattern))
	return paths
}
