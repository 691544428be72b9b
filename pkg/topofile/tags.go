package topofile

import (
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

const tagsKey = "tags"

// tagSet are tags: texts under keys that users choose.
type tagSet struct{ V topology.Tags }

func (tagSet) entryType() reflect.Type { return reflect.TypeFor[value[string]]() }

func (s *tagSet) read(r *reader, node *yaml.Node, t tag) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		r.problem(node, "write {KEY: VALUE}", "%s is %s, not a mapping", t.path, describe(node))
		return
	}
	pairs := r.pairs(node)
	if len(pairs) > topology.MaxTags {
		r.problem(node, "remove some", "%s has %d tags, and an object has at most %d", t.path, len(pairs), topology.MaxTags)
		return
	}
	if r.tooMany(node, len(pairs)) {
		return
	}
	s.V = make(topology.Tags, len(pairs))
	for _, p := range pairs {
		s.add(r, p.key, follow(p.value), join(t.path, p.key.Value))
	}
}

func (s *tagSet) add(r *reader, key, value *yaml.Node, path string) {
	text := value.Value
	if isNull(value) {
		text = ""
	}
	keyLength, length := utf8.RuneCountInString(key.Value), utf8.RuneCountInString(text)
	switch {
	case value.Kind != yaml.ScalarNode:
		r.problem(value, "write a text", "%s is %s, not a text", path, describe(value))
	case keyLength == 0 || keyLength > topology.MaxTagKey:
		r.problem(key, "", "the key of a tag has 1 to %d characters, and this one has %d", topology.MaxTagKey, keyLength)
	case length > topology.MaxTagValue:
		r.problem(value, "", "%s has %d characters, and a tag has at most %d", path, length, topology.MaxTagValue)
	case strings.HasPrefix(strings.ToLower(key.Value), "aws:"):
		r.problem(key, "choose another key", "%s: keys that begin with aws: are for AWS's own tags", path)
	default:
		s.V[key.Value] = text
	}
}

func (tagSet) schema(t tag) *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "object", Description: t.doc, MaxProperties: jsonschema.Ptr(topology.MaxTags),
		PropertyNames:        &jsonschema.Schema{MinLength: jsonschema.Ptr(1), MaxLength: jsonschema.Ptr(topology.MaxTagKey)},
		AdditionalProperties: &jsonschema.Schema{Types: []string{"string", "number", "boolean", "null"}},
	}
}

// IsText says whether what a path leads to is a text under a key that users choose,
// which is to be quoted so that it stays one.
func IsText(path string) bool {
	parts := topology.SplitPath(path)
	w := walk{typ: reflect.TypeFor[rawTopology]()}
	for i := range parts[:len(parts)-1] {
		typ, _, err := w.below(parts[:i+1])
		if err != nil || typ == nil {
			return false
		}
		w.typ = typ
	}
	return w.typ == reflect.TypeFor[tagSet]()
}
