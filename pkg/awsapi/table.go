package awsapi

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/plinksim/plinksim/pkg/wire"
)

// Ignored is a parameter that changes nothing in a lab. It stands for all below it.
type Ignored struct {
	Parameter string
	Why       string
}

// row is an operation that is done.
type row struct {
	op      *wire.Operation
	input   reflect.Type
	Ignored []Ignored
	filters []string
	listing *listing // of an operation that lists, else nil
	run     func(c *call, in any) (wire.M, error)
}

// table holds rows by service and name.
type table map[string]*row

var rows = sync.OnceValue(func() table {
	t := table{}
	for _, add := range []func(*adder){
		vpcRows, subnetRows, groupRows, instanceRows, tagRows, endpointRows, serviceRows, connectionRows, fixedRows,
	} {
		add(&adder{t, wire.Find(wire.AWS(), "ec2")})
	}
	for _, add := range []func(*adder){balancerRows, targetRows, listenerRows, ruleRows} {
		add(&adder{t, wire.Find(wire.AWS(), "elasticloadbalancing")})
	}
	identityRows(&adder{t, wire.Find(wire.AWS(), "sts")})
	return t
})

// adder adds the rows of one service.
type adder struct {
	table   table
	service *wire.Service
}

func (a *adder) add(name string, r *row) {
	r.op = a.service.Operations[name]
	key := a.service.Name + " " + name
	if r.op == nil || a.table[key] != nil {
		panic(fmt.Sprintf("%s is not described, or is there twice", key))
	}
	a.table[key] = r
}

// network, private and balancing are calls about VPCs and what is in them, about
// endpoints and their services, and about load balancers.
type (
	network   struct{ *call }
	private   struct{ *call }
	balancing struct{ *call }
)

// about is a call as the handler of an operation wants it.
func about[C any](c *call) (out C) {
	switch p := any(&out).(type) {
	case **call:
		*p = c
	case *network:
		p.call = c
	case *private:
		p.call = c
	case *balancing:
		p.call = c
	}
	return out
}

// op adds an operation. Its parameters are the fields of In; ignored are pairs of
// others, with why they change nothing.
func op[C *call | network | private | balancing, In any](a *adder, name string, run func(c C, in In) (wire.M, error),
	ignored ...string) {
	a.add(name, &row{input: reflect.TypeFor[In](), Ignored: pairs(ignored),
		run: func(c *call, in any) (wire.M, error) { return run(about[C](c), *in.(*In)) }})
}

func pairs(texts []string) (out []Ignored) {
	for i := 0; i+1 < len(texts); i += 2 {
		for _, name := range strings.Fields(texts[i]) {
			out = append(out, Ignored{name, texts[i+1]})
		}
	}
	return out
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

// Operations are all operations of the APIs, those that are done first.
func Operations() (out []Operation) {
	var rest []Operation
	for _, s := range wire.AWS() {
		for _, name := range slices.Sorted(maps.Keys(s.Operations)) {
			r := rows()[s.Name+" "+name]
			if r == nil {
				rest = append(rest, Operation{Service: s.Name, Name: name})
				continue
			}
			out = append(out, Operation{Service: s.Name, Name: name, Done: true, Uses: r.uses(), Ignores: r.Ignored,
				Filters: r.filters})
		}
		for _, name := range s.Others {
			rest = append(rest, Operation{Service: s.Name, Name: name})
		}
	}
	return append(out, rest...)
}

func (r *row) uses() (names []string) {
	for i := range r.input.NumField() {
		names = append(names, r.input.Field(i).Name)
	}
	for _, name := range []string{"ClientToken", "DryRun"} {
		if r.op.Input != nil && r.op.Input.Member(name) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
