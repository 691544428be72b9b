package topofile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

// docs/reference/topology.md has every key of a topology file. It is made from
// the schema, and so from what the reader reads.
func TestTheReferenceOfTheFileIsTrue(t *testing.T) {
	r := reference{places: map[string]string{}}
	r.b.WriteString(`# The keys of a topology file

This page is made from the reader of topology files: ` + "`make golden`" + ` rewrites it. A part that can be
in several places is described at the first of them. ` + "`plinksim schema`" + ` prints the same as a JSON
Schema, with which editors complete and explain the keys. *Required* keys must be there.

`)
	r.object("The file", schemaOf(reflect.TypeFor[rawTopology](), tag{}))
	golden.Equal(t, "../../docs/reference/topology.md", r.b.String())
	require.NotContains(t, r.b.String(), "map[", "a kind of value has no words")
}

// reference writes the objects of a schema, each once.
type reference struct {
	b      strings.Builder
	places map[string]string // of what has been described, by its own text
}

// object writes the table of an object's keys, and then what is below them.
func (r *reference) object(place string, s *jsonschema.Schema) {
	fmt.Fprintf(&r.b, "## %s\n\n", place)
	if s.Description != "" {
		fmt.Fprintf(&r.b, "%s.\n\n", sentence(s.Description))
	}
	r.b.WriteString("| key | value | what it is |\n|---|---|---|\n")
	type part struct {
		place string
		s     *jsonschema.Schema
	}
	var below []part
	for _, key := range s.PropertyOrder {
		p := s.Properties[key]
		value := kindOf(p)
		if slices.Contains(s.Required, key) {
			value += "; required"
		}
		at := key
		if strings.Contains(place, "`") {
			at = strings.Trim(place, "`") + "." + key
		}
		at, inner := keyed(at, p)
		if inner != nil {
			text := fmt.Sprint(inner.PropertyOrder, inner.Required)
			if first, known := r.places[text]; known {
				value += fmt.Sprintf(", as in [%s](#%s)", first, anchor(first))
			} else {
				r.places[text] = at
				value += fmt.Sprintf(", see [below](#%s)", anchor(at))
				below = append(below, part{at, inner})
			}
		}
		fmt.Fprintf(&r.b, "| `%s` | %s | %s |\n", key, value, strings.ReplaceAll(p.Description, "|", "\\|"))
	}
	r.b.WriteString("\n")
	for _, b := range below {
		r.object("`"+b.place+"`", b.s)
	}
}

// keyed is the object with keys of its own that a value is or holds, nil
// where there is none.
func keyed(at string, s *jsonschema.Schema) (string, *jsonschema.Schema) {
	switch {
	case len(s.PropertyOrder) > 0:
		return at, s
	case s.Items != nil:
		return keyed(at+"[]", s.Items)
	case s.AdditionalProperties != nil && s.AdditionalProperties.Not == nil:
		return keyed(at+".NAME", s.AdditionalProperties)
	}
	for _, one := range slices.Concat(s.AnyOf, s.OneOf) {
		if where, inner := keyed(at, one); inner != nil {
			return where, inner
		}
	}
	return at, nil
}

// kindOf says in words what a value can be.
func kindOf(s *jsonschema.Schema) string {
	switch {
	case len(s.Enum) > 0:
		var words []string
		for _, e := range s.Enum {
			words = append(words, fmt.Sprintf("`%v`", e))
		}
		return strings.Join(words, ", ")
	case len(s.AnyOf)+len(s.OneOf) > 0:
		var kinds []string
		for _, one := range slices.Concat(s.AnyOf, s.OneOf) {
			if kind := kindOf(one); !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
		return strings.Join(kinds, " or ")
	case s.Items != nil && len(s.Types) > 0:
		return "one or a list"
	case s.Items != nil:
		if items := kindOf(s.Items); items != "object" {
			return "list of " + items
		}
		return "list of objects"
	case len(s.PropertyOrder) > 0:
		return "object"
	case s.AdditionalProperties != nil && len(s.AdditionalProperties.Types) > 0 && len(s.AdditionalProperties.PropertyOrder) == 0:
		return "texts by key"
	case s.AdditionalProperties != nil && s.AdditionalProperties.Not == nil:
		return "objects by name"
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("%s, %.0f to %.0f", s.Type, *s.Minimum, *s.Maximum)
	case strings.Contains(s.Pattern, "ns|us|ms|s|m|h"):
		return "duration"
	case s.Type == "boolean":
		return "`true`, `false`"
	case s.Type == "string":
		return "text"
	case s.Type != "":
		return s.Type
	case len(s.Types) > 0:
		return strings.ReplaceAll(strings.Join(s.Types, " or "), "string", "text")
	}
	return "any"
}

func sentence(text string) string {
	return strings.TrimSuffix(strings.ToUpper(text[:1])+text[1:], ".")
}

// anchor is the link that GitHub gives to a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, heading)
}
