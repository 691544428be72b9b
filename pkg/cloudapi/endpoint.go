package cloudapi

import (
	"errors"
	"maps"
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// MakeEndpoint lets the operation create an endpoint that v describes as a topology file does,
// but for its subnets, which are places. It stays when its account leaves the whitelist. What
// the operation cannot say, addresses for example, is edited before, as of an endpoint that
// nobody has created yet.
func (c *Call) MakeEndpoint(id string, v Value, places map[string]Value) error {
	v["subnets"], v["exists"] = places, false
	edit := topology.Edit{Path: topology.JoinPath("endpoints", id), Value: Text(v), New: true}
	o := topology.Operation{Verb: topology.VerbEndpointCreate, Endpoint: id}
	switch {
	case c.Dry:
		return c.Edit(edit)
	case sayable(v, places):
		o.Service, o.VPC = v["service"].(string), v["vpc"].(string)
		o.Subnets = slices.Sorted(maps.Keys(places))
		o.SecurityGroups, _ = v["security_groups"].([]string)
		if text, given := v["description"].(string); given {
			o.Description = &text
		}
		if on, given := v["private_dns"].(bool); given {
			o.PrivateDNS = &on
		}
		return c.Operate(o)
	}
	if err := c.Edit(edit); err != nil {
		return err
	}
	if err := c.Operate(o); err != nil {
		return errors.Join(err, c.Edit(topology.Edit{Path: edit.Path}))
	}
	return nil
}

// sayable says whether the operation can say all of an endpoint.
func sayable(v Value, places map[string]Value) bool {
	for key := range v {
		if !slices.Contains([]string{"service", "vpc", "subnets", "security_groups", "description", "private_dns",
			"exists"}, key) {
			return false
		}
	}
	for _, place := range places {
		if len(place) > 0 {
			return false
		}
	}
	return true
}

// AsListed are edits of places of an object, as they are where the file has a mapping of
// subnets, or those of a list.
func (c *Call) AsListed(edits []topology.Edit) []topology.Edit {
	if len(edits) == 0 {
		return nil
	}
	if _, err := c.Lab.LookAtEdits(edits, nil); !IsRefused(err, topology.NotFound) {
		return edits // and if they are refused, that is why
	}
	listed := slices.Clone(edits)
	for i, e := range edits {
		parts := topology.SplitPath(e.Path)
		name := parts[len(parts)-1]
		parts[len(parts)-1] = "=" + name
		if !e.Deletes() {
			parts[len(parts)-1], listed[i].Value = topology.AtEnd, Text(name)
		}
		listed[i].Path = topology.JoinPath(parts...)
	}
	return listed
}
