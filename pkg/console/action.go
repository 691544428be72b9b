package console

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Kind is a kind of objects of a topology.
type Kind struct {
	Pattern string // where they are in the file, each name a *: vpcs/*/subnets/*
	Name    string // for people: subnet
}

// Action is something that can be done to a lab: a command with its arguments and flags,
// which is a form here.
type Action struct {
	Path  string // the command below plinksim: connection accept. It is unique.
	Short string // what it does, in a line
	Long  string // more of it
	Verb  topology.Verb
	// Pattern is that of the objects which the action creates, changes or deletes, or of
	// what they are in.
	Pattern string
	Does    Effect
	Fields  []Field
	// Read makes of a form's values what is to be done. Its error is for the user.
	Read func(values url.Values) (Step, error)
}

// Effect says what an Action does to its object.
type Effect uint8

// The effects.
const (
	Changes Effect = iota
	Creates
	Deletes
)

// Field is one value of an Action.
type Field struct {
	Name     string // in the form's values
	Label    string // of several words with "_" between, as keys are
	Help     string
	Required bool
	Argument bool // it says which object is meant
	Kind     FieldKind
	Enum     []string // the values that it can have
	Preset   string   // what is in it at first
	// Refers are the patterns of the objects that its values name.
	Refers []string
	// Choices are values that are likely, with what is chosen so far; may be nil.
	Choices func(now status.Lab, chosen url.Values) []string
}

// FieldKind is how a Field is asked for.
type FieldKind uint8

// The kinds of fields.
const (
	Text  FieldKind = iota
	YesNo           // true or false, or as it is
	Many            // several words
)

// Step is what an Action does, of which one is there: operations, edits, or something
// else that a lab can do, which returns what came of it.
type Step struct {
	Operations []topology.Operation
	Edits      []topology.Edit
	If         map[string]string // what the edits were made for: see api.EditCall
	Other      func(ctx context.Context, lab Lab) (string, error)
	Command    string // the command line that does the same
}

// action is the one with a path, nil where there is none.
func (c *Console) action(path string) *Action {
	i := slices.IndexFunc(c.cfg.Actions, func(a Action) bool { return a.Path == path })
	if i < 0 {
		return nil
	}
	return &c.cfg.Actions[i]
}

// actionOf is the one that does an operation's verb.
func (c *Console) actionOf(verb topology.Verb) *Action {
	i := slices.IndexFunc(c.cfg.Actions, func(a Action) bool { return a.Verb == verb })
	if i < 0 {
		return nil
	}
	return &c.cfg.Actions[i]
}

func (a *Action) has(field string) bool {
	return slices.ContainsFunc(a.Fields, func(f Field) bool { return f.Name == field })
}

// title is what the lab's cloud calls the action.
func (a *Action) title(cloud topology.Cloud) string {
	short, _, _ := strings.Cut(a.Short, " that ")
	switch word := cloud.Say(a.Path); {
	case word != a.Path:
		return upper(word)
	case a.Verb != "":
		path := strings.Fields(a.Path)
		last := len(path) - 1
		return upper(path[last] + " " + words(strings.Join(path[:last], " ")))
	default:
		return short
	}
}

// upper begins a text with a capital letter.
func upper(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// URL is where the form of the action is.
func (a *Action) URL() string { return "/do/" + strings.ReplaceAll(a.Path, " ", "/") }

// patternOf replaces the names of a path by *.
func (c *Console) patternOf(path string) (pattern string, names []string) {
	parts := topology.SplitPath(path)
	for _, k := range c.cfg.Kinds {
		want := topology.SplitPath(k.Pattern)
		if len(want) != len(parts) {
			continue
		}
		names = names[:0]
		for i := range want {
			if want[i] == "*" {
				names = append(names, parts[i])
			} else if want[i] != parts[i] {
				names = nil
				break
			}
		}
		if len(names) > 0 {
			return k.Pattern, names
		}
	}
	return "", nil
}

// valuesFor are what fields of an action have for the object at a path: its own name, and
// those of what it is in.
func (c *Console) valuesFor(a *Action, path string) url.Values {
	values := url.Values{}
	parts := topology.SplitPath(path)
	for _, f := range a.Fields {
		if !f.Argument {
			continue
		}
		for n := 2; n <= len(parts); n += 2 {
			pattern, names := c.patternOf(topology.JoinPath(parts[:n]...))
			if pattern != "" && slices.Contains(f.Refers, pattern) {
				values.Set(f.Name, names[len(names)-1])
			}
		}
	}
	return values
}

// actionsFor are those that can be done to the object at a path, or in it.
func (c *Console) actionsFor(path string) (out []*Action) {
	pattern, _ := c.patternOf(path)
	if pattern == "" {
		return nil
	}
	for i := range c.cfg.Actions {
		a := &c.cfg.Actions[i]
		if slices.ContainsFunc(a.Fields, func(f Field) bool { return f.Argument && slices.Contains(f.Refers, pattern) }) {
			out = append(out, a)
		}
	}
	return out
}
