package awsapi

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func groupRows(a *adder) {
	op(a, "CreateSecurityGroup", createSecurityGroup)
	op(a, "DeleteSecurityGroup", deleteSecurityGroup)
	op(a, "AuthorizeSecurityGroupIngress", func(c network, in rulesIn) (wire.M, error) {
		return authorize(c, in,
			false)
	})
	op(a, "AuthorizeSecurityGroupEgress", func(c network, in egressIn) (wire.M, error) {
		return authorize(c, rulesIn{GroupId: in.GroupId, IpPermissions: in.IpPermissions,
			TagSpecifications: in.TagSpecifications}, true)
	})
	op(a, "RevokeSecurityGroupIngress", func(c network, in revokeIn) (wire.M, error) { return revoke(c, in, false) })
	op(a, "RevokeSecurityGroupEgress", func(c network, in struct {
		GroupId              string
		IpPermissions        []permission
		SecurityGroupRuleIds []string
	}) (wire.M, error) {
		return revoke(c, revokeIn{GroupId: in.GroupId, IpPermissions: in.IpPermissions,
			SecurityGroupRuleIds: in.SecurityGroupRuleIds}, true)
	})
	op(a, "ModifySecurityGroupRules", modifySecurityGroupRules)
	op(a, "UpdateSecurityGroupRuleDescriptionsIngress", func(c network, in describeIn) (wire.M, error) {
		return updateDescriptions(c, in, false)
	})
	op(a, "UpdateSecurityGroupRuleDescriptionsEgress", func(c network, in describeIn) (wire.M, error) {
		return updateDescriptions(c, in, true)
	})
	list(a, listing{name: "DescribeSecurityGroups", answer: "SecurityGroups", ids: "GroupIds", id: "GroupId",
		missing: "InvalidGroup.NotFound", text: "The security group '%s' does not exist",
		more: map[string]string{"GroupNames": "GroupName"}, filters: groupFilters(),
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for i := range v.SecurityGroups {
					out = append(out, c.viewGroup(v, &v.SecurityGroups[i]))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeSecurityGroupRules", answer: "SecurityGroupRules", ids: "SecurityGroupRuleIds",
		id: "SecurityGroupRuleId", missing: "InvalidSecurityGroupRuleId.NotFound",
		text:    "The security group rule ID '%s' does not exist",
		filters: map[string]string{"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"},
		shelved: true,
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for i := range v.SecurityGroups {
					g := &v.SecurityGroups[i]
					for _, egress := range []bool{false, true} {
						for _, r := range rulesOf(v, g, egress) {
							out = append(out, c.viewRule(v, g, egress, r))
						}
					}
				}
			}
			return out, nil
		}})
}

func groupFilters() map[string]string {
	out := map[string]string{
		"group-id": "GroupId", "group-name": "GroupName", "vpc-id": "VpcId", "owner-id": "OwnerId",
		"description": "Description",
	}
	for prefix, member := range map[string]string{"ip-permission.": "IpPermissions.",
		"egress.ip-permission.": "IpPermissionsEgress."} {
		for name, part := range map[string]string{
			"cidr": "IpRanges.CidrIp", "ipv6-cidr": "Ipv6Ranges.CidrIpv6", "from-port": "FromPort", "to-port": "ToPort",
			"protocol": "IpProtocol", "group-id": "UserIdGroupPairs.GroupId", "user-id": "UserIdGroupPairs.UserId",
		} {
			out[prefix+name] = member + part
		}
	}
	return out
}

// allAddresses are the peers of rules for everybody.
var allAddresses, allIPv6 = netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")

// rulesOf are the rules of a group as EC2 has them: to let everything out is a rule.
func rulesOf(v *topology.VPC, g *topology.SecurityGroup, egress bool) []topology.Rule {
	if !egress {
		return g.Ingress
	}
	if g.Egress != nil {
		return g.Egress
	}
	everything := topology.Rule{Priority: 1, Protocol: topology.AllProtocols, LastPort: 65535, Peer: allAddresses}
	out := []topology.Rule{everything}
	if v.IPv6CIDR.IsValid() {
		everything.Peer = allIPv6
		out = append(out, everything)
	}
	return out
}

// ports are those of a rule as EC2 has them; false where it has none.
func ports(r topology.Rule) (from, to int, has bool) {
	switch r.Protocol {
	case topology.AllProtocols:
		return 0, 0, false
	case topology.ICMP:
		return -1, -1, true
	}
	return int(r.FirstPort), int(r.LastPort), true
}

// protocolOf is the protocol of a rule as EC2 has it.
func protocolOf(r topology.Rule) string {
	switch {
	case r.Protocol == topology.AllProtocols:
		return "-1"
	case r.Protocol == topology.ICMP && r.Peer.Addr().Is6():
		return "icmpv6"
	}
	return string(r.Protocol)
}

// ruleKey tells the rules of a group apart.
func ruleKey(egress bool, r topology.Rule) string {
	return fmt.Sprintf("rule %t %s %d-%d %s %s", egress, protocolOf(r), r.FirstPort, r.LastPort, r.Peer, r.Group)
}

// ruleID is the identifier of a rule: made of what it says, unless it said
// something else when it was made.
func (c network) ruleID(g *topology.SecurityGroup, egress bool, r topology.Rule) string {
	key := ruleKey(egress, r)
	if id := c.Record.Note(g.ID, key); id != "" {
		return id
	}
	return c.Plan.NewID("sgr", g.ID+" "+strings.ReplaceAll(key, "/", " "))
}

func (c network) viewRule(v *topology.VPC, g *topology.SecurityGroup, egress bool, r topology.Rule) wire.M {
	id := c.ruleID(g, egress, r)
	m := wire.M{
		"SecurityGroupRuleId": id, "GroupId": g.ID, "GroupOwnerId": c.Account.ID, "IsEgress": egress,
		"IpProtocol": protocolOf(r), "FromPort": -1, "ToPort": -1, "Tags": c.tags(id),
		"SecurityGroupRuleArn": c.arn("ec2", "security-group-rule/"+id),
	}
	if from, to, has := ports(r); has {
		m["FromPort"], m["ToPort"] = from, to
	}
	if text := c.Record.Note(id, "description"); text != "" {
		m["Description"] = text
	}
	switch {
	case r.Group != "":
		if other, err := v.SecurityGroup(r.Group); err == nil {
			m["ReferencedGroupInfo"] = wire.M{"GroupId": other.ID, "UserId": c.Account.ID, "VpcId": v.ID}
		}
	case r.Peer.Addr().Is6():
		m["CidrIpv6"] = r.Peer
	default:
		m["CidrIpv4"] = r.Peer
	}
	return m
}

func (c network) viewGroup(v *topology.VPC, g *topology.SecurityGroup) wire.M {
	description := c.Record.Note(g.ID, "description")
	if description == "" {
		description = g.Name + " security group of the lab"
		if g.Name == topology.DefaultGroup {
			description = "default VPC security group"
		}
	}
	return wire.M{
		"GroupId": g.ID, "GroupName": c.groupName(g), "Description": description, "VpcId": v.ID,
		"OwnerId":       c.Account.ID,
		"IpPermissions": c.viewPermissions(v, g, false), "IpPermissionsEgress": c.viewPermissions(v, g, true),
		"Tags": tagsWith(g.Tags, g.ID, ""), "SecurityGroupArn": c.arn("ec2", "security-group/"+g.ID),
	}
}

// viewPermissions are rules as older clients see them: one for each protocol and
// range of ports, with all peers.
func (c network) viewPermissions(v *topology.VPC, g *topology.SecurityGroup, egress bool) []wire.M {
	out := []wire.M{}
	at := map[string]wire.M{}
	for _, r := range rulesOf(v, g, egress) {
		from, to, has := ports(r)
		key := fmt.Sprintf("%s %d %d", protocolOf(r), from, to)
		m := at[key]
		if m == nil {
			m = wire.M{"IpProtocol": protocolOf(r), "IpRanges": []wire.M{}, "Ipv6Ranges": []wire.M{},
				"UserIdGroupPairs": []wire.M{}, "PrefixListIds": []wire.M{}}
			if has {
				m["FromPort"], m["ToPort"] = from, to
			}
			at[key] = m
			out = append(out, m)
		}
		list, peer := "IpRanges", wire.M{"CidrIp": r.Peer}
		switch {
		case r.Group != "":
			other, err := v.SecurityGroup(r.Group)
			if err != nil {
				continue
			}
			list, peer = "UserIdGroupPairs", wire.M{"GroupId": other.ID, "UserId": c.Account.ID}
		case r.Peer.Addr().Is6():
			list, peer = "Ipv6Ranges", wire.M{"CidrIpv6": r.Peer}
		}
		if text := c.Record.Note(c.ruleID(g, egress, r), "description"); text != "" {
			peer["Description"] = text
		}
		m[list] = append(m[list].([]wire.M), peer)
	}
	return out
}

func createSecurityGroup(c network, in struct {
	GroupName, Description, VpcId string
	TagSpecifications             []tagSpecification
}) (wire.M, error) {
	if in.VpcId == "" {
		return nil, wire.Errorf("VPCIdNotSpecified", "No default VPC for this user")
	}
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(strings.ToLower(in.GroupName), "sg-") || in.GroupName == "" || len(in.GroupName) > 255 {
		return nil, wire.Errorf("InvalidParameterValue",
			"Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*.", in.GroupName)
	}
	if in.GroupName == topology.DefaultGroup {
		return nil, wire.Errorf("InvalidParameterValue", "Cannot use reserved security group name: %s", in.GroupName)
	}
	defer c.Locks.Hold("groups of " + vpc.Name)()
	vpc, err = c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	for i := range vpc.SecurityGroups {
		if c.groupName(&vpc.SecurityGroups[i]) == in.GroupName {
			return nil, wire.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'",
				in.GroupName, vpc.ID)
		}
	}
	tags, err := tagsFor(in.TagSpecifications, "security-group")
	if err != nil {
		return nil, err
	}
	id := c.NewID("sg")
	v := withTags(value{"ingress": []value{}}, tags)
	err = c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "security_groups", id), Value: text(v),
		New: true})
	if err != nil {
		return nil, err
	}
	c.Created(id, nil, map[string]string{"name": in.GroupName, "description": in.Description})
	return wire.M{"GroupId": id, "SecurityGroupArn": c.arn("ec2", "security-group/"+id), "Tags": viewTags(tags)}, nil
}

func deleteSecurityGroup(c network, in struct{ GroupId string }) (wire.M, error) {
	vpc, g, err := c.group(in.GroupId)
	if err != nil {
		return nil, err
	}
	if g.Name == topology.DefaultGroup {
		return nil, wire.Errorf("CannotDelete", "the specified group: %q name: %q cannot be deleted by a user", g.ID,
			g.Name)
	}
	inUse := wire.Errorf("DependencyViolation", "resource %s has a dependent object", g.ID)
	for _, e := range c.enis() {
		if e.vpc.Name == vpc.Name && slices.Contains(e.groups, g.Name) {
			return nil, inUse
		}
	}
	err = c.Edit(topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "security_groups", g.Name)})
	if err != nil {
		return nil, conflictOf(err, inUseIs(inUse.Code), "%s", inUse.Message)
	}
	c.Forget(g.ID)
	return wire.M{"Return": true, "GroupId": g.ID}, nil
}

// permission is a rule as clients write it, with several peers.
type permission struct {
	IpProtocol       string
	FromPort, ToPort *int
	IpRanges         []struct{ CidrIp, Description string }
	Ipv6Ranges       []struct{ CidrIpv6, Description string }
	UserIdGroupPairs []struct{ GroupId, UserId, VpcId, Description string }
}

// described is a rule with its description.
type described struct {
	topology.Rule
	text string
}

// protocols are those of rules, by name and by number.
var protocols = map[string]topology.Protocol{
	"tcp": topology.TCP, "6": topology.TCP, "udp": topology.UDP, "17": topology.UDP, "icmp": topology.ICMP,
	"1": topology.ICMP, "icmpv6": topology.ICMP, "58": topology.ICMP, "-1": topology.AllProtocols,
	"all": topology.AllProtocols,
}

// rules are those of a permission.
func (c network) rules(vpc *topology.VPC, p permission) (out []described, _ error) {
	protocol, known := protocols[strings.ToLower(p.IpProtocol)]
	if !known {
		return nil, wire.Errorf("UnsupportedOperation",
			"plinksim's security groups know tcp, udp, icmp, icmpv6 and -1,"+
				" and not the protocol %q", p.IpProtocol)
	}
	r := topology.Rule{Priority: 1, Protocol: protocol, LastPort: 65535}
	from, to := -1, -1
	if p.FromPort != nil {
		from = *p.FromPort
	}
	if p.ToPort != nil {
		to = *p.ToPort
	}
	switch protocol {
	case topology.ICMP:
		if from != -1 || to != -1 {
			return nil, wire.Errorf("UnsupportedOperation",
				"plinksim's security groups let all of ICMP pass or none: write -1 for type and code")
		}
	case topology.TCP, topology.UDP:
		if p.FromPort == nil || p.ToPort == nil {
			return nil, wire.Errorf("InvalidParameterValue",
				"Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		if from < 0 || to > 65535 || from > to {
			return nil, wire.Errorf("InvalidParameterValue", "TCP/UDP port (%d-%d) out of range", from, to)
		}
		r.FirstPort, r.LastPort = uint16(from), uint16(to)
	}
	add := func(peer netip.Prefix, group, text string) {
		r := r
		r.Peer, r.Group = peer, group
		out = append(out, described{r, text})
	}
	for _, one := range p.IpRanges {
		block, err := blockOf(one.CidrIp, "cidrIp")
		if err != nil || !block.Addr().Is4() {
			return nil, wire.Errorf("InvalidParameterValue", "CIDR block %s is malformed", one.CidrIp)
		}
		add(block, "", one.Description)
	}
	for _, one := range p.Ipv6Ranges {
		block, err := blockOf(one.CidrIpv6, "cidrIpv6")
		if err != nil || !block.Addr().Is6() {
			return nil, wire.Errorf("InvalidParameterValue", "CIDR block %s is malformed", one.CidrIpv6)
		}
		add(block, "", one.Description)
	}
	for _, one := range p.UserIdGroupPairs {
		of, g, err := c.group(one.GroupId)
		switch {
		case err != nil:
			return nil, err
		case of.Name != vpc.Name:
			return nil, wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'",
				one.GroupId, vpc.ID)
		case one.UserId != "" && one.UserId != c.Account.ID:
			return nil, wire.Errorf("InvalidGroup.NotFound", "The account %s has no group '%s'", one.UserId,
				one.GroupId)
		case one.VpcId != "" && one.VpcId != vpc.ID:
			return nil, wire.Errorf("InvalidGroup.NotFound", "The VPC %s has no group '%s'", one.VpcId, one.GroupId)
		}
		add(netip.Prefix{}, g.Name, one.Description)
	}
	if len(out) == 0 {
		return nil, wire.Errorf("InvalidParameterValue", "Missing source specification for a rule")
	}
	return out, nil
}

func (c network) allRules(vpc *topology.VPC, all []permission) (out []described, _ error) {
	for _, p := range all {
		rules, err := c.rules(vpc, p)
		if err != nil {
			return nil, err
		}
		out = append(out, rules...)
	}
	return out, nil
}

// writeRules writes all rules of a group into the lab's topology. The file need not
// have the default group, so all of that one is written.
func (c network) writeRules(vpc *topology.VPC, g *topology.SecurityGroup, egress bool, rules []topology.Rule) error {
	path := []string{"vpcs", vpc.Name, "security_groups", g.Name}
	if g.Name != topology.DefaultGroup {
		key := "ingress"
		if egress {
			key = "egress"
		}
		return c.Edit(topology.Edit{Path: topology.JoinPath(append(path, key)...), Value: text(ruleValues(rules,
			egress))})
	}
	whole := defaultGroup(vpc, g, g.Tags)
	if egress {
		whole["egress"] = ruleValues(rules, true)
	} else {
		whole["ingress"] = ruleValues(rules, false)
	}
	return c.Edit(topology.Edit{Path: topology.JoinPath(path...), Value: text(whole)})
}

// defaultGroup is the default group of a VPC as a topology file has it.
func defaultGroup(vpc *topology.VPC, g *topology.SecurityGroup, tags topology.Tags) value {
	return withTags(value{
		"ingress": ruleValues(rulesOf(vpc, g, false), false), "egress": ruleValues(rulesOf(vpc, g, true), true),
	}, tags)
}

// ruleValues are rules as a topology file has them.
func ruleValues(rules []topology.Rule, egress bool) []value {
	out := []value{}
	peer := "source"
	if egress {
		peer = "destination"
	}
	for _, r := range rules {
		v := value{"protocol": string(r.Protocol), peer: r.Group}
		if r.Group == "" {
			v[peer] = r.Peer.String()
		}
		// No packet has port 0.
		if first := max(r.FirstPort, 1); (r.Protocol == topology.TCP || r.Protocol == topology.UDP) &&
			(r.FirstPort > 0 || r.LastPort < 65535) {
			v["ports"] = fmt.Sprintf("%d-%d", first, max(first, r.LastPort))
		}
		out = append(out, v)
	}
	return out
}

type rulesIn struct {
	GroupId, IpProtocol, CidrIp string
	FromPort, ToPort            *int
	IpPermissions               []permission
	TagSpecifications           []tagSpecification
}

type egressIn struct {
	GroupId           string
	IpPermissions     []permission
	TagSpecifications []tagSpecification
}

type revokeIn struct {
	GroupId, IpProtocol, CidrIp string
	FromPort, ToPort            *int
	IpPermissions               []permission
	SecurityGroupRuleIds        []string
}

// short is a rule that is written without IpPermissions.
func short(all []permission, protocol, cidr string, from, to *int) []permission {
	if protocol == "" && cidr == "" {
		return all
	}
	p := permission{IpProtocol: protocol, FromPort: from, ToPort: to}
	p.IpRanges = []struct{ CidrIp, Description string }{{cidr, ""}}
	return append(all, p)
}

func spoken(r topology.Rule) string {
	peer := cmp.Or(r.Group, r.Peer.String())
	if r.Protocol == topology.AllProtocols {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(string(r.Protocol)),
		r.FirstPort, r.LastPort)
}

func authorize(c network, in rulesIn, egress bool) (wire.M, error) {
	defer c.Locks.Hold("group " + in.GroupId)()
	c.Plan = c.CurrentPlan()
	vpc, g, err := c.group(in.GroupId)
	if err != nil {
		return nil, err
	}
	added, err := c.allRules(vpc, short(in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort))
	if err != nil {
		return nil, err
	}
	if len(added) == 0 {
		return nil, wire.Errorf("MissingParameter",
			"Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
	}
	tags, err := tagsFor(in.TagSpecifications, "security-group-rule")
	if err != nil {
		return nil, err
	}
	rules := slices.Clone(rulesOf(vpc, g, egress))
	for _, r := range added {
		if slices.Contains(rules, r.Rule) {
			return nil, wire.Errorf("InvalidPermission.Duplicate", "the specified rule %q already exists",
				spoken(r.Rule))
		}
		rules = append(rules, r.Rule)
	}
	if err := c.writeRules(vpc, g, egress, rules); err != nil {
		return nil, err
	}
	views := []wire.M{}
	for _, r := range added {
		id := c.ruleID(g, egress, r.Rule)
		if r.text != "" || len(tags) > 0 {
			c.Change(id, func(t *cloudapi.Thing) {
				t.Notes["description"] = r.text
				maps.Copy(t.Tags, tags)
			})
		}
		views = append(views, c.viewRule(vpc, g, egress, r.Rule))
	}
	return wire.M{"Return": true, "SecurityGroupRules": views}, nil
}

func revoke(c network, in revokeIn, egress bool) (wire.M, error) {
	defer c.Locks.Hold("group " + in.GroupId)()
	c.Plan = c.CurrentPlan()
	vpc, g, err := c.group(in.GroupId)
	if err != nil {
		return nil, err
	}
	asked, err := c.allRules(vpc, short(in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort))
	if err != nil {
		return nil, err
	}
	rules := slices.Clone(rulesOf(vpc, g, egress))
	var gone []topology.Rule
	for _, id := range in.SecurityGroupRuleIds {
		i := slices.IndexFunc(rules, func(r topology.Rule) bool { return c.ruleID(g, egress, r) == id })
		if i < 0 {
			return nil, wire.Errorf("InvalidSecurityGroupRuleId.NotFound",
				"The security group rule ID '%s' does not exist in group '%s'", id, g.ID)
		}
		gone = append(gone, rules[i])
	}
	for _, r := range asked {
		if !slices.Contains(rules, r.Rule) {
			return nil, wire.Errorf("InvalidPermission.NotFound",
				"The specified rule does not exist in this security group: %s", spoken(r.Rule))
		}
		gone = append(gone, r.Rule)
	}
	if len(gone) == 0 {
		return nil, wire.Errorf("MissingParameter",
			"Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
	}
	views := []wire.M{}
	for _, r := range gone {
		view := c.viewRule(vpc, g, egress, r)
		if from, to, has := ports(r); has {
			view["FromPort"], view["ToPort"] = from, to
		}
		revoked := wire.M{"ReferencedGroupId": unless(r.Group == "", view["ReferencedGroupInfo"])}
		if info, ok := view["ReferencedGroupInfo"].(wire.M); ok {
			revoked["ReferencedGroupId"] = info["GroupId"]
		}
		for _, key := range []string{"SecurityGroupRuleId", "GroupId", "IsEgress", "IpProtocol", "FromPort", "ToPort",
			"CidrIpv4", "CidrIpv6", "Description"} {
			if v, there := view[key]; there {
				revoked[key] = v
			}
		}
		views = append(views, revoked)
	}
	rules = slices.DeleteFunc(rules, func(r topology.Rule) bool { return slices.Contains(gone, r) })
	var ids []string
	for _, r := range gone {
		ids = append(ids, c.ruleID(g, egress, r))
	}
	if err := c.writeRules(vpc, g, egress, rules); err != nil {
		return nil, err
	}
	c.Forget(ids...)
	return wire.M{"Return": true, "RevokedSecurityGroupRules": views}, nil
}

type ruleRequest struct {
	IpProtocol, CidrIpv4, CidrIpv6, ReferencedGroupId, Description string
	FromPort, ToPort                                               *int
}

func modifySecurityGroupRules(c network, in struct {
	GroupId            string
	SecurityGroupRules []struct {
		SecurityGroupRuleId string
		SecurityGroupRule   ruleRequest
	}
}) (wire.M, error) {
	defer c.Locks.Hold("group " + in.GroupId)()
	c.Plan = c.CurrentPlan()
	vpc, g, err := c.group(in.GroupId)
	if err != nil {
		return nil, err
	}
	for _, update := range in.SecurityGroupRules {
		found := false
		for _, egress := range []bool{false, true} {
			rules := slices.Clone(rulesOf(vpc, g, egress))
			i := slices.IndexFunc(rules, func(r topology.Rule) bool {
				return c.ruleID(g, egress,
					r) == update.SecurityGroupRuleId
			})
			if i < 0 {
				continue
			}
			found = true
			now, err := c.allRules(vpc, []permission{update.SecurityGroupRule.permission()})
			if err != nil {
				return nil, err
			}
			if len(now) != 1 {
				return nil, wire.Errorf("InvalidParameterValue", "A rule has one source or destination")
			}
			rules[i] = now[0].Rule
			if err := c.writeRules(vpc, g, egress, rules); err != nil {
				return nil, err
			}
			c.Change(g.ID, func(t *cloudapi.Thing) { t.Notes[ruleKey(egress, now[0].Rule)] = update.SecurityGroupRuleId })
			c.Change(update.SecurityGroupRuleId, func(t *cloudapi.Thing) { t.Notes["description"] = now[0].text })
			if vpc, g, err = c.group(in.GroupId); err != nil {
				return nil, err
			}
			break
		}
		if !found {
			return nil, wire.Errorf("InvalidSecurityGroupRuleId.NotFound",
				"The security group rule ID '%s' does not exist",
				update.SecurityGroupRuleId)
		}
	}
	return wire.M{"Return": true}, nil
}

func (r ruleRequest) permission() permission {
	p := permission{IpProtocol: r.IpProtocol, FromPort: r.FromPort, ToPort: r.ToPort}
	if r.CidrIpv4 != "" {
		p.IpRanges = append(p.IpRanges, struct{ CidrIp, Description string }{r.CidrIpv4, r.Description})
	}
	if r.CidrIpv6 != "" {
		p.Ipv6Ranges = append(p.Ipv6Ranges, struct{ CidrIpv6, Description string }{r.CidrIpv6, r.Description})
	}
	if r.ReferencedGroupId != "" {
		p.UserIdGroupPairs = append(p.UserIdGroupPairs,
			struct{ GroupId, UserId, VpcId, Description string }{GroupId: r.ReferencedGroupId,
				Description: r.Description})
	}
	return p
}

type describeIn struct {
	GroupId                       string
	IpPermissions                 []permission
	SecurityGroupRuleDescriptions []struct{ SecurityGroupRuleId, Description string }
}

func updateDescriptions(c network, in describeIn, egress bool) (wire.M, error) {
	vpc, g, err := c.group(in.GroupId)
	if err != nil {
		return nil, err
	}
	rules := rulesOf(vpc, g, egress)
	texts := map[string]string{}
	asked, err := c.allRules(vpc, in.IpPermissions)
	if err != nil {
		return nil, err
	}
	for _, r := range asked {
		if !slices.Contains(rules, r.Rule) {
			return nil, wire.Errorf("InvalidPermission.NotFound",
				"The specified rule does not exist in this security group: %s", spoken(r.Rule))
		}
		texts[c.ruleID(g, egress, r.Rule)] = r.text
	}
	for _, one := range in.SecurityGroupRuleDescriptions {
		if !slices.ContainsFunc(rules, func(r topology.Rule) bool {
			return c.ruleID(g, egress,
				r) == one.SecurityGroupRuleId
		}) {
			return nil, wire.Errorf("InvalidSecurityGroupRuleId.NotFound",
				"The security group rule ID '%s' does not exist",
				one.SecurityGroupRuleId)
		}
		texts[one.SecurityGroupRuleId] = one.Description
	}
	if c.Dry {
		return nil, errDryRun
	}
	for id, text := range texts {
		c.Change(id, func(t *cloudapi.Thing) { t.Notes["description"] = text })
	}
	return wire.M{"Return": true}, nil
}
