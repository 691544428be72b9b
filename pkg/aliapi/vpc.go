package aliapi

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// VPC API 2016-04-28, Describe operations, PageSize.
const usualSize, mostSize = 10, 50

func vpcRows(a *adder) {
	op(a, "CreateVpc", createVpc)
	op(a, "DeleteVpc", deleteVpc, "ForceDelete", "a lab's VPC has no service of the cloud's that could be left in it")
	op(a, "ModifyVpcAttribute", func(c network, in struct{ VpcId, VpcName, Description string }) (wire.M, error) {
		if _, err := c.vpc(in.VpcId); err != nil || c.Dry {
			return nil, err
		}
		c.rename(in.VpcId, in.VpcName, in.Description)
		return nil, nil
	})
	op(a, "DescribeVpcAttribute", func(c network, in struct{ VpcId string }) (wire.M, error) {
		vpc, err := c.vpc(in.VpcId)
		if err != nil {
			return nil, err
		}
		return c.only(c.viewVPC(vpc)), nil
	}, "IsDefault", "a lab has no default VPC")
	op(a, "AssociateVpcCidrBlock", func(c network, in struct{ VpcId, SecondaryCidrBlock string }) (wire.M, error) {
		vpc, err := c.vpc(in.VpcId)
		if err != nil {
			return nil, err
		}
		err = c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "secondary_cidrs", topology.AtEnd),
			Value: text(in.SecondaryCidrBlock)})
		return nil, coded(err, topology.Invalid, "InvalidSecondaryCidrBlock")
	}, "IpVersion", "a block that is associated by the API is of IPv4")
	op(a, "UnassociateVpcCidrBlock", func(c network, in struct{ VpcId, SecondaryCidrBlock string }) (wire.M, error) {
		vpc, err := c.vpc(in.VpcId)
		if err != nil {
			return nil, err
		}
		err = c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "secondary_cidrs", "="+in.SecondaryCidrBlock)})
		return nil, coded(err, topology.Invalid, "InvalidSecondaryCidrBlock.InUse")
	})
	op(a, "CreateVSwitch", createVSwitch)
	op(a, "DeleteVSwitch", deleteVSwitch)
	op(a, "ModifyVSwitchAttribute", func(c network, in struct{ VSwitchId, VSwitchName, Description string }) (wire.M,
		error) {
		if _, _, err := c.vSwitch(in.VSwitchId); err != nil || c.Dry {
			return nil, err
		}
		c.rename(in.VSwitchId, in.VSwitchName, in.Description)
		return nil, nil
	})
	op(a, "DescribeVSwitchAttributes", func(c network, in struct{ VSwitchId string }) (wire.M, error) {
		vpc, s, err := c.vSwitch(in.VSwitchId)
		if err != nil {
			return nil, err
		}
		return c.only(c.viewVSwitch(vpc, s)), nil
	})
	vpcLists(a)
	natRows(a)
	regionRows(a, "vpc", func(_ *call, zone string) wire.M { return wire.M{"ZoneId": zone, "LocalName": zone} },
		"AcceptLanguage ZoneType", "the zones of a lab have one name")
	of := func(ids func(c *call, v *topology.VPC) []string) func(c *call) []string {
		return func(c *call) (out []string) {
			for _, v := range c.OwnVPCs() {
				out = append(out, ids(c, v)...)
			}
			return out
		}
	}
	tagRows(a, "UnTagResources", taggable{
		"VPC": of(func(_ *call, v *topology.VPC) []string { return []string{v.ID} }),
		"VSWITCH": of(func(_ *call, v *topology.VPC) (out []string) {
			for _, s := range v.Subnets {
				out = append(out, s.ID)
			}
			return out
		}),
		"ROUTETABLE": of(func(c *call, v *topology.VPC) []string { return []string{c.routeTable(v)} }),
		"NATGATEWAY": func(c *call) (out []string) {
			for _, g := range c.Plan.NATGateways {
				if g.Account == c.Account.Name {
					out = append(out, g.ID)
				}
			}
			return out
		},
	})
}

func vpcLists(a *adder) {
	list(a, listing{name: "DescribeVpcs", answer: "Vpcs.Vpc", usual: usualSize, most: mostSize,
		filters: map[string]filter{"VpcId": among("VpcId"), "VpcName": is("VpcName"), "IsDefault": is("IsDefault"),
			"ResourceGroupId": is("ResourceGroupId"), "VpcOwnerId": is("OwnerId")},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				out = append(out, c.viewVPC(v))
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeVSwitches", answer: "VSwitches.VSwitch", usual: usualSize, most: mostSize,
		filters: map[string]filter{"VSwitchId": among("VSwitchId"), "VSwitchName": is("VSwitchName"),
			"VpcId": is("VpcId"), "ZoneId": is("ZoneId"), "IsDefault": is("IsDefault"),
			"ResourceGroupId": is("ResourceGroupId"), "VSwitchOwnerId": is("OwnerId"),
			"RouteTableId": is("RouteTable.RouteTableId")},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for i := range v.Subnets {
					out = append(out, c.viewVSwitch(v, &v.Subnets[i]))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeRouteTableList", answer: "RouterTableList.RouterTableListType", usual: usualSize,
		most: mostSize,
		filters: map[string]filter{"VpcId": is("VpcId"), "RouteTableId": is("RouteTableId"), "RouterId": is("RouterId"),
			"RouterType": is("RouterType"), "RouteTableType": is("RouteTableType"), "RouteTableName": is("RouteTableName"),
			"ResourceGroupId": is("ResourceGroupId")},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				id := c.routeTable(v)
				out = append(out, wire.M{"RouteTableId": id, "RouteTableType": "System", "RouterId": c.router(v),
					"RouterType": "VRouter", "VpcId": v.ID, "Status": "Available", "AssociateType": "VSwitch",
					"RouteTableName": "", "Description": "", "CreationTime": c.CreatedAt(v.ID), "OwnerId": c.ownNumber(),
					"ResourceGroupId": c.resourceGroup(v.ID), "VSwitchIds": wire.M{"VSwitchId": vSwitchIDs(v)},
					"Tags": wire.M{"Tag": c.tags(id, "Key", "Value")}})
			}
			return out, nil
		}})
}

// A VPC of a lab has one router with one table, which nobody can change.
func (c *call) routeTable(v *topology.VPC) string { return c.Plan.NewID("vtb", v.Name) }
func (c *call) router(v *topology.VPC) string     { return c.Plan.NewID("vrt", v.Name) }

func (c *call) ownNumber() int64 {
	n, _ := strconv.ParseInt(c.Account.ID, 10, 64)
	return n
}

// rename changes what clients call an object; "" changes nothing.
func (c *call) rename(id, name, description string) {
	if c.Dry {
		return
	}
	c.Change(id, func(t *cloudapi.Thing) {
		if name != "" {
			t.Notes["name"] = name
		}
		if description != "" {
			t.Notes["description"] = description
		}
	})
}

func vSwitchIDs(v *topology.VPC) []string {
	out := []string{}
	for _, s := range v.Subnets {
		out = append(out, s.ID)
	}
	return out
}

// availableWord is the state of what is there at once, or on its way.
func (c *call) availableWord(id string) string {
	if c.OnTheWay(id) {
		return "Pending"
	}
	return "Available"
}

func (c network) viewVPC(v *topology.VPC) wire.M {
	gateways, secondary := []string{}, []string{}
	for _, g := range c.Plan.NATGateways {
		if g.VPC == v.Name {
			gateways = append(gateways, g.ID)
		}
	}
	for _, block := range v.SecondaryCIDRs {
		secondary = append(secondary, block.String())
	}
	m := wire.M{
		"VpcId": v.ID, "VpcName": c.name(v.ID, v.Name), "Description": c.Record.Note(v.ID, "description"),
		"CidrBlock": v.CIDR, "Status": c.availableWord(v.ID), "RegionId": c.Plan.Region, "IsDefault": false,
		"CreationTime": c.CreatedAt(v.ID), "OwnerId": c.ownNumber(), "ResourceGroupId": c.resourceGroup(v.ID),
		"VRouterId": c.router(v), "RouterTableIds": wire.M{"RouterTableIds": []string{c.routeTable(v)}},
		"NatGatewayIds": wire.M{"NatGatewayIds": gateways}, "VSwitchIds": wire.M{"VSwitchId": vSwitchIDs(v)},
		"SecondaryCidrBlocks": wire.M{"SecondaryCidrBlock": secondary}, "UserCidrs": wire.M{"UserCidr": []string{}},
		"EnabledIpv6": v.IPv6CIDR.IsValid(), "Ipv6CidrBlock": "", "Tags": wire.M{"Tag": c.tags(v.ID, "Key", "Value")},
	}
	if v.IPv6CIDR.IsValid() {
		m["Ipv6CidrBlock"] = v.IPv6CIDR
	}
	return m
}

func createVpc(c network, in struct {
	CidrBlock, VpcName, Description, ResourceGroupId string
	Tag                                              []tag
}) (wire.M, error) {
	if in.CidrBlock == "" {
		in.CidrBlock = "172.16.0.0/12" // VPC API 2016-04-28, CreateVpc, CidrBlock
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	id := c.NewID("vpc")
	v := value{"account": c.Account.Name, "cidr": in.CidrBlock}
	if err := c.Edit(topology.Edit{Path: path("vpcs", id), Value: text(v), New: true}); err != nil {
		return nil, coded(err, topology.Invalid, "InvalidCidrBlock.Malformed")
	}
	c.Created(id, tags, map[string]string{"name": in.VpcName, "description": in.Description,
		"resource group": in.ResourceGroupId})
	vpc, err := c.vpc(id)
	if err != nil {
		return nil, err
	}
	return wire.M{"VpcId": id, "VRouterId": c.router(vpc), "RouteTableId": c.routeTable(vpc),
		"ResourceGroupId": c.resourceGroup(id)}, nil
}

func deleteVpc(c network, in struct{ VpcId string }) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	for _, row := range []struct {
		n          int
		code, what string
	}{
		{len(vpc.Subnets), "DependencyViolation.VSwitch", "vSwitches"},
		{len(vpc.SecurityGroups), "DependencyViolation.SecurityGroup", "security groups"},
	} {
		if row.n > 0 {
			return nil, wire.Errorf(row.code, "The VPC %q still has %d %s.", vpc.ID, row.n, row.what)
		}
	}
	if err := c.Edit(topology.Edit{Path: path("vpcs", vpc.Name)}); err != nil {
		return nil, coded(err, topology.InUse, "DependencyViolation")
	}
	c.Forget(vpc.ID)
	return nil, nil
}

func (c network) viewVSwitch(v *topology.VPC, s *topology.Subnet) wire.M {
	used := 0
	for _, e := range c.enis() {
		if e.subnet.ID == s.ID {
			used++
		}
	}
	reserved := c.Plan.Profile.LowReserve + c.Plan.Profile.TopReserve
	m := wire.M{
		"VSwitchId": s.ID, "VSwitchName": c.name(s.ID, s.Name), "Description": c.Record.Note(s.ID, "description"),
		"VpcId": v.ID, "ZoneId": s.Zone, "CidrBlock": s.CIDR, "Status": c.availableWord(s.ID), "IsDefault": false,
		"AvailableIpAddressCount": 1<<(32-s.CIDR.Bits()) - reserved - used, "CreationTime": c.CreatedAt(s.ID),
		"OwnerId": c.ownNumber(), "ResourceGroupId": c.resourceGroup(s.ID), "EnabledIpv6": s.IPv6CIDR.IsValid(),
		"Ipv6CidrBlock": "", "RouteTable": wire.M{"RouteTableId": c.routeTable(v), "RouteTableType": "System"},
		"Tags": wire.M{"Tag": c.tags(s.ID, "Key", "Value")},
	}
	if s.IPv6CIDR.IsValid() {
		m["Ipv6CidrBlock"] = s.IPv6CIDR
	}
	return m
}

func createVSwitch(c network, in struct {
	VpcId, ZoneId, CidrBlock, VSwitchName, Description string
	Tag                                                []tag
}) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	block, err := netip.ParsePrefix(in.CidrBlock)
	if err != nil || block != block.Masked() || !slices.ContainsFunc(vpc.CIDRs(), func(b netip.Prefix) bool {
		return b.Bits() <= block.Bits() && b.Contains(block.Addr())
	}) {
		return nil, wire.Errorf("InvalidCidrBlock.Malformed", "The CIDR block %q is not one of the VPC %q (%s).",
			in.CidrBlock, vpc.ID, vpc.Blocks())
	}
	for _, s := range vpc.Subnets {
		if s.CIDR.Overlaps(block) {
			return nil, wire.Errorf("InvalidCidrBlock.Overlapped", "The CIDR block %s overlaps with that of the vSwitch %q.",
				block, s.ID)
		}
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	id := c.NewID("vsw")
	v := value{"zone": in.ZoneId, "cidr": block.String()}
	if err := c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "subnets", id), Value: text(v), New: true}); err != nil {
		return nil, coded(err, topology.Invalid, "InvalidCidrBlock.Malformed")
	}
	c.Created(id, tags, map[string]string{"name": in.VSwitchName, "description": in.Description})
	return wire.M{"VSwitchId": id}, nil
}

func deleteVSwitch(c network, in struct{ VSwitchId string }) (wire.M, error) {
	vpc, s, err := c.vSwitch(in.VSwitchId)
	if err != nil {
		return nil, err
	}
	for _, e := range c.enis() {
		if e.subnet.ID == s.ID {
			return nil, wire.Errorf("DependencyViolation", "The vSwitch %q still has the network interface %s.", s.ID, e.id)
		}
	}
	if err := c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "subnets", s.Name)}); err != nil {
		return nil, coded(err, topology.InUse, "DependencyViolation")
	}
	c.Forget(s.ID)
	return nil, nil
}
