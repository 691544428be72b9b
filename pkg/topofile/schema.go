package topofile

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Schema is a JSON Schema (draft 2020-12) of the topology file. An editor that
// has it completes keys and shows what they mean. It is made from the same
// structs as the reader, so the two agree; what parts of the file must have in
// common, Parse alone knows.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[rawTopology](), tag{})
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "plinksim topology"
	s.PatternProperties = map[string]*jsonschema.Schema{"^x-": {Description: "yours: a place for YAML anchors"}}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// describing is a part of the file that knows its own schema; every other part
// is a struct whose fields have yaml tags.
type describing interface {
	schema(t tag) *jsonschema.Schema
}

func schemaOf(typ reflect.Type, t tag) *jsonschema.Schema {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if d, ok := reflect.Zero(typ).Interface().(describing); ok {
		return d.schema(t)
	}
	s := &jsonschema.Schema{
		Type:                 "object",
		Description:          t.doc,
		Properties:           map[string]*jsonschema.Schema{},
		AdditionalProperties: nothing(),
	}
	for i := range typ.NumField() {
		key, ft := tagOf(typ, i)
		if key == "" {
			continue
		}
		s.Properties[key] = schemaOf(typ.Field(i).Type, ft)
		s.PropertyOrder = append(s.PropertyOrder, key)
		if ft.required {
			s.Required = append(s.Required, key)
		}
	}
	return s
}

// zeroOr is the schema of text that may also be the number 0.
func zeroOr(pattern string) []*jsonschema.Schema {
	return []*jsonschema.Schema{{Type: "string", Pattern: pattern}, {Enum: []any{0}}}
}

// nothing is the schema that no value fits.
func nothing() *jsonschema.Schema { return &jsonschema.Schema{Not: &jsonschema.Schema{}} }

func (value[T]) schema(t tag) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string", Description: t.doc}
	var zero T
	switch any(zero).(type) {
	case int:
		s.Type = "integer"
		if t.max > 0 {
			s.Minimum, s.Maximum = jsonschema.Ptr(float64(t.min)), jsonschema.Ptr(float64(t.max))
		}
	case bool:
		s.Type = "boolean"
	case time.Duration:
		s.Pattern = `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
	case netip.Addr:
		s.Pattern = `^N\.N\.N\.N(\.\.[0-9]+)?$`
	case netip.Prefix:
		s.Pattern = `^N\.N\.N\.N/[0-9]+$`
	case ipv6Addr:
		s.Pattern = `^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$`
	case ipv6Block:
		s.Pattern = `^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/[0-9]+$`
	case ports:
		s.Type, s.Types = "", []string{"integer", "string"}
		s.Pattern = `^[0-9]+( *- *[0-9]+)?$`
	case megabits:
		s.Type = ""
		s.AnyOf = []*jsonschema.Schema{
			{Type: "integer", Minimum: jsonschema.Ptr(float64(topology.MinMegabits)),
				Maximum: jsonschema.Ptr(float64(topology.MaxMegabits))},
			{Enum: []any{0, "none"}},
		}
	case rate:
		s.Type = ""
		s.AnyOf = zeroOr(`^(none|0|[0-9]+(\.[0-9]+)? *([kMG]?[bB]it)(/s)?)$`)
	case share:
		s.Type = ""
		s.AnyOf = zeroOr(`^(0|[0-9]+(\.[0-9]+)? *%)$`)
	}
	s.Pattern = strings.ReplaceAll(s.Pattern, "N", `([0-9]|\$n)+`)
	for _, e := range t.enum {
		s.Enum = append(s.Enum, e)
	}
	return s
}

func (sequence[T]) schema(t tag) *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:        "array",
		Description: t.doc,
		Items:       schemaOf(reflect.TypeFor[T](), tag{}),
	}
}

// foldedNamePattern is topology.NamePattern with a range, and with $n.
const foldedNamePattern = `^[a-z0-9$]([a-z0-9$-]*[a-z0-9])?(\.\.[0-9]+([a-z0-9$-]*[a-z0-9])?)?$`

func (named[T]) schema(t tag) *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:        "object",
		Description: t.doc,
		PropertyNames: &jsonschema.Schema{Pattern: foldedNamePattern,
			MaxLength: jsonschema.Ptr(topology.MaxName + len("..10000"))},
		AdditionalProperties: schemaOf(reflect.TypeFor[T](), tag{}),
	}
}

func (words) schema(t tag) *jsonschema.Schema {
	return &jsonschema.Schema{
		Description: t.doc,
		Types:       []string{"string", "array"},
		Items:       &jsonschema.Schema{Type: "string"},
	}
}

func (placements) schema(t tag) *jsonschema.Schema {
	byName := named[rawPlacement]{}.schema(tag{})
	byName.AdditionalProperties.Types, byName.AdditionalProperties.Type = []string{"object", "null"}, ""
	return &jsonschema.Schema{
		Description: t.doc,
		OneOf:       []*jsonschema.Schema{{Type: "array", Items: &jsonschema.Schema{Type: "string"}}, byName},
	}
}
