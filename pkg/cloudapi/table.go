package cloudapi

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/wire"
)

// Ignored is a parameter that changes nothing in a lab. It stands for all below it.
type Ignored struct {
	Parameter string `json:"parameter"`
	Why       string `json:"why"`
}

// Pairs are ignored parameters, written as names with blanks between them, then why.
func Pairs(texts []string) (out []Ignored) {
	for i := 0; i+1 < len(texts); i += 2 {
		for _, name := range strings.Fields(texts[i]) {
			out = append(out, Ignored{name, texts[i+1]})
		}
	}
	return out
}

// Row is an operation that is done.
type Row struct {
	Op      *wire.Operation
	Input   reflect.Type // a struct whose fields are the parameters that it uses
	Ignored []Ignored
	Filters []string
}

// Operation is what the documents say of an operation.
type Operation struct {
	Service string    `json:"service"`
	Name    string    `json:"name"`
	Done    bool      `json:"done"`
	Uses    []string  `json:"uses,omitempty"` // parameters
	Ignores []Ignored `json:"ignores,omitempty"`
	Filters []string  `json:"filters,omitempty"`
}

// Operations are all operations of some APIs, those that are done first. row finds one
// that is done by "SERVICE NAME", nil where it is not.
func Operations(services []*wire.Service, row func(key string) *Row) (out []Operation) {
	var rest []Operation
	for _, s := range services {
		for _, name := range slices.Sorted(maps.Keys(s.Operations)) {
			r := row(s.Name + " " + name)
			if r == nil {
				rest = append(rest, Operation{Service: s.Name, Name: name})
				continue
			}
			out = append(out, Operation{Service: s.Name, Name: name, Done: true, Uses: r.uses(), Ignores: r.Ignored,
				Filters: r.Filters})
		}
		for _, name := range s.Others {
			rest = append(rest, Operation{Service: s.Name, Name: name})
		}
	}
	return append(out, rest...)
}

func (r *Row) uses() (names []string) {
	for i := range r.Input.NumField() {
		names = append(names, r.Input.Field(i).Name)
	}
	for _, name := range []string{"ClientToken", "DryRun"} {
		if r.Op.Input != nil && r.Op.Input.Member(name) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// API is an API with the name by which people know it.
type API struct {
	Service string
	Name    string
	More    string // tables of its own behind that of the operations
}

// Reference is the page of the documents on what is done of some APIs and what is not,
// behind its introduction.
func Reference(introduction string, apis []API, operations []Operation) string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, a := range apis {
		fmt.Fprintf(&b, "\n## %s\n\n| operation | uses | filters |\n|---|---|---|\n", a.Name)
		for _, op := range operations {
			if op.Service == a.Service && op.Done {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", op.Name, strings.Join(op.Uses, ", "), strings.Join(op.Filters,
					", "))
			}
		}
		b.WriteString(a.More)
		writeIgnored(&b, operations, a.Service)
		writeRest(&b, operations, a.Service)
	}
	return b.String()
}

func writeIgnored(b *strings.Builder, operations []Operation, service string) {
	n := 0
	for _, op := range operations {
		if op.Service == service {
			n += len(op.Ignores)
		}
	}
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "\n%d parameters are ignored, because they change nothing in a lab:\n\n| operation | parameter | why |\n|---|---|---|\n", n)
	for _, op := range operations {
		if op.Service != service {
			continue
		}
		for _, g := range op.Ignores {
			fmt.Fprintf(b, "| %s | %s | %s |\n", op.Name, g.Parameter, g.Why)
		}
	}
}

func writeRest(b *strings.Builder, operations []Operation, service string) {
	var rest []string
	for _, op := range operations {
		if op.Service == service && !op.Done {
			rest = append(rest, op.Name)
		}
	}
	fmt.Fprintf(b, "\n%d operations are not done and are answered with UnsupportedOperation", len(rest))
	if len(rest) > 60 {
		b.WriteString("; `plinksim api operations --all` lists them.\n")
		return
	}
	fmt.Fprintf(b, ": %s.\n", strings.Join(rest, ", "))
}
