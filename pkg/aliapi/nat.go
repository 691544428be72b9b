package aliapi

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

const noBill = "a lab costs nothing"

func natRows(a *adder) {
	op(a, "CreateNatGateway", createGateway,
		"InstanceChargeType Duration PricingCycle AutoPay InternetChargeType Spec", noBill,
		"IcmpReplyEnabled", "NAT IPs of a lab answer no pings",
		"EipBindMode", "a lab has no public addresses",
		"AccessMode.TunnelType", "a NAT gateway of a lab has no tunnel")
	op(a, "DeleteNatGateway", func(c network, in struct{ NatGatewayId string }) (wire.M, error) {
		g, err := c.gateway(in.NatGatewayId)
		if err != nil {
			return nil, err
		}
		if err := c.Operate(topology.Operation{Verb: topology.VerbGatewayDelete, NATGateway: g.Name}); err != nil {
			return nil, err
		}
		c.Forget(g.ID)
		return nil, nil
	}, "Force", "FullNAT entries are deleted first, whatever it says")
	op(a, "ModifyNatGatewayAttribute", func(c network, in struct{ NatGatewayId, Name, Description string }) (wire.M,
		error) {
		if _, err := c.gateway(in.NatGatewayId); err != nil || c.Dry {
			return nil, err
		}
		c.rename(in.NatGatewayId, in.Name, in.Description)
		return nil, nil
	}, "IcmpReplyEnabled", "NAT IPs of a lab answer no pings", "EipBindMode", "a lab has no public addresses")
	op(a, "GetNatGatewayAttribute", getGateway)
	op(a, "CreateNatIp", createNatIP)
	op(a, "DeleteNatIp", deleteNatIP)
	op(a, "ModifyNatIpAttribute", func(c network, in struct{ NatIpId, NatIpName, NatIpDescription string }) (wire.M,
		error) {
		if _, _, err := c.natIP(in.NatIpId); err != nil || c.Dry {
			return nil, err
		}
		c.rename(in.NatIpId, in.NatIpName, in.NatIpDescription)
		return nil, nil
	})
	op(a, "CreateFullNatEntry", createEntry)
	op(a, "ModifyFullNatEntryAttribute", modifyEntry)
	op(a, "DeleteFullNatEntry", func(c network, in struct{ FullNatTableId, FullNatEntryId string }) (wire.M, error) {
		g, e, err := c.entry(in.FullNatTableId, in.FullNatEntryId)
		if err != nil {
			return nil, err
		}
		o := topology.Operation{Verb: topology.VerbEntryDelete, NATGateway: g.Name, Entry: e.Spec.Name}
		if err := c.Operate(o); err != nil {
			return nil, err
		}
		c.Forget(e.Spec.ID)
		return nil, nil
	})
	natLists(a)
}

func natLists(a *adder) {
	list(a, listing{name: "DescribeNatGateways", answer: "NatGateways.NatGateway", usual: usualSize, most: mostSize,
		filters: map[string]filter{"NatGatewayId": is("NatGatewayId"), "NatGatewayIds": is("NatGatewayId"),
			"Name": is("Name"), "VpcId": is("VpcId"), "VSwitchId": is("NatGatewayPrivateInfo.VswitchId"),
			"ZoneId": is("NatGatewayPrivateInfo.IzNo"), "NatType": is("NatType"), "NetworkType": is("NetworkType"),
			"Status": is("Status"), "PrivateLinkEnabled": is("PrivateLinkEnabled"),
			"InstanceChargeType": is("InstanceChargeType"), "ResourceGroupId": is("ResourceGroupId")},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, g := range c.snapshot().NATGateways {
				if g.Planned.Account == c.Account.Name {
					out = append(out, c.viewGateway(g))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "ListNatIps", answer: "NatIps", usual: 20, most: 100,
		filters: map[string]filter{"NatIpIds": is("NatIpId"), "NatIpName": is("NatIpName"),
			"NatIpStatus": is("NatIpStatus"), "NatIpCidr": is("NatIpCidr")},
		also: []string{"NatGatewayId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			g, err := c.gatewayNow(c.text("NatGatewayId"))
			if err != nil {
				return nil, err
			}
			for _, ip := range g.NATIPs {
				out = append(out, wire.M{"NatIpId": ip.ID, "NatIp": ip.IP, "NatIpCidr": g.Planned.CIDR,
					"NatGatewayId": g.Planned.ID, "NatIpStatus": ip.Status, "IsDefault": ip.IP == g.Planned.ENI.IP,
					"NatIpName": c.Record.Note(ip.ID, "name"), "NatIpDescription": c.Record.Note(ip.ID, "description"),
					"RegionId": c.Plan.Region})
			}
			return out, nil
		}})
	list(a, listing{name: "ListNatIpCidrs", answer: "NatIpCidrs", usual: 20, most: 100,
		filters: map[string]filter{"NatIpCidr": is("NatIpCidr"), "NatIpCidrs": is("NatIpCidr"),
			"NatIpCidrStatus": is("NatIpCidrStatus")},
		also: []string{"NatGatewayId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			g, err := c.gateway(c.text("NatGatewayId"))
			if err != nil {
				return nil, err
			}
			return []wire.M{{"NatIpCidr": g.CIDR, "NatIpCidrId": c.Plan.NewID("vpcnatcidr", g.Name), "IsDefault": true,
				"NatGatewayId": g.ID, "NatIpCidrStatus": "Available", "CreationTime": c.CreatedAt(g.ID),
				"RegionId": c.Plan.Region}}, nil
		}})
	list(a, listing{name: "ListFullNatEntries", answer: "FullNatEntries", usual: 20, most: 100,
		filters: map[string]filter{"FullNatEntryId": is("FullNatEntryId"), "FullNatEntryNames": is("FullNatEntryName"),
			"FullNatEntryStatus": is("FullNatEntryStatus"), "NatIp": is("NatIp"), "NatIpPort": is("NatIpPort"),
			"IpProtocol": is("IpProtocol"), "NetworkInterfaceIds": is("NetworkInterfaceId")},
		also: []string{"NatGatewayId", "FullNatTableId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			id := c.text("NatGatewayId")
			table := c.text("FullNatTableId")
			if id == "" && table == "" {
				return nil, wire.Errorf("MissingFullNatTableId", "One of FullNatTableId and NatGatewayId is mandatory for"+
					" this action.")
			}
			for _, g := range c.snapshot().NATGateways {
				if p := g.Planned; p.Account != c.Account.Name || id != "" && p.ID != id || table != "" && p.TableID != table {
					continue
				}
				for _, e := range g.Entries {
					out = append(out, c.viewEntry(g.Planned, e))
				}
			}
			return out, nil
		}})
}

// gateway is one of the caller's NAT gateways.
func (c network) gateway(id string) (*topology.NATGateway, error) {
	g, err := c.gatewayNow(id)
	return g.Planned, err
}

func (c network) gatewayNow(id string) (control.NATGateway, error) {
	for _, g := range c.snapshot().NATGateways {
		if (g.Planned.ID == id || g.Planned.TableID == id) && g.Planned.Account == c.Account.Name {
			return g, nil
		}
	}
	return control.NATGateway{}, notFound("InvalidNatGatewayId.NotFound", "The specified NAT gateway %q does not exist.",
		id)
}

func (c network) viewGateway(g control.NATGateway) wire.M {
	p := g.Planned
	m := wire.M{
		"NatGatewayId": p.ID, "Name": c.name(p.ID, p.Name), "Description": c.Record.Note(p.ID, "description"),
		"NatType": "Enhanced", "NetworkType": "intranet", "Status": g.Status, "BusinessStatus": "Normal",
		"RegionId": c.Plan.Region, "PrivateLinkEnabled": true, "PrivateLinkMode": "FullNat",
		"AccessMode": wire.M{"ModeValue": "route", "TunnelType": ""}, "CreationTime": c.CreatedAt(p.ID), "ExpiredTime": "",
		"InstanceChargeType": "PostPaid", "ResourceGroupId": c.resourceGroup(p.ID), "IcmpReplyEnabled": false,
		"FullNatTableIds": wire.M{"FullNatTableId": []string{p.TableID}},
		"SnatTableIds":    wire.M{"SnatTableId": []string{}}, "ForwardTableIds": wire.M{"ForwardTableId": []string{}},
		"IpLists": wire.M{"IpList": []wire.M{}}, "Tags": wire.M{"Tag": c.tags(p.ID, "Key", "Value")},
	}
	info := wire.M{"EniInstanceId": p.ENI.ID, "IzNo": p.ENI.Zone, "PrivateIpAddress": p.ENI.IP, "VswitchId": "",
		"MaxBandwidth": 5120}
	if vpc, err := c.Plan.VPC(p.VPC); err == nil {
		m["VpcId"] = vpc.ID
		if s, err := vpc.Subnet(p.Subnet); err == nil {
			info["VswitchId"] = s.ID
		}
	}
	m["NatGatewayPrivateInfo"] = info
	return m
}

func getGateway(c network, in struct{ NatGatewayId string }) (wire.M, error) {
	g, err := c.gatewayNow(in.NatGatewayId)
	if err != nil {
		return nil, err
	}
	m := c.viewGateway(g)
	m["PrivateInfo"] = m["NatGatewayPrivateInfo"]
	m["FullNatTable"] = wire.M{"FullNatTableId": g.Planned.TableID, "FullNatEntryCount": len(g.Entries)}
	return c.only(m), nil
}

type createGatewayIn struct {
	VpcId, VSwitchId, Name, Description string
	NatType, NetworkType                string
	PrivateLinkEnabled                  *bool
	PrivateLinkMode                     string
	AccessMode                          *struct{ ModeValue string }
	SecurityProtectionEnabled           *bool
	Tag                                 []tag
}

// createGateway makes a gateway of the type FullNat, the only one that a lab has. Its mode was a
// parameter of its own, PrivateLinkMode, before AccessMode.
func createGateway(c network, in createGatewayIn) (wire.M, error) {
	vpc, s, err := c.vSwitch(in.VSwitchId)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tag)
	switch {
	case err != nil:
		return nil, err
	case vpc.ID != in.VpcId:
		return nil, wire.Errorf("InvalidVSwitchId.VpcMismatch", "The vSwitch %q is not in the VPC %q.", s.ID, in.VpcId)
	case !strings.EqualFold(cmp.Or(in.NatType, "Enhanced"), "Enhanced"):
		return nil, wire.Errorf("InvalidNatType.NotSupport", "The NAT type %s is not supported: it is Enhanced.", in.NatType)
	case !strings.EqualFold(in.NetworkType, "intranet"):
		return nil, wire.Errorf("UnsupportedOperation", "A lab has no public addresses: a NAT gateway of it has NetworkType"+
			" intranet")
	case in.PrivateLinkMode != "" && !strings.EqualFold(in.PrivateLinkMode, "FullNat"),
		in.AccessMode != nil && in.AccessMode.ModeValue != "route":
		return nil, wire.Errorf("UnsupportedOperation", "A NAT gateway of a lab leads to the addresses of its FullNAT"+
			" entries: PrivateLinkMode FullNat, or AccessMode route, without a tunnel")
	case in.PrivateLinkEnabled != nil && !*in.PrivateLinkEnabled:
		return nil, wire.Errorf("UnsupportedOperation", "A NAT gateway of a lab serves FullNAT entries and has no SNAT:"+
			" PrivateLinkEnabled cannot be false")
	case in.SecurityProtectionEnabled != nil && *in.SecurityProtectionEnabled:
		return nil, wire.Errorf("UnsupportedOperation", "A lab has no firewall in front of a NAT gateway")
	}
	if in.PrivateLinkEnabled == nil {
		c.Note("a lab's NAT gateway serves FullNAT entries, also without PrivateLinkEnabled, and has no SNAT")
	}
	id := c.NewID("ngw")
	v := value{"type": "FullNat", "vpc": vpc.Name, "subnet": s.Name}
	if err := c.Edit(topology.Edit{Path: path("nat_gateways", id), Value: text(v), New: true}); err != nil {
		return nil, err
	}
	c.Created(id, tags, map[string]string{"name": in.Name, "description": in.Description})
	g, err := c.gateway(id)
	if err != nil {
		return nil, err
	}
	return wire.M{"NatGatewayId": id, "FullNatTableIds": wire.M{"FullNatTableId": []string{g.TableID}},
		"SnatTableIds": wire.M{"SnatTableId": []string{}}, "ForwardTableIds": wire.M{"ForwardTableId": []string{}}}, nil
}

func createNatIP(c network, in struct{ NatGatewayId, NatIp, NatIpCidr, NatIpName, NatIpDescription string }) (wire.M,
	error) {
	defer c.Locks.Hold("gateway " + in.NatGatewayId)()
	before, err := c.gatewayNow(in.NatGatewayId)
	if err != nil {
		return nil, err
	}
	if in.NatIpCidr != "" && in.NatIpCidr != before.Planned.CIDR.String() {
		return nil, wire.Errorf("InvalidNatIpCidr.NotFound", "The NAT gateway %q has the NAT CIDR block %s, and not %s.",
			before.Planned.ID, before.Planned.CIDR, in.NatIpCidr)
	}
	o := topology.Operation{Verb: topology.VerbNATIPCreate, NATGateway: before.Planned.Name}
	if in.NatIp != "" {
		if o.NATIP, err = netip.ParseAddr(in.NatIp); err != nil {
			return nil, wire.Errorf("InvalidParameter", "Specified parameter NatIp is not valid: it is no address")
		}
	}
	if err := c.Operate(o); err != nil {
		return nil, err
	}
	now, err := c.gatewayNow(in.NatGatewayId)
	if err != nil {
		return nil, err
	}
	for _, ip := range now.NATIPs {
		if slices.ContainsFunc(before.NATIPs, func(old control.NATIP) bool { return old.IP == ip.IP }) {
			continue
		}
		c.rename(ip.ID, in.NatIpName, in.NatIpDescription)
		return wire.M{"NatIpId": ip.ID, "NatIp": ip.IP}, nil
	}
	return nil, notFound("InvalidNatIp.NotFound", "The NAT IP was deleted meanwhile.")
}

// natIP is a NAT IP of one of the caller's gateways.
func (c network) natIP(id string) (control.NATGateway, netip.Addr, error) {
	for _, g := range c.snapshot().NATGateways {
		for _, ip := range g.NATIPs {
			if ip.ID == id && g.Planned.Account == c.Account.Name {
				return g, ip.IP, nil
			}
		}
	}
	return control.NATGateway{}, netip.Addr{}, notFound("InvalidNatIpId.NotFound", "The specified NAT IP %q does not"+
		" exist.", id)
}

func deleteNatIP(c network, in struct{ NatIpId string }) (wire.M, error) {
	g, ip, err := c.natIP(in.NatIpId)
	if err != nil {
		return nil, err
	}
	err = c.Operate(topology.Operation{Verb: topology.VerbNATIPDelete, NATGateway: g.Planned.Name, NATIP: ip})
	if err != nil {
		return nil, err
	}
	c.Forget(in.NatIpId)
	return nil, nil
}

// reverseENI is the endpoint and the zone of a network interface that leads to a gateway.
func (c network) reverseENI(g *topology.NATGateway, id string) (endpoint, zone string, _ error) {
	for _, e := range c.Plan.Endpoints {
		s, err := c.Plan.Service(e.Service)
		if err != nil || e.Absent || !s.OffersGateway(g.Name) {
			continue
		}
		for _, z := range e.Zones {
			if z.ENI.ID == id {
				return e.Name, z.Zone, nil
			}
		}
	}
	return "", "", notFound("InvalidNetworkInterfaceId.NotFound", "The specified network interface %q is not that of a"+
		" reverse endpoint of the NAT gateway %q.", id, g.ID)
}

// eniOf is the network interface of an entry.
func (c network) eniOf(e topology.FullNATEntry) string {
	if ep, err := c.Plan.Endpoint(e.Endpoint); err == nil {
		if z, err := ep.Zone(e.Zone); err == nil {
			return z.ENI.ID
		}
	}
	return ""
}

func (c network) viewEntry(g *topology.NATGateway, e control.FullNATEntry) wire.M {
	s := e.Spec
	return wire.M{"FullNatEntryId": s.ID, "FullNatTableId": g.TableID, "FullNatEntryStatus": e.Status,
		"FullNatEntryName": c.name(s.ID, s.Name), "FullNatEntryDescription": c.Record.Note(s.ID, "description"),
		"NatIp": s.NATIP, "NatIpPort": strconv.Itoa(int(s.NATPort)), "IpProtocol": strings.ToUpper(string(s.Protocol)),
		"AccessIp": s.AccessIP, "AccessPort": strconv.Itoa(int(s.AccessPort)), "NetworkInterfaceId": c.eniOf(s),
		"NetworkInterfaceType": "Endpoint", "CreationTime": c.CreatedAt(s.ID)}
}

// entry is an entry of a table of the caller.
func (c network) entry(table, id string) (*topology.NATGateway, control.FullNATEntry, error) {
	g, err := c.gatewayNow(table)
	if err != nil {
		return nil, control.FullNATEntry{}, notFound("ResourceNotFound.FullNatTable", "The specified FullNAT table %q does"+
			" not exist.", table)
	}
	for _, e := range g.Entries {
		if e.Spec.ID == id {
			return g.Planned, e, nil
		}
	}
	return nil, control.FullNATEntry{}, notFound("ResourceNotFound.FullNatEntry", "The specified FullNAT entry %q does not"+
		" exist.", id)
}

// entryIn is where an entry leads, of which a change may leave out what stays.
type entryIn struct{ NatIp, NatIpPort, AccessIp, AccessPort, IpProtocol, NetworkInterfaceId string }

// operation fills an operation with what was sent.
func (in entryIn) operation(c network, g *topology.NATGateway, o topology.Operation) (topology.Operation, error) {
	wrong := func(parameter string) error {
		return wire.Errorf("InvalidParameter", "Specified parameter %s is not valid.", parameter)
	}
	port := func(text string, into *uint16) bool {
		n, err := strconv.ParseUint(text, 10, 16)
		*into = uint16(n)
		return text == "" || err == nil && n > 0
	}
	var err error
	if in.NatIp != "" {
		if o.NATIP, err = netip.ParseAddr(in.NatIp); err != nil {
			return o, wrong("NatIp")
		}
	}
	if in.AccessIp != "" {
		if o.AccessIP, err = netip.ParseAddr(in.AccessIp); err != nil {
			return o, wrong("AccessIp")
		}
	}
	switch {
	case !port(in.NatIpPort, &o.NATPort):
		return o, wrong("NatIpPort")
	case !port(in.AccessPort, &o.AccessPort):
		return o, wrong("AccessPort")
	case !slices.Contains([]string{"", "TCP", "UDP"}, in.IpProtocol):
		return o, wrong("IpProtocol")
	}
	o.NATGateway, o.Protocol = g.Name, strings.ToLower(in.IpProtocol)
	if in.NetworkInterfaceId != "" {
		o.Endpoint, o.Zone, err = c.reverseENI(g, in.NetworkInterfaceId)
	}
	return o, err
}

func createEntry(c network, in struct {
	FullNatTableId, NatIp, NatIpPort, AccessIp, AccessPort, IpProtocol, NetworkInterfaceId string
	FullNatEntryName, FullNatEntryDescription                                              string
}) (wire.M, error) {
	g, err := c.gatewayNow(in.FullNatTableId)
	if err != nil {
		return nil, notFound("ResourceNotFound.FullNatTable", "The specified FullNAT table %q does not exist.",
			in.FullNatTableId)
	}
	if in.AccessIp == "" {
		return nil, wire.Errorf("MissingAccessIp", "AccessIp is mandatory for this action: a lab resolves no AccessDomain.")
	}
	id := c.NewID("fullnat")
	o, err := entryIn{in.NatIp, in.NatIpPort, in.AccessIp, in.AccessPort, in.IpProtocol, in.NetworkInterfaceId}.
		operation(c, g.Planned, topology.Operation{Verb: topology.VerbEntryCreate, Entry: id})
	if err != nil {
		return nil, err
	}
	if err := c.Operate(o); err != nil {
		return nil, err
	}
	c.Created(id, nil, map[string]string{"name": in.FullNatEntryName, "description": in.FullNatEntryDescription})
	return wire.M{"FullNatEntryId": id}, nil
}

func modifyEntry(c network, in struct {
	FullNatTableId, FullNatEntryId                                         string
	NatIp, NatIpPort, AccessIp, AccessPort, IpProtocol, NetworkInterfaceId string
	FullNatEntryName, FullNatEntryDescription                              string
}) (wire.M, error) {
	g, e, err := c.entry(in.FullNatTableId, in.FullNatEntryId)
	if err != nil {
		return nil, err
	}
	sent := entryIn{in.NatIp, in.NatIpPort, in.AccessIp, in.AccessPort, in.IpProtocol, in.NetworkInterfaceId}
	if sent != (entryIn{}) {
		o, err := sent.operation(c, g, topology.Operation{Verb: topology.VerbEntryModify, Entry: e.Spec.Name})
		if err != nil {
			return nil, err
		}
		if err := c.Operate(o); err != nil {
			return nil, err
		}
	}
	if !c.Dry {
		c.rename(e.Spec.ID, in.FullNatEntryName, in.FullNatEntryDescription)
	}
	return nil, nil
}
