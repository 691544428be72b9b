package awsapi

import (
	"maps"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
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
		for _, id := range in.Resources {
			if err := c.checkTaggable(id); err != nil {
				return nil, err
			}
			if len(tags)+len(c.Record.Thing(id).Tags) > mostTags {
				return nil, wire.Errorf("TagLimitExceeded", "An object has at most %d tags", mostTags)
			}
		}
		if c.Dry {
			return nil, errDryRun
		}
		for _, id := range in.Resources {
			c.Change(id, func(t *cloudapi.Thing) { maps.Copy(t.Tags, tags) })
		}
		return nil, nil
	})
	op(a, "DeleteTags", func(c network, in struct {
		Resources []string
		Tags      []struct {
			Key   string
			Value *string
		}
	}) (wire.M, error) {
		for _, id := range in.Resources {
			if err := c.checkTaggable(id); err != nil {
				return nil, err
			}
		}
		if c.Dry {
			return nil, errDryRun
		}
		for _, id := range in.Resources {
			c.Change(id, func(t *cloudapi.Thing) {
				if len(in.Tags) == 0 {
					clear(t.Tags)
				}
				for _, one := range in.Tags {
					if one.Value == nil || *one.Value == t.Tags[one.Key] {
						delete(t.Tags, one.Key)
					}
				}
			})
		}
		return nil, nil
	})
	list(a, listing{name: "DescribeTags", answer: "Tags",
		filters: map[string]string{
			"resource-id": "ResourceId", "resource-type": "ResourceType", "key": "Key", "value": "Value",
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			kinds := c.taggable()
			for _, id := range slices.Sorted(maps.Keys(kinds)) {
				for _, tag := range c.tags(id, kinds[id].name) {
					out = append(out, wire.M{"ResourceId": id, "ResourceType": kinds[id].kind, "Key": tag["Key"],
						"Value": tag["Value"]})
				}
			}
			return out, nil
		}})
}

// taggedKind is an object that can have tags: its kind, and the name of the file.
type taggedKind struct{ kind, name string }

// taggable are the caller's objects that can have tags, by identifier.
func (c network) taggable() map[string]taggedKind {
	out := map[string]taggedKind{}
	for _, v := range c.ownVPCs() {
		out[v.ID] = taggedKind{"vpc", v.Name}
		for _, s := range v.Subnets {
			out[s.ID] = taggedKind{"subnet", s.Name}
		}
		for i := range v.SecurityGroups {
			g := &v.SecurityGroups[i]
			out[g.ID] = taggedKind{"security-group", ""}
			for _, egress := range []bool{false, true} {
				for _, r := range rulesOf(v, g, egress) {
					out[c.ruleID(g, egress, r)] = taggedKind{"security-group-rule", ""}
				}
			}
		}
		for i := range v.Instances {
			out[v.Instances[i].ID] = taggedKind{"instance", v.Instances[i].Name}
			out[c.volumeID(&v.Instances[i])] = taggedKind{"volume", ""}
		}
		out[c.routeTableID(v)] = taggedKind{"route-table", ""}
		out[c.networkACLID(v)] = taggedKind{"network-acl", ""}
	}
	for _, e := range c.enis() {
		out[e.id] = taggedKind{"network-interface", ""}
	}
	for _, s := range c.Plan.Services {
		if s.Account == c.Account.Name && !s.Absent {
			out[s.ID] = taggedKind{"vpc-endpoint-service", s.Name}
		}
	}
	for _, e := range c.Plan.Endpoints {
		if e.Account == c.Account.Name && !e.Absent {
			out[e.ID] = taggedKind{"vpc-endpoint", e.Name}
		}
	}
	return out
}

func (c network) checkTaggable(id string) error {
	if _, there := c.taggable()[id]; there {
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
