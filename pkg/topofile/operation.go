package topofile

import (
	"fmt"
	"net/netip"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// rawOperation is an operation as the file has it. Its keys, what they are for
// and which values they take is what the tags of topology.Operation say.
type rawOperation struct {
	keys reflect.Value // an operationKeys
	Node *yaml.Node
}

// operationBuilder builds the operations of checks.
type operationBuilder struct{ *draft }

// operation reads what a check does to the control plane. Where it is to be
// refused, what it names need not exist: that may be the point.
func (b operationBuilder) operation(who string, raw *rawOperation, refused bool) *topology.Operation {
	o := &topology.Operation{}
	if !raw.keys.IsValid() {
		return o
	}
	for i := range operationKeys.NumField() {
		f := operationKeys.Field(i)
		b.value(who, raw.keys.Field(i), reflect.ValueOf(o).Elem().FieldByName(f.Name))
	}
	if spec := o.Spec(); spec != nil {
		b.keys(who, raw, spec)
	}
	if !refused {
		b.names(who, raw.word)
	}
	return o
}

// value takes a value over. A pointer stays nil where the file does
// not have the key.
func (b operationBuilder) value(who string, raw, into reflect.Value) {
	if list, ok := raw.Interface().(sequence[value[string]]); ok {
		into.Set(reflect.ValueOf(b.resources(who, list)))
		return
	}
	if node, _ := raw.Interface().(located).at(); node == nil {
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	into.Set(raw.FieldByName("V").Convert(into.Type()))
}

func (b operationBuilder) resources(who string, list sequence[value[string]]) (out []topology.Resource) {
	for _, ref := range list.Items {
		r, err := topology.ParseResource(ref.V)
		if err != nil && ref.given() {
			b.problem(ref.Node, "write it like clb1@eu-central-1b", "%s: %v", who, err)
		}
		out = append(out, r)
	}
	return out
}

// keys notes keys that the verb lacks, and those that it does not
// have.
func (b operationBuilder) keys(who string, raw *rawOperation, spec *topology.Spec) {
	for i := range operationKeys.NumField() {
		key, _ := tagOf(operationKeys, i)
		if key == "verb" || key == "as" {
			continue
		}
		node, bad := raw.keys.Field(i).Interface().(located).at()
		needed := spec.Needs.Has(key)
		switch {
		case node == nil && !bad && needed:
			b.problem(raw.Node, "add "+key, "%s: %s needs %s", who, spec.Verb, key)
		case node != nil && !needed && !spec.May.Has(key):
			b.problem(node, "remove it", "%s: %s has no %s", who, spec.Verb, key)
		}
	}
}

// names notes names of what is not there; word is the value of a key.
func (b operationBuilder) names(who string, word func(key string) value[string]) {
	refer(b.draft, who, word("as"), b.plan.Account)
	if account := word("account"); account.V != topology.Everybody {
		refer(b.draft, who, account, b.plan.Account)
	}
	refer(b.draft, who, word("nat_gateway"), b.plan.NATGateway)
	refer(b.draft, who, word("resource"), b.plan.Offer)
	refer(b.draft, who, word("server_group"), b.plan.ServerGroup)
	service := refer(b.draft, who, word("service"), b.plan.Service)
	endpoint := refer(b.draft, who, word("endpoint"), b.plan.Endpoint)
	if endpoint == nil || b.bad["endpoint "+endpoint.Name] {
		return
	}
	if service != nil && endpoint.Service != service.Name {
		b.problem(word("endpoint").Node, "write service: "+endpoint.Service,
			"%s: endpoint %q leads to endpoint service %q, not %q", who, endpoint.Name, endpoint.Service, service.Name)
	}
	refer(b.draft, who, word("zone"), endpoint.Zone)
	if vpc, err := b.plan.VPC(endpoint.VPC); err == nil {
		refer(b.draft, who, word("security_group"), vpc.SecurityGroup)
	}
}

// operationKeys is a raw struct, as those of raw.go: a field for every key of
// an operation that a file may have.
var operationKeys = rawStructOf(reflect.TypeFor[topology.Operation]())

// rawStructOf makes a raw struct of the fields that say what they are for.
func rawStructOf(typ reflect.Type) reflect.Type {
	var fields []reflect.StructField
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Tag.Get("doc") == "" {
			continue
		}
		tag := fmt.Sprintf(`yaml:"%s,%s" %s`, topology.KeyOf(f), f.Tag.Get("yaml"), f.Tag)
		fields = append(fields, reflect.StructField{Name: f.Name, Type: rawTypeOf(f), Tag: reflect.StructTag(tag)})
	}
	return reflect.StructOf(fields)
}

// rawTypeOf is the type of a raw struct's field.
func rawTypeOf(f reflect.StructField) reflect.Type {
	typ := f.Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case f.Tag.Get("unit") == "mbit":
		return reflect.TypeFor[value[megabits]]()
	case typ == reflect.TypeFor[netip.Addr]():
		return reflect.TypeFor[value[netip.Addr]]()
	case typ == reflect.TypeFor[[]topology.Resource]():
		return reflect.TypeFor[sequence[value[string]]]()
	case typ.Kind() == reflect.String:
		return reflect.TypeFor[value[string]]()
	case typ.Kind() == reflect.Bool:
		return reflect.TypeFor[value[bool]]()
	case typ.Kind() == reflect.Int, typ.Kind() == reflect.Uint16:
		return reflect.TypeFor[value[int]]()
	}
	panic(fmt.Sprintf("topology: no way to read a %s", typ))
}

func (o *rawOperation) read(r *reader, node *yaml.Node, t tag) {
	o.keys, o.Node = reflect.New(operationKeys).Elem(), node
	r.object(node, o.keys, t)
}

func (rawOperation) schema(t tag) *jsonschema.Schema { return schemaOf(operationKeys, t) }

// located is where a value of the file stands.
type located interface {
	at() (node *yaml.Node, bad bool)
}

// word is a key's value, as refer takes it.
func (o *rawOperation) word(key string) value[string] {
	for i := range operationKeys.NumField() {
		if name, _ := tagOf(operationKeys, i); name == key {
			word, _ := o.keys.Field(i).Interface().(value[string])
			return word
		}
	}
	return value[string]{}
}
