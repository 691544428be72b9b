package aliapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// filter is a parameter that leaves objects out: those whose member has none of the texts
// that the parameter's value stands for.
type filter struct {
	member string // a path through structures and lists
	texts  func(value string) []string
}

// is keeps objects whose member is the value.
func is(member string) filter { return filter{member, func(v string) []string { return []string{v} }} }

// among keeps objects whose member is one of several values, with commas between them.
func among(member string) filter {
	return filter{member, func(v string) []string { return strings.Split(v, ",") }}
}

// amongJSON keeps objects whose member is one of a list in JSON, or is the value.
func amongJSON(member string) filter {
	return filter{member, func(v string) []string {
		var out []string
		if json.Unmarshal([]byte(v), &out) != nil {
			return strings.Split(v, ",")
		}
		return out
	}}
}

// listing is an operation that lists objects: all that the caller sees, without those that
// its filters leave out, page by page.
type listing struct {
	name    string // of the operation
	answer  string // the path in the answer to the list: Endpoints, or Vpcs.Vpc
	filters map[string]filter
	// usual and most are how many objects a page has, where nobody says, and at most.
	usual, most int
	// also are parameters that all reads of the call's values.
	also []string
	all  func(c *call) ([]wire.M, error)
	// fresh says that all changes with more than the topology, the control plane and the record.
	fresh   bool
	then    func(c *call, answer wire.M) // adds to the answer; nil: nothing
	ignored []string
	tagged  bool // objects can be left out by their tags
}

// pages are the parameters that say which page is meant.
var pages = []string{"MaxResults", "NextToken", "PageNumber", "PageSize"}

// list adds a listing. Where the operation has tags as a parameter, objects that have other
// ones are left out.
func list(a *adder, l listing) *row {
	op := a.service.Operations[l.name]
	if op == nil {
		panic(l.name + " is not described")
	}
	names := append(slices.Collect(maps.Keys(l.filters)), l.also...)
	tagged := op.Input.Member("Tag") != nil && !slices.Contains(l.also, "ResourceType")
	for _, name := range append(pages, "Tag") {
		if op.Input.Member(name) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var fields []reflect.StructField
	for _, name := range slices.Compact(names) {
		m := op.Input.Member(name)
		if m == nil {
			panic(fmt.Sprintf("%s has no %s", l.name, name))
		}
		fields = append(fields, reflect.StructField{Name: name, Type: typeOf(m.Shape)})
	}
	filters := slices.Sorted(maps.Keys(l.filters))
	if tagged {
		filters = append(filters, "Tag")
	}
	l.tagged = tagged
	return a.add(l.name, &row{
		Row:     cloudapi.Row{Input: reflect.StructOf(fields), Ignored: cloudapi.Pairs(l.ignored), Filters: filters},
		listing: &l,
		run:     func(c *call, in any) (wire.M, error) { return l.run(c) },
	})
}

// typeOf is the Go type of a parameter that list reads from the call's values.
func typeOf(s *wire.Shape) reflect.Type {
	switch s.Kind {
	case wire.List:
		return reflect.SliceOf(typeOf(s.Element))
	case wire.Structure:
		var fields []reflect.StructField
		for _, m := range s.Members {
			fields = append(fields, reflect.StructField{Name: m.Name, Type: typeOf(m.Shape)})
		}
		return reflect.StructOf(fields)
	case wire.Boolean:
		return reflect.TypeFor[bool]()
	case wire.Long, wire.Integer:
		return reflect.TypeFor[int]()
	}
	return reflect.TypeFor[string]()
}

// everything is all that a listing lists, of which nobody may change a view.
func (l listing) everything(c *call) ([]wire.M, error) {
	if !l.fresh {
		kept, err := c.Shelved(l.name, l.also, func() ([]wire.M, error) { return l.all(c) })
		if err != nil {
			return nil, err
		}
		if kept != nil {
			return slices.Clone(kept.Views), nil
		}
	}
	return l.all(c)
}

func (l listing) run(c *call) (wire.M, error) {
	all, err := l.everything(c)
	if err != nil {
		return nil, err
	}
	for name, f := range l.filters {
		wanted := c.texts(name)
		if len(wanted) == 0 {
			continue
		}
		var fits []string
		for _, w := range wanted {
			fits = append(fits, f.texts(w)...)
		}
		paths := cloudapi.PathsOf(f.member)
		all = slices.DeleteFunc(all, func(m wire.M) bool {
			return !slices.ContainsFunc(paths.Texts(m), func(t string) bool { return slices.Contains(fits, t) })
		})
	}
	if tags, _ := c.Values["Tag"].([]any); l.tagged && len(tags) > 0 {
		all = slices.DeleteFunc(all, func(m wire.M) bool { return !hasTags(m, tags) })
	}
	return l.page(c, all)
}

// texts are the values of a parameter, none where it was not sent or is empty.
func (c *call) texts(parameter string) (out []string) {
	switch v := c.Values[parameter].(type) {
	case nil:
		return nil
	case []any:
		for _, one := range v {
			out = append(out, fmt.Sprint(one))
		}
	default:
		out = []string{fmt.Sprint(v)}
	}
	return slices.DeleteFunc(out, func(t string) bool { return t == "" })
}

// text is the value of a parameter, "" where it was not sent.
func (c *call) text(parameter string) string {
	text, _ := c.Values[parameter].(string)
	return text
}

// hasTags says whether an object has all tags that are asked for; one without a value is
// there whatever its value is.
func hasTags(m wire.M, wanted []any) bool {
	has := map[string]string{}
	for _, path := range []string{"Tags", "Tags.Tag"} {
		for _, prefix := range []string{"", "Tag"} {
			keys := cloudapi.Texts(m, path+"."+prefix+"Key")
			values := cloudapi.Texts(m, path+"."+prefix+"Value")
			for i := range keys {
				has[keys[i]] = values[i]
			}
		}
	}
	for _, one := range wanted {
		w, _ := one.(wire.Values)
		key, _ := w["Key"].(string)
		value, _ := w["Value"].(string)
		if got, there := has[key]; key != "" && (!there || value != "" && got != value) {
			return false
		}
	}
	return true
}

// page is the part of the objects that was asked for, by the number of a page or by a token.
func (l listing) page(c *call, all []wire.M) (wire.M, error) {
	op := c.Service.Operations[l.name]
	answer := wire.M{}
	give := func(name string, value any) {
		if op.Output.Member(name) != nil {
			answer[name] = value
		}
	}
	give("TotalCount", len(all))
	number := func(name string, usual int) (int, error) {
		n, sent := c.Values[name].(int64)
		if t, isText := c.Values[name].(string); isText && t != "" {
			n, _ = strconv.ParseInt(t, 10, 32) // of a word it is 0
			sent = true
		}
		if !sent {
			return usual, nil
		}
		if n < 1 || name != "PageNumber" && n > int64(l.most) || n > 1<<30 {
			return 0, wire.Errorf("InvalidParameter", "Specified parameter %s is not valid: it must be from 1 to %d", name,
				l.most)
		}
		return int(n), nil
	}
	if op.Input.Member("PageNumber") != nil {
		at, err := number("PageNumber", 1)
		if err != nil {
			return nil, err
		}
		size, err := number("PageSize", l.usual)
		if err != nil {
			return nil, err
		}
		give("PageNumber", at)
		give("PageSize", size)
		if token := c.text("NextToken"); token == "" && c.Values["MaxResults"] == nil {
			from := min((at-1)*size, len(all))
			return l.answered(c, answer, all[from:min(from+size, len(all))]), nil
		}
	}
	size, err := number("MaxResults", l.usual)
	if err != nil {
		return nil, err
	}
	token := c.text("NextToken")
	paged, next, ok := wire.Page(all, size, token, c.Values)
	if !ok {
		return nil, wire.Errorf("InvalidParameter", "Specified parameter NextToken is not valid: it is not one of this"+
			" question")
	}
	give("MaxResults", size)
	if next != "" {
		give("NextToken", next)
	}
	return l.answered(c, answer, paged), nil
}

func (l listing) answered(c *call, answer wire.M, objects []wire.M) wire.M {
	outer, inner, nested := strings.Cut(l.answer, ".")
	if nested {
		answer[outer] = wire.M{inner: objects}
	} else {
		answer[outer] = objects
	}
	if l.then != nil {
		l.then(c, answer)
	}
	return answer
}
