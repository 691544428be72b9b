package awsapi

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// value is a value of a topology file.
type value = cloudapi.Value

// text is the value as an edit has it.
func text(v any) string { return cloudapi.Text(v) }

// arn is a name of a resource of the caller's account.
func (c *call) arn(service, resource string) string {
	return arnOf(service, c.Plan.Region, c.Account.ID, resource)
}

func arnOf(service, region, account, resource string) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, region, account, resource)
}

// tag is a tag as EC2 has it; Elastic Load Balancing has the same.
type tag struct{ Key, Value string }

// tagSpecification are tags for what a call creates.
type tagSpecification struct {
	ResourceType string
	Tags         []tag
}

// Limits of tags (Amazon EC2 user guide, "Tag restrictions").
const (
	mostTags      = topology.MaxTags
	longestTagKey = topology.MaxTagKey
	longestTag    = topology.MaxTagValue
)

// tagsFor are the tags for an object of the first kind; there may be tags for the others.
func tagsFor(specifications []tagSpecification, kinds ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range specifications {
		if !slices.Contains(kinds, s.ResourceType) {
			return nil, wire.Errorf("InvalidParameterValue",
				"'%s' is not a valid taggable resource type for this operation.", s.ResourceType)
		}
		if s.ResourceType != kinds[0] {
			continue
		}
		more, err := tagsOf(s.Tags)
		if err != nil {
			return nil, err
		}
		maps.Copy(out, more)
	}
	return out, nil
}

func tagsOf(tags []tag) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range tags {
		switch {
		case t.Key == "" || len(t.Key) > longestTagKey || len(t.Value) > longestTag:
			return nil, wire.Errorf("InvalidParameterValue",
				"Tag key %q must have 1 to %d characters and its value at most %d", t.Key, longestTagKey, longestTag)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, wire.Errorf("InvalidParameterValue",
				"Tag keys starting with 'aws:' are reserved for internal use")
		}
		if _, twice := out[t.Key]; twice {
			return nil, wire.Errorf("InvalidParameterValue", "Tag key %q is there twice", t.Key)
		}
		out[t.Key] = t.Value
	}
	if len(out) > mostTags {
		return nil, wire.Errorf("TagLimitExceeded", "An object has at most %d tags", mostTags)
	}
	return out, nil
}

// tags are those of an object that no file has.
func (c *call) tags(id string) []wire.M { return viewTags(c.Record.Thing(id).Tags) }

// tagsWith are those of an object that a file has. The name that it has there is its Name,
// unless it has another or its name is its identifier.
func tagsWith(tags topology.Tags, id, name string) []wire.M {
	if _, has := tags[topology.NameTag]; !has && name != "" && name != id {
		tags = maps.Clone(tags)
		if tags == nil {
			tags = topology.Tags{}
		}
		tags[topology.NameTag] = name
	}
	return viewTags(tags)
}

func viewTags(tags map[string]string) []wire.M {
	out := []wire.M{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, wire.M{"Key": key, "Value": tags[key]})
	}
	return out
}

// withTags is the value of an object with its tags.
func withTags(v value, tags map[string]string) value {
	if len(tags) > 0 {
		v["tags"] = tags
	}
	return v
}

func (c *call) vpc(id string) (*topology.VPC, error) {
	for _, v := range c.OwnVPCs() {
		if v.ID == id {
			return v, nil
		}
	}
	return nil, wire.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

func (c *call) subnet(id string) (*topology.VPC, *topology.Subnet, error) {
	for _, v := range c.OwnVPCs() {
		for i := range v.Subnets {
			if v.Subnets[i].ID == id {
				return v, &v.Subnets[i], nil
			}
		}
	}
	return nil, nil, wire.Errorf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
}

func (c *call) group(id string) (*topology.VPC, *topology.SecurityGroup, error) {
	for _, v := range c.OwnVPCs() {
		for i := range v.SecurityGroups {
			if v.SecurityGroups[i].ID == id {
				return v, &v.SecurityGroups[i], nil
			}
		}
	}
	return nil, nil, wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

// groupNames are the names of a VPC's groups with these identifiers.
func (c *call) groupNames(vpc *topology.VPC, ids []string) ([]string, error) {
	var names []string
	for _, id := range ids {
		of, g, err := c.group(id)
		if err != nil {
			return nil, err
		}
		if of.Name != vpc.Name {
			return nil, wire.Errorf("InvalidParameter", "Security group %s and subnet belong to different networks.",
				id)
		}
		if !slices.Contains(names, g.Name) {
			names = append(names, g.Name)
		}
	}
	return names, nil
}

func (c *call) instance(id string) (*topology.VPC, *topology.Instance, error) {
	for _, v := range c.OwnVPCs() {
		for i := range v.Instances {
			if v.Instances[i].ID == id {
				return v, &v.Instances[i], nil
			}
		}
	}
	return nil, nil, wire.Errorf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}

// groupName is what clients call a group: a name of theirs, or that of the file.
func (c *call) groupName(g *topology.SecurityGroup) string {
	if name := c.Record.Note(g.ID, "name"); name != "" {
		return name
	}
	return g.Name
}

// identifiers are groups of a VPC as clients see them in other objects.
func (c *call) identifiers(vpc *topology.VPC, names []string) []wire.M {
	out := []wire.M{}
	for _, name := range names {
		if g, err := vpc.SecurityGroup(name); err == nil {
			out = append(out, wire.M{"GroupId": g.ID, "GroupName": c.groupName(g)})
		}
	}
	return out
}

// eni is a network interface of an instance, a load balancer or an endpoint.
type eni struct {
	id, description, kind string
	vpc                   *topology.VPC
	subnet                *topology.Subnet
	ip, ipv6              netip.Addr
	mac                   fmt.Stringer
	groups                []string
	instance              *topology.Instance
	owner                 string // id of what it belongs to
	requester             bool   // a service made it for its own use
	created               time.Time
}

func instanceENI(plan *topology.Plan, in *topology.Instance) string {
	return plan.NewID("eni", "instance "+in.Ref())
}

// enis are the network interfaces in the caller's VPCs.
func (c *call) enis() (out []eni) {
	add := func(vpc *topology.VPC, subnet string, e eni) {
		if s, err := vpc.Subnet(subnet); err == nil {
			e.vpc, e.subnet = vpc, s
			out = append(out, e)
		}
	}
	own := map[string]*topology.VPC{}
	for _, vpc := range c.OwnVPCs() {
		own[vpc.Name] = vpc
		for i := range vpc.Instances {
			in := &vpc.Instances[i]
			add(vpc, in.Subnet, eni{id: instanceENI(c.Plan, in), kind: "interface", ip: in.IP, ipv6: in.IPv6,
				mac:    in.MAC,
				groups: in.SecurityGroups, instance: in, owner: in.ID, created: c.CreatedAt(in.ID)})
		}
	}
	for i := range c.Plan.LoadBalancers {
		l := &c.Plan.LoadBalancers[i]
		vpc := own[l.VPC]
		if vpc == nil {
			continue
		}
		kind := "network_load_balancer"
		if l.Type == topology.ALB {
			kind = "interface"
		}
		for _, n := range l.Nodes {
			mac := n.ENI.MAC
			if n.Proxy != nil {
				mac = n.Proxy.MAC
			}
			add(vpc, n.Subnet, eni{id: n.ENI.ID, description: "ELB " + l.ID, kind: kind, ip: n.IP(), ipv6: n.ENI.IPv6,
				mac: mac, groups: l.SecurityGroups, owner: l.ID, requester: true,
				created: c.CreatedAt(c.balancerARN(l))})
		}
	}
	for i := range c.Plan.Endpoints {
		e := &c.Plan.Endpoints[i]
		vpc := own[e.VPC]
		if vpc == nil || e.Absent {
			continue
		}
		for _, z := range e.Zones {
			add(vpc, z.Subnet, eni{id: z.ENI.ID, description: "VPC Endpoint Interface " + e.ID, kind: "vpc_endpoint",
				ip: z.ENI.IP, ipv6: z.ENI.IPv6, mac: z.ENI.MAC, groups: e.SecurityGroups, owner: e.ID, requester: true,
				created: c.CreatedAt(e.ID)})
		}
	}
	return out
}

// zones are the zones of the region: those of the plan, and a to c.
func (c *call) zones() []string {
	out := []string{c.Plan.Region + "a", c.Plan.Region + "b", c.Plan.Region + "c"}
	for _, v := range c.Plan.VPCs {
		for _, s := range v.Subnets {
			if !slices.Contains(out, s.Zone) {
				out = append(out, s.Zone)
			}
		}
	}
	slices.Sort(out)
	return out
}

func unless(skip bool, v any) any {
	if skip {
		return nil
	}
	return v
}
