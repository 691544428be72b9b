package awsapi

import (
	"net/netip"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// boolean is a value in a structure of its own, as EC2 has it.
type boolean struct{ Value bool }

func vpcRows(a *adder) {
	op(a, "CreateVpc", createVpc,
		"InstanceTenancy", "a lab has no hardware that could be dedicated")
	op(a, "DeleteVpc", deleteVpc)
	op(a, "ModifyVpcAttribute", modifyVpcAttribute)
	op(a, "DescribeVpcAttribute", describeVpcAttribute)
	op(a, "AssociateVpcCidrBlock", associateVpcCidrBlock)
	op(a, "DisassociateVpcCidrBlock", disassociateVpcCidrBlock)
	list(a, listing{name: "DescribeVpcs", answer: "Vpcs", ids: "VpcIds", id: "VpcId",
		missing: "InvalidVpcID.NotFound", text: "The vpc ID '%s' does not exist",
		filters: map[string]string{
			"vpc-id": "VpcId", "cidr": "CidrBlock", "cidr-block": "CidrBlock", "state": "State", "owner-id": "OwnerId",
			"is-default": "IsDefault", "isDefault": "IsDefault", "dhcp-options-id": "DhcpOptionsId",
			"cidr-block-association.cidr-block":           "CidrBlockAssociationSet.CidrBlock",
			"cidr-block-association.association-id":       "CidrBlockAssociationSet.AssociationId",
			"cidr-block-association.state":                "CidrBlockAssociationSet.CidrBlockState.State",
			"ipv6-cidr-block-association.ipv6-cidr-block": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock",
			"ipv6-cidr-block-association.association-id":  "Ipv6CidrBlockAssociationSet.AssociationId",
			"ipv6-cidr-block-association.state":           "Ipv6CidrBlockAssociationSet.Ipv6CidrBlockState.State",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				out = append(out, c.viewVPC(v))
			}
			return out, nil
		}})
}

func (c network) dhcpOptionsID() string { return c.Plan.NewID("dopt", c.Account.Name) }

func (c network) viewVPC(v *topology.VPC) wire.M {
	blocks := []wire.M{}
	for _, block := range v.CIDRs() {
		blocks = append(blocks, c.viewBlock(v, block))
	}
	state := "available"
	if c.OnTheWay(v.ID) {
		state = "pending"
	}
	m := wire.M{
		"VpcId": v.ID, "CidrBlock": v.CIDR, "State": state, "OwnerId": c.Account.ID, "InstanceTenancy": "default",
		"IsDefault": false, "DhcpOptionsId": c.dhcpOptionsID(), "CidrBlockAssociationSet": blocks,
		"Tags": tagsWith(v.Tags, v.ID, v.Name),
	}
	if v.IPv6CIDR.IsValid() {
		m["Ipv6CidrBlockAssociationSet"] = []wire.M{c.viewIPv6Block(v)}
	}
	return m
}

func (c network) viewBlock(v *topology.VPC, block netip.Prefix) wire.M {
	return wire.M{
		"AssociationId": c.Plan.NewID("vpc-cidr-assoc", v.Name+" "+block.String()), "CidrBlock": block,
		"CidrBlockState": wire.M{"State": "associated"},
	}
}

func (c network) viewIPv6Block(v *topology.VPC) wire.M {
	return wire.M{
		"AssociationId": c.Plan.NewID("vpc-cidr-assoc", v.Name+" "+v.IPv6CIDR.String()), "Ipv6CidrBlock": v.IPv6CIDR,
		"Ipv6CidrBlockState": wire.M{"State": "associated"}, "NetworkBorderGroup": c.Plan.Region,
		"Ipv6Pool": "Amazon",
	}
}

// blockOf reads a block, which EC2 makes canonical.
func blockOf(text, parameter string) (netip.Prefix, error) {
	block, err := netip.ParsePrefix(text)
	if err != nil {
		return block, wire.Errorf("InvalidParameterValue",
			"Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", text, parameter)
	}
	return block.Masked(), nil
}

type createVpcIn struct {
	CidrBlock                   string
	AmazonProvidedIpv6CidrBlock bool
	TagSpecifications           []tagSpecification
}

func createVpc(c network, in createVpcIn) (wire.M, error) {
	block, err := blockOf(in.CidrBlock, "cidrBlock")
	if in.CidrBlock == "" {
		err = wire.Errorf("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
	}
	if err != nil {
		return nil, err
	}
	if limits := c.Plan.Profile.Limits; !block.Addr().Is4() || block.Bits() < limits.VPCWidest ||
		block.Bits() > limits.VPCNarrowest {
		return nil, wire.Errorf("InvalidVpc.Range", "The CIDR '%s' is invalid.", in.CidrBlock)
	}
	tags, err := tagsFor(in.TagSpecifications, "vpc")
	if err != nil {
		return nil, err
	}
	id := c.NewID("vpc")
	v := withTags(value{"account": c.Account.Name, "cidr": block.String()}, tags)
	if in.AmazonProvidedIpv6CidrBlock {
		v["ipv6_cidr"] = ipv6BlockFor(id).String()
	}
	if err := c.Edit(topology.Edit{Path: "vpcs/" + id, Value: text(v), New: true}); err != nil {
		return nil, err
	}
	c.Created(id, nil, nil)
	vpc, err := c.vpc(id)
	if err != nil {
		return nil, err
	}
	return wire.M{"Vpc": c.viewVPC(vpc)}, nil
}

// ipv6BlockFor is a block for a VPC out of 2001:db8::/32, which no host of the world has
// (RFC 3849).
func ipv6BlockFor(id string) netip.Prefix {
	digits := derive.Text("ipv6 block "+id, 6, "0123456789abcdef")
	return netip.MustParsePrefix("2001:db8:" + digits[:4] + ":" + digits[4:] + "00::/56")
}

func deleteVpc(c network, in struct{ VpcId string }) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	inUse := wire.Errorf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", vpc.ID)
	groups := 0
	for _, g := range vpc.SecurityGroups {
		if g.Name != topology.DefaultGroup {
			groups++
		}
	}
	if len(vpc.Subnets)+len(vpc.Instances)+groups > 0 {
		return nil, inUse
	}
	if err := c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name)}); err != nil {
		return nil, conflictOf(err, inUseIs("DependencyViolation"), "%s", inUse.Message)
	}
	c.Forget(vpc.ID)
	return nil, nil
}

// inUseIs is for conflictOf.
func inUseIs(code string) map[topology.Refusal]string {
	return map[topology.Refusal]string{topology.InUse: code}
}

func modifyVpcAttribute(c network, in struct {
	VpcId                                string
	EnableDnsSupport, EnableDnsHostnames *boolean
	EnableNetworkAddressUsageMetrics     *boolean
}) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	sent := 0
	var edits []topology.Edit
	set := func(key string, b *boolean) {
		if b != nil {
			sent++
			edits = append(edits, topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, key), Value: text(b.Value)})
		}
	}
	set("dns_support", in.EnableDnsSupport)
	set("dns_hostnames", in.EnableDnsHostnames)
	if m := in.EnableNetworkAddressUsageMetrics; m != nil {
		sent++
		if m.Value {
			return nil, wire.Errorf("UnsupportedOperation", "plinksim has no network address usage metrics")
		}
	}
	if sent != 1 {
		return nil, wire.Errorf("InvalidParameterCombination", "Exactly one attribute may be modified in a call.")
	}
	return nil, c.Edit(edits...)
}

func describeVpcAttribute(c network, in struct{ VpcId, Attribute string }) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	values := map[string]bool{
		"EnableDnsSupport": len(vpc.Resolvers) > 0, "EnableDnsHostnames": vpc.DNSHostnames,
		"EnableNetworkAddressUsageMetrics": false,
	}
	name := strings.ToUpper(in.Attribute[:1]) + in.Attribute[1:]
	return wire.M{"VpcId": vpc.ID, name: wire.M{"Value": values[name]}}, nil
}

func associateVpcCidrBlock(c network, in struct {
	VpcId, CidrBlock            string
	AmazonProvidedIpv6CidrBlock bool
}) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	defer c.Locks.Hold("vpc " + vpc.Name)()
	if in.AmazonProvidedIpv6CidrBlock == (in.CidrBlock != "") {
		return nil, wire.Errorf("InvalidParameterCombination", "One CIDR block must be associated in a call.")
	}
	if in.AmazonProvidedIpv6CidrBlock {
		if vpc.IPv6CIDR.IsValid() {
			return nil, wire.Errorf("CidrLimitExceeded",
				"The vpc '%s' has an IPv6 block already, and a lab's has one", vpc.ID)
		}
		block := ipv6BlockFor(vpc.ID)
		if err := c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "ipv6_cidr"),
			Value: text(block.String())}); err != nil {
			return nil, err
		}
		if vpc, err = c.vpc(in.VpcId); err != nil {
			return nil, err
		}
		return wire.M{"VpcId": vpc.ID, "Ipv6CidrBlockAssociation": c.viewIPv6Block(vpc)}, nil
	}
	block, err := blockOf(in.CidrBlock, "cidrBlock")
	if err != nil {
		return nil, err
	}
	if vpc.Overlaps(block) {
		return nil, wire.Errorf("InvalidVpc.Range", "The CIDR '%s' overlaps with a block of the vpc.", in.CidrBlock)
	}
	err = c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "secondary_cidrs", topology.AtEnd),
		Value: text(block.String())})
	if err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidVpc.Range"},
			"The CIDR '%s' is invalid", in.CidrBlock)
	}
	return wire.M{"VpcId": vpc.ID, "CidrBlockAssociation": c.viewBlock(vpc, block)}, nil
}

func disassociateVpcCidrBlock(c network, in struct{ AssociationId string }) (wire.M, error) {
	for _, vpc := range c.OwnVPCs() {
		if vpc.IPv6CIDR.IsValid() && c.viewIPv6Block(vpc)["AssociationId"] == in.AssociationId {
			view := c.viewIPv6Block(vpc)
			view["Ipv6CidrBlockState"] = wire.M{"State": "disassociating"}
			err := c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "ipv6_cidr")})
			return wire.M{"VpcId": vpc.ID, "Ipv6CidrBlockAssociation": view}, conflictOf(err,
				invalidIs("InvalidCidrBlock.InUse"),
				"The vpc has a subnet that uses the block")
		}
		for _, block := range vpc.CIDRs() {
			view := c.viewBlock(vpc, block)
			if view["AssociationId"] != in.AssociationId {
				continue
			}
			if block == vpc.CIDR {
				return nil, wire.Errorf("OperationNotPermitted",
					"The vpc CIDR block with association ID %s may not be disassociated. It is the primary IPv4 CIDR block of the VPC",
					in.AssociationId)
			}
			view["CidrBlockState"] = wire.M{"State": "disassociating"}
			err := c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "secondary_cidrs",
				"="+block.String())})
			return wire.M{"VpcId": vpc.ID, "CidrBlockAssociation": view},
				conflictOf(err, invalidIs("InvalidCidrBlock.InUse"), "The vpc has a subnet that uses the block")
		}
	}
	return nil, wire.Errorf("InvalidVpcCidrBlockAssociationIdError.NotFound",
		"The vpc CIDR block association ID '%s' does not exist", in.AssociationId)
}

// invalidIs is for conflictOf, where the lab finds what is left without what is taken away
// invalid.
func invalidIs(code string) map[topology.Refusal]string {
	return map[topology.Refusal]string{topology.Invalid: code, topology.InUse: code}
}
