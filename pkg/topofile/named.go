package topofile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// references are the keys of a file whose values name objects, with the paths of
// those.
var references = map[string][]string{
	"account":         {"accounts/-"},
	"destination":     {"vpcs/*/security_groups/*"},
	"endpoint":        {"endpoints/*"},
	"from":            {"vpcs/*/instances/*"},
	"instance":        {"vpcs/*/instances/*"},
	"load_balancer":   {"load_balancers/*"},
	"resources":       {"load_balancers/*", "nat_gateways/*"},
	"security_groups": {"vpcs/*/security_groups/*"},
	"server_group":    {"server_groups/*"},
	"service":         {"endpoint_services/*"},
	"source":          {"vpcs/*/security_groups/*"},
	"subnet":          {"vpcs/*/subnets/*"},
	"subnets":         {"vpcs/*/subnets/*"},
	"vpc":             {"vpcs/*"},
	"vpcs":            {"vpcs/*"},
	"whitelist":       {"accounts/-"},
}

// anyVPC stands in a path for the only VPC that has what follows.
const anyVPC = "*"

// NamedEdits are edits with names where they have identifiers, in their paths and
// in their values, and one for each object where they have ranges;
// vpcs/*/instances/ecs1 is in the only VPC that has an ecs1. The error is an *EditError.
func NamedEdits(p *topology.Plan, edits []topology.Edit) ([]topology.Edit, error) {
	edits, err := spread(edits)
	if err != nil {
		return nil, err
	}
	n := naming{p}
	out := make([]topology.Edit, 0, len(edits))
	for _, edit := range edits {
		parts := topology.SplitPath(edit.Path)
		for j := range parts {
			if j > 1 && parts[j] == tagsKey {
				break // what follows is the user's
			}
			parts[j] = n.part(parts[j])
		}
		if err := n.placeVPC(parts); err != nil {
			return nil, err
		}
		if edit.Leave {
			out = append(out, n.leaving(parts)...)
		}
		edit.Path, edit.Value = topology.JoinPath(parts...), n.value(parts, edit.Value)
		out = append(out, edit)
	}
	return out, nil
}

// naming gives the objects of a plan their names.
type naming struct{ plan *topology.Plan }

func (n naming) name(text string) string {
	if name, ok := n.plan.NameOf(text); ok {
		return name
	}
	return text
}

// part is a part of a path: a name, or what tells an element of a list.
func (n naming) part(text string) string {
	if !strings.Contains(text, "=") {
		return n.name(text)
	}
	terms := strings.Split(text, ",")
	for i, term := range terms {
		key, value, _ := strings.Cut(term, "=")
		terms[i] = key + "=" + n.name(value)
	}
	return strings.Join(terms, ",")
}

// placeVPC puts a VPC where a path names none.
func (n naming) placeVPC(parts []string) error {
	if len(parts) < 4 || parts[0] != "vpcs" || parts[1] != anyVPC {
		return nil
	}
	var found []string
	for i := range n.plan.VPCs {
		if vpc := &n.plan.VPCs[i]; has(vpc, parts[2], parts[3]) {
			found = append(found, vpc.Name)
		}
	}
	kind, name, text := called(parts[:4])
	switch len(found) {
	case 0:
		return &EditError{Code: topology.NotFound, Kind: kind, Name: name, Text: "there is no " + text}
	case 1:
		parts[1] = found[0]
		return nil
	}
	for i := range found {
		found[i] += "/" + name
	}
	return &EditError{Code: topology.Invalid, Kind: kind, Name: name,
		Text: fmt.Sprintf("there are several %ss %q", kind, name), Hint: "write " + strings.Join(found, " or ")}
}

// leaving are edits that take an instance out of its server groups.
func (n naming) leaving(parts []string) (edits []topology.Edit) {
	if len(parts) != 4 || parts[2] != "instances" {
		return nil
	}
	for _, g := range n.plan.ServerGroups {
		for _, s := range g.Servers {
			if s.Instance == parts[1]+"/"+parts[3] {
				which := fmt.Sprintf("instance=%s,port=%d", parts[3], s.Port)
				edits = append(edits, topology.Edit{Path: topology.JoinPath("server_groups", g.Name, "servers", which)})
			}
		}
	}
	return edits
}

// has says whether a section of a VPC has a name.
func has(vpc *topology.VPC, section, name string) bool {
	switch section {
	case "subnets":
		return slices.ContainsFunc(vpc.Subnets, func(s topology.Subnet) bool { return s.Name == name })
	case "security_groups":
		return slices.ContainsFunc(vpc.SecurityGroups, func(g topology.SecurityGroup) bool { return g.Name == name })
	case "instances":
		return slices.ContainsFunc(vpc.Instances, func(in topology.Instance) bool { return in.Name == name })
	}
	return false
}

// value is a value with names where it refers to objects. What cannot be read is
// left to those who say what is wrong with it.
func (n naming) value(parts []string, text string) string {
	if text == "" || len(parts) > 1 && parts[len(parts)-2] == tagsKey {
		return text
	}
	node, err := valueOf(topology.Edit{Value: text})
	if err != nil || !renamed(node, keyOf(parts), n.referred) {
		return text
	}
	return valueText(node)
}

// keyOf is the key under which the value of a path stands; those of the elements of a
// list stand under the key of the list.
func keyOf(parts []string) string {
	key := parts[len(parts)-1]
	if len(parts) > 1 && (key == topology.AtEnd || strings.Contains(key, "=") || strings.Trim(key, "0123456789") == "") {
		key = parts[len(parts)-2]
	}
	return key
}

// referred is the name of what a value means, which may have a zone.
func (n naming) referred(_, text string) string {
	id, zone, zoned := strings.Cut(text, "@")
	name, ok := n.plan.NameOf(id)
	switch {
	case !ok:
		return text
	case zoned:
		return name + "@" + zone
	}
	return name
}
