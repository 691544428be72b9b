package awsapi

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// fixedRows are what clients read on the way: what a lab has without anybody having
// created it, and what it does not have at all.
func fixedRows(a *adder) {
	list(a, listing{name: "DescribeNetworkInterfaces", answer: "NetworkInterfaces", ids: "NetworkInterfaceIds",
		id: "NetworkInterfaceId", missing: "InvalidNetworkInterfaceID.NotFound",
		text: "The networkInterface ID '%s' does not exist",
		filters: map[string]string{
			"network-interface-id": "NetworkInterfaceId", "subnet-id": "SubnetId", "vpc-id": "VpcId",
			"group-id": "Groups.GroupId", "group-name": "Groups.GroupName", "description": "Description",
			"status":                       "Status",
			"private-ip-address":           "PrivateIpAddress",
			"addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress",
			"availability-zone":            "AvailabilityZone", "attachment.instance-id": "Attachment.InstanceId",
			"attachment.attachment-id": "Attachment.AttachmentId", "attachment.status": "Attachment.Status",
			"attachment.instance-owner-id": "Attachment.InstanceOwnerId",
			"attachment.device-index":      "Attachment.DeviceIndex",
			"interface-type":               "InterfaceType", "requester-managed": "RequesterManaged", "owner-id": "OwnerId",
			"mac-address": "MacAddress", "requester-id": "RequesterId", "source-dest-check": "SourceDestCheck",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, e := range c.enis() {
				out = append(out, c.viewENI(e))
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeRouteTables", answer: "RouteTables", ids: "RouteTableIds", id: "RouteTableId",
		missing: "InvalidRouteTableID.NotFound", text: "The routeTable ID '%s' does not exist",
		filters: map[string]string{
			"route-table-id": "RouteTableId", "vpc-id": "VpcId", "association.main": "Associations.Main",
			"association.route-table-association-id": "Associations.RouteTableAssociationId",
			"association.route-table-id":             "Associations.RouteTableId",
			"association.subnet-id":                  "Associations.SubnetId", "owner-id": "OwnerId",
			"route.destination-cidr-block": "Routes.DestinationCidrBlock", "route.gateway-id": "Routes.GatewayId",
			"route.state": "Routes.State", "route.origin": "Routes.Origin",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				out = append(out, c.viewRouteTable(v))
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeNetworkAcls", answer: "NetworkAcls", ids: "NetworkAclIds", id: "NetworkAclId",
		missing: "InvalidNetworkAclID.NotFound", text: "The networkAcl ID '%s' does not exist",
		filters: map[string]string{
			"network-acl-id": "NetworkAclId", "vpc-id": "VpcId", "default": "IsDefault", "owner-id": "OwnerId",
			"association.subnet-id": "Associations.SubnetId", "association.network-acl-id": "Associations.NetworkAclId",
			"association.association-id": "Associations.NetworkAclAssociationId",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				out = append(out, c.viewNetworkACL(v))
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeVolumes", answer: "Volumes", ids: "VolumeIds", id: "VolumeId",
		missing: "InvalidVolume.NotFound", text: "The volume '%s' does not exist.",
		filters: map[string]string{
			"volume-id": "VolumeId", "attachment.instance-id": "Attachments.InstanceId",
			"attachment.device": "Attachments.Device", "status": "State", "availability-zone": "AvailabilityZone",
			"attachment.status":                "Attachments.State",
			"attachment.delete-on-termination": "Attachments.DeleteOnTermination",
		},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for i := range v.Instances {
					out = append(out, c.viewVolume(&v.Instances[i]))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeDhcpOptions", answer: "DhcpOptions", ids: "DhcpOptionsIds", id: "DhcpOptionsId",
		missing: "InvalidDhcpOptionID.NotFound", text: "The dhcpOption ID '%s' does not exist",
		filters: map[string]string{"dhcp-options-id": "DhcpOptionsId", "owner-id": "OwnerId"},
		all: func(base *call) ([]wire.M, error) {
			c := network{base}
			return []wire.M{{"DhcpOptionsId": c.dhcpOptionsID(), "OwnerId": c.Account.ID, "Tags": []wire.M{},
				"DhcpConfigurations": []wire.M{{"Key": "domain-name-servers",
					"Values": []wire.M{{"Value": "AmazonProvidedDNS"}}}}}}, nil
		}})
	imageRows(a)
	regionRows(a)
	nothingRows(a)
}

func (c network) viewENI(e eni) wire.M {
	name := topology.IPName(e.ip, c.Plan.InstanceDomain())
	m := wire.M{
		"NetworkInterfaceId": e.id, "SubnetId": e.subnet.ID, "VpcId": e.vpc.ID, "AvailabilityZone": e.subnet.Zone,
		"Description": e.description, "Groups": c.identifiers(e.vpc, e.groups), "InterfaceType": e.kind,
		"MacAddress": e.mac,
		"OwnerId":    c.Account.ID, "PrivateDnsName": name, "PrivateIpAddress": e.ip, "RequesterManaged": e.requester,
		"PrivateIpAddresses": []wire.M{{"PrivateIpAddress": e.ip, "Primary": true, "PrivateDnsName": name}},
		"Ipv6Addresses":      ipv6Addresses(e.ipv6), "SourceDestCheck": false, "Status": "in-use",
		"TagSet":      c.tags(e.id),
		"RequesterId": "plinksim",
	}
	attachment := wire.M{"AttachmentId": c.Plan.NewID("eni-attach", e.id), "AttachTime": e.created, "DeviceIndex": 1,
		"DeleteOnTermination": false, "Status": "attached", "InstanceOwnerId": "amazon-aws"}
	if in := e.instance; in != nil {
		m["SourceDestCheck"] = in.SourceCheck
		attachment = wire.M{"AttachmentId": c.Plan.NewID("eni-attach", in.Ref()), "AttachTime": e.created,
			"DeviceIndex":         0,
			"DeleteOnTermination": true, "Status": "attached", "InstanceOwnerId": c.Account.ID, "InstanceId": in.ID}
	}
	m["Attachment"] = attachment
	return m
}

func (c network) routeTableID(v *topology.VPC) string { return c.Plan.NewID("rtb", v.Name) }

func (c network) networkACLID(v *topology.VPC) string { return c.Plan.NewID("acl", v.Name) }

// viewRouteTable is the main route table: a VPC of a lab routes between its subnets,
// and to the VPCs that it has a peering with.
func (c network) viewRouteTable(v *topology.VPC) wire.M {
	id := c.routeTableID(v)
	routes := []wire.M{}
	for _, block := range v.CIDRs() {
		routes = append(routes, wire.M{"DestinationCidrBlock": block, "GatewayId": "local", "State": "active",
			"Origin": "CreateRouteTable"})
	}
	if v.IPv6CIDR.IsValid() {
		routes = append(routes, wire.M{"DestinationIpv6CidrBlock": v.IPv6CIDR, "GatewayId": "local", "State": "active",
			"Origin": "CreateRouteTable"})
	}
	for _, peer := range c.Plan.Peers(v.Name) {
		for _, block := range peer.CIDRs() {
			routes = append(routes, wire.M{"DestinationCidrBlock": block, "State": "active", "Origin": "CreateRoute",
				"VpcPeeringConnectionId": c.peeringID(v.Name, peer.Name)})
		}
	}
	return wire.M{
		"RouteTableId": id, "VpcId": v.ID, "OwnerId": c.Account.ID, "Routes": routes, "Tags": c.tags(id),
		"PropagatingVgws": []wire.M{},
		"Associations": []wire.M{{"Main": true, "RouteTableId": id,
			"RouteTableAssociationId": c.Plan.NewID("rtbassoc", v.Name),
			"AssociationState":        wire.M{"State": "associated"}}},
	}
}

func (c network) peeringID(a, b string) string { return c.Plan.NewID("pcx", min(a, b)+" "+max(a, b)) }

// viewNetworkACL lets everything pass, which a lab does.
func (c network) viewNetworkACL(v *topology.VPC) wire.M {
	id := c.networkACLID(v)
	entries, associations := []wire.M{}, []wire.M{}
	for _, egress := range []bool{true, false} {
		for _, rule := range []struct {
			number int
			action string
		}{{100, "allow"}, {32767, "deny"}} {
			entries = append(entries, wire.M{"CidrBlock": allAddresses, "Egress": egress, "Protocol": "-1",
				"RuleAction": rule.action, "RuleNumber": rule.number})
		}
	}
	for _, s := range v.Subnets {
		associations = append(associations, wire.M{"NetworkAclAssociationId": c.Plan.NewID("aclassoc",
			v.Name+" "+s.Name),
			"NetworkAclId": id, "SubnetId": s.ID})
	}
	return wire.M{"NetworkAclId": id, "VpcId": v.ID, "OwnerId": c.Account.ID, "IsDefault": true, "Entries": entries,
		"Associations": associations, "Tags": c.tags(id)}
}

// viewVolume is the root volume that an instance would have.
func (c network) viewVolume(in *topology.Instance) wire.M {
	id, at := c.volumeID(in), c.CreatedAt(in.ID)
	return wire.M{
		"VolumeId": id, "AvailabilityZone": in.Zone, "CreateTime": at, "Encrypted": false, "Size": 8, "State": "in-use",
		"VolumeType": "gp3", "Iops": 3000, "Throughput": 125, "SnapshotId": "", "Tags": c.tags(id),
		"MultiAttachEnabled": false,
		"Attachments": []wire.M{{"AttachTime": at, "DeleteOnTermination": true, "Device": rootDevice,
			"InstanceId": in.ID,
			"State":      "attached", "VolumeId": id}},
	}
}

// imagesOwner is the account that owns the lab's images.
const imagesOwner = "137112412989"

func imageRows(a *adder) {
	list(a, listing{name: "DescribeImages", answer: "Images", ids: "ImageIds", id: "ImageId",
		missing: "InvalidAMIID.NotFound", text: "The image id '[%s]' does not exist",
		filters: map[string]string{
			"image-id": "ImageId", "name": "Name", "owner-id": "OwnerId", "owner-alias": "ImageOwnerAlias",
			"state":        "State",
			"architecture": "Architecture", "virtualization-type": "VirtualizationType",
			"root-device-type": "RootDeviceType",
			"image-type":       "ImageType", "is-public": "Public", "description": "Description", "hypervisor": "Hypervisor",
			"root-device-name":                 "RootDeviceName",
			"block-device-mapping.volume-type": "BlockDeviceMappings.Ebs.VolumeType",
		},
		also: []string{"Owners"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			if owners := stringsOf(c.Values["Owners"]); len(owners) > 0 && !slices.Contains(owners, "amazon") &&
				!slices.Contains(owners, imagesOwner) {
				return nil, nil
			}
			for _, m := range images {
				out = append(out, viewImage(m))
			}
			// Another image of which there is an instance is there, with nothing in it.
			for _, v := range c.OwnVPCs() {
				for _, in := range v.Instances {
					id := c.Record.Note(in.ID, "image")
					known := slices.ContainsFunc(out, func(m wire.M) bool { return m["ImageId"] == id })
					if id != "" && !known {
						out = append(out, viewImage(image{id: id, name: id,
							description: "not an image of plinksim: nothing answers"}))
					}
				}
			}
			return out, nil
		},
		ignored: []string{
			"ExecutableUsers", "every account of a lab may use its images", "IncludeDeprecated IncludeDisabled",
			"no image of a lab is out of date",
		}})
	list(a, listing{name: "DescribeInstanceTypes", answer: "InstanceTypes", ids: "InstanceTypes", id: "InstanceType",
		missing: "InvalidInstanceType", text: "The following supplied instance types do not exist: [%s]",
		filters: map[string]string{
			"instance-type": "InstanceType", "current-generation": "CurrentGeneration",
			"free-tier-eligible": "FreeTierEligible",
			"bare-metal":         "BareMetal", "hypervisor": "Hypervisor", "vcpu-info.default-vcpus": "VCpuInfo.DefaultVCpus",
			"memory-info.size-in-mib":         "MemoryInfo.SizeInMiB",
			"burstable-performance-supported": "BurstablePerformanceSupported",
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			names := []string{"t3.micro", "t3.small", "m5.large"}
			for _, name := range stringsOf(c.Values["InstanceTypes"]) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
			for _, name := range names {
				out = append(out, viewInstanceType(name))
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeInstanceCreditSpecifications", answer: "InstanceCreditSpecifications",
		ids: "InstanceIds",
		id:  "InstanceId", missing: "InvalidInstanceID.NotFound", text: "The instance ID '%s' does not exist",
		filters: map[string]string{"instance-id": "InstanceId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for _, in := range v.Instances {
					out = append(out, wire.M{"InstanceId": in.ID, "CpuCredits": "standard"})
				}
			}
			return out, nil
		}})
}

// stringsOf are the texts of a list in a call's values.
func stringsOf(value any) (out []string) {
	list, _ := value.([]any)
	for _, one := range list {
		if text, ok := one.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

func viewImage(m image) wire.M {
	return wire.M{
		"ImageId": m.id, "Name": m.name, "Description": m.description, "State": "available", "OwnerId": imagesOwner,
		"ImageOwnerAlias": "amazon", "Public": true, "Architecture": "x86_64", "ImageType": "machine",
		"VirtualizationType": "hvm", "Hypervisor": "xen", "RootDeviceType": "ebs", "RootDeviceName": rootDevice,
		"ImageLocation": "amazon/" + m.name, "EnaSupport": true, "CreationDate": "2026-01-01T00:00:00.000Z",
		"PlatformDetails": "Linux/UNIX", "UsageOperation": "RunInstances", "Tags": []wire.M{},
		"BlockDeviceMappings": []wire.M{{"DeviceName": rootDevice, "Ebs": wire.M{"DeleteOnTermination": true,
			"VolumeSize": 8, "VolumeType": "gp3", "Encrypted": false}}},
	}
}

// viewInstanceType is the same for every type: an instance of a lab is a namespace, of
// whatever type.
func viewInstanceType(name string) wire.M {
	return wire.M{
		"InstanceType": name, "CurrentGeneration": true, "FreeTierEligible": false, "BareMetal": false,
		"Hypervisor":            "nitro",
		"SupportedUsageClasses": []string{"on-demand"}, "SupportedRootDeviceTypes": []string{"ebs"},
		"SupportedVirtualizationTypes": []string{"hvm"}, "BurstablePerformanceSupported": strings.HasPrefix(name, "t"),
		"InstanceStorageSupported": false, "HibernationSupported": false, "DedicatedHostsSupported": false,
		"AutoRecoverySupported": false, "ProcessorInfo": wire.M{"SupportedArchitectures": []string{"x86_64"}},
		"VCpuInfo":   wire.M{"DefaultVCpus": 1, "DefaultCores": 1, "DefaultThreadsPerCore": 1},
		"MemoryInfo": wire.M{"SizeInMiB": 1024},
		"NetworkInfo": wire.M{"MaximumNetworkInterfaces": 1, "Ipv4AddressesPerInterface": 1,
			"Ipv6AddressesPerInterface": 1,
			"Ipv6Supported":             true, "EnaSupport": "supported"},
		"EbsInfo": wire.M{"EbsOptimizedSupport": "unsupported", "EncryptionSupport": "unsupported"},
	}
}

func regionRows(a *adder) {
	list(a, listing{name: "DescribeRegions", answer: "Regions", ids: "RegionNames", id: "RegionName",
		missing: "InvalidParameterValue", text: "Invalid region provided: %s",
		filters: map[string]string{"region-name": "RegionName", "endpoint": "Endpoint", "opt-in-status": "OptInStatus"},
		all: func(base *call) ([]wire.M, error) {
			c := network{base}
			return []wire.M{{"RegionName": c.Plan.Region, "Endpoint": "ec2." + c.Plan.Region + ".amazonaws.com",
				"OptInStatus": "opt-in-not-required"}}, nil
		},
		ignored: []string{"AllRegions", "a lab is one region"}})
	list(a, listing{name: "DescribeAvailabilityZones", answer: "AvailabilityZones", ids: "ZoneNames", id: "ZoneName",
		missing: "InvalidParameterValue", text: "Invalid availability zone: [%s]",
		more: map[string]string{"ZoneIds": "ZoneId"},
		filters: map[string]string{
			"zone-name": "ZoneName", "zone-id": "ZoneId", "region-name": "RegionName", "state": "State",
			"zone-type": "ZoneType", "opt-in-status": "OptInStatus", "group-name": "GroupName",
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, zone := range c.zones() {
				out = append(out, wire.M{"ZoneName": zone, "ZoneId": topology.ZoneID(c.Plan.Region, zone),
					"RegionName": c.Plan.Region,
					"State":      "available", "ZoneType": "availability-zone", "OptInStatus": "opt-in-not-required",
					"GroupName": c.Plan.Region + "-zg-1", "NetworkBorderGroup": c.Plan.Region, "Messages": []wire.M{}})
			}
			return out, nil
		},
		ignored: []string{"AllAvailabilityZones", "all zones of a lab are there for everybody"}})
	list(a, listing{name: "DescribeAccountAttributes", answer: "AccountAttributes",
		also: []string{"AttributeNames"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			wanted := stringsOf(c.Values["AttributeNames"])
			for _, one := range [][2]string{
				{"supported-platforms", "VPC"}, {"default-vpc", "none"}, {"max-instances", "1000"},
				{"vpc-max-security-groups-per-interface", "5"}, {"max-elastic-ips", "0"}, {"vpc-max-elastic-ips", "0"},
			} {
				if len(wanted) == 0 || slices.Contains(wanted, one[0]) {
					out = append(out, wire.M{"AttributeName": one[0],
						"AttributeValues": []wire.M{{"AttributeValue": one[1]}}})
				}
			}
			return out, nil
		}})
}

// nothingRows are lists of what a lab does not have, which clients ask for on the way.
func nothingRows(a *adder) {
	nothing := func(*call) ([]wire.M, error) { return nil, nil }
	for _, l := range []listing{
		{name: "DescribeInternetGateways", answer: "InternetGateways", ids: "InternetGatewayIds",
			id:      "InternetGatewayId",
			missing: "InvalidInternetGatewayID.NotFound", text: "The internetGateway ID '%s' does not exist",
			filters: map[string]string{"attachment.vpc-id": "Attachments.VpcId",
				"internet-gateway-id": "InternetGatewayId"}},
		{name: "DescribeAddresses", answer: "Addresses", ids: "AllocationIds", id: "AllocationId",
			missing: "InvalidAllocationID.NotFound", text: "The allocation ID '%s' does not exist",
			filters: map[string]string{"instance-id": "InstanceId", "domain": "Domain", "allocation-id": "AllocationId",
				"network-interface-id": "NetworkInterfaceId", "association-id": "AssociationId",
				"public-ip": "PublicIp"}},
		{name: "DescribeKeyPairs", answer: "KeyPairs", ids: "KeyNames", id: "KeyName",
			missing: "InvalidKeyPair.NotFound",
			text:    "The key pair '%s' does not exist", filters: map[string]string{"key-name": "KeyName",
				"key-pair-id": "KeyPairId"}},
		{name: "DescribeManagedPrefixLists", answer: "PrefixLists", ids: "PrefixListIds", id: "PrefixListId",
			missing: "InvalidPrefixListID.NotFound", text: "The prefix list ID '%s' does not exist",
			filters: map[string]string{"prefix-list-name": "PrefixListName", "prefix-list-id": "PrefixListId",
				"owner-id": "OwnerId"}},
		{name: "DescribePrefixLists", answer: "PrefixLists", ids: "PrefixListIds", id: "PrefixListId",
			missing: "InvalidPrefixListId.NotFound", text: "The prefix list ID '%s' does not exist",
			filters: map[string]string{"prefix-list-name": "PrefixListName", "prefix-list-id": "PrefixListId"}},
		{name: "DescribeVpcClassicLink", answer: "Vpcs", ids: "VpcIds", id: "VpcId", missing: "InvalidVpcID.NotFound",
			text:    "The vpc ID '%s' does not exist",
			filters: map[string]string{"is-classic-link-enabled": "ClassicLinkEnabled"}},
		{name: "DescribeVpcClassicLinkDnsSupport", answer: "Vpcs", ids: "VpcIds", id: "VpcId",
			missing: "InvalidVpcID.NotFound", text: "The vpc ID '%s' does not exist"},
	} {
		l.all = nothing
		if strings.HasPrefix(l.name, "DescribeVpcClassicLink") {
			l.all = func(c *call) (out []wire.M, _ error) {
				for _, v := range c.OwnVPCs() {
					key := "ClassicLinkEnabled"
					if l.name == "DescribeVpcClassicLinkDnsSupport" {
						key = "ClassicLinkDnsSupported"
					}
					out = append(out, wire.M{"VpcId": v.ID, key: false})
				}
				return out, nil
			}
		}
		list(a, l)
	}
	list(a, listing{name: "DescribeNatGateways", answer: "NatGateways", ids: "NatGatewayIds", id: "NatGatewayId",
		missing: "NatGatewayNotFound", text: "The Nat Gateway %s was not found", all: nothing,
		filters: map[string]string{"vpc-id": "VpcId", "subnet-id": "SubnetId", "state": "State",
			"nat-gateway-id": "NatGatewayId"}})
	list(a, listing{name: "DescribeVpcPeeringConnections", answer: "VpcPeeringConnections",
		ids: "VpcPeeringConnectionIds",
		id:  "VpcPeeringConnectionId", missing: "InvalidVpcPeeringConnectionID.NotFound",
		text: "The vpcPeeringConnection ID '%s' does not exist",
		filters: map[string]string{
			"requester-vpc-info.vpc-id": "RequesterVpcInfo.VpcId", "accepter-vpc-info.vpc-id": "AccepterVpcInfo.VpcId",
			"status-code": "Status.Code", "vpc-peering-connection-id": "VpcPeeringConnectionId",
		},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, p := range c.Plan.Peerings {
				if m := c.viewPeering(p); m != nil {
					out = append(out, m)
				}
			}
			return out, nil
		}})
}

func (c network) viewPeering(p topology.Peering) wire.M {
	side := func(name string) (wire.M, bool) {
		v := c.Plan.MustVPC(name)
		owner, err := c.Plan.Account(v.Account)
		if err != nil {
			return nil, false
		}
		return wire.M{"VpcId": v.ID, "CidrBlock": v.CIDR, "OwnerId": owner.ID, "Region": c.Plan.Region,
			"CidrBlockSet": blockSet(v.CIDRs())}, owner.Name == c.Account.Name
	}
	requester, mine := side(p.VPCs[0])
	accepter, also := side(p.VPCs[1])
	if !mine && !also {
		return nil
	}
	id := c.peeringID(p.VPCs[0], p.VPCs[1])
	return wire.M{"VpcPeeringConnectionId": id, "RequesterVpcInfo": requester, "AccepterVpcInfo": accepter,
		"Status": wire.M{"Code": "active", "Message": "Active"}, "Tags": tagsWith(c.Record.Thing(id).Tags, id, p.Name)}
}

func blockSet(blocks []netip.Prefix) (out []wire.M) {
	for _, b := range blocks {
		out = append(out, wire.M{"CidrBlock": b})
	}
	return out
}
