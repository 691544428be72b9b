package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/console"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// consoleKinds are the kinds of objects that have a page: those with a name.
func consoleKinds() (out []console.Kind) {
	for _, k := range kinds {
		if !k.isElement() {
			out = append(out, console.Kind{Pattern: k.file, Name: k.what[strings.Index(k.what, " ")+1:]})
		}
	}
	return out
}

// consoleActions are all commands that change a lab, as the tables of operations and of
// kinds have them: what is added there is in the console.
func consoleActions() (out []console.Action) {
	for _, op := range operations() {
		if spec := (topology.Operation{Verb: op.verb}).Spec(); !spec.Read {
			out = append(out, op.action())
		}
	}
	for _, k := range kinds {
		out = append(out, k.actions()...)
	}
	return append(append(out, faultActions()...), restartAction())
}

// keyRefers are the patterns of the objects that keys of operations name.
var keyRefers = map[string][]string{
	"service": {"endpoint_services/*"}, "endpoint": {"endpoints/*"}, "nat_gateway": {"nat_gateways/*"},
	"entry": {"nat_gateways/*/full_nat/*"}, "server_group": {"server_groups/*"}, "vpc": {"vpcs/*"},
	"resource": {"load_balancers/*"}, "load_balancers": {"load_balancers/*", "nat_gateways/*"}, "account": {"accounts/-"},
	"as": {"accounts/-"}, "security_group": {"vpcs/*/security_groups/*"},
	"security_groups": {"vpcs/*/security_groups/*"}, "subnets": {"vpcs/*/subnets/*"},
	"server": {"vpcs/*/instances/*"},
}

// action is the form of an operation's command.
func (op operation) action() console.Action {
	a := console.Action{Path: op.path, Short: op.short, Long: op.long, Verb: op.verb, Does: effectOf(op.path)}
	if k := op.kind(); k != nil {
		a.Pattern = k.file
	}
	keys, args := op.keys.List(), strings.Fields(op.args)
	creates := (topology.Operation{Verb: op.verb}).Spec().Creates != ""
	for i, key := range keys {
		f := op.field(key)
		f.Argument, f.Required = true, !strings.HasPrefix(args[i], "[")
		if i == len(keys)-1 && strings.HasSuffix(op.args, "...") {
			f.Kind = console.Many
		}
		if creates && i == 0 {
			f.Refers, f.Choices = nil, nil // a new name
		}
		a.Fields = append(a.Fields, f)
	}
	for _, flag := range op.flags {
		for _, key := range flag.keys.List() {
			f := op.field(key)
			f.Required = (topology.Operation{Verb: op.verb}).Spec().Needs.Has(key)
			if flag.keys == topology.Keys(key) {
				f.Help = flag.usage
			}
			a.Fields = append(a.Fields, f)
		}
	}
	a.Fields = append(append(a.Fields, op.fileFields()...), op.field("as"))
	a.Read = op.readForm
	return a
}

// inFile are keys of operations that are called otherwise in the file.
var inFile = map[string]string{"load_balancers": "resources"}

// fileFields are the keys of what an operation creates that only the file has: in a form
// nobody chooses between flags and KEY=VALUE.
func (op operation) fileFields() (fields []console.Field) {
	k := op.kind()
	if k == nil || !slices.Contains(creates, lastWord(op.path)) {
		return nil
	}
	has := op.keys.List()
	for _, flag := range op.flags {
		for _, key := range flag.keys.List() {
			has = append(has, cmp.Or(inFile[key], key))
		}
	}
	for _, f := range k.keyFields(false) {
		if !slices.Contains(has, f.Name) && f.Name != "exists" {
			fields = append(fields, f)
		}
	}
	return fields
}

// readFile makes edits of a form that has what only the file can say, and nothing of
// another one.
func (op operation) readFile(values url.Values) (step console.Step, err error) {
	given := func(f console.Field) bool { return strings.TrimSpace(strings.Join(values[f.Name], "")) != "" }
	if !slices.ContainsFunc(op.fileFields(), given) {
		return step, nil
	}
	if strings.TrimSpace(values.Get("as")) != "" {
		return step, errors.New("as: the topology is edited, which no account does")
	}
	file := url.Values{}
	for key, texts := range values {
		file[cmp.Or(inFile[key], key)] = texts
	}
	var names []string
	for _, key := range op.keys.List() {
		names = append(names, strings.TrimSpace(values.Get(key)))
		file.Del(key)
	}
	words := op.kind().pairs(file)
	if step.Edits, err = op.kind().createAt(names, words); err != nil {
		return step, err
	}
	line := []string{"plinksim", op.path}
	for _, word := range append(names, words...) {
		line = append(line, console.Quote(word))
	}
	step.Command = strings.Join(line, " ")
	return step, nil
}

// effectOf tells from a command's last word what it does to its object.
func effectOf(path string) console.Effect {
	switch verb := lastWord(path); {
	case slices.Contains(creates, verb), verb == "add":
		return console.Creates
	case slices.Contains([]string{"delete", "remove", "reject", "terminate", "deregister", "release"}, verb):
		return console.Deletes
	}
	return console.Changes
}

// field is a key of an operation.
func (op operation) field(key string) console.Field {
	f := console.Field{
		Name: key, Label: cmp.Or(inFile[key], key), Help: topology.KeyDoc(key), Enum: topology.KeyEnum(key),
		Refers: keyRefers[key],
	}
	switch topology.KeyKind(key) {
	case reflect.Bool:
		f.Kind = console.YesNo
	case reflect.Slice:
		f.Kind = console.Many
	}
	// Completion knows the accounts that have a VPC; the topology has all of them.
	if names := completions[key]; names != nil && key != "account" {
		f.Choices = func(now status.Lab, chosen url.Values) []string {
			o := topology.Operation{Verb: op.verb}
			for _, key := range op.keys.List() {
				_ = o.Set(key, chosen.Get(key)) // what cannot be read is not chosen yet
			}
			return names(now, o)
		}
	}
	return f
}

// readForm makes operations of a form: one for each of its last argument.
func (op operation) readForm(values url.Values) (step console.Step, err error) {
	if step, err := op.readFile(values); err != nil || len(step.Edits) > 0 {
		return step, err
	}
	o := topology.Operation{Verb: op.verb}
	keys, several := op.keys.List(), strings.HasSuffix(op.args, "...")
	given := 0
	ofFile := op.fileFields()
	for _, f := range op.action().Fields {
		if slices.ContainsFunc(ofFile, func(g console.Field) bool { return g.Name == f.Name }) {
			continue
		}
		texts := wordsOf(values[f.Name])
		if several && f.Name == keys[len(keys)-1] {
			continue
		}
		if f.Kind != console.Many {
			texts = slices.DeleteFunc(slices.Clone(values[f.Name]), func(text string) bool { return strings.TrimSpace(text) == "" })
		}
		if len(texts) == 0 && f.Required {
			return step, fmt.Errorf("%s is missing", f.Label)
		}
		for _, text := range texts {
			if err := o.Set(f.Name, strings.TrimSpace(text)); err != nil {
				return step, fmt.Errorf("%s: %w", f.Label, err)
			}
		}
		if len(texts) > 0 && !f.Argument && f.Name != "as" {
			given++
		}
	}
	if op.some && given == 0 {
		return step, errors.New("nothing is to be changed: fill in one of the options")
	}
	step.Operations = []topology.Operation{o}
	if several {
		last := keys[len(keys)-1]
		words := wordsOf(values[last])
		if len(words) == 0 {
			return step, fmt.Errorf("%s is missing", last)
		}
		step.Operations = nil
		for _, word := range words {
			one := o
			if err := one.Set(last, word); err != nil {
				return step, fmt.Errorf("%s: %w", last, err)
			}
			step.Operations = append(step.Operations, one)
		}
	}
	var lines []string
	for _, o := range step.Operations {
		lines = append(lines, commandLine(o))
	}
	step.Command = strings.Join(lines, "\n")
	return step, nil
}

// wordsOf are the words of a field that takes several.
func wordsOf(texts []string) []string {
	return strings.FieldsFunc(strings.Join(texts, " "), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' })
}

// actions are the forms of a kind's commands. Of an object with a page, that has what is
// changed.
func (k kind) actions() (out []console.Action) {
	add := func(verb, short string, fields []console.Field, read func(values url.Values) ([]string, []topology.Edit, error)) {
		path := k.path + " " + verb
		if operationAt(path) != nil {
			return
		}
		a := console.Action{Path: path, Short: short, Pattern: k.file, Does: effectOf(path), Fields: fields}
		a.Read = func(values url.Values) (console.Step, error) {
			for _, f := range fields {
				if f.Required && strings.TrimSpace(values.Get(f.Name)) == "" {
					return console.Step{}, fmt.Errorf("%s is missing", f.Label)
				}
			}
			args, edits, err := read(values)
			words := []string{"plinksim", path}
			for _, arg := range args {
				words = append(words, console.Quote(arg))
			}
			return console.Step{Edits: edits, Command: strings.Join(words, " ")}, err
		}
		out = append(out, a)
	}
	with := func(make func([]string) ([]topology.Edit, error), rest func(url.Values) []string) func(url.Values) (
		[]string, []topology.Edit, error) {
		return func(values url.Values) ([]string, []topology.Edit, error) {
			args := append([]string{k.named(values)}, rest(values)...)
			edits, err := make(args)
			return args, edits, err
		}
	}
	none := func(url.Values) []string { return nil }
	which := console.Field{
		Name: "which", Label: "which one", Required: true, Argument: true, Refers: []string{k.file},
		Help: "its number from 0, or some of its keys that only it has: port=80",
	}
	switch {
	case k.isWord():
		add("create", "Create "+k.what, k.nameFields(true), with(k.words(""), none))
		add("delete", "Delete "+k.what+" that nothing uses", k.nameFields(false), with(k.words("="), none))
	case k.isElement():
		add("add", "Add "+k.what, append(k.nameFields(false), k.keyFields(true)...), with(k.create, k.pairs))
		add("set", "Change "+k.what, append(append(k.nameFields(false), which), k.keyFields(false)...),
			with(k.set, func(v url.Values) []string { return append([]string{v.Get("which")}, k.pairs(v)...) }))
		add("remove", "Remove "+k.what, append(k.nameFields(false), which),
			with(k.remove, func(v url.Values) []string { return []string{v.Get("which")} }))
	default:
		add("create", "Create "+k.what, append(k.nameFields(true), k.keyFields(true)...), with(k.create, k.pairs))
		add("delete", "Delete "+k.what+" that nothing uses", k.nameFields(false), with(k.remove, none))
	}
	if k.more != nil {
		for _, s := range instanceStates {
			add(s.verb, s.short, k.nameFields(false),
				with(func(args []string) ([]topology.Edit, error) { return k.each(args, s.edit) }, none))
		}
	}
	return out
}

// nameFields ask which object is meant: its name, and those of what it is in.
func (k kind) nameFields(isNew bool) (fields []console.Field) {
	parts := strings.Split(k.file, "/")
	names := strings.Split(k.name, "/")
	star := 0
	for i, part := range parts {
		if part != "*" && !(k.isWord() && part == topology.AtEnd) {
			continue
		}
		name := names[star]
		star++
		f := console.Field{
			Name: "of." + name, Label: strings.ToLower(strings.ReplaceAll(name, "_", " ")), Required: true, Argument: true,
			Refers: []string{strings.Join(parts[:i+1], "/")},
		}
		if name == "VPC" {
			f.Label = name
		}
		if i == len(parts)-1 && isNew {
			f.Label, f.Refers = "name", nil
		}
		fields = append(fields, f)
	}
	return fields
}

// named is the argument that says which object is meant.
func (k kind) named(values url.Values) string {
	var names []string
	for _, name := range strings.Split(k.name, "/") {
		names = append(names, strings.TrimSpace(values.Get("of."+name)))
	}
	return strings.Join(names, "/")
}

func (k kind) keyFields(isNew bool) (fields []console.Field) {
	for _, key := range k.keys() {
		f := console.Field{
			Name: key.Name, Label: key.Name, Help: key.Doc, Required: key.Required && isNew,
			Enum: key.Enum, Refers: key.Refers,
		}
		switch {
		case key.List:
			f.Kind = console.Many
		case key.YesNo:
			f.Kind = console.YesNo
		case f.Required && len(topofile.KeysAt(k.file+"/"+key.Name+"/"+topology.AtEnd)) > 0:
			f.Preset = "[]" // objects of their own, which come later
		}
		fields = append(fields, f)
	}
	return fields
}

// pairs are KEY=VALUE of what a form has.
func (k kind) pairs(values url.Values) (out []string) {
	for _, f := range k.keyFields(true) {
		text := strings.TrimSpace(values.Get(f.Name))
		switch {
		case text == "":
		case f.Kind == console.Many && !strings.ContainsAny(text, "[{"):
			out = append(out, f.Name+"="+strings.Join(wordsOf(values[f.Name]), ","))
		default:
			out = append(out, f.Name+"="+text)
		}
	}
	return out
}
