package topofile

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// EditError is why a topology cannot be edited.
type EditError struct {
	Code       topology.Refusal // Invalid, NotFound, WrongState or InUse
	Kind, Name string           // of the object
	Text, Hint string
}

func (e *EditError) Error() string { return e.Text }

// EditOf is the edit that makes what an operation creates and a file need not
// have; false where the operation only creates what the file has.
func EditOf(o topology.Operation) (topology.Edit, bool) {
	section, name := "endpoints", o.Endpoint
	value := map[string]any{"exists": false}
	give := func(key string, given bool, v any) {
		if given {
			value[key] = v
		}
	}
	switch o.Verb {
	case topology.VerbEndpointCreate:
		give("service", o.Service != "", o.Service)
		give("vpc", o.VPC != "", o.VPC)
		give("subnets", len(o.Subnets) > 0, o.Subnets)
		give("private_dns", o.PrivateDNS != nil, o.PrivateDNS)
		give("security_groups", len(o.SecurityGroups) > 0, o.SecurityGroups)
	case topology.VerbServiceCreate:
		section, name = "endpoint_services", o.Service
		give("resources", len(o.LoadBalancers) > 0, o.LoadBalancers)
	}
	if len(value) == 1 {
		return topology.Edit{}, false
	}
	give("description", o.Description != nil, o.Description)
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		panic("words and lists of words can be written: " + err.Error())
	}
	return topology.Edit{Path: topology.JoinPath(section, name), Value: valueText(&node)}, true
}

// editor edits a tree. What it has made is its own; everything else stays as it is,
// also for others who have it, and is copied where it has to change.
type editor struct {
	root *yaml.Node
	own  map[*yaml.Node]bool // nil: all of the tree
	base *yaml.Node          // of which the tree is an edited copy; nil: of nothing
	// folded says that the tree has counts and ranges, and edits are of what they stand for;
	// unfolded that it was made of one that has.
	folded, unfolded bool
}

func (e editor) apply(edit topology.Edit) error {
	var value *yaml.Node
	if !edit.Deletes() {
		var err error
		if value, err = valueOf(edit); err != nil {
			return &EditError{Code: topology.Invalid, Name: edit.Path, Text: fmt.Sprintf("%s: %v", edit.Path, err)}
		}
		if e.own != nil {
			e.own[value] = true
		}
	}
	parts := topology.SplitPath(edit.Path)
	if edit.New && (&Document{root: e.root}).find(edit.Path) != nil {
		kind, name, text := called(topology.SplitPath(edit.Path))
		return &EditError{Code: topology.WrongState, Kind: kind, Name: name, Text: text + " is there already",
			Hint: "change it, or choose another name"}
	}
	w := walk{editor: e, node: e.root, was: e.base, typ: reflect.TypeFor[rawTopology]()}
	for i := range parts[:len(parts)-1] {
		if err := w.enter(parts[:i+1], parts[i+1]); err != nil {
			return err
		}
	}
	if parts[0] == "accounts" && len(parts) == 2 && value != nil && value.Value != defaultAccount {
		w.nameDefault()
	}
	if err := w.put(parts, value); err != nil {
		return err
	}
	if parts[0] == "accounts" && value == nil {
		e.forgetDefault()
	}
	return nil
}

// nameDefault lets an empty list of accounts have the one that there is without a name, where
// anything belongs to it.
func (w *walk) nameDefault() {
	owns := func(section string) bool {
		all := lookUp(w.root, section)
		return all != nil && len(all.Content) > 0
	}
	if w.node.Kind == yaml.SequenceNode && len(w.node.Content) == 0 && (owns("vpcs") || owns("endpoint_services")) {
		w.node.Content = append(w.node.Content, word(defaultAccount))
	}
}

// forgetDefault takes the name of the only account away again where nameDefault wrote it.
func (e editor) forgetDefault() {
	if e.base == nil || lookUp(e.base, "accounts") != nil {
		return
	}
	for i := 0; i+1 < len(e.root.Content); i += 2 {
		all := e.root.Content[i+1].Content
		if e.root.Content[i].Value == "accounts" && len(all) == 1 && all[0].Value == defaultAccount {
			e.root.Content = slices.Delete(e.root.Content, i, i+2)
			return
		}
	}
}

// forgetSections takes away the sections that have nothing any more and that the file before its
// edits did not have. So it cannot be seen by the order of sections what was there and went.
func (e editor) forgetSections(edited *Document) {
	file := edited.root
	if edited.base != nil {
		file = edited.base.root
	}
	for i := len(e.root.Content) - 2; i >= 0; i -= 2 {
		if isEmpty(e.root.Content[i+1]) && lookUp(file, e.root.Content[i].Value) == nil {
			e.root.Content = slices.Delete(e.root.Content, i, i+2)
		}
	}
}

// walk is a place in the tree, with the raw type of what stands there; nil
// where the file may have anything.
type walk struct {
	editor
	node *yaml.Node
	was  *yaml.Node // the same place in the base, nil where that has none
	typ  reflect.Type
}

// holds is what the type of a mapping or a list holds.
type (
	namesOf    interface{ entryType() reflect.Type }
	elementsOf interface{ itemType() reflect.Type }
)

func (named[T]) entryType() reflect.Type   { return reflect.TypeFor[T]() }
func (placements) entryType() reflect.Type { return reflect.TypeFor[rawPlacement]() }
func (sequence[T]) itemType() reflect.Type { return reflect.TypeFor[T]() }

// enter goes to the last of parts, before next, and makes what has to be
// there before anything can be put into it.
func (w *walk) enter(parts []string, next string) error {
	name := parts[len(parts)-1]
	typ, fixed, err := w.below(parts)
	if err != nil {
		return err
	}
	if w.node.Kind == yaml.SequenceNode {
		w.splitElement(parts)
		i, err := element(w.node, name)
		if err != nil {
			return notThere(parts, err.Error())
		}
		w.node, w.was, w.typ = w.take(w.node, i), nil, typ
		return nil
	}
	w.split(name)
	i := w.key(name)
	if i < 0 && !fixed {
		return w.missing(parts)
	}
	container := yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if isList(typ, next) {
		container = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	}
	if i < 0 {
		w.insert(name, &container)
		i = w.key(name)
	}
	node := w.take(w.node, i+1)
	if isNull(node) {
		comment := node.LineComment
		*node = container
		node.LineComment = comment
	}
	if node.Kind == yaml.ScalarNode {
		return &EditError{Code: topology.Invalid, Name: name,
			Text: fmt.Sprintf("%s is %s: nothing is below it", strings.Join(parts, "/"), describe(node))}
	}
	w.node, w.was, w.typ = node, w.before(name), typ
	return nil
}

// before is what the base has at a key of the mapping, nil where it has nothing.
func (w *walk) before(name string) *yaml.Node {
	if w.was == nil || w.was.Kind != yaml.MappingNode {
		return nil
	}
	return lookUp(w.was, name)
}

// insert adds a key to the mapping where the base has it, else at the end.
func (w *walk) insert(name string, value *yaml.Node) {
	at := len(w.node.Content)
	if w.before(name) != nil {
		order := map[string]int{}
		for i := 0; i < len(w.was.Content); i += 2 {
			order[w.was.Content[i].Value] = i + 1
		}
		for at = 0; at < len(w.node.Content); at += 2 {
			if o := order[w.node.Content[at].Value]; o == 0 || o > order[name] {
				break
			}
		}
	}
	if len(w.node.Content) == 0 {
		w.node.Style &^= yaml.FlowStyle // {} and [] cannot be anything else
	}
	w.node.Content = slices.Insert(w.node.Content, at, word(name), value)
}

func isList(typ reflect.Type, next string) bool {
	if typ == nil || next == topology.AtEnd {
		return next == topology.AtEnd
	}
	_, list := reflect.Zero(typ).Interface().(elementsOf)
	return list
}

// below is the raw type of what the last of parts leads to, and whether the
// file knows it as a key, not as a name that somebody chose.
func (w *walk) below(parts []string) (typ reflect.Type, fixed bool, err error) {
	name := parts[len(parts)-1]
	if w.typ == nil || len(parts) == 1 && strings.HasPrefix(name, "x-") {
		return nil, false, nil
	}
	typ = w.typ
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch holder := reflect.Zero(typ).Interface().(type) {
	case elementsOf:
		return holder.itemType(), false, nil
	case namesOf:
		return holder.entryType(), false, nil
	}
	if typ.Kind() != reflect.Struct {
		return nil, false, nil
	}
	var keys []string
	for i := range typ.NumField() {
		switch key, _ := tagOf(typ, i); key {
		case "": // no key of the file
		case name:
			return typ.Field(i).Type, true, nil
		default:
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, false, nil // it reads itself
	}
	return nil, false, &EditError{Code: topology.Invalid, Name: name, Hint: spell.Suggest(name, keys),
		Text: fmt.Sprintf("unknown key %q%s", name, inside(strings.Join(parts[:len(parts)-1], ".")))}
}

// put sets what the last of parts names, or takes it away where value is nil.
func (w *walk) put(parts []string, value *yaml.Node) error {
	name := parts[len(parts)-1]
	typ, fixed, err := w.below(parts)
	if err != nil {
		return err
	}
	values := []*yaml.Node{value}
	if value != nil && !w.folded {
		if values, err = unfoldedValue(parts, typ, value); err != nil {
			return err
		}
	}
	if w.node.Kind == yaml.SequenceNode {
		w.splitElement(parts)
		for _, v := range values {
			if err := w.putElement(parts, v); err != nil {
				return err
			}
		}
		return nil
	}
	value = values[0]
	w.split(name)
	i := w.key(name)
	switch {
	case value == nil && i < 0 && fixed:
		return nil // a key that is missing is what it would be then
	case value == nil && i < 0:
		return w.missing(parts)
	case value == nil:
		w.release(w.node.Content[i])
		w.release(w.node.Content[i+1])
		w.node.Content = slices.Delete(w.node.Content, i, i+2)
	case i < 0:
		w.insert(name, w.orWas(name, value))
	default:
		w.replace(i+1, w.orWas(name, value))
	}
	return nil
}

// orWas is what the base has at a key where that says the same as a value, else the value in the
// order of the base.
func (w *walk) orWas(name string, value *yaml.Node) *yaml.Node {
	was := w.before(name)
	if was != nil && same(was, value) {
		return was
	}
	inOrderOf(was, value)
	return value
}

// inOrderOf gives a value that replaces another one the order of that: keys that both have
// come first. So a change that is made again leads to the same file.
func inOrderOf(was, value *yaml.Node) {
	if was == nil || was.Kind != yaml.MappingNode || value.Kind != yaml.MappingNode {
		return
	}
	var ordered []*yaml.Node
	for i := 0; i+1 < len(was.Content); i += 2 {
		if at := ownKey(value, was.Content[i].Value); at >= 0 {
			inOrderOf(was.Content[i+1], value.Content[at+1])
			ordered = append(ordered, value.Content[at:at+2]...)
			value.Content = slices.Delete(value.Content, at, at+2)
		}
	}
	value.Content = append(ordered, value.Content...)
}

func (w *walk) putElement(parts []string, value *yaml.Node) error {
	name := parts[len(parts)-1]
	if name == topology.AtEnd && value != nil {
		if len(w.node.Content) == 0 {
			w.node.Style &^= yaml.FlowStyle
		}
		w.node.Content = append(w.node.Content, value)
		return nil
	}
	i, err := element(w.node, name)
	switch {
	case err != nil:
		return notThere(parts, err.Error())
	case value != nil:
		w.replace(i, value)
	default:
		w.release(w.node.Content[i])
		w.node.Content = slices.Delete(w.node.Content, i, i+1)
	}
	return nil
}

// replace keeps the comments of what was there.
func (w *walk) replace(i int, value *yaml.Node) {
	old := w.node.Content[i]
	w.release(old)
	w.node.Content[i] = value
	if !w.owns(value) {
		return
	}
	value.HeadComment, value.LineComment, value.FootComment = old.HeadComment, old.LineComment, old.FootComment
}

// key is where a key of a mapping is, or -1. One that comes by << becomes the
// mapping's own, and so do the others of that <<.
func (w *walk) key(name string) int {
	if i := ownKey(w.node, name); i >= 0 || lookUp(w.node, name) == nil {
		return i
	}
	w.ownAll()
	return ownKey(w.node, name)
}

// ownAll makes what comes by << the mapping's own.
func (w *walk) ownAll() {
	all := members(w.node)
	merge := ownKey(w.node, mergeKey)
	w.release(w.node.Content[merge+1])
	w.node.Content = slices.Delete(w.node.Content, merge, merge+2)
	for _, p := range all {
		if ownKey(w.node, p.key.Value) < 0 {
			w.node.Content = append(w.node.Content, resolved(p.key), resolved(p.value))
		}
	}
}

// take makes a part of a node nobody else's: aliases become copies.
func (e editor) take(parent *yaml.Node, i int) *yaml.Node {
	node := parent.Content[i]
	switch {
	case node.Kind == yaml.AliasNode:
		node = resolved(node)
	case !e.owns(node):
		node = e.copied(node)
	default:
		e.unshare(node)
	}
	parent.Content[i] = node
	return node
}

func (e editor) owns(node *yaml.Node) bool { return e.own == nil || e.own[node] }

// copied is a node of the editor's own with the same nodes below it.
func (e editor) copied(node *yaml.Node) *yaml.Node {
	out := *node
	out.Content = slices.Clone(node.Content)
	e.own[&out] = true
	return &out
}

// release lets the rest of the tree do without a node and all below it.
func (e editor) release(node *yaml.Node) {
	e.unshare(node)
	for _, c := range node.Content {
		e.release(c)
	}
}

// unshare makes copies of the aliases of a node.
func (e editor) unshare(node *yaml.Node) {
	if node.Anchor == "" {
		return
	}
	node.Anchor = ""
	var in func(*yaml.Node)
	in = func(n *yaml.Node) {
		for i, c := range n.Content {
			if c.Kind == yaml.AliasNode && c.Alias == node {
				n.Content[i] = resolved(c)
				continue
			}
			in(c)
		}
	}
	in(e.root)
}

func word(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// objectKinds are what people call the objects of a part of the file.
var objectKinds = map[string]string{
	"accounts": "account", "peerings": "peering", "hosts": "host",
	"vpcs": "vpc", "subnets": "subnet", "security_groups": "security group", "instances": "instance",
	"server_groups": "server group", "load_balancers": "load balancer", "nat_gateways": "NAT gateway",
	"full_nat": "FullNAT entry", "endpoint_services": "endpoint service", "endpoints": "endpoint",
	"private_zones": "private zone", "public_zones": "public zone", "records": "record",
}

// called is what people call the value at a path: vpc "vpc1", or the path.
func called(parts []string) (kind, name, text string) {
	name = strings.TrimPrefix(parts[len(parts)-1], "=")
	if len(parts) > 1 {
		kind = objectKinds[parts[len(parts)-2]]
	}
	if kind == "" {
		return "value", strings.Join(parts, "/"), strings.Join(parts, "/")
	}
	return kind, name, fmt.Sprintf("%s %q", kind, name)
}

func (w *walk) missing(parts []string) error {
	var known []string
	for _, p := range members(w.node) {
		known = append(known, p.key.Value)
	}
	_, _, text := called(parts)
	name := parts[len(parts)-1]
	hint := spell.Suggest(name, known)
	if one := firstOf(name, known); one != "" && w.unfolded {
		hint = fmt.Sprintf("%q of the file is %s and others: name them, or change its count in the file", name, one)
	}
	if len(parts) == 1 {
		return notThere(parts, hint)
	}
	e := notThere(parts, hint)
	e.Text = "there is no " + text
	if len(parts) > 3 {
		_, _, owner := called(parts[:len(parts)-2])
		e.Text += " in " + owner
	}
	return e
}

// firstOf is the first name that an object with a count stands for.
func firstOf(name string, known []string) string {
	for _, k := range known {
		if number, ok := strings.CutPrefix(k, name+"-"); ok && number == "1" {
			return k
		}
	}
	return ""
}

func notThere(parts []string, hint string) *EditError {
	kind, name, _ := called(parts)
	return &EditError{Code: topology.NotFound, Kind: kind, Name: name, Hint: hint,
		Text: "there is no " + strings.Join(parts, "/")}
}

// unfit says why edits of the document lead to none: in the words of the
// objects, without a place in a file that nobody wrote.
func (d *Document) unfit(src *source, err error, edits []topology.Edit) error {
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		return err
	}
	for _, edit := range edits {
		if users := d.users(src, edit); len(users) > 0 {
			kind, name, text := called(topology.SplitPath(edit.Path))
			verb := "use"
			if len(users) == 1 {
				verb = "uses"
			}
			return &EditError{Code: topology.InUse, Kind: kind, Name: name,
				Text: fmt.Sprintf("%s cannot be deleted: %s %s it", text, strings.Join(users, " and "), verb),
				Hint: "delete what uses it first, or change it"}
		}
	}
	p := problems[0]
	kind, name, _ := called(topology.SplitPath(edits[len(edits)-1].Path))
	refused := &EditError{Code: topology.Invalid, Kind: kind, Name: name, Text: p.Message, Hint: p.Hint}
	switch p.Kind {
	case "":
	case "zones":
		refused.Kind = p.Kind
	default:
		refused.Code, refused.Kind = topology.NotFound, p.Kind
	}
	return refused
}

// users are those that miss what an edit takes away, or something in it.
func (d *Document) users(src *source, edit topology.Edit) (who []string) {
	if !edit.Deletes() || src == nil {
		return nil
	}
	gone := d.find(edit.Path)
	parts := topology.SplitPath(edit.Path)
	for _, n := range src.problems {
		if n.missing == nil {
			continue
		}
		name := n.missing.Name[strings.LastIndex(n.missing.Name, "/")+1:]
		if (name == strings.TrimPrefix(parts[len(parts)-1], "=") || gone != nil && mentions(gone, name)) && !slices.Contains(who, n.who) {
			who = append(who, n.who)
		}
	}
	return who
}

// mentions says whether something below a node has a name.
func mentions(node *yaml.Node, name string) bool {
	node = follow(node)
	if node.Kind == yaml.MappingNode && lookUp(node, name) != nil {
		return true
	}
	return slices.ContainsFunc(node.Content, func(c *yaml.Node) bool {
		return c.Kind != yaml.AliasNode && mentions(c, name)
	})
}
