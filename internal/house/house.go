// Package house counts what the rules of the house are about: how large
// packages and types are, what imports what, where a cloud is told by its
// name. Its tests hold the rules; the command in internal/house/count prints
// the figures of any tree.
package house

import (
	"bytes"
	"cmp"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Tree is the Go code of a module.
type Tree struct {
	// Module is its path.
	Module string
	// Packages are by their directories, below the root and with slashes.
	Packages map[string]*Package
}

// Package is the code of one directory.
type Package struct {
	Dir          string
	Files, Tests []File
}

// File is a parsed file.
type File struct {
	Path   string
	Syntax *ast.File
	Text   []byte
	// Linux is whether Linux builds it.
	Linux bool
}

// Read parses the module below a directory, without modules inside of it.
func Read(root string) (*Tree, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	t := &Tree{Module: strings.TrimSpace(strings.TrimPrefix(first, "module")), Packages: map[string]*Package{}}
	return t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && isOutside(name, d.Name()):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".go"):
			return t.add(root, name)
		}
		return nil
	})
}

// isOutside tells directories that are no part of the module's code.
func isOutside(dir, base string) bool {
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func (t *Tree) add(root, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	linux := build.Default
	linux.GOOS = "linux"
	matches, err := linux.MatchFile(filepath.Dir(name), filepath.Base(name))
	if err != nil {
		return err
	}
	below, err := filepath.Rel(root, name)
	if err != nil {
		return err
	}
	below = filepath.ToSlash(below)
	dir := path.Dir(below)
	p := t.Packages[dir]
	if p == nil {
		p = &Package{Dir: dir}
		t.Packages[dir] = p
	}
	f := File{Path: below, Syntax: syntax, Text: text, Linux: matches}
	if strings.HasSuffix(name, "_test.go") {
		p.Tests = append(p.Tests, f)
	} else {
		p.Files = append(p.Files, f)
	}
	return nil
}

// Sorted are the packages that have code outside of tests, in the order of
// their directories.
func (t *Tree) Sorted() []*Package {
	var out []*Package
	for _, dir := range slices.Sorted(maps.Keys(t.Packages)) {
		if p := t.Packages[dir]; len(p.Files) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// Lines are the lines of files.
func Lines(files []File) (n int) {
	for _, f := range files {
		n += bytes.Count(f.Text, []byte("\n"))
	}
	return n
}

// Wide counts lines, and those of more columns than width. A tab is 4.
func Wide(files []File, width int) (wide, all int) {
	for _, f := range files {
		for line := range strings.Lines(string(f.Text)) {
			all++
			line = strings.TrimSuffix(line, "\n")
			if len([]rune(line))+3*strings.Count(line, "\t") > width {
				wide++
			}
		}
	}
	return wide, all
}

// Receiver is a type and how many functions work on it: its methods, and the
// functions of its package whose first parameter it is.
type Receiver struct {
	Name      string // as in pkg/lab.Lab
	Functions int
}

// Receivers are the types of all packages, the largest first.
func (t *Tree) Receivers() []Receiver {
	count := map[string]int{}
	for _, p := range t.Sorted() {
		own := types(p)
		for _, f := range p.Files {
			for _, d := range f.Syntax.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					if name := worksOn(fn); own[name] {
						count[p.Dir+"."+name]++
					}
				}
			}
		}
	}
	var out []Receiver
	for name, n := range count {
		out = append(out, Receiver{name, n})
	}
	slices.SortFunc(out, func(a, b Receiver) int {
		return cmp.Or(cmp.Compare(b.Functions, a.Functions), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func types(p *Package) map[string]bool {
	out := map[string]bool{}
	for _, f := range p.Files {
		for _, d := range f.Syntax.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, s := range g.Specs {
					out[s.(*ast.TypeSpec).Name.Name] = true
				}
			}
		}
	}
	return out
}

// worksOn is the type of a function's receiver or first parameter.
func worksOn(fn *ast.FuncDecl) string {
	list := fn.Type.Params
	if fn.Recv != nil {
		list = fn.Recv
	}
	if list == nil || len(list.List) == 0 {
		return ""
	}
	e := list.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// Imports is what a package cannot do without on Linux: what it and the
// packages of the module below it import, those of the module first, without
// the standard library.
func (t *Tree) Imports(dir string) (ours, others []string) {
	seen := map[string]bool{}
	queue := []string{dir}
	for len(queue) > 0 {
		p := t.Packages[queue[0]]
		queue = queue[1:]
		if p == nil {
			continue
		}
		for _, f := range p.Files {
			if !f.Linux {
				continue
			}
			for _, s := range f.Syntax.Imports {
				name, err := strconv.Unquote(s.Path.Value)
				first, _, _ := strings.Cut(name, "/")
				if err != nil || seen[name] || !strings.Contains(first, ".") {
					continue
				}
				seen[name] = true
				if below, ok := strings.CutPrefix(name, t.Module+"/"); ok {
					ours, queue = append(ours, below), append(queue, below)
				} else {
					others = append(others, name)
				}
			}
		}
	}
	slices.Sort(ours)
	slices.Sort(others)
	return ours, others
}

// Examples counts the Example functions.
func (t *Tree) Examples() (n int) {
	for _, p := range t.Packages {
		for _, f := range p.Tests {
			for _, d := range f.Syntax.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example") {
					n++
				}
			}
		}
	}
	return n
}

// CloudComparisons counts by file where code asks whether a cloud is a certain
// one: ==, != and cases of a switch with a cloud's name, or a constant of it.
func (t *Tree) CloudComparisons() map[string]int {
	names := t.cloudConstants()
	isCloud := func(e ast.Expr) bool {
		switch x := e.(type) {
		case *ast.BasicLit:
			return clouds[x.Value]
		case *ast.Ident:
			return names[x.Name]
		case *ast.SelectorExpr:
			return names[x.Sel.Name]
		case *ast.CallExpr: // Cloud("aws")
			return len(x.Args) == 1 && clouds[literal(x.Args[0])]
		}
		return false
	}
	out := map[string]int{}
	for _, p := range t.Sorted() {
		for _, f := range p.Files {
			ast.Inspect(f.Syntax, func(n ast.Node) bool {
				switch x := n.(type) {
				case *ast.BinaryExpr:
					if (x.Op == token.EQL || x.Op == token.NEQ) && (isCloud(x.X) || isCloud(x.Y)) {
						out[f.Path]++
					}
				case *ast.CaseClause:
					if slices.ContainsFunc(x.List, isCloud) {
						out[f.Path]++
					}
				}
				return true
			})
		}
	}
	return out
}

var clouds = map[string]bool{`"aws"`: true, `"alibaba"`: true}

func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok {
		return l.Value
	}
	return ""
}

// cloudConstants are the names of constants that are a cloud.
func (t *Tree) cloudConstants() map[string]bool {
	out := map[string]bool{}
	for _, p := range t.Sorted() {
		for _, f := range p.Files {
			ast.Inspect(f.Syntax, func(n ast.Node) bool {
				v, ok := n.(*ast.ValueSpec)
				if !ok {
					return true
				}
				typed, _ := v.Type.(*ast.Ident)
				for i, name := range v.Names {
					if typed != nil && typed.Name == "Cloud" || i < len(v.Values) && clouds[literal(v.Values[i])] {
						out[name.Name] = true
					}
				}
				return true
			})
		}
	}
	return out
}
