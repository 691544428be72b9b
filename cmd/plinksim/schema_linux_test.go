package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/bench"
	"github.com/plinksim/plinksim/pkg/doctor"
	"github.com/plinksim/plinksim/pkg/status"
)

// outputs are the types of what commands print with "-o json"; of the others, see typesOf.
var outputs = map[string]reflect.Type{
	"api calls":              reflect.TypeFor[apiCalls](),
	"api keys":               reflect.TypeFor[apiKeys](),
	"api operations":         reflect.TypeFor[apiOperations](),
	"bench":                  reflect.TypeFor[bench.Report](),
	"bench load":             reflect.TypeFor[bench.Report](),
	"bench search":           reflect.TypeFor[bench.Report](),
	"bench sessions":         reflect.TypeFor[bench.Report](),
	"check":                  reflect.TypeFor[status.Checks](),
	"connection list":        reflect.TypeFor[status.Connections](),
	"diff":                   reflect.TypeFor[changeList](),
	"dns query":              reflect.TypeFor[status.NameAnswer](),
	"dns watch":              reflect.TypeFor[queryLine](),
	"doctor":                 reflect.TypeFor[doctor.Report](),
	"edit delete":            reflect.TypeFor[changeList](),
	"edit list":              reflect.TypeFor[changeList](),
	"edit set":               reflect.TypeFor[changeList](),
	"endpoint list":          reflect.TypeFor[status.Endpoints](),
	"endpoint show":          reflect.TypeFor[status.OneEndpoint](),
	"events":                 reflect.TypeFor[oneEvent](),
	"explain":                reflect.TypeFor[status.Explanation](),
	"fault clear":            reflect.TypeFor[status.Faults](),
	"fault down":             reflect.TypeFor[status.Faults](),
	"fault set":              reflect.TypeFor[status.Faults](),
	"fault show":             reflect.TypeFor[status.Faults](),
	"fault up":               reflect.TypeFor[status.Faults](),
	"ls":                     reflect.TypeFor[labList](),
	"nat entry list":         reflect.TypeFor[status.FullNAT](),
	"nat gateway list":       reflect.TypeFor[status.NATGateways](),
	"nat gateway show":       reflect.TypeFor[status.OneNATGateway](),
	"nat ip list":            reflect.TypeFor[status.NATIPs](),
	"replay":                 reflect.TypeFor[status.Replay](),
	"restart":                reflect.TypeFor[api.Restarted](),
	"server list":            reflect.TypeFor[status.ServerGroups](),
	"service list":           reflect.TypeFor[status.EndpointServices](),
	"service show":           reflect.TypeFor[status.OneEndpointService](),
	"service whitelist list": reflect.TypeFor[status.Whitelist](),
	"sessions":               reflect.TypeFor[status.Sessions](),
	"status":                 reflect.TypeFor[status.Lab](),
	"up":                     reflect.TypeFor[status.Lab](),
	"version":                reflect.TypeFor[status.Version](),
}

// typesOf are the types of what a command prints as JSON. Operations print their event,
// and the changes of the topology where KEY=VALUE can follow; "up" prints changes with --dry-run.
func typesOf(command string) (types []reflect.Type) {
	if one := outputs[command]; one != nil {
		types = append(types, one)
	}
	op, edits := operationAt(command), command == "up"
	if slices.ContainsFunc(operations(), func(op operation) bool { return op.also == command }) {
		types = append(types, reflect.TypeFor[oneEvent]())
	}
	if op != nil {
		types = append(types, reflect.TypeFor[oneEvent]())
		edits = op.kind() != nil
	} else if parent, _, below := strings.Cut(command, " "); below && types == nil {
		edits = kindAt(strings.TrimSuffix(command, " "+lastWord(command))) != nil || kindAt(parent) != nil
	}
	if edits {
		types = append(types, reflect.TypeFor[changeList]())
	}
	return types
}

// printers are the commands that print JSON, with the types of it.
func printers(t *testing.T) map[string][]reflect.Type {
	found := map[string][]reflect.Type{"replay": typesOf("replay")}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "plinksim ")
		if cmd.Flags().Lookup("output") != nil && path != "graph" { // which has pictures
			found[path] = typesOf(path)
			require.NotEmpty(t, found[path], "%q prints JSON of which outputs has no type", path)
		}
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk(newRoot(new(timeLimit)))
	for path := range outputs {
		require.Contains(t, found, path, "there is no such command")
	}
	return found
}

// docs/reference/output.schema.json is the schema of everything that commands print with
// "-o json", made from the types and their comments. "plinksim schema COMMAND" prints a part of it.
func TestTheSchemaOfTheOutputIsTrue(t *testing.T) {
	text, err := json.MarshalIndent(outputSchema(t), "", "  ")
	require.NoError(t, err)
	plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text))
	golden.Equal(t, "../../docs/reference/output.schema.json", plain+"\n")
}

// docs/reference/output.md is the same for people.
func TestTheReferenceOfTheOutputIsTrue(t *testing.T) {
	all := outputSchema(t)
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(`# What commands print with "-o json"

This page is made from the types that are printed: ~make golden~ rewrites it. Every output is one JSON object with
~"schema": "`+status.Schema+`"~; of ~events~ and ~dns watch~ each line is one. New fields may come, but none goes or gets
another meaning without another version. No list is ~null~, and what may be missing is marked so.
~plinksim schema status~ prints the JSON Schema of one command, for validators and generators of code;
[output.schema.json](output.schema.json) has those of all.

Commands for operations, ~accept~ for example, print what happened, [OneEvent](#oneevent). Commands that
edit the topology, and those for operations with KEY=VALUE, print [ChangeList](#changelist).

| command | prints |
|---|---|
`, "~", "`"))
	var types []string
	for _, name := range slices.Sorted(maps.Keys(all.Defs)) {
		command, ok := strings.CutPrefix(name, "plinksim ")
		if !ok {
			types = append(types, name)
		} else if outputs[command] != nil {
			var kinds []string
			for _, typ := range typesOf(command) {
				kinds = append(kinds, inWords(&jsonschema.Schema{Ref: defs + defName(typ)}))
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", command, strings.Join(kinds, " or "))
		}
	}
	for _, name := range types {
		s := all.Defs[name]
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", name, escape(s.Description))
		b.WriteString("| field | value | what it is |\n|---|---|---|\n")
		for _, key := range s.PropertyOrder {
			value := inWords(s.Properties[key])
			if !slices.Contains(s.Required, key) {
				value += "; may be missing"
			}
			about := strings.ReplaceAll(escape(s.Properties[key].Description), "|", "\\|")
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, value, about)
		}
	}
	golden.Equal(t, "../../docs/reference/output.md", b.String())
}

// inWords says in words what a value can be.
func inWords(s *jsonschema.Schema) string {
	switch {
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, defs)
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case s.Items != nil:
		return "list of " + inWords(s.Items)
	case s.AdditionalProperties != nil:
		return "object of " + inWords(s.AdditionalProperties)
	case s.Format == "date-time":
		return "time"
	case s.Pattern != "":
		return map[string]string{address: "address", port: "address:port", block: "block of addresses"}[s.Pattern]
	case s.Type == "string":
		return "text"
	}
	return s.Type
}

// The schemas of what is text in JSON and no string in Go.
const (
	address = `^[0-9a-fA-F.:]*$`
	port    = `^(([0-9.]+|\[[0-9a-fA-F.:]+\]):[0-9]+)?$`
	block   = `^[0-9a-fA-F.:]+/[0-9]+$`
)

const defs = "#/$defs/"

// outputSchema has a definition for each command, "plinksim status", and for each type.
func outputSchema(t *testing.T) *jsonschema.Schema {
	all := &jsonschema.Schema{
		Schema:      "https://json-schema.org/draft/2020-12/schema",
		Title:       "plinksim output",
		Description: "What the commands of plinksim print with -o json: a definition for each command.",
		Defs:        map[string]*jsonschema.Schema{},
	}
	m := maker{t: t, defs: all.Defs, names: map[string]reflect.Type{}, comments: map[string]map[string]string{}}
	for command, types := range printers(t) {
		var refs []*jsonschema.Schema
		for _, typ := range types {
			refs = append(refs, m.ref(typ))
		}
		if len(refs) == 1 {
			all.Defs["plinksim "+command] = refs[0]
		} else {
			all.Defs["plinksim "+command] = &jsonschema.Schema{AnyOf: refs}
		}
	}
	return all
}

// maker makes a definition of each struct that is printed.
type maker struct {
	t        *testing.T
	defs     map[string]*jsonschema.Schema
	names    map[string]reflect.Type
	comments map[string]map[string]string // by package and then by TYPE or TYPE.FIELD
}

// ref is a reference to the definition of a struct, which is made where it is not there.
func (m *maker) ref(typ reflect.Type) *jsonschema.Schema {
	name := defName(typ)
	if _, known := m.defs[name]; !known {
		m.names[name], m.defs[name] = typ, nil // it may lead to itself
		m.defs[name] = m.object(typ)
	}
	require.Equal(m.t, typ, m.names[name], "two types have the name %s", name)
	return &jsonschema.Schema{Ref: defs + name}
}

// defName is the name of a type, behind that of its package where it is not of status.
func defName(typ reflect.Type) string {
	name := strings.ToUpper(typ.Name()[:1]) + typ.Name()[1:]
	if pkg := filepath.Base(typ.PkgPath()); pkg != "status" && pkg != "plinksim" && pkg != "main" {
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

func (m *maker) object(typ reflect.Type) *jsonschema.Schema {
	about, _, _ := strings.Cut(m.comment(typ, ""), "\n\n") // what comes then is for those who change the type
	s := &jsonschema.Schema{
		Type: "object", Description: withoutName(about, typ.Name(), defName(typ)),
		Properties: map[string]*jsonschema.Schema{},
	}
	for _, field := range reflect.VisibleFields(typ) {
		key, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || key == "-" {
			continue
		}
		require.NotEmpty(m.t, key, "%s.%s has no name in JSON", typ, field.Name)
		p := m.schema(field.Type)
		of := typ
		for _, i := range field.Index[:len(field.Index)-1] { // it may be of an embedded type
			of = of.Field(i).Type
		}
		p.Description = m.comment(of, field.Name)
		if doc := field.Tag.Get("doc"); doc != "" {
			p.Description = doc
		}
		p.Description = withoutName(p.Description, field.Name, key)
		s.Properties[key] = p
		s.PropertyOrder = append(s.PropertyOrder, key)
		if !strings.Contains(options, "omit") {
			s.Required = append(s.Required, key)
		}
	}
	return s
}

func (m *maker) schema(typ reflect.Type) *jsonschema.Schema {
	switch {
	case typ.Kind() == reflect.Pointer:
		return m.schema(typ.Elem())
	case typ == reflect.TypeFor[time.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case typ == reflect.TypeFor[netip.Addr]():
		return &jsonschema.Schema{Type: "string", Pattern: address}
	case typ == reflect.TypeFor[netip.AddrPort]():
		return &jsonschema.Schema{Type: "string", Pattern: port}
	case typ == reflect.TypeFor[netip.Prefix]():
		return &jsonschema.Schema{Type: "string", Pattern: block}
	case typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return &jsonschema.Schema{Type: "string"}
	}
	require.False(m.t, typ.Implements(reflect.TypeFor[json.Marshaler]()), "%s has JSON of its own", typ)
	switch typ.Kind() {
	case reflect.Struct:
		return m.ref(typ)
	case reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: m.schema(typ.Elem())}
	case reflect.Map:
		s := &jsonschema.Schema{Type: "object", AdditionalProperties: m.schema(typ.Elem())}
		if typ.Key().Kind() == reflect.Int {
			s.PropertyNames = &jsonschema.Schema{Pattern: "^[0-9]+$"}
		}
		return s
	}
	s, err := jsonschema.ForType(typ, nil)
	require.NoError(m.t, err)
	return s
}

// withoutName is a comment that does not begin with the name in Go: without "NAME is", or
// with the name in JSON.
func withoutName(text, name, key string) string {
	for _, verb := range []string{"is", "are"} {
		if rest, ok := strings.CutPrefix(text, name+" "+verb+" "); ok {
			return lines.ReplaceAllString(rest, " ")
		}
	}
	if rest, ok := strings.CutPrefix(text, name+" "); ok {
		text = key + " " + rest
	}
	return lines.ReplaceAllString(text, " ")
}

var lines = regexp.MustCompile(`\s+`)

// comment is what the source says of a type, or of one of its fields.
func (m *maker) comment(typ reflect.Type, field string) string {
	pkg := typ.PkgPath()
	if m.comments[pkg] == nil {
		m.comments[pkg] = comments(m.t, pkg)
	}
	key := typ.Name()
	if field != "" {
		key += "." + field
	}
	return m.comments[pkg][key]
}

// comments are those of all structs of a package, and of their fields.
func comments(t *testing.T, pkg string) map[string]string {
	const module = "github.com/plinksim/plinksim/"
	dir, ok := strings.CutPrefix(pkg, module)
	if !ok {
		dir = "cmd/plinksim" // which may be called main
	}
	files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
	require.NoError(t, err)
	found := map[string]string{}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, decl := range tree.Decls {
			general, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				typ, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				found[typ.Name.Name] = strings.TrimSpace(firstText(typ.Doc, general.Doc))
				if fields, ok := typ.Type.(*ast.StructType); ok {
					for _, f := range fields.Fields.List {
						for _, name := range f.Names {
							found[typ.Name.Name+"."+name.Name] = strings.TrimSpace(firstText(f.Doc, f.Comment))
						}
					}
				}
			}
		}
	}
	return found
}

// firstText is the text of the first comment that is there.
func firstText(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if g != nil {
			return g.Text()
		}
	}
	return ""
}
