package topofile

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Unaliased are edits with names where they have values of the tag Name, in their paths
// and in their values. What is to be created keeps its name. The error is an *EditError.
func Unaliased(p *topology.Plan, edits []topology.Edit) ([]topology.Edit, error) {
	out := make([]topology.Edit, 0, len(edits))
	for _, edit := range edits {
		a := aliases{plan: p, fresh: edit.New}
		parts := topology.SplitPath(edit.Path)
		a.path(parts)
		edit.Path, edit.Value = topology.JoinPath(parts...), a.value(parts, edit.Value)
		if a.err != nil {
			return nil, a.err
		}
		out = append(out, edit)
	}
	return out, nil
}

// aliases gives objects that are called by their tag Name their names.
type aliases struct {
	plan  *topology.Plan
	fresh bool // the last part of the path is the name of something new
	err   error
}

// name is the name of the object of a section that a text means, with its VPC.
func (a *aliases) name(section, vpc, text string) (inVPC, name string) {
	inVPC, name, ok, err := a.plan.Alias(section, vpc, text)
	if ambiguous := (*topology.AmbiguousError)(nil); errors.As(err, &ambiguous) && a.err == nil {
		a.err = &EditError{Code: topology.Invalid, Kind: ambiguous.Kind, Name: text, Text: err.Error()}
	}
	if !ok {
		return vpc, text
	}
	return inVPC, name
}

func (a *aliases) path(parts []string) {
	for i := 1; i < len(parts); i++ {
		if i > 1 && parts[i] == tagsKey {
			return // what follows is the user's
		}
		if strings.Contains(parts[i], "=") {
			parts[i] = a.terms(parts[i-1], parts[i])
		}
		if i > 3 || i%2 == 0 || i == 3 && parts[0] != "vpcs" || a.fresh && i == len(parts)-1 {
			continue
		}
		vpc := ""
		if i == 3 && parts[1] != anyVPC {
			vpc = parts[1]
		}
		inVPC, name := a.name(parts[i-1], vpc, parts[i])
		if parts[i] = name; i == 3 && inVPC != "" {
			parts[1] = inVPC
		}
	}
}

// terms are what tells an element of a list: instance=web-1,port=80, or =web-1.
func (a *aliases) terms(list, text string) string {
	terms := strings.Split(text, ",")
	for i, term := range terms {
		key, value, _ := strings.Cut(term, "=")
		if key == "" {
			terms[i] = "=" + a.referred(list, value)
			continue
		}
		terms[i] = key + "=" + a.referred(key, value)
	}
	return strings.Join(terms, ",")
}

// referred is the name of what a value under a key of the file means.
func (a *aliases) referred(key, text string) string {
	for _, path := range references[key] {
		parts := strings.Split(path, "/")
		if _, name := a.name(parts[max(0, len(parts)-2)], "", text); name != text {
			return name
		}
	}
	return text
}

// value is a value of an edit with names in it. What cannot be read is left to those who
// say what is wrong with it.
func (a *aliases) value(parts []string, text string) string {
	if text == "" || len(parts) > 1 && parts[len(parts)-2] == tagsKey {
		return text
	}
	node, err := valueOf(topology.Edit{Value: text})
	if err != nil || !renamed(node, keyOf(parts), a.referred) {
		return text
	}
	return valueText(node)
}

// renamed gives the values below a key that refer to objects other names, and says
// whether one changed.
func renamed(node *yaml.Node, key string, name func(key, text string) string) (changed bool) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == tagsKey {
				continue // they are the user's
			}
			if _, places := references[key]; places { // subnets: {vsw1: {ip: ...}}
				changed = renamed(node.Content[i], key, name) || changed
			}
			changed = renamed(node.Content[i+1], node.Content[i].Value, name) || changed
		}
	case yaml.SequenceNode:
		for _, c := range node.Content {
			changed = renamed(c, key, name) || changed
		}
	case yaml.ScalarNode:
		if _, refers := references[key]; refers {
			if to := name(key, node.Value); to != node.Value {
				changed = true
				node.Value, node.Tag = to, "!!str" // the number of an account is none
			}
		}
	}
	return changed
}
