package awsapi

import (
	"maps"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func tagRows(a *adder) {
	op(a, "CreateTags", func(c network, in struct {
		Resources []string
		Tags      []tag
	}) (wire.M, error) {
		tags, err := tagsOf(in.Tags)
		if err != nil {
			return nil, err
		}
		all := c.taggable()
		for _, id := range in.Resources {
			if err := checkTaggable(all, id); err != nil {
				return nil, err
			}
			more := maps.Clone(tags)
			maps.Copy(more, all[id].tags)
			if len(more) > mostTags {
				return nil, wire.Errorf("TagLimitExceeded", "An object has at most %d tags", mostTags)
			}
		}
		return nil, c.setTags(all, in.Resources, func(topology.Tags) map[string]*string {
			set := map[string]*string{}
			for key, value := range tags {
				set[key] = &value
			}
			return set
		})
	})
	op(a, "DeleteTags", func(c network, in struct {
		Resources []string
		Tags      []struct {
			Key   string
			Value *string
		}
	}) (wire.M, error) {
		all := c.taggable()
		for _, id := range in.Resources {
			if err := checkTaggable(all, id); err != nil {
				return nil, err
			}
		}
		return nil, c.setTags(all, in.Resources, func(now topology.Tags) map[string]*string {
			set := map[string]*string{}
			for _, one := range in.Tags {
				if value, there := now[one.Key]; there && (one.Value == nil || *one.Value == value) {
					set[one.Key] = nil
				}
			}
			if len(in.Tags) == 0 {
				for key := range now {
					set[key] = nil
				}
			}
			return set
		})
	})
	list(a, listing{name: "DescribeTags", answer: "Tags",
		filters: map[string]string{
			"resource-id": "ResourceId", "resource-type": "ResourceType", "key": "Key", "value": "Value",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			kinds := c.taggable()
			for _, id := range slices.Sorted(maps.Keys(kinds)) {
				for _, tag := range tagsWith(kinds[id].tags, id, kinds[id].name) {
					out = append(out, wire.M{"ResourceId": id, "ResourceType": kinds[id].kind, "Key": tag["Key"],
						"Value": tag["Value"]})
				}
			}
			return out, nil
		}})
}

// tagged is an object that can have tags: its kind, the name of the file, and where the
// file has it; what no file has has no path.
type tagged struct {
	kind, name string
	tags       topology.Tags
	path       []string
	group      *topology.SecurityGroup // of a VPC, the default one, which the file need not have
	vpc        *topology.VPC
}

// taggable are the caller's objects that can have tags, by identifier.
func (c network) taggable() map[string]tagged {
	out := map[string]tagged{}
	recorded := func(kind, id string) { out[id] = tagged{kind: kind, tags: c.Record.Thing(id).Tags} }
	for _, v := range c.OwnVPCs() {
		in := func(keys ...string) []string { return append([]string{"vpcs", v.Name}, keys...) }
		out[v.ID] = tagged{kind: "vpc", name: v.Name, tags: v.Tags, path: in()}
		for _, s := range v.Subnets {
			out[s.ID] = tagged{kind: "subnet", name: s.Name, tags: s.Tags, path: in("subnets", s.Name)}
		}
		for i := range v.SecurityGroups {
			g := &v.SecurityGroups[i]
			one := tagged{kind: "security-group", tags: g.Tags, path: in("security_groups", g.Name)}
			if g.Name == topology.DefaultGroup {
				one.group, one.vpc = g, v
			}
			out[g.ID] = one
			for _, egress := range []bool{false, true} {
				for _, r := range rulesOf(v, g, egress) {
					recorded("security-group-rule", c.ruleID(g, egress, r))
				}
			}
		}
		for i := range v.Instances {
			instance := &v.Instances[i]
			out[instance.ID] = tagged{kind: "instance", name: instance.Name, tags: instance.Tags,
				path: in("instances", instance.Name)}
			recorded("volume", c.volumeID(instance))
		}
		recorded("route-table", c.routeTableID(v))
		recorded("network-acl", c.networkACLID(v))
	}
	for _, e := range c.enis() {
		recorded("network-interface", e.id)
	}
	for _, s := range c.Plan.Services {
		if s.Account == c.Account.Name && !s.Absent {
			out[s.ID] = tagged{kind: "vpc-endpoint-service", name: s.Name, tags: s.Tags,
				path: []string{"endpoint_services", s.Name}}
		}
	}
	for _, e := range c.Plan.Endpoints {
		if e.Account == c.Account.Name && !e.Absent {
			out[e.ID] = tagged{kind: "vpc-endpoint", name: e.Name, tags: e.Tags, path: []string{"endpoints", e.Name}}
		}
	}
	return out
}

// setTags sets tags of objects, those that are nil to none.
func (c *call) setTags(all map[string]tagged, ids []string, set func(now topology.Tags) map[string]*string) error {
	var edits []topology.Edit
	for _, id := range ids {
		edits = append(edits, all[id].edits(set(all[id].tags))...)
	}
	if err := c.Edit(edits...); err != nil {
		return err
	}
	for _, id := range ids {
		if changes := set(all[id].tags); all[id].path == nil && len(changes) > 0 && !c.Dry {
			c.Change(id, func(t *cloudapi.Thing) { apply(t.Tags, changes) })
		}
	}
	return nil
}

func apply(tags map[string]string, changes map[string]*string) {
	for key, value := range changes {
		if delete(tags, key); value != nil {
			tags[key] = *value
		}
	}
}

func (t tagged) edits(changes map[string]*string) (edits []topology.Edit) {
	if t.path == nil || len(changes) == 0 {
		return nil
	}
	if t.group != nil {
		tags := maps.Clone(t.tags)
		if tags == nil {
			tags = topology.Tags{}
		}
		apply(tags, changes)
		return at(defaultGroup(t.vpc, t.group, tags), t.path...)
	}
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		path := append(t.path[:len(t.path):len(t.path)], "tags", key)
		if changes[key] == nil {
			edits = append(edits, at(nil, path...)...)
		} else {
			edits = append(edits, at(*changes[key], path...)...)
		}
	}
	return edits
}

func checkTaggable(all map[string]tagged, id string) error {
	if _, there := all[id]; there {
		return nil
	}
	prefix := id[:max(0, strings.LastIndex(id, "-"))]
	codes := map[string]string{
		"vpc": "InvalidVpcID.NotFound", "subnet": "InvalidSubnetID.NotFound", "sg": "InvalidGroup.NotFound",
		"i": "InvalidInstanceID.NotFound", "vpce": "InvalidVpcEndpointId.NotFound",
		"vpce-svc": "InvalidVpcEndpointServiceId.NotFound", "eni": "InvalidNetworkInterfaceID.NotFound",
		"vol": "InvalidVolume.NotFound",
	}
	if code := codes[prefix]; code != "" {
		return wire.Errorf(code, "The ID '%s' does not exist", id)
	}
	return wire.Errorf("InvalidID", "The ID '%s' is not valid", id)
}
