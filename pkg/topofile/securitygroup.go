package topofile

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// rawRule is a rule of either direction.
type rawRule struct {
	Protocol value[string]
	Ports    value[ports]
	Peers    peers
	Action   value[string]
	Priority value[int]
}

// securityGroupBuilder builds security groups with their rules.
type securityGroupBuilder struct{ *draft }

func (b securityGroupBuilder) securityGroup(vpc *topology.VPC, e *entry[rawSecurityGroup]) {
	group := topology.SecurityGroup{Name: e.Name, ID: b.ids.ID("sg", vpc.Name+"/"+e.Name), Tags: e.Value.Tags.V}
	who := fmt.Sprintf("security group %q", e.Name)
	for _, r := range e.Value.Ingress.Items {
		group.Ingress = append(group.Ingress,
			b.rules(who, "source", rawRule{r.Protocol, r.Ports, r.Source, r.Action, r.Priority})...)
	}
	if e.Value.Egress.Node != nil {
		group.Egress = []topology.Rule{}
	}
	for _, r := range e.Value.Egress.Items {
		group.Egress = append(group.Egress,
			b.rules(who, "destination", rawRule{r.Protocol, r.Ports, r.Destination, r.Action, r.Priority})...)
	}
	vpc.SecurityGroups = append(vpc.SecurityGroups, group)
}

// rules are one for each peer.
func (b securityGroupBuilder) rules(who, peer string, r rawRule) (out []topology.Rule) {
	span, protocol := r.Ports.or(ports{0, 65535}), topology.Protocol(r.Protocol.V)
	if r.Ports.given() && (protocol == topology.ICMP || protocol == topology.AllProtocols) {
		b.problem(r.Ports.Node, "remove ports, or write protocol: tcp or udp",
			"%s: a rule for %s has no ports", who, r.Protocol.V)
	}
	if !b.can.DenyRules && r.Action.V == "deny" {
		b.problem(r.Action.Node, "leave the rule out: what no rule allows is denied",
			"%s: security groups of %s cannot deny", who, b.plan.Cloud)
	}
	if !b.can.DenyRules && r.Priority.given() {
		b.problem(r.Priority.Node, "remove it: every rule is asked",
			"%s: rules of %s have no priority", who, b.plan.Cloud)
	}
	if n := r.Peers.Node; n != nil && len(r.Peers.Items) == 0 && n.Kind == yaml.SequenceNode {
		b.problem(n, "name a block or a security group, or leave the rule out", "%s: a rule has no %s", who, peer)
	}
	for _, item := range r.Peers.Items {
		block := value[netip.Prefix]{V: item.V.block, Node: item.Node, Bad: item.Bad || item.V.group != ""}
		out = append(out, topology.Rule{
			Deny:      r.Action.V == "deny",
			Priority:  r.Priority.or(1),
			Protocol:  protocol,
			FirstPort: span.First,
			LastPort:  span.Last,
			Peer:      b.network(who, peer, block),
			Group:     item.V.group,
		})
	}
	return out
}

// complete gives a VPC the group that every one has at AWS, and finds the groups
// that rules name, which may stand further down.
func (b securityGroupBuilder) complete(vpc *topology.VPC, raw []entry[rawSecurityGroup]) {
	if _, err := vpc.SecurityGroup(topology.DefaultGroup); err != nil && b.can.DefaultGroup {
		vpc.SecurityGroups = append(vpc.SecurityGroups, topology.SecurityGroup{
			Name: topology.DefaultGroup,
			ID:   b.ids.ID("sg", vpc.Name+"/"+topology.DefaultGroup),
			Ingress: []topology.Rule{{
				Priority: 1, Protocol: topology.AllProtocols, LastPort: 65535, Group: topology.DefaultGroup,
			}},
		})
	}
	for _, e := range raw {
		who := fmt.Sprintf("security group %q", e.Name)
		for _, r := range e.Value.Ingress.Items {
			b.named(who, vpc, r.Source)
		}
		for _, r := range e.Value.Egress.Items {
			b.named(who, vpc, r.Destination)
		}
	}
	for _, g := range vpc.SecurityGroups {
		for _, rules := range [][]topology.Rule{g.Ingress, g.Egress} {
			for i := range rules {
				if other := groupOf(vpc, rules[i].Group); other != nil {
					rules[i].Group = other.Name
				}
			}
		}
	}
}

// named notes groups that are not there.
func (b securityGroupBuilder) named(who string, vpc *topology.VPC, peers peers) {
	for _, p := range peers.Items {
		if p.V.group != "" && groupOf(vpc, p.V.group) == nil {
			refer(b.draft, who, value[string]{V: p.V.group, Node: p.Node}, vpc.SecurityGroup)
		}
	}
}

// groupOf is the group with a name or an ID.
func groupOf(vpc *topology.VPC, text string) *topology.SecurityGroup {
	for i := range vpc.SecurityGroups {
		if g := &vpc.SecurityGroups[i]; text != "" && (g.Name == text || g.ID == text) {
			return g
		}
	}
	return nil
}
