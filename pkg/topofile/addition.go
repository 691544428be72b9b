package topofile

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// AdditionOf is what an operation creates that a file need not have; false
// where it only creates what the file has.
func AdditionOf(o topology.Operation) (topology.Addition, bool) {
	a := topology.Addition{Key: "endpoints", Name: o.Endpoint}
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
		a = topology.Addition{Key: "endpoint_services", Name: o.Service}
		give("resources", len(o.LoadBalancers) > 0, o.LoadBalancers)
	}
	if len(value) == 1 {
		return topology.Addition{}, false
	}
	give("description", o.Description != nil, o.Description)
	text, err := yaml.Marshal(value)
	if err != nil {
		panic("words and lists of words can be written: " + err.Error())
	}
	a.Value = string(text)
	return a, true
}

// With is the plan of the same file as p with objects added to it. The error is
// Problems, as Parse returns them; lines are those of the file with them.
func With(p *topology.Plan, additions []topology.Addition) (*topology.Plan, error) {
	if len(additions) == 0 {
		return p, nil
	}
	var file yaml.Node
	if err := yaml.Unmarshal(p.Source, &file); err != nil {
		return nil, err
	}
	for _, a := range additions {
		if err := addTo(file.Content[0], a); err != nil {
			return nil, err
		}
	}
	var text bytes.Buffer
	out := yaml.NewEncoder(&text)
	out.SetIndent(2)
	if err := out.Encode(&file); err != nil {
		return nil, err
	}
	return planOf(p.File, text.Bytes())
}

func addTo(root *yaml.Node, a topology.Addition) error {
	var value yaml.Node
	if err := yaml.Unmarshal([]byte(a.Value), &value); err != nil {
		return err
	}
	objects := valueOf(root, a.Key)
	switch {
	case objects == nil:
		objects = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		root.Content = append(root.Content, word(a.Key), objects)
	case isNull(objects):
		*objects = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	case objects.Kind != yaml.MappingNode:
		return fmt.Errorf("%s of the topology file is an alias, and nothing can be added to it", a.Key)
	}
	objects.Content = append(objects.Content, word(a.Name), value.Content[0])
	return nil
}

// valueOf is what stands at a key, nil where the mapping does not have it.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func word(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}
