package topofile

import (
	"fmt"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/topology"
)

// rawRule is a rule of either direction.
type rawRule struct {
	Protocol value[string]
	Ports    value[ports]
	Peer     value[netip.Prefix]
	Action   value[string]
	Priority value[int]
}

// securityGroupBuilder builds security groups with their rules.
type securityGroupBuilder struct{ *draft }

func (b securityGroupBuilder) securityGroup(vpc *topology.VPC, e *entry[rawSecurityGroup]) {
	group := topology.SecurityGroup{Name: e.Name, ID: b.ids.ID("sg", vpc.Name+"/"+e.Name)}
	who := fmt.Sprintf("security group %q", e.Name)
	for _, r := range e.Value.Ingress.Items {
		group.Ingress = append(group.Ingress,
			b.rule(who, "source", rawRule{r.Protocol, r.Ports, prefix(r.Source), r.Action, r.Priority}))
	}
	if e.Value.Egress.Node != nil {
		group.Egress = []topology.Rule{}
	}
	for _, r := range e.Value.Egress.Items {
		group.Egress = append(group.Egress,
			b.rule(who, "destination", rawRule{r.Protocol, r.Ports, prefix(r.Destination), r.Action, r.Priority}))
	}
	vpc.SecurityGroups = append(vpc.SecurityGroups, group)
}

func (b securityGroupBuilder) rule(who, peer string, r rawRule) topology.Rule {
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
	return topology.Rule{
		Deny:      r.Action.V == "deny",
		Priority:  r.Priority.or(1),
		Protocol:  protocol,
		FirstPort: span.First,
		LastPort:  span.Last,
		Peer:      b.network(who, peer, r.Peer),
	}
}
