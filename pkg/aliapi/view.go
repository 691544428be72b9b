package aliapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// value is a value of a topology file.
type value = cloudapi.Value

// text is the value as an edit has it.
func text(v any) string { return cloudapi.Text(v) }

// path is a place in a topology file.
func path(parts ...string) string { return topology.JoinPath(parts...) }

// snapshot is the state of the control plane, with its plan as the call's.
func (c *call) snapshot() control.Snapshot {
	state := c.Lab.Plane().State()
	c.Plan = state.Plan
	return state
}

// only keeps the members of an object that the answer of the operation has.
func (c *call) only(m wire.M) wire.M {
	out := wire.M{}
	for name, value := range m {
		if c.Service.Operations[c.Action].Output.Member(name) != nil {
			out[name] = value
		}
	}
	return out
}

func (c *call) vpc(id string) (*topology.VPC, error) {
	for _, v := range c.OwnVPCs() {
		if v.ID == id {
			return v, nil
		}
	}
	return nil, notFound("InvalidVpcID.NotFound", "The specified VPC %q does not exist.", id)
}

func (c *call) vSwitch(id string) (*topology.VPC, *topology.Subnet, error) {
	for _, v := range c.OwnVPCs() {
		for i := range v.Subnets {
			if v.Subnets[i].ID == id {
				return v, &v.Subnets[i], nil
			}
		}
	}
	return nil, nil, notFound("InvalidVSwitchId.NotFound", "The specified vSwitch %q does not exist.", id)
}

func (c *call) group(id string) (*topology.VPC, *topology.SecurityGroup, error) {
	for _, v := range c.OwnVPCs() {
		for i := range v.SecurityGroups {
			if v.SecurityGroups[i].ID == id {
				return v, &v.SecurityGroups[i], nil
			}
		}
	}
	return nil, nil, notFound("InvalidSecurityGroupId.NotFound", "The specified security group %q does not exist.", id)
}

// groupNames are the names of a VPC's groups with these identifiers.
func (c *call) groupNames(vpc *topology.VPC, ids []string) (names []string, _ error) {
	for _, id := range ids {
		of, g, err := c.group(id)
		if err != nil {
			return nil, err
		}
		if of.Name != vpc.Name {
			return nil, wire.Errorf("InvalidSecurityGroup.VpcMismatch",
				"The security group %q is not in the VPC %q.", id, vpc.ID)
		}
		if !slices.Contains(names, g.Name) {
			names = append(names, g.Name)
		}
	}
	return names, nil
}

// groupIDs are the identifiers of a VPC's groups.
func groupIDs(vpc *topology.VPC, names []string) []string {
	out := []string{}
	for _, name := range names {
		if g, err := vpc.SecurityGroup(name); err == nil {
			out = append(out, g.ID)
		}
	}
	return out
}

// zones are the zones of the region: those of the plan, and the first three. In China a dash
// is before a zone's letter (ECS API 2014-05-26, DescribeZones).
func (c *call) zones() []string {
	letter := c.Plan.Region
	if last := letter[len(letter)-1]; last < '0' || last > '9' {
		letter += "-"
	}
	out := []string{letter + "a", letter + "b", letter + "c"}
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

// resourceGroup is the group that an object is in, the account's default one unless it was
// said otherwise.
func (c *call) resourceGroup(id string) string {
	if group := c.Record.Note(id, "resource group"); group != "" {
		return group
	}
	return c.defaultGroup()
}

func (c *call) defaultGroup() string { return c.Plan.NewID("rg", "default "+c.Account.Name) }

// kinds are the clouds' words for the types of what a service offers (PrivateLink API
// 2020-04-15, CreateVpcEndpointService, ServiceResourceType; vpcNat is in the documentation
// of aliyun/terraform-provider-alicloud, n_a_t_gateway_full_nat).
var kinds = []struct{ ofFile, word string }{
	{string(topology.CLB), "slb"}, {string(topology.NLB), "nlb"}, {string(topology.ALB), "alb"},
	{topology.GatewayResource, "vpcNat"},
}

// kindWord is the word for a type of a file.
func kindWord(ofFile string) string {
	for _, k := range kinds {
		if k.ofFile == ofFile {
			return k.word
		}
	}
	return "slb"
}

// kindOf is the type of a file for a word, "" where there is none.
func kindOf(word string) string {
	for _, k := range kinds {
		if strings.EqualFold(k.word, word) {
			return k.ofFile
		}
	}
	return ""
}

// regionRows adds DescribeRegions and DescribeZones of a product.
func regionRows(a *adder, product string, zone func(c *call, zone string) wire.M, ignored ...string) {
	regions := []string{}
	for _, name := range []string{"AcceptLanguage", "InstanceChargeType", "ResourceType", "ProductType",
		"ServiceResourceType"} {
		if a.service.Operations["DescribeRegions"].Input.Member(name) != nil {
			regions = append(regions, name)
		}
	}
	var why []string
	if len(regions) > 0 {
		why = []string{strings.Join(regions, " "), "a lab is one region, which has everything"}
	}
	op(a, "DescribeRegions", func(c *call, _ struct{}) (wire.M, error) {
		endpoint := product + "." + c.Plan.Region + ".aliyuncs.com"
		m := wire.M{"RegionId": c.Plan.Region, "LocalName": c.Plan.Region, "RegionEndpoint": endpoint}
		return nest(c, "Regions", "Region", []wire.M{m}), nil
	}, why...).anywhere = true
	op(a, "DescribeZones", func(c *call, _ struct{}) (wire.M, error) {
		out := []wire.M{}
		for _, z := range c.zones() {
			out = append(out, zone(c, z))
		}
		return nest(c, "Zones", "Zone", out), nil
	}, ignored...)
}

// nest is a list as an API has it: as it is, or in an object of its own.
func nest(c *call, outer, inner string, all []wire.M) wire.M {
	if c.Service.Operations[c.Action].Output.Member(outer).Shape.Kind == wire.List {
		return wire.M{outer: all}
	}
	return wire.M{outer: wire.M{inner: all}}
}

// eni is a network interface of an instance, a load balancer, a NAT gateway or an endpoint.
type eni struct {
	id, description string
	vpc             *topology.VPC
	subnet          *topology.Subnet
	ip              netip.Addr
	mac             fmt.Stringer
	groups          []string
	instance        *topology.Instance // nil of the others
	owner           string             // identifier of what it belongs to
}

// enis are the network interfaces in the caller's VPCs.
func (c *call) enis() (out []eni) {
	own := map[string]*topology.VPC{}
	for _, vpc := range c.OwnVPCs() {
		own[vpc.Name] = vpc
	}
	add := func(of, subnet string, e eni) {
		vpc := own[of]
		if vpc == nil {
			return
		}
		if s, err := vpc.Subnet(subnet); err == nil {
			e.vpc, e.subnet = vpc, s
			out = append(out, e)
		}
	}
	for _, vpc := range own {
		for i := range vpc.Instances {
			in := &vpc.Instances[i]
			add(vpc.Name, in.Subnet, eni{id: c.Plan.NewID("eni", "instance "+in.Ref()), ip: in.IP, mac: in.MAC,
				groups: in.SecurityGroups, instance: in, owner: in.ID})
		}
	}
	for i := range c.Plan.LoadBalancers {
		l := &c.Plan.LoadBalancers[i]
		for _, n := range l.Nodes {
			add(l.VPC, n.Subnet, eni{id: n.ENI.ID, description: "load balancer " + l.ID, ip: n.IP(), mac: n.ENI.MAC,
				owner: l.ID})
		}
	}
	for i := range c.Plan.NATGateways {
		g := &c.Plan.NATGateways[i]
		add(g.VPC, g.Subnet, eni{id: g.ENI.ID, description: "NAT gateway " + g.ID, ip: g.ENI.IP, mac: g.ENI.MAC, owner: g.ID})
	}
	for i := range c.Plan.Endpoints {
		e := &c.Plan.Endpoints[i]
		for _, z := range e.Zones {
			if !e.Absent {
				add(e.VPC, z.Subnet, eni{id: z.ENI.ID, description: "endpoint " + e.ID, ip: z.ENI.IP, mac: z.ENI.MAC,
					groups: e.SecurityGroups, owner: e.ID})
			}
		}
	}
	slices.SortFunc(out, func(a, b eni) int { return strings.Compare(a.id, b.id) })
	return out
}
