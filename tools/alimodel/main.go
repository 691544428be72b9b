// Alimodel writes the descriptions of Alibaba Cloud's APIs in pkg/wire/models: which
// operations there are, and of those that plinksim does, the members and types of requests
// and answers. It reads the source of alibaba-cloud-sdk-go, whose version is written into
// the result, and takes names and types from it, no documentation. What is needed of a
// request, and what newer SDKs have beside that, is in more.txt:
//
//	go -C tools run ./alimodel --sdk MODULE --version 1.63.107 --to ../pkg/wire/models
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// service is a product with the operations that are described whole.
type service struct {
	dir, version string // in the SDK
	operations   string
}

//go:embed more.txt
var moreText string

func main() {
	sdk := flag.String("sdk", "", "the directory of alibaba-cloud-sdk-go")
	version := flag.String("version", "", "its version")
	to := flag.String("to", "../pkg/wire/models", "where the descriptions go")
	flag.Parse()
	if *sdk == "" || *version == "" {
		log.Fatal("--sdk and --version are needed")
	}
	more, err := readMore(moreText)
	if err != nil {
		log.Fatalf("more.txt: %v", err)
	}
	for _, s := range services {
		if err := s.write(*sdk, *version, *to, more[s.dir]); err != nil {
			log.Fatalf("%s: %v", s.dir, err)
		}
	}
}

// addition is a member that newer SDKs have, or with ! one that is there and needed.
type addition struct{ name, typ string }

// readMore reads more.txt, by service and by type.
func readMore(text string) (map[string]map[string][]addition, error) {
	out := map[string]map[string][]addition{}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) < 3 {
			return nil, fmt.Errorf("line %d: %q is too short", n+1, line)
		}
		of := out[words[0]]
		if of == nil {
			of = map[string][]addition{}
			out[words[0]] = of
		}
		if words[1] != "needed" {
			if len(words) != 4 {
				return nil, fmt.Errorf("line %d: %q is not SERVICE TYPE MEMBER TYPE", n+1, line)
			}
			of[words[1]] = append(of[words[1]], addition{words[2], words[3]})
			continue
		}
		for _, operation := range words[3:] {
			of[operation+"Request"] = append(of[operation+"Request"], addition{name: words[2] + "!"})
		}
	}
	return out, nil
}

// writer collects the shapes that operations need.
type writer struct {
	types map[string]*ast.StructType
	more  map[string][]addition
	used  map[string]bool
	lists map[string]string // elements by names
	out   bytes.Buffer
}

var operationForm = regexp.MustCompile(`^(\w+)Request$`)

func (s service) write(sdk, version, to string, more map[string][]addition) error {
	w := writer{more: more, used: map[string]bool{}, lists: map[string]string{}}
	var err error
	if w.types, err = structs(filepath.Join(sdk, "services", s.dir)); err != nil {
		return err
	}
	fmt.Fprintf(&w.out, "# Made by tools/alimodel of alibaba-cloud-sdk-go %s, services/%s (Apache-2.0, see NOTICE).\n",
		version, s.dir)
	fmt.Fprintf(&w.out, "service %s %s acs -\n", s.dir, s.version)
	wanted := strings.Fields(s.operations)
	slices.Sort(wanted)
	for _, name := range wanted {
		if !w.has(name+"Request") || !w.has(name+"Response") {
			return fmt.Errorf("there is no operation %s", name)
		}
		fmt.Fprintf(&w.out, "operation %s %sRequest %sResponse -\n", name, name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(w.types)) {
		m := operationForm.FindStringSubmatch(name)
		if m != nil && w.types[m[1]+"Response"] != nil && !slices.Contains(wanted, m[1]) {
			fmt.Fprintf(&w.out, "other %s\n", m[1])
		}
	}
	for _, name := range wanted {
		w.visit(name + "Request")
		w.visit(name + "Response")
	}
	for _, name := range slices.Sorted(maps.Keys(w.used)) {
		if err := w.shape(name); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.lists)) {
		fmt.Fprintf(&w.out, "list %s %s -\n", name, w.lists[name])
	}
	return os.WriteFile(filepath.Join(to, "alibaba-"+s.dir+".txt"), w.out.Bytes(), 0o644)
}

// has says whether the SDK or more.txt has a type.
func (w *writer) has(name string) bool { return w.types[name] != nil || len(w.more[name]) > 0 }

func structs(dir string) (map[string]*ast.StructType, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no source in %s", dir)
	}
	out := map[string]*ast.StructType{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if t, ok := n.(*ast.TypeSpec); ok {
				if s, ok := t.Type.(*ast.StructType); ok {
					out[t.Name.Name] = s
				}
			}
			return true
		})
	}
	return out, nil
}

// member is a part of a shape: its name in Go, on the wire, and its type.
type member struct{ name, wire, typ string }

func (w *writer) members(name string) (out []member) {
	if w.types[name] == nil {
		return nil
	}
	for _, f := range w.types[name].Fields.List {
		if len(f.Names) == 0 {
			continue // what all requests or answers have
		}
		m := member{name: f.Names[0].Name, typ: w.typeOf(f.Type)}
		if f.Tag != nil {
			text, _ := strconv.Unquote(f.Tag.Value)
			tag := reflect.StructTag(text)
			if m.wire = tag.Get("name"); m.wire == "" {
				m.wire = tag.Get("json")
			}
		}
		out = append(out, m)
	}
	return out
}

// typeOf is the type of a field in the words of a description.
func (w *writer) typeOf(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return w.typeOf(t.X)
	case *ast.ArrayType:
		return "[]" + w.typeOf(t.Elt)
	case *ast.SelectorExpr:
		return scalars[t.Sel.Name]
	case *ast.MapType, *ast.InterfaceType:
		return "map"
	case *ast.Ident:
		if word := scalars[t.Name]; word != "" {
			return word
		}
		return t.Name
	}
	return ""
}

var scalars = map[string]string{
	"string": "string", "int": "integer", "int64": "long", "bool": "boolean", "float64": "double",
	"Integer": "long", "Boolean": "boolean", "Float": "double",
}

func (w *writer) visit(name string) {
	if !w.has(name) || w.used[name] {
		return
	}
	w.used[name] = true
	for _, m := range w.members(name) {
		w.visit(strings.TrimLeft(m.typ, "[]"))
	}
	for _, a := range w.more[name] {
		w.visit(strings.TrimLeft(a.typ, "[]"))
	}
}

func (w *writer) shape(name string) error {
	members := w.members(name)
	needed := map[string]bool{}
	if strings.HasSuffix(name, "Request") {
		members = append(members, member{"RegionId", "RegionId", "string"})
	}
	for _, a := range w.more[name] {
		plain, must := strings.CutSuffix(a.name, "!")
		needed[plain] = needed[plain] || must
		there := slices.ContainsFunc(members, func(m member) bool { return m.name == plain })
		switch {
		case a.typ == "" && !there:
			return fmt.Errorf("%s has no %s", name, plain)
		case a.typ != "" && there:
			return fmt.Errorf("%s has %s already", name, plain)
		case a.typ != "":
			members = append(members, member{plain, plain, a.typ})
		}
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	members = slices.CompactFunc(members, func(a, b member) bool { return a.name == b.name })
	fmt.Fprintf(&w.out, "structure %s\n", name)
	for _, m := range members {
		mark := ""
		if needed[m.name] {
			mark = "!"
		}
		fmt.Fprintf(&w.out, "\t%s%s %s", m.name, mark, w.named(m.typ))
		if m.wire != "" && m.wire != m.name {
			fmt.Fprintf(&w.out, " %s", m.wire)
		}
		fmt.Fprintln(&w.out)
	}
	return nil
}

// named is the name of a type; a list gets one.
func (w *writer) named(typ string) string {
	element, list := strings.CutPrefix(typ, "[]")
	if !list {
		return typ
	}
	name := "ListOf" + w.named(element)
	w.lists[name] = w.named(element)
	return name
}
