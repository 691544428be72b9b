package awsapi

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func subnetRows(a *adder) {
	op(a, "CreateSubnet", createSubnet)
	op(a, "DeleteSubnet", deleteSubnet)
	op(a, "ModifySubnetAttribute", modifySubnetAttribute,
		"MapPublicIpOnLaunch", "a lab has no public addresses",
		"EnableResourceNameDnsARecordOnLaunch EnableResourceNameDnsAAAARecordOnLaunch PrivateDnsHostnameTypeOnLaunch",
		"an instance has one name in a lab")
	list(a, listing{name: "DescribeSubnets", answer: "Subnets", ids: "SubnetIds", id: "SubnetId",
		missing: "InvalidSubnetID.NotFound", text: "The subnet ID '%s' does not exist",
		filters: map[string]string{
			"subnet-id": "SubnetId", "vpc-id": "VpcId", "availability-zone": "AvailabilityZone",
			"availabilityZone":     "AvailabilityZone",
			"availability-zone-id": "AvailabilityZoneId", "cidr-block": "CidrBlock", "cidr": "CidrBlock",
			"cidrBlock": "CidrBlock",
			"state":     "State", "owner-id": "OwnerId", "default-for-az": "DefaultForAz", "defaultForAz": "DefaultForAz",
			"map-public-ip-on-launch": "MapPublicIpOnLaunch", "subnet-arn": "SubnetArn",
			"ipv6-cidr-block-association.ipv6-cidr-block": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock",
			"ipv6-cidr-block-association.association-id":  "Ipv6CidrBlockAssociationSet.AssociationId",
			"available-ip-address-count":                  "AvailableIpAddressCount",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			used := c.usedAddresses()
			for _, v := range c.OwnVPCs() {
				for i := range v.Subnets {
					out = append(out, c.viewSubnet(v, &v.Subnets[i], used[v.Subnets[i].ID]))
				}
			}
			return out, nil
		}})
}

// usedAddresses are how many addresses of each subnet are in use.
func (c network) usedAddresses() map[string]int {
	used := map[string]int{}
	for _, e := range c.enis() {
		used[e.subnet.ID]++
	}
	return used
}

func (c network) viewSubnet(v *topology.VPC, s *topology.Subnet, used int) wire.M {
	reserved := c.Plan.Profile.LowReserve + c.Plan.Profile.TopReserve
	m := wire.M{
		"SubnetId": s.ID, "VpcId": v.ID, "CidrBlock": s.CIDR, "AvailabilityZone": s.Zone,
		"AvailabilityZoneId": topology.ZoneID(c.Plan.Region, s.Zone), "State": "available", "OwnerId": c.Account.ID,
		"AvailableIpAddressCount": 1<<(32-s.CIDR.Bits()) - reserved - used, "DefaultForAz": false,
		"MapPublicIpOnLaunch": false, "AssignIpv6AddressOnCreation": s.IPv6CIDR.IsValid(), "EnableDns64": false,
		"Ipv6Native": false, "MapCustomerOwnedIpOnLaunch": false, "SubnetArn": c.arn("ec2", "subnet/"+s.ID),
		"Ipv6CidrBlockAssociationSet": []wire.M{}, "Tags": tagsWith(s.Tags, s.ID, s.Name),
		"PrivateDnsNameOptionsOnLaunch": wire.M{"HostnameType": "ip-name", "EnableResourceNameDnsARecord": false,
			"EnableResourceNameDnsAAAARecord": false},
	}
	if c.OnTheWay(s.ID) {
		m["State"] = "pending"
	}
	if s.IPv6CIDR.IsValid() {
		m["Ipv6CidrBlockAssociationSet"] = []wire.M{{
			"AssociationId": c.Plan.NewID("subnet-cidr-assoc", v.Name+" "+s.IPv6CIDR.String()),
			"Ipv6CidrBlock": s.IPv6CIDR, "Ipv6CidrBlockState": wire.M{"State": "associated"},
		}}
	}
	return m
}

type createSubnetIn struct {
	VpcId, CidrBlock, Ipv6CidrBlock      string
	AvailabilityZone, AvailabilityZoneId string
	TagSpecifications                    []tagSpecification
}

func createSubnet(c network, in createSubnetIn) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	if in.CidrBlock == "" {
		return nil, wire.Errorf("MissingParameter", "The request must contain the parameter cidrBlock")
	}
	block, err := blockOf(in.CidrBlock, "cidrBlock")
	if err != nil {
		return nil, err
	}
	limits := c.Plan.Profile.Limits
	inside := slices.ContainsFunc(vpc.CIDRs(), func(b netip.Prefix) bool {
		return b.Bits() <= block.Bits() && b.Contains(block.Addr())
	})
	if !inside || block.Bits() < limits.SubnetWidest || block.Bits() > limits.SubnetNarrowest {
		return nil, wire.Errorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", in.CidrBlock)
	}
	for _, s := range vpc.Subnets {
		if s.CIDR.Overlaps(block) {
			return nil, wire.Errorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet",
				in.CidrBlock)
		}
	}
	zone, err := c.zoneFor(in.AvailabilityZone, in.AvailabilityZoneId)
	if err != nil {
		return nil, err
	}
	tags, err := tagsFor(in.TagSpecifications, "subnet")
	if err != nil {
		return nil, err
	}
	id := c.NewID("subnet")
	v := withTags(value{"zone": zone, "cidr": block.String()}, tags)
	if in.Ipv6CidrBlock != "" {
		v["ipv6_cidr"] = in.Ipv6CidrBlock
	}
	path := topology.JoinPath("vpcs", vpc.Name, "subnets", id)
	if err := c.Edit(topology.Edit{Path: path, Value: text(v), New: true}); err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidSubnet.Conflict"},
			"The CIDR '%s' cannot be used", in.CidrBlock)
	}
	c.Created(id, nil, nil)
	vpc, s, err := c.subnet(id)
	if err != nil {
		return nil, err
	}
	return wire.M{"Subnet": c.viewSubnet(vpc, s, 0)}, nil
}

// zoneFor is the zone that a caller names, or the first.
func (c network) zoneFor(name, id string) (string, error) {
	zones := c.zones()
	for _, zone := range []string{c.Plan.Region + "d", c.Plan.Region + "e", c.Plan.Region + "f"} {
		if !slices.Contains(zones, zone) {
			zones = append(zones, zone)
		}
	}
	for _, zone := range zones {
		if zone == name || name == "" && topology.ZoneID(c.Plan.Region, zone) == id || name == "" && id == "" {
			return zone, nil
		}
	}
	return "", wire.Errorf("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can"+
		" currently only be created in the following availability zones: %s.", name+id, strings.Join(zones, ", "))
}

func deleteSubnet(c network, in struct{ SubnetId string }) (wire.M, error) {
	vpc, s, err := c.subnet(in.SubnetId)
	if err != nil {
		return nil, err
	}
	if c.usedAddresses()[s.ID] > 0 {
		return nil, wire.Errorf("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", s.ID)
	}
	if err := c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "subnets", s.Name)}); err != nil {
		return nil, conflictOf(err, inUseIs("DependencyViolation"),
			"The subnet '%s' has dependencies and cannot be deleted", s.ID)
	}
	c.Forget(s.ID)
	return nil, nil
}

func modifySubnetAttribute(c network, in struct {
	SubnetId                                 string
	AssignIpv6AddressOnCreation, EnableDns64 *boolean
}) (wire.M, error) {
	_, s, err := c.subnet(in.SubnetId)
	if err != nil {
		return nil, err
	}
	if b := in.AssignIpv6AddressOnCreation; b != nil && b.Value != s.IPv6CIDR.IsValid() {
		return nil, wire.Errorf("UnsupportedOperation",
			"What is in a subnet with an IPv6 block has IPv6 addresses in a lab, and elsewhere nothing has")
	}
	if b := in.EnableDns64; b != nil && b.Value {
		return nil, wire.Errorf("UnsupportedOperation", "plinksim has no DNS64")
	}
	if c.Dry {
		return nil, errDryRun
	}
	return nil, nil
}
