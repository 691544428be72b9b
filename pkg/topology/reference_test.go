package topology

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

// docs/reference/clouds.md says what differs between clouds. It is made from
// the profiles and from the comments that name the source of each value.
func TestTheReferenceOfTheCloudsIsTrue(t *testing.T) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "profile.go", nil, parser.ParseComments)
	require.NoError(t, err)
	r := profileReference{fields: fieldDocs(file)}
	r.b.WriteString(`# What differs between clouds

This page is made from the profiles of the clouds in ` + "`pkg/topology/profile.go`" + `, with the comments
that name the sources: ` + "`make golden`" + ` rewrites it. Most values can be chosen in a topology file
(` + "`docs/reference/topology.md`" + `). A 0 stands for none, or for no limit.
`)
	var values [3]reflect.Value
	for i, cloud := range clouds {
		values[i] = reflect.ValueOf(cloud.Profile())
	}
	r.heading("Addresses, names and timers")
	r.rows(reflect.TypeFor[Profile](), "", values)
	sources := valueSources(fset, file)
	for _, cloud := range clouds {
		fmt.Fprintf(&r.b, "\n## Sources: %s\n\n", cloud)
		for _, s := range sources[string(cloud)] {
			fmt.Fprintf(&r.b, "- %s: %s\n", words(s.field), s.text)
		}
	}
	golden.Equal(t, "../../docs/reference/clouds.md", r.b.String())
}

var clouds = [3]Cloud{Alibaba, AWS, RFC}

// profileReference writes a table for each part of Profile.
type profileReference struct {
	b      strings.Builder
	fields map[string]fieldDoc // by TYPE.FIELD
}

// fieldDoc is the comment of a field, and the heading of the part that it begins.
type fieldDoc struct{ part, text string }

func (r *profileReference) heading(text string) {
	fmt.Fprintf(&r.b, "\n## %s\n\n| what | alibaba | aws | rfc |\n|---|---|---|---|\n", strings.TrimSuffix(text, "."))
}

// rows writes a row for each field; structs of many values have a row for each.
func (r *profileReference) rows(typ reflect.Type, before string, values [3]reflect.Value) {
	for i := range typ.NumField() {
		field := typ.Field(i)
		doc := r.fields[typ.Name()+"."+field.Name]
		if doc.part != "" {
			r.heading(doc.part)
		}
		var below [3]reflect.Value
		for c := range values {
			below[c] = values[c].Field(i)
		}
		switch field.Type {
		case reflect.TypeFor[Limits](), reflect.TypeFor[Quotas](), reflect.TypeFor[HTTPProfile](), reflect.TypeFor[HTTPLimits]():
			r.rows(field.Type, before+words(field.Name)+": ", below)
			continue
		}
		what := "**" + before + words(field.Name) + "**"
		if doc.text != "" {
			what += ": " + doc.text
		}
		fmt.Fprintf(&r.b, "| %s |", what)
		for _, v := range below {
			fmt.Fprintf(&r.b, " %s |", shown(v))
		}
		r.b.WriteString("\n")
	}
}

var (
	lowerThenUpper = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	acronymThen    = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
)

// words are those that a field's name is made of; acronyms stay as they are.
func words(field string) string {
	text := strings.ReplaceAll(strings.ReplaceAll(field, "IPv6", "IPV6 "), "CIDRs", "CIDR ")
	text = strings.ReplaceAll(text, "IPs", "IPS")
	text = acronymThen.ReplaceAllString(lowerThenUpper.ReplaceAllString(text, "$1 $2"), "$1 $2")
	out := strings.Fields(text)
	for i, word := range out {
		if i > 0 && word != strings.ToUpper(word) {
			out[i] = strings.ToLower(word)
		}
	}
	return strings.NewReplacer("IPV6", "IPv6", "IPS", "IPs").Replace(strings.Join(out, " "))
}

// fieldDocs are the comments of the fields of all types. A comment above a
// field that has another one behind it is about the fields from there on.
func fieldDocs(file *ast.File) map[string]fieldDoc {
	docs := map[string]fieldDoc{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range fields.Fields.List {
			above, behind := oneLine(f.Doc.Text()), oneLine(f.Comment.Text())
			doc := fieldDoc{text: cmp.Or(behind, above)}
			if strings.HasPrefix(above, "What ") {
				doc = fieldDoc{part: above, text: behind}
			}
			for _, name := range f.Names {
				doc.text = strings.TrimPrefix(doc.text, name.Name+": ")
				docs[spec.Name.Name+"."+name.Name] = doc
				doc.part = ""
			}
		}
		return false
	})
	return docs
}

type sourceOf struct{ field, text string }

// valueSources are the comments of the values in profiles: a comment above a
// value, or behind it, is about that value.
func valueSources(fset *token.FileSet, file *ast.File) map[string][]sourceOf {
	above, behind := map[int]string{}, map[int]string{} // by the line before, and by that of the value
	for _, group := range file.Comments {
		end := fset.Position(group.End()).Line
		if fset.Position(group.Pos()).Column < behindColumn {
			above[end+1] = oneLine(group.Text())
		} else {
			behind[end] = oneLine(group.Text())
		}
	}
	sources := map[string][]sourceOf{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "profiles" {
			return true
		}
		for _, e := range spec.Values[0].(*ast.CompositeLit).Elts {
			cloud := e.(*ast.KeyValueExpr)
			name := strings.ToLower(cloud.Key.(*ast.Ident).Name)
			for _, v := range cloud.Value.(*ast.CompositeLit).Elts {
				kv := v.(*ast.KeyValueExpr)
				text := cmp.Or(behind[fset.Position(kv.End()).Line], above[fset.Position(kv.Pos()).Line])
				if text != "" {
					sources[name] = append(sources[name], sourceOf{kv.Key.(*ast.Ident).Name, text})
				}
			}
		}
		return false
	})
	return sources
}

// behindColumn is where no comment of a line of its own begins any more: two
// tabs are two bytes.
const behindColumn = 5

func oneLine(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "\\|")
}

// shown is a value as people write it.
func shown(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		text := value.String()
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	case bool:
		if value {
			return "yes"
		}
		return "no"
	case fmt.Stringer:
		if v.IsZero() {
			return ""
		}
		return value.String()
	}
	switch v.Kind() {
	case reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				parts = append(parts, words(v.Type().Field(i).Name)+" "+shown(v.Field(i)))
			}
		}
		return strings.Join(parts, "; ")
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, shown(v.Index(i)))
		}
		return strings.Join(parts, ", ")
	case reflect.Map:
		var parts []string
		for _, key := range []LoadBalancerType{CLB, NLB, ALB} {
			if has := v.MapIndex(reflect.ValueOf(key)); has.IsValid() && has.Bool() {
				parts = append(parts, string(key))
			}
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v.Interface())
}
