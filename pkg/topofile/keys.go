package topofile

import (
	"reflect"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Key is a key that an object of a file can have.
type Key struct {
	Name, Doc string
	Required  bool
	Enum      []string
	List      bool // of words
	Text      bool // a number is text, too
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
		if name == "" {
			continue
		}
		k := Key{Name: name, Doc: strings.TrimSpace(t.doc), Required: t.required, Enum: t.enum}
		switch field := reflect.Zero(typ.Field(i).Type).Interface().(type) {
		case placements:
			k.List = true
		case elementsOf:
			// One that embeds a list takes a single word as well.
			_, words := reflect.Zero(field.itemType()).Interface().(located)
			k.List = words && strings.HasPrefix(typ.Field(i).Type.Name(), "sequence[")
		case value[string]:
			k.Text = true
		}
		keys = append(keys, k)
	}
	return keys
}
