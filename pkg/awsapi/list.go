package awsapi

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// listing is an operation that lists objects: all that the caller sees, without those
// that its ids and filters leave out, page by page.
type listing struct {
	name   string // of the operation
	answer string // member of the answer that has the objects
	// ids says by which parameter objects can be asked for, and which member of
	// an object that is; missing is the code for one that is not there, and text
	// its message, with a place for the id.
	ids           string
	id            string
	missing, text string
	// more are further such parameters, with the same rules.
	more map[string]string
	// filters are members of the objects by the names of filters. Those for tags
	// need no row where objects have tags.
	filters map[string]string
	// tagged is the member of the objects that has tags; "" is themselves.
	tagged string
	// also are parameters that all reads of the call's values.
	also []string
	all  func(c *call) ([]wire.M, error)
	// shelved says that all changes with the plan, the control plane and the record
	// alone. late are more of them, which change with the time; nil: none.
	shelved bool
	late    func(c *call) []wire.M
	then    func(answer wire.M) // adds to the answer; nil: nothing
	ignored []string
}

// list adds a listing. Objects are asked for by the parameters of its description:
// Filters, MaxResults and NextToken, or PageSize and Marker.
func list(a *adder, l listing) {
	op := a.service.Operations[l.name]
	names := append(slices.Collect(maps.Keys(l.more)), l.also...)
	if l.ids != "" {
		names = append(names, l.ids)
	}
	for _, name := range []string{"Filters", "Filter", "MaxResults", "NextToken", "PageSize", "Marker"} {
		if op.Input.Member(name) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var fields []reflect.StructField
	for _, name := range names {
		typ := listTypes[name]
		if typ == nil {
			typ = plainTypes[op.Input.Member(name).Shape.Kind]
		}
		fields = append(fields, reflect.StructField{Name: name, Type: typ})
	}
	filters := slices.Sorted(maps.Keys(l.filters))
	if element := op.Output.Member(l.answer).Shape.Element; element.Kind == wire.Structure &&
		op.Input.Member("Filters") != nil &&
		(l.tagged != "" || element.Member("Tags") != nil || element.Member("TagSet") != nil) {
		filters = append(filters, "tag:KEY", "tag-key")
	}
	a.add(l.name, &row{
		Row:     cloudapi.Row{Input: reflect.StructOf(fields), Ignored: cloudapi.Pairs(l.ignored), Filters: filters},
		listing: &l,
		run:     func(c *call, in any) (wire.M, error) { return l.run(c, reflect.ValueOf(in).Elem()) }})
}

var listTypes = map[string]reflect.Type{
	"Filters": reflect.TypeFor[[]wire.Filter](), "Filter": reflect.TypeFor[[]wire.Filter](),
	"MaxResults": reflect.TypeFor[int](), "PageSize": reflect.TypeFor[int](),
	"NextToken": reflect.TypeFor[string](), "Marker": reflect.TypeFor[string](),
}

var plainTypes = map[wire.Kind]reflect.Type{
	wire.List: reflect.TypeFor[[]string](), wire.String: reflect.TypeFor[string](),
	wire.Boolean: reflect.TypeFor[bool](),
}

func field[T any](in reflect.Value, name string) (out T) {
	if f := in.FieldByName(name); f.IsValid() {
		out, _ = f.Interface().(T)
	}
	return out
}

// everything is all that a listing lists, which nobody may change, and the shelf's part of
// it, nil where nothing of it is kept.
func (l listing) everything(c *call) (all []wire.M, kept *cloudapi.Shelved, err error) {
	if l.shelved {
		kept, err = c.Shelved(l.name, l.also, func() ([]wire.M, error) { return l.all(c) })
	}
	if kept != nil {
		all = kept.Views
	} else if err == nil {
		all, err = l.all(c)
	}
	if err != nil || l.late == nil {
		return all, kept, err
	}
	return append(all[:len(all):len(all)], l.late(c)...), kept, nil
}

func (l listing) run(c *call, in reflect.Value) (wire.M, error) {
	all, kept, err := l.everything(c)
	if err != nil {
		return nil, err
	}
	asked := map[string]string{l.ids: l.id}
	maps.Copy(asked, l.more)
	for _, parameter := range slices.Sorted(maps.Keys(asked)) {
		if parameter == "" {
			continue
		}
		if all, err = l.only(all, asked[parameter], field[[]string](in, parameter)); err != nil {
			return nil, err
		}
	}
	if all, err = l.filter(c, all, append(field[[]wire.Filter](in, "Filters"),
		field[[]wire.Filter](in, "Filter")...)); err != nil {
		return nil, err
	}
	return l.page(c, all, kept, field[int](in, "MaxResults")+field[int](in, "PageSize"),
		field[string](in, "NextToken")+field[string](in, "Marker"))
}

func (l listing) page(c *call, all []wire.M, kept *cloudapi.Shelved, most int, token string) (wire.M, error) {
	// A larger page is cut (Amazon EC2 API Reference, "Query parameters for pagination").
	page, next, ok := wire.Page(all, min(most, 1000), token, c.Values)
	if most < 0 || !ok {
		return nil, wire.Errorf("InvalidNextToken", "The token for the next page is not one of this question")
	}
	answer := wire.M{l.answer: page}
	if next != "" {
		for _, name := range []string{"NextToken", "NextMarker"} {
			if c.Service.Operations[l.name].Output.Member(name) != nil {
				answer[name] = next
			}
		}
	}
	if l.then != nil {
		l.then(answer)
	} else if kept != nil {
		rendered, err := kept.Rendered(c.Service.Operations[l.name], l.answer, page)
		if err != nil {
			return nil, err
		}
		answer[l.answer] = rendered
	}
	return answer, nil
}

// only keeps the objects that were asked for, in their order.
func (l listing) only(all []wire.M, member string, ids []string) (out []wire.M, _ error) {
	if len(ids) == 0 {
		return all, nil
	}
	asked := make(map[string]bool, len(ids))
	for _, id := range ids {
		asked[id] = false
	}
	paths := cloudapi.PathsOf(member)
	for _, m := range all {
		kept := false
		for _, id := range paths.Texts(m) {
			if _, is := asked[id]; is {
				asked[id], kept = true, true
			}
		}
		if kept {
			out = append(out, m)
		}
	}
	for _, id := range ids {
		if !asked[id] {
			return nil, wire.Errorf(l.missing, l.text, id)
		}
	}
	return out, nil
}

func (l listing) filter(c *call, all []wire.M, filters []wire.Filter) ([]wire.M, error) {
	for _, f := range filters {
		tagged := f.Name == "tag-key" || strings.HasPrefix(f.Name, "tag:")
		member, known := l.filters[f.Name]
		if !known && !tagged {
			return nil, wire.Errorf("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
		}
		paths := cloudapi.PathsOf(member)
		kept := []wire.M{}
		for _, m := range all {
			if known && f.Fits(paths.Texts(m)) || !known && f.Fits(l.tagTexts(m, f.Name)) {
				kept = append(kept, m)
			}
		}
		all = kept
	}
	return all, nil
}

// tagTexts are the keys of an object's tags, or the value of one.
func (l listing) tagTexts(m wire.M, name string) (out []string) {
	if l.tagged != "" {
		of := l
		of.tagged = ""
		for _, one := range m[l.tagged].([]wire.M) {
			out = append(out, of.tagTexts(one, name)...)
		}
		return out
	}
	tags, _ := m["Tags"].([]wire.M)
	if tags == nil {
		tags, _ = m["TagSet"].([]wire.M)
	}
	for _, tag := range tags {
		switch {
		case name == "tag-key":
			out = append(out, tag["Key"].(string))
		case tag["Key"] == strings.TrimPrefix(name, "tag:"):
			out = append(out, tag["Value"].(string))
		}
	}
	return out
}

// texts are the values of a member of an object.
func texts(m wire.M, paths string) []string { return cloudapi.Texts(m, paths) }
