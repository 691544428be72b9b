package aliapi

import (
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// taggable are the objects of a product that can have tags: by resource type, the identifiers
// of the caller's.
type taggable map[string]func(c *call) []string

// kind is a resource type, in whatever capitals: Terraform's provider says VpcEndpoint.
func (t taggable) kind(word string) (name string, all func(c *call) []string, err error) {
	for name, all := range t {
		if strings.EqualFold(name, word) {
			return name, all, nil
		}
	}
	return "", nil, wire.Errorf("InvalidResourceType.NotFound", "The ResourceType provided does not exist: %s", word)
}

// tagRows adds the operations on tags of a product. untag is the name of the one that takes
// them away, which differs in its capitals.
func tagRows(a *adder, untag string, of taggable) {
	known := func(c *call, kind string, ids []string) error {
		_, all, err := of.kind(kind)
		if err != nil {
			return err
		}
		if len(ids) == 0 || len(ids) > mostTagged {
			return wire.Errorf("NumberExceed.ResourceIds", "1 to %d resources can be named in a call", mostTagged)
		}
		has := all(c)
		for _, id := range ids {
			if !slices.Contains(has, id) {
				return notFound("InvalidResourceId.NotFound", "The specified resource %q does not exist.", id)
			}
		}
		return nil
	}
	op(a, "TagResources", func(c *call, in struct {
		ResourceType string
		ResourceId   []string
		Tag          []tag
	}) (wire.M, error) {
		tags, err := tagsOf(in.Tag)
		if err == nil {
			err = known(c, in.ResourceType, in.ResourceId)
		}
		if err == nil && len(tags) == 0 {
			err = wire.Errorf("MissingTag", "Tag is mandatory for this action.")
		}
		if err != nil || c.Dry {
			return nil, err
		}
		for _, id := range in.ResourceId {
			has := c.Record.Thing(id).Tags
			for key := range tags {
				if _, there := has[key]; !there && len(has)+len(tags) > mostTags {
					return nil, wire.Errorf("NumberExceed.Tags", "%s would have more than %d tags", id, mostTags)
				}
			}
		}
		for _, id := range in.ResourceId {
			c.Change(id, func(t *cloudapi.Thing) {
				for key, value := range tags {
					t.Tags[key] = value
				}
			})
		}
		return tagged(c), nil
	})
	op(a, untag, func(c *call, in struct {
		ResourceType       string
		ResourceId, TagKey []string
		All                bool
	}) (wire.M, error) {
		err := known(c, in.ResourceType, in.ResourceId)
		if err == nil && len(in.TagKey) == 0 && !in.All {
			err = wire.Errorf("MissingTagKey", "TagKey is mandatory for this action, unless All is true.")
		}
		if err != nil || c.Dry {
			return nil, err
		}
		for _, id := range in.ResourceId {
			c.Change(id, func(t *cloudapi.Thing) {
				for key := range t.Tags {
					if slices.Contains(in.TagKey, key) || in.All && len(in.TagKey) == 0 {
						delete(t.Tags, key)
					}
				}
			})
		}
		return tagged(c), nil
	})
	answer := "TagResources.TagResource"
	if a.service.Operations["ListTagResources"].Output.Member("TagResources").Shape.Kind == wire.List {
		answer = "TagResources"
	}
	list(a, listing{name: "ListTagResources", answer: answer, usual: 50, most: 100,
		also: []string{"ResourceId", "ResourceType", "Tag"}, all: func(c *call) (out []wire.M, _ error) {
			word := c.text("ResourceType")
			kind, all, err := of.kind(word)
			if err != nil {
				return nil, err
			}
			wanted := c.texts("ResourceId")
			pairs, _ := c.Values["Tag"].([]any)
			for _, id := range all(c) {
				tags := c.tags(id, "Key", "Value")
				if len(wanted) > 0 && !slices.Contains(wanted, id) || !hasTags(wire.M{"Tags": tags}, pairs) {
					continue
				}
				for _, t := range tags {
					out = append(out, wire.M{"ResourceId": id, "ResourceType": kind, "TagKey": t["Key"],
						"TagValue": t["Value"]})
				}
			}
			return out, nil
		}})
}

// tagged is the answer, a job where the API has jobs.
func tagged(c *call) wire.M {
	if c.Service.Operations[c.Action].Output.Member("JobId") == nil {
		return nil
	}
	return balancing{c}.job(nil)
}

// mostTagged is how many objects a call can give tags.
const mostTagged = 50
