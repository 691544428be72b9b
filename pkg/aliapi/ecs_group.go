package aliapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func groupRows(a *adder) {
	op(a, "CreateSecurityGroup", createGroup)
	op(a, "ModifySecurityGroupAttribute", func(c network, in struct {
		SecurityGroupId, SecurityGroupName, Description string
	}) (wire.M, error) {
		if _, _, err := c.group(in.SecurityGroupId); err != nil {
			return nil, err
		}
		c.rename(in.SecurityGroupId, in.SecurityGroupName, in.Description)
		return nil, nil
	})
	op(a, "DeleteSecurityGroup", func(c network, in struct{ SecurityGroupId string }) (wire.M, error) {
		vpc, g, err := c.group(in.SecurityGroupId)
		if err != nil {
			return nil, err
		}
		if err := c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "security_groups", g.Name)}); err != nil {
			return nil, coded(err, topology.InUse, "DependencyViolation")
		}
		c.Forget(g.ID)
		return nil, nil
	})
	const nicType = "an instance of a lab has one network interface, in a VPC"
	op(a, "AuthorizeSecurityGroup", func(c network, in ingressIn) (wire.M, error) {
		return nil, c.authorize(in.SecurityGroupId, false, in.rules())
	}, "NicType", nicType, "SourceGroupOwnerAccount SourceGroupOwnerId", "a group is of its own VPC in a lab")
	op(a, "AuthorizeSecurityGroupEgress", func(c network, in egressIn) (wire.M, error) {
		return nil, c.authorize(in.SecurityGroupId, true, in.rules())
	}, "NicType", nicType, "DestGroupOwnerAccount DestGroupOwnerId", "a group is of its own VPC in a lab")
	const described = "a rule is found by what it does, whatever its description"
	op(a, "RevokeSecurityGroup", func(c network, in noIngressIn) (wire.M, error) {
		return nil, c.revoke(in.SecurityGroupId, false, in.rules())
	}, "NicType", nicType, "SourceGroupOwnerAccount SourceGroupOwnerId", "a group is of its own VPC in a lab",
		"Description Permissions.Description", described)
	op(a, "RevokeSecurityGroupEgress", func(c network, in noEgressIn) (wire.M, error) {
		return nil, c.revoke(in.SecurityGroupId, true, in.rules())
	}, "NicType", nicType, "DestGroupOwnerAccount DestGroupOwnerId", "a group is of its own VPC in a lab",
		"Description Permissions.Description", described)
	op(a, "DescribeSecurityGroupAttribute", describeGroup, "NicType", nicType)
	list(a, listing{name: "DescribeSecurityGroups", answer: "SecurityGroups.SecurityGroup", usual: 10, most: 100,
		filters: map[string]filter{"SecurityGroupId": is("SecurityGroupId"),
			"SecurityGroupIds": amongJSON("SecurityGroupId"), "SecurityGroupName": is("SecurityGroupName"),
			"VpcId": is("VpcId"), "SecurityGroupType": is("SecurityGroupType"), "ResourceGroupId": is("ResourceGroupId")},
		ignored: []string{"NetworkType", "groups of a lab are in VPCs"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for i := range v.SecurityGroups {
					g := &v.SecurityGroups[i]
					out = append(out, wire.M{"SecurityGroupId": g.ID, "SecurityGroupName": c.name(g.ID, g.Name),
						"Description": c.Record.Note(g.ID, "description"), "VpcId": v.ID, "SecurityGroupType": cmp.Or(c.Record.Note(g.ID, "type"), "normal"),
						"CreationTime": c.CreatedAt(g.ID), "ResourceGroupId": c.resourceGroup(g.ID),
						"RuleCount": len(g.Ingress) + len(shown(g.Egress)),
						"Tags":      wire.M{"Tag": c.tags(g.ID, "TagKey", "TagValue")}})
				}
			}
			return out, nil
		}})
}

func createGroup(c network, in struct {
	VpcId, SecurityGroupName, Description, SecurityGroupType, ResourceGroupId string
	Tag                                                                       []tag
}) (wire.M, error) {
	if in.VpcId == "" {
		return nil, wire.Errorf("MissingVpcId", "VpcId is mandatory for this action: a lab has no classic network.")
	}
	if t := in.SecurityGroupType; t != "" && t != "normal" && t != "enterprise" {
		return nil, wire.Errorf("InvalidSecurityGroupType.NotSupported", "The security group type %s is not one.", t)
	}
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	id := c.NewID("sg")
	err = c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "security_groups", id), Value: "{ingress: []}", New: true})
	if err != nil {
		return nil, err
	}
	c.Created(id, tags, map[string]string{"name": in.SecurityGroupName, "description": in.Description,
		"resource group": in.ResourceGroupId, "type": in.SecurityGroupType})
	return wire.M{"SecurityGroupId": id}, nil
}

// ruleIn is a rule as a request has it, in either direction: peer and peerGroup are its
// source or its destination.
type ruleIn struct {
	protocol, ports, policy, priority, description string
	peer, peer6, peerGroup                         string
}

type ingressIn struct {
	SecurityGroupId                                      string
	IpProtocol, PortRange, Policy, Priority, Description string
	SourceCidrIp, Ipv6SourceCidrIp, SourceGroupId        string
	Permissions                                          []struct {
		IpProtocol, PortRange, Policy, Priority, Description string
		SourceCidrIp, Ipv6SourceCidrIp, SourceGroupId        string
	}
}

func (in ingressIn) rules() (out []ruleIn) {
	if in.IpProtocol != "" || in.PortRange != "" {
		out = append(out, ruleIn{in.IpProtocol, in.PortRange, in.Policy, in.Priority, in.Description, in.SourceCidrIp,
			in.Ipv6SourceCidrIp, in.SourceGroupId})
	}
	for _, p := range in.Permissions {
		out = append(out, ruleIn{p.IpProtocol, p.PortRange, p.Policy, p.Priority, p.Description, p.SourceCidrIp,
			p.Ipv6SourceCidrIp, p.SourceGroupId})
	}
	return out
}

type egressIn struct {
	SecurityGroupId                                      string
	IpProtocol, PortRange, Policy, Priority, Description string
	DestCidrIp, Ipv6DestCidrIp, DestGroupId              string
	Permissions                                          []struct {
		IpProtocol, PortRange, Policy, Priority, Description string
		DestCidrIp, Ipv6DestCidrIp, DestGroupId              string
	}
}

func (in egressIn) rules() (out []ruleIn) {
	if in.IpProtocol != "" || in.PortRange != "" {
		out = append(out, ruleIn{in.IpProtocol, in.PortRange, in.Policy, in.Priority, in.Description, in.DestCidrIp,
			in.Ipv6DestCidrIp, in.DestGroupId})
	}
	for _, p := range in.Permissions {
		out = append(out, ruleIn{p.IpProtocol, p.PortRange, p.Policy, p.Priority, p.Description, p.DestCidrIp,
			p.Ipv6DestCidrIp, p.DestGroupId})
	}
	return out
}

// noIngressIn and noEgressIn take rules away.
type noIngressIn struct {
	SecurityGroupId                               string
	IpProtocol, PortRange, Policy, Priority       string
	SourceCidrIp, Ipv6SourceCidrIp, SourceGroupId string
	Permissions                                   []struct {
		IpProtocol, PortRange, Policy, Priority       string
		SourceCidrIp, Ipv6SourceCidrIp, SourceGroupId string
	}
}

func (in noIngressIn) rules() (out []ruleIn) {
	if in.IpProtocol != "" || in.PortRange != "" {
		out = append(out, ruleIn{in.IpProtocol, in.PortRange, in.Policy, in.Priority, "", in.SourceCidrIp,
			in.Ipv6SourceCidrIp, in.SourceGroupId})
	}
	for _, p := range in.Permissions {
		out = append(out, ruleIn{p.IpProtocol, p.PortRange, p.Policy, p.Priority, "", p.SourceCidrIp, p.Ipv6SourceCidrIp,
			p.SourceGroupId})
	}
	return out
}

type noEgressIn struct {
	SecurityGroupId                         string
	IpProtocol, PortRange, Policy, Priority string
	DestCidrIp, Ipv6DestCidrIp, DestGroupId string
	Permissions                             []struct {
		IpProtocol, PortRange, Policy, Priority string
		DestCidrIp, Ipv6DestCidrIp, DestGroupId string
	}
}

func (in noEgressIn) rules() (out []ruleIn) {
	if in.IpProtocol != "" || in.PortRange != "" {
		out = append(out, ruleIn{in.IpProtocol, in.PortRange, in.Policy, in.Priority, "", in.DestCidrIp, in.Ipv6DestCidrIp,
			in.DestGroupId})
	}
	for _, p := range in.Permissions {
		out = append(out, ruleIn{p.IpProtocol, p.PortRange, p.Policy, p.Priority, "", p.DestCidrIp, p.Ipv6DestCidrIp,
			p.DestGroupId})
	}
	return out
}

// rule is the rule that a request means (ECS API 2014-05-26, AuthorizeSecurityGroup).
func (c network) rule(vpc *topology.VPC, in ruleIn) (r topology.Rule, _ error) {
	wrong := func(parameter string) (topology.Rule, error) {
		return r, wire.Errorf("InvalidParameter", "Specified parameter %s is not valid.", parameter)
	}
	r = topology.Rule{Priority: 1, LastPort: 65535, Protocol: topology.Protocol(strings.ToLower(in.protocol))}
	if !slices.Contains([]topology.Protocol{topology.TCP, topology.UDP, topology.ICMP, topology.AllProtocols}, r.Protocol) {
		return wrong("IpProtocol")
	}
	if in.priority != "" {
		n, err := strconv.Atoi(in.priority)
		if err != nil || n < 1 || n > 100 {
			return wrong("Priority")
		}
		r.Priority = n
	}
	switch strings.ToLower(cmp.Or(in.policy, "accept")) {
	case "accept":
	case "drop":
		r.Deny = true
	default:
		return wrong("Policy")
	}
	if in.ports != "" && in.ports != "-1/-1" {
		first, last, _ := strings.Cut(in.ports, "/")
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || a == 0 || a > b || r.Protocol != topology.TCP && r.Protocol != topology.UDP {
			return wrong("PortRange")
		}
		r.FirstPort, r.LastPort = uint16(a), uint16(b)
	}
	switch text := cmp.Or(in.peer, in.peer6); {
	case text != "":
		if !strings.Contains(text, "/") {
			text += map[bool]string{true: "/128", false: "/32"}[strings.Contains(text, ":")]
		}
		block, err := netip.ParsePrefix(text)
		if err != nil {
			return wrong("CidrIp")
		}
		r.Peer = block.Masked()
	case in.peerGroup != "":
		of, g, err := c.group(in.peerGroup)
		if err != nil {
			return r, err
		}
		if of.Name != vpc.Name {
			return r, wire.Errorf("InvalidSecurityGroup.VpcMismatch", "The security group %q is in another VPC.", g.ID)
		}
		r.Group = g.Name
	default:
		return wrong("CidrIp")
	}
	return r, nil
}

// lettingOut is the rule that every group ends with: what nothing else is said of may leave. A
// lab has it in the list where there are others.
var lettingOut = topology.Rule{Priority: 100, Protocol: topology.AllProtocols, LastPort: 65535,
	Peer: netip.MustParsePrefix("0.0.0.0/0")}

// shown are the egress rules that somebody made.
func shown(rules []topology.Rule) []topology.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r topology.Rule) bool { return r == lettingOut })
}

// setRules makes the rules of a group those, in one direction.
func (c network) setRules(vpc *topology.VPC, g *topology.SecurityGroup, egress bool, rules []topology.Rule) error {
	at, peer := path("vpcs", vpc.Name, "security_groups", g.Name, "ingress"), "source"
	if egress {
		at, peer = path("vpcs", vpc.Name, "security_groups", g.Name, "egress"), "destination"
		if len(rules) == 0 {
			return c.Edit(topology.Edit{Path: at})
		}
		rules = append(rules, lettingOut)
	}
	values := []value{}
	for _, r := range rules {
		v := value{"protocol": string(r.Protocol), "priority": r.Priority, peer: cmp.Or(r.Group, r.Peer.String())}
		if r.FirstPort != 0 {
			v["ports"] = fmt.Sprintf("%d-%d", r.FirstPort, r.LastPort)
		}
		if r.Deny {
			v["action"] = "deny"
		}
		values = append(values, v)
	}
	return c.Edit(topology.Edit{Path: at, Value: text(values)})
}

func (c network) authorize(id string, egress bool, in []ruleIn) error {
	defer c.Locks.Hold("group " + id)()
	vpc, g, err := c.group(id)
	if err != nil {
		return err
	}
	rules := slices.Clone(g.Ingress)
	if egress {
		rules = shown(g.Egress)
	}
	for _, one := range in {
		r, err := c.rule(vpc, one)
		if err != nil {
			return err
		}
		// A rule that is there already is added without an error, as in the cloud.
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
		c.Change(g.ID, describing(ruleKey(egress, r), one.description))
	}
	if len(in) == 0 {
		return wire.Errorf("MissingParameter.IpProtocol", "The parameter IpProtocol should not be null.")
	}
	return c.setRules(vpc, g, egress, rules)
}

func (c network) revoke(id string, egress bool, in []ruleIn) error {
	defer c.Locks.Hold("group " + id)()
	vpc, g, err := c.group(id)
	if err != nil {
		return err
	}
	rules := slices.Clone(g.Ingress)
	if egress {
		rules = shown(g.Egress)
	}
	before := len(rules)
	for _, one := range in {
		r, err := c.rule(vpc, one)
		if err != nil {
			return err
		}
		rules = slices.DeleteFunc(rules, func(other topology.Rule) bool { return other == r })
	}
	if len(rules) == before {
		c.Note("there is no such rule")
		return nil
	}
	return c.setRules(vpc, g, egress, rules)
}

// ruleKey tells the rules of a group apart.
func ruleKey(egress bool, r topology.Rule) string {
	return fmt.Sprintf("rule %t %t %d %s %d-%d %s %s", egress, r.Deny, r.Priority, r.Protocol, r.FirstPort, r.LastPort,
		r.Peer, r.Group)
}

func (c network) viewRule(vpc *topology.VPC, g *topology.SecurityGroup, egress bool, r topology.Rule) wire.M {
	m := wire.M{"IpProtocol": strings.ToUpper(string(r.Protocol)), "PortRange": "-1/-1", "Policy": "Accept",
		"Priority": strconv.Itoa(r.Priority), "NicType": "intranet", "Direction": "ingress",
		"SecurityGroupRuleId": c.Plan.NewID("sgr", g.ID+" "+strings.ReplaceAll(ruleKey(egress, r), "/", " ")),
		"Description":         c.Record.Note(g.ID, ruleKey(egress, r)), "CreateTime": c.CreatedAt(g.ID)}
	if r.Deny {
		m["Policy"] = "Drop"
	}
	if r.FirstPort != 0 {
		m["PortRange"] = fmt.Sprintf("%d/%d", r.FirstPort, r.LastPort)
	}
	prefix := "Source"
	if egress {
		prefix, m["Direction"] = "Dest", "egress"
	}
	switch other, err := vpc.SecurityGroup(r.Group); {
	case err == nil:
		m[prefix+"GroupId"], m[prefix+"GroupName"] = other.ID, c.name(other.ID, other.Name)
	case r.Peer.Addr().Is6():
		m["Ipv6"+prefix+"CidrIp"] = r.Peer
	default:
		m[prefix+"CidrIp"] = r.Peer
	}
	return m
}

func describeGroup(c network, in struct{ SecurityGroupId, Direction string }) (wire.M, error) {
	vpc, g, err := c.group(in.SecurityGroupId)
	if err != nil {
		return nil, err
	}
	rules := []wire.M{}
	if in.Direction != "egress" {
		for _, r := range g.Ingress {
			rules = append(rules, c.viewRule(vpc, g, false, r))
		}
	}
	if in.Direction != "ingress" {
		for _, r := range shown(g.Egress) {
			rules = append(rules, c.viewRule(vpc, g, true, r))
		}
	}
	return wire.M{"SecurityGroupId": g.ID, "SecurityGroupName": c.name(g.ID, g.Name), "VpcId": vpc.ID,
		"Description": c.Record.Note(g.ID, "description"), "RegionId": c.Plan.Region, "InnerAccessPolicy": "Drop",
		"Permissions": wire.M{"Permission": rules}}, nil
}
